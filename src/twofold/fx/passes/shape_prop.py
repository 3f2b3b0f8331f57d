"""Shapes and element types of what each node gives, for one example. Floor 12."""

from __future__ import annotations

from typing import Any, NamedTuple

from twofold.fx.interpreter import Interpreter
from twofold.fx.node import Node, map_aggregate
from twofold.ops.tensor import Tensor

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What is known of a tensor without its values."""

    shape: Any
    dtype: Any
    requires_grad: bool
    stride: tuple[int, ...]


class ShapeProp(Interpreter):
    """Runs a graph, and leaves `meta["tensor_meta"]` and `meta["type"]` at each node."""

    def run_node(self, n: Node) -> Any:
        made = super().run_node(n)
        tensors: list[Tensor] = []

        def tell(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            x: Any = value
            tensors.append(x)
            return TensorMetadata(x.shape, x.dtype, x.requires_grad, x.stride())

        told = map_aggregate(made, tell)
        if tensors:
            n.meta["tensor_meta"] = told
        n.meta["type"] = type(made)
        return made

    def propagate(self, *args: Any) -> Any:
        return self.run(*args)
