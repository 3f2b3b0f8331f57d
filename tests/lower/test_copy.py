"""Copies to C order, turned tiles included, for every element size, layout and chunking."""

import itertools

import numpy as np
import pytest

import twofold
from twofold.base import dtypes
from twofold.lower.copy import build_copy, contiguous_step, turnable
from twofold.lower.schedule import Arg, In, Out, Plan

SHAPES = ((1,), (37,), (9, 8), (64, 130), (200, 3), (3, 200), (7, 65, 33), (2, 9, 4, 10), (0, 4))


def arg_of(array):
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Arg(array.shape, dtypes.of(array.dtype), strides)


def numbers(shape, dtype):
    n = int(np.prod(shape))
    return (
        (np.arange(n) % 251 if np.dtype(dtype).itemsize == 1 else np.arange(n))
        .astype(dtype)
        .reshape(shape)
    )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "complex128"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_order_of_axes(run_steps, shape, dtype):
    x = numbers(shape, dtype)
    for order in itertools.permutations(range(len(shape))):
        turned = x.transpose(order)
        for view in (
            turned,
            turned[::-1],
            turned[..., ::2],
            np.broadcast_to(turned, (2, *turned.shape)),
        ):
            for chunks in (1, 3):
                out = np.zeros(view.shape, dtype)
                step = contiguous_step(arg_of(view), In(0), Out(0), 2)
                run_steps(Plan((step,)), [view], [out], chunks)
                assert np.array_equal(out, view), (order, view.strides)


def test_tiles_are_turned_where_another_axis_is_dense():
    x = numbers((40, 50), "float32")
    assert turnable(arg_of(x.T)) and turnable(
        arg_of(numbers((9, 40, 50), "float64").transpose(0, 2, 1))
    )
    assert (
        not turnable(arg_of(x)) and not turnable(arg_of(x[::2])) and not turnable(arg_of(x[:4].T))
    )
    assert not turnable(arg_of(numbers((40, 50), "complex128").T))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "complex128"])
@pytest.mark.parametrize("size", [1, 5, 16, 33, 70])
def test_rows_that_are_repeated_or_turned_round(dtype, size):
    x = np.arange(3 * size).reshape(3, size).astype(dtype)
    t = twofold.tensor(x)
    assert np.array_equal(t.flip(1).numpy(), x[:, ::-1])
    assert np.array_equal(t.flip(0, 1).numpy(), x[::-1, ::-1])
    wide = t[:, :1].expand(3, size).contiguous()
    assert np.array_equal(wide.numpy(), np.repeat(x[:, :1], size, 1))


def test_a_copy_compiles_no_turn() -> None:
    for name in ("copy", "turn"):
        exported = [f.name for f in build_copy(name, "i32").finish().functions if not f.internal]
        assert exported == [name]
