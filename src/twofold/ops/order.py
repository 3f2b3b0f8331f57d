"""The order of sums and products (DESIGN.md, N3) in NumPy: the kernels' bits. Floor 4.

For the elements x[0], ..., x[n-1] of a reduced extent: blocks of 4096; in a block element i goes to
lane i mod 32, each lane ascending from the neutral element; the lanes are joined by a fixed tree,
and blocks as neighbours, level by level, an odd last one moving up unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 4096
LANES = 32


def rows_of(x: Any, axes: tuple[int, ...]) -> Any:
    """x[kept..., n]: the reduced axes, in ascending order, as one last axis."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    moved = x.transpose((*kept, *axes))
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return moved.reshape((*[x.shape[axis] for axis in kept], count))


def reduce_in_order(x: Any, axes: tuple[int, ...], keepdim: bool, ufunc: Any, neutral: Any) -> Any:
    """`ufunc` over the axes of x, in the contract's order. float16 is reduced in float32."""
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    made = reduce_rows(rows_of(wide, axes), ufunc, wide.dtype.type(neutral))
    if not keepdim:
        return made
    return made.reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)])


def reduce_rows(rows: Any, ufunc: Any, neutral: Any) -> Any:
    """The last axis reduced."""
    *kept, n = rows.shape
    whole = n // BLOCK * BLOCK
    parts = []
    if whole:
        blocks = rows[..., :whole].reshape(*kept, n // BLOCK, BLOCK // LANES, LANES)
        parts.append(_blocks(blocks, ufunc, neutral))
    if n > whole or not n:
        turns = -(-(n - whole) // LANES)
        rest = np.full((*kept, 1, turns * LANES), neutral, rows.dtype)
        rest[..., 0, : n - whole] = rows[..., whole:]
        parts.append(_blocks(rest.reshape(*kept, 1, turns, LANES), ufunc, neutral))
    return _join(np.concatenate(parts, axis=-1), ufunc)


def _blocks(x: Any, ufunc: Any, neutral: Any) -> Any:
    """x[..., turns, lanes] -> [...]: each lane ascending, then the tree."""
    lanes = np.full((*x.shape[:-2], LANES), neutral, x.dtype)
    for turn in range(x.shape[-2]):
        lanes = ufunc(lanes, x[..., turn, :])
    t = ufunc(ufunc(lanes[..., 0:8], lanes[..., 8:16]), ufunc(lanes[..., 16:24], lanes[..., 24:32]))
    u = ufunc(t[..., 0:4], t[..., 4:8])
    w = ufunc(u[..., 0:2], u[..., 2:4])
    return ufunc(w[..., 0], w[..., 1])


def _join(x: Any, ufunc: Any) -> Any:
    """Neighbouring blocks, level by level."""
    while x.shape[-1] > 1:
        pairs = x.shape[-1] // 2 * 2
        joined = ufunc(x[..., 0:pairs:2], x[..., 1:pairs:2])
        x = np.concatenate([joined, x[..., pairs:]], axis=-1)
    return x[..., 0]
