"""Memory as NumPy may hand it over: misaligned, read-only, with elements that are one."""

import numpy as np
import pytest

import twofold
from twofold.base.errors import ArgumentError, ShapeError

VALUES = np.random.default_rng(0).normal(size=(5, 4, 5)).astype(np.float32)


def misaligned():
    raw = np.zeros(VALUES.nbytes + 1, np.uint8)
    array = np.frombuffer(raw.data, np.float32, VALUES.size, offset=1).reshape(VALUES.shape)
    array[...] = VALUES
    assert not array.flags.aligned
    return twofold.from_numpy(array)


def read_only():
    array = VALUES.copy()
    array.flags.writeable = False
    return twofold.from_numpy(array)


def expanded():
    return twofold.zeros(1, 4, 5).expand(5, 4, 5)


def overlapping():
    array = np.zeros(500, np.float32)
    return twofold.from_numpy(np.lib.stride_tricks.as_strided(array, (5, 4, 5), (40, 8, 4)))


def interleaved():
    """Steps that do not lie within one another, and yet no element is another's."""
    array = np.zeros(40, np.float32)
    return twofold.from_numpy(np.lib.stride_tricks.as_strided(array, (2, 3), (12, 8)))


READS = {
    "a diagonal": lambda x: x.diagonal() * 2,
    "turned": lambda x: x.mT.contiguous(),
    "a product": lambda x: x @ x.mT,
    "steps": lambda x: x[:, ::2].sum(-1),
}
WRITES = {
    "all": lambda x: x.add_(1),
    "a view": lambda x: x[:, ::2].mul_(2),
    "filled": lambda x: x.zero_(),
    "an item": lambda x: x.__setitem__(0, 3.0),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("first", ["aligned", "misaligned"])
def test_plans_for_copies_of_misaligned_memory_serve_no_other_layout(name, first):
    function = READS[name]
    for called in (function, twofold.compile(function)):
        wanted = function(twofold.tensor(VALUES)).numpy() if first == "aligned" else None
        found = called(misaligned()).numpy()
        plain = called(twofold.tensor(VALUES)).numpy()
        assert np.array_equal(found, plain)
        assert np.array_equal(found, called(misaligned()).numpy())
        assert wanted is None or np.array_equal(found, wanted)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("warm", [0, 150])
def test_a_program_writes_misaligned_memory(name, warm):
    function = WRITES[name]
    wanted = twofold.tensor(VALUES)
    function(wanted)
    compiled = twofold.compile(function)
    for _ in range(warm):
        compiled(twofold.tensor(VALUES))
    for _ in range(2):
        x = misaligned()
        compiled(x)
        assert np.array_equal(x.numpy(), wanted.numpy())


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("warm", [0, 150])
def test_a_program_does_not_write_what_cannot_be_written(name, warm):
    compiled = twofold.compile(WRITES[name], fullgraph=True)
    for _ in range(warm):
        compiled(twofold.tensor(VALUES))
    x = read_only()
    with pytest.raises(ArgumentError, match="read-only"):
        compiled(x)
    assert np.array_equal(x.numpy(), VALUES)
    for make in (expanded, overlapping):
        with pytest.raises(ShapeError, match="one in memory"):
            compiled(make())


def test_steps_that_lie_across_one_another_may_be_written():
    x = interleaved()
    twofold.compile(lambda x: x.add_(1))(x)
    assert x.numpy().tolist() == [[1, 1, 1], [1, 1, 1]]
