"""In which modules a program is, while it runs forwards and backwards. Floor 13."""

from __future__ import annotations

import weakref
from typing import Any, final

from twofold.nn.call_hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from twofold.ops.tensor import Tensor
from twofold.utils._pytree import tree_leaves

__all__ = ["ModuleTracker"]


@final
class ModuleTracker:
    """In the block, `parents` is a set of the names of the modules that are running now, from
    "Global" to the innermost; `is_bw` says whether gradients are computed.

    The module that is called first is named by its class, those in it by their place.
    """

    def __init__(self) -> None:
        self.parents: set[str] = {"Global"}
        self.is_bw = False
        self.names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self.handles: list[Any] = []

    def _name(self, module: Any) -> str:
        if module not in self.names:
            top = type(module).__name__
            for name, inside in module.named_modules():
                self.names[inside] = f"{top}.{name}" if name else top
        return self.names[module]

    def _enter(self, name: str) -> None:
        self.parents.add(name)

    def _watch(self, given: Any, name: str, entering: bool) -> None:
        """Follow the walk of gradients through the tensors at a module's edge."""

        def passed(grad: Any) -> None:
            self.is_bw = True
            if entering:
                self.parents.add(name)
            else:
                self.parents.discard(name)

        for x in tree_leaves(given):
            if isinstance(x, Tensor) and x.requires_grad and x.node is not None:
                x.register_hook(passed)  # type: ignore[attr-defined]

    def _before(self, module: Any, args: Any) -> None:
        name = self._name(module)
        self.is_bw = False
        self.parents.add(name)
        self._watch(args, name, False)

    def _after(self, module: Any, args: Any, result: Any) -> None:
        name = self._name(module)
        self.parents.discard(name)
        self._watch(result, name, True)

    def __enter__(self) -> ModuleTracker:
        self.handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        self.parents = {"Global"}
        self.is_bw = False
