"""Whether operations are recorded, as context managers and decorators; anomaly mode. Floor 8.

All but anomaly mode belong to the thread that sets them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any

from twofold.autograd.walk import Anomaly
from twofold.ops.bind import mode, set_grad

_new = object.__new__


class Switch:
    """A mode as a context manager and as a decorator; subclasses say how to turn it on and back."""

    def enter(self) -> Any:
        """Turn the mode on, and give back what it was."""
        raise TypeError(f"{type(self).__name__} does not define enter")

    def leave(self, before: Any) -> None:
        """Turn it back."""
        set_grad(before)

    def again(self) -> Switch:
        """A new one that means the same."""
        return type(self)()

    def clone(self) -> Switch:
        """A new one that means the same, under PyTorch's name."""
        return self.again()

    def __enter__(self) -> None:
        self.before = self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave(self.before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isclass(function):
            raise TypeError(
                f"{type(self).__name__} decorates functions, not the class {function.__name__}"
            )
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return function(*args, **kwargs)

        return inside

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A generator whose own code runs inside the mode, and its user's code outside."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            running = function(*args, **kwargs)
            step, given = running.send, None
            while True:
                try:
                    with self.again():
                        made = step(given)
                except StopIteration as stop:
                    return stop.value
                try:
                    step, given = running.send, (yield made)
                except GeneratorExit:
                    with self.again():
                        running.close()
                    raise
                except BaseException as error:
                    step, given = running.throw, error

        return inside


class _Recording(Switch):
    """no_grad and its opposite; `@no_grad` without parentheses decorates too."""

    enabled = True

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        made = _new(cls)
        return made(function) if callable(function) else made

    def enter(self) -> bool:
        return set_grad(self.enabled)

    def __enter__(self) -> None:
        self.before = mode.grad
        if self.before is not self.enabled:
            set_grad(self.enabled)

    def __exit__(self, *_: object) -> None:
        if mode.grad is not self.before:
            set_grad(self.before)


class no_grad(_Recording):
    """Nothing in the block (or the decorated function) is recorded for gradients."""

    enabled = False


class enable_grad(_Recording):
    """Recording inside a no_grad block."""


class inference_mode(Switch):
    """no_grad, under PyTorch's name for serving code; `inference_mode(False)` records."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            made.enabled = False
            return made(mode)
        return made

    def __init__(self, mode: bool = True) -> None:
        self.enabled = not mode

    def enter(self) -> bool:
        return set_grad(self.enabled)

    def __enter__(self) -> None:
        self.before = set_grad(self.enabled)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)

    def again(self) -> inference_mode:
        made: inference_mode = inference_mode(not self.enabled)
        return made


def is_inference_mode_enabled() -> bool:
    """False, also in inference_mode: it is no_grad, and what it makes are tensors like others."""
    return False


class set_grad_enabled(Switch):
    """Switch recording on or off: at once, and back again if used as a context manager or
    decorator.
    """

    def __init__(self, mode: bool) -> None:
        self.enabled = bool(mode)
        self.before = set_grad(self.enabled)

    def __enter__(self) -> None:
        if mode.grad is not self.enabled:
            set_grad(self.enabled)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)

    def again(self) -> set_grad_enabled:
        return set_grad_enabled(self.enabled)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        set_grad(self.before)
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded now."""
    return mode.grad


class detect_anomaly(Switch):
    """In the block, a gradient that is NaN raises an error naming the forward line that it belongs
    to.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def enter(self) -> bool:
        before, Anomaly.enabled = Anomaly.enabled, self.check_nan
        return before

    def leave(self, before: bool) -> None:
        Anomaly.enabled = before

    def again(self) -> detect_anomaly:
        return detect_anomaly(self.check_nan)


def is_anomaly_enabled() -> bool:
    """Whether NaN in gradients raises now."""
    return Anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """The same: a mode that looks at nothing is none."""
    return Anomaly.enabled


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Whether NaN in gradients raises from here on."""
    Anomaly.enabled = enabled and check_nan


class set_detect_anomaly(detect_anomaly):
    """The same, at once; as a context manager back again."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(mode and check_nan)
        self.before = self.enter()

    def __enter__(self) -> None:
        Anomaly.enabled = self.check_nan

    def again(self) -> set_detect_anomaly:
        return set_detect_anomaly(self.check_nan)
