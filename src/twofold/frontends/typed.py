"""`type(n)` of a number of a graph is int or float while a function is captured. Floor 9.

isinstance asks a number for its class; `type` asks nobody. So modules whose code calls `type` find
another one under this name while a function of theirs is captured.
"""

from __future__ import annotations

import builtins
import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from twofold.base.symbols import is_symbol
from twofold.frontends.later import is_later


class _Asking(type):
    """The class of what stands for `type`: called with one thing, it gives that thing's class."""

    def __call__(cls, *given: Any, **named: Any) -> Any:
        if cls is not Type:
            return super().__call__(*given, **named)
        if len(given) == 1 and not named and (is_symbol(given[0]) or is_later(given[0])):
            return given[0].__class__
        return builtins.type(*given, **named)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, builtins.type) if cls is Type else super().__instancecheck__(x)

    def __subclasscheck__(cls, x: Any) -> bool:
        return issubclass(x, builtins.type) if cls is Type else super().__subclasscheck__(x)


class Type(type, metaclass=_Asking):
    """Stands for `type`."""


_lock = threading.Lock()
_standing: dict[int, int] = {}  # how many captures each module's names stand in


@contextlib.contextmanager
def typed(modules: Iterable[dict[str, Any]]) -> Iterator[None]:
    """In the block, `type` is another one for code with these global names."""
    modules = list(modules)
    with _lock:
        for names in modules:
            _standing[id(names)] = _standing.get(id(names), 0) + 1
            names["type"] = Type
    try:
        yield
    finally:
        with _lock:
            for names in modules:
                _standing[id(names)] -= 1
                if not _standing[id(names)]:
                    del _standing[id(names)], names["type"]
