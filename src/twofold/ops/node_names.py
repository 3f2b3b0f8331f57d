"""What PyTorch calls the nodes that operations leave behind: `x.grad_fn.name()`. Floor 4.

Some operations here are several of PyTorch's: a reshape is a view or adds an axis, `x[key]` selects
or slices. Which one it is, the attributes and shapes of a node tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["name_of"]

# Names of operations whose words differ.
TOLD = {
    "attention": "ScaledDotProductFlashAttentionForCpu",
    "avg_pool": "AvgPool2D",
    "batch_norm": "NativeBatchNorm",
    "cast": "ToCopy",
    "clamp": "ClampBackward1",
    "clamp_max": "ClampBackward1",
    "clamp_min": "ClampBackward1",
    "conv": "Convolution",
    "cross_entropy_mean": "NllLoss",
    "cross_entropy_sum": "NllLoss",
    "det": "LinalgDet",
    "euclidean_norm": "LinalgVectorNorm",
    "inv": "LinalgInvEx",
    "layer_norm": "NativeLayerNorm",
    "log1p": "Log1P",
    "logsigmoid": "LogSigmoid",
    "max_pool": "MaxPool2DWithIndices",
    "pad": "ConstantPadNd",
    "prelu": "PreluKernel",
    "root": "Sqrt",
    "scatter_add": "ScatterAdd",
    "solve": "LinalgSolveEx",
    "square": "Pow",
    "take": "Index",
}


def name_of(node: Any) -> str:
    """The name; that of a function which the user has defined has no number."""
    op = node.op
    if op.attrs == ("places", "count"):
        return f"{_words(op.name)}Backward"
    found = BY_NODE[op.name](node) if op.name in BY_NODE else None
    found = found or TOLD.get(op.name) or _words(op.name)
    return found if "Backward" in found else f"{found}Backward0"


def _words(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _rank(node: Any) -> int | None:
    """The number of axes of the first input; None where it is not known any more."""
    first = node.inputs[0] if node.inputs else None
    shape = getattr(getattr(first, "array", first), "shape", None)
    return len(shape) if isinstance(shape, tuple) else None


def _of_product(node: Any) -> str:
    return "Mm" if len(node.shape) == 2 else "Bmm"


def _of_linear(node: Any) -> str:
    return "Mm" if len(node.inputs or ()) == 2 else "Addmm"


def _of_reshape(node: Any) -> str:
    """Axes of size 1 that come or go; else another view."""
    first = node.inputs[0] if node.inputs else None
    before = getattr(getattr(first, "array", first), "shape", None)
    if not isinstance(before, tuple) or len(before) == len(node.shape):
        return "View"
    more = len(node.shape) > len(before)
    same = [n for n in before if n != 1] == [n for n in node.shape if n != 1]
    return ("Unsqueeze" if more else "Squeeze") if same else "View"


def _of_permute(node: Any) -> str:
    dims = node.attrs[0]
    moved = [axis for axis, dim in enumerate(dims) if axis != dim]
    if len(moved) != 2:
        return "Permute"
    return "T" if len(dims) == 2 else "Transpose"


def _of_index(node: Any) -> str:
    """What the last part of a key does that does anything, as that comes last."""
    for part in reversed(node.attrs[0]):
        if part is None:
            return "Unsqueeze"
        if isinstance(part, int):
            return "Select"
        if part is not Ellipsis and (part.start, part.stop, part.step) != (None, None, None):
            return "Slice"
    return "Slice"


def _of_reduction(node: Any) -> str:
    """Over all axes, or over some."""
    some = node.attrs[1] or len(node.attrs[0]) != _rank(node)
    return f"{_words(node.op.name)}Backward{int(some)}"


def _of_extreme(node: Any) -> str | None:
    some = node.attrs[1] or len(node.attrs[0]) != _rank(node)
    return None if some else {"amax": "MaxBackward1", "amin": "MinBackward1"}[node.op.name]


def _of_part(node: Any) -> str | None:
    """One of several results has the name of what made them."""
    made = node.inputs[0] if node.inputs else None
    return name_of(made) if hasattr(made, "op") else None


BY_NODE: dict[str, Callable[[Any], str | None]] = {
    "matmul": _of_product,
    "linear": _of_linear,
    "reshape": _of_reshape,
    "permute": _of_permute,
    "index": _of_index,
    "sum": _of_reduction,
    "mean": _of_reduction,
    "amax": _of_extreme,
    "amin": _of_extreme,
    "item_of": _of_part,
    "item": _of_part,
}
