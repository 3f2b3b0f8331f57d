"""All running results of an associative function along an axis. Floor 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.trees import flatten, unflatten
from twofold.ops.joining import cat
from twofold.ops.tensor import type_of

__all__ = ["associative_scan"]


def associative_scan(
    combine_fn: Callable[[Any, Any], Any],
    xs: Any,
    dim: int,
    reverse: bool = False,
    combine_mode: str = "pointwise",
) -> Any:
    """All running results of an associative function along an axis, in as many rounds as the
    logarithm of its length (Hillis and Steele, "Data parallel algorithms", 1986).

    xs is a tensor or a tree of tensors of one length along `dim`; combine_fn takes two such trees
    and gives one. Results are grouped otherwise than one after the other. Raises ArgumentError for
    a tree without tensors, ShapeError where the lengths differ.
    """
    leaves, form = flatten(xs)
    if not leaves:
        raise ArgumentError("associative_scan", "there are no tensors to scan")
    sizes = {x.shape[dim] for x in leaves}
    if len(sizes) != 1:
        facts = {f"xs[{i}]": type_of(x) for i, x in enumerate(leaves)}
        raise ShapeError("associative_scan", f"the lengths along axis {dim} differ", **facts)
    (size,) = sizes
    made = [x.flip(dim) for x in leaves] if reverse else list(leaves)
    step = 1
    while step < size:
        early = [x.narrow(dim, 0, size - step) for x in made]
        late = [x.narrow(dim, step, size - step) for x in made]
        both, _ = flatten(combine_fn(unflatten(early, form), unflatten(late, form)))
        firsts = [x.narrow(dim, 0, step) for x in made]
        made = [cat([first, x], dim) for first, x in zip(firsts, both, strict=True)]
        step *= 2
    return unflatten([x.flip(dim) for x in made] if reverse else made, form)
