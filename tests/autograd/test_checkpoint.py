"""Recomputing: the gradients, to the bit, that one has without it."""

import contextlib
import gc
import weakref

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.autograd import checkpoint
from twofold.base.errors import ArgumentError, GradientError
from twofold.codegen.native.facts import USUAL
from twofold.exec import tensors

F = nn.functional


def gradients(run, *leaves):
    """The bytes of the result and of every gradient."""
    for x in leaves:
        x.grad = None
    twofold.manual_seed(7)
    out = run()
    out.backward()
    return [out.item()] + [None if x.grad is None else x.grad.numpy().tobytes() for x in leaves]


def plainly(function, *args, **options):
    options.pop("preserve_rng_state", None)
    options.pop("use_reentrant", None)
    return function(*args, **options)


def same_bits(program, *leaves):
    """Assert that a program gives the same bits with checkpointing as without."""
    before = gradients(lambda: program(plainly), *leaves)
    after = gradients(lambda: program(checkpoint), *leaves)
    assert after == before
    assert any(g is not None for g in before[1:])


def tracked(*shape):
    return twofold.randn(*shape, requires_grad=True)


def test_one_argument_and_the_closures_parameters():
    layer, x = nn.Linear(5, 4), tracked(3, 5)
    same_bits(lambda call: call(lambda h: layer(h).tanh(), x).sum(), x, *layer.parameters())


def test_parameters_alone():
    layer, x = nn.Linear(5, 4), twofold.randn(3, 5)
    same_bits(lambda call: call(layer, x, use_reentrant=False).sum(), *layer.parameters())


def test_many_segments():
    layers = [nn.Linear(6, 6) for _ in range(4)]
    x = tracked(2, 6)

    def program(call):
        h = x
        for layer in layers:
            h = call(lambda a, layer=layer: F.gelu(layer(a)), h)
        return (h * h).sum()

    same_bits(program, x, *(p for layer in layers for p in layer.parameters()))


def test_dropout_draws_the_same():
    layer, x = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)), tracked(4, 8)

    def program(call):
        return (call(layer, x) * twofold.rand(4, 8)).sum()

    same_bits(program, x, *layer.parameters())


def test_the_random_state_after_the_walk_is_that_before_it():
    layer, x = nn.Dropout(0.5), tracked(4, 8)
    out = checkpoint(layer, x).sum()
    state = twofold.get_rng_state().tolist()
    out.backward()
    assert twofold.get_rng_state().tolist() == state


def test_several_outputs_and_nests():
    x, y = tracked(3), tracked(3)

    def parts(a, b):
        return a * b, {"sum": a + b, "rest": [a.sin(), 5, b.detach()]}

    def program(call):
        first, rest = call(parts, x, y)
        assert rest["rest"][1] == 5 and not rest["rest"][2].requires_grad
        return (first * rest["sum"]).sum() + rest["rest"][0].sum()

    same_bits(program, x, y)


def test_one_of_several_outputs_is_used():
    x = tracked(3)
    same_bits(lambda call: call(lambda a: (a.exp(), a.sin()), x)[1].sum(), x)


def test_an_argument_that_comes_back():
    x = tracked(3)
    same_bits(lambda call: (call(lambda a: a, x) * 2).sum(), x)


def test_the_same_tensor_twice():
    x = tracked(3)
    same_bits(lambda call: call(lambda a, b: a * b.exp(), x, x).sum(), x)


def test_arguments_that_are_results_and_views():
    x = tracked(3, 4)

    def program(call):
        h = x * 2
        return call(lambda a, b: a.exp() * b, h, h[0]).sum()

    same_bits(program, x)


def test_the_closure_has_results_too():
    x, w = tracked(3), tracked(3)

    def program(call):
        h = (x * w).sin()
        inside = call(lambda a: a * h * w, x)
        return (inside * h).sum()

    same_bits(program, x, w)


def test_keywords_and_values_that_are_no_tensors():
    x, y = tracked(3), tracked(3)

    def power(a, n, *, scale, offset=None):
        return a**n * scale + offset

    same_bits(lambda call: call(power, x, 3, scale=2.0, offset=y * 2).sum(), x, y)


def test_nested():
    x, w = tracked(3), tracked(3)

    def program(call):
        inner = lambda a: (a * w).tanh()  # noqa: E731
        return call(lambda a: call(inner, a.sin()) * a, x).sum()

    same_bits(program, x, w)


def test_writes_in_place_inside():
    x = tracked(3, 4)

    def write(a):
        h = a * 2
        h[0] = 0
        h.add_(a).relu_()
        return h

    same_bits(lambda call: call(write, x).sum(), x)


def test_second_derivatives():
    x, w = tracked(4), tracked(4)

    def run(call):
        out = call(lambda a: (a * w).tanh() * a, x * 1)
        (g,) = twofold.autograd.grad(out.sum(), x, create_graph=True)
        return (g * g).sum()

    same_bits(run, x, w)


def test_hooks_of_parameters_are_called_once():
    w, x = tracked(3), tracked(3)
    w.register_hook(lambda g: g * 2)
    same_bits(lambda call: call(lambda a: a * w, x).sum(), x, w)


def test_it_is_run_twice_and_only_when_needed():
    calls = []

    def layer(a):
        calls.append(twofold.is_grad_enabled())
        return a.exp()

    x = tracked(3)
    with twofold.no_grad():
        checkpoint(layer, x)
    assert calls == [False]
    assert not checkpoint(layer, x.detach()).requires_grad
    out = checkpoint(layer, x)
    assert calls == [False, True, True]
    out.sum().backward()
    assert calls == [False, True, True, True]


def test_inner_values_are_dropped():
    seen = []

    def layer(a):
        h = a.exp()
        seen.append(weakref.ref(h))
        return h * h

    x = tracked(3)
    gc.disable()
    try:
        out = checkpoint(layer, x)
        assert seen[0]() is None
        out.sum().backward()
        assert seen[1]() is None
    finally:
        gc.enable()


def test_other_leaves_of_the_graph_are_not_freed():
    x, w = tracked(3), tracked(3)
    h = (x * w).exp()
    checkpoint(lambda a: a * h, x).sum().backward(inputs=[x], retain_graph=True)
    (h * h).sum().backward()


def test_an_argument_that_was_overwritten():
    x = tracked(3)
    h = x * 2
    out = checkpoint(lambda a: a.exp(), h)
    h.add_(1)
    with pytest.raises(GradientError, match="overwritten") as caught:
        out.sum().backward()
    assert "h.add_(1)" in str(caught.value)


def test_a_function_that_changes_its_mind():
    x, first = tracked(3), []

    def layer(a):
        first.append(1)
        return (a * 2, a * 3) if len(first) > 1 else a * 2

    with pytest.raises(ArgumentError, match="1 tensors the first time and 2"):
        checkpoint(layer, x).sum().backward()


def test_the_model_keeps_its_own_gradients_apart():
    layer, x = nn.Linear(3, 3), tracked(2, 3)
    out = checkpoint(layer, x)
    out.sum().backward(inputs=[x])
    assert layer.weight.grad is None
    np.testing.assert_allclose(
        x.grad.numpy(), np.tile(layer.weight.detach().numpy().sum(0), (2, 1)), 1e-6
    )


def test_the_second_run_casts_as_the_first_did():
    """backward stands outside of the autocast block: gradients are those without checkpointing."""
    weight = twofold.randn(4, 4).requires_grad_()
    x, grads = twofold.randn(3, 4), []
    for run in (lambda f, x: f(x), checkpoint):
        weight.grad = None
        with twofold.autocast("cpu", dtype=twofold.bfloat16):
            out = run(lambda x: (x @ weight).relu() @ weight, x)
        out.float().square().sum().backward()
        grads.append(weight.grad)
    assert grads[1].dtype is twofold.float32
    assert twofold.equal(*grads)


def test_both_runs_have_blocks_of_their_own():
    seen = []

    def blocks():
        @contextlib.contextmanager
        def block(name):
            seen.append(name)
            yield

        return block("first"), block("again")

    x = twofold.ones(2, requires_grad=True)
    options = {"context_fn": blocks, "determinism_check": "none", "debug": False}
    made = twofold.utils.checkpoint.checkpoint(twofold.sin, x, use_reentrant=False, **options)
    assert seen == ["first"]
    made.sum().backward()
    assert seen == ["first", "again"] and x.grad.equal(x.detach().cos())


def test_after_it_operations_take_machine_code_again():
    if not tensors.install():
        pytest.skip("there is no machine code before Tensor")
    x = tracked(3)
    for _ in range(2):
        checkpoint(lambda x: x.sin(), x).sum().backward()
        with twofold.no_grad():
            x * 2
    row = tensors.modes.here.row
    assert row is None or tensors.modes.rows[row.index][1] == USUAL


def test_a_checkpoint_in_a_loop_or_a_branch_of_a_graph_has_eagers_gradients():
    layer = twofold.nn.Linear(4, 4)

    def turns(x):
        h = x[0]
        for row in x:
            h = checkpoint(lambda h, row: twofold.tanh(layer(h)) + row, h, row)
        return h

    def choice(x):
        if x.sum() > 0:
            return checkpoint(lambda x: layer(x).tanh(), x)
        return x * 2

    for f, signs in ((turns, (1, 1)), (choice, (1, -1))):
        compiled = twofold.compile(f)
        for n, sign in zip((3, 5), signs, strict=True):
            found = []
            for call in (compiled, f):
                x = (twofold.arange(4.0 * n).view(n, 4) * sign / 9).requires_grad_()
                layer.zero_grad()
                made = call(x)
                made.sum().backward()
                grads = [x.grad, *(p.grad for p in layer.parameters())]
                found.append([made.tolist(), *(None if g is None else g.tolist() for g in grads)])
            assert found[0][:2] == found[1][:2]
            assert all(a == b for a, b in zip(*found, strict=True) if b is not None)
        assert len(compiled.all_programs()) == 1
