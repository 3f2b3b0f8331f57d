"""Each rule of the tables fires, does what its golden text shows, and keeps every bit."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

import twofold
from twofold import optim
from twofold.base.errors import ArgumentError
from twofold.base.flags import flags
from twofold.ops.bind import bind
from twofold.ops.elementwise import CAST
from twofold.ops.movement import DETACH
from twofold.ops.op import op_named
from twofold.ops.reduce import SUM_TO_ONE
from twofold.passes.cleanup import prune
from twofold.passes.facts import ABOVE, COMPUTE
from twofold.passes.manager import PIPELINE, Pass
from twofold.passes.rules import Rule
from twofold.passes.simplify import ELEMENTWISE, RULES, rewriting, simplify

ONLY = [Pass("simplify", simplify), Pass("prune", prune)]
where = twofold.where

# By the rule's name: a program on x and y (float32, 4 x 6) and the truth values c (4 x 6).
CASES = {
    "x * 1": lambda x, y, c: (x + y) * 1.0,
    "1 * x": lambda x, y, c: 1 * (x * y),
    "x / 1": lambda x, y, c: (x * y) / 1,
    "x - 0": lambda x, y, c: (x * y) - 0.0,
    "x + -0": lambda x, y, c: (x * y) + -0.0,
    "-0 + x": lambda x, y, c: -0.0 + (x * y).t(),
    "x + 0": lambda x, y, c: (x * y).exp() + 0.0,
    "0 + x": lambda x, y, c: 0 + (x.square() + y),
    "-(-x)": lambda x, y, c: (-x).neg(),
    "||x||": lambda x, y, c: x.abs().abs(),
    "|-x|": lambda x, y, c: (-x).abs(),
    "relu of relu": lambda x, y, c: x.relu().relu(),
    "floor of floor": lambda x, y, c: x.floor().floor(),
    "ceil of ceil": lambda x, y, c: x.ceil().ceil(),
    "trunc of trunc": lambda x, y, c: x.trunc().trunc(),
    "max(x, x)": lambda x, y, c: twofold.maximum(x, x),
    "min(x, x)": lambda x, y, c: twofold.minimum(x, x),
    "where(c, x, x)": lambda x, y, c: _same(c, x[0]),
    "where(not c, x, y)": lambda x, y, c: where(twofold.logical_not(c), x, y),
    "not not x": lambda x, y, c: twofold.logical_not(twofold.logical_not(c)),
    "not x == y": lambda x, y, c: twofold.logical_not(x == y),
    "not x != y": lambda x, y, c: twofold.logical_not(x != y),
    "x and x": lambda x, y, c: twofold.logical_and(c, c),
    "x or x": lambda x, y, c: twofold.logical_or(c, c),
    "cast to its own type": lambda x, y, c: bind(CAST, (x,), (twofold.float32,)),
    "cast of cast": lambda x, y, c: ((x * y).double().float(), c.int().double(), c.half().float()),
    "sum of counted truth values": lambda x, y, c: c.long().sum(0),
    "reshape to its own shape": lambda x, y, c: x.reshape(x.shape),
    "reshape of reshape": lambda x, y, c: x.reshape(-1).reshape(3, -1),
    "permute to its own order": lambda x, y, c: x.permute(0, 1),
    "permute of permute": lambda x, y, c: x[None].permute(2, 0, 1).permute(2, 1, 0),
    "expand to its own shape": lambda x, y, c: x.expand(x.shape),
    "a value without its slopes": lambda x, y, c: bind(DETACH, (x,)) * y,
    "expand of expand": lambda x, y, c: x.expand(3, 4, 6).expand(2, 3, 4, 6),
    "expand of a reshape that leads with ones": lambda x, y, c: x.sum().reshape(1).expand(5),
    "all of x": lambda x, y, c: x[:],
    "slice of slice": lambda x, y, c: x.reshape(2, 12)[:, 2:11][:, 3:8],
    "flip of flip": lambda x, y, c: x.flip(0, 1).flip(0, 1),
    "sum over axes of size 1": lambda x, y, c: _sum_of_one(x[None], y),
    "copy of what is made anew": lambda x, y, c: (x * y).clone(),
    "sum of a reshape": lambda x, y, c: (x * y).reshape(-1).sum(),
    "mean of a reshape": lambda x, y, c: x.reshape(2, 3, 4).mean(),
    "an operation on numbers": lambda x, y, c: x * (twofold.full((), 2.0) / 8 + 0.5),
    "an expand that broadcasting implies": lambda x, y, c: x.sum(1, keepdim=True).expand(4, 6) * y,
    "a movement behind an operation": lambda x, y, c: (
        (x * y).reshape(-1).exp() * 0.5,
        (x * y).t().tanh() + 1,
        (x[0] + 1).expand(3, 6).exp(),
    ),
}


def _same(c, row):
    return where(c, row, row)


def _sum_of_one(row, y):
    return bind(SUM_TO_ONE, (row,), ((0,),)) * y


def bits(made):
    made = made if isinstance(made, tuple) else (made,)
    return [(t.dtype, tuple(t.shape), t.detach().numpy().tobytes()) for t in made]


def samples(seed=0):
    twofold.manual_seed(seed)
    x, y = twofold.randn(4, 6), twofold.randn(4, 6)
    return x, y, x > y


def test_there_is_a_case_for_each_rule():
    assert set(CASES) == {rule.name for rule in RULES} | set(ELEMENTWISE)


def test_what_rules_do(golden):
    rows = []
    for name, program in CASES.items():
        before = twofold.compile(program, passes=[Pass("prune", prune)]).graph(*samples())
        after = twofold.compile(program, passes=ONLY).graph(*samples())
        assert str(before) != str(after), name
        rows += [f"# {name}", str(before).partition("\n")[2].rstrip(), "  becomes"]
        rows += [str(after).partition("\n")[2].rstrip(), ""]
    golden("graphs/simplify", "\n".join(rows))


@pytest.mark.parametrize("name", CASES)
def test_a_rule_fires_where_it_says(name, capsys):
    x = samples()
    with flags.override(check=2):
        twofold.compile(CASES[name], passes=ONLY)(*x)
    with flags.override(debug=7):
        twofold.compile(CASES[name], passes=ONLY).graph(*x)
    assert f"simplify: {name}, for %" in capsys.readouterr().err


SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1.0, -1.5, 1e-45, -1e-40, 3e38, 0.1)
PATTERNS = tuple(int(np.float32(v).view(np.uint32)) for v in SPECIAL) + (0x7F800001, 0xFFC12345)
words = st.one_of(st.sampled_from(PATTERNS), st.integers(0, 2**32 - 1))
arrays = st.lists(words, min_size=24, max_size=24)


def tensor(numbers):
    return twofold.from_numpy(np.array(numbers, np.uint32).view(np.float32).reshape(4, 6).copy())


compiled = {name: twofold.compile(program, passes=ONLY) for name, program in CASES.items()}


@settings(max_examples=25, deadline=None)
@given(arrays, arrays)
@example([*PATTERNS, *PATTERNS][:24], [*PATTERNS[5:], *PATTERNS, *PATTERNS][:24])
def test_rules_keep_every_bit(a, b):
    x, y = tensor(a), tensor(b)
    inputs = x, y, x > y
    with np.errstate(all="ignore"):
        for name, program in CASES.items():
            assert bits(compiled[name](*inputs)) == bits(program(*inputs)), name


# What looks alike and is none of it: these stay.
KEPT = {
    "x + 0 where x may be -0.0": lambda x, y: x * y + 0.0,
    "x * 1 where x may be a signaling NaN": lambda x, y: x * 1.0,
    "x - x": lambda x, y: x - x,
    "0 - x": lambda x, y: 0.0 - x,
    "x * 0": lambda x, y: x * 0.0,
    "-(x - y)": lambda x, y: -(x - y),
    "not x < y": lambda x, y: twofold.logical_not(x < y),
    "float by way of half": lambda x, y: x.half().float(),
    "float by way of int": lambda x, y: x.int().float(),
    "whole by way of float": lambda x, y: x.int().double().short(),
    "a sum of a reshape over some axes": lambda x, y: x.reshape(-1, 2).sum(0),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_no_identity_stays(name):
    x, y, _ = samples()
    made = [twofold.compile(KEPT[name], passes=p).graph(x, y) for p in (ONLY, ONLY[1:])]
    assert str(made[0]) == str(made[1])


def test_old_values_stay_old():
    def train(run):
        twofold.manual_seed(0)
        w = twofold.nn.Parameter(twofold.randn(3, 4))
        opt = optim.SGD([w], lr=0.5)

        def step(x):
            opt.zero_grad()
            before, wide = (-w.detach()).neg(), w.detach().double()
            (w * x).sum().backward()
            opt.step()
            return before + 1, wide.float()

        step = run(step)
        return [t.numpy().tobytes() for _ in range(3) for t in step(twofold.ones(3, 4))]

    assert train(twofold.compile) == train(lambda f: f)


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("exp", "relu", "neg", "add", "mul", "t", "flat", "half", "one", "where", "row", "cast")
        ),
        st.integers(0, 20),
        st.integers(0, 20),
    ),
    min_size=2,
    max_size=14,
)


def run(program, x, y):
    n, m = x.shape
    known = [x, y]
    for name, i, j in program:
        p, q = known[i % len(known)], known[j % len(known)]
        made = {
            "exp": lambda p, q: p.exp(),
            "relu": lambda p, q: p.relu(),
            "neg": lambda p, q: -p,
            "add": lambda p, q: p + q,
            "mul": lambda p, q: p * q,
            "t": lambda p, q: (p.t() * 0.5).t().tanh(),
            "flat": lambda p, q: (p.reshape(-1) - q.reshape(-1)).reshape(n, m),
            "half": lambda p, q: p * 0.5 + 0.0,
            "one": lambda p, q: (p + q) * 1.0,
            "where": lambda p, q: where(p > q, p, p),
            "row": lambda p, q: p.sum(1, keepdim=True).expand(n, m) * q,
            "cast": lambda p, q: (p + q).double().float(),
        }[name](p, q)
        known.append(made)
    return known[-1], known[len(known) // 2] * 1.0


@settings(max_examples=40, deadline=None)
@given(steps, st.integers(1, 5), st.integers(1, 5))
def test_random_programs_keep_their_bits(program, rows, columns):
    x, y = twofold.randn(rows, columns), twofold.randn(rows, columns)
    with np.errstate(all="ignore"), flags.override(check=2):
        wanted = run(program, x, y)
        for passes in (ONLY, PIPELINE):
            made = twofold.compile(lambda x, y: run(program, x, y), passes=passes)(x, y)
            assert bits(made) == bits(wanted)


NANS = twofold.from_numpy(np.array([0x7F800001, 0xFFA00000], np.uint32).view(np.float32))


@pytest.mark.parametrize("name", sorted(COMPUTE - {"cast"}))
def test_what_computes_makes_nan_quiet(name):
    op = op_named(name)
    if not callable(op.lower):
        pytest.skip("a kernel of products and sums, which are instructions that compute")
    x = NANS.detach()
    made = bind(op, (x,) * len(op.inputs), tuple(op.defaults.values()))
    words = made.numpy().view(np.uint32)
    assert (words[np.isnan(made.numpy())] & 0x00400000).all()


@pytest.mark.parametrize("name", sorted(ABOVE - {"softmax", "sum"}))
def test_zeros_are_positive(name):
    x = tensor([*PATTERNS, *PATTERNS][:24])
    with np.errstate(all="ignore"):
        made = bind(op_named(name), (x,), ()).numpy()
    assert not np.signbit(made[made == 0]).any()


def test_a_rule_of_the_users():
    mine = Pass("mine", rewriting(Rule("log of exp", ("log", ("exp", "x")), "x")))
    f = twofold.compile(lambda x: x.exp().log().sin(), passes=[mine, *PIPELINE])
    assert [call.op.name for call in f.graph(twofold.ones(3)).calls] == ["sin"]
    x = twofold.randn(5)
    assert bits(f(x)) == bits(x.sin())


@pytest.mark.parametrize(
    ("passes", "problem"),
    [
        ([simplify], "passes[0] is a function, not a Pass"),
        (7, "passes is 7, not a list"),
        ([Pass("lost", lambda graph: None)], "the pass 'lost' gives a NoneType, not a Graph"),
    ],
)
def test_what_is_no_pass_is_refused(passes, problem):
    with pytest.raises(ArgumentError, match=re.escape(problem)):
        twofold.compile(lambda x: x.exp(), passes=passes)(twofold.ones(2))
