"""What `compile` takes of PyTorch's options: the names of backends and of modes. Floor 9.

Every name that PyTorch has by itself stands for the one compiler that there is. A function of the
user's own is called with the graph of a function, by `fx.Backed`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from twofold.base.errors import ArgumentError, DTypeError, kind_of

LISTED = ("cudagraphs", "inductor", "twofold")
FOR_DEBUGGING = (
    "aot_eager",
    "aot_eager_decomp_partition",
    "aot_eager_default_partitioner",
    "eager",
    "eager_debug",
    "eager_noexcept",
    "pre_dispatch_eager",
)
MODES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "lite": {},
    "reduce-overhead": {"triton.cudagraphs": True},
    "max-autotune-no-cudagraphs": {"max_autotune": True},
    "max-autotune": {"max_autotune": True, "triton.cudagraphs": True},
}
registered: dict[str, Callable[..., Any]] = {}  # the backends of users, by their names


class InvalidBackend(ArgumentError):
    """No backend has the name."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names that `compile(backend=...)` takes; with `exclude_tags=()` also those for debugging.

    All of them but those that were registered are Twofold's compiler.
    """
    return sorted({*LISTED, *registered, *(() if exclude_tags else FOR_DEBUGGING)})


def own_backend(options: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The function that makes of a graph what runs, where it is the user's own.

    Raises InvalidBackend for an unknown name, ArgumentError for an unknown mode, and where both a
    mode and options are given.
    """
    mode, backend = options.get("mode"), options.get("backend", "inductor")
    if mode is not None and options.get("options"):
        raise ArgumentError("compile", "a mode and options are given, of which one can be")
    if mode is not None and mode not in MODES:
        raise ArgumentError("compile", f"no mode is called {mode!r}", hint=", ".join(MODES))
    if backend is None or isinstance(backend, str):
        return _named(backend)
    if not callable(backend):
        raise DTypeError("compile", f"{kind_of(backend)} is no backend", hint="a name or function")
    return backend  # type: ignore[no-any-return]


def _named(name: str | None) -> Callable[..., Any] | None:
    if name is None or name in LISTED or name in FOR_DEBUGGING:
        return None
    if name not in registered:
        hint = ", ".join(list_backends())
        raise InvalidBackend("compile", f"no backend is called {name!r}", hint=hint)
    return registered[name]


def register_backend(
    compiler_fn: Callable[..., Any] | None = None, name: str | None = None, tags: Any = ()
) -> Any:
    """Let `compile(backend=name)` call a function with graphs. Also as a decorator."""
    if compiler_fn is None:
        return lambda given: register_backend(given, name, tags)
    registered[sys.intern(name or compiler_fn.__name__)] = compiler_fn
    return compiler_fn
