"""Whole numbers and truth values in elementwise kernels: NumPy's numbers, at the edges too."""

import numpy as np
import pytest

import twofold
from twofold.base.errors import DivisionError
from twofold.codegen.compile import load
from twofold.exec.eager import run_reference
from twofold.ops.bind import bind
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap
from twofold.runtime import faults

KINDS = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64"]
DIVISIONS = ["floor_divide", "trunc_divide", "fmod", "remainder"]
BINARY = ["add", "sub", "mul", "maximum", "minimum", "fmax", "fmin", "heaviside", "clamp_min"]
BINARY += ["clamp_max", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"]
BINARY += ["logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor"]
UNARY = ["neg", "abs", "square", "sign", "isnan", "isfinite", "isinf", "signbit", "logical_not"]
UNARY += ["bitwise_not", "relu", "floor", "ceil", "round", "trunc", "zeros_like"]


def edges(kind):
    """The least and the largest numbers, those beside them, and some between."""
    info = np.iinfo(kind)
    few = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 5, 7, info.max // 2, 10]
    few += [-1, -2, -3, -7] if info.min else []
    random = np.random.default_rng(0)
    return np.concatenate(
        [np.array(few, kind), random.integers(info.min, info.max, 20, kind, endpoint=True)]
    )


def check(name, *arrays, attrs=()):
    op = OPS[name]
    got = bind(op, tuple(map(wrap, arrays)), attrs).array
    with np.errstate(all="ignore"):
        want = run_reference(op, arrays, op.keywords(attrs))
    assert got.dtype == want.dtype and (got == want).all(), name


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name):
    for kind in KINDS:
        x = edges(kind)
        check(name, x[:, None], x)
        check(name, np.array(x), np.array(x[::-1]))


@pytest.mark.parametrize("name", [n for n in BINARY if n != "sub"])
def test_two_truth_values(name):
    x = np.array([False, True] * 40)
    check(name, x[:, None], x[:9])


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    for kind in KINDS:
        check(name, edges(kind))
        check(name, np.tile(edges(kind), 50)[::3])


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_round_as_numpys(name):
    for kind in KINDS:
        x = edges(kind)
        y = x[x != 0]
        check(name, x[:, None], y)
        check(name, np.resize(x, 999), np.resize(y, 999))


@pytest.mark.parametrize("name", DIVISIONS)
def test_a_divisor_of_0_raises_at_the_call(name):
    public = {"trunc_divide": lambda x, y: twofold.div(x, y, rounding_mode="trunc")}
    call = public.get(name) or getattr(twofold, name)
    for kind in KINDS:
        x, y = edges(kind), np.ones_like(edges(kind))
        for place in (0, 9, len(y) - 1):
            y[place] = 0
            for given in (y, np.repeat(y, 2)[::2]):
                with pytest.raises(DivisionError, match="a whole number is divided by 0"):
                    call(wrap(x), wrap(given))
            y[place] = 1
        call(wrap(x), wrap(y))
        assert not faults.pending()


def test_powers_wrap_and_round_towards_0():
    for kind in KINDS:
        x = edges(kind)
        y = np.array([0, 1, 2, 3, 5, 8, 31, 64, 100], kind)
        check("pow", x[:, None], y)
    for kind in ("int8", "int32", "int64"):
        check("pow", edges(kind)[:, None], np.array([-1, -2, -3], kind))


@pytest.mark.parametrize("name", ["bitwise_left_shift", "bitwise_right_shift"])
def test_shifts_by_every_distance(name):
    for kind in KINDS:
        y = [0, 1, 3, 7, 8, 15, 16, 31, 32, 63, 64, 100, *([-1, -8] if kind[0] == "i" else [])]
        check(name, edges(kind)[:, None], np.array(y, kind))


@pytest.mark.parametrize("name", ["gcd", "lcm"])
def test_common_divisors(name):
    for kind in KINDS:
        x = np.array([0, 1, 2, 3, 4, 6, 9, 12, 64, 100, 96], kind)
        check(name, x[:, None], x)
    x = np.array([-12, 18, -7, 0], np.int64)
    check(name, x[:, None], x)


@pytest.mark.parametrize("low", [-2.5, -1.0, 0.0, 0.5, 3.0, 1e30, -1e30])
def test_bounds_that_are_no_whole_numbers(low):
    for kind in ("int8", "int32", "int64"):
        x = edges(kind) // (1 << 11 if kind == "int64" else 1)  # NumPy compares in float64
        value = int(np.clip(low, -100, 100))
        check("threshold", x, attrs=(low, float(value)))


def test_products_of_matrices_wrap():
    for kind in KINDS:
        x = np.resize(edges(kind), (2, 1, 5, 7))
        y = np.resize(edges(kind)[::-1], (3, 7, 19))
        check("matmul", x, y)
        check("matmul", x[..., ::-1, ::2], y[:, ::2])
        check("matmul", y.transpose(0, 2, 1), y)


def test_kernels_are_built_for_each_type_apart():
    for kind in ("int32", "uint32"):
        twofold.add(wrap(edges(kind)), wrap(edges(kind)))
    codes = {load(f"ew/add/{k},{k}->{k}/", lambda: None).address("run") for k in ("i32", "u32")}
    assert len(codes) == 2


def test_frexp_and_nextafter_by_the_bits():
    for kind in ("float32", "float64"):
        info = np.finfo(kind)
        x = np.array([0.0, -0.0, 1.0, -3.7, 1e30, info.tiny, info.smallest_subnormal], kind)
        x = np.concatenate([x, np.array([np.inf, -np.inf, np.nan, info.max, info.tiny / 3], kind)])
        mantissa, exponent = (t.array for t in twofold.frexp(wrap(x)))
        want = np.frexp(x)
        assert mantissa.tobytes() == want[0].tobytes()
        finite = np.isfinite(x)
        assert (exponent[finite] == want[1][finite]).all()
        y = x[:, None]
        got = twofold.nextafter(wrap(y), wrap(x)).array
        with np.errstate(all="ignore"):
            right = np.nextafter(y, x)
        assert ((got == right) | (np.isnan(got) & np.isnan(right))).all()
        assert (np.signbit(got) == np.signbit(right))[~np.isnan(right)].all()
