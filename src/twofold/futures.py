"""Values that come later, under torch.futures' names. Floor 10."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, final

from twofold.base.errors import ArgumentError

__all__ = ["Future", "collect_all", "wait_all"]


@final
class Future:
    """A value that one thread gives and others wait for.

    >>> later = Future()
    >>> twice = later.then(lambda done: 2 * done.value())
    >>> later.set_result(3)
    >>> twice.wait()
    6
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Future], Any]] = []
        self._result: Any = None
        self._error: BaseException | None = None

    def __class_getitem__(cls, kind: Any) -> type[Future]:
        """The class itself: `Future[Tensor]` in annotations."""
        return cls

    def done(self) -> bool:
        """Whether the value, or an error, is there."""
        return self._ready.is_set()

    def wait(self) -> Any:
        """The value, as soon as it is there. Raises the error that was given instead."""
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def value(self) -> Any:
        """The value. Raises ArgumentError where it is not there yet."""
        if not self.done():
            raise ArgumentError("Future.value", "the value is not there yet", hint="wait()")
        return self.wait()

    def set_result(self, result: Any) -> None:
        """Give the value, once, and call who waits for it."""
        self._give(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Give an error instead of the value."""
        self._give(None, result)

    def _give(self, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if self.done():
                raise ArgumentError("Future", "the value was given before", hint="a new Future")
            self._result, self._error = result, error
            self._ready.set()
        for callback in self._callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call callback(self) when the value is there: at once, if it is."""
        with self._lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """The future of what callback(self) gives when the value is there."""
        made = Future()

        def go_on(done: Future) -> None:
            try:
                result = callback(done)
            except Exception as error:
                made.set_exception(error)
            else:
                made.set_result(result)

        self.add_done_callback(go_on)
        return made


def collect_all(futures: Sequence[Future]) -> Future:
    """The future of the list of all of them, when all have their values."""
    made, left = Future(), [len(futures)]
    lock = threading.Lock()

    def count(_: Future) -> None:
        with lock:
            left[0] -= 1
            last = not left[0]
        if last:
            made.set_result(list(futures))

    if not futures:
        made.set_result([])
    for future in futures:
        future.add_done_callback(count)
    return made


def wait_all(futures: Sequence[Future]) -> list[Any]:
    """The values of all, when they are there. Raises the first error among them."""
    return [future.wait() for future in futures]
