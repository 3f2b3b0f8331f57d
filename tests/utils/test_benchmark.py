"""Timed statements: counted, told and compared."""

import pytest

import twofold
from twofold.base.errors import ArgumentError
from twofold.utils.benchmark import Compare, Measurement, Timer


def test_a_statement_runs_so_often_and_once_before():
    calls = []
    made = Timer("f()", globals={"f": lambda: calls.append(1)}).timeit(7)
    assert len(calls) == 8 and made.number_per_run == 7 and len(made.times) == 1
    assert made.median == pytest.approx(made.raw_times[0] / 7)


def test_threads_are_those_asked_for_and_come_back():
    seen = []
    before = twofold.get_num_threads()
    made = Timer(
        "f()", globals={"f": lambda: seen.append(twofold.get_num_threads())}, num_threads=3
    )
    assert made.timeit(2).num_threads == 3
    assert set(seen) == {3} and twofold.get_num_threads() == before


def test_blocks_until_enough_was_measured():
    told = []
    timer = Timer("x + x", globals={"x": twofold.ones(3)}, label="sums")
    made = timer.blocked_autorange(lambda n, seconds: told.append((n, seconds)), min_run_time=0.03)
    assert sum(made.raw_times) >= 0.03 and len(told) == len(made.raw_times)
    assert {n for n, _ in told} == {made.number_per_run}
    assert timer.adaptive_autorange(max_run_time=0.1).median > 0
    assert "sums" in repr(made) and "1 thread" in repr(made)


def test_quartiles():
    made = Measurement(2, [2.0, 4.0, 6.0, 8.0, 10.0], "s")
    assert (made.median, made.mean, made.iqr) == (3.0, 3.0, 2.0)
    assert Measurement(1, [1.0], "s").iqr == 0.0


def test_a_table_of_measurements():
    rows = [
        Measurement(1, [1e-6], "a", "sums", "small", "ours"),
        Measurement(1, [2e-6], "a", "sums", "small", "theirs"),
        Measurement(1, [3e-3], "b", "sums", "large", "ours"),
    ]
    compare = Compare(rows[:2])
    compare.extend_results(rows[2:])
    text = str(compare).splitlines()
    assert text[0] == "sums" and text[1].split() == ["ours", "theirs"]
    assert "1.00 us*" in text[2] and "2.00 us" in text[2]
    assert text[3].split()[-1] == "-"


def test_other_languages_are_refused():
    with pytest.raises(ArgumentError, match="only statements in Python"):
        Timer("int x;", language="c++")
