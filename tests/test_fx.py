"""Modules as graphs that Python rewrites: traced, run, changed, written again."""

import copy
import importlib
import math
import operator

import pytest

import twofold
from twofold import fx, nn, optim
from twofold.base.errors import ArgumentError
from twofold.fx import optimization
from twofold.fx.passes.shape_prop import ShapeProp
from twofold.fx.passes.split_module import split_module
from twofold.fx.proxy import GraphAppendingTracer, TraceError
from twofold.nn import functional as F

fx.wrap("len")


@fx.wrap
def half(x, by):
    if float(x.sum()) > 0:  # a value decides: it cannot be looked into
        return x / by
    return x


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.scale = nn.Parameter(twofold.full((1,), 2.0))
        self.register_buffer("shift", twofold.full((1,), 0.5))

    def forward(self, x, bias=None):
        z = F.relu(self.norm(self.conv(x))) * self.scale + self.shift
        z += 1
        a, b = z.chunk(2, 1)
        z = twofold.cat([a, b], dim=1)
        return (z.view(z.size(0), -1)[:, :5] ** 2 - 3 + x.shape[0]) / math.sqrt(4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(4))
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        made = self.head(self.blocks(x)).softmax(-1)
        return {"out": made, "more": (x.mean(), [-x.flatten(1).sum(dim=1), twofold.ones(2)])}


@pytest.fixture
def net():
    twofold.manual_seed(0)
    return Net().eval()


X = twofold.ones(2, 4, 3, 3)

NET = """\
def forward(self, x):
    blocks_0_conv = getattr(self.blocks, "0").conv(x)
    blocks_0_norm = getattr(self.blocks, "0").norm(blocks_0_conv);  blocks_0_conv = None
    relu = twofold.nn.functional.relu(blocks_0_norm);  blocks_0_norm = None
    blocks_0_scale = getattr(self.blocks, "0").scale
    mul = relu * blocks_0_scale;  relu = blocks_0_scale = None
    blocks_0_shift = getattr(self.blocks, "0").shift
    add = mul + blocks_0_shift;  mul = blocks_0_shift = None
    add_1 = add + 1;  add = None
    chunk = add_1.chunk(2, 1);  add_1 = None
    getitem = chunk[0]
    getitem_1 = chunk[1];  chunk = None
    cat = twofold.cat([getitem, getitem_1], dim = 1);  getitem = getitem_1 = None
    size = cat.size(0)
    view = cat.view(size, -1);  cat = size = None
    getitem_2 = view[(slice(None, None, None), slice(None, 5, None))];  view = None
    pow_1 = getitem_2 ** 2;  getitem_2 = None
    sub = pow_1 - 3;  pow_1 = None
    getattr_1 = x.shape
    getitem_3 = getattr_1[0];  getattr_1 = None
    add_2 = sub + getitem_3;  sub = getitem_3 = None
    truediv = add_2 / 2.0;  add_2 = None
    head = self.head(truediv);  truediv = None
    softmax = head.softmax(-1);  head = None
    mean = x.mean()
    flatten = x.flatten(1);  x = None
    sum_1 = flatten.sum(dim = 1);  flatten = None
    neg = -sum_1;  sum_1 = None
    _tensor_constant0 = self._tensor_constant0
    return {'out': softmax, 'more': (mean, [neg, _tensor_constant0])}
"""


def test_a_forward_is_written_from_what_was_done(net):
    traced = fx.symbolic_trace(net)
    assert traced.code == NET
    assert str(traced).endswith(NET)
    made, wanted = traced(X), net(X)
    assert twofold.equal(made["out"], wanted["out"])
    assert twofold.equal(made["more"][1][0], wanted["more"][1][0])
    assert dict(traced.named_parameters()).keys() == dict(net.named_parameters()).keys()
    assert getattr(traced.blocks, "0").scale is net.blocks[0].scale


def test_the_text_of_a_graph():
    def step(x, by=2):
        return twofold.relu(x) / by, x.shape

    assert str(fx.symbolic_trace(step).graph) == (
        "graph():\n"
        "    %x : [num_users=2] = placeholder[target=x]\n"
        "    %by : [num_users=1] = placeholder[target=by](default=2)\n"
        "    %relu : [num_users=1] = call_function[target=twofold.relu]"
        "(args = (%x,), kwargs = {})\n"
        "    %truediv : [num_users=1] = call_function[target=operator.truediv]"
        "(args = (%relu, %by), kwargs = {})\n"
        "    %getattr_1 : [num_users=1] = call_function[target=builtins.getattr]"
        "(args = (%x, shape), kwargs = {})\n"
        "    return (truediv, getattr_1)"
    )


def test_a_traced_module_trains_and_compiles_as_the_module_does(net):
    def weights(module, wrap):
        optimizer = optim.SGD(module.parameters(), lr=0.1)

        @wrap
        def step(x):
            optimizer.zero_grad()
            loss = module(x)["out"][:, 0].sum()
            loss.backward()
            optimizer.step()
            return loss

        for _ in range(3):
            step(X)
        return [parameter.detach().clone() for parameter in module.parameters()]

    traced = fx.symbolic_trace(copy.deepcopy(net))
    names = [name for name, _ in traced.named_parameters()]
    plain = dict(
        zip([n for n, _ in net.named_parameters()], weights(net, lambda f: f), strict=True)
    )
    for made in (weights(copy.deepcopy(traced), twofold.compile), weights(traced, lambda f: f)):
        for name, value in zip(names, made, strict=True):
            assert twofold.equal(value, plain[name]), name


def test_an_interpreter_sees_every_node_and_lets_go_of_values(net):
    seen, most = [], [0]

    class Watched(fx.Interpreter):
        def run_node(self, n):
            seen.append(n.name)
            most[0] = max(most[0], len(self.env))
            return super().run_node(n)

    traced = fx.symbolic_trace(net)
    made = Watched(traced).run(X)
    assert twofold.equal(made["out"], net(X)["out"])
    assert seen == [node.name for node in traced.graph.nodes]
    assert most[0] < len(seen) / 3
    with pytest.raises(ArgumentError, match="no value for 'x'"):
        fx.Interpreter(traced).run()


def test_a_transformer_makes_another_graph(net):
    class Smooth(fx.Transformer):
        def call_function(self, target, args, kwargs):
            return (
                twofold.sigmoid(*args)
                if target is F.relu
                else super().call_function(target, args, kwargs)
            )

    made = Smooth(fx.symbolic_trace(net)).transform()
    assert "relu" not in made.code and "twofold.sigmoid(" in made.code
    assert not twofold.equal(made(X)["out"], net(X)["out"])


def test_nodes_are_changed_moved_and_taken_out():
    def step(x, y):
        z = x + y
        return z.relu() * 2

    traced = fx.symbolic_trace(step)
    x, y = twofold.randn(3), twofold.randn(3)
    add = next(node for node in traced.graph.nodes if node.target is operator.add)
    add.target = operator.sub
    traced.graph.lint()
    traced.recompile()
    assert twofold.equal(traced(x, y), (x - y).relu() * 2)
    relu = next(node for node in traced.graph.nodes if node.target == "relu")
    with traced.graph.inserting_after(relu):
        shifted = traced.graph.call_function(twofold.add, (relu, 1))
        again = traced.graph.call_function(twofold.neg, (shifted,))
    relu.replace_all_uses_with(again, lambda user: user is not shifted)
    assert [node.name for node in traced.graph.nodes][3:6] == ["relu", "add_1", "neg"]
    traced.recompile()
    assert twofold.equal(traced(x, y), -((x - y).relu() + 1) * 2)
    with pytest.raises(ArgumentError, match="relu is used by add_1"):
        traced.graph.erase_node(relu)
    again.replace_all_uses_with(relu)
    assert traced.graph.eliminate_dead_code() and not traced.graph.eliminate_dead_code()
    traced.recompile()
    assert twofold.equal(traced(x, y), (x - y).relu() * 2)
    relu.prepend(traced.graph.output_node())
    with pytest.raises(ArgumentError, match="output uses mul, which comes later"):
        traced.graph.lint()


def test_convolution_and_normalisation_become_one(net):
    """The example of PyTorch's tutorial."""
    traced = fx.symbolic_trace(copy.deepcopy(net))
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.op != "call_module" or type(modules[node.target]) is not nn.BatchNorm2d:
            continue
        conv = node.args[0]
        fused = nn.utils.fuse_conv_bn_eval(modules[conv.target], modules[node.target])
        parent, _, name = conv.target.rpartition(".")
        setattr(modules[parent], name, fused)
        node.replace_all_uses_with(conv)
        traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    assert "norm" not in traced.code
    assert not any(isinstance(module, nn.BatchNorm2d) for module in traced.modules())
    twofold.testing.assert_close(traced(X)["out"], net(X)["out"])


def test_a_pattern_is_replaced_wherever_it_stands_alone():
    def step(x, y):
        kept = x + y
        return twofold.relu(x * y + y), twofold.relu(kept), kept

    traced = fx.symbolic_trace(step)
    found = fx.replace_pattern(
        traced, lambda a, b: twofold.relu(a + b), lambda a, b: twofold.tanh(a - b)
    )
    assert len(found) == 1, "the value of the other one is used elsewhere"
    x, y = twofold.randn(3), twofold.randn(3)
    one, two, three = traced(x, y)
    assert twofold.equal(one, twofold.tanh(x * y - y))
    assert twofold.equal(two, twofold.relu(x + y)) and twofold.equal(three, x + y)


def test_functions_that_are_kept_whole():
    def step(x):
        return half(x, 4) * len(x) + math.sqrt(x.shape[0])

    traced = fx.symbolic_trace(step)
    assert [n.name for n in traced.graph.nodes][1:4] == ["half", "len_1", "mul"]
    for x in (twofold.ones(4, 2), -twofold.ones(4, 2)):
        assert twofold.equal(traced(x), step(x))
    assert half.__name__ == "half" and len([1]) == 1
    with pytest.raises(ArgumentError, match="top of a module"):
        fx.wrap("abs")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (lambda x: x if x.sum() > 0 else -x, "gt decides what runs, and has no value"),
        (lambda x: [part for part in x], "x is iterated, and its length is not known"),
        (lambda x: twofold.ones(3)[int(x)], r"int\(\) takes a value, and x has none yet"),
        (lambda x: x + object(), "a object cannot be an argument of a node"),
    ],
)
def test_what_needs_a_value_is_refused_with_the_line(step, told):
    with pytest.raises(TraceError, match=told) as refused:
        fx.symbolic_trace(step)
    assert "test_fx.py" in refused.value.where


def test_a_module_that_is_not_below_the_traced_one_is_refused():
    layer = nn.Linear(2, 2)
    with pytest.raises(TraceError, match="a Linear is called that is not part of the module"):
        fx.symbolic_trace(lambda x: layer(x))


def test_arguments_with_stars_defaults_and_fixed_values():
    def step(*args, scale=2, **kwargs):
        return args[0] * scale + kwargs["y"]

    made = fx.symbolic_trace(step)
    x = twofold.randn(3)
    assert twofold.equal(made(x, scale=3, y=x), x * 3 + x)

    def chosen(x, double=True, other=None):
        if other is not None:
            return other
        return x * 2 if double else x

    fixed = fx.symbolic_trace(chosen, concrete_args={"double": True, "other": None})
    assert twofold.equal(fixed(x), x * 2)
    with pytest.raises(AssertionError, match="double has been specialized to have value True"):
        fixed(x, False)
    with pytest.raises(ArgumentError, match="forward takes no triple"):
        fx.symbolic_trace(chosen, concrete_args={"triple": 1})


def test_a_graph_by_hand_and_a_module_from_a_dict():
    graph = fx.Graph()
    tracer = GraphAppendingTracer(graph)
    x = fx.Proxy(graph.placeholder("x"), tracer)
    weight = fx.Proxy(graph.get_attr("inner.weight"), tracer)
    graph.output((twofold.einsum("ij,kj->ik", x, weight) @ weight).node)
    with pytest.raises(ArgumentError, match=r"takes 'inner\.weight', root lacks it"):
        fx.GraphModule({}, graph)
    weight = nn.Parameter(twofold.randn(3, 2))
    module = fx.GraphModule({"inner.weight": weight}, graph)
    assert list(dict(module.named_parameters())) == ["inner.weight"]
    given = twofold.randn(4, 2)
    assert twofold.equal(module(given), twofold.einsum("ij,kj->ik", given, weight) @ weight)


def test_copies_are_apart_from_what_they_copy(net):
    traced = fx.symbolic_trace(net)
    twin = copy.deepcopy(traced)
    with twofold.no_grad():
        twin.head.weight.zero_()
    assert net.head.weight.abs().sum() > 0
    node = next(node for node in twin.graph.nodes if node.target == "softmax")
    node.target = "sigmoid"
    twin.recompile()
    assert "sigmoid" in twin.code and "sigmoid" not in traced.code
    assert twofold.equal(traced(X)["out"], net(X)["out"])


def test_a_tracer_decides_what_is_one_node(net):
    class Whole(fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return isinstance(m, Block) or super().is_leaf_module(m, module_qualified_name)

    graph = Whole().trace(net)
    assert graph.find_nodes(op="call_module", target="blocks.0")
    made = fx.GraphModule(net, graph)
    assert twofold.equal(made(X)["out"], net(X)["out"])


def test_shapes_are_found_for_an_example(net, capsys):
    traced = fx.symbolic_trace(net)
    ShapeProp(traced).propagate(X)
    shapes = {
        n.name: tuple(n.meta["tensor_meta"].shape)
        for n in traced.graph.nodes
        if n.op == "call_module"
    }
    assert shapes["head"] == (2, 2) and shapes["blocks_0_conv"] == (2, 4, 3, 3)
    traced.graph.print_tabular()
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["opcode", "name", "target", "args", "kwargs"]
    assert set(rule) == {"-", " "} and len(rows) == len(traced.graph.nodes)


def test_the_same_graph_as_pytorch_makes():
    torch = pytest.importorskip("torch")
    shown = []
    for framework in (twofold, torch):
        module = framework.nn.Sequential(framework.nn.Linear(3, 4), framework.nn.Tanh())
        module.extra = framework.nn.Parameter(framework.ones(1))

        class Model(framework.nn.Module):
            def __init__(self, inner=module):
                super().__init__()
                self.inner = inner

            def forward(self, x, y=None):
                z = self.inner(x).transpose(0, 1)[1:] ** 2
                return (1 - z.sum(0, keepdim=True)) @ z.T, self.inner.extra + x.size()[0]

        traced = type(module).__module__.partition(".")[0]
        graph = __import__(f"{traced}.fx", fromlist=["symbolic_trace"]).symbolic_trace(Model())
        shown.append((str(graph.graph), graph.code.strip()))
    assert shown[0] == shown[1]


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(2, 2))
        self.b = nn.Linear(2, 2)
        self.scale = nn.Parameter(twofold.ones(2) * 3)

    def forward(self, x):
        y = self.deep[0](x)
        z = twofold.relu(y)
        return self.b(z) * self.scale + y


def test_a_graph_is_split_into_modules():
    model, x, names = Halves(), twofold.rand(3, 2), {}
    graph = fx.symbolic_trace(model)
    parts = {"deep_0": 0, "relu": 0}
    split = split_module(graph, model, lambda node: parts.get(node.name, 1), names)
    assert twofold.equal(split(x), model(x))
    assert split.code == (
        "def forward(self, x):\n"
        "    submod_0 = self.submod_0(x);  x = None\n"
        "    getitem = submod_0[0]\n"
        "    getitem_1 = submod_0[1];  submod_0 = None\n"
        "    submod_1 = self.submod_1(getitem, getitem_1);  getitem = getitem_1 = None\n"
        "    return submod_1\n"
    )
    assert [name for name, _ in split.named_children()] == ["submod_0", "submod_1"]
    assert names["submod_0.deep_0"] == "deep.0" and names["submod_1.scale"] == "scale"
    assert split.submod_1.b.weight is model.b.weight
    split(x).sum().backward()
    assert model.scale.grad is not None
    round_about = {"deep_0": 0, "relu": 1}
    with pytest.raises(ArgumentError, match="wait for each other"):
        split_module(graph, model, lambda node: round_about.get(node.name, 0))


def test_normalizations_are_fused_into_convolutions_and_dropout_removed():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(), nn.Conv2d(2, 1, 1)
    )
    model[1].running_mean.fill_(0.3)
    model[1].running_var.fill_(2.0)
    model, x = model.eval(), twofold.rand(2, 1, 5, 5)
    fused = optimization.fuse(model)
    assert [type(m).__name__ for m in fused.children()] == ["Conv2d", "ReLU", "Dropout", "Conv2d"]
    assert twofold.allclose(fused(x), model(x), atol=1e-6)
    assert type(model[1]) is nn.BatchNorm2d  # the model itself is as it was
    kinds = [type(m).__name__ for m in optimization.remove_dropout(model).children()]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    again = importlib.import_module("twofold.fx.experimental.optimization")
    assert again.fuse(fused, no_trace=True)(x).shape == fused(x).shape
