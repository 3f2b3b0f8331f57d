"""A module with a compiled forward: another object with the same attributes. Floor 9.

Both see what either is given: what forward or a hook keeps (`self.last_loss = ...`), `train()`, new
parameters. Its class is made from the module's own, so that `isinstance` and `super()` hold.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

Compile = Callable[[Callable[..., Any]], Any]
PREFIX = "_orig_mod."  # before each name in the state of a module that PyTorch compiled
OF_CLASS = ("__module__", "__qualname__", "__doc__")


def compiled_module(module: Any, compile: Compile) -> Any:
    """A module that shares everything with the given one, and whose forward is compiled."""
    made: Any = object.__new__(_class_of(type(module), compile))
    object.__setattr__(made, "__dict__", module.__dict__)
    object.__setattr__(made, "_compiled_of", module)
    return made


def _class_of(base: Any, compile: Compile) -> Any:
    def forward(self: Any) -> Any:
        """The compiled function, made when it is first wanted."""
        try:
            return self._compiled_forward
        except AttributeError:
            plain = self.__dict__.get("forward") or functools.partial(base.forward, self)
            made = compile(plain)
            object.__setattr__(self, "_compiled_forward", made)
            return made

    def reduce(self: Any, protocol: int) -> Any:
        return compiled_module, (self._compiled_of, compile)

    def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """As the module's own; names that PyTorch's compiled modules have are read, too."""
        if any(name.startswith(PREFIX) for name in state_dict):
            state_dict = {name.removeprefix(PREFIX): x for name, x in state_dict.items()}
        return base.load_state_dict(self, state_dict, *args, **kwargs)

    body = {name: getattr(base, name) for name in OF_CLASS}
    body |= {
        "__slots__": ("_compiled_forward", "_compiled_of"),
        "forward": property(forward),
        "_orig_mod": property(operator.attrgetter("_compiled_of")),
        "load_state_dict": load_state_dict,
        "__reduce_ex__": reduce,
    }
    return type(base)(base.__name__, (base,), body)
