"""Programs under PyTorch's names: jit.trace and jit.script, and what goes with them. Floor 11."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, Optional, Union  # noqa: F401  # under these names, too

from twofold.base.errors import ArgumentError, StateError
from twofold.base.files import also_as
from twofold.frontends import decorator
from twofold.frontends.compiled import compiled_in
from twofold.frontends.decorator import script
from twofold.frontends.export import export as exported
from twofold.nn.module import Module
from twofold.ops.bind import mode
from twofold.saving.files import load

__all__ = ["Final", "export", "freeze", "ignore", "load", "save", "script", "trace", "unused"]


def trace(
    func: Any, example_inputs: Any = None, *more: Any, example_kwarg_inputs: Any = None, **_: Any
) -> Any:
    """The function, or module, compiled for arguments like the examples, now: to run and to save.

    example_inputs: the argument, or the arguments as a tuple. example_kwarg_inputs: those by name.
    """
    examples = (example_inputs, *more)
    if not more:
        alone = example_inputs if type(example_inputs) is tuple else (example_inputs,)
        examples = () if example_inputs is None else alone
    made = decorator.trace(func, *examples, **(example_kwarg_inputs or {}))
    if not hasattr(made, "save"):
        if isinstance(made, Module):
            type(made).save = save  # of its own class: what it holds is the given module's
        else:
            made.save = functools.partial(save, made)
    return made


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
    """The module compiled with `freeze=True`: what is made of its weights alone is kept. Raises
    StateError for one that trains.
    """
    if getattr(mod, "training", False):
        raise StateError("freeze", "the module is in training mode", hint="module.eval()")
    return decorator.compile(mod, freeze=True)


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


def save(m: Any, f: Any, **_: Any) -> None:
    """Write what `trace` made to a file, or to anything that takes bytes; `load` gives it back.

    Raises ArgumentError for what was not traced: a program is written with arguments like those it
    will take.
    """
    if getattr(compiled_in(m), "traced", None) is None:
        raise ArgumentError(
            "jit.save", "a program has arguments, and none are given here",
            hint="jit.trace(model, example), or twofold.export(model, example, path=...)",
        )  # fmt: skip
    exported(m, path=f)


also_as(__name__, "annotations")
