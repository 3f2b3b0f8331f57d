"""True and False in keys, against NumPy; what shares an entry and what does not; numbers beside
index tensors, and lists of indices, as PyTorch reads them.
"""

import itertools

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
from twofold.ops.bind import mode

PARTS = [True, False, 0, slice(1), None, Ellipsis, np.array([0, 1]), np.array([True, False])]


def keys(length):
    for key in itertools.product(PARTS, repeat=length):
        flags = sum(isinstance(part, bool) for part in key)
        if flags and sum(part is Ellipsis for part in key) < 2:
            yield key


def here(key):
    return tuple(twofold.tensor(p) if isinstance(p, np.ndarray) else p for p in key)


def parts(key):
    """Two keys: numbers are taken away first, as PyTorch does."""
    axes = [p for p in key if p is not None and not isinstance(p, bool)]
    first = tuple(p if isinstance(p, int) or p is Ellipsis else slice(None) for p in axes)
    return first, tuple(p for p in key if isinstance(p, bool) or not isinstance(p, int))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_true_and_false_are_axes_of_their_own(length):
    array = np.arange(24.0).reshape(2, 3, 4)
    for key in keys(length):
        try:
            first, rest = parts(key)
            wanted = array[first][rest]
        except IndexError:
            with pytest.raises((IndexError, ValueError)):
                twofold.tensor(array)[here(key)]
            continue
        got = twofold.tensor(array)[here(key)].numpy()
        assert got.shape == wanted.shape and (got == wanted).all(), key
        written, x = array.copy(), twofold.tensor(array)
        written[first][rest], x[here(key)] = -1, -1
        assert (x.numpy() == written).all(), key


def test_a_number_apart_from_index_tensors_is_taken_first():
    x, i = twofold.arange(120.0).reshape(2, 3, 4, 5), twofold.tensor([0, 1])
    assert x[0, :, i].shape == (3, 2, 5) and twofold.equal(x[0, :, i], x[0][:, i])
    assert x[i, :, 0].shape == (2, 3, 5) and x[i, :, i, 0].shape == (2, 3)
    assert x[:, i, ..., 2, i].shape == (2, 2)[:1] + (2,)
    y = x.clone().requires_grad_() * 1
    y[0, :, i] = -1.0
    assert (y[0, :, :2] == -1).all() and (y[0, :, 2:] == x[0, :, 2:]).all()
    assert (y[1] == x[1]).all()
    z = x[:1, :, :2].squeeze(0)  # an ellipsis of no axes parts nothing
    assert twofold.equal(z[:, i, ..., i], z[:, i, i])
    f = twofold.compile(lambda x, i: x[0, :, i] * 2)
    assert twofold.equal(f(x, i), x[0][:, i] * 2)


def test_a_list_of_lists_is_a_tuple_of_them():
    x = twofold.arange(12.0).reshape(3, 4)
    with pytest.warns(UserWarning, match="tuple"):
        assert x[[[0, 1], [2, 3]]].tolist() == [2.0, 7.0]
    with pytest.warns(UserWarning, match="tuple"):
        x[[slice(None), 1]] = 0.0
    assert x[:, 1].tolist() == [0.0] * 3 and x[[0, 2]].shape == (2, 4)


def test_masks_of_no_axes_are_flags_too():
    x = twofold.ones(2, 3, requires_grad=True)
    assert x[twofold.tensor(True)].shape == x[np.True_].shape == (1, 2, 3)
    assert x[twofold.tensor(False)].shape == (0, 2, 3)
    x[True, 1].sum().backward()
    assert x.grad.tolist() == [[0.0] * 3, [1.0] * 3]


def test_minus_zero_as_an_attribute_is_not_zero():
    x = twofold.tensor([-1.0, 2.0])
    for _ in range(3):
        assert (1 / F.leaky_relu(x, 0.0)).tolist() == [-np.inf, 0.5]
        assert (1 / F.leaky_relu(x, -0.0)).tolist() == [np.inf, 0.5]


def test_flags_in_a_captured_function():
    x = twofold.randn(4, 3)
    captured = twofold.compile(lambda x: x[:, True] + x[1, True])
    assert captured(x).tolist() == (x[:, True] + x[1, True]).tolist()


def test_a_part_that_is_assigned_leaves_one_node():
    h, out = twofold.ones(3, requires_grad=True), twofold.zeros(3, 4)
    made = mode.made = []
    try:
        for t in range(4):
            out[:, t] = h
    finally:
        mode.made = None
    assert {node.op.name for node in made} <= {"view_scatter", "expand"}
    assert len(made) == 4
    (out * twofold.arange(12.0).reshape(3, 4)).sum().backward()
    assert h.grad.tolist() == [6.0, 22.0, 38.0]


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x[3],
        lambda x: x[:, 5:60:3],
        lambda x: x[twofold.tensor([3, 3, 7])],
        lambda x: x.gather(1, twofold.tensor([[1, 1], [5, 2]])),
        lambda x: x.sort(1)[0],
        lambda x: x.topk(4, 0)[0],
    ],
)
def test_gradients_of_parts_of_large_tensors(read):
    """They begin with zeros that are one in memory."""
    random = np.random.default_rng(0)
    x = twofold.from_numpy(random.permutation(9000).reshape(100, 90).astype(np.float32))
    part = read(x.requires_grad_())
    g = twofold.from_numpy(random.standard_normal(part.shape).astype(np.float32)).requires_grad_()
    (made,) = twofold.autograd.grad(part, x, g, create_graph=True)
    want = np.zeros(9000, np.float32)  # by number, as all numbers are different
    np.add.at(want, part.detach().numpy().astype(int), g.detach().numpy())
    assert (made.detach().numpy() == want[x.detach().numpy().astype(int)]).all()
    made.sum().backward()
    assert (g.grad.numpy() == 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "complex128"])
def test_elements_of_rows_by_number(dtype):
    """More rows, and more indices, than share their places; `...` for the axes before."""
    random = np.random.default_rng(0)
    x = random.integers(-100, 100, (3, 23, 40)).astype(dtype)
    for count in (1, 5, 1024, 2500):
        index = random.integers(-40, 40, count)
        for read in (lambda x, i: x[..., i], lambda x, i: x[:, :, i], lambda x, i: x[2:, ..., i]):
            made = read(twofold.from_numpy(x), twofold.from_numpy(index)).numpy()
            assert made.tobytes() == read(x, index).tobytes(), count
        rows = twofold.from_numpy(x)[..., twofold.from_numpy(index % 23), :]
        assert rows.numpy().tobytes() == x[:, index % 23].tobytes()
        index[-1] = 40
        with pytest.raises(IndexError, match="40"):
            twofold.from_numpy(x)[..., twofold.from_numpy(index)]
