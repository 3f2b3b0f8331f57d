"""Parts replaced where a mask or a number says, in programs that learn it when they run too."""

import numpy as np
import pytest

import twofold as T


def test_elements_in_order_where_a_mask_is_true():
    random = np.random.default_rng(0)
    compiled = T.compile(T.masked_scatter)
    for shape, mask_shape in (
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((2, 3, 2), (3, 1)),
        ((0, 2), (2,)),
    ):
        x = random.normal(size=shape)
        mask = random.random(mask_shape) < 0.6
        source = random.normal(size=24)
        wanted = x.copy()
        wide = np.broadcast_to(mask, shape)
        wanted[wide] = source[: wide.sum()]
        given = T.from_numpy(x), T.from_numpy(mask), T.from_numpy(source)
        for function in (T.masked_scatter, compiled):
            np.testing.assert_array_equal(function(*given).numpy(), wanted)
    leaves = [T.ones(2, 2, requires_grad=True), T.ones(3, requires_grad=True)]
    there = T.tensor([[False, True], [True, False]])
    by = T.autograd.grad((leaves[0].masked_scatter(there, leaves[1]) * 3).sum(), leaves)
    assert by[0].tolist() == [[3.0, 0.0], [0.0, 3.0]] and by[1].tolist() == [3.0, 3.0, 0.0]


@pytest.mark.parametrize("function", [T.masked_scatter, T.compile(T.masked_scatter)])
def test_too_few_elements_are_refused(function):
    x, mask = T.zeros(4), T.tensor([True, False, True, True])
    with pytest.raises(ValueError, match="fewer elements"):
        function(x, mask, T.ones(2))
    assert function(x, mask, T.ones(3)).tolist() == [1.0, 0.0, 1.0, 1.0]
    assert T.masked_scatter(x, ~(mask | True), T.ones(0)).tolist() == [0.0] * 4
    with pytest.raises(TypeError, match="another type"):
        T.masked_scatter(x, mask, T.ones(4).long())


def test_a_part_from_a_place_that_a_tensor_names():
    x = T.arange(12).reshape(3, 4)
    compiled = T.compile(lambda x, start: T.narrow(x, 1, start, 2))
    for start in (0, 2, -2, -4):
        place = T.tensor(start)
        wanted = x.numpy()[:, start % 4 :][:, :2]
        assert T.narrow(x, 1, place, 2).tolist() == wanted.tolist()
        assert compiled(x, place).tolist() == wanted.tolist()
    for start in (3, 5, -1, -5):
        for function in (compiled, lambda x, start: T.narrow(x, 1, start, 2)):
            with pytest.raises((IndexError, ValueError)):
                function(x, T.tensor(start))
    with pytest.raises(TypeError, match="no whole number"):
        T.narrow(x, 1, T.tensor(1.0), 2)
