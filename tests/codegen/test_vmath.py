"""Vector mathematics: errors within the promise, special values, vectors and scalars alike."""

import math

import numpy as np
import pytest

from twofold.codegen import vmath
from twofold.tools.accuracy import LIMITS, STORAGE, SUBJECTS, compiled, errors, measure, sample

INF, NAN = math.inf, math.nan
MORE = {"floor_divide": 2}  # functions that are tested by name alone
NAMES = sorted([*SUBJECTS, *MORE])


def inputs(name):
    return MORE.get(name) or SUBJECTS[name].inputs


def test_every_function_has_a_test():
    public = {name for name in dir(vmath) if callable(getattr(vmath, name))}
    assert public == set(NAMES)


@pytest.mark.parametrize("element", STORAGE)
@pytest.mark.parametrize("name", SUBJECTS)
def test_errors_keep_the_promise(name, element):
    subject = SUBJECTS[name]
    count = 100 if subject.by_mp else 20_000
    found = measure(subject, element, count, seed=7)
    assert found.worst <= LIMITS[element], found


@pytest.mark.parametrize("element", STORAGE)
@pytest.mark.parametrize("name", NAMES)
def test_a_vector_gives_the_bits_of_each_element_alone(name, element):
    dtype = STORAGE[element]
    count = inputs(name)
    subject = SUBJECTS.get(name, SUBJECTS["fmod"])
    xs = sample(subject, dtype, 300, seed=3)
    together = compiled(name, element, count)(*xs)
    alone = compiled(name, element, count, "scalars")(*xs)
    assert same(together, alone)


def same(a, b):
    """Equal bit for bit; a NaN is any other NaN."""
    both = np.isnan(a) & np.isnan(b)
    return np.array_equal(np.where(both, 0, a).view("u1"), np.where(both, 0, b).view("u1"))


def values(name, element, *columns):
    return compiled(name, element, len(columns))(*[np.array(c, STORAGE[element]) for c in columns])


ENDS = {  # name: (argument, result), exactly, signs of zeros included
    "exp": ((0.0, 1), (-0.0, 1), (INF, INF), (-INF, 0.0)),
    "exp2": ((0.0, 1), (INF, INF), (-INF, 0.0), (10.0, 1024), (-3.0, 0.125)),
    "expm1": ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1)),
    "sigmoid": ((0.0, 0.5), (INF, 1), (-INF, 0.0)),
    "tanh": ((0.0, 0.0), (-0.0, -0.0), (INF, 1), (-INF, -1), (50.0, 1)),
    "log": ((1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-INF, NAN)),
    "log2": ((1.0, 0.0), (8.0, 3), (0.0, -INF), (INF, INF), (-1.0, NAN), (2.0**-126, -126)),
    "log10": ((1.0, 0.0), (1000.0, 3), (0.0, -INF), (INF, INF), (-1.0, NAN)),
    "log1p": ((0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-2.0, NAN)),
    "sin": ((0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)),
    "cos": ((0.0, 1), (-0.0, 1), (INF, NAN), (-INF, NAN)),
    "tan": ((0.0, 0.0), (-0.0, -0.0), (INF, NAN)),
    "sinpi": ((1.0, 0.0), (0.5, 1), (1.5, -1), (2.5, 1), (INF, NAN)),
    "sinc": ((0.0, 1), (1.0, 0.0), (2.0, 0.0), (INF, 0.0), (-INF, 0.0)),
    "asin": ((0.0, 0.0), (-0.0, -0.0), (2.0, NAN), (1.0, math.pi / 2), (-1.0, -math.pi / 2)),
    "acos": ((1.0, 0.0), (2.0, NAN), (-1.0, math.pi), (0.0, math.pi / 2)),
    "atan": ((0.0, 0.0), (-0.0, -0.0), (INF, math.pi / 2), (-INF, -math.pi / 2)),
    "sinh": ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF)),
    "cosh": ((0.0, 1), (-0.0, 1), (INF, INF), (-INF, INF)),
    "asinh": ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF)),
    "acosh": ((1.0, 0.0), (INF, INF), (0.5, NAN), (-3.0, NAN)),
    "atanh": ((0.0, 0.0), (-0.0, -0.0), (1.0, INF), (-1.0, -INF), (1.5, NAN)),
    "erf": ((0.0, 0.0), (-0.0, -0.0), (INF, 1), (-INF, -1), (7.0, 1)),
    "erfc": ((0.0, 1), (INF, 0.0), (-INF, 2), (30.0, 0.0)),
    "erfinv": ((0.0, 0.0), (-0.0, -0.0), (1.0, INF), (-1.0, -INF), (1.5, NAN)),
    "lgamma": (
        (1.0, 0.0),
        (2.0, 0.0),
        (0.0, INF),
        (-0.0, INF),
        (-3.0, INF),
        (INF, INF),
        (-INF, INF),
    ),
    "digamma": ((0.0, -INF), (-0.0, INF), (-1.0, NAN), (INF, INF), (-INF, NAN)),
}


@pytest.mark.parametrize("element", STORAGE)
@pytest.mark.parametrize("name", ENDS)
def test_values_at_special_arguments(name, element):
    arguments, results = zip(*ENDS[name], (NAN, NAN), strict=True)
    got = values(name, element, arguments)
    assert same(got, np.array(results, STORAGE[element])), got


@pytest.mark.parametrize("element", STORAGE)
def test_pow_follows_c99(element):
    points = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 1e30, INF]
    points += [-x for x in points] + [NAN]
    pairs = [(x, y) for x in points for y in points]
    got = values("pow", element, *zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        want = np.array([power(x, y) for x, y in pairs]).astype(STORAGE[element])
    close = errors(got, want.astype(np.float64)) <= 1
    signs = np.signbit(got) == np.signbit(want)
    assert (close & (signs | np.isnan(want))).all()


def power(x, y):
    try:
        return math.pow(x, y)
    except OverflowError:
        return -INF if x < 0 and y % 2 == 1 else INF
    except ValueError:
        if x == 0:
            return math.copysign(INF, x) if y % 2 == 1 else INF
        return NAN


@pytest.mark.parametrize("element", STORAGE)
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_division_with_remainder_is_numpys(name, element):
    dtype = STORAGE[element]
    xs = sample(SUBJECTS["fmod"], dtype, 5000, seed=11)
    got = compiled(name, element, 2)(*xs)
    with np.errstate(all="ignore"):
        want = getattr(np, name)(*xs)
    assert same(got, want)


@pytest.mark.parametrize("element", STORAGE)
def test_atan2_knows_all_quarters_and_zeros(element):
    points = [0.0, 1.0, INF, 1e30]
    points += [-x for x in points] + [NAN]
    pairs = [(y, x) for y in points for x in points]
    got = values("atan2", element, *zip(*pairs, strict=True))
    want = np.array([math.atan2(y, x) for y, x in pairs]).astype(STORAGE[element])
    assert (errors(got, want.astype(np.float64)) <= 1).all()
    assert ((np.signbit(got) == np.signbit(want)) | np.isnan(want)).all()


def test_angles_of_any_size_are_reduced_exactly():
    # where a double or a float comes closest to a multiple of pi / 2 (Muller 2006, Kahan)
    x = np.array([6381956970095103.0 * 2.0**797, 1e22, 2.0**1023, 1e300])
    exact = [-4.68716592425462761112e-19, -0.5232147853951389]
    got = values("cos", "f64", x)
    assert errors(got[:2], np.array([exact[0], 0.5232147853951389], np.longdouble)).max() < 1000
    assert abs(got[0] / exact[0] - 1) < 4e-16
    assert abs(values("sin", "f64", x)[1] / -0.8522008497671888 - 1) < 4e-16


def test_denormal_results_are_rounded_once():
    tiny = np.float32(2.0**-149)
    x = np.arange(-103.9, -87.0, 0.01, np.float32)
    got = values("exp", "f32", x)
    want = np.exp(x.astype(np.float64))
    assert (np.abs(got - want) <= 0.51 * tiny + 2e-7 * want).all()
    assert (got > 0).all()
