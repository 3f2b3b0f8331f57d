"""Images looked at through a grid of places: spatial transformers (Jaderberg et al. 2015).
Floor 10.
"""

from __future__ import annotations

import itertools
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.creation import arange
from twofold.ops.joining import meshgrid, stack
from twofold.ops.tensor import Tensor, type_of

CUBIC = -0.75


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
    lines = []
    for n in sizes[:1:-1]:
        places = arange(n, dtype=matrix.dtype)
        if align_corners:
            lines.append(places * (2 / (n - 1)) - 1 if n > 1 else places * 0)  # type: ignore[operator]
        else:
            lines.append((places * 2 + 1) / n - 1)  # type: ignore[operator]
    grid: Any = meshgrid(*reversed(lines))
    ones = grid[0] * 0 + 1
    base: Any = stack([*reversed(grid), ones], -1)
    flat = base.reshape(1, -1, rank + 1).expand(matrix.shape[0], -1, rank + 1)
    made = flat @ matrix.transpose(1, 2)
    return made.reshape(matrix.shape[0], *sizes[2:], rank)  # type: ignore[no-any-return]


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
    sizes = tuple(x.shape[2:])
    corners = bool(align_corners)
    at = []  # for each axis of the image its places, [N, points]
    for axis, size in enumerate(sizes):
        line = places[..., rank - 1 - axis].reshape(places.shape[0], -1)
        scaled = (line + 1) / 2 * (size - 1) if corners else ((line + 1) * size - 1) / 2
        if mode != "bicubic":
            scaled = _inside(scaled, size, padding_mode, corners)
        at.append(scaled)
    if mode == "nearest":
        made = _taken(x, [a.detach().round() for a in at], sizes)
    elif mode == "bilinear":
        made = _linear(x, at, sizes)
    else:
        made = _cubic(x, at, sizes, padding_mode, corners)
    return made.reshape(*x.shape[:2], *places.shape[1:-1])  # type: ignore[no-any-return]


def _inside(at: Any, size: int, padding_mode: str, corners: bool) -> Any:
    """Places outside brought inside, by the padding mode."""
    if padding_mode == "reflection":
        at = _reflected(at, size, corners)
    return at if padding_mode == "zeros" else at.clamp(0, size - 1)


def _reflected(at: Any, size: int, corners: bool) -> Any:
    low, span = (0.0, float(size - 1)) if corners else (-0.5, float(size))
    if span == 0:
        return at * 0
    away = (at - low).abs()
    flips = (away / span).floor().detach()
    extra = away - flips * span
    odd = flips.remainder(2) == 1
    return _chosen(odd, span - extra, extra) + low


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    return yes.where(condition, no)


def _taken(x: Any, at: list[Any], sizes: tuple[int, ...]) -> Any:
    """The pixels at whole places, [N, C, points]; 0 outside of the image."""
    flat: Any = 0
    valid: Any = None
    for place, size in zip(at, sizes, strict=True):
        inside = (place >= 0) & (place <= size - 1)
        valid = inside if valid is None else valid & inside
        # a place that is not a number counts as the first
        flat = flat * size + _chosen(inside, place, place.new_zeros(())).long()
    n, c = x.shape[:2]
    index = flat.unsqueeze(1).expand(n, c, flat.shape[-1])
    picked = x.reshape(n, c, -1).gather(2, index)
    return picked.masked_fill(~valid.unsqueeze(1), 0)


def _linear(x: Any, at: list[Any], sizes: tuple[int, ...]) -> Any:
    low = [a.detach().floor() for a in at]
    shares = [a - b for a, b in zip(at, low, strict=True)]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        weight: Any = None
        for side, share in zip(corner, shares, strict=True):
            part = share if side else 1 - share
            weight = part if weight is None else weight * part
        pixels = _taken(x, [b + side for b, side in zip(low, corner, strict=True)], sizes)
        made = pixels * weight.unsqueeze(1)
        total = made if total is None else total + made
    return total


def _weights(t: Any) -> list[Any]:
    """Keys' kernel (1981) at the distances of the four neighbours."""
    a = CUBIC

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(x: Any, at: list[Any], sizes: tuple[int, ...], padding_mode: str, corners: bool) -> Any:
    low = [a.detach().floor() for a in at]
    weights = [_weights(a - b) for a, b in zip(at, low, strict=True)]
    total: Any = None
    for i, j in itertools.product(range(4), repeat=2):
        places = [
            _inside(b + (k - 1), size, padding_mode, corners)
            for b, k, size in zip(low, (i, j), sizes, strict=True)
        ]
        made = _taken(x, places, sizes) * (weights[0][i] * weights[1][j]).unsqueeze(1)
        total = made if total is None else total + made
    return total


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
