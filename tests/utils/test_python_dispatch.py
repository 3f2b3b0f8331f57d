"""TorchDispatchMode: a block that sees each operation, and may give its result."""

import twofold
from twofold import nn
from twofold.utils._python_dispatch import TorchDispatchMode

aten = twofold.ops.aten


class Log(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        return made


def test_operations_are_told_of_and_those_of_gradients():
    net, x = nn.Linear(3, 2), twofold.randn(4, 3)
    net(x).sin().mul(2).sum().backward()
    wanted = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    with Log() as log:
        y = net(x).sin().mul(2).sum()
    forward = len(log.names)
    with log:
        y.backward()
    told = ["twofold.linear.default", "aten.sin.default", "aten.mul.Tensor", "twofold.sum.default"]
    assert log.names[:forward] == told
    assert "aten.mm.default" in log.names[forward:]
    assert all(p.grad.equal(g) for p, g in zip(net.parameters(), wanted, strict=True))
    (x + 1).exp()
    assert "aten.exp.default" not in log.names


def test_a_mode_gives_results_of_its_own_and_keeps_gradients():
    class Cosine(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is aten.sin.default:
                return twofold.cos(*args)
            return func(*args, **(kwargs or {}))

    x = twofold.randn(3, requires_grad=True)
    with Cosine():
        y = twofold.sin(x)
    assert y.equal(x.cos())
    y.sum().backward()
    assert x.grad.equal(-x.detach().sin())


def test_modes_within_modes_and_attributes_by_name():
    seen = []

    class Outer(TorchDispatchMode):
        def __init__(self):
            """Without super().__init__(), as programs write it."""

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append((func.name(), kwargs))
            return func(*args, **(kwargs or {}))

    with Outer(), Log() as inner:
        twofold.ones(2, 3).sum(1)
    assert inner.names[-1] == "twofold.sum.default"
    assert seen[-1] == ("twofold::sum", {"dim": (1,), "keepdim": False})


def test_a_compiled_function_runs_as_python_in_the_block():
    f = twofold.compile(lambda x: x.exp() * 2)
    with Log() as log:
        f(twofold.ones(2))
    assert log.names == ["aten.exp.default", "aten.mul.Tensor"]
