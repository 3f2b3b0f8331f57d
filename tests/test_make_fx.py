"""make_fx: what a function does to tensors, as a graph of operations that runs."""

import pytest
from twofold.fx.experimental.proxy_tensor import make_fx

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError
from twofold.func import grad, vmap
from twofold.fx import GraphModule
from twofold.nn import functional as F

LAYER = nn.Linear(4, 3)
FUNCTIONS = [
    lambda x: twofold.sin(x) + x @ x.T,
    lambda x: LAYER(x).relu().sum(1),
    lambda x: F.softmax(x.view(2, 8), -1)[None].to(twofold.float64),
    lambda x: F.layer_norm(x, (4,)) + F.gelu(x),
    lambda x: twofold.cat([x, x[:, :2]], 1).topk(2)[0],
    lambda x: F.conv2d(x[None, None], twofold.ones(2, 1, 3, 3), padding=1),
    lambda x: twofold.where(x > 0, x, 0.0).clamp(0, 1),
    lambda x: x * x.max().item(),
    lambda x: x if x.sum() > 0 else -x,
    lambda x: grad(lambda y: (y.sin() * y).sum())(x),
    vmap(grad(lambda row: (row**3).sum())),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_a_graph_does_what_the_function_does(number):
    f, x = FUNCTIONS[number], twofold.randn(4, 4)
    made = make_fx(f)(x)
    assert isinstance(made, GraphModule)
    for given in (x, twofold.randn(4, 4) * 3):
        assert made(given).equal(f(given))


def test_arguments_and_results_keep_their_structure():
    def f(a, pair, number):
        b, _ = pair
        return {"sum": a + b * number, "same": a}, [b.sort().values, number]

    x, y = twofold.randn(3), twofold.randn(3)
    made = make_fx(f)(x, (y, y), 2.5)
    names = [node.name for node in made.graph.nodes if node.op == "placeholder"]
    assert names == ["arg0_1", "arg1_1", "arg2_1", "arg3_1"]
    found, (ordered, number) = made(y, x, y, 2.5)
    assert found["sum"].equal(y + x * 2.5) and found["same"].equal(y)
    assert ordered.equal(x.sort().values) and number == 2.5


def test_a_graph_can_be_rewritten_and_has_gradients():
    made = make_fx(lambda x: twofold.sin(x) * 2)(twofold.ones(3))
    (node,) = [node for node in made.graph.nodes if node.name == "sin"]
    other = make_fx(twofold.cos)(twofold.ones(3))
    (cos,) = [one for one in other.graph.nodes if one.name == "cos"]
    node.target = cos.target
    made.recompile()
    x = twofold.randn(3, requires_grad=True)
    made(x).sum().backward()
    assert x.grad.equal(-2 * x.detach().sin())
    weights = make_fx(LAYER)(twofold.ones(1, 4))
    weights(twofold.ones(1, 4)).sum().backward()
    assert LAYER.weight.grad is not None


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (lambda x: x.add_(1), "writes"),
        (lambda x: x[x > 0], "Python computes"),
        (lambda x: x + twofold.rand(3), "draws random"),
    ],
)
def test_what_no_graph_of_values_tells_is_refused(f, why):
    with pytest.raises(ArgumentError, match=why):
        make_fx(f)(twofold.rand(3))
