"""Forward mode: the slope of every record against finite differences and against its vjp."""

import math

import numpy as np
import pytest

import twofold
import twofold.fft
import twofold.linalg
from twofold.autograd.forward import by_transpose, jvp
from twofold.ops.bind import bind
from twofold.ops.formula import FORMULAS, derivative
from twofold.ops.forward_rules import slope_rule
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap

for _name, _formula in list(FORMULAS.items()):
    for _index in range(0 if "_by_" in _name else len(OPS[_name].inputs)):
        if not _formula.slopes or _formula.slopes[_index] is not None:
            derivative(OPS[_name], _index)

INTERNAL = {"item_of", "view_scatter"}
NAMES = sorted(n for n, op in OPS.items() if op.vjp and n not in INTERNAL and n.count("_by_") < 2)


def several(made):
    return made if isinstance(made, tuple) else (made,)


def samples_of(op):
    random = np.random.default_rng(math.prod(map(ord, op.name[:6])) % 1000)
    for sample in op.samples(random) if op.samples else []:
        count = len(sample.args) - len(op.attrs)
        arrays = [np.asarray(a) for a in sample.args[:count]]
        if sample.smooth and any(a.dtype.kind == "f" for a in arrays):
            chosen = range(count) if sample.grad is None else sample.grad
            places = [i for i in chosen if arrays[i].dtype.kind == "f"]
            if places:
                yield arrays, tuple(sample.args[count:]), places


def real(array):
    return np.stack([array.real, array.imag]) if array.dtype.kind == "c" else array


def differences(op, arrays, attrs, places, tangents, eps=1e-6):
    """The slope of each result, by central differences."""

    def at(step):
        moved = list(arrays)
        for place, t in zip(places, tangents, strict=True):
            moved[place] = np.asarray(arrays[place] + step * t)
        return [x.array for x in several(bind(op, tuple(map(wrap, moved)), attrs))]

    return [(a - b) / (2 * eps) for a, b in zip(at(eps), at(-eps), strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_the_difference(name):
    op = OPS[name]
    random = np.random.default_rng(7)
    for arrays, attrs, places in samples_of(op):
        if op.name == "cast" and attrs[0] is not twofold.float64:
            continue
        tangents = [np.asarray(random.normal(size=arrays[i].shape)) for i in places]

        def function(*xs, arrays=arrays, places=places, attrs=attrs):
            full = [wrap(a) for a in arrays]
            for place, x in zip(places, xs, strict=True):
                full[place] = x
            return bind(op, tuple(full), attrs)

        primals = tuple(wrap(arrays[i]) for i in places)
        out, slope = jvp(function, primals, tuple(map(wrap, tangents)))
        wanted = differences(op, arrays, attrs, places, tangents)
        for y, got, want in zip(several(out), several(slope), wanted, strict=True):
            if y.array.dtype.kind in "fc":
                assert got.array.shape == want.shape
                assert got.array.dtype == y.array.dtype
                np.testing.assert_allclose(real(got.array), real(want), 3e-5, 3e-6, err_msg=attrs)


@pytest.mark.parametrize("name", [n for n in NAMES if slope_rule(OPS[n]) is not None])
def test_rule_is_the_transpose_of_the_vjp(name):
    """What a rule says of float32 numbers is what the vjp says, kinks included."""
    op = OPS[name]
    random = np.random.default_rng(8)
    for arrays, attrs, places in samples_of(op):
        given = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]
        tangents = [np.asarray(random.normal(size=given[i].shape), np.float32) for i in places]
        full = [None] * len(given)
        for place, t in zip(places, tangents, strict=True):
            full[place] = wrap(t)
        xs = tuple(map(wrap, given))
        out = bind(op, xs, attrs)
        rule = slope_rule(op, attrs)
        if rule is None:
            continue
        ruled = rule(op, tuple(full), out, xs, attrs)
        if name == "logcumsumexp":
            continue  # its vjp is not a linear formula in g
        _, transposed = by_transpose(op, tuple(full), xs, attrs)
        for y, got, want in zip(several(out), several(ruled), several(transposed), strict=True):
            if y.array.dtype.kind in "fc":
                want = np.zeros_like(y.array) if want is None else want.array
                got = np.zeros_like(y.array) if got is None else got.array
                np.testing.assert_allclose(got, want, 2e-5, 2e-5, err_msg=str(attrs))


def test_levels_of_duals_are_entered_and_left():
    from twofold.autograd import forward_ad

    level = forward_ad.enter_dual_level()
    x = forward_ad.make_dual(twofold.tensor(2.0), twofold.tensor(1.0))
    assert forward_ad.unpack_dual(x * x).tangent == 4
    forward_ad.exit_dual_level(level=level)
    with pytest.raises(RuntimeError, match="entered last"):
        forward_ad.exit_dual_level()


DETACHED = {
    "detach": (lambda x: x.detach() * x, [2.0, 3.0]),
    "data": (lambda x: x.data * x, [2.0, 3.0]),
    "in place": (lambda x: (x * 1).detach_() * x, [2.0, 3.0]),
    "of a view": (lambda x: x[:1].detach() * x, [2.0, 2.0]),
    "in vmap": (lambda x: twofold.func.vmap(lambda x: x.detach() * x)(x), [2.0, 3.0]),
    "rows": (lambda x: x * x[0].detach() * x[1].detach(), [6.0, 6.0]),
}


@pytest.mark.parametrize("name", DETACHED)
def test_what_is_detached_has_no_slope(name):
    f, wanted = DETACHED[name]
    x, ones = twofold.tensor([2.0, 3.0]), twofold.ones(2)
    for call in (f, twofold.compile(f)):
        assert twofold.func.jvp(call, (x,), (ones,))[1].tolist() == wanted
    assert twofold.func.jacfwd(f)(x).sum(1).tolist() == wanted
    inside = twofold.compile(lambda x: twofold.func.jvp(f, (x,), (ones,))[1])
    assert inside(x).tolist() == wanted
    assert x.tolist() == [2.0, 3.0]


def test_writes_to_what_is_detached_are_seen():
    def f(x):
        y = x * 2
        y.detach().add_(1)
        return y * x

    value, slope = twofold.func.jvp(f, (twofold.tensor([3.0]),), (twofold.ones(1),))
    assert value.tolist() == [21.0] and slope.tolist() == [7.0 + 6.0]
