"""Compiled calls in machine code: what arguments they take apart, and what they put together."""

import gc
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.autograd import grad
from twofold.base.errors import GradientError
from twofold.base.trees import flatten
from twofold.codegen.native import core
from twofold.exec import tensors
from twofold.frontends.compiled import Compiled
from twofold.frontends.program import Program
from twofold.ops.tensor import Node

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)

Pair = namedtuple("Pair", "first second")


@dataclass
class Record:
    first: object
    second: object


@pytest.fixture(autouse=True)
def tier():
    tensors.install()
    assert type(vars(Compiled)["__call__"]).__name__ == "method_descriptor"


@pytest.fixture
def python(monkeypatch):
    """How often Python was asked for the answer."""
    calls = []
    run = Compiled.run

    def counted(self, *given):
        calls.append(self)
        return run(self, *given)

    monkeypatch.setattr(Compiled, "run", counted)
    return calls


def bits(x):
    return (x.dtype, x.shape, x.requires_grad, x.detach().numpy().tobytes())


def alike(found, wanted):
    """The same tree of containers, with tensors of the same bits."""
    (xs, form), (ys, other) = flatten(found), flatten(wanted)
    assert form == other
    for x, y in zip(xs, ys, strict=True):
        assert type(x) is type(y)
        assert (bits(x) == bits(y)) if isinstance(x, twofold.Tensor) else x == y


def stays(python, f, *calls):
    """Each call, (args, kwargs), gives what Python gives, and is not Python's the second time."""
    compiled = twofold.compile(f)
    for args, kwargs in calls:
        alike(compiled(*args, **kwargs), f(*args, **kwargs))
        before = len(python)
        for _ in range(3):
            alike(compiled(*args, **kwargs), f(*args, **kwargs))
        assert len(python) == before
    return compiled


A, B = twofold.randn(3, 4), twofold.randn(3, 4)


@pytest.mark.parametrize(
    ("f", "args", "kwargs"),
    [
        (lambda x, y: x * y + 1, (A,), {"y": B}),
        (lambda x, y, z: x * y + z, (A,), {"z": B + 1, "y": B}),
        (lambda *xs, **named: xs[0] * named["b"] + named["a"], (A,), {"b": B, "a": B + 1}),
        (lambda x, by: x * by, (A, 2.5), {}),
        (lambda x, by: x * by + (by - 1) * 3, (A,), {"by": 2.5}),
        (lambda x, by: x * by, (twofold.arange(3), 2), {}),
        (lambda x, on, none, name: x * 2 if on and none is None else x, (A, True, None, "a"), {}),
        (lambda x, k: x.sum(k), (A, 1), {}),
        (lambda x, k: twofold.ones(k, 2) + x.sum(), (A, 3), {}),
        (lambda x, s: x * s[0] + s[1][0], (A, (B, [B + 1, B + 2])), {}),
        (lambda b: b["x"] * b["y"]["z"], ({"x": A, "y": {"z": B}},), {}),
        (lambda b: b["x"] * b["y"], (OrderedDict(x=A, y=B),), {}),
        (lambda b: b.first * b.second, (Pair(A, B),), {}),
        (lambda b: b.first * b.second, (Record(A, 2.0),), {}),
        (lambda x, y: x * y, (A, A), {}),
        (lambda x, y: {"a": x * y, "b": [x + y, (x, None, "text")]}, (A, B), {}),
        (lambda x, y: OrderedDict(a=x * y, b=x + y), (A, B), {}),
        (lambda x, y: Pair(x * y, Record(x + y, [])), (A, B), {}),
        (lambda x: (x.sum().item(), x.shape[0], x.shape, x.shape[1] * 2.5), (A,), {}),
        (lambda x: x[0], (A,), {}),
        (lambda x: [x + 1] * 2, (A,), {}),
    ],
)
def test_calls_of_these_kinds_stay_in_machine_code(python, f, args, kwargs):
    compiled = stays(python, f, (args, kwargs))
    assert len(compiled.all_programs()) == 1


def test_arrays_of_numpy_are_tensors(python):
    f = twofold.compile(lambda x, y: x * y)
    for _ in range(3):
        alike(f(A.numpy(), B), A * B)
    before = len(python)
    alike(f(A.numpy(), A), A * A)
    assert len(python) == before


def test_numbers_may_be_others(python):
    f = twofold.compile(lambda x, by, k: (x * by + k) * (by * 2))
    f(A, 0.5, 1)
    before = len(python)
    for by, k in ((1.5, 2), (1e30, -7), (float("nan"), 2**53 + 1), (-0.0, 0)):
        alike(f(A, by, k), (A * by + k) * (by * 2))
    assert len(python) == before
    alike(f(A, 2, 1), (A * 2 + 1) * 4)  # another type of number is another program
    alike(f(A, 2.0, 2**70), (A * 2.0 + 2**70) * 4.0)


def test_numbers_that_decide_are_looked_at(python):
    f = twofold.compile(lambda x, k, by: x * by if k > 2 else x + by)
    for k in (1, 5, 1, 5, 2):
        alike(f(A, k, 2.0), A * 2.0 if k > 2 else A + 2.0)
    assert len(f.all_programs()) == 2
    before = len(python)
    alike(f(A, 2, 3.0), A + 3.0)
    assert len(python) == before
    for k in range(100):  # and machine code is not told of each of many
        alike(f(A, k, 2.0), A * 2.0 if k > 2 else A + 2.0)
    assert len(f.all_programs()) == 2


def test_arguments_of_other_forms_go_to_python():
    f = twofold.compile(lambda b: [value * (k + 1) for k, value in enumerate(b.values())])
    g = twofold.compile(lambda xs, scale=1.0: sum(xs[1:], xs[0]) * scale)
    for _ in range(3):
        alike(f({"a": A, "b": B}), [A, B * 2])
        alike(f({"b": B, "a": A}), [B, A * 2])
        alike(f({"b": B}), [B])
        alike(f(OrderedDict(a=A, b=B)), [A, B * 2])
        alike(g([A, B]), A + B)
        alike(g([A, B, A]), A + B + A)
        alike(g((A, B)), A + B)
        alike(g(xs=[A, B]), A + B)
        alike(g([A, B], scale=2.0), (A + B) * 2.0)
        alike(g(scale=2.0, xs=[A, A]), (A + A) * 2.0)
        alike(g([A.double(), B.double()]), A.double() + B.double())
    with pytest.raises(TypeError):
        g([A, B], size=2)


def test_kinds_that_take_turns_stay_in_machine_code(python):
    w = twofold.randn(4, 4, requires_grad=True)
    f = twofold.compile(lambda x, y=None: x @ w if y is None else x @ w + y)
    calls = [((A,), {}), ((A, B), {}), ((A,), {"y": B})]
    for args, kwargs in calls:
        f(*args, **kwargs)
    before = len(python)
    for args, kwargs in calls * 3:
        y = args[1] if len(args) > 1 else kwargs.get("y")
        alike(f(*args, **kwargs), A @ w if y is None else A @ w + y)
    assert len(python) == before


def test_several_results_are_differentiated(python):
    w, x = twofold.randn(4, 4, requires_grad=True), twofold.randn(3, 4, requires_grad=True)

    def f(x, by):
        y = twofold.tanh(x @ w) * by
        return y, {"loss": y.pow(2).sum(), "plain": y.detach(), "again": y}

    compiled = twofold.compile(f)
    compiled(x, 2.0)
    before = len(python)
    for by in (2.0, 0.5):
        (y, rest), (z, others) = compiled(x, by), f(x, by)
        alike((y, rest), (z, others))
        assert rest["again"] is y
        for found, wanted in (
            (y.sum(), z.sum()),
            (rest["loss"], others["loss"]),
            (y.sum() + rest["loss"] * 3, z.sum() + others["loss"] * 3),
        ):
            one = grad(found, (x, w), retain_graph=True)
            two = grad(wanted, (x, w), retain_graph=True)
            for g, h in zip(one, two, strict=True):
                assert np.allclose(g.numpy(), h.numpy(), rtol=1e-5, atol=1e-6)
        (first,) = grad(rest["loss"], x, create_graph=True)
        (second,) = grad(first.sum(), x)
        (other,) = grad(others["loss"], x, create_graph=True)
        (wanted,) = grad(other.sum(), x)
        assert np.allclose(second.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)
    assert len(python) == before
    with twofold.no_grad():
        assert not compiled(x, 2.0)[0].requires_grad
    kept = compiled(x, 2.0)
    with twofold.no_grad():
        x.add_(1.0)
    with pytest.raises(GradientError, match="overwritten in place"):
        kept[1]["loss"].backward()


def test_a_state_is_found_at_each_call(python):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps, self.hidden, self.seen = 0, twofold.zeros(4), []

        def forward(self, x):
            self.steps += 1
            self.hidden = self.hidden * 0.5 + x.mean(0)
            self.seen.append(self.hidden)
            return self.hidden * self.steps

    plain, other = Counting(), Counting()
    compiled = twofold.compile(other)
    for turn in range(8):
        if turn == 4:
            before = len(python)
        alike(compiled(A), plain(A))
        alike((other.steps, other.hidden, other.seen), (plain.steps, plain.hidden, plain.seen))
        assert type(other.steps) is int
    assert len(python) == before
    other.steps, other.hidden = 7, twofold.ones(4)
    plain.steps, plain.hidden = 7, twofold.ones(4)
    alike(compiled(A), plain(A))


def test_errors_are_those_of_python():
    table = twofold.arange(5.0)
    f = twofold.compile(lambda i, by, n: table[i] * by + twofold.zeros(n))
    told = []
    for _ in range(2):
        f(twofold.tensor([0, 4]), 2.0, 2)
        with pytest.raises(IndexError) as error:
            f(twofold.tensor([0, 7]), 2.0, 2)
        told.append(str(error.value))
    assert told[0] == told[1]


def made_here():
    """How many tensors, nodes and records there are."""
    kinds = (twofold.Tensor, Node, Pair, Record)
    return sum(type(thing) in kinds for thing in gc.get_objects())


def test_no_object_is_lost():
    w = twofold.randn(4, 4, requires_grad=True)
    x, y, key = twofold.randn(3, 4), twofold.randn(3, 4), "a key that is not shared"

    def f(b, by, *, name):
        z = b[key][0] @ w * by
        return {"a": z, "b": [z.sum(), b[key][1].first], "c": Pair(z.detach(), by)}

    compiled = twofold.compile(f)
    batch, number, name = {key: [x, Record(y, None)]}, 1234.5, "another text of this test"

    def turn(by):
        made = compiled(batch, by, name=name)
        made["b"][0].backward()
        with pytest.raises(TypeError):
            compiled(batch, by, name)

    turn(number)
    turn(number)
    program = compiled.all_programs()[-1]
    kept = [batch, batch[key], x, y, x.array, key, number, name, w.array, program, compiled.front]
    gc.collect()
    before, alive = [sys.getrefcount(thing) for thing in kept], made_here()
    for _ in range(200):
        turn(0.25)
        turn(number)
    gc.collect()
    assert [sys.getrefcount(thing) for thing in kept] == before
    assert made_here() == alive
    assert len(compiled.all_programs()) == 1


def test_a_call_counts_once_whoever_answers(python, monkeypatch):
    calls = []
    give = Program.give
    monkeypatch.setattr(Program, "give", lambda *given: calls.append(1) or give(*given))
    layer = nn.BatchNorm1d(4)
    f = twofold.compile(lambda x: layer(x))
    plain = nn.BatchNorm1d(4)
    for _ in range(4):
        alike(f(A).detach(), plain(A).detach())
    alike(layer.num_batches_tracked, plain.num_batches_tracked)
    alike(layer.running_var, plain.running_var)
