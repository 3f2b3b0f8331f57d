"""Images in other sizes: interpolation, axis by axis. Floor 10. NC..."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import whole
from twofold.nn.adaptive_functions import adaptive_mean
from twofold.ops.bind import bind
from twofold.ops.conv import check_image
from twofold.ops.elementwise import addcmul, cast, mul
from twofold.ops.guarding import guard
from twofold.ops.indexing import TAKE, Here, Slice
from twofold.ops.tables import maker, table
from twofold.ops.tensor import Tensor, type_of

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """f[N, C, ...] with its image axes brought to `size`, or `scale_factor` times as large.

    mode: nearest, nearest-exact, linear (3 axes in all), bilinear or bicubic (4), trilinear (5),
    area.
    align_corners: the corner pixels' centres stay where they are. antialias: bilinear and bicubic
    look at every pixel under a smaller image's.
    """
    x: Any = input
    rank = x.ndim - 2
    _check(x, mode, rank, align_corners, antialias)
    if x.dtype.kind in "bui" and not mode.startswith("nearest"):
        return _of_bytes(
            x, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias
        )
    sizes, scales = _sizes(x, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        for axis, wanted in enumerate(sizes):
            x = adaptive_mean(x, axis + 2, wanted)
        return x  # type: ignore[no-any-return]
    axes = list(enumerate(zip(sizes, scales, strict=True), 2))
    for axis, (wanted, scale) in reversed(axes):  # pixel by pixel while there are few, then by rows
        have = x.shape[axis]
        if mode.startswith("nearest"):
            x = _nearest(x, axis, wanted, scale, mode == "nearest-exact")
        elif antialias:
            x = _smooth(x, axis, wanted, _step(have, wanted, scale, align_corners), mode)
        elif have != wanted or scale is not None:
            step = _step(have, wanted, scale, align_corners)
            x = _between(x, axis, wanted, step, bool(align_corners), mode == "bicubic")
    return x  # type: ignore[no-any-return]


def _of_bytes(x: Any, size: Any, factor: Any, mode: str, *rest: Any) -> Tensor:
    """The same of a picture of bytes, as bytes again: rounded, and held within their range."""
    if x.dtype is not dtypes.uint8 or mode == "area":
        problem = f"{x.dtype.name} is not taken with mode={mode!r}"
        raise DTypeError("interpolate", problem, hint="x.float()", input=type_of(x))
    if mode in ("bilinear", "bicubic"):
        return _by_whole_weights(x, size, factor, mode, *rest)
    made: Any = interpolate(x.float(), size, factor, mode, *rest)
    return made.round().clamp(0, 255).to(dtypes.uint8)  # type: ignore[no-any-return]


def _by_whole_weights(
    x: Any, size: Any, factor: Any, mode: str, corners: Any, recompute: Any, antialias: bool
) -> Tensor:
    """Rows, then columns of bytes by weights of 16 bits, each result a byte: as PyTorch (and
    Pillow) compute them.
    """
    sizes, scales = _sizes(x, size, factor, recompute)
    for axis in (3, 2):
        have, wanted = x.shape[axis], sizes[axis - 2]
        if have == wanted:
            continue
        step = _step(have, wanted, scales[axis - 2], corners)
        given = (have, wanted, step, bool(corners), mode, antialias)
        matrix = table(_whole_weights, *given, shape=(have, wanted), dtype=dtypes.float64)
        unit: Any = table(_whole_unit, *given, shape=(), dtype=dtypes.float64)
        sums = (x.to(dtypes.float64).movedim(axis, -1) @ matrix).movedim(-1, axis)  # exact
        x = ((sums + unit / 2) / unit).floor().clamp(0, 255).to(dtypes.uint8)
    return x  # type: ignore[no-any-return]


@maker
def _whole_weights(*given: Any) -> Any:
    return _whole(_all_weights(*given))[0]


@maker
def _whole_unit(*given: Any) -> Any:
    return np.array(float(_whole(_all_weights(*given))[1]))


def _all_weights(
    have: int, wanted: int, step: float, corners: bool, mode: str, antialias: bool
) -> Any:
    if antialias:
        return _smooth_weights(have, wanted, step, mode, dtypes.float64)
    return _dense(have, wanted, step, corners, mode == "bicubic")


def _dense(have: int, wanted: int, step: float, corners: bool, cubic: bool) -> Any:
    """The weights of all pixels f64[have, wanted], of which few are not 0."""
    weights = np.zeros((have, wanted))
    for places, shares in _taps(have, wanted, step, corners, cubic, dtypes.float64):
        np.add.at(weights, (places, np.arange(wanted)), shares)
    return weights


def _whole(weights: Any) -> tuple[Any, int]:
    """Weights as whole numbers of the largest unit with which they fit into 16 bits."""
    most = weights.max(initial=0.0)
    bits = 0
    while bits < 22 and int(0.5 + most * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    scaled = weights * (1 << bits)
    return np.trunc(scaled + np.copysign(0.5, scaled)), 1 << bits


def _check(x: Any, mode: str, rank: int, align_corners: Any, antialias: bool) -> None:
    if mode not in MODES:
        raise ArgumentError("interpolate", f"mode is {mode!r}", hint=", ".join(MODES))
    if rank not in (1, 2, 3) or RANKS.get(mode, rank) != rank:
        hint = f"mode={mode!r} is for {RANKS.get(mode, 2) + 2} axes"
        raise ShapeError("interpolate", f"{rank + 2} axes", hint=hint, input=type_of(x))
    check_image("interpolate", x, rank)
    if align_corners is not None and mode not in RANKS:
        raise ArgumentError("interpolate", f"align_corners does not go with mode={mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError("interpolate", "antialias goes with bilinear and bicubic alone")


def _sizes(x: Any, size: Any, factor: Any, recompute: bool | None) -> tuple[list[int], list[Any]]:
    """The wanted sizes, and the factors that places are computed with (None: from the sizes)."""
    rank = x.ndim - 2
    if (size is None) == (factor is None):
        raise ArgumentError(
            "interpolate", "either size or scale_factor is wanted", hint="scale_factor=2"
        )
    if size is not None:
        if recompute:
            problem = "recompute_scale_factor is for scale_factor"
            raise ArgumentError("interpolate", problem)
        listed = list(size) if isinstance(size, tuple | list) else [size] * rank
        if len(listed) != rank or any(n < 1 for n in listed):
            raise ArgumentError("interpolate", f"size is {size}", hint=f"{rank} sizes above 0")
        return [whole(n) for n in listed], [None] * rank
    factors = list(factor) if isinstance(factor, tuple | list) else [factor] * rank
    if len(factors) != rank:
        raise ArgumentError("interpolate", f"{len(factors)} factors for {rank} axes")
    sizes = [math.floor(n * float(f)) for n, f in zip(x.shape[2:], factors, strict=True)]
    if any(n < 1 for n in sizes):
        raise ArgumentError("interpolate", f"sizes {sizes} are empty", input=type_of(x))
    return sizes, [None] * rank if recompute else [float(f) for f in factors]


def _step(have: int, wanted: int, scale: Any, align_corners: Any) -> float:
    """How far apart the wanted places stand in the given image."""
    if align_corners:
        return (have - 1) / (wanted - 1) if wanted > 1 else 0.0
    return have / wanted if scale is None else 1.0 / scale


def _pick(x: Any, axis: int, places: Tensor) -> Any:
    """The pixels at these places i64[wanted] of an axis, which are within it."""
    key = (*(Slice(None, None, None),) * axis, Here(0))
    return bind(TAKE, (x, places), (key,))


def _nearest(x: Any, axis: int, wanted: int, scale: Any, exact: bool) -> Any:
    have = x.shape[axis]
    step = have / wanted if scale is None else 1.0 / scale
    given = (have, wanted, step, exact)
    return _pick(x, axis, table(_nearest_places, *given, shape=(wanted,), dtype=dtypes.int64))


@maker
@functools.lru_cache(64)
def _nearest_places(have: int, wanted: int, step: float, exact: bool) -> Any:
    at = (np.arange(wanted, dtype=np.float32) + np.float32(0.5 if exact else 0)) * np.float32(step)
    return np.minimum(np.floor(at), have - 1).astype(np.int64)


def _kind(x: Any) -> DType:
    return dtypes.float64 if x.dtype.itemsize == 8 else dtypes.float32


def _cubic(t: Any, a: float) -> Any:
    """Keys' kernel (1981) at the distances of the four neighbours of a place between two."""

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _between(x: Any, axis: int, wanted: int, step: float, corners: bool, cubic: bool) -> Any:
    kind, total = _kind(x), None
    along = (wanted, *(1,) * (x.ndim - 1 - axis))
    for tap in range(4 if cubic else 2):
        given = (x.shape[axis], wanted, step, corners, cubic, kind, tap)
        places = table(_neighbours, *given, shape=(wanted,), dtype=dtypes.int64)
        weights: Any = table(_shares, *given, shape=(wanted,), dtype=kind)
        pair = (_pick(x, axis, places), cast(weights.reshape(along), x.dtype))
        total = mul(*pair) if total is None else addcmul(total, *pair)
    return total


@maker
def _neighbours(*given: Any) -> Any:
    return _taps(*given[:-1])[given[-1]][0]


@maker
def _shares(*given: Any) -> Any:
    return _taps(*given[:-1])[given[-1]][1]


@functools.lru_cache(64)
def _taps(have: int, wanted: int, step: float, corners: bool, cubic: bool, dtype: DType) -> Any:
    """For each neighbour of the wanted pixels of an axis its places, and its weights."""
    kind: Any = dtype.numpy.type
    places = np.arange(wanted).astype(kind)
    at = places * kind(step) if corners else kind(step) * (places + kind(0.5)) - kind(0.5)
    if not cubic:
        at = np.maximum(at, kind(0))
        low = np.minimum(np.floor(at).astype(np.int64), have - 1)
        share = np.clip(at - low, 0, 1)
        high = np.minimum(low + 1, have - 1)
        return [(low, (1 - share).astype(kind)), (high, share.astype(kind))]
    low = np.floor(at).astype(np.int64)
    weights = _cubic(at - low, -0.75)
    taken = [np.clip(low + offset, 0, have - 1) for offset in range(-1, 3)]
    return [(p, w.astype(kind)) for p, w in zip(taken, weights, strict=True)]


def _smooth(x: Any, axis: int, wanted: int, step: float, mode: str) -> Any:
    """Each wanted pixel a weighted mean of all that lie under it, by a matrix of weights."""
    have, kind = x.shape[axis], _kind(x)
    given = (have, wanted, step, mode, kind)
    weights = table(_smooth_weights, *given, shape=(have, wanted), dtype=kind)
    return (x.movedim(axis, -1) @ cast(weights, x.dtype)).movedim(-1, axis)


@maker
@functools.lru_cache(64)
def _smooth_weights(have: int, wanted: int, step: float, mode: str, dtype: DType) -> Any:
    """The weights of the pixels that lie under each wanted one, f[have, wanted]."""
    wide = 4 if mode == "bicubic" else 2
    stretch = max(step, 1.0)
    support = wide / 2 * stretch
    weights = np.zeros((have, wanted))
    for i in range(wanted):
        centre = step * (i + 0.5)
        first = max(int(centre - support + 0.5), 0)
        count = min(int(centre + support + 0.5), have) - first
        distance = np.abs((np.arange(count) + first - centre + 0.5) / stretch)
        if mode == "bicubic":
            inner = _cubic(distance, -0.5)[1]
            outer = _cubic(distance - 1, -0.5)[0]
            made = np.where(distance < 1, inner, np.where(distance < 2, outer, 0))
        else:
            made = np.maximum(1 - distance, 0)
        weights[first : first + count, i] = made / made.sum()
    return weights.astype(dtype.numpy)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """PyTorch's older name of `interpolate`."""
    warnings.warn("upsample is interpolate now", DeprecationWarning, stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode="nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode="bilinear" and align_corners=True."""
    return interpolate(input, size, scale_factor, "bilinear", True)


guard(globals())
