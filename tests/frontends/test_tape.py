"""GradientTape: what TensorFlow's documentation says of it, and finite differences."""

import numpy as np
import pytest

import twofold
from twofold import GradientTape, func, nn
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError

X = np.random.default_rng(0).normal(size=(4, 3))


def test_a_watched_tensor():
    x = twofold.tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert tape.gradient(y, x).item() == 6
    assert not x.requires_grad and x.grad is None


def test_a_tensor_that_is_not_watched():
    x = twofold.tensor(3.0)
    with GradientTape() as tape:
        y = x * x
    assert tape.gradient(y, x) is None


def test_zeros_for_what_is_not_connected():
    x, z = twofold.tensor([3.0, 1.0]), twofold.tensor([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        tape.watch((x, z))
        y = x.sum()
    assert tape.gradient(y, z) is None
    assert tape.gradient(y, z, unconnected_gradients="zero").tolist() == [0, 0]
    assert tape.jacobian(y, z) is None
    assert tape.jacobian(y, z, unconnected_gradients="zero").tolist() == [0, 0]
    assert tape.gradient(y, {"a": x, "b": [z]}, unconnected_gradients="zero")["b"][0].sum() == 0
    with pytest.raises(ArgumentError, match="unconnected_gradients"):
        tape.gradient(y, x, unconnected_gradients="zeros")


def test_parameters_are_watched_unless_told_otherwise():
    layer = nn.Linear(3, 1)
    x = twofold.ones(2, 3)
    with GradientTape() as tape:
        y = layer(x).sum()
    grads = tape.gradient(y, dict(layer.named_parameters()))
    assert grads["weight"].tolist() == [[2, 2, 2]] and grads["bias"].tolist() == [2]
    assert layer.weight.grad is None and not grads["weight"].requires_grad
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(layer.bias)
        y = layer(x).sum()
    grads = tape.gradient(y, [layer.weight, layer.bias])
    assert grads[0] is None and grads[1].tolist() == [2]


def test_one_tape_gives_gradients_once():
    x = twofold.tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(GradientError, match="has given its gradients"):
        tape.gradient(y, x)


def test_a_persistent_tape_gives_them_again():
    x = twofold.tensor(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    assert tape.gradient(z, x).item() == 4 * 27
    assert tape.gradient(y, x).item() == 6
    assert tape.gradient(z, y).item() == 18


def test_nested_tapes_give_higher_orders():
    x = twofold.tensor(2.0)
    with GradientTape() as third:
        third.watch(x)
        with GradientTape() as second:
            second.watch(x)
            with GradientTape() as first:
                first.watch(x)
                y = x**4
            dy = first.gradient(y, x)
        ddy = second.gradient(dy, x)
    assert (dy.item(), ddy.item(), third.gradient(ddy, x).item()) == (32, 48, 48)


def test_tapes_side_by_side_do_not_use_each_other_up():
    x = twofold.tensor(2.0)
    with GradientTape() as a, GradientTape() as b:
        a.watch(x)
        b.watch(x)
        y = x.exp() * x
    assert a.gradient(y, x).item() == b.gradient(y, x).item()


def test_nothing_is_recorded_while_stopped():
    x = twofold.tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        with tape.stop_recording():
            y = x * x
        z = x + y
    assert tape.gradient(z, x).item() == 1
    with pytest.raises(GradientError, match="not recording"), tape.stop_recording():
        pass


def test_reset_forgets_what_is_watched():
    x = twofold.tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        assert tape.watched_variables() == (x,)
        tape.reset()
        y = x * x
    assert tape.gradient(y, x) is None


def test_weights_of_targets():
    x = twofold.tensor([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, x.sum()
    weights = twofold.tensor([1.0, 10.0])
    assert tape.gradient(y, x).tolist() == [2, 4]
    assert tape.gradient(y, x, output_gradients=weights).tolist() == [2, 40]
    assert tape.gradient([y, z], x).tolist() == [3, 5]
    assert tape.gradient({"y": y, "z": z}, [x], [weights, None])[0].tolist() == [3, 41]
    with pytest.raises(ShapeError, match="target's shape"):
        tape.gradient(y, x, output_gradients=weights[:1])
    with pytest.raises(ArgumentError, match="2 targets and 1"):
        tape.gradient([y, z], x, [weights])


def test_jacobians():
    x = twofold.tensor(X)
    w = twofold.tensor(X[:3, :3])

    def f(x):
        return (x @ w).tanh() * x.sin()

    with GradientTape(persistent=True) as tape:
        tape.watch([x, w])
        y = f(x)
    want = func.jacrev(f)(x).numpy()
    np.testing.assert_allclose(tape.jacobian(y, x).numpy(), want, 1e-12)
    slow = tape.jacobian(y, [x, w], experimental_use_pfor=False)
    np.testing.assert_allclose(slow[0].numpy(), want, 1e-12)
    assert tuple(slow[1].shape) == (4, 3, 3, 3)
    few = tape.jacobian(y, x, parallel_iterations=5)
    np.testing.assert_array_equal(few.numpy(), tape.jacobian(y, x).numpy())
    rows = tape.batch_jacobian(y, x)
    for i in range(4):
        np.testing.assert_allclose(rows[i].numpy(), want[i, :, i], 1e-12)


def test_jacobians_of_nested_tapes_are_hessians():
    x = twofold.tensor(X[0])
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = (x.sin() * x.sum()).sum()
        g = inner.gradient(y, x)
    want = func.hessian(lambda x: (x.sin() * x.sum()).sum())(x)
    np.testing.assert_allclose(outer.jacobian(g, x).numpy(), want.numpy(), 1e-12)


def test_batch_jacobian_needs_one_first_size():
    x = twofold.tensor(X)
    with GradientTape() as tape:
        tape.watch(x)
        y = x.sum(0)
    with pytest.raises(ShapeError, match="first size"):
        tape.batch_jacobian(y, x)


def test_tapes_inside_of_transforms():
    def slope(x):
        with GradientTape() as tape:
            tape.watch(x)
            y = x.sin() * x
        return tape.gradient(y, x)

    x = twofold.tensor(X[0])
    want = np.cos(X[0]) * X[0] + np.sin(X[0])
    second = 2 * np.cos(X[0]) - X[0] * np.sin(X[0])
    np.testing.assert_allclose(func.vmap(slope)(x).numpy(), want, 1e-12)
    np.testing.assert_allclose(func.grad(lambda x: slope(x).sum())(x).numpy(), second, 1e-12)
    np.testing.assert_allclose(func.vmap(func.grad(slope))(x).numpy(), second, 1e-12)
    made, grown = func.jvp(slope, (x,), (twofold.ones_like(x),))
    np.testing.assert_allclose(made.numpy(), want, 1e-12)
    np.testing.assert_allclose(grown.numpy(), second, 1e-12)


def test_what_cannot_be_watched():
    with GradientTape() as tape:
        with pytest.raises(DTypeError, match="int64 value has no gradient"):
            tape.watch(twofold.tensor(3))
        with pytest.raises(DTypeError, match="float value has no gradient"):
            tape.watch(3.0)
        with pytest.raises(GradientError, match="recording already"), tape:
            pass
    outside = twofold.tensor(1.0)

    def inside(x):
        with GradientTape() as tape:
            tape.watch(outside)
        return x

    with pytest.raises(GradientError, match="from outside of the vmap"):
        func.vmap(inside)(twofold.tensor(X))


def test_a_failing_block_is_left_behind():
    x = twofold.tensor(1.0)
    with pytest.raises(ZeroDivisionError), GradientTape() as tape:
        tape.watch(x)
        1 / 0  # noqa: B018
    assert not x.requires_grad
    with GradientTape() as tape:
        tape.watch(x)
        y = x + x
    assert tape.gradient(y, x).item() == 2


def test_a_training_loop():
    twofold.manual_seed(0)
    w, b = nn.Parameter(twofold.zeros(3)), nn.Parameter(twofold.zeros(()))
    x = twofold.tensor(X).float()
    y = x @ twofold.tensor([1.0, -2.0, 0.5]) + 0.25
    for _ in range(300):
        with GradientTape() as tape:
            loss = ((x @ w + b - y) ** 2).mean()
        for p, g in zip((w, b), tape.gradient(loss, (w, b)), strict=True):
            with twofold.no_grad():
                p.sub_(g * 0.2)
    np.testing.assert_allclose(w.detach().numpy(), [1, -2, 0.5], atol=0.1)
