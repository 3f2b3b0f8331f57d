"""What the polynomials of codegen/vmath are fitted to. Floor 14.

    python -m twofold.tools.fits exp "sin f32"

Each row is (function, low, high, degree, format, weight of its error): see fit.py. Where a formula
is x + x^3 p(x^2), the row is p, and its weight turns its error into that of the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from mpmath import mp, mpf

from twofold.tools.fit import fit

mp.prec = 220
Real = Callable[[Any], Any]
TINY = mpf(10) ** -24
HALF_LN2 = mp.log(2) / 2 * mpf("1.001")
HALF = mpf("0.5005")
QUARTER_TURN = (mp.pi / 2 * mpf("1.0005")) ** 2
EIGHTH_TURN = (mp.pi / 4 * mpf("1.0005")) ** 2
TAN_EIGHTH = mp.tan(mp.pi / 8) ** 2 * mpf("1.0001")
ROOT2 = mp.sqrt(2)
LEAST_S = ((ROOT2 - 1) / (ROOT2 + 1) * mpf("1.0001")) ** 2
MIDDLE = mpf("1.75")


def odd(function: Real, third: Any) -> tuple[Real, Real]:
    """p where function(x) = x + x^3 p(x^2), and the weight of its error."""

    def goal(z: Any) -> Any:
        if z < TINY:
            return mpf(third)
        x = mp.sqrt(z)
        return (function(x) - x) / (x * z)

    def weight(z: Any) -> Any:
        x = mp.sqrt(z) + mpf("1e-9")
        return (z + mpf("1e-4")) * x / function(x)

    return goal, weight


def exp_rest(r: Any) -> Any:
    """(exp(r) - 1 - r) / r^2."""
    if abs(r) < mpf(10) ** -8:
        return mpf(1) / 2 + r / 6 + r * r / 24 + r**3 / 120
    return (mp.exp(r) - 1 - r) / (r * r)


def exp2_rest(r: Any) -> Any:
    """(2^r - 1) / r."""
    return mp.log(2) if abs(r) < TINY else (2**r - 1) / r


def log_rest(t: Any) -> Any:
    """(log(1 + t) - t + t^2 / 2) / t^3."""
    if abs(t) < mpf(10) ** -12:
        return mpf(1) / 3 - t / 4 + t * t / 5
    return (mp.log1p(t) - t + t * t / 2) / t**3


def log_rest_weight(t: Any) -> Any:
    return abs(t) ** 3 / (abs(mp.log1p(t)) + mpf(10) ** -9) + mpf("1e-4")


def atanh_rest(z: Any) -> Any:
    """(2 atanh(s) - 2 s) / s^3 with s^2 = z."""
    s = mp.sqrt(z)
    return mpf(2) / 3 if z < TINY else (2 * mp.atanh(s) - 2 * s) / (s * z)


def atanh_tail(z: Any) -> Any:
    """(2 atanh(s) - 2 s - 2/3 s^3) / s^5 with s^2 = z."""
    if z < mpf(10) ** -18:
        return mpf(2) / 5 + z * 2 / 7
    return (atanh_rest(z) - mpf(2) / 3) / z


def cos_rest(z: Any) -> Any:
    """(cos(x) - 1 + x^2 / 2) / x^4 with x^2 = z."""
    if z < mpf(10) ** -20:
        return mpf(1) / 24 - z / 720
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def erf_rest(z: Any) -> Any:
    """erf(x) / x - 1 with x^2 = z."""
    x = mp.sqrt(z)
    return 2 / mp.sqrt(mp.pi) - 1 if z < TINY else mp.erf(x) / x - 1


def erfc_scaled(k: int) -> Real:
    """exp(x^2) erfc(x) (1 + 2 x) with q = (x - k) / (x + k)."""

    def goal(q: Any) -> Any:
        x = k * (1 + q) / (1 - q)
        return mp.exp(x * x) * mp.erfc(x) * (1 + 2 * x)

    return goal


@cache
def erfinv_ratio(w: Any) -> Any:
    """erfinv(x) / x with w = -log(1 - x^2), by Newton's method on erfc."""
    if w < mpf(10) ** -30:
        return mp.sqrt(mp.pi) / 2
    e = mp.exp(-w)
    x = mp.sqrt(1 - e)
    rest = e / (1 + x)
    y = mp.sqrt(max(-mp.log(rest * mp.sqrt(mp.pi)), mpf("0.01")))
    for _ in range(12):
        step = (mp.erfc(y) - rest) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step / (1 - y * step) if abs(1 - y * step) > 0.2 else step
        if abs(step) < mpf(10) ** -55 * y:
            break
    return y / x


def erfinv_near(w: Any) -> Any:
    return erfinv_ratio(w + mpf("2.5"))


def erfinv_tail(middle: str) -> Real:
    return lambda s: erfinv_ratio((s + mpf(middle)) ** 2)


@cache
def lgamma_ratio(u: Any) -> Any:
    """lgamma(x) / ((x - 1) (x - 2)) with x = u + 1.75."""
    x = u + MIDDLE
    for zero, limit in ((1, mp.euler), (2, 1 - mp.euler)):
        if abs(x - zero) < mpf(10) ** -30:
            return limit
    return mp.loggamma(x) / ((x - 1) * (x - 2))


@cache
def stirling_rest(z: Any) -> Any:
    if z < TINY:
        return mpf(1) / 12
    x = 1 / mp.sqrt(z)
    return (mp.loggamma(x) - (x - mpf("0.5")) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


DIGAMMA_ZERO = mp.findroot(mp.digamma, mpf("1.4616"))


@cache
def digamma_ratio(u: Any) -> Any:
    """digamma(x) / (x - its zero) with x = u + 1.75."""
    x = u + MIDDLE
    if abs(x - DIGAMMA_ZERO) < mpf(10) ** -25:
        return mp.psi(1, DIGAMMA_ZERO)
    return mp.digamma(x) / (x - DIGAMMA_ZERO)


@cache
def digamma_rest(z: Any) -> Any:
    if z < mpf(10) ** -20:
        return mpf(1) / 12 - z / 120
    x = 1 / mp.sqrt(z)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x * x


def quadratic(r: Any) -> Any:
    return (r * r + mpf("0.0004")) / mp.exp(r)


def linear(r: Any) -> Any:
    return abs(r) + mpf("0.02")


def first(z: Any) -> Any:
    return z + mpf("1e-4")


def second(z: Any) -> Any:
    return z * z + mpf("1e-4")


def erf_weight(z: Any) -> Any:
    return 1 / (1 + erf_rest(z))


def tail_weight(x: Any) -> Any:
    return mp.erfc(x) / mp.erf(x)


def log_erfc(x: Any) -> Any:
    return mp.log(mp.erfc(x))


def log2_erfc(x: Any) -> Any:
    return log_erfc(x) / mp.log(2)


SIN, SIN_WEIGHT = odd(mp.sin, -mpf(1) / 6)
ASIN, ASIN_WEIGHT = odd(mp.asin, mpf(1) / 6)
ATAN, ATAN_WEIGHT = odd(mp.atan, -mpf(1) / 3)
SINH, SINH_WEIGHT = odd(mp.sinh, mpf(1) / 6)
TANH, TANH_WEIGHT = odd(mp.tanh, -mpf(1) / 3)
THIRD = mpf(1) / 3 * mpf("1.0001")
ERFC_END = (mpf("27.5") - 3) / (mpf("27.5") + 3)
GAMMA_RANGE = (1 - MIDDLE - mpf("0.0001"), mpf("2.5001") - MIDDLE)
FAR = mpf(1) / 64 * mpf("1.001")

Row = tuple[Real, Any, Any, int, str, Real | None]
FITS: dict[str, Row] = {
    "exp f32": (exp_rest, -HALF_LN2, HALF_LN2, 4, "f32", quadratic),
    "exp f64": (exp_rest, -HALF_LN2, HALF_LN2, 9, "f64", quadratic),
    "exp single": (exp_rest, -HALF_LN2, HALF_LN2, 5, "f64", quadratic),
    "expm1 f32": (exp_rest, -HALF_LN2, HALF_LN2, 5, "f32", linear),
    "expm1 f64": (exp_rest, -HALF_LN2, HALF_LN2, 10, "f64", linear),
    "exp2 f32": (exp2_rest, -HALF, HALF, 5, "f32", linear),
    "exp2 f64": (exp2_rest, -HALF, HALF, 10, "f64", linear),
    "exp2 single": (exp2_rest, -HALF, HALF, 6, "f64", linear),
    "exp2 tail": (exp2_rest, -HALF, HALF, 4, "f32", linear),
    "tanh f32": (TANH, 0, mpf("0.625") ** 2, 4, "f32", TANH_WEIGHT),
    "log f32": (log_rest, -THIRD, THIRD, 7, "f32", log_rest_weight),
    "log f64": (atanh_rest, 0, LEAST_S, 6, "f64", first),
    "log single": (atanh_rest, 0, LEAST_S, 3, "f64", first),
    "log_tail f64": (atanh_tail, 0, LEAST_S, 7, "f64", second),
    "sin f32": (SIN, 0, QUARTER_TURN, 3, "f32", SIN_WEIGHT),
    "sin f64": (SIN, 0, QUARTER_TURN, 7, "f64", SIN_WEIGHT),
    "sin_eighth f64": (SIN, 0, EIGHTH_TURN, 5, "f64", SIN_WEIGHT),
    "sin_eighth single": (SIN, 0, EIGHTH_TURN, 3, "f64", SIN_WEIGHT),
    "cos_eighth f64": (cos_rest, 0, EIGHTH_TURN, 5, "f64", second),
    "cos_eighth single": (cos_rest, 0, EIGHTH_TURN, 2, "f64", second),
    "asin f32": (ASIN, 0, mpf("0.2501"), 4, "f32", ASIN_WEIGHT),
    "asin f64": (ASIN, 0, mpf("0.2501"), 12, "f64", ASIN_WEIGHT),
    "atan f32": (ATAN, 0, TAN_EIGHTH, 4, "f32", ATAN_WEIGHT),
    "atan f64": (ATAN, 0, TAN_EIGHTH, 10, "f64", ATAN_WEIGHT),
    "atan single": (ATAN, 0, TAN_EIGHTH, 5, "f64", ATAN_WEIGHT),
    "sinh f32": (SINH, 0, 1, 3, "f32", SINH_WEIGHT),
    "sinh f64": (SINH, 0, 1, 6, "f64", SINH_WEIGHT),
    "erf f32": (erf_rest, 0, mpf("0.93") ** 2, 5, "f32", erf_weight),
    "erf f64": (erf_rest, 0, 1, 11, "f64", erf_weight),
    "erf_tail f32": (log2_erfc, mpf("0.92"), 4, 5, "f32", tail_weight),
    "erf_tail f64": (log_erfc, mpf("0.999"), 6, 17, "f64", tail_weight),
    "erfc f64": (erfc_scaled(3), -1, ERFC_END, 22, "f64", None),
    "erfc single": (erfc_scaled(3), -1, ERFC_END, 12, "f64", None),
    "erfinv f64": (erfinv_near, mpf("-2.5"), mpf("2.5005"), 22, "f64", None),
    "erfinv single": (erfinv_near, mpf("-2.5"), mpf("2.5005"), 10, "f64", None),
    "erfinv_tail f64": (erfinv_tail("3.125"), mpf("-0.8952"), mpf("0.875"), 21, "f64", None),
    "erfinv_far f64": (erfinv_tail("5"), mpf("-1.0004"), mpf("1.01"), 17, "f64", None),
    "erfinv_tail single": (erfinv_tail("3.125"), mpf("-0.8952"), mpf("0.905"), 10, "f64", None),
    "lgamma f64": (lgamma_ratio, *GAMMA_RANGE, 26, "f64", None),
    "stirling f64": (stirling_rest, 0, FAR, 6, "f64", None),
    "digamma f64": (digamma_ratio, *GAMMA_RANGE, 26, "f64", None),
    "digamma_series f64": (digamma_rest, 0, FAR, 6, "f64", None),
}


def main(names: list[str]) -> None:
    """Print the coefficients of all fits whose names begin with these words."""
    chosen = [name for name in FITS if not names or name.split()[0] in names or name in names]
    if not chosen:
        raise SystemExit(f"there are: {', '.join(FITS)}")
    for name in chosen:
        goal, low, high, degree, form, weight = FITS[name]
        coefficients, error, best = fit(goal, low, high, degree, form, weight)
        bits, possible = (float(mp.log(e, 2)) for e in (error, best))
        print(f"{name}: error 2^{bits:.1f} (possible 2^{possible:.1f})")
        print("".join(f"    {c!r},\n" for c in coefficients), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
