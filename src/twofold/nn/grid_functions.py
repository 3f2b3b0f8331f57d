"""Images looked at through a grid of places: spatial transformers (Jaderberg et al. 2015).
Floor 10.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops.bind import bind
from twofold.ops.conv import check_image
from twofold.ops.creation import arange
from twofold.ops.grid import GRID_SAMPLE
from twofold.ops.guarding import guard
from twofold.ops.joining import meshgrid, stack
from twofold.ops.rules import operands
from twofold.ops.tensor import Tensor, type_of, wrap


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The places f[N, H, W, 2] (or f[N, D, H, W, 3]) that theta f[N, 2, 3] maps an image's to.

    `size` is that of the image to make, (N, C, H, W). -1 and 1 are its edges; with align_corners
    the centres of its corner pixels.
    """
    matrix: Any = theta
    sizes = tuple(size)
    rank = len(sizes) - 2
    if rank not in (2, 3) or matrix.ndim != 3 or tuple(matrix.shape[1:]) != (rank, rank + 1):
        problem = f"theta of shape [N, {rank}, {rank + 1}] is wanted for {len(sizes)} sizes"
        raise ShapeError("affine_grid", problem, theta=type_of(matrix))
    base = _base(matrix, sizes[2:], bool(align_corners))
    made = base @ matrix.transpose(1, 2)
    return made.reshape(matrix.shape[0], *sizes[2:], rank)  # type: ignore[no-any-return]


def _base(matrix: Any, sizes: tuple[Any, ...], corners: bool) -> Any:
    """The places of an image that stays as it is, and ones: [1, pixels, axes + 1]."""
    if all(type(n) is int for n in sizes) and matrix.dtype in (dtypes.float32, dtypes.float64):
        return wrap(_known_base(sizes, corners, matrix.dtype.numpy))
    lines = []
    for n in reversed(sizes):
        places = arange(n, dtype=matrix.dtype)
        if corners:
            lines.append(places * (2 / (n - 1)) - 1 if n > 1 else places * 0)  # type: ignore[operator]
        else:
            lines.append((places * 2 + 1) / n - 1)  # type: ignore[operator]
    grid: Any = meshgrid(*reversed(lines))
    ones = grid[0] * 0 + 1
    return stack([*reversed(grid), ones], -1).reshape(1, -1, len(sizes) + 1)  # type: ignore[attr-defined]


@functools.lru_cache(64)
def _known_base(sizes: tuple[int, ...], corners: bool, kind: Any) -> Any:
    """The same of known sizes, with the same bits. Never written."""
    made = np.ones((*sizes, len(sizes) + 1), kind)
    for axis, n in enumerate(sizes):
        places = np.arange(n).astype(kind)
        if corners:
            line = places * kind.type(2 / (n - 1)) - kind.type(1) if n > 1 else places * 0
        else:
            line = (places * kind.type(2) + kind.type(1)) / kind.type(n) - kind.type(1)
        behind = (1,) * (len(sizes) - 1 - axis)
        made[..., len(sizes) - 1 - axis] = line.reshape(-1, *behind)
    return made.reshape(1, -1, len(sizes) + 1)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """f[N, C, H, W] at the places grid f[N, H', W', 2] of (x, y), -1 to 1: f[N, C, H', W'].

    Volumes f[N, C, D, H, W] with grids f[N, D', H', W', 3] too. mode: bilinear, nearest, bicubic
    (images). padding_mode, for places outside: zeros, border, reflection.
    """
    x: Any = input
    places: Any = grid
    rank = x.ndim - 2
    if mode not in ("bilinear", "nearest", "bicubic") or (mode == "bicubic" and rank != 2):
        hint = "bilinear, nearest, or bicubic for images"
        raise ArgumentError("grid_sample", f"mode is {mode!r}", hint=hint)
    if padding_mode not in ("zeros", "border", "reflection"):
        hint = "zeros, border or reflection"
        raise ArgumentError("grid_sample", f"padding_mode is {padding_mode!r}", hint=hint)
    fits = rank in (2, 3) and places.ndim == x.ndim and places.shape[-1] == rank
    if not fits or places.shape[0] != x.shape[0]:
        hint = "input [N, C, H, W], grid [N, H', W', 2]"
        facts = {"input": type_of(x), "grid": type_of(places)}
        raise ShapeError("grid_sample", "the grid does not fit", hint=hint, **facts)
    x, places = operands("grid_sample", x, places)
    check_image("grid_sample", x, rank)
    if x.dtype.kind not in GRID_SAMPLE.accepts:
        raise DTypeError("grid_sample", f"input is {x.dtype.name}", hint="input.float()")
    made: Tensor = bind(GRID_SAMPLE, (x, places), (mode, padding_mode, bool(align_corners)))
    return made


MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sample` with numbers for the modes: 0 to 2, as they are listed there."""
    for name, value in (("interpolation_mode", interpolation_mode), ("padding_mode", padding_mode)):
        if value not in (0, 1, 2):
            raise ArgumentError("grid_sampler", f"{name} is {value}", hint="0, 1 or 2")
    modes = MODES[interpolation_mode], PADDINGS[padding_mode]
    return grid_sample(input, grid, *modes, align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler


guard(globals())
