"""The memory behind tensors, as bytes."""

import pytest

import twofold
from twofold.base.errors import ArgumentError


def test_storages_are_the_bytes_of_tensors_and_files(tmp_path):
    x = twofold.arange(6, dtype=twofold.int16).reshape(2, 3)
    whole = twofold.tensor([[0, 1, 2], [3, 4, 5]], dtype=twofold.int16)
    for tensor in (whole, whole.t(), x, x.t(), x[1]):
        memory = tensor.untyped_storage()
        assert memory.tolist() == [0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0] and len(memory) == 12
        assert twofold.is_storage(memory) and not twofold.is_storage(tensor)
    x[0, 0] = 7
    assert memory[0] == 7, "it is the memory itself"
    part = twofold.asarray(memory[2:6], dtype=twofold.uint8)
    assert part.view(twofold.int16).tolist() == [1, 2]
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(8)))
    read = twofold.UntypedStorage.from_file(str(path), shared=False, nbytes=8)
    assert read[4:].tolist() == [4, 5, 6, 7]
    assert twofold.UntypedStorage(3).tolist() == [0, 0, 0]
    with pytest.raises(ArgumentError, match="step"):
        read[::2]
