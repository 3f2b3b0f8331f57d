"""Operations with several outputs in machine code: the tensors and the nodes that Python makes."""

import gc
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import twofold
from twofold.base.errors import GradientError
from twofold.codegen.native import core
from twofold.exec import recall, tensors
from twofold.ops import bind
from twofold.ops.cells import lstm_cell
from twofold.ops.norms import BATCH_NORM
from twofold.ops.tensor import Node, Tensor

F = twofold.nn.functional
if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)


@pytest.fixture(autouse=True)
def tier() -> Iterator[None]:
    tensors.remove()
    tensors.install()
    yield
    tensors.install()


def normed(x: Tensor) -> Any:
    return bind.bind(BATCH_NORM, (x, x.detach()[0] + 2, x.detach()[0]), (1e-5,))


CALLS = {
    "split": lambda x: x.split(2),
    "split by sizes": lambda x: x.split([1, 3], 1),
    "chunk": lambda x: x.chunk(3, 1),
    "unbind": lambda x: x.unbind(1),
    "tensor_split": lambda x: twofold.tensor_split(x, 3),
    "parts of a view": lambda x: x.T[1:].split(2),
    "parts of parts": lambda x: x.split(2)[1].unbind(0),
    "max": lambda x: x.max(1),
    "sort": lambda x: x.sort(0, descending=True),
    "topk": lambda x: x.topk(2, 0),
    "cummax": lambda x: x.cummax(1),
    "var_mean": lambda x: twofold.var_mean(x, 1),
    "std_mean": lambda x: twofold.std_mean(x),
    "aminmax": lambda x: x.aminmax(dim=0),
    "frexp": lambda x: x.frexp(),
    "pool": lambda x: F.max_pool2d(x[None], 2, return_indices=True),
    "batch norm": normed,
    "lstm": lambda x: lstm_cell(x.repeat(1, 4), x),
}


def operand(turn: int = 0) -> Tensor:
    values = np.random.default_rng(turn).normal(size=(4, 4)).astype("f4")
    return twofold.tensor(values, requires_grad=True)


def plain(thing: Any) -> Any:
    """What a node keeps, without addresses."""
    if isinstance(thing, np.ndarray):
        return thing.dtype, thing.shape, thing.tobytes()
    return tuple(map(plain, thing)) if type(thing) is tuple else thing


def graph_of(made: Any) -> list[Any]:
    """All nodes behind the results, by the order in which they were made."""
    nodes: dict[int, Node] = {}
    stack = [x.node for x in made if x.node is not None]
    while stack:
        node = stack.pop()
        if node.number not in nodes:
            nodes[node.number] = node
            for x in node.inputs:
                behind = x.node if isinstance(x, Tensor) else x
                if behind is not None:
                    stack.append(behind)
    order = sorted(nodes)
    found: list[Any] = []
    for number in order:
        node = nodes[number]
        edges = [
            order.index(x.number) if type(x) is Node else x is None or x.array.shape
            for x in node.inputs
        ]
        found.append((node.op.name, node.attrs, edges, node.versions, plain(node.out)))
        found.append((node.shape, node.storage, node.hooks, node.where is not None))
        found.append([type(t) for t in node.shape])
    return found


def told(call: Any, x: Tensor) -> list[Any]:
    made = call(x)
    found = [type(made), graph_of(made)]
    for part in made:
        found += [part.array.dtype, part.array.shape, part.array.tobytes(), part.tracked]
        found += [part.base is x, part.version, part.chain and [a for _, a in part.chain]]
    used = [part for part in made if part.tracked][1:] or made[:1]
    sum([(part * part).sum() for part in used]).backward()
    return [*found, x.grad.array.tobytes()]


@pytest.mark.parametrize("name", CALLS)
def test_the_nodes_are_pythons(name: str) -> None:
    call = CALLS[name]
    tensors.remove()
    wanted = [told(call, operand(turn)) for turn in range(3)]
    further = [told(lambda x: call(x * 2), operand(turn)) for turn in range(3)]
    tensors.install()
    for _ in range(6):
        assert [told(call, operand(turn)) for turn in range(3)] == wanted
        assert [told(lambda x: call(x * 2), operand(turn)) for turn in range(3)] == further
    with twofold.no_grad():
        for part in call(operand()):
            assert part.node is None and not part.tracked


@pytest.mark.parametrize("name", CALLS)
def test_they_stay_in_machine_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = CALLS[name]
    x = operand()
    for _ in range(8):
        call(x)
    python = []
    monkeypatch.setattr(recall.Memory, "learn", lambda *args: python.append(args))
    monkeypatch.setattr(bind, "make_node", lambda *args: python.append(args))
    assert all(part.node is not None for part in call(x) if part.array.dtype.kind == "f")
    assert not python


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives(name: str) -> None:
    def twice() -> Any:
        x = operand()
        made = [part for part in CALLS[name](x) if part.tracked]
        total = sum([(part * part * part).sum() for part in made])
        (g,) = twofold.autograd.grad(total, x, create_graph=True)
        if not g.tracked:
            return g.numpy().tobytes()
        (gg,) = twofold.autograd.grad((g * g).sum(), x, allow_unused=True)
        return g.detach().numpy().tobytes(), gg is None or gg.numpy().tobytes()

    tensors.remove()
    wanted = twice()
    tensors.install()
    for _ in range(6):
        assert twice() == wanted


def test_hooks_and_kept_gradients_of_single_outputs() -> None:
    for _ in range(8):
        heard: list[Any] = []
        x = operand()
        a, b = (x * 1).split(2)
        a.register_hook(lambda g, heard=heard: heard.append(g.tolist()))
        b.register_hook(lambda g: g * 3)
        a.retain_grad()
        values, places = (a + b).sort(1)
        values.retain_grad()
        assert not places.tracked and places.node is None
        values.sum().backward()
        assert heard == [[[1.0] * 4] * 2]
        assert a.grad.tolist() == [[1.0] * 4] * 2
        assert values.grad.tolist() == [[1.0] * 4] * 2
        assert x.grad.tolist() == [[1.0] * 4] * 2 + [[3.0] * 4] * 2


def test_what_is_written_after_it_was_saved_is_told() -> None:
    for _ in range(8):
        x = operand()
        values, means = twofold.var_mean(x * 1, 1)
        h = x * 1
        made, mean, _ = normed(h)
        with twofold.no_grad():
            h.mul_(2.0)
        with pytest.raises(GradientError, match="overwritten"):
            made.sum().backward()
        (values + means).sum().backward()
        assert x.grad is not None and mean.tracked


def test_views_follow_what_is_written_to_their_neighbours() -> None:
    def run() -> list[Any]:
        x = operand()
        h = x * 1
        a, b = h.split(2)
        c, d = b.unbind(0)
        a.mul_(3.0)
        d.add_(c)
        (h * h).sum().backward()
        return [h.tolist(), a.tolist(), c.tolist(), x.grad.tolist(), d.version]

    tensors.remove()
    wanted = run()
    tensors.install()
    for _ in range(8):
        assert run() == wanted


def test_a_graph_that_was_walked_is_gone() -> None:
    for _ in range(8):
        x = operand()
        values, _ = (x * 1).max(1)
        values.sum().backward()
        parts = (x * x).split(2)
        parts[0].sum().backward()
        with pytest.raises(GradientError, match="walked before"):
            parts[1].sum().backward()


def test_nothing_of_several_leaks() -> None:
    x, empty = operand(), twofold.ones(0, 3, requires_grad=True)
    watched = [None, True, False, 0, 1, np.dtype("f4"), Tensor, Node, bind.ITEM, BATCH_NORM, x]

    def turn(count: int) -> None:
        for _ in range(count):
            for name in ("split", "unbind", "parts of parts", "max", "sort", "batch norm", "frexp"):
                CALLS[name](x)
            empty.unbind(0)
            a, b = x.chunk(2)
            (a * b).sum().backward()
            x.grad = None

    turn(100)
    gc.collect()
    begin = [sys.getrefcount(w) for w in watched], sys.getallocatedblocks()
    turn(2000)
    gc.collect()
    moved = [sys.getrefcount(w) - b for w, b in zip(watched, begin[0], strict=True)]
    # What tests before have left behind may go or come meanwhile.
    assert max(map(abs, moved)) < 1000, moved
    assert sys.getallocatedblocks() - begin[1] < 1000
