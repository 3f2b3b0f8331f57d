"""Optimizer updates against PyTorch's, and the norm of gradients in the contract's order."""

import math

import numpy as np
import pytest

from twofold.codegen.native import core
from twofold.lower.grad_norm import plan_norm, total_norm
from twofold.lower.optim import RULES, UnlikeLayouts, arg_of, flat_length, plan_update, update

SHAPES = [(3, 5), (), (1,), (70, 33), (8,), (0, 4), (40_000,), (15,), (2, 3, 4)]


@pytest.fixture(autouse=True, scope="module")
def started():
    core.start()


def tensors(seed=0, dtype="float32", shapes=SHAPES):
    random = np.random.default_rng(seed)
    return [np.asarray(random.standard_normal(shape), dtype) for shape in shapes]


def chosen(**options):
    base = {"lr": 0.02, "betas": (0.9, 0.99), "eps": 1e-8, "step": 1, "momentum": 0.0}
    return base | options


SGD = [
    {},
    {"maximize": True, "weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
]
ADAM = [
    {},
    {"weight_decay": 0.1},
    {"amsgrad": True},
    {"amsgrad": True, "weight_decay": 0.05, "maximize": True},
    {"betas": (0.3, 0.5)},
    {"betas": (0.0, 0.99)},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rule", "options"),
    [("sgd", o) for o in SGD] + [(r, o) for r in ("adam", "adamw") for o in ADAM],
)
def test_agrees_with_torch(rule, options, dtype):
    torch = pytest.importorskip("torch")
    names = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
    ours = tensors(dtype=dtype)
    theirs = [torch.from_numpy(p.copy()).requires_grad_() for p in ours]
    given = {"weight_decay": 0.0} | options
    made = getattr(torch.optim, names[rule])(theirs, lr=0.02, foreach=False, fused=False, **given)
    full = chosen(**({"betas": (0.9, 0.999)} | options))
    extra = len(RULES[rule].slots_of(RULES[rule].variant(full))) - 2
    states = [[np.zeros_like(p) for _ in range(extra)] for p in ours]
    for step in range(1, 6):
        grads = tensors(step, dtype)
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.from_numpy(g.copy())
        rate = 0.02 / step
        for group in made.param_groups:
            group["lr"] = rate
        made.step()
        rows = [(p, g, *s) for p, g, s in zip(ours, grads, states, strict=True)]
        update(rule, rows, full | {"step": step, "first": step == 1, "lr": rate})
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p, t.detach().numpy(), rtol=tolerance, atol=tolerance)


def test_chunks_change_nothing(run_steps, same_bits):
    options = chosen(amsgrad=True, weight_decay=0.01)
    rule = RULES["adamw"]
    numbers = rule.numbers(options)
    values = np.array([numbers[name] for name in rule.names])
    results = []
    for chunks in (1, 2, 3, 8):
        arrays = [values]
        for p, g in zip(tensors(0), tensors(1), strict=True):
            arrays += [p, g, np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)]
        plan = plan_update(rule, rule.variant(options), [*map(arg_of, arrays)], 4)
        run_steps(plan, arrays, [], chunks)
        results.append(arrays)
    for other in results[1:]:
        assert all(map(same_bits, other, results[0]))


def test_numbers_never_compile():
    """Rates, betas and steps are numbers of a call: the code of a variant is one."""
    from twofold.codegen import compile as compiler

    row = [(np.ones(5, np.float32), *(np.zeros(5, np.float32) for _ in range(3)))]
    update("adam", row, chosen())
    before = len(compiler._loaded)
    for step in range(2, 6):
        update(
            "adam", row, chosen(lr=0.1 / step, betas=(0.8, 0.9 + step / 100), eps=1e-6, step=step)
        )
    assert len(compiler._loaded) == before


def test_layouts(same_bits):
    p, g = tensors(shapes=[(6, 7)])[0], tensors(1, shapes=[(6, 7)])[0]
    want = p.copy()
    update("sgd", [(want, g)], chosen())
    turned, gradient = np.asfortranarray(p), np.asfortranarray(g)
    assert flat_length((arg_of(turned), arg_of(gradient))) == 42
    update("sgd", [(turned, gradient)], chosen())
    assert same_bits(turned, want)
    assert flat_length((arg_of(p), arg_of(gradient))) is None
    mixed = p.copy()
    update("sgd", [(mixed, gradient)], chosen())
    assert same_bits(mixed, want)
    wide = np.zeros((6, 14), np.float32)
    view = wide[:, ::2]
    view[...] = p
    update("sgd", [(view, g)], chosen())
    assert same_bits(view.copy(), want) and (wide[:, 1::2] == 0).all()
    rule = RULES["sgd"]
    args = [*map(arg_of, (np.zeros(5), p, gradient))]
    with pytest.raises(UnlikeLayouts, match="row 0"):
        plan_update(rule, rule.variant(chosen()), args, 1)


def test_mixed_types_and_no_rows():
    update("sgd", [], chosen())
    single, double = np.ones(9, np.float32), np.ones(9)
    update("sgd", [(single, single.copy()), (double, double.copy())], chosen(lr=0.5))
    assert (single == 0.5).all() and (double == 0.5).all()


def test_scale(same_bits):
    gradients = tensors()
    want = [g * np.float32(0.3) for g in gradients]
    update("scale", [(g,) for g in gradients], {"scale": 0.3})
    assert all(map(same_bits, gradients, want))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norm_is_its_definition(model, same_bits, dtype):
    gradients = tensors(dtype=dtype)
    norms = np.array([np.sqrt(model((g * g).ravel())) for g in gradients])
    want = np.sqrt(model(norms * norms))
    assert same_bits(total_norm(gradients), np.asarray(want))
    norms = np.array([model(np.abs(g).ravel()) for g in gradients])
    assert same_bits(total_norm(gradients, 1.0), np.asarray(model(norms)))
    want = max(np.abs(g).max(initial=0) for g in gradients)
    assert same_bits(total_norm(gradients, math.inf), np.asarray(want))


def test_norm_in_chunks(run_steps, same_bits):
    gradients = tensors()
    plan = plan_norm(2.0, [*map(arg_of, gradients)], 4)
    results = []
    for chunks in (1, 2, 3, 8):
        out = np.empty((), np.float32)
        run_steps(plan_serial_end(plan, chunks), gradients, [out], 0)
        results.append(out)
    assert all(same_bits(out, results[0]) for out in results)
    turned = [np.asfortranarray(g) for g in gradients]
    assert same_bits(total_norm(turned), total_norm(gradients))


def plan_serial_end(plan, chunks):
    """The plan with its first step in so many chunks; the last one is always one."""
    first, last = plan.steps
    return type(plan)((type(first)(first.task, first.job, chunks), last), plan.scratch)


def test_norm_agrees_with_torch_and_spots_nan():
    torch = pytest.importorskip("torch")
    gradients = tensors()
    params = [torch.zeros(g.shape).requires_grad_() for g in gradients]
    for p, g in zip(params, gradients, strict=True):
        p.grad = torch.from_numpy(g)
    for order in (1.0, 2.0, math.inf):
        theirs = torch.nn.utils.get_total_norm([p.grad for p in params if p.numel()], order)
        np.testing.assert_allclose(total_norm(gradients, order), theirs.numpy(), rtol=1e-6)
    gradients[3][2, 2] = np.nan
    assert np.isnan(total_norm(gradients)) and np.isnan(total_norm(gradients, math.inf))
