"""Values that come later: who waits, who is called, and errors on the way."""

import threading

import pytest

from twofold.base.errors import ArgumentError
from twofold.futures import Future, collect_all, wait_all


def test_a_value_goes_through_what_follows():
    later = Future()
    twice = later.then(lambda done: 2 * done.value())
    with pytest.raises(ArgumentError, match="not there yet"):
        later.value()
    thread = threading.Thread(target=later.set_result, args=(3,))
    thread.start()
    assert twice.wait() == 6 and later.done()
    thread.join()
    assert later.then(lambda done: done.wait() + 1).value() == 4
    with pytest.raises(ArgumentError, match="before"):
        later.set_result(4)


def test_errors_come_where_the_value_is_wanted():
    later = Future[int]()
    after = later.then(lambda done: done.wait())
    later.set_exception(KeyError("x"))
    for future in (later, after):
        with pytest.raises(KeyError):
            future.wait()


def test_several_together():
    parts = [Future(), Future()]
    both = collect_all(parts)
    parts[1].set_result("b")
    assert not both.done()
    parts[0].set_result("a")
    assert [x.value() for x in both.wait()] == ["a", "b"] == wait_all(parts)
    assert collect_all([]).wait() == []
