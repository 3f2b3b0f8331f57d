"""`twofold.compile` and its kin: compiled functions of functions and modules. Floor 9."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from twofold.base.errors import ArgumentError, DTypeError, kind_of
from twofold.frontends import syntax
from twofold.frontends.backends import own_backend
from twofold.frontends.compiled import Compiled
from twofold.frontends.module_class import compiled_module
from twofold.frontends.rewriting import Rewrite
from twofold.ops.bind import LATE
from twofold.passes.manager import FAST_MATH, chosen


def compile(function: Any = None, **options: Any) -> Any:
    """Run a function, or a module, as one program.

    The first call with arguments of new kinds (types, ranks, structure) runs the Python once with
    tensors that have no values yet, and compiles what it did: forward, `loss.backward()` and
    `optimizer.step()` together. Later calls run the program, whatever the sizes. The results are
    the same, bit for bit, as without the decorator.

    fast_math: True gives that up for speed: convolutions of 3 x 3 taps may be computed by other
        sums, of the same accuracy (docs/guide/numerics.md).
    freeze: True keeps what is made of the tensors that the function finds and does not write (the
        weights of a model that serves) from call to call, such as the packed filters of a
        convolution. Operations on such a tensor in place, an optimizer's step and `load_state_dict`
        are seen at the next call; what NumPy writes to its memory is not.
    passes: the passes of the graph, in order, in place of the usual ones (docs/guide/passes.md).

    fullgraph: True refuses what only Python can run (a loop that values end whose turns no graph
        can hold, LBFGS); otherwise the function runs as without the decorator there, and
        `twofold.explain` says why.

    Options of PyTorch's (`mode`, `dynamic`, `backend`) are taken and make no difference, but
    `disable=True`, which gives the function as it is, `options={"freezing": True}`, which is
    `freeze`, and a backend of one's own: a function, or the name of one that was registered, which
    is called with the graph (fx's) and the tensors, and gives what runs. Raises ArgumentError for
    unknown names.

    >>> @twofold.compile
    ... def double(x):
    ...     return x + x
    """
    if options.pop("disable", False):
        return (lambda given: given) if function is None else function
    known = {"mode", "fullgraph", "dynamic", "backend", "options", "passes", "fast_math", "freeze"}
    unknown = set(options) - known
    if unknown:
        raise ArgumentError("compile", f"no option is called {sorted(unknown)[0]!r}")
    if function is None:
        own_backend(options)  # an unknown name is told at once
        return lambda given: compile(given, **options)
    if not callable(function):
        raise DTypeError("compile", f"{kind_of(function)} is no function", hint="a function")
    function = getattr(function, "_compiled_of", function)  # of a compiled module, the module
    own = own_backend(options)
    if own is not None:
        return _by_backend(function, own)
    whole = bool(options.get("fullgraph"))
    passes, more = options.get("passes"), options.get("options") or {}
    freeze = bool(options.get("freeze") or more.get("freezing"))
    if options.get("fast_math"):
        passes = (*chosen(passes), FAST_MATH)
    if hasattr(function, "forward") and hasattr(function, "_parameters"):
        made = functools.partial(Compiled, passes=passes, freeze=freeze, whole=whole)
        return compiled_module(function, made)
    return Compiled(function, passes, freeze, whole)


def _by_backend(function: Any, backend: Callable[..., Any]) -> Any:
    """The function, or module, whose graphs a function of the user's runs."""
    made = functools.partial(LATE["backed"], backend=backend)
    return compiled_module(function, made) if hasattr(function, "_parameters") else made(function)


def trace(function: Any, *examples: Any, **keywords: Any) -> Any:
    """The function, or module, compiled for arguments like the examples, now: to print, run, save.

    >>> print(twofold.jit.trace(f, x).all_programs()[0].graph)
    """
    made = compile(function)
    compiled: Any = made if isinstance(made, Compiled) else made.forward
    compiled.make(compiled.given(examples, keywords))
    compiled.traced = examples, keywords  # for a file: `export` takes them
    return made


def script(function: Any) -> Any:
    """The function, or module, compiled with its control flow rewritten from source, whether or not
    a tensor decides it. Raises CaptureError where there is no source.
    """
    function = getattr(function, "_compiled_of", function)
    if hasattr(function, "forward") and hasattr(function, "_parameters"):
        return compiled_module(function, _scripted)
    return _scripted(function)


def _scripted(function: Any) -> Compiled:
    made = Compiled(function)
    plain = _code_of(function)
    code = None if plain is None else syntax.rewritten_code(plain)
    if plain is not None and code is not None:
        made.rewrites.append(Rewrite(plain, code))
    return made


def _code_of(function: Any) -> CodeType | None:
    """The code of the plain Python function that runs, or None."""
    while isinstance(function, functools.partial):
        function = function.func
    plain = getattr(function, "__func__", function)
    return plain.__code__ if isinstance(plain, FunctionType) else None
