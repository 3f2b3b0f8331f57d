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


def test_the_nodes_can_be_walked():
    x, w = twofold.ones(2, requires_grad=True), twofold.ones(2)
    y = (x * w).exp().sum()
    names, node, last = [], y.grad_fn, None
    while node is not None:
        names.append(node.name())
        node = next((found for found, _ in node.next_functions if found is not None), None)
        last = node or last
    assert names == [
        "SumBackward0",
        "ExpBackward0",
        "MulBackward0",
        "torch::autograd::AccumulateGrad",
    ]
    assert last.variable is x and last.next_functions == ()
    assert last == (x * 2).grad_fn.next_functions[0][0] and len({last, last}) == 1
    first, second = x.unbind()
    assert (first + second).grad_fn.next_functions[1][0] is not None


def test_a_node_s_hook_changes_its_gradient():
    x = twofold.ones(2, requires_grad=True)
    y = x * 3
    handle = y.grad_fn.register_prehook(lambda grads: (grads[0] * 2,))
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [6.0, 6.0]
    handle.remove()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
