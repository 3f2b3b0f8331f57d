"""What planners do with numbers that may be traced."""

from twofold.base.traced import Tape, number_of
from twofold.lower.schedule import float_word, larger, smaller, whenever


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


def test_words_of_floats_are_traced():
    assert float_word(3) == float_word(3.0)
    tape = Tape([3])
    assert number_of(float_word(tape.numbers[0])) == float_word(3.0)
    assert tape.lines == [("f64", 0, (0,), None)]
