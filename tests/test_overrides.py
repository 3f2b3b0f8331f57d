"""Functions, methods and operators taken over by classes and modes: `__torch_function__`."""

import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

import twofold
from twofold import overrides
from twofold.exec import tensors
from twofold.nn import functional


class Logged(twofold.Tensor):
    """Writes down what is called."""

    said: ClassVar[list] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.said.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs)


class Plain(twofold.Tensor):
    """Says nothing of functions: results are of its class."""


class Diagonal:
    """No tensor: n times the same value on a diagonal."""

    handled: ClassVar[dict] = {}

    def __init__(self, n, value):
        self.n, self.value = n, value

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func not in cls.handled or not all(issubclass(t, (cls, twofold.Tensor)) for t in types):
            return NotImplemented
        return cls.handled[func](*args, **(kwargs or {}))


def implements(function):
    def keep(ours):
        Diagonal.handled[function] = ours
        return ours

    return keep


@implements(twofold.mean)
def _mean(input):
    return input.value / input.n


@implements(twofold.add)
def _add(input, other):
    return ("add", input, other)


@implements(functional.relu)
def _relu(input):
    return Diagonal(input.n, max(input.value, 0))


@pytest.fixture(params=["python", "native"])
def any_tier(request):
    tensors.install() if request.param == "native" else tensors.remove()
    yield
    tensors.remove()


def made(cls, *shape):
    return twofold.arange(float(twofold.Size(shape).numel())).reshape(shape).as_subclass(cls)


def test_a_subclass_sees_functions_methods_and_operators(any_tier):
    x, w = made(Logged, 2, 3), twofold.ones(2, 3)
    Logged.said.clear()
    results = [x * 2, 1 + x, w + x, w * x, 2 - x, x @ w.T, x[0], x.T, -x, x == w]
    results += [x.relu(), twofold.exp(x), functional.softmax(x, -1), twofold.cat([w, x])]
    results += [twofold.where(x > 1, x, w), twofold.nn.Linear(3, 2)(x), twofold.linalg.norm(x)]
    assert {type(r) for r in results} == {Logged}
    names = "mul add add mul __rsub__ matmul __getitem__ __get__ neg eq relu exp softmax cat"
    assert Logged.said[:14] == names.split()
    assert Logged.said[14:] == ["gt", "where", "linear", "norm"]
    assert [float(r.sum()) for r in results[:3]] == [30.0, 21.0, 21.0]


def test_gradients_go_through_a_subclass(any_tier):
    x = twofold.ones(3, requires_grad=True)
    y = x.as_subclass(Logged)
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert type(y) is Logged and y.requires_grad and not y.is_leaf
    leaf = twofold.Tensor._make_subclass(Logged, twofold.ones(3), True)
    (leaf * 3).sum().backward()
    assert leaf.grad.tolist() == [3.0, 3.0, 3.0]
    y = twofold.zeros(2)
    y.as_subclass(Logged).add_(1)
    assert y.tolist() == [1.0, 1.0], "the memory is the same"


def test_a_class_that_says_nothing_keeps_itself(any_tier):
    x = made(Plain, 3)
    parts, places = x.topk(2)
    assert {type(r) for r in (x + 1, 1 - x, x.sum(), parts, places, *x.split(1))} == {Plain}
    assert type(twofold.nn.Parameter(twofold.ones(3)) + 1) is twofold.Tensor
    x += 1
    assert type(x) is Plain and x.tolist() == [1.0, 2.0, 3.0]

    class Mixed(twofold.Tensor):
        def sum(self):
            return "mixed"

    class Below(Plain, Mixed):
        def mean(self):
            return "own"

    y = made(Below, 3)
    assert (y.sum(), y.mean()) == ("mixed", "own")
    assert type(y + x) is Below and type(x + y) is Below, "the subclass is asked first"
    with pytest.raises(TypeError, match=r"twofold\.Tensor\.add: .*gave NotImplemented"):
        made(Plain, 3) + made(Logged, 3)


def test_objects_that_are_no_tensors(any_tier):
    d = Diagonal(5, 2.0)
    assert twofold.mean(d) == 0.4
    word, x, other = twofold.add(twofold.ones(1), d)
    assert word == "add" and x.tolist() == [1.0] and other is d
    assert functional.relu(Diagonal(2, -1.0)).value == 0
    with pytest.raises(TypeError, match=r"twofold\.mul: Diagonal gave NotImplemented"):
        twofold.mul(d, 2)
    assert overrides.is_tensor_like(d) and overrides.has_torch_function((1, d))
    assert not overrides.has_torch_function((twofold.ones(1), 2))
    assert overrides.is_tensor_like(twofold.ones(1)) and not overrides.is_tensor_like(1)


def test_who_is_asked_first():
    asked = []

    class Base(twofold.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            asked.append((cls.__name__, [t.__name__ for t in types]))
            return NotImplemented if cls is Derived else "base"

    class Derived(Base):
        pass

    assert twofold.add(made(Base, 2), made(Derived, 2)) == "base"
    assert asked == [("Derived", ["Derived", "Base"]), ("Base", ["Derived", "Base"])]


def test_blocks_in_which_nobody_is_asked():
    x = made(Logged, 2)
    with overrides.DisableTorchFunctionSubclass():
        assert type(x + 1) is type(twofold.exp(x)) is twofold.Tensor
    with twofold._C.DisableTorchFunction():
        assert type(x + 1) is twofold.Tensor
    assert type(x + 1) is Logged

    class Off(twofold.Tensor):
        __torch_function__ = twofold._C._disabled_torch_function_impl

    assert type(made(Off, 2) + 1) is twofold.Tensor


def test_modes(any_tier):
    seen = []

    class Watch(overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(overrides.resolve_name(func))
            return func(*args, **(kwargs or {}))

    before = tensors.installed()
    with Watch():
        x = twofold.ones(3)
        y = functional.relu(x + 1).sum()
        with Watch():
            x * 2
    names = ["twofold.ones", "twofold.Tensor.add", "twofold.nn.functional.relu"]
    assert seen == [*names, "twofold.Tensor.sum", "twofold.Tensor.mul", "twofold.Tensor.mul"]
    assert float(y) == 6.0 and tensors.installed() == before
    x + 1, twofold.exp(x)
    assert len(seen) == 6, "the block has ended"
    with overrides.BaseTorchFunctionMode():
        assert type(made(Logged, 2) + 1) is Logged
    with (
        pytest.raises(twofold.TwofoldError, match="defines __torch_function__"),
        overrides.TorchFunctionMode(),
    ):
        twofold.ones(1)


def test_functions_of_ones_own():
    @overrides.wrap_torch_function(lambda a, b: (a, b))
    def together(a, b):
        return "plain"

    assert together(twofold.ones(1), 2) == "plain"
    Diagonal.handled[together] = lambda a, b: "taken"
    assert together(1, Diagonal(1, 1)) == "taken"


def test_functions_stay_what_they_were(any_tier):
    functions = overrides.get_overridable_functions()
    assert twofold.add in functions[twofold] and functional.relu in functions[functional]
    assert twofold.Tensor.add in functions[twofold.Tensor]
    assert twofold.is_tensor in overrides.get_ignored_functions()
    assert list(inspect.signature(twofold.relu).parameters) == ["input", "out"]
    assert pickle.loads(pickle.dumps(twofold.relu)) is twofold.relu
    assert overrides.is_tensor_method_or_property(twofold.Tensor.add)
    assert not overrides.is_tensor_method_or_property(twofold.add)


def test_errors():
    with pytest.raises(twofold.TwofoldError, match="no subclass of Tensor"):
        twofold.ones(1).as_subclass(int)


class Labelled(twofold.Tensor):
    """Has attributes of its own under names of Tensor's slots, as MONAI's MetaTensor."""

    base = "none"

    @property
    def array(self):
        return self.detach().numpy()

    @array.setter
    def array(self, values):
        self.copy_(twofold.as_tensor(values))

    def node(self):
        return "a leaf"


class Version(twofold.nn.Parameter):
    @property
    def version(self):
        return "first"


def test_attributes_under_the_names_of_slots_are_the_classs_own(any_tier):
    x = twofold.ones(3).as_subclass(Labelled)
    assert x.array.tolist() == [1, 1, 1] and x.base == "none" and x.node() == "a leaf"
    x.array = [1, 2, 3.0]
    assert (x * 2).array.tolist() == [2, 4, 6] and isinstance(x[1:], Labelled)
    x.base = "other"
    assert x.base == "other" and x.view(3, 1).base == "none" == Labelled.base
    y = x.clone().requires_grad_()
    y[1:].mul(y[:2]).sum().backward()
    assert y.grad.tolist() == [2, 4, 2]
    with twofold.no_grad():
        y.view(3, 1).add_(1)
    assert y.array.tolist() == [2, 3, 4]
    assert twofold.compile(lambda x: x * x)(y).tolist() == [4, 9, 16]
    p = Version(twofold.ones(2))
    (p * p).sum().backward()
    assert p.version == "first" and p.grad.tolist() == [2, 2]


def test_as_subclass_asks_no_class():
    x = twofold.ones(2).as_subclass(Plain)
    assert type(x.as_subclass(twofold.Tensor)) is twofold.Tensor


def test_a_class_that_is_no_tensor_is_told_how_it_comes_to_be_asked():
    code = """
import twofold

class Diagonal:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func.__name__

try:
    twofold.mean(Diagonal())
except TypeError as error:
    print(error.hint)
import twofold.overrides
print(twofold.mean(Diagonal()))
"""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src")}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=here)
    told = "import twofold.overrides first: then Diagonal is asked\nmean\n"
    assert ran.stdout == told, ran.stderr
