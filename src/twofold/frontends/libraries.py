"""Which code is of an installed library that has nothing to do with tensors of ours. Floor 9.

A library of models names what is ours and is looked at like the user's own code. Of the others only
what the user's code names, and plain values beside its functions, tell what a function computes;
behind them lie caches and tables without end.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any

from twofold.base.errors import INSTALLED, OURS, owner_of
from twofold.ops.tensor import Tensor


class Libraries:
    """The modules that were asked about, and whether each is a library's of that kind."""

    def __init__(self) -> None:
        self.known: dict[int, bool] = {}

    def home(self, x: Any) -> dict[str, Any] | None:
        """The global names where a value is made, if those are such a library's: of a function, a
        class, a module, or an object of a class.
        """
        if isinstance(x, FunctionType):
            names = x.__globals__
        elif isinstance(x, ModuleType):
            names = x.__dict__
        else:
            module = getattr(x if isinstance(x, type) else type(x), "__module__", None)
            found = sys.modules.get(module) if isinstance(module, str) else None
            if found is None:
                return None
            names = found.__dict__
        if id(names) not in self.known:
            self.known[id(names)] = _is_installed(names) and not any(map(_is_ours, names.values()))
        return names if self.known[id(names)] else None


def _is_installed(names: dict[str, Any]) -> bool:
    paths = [names.get("__file__"), *(names.get("__path__") or ())]  # of a folder alone the latter
    return any(isinstance(x, str) and folder in x for x in paths for folder in INSTALLED)


def _is_ours(x: Any) -> bool:
    """Whether a global name holds something of ours."""
    if isinstance(x, ModuleType):
        return owner_of(getattr(x, "__file__", None) or "<frozen >") == OURS
    if isinstance(x, FunctionType):
        return owner_of(x.__code__.co_filename) == OURS
    return isinstance(x, Tensor) or (
        isinstance(x, type) and x.__module__.startswith(("twofold.", "torch."))
    )
