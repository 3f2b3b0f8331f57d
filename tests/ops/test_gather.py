"""Scatter and gather where sizes, types and numbers are at their edges."""

import numpy as np
import pytest
from gradients import check

import twofold as T
from twofold.base.errors import ShapeError

REDUCE = ("sum", "prod", "mean", "amax", "amin")
INDEX = [[0, 0, 2], [1, 0, 1]]


def expected(start, source, reduce, include_self):
    """Element by element, in Python's numbers."""
    rows = [[[v] if include_self else [] for v in row] for row in start]
    for row, places, values in zip(rows, INDEX, source, strict=True):
        for place, value in zip(places, values, strict=True):
            row[place].append(value)
    combine = {"sum": sum, "prod": np.prod, "amax": max, "amin": min}
    combine["mean"] = lambda xs: sum(xs) // len(xs)
    made = [[combine[reduce](xs) if xs else old for xs, old in zip(*r, strict=True)]
            for r in zip(rows, start, strict=True)]  # fmt: skip
    return np.array(made)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", REDUCE)
def test_whole_numbers_are_combined_as_whole_numbers(reduce, include_self):
    start, source = [[3, -9, 3], [2, 5, -4]], [[-3, 8, 1], [6, -7, 4]]
    for dtype in (T.int64, T.int32, T.int8):
        x, s = T.tensor(start, dtype=dtype), T.tensor(source, dtype=dtype)
        made = x.scatter_reduce(1, T.tensor(INDEX), s, reduce, include_self=include_self)
        assert made.dtype is dtype
        np.testing.assert_array_equal(made.numpy(), expected(start, source, reduce, include_self))


@pytest.mark.parametrize("reduce, wanted", [("amax", [True, False]), ("amin", [False, False])])
def test_truth_values_have_extremes_too(reduce, wanted):
    source = T.tensor([True, False, False])
    for start in (T.tensor([True, True]), T.tensor([False, False])):
        index = T.tensor([0, 0, 1])
        made = start.scatter_reduce(0, index, source, reduce, include_self=False)
        assert made.tolist() == wanted


@pytest.mark.parametrize("reduce", REDUCE)
def test_a_tensor_without_axes_has_one_place(reduce):
    x, index, source = T.tensor(6.0), T.tensor(0), T.tensor(2.0)
    wanted = {"sum": 8.0, "prod": 12.0, "mean": 4.0, "amax": 6.0, "amin": 2.0}[reduce]
    made = x.scatter_reduce(0, index, source, reduce)
    assert made.shape == () and made.item() == wanted
    assert x.scatter_reduce(0, index, source, reduce, include_self=False).item() == 2.0
    assert x.scatter(0, index, source).item() == x.scatter(0, index, 2.0).item() == 2.0
    assert x.scatter_add(0, index, source).item() == 8.0


def test_products_with_zeros_have_gradients():
    x = T.tensor([[0.0, 2.0, 3.0]], dtype=T.float64)
    source = T.tensor([[5.0, 0.0, 7.0, 0.0]], dtype=T.float64)
    index = T.tensor([[0, 1, 2, 2]])
    for part in (x, source):
        part.requires_grad_()

    def product(x, source):
        return x.scatter_reduce(1, index, source, "prod")

    check(product, [x, source], 2)
    with pytest.raises(T.TwofoldError, match="two zeros"):
        zeros = T.zeros(1, 4, dtype=T.float64, requires_grad=True)
        T.autograd.grad(product(x, zeros).sum(), zeros, create_graph=True)
    (by_zeros,) = T.autograd.grad(product(x, zeros).sum(), zeros)
    assert by_zeros.tolist() == [[0.0, 2.0, 0.0, 0.0]]


def test_take_along_dim_counts_from_the_end():
    x = T.arange(12).reshape(3, 4)
    places = T.tensor([[-1, 0], [-4, 3], [1, -2]])
    wanted = np.take_along_axis(x.numpy(), places.numpy(), 1)
    np.testing.assert_array_equal(T.take_along_dim(x, places, 1).numpy(), wanted)
    assert T.take_along_dim(x, T.tensor([-1, 2])).tolist() == [11, 2]
    compiled = T.compile(lambda x, i: T.take_along_dim(x, i, 1))
    np.testing.assert_array_equal(compiled(x, places).numpy(), wanted)
    with pytest.raises(IndexError, match="out of range"):
        T.take_along_dim(x, T.tensor([[-5]]), 1)


@pytest.mark.parametrize("name", ["scatter", "scatter_add"])
def test_a_source_of_another_rank(name):
    index = T.zeros(1, 3, dtype=T.int64)
    with pytest.raises(ShapeError, match="index and src must have as many axes"):
        getattr(T.zeros(3, 3), name)(0, index, T.ones(3))


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("name", ["scatter", "scatter_add"])
def test_places_are_written_in_ascending_order_by_any_number_of_threads(name, dim):
    random = np.random.default_rng(0)
    x = random.normal(size=(30, 40, 50)).astype(np.float32)
    index = random.integers(0, 5, (30, 40, 50))
    source = random.normal(size=index.shape).astype(np.float32)
    wanted = x.copy()
    for at in np.ndindex(index.shape):
        place = (*at[:dim], index[at], *at[dim + 1 :])
        wanted[place] = wanted[place] + source[at] if name == "scatter_add" else source[at]
    before = T.get_num_threads()
    try:
        for count in (1, 2, 3):
            T.set_num_threads(count)
            given = T.tensor(x), dim, T.tensor(index), T.tensor(source)
            np.testing.assert_array_equal(getattr(T.Tensor, name)(*given).numpy(), wanted)
            getattr(T.Tensor, f"{name}_")(*given)
            np.testing.assert_array_equal(given[0].numpy(), wanted)
    finally:
        T.set_num_threads(before)


@pytest.mark.parametrize("place", [0, 9, 4990, 4999])
@pytest.mark.parametrize("number", [-1, 5])
def test_a_wrong_place_among_many_is_found_before_anything_is_written(place, number):
    x, index = T.zeros(5000), np.zeros(5000, np.int64)
    for _ in range(3):
        x.scatter_add_(0, T.tensor(index), T.ones(5000))
    index[place] = number
    small = T.zeros(5)
    for target in (small, small[:]):
        with pytest.raises(IndexError, match=f"index {number} is out of range"):
            target.scatter_add_(0, T.tensor(index), T.ones(5000))
    assert small.tolist() == [0.0] * 5


def test_many_classes_are_a_one_among_zeros():
    numbers = np.random.default_rng(0).integers(0, 97, (10, 9))
    for _ in range(3):
        made = T.nn.functional.one_hot(T.tensor(numbers), 97)
        np.testing.assert_array_equal(made.numpy(), np.eye(97, dtype=np.int64)[numbers])
    assert made.dtype is T.int64
    with pytest.raises(IndexError, match="a class is not within 0 to 95"):
        T.nn.functional.one_hot(T.tensor([[96] * 99]), 96)
    assert T.nn.functional.one_hot(T.tensor(numbers)).shape == (10, 9, numbers.max() + 1)
