"""Compiled functions that ask clocks, the environment, or what differs from call to call."""

import builtins
import datetime
import os
import time
import uuid
from datetime import datetime as moment
from time import perf_counter as clock

import pytest

import twofold
from twofold.frontends.arrays import CaptureError

BEGAN = time.time()
STATE = {"last": 0.0, "seen": []}


def calls(f, *inputs, programs=1):
    compiled = twofold.compile(f)
    found = [compiled(x) for x in inputs]
    assert len(compiled.all_programs()) == programs
    return compiled, found


def ones(*sizes):
    return [twofold.ones(n, dtype=twofold.float64) for n in sizes]


@pytest.mark.parametrize("ask", [lambda x: x * 0 + time.time(), lambda x: x * 0 + clock()])
def test_clocks_are_read_at_each_run(ask):
    now = time.time if "time" in ask.__code__.co_names else clock
    before = now()
    _, found = calls(ask, *ones(2, 3, 2))
    first, second, third = (float(x[0]) for x in found)
    assert before <= first < second < third <= now()


def test_clocks_that_a_function_imports():
    def f(x):
        import time
        from time import perf_counter

        return x * 0 + time.time(), perf_counter()

    _, ((x, first), (y, second)) = calls(f, *ones(2, 3))
    assert BEGAN < float(x[0]) < float(y[0])
    assert first < second
    assert builtins.__import__.__module__ == "builtins"


def test_whole_numbers_of_clocks():
    _, (x, y) = calls(lambda x: x * 0 + (time.monotonic_ns() - time.monotonic_ns()), *ones(2, 3))
    assert float(x[0]) <= 0
    assert float(y[0]) <= 0


def test_times_are_printed_at_each_run(capsys):
    def f(x):
        begin = time.time()
        y = x * 2
        print(f"{time.time() - BEGAN:.9f} {begin > 0}", y.sum())
        return y

    calls(f, *ones(2, 3, 2))
    lines = capsys.readouterr().out.splitlines()
    assert len({line.split()[0] for line in lines}) == 3


def test_times_are_kept_and_decide():
    def f(x):
        STATE["last"] = time.time()
        STATE["seen"].append(time.time())
        return x if time.time() - BEGAN > 1e9 else x * 2

    STATE["seen"].clear()
    _, found = calls(f, *ones(2, 3))
    assert [x.tolist() for x in found] == [[2.0] * 2, [2.0] * 3]
    assert BEGAN < STATE["seen"][0] < STATE["seen"][1]
    assert type(STATE["last"]) is float


def test_what_no_graph_has_of_a_clock_runs_as_python(capsys):
    def f(x):
        print("%.9f" % (time.time() - BEGAN))
        return x * 2

    compiled, _ = calls(f, *ones(2, 2), programs=0)
    first, second = map(float, capsys.readouterr().out.split())
    assert first < second
    assert twofold.explain(compiled).as_python
    with pytest.raises(CaptureError):
        twofold.compile(f, fullgraph=True)(ones(2)[0])


ANEW = {
    "a date": lambda: moment.now().timestamp(),
    "a date of a module": lambda: datetime.datetime.now().timestamp(),
    "a name": lambda: float(uuid.uuid4().int % 2**40),
    "bytes": lambda: float(int.from_bytes(os.urandom(6), "little")),
}


@pytest.mark.parametrize("name", ANEW)
def test_what_differs_from_call_to_call_runs_as_python(name):
    ask = ANEW[name]
    compiled, (first, second) = calls(lambda x: x * 0 + ask(), *ones(2, 2), programs=0)
    assert first[0] != second[0]
    assert "a program would keep what it gives" in twofold.explain(compiled).as_python[0]


def test_questions_to_the_user(monkeypatch):
    answers = iter(["2", "3"])
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    _, found = calls(lambda x: x * float(input("times? ")), *ones(2, 2), programs=0)
    assert [float(x[0]) for x in found] == [2.0, 3.0]


def test_the_environment_is_watched(monkeypatch):
    def f(x):
        times = float(os.environ.get("TWOFOLD_TEST_TIMES", "1"))
        return -x if os.getenv("TWOFOLD_TEST_TURNED") else x * times

    compiled = twofold.compile(f)
    x = twofold.ones(1)
    assert compiled(x).item() == 1
    monkeypatch.setenv("TWOFOLD_TEST_TIMES", "3")
    assert compiled(x).item() == 3
    monkeypatch.setenv("TWOFOLD_TEST_TURNED", "yes")
    assert compiled(x).item() == -1
    monkeypatch.delenv("TWOFOLD_TEST_TURNED")
    assert compiled(x).item() == 3
    assert "os.environ['TWOFOLD_TEST_TIMES']" in "".join(compiled.retraces)


def test_names_are_as_they_were():
    def f(x):
        day = datetime.datetime(2020, 1, 1)
        assert isinstance(day, datetime.datetime)
        return x * day.year, time.time(), clock()

    held = dict(globals())
    calls(f, *ones(2, 2))
    assert all(globals()[name] is held[name] for name in ("time", "datetime", "clock", "uuid"))
    assert "input" not in globals()


def test_a_clock_in_a_loop_of_the_graph():
    def f(x):
        times = []
        for row in x:
            times.append(row * 0 + time.time())
        return twofold.stack(times)

    _, found = calls(f, *ones(4, 6))
    assert all(float(t) > BEGAN for x in found for t in x)
