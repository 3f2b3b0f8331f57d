"""Arguments as keys: what means the same has one record, what differs never shares one."""

import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import twofold
from twofold.base.errors import ArgumentError, ShapeError
from twofold.codegen.native import core
from twofold.codegen.native.facts import DEEPEST
from twofold.exec import keys, recall, tensors
from twofold.ops.tensor import Parameter, Size, Tensor, wrap

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)

F = twofold.nn.functional


@pytest.fixture(autouse=True)
def tier() -> Iterator[Any]:
    tensors.remove()  # the calls of a function that are learnt are counted from here on
    tensors.install()
    yield
    tensors.install()


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return wrap(np.random.default_rng(seed).standard_normal(shape).astype("f4"))


def records(call: Callable[[], Any]) -> int:
    """How many records a call adds."""
    kept = tensors._tier[0].memory.kept
    before = {row: id(record) for row, record in kept.items()}
    call()
    return sum(before.get(row) != id(record) for row, record in kept.items())


def test_patterns() -> None:
    same = [1, 1.5, (1, (2.0, None)), slice(1, None, 2), Size((2, 3)), "mean", twofold.float32]
    for thing in same:
        assert keys.pattern(thing) == keys.pattern(thing) is not None
    assert keys.pattern(1) != keys.pattern(1.0) != keys.pattern(True)
    assert keys.pattern(0.0) != keys.pattern(-0.0)
    assert keys.pattern(1 + 0j) != keys.pattern(1.0) != keys.pattern(complex(1, -0.0))
    assert keys.pattern((2, 3)) != keys.pattern(Size((2, 3)))
    for odd in ([1], {}, 2**64, np.float32(1), np.int64(1), float, object(), ((tensor(2),),)):
        assert keys.pattern(odd) is None
    deep: Any = 1
    for _ in range(DEEPEST + 1):
        deep = (deep,)
    assert keys.pattern(deep) is None
    quiet = type("Quiet", (Tensor,), {})
    assert keys.pattern(quiet([1.0])) is None
    assert keys.pattern([quiet([1.0])]) is None
    pair = keys.pattern([tensor(2), tensor(3)])
    assert pair == keys.pattern([tensor(2, seed=1), tensor(3)]) is not None
    assert pair != keys.pattern((tensor(2), tensor(3)))
    assert pair != keys.pattern([tensor(3), tensor(2)])
    assert keys.pattern(Parameter(tensor(2))) == keys.pattern(tensor(2))


def test_what_means_the_same_has_one_record() -> None:
    x, fresh = tensor(31, 7), tensor(31, 7, seed=1)
    tenth = float("0.1")
    assert records(lambda: F.leaky_relu(x, 0.1)) == 1
    assert records(lambda: F.leaky_relu(fresh, tenth)) == 0
    assert records(lambda: F.leaky_relu(x, float("0.2"))) == 1
    assert records(lambda: x.sum(dim=1, keepdim=True)) == 1
    assert records(lambda: fresh.sum(dim=1, keepdim=True)) == 0, "names are compared one by one"
    assert records(lambda: x.sum(keepdim=True, dim=1)) == 1
    large = tensor(300, 2)
    assert records(lambda: large.view(int("600"))) == 1
    assert records(lambda: large.view(int("600"))) == 0
    x.view(Size((7, 31)))
    assert records(lambda: x.view(Size([7, 31]))) == 0
    assert records(lambda: x[1 : int("3"), None]) == 1
    assert records(lambda: fresh[1 : int("3"), None]) == 0


def test_lists_of_tensors_are_known_by_what_is_in_them() -> None:
    x, y, wide = tensor(23, 4), tensor(23, 4, seed=1), tensor(23, 5)
    parts = [x, y]
    assert records(lambda: twofold.cat(parts, 1)) == 1
    assert records(lambda: twofold.cat([y, x], 1)) == 0
    parts[1] = wide
    for _ in range(3):
        assert twofold.cat(parts, 1).numpy().tolist() == np.hstack([x.array, wide.array]).tolist()
        assert twofold.cat([x, x], 1).numpy().tolist() == np.hstack([x.array, x.array]).tolist()
        assert twofold.stack((x, y)).numpy().tolist() == np.stack([x.array, y.array]).tolist()
        with pytest.raises(ArgumentError):
            twofold.cat([])
        with pytest.raises(ShapeError):
            twofold.cat([x, tensor(4, 4)], 1)
    many = [x] * 20
    for _ in range(3):
        assert twofold.cat(many).shape == (460, 4)


def test_lists_hold_their_tensors_no_longer_than_the_call() -> None:
    p = Parameter(tensor(2, 2))
    for _ in range(3):
        x = tensor(2, 2)
        held, count = weakref.ref(x), sys.getrefcount(p)
        made = twofold.cat([p, x])
        assert made.node.inputs == (p, None)
        (made * made).sum().backward()
        np.testing.assert_array_equal(p.grad.numpy(), 2 * p.array)
        p.grad = None
        del made, x
        assert held() is None and sys.getrefcount(p) == count


def test_deep_keys_are_left_to_python() -> None:
    x, deep = tensor(3, 3), (1,)
    for _ in range(10_000):
        deep = (deep,)  # type: ignore[assignment]
    for _ in range(3):
        with pytest.raises((TypeError, ValueError, RecursionError)):
            x.sum(deep)


PLAIN: list[Callable[[Tensor], Any]] = [
    lambda x: x.shape,
    lambda x: x.dtype,
    lambda x: x.ndim,
    lambda x: x.size(),
    lambda x: x.size(0),
    lambda x: x.dim(),
    lambda x: x.numel(),
    lambda x: x.size(dim=-1),
]


@pytest.mark.parametrize("call", PLAIN)
def test_plain_values(call: Callable[[Tensor], Any]) -> None:
    given = [tensor(3, 4), tensor(4, 3), wrap(np.ones((2, 5), "i8")), Parameter(tensor(3, 4))]
    for x in given:
        tensors.remove()
        wanted = call(x)
        tensors.install()
        for _ in range(3):
            assert call(x) == wanted and type(call(x)) is type(wanted)


def test_a_tensor_that_is_given_back() -> None:
    x, turned = tensor(3, 4), wrap(tensor(4, 3).array.T)
    for _ in range(3):
        assert x.contiguous() is x
        assert x.float() is x and x.to(twofold.float32) is x
        assert turned.contiguous() is not turned
        assert x.to(twofold.float64).array.dtype == np.float64


def test_numbers_that_become_tensors() -> None:
    x, p = tensor(3, 4), tensor(3, 4)
    p.tracked = True
    for low, high in [(0, 1), (0.5, 0.75), (-0.5, 0.0)] * 2:
        assert np.array_equal(x.clamp(low, high).array, np.clip(x.array, low, high))
        assert np.array_equal(x.clamp(min=low).array, np.maximum(x.array, np.float32(low)))
        p.grad = None
        p.clamp(low, high).sum().backward()
        inside = (x.array >= low) & (x.array <= high)
        assert np.array_equal(p.grad.array != 0, inside)


def test_one_tensor_given_twice_is_not_two() -> None:
    x, w = tensor(4, 4), tensor(4, 4, seed=1)
    for _ in range(3):
        assert np.allclose(F.linear(x, x).array, x.array @ x.array.T, atol=1e-5)
        assert np.allclose(F.linear(x, w).array, x.array @ w.array.T, atol=1e-5)
        assert np.allclose(F.linear(w, x).array, w.array @ x.array.T, atol=1e-5)


def test_values_are_never_part_of_a_record() -> None:
    x, at = tensor(4, 4), wrap(np.array(1))
    for place in (1, 2, 3):
        at.array = np.array(place)
        assert np.array_equal(x[at].array, x.array[place])
        assert x.reshape(at + 1 - at, -1).array.shape == (1, 16)
        assert np.array_equal(x.narrow(0, place, 1).array, x.array[place : place + 1])


def test_layer_norm_and_friends_with_gradients() -> None:
    found = []
    for install in (True, False, True):
        tensors.install() if install else tensors.remove()
        for _ in range(3):
            p, w, b = tensor(3, 4), Parameter(tensor(4, seed=1)), Parameter(tensor(4, seed=2))
            m = Parameter(tensor(2, 4, seed=3))
            p.tracked = True
            y = F.linear(F.layer_norm(p, (4,), w, b), m, bias=b[:2]).softmax(-1)
            (y * y).sum().backward()
            found.append([t.grad.array.tobytes() for t in (p, w, b, m)])
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(9),
        lambda x: x.view(5, 5),
        lambda x: x.transpose(0, 4),
        lambda x: x[8],
        lambda x: x[1, 2, 3],
        lambda x: x[1.5],
        lambda x: F.softmax(x, dim=7),
        lambda x: F.linear(x, x[0], x),
        lambda x: F.layer_norm(x, (9,)),
        lambda x: F.conv2d(x, x),
        lambda x: x.to("nothing"),
        lambda x: x.permute(0, 0),
        lambda x: x.T.view(12),
        lambda x: x.sum(nothing=1),
        lambda x: x.reshape(),
        lambda x: x.size(5),
    ],
)
def test_errors_have_one_text(call: Callable[[Tensor], Any]) -> None:
    x = tensor(3, 4)

    def text() -> str:
        with pytest.raises(Exception) as caught:
            call(x)
        return f"{type(caught.value)}: {caught.value}"

    tensors.remove()
    wanted = text()
    tensors.install()
    assert [text() for _ in range(3)] == [wanted] * 3


def test_every_name_is_put_behind_the_memory() -> None:
    methods = {name for name in recall.NAMES if name in vars(Tensor)}
    assert {"sum", "__getitem__", "to", "view", "size"} <= methods
    python = [name for name in methods if type(vars(Tensor)[name]) is type(lambda: 0)]
    assert not python
    tensors.remove()
    assert type(vars(Tensor)["sum"]) is type(lambda: 0)
