"""vmap of every record equals the loop over lanes, bit for bit where the contract says so."""

import math
import warnings

import numpy as np
import pytest

from twofold.autograd.vmap import vmap
from twofold.ops.batch_rules import rule_of
from twofold.ops.bind import bind
from twofold.ops.formula import FORMULAS, derivative
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap

for _name, _formula in list(FORMULAS.items()):
    for _index in range(0 if "_by_" in _name else len(OPS[_name].inputs)):
        if not _formula.slopes or _formula.slopes[_index] is not None:
            derivative(OPS[_name], _index)

# Attributes of these are no plain values; tests of views and of tuples reach them. The others stand
# in graphs only.
INTERNAL = {"item_of", "view_scatter", "check_range", "update", "fused"}
INTERNAL |= {"cond", "while_loop", "while_loop_grad", "scan"}
# Their state is shared by the lanes, which draw by place: tests of random numbers.
INTERNAL |= {"random_gamma", "random_poisson", "random_binomial"}
# What is put together of several operations under vmap: the sums have another order.
COMPOSED = {"layer_norm_affine_backward", "rms_norm_weight_backward", "batch_norm_backward"}
COMPOSED |= {"layer_norm", "rms_norm", "layer_norm_backward", "rms_norm_backward"}
# Lane by lane where lanes have class weights of their own.
LOOPED = {"cross_entropy", "cross_entropy_backward"}
# With one weight for each lane too.
SEQUENCES = {"lstm_sequence", "gru_sequence", "lstm_sequence_backward", "gru_sequence_backward"}
LANES = 3


def samples_of(op):
    random = np.random.default_rng(math.prod(map(ord, op.name[:6])) % 1000)
    for sample in op.samples(random) if op.samples else []:
        count = len(sample.args) - len(op.attrs)
        yield [np.asarray(a) for a in sample.args[:count]], tuple(sample.args[count:])


def lanes_of(array, random):
    """Three lanes of numbers like these: the sample itself, and two others of its kind."""
    if array.dtype.kind in "fc":
        other = [array, array * 0.75, array * 0.5]
    elif array.ndim:
        other = [array, np.flip(array, 0), np.roll(array, 1)]
    else:
        other = [array] * LANES
    return np.stack(other).astype(array.dtype)


def single(array):
    with np.errstate(over="ignore"):
        return array.astype(np.float32) if array.dtype == np.float64 else array


def several(made):
    return made if isinstance(made, tuple) else (made,)


def masks(count):
    """Which inputs are batched: all of them, and each alone."""
    alone = [tuple(i == k for i in range(count)) for k in range(count)]
    return list(dict.fromkeys([(True,) * count, *alone]))


NAMES = sorted(n for n in set(OPS) - INTERNAL if n.count("_by_") < 2 and OPS[n].inputs)


@pytest.mark.parametrize("name", NAMES)
def test_is_the_loop(name):
    op = OPS[name]
    random = np.random.default_rng(5)
    for inputs, attrs in samples_of(op):
        if name.startswith("random_"):
            continue
        given = [single(a) for a in inputs]
        for on in masks(len(given)):
            arrays = [lanes_of(a, random) if b else a for a, b in zip(given, on, strict=True)]
            compare(op, arrays, on, attrs)


def compare(op, arrays, on, attrs):
    axes = tuple(0 if b else None for b in on)
    with warnings.catch_warnings():
        looped = rule_of(op) is None or op.name in LOOPED | SEQUENCES
        warnings.simplefilter("ignore" if looped else "error")
        found = vmap(lambda *xs: bind(op, xs, attrs), axes)(*map(wrap, arrays))
    lanes = [
        several(
            bind(
                op,
                tuple(wrap(a[i, ...] if b else a) for a, b in zip(arrays, on, strict=True)),
                attrs,
            )
        )
        for i in range(LANES)
    ]
    for place, got in enumerate(several(found)):
        want = np.stack([lane[place].array for lane in lanes])
        assert got.array.shape == want.shape, (on, attrs)
        assert got.array.dtype == want.dtype, (on, attrs)
        if op.name in COMPOSED:
            np.testing.assert_allclose(got.array, want, 2e-5, 2e-6, err_msg=str((on, attrs)))
        else:
            np.testing.assert_array_equal(got.array, want, err_msg=str((on, attrs)))
