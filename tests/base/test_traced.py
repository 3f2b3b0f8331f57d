"""Numbers that remember how they were computed."""

import operator

import pytest

from twofold.base.traced import Tape, Untraceable, float_bits, larger, number_of, smaller, whenever


def test_arithmetic_gives_what_it_gives_and_is_noted():
    tape = Tape([7, -3])
    a, b = tape.numbers
    made = [a + b, a - 2, 2 - a, a * b, a // b, a % b, -a, abs(b), 20 // a, 20 % a]
    assert [number_of(x) for x in made] == [4, 5, -5, -21, -3, -2, -7, 3, 2, 6]
    assert all(line[3] is None for line in tape.lines if line[0] != "ge")
    count = len(tape.lines)
    assert a * 1 is a
    assert a + 0 is a
    assert number_of(a + b) == 4
    assert len(tape.lines) == count  # once is enough


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_decisions_become_conditions(name):
    tape = Tape([5])
    (a,) = tape.numbers
    answer = getattr(operator, name)(a, 6)
    assert answer is getattr(operator, name)(5, 6)
    assert tape.lines == [(name, 0, (6,), answer)]


def test_what_python_needs_itself_stays_as_it_is():
    for use in (lambda n: [0] * n, range, float, str, lambda n: "abcdefg"[n]):
        tape = Tape([5])
        use(tape.numbers[0])
        assert ("eq", 0, (5,), True) in tape.lines
    with pytest.raises(Untraceable):
        hash(Tape([5]).numbers[0])


def test_smaller_and_larger_decide_nothing():
    assert (smaller(3, 4), larger(3, 4)) == (3, 4)
    tape = Tape([5])
    (a,) = tape.numbers
    assert [number_of(x) for x in (smaller(a, 4), larger(4, a), smaller(9, a))] == [4, 5, 5]
    assert [line[3] for line in tape.lines] == [None] * 3
    assert min(a, 4) == 4
    assert tape.lines[-1][3] is not None


def test_what_is_done_for_numbers_is_done_and_noted():
    seen = []
    whenever(lambda *numbers: seen.append(numbers), 1, 2)
    tape = Tape([5])
    whenever(lambda *numbers: seen.append(numbers), tape.numbers[0], 2)
    assert seen == [(1, 2), (5, 2)]
    assert len(tape.acts) == 1


def test_bits_of_a_float_are_traced():
    assert float_bits(3, "f64", lambda x: int(x) + 1) == 4
    tape = Tape([3])
    assert number_of(float_bits(tape.numbers[0], "f64", lambda x: int(x) + 1)) == 4
    assert tape.lines[0][0] == "f64"
