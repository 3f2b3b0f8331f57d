"""LU factors: the kernels give the bits of the reference, each matrix for itself."""

from __future__ import annotations

import functools

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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 4, 18, 128])
def test_triangles_are_solved_and_factors_found_for_each_matrix_alone(n, dtype):
    random = np.random.default_rng(n)
    x = random.normal(size=(5, n, n))
    x = (x @ x.swapaxes(-1, -2) + n * np.eye(n)).astype(dtype)
    b = random.normal(size=(5, n, 9)).astype(dtype)
    near = {"float32": 2e-5, "float64": 1e-13}[dtype] * max(n, 4)
    factor = twofold.linalg.cholesky(twofold.tensor(x))
    np.testing.assert_allclose(factor.numpy(), np.linalg.cholesky(x), near, near)
    for upper, matrix in ((False, factor), (True, factor.mT)):
        solve = functools.partial(twofold.linalg.solve_triangular, upper=upper)
        made = solve(matrix, twofold.tensor(b)).numpy()
        np.testing.assert_allclose(matrix.numpy() @ made, b, near, near * 10)
        for unit in (False, True):
            whole = solve(matrix, twofold.tensor(b), unitriangular=unit).numpy()
            one = solve(matrix[3], twofold.tensor(b[3]), unitriangular=unit).numpy()
            np.testing.assert_array_equal(one, whole[3])
            for column in range(9):
                part = twofold.tensor(b[3, :, column : column + 1])
                alone = solve(matrix[3], part, unitriangular=unit).numpy()
                np.testing.assert_array_equal(alone[:, 0], whole[3, :, column])
    alone = twofold.linalg.cholesky(twofold.tensor(x[4])).numpy()
    np.testing.assert_array_equal(alone, factor[4].numpy())


def test_matrices_that_have_no_factor_or_solution_are_told_each_time():
    error = twofold.linalg.LinAlgError
    good, indefinite = twofold.eye(3), twofold.tensor([[1.0, 2.0], [2.0, 1.0]])
    singular, b = twofold.tensor([[1.0, 0.0], [2.0, 0.0]]), twofold.ones(2, 1)
    compiled = twofold.compile(twofold.linalg.cholesky)
    for _ in range(3):
        for cholesky in (twofold.linalg.cholesky, compiled):
            with pytest.raises(error, match="cholesky: a matrix is not positive-definite"):
                cholesky(indefinite)
            with pytest.raises(error, match="not positive-definite"):
                cholesky(indefinite * np.nan)
            np.testing.assert_array_equal(cholesky(good).numpy(), np.eye(3))
        with pytest.raises(error, match="solve_triangular: a diagonal has a 0"):
            twofold.linalg.solve_triangular(singular, b, upper=False)
        twofold.linalg.solve_triangular(singular, b, upper=False, unitriangular=True)
