"""Sobol sequences: PyTorch's points, and what makes them even."""

import numpy as np
import pytest

import twofold
from twofold.quasirandom import SobolEngine
from twofold.quasirandom.sobol import BITS, directions


@pytest.mark.parametrize("dimension", [1, 2, 64, 1111])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_points_are_pytorchs(dimension, dtype):
    torch = pytest.importorskip("torch")
    ours, theirs = SobolEngine(dimension), torch.quasirandom.SobolEngine(dimension)
    for n in (1, 3, None, 7, 50):
        if n is None:
            ours, theirs = ours.fast_forward(5), theirs.fast_forward(5)
            continue
        found = ours.draw(n, dtype=getattr(twofold, dtype)).numpy()
        assert np.array_equal(found, theirs.draw(n, dtype=getattr(torch, dtype)).numpy())
    assert np.array_equal(ours.sobolstate.numpy(), theirs.sobolstate.numpy())
    assert repr(ours) == repr(theirs)


def test_the_first_points():
    wanted = [[0.0] * 5, [0.5] * 5, [0.75, 0.25, 0.25, 0.25, 0.75]]
    assert SobolEngine(5).draw(3).tolist() == wanted


@pytest.mark.parametrize("scramble", [False, True])
def test_each_axis_has_one_point_in_each_of_1024_parts(scramble):
    engine = SobolEngine(1111, scramble, seed=3)
    points = engine.draw(1024, dtype=twofold.float64).numpy()
    assert points.min() >= 0 and points.max() < 1
    parts = np.sort((points * 1024).astype(int), 0)
    assert (parts == np.arange(1024)[:, None]).all()
    again = engine.reset().fast_forward(1000).draw(24, dtype=twofold.float64)
    assert np.array_equal(again.numpy(), points[1000:])


def test_scrambling_is_by_seed_or_by_the_programs_random_numbers():
    first, second = (SobolEngine(4, True, seed).draw(8) for seed in (1, 2))
    assert not twofold.equal(first, second)
    assert twofold.equal(first, SobolEngine(4, True, 1).draw(8))
    twofold.manual_seed(5)
    found = SobolEngine(4, scramble=True).draw(8)
    twofold.manual_seed(5)
    assert twofold.equal(found, SobolEngine(4, scramble=True).draw(8))


def test_direction_numbers_are_independent():
    for row in directions(1111):  # the highest bit of number j is bit j: a triangle
        assert [int(n).bit_length() for n in row & -row] == list(range(BITS, 0, -1))


def test_draws():
    engine = SobolEngine(2)
    out = twofold.empty(0)
    assert engine.draw_base2(2, out=out) is out and out.shape == (4, 2)
    assert engine.draw(0).shape == (0, 2) and engine.num_generated == 4
    assert engine.draw(1, dtype=twofold.float16).dtype is twofold.float16
    with pytest.raises(ValueError, match="not a power of 2"):
        engine.draw_base2(3)
    with pytest.raises(ValueError, match="1 to 1111"):
        SobolEngine(1112)
    with pytest.raises(ValueError, match="are not there"):
        engine.draw(2**30)
    with pytest.raises(TypeError, match="int64"):
        engine.draw(dtype=twofold.int64)
