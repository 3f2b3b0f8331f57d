"""What gradients need, packed while it is kept: saved_tensors_hooks."""

import numpy as np
import pytest

import twofold
from twofold.autograd import graph
from twofold.exec import tensors


@pytest.fixture(params=["python", "native"], autouse=True)
def any_tier(request):
    tensors.install() if request.param == "native" else tensors.remove()
    yield
    tensors.remove()


def network():
    twofold.manual_seed(0)
    layers = [twofold.nn.Linear(5, 8), twofold.nn.LayerNorm(8), twofold.nn.GELU()]
    return twofold.nn.Sequential(*layers, twofold.nn.Linear(8, 3), twofold.nn.Softmax(-1))


def gradients(block, create_graph=False):
    model, x = network(), twofold.linspace(-1, 1, 20).reshape(4, 5).requires_grad_()
    with block:
        y = (model(x).exp().topk(2).values.sqrt() * x[:, :2]).prod(1).sum()
    found = twofold.autograd.grad(y, [x, *model.parameters()], create_graph=create_graph)
    if create_graph:
        with block:
            again = sum((g * g).sum() for g in found)
        found = twofold.autograd.grad(again, [x, *model.parameters()], allow_unused=True)
    return [None if g is None else g.numpy() for g in found]


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_bits_are_those_without(create_graph):
    plain = gradients(graph.save_on_cpu(), create_graph)
    kept = []

    def pack(x):
        kept.append(x.detach().numpy().copy())
        return len(kept) - 1

    packed = gradients(
        graph.saved_tensors_hooks(pack, lambda i: twofold.tensor(kept[i])), create_graph
    )
    assert len(kept) > 10
    for a, b in zip(plain, packed, strict=True):
        assert (a is None) == (b is None) and (a is None or np.array_equal(a, b))


def test_what_is_unpacked_is_what_counts():
    x = twofold.tensor([2.0, 3.0], requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t * 10, lambda t: t):
        y = (x * twofold.tensor([5.0, 7.0])).sum()
        z = x.exp().sum()
    y.backward()
    assert x.grad.tolist() == [50.0, 70.0]
    (g,) = twofold.autograd.grad(z, x)
    assert np.allclose(g.numpy(), 10 * np.exp([2.0, 3.0]))


def test_only_what_is_kept_is_packed_and_only_in_the_block():
    seen = []
    x, w = twofold.ones(3, requires_grad=True), twofold.ones(3)
    with graph.saved_tensors_hooks(lambda t: seen.append(t) or t, lambda t: t):
        x + w
        x.reshape(3, 1)
        w * w
        assert seen == []
        x * w
        assert [t.tolist() for t in seen] == [[1.0, 1.0, 1.0]], "w, for the gradient by x"
        with twofold.no_grad():
            x * x
        inner = []
        with graph.saved_tensors_hooks(lambda t: inner.append(t) or t, lambda t: t):
            x * w
        assert len(inner) == 1 and len(seen) == 1, "the innermost block counts"
        x.sin()
        assert seen[1] is x
    x * w
    assert len(seen) == 2


def test_memory_is_let_go():
    x = twofold.ones(3, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x.exp().sum()
    y.backward()
    with pytest.raises(twofold.TwofoldError, match="walked before"):
        y.backward()


def test_errors():
    x = twofold.ones(3, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: None):
        y = x.exp().sum()
    with pytest.raises(twofold.TwofoldError, match="gives a NoneType"):
        y.backward()
    with graph.saved_tensors_hooks(lambda t: t, lambda t: twofold.ones(2)):
        y = x.exp().sum()
    with pytest.raises(twofold.TwofoldError, match="another shape"):
        y.backward()
    with graph.disable_saved_tensors_hooks("not here"):
        hooks = graph.saved_tensors_hooks(lambda t: t, lambda t: t)
        with pytest.raises(twofold.TwofoldError, match="not here"):
            hooks.__enter__()
