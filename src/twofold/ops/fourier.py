"""Discrete Fourier transforms, with NumPy's pocketfft underneath. Floor 4.

The numbers are NumPy's: exact to rounding and the same for any number of threads and any batch, but
the order of its sums is not ours to promise (DESIGN.md, section 2). Every transform is linear, so
that its gradient is the transform back, scaled by the other of the two conventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, NoAxisError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.complexes import real
from twofold.ops.creation import arange
from twofold.ops.elementwise import cast, conj, mul
from twofold.ops.guarding import guard
from twofold.ops.joining import roll
from twofold.ops.op import Sample, define
from twofold.ops.padding import PAD
from twofold.ops.rules import as_tensor, axes_of, axis_of, axis_too, with_out
from twofold.ops.source import placed
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.views import narrow

__all__ = ["fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2"]
__all__ += ["ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft"]
__all__ += ["rfft2", "rfftfreq", "rfftn"]

# The scale of the way back, for that of the way there: which of the two is divided by n.
OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _fft(x: Any, *, dim: tuple[int, ...], norm: Any, inverse: bool) -> Any:
    if len(dim) == 1:
        made = (np.fft.ifft if inverse else np.fft.fft)(x, None, dim[0], norm)
    else:
        made = (np.fft.ifftn if inverse else np.fft.fftn)(x, axes=dim, norm=norm)
    return made.astype(x.dtype, copy=False)


def _fft_vjp(g: Tensor, out: Any, x: Any, *, dim: Any, norm: str, inverse: bool) -> Any:
    return (bind(FFT, (g,), (dim, OTHER[norm], not inverse)),)


def _complexes(random: Any, *shape: int) -> Any:
    return random.normal(size=shape) + 1j * random.normal(size=shape)


FFT = define(
    "fft",
    attrs=("dim", "norm", "inverse"),
    doc="The discrete Fourier transform of complex numbers over axes, or its inverse.",
    accepts="c",
    infer=lambda x, *, dim, norm, inverse: x,
    ref=_fft,
    vjp=_fft_vjp,
    samples=lambda r: [
        Sample((_complexes(r, 3, 5), (1,), "backward", False)),
        Sample((_complexes(r, 3, 4), (0, 1), "ortho", True)),
        Sample((_complexes(r, 2, 4), (0,), "forward", True)),
    ],
    torch=False,
)


def _rfft(x: Any, *, dim: int, norm: Any) -> Any:
    return np.fft.rfft(x, axis=dim, norm=norm).astype(
        dtypes.of(x.dtype).to_complex().numpy, copy=False
    )


def _half_type(x: Type, *, dim: int, norm: str) -> Type:
    return Type((*x.shape[:dim], x.shape[dim] // 2 + 1, *x.shape[dim + 1 :]), x.dtype.to_complex())


def _rfft_vjp(g: Tensor, out: Any, x: Any, *, dim: int, norm: str) -> Any:
    whole = _resized(g, dim, x.shape[dim])
    return (real(bind(FFT, (whole,), ((dim,), OTHER[norm], True))),)


RFFT = define(
    "rfft",
    attrs=("dim", "norm"),
    doc="The half of the Fourier transform of real numbers along an axis that says all of it.",
    accepts="f",
    infer=_half_type,
    ref=_rfft,
    vjp=_rfft_vjp,
    samples=lambda r: [
        Sample((r.normal(size=(3, 5)), 1, "backward")),
        Sample((r.normal(size=(6, 2)), 0, "ortho")),
        Sample((r.normal(size=(4,)), 0, "forward")),
    ],
    torch=False,
)


def _irfft(x: Any, *, dim: int, size: int, norm: Any) -> Any:
    made = np.fft.irfft(x, size, axis=dim, norm=norm)
    return made.astype(dtypes.of(x.dtype).to_real().numpy, copy=False)


def _irfft_vjp(g: Tensor, out: Any, x: Any, *, dim: int, size: int, norm: str) -> Any:
    """The numbers in the middle count twice, for themselves and for their mirror images."""
    count = size // 2 + 1
    weights = np.full(count, 2.0, g.array.dtype)
    weights[0] = 1
    if size % 2 == 0:
        weights[-1] = 1
    shape = (-1, *(1,) * (len(x.shape) - dim - 1))
    half = bind(RFFT, (g,), (dim, OTHER[norm]))
    return (mul(half, wrap(weights.reshape(shape))),)


IRFFT = define(
    "irfft",
    attrs=("dim", "size", "norm"),
    doc="The real numbers along an axis whose half Fourier transform is given; size of them.",
    accepts="c",
    infer=lambda x, *, dim, size, norm: Type(
        (*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype.to_real()
    ),
    ref=_irfft,
    vjp=_irfft_vjp,
    samples=lambda r: [
        Sample((_complexes(r, 3, 3), 1, 5, "backward")),
        Sample((_complexes(r, 3, 3), 0, 4, "ortho")),
        Sample((_complexes(r, 4), 0, 6, "forward")),
    ],
    torch=False,
)


# ---- the arguments of all of them


def _norm(op: str, norm: Any) -> str:
    name = "backward" if norm is None else norm
    if name not in OTHER:
        raise ArgumentError(op, f"norm is {norm!r}", hint="'backward', 'ortho' or 'forward'")
    return str(name)


def _numbers(op: str, input: Any, *, complex: bool) -> Tensor:
    """The input as real or complex numbers of single or double precision."""
    x = as_tensor(input, op)
    if x.dtype in (dtypes.float16, dtypes.bfloat16):
        raise DTypeError(op, f"{x.dtype.name} is not taken", hint="x.float()", input=type_of(x))
    if x.dtype.kind in "bui":
        x = cast(x, dtypes.default_dtype())
    if not complex and x.dtype.is_complex:
        raise DTypeError(op, "real numbers are wanted", hint=op[1:], input=type_of(x))
    return cast(x, x.dtype.to_complex()) if complex else x


def _resized(x: Tensor, axis: int, size: int) -> Tensor:
    """x cut, or continued with zeros, to a size along an axis."""
    have = x.array.shape[axis]
    if have == size:
        return x
    if have > size:
        return narrow(x, axis, 0, size)
    sides = tuple((0, size - have) if i == axis else (0, 0) for i in range(x.array.ndim))
    return bind(PAD, (x,), (sides, 0.0))  # type: ignore[no-any-return]


def _axes(op: str, x: Tensor, s: Any, dim: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes, and the size that each is brought to."""
    if s is not None and isinstance(s, int):
        s = (s,)
    if dim is None:
        rank = x.array.ndim
        axes = tuple(range(rank)) if s is None else tuple(range(rank - len(s), rank))
        if s is not None and len(s) > rank:
            raise ShapeError(op, f"{len(s)} sizes for {rank} axes", input=type_of(x))
    else:
        listed = (dim,) if isinstance(dim, int) else tuple(dim)
        axes = tuple(axis_of(op, d, x) for d in listed)
    if len(set(axes)) != len(axes):
        raise ArgumentError(op, f"dim {dim} names an axis twice", input=type_of(x))
    if not axes or not x.array.ndim:
        if not axes:
            return (), ()
        raise NoAxisError(op, "a 0-d tensor has no axis to transform", input=type_of(x))
    sizes = tuple(x.array.shape[a] for a in axes)
    if s is not None:
        if len(s) != len(axes):
            raise ArgumentError(op, f"{len(s)} sizes for {len(axes)} axes", input=type_of(x))
        sizes = tuple(n if k == -1 else int(k) for k, n in zip(s, sizes, strict=True))
    return axes, sizes


def _check(op: str, x: Tensor, sizes: Sequence[int]) -> None:
    if any(n < 1 for n in sizes):
        raise ShapeError(op, f"{list(sizes)} points are no signal", input=type_of(x))


def _many(op: str, input: Any, s: Any, dim: Any, norm: Any, inverse: bool, out: Any) -> Tensor:
    x = _numbers(op, input, complex=True)
    axes, sizes = _axes(op, x, s, dim)
    _check(op, x, sizes)
    for axis, size in zip(axes, sizes, strict=True):
        x = _resized(x, axis, size)
    if not axes:
        return with_out(x, out, op)
    return with_out(bind(FFT, (x,), (axes, _norm(op, norm), inverse)), out, op)


def _half(op: str, input: Any, s: Any, dim: Any, norm: Any, out: Any, *, mirror: bool) -> Tensor:
    """Real to complex; with `mirror` the conjugate, scaled the other way round (ihfft)."""
    x = _numbers(op, input, complex=False)
    axes, sizes = _axes(op, x, s, dim)
    if not axes:
        raise ArgumentError(op, "at least one axis is transformed", input=type_of(x))
    _check(op, x, sizes)
    for axis, size in zip(axes, sizes, strict=True):
        x = _resized(x, axis, size)
    scale = _norm(op, norm)
    scale = OTHER[scale] if mirror else scale
    made = bind(RFFT, (x,), (axes[-1], scale))
    if len(axes) > 1:
        made = bind(FFT, (made,), (axes[:-1], scale, False))
    return with_out(conj(made) if mirror else made, out, op)


def _whole(op: str, input: Any, s: Any, dim: Any, norm: Any, out: Any, *, mirror: bool) -> Tensor:
    """Complex to real; with `mirror` of the conjugate, scaled the other way round (hfft)."""
    x = _numbers(op, input, complex=True)
    axes, sizes = _axes(op, x, s, dim)
    if not axes:
        raise ArgumentError(op, "at least one axis is transformed", input=type_of(x))
    if s is None or (not isinstance(s, int) and s[-1] == -1):
        sizes = (*sizes[:-1], 2 * (sizes[-1] - 1))
    _check(op, x, sizes)
    for axis, size in zip(axes[:-1], sizes[:-1], strict=True):
        x = _resized(x, axis, size)
    x = _resized(x, axes[-1], sizes[-1] // 2 + 1)
    scale = _norm(op, norm)
    scale = OTHER[scale] if mirror else scale
    x = conj(x) if mirror else x
    if len(axes) > 1:
        x = bind(FFT, (x,), (axes[:-1], scale, True))
    return with_out(bind(IRFFT, (x,), (axes[-1], sizes[-1], scale)), out, op)


Out = Tensor | None
LAST_TWO = (-2, -1)


@axis_too
def fft(input: Any, n: Any = None, dim: int = -1, norm: Any = None, *, out: Out = None) -> Tensor:
    """The discrete Fourier transform along `dim`, of `n` points (cut, or continued with zeros).

    norm: which way is divided by n: "backward" (the inverse), "forward", or "ortho" (both, by its
    root).
    """
    return _many("fft", input, n, dim, norm, False, out)


@axis_too
def ifft(input: Any, n: Any = None, dim: int = -1, norm: Any = None, *, out: Out = None) -> Tensor:
    """The inverse of `fft`."""
    return _many("ifft", input, n, dim, norm, True, out)


@axis_too
def fft2(
    input: Any, s: Any = None, dim: Any = LAST_TWO, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`fftn` over the last two axes."""
    return _many("fft2", input, s, dim, norm, False, out)


@axis_too
def ifft2(
    input: Any, s: Any = None, dim: Any = LAST_TWO, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`ifftn` over the last two axes."""
    return _many("ifft2", input, s, dim, norm, True, out)


@axis_too
def fftn(
    input: Any, s: Any = None, dim: Any = None, norm: Any = None, *, out: Out = None
) -> Tensor:
    """The discrete Fourier transform over the axes `dim` (all, if None), brought to sizes `s`."""
    return _many("fftn", input, s, dim, norm, False, out)


@axis_too
def ifftn(
    input: Any, s: Any = None, dim: Any = None, norm: Any = None, *, out: Out = None
) -> Tensor:
    """The inverse of `fftn`."""
    return _many("ifftn", input, s, dim, norm, True, out)


@axis_too
def rfft(input: Any, n: Any = None, dim: int = -1, norm: Any = None, *, out: Out = None) -> Tensor:
    """The first n // 2 + 1 numbers of the `fft` of real numbers; the others mirror them."""
    return _half("rfft", input, n, dim, norm, out, mirror=False)


@axis_too
def rfft2(
    input: Any, s: Any = None, dim: Any = LAST_TWO, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`rfftn` over the last two axes."""
    return _half("rfft2", input, s, dim, norm, out, mirror=False)


@axis_too
def rfftn(
    input: Any, s: Any = None, dim: Any = None, norm: Any = None, *, out: Out = None
) -> Tensor:
    """The `fftn` of real numbers, of whose last axis one half is kept."""
    return _half("rfftn", input, s, dim, norm, out, mirror=False)


@axis_too
def irfft(input: Any, n: Any = None, dim: int = -1, norm: Any = None, *, out: Out = None) -> Tensor:
    """The inverse of `rfft`, of `n` real numbers: an even number of them, unless told."""
    return _whole("irfft", input, n, dim, norm, out, mirror=False)


@axis_too
def irfft2(
    input: Any, s: Any = None, dim: Any = LAST_TWO, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`irfftn` over the last two axes."""
    return _whole("irfft2", input, s, dim, norm, out, mirror=False)


@axis_too
def irfftn(
    input: Any, s: Any = None, dim: Any = None, norm: Any = None, *, out: Out = None
) -> Tensor:
    """The inverse of `rfftn`."""
    return _whole("irfftn", input, s, dim, norm, out, mirror=False)


@axis_too
def hfft(input: Any, n: Any = None, dim: int = -1, norm: Any = None, *, out: Out = None) -> Tensor:
    """The `fft`, which is real, of a signal of which one half is given, the other its mirror."""
    return _whole("hfft", input, n, dim, norm, out, mirror=True)


@axis_too
def hfft2(
    input: Any, s: Any = None, dim: Any = LAST_TWO, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`hfftn` over the last two axes."""
    return _whole("hfft2", input, s, dim, norm, out, mirror=True)


@axis_too
def hfftn(
    input: Any, s: Any = None, dim: Any = None, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`hfft` along the last of the axes, and `fftn` over the others."""
    return _whole("hfftn", input, s, dim, norm, out, mirror=True)


@axis_too
def ihfft(input: Any, n: Any = None, dim: int = -1, norm: Any = None, *, out: Out = None) -> Tensor:
    """The inverse of `hfft`."""
    return _half("ihfft", input, n, dim, norm, out, mirror=True)


@axis_too
def ihfft2(
    input: Any, s: Any = None, dim: Any = LAST_TWO, norm: Any = None, *, out: Out = None
) -> Tensor:
    """`ihfftn` over the last two axes."""
    return _half("ihfft2", input, s, dim, norm, out, mirror=True)


@axis_too
def ihfftn(
    input: Any, s: Any = None, dim: Any = None, norm: Any = None, *, out: Out = None
) -> Tensor:
    """The inverse of `hfftn`."""
    return _half("ihfftn", input, s, dim, norm, out, mirror=True)


# ---- frequencies, and where they stand


@placed
def fftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The frequencies of the numbers that `fft` gives for n points, d apart."""
    kind = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    places = roll(arange(-(n // 2), (n + 1) // 2), -(n // 2)) if n else arange(0)
    return _frequencies(places, n, d, kind, requires_grad)


@placed
def rfftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The frequencies of the numbers that `rfft` gives for n points, d apart."""
    kind = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return _frequencies(arange(n // 2 + 1), n, d, kind, requires_grad)


def _frequencies(places: Tensor, n: int, d: float, kind: Any, requires_grad: bool) -> Tensor:
    made = mul(cast(places, kind), 1.0 / (n * d)) if n else cast(places, kind)
    made.tracked = requires_grad
    return made


def _moved(op: str, dim: Any, x: Tensor) -> tuple[int, ...]:
    """The axes to move along: all where none are named, none where () names none."""
    return () if isinstance(dim, tuple | list) and not dim else axes_of(op, dim, x)


@axis_too
def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The numbers in the order of their frequencies, 0 in the middle."""
    axes = _moved("fftshift", dim, input)
    return roll(input, tuple(input.array.shape[a] // 2 for a in axes), axes) if axes else input


@axis_too
def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    axes = _moved("ifftshift", dim, input)
    moves = tuple((input.array.shape[a] + 1) // 2 for a in axes)
    return roll(input, moves, axes) if axes else input


guard(globals())
