"""Products followed by an activation, as one call. Floor 5.

The product's kernel applies the activation to the elements that it has just finished, while they
are near (lower/epilogue.py), by the recipe of the operation itself: the bits are the same. This is
done where nobody else reads what the activation is applied to; gradients of relu, sigmoid and tanh
read the result.
"""

from __future__ import annotations

from typing import Any

from twofold.base import dtypes
from twofold.ir.graph import Call, Graph, producers, replace, uses
from twofold.ops.fused import LINEAR_THEN, MATMUL_THEN

ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "silu")
PRODUCTS = {"linear": LINEAR_THEN, "matmul": MATMUL_THEN}
TYPES = (dtypes.float32, dtypes.float64)


def epilogues(graph: Graph) -> Graph:
    """The graph with activations taken into the products before them."""
    made, readers, needed = producers(graph), uses(graph), set(graph.needed())
    taken: dict[int, Call] = {}  # by the product's id: the call that it becomes
    gone: set[int] = set()
    for call in graph.calls:
        if call.op.name not in ACTIVATIONS or not is_plain(call):
            continue
        (before,) = call.inputs
        product = made.get(before)
        if product is None or product.op.name not in PRODUCTS or before.dtype not in TYPES:
            continue
        if before in needed or len(readers[before]) > 1:
            continue
        op, attrs = PRODUCTS[product.op.name], (call.op.name,)
        taken[id(product)] = product._replace(op=op, attrs=attrs, outs=call.outs)
        gone.add(id(call))
    kept = [taken.get(id(call), call) for call in graph.calls if id(call) not in gone]
    return replace(graph, kept)


def is_plain(call: Any) -> bool:
    """Whether the attributes are what the operation has by itself."""
    return bool(call.op.keywords(call.attrs) == call.op.defaults)
