"""What is asked of the graph of gradients itself."""

import pytest

import twofold
from twofold.autograd import graph
from twofold.base.errors import ArgumentError


def test_a_hook_for_several_gradients():
    x, y = (twofold.ones(2, requires_grad=True) for _ in range(2))
    seen = []
    handle = graph.register_multi_grad_hook((x, y), seen.append)
    for _ in range(2):
        (x * 2 + y * 3).sum().backward()
    assert [[g.tolist() for g in grads] for grads in seen] == [[[2.0, 2.0], [3.0, 3.0]]] * 2
    handle.remove()
    first = []
    with graph.register_multi_grad_hook((x, y), first.append, mode="any"):
        (x * 2 + y * 3).sum().backward()
    (x * y).sum().backward()
    assert len(first) == 1 and len(seen) == 2
    with pytest.raises(ArgumentError, match="mode"):
        graph.register_multi_grad_hook((x, y), print, mode="some")


def test_a_write_that_nobody_saw_is_told():
    x = twofold.ones(2, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    graph.increment_version(y)
    with pytest.raises(RuntimeError):
        z.backward()


def test_saving():
    x = twofold.ones(2, requires_grad=True)
    with graph.save_on_cpu(pin_memory=True):
        y = x.exp().sum()
    y.backward()
    assert x.grad is not None
