"""What people write in Python around tensors, compiled: the same values of the same types for
several sizes, and how many programs that takes.
"""

import dataclasses
import logging

import pytest
from twice import bits

import twofold
from twofold.base.trees import leaves_of

SIZES = (5, 7, 4, 12, 1)


def told(made):
    return [(type(x).__name__, bits(x)) for x in leaves_of(made)]


def check(function, programs, make=lambda n: (twofold.randn(n, 3),), sizes=SIZES):
    """The same as without `compile`, in this many programs; None: as Python."""
    compiled = twofold.compile(function)
    for seed, n in enumerate(sizes):
        twofold.manual_seed(seed)
        args = make(n)
        assert told(compiled(*args)) == told(function(*args)), f"size {n}"
    report = twofold.explain(compiled)
    if programs is None:
        assert report.as_python, str(report)
    else:
        assert not report.as_python and report.compiles <= programs, str(report)


# ---- numbers of branches


def number_by_choice(x):
    scale = 0.1 if x.sum() > 0 else 0.2
    return x.double() * scale, scale


def number_by_if(x):
    rate, count = 0.3, 0
    if x.sum() > 0:
        rate, count = 0.1, 1
    return rate, count, x.double() * rate


def number_returned(x):
    if x.sum() > 0:
        return 1.5, True
    return 0.1, False


def wider_number_returned(x):
    if x.sum() > 1e9:
        return 1.5
    return 0.1 if x.sum() > 1e8 else 2.5


def counted(x):
    positive, seen = 0, False
    for row in x:
        if row.sum() > 0:
            positive += 1
            seen = True
    return positive, seen, not seen, seen and positive > 1


def place_of_first(x):
    for i in range(x.size(0)):
        if x[i].sum() > 0:
            return i
    return -1


def best(x):
    place, most = -1, -float("inf")
    for i, row in enumerate(x):
        if row.sum() > most:
            most, place = row.sum(), i
    return place, most


NUMBERS = [
    *(number_by_choice, number_by_if, number_returned, wider_number_returned),
    *(counted, place_of_first, best),
]


@pytest.mark.parametrize("function", NUMBERS, ids=lambda f: f.__name__)
def test_numbers_that_a_branch_gives_are_numbers(function):
    check(function, 1)


# ---- containers that a branch changes


def appended_where(x):
    outs = []
    for row in x:
        if row.sum() < 0:
            continue
        outs.append(row)
    return outs


def appended_by_both(x):
    outs = []
    for row in x:
        if row.sum() < 0:
            outs.append(row)
        else:
            outs.append(row * 2)
    return outs


def sorted_out(x):
    parts = [[], []]
    for row in x:
        if row.sum() > 0:
            parts[0].append(1)
        else:
            parts[1].append(2)
    return parts


@pytest.mark.parametrize("function", [appended_where, appended_by_both])
def test_lists_that_grow_by_values_of_their_items_are_one_program(function):
    check(function, 1)


def test_lists_in_lists_that_grow_by_values_are_left_to_python():
    check(sorted_out, None)


def appended_once(x):
    outs = [x]
    if x.sum() > 0:
        outs.append(x * 3)
    return outs


def entry_set(x):
    found = {"n": 0, "v": x}
    if x.sum() > 0:
        found["n"] = 1
    else:
        found["v"] = x * 2
    return found


def attribute_set(x):
    class State:
        count = 1

    state = State()
    if x.sum() > 0:
        state.count = 2
    return state.count


@pytest.mark.parametrize("function", [appended_once, entry_set, attribute_set])
def test_containers_that_a_branch_changes_are_changed_by_the_test_before_each_run(function):
    check(function, 2)


def test_values_that_make_too_many_programs_are_left_to_python():
    def keep(x):
        kept = []
        for i in range(6):
            if x[i] > 0:
                kept.append(i)
        return kept

    check(keep, None, lambda n: (twofold.randn(6),), range(90))


def test_a_filled_list_without_items_is_false():
    def rest(x):
        outs = [row * 2 for row in x[1:]]
        return twofold.stack(outs or [x[0]])

    check(rest, 2)


# ---- statements that stay


def returned_from_a_block(x):
    with twofold.no_grad():
        if x.sum() > 0:
            return x * 2
    return x - 1


def returned_from_a_try(x):
    try:
        for value in x[0]:
            if value > 0.5:
                return value
    finally:
        x = x + 1
    return x[0, 0]


def left_from_a_block(x):
    total = twofold.zeros(())
    for row in x:
        with twofold.no_grad():
            if row[0] > 1.0:
                continue
            if row[0] < -1.0:
                break
            total = total + row[0]
    return total


def returned_from_a_block_of_a_loop(x):
    for row in x:
        with twofold.no_grad():
            if row[0] > 1.0:
                return row * 2
    return x.sum(0)


def matched(x):
    way, total = ["add", 2.0], twofold.zeros(3)
    for row in x:
        match way:
            case ["add", step]:
                if row.sum() < 0:
                    continue
                total = total + row * step
    return total, step


def named_in_a_test(x):
    while (most := x.abs().max()) > 0.5:
        x = x * 0.5
        if x.sum() > 100:
            break
    return x, most


def named_behind_and(x):
    if x.dim() == 2 and (total := x.sum()) > 0:
        return x * total
    return x


STATEMENTS = [
    *(returned_from_a_block, returned_from_a_try, left_from_a_block),
    *(returned_from_a_block_of_a_loop, matched, named_in_a_test, named_behind_and),
]


@pytest.mark.parametrize("function", STATEMENTS, ids=lambda f: f.__name__)
def test_statements_in_and_around_others(function):
    check(function, 2 if function is named_behind_and else 1)


# ---- texts and keys of sizes


def texts(x):
    n = x.size(0)
    return f"{n}x{x.size(1)}", f"{x.shape} {n:03d} {n / 2:.1f} {n!r}", str(n), repr(x.shape)


def more_texts(x):
    way, other = "%d %s", "{:>5}"
    return "x".join(map(str, x.shape)), way % (x.size(0), x.shape), other.format(x.size(0))


def text_in_a_loop(x):
    total = x[0]
    for row in x:
        total = total + row
    return f"{x.size(0)}", total


def keys(x):
    known = {5: 2.0, 7: 3.0, "12": 4.0}
    return known.get(x.size(0), 1.0) + known.get(str(x.size(0)), 0.0)


def distinct(x):
    return len({x.size(0), x.size(1), 3})


@pytest.mark.parametrize("function", [texts, more_texts, text_in_a_loop, keys, distinct])
def test_texts_and_keys_of_sizes_are_those_of_each_call(function):
    check(function, len(SIZES))


def test_texts_of_sizes_that_are_printed_or_logged_need_one_program(capsys, caplog):
    logger = logging.getLogger("test")

    def shown(x):
        print(f"{x.size(0)} rows")
        logger.warning(f"{x.shape}")
        logger.warning("%s", x.shape)
        return x + 1

    check(shown, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{n} rows" for n in SIZES for _ in range(2)]
    assert caplog.messages[:2] == ["twofold.Size([5, 3])"] * 2


# ---- loops without turns


def sum_of_rest(x):
    total, count = 0, 0
    for a, b in zip(x[:-1], x[1:]):  # noqa: B905, RUF007
        total = total + (a * b).sum()
        count += 1
    return total, count


def test_a_number_that_no_turn_makes_a_tensor_stays_one():
    check(sum_of_rest, 2)


# ---- containers that loops put new ones in the place of


@dataclasses.dataclass
class State:
    h: object
    steps: object


def new_dict_each_turn(x):
    state = {"h": twofold.zeros(3), "c": (twofold.ones(3), 0)}
    for row in x:
        kept, count = state["c"]
        state = {"h": twofold.tanh(state["h"] + row), "c": (kept * 0.9, count + 1)}
    return state


def new_record_each_turn(x):
    state = State(twofold.zeros(3), 0)
    for row in x:
        state = State(twofold.tanh(state.h + row), state.steps + 1)
    return state.h, state.steps


def replaced_until(x):
    state = State(twofold.zeros(3), 0)
    for row in x:
        state = dataclasses.replace(state, h=state.h + row, steps=state.steps + 1)
        if state.h.sum() > 2:
            break
    return state.h, state.steps


@pytest.mark.parametrize(
    "function", [new_dict_each_turn, new_record_each_turn, replaced_until], ids=lambda f: f.__name__
)
def test_loops_carry_dicts_and_dataclasses(function):
    check(function, 1)


def test_a_dict_that_is_changed_under_another_name_is_seen_there():
    def f(x):
        state = {"h": twofold.zeros(3)}
        other = state
        for row in x:
            state["h"] = state["h"] + row
            state = dict(state)
        return state, other

    check(f, len(SIZES))
