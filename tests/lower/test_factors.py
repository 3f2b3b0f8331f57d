"""LU factors: the kernels give the bits of the reference, each matrix for itself."""

from __future__ import annotations

import numpy as np
import pytest

import twofold
from twofold.ops.bind import bind
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 4, 4), (2, 20, 17), (2, 3, 9, 30)])
def test_factors_are_those_of_the_reference(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x[..., 0, 0] = 0
    made, wanted = bind(OPS["lu"], (wrap(x),)), OPS["lu"].ref(x)
    for ours, theirs in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    exchanges = bind(OPS["lu_pivots"], (made[2],), (min(shape[-2:]),))
    np.testing.assert_array_equal(
        exchanges.numpy(), OPS["lu_pivots"].ref(wanted[2], count=min(shape[-2:]))
    )
    order = OPS["lu_order"].ref(exchanges.numpy(), rows=shape[-2])
    np.testing.assert_array_equal(order[..., : min(shape[-2:])], wanted[2][..., : min(shape[-2:])])


def test_a_matrix_has_the_factors_that_it_has_alone():
    x = twofold.tensor(np.random.default_rng(0).normal(size=(64, 9, 9)))
    packed, pivots = twofold.linalg.lu_factor(x.mT)
    alone = twofold.linalg.lu_factor(x[7].mT.contiguous())
    assert twofold.equal(packed[7], alone.LU)
    assert twofold.equal(pivots[7], alone.pivots)


def test_singular_matrices_have_factors():
    packed, pivots = twofold.linalg.lu_factor(twofold.tensor([[0.0, 1.0], [0.0, 2.0]]))
    assert packed.tolist() == [[0.0, 1.0], [0.0, 2.0]]
    assert pivots.tolist() == [1, 2]


def test_the_commonest_is_the_smallest_of_several():
    x = twofold.tensor([[3, 1, 3, 1], [2, 2, 2, 0]])
    assert x.mode()[0].tolist() == [1, 2]
    assert x.mode()[1].tolist() == [3, 2]
    made = twofold.tensor([np.nan, np.nan, 1.0]).mode()
    assert made.values.item() == 1.0
    large = np.random.default_rng(0).integers(0, 100, (3, 10_000))
    found = twofold.tensor(large).mode(1).values.tolist()
    assert found == [int(np.bincount(row).argmax()) for row in large]
