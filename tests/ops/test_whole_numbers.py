"""Whole numbers keep every bit: shifts of 64, comparisons between widths, searches."""

import numpy as np
import pytest

import twofold

BIG = [2**64 - 1, 2**63 + 5, 2**53 + 1, 7]


@pytest.mark.parametrize("count", [4, 4000])
@pytest.mark.parametrize("places", [0, 1, 3, 63, 64, 70])
def test_uint64_is_shifted_down_exactly(count, places):
    values = (BIG * count)[:count]
    x = twofold.tensor(values, dtype=twofold.uint64)
    wanted = [v >> places for v in values]
    assert (x >> places).tolist() == wanted
    by = twofold.full((count,), places, dtype=twofold.uint64)
    assert twofold.compile(lambda a, b: a >> b)(x, by).tolist() == wanted
    assert twofold.bitwise_right_shift(x, by).tolist() == wanted


def test_int64_is_shifted_down_with_its_sign():
    x = twofold.tensor([-(2**62) - 1, -1, 2**62 + 1])
    assert (x >> 1).tolist() == [(-(2**62) - 1) >> 1, -1, (2**62 + 1) >> 1]
    assert (x >> 64).tolist() == [-1, -1, 0]


SIGNS = ["<", "<=", ">", ">=", "==", "!="]
PAIRS = [("uint8", -1), ("uint8", 260), ("int8", 2**40 + 4), ("uint32", -4), ("int16", 65540)]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("dtype", "number"), PAIRS)
def test_numbers_without_axes_are_compared_as_they_are(sign, dtype, number):
    values = [4, 0, 100]
    x = twofold.tensor(values, dtype=getattr(twofold, dtype))
    y = twofold.tensor(number)
    wanted = [eval(f"v {sign} number", {"v": v, "number": number}) for v in values]
    turned = [eval(f"number {sign} v", {"v": v, "number": number}) for v in values]
    assert eval(f"x {sign} y", {"x": x, "y": y}).tolist() == wanted
    assert eval(f"y {sign} x", {"x": x, "y": y}).tolist() == turned
    compiled = twofold.compile(eval(f"lambda a, b: a {sign} b"))
    assert compiled(x, y).tolist() == wanted


def test_numbers_without_axes_are_searched_as_they_are():
    x = twofold.tensor([1, 4, 252], dtype=twofold.uint8)
    for number, place in ((-4, 0), (300, 3), (4, 1)):
        assert twofold.searchsorted(x, twofold.tensor(number)).tolist() == place
        found = twofold.isin(x, twofold.tensor(number)).tolist()
        assert found == [v == number for v in x.tolist()]


def test_floats_without_axes_keep_pytorchs_rule():
    x = twofold.tensor([0.1])
    assert (x == twofold.tensor(0.1, dtype=twofold.float64)).tolist() == [True]
    assert (x + twofold.tensor(1.0, dtype=twofold.float64)).dtype is twofold.float32


def test_axes_are_transposed_by_a_tuple_of_all():
    x = twofold.ones(2, 3, 4)
    assert tuple(x.transpose((2, 0, 1)).shape) == (4, 2, 3)
    assert tuple(twofold.transpose(x, [1, 0, 2]).shape) == (3, 2, 4)
    assert tuple(x.transpose(0, -1).shape) == (4, 3, 2)
    with pytest.raises(twofold.TwofoldError, match="do not name each axis once"):
        x.transpose((0, 1))
    np.testing.assert_array_equal(
        twofold.tensordot(x, x, axes=([0, 1], [0, 1])).numpy(), np.full((4, 4), 6.0)
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([2**64], "a whole number does not fit int64"),
        ([[1, 2], [2**70, 1]], "a whole number does not fit int64"),
        ([1, None], "holds NoneType"),
        ([1, "a"], "holds str"),
        ([[2**70], [None]], "holds NoneType"),
    ],
)
def test_lists_say_what_is_no_number_of_theirs(data, problem):
    with pytest.raises(twofold.TwofoldError, match=problem):
        twofold.tensor(data)
