"""Measure the errors of codegen/vmath, in units in the last place. Floor 14.

    python -m twofold.tools.accuracy            every function; writes docs/reference/accuracy.md
    python -m twofold.tools.accuracy exp sin    these only, printed

An error is |result - exact| over the distance between two floats where the exact result lies. What
is exact comes from long double functions of the C library through NumPy (float64 for float32), or
from mpmath where there is none; then float32 is also compared, at many more points, with the
function's own float64 form. Sampled are the ranges where a function is used, all magnitudes,
and the neighbours of the points where formulas meet.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

from twofold.codegen import vmath
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.loops import vector

Array = npt.NDArray[Any]
Range = tuple[float, float]

STORAGE = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}
LANES = 8
LIMITS = {"f32": 2.0, "f64": 4.0}
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "accuracy.md"
mpmath.mp.prec = 140


# ---- running a recipe ----------------------------------------------------------------------------


def _build(recipe: Callable[..., Any], element: str, inputs: int) -> Module:
    """Functions `vectors` and `scalars`: out[i] = recipe(inputs[i]...) for i < n."""
    m = Module("accuracy")
    for name, lanes in (("vectors", LANES), ("scalars", 1)):
        kind = vector(element, lanes) if lanes > 1 else element
        f = m.function(
            name, [("n", "i64"), ("out", "ptr"), *((f"x{i}", "ptr") for i in range(inputs))]
        )
        n, out, *xs = f.args
        with f.loop(0, n, lanes) as i:
            out.at(i, element).store(recipe(f, *(x.at(i, element).load(kind) for x in xs)))
    return m


@cache
def compiled(name: str, element: str, inputs: int, kind: str = "vectors") -> Callable[..., Array]:
    """A function of vmath on arrays, eight elements at a time or ("scalars") one at a time."""
    recipe = getattr(vmath, name)
    code = load(f"accuracy/{name}/{element}", lambda: _build(recipe, element, inputs))
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (inputs + 1))
    function = call(code.address(kind))

    def run(*given: Array) -> Array:
        count = len(given[0])
        padded = [np.append(x, np.ones(-count % LANES, x.dtype)) for x in given]
        out = np.empty_like(padded[0])
        function(len(out), out.ctypes.data, *[x.ctypes.data for x in padded])
        return out[:count]

    return run


# ---- what is exact -------------------------------------------------------------------------------


def _each(function: Callable[..., Any]) -> Callable[..., Array]:
    """A function of mpmath on arrays, as long doubles; NaN where it has no value."""

    def one(*values: Any) -> np.longdouble:
        try:
            result = function(*[mpmath.mpf(float(v)) for v in values])
        except (ValueError, ZeroDivisionError):
            return np.longdouble("nan")
        return np.longdouble(mpmath.nstr(result, 25))

    return lambda *xs: np.array([one(*row) for row in zip(*xs, strict=True)], np.longdouble)


def _erfinv(x: Any) -> Any:
    """By Newton's method from the float64 estimate of mpmath."""
    if abs(x) >= 1:
        return mpmath.inf * x if abs(x) == 1 else mpmath.nan
    rest = 1 - abs(x)
    with mpmath.workprec(60):
        y = mpmath.erfinv(abs(x)) if rest > 1e-9 else mpmath.sqrt(-mpmath.log(rest))
    for _ in range(40):
        step = (mpmath.erfc(y) - rest) * mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(y * y)
        y += step / (1 - y * step) if abs(y * step) < 0.5 else step
        if abs(step) <= abs(y) * mpmath.mpf(10) ** -30:
            break
    return mpmath.sign(x) * y


def _lgamma(x: Any) -> Any:
    if x <= 0 and x == mpmath.floor(x):
        return mpmath.inf
    if x > 0:
        return mpmath.loggamma(x)
    return mpmath.log(mpmath.pi / abs(x * mpmath.sinpi(x))) - mpmath.loggamma(-x)


def _digamma(x: Array) -> Array:
    exact = _each(lambda v: mpmath.digamma(v) if v > 0 or v != mpmath.floor(v) else mpmath.nan)
    return np.where(x == 0, np.copysign(np.inf, -x), exact(x))


def _erfc(x: Any) -> Any:
    """Beyond the numbers where it is 2 or 0, mpmath would work for ever."""
    return mpmath.erfc(min(max(x, mpmath.mpf(-30)), mpmath.mpf(60))) if x == x else x


def _sigmoid(x: Array) -> Array:
    small = np.exp(-abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def _sinpi(x: Array) -> Array:
    n = np.rint(x)
    sign = np.where(np.fmod(np.abs(n), 2) == 1, -1, 1)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    return np.where(x == n, 0 * x, np.sin(pi * (x.astype(np.longdouble) - n)) * sign)


def _sinc(x: Array) -> Array:
    pi = np.longdouble("3.14159265358979323846264338327950288")
    safe = np.where((x == 0) | np.isinf(x), 1, x).astype(np.longdouble)
    return np.where(x == 0, 1, np.where(np.isinf(x), 0, _sinpi(safe) / (pi * safe)))


def _xlogy(x: Array, y: Array) -> Array:
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y))


def _xlog1py(x: Array, y: Array) -> Array:
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log1p(y))


# ---- the functions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A function, what it should be, and where to look.

    ranges    sampled evenly, for each input
    near      points whose neighbours are tried
    by_mp     whether `exact` is mpmath, a thousand times slower
    absolute  where float64 cancels, (from, to): the error is counted in last places of the larger
              of result and argument
    """

    name: str
    exact: Callable[..., Any]
    ranges: tuple[tuple[Range, ...], ...]
    near: tuple[float, ...] = (0.0, 1.0)
    by_mp: bool = False
    absolute: Range | None = None
    note: str = ""

    @property
    def inputs(self) -> int:
        return len(self.ranges)


WIDE: Range = (-1e6, 1e6)
TURNS = tuple(k * np.pi / 4 for k in (*range(-9, 10), 1e3, 1e6, 1e9, 1e15))
POWERS = tuple(2.0**k for k in (-1.5, -1, -0.5, 0, 0.5, 1, 2, 10))


def _one(name: str, exact: Callable[..., Any], *ranges: Range, **fields: Any) -> Subject:
    return Subject(name, exact, (ranges,), **fields)


SUBJECTS = {
    subject.name: subject
    for subject in (
        _one(
            "exp", np.exp, (-5, 5), (-110, 90), (-750, 712), near=(0.0, 88.7, -87.3, 709.7, -708.4)
        ),
        _one("exp2", np.exp2, (-5, 5), (-160, 130), (-1080, 1030)),
        _one("expm1", np.expm1, (-1, 1), (-20, 90), (-40, 712), near=(0.0, 0.35, -0.35, -17.3)),
        _one("sigmoid", _sigmoid, (-5, 5), (-110, 20), (-750, 40)),
        _one("tanh", np.tanh, (-1, 1), (-10, 10), (-22, 22), near=(0.0, 0.625, 9.0, 19.0)),
        _one("log", np.log, (0, 4), (0.5, 2), (0, 1e6), near=POWERS),
        _one("log2", np.log2, (0, 4), (0.5, 2), (0, 1e6), near=POWERS),
        _one("log10", np.log10, (0, 4), (0.5, 2), (0, 1e6), near=POWERS),
        _one("log1p", np.log1p, (-1, 3), (-0.1, 0.1), (0, 1e6), near=(-1.0, 0.0, 0.33, 0.41)),
        _one("sin", np.sin, (-4, 4), (-1000, 1000), WIDE, near=TURNS),
        _one("cos", np.cos, (-4, 4), (-1000, 1000), WIDE, near=TURNS),
        _one("tan", np.tan, (-4, 4), (-1000, 1000), WIDE, near=TURNS),
        _one("sinpi", _sinpi, (-4, 4), (-1000, 1000), near=(0.0, 0.5, 1.0, 8.5)),
        _one("sinc", _sinc, (-4, 4), (-100, 100), near=(0.0, 0.5, 1.0, 8.5)),
        _one("asin", np.arcsin, (-1, 1), near=(0.0, 0.5, 1.0, -1.0)),
        _one("acos", np.arccos, (-1, 1), near=(0.0, 0.5, 1.0, -1.0)),
        _one("atan", np.arctan, (-4, 4), (-100, 100), near=(0.0, 0.4142135, 1.0, 2.4142135)),
        _one("sinh", np.sinh, (-2, 2), (-91, 91), (-711, 711), near=(0.0, 1.0, 89.4, 710.4)),
        _one("cosh", np.cosh, (-2, 2), (-91, 91), (-711, 711), near=(0.0, 1.0, 89.4, 710.4)),
        _one("asinh", np.arcsinh, (-4, 4), WIDE),
        _one("acosh", np.arccosh, (1, 4), (1, 1e6)),
        _one("atanh", np.arctanh, (-1, 1), near=(0.0, 1.0, -1.0, 0.5)),
        _one(
            "erf", _each(mpmath.erf), (-1.5, 1.5), (-6, 6), near=(0.0, 0.925, 1.0, 4.0), by_mp=True
        ),
        _one("erfc", _each(_erfc), (-2, 2), (-6, 28), near=(0.0, 0.5, -1.0, 10.0), by_mp=True),
        _one("erfinv", _each(_erfinv), (-1, 1), (0.98, 1), near=(0.0, 0.9966, 1.0), by_mp=True),
        _one(
            "lgamma",
            _each(_lgamma),
            (0, 3),
            (0, 100),
            (-10, 0),
            near=(0.0, 1.0, 2.0, 2.5, 8.0),
            by_mp=True,
            absolute=(-np.inf, 0.0),
            note="float64 below 0: in last places of the larger of result and argument",
        ),
        _one(
            "digamma",
            _digamma,
            (0, 3),
            (0, 100),
            (-10, 0),
            near=(1.0, 1.4616321449683622, 2.5, 8.0),
            by_mp=True,
            absolute=(-np.inf, 0.0),
            note="float64 below 0: in last places of the larger of result and argument",
        ),
        Subject("pow", np.power, (((0, 4), (0, 1e6)), ((-8, 8), (-6, 6)))),
        Subject("atan2", np.arctan2, (((-4, 4), WIDE), ((-4, 4), WIDE))),
        Subject("hypot", np.hypot, (((-4, 4), WIDE), ((-4, 4), WIDE))),
        Subject("xlogy", _xlogy, (((-4, 4),), ((0, 4),))),
        Subject("xlog1py", _xlog1py, (((-4, 4),), ((-1, 4),))),
        Subject("fmod", np.fmod, (((-4, 4), WIDE), ((-4, 4), (-1, 1)))),
        Subject("remainder", np.remainder, (((-4, 4), WIDE), ((-4, 4), (-1, 1)))),
    )
}
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 2.0, -2.0, 3.0)


def edges(dtype: np.dtype[Any], near: Sequence[float]) -> Array:
    """Special values, the ends of the format, and neighbours of the points."""
    facts = np.finfo(dtype)
    ends = [facts.max, facts.tiny, facts.smallest_subnormal, facts.tiny * (1 - facts.eps)]
    found = [*SPECIAL, *ends, *(-x for x in ends)]
    for point in near:
        below = above = dtype.type(point)
        for _ in range(8):
            found += [below, above]
            below = np.nextafter(below, dtype.type(-np.inf))
            above = np.nextafter(above, dtype.type(np.inf))
    return np.array(found, dtype)


def magnitudes(random: np.random.Generator, dtype: np.dtype[Any], count: int) -> Array:
    """Of all sizes and both signs."""
    facts = np.finfo(dtype)
    low, high = np.log2(float(facts.smallest_subnormal)), np.log2(float(facts.max))
    sizes = np.exp2(random.uniform(low, high, count)).astype(dtype)
    return sizes * random.choice(np.array([-1, 1], dtype), count)


def sample(subject: Subject, dtype: np.dtype[Any], count: int, seed: int = 0) -> list[Array]:
    """About `count` points for each range, a quarter of that over all magnitudes, and the edges."""
    random = np.random.default_rng(seed)
    columns = []
    for ranges in subject.ranges:
        parts = [random.uniform(low, high, count).astype(dtype) for low, high in ranges]
        columns.append(np.concatenate([*parts, magnitudes(random, dtype, count // 4)]))
    points = edges(dtype, subject.near)
    if subject.inputs == 1:
        return [np.concatenate([columns[0], points])]
    pairs = np.array(list(itertools.product(points, repeat=2)), dtype).T
    return [np.concatenate([c, p]) for c, p in zip(columns, pairs, strict=True)]


# ---- errors --------------------------------------------------------------------------------------


def errors(got: Array, exact: Array) -> Array:
    """In units in the last place of the exact results; infinite where only one is finite."""
    facts = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        exponent = np.frexp(np.abs(exact))[1] - 1 - facts.nmant
        unit = np.ldexp(np.ones_like(exact), np.maximum(exponent, facts.minexp - facts.nmant))
        error = np.abs(got.astype(exact.dtype) - exact) / unit
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    # an exact result beyond the largest float, given as infinity, is right
    error = np.where(same & ~np.isfinite(error), 0, error)
    return np.where(np.isnan(error), np.inf, error).astype(np.float64)


@dataclass(frozen=True)
class Measured:
    """The largest error of a function in a type, where it was, and how many points were tried."""

    worst: float
    where: tuple[float, ...]
    points: int


def measure(subject: Subject, element: str, count: int, seed: int = 0) -> Measured:
    """Sample one function in one type."""
    dtype = STORAGE[element]
    xs = sample(subject, dtype, count, seed)
    got = compiled(subject.name, element, subject.inputs)(*xs)
    wide = (
        np.dtype(np.float64) if element == "f32" and not subject.by_mp else np.dtype(np.longdouble)
    )
    with np.errstate(all="ignore"):
        exact = np.asarray(subject.exact(*[x.astype(wide) for x in xs]))
        found = errors(got, exact)
        if subject.absolute and element == "f64":
            low, high = subject.absolute
            size = np.maximum(np.abs(exact), np.abs(xs[0]))
            scaled = np.abs(got - exact) / (size * np.finfo(dtype).eps)
            within = (xs[0] > low) & (xs[0] < high) & np.isfinite(scaled)
            found = np.where(within, scaled, found)
    place = int(found.argmax())
    return Measured(float(found[place]), tuple(float(x[place]) for x in xs), len(got))


def against_double(subject: Subject, count: int, seed: int = 0) -> Measured:
    """float32 against the same function in float64, which mpmath has judged."""
    xs = sample(subject, STORAGE["f32"], count, seed)
    got = compiled(subject.name, "f32", subject.inputs)(*xs)
    wide = [x.astype(np.float64) for x in xs]
    found = errors(got, compiled(subject.name, "f64", subject.inputs)(*wide))
    place = int(found.argmax())
    return Measured(float(found[place]), tuple(float(x[place]) for x in xs), len(got))


# ---- the page ------------------------------------------------------------------------------------

HEAD = """# Accuracy of the mathematical functions

Generated by `python -m twofold.tools.accuracy`; do not edit.

Largest errors found, in units in the last place (ulp): 0.5 is a correctly rounded result. The
promise is at most 2 in float32 and 4 in float64, everywhere: at zeros, infinities, NaN, denormal
numbers and arguments of any size. `+ - * /`, `sqrt`, comparisons and conversions are correctly
rounded and not listed; `rsqrt` is `1 / sqrt(x)`, at most 1.5. A function gives the same bits in a
vector and alone, in every layout, eager and compiled.

| function | float32 | at | float64 | at | points (float32, float64) |
|---|---|---|---|---|---|
"""


def row(subject: Subject, found: dict[str, Measured]) -> str:
    """A line of the table."""
    cells = [f"`{subject.name}`"]
    for element in STORAGE:
        m = found[element]
        cells += [f"{m.worst:.2f}", ", ".join(f"{x:.8g}" for x in m.where)]
    cells.append(", ".join(f"{found[element].points:,}" for element in STORAGE))
    return "| " + " | ".join(cells) + " |"


def main(names: Sequence[str]) -> None:
    """Measure, print, and write the page if nothing was left out."""
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise SystemExit(f"no function {unknown[0]!r}; there are: {', '.join(SUBJECTS)}")
    lines, notes, beyond = [], [], []
    for subject in SUBJECTS.values():
        if names and subject.name not in names:
            continue
        count = 10_000 if subject.by_mp else 1_000_000
        found = {element: measure(subject, element, count) for element in STORAGE}
        if subject.by_mp:
            many = against_double(subject, 1_000_000)
            worse = max(many, found["f32"], key=lambda m: m.worst)
            found["f32"] = replace(worse, points=many.points + found["f32"].points)
        lines.append(row(subject, found))
        print(lines[-1], flush=True)
        notes += [f"`{subject.name}`: {subject.note}."] if subject.note else []
        beyond += [subject.name for e, m in found.items() if m.worst > LIMITS[e]]
    if not names:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(HEAD + "\n".join([*lines, "", *notes]) + "\n")
    if beyond:
        raise SystemExit(f"beyond the promise: {', '.join(beyond)}")


if __name__ == "__main__":
    main(sys.argv[1:])
