"""Hooks of all modules, and hooks that run for calls that raise, as in PyTorch."""

import warnings

import pytest

import twofold
from twofold import nn


def happenings(t):
    """What the hooks of all modules saw while a network was made, called and differentiated."""
    log = []
    module = t.nn.modules.module

    def note(what, *more):
        return lambda m, *rest: log.append((what, type(m).__name__, *[f(*rest) for f in more]))

    def name(n, _):
        return n

    handles = [
        module.register_module_forward_pre_hook(note("pre")),
        module.register_module_forward_hook(note("post")),
        module.register_module_forward_hook(note("keywords", lambda a, k, o: k), with_kwargs=True),
        module.register_module_forward_hook(
            note("always", lambda a, o: o is None), always_call=True
        ),
        module.register_module_full_backward_hook(note("backward")),
        module.register_module_full_backward_pre_hook(note("before backward")),
        module.register_module_parameter_registration_hook(note("parameter", name)),
        module.register_module_buffer_registration_hook(note("buffer", name)),
        module.register_module_module_registration_hook(note("module", name)),
    ]

    class Bad(t.nn.Module):
        def forward(self, x):
            raise ValueError("no")

    net = t.nn.Sequential(t.nn.Linear(3, 3), t.nn.BatchNorm1d(3))
    net[0].register_forward_hook(lambda m, a, o: log.append("own"))
    net(t.ones(2, 3, requires_grad=True)).sum().backward()
    bad = Bad()
    bad.register_forward_hook(lambda m, a, k, o: log.append(("own", o)), **EVERY)
    bad.register_forward_hook(lambda m, a, o: log.append("not called"))
    with pytest.raises(ValueError):
        bad(t.ones(2))
    for handle in handles:
        handle.remove()
    net(t.ones(2, 3))
    return log


EVERY = {"always_call": True, "with_kwargs": True}


def test_hooks_of_all_modules_as_in_pytorch():
    torch = pytest.importorskip("torch")
    ours = happenings(twofold)
    assert ours == happenings(torch)
    assert ("own", None) in ours and "not called" not in ours
    assert ("always", "Bad", True) in ours


def test_what_registration_hooks_return_takes_the_members_place():
    module = nn.modules.module
    twice = nn.Parameter(twofold.ones(2))
    handle = module.register_module_parameter_registration_hook(
        lambda m, name, x: twice if name == "bias" else None
    )
    layer = nn.Linear(3, 2)
    handle.remove()
    assert layer.bias is twice and layer.weight.shape == (2, 3)
    assert nn.Linear(3, 2).bias is not twice


def test_a_hook_that_fails_beside_an_error_is_a_warning():
    layer = nn.Linear(3, 2)

    def hook(module, args, output):
        raise KeyError("hook")

    layer.register_forward_hook(hook, always_call=True)
    with pytest.warns(UserWarning, match="always_call"), pytest.raises(ValueError):
        layer(twofold.ones(4, 5))
    with warnings.catch_warnings(), pytest.raises(KeyError):
        warnings.simplefilter("error")
        layer(twofold.ones(4, 3))


def test_hooks_are_compiled_too():
    seen = []
    module = nn.modules.module
    handle = module.register_module_forward_hook(lambda m, a, out: out * 2)
    layer = nn.Linear(3, 2)
    layer.register_forward_hook(lambda m, a, out: seen.append(out.shape) or out + 1)
    x = twofold.randn(4, 3)
    wanted = layer(x)
    assert twofold.equal(wanted, twofold.compile(layer)(x))
    handle.remove()
    assert len(seen) == 2 and not twofold.equal(wanted, layer(x))
