"""Module: names, hooks, modes, state, copies, texts, and errors that name the module."""

import copy
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import ShapeError, StateError


def net_of(nn):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            return self.norm(self.fc(x)).relu()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 3)
            self.blocks = nn.ModuleList([Block(), Block()])
            self.heads = nn.ModuleDict({"a": nn.Linear(3, 1), "b": nn.Linear(3, 2, bias=False)})
            self.tied = self.first
            self.nothing = None

        def forward(self, x):
            h = self.first(x)
            for block in self.blocks:
                h = block(h)
            return self.heads["a"](h), self.heads["b"](h)

    return Net()


def net():
    return net_of(nn)


# ---- the tree


def test_names_as_in_pytorch():
    torch = pytest.importorskip("torch")
    ours, theirs = net(), net_of(torch.nn)
    assert repr(ours) == repr(theirs)
    for listing in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        for options in ({}, {"remove_duplicate": False}, {"prefix": "net"}):
            if listing == "named_children" and options:
                continue
            mine = [name for name, _ in getattr(ours, listing)(**options)]
            assert mine == [name for name, _ in getattr(theirs, listing)(**options)], listing
    assert [n for n, _ in ours.named_parameters(recurse=False)] == []
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="x.")) == list(theirs.state_dict(prefix="x."))
    order = []
    ours.apply(lambda m: order.append(type(m).__name__))
    wanted = []
    theirs.apply(lambda m: wanted.append(type(m).__name__))
    assert order == wanted


def test_getters():
    m = net()
    assert m.get_submodule("blocks.1.fc") is m.blocks[1].fc
    assert m.get_submodule("") is m
    assert m.get_parameter("heads.a.bias") is m.heads["a"].bias
    assert m.get_buffer("blocks.0.norm.running_mean") is m.blocks[0].norm.running_mean
    with pytest.raises(AttributeError, match=r"there is no attribute 'blocks\.gone'"):
        m.get_submodule("blocks.gone")
    with pytest.raises(AttributeError, match="get_submodule: there is no attribute"):
        m.get_submodule("first.weight")


def test_attributes_come_and_go():
    m = nn.Module()
    m.w = nn.Parameter(twofold.ones(2))
    m.part = nn.Linear(2, 2)
    m.register_buffer("b", twofold.zeros(2))
    m.plain = 5
    assert {"w", "part", "b", "plain"} <= set(dir(m))
    m.w = None
    assert m.w is None and list(m.parameters()) == list(m.part.parameters())
    m.w = nn.Parameter(twofold.zeros(1))
    m.b = twofold.ones(3)
    assert list(m.state_dict()) == ["w", "b", "part.weight", "part.bias"]
    m.part = nn.Identity()
    del m.w, m.b, m.part
    assert not list(m.state_dict())
    with pytest.raises(AttributeError, match="Module: there is no attribute 'w'"):
        _ = m.w


def test_a_parameter_may_take_the_place_of_a_plain_attribute():
    m = nn.Module()
    m.w = 3
    m.w = nn.Parameter(twofold.ones(2))
    assert [n for n, _ in m.named_parameters()] == ["w"]


@pytest.mark.parametrize(
    ("act", "kind", "problem"),
    [
        (lambda m: setattr(m, "weight", twofold.ones(2)), TypeError, "weight is a parameter"),
        (lambda m: m.register_parameter("w", twofold.ones(2)), TypeError, "not a Parameter"),
        (lambda m: m.register_buffer("w", 3), TypeError, "w is a int, not a Tensor"),
        (lambda m: m.add_module("w", 3), TypeError, "not a Module"),
        (lambda m: m.register_buffer("a.b", None), ValueError, "'a.b' is not a name"),
        (lambda m: m.add_module("", nn.Identity()), ValueError, "'' is not a name"),
        (lambda m: m.register_buffer("weight", None), ValueError, "an attribute weight already"),
        (lambda m: m.register_buffer("forward", None), ValueError, "an attribute forward already"),
        (lambda m: m.train("no"), ValueError, "'no' is not True or False"),
        (lambda m: m.to(twofold.int64), TypeError, "int64 is not a floating type"),
        (lambda m: m.to("cuda"), ValueError, "no device 'cuda'"),
        (lambda m: m.cuda(), ValueError, "no device 'cuda'"),
        (lambda m: nn.Module()(1), NotImplementedError, "does not define forward"),
        (lambda m: m.load_state_dict([1]), TypeError, "a list is not a state"),
    ],
)
def test_what_is_refused(act, kind, problem):
    with pytest.raises(kind, match=problem) as caught:
        act(nn.Linear(2, 2))
    assert isinstance(caught.value, twofold.TwofoldError)


def test_init_must_be_called():
    class Lazy(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Lazy()


# ---- modes and types


def test_train_and_eval():
    m = net()
    assert m.eval() is m and not any(p.training for p in m.modules())
    assert m.train() is m and all(p.training for p in m.modules())
    m.blocks[0].eval()
    assert m.training and not m.blocks[0].norm.training


def test_requires_grad_and_zero_grad():
    m = net()
    for part in m(twofold.randn(4, 2)):
        part.sum().backward(retain_graph=True)
    m.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in m.parameters())
    m.zero_grad()
    assert all(p.grad is None for p in m.parameters())
    m.requires_grad_(False)
    assert not m(twofold.randn(4, 2))[0].requires_grad


def test_types():
    m = net()
    m(twofold.randn(4, 2))[0].sum().backward()
    assert m.double() is m
    assert {p.dtype for p in m.parameters()} == {twofold.float64}
    assert m.first.weight.grad.dtype is twofold.float64
    norm = m.blocks[0].norm
    assert norm.running_mean.dtype is twofold.float64
    assert norm.num_batches_tracked.dtype is twofold.int64
    assert m(twofold.randn(4, 2, dtype=twofold.float64))[0].dtype is twofold.float64
    assert m.to(twofold.float32).to("cpu").first.weight.dtype is twofold.float32
    assert m.to(twofold.ones(1, dtype=twofold.float64)).first.weight.dtype is twofold.float64
    assert m.half().bfloat16().float().first.weight.requires_grad
    assert m.first is m.tied


# ---- hooks


def test_forward_hooks_as_in_pytorch():
    def run(t):
        log, layer = [], t.nn.Linear(2, 2)
        with t.no_grad():
            layer.weight.fill_(1.0)
            layer.bias.fill_(0.0)
        handles = [
            layer.register_forward_pre_hook(lambda m, a: log.append("pre") or (a[0] * 2,)),
            layer.register_forward_pre_hook(lambda m, a: log.append("first"), prepend=True),
            layer.register_forward_pre_hook(
                lambda m, a, k: log.append(sorted(k)) or None, with_kwargs=True
            ),
            layer.register_forward_hook(lambda m, a, out: log.append(a[0].tolist())),
            layer.register_forward_hook(lambda m, a, out: out + 1),
            layer.register_forward_hook(lambda m, a, k, out: out * 10, with_kwargs=True),
        ]
        found = [layer(t.ones(2)).tolist()]
        for handle in handles:
            handle.remove()
        return [*found, layer(t.ones(2)).tolist(), log]

    torch = pytest.importorskip("torch")
    assert run(twofold) == run(torch)


@pytest.mark.filterwarnings("ignore")
def test_backward_hooks_as_in_pytorch():
    def run(t):
        log = []

        def look(m, inputs, outputs):
            grads = [*inputs, *outputs]
            log.append((type(m).__name__, [None if g is None else g.tolist() for g in grads]))

        layers = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.ReLU(), t.nn.Linear(3, 2, bias=False))
        for p in layers.parameters():
            p.data = t.ones(p.shape) / 2
        for layer in layers:
            layer.register_full_backward_hook(look)
        layers[1].register_full_backward_hook(lambda m, i, o: (i[0] * 2,))
        layers[2].register_full_backward_pre_hook(lambda m, o: (o[0] * 3,))
        layers[2].register_full_backward_pre_hook(lambda m, o: log.append("pre"))
        both = t.nn.Bilinear(2, 2, 1)
        both.weight.data = t.ones(1, 2, 2)
        both.register_full_backward_hook(look)
        x = t.ones(4, 2, requires_grad=True)
        h = layers(t.ones(4, 2))
        both(h, x).sum().backward()
        return log, x.grad.tolist(), [p.grad.tolist() for p in layers.parameters()]

    torch = pytest.importorskip("torch")
    assert run(twofold) == run(torch)


def test_a_backward_hook_of_a_module_with_several_outputs():
    log = []
    layer = nn.GRU(2, 3)
    layer.register_full_backward_hook(lambda m, i, o: log.append([g is None for g in (*i, *o)]))
    out, _ = layer(twofold.ones(4, 1, 2, requires_grad=True))
    out.sum().backward()
    assert log == [[False, False, True]]


# ---- state


def test_state_shares_memory_and_loads():
    a, b = net(), net()
    state = a.state_dict()
    state["first.weight"][0, 0] = 42
    assert a.first.weight[0, 0].item() == 42
    assert not state["first.weight"].requires_grad
    assert a.state_dict(keep_vars=True)["first.weight"] is a.first.weight
    before = b.first.weight
    assert str(b.load_state_dict(state)) == "<All keys matched successfully>"
    assert b.first.weight is before and before.requires_grad
    for name, value in b.state_dict().items():
        assert (value == state[name]).all(), name


def test_state_of_other_types_is_converted():
    a = nn.Linear(2, 2)
    a.load_state_dict({k: v.double().numpy() for k, v in a.state_dict().items()})
    assert a.weight.dtype is twofold.float32


def test_assign_takes_the_memory():
    a, state = nn.Linear(2, 2), {k: v * 1 for k, v in nn.Linear(2, 2).state_dict().items()}
    a.load_state_dict(state, assign=True)
    assert a.weight.data_ptr() == state["weight"].data_ptr()


def test_a_state_that_does_not_fit_says_how_and_changes_nothing():
    m = net()
    state = m.state_dict()
    kept = m.first.bias.detach().clone()
    wrong = OrderedDict(state)
    wrong["first.bias"] = wrong["first.bias"] + 1
    del wrong["heads.a.bias"], wrong["blocks.1.fc.weight"]
    wrong["extra.weight"] = twofold.ones(1)
    wrong["heads.b.weight"] = twofold.ones(2, 4)
    with pytest.raises(StateError) as caught:
        m.load_state_dict(wrong)
    text = str(caught.value)
    for part in ("heads.a.bias", "blocks.1.fc.weight", "extra.weight", "f32[2, 4], here f32[2, 3]"):
        assert part in text
    assert (m.first.bias == kept).all()
    with pytest.raises(StateError, match="different"):
        m.load_state_dict(wrong, strict=False)
    del wrong["heads.b.weight"]
    result = m.load_state_dict(wrong, strict=False)
    assert result.missing_keys == ["blocks.1.fc.weight", "heads.a.bias", "heads.b.weight"]
    assert result.unexpected_keys == ["extra.weight"]
    assert (m.first.bias == kept + 1).all()


def test_long_differences_are_cut():
    with pytest.raises(StateError, match="and 3 more"):
        nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(15))).load_state_dict({})


def test_non_persistent_buffers():
    m = nn.Module()
    m.register_buffer("kept", twofold.ones(1))
    m.register_buffer("lost", twofold.ones(1), persistent=False)
    assert list(m.state_dict()) == ["kept"]
    assert [n for n, _ in m.named_buffers()] == ["kept", "lost"]
    m.load_state_dict({"kept": twofold.zeros(1)})
    assert m.kept.item() == 0


def test_extra_state():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0
            self.fc = nn.Linear(1, 1)

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].count = 3
    assert list(a.state_dict()) == ["0._extra_state", "0.fc.weight", "0.fc.bias"]
    b.load_state_dict(a.state_dict())
    assert b[0].count == 3


def test_pytorchs_states_load():
    torch = pytest.importorskip("torch")
    theirs = net_of(torch.nn)
    ours = net()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs(torch.tensor(x))
    for a, b in zip(ours(twofold.tensor(x)), wanted, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-5, 1e-6)


def test_loading_is_seen_by_what_saved_the_old_values():
    m = nn.Linear(2, 2)
    loss = (m(twofold.ones(1, 2, requires_grad=True)) ** 2).sum()
    m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()})
    with pytest.raises(RuntimeError, match="overwritten"):
        loss.backward()


# ---- copies


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_alone(again):
    m = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU())
    m[4] = m[2]
    m(twofold.randn(4, 2)).sum().backward()
    c = again(m)
    assert repr(c) == repr(m)
    assert c[4] is c[2]
    assert all(type(p) is nn.Parameter and p.requires_grad for p in c.parameters())
    before = m[0].weight.tolist()
    with twofold.no_grad():
        c[0].weight.zero_()
    c[1](twofold.randn(4, 3))
    assert m[0].weight.tolist() == before and m[1].num_batches_tracked.item() == 1


def test_a_deep_copy_has_its_gradients():
    m = nn.Linear(2, 2)
    m(twofold.ones(1, 2)).sum().backward()
    c = copy.deepcopy(m)
    assert (c.weight.grad == m.weight.grad).all() and c.weight.grad is not m.weight.grad


# ---- texts


def test_texts_of_several_lines():
    class Own(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(Own()) == "Own(\n  one\n  two\n)"
    m = Own()
    m.part = nn.Sequential(nn.ReLU())
    assert repr(m) == "Own(\n  one\n  two\n  (part): Sequential(\n    (0): ReLU()\n  )\n)"
    m.none = None
    m.add_module("gone", None)
    assert repr(m).endswith("  (gone): None\n)")


# ---- errors name the module


def failing(module, *args):
    with pytest.raises(ShapeError) as caught:
        module(*args)
    return ".".join(caught.value.path)


def test_paths_go_through_containers():
    m = net()
    m.blocks[1].fc = nn.Linear(4, 3)
    assert failing(m, twofold.ones(2, 2)) == "Net.blocks.1.fc"
    assert failing(m.blocks[1], twofold.ones(2, 2)) == "Block.fc"
    m = nn.Sequential(nn.Sequential(nn.Identity(), nn.Linear(2, 2)))
    assert failing(m, twofold.ones(3)) == "Sequential.0.1"


def test_paths_of_modules_that_are_not_children():
    other = nn.Linear(3, 3)

    class Net(nn.Module):
        def forward(self, x):
            return other(x)

    assert failing(Net(), twofold.ones(2)) == "Net.Linear"


def test_paths_of_errors_in_the_module_itself():
    class Net(nn.Module):
        def forward(self, x):
            return x @ x

    assert failing(nn.Sequential(Net()), twofold.ones(2, 3)) == "Sequential.0"


def test_a_parameter_that_is_set_again_keeps_its_place():
    layer = nn.Linear(2, 2)
    names = list(layer.state_dict())
    with twofold.no_grad():
        layer.weight += 1
    layer.weight = nn.Parameter(twofold.ones(2, 2))
    assert list(layer.state_dict()) == names


def test_a_new_value_has_the_place_of_the_old_one():
    net = nn.Module()
    net.first, net.second = nn.Linear(1, 1), nn.Linear(1, 1)
    net.first = nn.Sequential(net.first, nn.ReLU())
    net.shift, net.scale = nn.Parameter(twofold.ones(1)), nn.Parameter(twofold.ones(1))
    net.shift = nn.Parameter(twofold.zeros(1))
    names = [name for name, _ in net.named_parameters()]
    inner = ["first.0.weight", "first.0.bias", "second.weight", "second.bias"]
    assert names == ["shift", "scale", *inner]
