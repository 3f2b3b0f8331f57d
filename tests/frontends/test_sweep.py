"""Every record as a program: results and gradients have the bits of eager."""

import math

import numpy as np
import pytest
from twice import compare, fresh

import twofold
from twofold.ops.bind import bind
from twofold.ops.op import OPS

# Attributes that are no plain values; and derivatives are tested by what they are derivatives of.
INTERNAL = {"item_of", "view_scatter", "update", "fused"}
RECORDS = {n: op for n, op in OPS.items() if n not in INTERNAL and "_by_" not in n}


def cases(op, dtype):
    """The inputs, the tracked among them, and the attributes of each sample."""
    random = np.random.default_rng(math.prod(map(ord, op.name[:6])) % 1000)
    for sample in op.samples(random):
        count = len(sample.args) - len(op.attrs)
        arrays = [np.asarray(a) for a in sample.args[:count]]
        if dtype is not None:
            arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        places = range(count) if sample.grad is None else sample.grad
        yield arrays, places, tuple(sample.args[count:])


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_result_and_gradients_are_those_of_eager(name):
    op = OPS[name]
    for dtype in (np.float32, None):
        for arrays, places, attrs in cases(op, dtype):
            compare(with_gradients(op, attrs), [inputs(arrays, places)] * 2)


def inputs(arrays, places):
    return lambda: tuple(fresh(a, i in places) for i, a in enumerate(arrays))


def with_gradients(op, attrs):
    """The record as a function that puts gradients by its tracked inputs into `.grad`."""

    def function(*xs):
        made = bind(op, xs, attrs)
        outs = [x for x in (made if isinstance(made, tuple) else (made,)) if x.tracked]
        if outs:
            twofold.autograd.backward(outs, [twofold.ones_like(x) * 0.75 for x in outs])
        return made

    return function
