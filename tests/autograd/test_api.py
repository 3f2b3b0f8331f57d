"""backward, grad, hooks: what users ask for."""

import numpy as np
import pytest

import twofold
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError


def leaf(*values, **options):
    return twofold.tensor(values, requires_grad=True, **options)


def values(x):
    return x.detach().numpy().tolist()


# ---- backward


def test_adds_to_grad_of_the_leaves():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for _ in range(2):
        (x * w).sum().backward()
    assert values(x.grad) == [6.0, 8.0]
    assert values(w.grad) == [2.0, 4.0]


def test_takes_a_gradient_of_the_tensors_shape():
    x = leaf(1.0, 2.0)
    (x * x).backward(twofold.tensor([1.0, 10.0]))
    assert values(x.grad) == [2.0, 40.0]


def test_one_element_of_any_rank_needs_no_gradient():
    x = leaf(3.0)
    (x * x).reshape(1, 1).backward()
    assert values(x.grad) == [6.0]


def test_several_elements_need_one():
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match="only one element"):
        (x * x).backward()


@pytest.mark.parametrize("gradient", [[1.0], [[1.0, 1.0]], 1.0])
def test_a_gradient_of_another_shape_is_refused(gradient):
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match="another shape"):
        (x * x).backward(twofold.tensor(gradient))


def test_a_gradient_that_is_no_tensor_is_refused():
    with pytest.raises(DTypeError, match="float, not a tensor"):
        leaf(1.0).backward(1.0)


def test_nothing_tracked_is_refused():
    with pytest.raises(GradientError, match="does not require a gradient"):
        twofold.ones(1).backward()


def test_a_leaf_is_its_own_root():
    x = leaf(2.0)
    x.backward()
    assert values(x.grad) == [1.0]


def test_several_roots():
    x = leaf(1.0, 2.0)
    twofold.autograd.backward([(x * 2).sum(), x * x], [None, twofold.tensor([1.0, 1.0])])
    assert values(x.grad) == [4.0, 6.0]


def test_as_many_gradients_as_roots():
    x = leaf(1.0)
    with pytest.raises(ArgumentError, match="1 outputs and 2 gradients"):
        twofold.autograd.backward([x * 2], [None, None])


def test_inputs_alone_get_gradients():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * w
    (h * h).sum().backward(inputs=[w, h])
    assert x.grad is None
    assert values(w.grad) == [6.0, 32.0]
    assert values(h.grad) == [6.0, 16.0]


def test_hooks_off_the_way_to_the_inputs_are_not_called():
    x, w = leaf(1.0), leaf(3.0)
    x.register_hook(lambda g: pytest.fail("x is not asked for"))
    (x * w).sum().backward(inputs=w)
    assert values(w.grad) == [1.0]


@pytest.mark.parametrize("inputs", [[], ()])
def test_no_inputs_at_all_are_refused(inputs):
    with pytest.raises(ArgumentError, match="inputs is empty"):
        (leaf(1.0) * 2).backward(inputs=inputs)


def test_a_graph_is_walked_once():
    x = leaf(1.0, 2.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(GradientError, match="walked before") as caught:
        loss.backward()
    assert "loss = (x * x).sum()" in str(caught.value)
    assert "retain_graph=True" in str(caught.value)


def test_or_more_often_when_retained():
    x = leaf(1.0, 2.0)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert values(x.grad) == [4.0, 8.0]


def test_what_saved_nothing_can_be_walked_again():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    trunk = x + w
    (trunk * trunk).sum().backward()
    (trunk * 2).sum().backward()
    assert values(x.grad) == [10.0, 14.0]


def test_the_graph_below_an_input_is_left_alone():
    x = leaf(1.0, 2.0)
    h = x.exp()
    (g,) = twofold.autograd.grad((h * h).sum(), h)
    h.backward(g)
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([2.0, 4.0]), rtol=1e-6)


# ---- gradients share memory with nobody


def test_two_leaves_do_not_share_a_gradient():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = twofold.tensor([1.0, 10.0])
    (x + w).backward(g)
    x.grad.mul_(5)
    assert values(w.grad) == values(g) == [1.0, 10.0]


def test_an_expanded_gradient_is_written_out():
    x = twofold.ones(2, 3, requires_grad=True)
    x.sum().backward()
    assert x.grad.is_contiguous()
    x.grad[0, 0] = 7
    assert x.grad.sum().item() == 12


def test_a_gradient_that_a_hook_kept_is_not_shared():
    x, seen = leaf(1.0, 2.0), []
    x.register_hook(seen.append)
    (x * 2).sum().backward()
    x.grad.zero_()
    assert values(seen[0]) == [2.0, 2.0]


def test_who_holds_the_old_gradient_does_not_see_the_new():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    old = x.grad
    (x * 3).sum().backward()
    assert values(old) == [2.0, 2.0]
    assert values(x.grad) == [5.0, 5.0]


def test_two_leaves_do_not_share_a_gradient_with_history():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + w).sum().backward(create_graph=True)
    assert x.grad is not w.grad
    assert x.grad.data_ptr() != w.grad.data_ptr()


# ---- grad


def test_grad_leaves_grad_alone():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gx, gw = twofold.autograd.grad((x * w).sum(), (x, w))
    assert (values(gx), values(gw)) == ([3.0, 4.0], [1.0, 2.0])
    assert x.grad is None and w.grad is None
    assert not gx.requires_grad


def test_grad_of_several_outputs():
    x = leaf(2.0, 3.0)
    weights = (twofold.tensor([1.0, 2.0]), None)
    (g,) = twofold.autograd.grad((x * x, x.sum()), x, weights)
    assert values(g) == [5.0, 13.0]


def test_grad_of_an_unused_input():
    x, w = leaf(1.0), leaf(2.0)
    y = x * 2
    with pytest.raises(GradientError, match="do not depend on input 1"):
        twofold.autograd.grad(y, (x, w), retain_graph=True)
    gx, gw = twofold.autograd.grad(y, (x, w), allow_unused=True, retain_graph=True)
    assert values(gx) == [2.0] and gw is None
    _, gw = twofold.autograd.grad(y, (x, w), materialize_grads=True)
    assert values(gw) == [0.0]


def test_grad_by_an_untracked_input_is_refused():
    with pytest.raises(GradientError, match="input 0 does not require a gradient"):
        twofold.autograd.grad(leaf(1.0) * 2, twofold.ones(1))


def test_derivatives_of_order_three():
    x = leaf(2.0, dtype=twofold.float64)
    y = x**4 + x.sin()
    found = []
    for _ in range(4):
        (y,) = twofold.autograd.grad(y, x, create_graph=True)
        found.append(y.item())
    exact = [32 + np.cos(2), 48 - np.sin(2), 48 - np.cos(2), 24 + np.sin(2)]
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_gradients_of_gradients_reach_grad():
    x, w = leaf(2.0, 3.0), leaf(5.0, 7.0)
    (g,) = twofold.autograd.grad((x * x * w).sum(), x, create_graph=True)
    (g * g).sum().backward()
    assert values(w.grad) == [4 * 2 * 2.0 * 2.0 * 5.0, 8 * 3.0 * 3.0 * 7.0]
    assert values(x.grad) == [8 * 2.0 * 25, 8 * 3.0 * 49]


def test_a_gradient_penalty_trains():
    x, w = leaf(1.0, -2.0), leaf(0.5, 0.25)
    score = (x * w).tanh().sum()
    (g,) = twofold.autograd.grad(score, x, create_graph=True)
    penalty = (g.norm() - 1) ** 2
    penalty.backward()
    step, eps = np.array([1.0, 0.0]), 1e-3

    def penalty_at(w):
        s = w / np.cosh(np.array([1.0, -2.0]) * w) ** 2
        return (np.sqrt((s * s).sum()) - 1) ** 2

    base = np.array([0.5, 0.25])
    numeric = (penalty_at(base + eps * step) - penalty_at(base - eps * step)) / (2 * eps)
    np.testing.assert_allclose(w.grad.numpy()[0], numeric, rtol=1e-4)


def test_create_graph_retains():
    x = leaf(2.0)
    y = x.exp()
    twofold.autograd.grad(y, x, create_graph=True)
    y.backward()


# ---- hooks


def test_a_leafs_hook_changes_what_is_accumulated():
    x = leaf(1.0, 2.0)
    handle = x.register_hook(lambda g: g * 10)
    (x * 3).sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    assert values(x.grad) == [33.0, 33.0]


def test_a_leafs_hook_is_called_once_with_the_whole():
    x, seen = leaf(1.0), []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3 + x).sum().backward()
    assert seen == [6.0]


def test_a_hook_in_the_middle_changes_what_goes_on():
    x = leaf(1.0, 2.0)
    h = x * 3
    h.register_hook(lambda g: g + 1)
    h.sum().backward()
    assert values(x.grad) == [6.0, 6.0]


def test_hooks_run_in_order_and_see_each_others_result():
    x = leaf(1.0)
    h = x * 1
    h.register_hook(lambda g: g + 1)
    h.register_hook(lambda g: g * 10)
    h.backward()
    assert values(x.grad) == [20.0]


def test_one_function_can_be_registered_twice_and_removed_once():
    x = leaf(1.0)
    h = x * 1

    def double(g):
        return g * 2

    h.register_hook(double)
    with h.register_hook(double):
        pass
    h.backward()
    assert values(x.grad) == [2.0]


def test_grad_gives_what_hooks_made():
    x = leaf(1.0)
    h = x * 3
    h.register_hook(lambda g: g * 100)
    gh, gx = twofold.autograd.grad(h * 1, (h, x))
    assert (values(gh), values(gx)) == ([100.0], [300.0])


def test_grad_gives_what_hooks_made_at_the_end_of_the_way():
    h = leaf(1.0) * 3
    h.register_hook(lambda g: g * 100)
    (gh,) = twofold.autograd.grad(h * 1, h)
    assert values(gh) == [100.0]


def test_a_hook_needs_a_gradient_to_see():
    with pytest.raises(GradientError, match="register_hook"):
        twofold.ones(1).register_hook(print)


def test_retain_grad():
    x = leaf(1.0, 2.0)
    h = x * 3
    assert not h.retains_grad
    h.retain_grad()
    h.retain_grad()
    h.register_hook(lambda g: g * 2)
    assert h.retains_grad
    (h * h).sum().backward()
    assert values(h.grad) == [12.0, 24.0]
    assert h.grad.node is None


def test_retain_grad_of_a_leaf_says_nothing_and_of_the_untracked_raises():
    x = leaf(1.0)
    x.retain_grad()
    assert not x.retains_grad
    with pytest.raises(GradientError, match="retain_grad"):
        twofold.ones(1).retain_grad()


def test_a_hook_on_one_of_several_outputs():
    x = leaf(1.0, 2.0, 3.0)
    top = x.topk(2)
    top.values.register_hook(lambda g: g * 5)
    top.values.sum().backward()
    assert values(x.grad) == [0.0, 5.0, 5.0]


# ---- requires_grad and detach


def test_only_floating_tensors_have_gradients():
    with pytest.raises(DTypeError, match="only floating"):
        twofold.ones(2, dtype=twofold.int64).requires_grad_()


def test_only_a_leaf_stops_requiring_a_gradient():
    h = leaf(1.0) * 2
    with pytest.raises(GradientError, match="only a leaf"):
        h.requires_grad = False


def test_detach_shares_memory_and_has_no_history():
    x = leaf(1.0, 2.0)
    h = x * 2
    d = h.detach()
    assert d.is_leaf and not d.requires_grad and d.data_ptr() == h.data_ptr()
    d[0] = 7
    assert values(h) == [7.0, 4.0]


def test_every_alias_counts_every_write():
    h = leaf(1.0, 2.0) * 2
    a, b = h.detach(), h.detach()
    before = [t._version for t in (h, a, b)]
    a.add_(1)
    b[0] = 0
    assert [t._version - v for t, v in zip((h, a, b), before, strict=True)] == [2, 2, 2]


def test_many_aliases_do_not_pile_up():
    x = twofold.ones(2)
    for _ in range(1000):
        x.detach()
    assert len(x.aliases) < 40


def test_a_tensor_with_history_is_not_for_numpy():
    with pytest.raises(GradientError, match="detach"):
        (leaf(1.0) * 2).numpy()


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_that_are_views_are_added_up_where_they_lie(compiled):
    model, x = twofold.nn.Linear(2, 2), twofold.ones(3, 2)
    flat, place = twofold.zeros(6), 0
    for p in model.parameters():
        p.grad = flat[place : place + p.numel()].view_as(p)
        place += p.numel()

    def run(x):
        model(x).sum().backward()

    run = twofold.compile(run) if compiled else run
    for times in (1, 2):
        run(x)
        assert flat.tolist() == [3.0 * times] * 6
    twofold.autograd.backward([model(x).sum(), model(x).sum()])
    assert flat.tolist() == [12.0] * 6
    twofold.optim.SGD(model.parameters(), lr=0.1).zero_grad(set_to_none=False)
    assert flat.tolist() == [0.0] * 6
    assert model.weight.grad.data_ptr() == flat.data_ptr()


def test_what_is_no_gradient_of_a_tensor_is_refused():
    x = twofold.ones(2, requires_grad=True)
    for wrong, kind in (
        (twofold.ones(3), ValueError),
        (twofold.ones(2, dtype=twofold.float64), TypeError),
        (3, TypeError),
        (x, RuntimeError),
    ):
        with pytest.raises(kind):
            x.grad = wrong
    x.grad = twofold.ones(2).to_sparse()
    x.grad = None
    y = x * 2
    y.register_hook(lambda g: "g")
    with pytest.raises(TypeError, match="a hook gave a str"):
        y.sum().backward()
    with pytest.raises(ValueError, match="materialize"):
        twofold.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


def test_the_gradient_of_what_is_no_leaf_is_asked_for_with_a_warning():
    x = twofold.ones(2, requires_grad=True)
    y = x * 2
    y.sum().backward()
    with pytest.warns(UserWarning, match="retain_grad"):
        assert y.grad is None
    z = x * 3
    z.retain_grad()
    assert z.grad is None
