"""The random kernels give their definition's numbers, whatever the size and the number of
threads.
"""

import numpy as np
import pytest

import twofold
from twofold.exec.eager import run_reference
from twofold.ops.bind import bind
from twofold.ops.draws import CLASSES, INTEGERS, NORMAL, PERMUTATION, UNIFORM, philox
from twofold.ops.tensor import wrap

SIZES = (0, 1, 5, 31, 32, 33, 1000, 50_001)


def drawn(op, state, size, dtype):
    return bind(op, (wrap(np.array(state, np.uint64)),), ((size,), dtype)).array


def test_philox_gives_the_known_answers():
    # Random123's kat_vectors: philox4x32 10
    words = philox((0, 0, 0, 0), (0, 0))
    assert [int(w) for w in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = 0xFFFFFFFF
    words = philox((full, full, full, full), (full, full))
    assert [int(w) for w in words] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [twofold.float32, twofold.float64])
def test_uniform_has_the_bits_of_the_definition(size, dtype):
    state = (0xFEDCBA9876543210, 3, 7)
    found = drawn(UNIFORM, state, size, dtype)
    wanted = run_reference(
        UNIFORM, (np.array(state, np.uint64),), {"shape": (size,), "dtype": dtype}
    )
    assert found.dtype == dtype.numpy and (found == wanted).all()


@pytest.mark.parametrize("dtype", [twofold.float32, twofold.float64])
def test_normal_is_close_to_the_definition_and_standard(dtype):
    state = (5, 0, 1)
    found = drawn(NORMAL, state, 50_001, dtype)
    wanted = run_reference(
        NORMAL, (np.array(state, np.uint64),), {"shape": (50_001,), "dtype": dtype}
    )
    assert np.allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert abs(found.mean()) < 0.02 and abs(found.std() - 1) < 0.02


@pytest.mark.parametrize("op", [UNIFORM, NORMAL])
def test_an_element_depends_on_its_number_alone(op):
    long, short = (drawn(op, (1, 2, 3), n, twofold.float32) for n in (40_000, 77))
    assert (long[:77] == short).all()


@pytest.mark.parametrize("op", [UNIFORM, NORMAL])
def test_threads_do_not_change_a_bit(op):
    before = twofold.get_num_threads()
    try:
        made = []
        for count in (1, 2, 3, 8):
            twofold.set_num_threads(count)
            made.append(drawn(op, (9, 0, 4), 70_003, twofold.float32).tobytes())
    finally:
        twofold.set_num_threads(before)
    assert len(set(made)) == 1


def test_streams_draws_and_seeds_differ():
    made = [
        drawn(UNIFORM, s, 8, twofold.float32).tobytes()
        for s in [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1)]
    ]
    assert len(set(made)) == 4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("low, high", [(0, 10), (-5, 3), (0, 1 << 32), (7, 1 << 40)])
def test_integers_are_the_definitions(size, low, high):
    state, attrs = np.array([3, 1, 9], np.uint64), ((size,), low, high)
    made = bind(INTEGERS, (wrap(state),), attrs).array
    wanted = run_reference(INTEGERS, (state,), INTEGERS.keywords(attrs))
    assert made.dtype == np.int64 and np.array_equal(made, wanted)


@pytest.mark.parametrize("size", SIZES)
def test_permutations_are_the_definitions(size):
    state = np.array([3, 1, 9], np.uint64)
    made = bind(PERMUTATION, (wrap(state),), (size,)).array
    wanted = run_reference(PERMUTATION, (state,), PERMUTATION.keywords((size,)))
    assert np.array_equal(made, wanted)


@pytest.mark.parametrize("rows, classes", [(1, 4), (7, 50), (3, 5000)])
@pytest.mark.parametrize("count, replacement", [(0, True), (90, True), (1, False), (2, False)])
def test_classes_are_the_definitions(rows, classes, count, replacement):
    random = np.random.default_rng(0)
    weights = random.random((rows, classes))
    weights[:, ::3] = 0
    u = random.random((rows, count if replacement else classes))
    attrs = count, replacement
    wanted = run_reference(CLASSES, (weights, u), CLASSES.keywords(attrs))
    made = bind(CLASSES, (wrap(weights), wrap(u)), attrs).array
    assert np.array_equal(made, wanted)
    alone = bind(CLASSES, (wrap(weights[-1:]), wrap(u[-1:])), attrs).array
    assert np.array_equal(alone, wanted[-1:])
