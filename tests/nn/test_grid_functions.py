"""Images at places between their pixels: the same bits whatever runs beside, slopes of slopes."""

import numpy as np
import pytest

import twofold
from twofold.nn import functional as F
from twofold.ops.bind import bind, interpreter


def _looked_at(how, padding, corners, count=2):
    random = np.random.default_rng(3)
    image = twofold.tensor(random.normal(size=(count, 3, 9, 7)).astype(np.float32))
    places = random.uniform(-1.4, 1.4, size=(count, 5, 8, 2)).astype(np.float32)
    grid = twofold.tensor(places)
    g = twofold.tensor(random.normal(size=(count, 3, 5, 8)).astype(np.float32))

    def both(rows):
        leaves = [t[rows].clone().requires_grad_() for t in (image, grid)]
        y = F.grid_sample(*leaves, how, padding, corners)
        y.backward(g[rows])
        return [t.detach().numpy() for t in (y, leaves[0].grad, leaves[1].grad)]

    return both


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("how", ["bilinear", "nearest", "bicubic"])
def test_an_image_of_a_batch_is_looked_at_as_alone(how, padding, corners):
    both = _looked_at(how, padding, corners)
    for whole, alone in zip(both(slice(0, 2)), both(slice(1, 2)), strict=True):
        np.testing.assert_array_equal(whole[1:], alone)


def test_threads_do_not_change_what_is_looked_at():
    both = _looked_at("bilinear", "zeros", False, count=80)
    before = twofold.get_num_threads()
    made = []
    for count in (1, 4):
        twofold.set_num_threads(count)
        made.append(both(slice(0, 80)))
    twofold.set_num_threads(before)
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_slopes_of_slopes_of_places(how, padding):
    random = np.random.default_rng(0)
    image = twofold.tensor(random.normal(size=(1, 2, 3, 4)), requires_grad=True)
    grid = twofold.tensor(random.uniform(-1.5, 1.5, size=(1, 2, 3, 2)), requires_grad=True)
    look = lambda x, g: F.grid_sample(x, g, how, padding, False)  # noqa: E731
    assert twofold.autograd.gradcheck(look, (image, grid))
    assert twofold.autograd.gradgradcheck(look, (image, grid))


def test_grid_sample_is_one_operation():
    seen = []

    class Watch:
        def run(self, op, inputs, attrs):
            seen.append(op.name)
            with interpreter(None):
                return bind(op, inputs, attrs)

    image, grid = twofold.ones(1, 1, 3, 3), twofold.zeros(1, 2, 2, 2)
    with interpreter(Watch()):
        F.grid_sample(image, grid, align_corners=False)
    assert seen == ["grid_sample"]


@pytest.mark.parametrize("corners", [False, True])
def test_known_and_later_sizes_give_the_same_places(corners):
    theta = twofold.tensor(np.random.default_rng(1).normal(size=(2, 2, 3)).astype(np.float32))
    places = lambda m, x: F.affine_grid(m, x.shape, corners)  # noqa: E731
    compiled = twofold.compile(places)
    for size in ((2, 1, 5, 7), (2, 1, 3, 11), (2, 1, 4, 4)):
        x = twofold.zeros(size)
        eager, later = places(theta, x).numpy(), compiled(theta, x).numpy()
        np.testing.assert_array_equal(eager, later)
