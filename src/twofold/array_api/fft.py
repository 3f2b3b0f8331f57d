"""The standard's extension for Fourier transforms. Floor 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.ops import fourier
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfftn", "rfft", "rfftfreq", "rfftn",
]  # fmt: skip


def _one(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def along(x: Tensor, /, *, n: Any = None, axis: int = -1, norm: str = "backward") -> Tensor:
        return function(x, n, axis, norm)

    return _named(along, function)


def _several(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def along(x: Tensor, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
        return function(x, s, axes, norm)

    return _named(along, function)


def _shift(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def along(x: Tensor, /, *, axes: Any = None) -> Tensor:
        return function(x, axes)

    return _named(along, function)


def _named(made: Callable[..., Tensor], function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    made.__name__ = made.__qualname__ = function.__name__
    made.__doc__ = function.__doc__
    return made


fft, ifft = _one(fourier.fft), _one(fourier.ifft)
rfft, irfft = _one(fourier.rfft), _one(fourier.irfft)
hfft, ihfft = _one(fourier.hfft), _one(fourier.ihfft)
fftn, ifftn = _several(fourier.fftn), _several(fourier.ifftn)
rfftn, irfftn = _several(fourier.rfftn), _several(fourier.irfftn)
fftshift, ifftshift = _shift(fourier.fftshift), _shift(fourier.ifftshift)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    return fourier.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    return fourier.rfftfreq(n, d, dtype=dtype, device=device)


guard(globals())
