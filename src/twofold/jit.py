"""Programs under PyTorch's names: jit.trace and jit.script, and what goes with them. Floor 11."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, Optional, Union  # noqa: F401  # under these names, too

from twofold.base.errors import ArgumentError
from twofold.base.files import also_as
from twofold.frontends.decorator import script, trace
from twofold.nn.module import Module
from twofold.ops.bind import mode
from twofold.saving.files import load

__all__ = ["Final", "export", "freeze", "ignore", "load", "save", "script", "trace", "unused"]


def ignore(fn: Any = None, drop: bool = False, **_: Any) -> Any:
    """The function as it is: what is captured is what it does. `twofold.callback` runs Python at
    each call.
    """
    return fn if callable(fn) else (lambda given: given)


unused = ignore


def export(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The method as it is: it is captured where it is called."""
    return fn


script_method = script_if_tracing = _script_if_tracing = _overload = _overload_method = export
interface = export


# Lists of as many numbers, or one that counts for all, in annotations.
Dict, List, Tuple = dict, list, tuple
BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = list


class TracerWarning(Warning):
    """A kind of warnings that programs turn off; there is none of it here."""


class ScriptFunction:
    """What programs ask for with isinstance; functions here are what they were written as."""


class ScriptModule(Module):
    """What programs ask for with isinstance; modules here are what they were written as."""


def freeze(mod: Any, *_: Any, **__: Any) -> Any:
    """The module as it is: its program takes the weights as they are at each call."""
    return mod


optimize_for_inference = freeze


def is_scripting() -> bool:
    """Whether operations are captured now rather than run."""
    return mode.capture is not None


is_tracing = is_scripting


def annotate(the_type: Any, the_value: Any) -> Any:
    return the_value


def _get_trace_graph(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises ArgumentError: PyTorch's traces are of its own set of operations."""
    hint = "twofold.trace(f, *args) prints its graph, utils.flop_counter counts work"
    raise ArgumentError("get_trace_graph", "graphs here are of other operations", hint=hint)


@contextlib.contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """Changes nothing: one program, one answer."""
    yield


def save(m: Any, f: Any, **_: Any) -> NoReturn:
    """Raises ArgumentError: a program is written with arguments like those it will take."""
    raise ArgumentError(
        "jit.save", "a program has arguments, and none are given here",
        hint="twofold.export(model, example, path=...)",
    )  # fmt: skip


also_as(__name__, "annotations")
