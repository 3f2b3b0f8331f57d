"""Programs under PyTorch's names: jit.trace and jit.script, and what goes with them. Floor 11."""

from __future__ import annotations

import contextlib
import functools
import inspect
import textwrap
import weakref
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final, NoReturn, Optional, Union, final  # noqa: F401  # under these names, too

from twofold.base.errors import ArgumentError, StateError
from twofold.base.files import also_as
from twofold.base.trees import unflatten
from twofold.base.types import Type
from twofold.frontends import decorator
from twofold.frontends.compiled import compiled_in
from twofold.frontends.export import Loaded, program_of
from twofold.futures import Future
from twofold.nn.module import Module
from twofold.ops.bind import mode
from twofold.ops.creation import zeros
from twofold.saving.files import load as _load
from twofold.saving.files import save as _save

__all__ = ["Final", "export", "freeze", "ignore", "load", "save", "script", "trace", "unused"]


def script(obj: Any, optimize: Any = None, example_inputs: Any = None, **_: Any) -> Any:
    """The function, or module, compiled with its control flow rewritten from source, whether or not
    a tensor decides it; a class as it is. Raises CaptureError where there is no source.

    example_inputs: lists of arguments (for a module a dict of them, by its methods), which programs
        are made for at once. Without them one is made at the first call, and `save` comes after it.
    """
    made = _noted(decorator.script(obj))
    given = example_inputs or ()
    for example in given.get(obj, ()) if isinstance(given, dict) else given:
        compiled: Any = compiled_in(made)
        compiled.make(compiled.given(tuple(example), {}))
    return made


def _noted(made: Any) -> Any:
    """What was made here, which is a ScriptModule or a ScriptFunction from now on: it has `save`,
    `code` and `graph`.
    """
    if isinstance(made, Module):  # into its own class: what it holds is the given module's
        kind: Any = type(made)
        kind.save, kind.code, kind.graph = save, property(_code), property(_Shown)
    elif compiled_in(made) is not None and not hasattr(made, "save"):
        made.save, made.code, made.graph = functools.partial(save, made), _code(made), _Shown(made)
    with contextlib.suppress(TypeError):
        _made.add(made)
    return made


def _code(made: Any) -> str:
    """The Python of what is captured; an empty text where there is no source."""
    function: Any = getattr(made, "_orig_mod", None)
    function = made.function if function is None else function.forward
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    except (OSError, TypeError):
        return ""


@final
class _Shown:
    """The graph of the newest program as a text; called with arguments, the graph for them."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return type(compiled_in(self.made)).graph(compiled_in(self.made), *args, **kwargs)  # type: ignore[union-attr]

    def __str__(self) -> str:
        programs = compiled_in(self.made).all_programs()  # type: ignore[union-attr]
        if not programs:
            what = "there is no program before the first call"
            raise StateError("graph", what, hint="call it, or script(f, example_inputs=[(x,)])")
        return str(programs[-1].graph)

    __repr__ = __str__


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
    return _noted(decorator.trace(func, *examples, **(example_kwarg_inputs or {})))


def trace_module(mod: Any, inputs: dict[str, Any], **options: Any) -> Any:
    """The module traced for the examples of its forward; its other methods are captured where they
    are called.
    """
    return trace(mod, inputs["forward"], **options)


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
    """A Future of func(*args, **kwargs), which is called at once: kernels use all threads."""
    made = Future()
    try:
        made.set_result(func(*args, **kwargs))
    except Exception as error:
        made.set_exception(error)
    return made


def wait(future: Future) -> Any:
    """The value of a Future."""
    return future.wait()


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


_made: weakref.WeakSet[Any] = weakref.WeakSet()


class _Made(type):
    """The class of classes that programs ask for with isinstance: of what was made here."""

    def __instancecheck__(cls, instance: Any) -> bool:
        found = isinstance(instance, Loaded) or (
            isinstance(instance, Hashable) and instance in _made
        )
        return found and isinstance(instance, Module | Loaded) is (cls is not ScriptFunction)


class ScriptFunction(metaclass=_Made):
    """What programs ask for with isinstance: functions that `script` and `trace` made."""


class ScriptModule(metaclass=_Made):
    """What programs ask for with isinstance: modules that `script`, `trace` and `load` made."""


RecursiveScriptModule = TracedModule = ScriptModule


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


def load(f: Any, map_location: Any = None, _extra_files: Any = None, **_: Any) -> Any:
    """What `save` wrote. _extra_files: a dict, whose values become the bytes of those files."""
    made = _load(f, map_location=map_location)
    for name in _extra_files or ():
        _extra_files[name] = getattr(made, "files", {}).get(name, b"")
    return made


def save(m: Any, f: Any, _extra_files: Any = None, **_: Any) -> None:
    """Write what `trace` made to a file, or to anything that takes bytes; `load` gives it back.
    _extra_files: texts or bytes by name, which are written with it.

    What `script` made is written for arguments like those that it was called with last. Raises
    ArgumentError where it was not called: a program has arguments.
    """
    compiled = compiled_in(m)
    if compiled is None or (compiled.asked is None and getattr(compiled, "traced", None) is None):
        raise ArgumentError(
            "jit.save", "a program has arguments, and none are known here",
            hint="call it first, jit.script(model, example_inputs=[(x,)]), or jit.trace(model, x)",
        )  # fmt: skip
    args: Any = ()
    kwargs: Any = {}
    if getattr(compiled, "traced", None) is None:
        form, leaves = compiled.asked  # type: ignore[misc]
        args, kwargs = unflatten(list(map(_like, leaves)), form)
    _save({**program_of(m, args, kwargs)[0], "files": _files(_extra_files)}, f)


def _files(given: Any) -> dict[str, bytes]:
    return {k: v.encode() if isinstance(v, str) else v for k, v in (given or {}).items()}


def _like(leaf: Any) -> Any:
    """A tensor of a type, or what else was given."""
    return zeros(leaf.shape, dtype=leaf.dtype) if isinstance(leaf, Type) else leaf


also_as(__name__, "annotations")
