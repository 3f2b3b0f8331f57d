"""x[mask] = y[mask] and x[mask] += y of a mask that only a run knows, as choices between elements.
Floor 9.

Read and written as they stand, they would ask before each run how many elements the mask picks, and
need a plan for each number of them. The elements that come out are the same.
"""

from __future__ import annotations

import ast
import linecache
import math
import operator
from collections.abc import Callable
from types import FrameType
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import user_frame
from twofold.frontends.arrays import is_unknown
from twofold.ops.assigning import set_masked
from twofold.ops.bind import mode
from twofold.ops.tensor import Tensor

PURE = (ast.Name, ast.Attribute, ast.Constant, ast.Subscript, ast.Compare, ast.BinOp, ast.UnaryOp)
CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Div": operator.truediv,
}


def copies_item(node: ast.AST) -> bool:
    """Whether a statement is x[key] = y[key], for a key without calls."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return False
    target, given = node.targets[0], node.value
    if not isinstance(target, ast.Subscript) or not isinstance(given, ast.Subscript):
        return False
    same = ast.dump(target.slice) == ast.dump(given.slice)
    return same and isinstance(target.slice, PURE) and _calls_nothing(target.slice)


def _calls_nothing(node: ast.AST) -> bool:
    return not any(isinstance(x, ast.Call | ast.NamedExpr | ast.Await) for x in ast.walk(node))


def frame_of_statement() -> FrameType | None:
    """The frame of the user's that runs such a statement now, if one does."""
    frame = user_frame()
    if frame is None:
        return None
    try:
        tree = ast.parse(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())
    except SyntaxError:
        return None
    changes = any(
        copies_item(node) or (isinstance(node, ast.AugAssign) and type(node.op).__name__ in CHANGES)
        for node in tree.body
    )
    return frame if changes else None


def copy_item(x: Any, key: Any, y: Any) -> None:
    """x[key] = y[key]."""
    if _picks(x, key) and isinstance(y, Tensor) and y.dtype is x.dtype and y.shape == x.shape:
        set_masked(x, key, y)
    else:
        x[key] = y[key]


def changed_as_whole(x: Any, key: Any, name: str, other: Any) -> bool:
    """Carry out x[key] += other, and the like, where this can be done with all elements of x."""
    if name not in CHANGES or not _picks(x, key) or not _suits(x, key, name, other):
        return False
    new = CHANGES[name](x, other)
    if new.dtype is not x.dtype:
        return False
    set_masked(x, key, new)
    return True


def _picks(x: Any, key: Any) -> bool:
    """Whether a key is a mask of x's first axes, known to a run only."""
    if mode.capture is None or not isinstance(x, Tensor) or not isinstance(key, Tensor):
        return False
    if key.dtype is not dtypes.bool_ or not key.ndim or key.shape != x.shape[: key.ndim]:
        return False
    return is_unknown(key.array) or bool(mode.capture.reads_outside(key.array))


def _suits(x: Tensor, key: Tensor, name: str, other: Any) -> bool:
    """Whether gradients are the same bits when all elements take part, those with inf too."""
    adds = name in ("Add", "Sub") or not _learns(x)
    if isinstance(other, Tensor):
        return adds and other.ndim <= x.ndim - key.ndim and not _learns(other)
    return type(other) in (int, float) and (adds or (math.isfinite(other) and other != 0))


def _learns(x: Tensor) -> bool:
    return bool(x.requires_grad)  # type: ignore[attr-defined]
