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


def test_tensors_are_set_to_other_memory():
    x, y = twofold.zeros(2, 3), twofold.arange(6.0)
    assert x.is_set_to(x.view(2, 3)) and not x.is_set_to(x.t())
    assert x.set_(y) is x and x.is_set_to(y)
    x.set_(y.untyped_storage(), 1, (2, 2))
    assert x.tolist() == [[1, 2], [3, 4]]
    x.zero_()
    assert y.tolist() == [0, 0, 0, 0, 0, 5]
    assert x.set_(y, 1, (2,), (4,)).tolist() == [0, 5]
    assert x.set_().numel() == 0


def test_questions_that_sparse_tensors_and_other_devices_are_asked():
    x = twofold.zeros(2, 3)
    assert x.to_dense() is x and x.to_dense(twofold.float64).dtype == twofold.float64
    assert (x.dense_dim(), x.sparse_dim(), x.name) == (2, 0, None)
    assert not any((x.is_xla, x.is_mkldnn, x.is_sparse_csr, x.is_vulkan, x.is_distributed()))
    assert x.resize(3, 2).shape == x.resize_as(twofold.ones(3, 2)).shape == (3, 2)
    assert x.module_load(twofold.ones(2, 3)).sum() == 6 and x.sum() == 6
    with pytest.raises(RuntimeError, match="no such device here"):
        x.xpu()
    with pytest.raises(ValueError, match="the tensor is dense"):
        x.is_coalesced()


def test_memory_as_elements():
    x = twofold.arange(6.0).reshape(2, 3)
    memory = x[1].storage()
    assert (memory.dtype, memory.size(), memory[2], memory.tolist()[5]) == (x.dtype, 6, 2.0, 5.0)
    memory[0] = 9.0
    assert x[0, 0].item() == 9.0 and next(iter(memory)) == 9.0
    assert memory.untyped().nbytes() == memory.nbytes() == 24 and memory.element_size() == 4
    assert memory.type() == "torch.FloatStorage" == f"torch.{memory.pickle_storage_type()}"
    assert memory.double().dtype is twofold.float64 and memory.clone().data_ptr() != x.data_ptr()
    assert twofold.empty(0).set_(memory, 1, (2, 2), (2, 1)).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert repr(twofold.ones(1).storage()).endswith("dtype=twofold.float32, device=cpu) of size 1]")
    with pytest.raises(ArgumentError, match="one by one"):
        memory[:2]
    with pytest.raises(ArgumentError, match="6 elements"):
        twofold.FloatStorage(2).copy_(memory)
    with pytest.raises(ArgumentError, match="from 6 to 100"):
        memory.resize_(100)


def test_storages_of_one_type():
    made = twofold.FloatStorage([1.0, 2.0])
    assert isinstance(made, twofold.FloatStorage) and not isinstance(made, twofold.LongStorage)
    assert made.tolist() == [1.0, 2.0] and twofold.BFloat16Storage([1.5])[0] == 1.5
    assert twofold.UntypedStorage(4).fill_(1).tolist() == [1] * 4
    assert twofold.storage.TypedStorage(2, dtype=twofold.int64).tolist() == [0, 0]
    assert twofold.is_storage(made) and twofold.is_storage(made.untyped())
