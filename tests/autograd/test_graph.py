"""What is asked of the graph of gradients itself."""

import pytest

import twofold
from twofold.autograd import graph
from twofold.base.errors import ArgumentError
from twofold.nn import functional as F


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


def test_nodes_have_pytorchs_names():
    x, s = twofold.rand(3, 3, requires_grad=True), twofold.rand(2, 3, 4, requires_grad=True)
    lin, t = twofold.nn.Linear(3, 3), twofold.tensor([0, 2])
    names = {
        "MulBackward0": x * 2,
        "PowBackward0": x**2,
        "SumBackward0": x.sum(),
        "SumBackward1": x.sum(1),
        "MeanBackward0": x.mean(),
        "MeanBackward1": x.mean(0, keepdim=True),
        "MaxBackward1": x.max(),
        "AmaxBackward0": x.amax(1),
        "MmBackward0": x @ x,
        "BmmBackward0": s.bmm(s.mT),
        "AddmmBackward0": lin(x),
        "ViewBackward0": x.view(9),
        "UnsqueezeBackward0": x[None],
        "SqueezeBackward0": (x[None] * 1).squeeze(0),
        "TBackward0": x.t(),
        "TransposeBackward0": s.transpose(1, 2),
        "PermuteBackward0": s.permute(2, 0, 1),
        "SelectBackward0": x[0],
        "SliceBackward0": x[:, 1:],
        "IndexBackward0": x[t],
        "ToCopyBackward0": x.double(),
        "SortBackward0": x.sort().values,
        "ClampBackward1": x.clamp(0, 1),
        "NllLossBackward0": F.cross_entropy(x[:2], t),
        "NativeLayerNormBackward0": F.layer_norm(x, (3,)),
        "ConvolutionBackward0": F.conv2d(s[None], twofold.ones(1, 2, 2, 2)),
        "LogSigmoidBackward0": F.logsigmoid(x),
    }
    assert {name: y.grad_fn.name() for name, y in names.items()} == {n: n for n in names}


def test_hooks_after_a_node_see_and_change_the_gradients_of_its_inputs():
    a, w = twofold.arange(3.0, requires_grad=True), twofold.ones(2, 3, requires_grad=True)
    y, seen = a * w, []

    def note(inputs, outputs):
        seen.append(([g.tolist() for g in inputs], [g.tolist() for g in outputs]))

    handles = [
        y.grad_fn.register_hook(note),
        y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 2, inputs[1] * 3)),
    ]
    y.sum().backward(retain_graph=True)
    assert seen == [([[2.0] * 3, [[0.0, 1.0, 2.0]] * 2], [[[1.0] * 3] * 2])]
    assert a.grad.tolist() == [4.0] * 3 and w.grad.tolist() == [[0.0, 3.0, 6.0]] * 2
    for handle in handles:
        handle.remove()
    y.sum().backward()
    assert len(seen) == 1 and a.grad.tolist() == [6.0] * 3


def test_hooks_after_a_node_with_several_results_and_in_graphs_of_gradients():
    x, count = twofold.rand(4, requires_grad=True), []
    values, _ = x.sort()
    values.grad_fn.register_hook(lambda inputs, outputs: count.append(len(inputs)))
    (values * 2).sum().backward()
    assert count == [1] and x.grad.tolist() == [2.0] * 4
    y = x * x
    y.grad_fn.register_hook(lambda inputs, outputs: tuple(2 * g for g in inputs))
    (g,) = twofold.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = twofold.autograd.grad(g.sum(), x)
    assert h.tolist() == [4.0] * 4


def test_a_node_that_stands_for_others_has_a_name():
    x = twofold.ones(2, requires_grad=True)

    @twofold.compile
    def f(y):
        return repr((y * 1).sum().grad_fn), y * 2

    assert "Backward" in f(x * 2)[0]
    assert x.sum().grad_fn.name() == "SumBackward0"


def test_nodes_are_of_classes_with_their_names():
    x = twofold.ones(2, requires_grad=True)
    y = x * 2
    node = y.grad_fn
    assert type(node).__name__ == "MulBackward0" and isinstance(node, graph.Node)
    assert node is y.grad_fn and node == y.grad_fn and node != (x * 2).grad_fn
    assert type(node.next_functions[0][0]).__name__ == "AccumulateGrad"
    node.metadata["note"] = 1
    del node
    assert y.grad_fn.metadata == {"note": 1}
    assert repr(y.grad_fn).startswith("<MulBackward0 object at 0x")

    class Scale(twofold.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            ctx.save_for_backward(x)
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None

    made = Scale.apply(x, 3).grad_fn
    assert type(made).__name__ == "ScaleBackward" and made.factor == 3
    assert made.saved_tensors[0] is x and not hasattr(made, "other")
    assert len(made.next_functions) == 1


def test_a_node_is_called_with_gradients():
    x = twofold.tensor([2.0, 3.0], requires_grad=True)
    square, product = x**2, x * x.detach()
    assert square.grad_fn(twofold.ones(2)).tolist() == [4.0, 6.0]
    assert product.grad_fn(twofold.ones(2))[0].tolist() == [2.0, 3.0]
    for arguments in ((), (x, x)):
        with pytest.raises(TypeError, match=f"expected 1 arguments, got {len(arguments)}"):
            square.grad_fn(*arguments)
    square.sum().backward()
    with pytest.raises(RuntimeError, match="walked before"):
        square.grad_fn(x)


def test_edges_stand_for_the_tensors_whose_gradients_arrive_there():
    x = twofold.ones(2, requires_grad=True)
    y = x * 2
    edge = graph.get_gradient_edge(y)
    assert edge.node == y.grad_fn and edge.output_nr == 0
    (g,) = twofold.autograd.grad((y * y).sum(), edge, retain_graph=True)
    assert g.tolist() == [4.0, 4.0]
    (g,) = twofold.autograd.grad((y * 3).sum(), [graph.GradientEdge(y.grad_fn, 0)])
    assert g.tolist() == [3.0, 3.0]
    (g,) = twofold.autograd.grad((x * 3).sum(), graph.get_gradient_edge(x))
    assert g.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="require"):
        graph.get_gradient_edge(twofold.ones(1))
