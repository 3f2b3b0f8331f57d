"""Python's control flow on tensors, from source: one program, and the values of plain Python."""

from array import array

import pytest

import twofold
from twofold.frontends.arrays import CaptureError


def same(f, *argument_sets, programs=1):
    compiled = twofold.compile(f)
    for args in argument_sets:
        wanted, got = f(*args), compiled(*args)
        pairs = zip(*(x if isinstance(x, tuple) else (x,) for x in (wanted, got)), strict=True)
        for a, b in pairs:
            x, y = twofold.as_tensor(a), twofold.as_tensor(b)
            assert x.shape == y.shape
            assert x.numpy().tolist() == y.numpy().tolist()
    assert len(compiled.all_programs()) == programs


ONES = twofold.ones(3)


def test_if_changes_names():
    def f(x):
        y = x
        if x.sum() > 0:
            y = x * 2
            z = y + 1
        elif x.sum() < -5:
            z = x - 1
        else:
            z = -x
        return y, z

    same(f, (ONES,), (-ONES,), (-3 * ONES,))


def test_early_returns():
    def f(x):
        if x.sum() > 0:
            return x * 2
        z = x + 1
        if z.max() > 5:
            return z * 0
        return z

    same(f, (ONES,), (-ONES,), (ONES * 0 - 0.5 + 6,), (ONES * 0,))


def test_while_with_break_and_a_count():
    def f(x):
        n = 0
        while x.sum() < 100:
            x = x * 2 + 1
            n += 1
            if n > 3:
                break
        return x, n

    same(f, (ONES,), (-5 * ONES,), (-5 * ONES,), (200 * ONES,))


def test_a_loop_over_a_size_is_a_loop():
    def f(x):
        h = x[0] * 0
        total = h.sum()
        for t in range(x.shape[0]):
            h = (h * 0.5 + x.sum()) * 0.5 + t
            total = total + h.sum()
        return h, total

    same(f, *((twofold.randn(n, 2),) for n in (4, 7, 1)))


def test_continue_in_a_loop_over_rows():
    def f(x):
        total = twofold.zeros(())
        for row in x:
            if row.sum() < 0:
                continue
            total = total + row.sum()
        return total

    same(f, (twofold.randn(4, 2),), (twofold.randn(9, 2),))


def test_return_from_a_loop():
    def f(x):
        while x.sum() < 50:
            x = x + 1
            if x.max() > 4:
                return x * 10
        return x

    same(f, (ONES,), (100 * ONES,), (-5 * ONES,))


def test_lists_are_stacked():
    def f(x):
        h = twofold.zeros(2)
        outs = []
        for row in x:
            h = (h * 0.5 + row).tanh()
            outs.append(h)
        return twofold.stack(outs), twofold.stack(outs, 1), twofold.cat(outs)

    same(f, (twofold.randn(4, 2),), (twofold.randn(6, 2),))


def test_parts_of_lists_and_loops_over_them():
    def f(x):
        outs, total = [], twofold.zeros(2)
        for row in x:
            outs.append(row * 2)
        for out in outs:
            total = total * 0.5 + out
        return twofold.stack(outs[1:]), outs[-1], total

    same(f, (twofold.randn(4, 2),), (twofold.randn(6, 2),))


def test_and_or_not_and_conditional_expressions():
    def f(x):
        y = x if x.mean() > 0 and not x.max() > 10 else -x
        return y * 1 if 0 < x.sum() < 9 or x.min() < -3 else y * 5

    same(f, (ONES,), (-ONES,), (20 * ONES,), (-4 * ONES,))


def test_python_values_take_pythons_way():
    def f(x, k, verbose=False, names=("a", "b")):
        for i, name in enumerate(names):
            if verbose and name == "a":
                x = x + 100
            x = x + i * k
        return x if not verbose else x * 2

    same(f, (ONES, 2.0), (ONES, 3.0), (ONES, 3.0, True), programs=2)


def test_gradients_through_rewritten_loops():
    w = twofold.randn(3, 3, requires_grad=True)

    def f(x):
        while (x * x).sum() < 1e3:
            x = (x @ w).tanh() + x * 1.5
        return x

    compiled = twofold.compile(f)
    x = twofold.ones(2, 3)
    found = []
    for g in (f, compiled):
        w.grad = None
        g(x).sum().backward()
        found.append(w.grad.tolist())
    assert found[0] == found[1]


def test_closures_stay_live():
    scale = twofold.tensor(2.0)

    def f(x):
        if x.sum() > 0:
            return x * scale
        return x

    compiled = twofold.compile(f)
    assert compiled(ONES).tolist() == [2.0] * 3
    scale.fill_(5.0)
    assert compiled(ONES).tolist() == [5.0] * 3


def test_asserts_are_checked_at_each_run():
    @twofold.compile
    def f(x):
        assert x.sum() > 0, "the sum is not positive"
        return x * 2

    assert f(ONES).tolist() == [2.0] * 3
    with pytest.raises(AssertionError, match="the sum is not positive"):
        f(-ONES)


def test_other_values_in_a_branch_of_a_loop_are_refused_with_a_way_out():
    @twofold.compile(fullgraph=True)
    def f(x):
        kind = ""
        while x.sum() < 10:
            x = x + 1
            if x.sum() > 5:
                kind = "plus"
        return x, kind

    with pytest.raises(CaptureError, match="no tensor or number: 'kind'"):
        f(ONES)


def test_a_loop_over_a_tensor_that_returns_early_keeps_no_check_of_its_probes():
    @twofold.compile
    def first_above(x, limit):
        for value in x:
            if value > limit:
                return value
        return twofold.tensor(-1.0)

    assert first_above(twofold.tensor([1.0, 5.0, 7.0]), 4.0).item() == 5
    assert first_above(twofold.tensor([1.0, 2.0]), 4.0).item() == -1


def test_a_long_loop_is_not_unrolled_first():
    turns = array("b")  # which no capture looks into
    tick = turns.append

    def f(x):
        total = twofold.zeros(2)
        for row in x:
            tick(1)
            total = total * 0.5 + row
        return total

    x = twofold.arange(2000.0).reshape(1000, 2)
    same(f, (x,), (x[:3],))
    assert len(turns) < 1000 + 3 + 5  # eagerly, and a few turns to capture the body


def test_a_loop_that_cannot_be_rewritten_is_captured_once():
    runs = []

    def f(x):
        runs.append(1)
        return sum([row * 2 for row in x])

    x = twofold.arange(6.0).reshape(3, 2)
    assert twofold.compile(f)(x).tolist() == [12.0, 18.0]
    assert len(runs) == 1


def several_layers(x):
    h = [twofold.zeros(2) for _ in range(2)]
    outs = []
    for t in range(x.shape[0]):
        new = x[t]
        for layer in range(2):
            new = h[layer] = (h[layer] * 0.5 + new).tanh()
        outs.append(h[-1])
    return twofold.stack(outs), h[0]


def an_attribute(x):
    class Cell:
        h = None

        def __call__(self, x):
            self.h = x if self.h is None else self.h * 0.5 + x
            return self.h

    cell = Cell()
    outs = []
    for row in x:
        outs.append(cell(row))
    return twofold.stack(outs)


def a_buffer(x):
    out = twofold.zeros(x.shape[0], 2)
    for t in range(x.shape[0]):
        out[t] = x[t].tanh()
    return out * 2


def grown_lists(x):
    states, both = [x[0]], []
    for t in range(x.shape[0]):
        states.append(states[-1] * x[t])
        both.append(x[t])
        both.append(states[0])
    return twofold.stack(states), twofold.stack(both[::-1])


def filled(x):
    outs = []
    for row in x:
        outs.append(row * 2)
    return outs


def given_back(x):
    outs = filled(x)
    return (*outs, len(outs))


def one_by_one(x):
    outs = filled(x)
    both = [a + b for a, b in zip(outs, outs[::-1], strict=True)]
    return twofold.stack(both), sum(outs)


def appended_to(x):
    outs = filled(x)
    outs.append(x[0])
    return twofold.stack([x[0], *outs]), twofold.stack(outs[1:])


CARRIED = [several_layers, an_attribute, one_by_one]  # with the names of a turn
LEFT = [several_layers, an_attribute, grown_lists, given_back, one_by_one, appended_to]


@pytest.mark.parametrize("f", LEFT)
def test_what_turns_leave_in_other_places_is_there_in_the_next_one(f):
    x = twofold.randn(5, 2)
    programs = 1 if f in CARRIED else 2  # one for each number of turns
    same(f, (x,), (x[:3],), (x[:5] * 2,), programs=programs)


def test_a_buffer_is_written_row_by_row():
    same(a_buffer, (twofold.randn(5, 2),), (twofold.randn(3, 2),))


def test_a_while_carries_what_it_leaves_in_a_list():
    def f(x):
        last = [x]
        while last[0].sum() < 100:
            last[0] = last[0] * 2
            x = x + last[0]
        return x, last[0]

    same(f, (ONES,), (ONES * 7,), (ONES * 1000,))


def test_a_while_that_fills_a_list_is_refused():
    def f(x):
        found = []
        while x.sum() < 100:
            x = x * 2
            found.append(x)
        return x, len(found)

    with pytest.raises(CaptureError):
        twofold.compile(f, fullgraph=True)(ONES)
    same(f, (ONES,), programs=0)


def test_the_arena_writes_as_users_write():
    from twofold.arena.workloads import scan
    from twofold.base.errors import OURS, USERS, owner_of

    assert owner_of(scan.__file__) == USERS
    assert owner_of(twofold.__file__) == OURS


def test_names_may_be_deleted_in_branches_and_loops():
    def f(x, some):
        y, kept = x * 2, {"a": 1}
        if some:
            mask = x > 0
            y = y.masked_fill(mask, 0.5)
            del mask
        for i in range(x.shape[0]):
            t = y + x[i]
            y = t * 0.5
            del t
        if x.sum() > 0:
            z = y + 1
            del y
            y = z
            del z
        del kept["a"], x
        return y, len(kept)

    same(f, (ONES, True), (-ONES, True), (twofold.ones(4), True), programs=1)
    same(f, (ONES, False), (-ONES, False))


def test_a_name_that_was_deleted_has_no_value():
    def f(x):
        y = x * 2
        if x.shape[0] > 2:
            del y
        return y + x

    with pytest.raises((UnboundLocalError, TypeError)):
        twofold.compile(f)(ONES)
