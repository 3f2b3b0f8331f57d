"""The walk in machine code gives what the walk in Python gives: gradients, hooks, errors, frees."""

from __future__ import annotations

import gc
import resource
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
from twofold.autograd import fast
from twofold.base.errors import GradientError
from twofold.codegen.native import core
from twofold.exec import tensors
from twofold.ops.tensor import Parameter, Tensor
from twofold.runtime import memory

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)


@pytest.fixture(autouse=True)
def tier() -> Iterator[None]:
    tensors.install()
    yield
    tensors.install()


def leaf(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Tensor:
    values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return twofold.tensor(values, requires_grad=True)


def both(program: Callable[[], Any]) -> Any:
    """What a program gives with either walk, which must be the same."""
    found = []
    for install in (True, False):
        tensors.install() if install else tensors.remove()
        assert bool(fast._walk) == install
        for _ in range(2):
            found.append(program())
    tensors.install()
    assert all(f == found[0] for f in found[1:])
    return found[0]


def bits(*xs: Tensor) -> list[Any]:
    return [None if x.grad is None else (x.grad.shape, x.grad.numpy().tobytes()) for x in xs]


def chain(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    h = x
    for _ in range(5):
        h = (h * y + x).tanh()
    return (h @ w).sum()


def several(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    c, _ = twofold.sort(x, 1)
    return (a * b).sum() + (c[:, 1:] * y).sum() + w.amax(0).prod()


def broadcast(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    return (x[:, None, :] * w[None, :, :1] + y.reshape(-1)[0]).pow(2).mean()


def layers(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    h = F.gelu(F.linear(F.layer_norm(x, (4,)), w))
    return F.cross_entropy(h, twofold.tensor([0, 1, 2])) + F.softmax(h, 1)[0, 1] * y.sum()


def views(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    z = x * 1
    z[0] = y[0, 0] * 2
    part = z[1]
    z.mul_(3)
    return (part * w[0]).sum() + z.T.reshape(2, 6).sum()


def many(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    return twofold.cat([x * i for i in range(40)]).sum() + twofold.stack([y, y]).prod() + w.sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("program", [chain, several, broadcast, layers, views, many])
def test_the_same_bits(program: Any, dtype: Any) -> None:
    def run() -> Any:
        width = 3 if program is several else 1 if program is broadcast else 4
        x, y = leaf(3, 4, dtype=dtype), leaf(3, width, seed=1, dtype=dtype)
        w = leaf(4, 4, seed=2, dtype=dtype)
        found = []
        for _ in range(2):  # the second adds to what is there
            program(x, y, w).backward()
            found.append(bits(x, y, w))
        return found

    assert all(part is not None for part in both(run)[0])


def test_hooks_of_nodes_and_leaves() -> None:
    def run() -> Any:
        seen: list[Any] = []
        x = leaf(4)
        h = x * 2
        h.retain_grad()
        h.register_hook(lambda g: seen.append(g.numpy().tolist()))
        h.register_hook(lambda g: g * 3)
        x.register_hook(lambda g: g + 1)
        x.register_hook(lambda g: seen.append(g.numpy().tolist()))
        (h * h).sum().backward()
        return seen, bits(x, h)

    assert len(both(run)[0]) == 2


def test_a_hook_that_fails_leaves_nothing_behind() -> None:
    def run() -> Any:
        x = leaf(4)
        h = x * 2
        held = weakref.ref(h.node)

        def fail(g: Tensor) -> None:
            raise KeyError("mine")

        h.register_hook(fail)
        with pytest.raises(KeyError, match="mine"):
            h.sum().backward()
        del h
        gc.collect()
        return bits(x), held() is None, twofold.is_grad_enabled()

    assert both(run) == ([None], True, True)


def error_of(program: Callable[[], Any]) -> str:
    with pytest.raises(GradientError) as error:
        program()
    return str(error.value).replace(" ", "")


def test_errors() -> None:
    def twice() -> Any:
        y = (leaf(3) * leaf(3, seed=1)).sum()
        y.backward()
        return error_of(y.backward)

    def overwritten() -> Any:
        x, y = leaf(3), twofold.ones(3)
        z = (x * y).sum()
        y.add_(1)
        return error_of(z.backward)

    def within() -> Any:
        x = leaf(3)
        z = x.exp()
        square, total = z * z, z.sum()
        square.register_hook(lambda g: total.backward())
        return error_of(square.sum().backward)

    assert "walkedbefore" in both(twice)
    assert "overwritten" in both(overwritten)
    assert "walkedbefore" in both(within)


def test_retained_graphs_walk_again() -> None:
    def run() -> Any:
        x = leaf(3)
        y = (x.exp() * x).sum()
        y.backward(retain_graph=True)
        y.backward(twofold.tensor(0.5))
        return bits(x), y.node.inputs is not None

    both(run)


def test_gradients_are_nobody_elses_memory() -> None:
    def run() -> Any:
        x, y, z, g = leaf(3), leaf(3, seed=1), leaf(3, seed=2), twofold.ones(3)
        (x + y).backward(g)
        z.backward(g)
        held = x.grad
        (x * 2).sum().backward()
        arrays = [v.grad.array for v in (x, y, z)] + [held.array, g.array]
        for i, a in enumerate(arrays):
            assert not any(np.shares_memory(a, b) for b in arrays[:i])
        return bits(x, y, z), held.numpy().tolist()

    both(run)


def test_gradients_own_plain_tensors() -> None:
    p = Parameter(twofold.ones(2, 3))
    (p.T.reshape(-1) * 2).sum().backward()
    assert type(p.grad) is Tensor and p.grad.array.base is None
    assert p.grad.node is None and p.grad.tracked is False and p.grad.version == 0
    assert p.grad.array.flags.c_contiguous


def test_no_object_is_lost() -> None:
    x, y, w = leaf(3, 4), leaf(3, 4, seed=1), leaf(4, 4, seed=2)

    def run() -> None:
        for program in (chain, views, many, layers):
            program(x, y, w).backward()
        for v in (x, y, w):
            v.grad = None

    def alive() -> tuple[int, int]:
        gc.collect()
        return len(gc.get_objects()), sys.getallocatedblocks()

    def growth() -> int:
        before = alive()
        for _ in range(50):
            run()
        return max(b - a for a, b in zip(before, alive(), strict=True))

    # What calls are like is learned in the first rounds; what is lost is lost in every round.
    assert any(growth() < 50 for _ in range(20))


def test_saved_values_die_in_the_walk() -> None:
    x = leaf(1000)
    h = x * 2
    dead = []
    weakref.finalize(h, dead.append, 1)
    y = h.exp()
    h.register_hook(lambda g: dead.append(2))
    y = (y * y).sum()
    node = y.node.inputs[0]
    del h
    y.backward()
    assert node.inputs is None
    assert dead == [1, 2] or dead == [2, 1]


def test_walks_of_several_threads() -> None:
    found: list[Any] = []

    def work(seed: int) -> None:
        x, y, w = leaf(3, 4, seed=seed), leaf(3, 4, seed=1), leaf(4, 4, seed=2)
        for _ in range(30):
            x.grad = None
            chain(x, y, w).backward()
        found.append((seed, bits(x)))

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 6
    for seed in (0, 1):
        made = [b for s, b in found if s == seed]
        assert all(b == made[0] for b in made)


def test_wide_and_deep_graphs() -> None:
    def run() -> Any:
        x = leaf(2, dtype=np.float64)
        wide = sum((x * (i + 1) for i in range(700)), start=x * 0)
        deep = wide
        for _ in range(3000):
            deep = deep + x
        deep.sum().backward()
        return bits(x)

    both(run)


def test_gradients_that_two_leaves_share_are_copied_into_memory_of_ours() -> None:
    """The copy comes from the allocator, whose blocks are kept, and not from the system."""
    a, b = leaf(1000, 100), leaf(1000, 100)
    total = (a + b).sum()
    gc.collect()
    before = memory.allocated()
    total.backward()
    assert a.grad is not None and b.grad is not None
    assert not np.shares_memory(a.grad.numpy(), b.grad.numpy())
    assert memory.allocated() - before >= 2 * a.numel() * 4


def test_steady_training_takes_almost_no_page_faults() -> None:
    net = twofold.nn.Sequential(
        twofold.nn.Linear(256, 512), twofold.nn.LayerNorm(512), twofold.nn.Linear(512, 300)
    )
    optimizer = twofold.optim.AdamW(net.parameters(), lr=1e-3)
    extra = leaf(512, 300)  # a gradient of 600 KB that the last layer's product shares
    x, y = twofold.randn(512, 256), twofold.randint(0, 300, (512,))

    def step() -> None:
        optimizer.zero_grad()
        extra.grad = None
        F.cross_entropy(net(x) + extra, y).backward()
        optimizer.step()

    def faults(count: int) -> int:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(count):
            step()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

    faults(5)
    assert min(faults(10) for _ in range(3)) < 200  # 10 steps write about 100 MB
