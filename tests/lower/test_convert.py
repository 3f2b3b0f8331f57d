"""Conversions of element types, against NumPy and against exact rounding."""

from fractions import Fraction

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.lower import convert  # noqa: F401  (registers the planner)
from twofold.lower.schedule import Arg, find_planner

NAMES = ("bool", "uint8", "uint16", "int8", "int16", "int32", "int64")
NAMES += ("float16", "bfloat16", "float32", "float64")
HARD = [0.0, -0.0, 0.5, -0.5, np.inf, -np.inf, np.nan, 65504, 65519.9, 65520, 2.0**-24, 2.0**-25]
HARD += [2.0**31, 2.0**31 - 1, -(2.0**31) - 0.5, -(2.0**31) - 1, 2.0**63, -(2.0**63), 1e300, 3e-320]


def data(name):
    random = np.random.default_rng(0)
    dtype = dtypes.by_name(name)
    if name == "bool":
        return random.integers(0, 2, 77).astype(bool)
    if dtype.is_integer:
        info = np.iinfo(name)
        wide = random.integers(info.min, info.max, 300, name, endpoint=True)
        return np.append(wide, np.array([info.min, info.max, 0, 1], name))
    x = np.exp(random.uniform(-100, 100, 300)) * random.choice([-1, 1], 300)
    with np.errstate(all="ignore"):
        return dtypes.convert(np.concatenate([x, random.normal(size=50) * 99, HARD]), dtype)


def converted(run_steps, x, target, chunks=0):
    source, to = dtypes.of(x.dtype), dtypes.by_name(target)
    strides = tuple(s // x.itemsize for s in x.strides)
    outs = (Type(x.shape, to),)
    plan = find_planner("cast")((Arg(x.shape, source, strides),), outs, {"dtype": to}, 2)
    out = np.empty(x.shape, to.numpy)
    run_steps(plan, [x], [out], chunks)
    return out


def bits(x):
    """Comparable: any NaN is any other."""
    x = x["bfloat16"] if x.dtype == dtypes.BFLOAT16 else x
    return np.where(x != x, np.zeros_like(x), x).tobytes() if x.dtype.kind == "f" else x.tobytes()


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_conversion_is_numpys(run_steps, source, target):
    x = data(source)
    with np.errstate(all="ignore"):
        want = dtypes.convert(x, dtypes.by_name(target))
    for chunks in (1, 3):
        assert bits(converted(run_steps, x, target, chunks)) == bits(want)
    assert bits(converted(run_steps, x[::-2], target)) == bits(want[::-2].copy())


@pytest.mark.parametrize("target,digits", [("float16", 11), ("bfloat16", 8)])
def test_float64_is_rounded_once(run_steps, target, digits):
    # just beside the middle between two neighbours: float32 would round to the middle first
    step = 2.0 ** (1 - digits)
    x = np.array(
        [1 + step / 2 + 2.0**-45, 1 + 3 * step / 2 - 2.0**-45, 1 + step / 2, 1 + 3 * step / 2]
    )
    got = converted(run_steps, x, target)
    got = (
        got.astype(np.float64) if target == "float16" else dtypes.to_float32(got).astype(np.float64)
    )
    for value, result in zip(x, got, strict=True):
        error = abs(Fraction(float(result)) - Fraction(float(value)))
        assert error <= Fraction(step) / 2
    assert list(got) == [1 + step, 1 + step, 1.0, 1 + 2 * step]


def test_what_does_not_fit_is_the_smallest_integer(run_steps):
    x = np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e20])
    assert set(converted(run_steps, x, "int32")) == {-(2**31)}
    assert list(converted(run_steps, x, "int64")[[0, 1, 3]]) == [-(2**63), -(2**63), 3 * 10**9]


def test_complex_numbers_become_others_and_keep_both_parts(run_steps):
    x = np.array([1.5 - 2j, np.pi + 1j / 3, -0.0 - 1e300j, np.nan + 1j] * 9)
    with np.errstate(over="ignore", invalid="ignore"):
        for target in ("complex64", "complex128", "float32", "float64", "int64", "bool"):
            wanted = x.astype(target) if target[0] in "cb" else x.real.astype(target)
            assert converted(run_steps, x, target).tobytes() == wanted.tobytes()
        small = x.astype(np.complex64)
        wider = small.astype(np.complex128)
        assert converted(run_steps, small, "complex128").tobytes() == wider.tobytes()
