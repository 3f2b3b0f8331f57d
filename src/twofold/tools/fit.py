"""Fit the polynomials of codegen/vmath. Floor 14.

A fit minimises the largest weighted error by the exchange algorithm of Remez (1934). Coefficients
are then rounded to the working precision one by one, lowest power first, the rest being fitted
again after each, so that the rounding of one is made good by the others.
"""

from collections.abc import Callable, Sequence

import numpy as np
from mpmath import mp, mpf

Real = Callable[[mpf], mpf]
GRID = 40  # points of the error scan for each coefficient


def nodes(low: mpf, high: mpf, count: int) -> list[mpf]:
    """The extrema of a Chebyshev polynomial: where errors of equal height about lie."""
    centre, half = (low + high) / 2, (high - low) / 2
    return [centre - half * mp.cos(mp.pi * k / (count - 1)) for k in range(count)]


def horner(coefficients: Sequence[mpf], x: mpf) -> mpf:
    """Lowest power first."""
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def remez(goal: Real, weight: Real, low: mpf, high: mpf, count: int) -> list[mpf]:
    """The `count` coefficients, lowest power first, that minimise max |weight * (goal - sum)|."""
    scan = [x for x in nodes(low, high, GRID * (count + 1)) if weight(x) != 0]
    values = [(x, goal(x), abs(weight(x))) for x in scan]
    picked = [round(k * (len(scan) - 1) / count) for k in range(count + 1)]
    best: list[mpf] = []
    least = mp.inf
    for _ in range(30):
        coefficients, level = levelled([values[place] for place in picked])
        errors = [w * (y - horner(coefficients, x)) for x, y, w in values]
        worst = max(map(abs, errors))
        if not best or worst < least:
            best, least = coefficients, worst
        picked = extrema(errors, count + 1)
        if not picked or worst <= abs(level) * mpf("1.001"):
            break
    return best


def levelled(points: list[tuple[mpf, mpf, mpf]]) -> tuple[list[mpf], mpf]:
    """The polynomial whose weighted errors at the points are equal and alternate, and the error."""
    count = len(points) - 1
    rows, right = mp.matrix(count + 1, count + 1), mp.matrix(count + 1, 1)
    for row, (x, y, w) in enumerate(points):
        for column in range(count):
            rows[row, column] = x**column
        rows[row, count] = (-1) ** row / w
        right[row] = y
    solved = list(mp.lu_solve(rows, right))
    return solved[:count], solved[count]


def extrema(errors: list[mpf], count: int) -> list[int]:
    """Places of alternating peaks: the highest of each run of one sign, `count` of them."""
    peaks: list[int] = []
    for place, error in enumerate(errors):
        if peaks and (errors[peaks[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = place
        else:
            peaks.append(place)
    while len(peaks) > count:
        # drop from the end that is lower, so that the signs keep alternating
        first, last = abs(errors[peaks[0]]), abs(errors[peaks[-1]])
        del peaks[0 if first < last else -1]
    return peaks if len(peaks) == count else []


def least_squares(goal: Real, weight: Real, low: mpf, high: mpf, powers: range) -> list[mpf]:
    """Coefficients of x**p that minimise the sum of squares over Chebyshev nodes."""
    count = len(powers)
    points = [x for x in nodes(low, high, 6 * count + 10) if weight(x) != 0]
    rows, right = mp.matrix(len(points), count), mp.matrix(len(points), 1)
    for row, x in enumerate(points):
        w = weight(x)
        for column, power in enumerate(powers):
            rows[row, column] = w * x**power
        right[row] = w * goal(x)
    return list(mp.lu_solve(rows.T * rows, rows.T * right))


ROUND: dict[str, Callable[[mpf], float]] = {
    "f32": lambda c: float(np.float32(float(c))),
    "f64": float,
}


def fit(
    goal: Real,
    low: object,
    high: object,
    degree: int,
    form: str = "f64",
    weight: Real | None = None,
    exact: Sequence[float] = (),
) -> tuple[list[float], float, float]:
    """Rounded coefficients, lowest power first; the largest weighted error; and the best possible.

    The weight is 1 / |goal| unless given: relative error. `exact` are lowest coefficients to keep.
    """
    a, b = mpf(low), mpf(high)
    weight = weight or (lambda x: 1 / abs(goal(x)))
    known = [mpf(c) for c in exact]
    rest = remez(
        lambda x: (goal(x) - horner(known, x)) / x ** len(known),
        lambda x: weight(x) * x ** len(known),
        a,
        b,
        degree + 1 - len(known),
    )
    ideal = known + rest
    rounded = [float(c) for c in known]
    while len(rounded) <= degree:
        power = len(rounded)
        rounded.append(ROUND[form](ideal[power]))
        lost = ideal[power] - mpf(rounded[power])
        if power < degree:
            powers = range(power + 1, degree + 1)
            moved = least_squares(lambda x: lost * x**power, weight, a, b, powers)  # noqa: B023
            ideal[power + 1 :] = [c + m for c, m in zip(ideal[power + 1 :], moved, strict=True)]
    best = worst(goal, weight, a, b, known + rest)
    if form == "f32":
        rounded = climb(goal, weight, a, b, rounded)
    return rounded, worst(goal, weight, a, b, [mpf(c) for c in rounded]), best


def worst(goal: Real, weight: Real, low: mpf, high: mpf, coefficients: Sequence[mpf]) -> float:
    """The largest weighted error over a fine grid."""
    grid = nodes(low, high, 20 * len(coefficients) + 200)
    return float(max(abs(weight(x) * (goal(x) - horner(coefficients, x))) for x in grid))


def climb(
    goal: Real, weight: Real, low: mpf, high: mpf, start: list[float], turns: int = 4000
) -> list[float]:
    """Move float32 coefficients by units in the last place while the largest error falls."""
    grid = nodes(low, high, 40 * len(start))
    xs, ws = np.array(grid, float), np.array([weight(x) for x in grid], float)
    powers = np.stack([xs**k for k in range(len(start))])
    begin = np.array(start)
    base = [mpf(c) for c in start]
    # the error of the start in full precision; the moves are small, so float64 serves for them
    error = np.array([float(goal(x) - horner(base, x)) for x in grid])
    random = np.random.default_rng(1)
    best = begin.copy()
    least = np.abs(ws * error).max()
    for _ in range(turns):
        trial = best.copy()
        for place in random.integers(0, len(start), random.integers(1, 4)):
            toward = np.float32(random.choice([-np.inf, np.inf]))
            trial[place] = np.nextafter(np.float32(trial[place]), toward)
        height = np.abs(ws * (error - (trial - begin) @ powers)).max()
        if height < least:
            best, least = trial, height
    return [float(c) for c in best]
