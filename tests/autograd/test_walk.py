"""The walk: deep graphs, what is freed when, no cycles, errors with the forward line."""

import gc
import threading
import weakref

import numpy as np
import pytest

import twofold
from twofold import autograd
from twofold.base.errors import GradientError
from twofold.ops.tensor import Parameter, Tensor


@pytest.fixture
def no_collector():
    """Whatever dies in the test dies by its reference count."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*values):
    return twofold.tensor(values, requires_grad=True)


def test_a_chain_of_20000_operations():
    x = leaf(1.0)
    h = x
    for _ in range(20_000):
        h = h + 1
    h.backward()
    assert x.grad.item() == 1.0
    del h


def test_a_chain_that_is_dropped_unwalked():
    h = leaf(1.0)
    for _ in range(20_000):
        h = h.sin()
    del h


def test_a_wide_graph():
    x = leaf(1.0)
    total = x * 0
    for i in range(2000):
        total = total + x * i
    total.backward()
    assert x.grad.item() == 1999000


def test_a_graph_with_exponentially_many_paths():
    h = x = leaf(1.0)
    for _ in range(60):
        h = h + h
    h.backward()
    assert x.grad.item() == 2.0**60


def test_saved_values_are_freed_as_the_walk_goes(no_collector):
    x = leaf(1.0, 2.0)
    h = x * 2
    k = h.exp()
    saved = weakref.ref(k)
    loss = (k * k).sum()
    del k
    assert saved() is not None
    loss.backward()
    assert saved() is None
    assert h.requires_grad


def test_a_gradient_dies_when_it_is_used(no_collector):
    alive, most = [], []

    def watch(g):
        alive.append(weakref.ref(g))
        most.append(sum(ref() is not None for ref in alive))

    h = leaf(1.0, 2.0)
    for _ in range(20):
        h = h.sin()
        h.register_hook(watch)
    h.sum().backward()
    assert max(most) <= 3


def count_tensors():
    return sum(type(o) in (Tensor, Parameter) for o in gc.get_objects())


def programs():
    def plain(x):
        return (x * 2).exp().sum()

    def written(x):
        h = x * 2
        h[0].mul_(3)
        h.add_(x)
        h.view(-1)[1:].exp_()
        return h.sum()

    def hooked(x):
        h = x * 2
        h.register_hook(lambda g: g * 2)
        h.retain_grad()
        return (h * h).sum()

    def several(x):
        return x.topk(2).values.sum() + x.unbind(0)[1]

    def norms(x):
        return twofold.nn.functional.layer_norm(x.reshape(1, -1), (3,)).sum()

    class Square(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * x
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, _ = ctx.saved_tensors
            return g * 2 * x

    def custom(x):
        return Square.apply(x * 1).sum()

    def checkpointed(x):
        return autograd.checkpoint(lambda h: (h * x).sin(), x * 2).sum()

    return (plain, written, hooked, several, norms, custom, checkpointed)


@pytest.mark.parametrize("program", programs(), ids=lambda p: p.__name__)
@pytest.mark.parametrize("walked", [False, True, "twice"])
def test_nothing_but_its_users_keeps_a_graph_alive(program, walked, no_collector):
    x = leaf(0.1, 0.2, 0.3)
    program(x).backward(create_graph=walked == "twice")  # plans and constants are made
    x.grad = None
    before = count_tensors()
    loss = program(x)
    node = weakref.ref(loss.node)
    if walked:
        loss.backward(create_graph=walked == "twice")
        x.grad = None
    del loss
    assert node() is None
    x.grad = None
    assert count_tensors() <= before


def test_a_detached_tensor_does_not_keep_the_graph(no_collector):
    x = leaf(0.1, 0.2)
    h = x
    nodes, history = [], []
    for _ in range(5):
        h = (h.detach() * x).sin()
        nodes.append(weakref.ref(h.node))
        history.append(h.detach().sum())
    assert [ref() is None for ref in nodes] == [True] * 4 + [False]


def test_overwritten_names_both_lines():
    x = leaf(1.0, 2.0)
    h = x * 2
    r = h * h
    h.add_(1)
    with pytest.raises(GradientError) as caught:
        r.sum().backward()
    text = str(caught.value)
    assert "r = h * h" in text and "h.add_(1)" in text


def test_an_optimizer_step_between_forward_and_backward_is_named():
    w = leaf(1.0, 2.0)
    optimizer = twofold.optim.SGD([w], lr=0.1)
    first, second = (w * w).sum(), (w * w).sum()
    first.backward()
    optimizer.step()
    with pytest.raises(GradientError, match=r"optimizer\.step\(\)"):
        second.backward()


def test_unbroadcasting():
    shapes = [(), (1,), (3,), (2, 1), (2, 3), (1, 2, 3), (4, 1, 1)]
    for shape in shapes:
        x = twofold.ones(shape, requires_grad=True)
        y = x * twofold.ones(4, 2, 3)
        y.sum().backward()
        assert x.grad.shape == shape
        assert x.grad.sum().item() == 24


def test_an_empty_tensor_has_an_empty_gradient():
    x = twofold.ones(0, 3, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [twofold.float16, twofold.bfloat16, twofold.float64])
def test_a_gradient_has_its_leafs_type(dtype):
    x = twofold.ones(3, dtype=dtype, requires_grad=True)
    w = twofold.ones(3, requires_grad=True)
    (x * w).sum().backward()
    assert x.grad.dtype is dtype
    assert w.grad.dtype is twofold.float32
    assert x.grad.float().numpy().tolist() == [1.0, 1.0, 1.0]


def test_complex_gradients_are_pytorchs():
    torch = pytest.importorskip("torch")
    z = np.array([1 + 2j, -0.5 + 0.3j])

    def run(t):
        x = t.tensor(z, requires_grad=True)
        y = (x * x.conj() + (x * (2 - 1j)).exp()).abs().sum()
        y.backward()
        return np.array(x.grad.resolve_conj().numpy() if t is torch else x.grad.numpy())

    np.testing.assert_allclose(run(twofold), run(torch), rtol=1e-12)


# ---- anomaly mode


def test_anomaly_mode_names_the_forward_line():
    x = leaf(-1.0)
    with autograd.detect_anomaly():
        h = x.sqrt()
        loss = h.sum()
        with pytest.raises(GradientError) as caught:
            loss.backward()
    text = str(caught.value)
    assert "sqrt" in text and "h = x.sqrt()" in text and "NaN" in text


def test_anomaly_mode_names_the_first_of_many():
    x = leaf(0.0)
    with autograd.detect_anomaly(), pytest.raises(GradientError, match=r"y = x\.sqrt\(\) \* 0"):
        y = x.sqrt() * 0
        (y * 3 + 1).sum().backward()


def test_without_it_nan_passes():
    x = leaf(-1.0)
    x.sqrt().sum().backward()
    assert np.isnan(x.grad.item())


def test_anomaly_mode_is_left_again():
    x = leaf(-1.0)
    with autograd.set_detect_anomaly(True), autograd.detect_anomaly(False):
        x.sqrt().sum().backward()
    x.sqrt().sum().backward()

    @autograd.detect_anomaly()
    def run():
        x.sqrt().sum().backward()

    with pytest.raises(GradientError):
        run()
    x.sqrt().sum().backward()


def test_threads_walk_their_own_graphs():
    results = [None] * 4

    def work(place):
        x = leaf(float(place))
        for _ in range(50):
            x.grad = None
            (x * x).sum().backward()
        results[place] = x.grad.item()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0.0, 2.0, 4.0, 6.0]
