"""Assertions as functions, which hold in compiled programs at each run. Floor 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.frontends.statements import assert_, decides
from twofold.ops.bind import mode

Message = Callable[[], str] | None


def _assert(condition: Any, message: Any = None) -> None:
    """Raise AssertionError unless `condition`, a truth value or a tensor of one, is true."""
    assert_(condition, lambda: message)


_assert_async = _assert


def _demand(condition: Any, message: Message, error: type[Exception]) -> None:
    def made() -> Exception:
        return error("the condition does not hold" if message is None else message())

    if decides(condition):
        mode.capture.demand(condition, made)
    elif not condition:
        raise made()


def _check(cond: Any, message: Message = None) -> None:
    """Raise RuntimeError with message() unless `cond` is true."""
    _demand(cond, message, RuntimeError)


def _check_value(cond: Any, message: Message = None) -> None:
    """Raise ValueError with message() unless `cond` is true."""
    _demand(cond, message, ValueError)


def _check_index(cond: Any, message: Message = None) -> None:
    """Raise IndexError with message() unless `cond` is true."""
    _demand(cond, message, IndexError)


def _check_type(cond: Any, message: Message = None) -> None:
    """Raise TypeError with message() unless `cond` is true."""
    _demand(cond, message, TypeError)


def _check_tensor_all(cond: Any, message: Message = None) -> None:
    """Raise RuntimeError with message() unless all elements of `cond` are true."""
    _demand(cond.all(), message, RuntimeError)


def _check_is_size(i: Any, message: Message = None, *, max: Any = None) -> None:
    """Raise RuntimeError unless `i` is a size: not negative, and at most `max`."""
    _demand(i >= 0 and (max is None or i <= max), message, RuntimeError)
