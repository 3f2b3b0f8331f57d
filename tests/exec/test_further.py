"""An operation's plans for further sizes: word by word what its planner gives."""

import itertools

import numpy as np
import pytest
from records import RECORDS, recast, samples_of

import twofold
from twofold.base import dtypes
from twofold.codegen.native import core
from twofold.exec import eager
from twofold.exec.eager import Planned, arg_of
from twofold.exec.further import FIRST, SIZES, Further, Sizes
from twofold.lower.sheet import load_sheet
from twofold.runtime import entries
from twofold.runtime.threads import get_num_threads

if core.start().tier < 2:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)

F = twofold.nn.functional
ASKED = 3  # times after which a planner was traced


def parts(words):
    """A plan's words, without addresses of what each plan has of its own."""
    words = list(words)
    words[entries.WORD["keep"]] = 0
    at, words[entries.WORD["types"]] = words[entries.WORD["out_at"]], 0
    for _ in range(words[entries.WORD["outputs"]]):
        words[at + entries.OUT_SHAPE] = 0
        at += 5 + words[at + entries.OUT_NUMBER]
    return words


def planned_words(asked, arrays, outs, keywords):
    """The words of the plan that the planner gives; None where they hold addresses of its own."""
    types = asked.types(arrays)[0]
    args = tuple(map(arg_of, arrays, types))
    plan = asked.plan_with(args, outs, keywords, get_num_threads())
    if plan.keep:
        return None
    chunks = max([step.chunks for step in plan.steps], default=0)
    release = entries.release_for(chunks, arrays, outs)
    inputs = [*map(entries.layout_words, arrays)]
    outputs = [entries.known_output(tuple(out.shape), out.dtype)[1] for out in outs]
    given = {"pattern": 0, "release": release, "small": 0}
    words, rest = entries._encode(plan, inputs, outputs, **given)
    return words + np.frombuffer(rest, np.int64).tolist()


@pytest.fixture
def pushed(monkeypatch):
    """What entries were given."""
    found = []
    push = entries.push_words

    def noted(entry, words, keep):
        found.append(words.tolist())
        if entry is not None:
            push(entry, words, keep)

    monkeypatch.setattr(entries, "push_words", noted)
    return found


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_planner_can_be_traced_or_says_so(name, pushed):
    op = RECORDS[name]
    if op.lower is None or op.writes is not None:
        pytest.skip("no planner of one operation")
    kinds = {"f": dtypes.float32, "i": dtypes.int64, "c": dtypes.complex64, "b": dtypes.bool_}
    dtype = next(kinds[kind] for kind in kinds if kind in op.accepts)
    for _, inputs, attrs in samples_of(op, dtype):
        arrays = tuple(recast(op, inputs, dtype))
        asked = Planned(op, attrs)
        types, outs = asked.types(arrays)
        args = tuple(map(arg_of, arrays, types))
        given = (asked, arrays, args, outs, SIZES.get(name), get_num_threads())
        sizes = None if any(out is None for out in outs) else Sizes.of(*given)
        wanted = sizes and planned_words(asked, arrays, outs, asked.keywords)
        for _ in range(ASKED if wanted else 0):
            if sizes.teach(None, arrays, outs, asked.keywords):
                assert parts(pushed.pop()) == parts(wanted)


CASES = {
    "add a row": lambda r, n, m: (r.normal(n, m) + r.normal(m)).mul(r.normal(n, 1)),
    "sum": lambda r, n, m: (r.normal(n, m).sum(0), r.normal(n, m).sum(1), r.normal(n, m).mean()),
    "softmax": lambda r, n, m: F.softmax(r.normal(n, m), 1),
    "layer_norm": lambda r, n, m: F.layer_norm(r.normal(n, m), (m,)),
    "product": lambda r, n, m: (r.normal(n, m) @ r.normal(m, 5), r.normal(n, m) @ r.normal(m, n)),
    "turned product": lambda r, n, m: r.normal(m, n).T @ r.normal(6, m).T,
    "batches": lambda r, n, m: r.normal(2, n, m) @ r.normal(2, m, n),
    "linear": lambda r, n, m: F.linear(r.normal(n, m), r.normal(7, m), r.normal(7)),
    "cat": lambda r, n, m: twofold.cat([r.normal(n, 3), r.normal(m, 3)]),
    "cat of rows": lambda r, n, m: twofold.cat([r.normal(2, n), r.normal(2, m)], 1),
    "stack": lambda r, n, m: twofold.stack([r.normal(n, m), r.normal(n, m)], 1),
    "take": lambda r, n, m: r.normal(n, m)[r.whole(n, m)],
    "gather": lambda r, n, m: r.normal(n, m).gather(0, r.whole(n, n, m)),
    "scatter": lambda r, n, m: r.normal(n, m).scatter_add(0, r.whole(n, n, m), r.normal(n, m)),
    "index_add": lambda r, n, m: r.normal(n, m).index_add(0, r.whole(n, m), r.normal(m, m)),
    "attention": lambda r, n, m: F.scaled_dot_product_attention(
        r.normal(1, 2, n, 8), r.normal(1, 2, m, 8), r.normal(1, 2, m, 8)
    ),
    "cross_entropy": lambda r, n, m: F.cross_entropy(r.normal(n, m), r.whole(m, n)),
    "sort": lambda r, n, m: (r.normal(n, m).sort(1)[0], r.normal(n, m).argmax(1)),
    "random": lambda r, n, m: twofold.rand(n, m),
    "contiguous": lambda r, n, m: r.normal(n, m).T.contiguous(),
    "backward": lambda r, n, m: r.gradient(n, m, lambda x: (x[1:] * x[:-1]).mean(1).sum()),
}


class Draw:
    """Tensors of given sizes."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def normal(self, *shape):
        return twofold.tensor(self.random.standard_normal(shape).astype("f4"))

    def whole(self, high, *shape):
        return twofold.tensor(self.random.integers(0, high, shape))

    def gradient(self, n, m, function):
        x = self.normal(n, m).requires_grad_()
        function(x).backward()
        return x.grad


@pytest.mark.parametrize("name", CASES)
def test_plans_are_those_of_the_planner(name, pushed, monkeypatch):
    load_sheet().ready()
    computed = []
    teach = Sizes.teach

    owners = {}

    def compared(sizes, entry, arrays, outs, keywords):
        asked = sizes.node.asked
        taught = teach(sizes, entry, arrays, outs, keywords)
        if taught:
            words, wanted = pushed.pop(), planned_words(owners[sizes], arrays, outs, keywords)
            assert wanted is None or parts(words) == parts(wanted)
            computed.append(asked == sizes.node.asked)
        return taught

    begin = Further.begin

    def begun(found, asked, *rest):
        made = begin(found, asked, *rest)
        owners[made] = asked
        return made

    monkeypatch.setattr(Sizes, "teach", compared)
    monkeypatch.setattr(Further, "begin", begun)
    monkeypatch.setattr("twofold.exec.further._shared", {})
    monkeypatch.setattr(eager, "_few", iter(()))
    for op in RECORDS.values():  # what earlier tests have taught is forgotten
        monkeypatch.setattr(op, "entries", {})
    draw = Draw()
    for n, m in itertools.product((9, 1, 40, 17, 600, 33), (8, 3, 64, 130)):
        CASES[name](draw, n, m)
    assert len(computed) > FIRST
    assert any(computed)


ALIKE = {
    "a number": lambda x: (x * 2, 3 - x, x / 7, x > 0.5, x.clamp(0, 1), x.fmod(2.0)),
    "a mask": lambda x: twofold.where(x > x * x, x, x * x),
    "a mask and a number": lambda x: (x.masked_fill(x > 0, 0.5), twofold.where(x > 0, x, 1.0)),
    "comparisons": lambda x: ((x > 0) & (x < 1), x == x, ~(x > 0)),
    "conversions": lambda x: (x.long() + 1, x.double(), x.bool(), x.to(twofold.bfloat16)),
    "copies": lambda x: (x.clone(), x.bool().clone(), x.double().clone()),
    "in place": lambda x: x.clone().mul_(2.0).add_(x).sub_(1),
}


@pytest.mark.parametrize("name", ALIKE)
def test_contiguous_elements_are_planned_once(name, monkeypatch):
    """For all shapes, beside single elements too: with the bits of a plan for the shape."""
    call = ALIKE[name]
    random = np.random.default_rng(0)

    def of(shape):
        return twofold.tensor(random.standard_normal(shape).astype("f4"))

    def bits(made):
        parts = made if isinstance(made, tuple) else (made,)
        return [(x.dtype, x.shape, x.array.tobytes()) for x in parts]

    for shape in ((3,), (4, 2), (2, 1)):
        call(of(shape))
    given = [of(shape) for shape in ((37,), (5, 7), (1, 6), (2, 3, 4), (0, 3), ())]
    turned = [x.T.clone().T if x.ndim == 2 else x for x in given]
    asked = []
    plan = Planned.plan
    monkeypatch.setattr(
        Planned, "plan", lambda self, *args: (asked.append(self.op), plan(self, *args))[1]
    )
    monkeypatch.setattr(Sizes, "teach", lambda *_: pytest.fail("a plan for one size"))
    made = [call(x) for x in given]
    assert not asked
    monkeypatch.undo()
    for x, y, result in zip(given, turned, made, strict=True):
        assert bits(call(x)) == bits(result) == bits(call(y))
