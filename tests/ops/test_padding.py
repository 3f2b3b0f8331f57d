"""Padding by a tensor's own elements: one operation, in every tier the same, with gradients."""

import numpy as np
import pytest

import twofold
from twofold.autograd.gradcheck import gradcheck, gradgradcheck
from twofold.base.errors import ShapeError
from twofold.nn import functional as F
from twofold.ops.bind import bind, interpreter

HOW = ["reflect", "replicate", "circular"]
NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
SIDES = [((2, 3), (1, 2)), ((2, 3, 5), (1, 2, 2, 0)), ((2, 3, 4, 5), (1, 2, 0, 2, 1, 1))]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("shape", "amounts"), SIDES)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex128", "float16"])
def test_elements_are_those_of_numpy(how, shape, amounts, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    pairs = [(0, 0)] * (len(shape) - len(amounts) // 2)
    pairs += [amounts[i : i + 2] for i in range(0, len(amounts), 2)][::-1]
    made = F.pad(twofold.tensor(x), amounts, mode=how)
    np.testing.assert_array_equal(made.numpy(), np.pad(x, pairs, NUMPY[how]))
    turned = twofold.tensor(np.ascontiguousarray(x.T)).permute(*range(len(shape))[::-1])
    np.testing.assert_array_equal(F.pad(turned, amounts, mode=how).numpy(), made.numpy())


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("shape", "amounts"), SIDES)
def test_gradients(how, shape, amounts):
    x = twofold.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)
    assert gradcheck(lambda x: F.pad(x, amounts, mode=how), (x,))
    assert gradgradcheck(lambda x: F.pad(x, amounts, mode=how) ** 2, (x,))


@pytest.mark.parametrize("how", HOW)
def test_gradients_do_not_depend_on_threads_nor_on_the_batch(how):
    x = np.random.default_rng(0).normal(size=(40, 33, 37)).astype(np.float32)
    g = np.random.default_rng(1).normal(size=(40, 38, 40)).astype(np.float32)
    before, made = twofold.get_num_threads(), []
    for threads, rows in ((1, slice(0, 40)), (4, slice(0, 40)), (1, slice(7, 8))):
        twofold.set_num_threads(threads)
        leaf = twofold.tensor(x[rows], requires_grad=True)
        F.pad(leaf, (1, 2, 3, 2), mode=how).backward(twofold.tensor(g[rows]))
        made.append(leaf.grad.numpy())
    twofold.set_num_threads(before)
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0][7:8], made[2])


def test_padding_around_is_one_operation():
    seen = []

    class Watch:
        def run(self, op, inputs, attrs):
            seen.append(op.name)
            with interpreter(None):
                return bind(op, inputs, attrs)

    x = twofold.ones(1, 1, 3, 3)
    with interpreter(Watch()):
        F.pad(x, (1, 1, 1, 1), mode="reflect")
    assert seen == ["pad_around"]


def test_compiled_once_for_all_sizes():
    padded = twofold.compile(lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect"))
    for size in ((2, 5, 4), (3, 4, 7), (1, 9, 9)):
        x = twofold.tensor(np.random.default_rng(0).normal(size=size).astype(np.float32))
        wanted = F.pad(x, (1, 2, 2, 1), mode="reflect")
        np.testing.assert_array_equal(padded(x).numpy(), wanted.numpy())


def test_lanes_of_vmap():
    x = twofold.tensor(np.random.default_rng(0).normal(size=(3, 2, 4)))
    made = twofold.vmap(lambda row: F.pad(row, (1, 2), mode="circular"))(x)
    np.testing.assert_array_equal(made.numpy(), F.pad(x, (1, 2), mode="circular").numpy())


def test_too_few_elements():
    with pytest.raises(ShapeError, match="too few elements to reflect 3"):
        F.pad(twofold.ones(2, 3), (3, 0), mode="reflect")
    with pytest.raises(ShapeError, match="too few elements to replicate 1"):
        F.pad(twofold.ones(2, 0), (1, 0), mode="replicate")
