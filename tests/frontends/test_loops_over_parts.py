"""Loops and comprehensions over parts of tensors, one program for all sizes: blocks of which the
last is smaller, first and last turns that differ, lists that are read, conditions.
"""

import pytest
from programs import for_sizes

import twofold
from twofold import nn

F = nn.functional
SIZES = (5, 6, 7, 9, 2, 12, 1)


def rows(n):
    return (twofold.arange(n * 4.0).view(n, 4).sin(),)


def grids(n):
    return (twofold.arange(n * (n % 3 + 2.0)).view(n, -1).sin(),)


def columns(n):
    return (twofold.arange(n * 3.0).view(3, n).sin(),)


# ---- blocks


def split_and_joined(x):
    return twofold.cat([part.tanh() for part in x.split(2)])


def split_and_added(x):
    total = 0
    for part in x.split(2):
        total = total + part.sum()
    return total


def split_and_appended(x):
    outs = []
    for i, part in enumerate(x.split(3)):
        outs.append(twofold.tanh(part) * i)
    return twofold.cat(outs)


def split_by_name(x):
    return twofold.stack([part.mean(0) for part in twofold.split(x, 3)])


def split_across(x):
    return twofold.cat([part.cumsum(1) for part in x.split(2, dim=1)], 1)


def chunks(x):
    outs = []
    for part in x.chunk(3):
        outs.append(part.mean(0))
    return twofold.stack(outs)


def unbound(x):
    h = twofold.zeros(3)
    for column in x.unbind(1):
        h = twofold.tanh(h + column)
    return h


def unbound_by_name(x):
    return twofold.stack([column * 2 for column in twofold.unbind(x, dim=1)])


def ragged(x):
    total = 0
    for i in range(0, x.shape[0], 2):
        total = total + x[i : i + 2].mean()
    return total


def ragged_appended(x):
    outs = []
    for i in range(0, x.shape[0], 2):
        outs.append(twofold.tanh(x[i : i + 2]))
    return twofold.cat(outs)


def ragged_rows(x):
    outs = []
    for i in range(0, x.shape[0], 3):
        end = min(i + 3, x.shape[0])
        outs.append(x[i:end].sum(0))
    return twofold.stack(outs)


def ragged_written(x):
    out = twofold.zeros_like(x)
    for i in range(0, x.shape[0], 3):
        out[i : i + 3] = twofold.softmax(x[i : i + 3], -1)
    return out


def gone_over_again(x):
    parts = [part * 2 for part in x.split(2)]
    return sum(part.exp().sum() for part in parts)


@pytest.mark.parametrize(
    ("function", "make"),
    [
        *[(f, rows) for f in (split_and_joined, split_and_added, split_and_appended)],
        *[(f, rows) for f in (split_by_name, ragged, ragged_appended, ragged_rows)],
        *[(f, rows) for f in (ragged_written, gone_over_again)],
        *[(f, columns) for f in (split_across, unbound, unbound_by_name)],
    ],
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_blocks_of_which_the_last_is_smaller(function, make):
    sizes = (*SIZES, 0) if "split" in function.__name__ else SIZES
    for_sizes(function, sizes, make, 1)


def test_chunks():
    for_sizes(chunks, SIZES, rows, 2)  # three parts, and fewer


# ---- first and last turns


def first_is_other(x):
    for i in range(x.shape[0]):
        if i == 0:
            h = x[i]
        else:
            h = twofold.tanh(h + x[i])
    return h


def first_is_no_number(x):
    outs = []
    for i, row in enumerate(x):
        outs.append(row if not i else outs[-1] * 0.5 + row)
    return twofold.stack(outs)


def last_is_left_out(x):
    outs = [x[0]]
    for i, row in enumerate(x):
        if i < x.shape[0] - 1:
            outs.append(row * 2)
    return twofold.stack(outs)


def last_comes_first(x):
    for i in range(x.shape[0] - 1, -1, -1):
        if i == x.shape[0] - 1:
            h = x[i]
        else:
            h = twofold.tanh(h * x[i])
    return h


def both_ends(x):
    outs = []
    n = x.shape[0]
    for i in range(n):
        if i == 0:
            outs.append(x[i] * 3)
        elif i == n - 1:
            outs.append(x[i] * 5)
        else:
            outs.append((x[i - 1] + x[i] + x[i + 1]) / 3)
    return twofold.stack(outs)


def as_a_branch(x):
    total = x[0] * 0
    for i in range(x.shape[0]):
        if i > 0:
            total = total + x[i] * x[i - 1]
    return total


@pytest.mark.parametrize(
    ("function", "programs"),
    [
        (first_is_other, 1),
        (first_is_no_number, 1),
        (last_is_left_out, 1),
        (last_comes_first, 1),
        (both_ends, 1),
        (as_a_branch, 1),
    ],
)
def test_turns_at_the_ends_are_taken_by_themselves(function, programs):
    for_sizes(function, SIZES, rows, programs)


# ---- lists that are read


def two_back(x):
    outs = [x[0], x[0]]
    for i in range(2, x.shape[0]):
        outs.append(twofold.tanh(outs[i - 1] + outs[i - 2] + x[i]))
    return twofold.stack(outs)


def two_back_of_a_few(x):
    outs = []
    for i in range(x.shape[0]):
        if i < 2:
            outs.append(x[i])
        else:
            outs.append(twofold.tanh(outs[-1] + outs[-2] + x[i]))
    return twofold.stack(outs)


def three_back_of_two(x):
    outs = [x[0], x[0] * 2, x[0] * 3]
    for row in x:
        outs.append(outs[-3] + row)
        outs.append(outs[-3] * row)
    return twofold.stack(outs)


@pytest.mark.parametrize(
    ("function", "programs"), [(two_back, 2), (two_back_of_a_few, 2), (three_back_of_two, 1)]
)
def test_lists_are_read_near_their_end(function, programs):
    for_sizes(function, SIZES, rows, programs)


# ---- what comprehensions go over


def every_second(x):
    return twofold.stack([row * 2 for i, row in enumerate(x) if i % 2 == 0])


def all_but_one(x):
    return sum(x[i] * (i + 1) for i in range(x.shape[0]) if i != 1)


def those_above(x):
    return twofold.stack([row * 2 for row in x if row.sum() > -1.5])


def pairs(x):
    n, m = x.shape
    return twofold.stack([x[i, j] * (i + j) for i in range(n) for j in range(m)])


def grid(x):
    n, m = x.shape
    return twofold.stack([twofold.stack([x[i, j] * i for j in range(m)]) for i in range(n)])


def side_by_side(x):
    return twofold.stack([a @ b for a, b in zip(x, reversed(x), strict=True)])


def from_one(x):
    return sum(row * i for i, row in enumerate(x, 1))


def backwards(x):
    h = twofold.zeros(4)
    for i, row in reversed(list(enumerate(x))):
        h = twofold.tanh(h + row * i)
    return h


def backwards_by_place(x):
    return twofold.stack([x[i] for i in reversed(range(x.shape[0]))])


def largest(x):
    return max(row.sum() for row in x)


def smallest(x):
    return min([row.sum() for row in x])


def largest_number(x):
    return x * max(row.sum().item() for row in x)


def any_of(x):
    return x * 2 if any(row.sum() > 3 for row in x) else x.exp()


def all_of(x):
    return x * 2 if all(row.sum() > -3 for row in x) else x.exp()


def mapped(x):
    return twofold.stack(list(map(twofold.tanh, x)))


def as_a_list(x):
    held = list(x)
    total = held[0]
    for row in held:
        total = total * 0.5 + row
    return total, held[-1]


@pytest.mark.parametrize(
    ("function", "programs"),
    [
        *[(f, 1) for f in (every_second, those_above, pairs, grid, side_by_side, from_one)],
        *[(f, 1) for f in (backwards, backwards_by_place, largest, smallest, largest_number)],
        *[(f, 1) for f in (any_of, all_of, mapped, as_a_list, all_but_one)],
    ],
)
def test_comprehensions(function, programs):
    for_sizes(function, SIZES, grids if function in (pairs, grid) else rows, programs)


def test_conditions_are_told_by_explain():
    report = twofold.explain(for_sizes(those_above, (5, 6), rows, 1))
    assert any("those_above" in where or "if row.sum()" in where for where in report.asked)


def test_of_nothing_there_is_no_largest():
    with pytest.raises(ValueError, match="max"):
        twofold.compile(largest)(twofold.zeros(0, 4))


# ---- within transforms


def unrolled_rows(x):
    h = twofold.zeros(4)
    for row in x:
        h = twofold.tanh(h + row)
    return h


def states_by_place(x):
    h, outs = twofold.zeros(4), []
    for i in range(x.shape[0]):
        h = twofold.tanh(h + x[i])
        outs.append(h)
    return twofold.stack(outs)


@pytest.mark.parametrize("function", [unrolled_rows, states_by_place])
def test_loops_of_what_forward_mode_differentiates(function):
    compiled = twofold.compile(lambda x, v: twofold.func.jvp(function, (x,), (v,)))
    for n in SIZES:
        x, v = rows(n)[0], rows(n)[0].cos()
        wanted = twofold.func.jvp(function, (x,), (v,))
        for a, b in zip(compiled(x, v), wanted, strict=True):
            assert twofold.equal(a, b)
    assert twofold.explain(compiled).compiles == 1


def test_loops_of_lanes():
    def both(x):
        return twofold.vmap(unrolled_rows)(twofold.stack([x, x.cos()]))

    for_sizes(both, SIZES, rows, 1)


# ---- loops over some items


def those_that_count(x):
    outs = []
    for i, row in enumerate(x):
        if i % 2 == 0:
            outs.append(row * 2)
    return twofold.stack(outs)


def by_value(x):
    outs = [x[0]]
    for i in range(x.shape[0]):
        y = x[i].exp()
        if y.sum() > 4:
            outs.append(y * i)
    return twofold.stack(outs), i


def others_left_out(x):
    outs, places, total = [x[0] * 0], [], 0.0
    for i, row in enumerate(x):
        if row.sum() < 0:
            continue
        outs.append(row)
        places.append(i)
        total = total + row.sum()
    return twofold.stack(outs), twofold.tensor(places), total


def up_to_one(x):
    outs = [x[0]]
    for row in x:
        if row.sum() < -1.5:
            break
        outs.append(row + 1)
    return twofold.stack(outs), row


def with_the_last(x):
    outs = []
    for row in x:
        outs.append(row * 3)
        if row.sum() < -1.5:
            break
    return twofold.stack(outs)


@pytest.mark.parametrize("function", [those_that_count, by_value, up_to_one, with_the_last])
def test_lists_that_grow_in_some_turns(function):
    for_sizes(function, SIZES, rows, 1)


def test_what_a_loop_carries_besides():
    compiled = for_sizes(others_left_out, (5, 6, 7, 12), rows, None)
    assert twofold.explain(compiled).compiles <= 2
    assert not twofold.explain(compiled).as_python


def by_what_it_carries(x):
    h, outs = x[0] * 0, []
    for row in x:
        h = h + row
        if h.sum() > 0:
            outs.append(h)
    return twofold.stack(outs)


def test_what_other_turns_decide_python_runs():
    report = twofold.explain(for_sizes(by_what_it_carries, (5, 6), rows, 0))
    assert "test_loops_over_parts.py" in report.as_python[0]
