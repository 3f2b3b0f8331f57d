"""Remembered calls: the same results, views, chains and nodes as Python's, and no call too many."""

import gc
import itertools
import operator
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import twofold
from twofold.base.errors import TwofoldError
from twofold.codegen.native import core
from twofold.codegen.native.facts import MEETINGS, PYTHON, RECALL_ROWS, RECORD
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
    told += [made.version, made.leaf_grad, made.hooks, made.written, made.aliases]
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
    "split": lambda x: x.split(2)[1],
    "split last": lambda x: x.split(2, -1)[0],
    "split list": lambda x: x.split([1, x.shape[1] - 1], 1)[1],
    "chunk": lambda x: x.chunk(2, 1)[-1],
    "unbind": lambda x: x.T.unbind(1)[1],
    "iter": lambda x: tuple(x)[-1],
    "tensor_split": lambda x: twofold.tensor_split(x, 2)[0],
    "zeros_like": lambda x: twofold.zeros_like(x),
    "new_full": lambda x: x.new_full((2, 3), 7),
    "ones": lambda x: twofold.ones(2, 3, requires_grad=True),
    "arange": lambda x: twofold.arange(x.shape[0]),
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
    """How many records a call adds, but for those that it is Python's; it is made twice."""

    def known() -> dict[int, int]:
        kept = tensors._tier[0].memory.kept
        kind = RECORD.index("kind")
        return {row: id(one) for row, one in kept.items() if one[0][kind] != PYTHON}

    before = known()
    call(), call()
    return sum(before.get(row) != kept for row, kept in known().items())


def test_a_call_is_remembered_when_it_comes_again() -> None:
    memory = tensors._tier[0].memory
    memory.met_all.value = 0

    def records() -> int:
        return sum(one[1].__name__ == "sum" for one in memory.kept.values())

    for size in (1901, 1902, 1903):
        x = tensor(size, 3)
        before = records()
        for _ in range(MEETINGS):
            x.sum(1)
            assert records() == before
        for _ in range(2):
            x.sum(1)
            assert records() == before + 1


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
    assert row_of(lambda: x[x > 0]) <= 4, "how many there are is looked at"
    with pytest.raises(IndexError):
        x[twofold.tensor([1, 9])]
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
    assert row_of(lambda: x.split([1, 3], 1)) == 1
    assert [part.array.shape for part in x.split([2, 2], 1)] == [(6, 2), (6, 2)]


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


def test_what_refuses_a_history_asks_at_each_call() -> None:
    def refuses(f, x) -> None:
        f(x)
        f(x)
        with pytest.raises(TwofoldError, match="gradient"):
            f(x.clone().requires_grad_())

    x = twofold.rand(3, 3, dtype=twofold.float64) + 1
    refuses(lambda x: x.view(twofold.int64), x)
    refuses(lambda x: twofold.special.zeta(x + 1, 2.0), x)
    refuses(twofold.geqrf, x)
    refuses(twofold.linalg.ldl_factor, x + x.T)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?", "i4", "f2", "c8", "u1"])
def test_one_number_as_pythons(dtype: str) -> None:
    """Of each type, and of the values that are not like others; never of a neighbour's type."""
    values = [0, 1, 2.5, -3.75, 1e30, float("nan"), float("inf"), 0.1]
    with np.errstate(invalid="ignore", over="ignore"):
        given = [np.asarray(v).astype(dtype) for v in values] * 2
    for shape in ((), (1,), (1, 1)):
        for number in given:
            x = wrap(number.reshape(shape))
            wanted = number.item()
            assert x.item() == wanted or wanted != wanted
            assert type(x.item()) is type(wanted)
            for read in (float, int, bool, operator.index, complex):
                try:
                    right = read(wanted)
                except (TypeError, ValueError, OverflowError) as error:
                    with pytest.raises(type(error)):
                        read(x)
                    continue
                found = read(x)
                assert type(found) is type(right)
                assert found == right or (found != found and right != right)


def test_complex_numbers_are_told_apart() -> None:
    x = tensor(3, dtype="c8")
    numbers = [1j, complex(0, 1), complex(-0.0, 1), 1 + 0j, 1.0, 1, True, complex(1, -0.0), 2j]
    for number in [*numbers, *numbers, *reversed(numbers)]:
        wanted = x.array * np.asarray(number).astype("c8")
        assert (x * number).array.tobytes() == wanted.tobytes()
        assert (x + complex(number)).array.tobytes() == (x.array + complex(number)).tobytes()


def test_a_number_is_read_at_each_call() -> None:
    x = tensor(tracked=True)
    for value in (1.0, 2.0, 3.5):
        with twofold.no_grad():
            x.fill_(value)
        assert x.item() == float(x) == value
        assert (x * 2).item() == 2 * value
    with pytest.raises(ValueError, match="3 elements"):
        tensor(3).item()
    assert twofold.compile(lambda x: x * 2 if x.sum() > 0 else x)(tensor(3) + 5).item is not None


def test_a_tensor_without_history_at_each_call() -> None:
    x = tensor(3, tracked=True)
    kept = [x.detach() for _ in range(40)]
    for _ in range(40):
        y = x.detach()
        assert not y.tracked
        assert y.node is None
        assert y.array is x.array
    with twofold.no_grad():
        y.add_(1)
    assert {z.version for z in (*kept, x.detach(), x)} == {x.version} == {y.version}


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
    for size in range(1, 6000):
        x = tensor(1, size)
        assert x.T.array.shape == (size, 1)
        alive.append(weakref.ref(x))
    assert not any(ghost() is not None for ghost in alive[:-1])
    assert len(tensors._tier[0].memory.kept) <= RECALL_ROWS


def test_a_program_of_many_calls_is_remembered_as_a_whole() -> None:
    """Calls whose hashes meet stand beside each other: with one row for each, half of these
    were learned again at every turn.
    """
    memory = tensors._tier[0].memory
    tables = [tensor(2, size) for size in range(1, 1000)]

    def turn() -> None:
        for x in tables:
            x.T, x.sum(1), x[1]

    for _ in range(8):  # after which what other tests left has given way
        turn()
    written = {row: id(one) for row, one in memory.kept.items()}
    turn()
    again = sum(written.get(row) != id(one) for row, one in memory.kept.items())
    assert again < 400, "of 3000"


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


def test_new_tensors_have_memory_of_their_own() -> None:
    for _ in range(3):
        x, y = twofold.zeros(3), twofold.zeros(3)
        x.add_(1)
        assert y.tolist() == [0.0] * 3
        assert twofold.arange(3).tolist() == [0, 1, 2]
        assert twofold.full((2,), 2.5, requires_grad=True).requires_grad
        assert not twofold.full((2,), 2.5).requires_grad
    assert row_of(lambda: twofold.ones(3, 5)) == 1
    assert row_of(lambda: twofold.ones(3, 5, device=x.device)) == 1
    assert row_of(lambda: twofold.zeros(30_000)) == 0, "it would be kept"


def test_new_tensors_follow_the_defaults() -> None:
    def made() -> tuple[Any, ...]:
        return tuple(f(2).dtype for f in (twofold.zeros, twofold.ones, twofold.empty))

    for _ in range(2):
        assert made() == (twofold.float32,) * 3
        twofold.set_default_dtype(twofold.float64)
        try:
            assert made() == made() == (twofold.float64,) * 3
            assert twofold.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
        finally:
            twofold.set_default_dtype(twofold.float32)
        with twofold.device("meta"):
            assert twofold.zeros(2).device.type == "meta"
            with twofold.device("cpu"):
                assert twofold.zeros(2).tolist() == [0.0, 0.0]
        assert twofold.zeros(2).tolist() == [0.0, 0.0]
        assert twofold.zeros(2, device="meta").device.type == "meta"
        out = twofold.ones(2)
        assert twofold.zeros(2, out=out) is out
        assert out.tolist() == [0.0, 0.0]
    seen = [twofold.full_like(out, twofold.tensor(float(n))).tolist() for n in range(3)]
    assert seen == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]


def test_parts_are_views_and_have_gradients() -> None:
    for _ in range(3):
        x = tensor(4, 6)
        first, second = x.chunk(2, 1)
        second.mul_(0)
        assert first._version == x._version == 1
        assert not x.numpy()[:, 3:].any()
        p = tensor(4, 6, tracked=True)
        a, b, c = p.split(2, 1)
        (a * 2 + b * c).sum().backward()
        assert p.grad is not None
        np.testing.assert_array_equal(p.grad.numpy()[:, :2], 2.0)
        q = tensor(4, 6)
        parts = q.unbind(0)  # and gradients that come in through a write to what they are of
        w = tensor(6, tracked=True)
        q[1] = w
        parts[1].sum().backward()
        assert w.grad is not None
        np.testing.assert_array_equal(w.grad.numpy(), 1.0)


def test_what_is_pythons_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    x = tensor(5, 7)
    for _ in range(3):
        x.max(1)
    learnt = []
    monkeypatch.setattr(recall.Memory, "learn", lambda self, *call: learnt.append(call))
    assert x.max(1)[0].tolist() == x.numpy().max(1).tolist()
    assert not learnt
