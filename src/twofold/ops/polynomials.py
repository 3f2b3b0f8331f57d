"""Orthogonal polynomials of any degree, by their recurrences. Floor 4.

P[k + 1] = (a x + b) P[k] - c P[k - 1], with a, b, c of the family and of k; the slopes of any order
by the same recurrence, differentiated. In float64, rounded once.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.elementwise import add, cast, mul
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.ranges import in_range
from twofold.ops.rules import admit, broadcast, deliver, operands
from twofold.ops.tensor import Tensor

NAMES = """
chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
shifted_chebyshev_polynomial_w
"""
__all__ = NAMES.split()

# For each family, P[1] = first * x + constant, and k -> (a, b, c); k is a number, or of a kernel.
Step = Callable[[Any], tuple[Any, Any, Any]]


def _laguerre(k: Any) -> tuple[Any, Any, Any]:
    return -1.0 / (k + 1.0), (k * 2.0 + 1.0) / (k + 1.0), k / (k + 1.0)


def _legendre(k: Any) -> tuple[Any, Any, Any]:
    return (k * 2.0 + 1.0) / (k + 1.0), 0.0, k / (k + 1.0)


FAMILIES: dict[str, tuple[float, float, Step]] = {
    "chebyshev_polynomial_t": (1, 0, lambda k: (2.0, 0.0, 1.0)),
    "chebyshev_polynomial_u": (2, 0, lambda k: (2.0, 0.0, 1.0)),
    "chebyshev_polynomial_v": (2, -1, lambda k: (2.0, 0.0, 1.0)),
    "chebyshev_polynomial_w": (2, 1, lambda k: (2.0, 0.0, 1.0)),
    "hermite_polynomial_h": (2, 0, lambda k: (2.0, 0.0, k * 2.0)),
    "hermite_polynomial_he": (1, 0, lambda k: (1.0, 0.0, k)),
    "laguerre_polynomial_l": (-1, 1, _laguerre),
    "legendre_polynomial_p": (1, 0, _legendre),
}
LARGEST = 10_000
VMATH = "twofold.codegen.vmath.orthogonal"  # imported when a first kernel is built


def _polynomial(x: Any, n: Any, *, family: str, slope: int) -> Any:
    wide, degree = np.broadcast_arrays(x.astype(np.float64), n.astype(np.float64))
    whole = np.where(np.isfinite(degree), np.trunc(degree), -1).astype(np.int64)
    first, constant, step = FAMILIES[family]
    # the polynomial and its slopes up to the one that is wanted
    last = [np.ones_like(wide), *(np.zeros_like(wide) for _ in range(slope))]
    now = [
        first * wide + constant,
        *(np.full_like(wide, first if m == 0 else 0) for m in range(slope)),
    ]
    made = np.where(whole == 0, last[slope], 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, int(whole.max(initial=0)) + 1):
            made = np.where(whole == k, now[slope], made)
            a, b, c = step(k)
            up = [(a * wide + b) * now[m] - c * last[m] for m in range(slope + 1)]
            for m in range(1, slope + 1):
                up[m] = up[m] + m * a * now[m - 1]
            last, now = now, up
    return made.astype(x.dtype)


def _too_large(name: str, degree: Any) -> Exception:
    problem = f"a degree of {degree} is asked for"
    return ArgumentError(name, problem, hint=f"degrees up to {LARGEST}")


def _kernel(f: Any, x: Any, n: Any, *, family: str, slope: int) -> Any:
    vmath = importlib.import_module(VMATH)
    return vmath.polynomial(f, x, n, FAMILIES[family], slope, LARGEST)


def _vjp(g: Tensor, out: Any, x: Tensor, n: Tensor, *, family: str, slope: int) -> Any:
    return mul(g, bind(POLYNOMIAL, (x, n), (family, slope + 1))), None


POLYNOMIAL = define(
    "orthogonal_polynomial",
    inputs="x n",
    attrs=("family", "slope"),
    doc="The polynomial of degree n of a family at x, or one of its slopes by x.",
    accepts=FLOAT,
    infer=lambda x, n, *, family, slope: Type(
        broadcast("orthogonal_polynomial", x=x, n=n), x.dtype
    ),
    ref=_polynomial,
    lower=_kernel,
    vjp=_vjp,
    saves="x n",
    samples=lambda r: [
        Sample(
            (r.uniform(-1, 1, (3, 5)), np.array([-1.0, 0.0, 1.0, 2.0, 6.0]), family, slope),
            grad=(0,),
        )
        for family in FAMILIES
        for slope in (0, 1)
    ],
    torch=False,
)


def _function(family: str, shifted: bool) -> Callable[..., Tensor]:
    name = f"shifted_{family}" if shifted else family

    def function(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
        if isinstance(n, int | float) and LARGEST < n < math.inf:
            raise _too_large(name, int(n))
        x, degree = (admit(POLYNOMIAL, v, to_float=True) for v in operands(name, input, n))
        if isinstance(n, Tensor):
            whole = cast(degree, dtypes.int64)
            error = functools.partial(_too_large, name)
            degree = cast(in_range(whole, -(2**63), LARGEST + 1, error), x.dtype)
        if shifted:
            x = add(mul(x, 2), -1)
        made: Tensor = bind(POLYNOMIAL, (x, degree), (family, 0))
        return made if out is None else deliver(made, out, name)

    at = "2 input - 1" if shifted else "input"
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The polynomial of degree n of its family at {at}; 0 where n is negative."
    return function


globals().update(
    {name: _function(name.removeprefix("shifted_"), name[0] == "s") for name in __all__}
)
