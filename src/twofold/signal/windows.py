"""Windows for spectra under PyTorch's names: `signal.windows.kaiser(64)`. Floor 9.

A symmetric window has its ends at both ends; one that is not (`sym=False`) is a period, whose first
number would come next. All are computed in float64 and rounded once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.layouts import strided
from twofold.ops.creation import finish
from twofold.ops.more_special import kaiser_values
from twofold.ops.source import placed
from twofold.ops.tensor import Tensor

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine"]
__all__ += ["general_hamming", "hamming", "hann", "kaiser", "nuttall"]


def _window(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The window of M numbers of which `function` gives as many as a symmetric one has."""

    @functools.wraps(function)
    def window(
        M: int,
        *,
        sym: bool = True,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:
        name = function.__name__
        kind = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
        if not kind.is_floating_point:
            raise ArgumentError(name, f"{kind.name} is not a floating type", hint="float32")
        if layout not in (None, strided):
            raise ArgumentError(name, f"{layout} windows do not exist", hint="twofold.strided")
        if M < 0:
            raise ArgumentError(name, f"{M} numbers are no window", hint="M >= 0")
        if options.get("center") is not None and sym:
            raise ArgumentError(name, "a symmetric window has its own center", hint="sym=False")
        points = M if sym or M < 2 else M + 1
        numbers = function(points, **options)[:M] if M > 1 else np.ones(M)
        return finish(numbers, kind, requires_grad)

    return placed(window)


def _places(points: int) -> Any:
    """From 0 to 1."""
    return np.arange(points) / (points - 1)


def _cosines(points: int, a: Iterable[float]) -> Any:
    turns = 2 * math.pi * _places(points)
    return sum((-1) ** k * weight * np.cos(k * turns) for k, weight in enumerate(a))


@_window
def general_cosine(points: int, *, a: Iterable[float]) -> Any:
    """The sum of (-1)**k a[k] cos(2 pi k n / (N - 1))."""
    weights = list(a)
    if not weights:
        raise ArgumentError("general_cosine", "there are no weights", hint="a=[0.5, 0.5]")
    return _cosines(points, weights)


@_window
def general_hamming(points: int, *, alpha: float = 0.54) -> Any:
    """alpha - (1 - alpha) cos(2 pi n / (N - 1))."""
    return _cosines(points, (alpha, 1 - alpha))


@_window
def hamming(points: int) -> Any:
    """0.54 - 0.46 cos(2 pi n / (N - 1))."""
    return _cosines(points, (0.54, 0.46))


@_window
def hann(points: int) -> Any:
    """(1 - cos(2 pi n / (N - 1))) / 2."""
    return _cosines(points, (0.5, 0.5))


@_window
def blackman(points: int) -> Any:
    """0.42 - 0.5 cos(2 pi n / (N - 1)) + 0.08 cos(4 pi n / (N - 1))."""
    return _cosines(points, (0.42, 0.5, 0.08))


@_window
def nuttall(points: int) -> Any:
    """Four cosines whose side lobes are the lowest (Nuttall 1981)."""
    return _cosines(points, (0.3635819, 0.4891775, 0.1365995, 0.0106411))


@_window
def bartlett(points: int) -> Any:
    """1 - |2 n / (N - 1) - 1|, a triangle."""
    return 1 - np.abs(2 * _places(points) - 1)


@_window
def cosine(points: int) -> Any:
    """sin(pi (n + 1/2) / N)."""
    return np.sin(math.pi * (np.arange(points) + 0.5) / points)


@_window
def exponential(points: int, *, center: float | None = None, tau: float = 1.0) -> Any:
    """exp(-|n - center| / tau); the center is the middle unless given."""
    if tau <= 0:
        raise ArgumentError("exponential", f"tau is {tau}", hint="tau > 0")
    middle = (points - 1) / 2 if center is None else center
    return np.exp(-np.abs(np.arange(points) - middle) / tau)


@_window
def gaussian(points: int, *, std: float = 1.0) -> Any:
    """exp(-(n - middle)**2 / (2 std**2))."""
    if std <= 0:
        raise ArgumentError("gaussian", f"std is {std}", hint="std > 0")
    return np.exp(-(((np.arange(points) - (points - 1) / 2) / std) ** 2) / 2)


@_window
def kaiser(points: int, *, beta: float = 12.0) -> Any:
    """i0(beta sqrt(1 - (2 n / (N - 1) - 1)**2)) / i0(beta) (Kaiser, Schafer 1980)."""
    if beta < 0:
        raise ArgumentError("kaiser", f"beta is {beta}", hint="beta >= 0")
    return kaiser_values(2 * _places(points) - 1, beta)
