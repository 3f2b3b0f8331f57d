"""Compiled functions do what the same code does eagerly: identity, objects, caught errors."""

import collections
import contextlib
import functools
import math

import numpy as np
import pytest
from twice import bits

import twofold
from twofold import nn, optim
from twofold.base.trees import leaves_of


def rows(n):
    return twofold.tensor(np.arange(4.0 * n, dtype=np.float32).reshape(n, 4) - 3)


def both(make, calls=None, compiles=None):
    """Call what `make` makes eagerly and compiled, and compare what `make` tells of each call.

    make: gives a function, and optionally what tells of its state after a call.
    """
    calls = calls or [(rows(n),) for n in (3, 5, 1)]
    found, report = [], None
    for compiled in (False, True):
        twofold.manual_seed(0)
        made = make()
        function, state = made if isinstance(made, tuple) else (made, lambda: None)
        run = twofold.compile(function) if compiled else function
        told = []
        for args in calls:
            args = [x.clone() if isinstance(x, twofold.Tensor) else x for x in args]
            try:
                result = run(*args)
            except Exception as error:
                result = type(error).__name__
            told.append([[bits(x) for x in leaves_of(part)] for part in (result, args, state())])
        found.append(told)
        report = twofold.explain(run) if compiled else None
    assert found[0] == found[1]
    if compiles is not None:
        assert report.compiles == compiles, str(report)
    return report


def test_a_container_that_is_given_back_twice_is_one():
    def f(x):
        pair = [x * 2, False]
        return {"a": pair, "b": pair}

    compiled = twofold.compile(f)
    for n in (3, 5):
        made = compiled(rows(n))
        assert made["a"] is made["b"]
    assert twofold.explain(compiled).compiles == 1


def test_containers_and_objects_left_outside_are_those_given_back():
    class State:
        pass

    held = State()
    held.kept = {"n": 1}

    def f(x):
        held.made = {"h": x * 2}
        one = State()
        one.h = x + 1
        held.first, held.second = one, one
        return held.made, held.kept, one

    compiled = twofold.compile(f)
    for n in (3, 5):
        made, kept, one = compiled(rows(n))
        assert made is held.made and kept is held.kept and held.first is held.second is one
        assert bits(one.h) == bits(rows(n) + 1)


def test_what_the_function_was_given_is_given_back():
    compiled = twofold.compile(lambda xs: xs)
    xs = [rows(2), rows(3)]
    assert compiled(xs) is xs
    assert "that it was given" in twofold.explain(compiled).as_python[0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x * i for i in range(3)),
        lambda x: map(lambda i: x * i, (1, 2)),
        lambda x: iter([x + 1]),
        lambda x: zip([x], [x + 1], strict=True),
    ],
)
def test_iterators_that_are_given_back_are_for_python(f):
    compiled = twofold.compile(f)
    for n in (3, 2):
        want, got = list(f(rows(n))), list(compiled(rows(n)))
        assert [bits(x) for x in leaves_of(got)] == [bits(x) for x in leaves_of(want)]


def test_functions_around_tensors_are_for_python():
    def f(x):
        y = x * 2
        return lambda: y, functools.partial(twofold.add, y, 1), y.sum

    compiled = twofold.compile(f)
    for n in (3, 2):
        assert [bits(g()) for g in compiled(rows(n))] == [bits(g()) for g in f(rows(n))]


def test_methods_that_operators_call_are_looked_into():
    class Store(collections.abc.MutableMapping):
        def __init__(self):
            self.data = {}

        def __getitem__(self, key):
            return self.data[key]

        def __setitem__(self, key, value):
            self.data[key] = value

        def __delitem__(self, key):
            del self.data[key]

        def __iter__(self):
            return iter(self.data)

        def __len__(self):
            return len(self.data)

    def make():
        store = Store()

        def f(x):
            store["h"] = x * 2
            store["n"] = store.get("n", 0) + 1
            return x + store["n"]

        return f, lambda: dict(store)

    both(make)


def test_what_an_instance_counts_while_it_is_made():
    class Made:
        count = 0

        def __init__(self):
            Made.count += 1
            self.number = Made.count

    def make():
        Made.count = 0
        return lambda x: x * Made().number

    both(make)


def test_attributes_of_functions_and_tensors():
    def make():
        def helper(x):
            helper.calls += 1
            return x * helper.calls

        helper.calls = 0
        p = nn.Parameter(twofold.ones(4))
        p.step = 0

        def f(x):
            p.step += 1
            return helper(x) * p * p.step

        return f, lambda: (helper.calls, p.step)

    both(make)


def test_attributes_that_tensors_are_given():
    compiled = twofold.compile(lambda x, p: (setattr(x, "tag", 1), setattr(p, "h", x * 2), x + 1))
    p = nn.Parameter(twofold.ones(4))
    for n in (3, 2):
        x = rows(n)
        compiled(x, p)
        assert x.tag == 1 and bits(p.h) == bits(x * 2)
    named = twofold.compile(lambda x: setattr(x * 2, "tag", 3) or x)
    assert named(rows(2)) is not None


def test_hooks_of_tensors_are_looked_into():
    def make():
        w = twofold.ones(4, requires_grad=True)
        seen = []
        w.register_hook(lambda g: seen.append(g.sum().item()))

        def f(x):
            (x * w).sum().backward()
            return w.grad

        return f, lambda: (list(seen), w.grad)

    both(make)


def test_a_gradient_that_is_given_back_is_that_one():
    model = nn.Linear(4, 2)
    optimizer = optim.SGD(model.parameters(), 0.1)

    @twofold.compile
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        return model.weight.grad

    for n in (3, 2):
        assert step(rows(n)) is model.weight.grad

    p = nn.Parameter(twofold.ones(4))

    @twofold.compile
    def shared(x):
        y = (x * 2).sum(0)
        p.grad = y.detach()
        return y

    for n in (3, 2):
        assert np.shares_memory(shared(rows(n)).numpy(), p.grad.numpy())


NUMBERS = [(rows(n), k) for n, k in ((3, 3), (5, 2), (1, 0))]


@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, OverflowError])
def test_errors_of_numbers_that_the_function_catches(error):
    ways = {
        ZeroDivisionError: lambda n: 1 / (n - 2),
        ValueError: lambda n: math.sqrt(n - 1),
        OverflowError: lambda n: math.exp(n * 500),
    }

    def f(x, n):
        try:
            value = ways[error](n)
        except error:
            value = -1.0
        return x * value, value

    both(lambda: f, NUMBERS)


def test_an_index_error_that_the_function_catches():
    def make():
        log = {"n": 0}

        def f(x, i):
            try:
                y = x[i]
            except IndexError:
                y = x - 1
            finally:
                log["n"] += 1
            with contextlib.suppress(IndexError):
                y = x[i] * 2
            return y

        return f, lambda: dict(log)

    calls = [(rows(n), twofold.tensor(at)) for n, at in ((3, [0, 1]), (3, [5]), (2, [1]), (1, [2]))]
    report = both(make, calls)
    assert report.compiles == 1
    assert "out of range" in report.as_python[0]


def test_arguments_in_one_memory_that_are_written():
    def f(x, y):
        x.add_(1)
        return y * 2

    compiled = twofold.compile(f)
    for n in (3, 4):
        memory, twin = rows(n + 1), rows(n + 1)
        assert bits(compiled(memory[:n], memory[1:])) == bits(f(twin[:n], twin[1:]))
        assert bits(memory) == bits(twin)
    assert "shares memory" in twofold.explain(compiled).as_python[0]
    assert bits(compiled(rows(3), rows(3))) == bits(rows(3) * 2)


@pytest.mark.parametrize("which", ["if", "else", "while"])
def test_a_write_into_what_a_choice_may_have_left_as_it_was(which):
    def f(x):
        y = x
        if which == "while":
            while y.abs().sum() > 4:
                y = y / 2
        else:
            y = x if (x.sum() > 0) == (which == "if") else x * 2
        y.add_(1)
        return x, y, y is x

    both(lambda: f)


def test_numbers_answer_as_pythons_do():
    def f(x, s, n):
        kinds = type(s) is float, type(n) is int, isinstance(type(n), type)
        parts = s.hex(), s.as_integer_ratio(), s.conjugate(), s.real, n.imag, n.numerator
        return x * 2 if s.is_integer() else x, kinds, parts

    both(lambda: f, [(rows(2), s, n) for s, n in ((0.5, 3), (2.0, 4), (-1.25, 0))])


def test_steps_in_memory_are_those_of_eager():
    def f(x):
        return x.T.stride(), x.stride(), x.is_contiguous(), x.T.is_contiguous(), x[:, ::2].stride()

    compiled = twofold.compile(f)
    for x in (rows(3), rows(3).T, rows(5)[:, 1:]):
        assert compiled(x) == f(x)


def test_arrays_of_numpy_are_what_they_are():
    def f(a, x):
        return a * 2, a.sum(), type(a).__name__, x * twofold.from_numpy(a), a

    def g(a, x):
        return x * twofold.from_numpy(a) + twofold.tensor(a).sum(), a * x, x - a, a.shape[0]

    compiled, program = twofold.compile(f), twofold.compile(g)
    for n in (3, 2):
        a, x = np.arange(4.0 * n, dtype=np.float32).reshape(n, 4), rows(n).requires_grad_()
        for want, got in zip(f(a, x), compiled(a, x), strict=True):
            assert (
                type(got) is type(want) and np.array_equal(np.asarray(got), np.asarray(want))
                if (not isinstance(want, twofold.Tensor))
                else bits(got) == bits(want)
            )
        assert [bits(y) for y in program(a, x)] == [bits(y) for y in g(a, x)]
    assert twofold.explain(program).compiles == 1


def test_a_leaf_that_the_function_makes_of_an_argument():
    def f(x):
        leaf = x.detach().requires_grad_()
        return leaf, leaf * 2

    compiled = twofold.compile(f)
    for n in (3, 2):
        leaf, y = compiled(rows(n))
        y.sum().backward()
        assert leaf.grad.tolist() == (rows(n) * 0 + 2).tolist()


def test_whatever_fails_in_a_capture_runs_as_python():
    import json

    def f(x, n):
        return json.dumps({"n": n, "mean": round(x.mean().item(), 3)}), {x.sum().item(): x}

    compiled = twofold.compile(f)
    for n in (3, 2):
        told, held = compiled(rows(n), n)
        assert told == f(rows(n), n)[0] and list(held) == [rows(n).sum().item()]
    assert twofold.explain(compiled).as_python

    with pytest.raises(TypeError):
        twofold.compile(lambda x: len(5) + x)(rows(2))


def test_tracked_views_share_memory():
    p = nn.Parameter(rows(4))

    def f(x):
        y = x * 2
        return p[0], p.T, x[:, 1], y, y[0], y.view(-1)

    compiled = twofold.compile(f)
    for n in (3, 5):
        told = []
        for function in (f, compiled):
            p.grad = None
            x = rows(n).requires_grad_()
            first, turned, column, y, row, flat = function(x)
            y.add_(1)
            (turned.sum() + (row * row).sum() + flat.sum() + y.sum()).backward()
            with twofold.no_grad():
                column.add_(1)
                first.mul_(2)
            told.append([bits(z) for z in (x, p, turned, row, flat, y, x.grad, p.grad)])
            with twofold.no_grad():
                first.mul_(0.5)
        assert told[0] == told[1]
    assert twofold.explain(compiled).compiles == 1


def test_lazy_modules_take_their_sizes_in_python():
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    compiled = twofold.compile(model)
    for n in (3, 2):
        assert bits(compiled(rows(n))) == bits(model(rows(n)))
    assert twofold.explain(compiled).compiles == 1


def test_attributes_of_arguments():
    def f(x):
        return x * x.scale if hasattr(x, "scale") else x

    def tagged(n):
        x = rows(n)
        x.scale = n
        return x

    compiled = twofold.compile(f)
    for n in (3, 2):
        assert bits(compiled(tagged(n))) == bits(f(tagged(n)))
