"""Plans for third and further sizes: computed by a sheet, with what the planner would give."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import twofold
from twofold.base.traced import FUNCTIONS, Tape
from twofold.exec import runner
from twofold.exec.graphs import Planner
from twofold.exec.layouts import Layouts
from twofold.exec.outline import Outline
from twofold.exec.sheet import Sheet
from twofold.lower.schedule import float_word
from twofold.lower.sheet import COMPARISONS, load_sheet

# ---- the sheet


def computed(function, first, second):
    """What the sheet gives for `second` of a function that was traced on `first`, or None."""
    tape = Tape(first)
    made = function(*tape.numbers)
    sheet = Sheet()
    given = [sheet.take(1) for _ in first]
    target = sheet.take(1)
    miss = sheet.stop()
    block = sheet.block(tape, given, {made.place: target}, miss)
    end = sheet.stop()
    sheet.cells[given] = second
    line = sheet.run(block.begin)
    assert line in (miss, end)
    return int(sheet.cells[target]) if line == end else None


@pytest.mark.parametrize("name", ["add", "sub", "mul", "floordiv", "mod", "min", "max"])
def test_arithmetic_is_that_of_python(name):
    tape = Tape([1, 1])
    tape.compute(name, *tape.numbers)
    sheet = Sheet()
    begin = sheet.take(3)
    block = sheet.block(tape, [begin, begin + 1], {2: begin + 2}, 0)
    end = sheet.stop()
    for a in (-7, -6, -1, 0, 1, 5, 6, 1 << 40):
        for b in (-3, -1, 1, 2, 7):
            sheet.cells[begin : begin + 2] = a, b
            assert sheet.run(block.begin) == end
            assert sheet.cells[begin + 2] == FUNCTIONS[name](a, b)


def test_a_division_by_zero_stops():
    tape = Tape([1, 1])
    tape.numbers[0] // tape.numbers[1]
    sheet = Sheet()
    begin = sheet.take(2)
    sheet.cells[begin : begin + 2] = 1, 0
    block = sheet.block(tape, [begin, begin + 1], None, 0)
    assert sheet.run(block.begin) == block.begin


@pytest.mark.parametrize("name", [*COMPARISONS])
@pytest.mark.parametrize("first", [2, 3, 4])
def test_conditions_hold_or_lead_elsewhere(name, first):
    def f(x):
        return x + 1 if FUNCTIONS[name](x, 3) else x + 2

    for second in (2, 3, 4):
        same = FUNCTIONS[name](first, 3) == FUNCTIONS[name](second, 3)
        assert computed(f, [first], [second]) == (f(second) if same else None)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_words_of_floats(kind):
    for n in (1, 3, 1000, (1 << 24) + 1, 123456789):
        assert computed(lambda x: float_word(x, kind), [2], [n]) == float_word(n, kind)


def test_functions_give_what_they_give():
    def f(x, y):
        total = 0
        for k in range(1, 6):
            total += (x * k) // (y + 1) if x > k else -(-x // k)
            total = max(total, y) - min(x, k) % 3
        return total

    rng = random.Random(0)
    hits = 0
    for _ in range(300):
        first, second = ([rng.randrange(12), rng.randrange(12)] for _ in range(2))
        made = computed(f, first, second)
        hits += made is not None
        assert made in (None, f(*second))
    assert hits > 20


# ---- plans


@pytest.fixture
def looked(monkeypatch):
    """Compares each plan of an outline with the planner's; how many there were of either."""
    load_sheet().ready()  # programs do without outlines until it is there
    monkeypatch.setattr(runner, "WORTH", 0.0)
    counts = {"outline": 0, "planner": 0}
    by_outline, plan, used = runner.Runner.by_outline, Outline.plan, []

    def planned(self, args, values):
        used.append(self)
        return plan(self, args, values)

    monkeypatch.setattr(Outline, "plan", planned)

    def watched(self, args, values, threads):
        found = by_outline(self, args, values, threads)
        if found is None:
            counts["planner"] += 1
            return None
        counts["outline"] += 1
        right = Planner(self.structure, args, values, threads, self.errors).plan()
        same_plan(found, right)
        apart(found, used[-1])
        return found

    monkeypatch.setattr(runner.Runner, "by_outline", watched)
    return counts


def same_plan(found, right):
    """All but addresses, and the places of buffers."""
    assert list(found.outs) == list(right.outs)
    assert [*found.buffers] == right.buffers
    assert found.steps == right.steps
    assert [w is not r for w, r in zip(found.whose, right.whose, strict=True)].count(True) == 0
    ours, theirs = found.plan.steps, right.plan.steps
    assert list(ours.heads[1::3]) == theirs.heads[1::3]
    assert list(ours.heads[2::3]) == theirs.heads[2::3]
    words = [(int(a), b) for a, b in zip(ours.words, theirs.words, strict=True)]
    far = 1 << 22  # addresses
    assert all(a == b or min(a, b) > far for a, b in words)
    pairs = [
        sorted(
            (place, base, 0 if base == 0 else offset)
            for place, base, offset in zip(p[::3], p[1::3], p[2::3], strict=True)
        )
        for p in ([int(x) for x in ours.patches], theirs.patches)
    ]
    assert pairs[0] == pairs[1]


def apart(found, outline):
    """Buffers that are alive together do not overlap, and none leaves the arena."""
    begin = outline.heap.places
    offsets = outline.sheet.cells[begin : begin + len(found.buffers)]
    for i, (size, first, last) in enumerate(found.buffers):
        assert 0 <= offsets[i] <= offsets[i] + size <= found.arena
        for k in range(i):
            other = found.buffers[k]
            if size and other.size and first <= other.last and other.first <= last:
                assert offsets[i] + size <= offsets[k] or offsets[k] + other.size <= offsets[i]


def run(f, cases, wanted=None):
    """Results of the compiled function are those of the function, bit for bit."""
    compiled = twofold.compile(f)
    for case in cases:
        made, right = compiled(*case), f(*case)
        several = made if isinstance(made, tuple) else (made,)
        rights = right if isinstance(right, tuple) else (right,)
        for a, b in zip(several, rights, strict=True):
            assert a.shape == b.shape
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    return compiled


def sizes(*ranges):
    rng = random.Random(1)
    found = [tuple(rng.randrange(*r) for r in ranges) for _ in range(24)]
    return [*found, tuple(1 for _ in ranges), tuple(0 for _ in ranges)]


def test_an_attention_layer(looked):
    w = twofold.randn(16, 48)
    up = twofold.randn(16, 64)
    functional = twofold.nn.functional

    def f(x):
        b, n, _ = x.shape
        q, k, v = (x @ w).chunk(3, -1)
        q, k, v = (z.reshape(b, n, 2, -1).transpose(1, 2) for z in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + mixed.transpose(1, 2).reshape(b, n, 16)
        return functional.gelu(functional.layer_norm(x, (16,)) @ up).softmax(-1)

    cases = [(twofold.randn(b, n, 16),) for b, n in sizes((1, 7), (1, 70)) if b]
    run(f, cases)
    assert looked["outline"] >= 15


def test_constants_views_and_copies(looked):
    def f(x):
        n = x.shape[0]
        places = twofold.arange(n)
        ramp = twofold.arange(n, dtype=twofold.float32)[1:] * 2
        turned = x.t().reshape(-1)  # a copy
        return (
            x[1:] * ramp[:, None],
            turned.exp() + turned.shape[0],
            x.flip(0).cumsum(0) + places[:, None],
            twofold.cat([x, x.mean(0, keepdim=True)]),
            twofold.full((n, 2), 3.0) + x[:, -2:],
        )

    run(f, [(twofold.randn(n + 1, 3),) for (n,) in sizes((1, 40))])
    assert looked["outline"] >= 15


def test_copies_of_constants_live_as_long_as_their_plans(looked):
    def f(x):
        return twofold.tensor([1, 2] * x.shape[0])

    compiled = twofold.compile(f)
    for n in (3, 4, 1, 7, 3, 9, 3, 4):
        x = twofold.randn(n, 3)
        assert compiled(x).tolist() == f(x).tolist()
        held = [np.full(2 * k, 77) for k in range(1, 40)]  # takes what is free
    assert len(held) == 39
    assert looked["outline"] == 3


SQUARES = ((4, 4), (3, 3), (6, 6), (5, 5), (5, 7), (8, 9), (6, 3))  # and what comes after them


def test_tables_that_are_one_for_the_first_size(looked):
    """Rows and columns of a square have one table, which its maker remembers."""
    f = lambda x: twofold.nn.functional.interpolate(x, scale_factor=2)  # noqa: E731
    cases = [(twofold.randn(1, 2, *s),) for s in SQUARES]
    run(f, cases)
    assert looked["outline"] > 2


def test_a_graph_without_steps(looked):
    compiled = twofold.compile(lambda x: x.shape[0] * 2)
    assert [compiled(twofold.randn(n, 3)) for n in (3, 4, 5, 6)] == [6, 8, 10, 12]


def test_training_steps(looked):
    def trained(compiles):
        twofold.manual_seed(0)
        lstm = twofold.nn.LSTM(3, 20, batch_first=True)
        out = twofold.nn.Linear(20, 4)
        optimizer = twofold.optim.Adam([*lstm.parameters(), *out.parameters()], lr=1e-2)

        def step(x, y):
            optimizer.zero_grad()
            loss = twofold.nn.functional.cross_entropy(out(lstm(x)[0][:, -1]), y)
            loss.backward()
            optimizer.step()
            return loss

        step = twofold.compile(step) if compiles else step
        rng = np.random.default_rng(0)
        losses = []
        for b, n in [(2, 5), (3, 4), (2, 9), (2, 3), (5, 6), (1, 2), (2, 1), (4, 11), (3, 17)]:
            x = twofold.from_numpy(rng.standard_normal((b, n, 3), np.float32))
            losses.append(step(x, twofold.from_numpy(rng.integers(0, 4, b))).detach().numpy())
        return [a.tobytes() for a in losses], [
            p.detach().numpy().tobytes() for p in lstm.parameters()
        ]

    assert trained(True) == trained(False)
    assert looked["outline"] >= 5


def test_sizes_that_decide_on_the_whole_have_outlines_of_their_own(looked):
    def f(x, y):
        return (x.transpose(0, 1).reshape(-1) * 2, (x + y).sum(0))  # a view for one row

    cases = [(twofold.randn(n, 4), twofold.randn(n, 4)) for n in (3, 5, 7, 1, 9, 1, 11, 2, 0, 4)]
    run(f, cases)
    assert looked["outline"] >= 5


def test_what_python_computes_is_planned_as_before(looked):
    run(lambda x: twofold.linalg.inv(x @ x.t() + 1), [(twofold.randn(n, 9),) for n in (2, 3, 4, 5)])
    assert looked["outline"] == 0
    assert looked["planner"] == 4


def test_few_sizes_are_planned_without_an_outline(monkeypatch):
    monkeypatch.setattr(Outline, "plan", None)  # would raise
    run(lambda x: (x * 2).sum(0), [(twofold.randn(n, 3),) for n in (2, 3)])


def test_threads_that_plan_at_once_do_not_mix_their_sizes(monkeypatch):
    load_sheet().ready()
    monkeypatch.setattr(runner, "WORTH", 0.0)
    w = twofold.randn(8, 8)

    def f(x):
        return ((x @ w).softmax(-1) + x.sum(0)).cumsum(0)

    compiled = twofold.compile(f)
    with ThreadPoolExecutor(4) as pool:
        xs = [twofold.randn(n, 8) for n in random.Random(2).sample(range(1, 200), 80)]
        for x, made in zip(xs, pool.map(compiled, xs), strict=True):
            assert made.numpy().tobytes() == f(x).numpy().tobytes()


def test_layouts_are_told_apart_by_the_identity_of_types():
    """Machine code compares types by identity: a plan for an equal one would never be found."""
    other = np.dtype(np.float32, copy=True)
    arrays = [np.ones(3, np.float32), np.ones(3, other)]
    layouts = Layouts().of(arrays)
    assert [layout.words[0] for layout in layouts] == [id(a.dtype) for a in arrays]
    assert layouts[0].arg == layouts[1].arg
