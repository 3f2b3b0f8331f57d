"""Remembered calls: the same results, views, chains and nodes as Python's, and no call too many."""

import gc
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import twofold
from twofold.codegen.native import core
from twofold.exec import recall, tensors
from twofold.ops import bind
from twofold.ops.tensor import Tensor, wrap
from twofold.runtime import memory, native

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)

F = twofold.nn.functional


@pytest.fixture(autouse=True)
def tier() -> Iterator[Any]:
    tensors.remove()  # the calls of a function that are learnt are counted from here on
    tensors.install()
    yield tensors._tier[0]
    tensors.install()


def tensor(*shape: int, tracked: bool = False, dtype: str = "f4", seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).standard_normal(shape) * 3
    made = wrap(np.asarray(values, dtype))
    made.tracked = tracked and made.array.dtype.kind == "f"
    return made


def facts(made: Any, x: Tensor) -> Any:
    """Everything that can be told of a result of x."""
    if not isinstance(made, Tensor):
        return made
    array, node = made.array, made.node
    flags = array.flags
    told = [type(made), array.dtype, array.shape, array.tobytes(), made.tracked]
    told += [flags.writeable, flags.c_contiguous, flags.f_contiguous, flags.aligned]
    told += [made.version, made.grad, made.hooks, made.written, made.aliases]
    told += [made.base is x, made.base is None, made.chain, np.shares_memory(array, x.array)]
    if made.base is not None:
        told += [array.strides]
    if node is not None:
        told += [node.op, node.versions, node.attrs, node.shape, node.storage, node.hooks]
        told += [node.out is None, [type(i) for i in node.inputs], type(node.shape)]
    return told


CALLS: dict[str, Callable[[Tensor], Any]] = {
    "sum": lambda x: x.sum(),
    "sum 0": lambda x: x.sum(0),
    "sum -1": lambda x: x.sum(-1, keepdim=True),
    "sum dim": lambda x: twofold.sum(x, dim=(0, 1)),
    "mean": lambda x: x.mean(1),
    "amax": lambda x: x.amax(0),
    "argmax": lambda x: x.argmax(1),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "softmax 0": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(1),
    "cumsum": lambda x: x.cumsum(1),
    "layer_norm": lambda x: F.layer_norm(x, (x.shape[-1],)),
    "gelu": lambda x: F.gelu(x),
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "linear": lambda x: F.linear(x, x),
    "T": lambda x: x.T,
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "reshape": lambda x: x.reshape(-1),
    "reshape 2": lambda x: x.reshape(x.shape[1], x.shape[0]),
    "view": lambda x: x.view(1, -1),
    "flatten": lambda x: x.flatten(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "expand": lambda x: x.unsqueeze(0).expand(3, -1, -1),
    "row": lambda x: x[0],
    "last": lambda x: x[-1],
    "element": lambda x: x[1, 2],
    "slice": lambda x: x[1:],
    "slices": lambda x: x[:, 0:-1:2],
    "mixed": lambda x: x[1:, None, ..., 0],
    "backwards": lambda x: x.flip(0),
    "fresh numbers": lambda x: x.reshape(*[int(str(n)) for n in x.array.T.shape]),
    "fresh tuple": lambda x: x.permute(tuple([int(c) for c in "10"])),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "diagonal": lambda x: x.diagonal(),
    "bool": lambda x: x[True],
    "view of view": lambda x: x.T[1].reshape(1, -1).T,
}


@pytest.mark.parametrize("name", list(CALLS))
def test_as_python_does(name: str) -> None:
    call = CALLS[name]
    inputs = [
        tensor(3, 4),
        tensor(3, 4, seed=1),
        tensor(3, 4, tracked=True),
        tensor(4, 3, dtype="f8", tracked=True),
        tensor(5, 3, dtype="i8"),
        tensor(2, 3),
    ]
    turned = wrap(tensor(4, 3).array.T)
    for x, record in itertools.product([*inputs, turned, inputs[0]], [True, False]):
        with bind.recording(record):
            tensors.remove()
            wanted = _try(call, x)
            tensors.install()
            for _ in range(3):
                assert _try(call, x) == wanted, (x.array.dtype, x.array.shape, record)


def _try(call: Callable[[Tensor], Any], x: Tensor) -> Any:
    try:
        return facts(call(x), x)
    except Exception as error:
        return type(error), str(error).splitlines()[0]


def row_of(call: Callable[[], Any]) -> int:
    """How many records a call adds; it is made twice."""
    before = {row: id(kept) for row, kept in tensors._tier[0].memory.kept.items()}
    call(), call()
    after = {row: id(kept) for row, kept in tensors._tier[0].memory.kept.items()}
    return sum(before.get(row) != kept for row, kept in after.items())


def test_the_usual_calls_are_remembered() -> None:
    x = tensor(7, 11)
    assert row_of(lambda: x.sum(1)) == 1
    assert row_of(lambda: x.sum(1)) == 0
    assert row_of(lambda: x.T) == 1
    assert row_of(lambda: x.reshape(11, 7)) == 1
    assert row_of(lambda: F.softmax(x, dim=1)) == 1
    assert row_of(lambda: x[3]) == 1
    assert row_of(lambda: x[1:, 2]) == 1
    assert row_of(lambda: x[1:, 2]) == 0
    many = tensor(300, 400)
    assert row_of(lambda: many.reshape(*[n * 2 for n in (200, 150)])) == 1


def test_what_is_never_remembered() -> None:
    x = tensor(7, 13)
    sizes = [13, 7]
    assert row_of(lambda: x.reshape(sizes)) == 0, "a list may change"
    index = twofold.tensor([1, 2])
    assert row_of(lambda: x[index]) == 0, "what values an index has is looked at"
    F.dropout(x, 0.5)
    assert row_of(lambda: F.dropout(x, 0.5)) == 0, "random numbers differ each time"
    assert row_of(lambda: x.to(twofold.float64).sum()) <= 2
    with bind.interpreter(recall.Recorder(bind.run_eager)):
        assert row_of(lambda: x.sum(0)) == 0


def test_a_list_that_changes() -> None:
    x = tensor(6, 4)
    sizes = [4, 6]
    for _ in range(3):
        assert x.reshape(sizes).array.shape == (4, 6)
    sizes[:] = [8, 3]
    assert x.reshape(sizes).array.shape == (8, 3)


def test_numbers_that_are_alike() -> None:
    x = tensor(1, 4)
    for _ in range(3):
        assert x[0].array.shape == (4,)
        assert x[0, 1].array.shape == ()
        assert x[0:1].array.shape == (1, 4)
        assert x[0:1, 1].array.shape == (1,)
        assert x.sum(0).array.shape == (4,)
        assert x.sum(0, True).array.shape == (1, 4)
        assert x.sum(0, keepdim=1).array.shape == (1, 4)
    big = 10**30
    for _ in range(3):
        assert x[:big].array.shape == (1, 4)
        with pytest.raises((IndexError, OverflowError)):
            x[big]


def test_errors_stay() -> None:
    x = tensor(3, 4)
    for _ in range(3):
        for call in (lambda: x.sum(5), lambda: x.reshape(5, 5), lambda: x[7], lambda: x.sum(bad=1)):
            with pytest.raises((IndexError, ValueError, TypeError)):
                call()


def test_other_arguments_are_told_apart() -> None:
    x = tensor(3, 3)
    for _ in range(3):
        assert np.allclose(x.sum(0).array, x.array.sum(0))
        assert np.allclose(x.sum(1).array, x.array.sum(1))
        assert x.sum(1, keepdim=True).array.shape == (3, 1)
        assert x.sum(1, keepdim=False).array.shape == (3,)
        assert x.sum(dim=0, keepdim=True).array.shape == (1, 3)
        assert twofold.sum(input=x).array.shape == ()


def test_memory_is_shared_and_written() -> None:
    x = tensor(3, 4)
    for turn in range(3):
        view = x.T
        view.add_(1.0)
        assert np.shares_memory(view.array, x.array)
        assert x.version == 2 * turn + 1 and view.version == x.version
        row = x[1]
        x.mul_(2.0)
        assert np.array_equal((row * 1.0).array, x.array[1])


def test_a_stale_view_is_refreshed() -> None:
    p = tensor(4, 4, tracked=True)
    x = p * 1.0
    for _ in range(3):
        view = x.T
        x.add_(1.0)
        assert view.version != x.version
        row = view[1]
        assert row.version == x.version
        assert np.array_equal(row.array, x.array.T[1])
    row.sum().backward()
    assert np.array_equal(p.grad.array, np.eye(4)[[1, 1, 1, 1]])


def test_gradients_flow_through_views() -> None:
    found = []
    for install in (True, False, True):
        tensors.install() if install else tensors.remove()
        for _ in range(3):
            p = tensor(3, 4, tracked=True)
            y = (p.T.reshape(2, 6)[1] * p.flatten()[:6]).sum() + F.softmax(p, dim=-1)[0, 1]
            y.backward()
            found.append(p.grad.array.tobytes())
    assert len(set(found)) == 1


def test_many_records_push_each_other_out() -> None:
    alive = []
    for size in range(1, 1500):
        x = tensor(1, size % 700 + 1)
        assert x.T.array.shape == (size % 700 + 1, 1)
        alive.append(weakref.ref(x))
    assert not any(ghost() is not None for ghost in alive[:-1])
    assert len(tensors._tier[0].memory.kept) <= 1024


def test_nothing_leaks() -> None:
    x, p = tensor(6, 6), tensor(6, 6, tracked=True)

    def turn(count: int) -> None:
        for _ in range(count):
            x.sum(1)
            p.t()
            p.T.reshape(-1)[3]
            p.sum(0, keepdim=True)
            with twofold.no_grad():
                p.t()

    turn(300)
    gc.collect()
    watched = [None, True, False, 0, x, p, x.array, p.array, np.dtype("f4"), Tensor]
    begin = [sys.getrefcount(w) for w in watched], sys.getallocatedblocks()
    in_arrays = memory.allocated()
    turn(5000)
    gc.collect()
    end = [sys.getrefcount(w) for w in watched], sys.getallocatedblocks()
    moved = [b - a for a, b in zip(begin[0], end[0], strict=True)]
    assert max(map(abs, moved)) < 50, moved
    assert abs(end[1] - begin[1]) < 300
    assert abs(memory.allocated() - in_arrays) < 4096


def test_collections_in_the_middle() -> None:
    p = tensor(5, 5, tracked=True)

    class Maker:
        def __del__(self) -> None:
            tensor(5, 5).T.sum(0)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            loop: list[Any] = [p.T[0], Maker()]
            loop.append(loop)
        assert (p.T[0]).chain is not None
    finally:
        gc.set_threshold(*before)


def test_removal() -> None:
    x = tensor(3, 4)
    assert isinstance(vars(Tensor)["T"].fget, type(len))
    tensors.remove()
    assert not isinstance(vars(Tensor)["T"].fget, type(len))
    assert x.T.array.shape == (4, 3)
    tensors.install()
    assert x.T.array.shape == (4, 3)


def test_a_read_only_array() -> None:
    array = np.ones((3, 4), "f4")
    array.flags.writeable = False
    x, y = wrap(array), tensor(3, 4)
    for _ in range(3):
        assert not x.T.array.flags.writeable
        assert y.T.array.flags.writeable
    assert native.get_handler_name(y.sum(0).array) == "twofold"
