"""The inside of PyTorch's transforms, as libraries ask for it: one level of vmap, on and off.
Floor 11. It is the modules `_C._functorch` and `_functorch.vmap` too.
"""

from __future__ import annotations

import sys
from typing import Any

from twofold.autograd.levels import current_level
from twofold.autograd.vmap import Lanes, VMap, around
from twofold.base import trees
from twofold.base.errors import ArgumentError
from twofold.base.files import also_as
from twofold.ops.movement import expand
from twofold.ops.stand_in import StandIn
from twofold.ops.tensor import Tensor
from twofold.ops.views import movedim

__all__ = ["get_unwrapped", "is_batchedtensor", "is_functorch_wrapped_tensor"]


def is_batchedtensor(tensor: Tensor) -> bool:
    """Whether it stands for all lanes of a vmap."""
    return isinstance(tensor.array, Lanes) and tensor.array.batched


def is_functorch_wrapped_tensor(tensor: Tensor) -> bool:
    """Whether a transform of functions made it: vmap, jvp, grad."""
    return isinstance(tensor.array, StandIn)


def get_unwrapped(tensor: Tensor) -> Tensor:
    """The tensor one level below: of all lanes, along its first axis."""
    return tensor.array.value if isinstance(tensor.array, StandIn) else tensor


def _level(op: str) -> VMap:
    level = current_level()
    if not isinstance(level, VMap):
        raise ArgumentError(op, "no vmap is in force", hint="inside of a function under vmap")
    return level


def _add_batch_dim(tensor: Tensor, in_dim: int, level: int) -> Tensor:
    """One lane's tensor; `tensor` has those of all along axis `in_dim`.

    Raises ArgumentError outside of vmap. `level` is not looked at: it is the innermost one.
    """
    inner = _level("add_batch_dim")
    with inner.outside():
        whole = movedim(tensor, in_dim, 0)
    return around(Lanes(inner, whole, True))


def _remove_batch_dim(tensor: Tensor, level: int, batch_size: int, out_dim: int) -> Tensor:
    """All lanes' tensor, with the lanes along axis `out_dim`. Raises ArgumentError outside."""
    inner = _level("remove_batch_dim")
    with inner.outside():
        whole = inner.under(tensor)
        if not (inner.owns(tensor) and is_batchedtensor(tensor)):
            whole = expand(whole, (batch_size, *whole.array.shape))
        return movedim(whole, 0, out_dim)


def _maybe_remove_batch_dim(
    name: str, batched_output: Any, vmap_level: int, batch_size: int, out_dim: int | None
) -> Any:
    """`_remove_batch_dim`; what has no axis of lanes, and is wanted with none, as it is."""
    if out_dim is None:
        return batched_output
    return _remove_batch_dim(batched_output, vmap_level, batch_size, out_dim)


def _broadcast_to_and_flatten(tree: Any, treespec: Any) -> list[Any] | None:
    """The leaves of `tree`, one for each leaf of the form; None where they do not fit."""
    whole = __getattr__("tree_unflatten")([0] * treespec.num_leaves, treespec)
    return trees.spread(tree, whole)


def _get_name(func: Any) -> str:
    """The function's name, or how it prints."""
    return getattr(func, "__name__", repr(func))


def __getattr__(name: str) -> Any:
    if name in ("tree_flatten", "tree_unflatten"):
        return getattr(sys.modules["twofold"].utils._pytree, name)
    raise AttributeError(f"module 'twofold._functorch' has no attribute {name!r}")


also_as(__name__, "vmap")
