"""PyTorch's hooks below its functions: blocks that see each operation. Floor 13.

What is seen are Twofold's operations, those of gradients too: elementwise ones and products under
their names in `ops.aten` (`aten.mul.Tensor`), the others as `twofold.<name>.default`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, final

from twofold.base.errors import MissingNameError
from twofold.ops import NAMESPACES
from twofold.ops.bind import bind, interpreter, mode
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor

__all__ = ["TorchDispatchMode", "is_traceable_wrapper_subclass"]

OF_TWO = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "maximum",
        "minimum",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "remainder",
        "fmod",
    ]
)


@final
class Operation:
    """An operation of Twofold's own, called with tensors and with its attributes by name."""

    namespace = "twofold"
    _overloadname = "default"

    def __init__(self, op: Op) -> None:
        self.op = op
        self.__name__ = f"{op.name}.default"
        self.overloadpacket = self
        self._schema = SimpleNamespace(name=f"twofold::{op.name}")

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        return bind(self.op, inputs, tuple([attrs[name] for name in self.op.attrs]))

    def name(self) -> str:
        return f"twofold::{self.op.name}"

    def __str__(self) -> str:
        return f"twofold.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='twofold.{self.op.name}', overload='default')>"


class TorchDispatchMode:
    """A block in which `__torch_dispatch__(func, types, args, kwargs)` is called for each operation
    and gives its result: `func(*args, **(kwargs or {}))`, or another one.

    Within it the mode is not in force. What is recorded for gradients is what it calls.
    """

    def __init__(self, _dispatch_key: Any = None) -> None:
        self._blocks: list[tuple[Any, Any]] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """What an operation gives."""
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> Any:
        if "_blocks" not in vars(self):  # a class of the user's own need not call __init__
            self._blocks = []
        block = interpreter(self)
        self._blocks.append((mode.interpreter, block))
        block.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        _, block = self._blocks.pop()
        block.__exit__(None, None, None)

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        """The interpreter: an operation as it is told of."""
        below = self._blocks[-1][0]
        types = tuple({type(x) for x in inputs if type(x) is not Tensor})
        with interpreter(below):
            func = _told(op, max([x.array.ndim for x in inputs], default=0))
            return self.__torch_dispatch__(func, types, inputs, op.keywords(attrs))


@cache
def _told(op: Op, rank: int) -> Any:
    """What stands for an operation: PyTorch's, where it takes the same, or its own."""
    aten = NAMESPACES["aten"]()
    if op.name == "matmul" and rank in (2, 3):
        return (aten.mm if rank == 2 else aten.bmm).default
    if op.attrs or op.variadic or op.outputs != 1 or len(op.inputs) > 2:
        return Operation(op)
    if len(op.inputs) == 2:
        return getattr(aten, op.name).Tensor if op.name in OF_TWO else Operation(op)
    try:
        return getattr(aten, op.name).default
    except MissingNameError:
        return Operation(op)


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """False: no class of tensors takes itself apart for a compiler (`__tensor_flatten__`)."""
    return False
