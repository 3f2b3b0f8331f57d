"""Numbers that remember how they were computed."""

import operator

import pytest

from twofold.base.traced import Tape, Untraceable, number_of


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


def test_a_fraction_of_a_traced_number_is_untraceable():
    (rows,) = Tape([3]).numbers
    for compute in (lambda: rows * 0.5, lambda: 2.0 + rows, lambda: rows / 2, lambda: rows < 1.5):
        with pytest.raises(Untraceable):
            compute()
