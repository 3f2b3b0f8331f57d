"""Short-time Fourier transforms, and the windows that they look through. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops.bind import bind, mode
from twofold.ops.compare import gt
from twofold.ops.complexes import view_as_complex, view_as_real
from twofold.ops.creation import arange
from twofold.ops.elementwise import abs, add, cast, mul, square, sub, true_divide
from twofold.ops.fourier import fft, ifft, irfft, rfft
from twofold.ops.guarding import guard
from twofold.ops.movement import expand, reshape, transpose
from twofold.ops.padding import PAD, pad
from twofold.ops.ranges import require
from twofold.ops.reduce import amin
from twofold.ops.rules import constant
from twofold.ops.source import placed
from twofold.ops.stand_in import numbers_of, stands_in
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.transcendental import cos
from twofold.ops.views import FOLD, narrow, unfold

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "istft", "stft"]

Shape = Callable[[Tensor], Tensor]


def _window(name: str, length: int, periodic: bool, dtype: Any, tracked: bool, shape: Shape) -> Any:
    """A window from a function of the place, 0 to 1; a periodic one lacks its last number."""
    kind = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not kind.is_floating_point:
        raise DTypeError(name, f"{kind.name} is not a floating type")
    if length < 0:
        raise ArgumentError(name, f"{length} points are no window")
    points = length if periodic else length - 1
    places = cast(arange(length), kind)
    made = shape(true_divide(places, points)) if length > 1 else add(mul(places, 0), 1)
    made.tracked = tracked
    return made


@placed
def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """sin(pi n / N)**2, for n from 0 to window_length - 1."""
    return hamming_window(
        window_length, periodic, 0.5, 0.5, dtype=dtype, requires_grad=requires_grad
    )


@placed
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """alpha - beta cos(2 pi n / N)."""

    def shape(t: Tensor) -> Tensor:
        return sub(alpha, mul(cos(mul(t, 2 * math.pi)), beta))

    return _window("hamming_window", window_length, periodic, dtype, requires_grad, shape)  # type: ignore[no-any-return]


@placed
def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""

    def shape(t: Tensor) -> Tensor:
        first = sub(0.42, mul(cos(mul(t, 2 * math.pi)), 0.5))
        return abs(add(first, mul(cos(mul(t, 4 * math.pi)), 0.08)))

    return _window("blackman_window", window_length, periodic, dtype, requires_grad, shape)  # type: ignore[no-any-return]


@placed
def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """1 - |2 n / N - 1|, a triangle."""

    def shape(t: Tensor) -> Tensor:
        return sub(1, abs(sub(mul(t, 2), 1)))

    return _window("bartlett_window", window_length, periodic, dtype, requires_grad, shape)  # type: ignore[no-any-return]


def _full_window(op: str, window: Any, win_length: int, n_fft: int, dtype: DType) -> Tensor:
    """The window in the middle of n_fft numbers; ones where none is given."""
    if window is None:
        window = expand(constant(1, dtype), (win_length,))
    if window.array.shape != (win_length,):
        raise ShapeError(op, f"a window of {win_length} numbers is wanted", window=type_of(window))
    left = (n_fft - win_length) // 2
    if win_length == n_fft:
        return window  # type: ignore[no-any-return]
    return bind(PAD, (window,), (((left, n_fft - win_length - left),), 0.0))  # type: ignore[no-any-return]


def _lengths(op: str, n_fft: int, hop: Any, win: Any) -> tuple[int, int]:
    hop = n_fft // 4 if hop is None else int(hop)
    win = n_fft if win is None else int(win)
    if n_fft < 1 or hop < 1 or not 0 < win <= n_fft:
        problem = f"n_fft = {n_fft}, hop_length = {hop}, win_length = {win}"
        raise ArgumentError(op, problem, hint="all above 0, win_length <= n_fft")
    return hop, win


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The Fourier transforms of windows of `n_fft` points, `hop_length` apart, along the last axis.

    input f[T] or f[B, T] -> c[..., n_fft // 2 + 1, frames]; all n_fft frequencies with
    onesided=False, and for complex input. With `center` frame t has point t * hop_length in its
    middle.
    """
    complex_in = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None and not complex_in:
        hint = "return_complex=True"
        raise ArgumentError("stft", "return_complex is wanted for real input", hint=hint)
    if not (input.dtype.is_complex or input.dtype.is_floating_point):
        raise DTypeError("stft", "floating or complex numbers are wanted", input=type_of(input))
    if input.array.ndim not in (1, 2):
        raise ShapeError("stft", "a signal, or a batch of them, is wanted", input=type_of(input))
    hop, win = _lengths("stft", n_fft, hop_length, win_length)
    x = input if input.array.ndim == 2 else reshape(input, (1, -1))
    if center:
        x = pad(x, (n_fft // 2, n_fft // 2), pad_mode)
    if x.array.shape[1] < n_fft:
        raise ShapeError("stft", f"fewer than n_fft = {n_fft} points", input=type_of(input))
    frames = unfold(x, 1, n_fft, hop)
    if window is not None or win != n_fft:
        real = input.dtype.to_real()
        frames = mul(frames, _full_window("stft", window, win, n_fft, real))
    norm = "ortho" if normalized else "backward"
    half = not complex_in if onesided is None else onesided
    if half and complex_in:
        raise ArgumentError("stft", "onesided is for real input alone")
    made = transpose((rfft if half else fft)(frames, n_fft, -1, norm), 1, 2)
    made = made if input.array.ndim == 2 else reshape(made, made.array.shape[1:])
    return made if return_complex or return_complex is None else view_as_real(made)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose `stft` is nearest to `input` c[..., frequencies, frames] (Griffin, Lim
    1984).

    Raises ArgumentError where the windows leave a gap.
    """
    x = input if input.dtype.is_complex else view_as_complex(input)
    if x.array.ndim not in (2, 3):
        raise ShapeError("istft", "[frequencies, frames] are wanted", input=type_of(input))
    hop, win = _lengths("istft", n_fft, hop_length, win_length)
    half = x.array.shape[-2] != n_fft if onesided is None else onesided
    if half and return_complex:
        problem = "a half of the spectrum is that of a real signal"
        raise ArgumentError("istft", problem, hint="return_complex=False", input=type_of(input))
    wanted = n_fft // 2 + 1 if half else n_fft
    if x.array.shape[-2] != wanted:
        raise ShapeError("istft", f"{wanted} frequencies are wanted", input=type_of(input))
    full = _full_window("istft", window, win, n_fft, x.dtype.to_real())
    batch = x if x.array.ndim == 3 else reshape(x, (1, *x.array.shape))
    count = batch.array.shape[-1]
    norm = "ortho" if normalized else "backward"
    spectra = transpose(batch, 1, 2)
    if return_complex:
        frames = ifft(spectra, n_fft, -1, norm)
    else:  # of a whole spectrum, the first half: the other one mirrors it where the signal is real
        frames = irfft(narrow(spectra, -1, 0, n_fft // 2 + 1), n_fft, -1, norm)
    total = n_fft + hop * (count - 1)
    added = _overlapped(mul(frames, full), total, n_fft, hop)
    envelope = _overlapped(expand(square(full), (1, count, n_fft)), total, n_fft, hop)
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else total - (n_fft // 2 if center else 0)
    inside = max(min(stop, total) - start, 0)
    added, envelope = narrow(added, 1, start, inside), narrow(envelope, 1, start, inside)
    _check_envelope(envelope)
    made = true_divide(added, envelope)
    if length is not None and inside < length:
        made = pad(made, (0, length - inside))
    return made if x.array.ndim == 3 else reshape(made, (-1,))


def _overlapped(frames: Tensor, total: int, size: int, hop: int) -> Tensor:
    """Frames f[B, n, size] added up where they overlap: f[B, total]."""
    shape = (frames.array.shape[0], total)
    return bind(FOLD, (frames,), (shape, 1, size, hop))  # type: ignore[no-any-return]


def _check_envelope(envelope: Tensor) -> None:
    if not envelope.array.size:
        return
    known = stands_in(envelope.array) and mode.capture is None
    there = wrap(np.asarray(numbers_of(envelope))) if known else envelope
    given = type_of(envelope)

    def gap() -> ArgumentError:
        problem = "the windows leave a gap"
        return ArgumentError("istft", problem, hint="a smaller hop_length", window=given)

    require(gt(amin(abs(there)), 1e-11), gap)


guard(globals())
