"""Row programs: the kernels against models in the contract's order, and against PyTorch."""

import ctypes

import numpy as np
import pytest

from twofold.codegen.compile import load
from twofold.codegen.vmath.exponential import exp
from twofold.ir.build import Module
from twofold.lower import arg_reduce, cross_entropy, norms, reduce, softmax  # noqa: F401  (register the planners)
from twofold.lower.row_plan import row_stride, split_shape
from twofold.lower.schedule import Arg

EXTENTS = (1, 2, 8, 10, 31, 32, 33, 64, 100, 256, 257, 4095, 4096, 4097, 8193)
# (shape, dim): rows that are contiguous, strided, few, many, narrow
SHAPES = [
    ((5, 33), 1),
    ((33, 5), 0),
    ((2, 7, 3), 1),
    ((2, 100, 17), 1),
    ((1, 5000), 1),
    ((5000, 3), 0),
    ((3, 4097, 2), 1),
    ((4, 1, 9), 1),
    ((16, 64), 1),
    ((9, 10), 1),
    ((10, 9), 0),
    ((17, 16), 1),
    ((17, 20), 0),
    ((8, 1), 1),
    ((30, 32), 1),
]


def numbers(shape, dtype="float32", seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * 3, dtype)


def like(x):
    return (x.shape, x.dtype.name)


def last(x, dim):
    return np.ascontiguousarray(np.moveaxis(x, dim, -1))


def first_of(shape, dim):
    return tuple(size for axis, size in enumerate(shape) if axis != dim)


FORWARD = ["softmax", "log_softmax"]
BACKWARD = ["softmax_backward", "log_softmax_backward"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORWARD + BACKWARD)
def test_layouts_and_chunks_agree(run, same_bits, name, dtype):
    """Strided rows have the bits of contiguous ones, in any number of chunks."""
    count = 1 if name in FORWARD else 2
    for shape, dim in SHAPES:
        inputs = [numbers(shape, dtype, seed) for seed in range(count)]
        rows = [last(x, dim) for x in inputs]
        want = run(name, rows, [like(rows[0])], 1, dim=len(shape) - 1)[0]
        for chunks in (1, 2, 3, 8):
            got = run(name, inputs, [like(inputs[0])], chunks, dim=dim)[0]
            assert same_bits(last(got, dim), want), (shape, dim, chunks)


@pytest.mark.parametrize("name", FORWARD + BACKWARD + ["logsumexp"])
def test_a_row_is_the_same_alone(run, same_bits, name):
    count = 2 if name in BACKWARD else 1
    for n in EXTENTS:
        inputs = [numbers((11, n), seed=seed) for seed in range(count)]
        out = (lambda x: ((len(x),), "float32")) if name == "logsumexp" else like
        batch = run(name, inputs, [out(inputs[0])], dim=1)[0]
        for k in (0, 10):
            alone = [x[k : k + 1].copy() for x in inputs]
            assert same_bits(run(name, alone, [out(alone[0])], dim=1)[0], batch[k : k + 1]), n


@pytest.mark.parametrize("masks", [False, True])
def test_the_ends_of_rows_agree(run, same_bits, monkeypatch, masks):
    """Under a mask or eight at a time: the way of another machine gives the bits of this one's."""
    cases = [
        (name, kind, n)
        for name in ("softmax", "softmax_backward", "sum", "max", "argmax")
        for kind in ("float32", "float64")
        for n in (33, 40, 63, 100, 4127)
    ]

    def results():
        made = []
        for name, kind, n in cases:
            x = numbers((3, n), kind)
            inputs = [x, numbers((3, n), kind, 1)] if "backward" in name else [x]
            rows = name.startswith("softmax")
            out = like(x) if rows else ((3,), "int64" if name == "argmax" else kind)
            made += run(name, inputs, [out], dim=1 if rows else (1,))
        x = numbers((3, 5, 600))[:, :, :519]
        return made + run("sum", [x], [((5,), "float32")], dim=(0, 2))

    want = results()
    monkeypatch.setattr("twofold.lower.order.has_masks", lambda: masks)
    for file in ("row_kernels", "reduce", "arg_reduce"):
        place = f"twofold.lower.{file}.load"
        monkeypatch.setattr(place, lambda key, build: load(f"tests/masks/{masks}/{key}", build))
    for got, wanted in zip(results(), want, strict=True):
        assert same_bits(got, wanted)


@pytest.fixture(scope="module", name="exps")
def exps_fixture():
    """(name, x) -> exp(x) of each element, by vmath ("whole") or by what rows use (the others)."""

    def build():
        m = Module("exps")
        for name, recipe in (("whole", exp), ("below", softmax.exp_below)):
            for kind in ("f32", "f64"):
                f = m.function(f"{name}_{kind}", [("x", "ptr"), ("y", "ptr"), ("n", "i64")])
                x, y, n = f.args
                with f.loop(0, n) as i:
                    y.at(i, kind).store(recipe(f, x.at(i, kind).load(kind)))
        for kind in ("f32", "f64"):
            f = m.function(f"vectors_{kind}", [("x", "ptr"), ("y", "ptr"), ("n", "i64")])
            x, y, n = f.args
            with f.loop(0, n, 16) as i:
                y.at(i, kind).store(softmax.exp_below(f, x.at(i, kind).load(f"{kind}x16")))
        return m

    code = load("tests/exps/vectors", build)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def compute(name, x):
        kind = {"float32": "f32", "float64": "f64"}[x.dtype.name]
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        call(code.address(f"{name}_{kind}"))(x.ctypes.data, y.ctypes.data, x.size)
        return y

    return compute


@pytest.mark.parametrize(("dtype", "low"), [("float32", -110), ("float64", -760)])
def test_rows_use_the_exp_of_everything(exps, same_bits, dtype, low):
    x = np.linspace(low, 0, 1 << 18).astype(dtype)
    x[:8] = [-np.inf, np.nan, -0.0, 0.0, low * 10, -1e-30, -87.4, -104.0]
    below = exps("below", x)
    assert same_bits(below, exps("whole", x))
    assert same_bits(exps("vectors", x), below)
    assert below[0] == 0


def test_softmax_is_its_definition(run, exps, model, same_bits):
    """e * (1 / sum(e)), the sum in the contract's order."""
    for n in EXTENTS:
        x = numbers((9, n))
        e = exps("below", x - x.max(1, keepdims=True))
        want = e * (np.float32(1) / model(e))[:, None]
        assert same_bits(run("softmax", [x], [like(x)], dim=1)[0], want), n


def test_softmax_accuracy(run):
    for dtype, ulps in (("float32", 6), ("float64", 6)):
        # multiples of 2**-10, so that x - max is exact and only the rest is measured
        x = np.round(numbers((50, 1000), dtype) * 1024) / 1024
        wide = x.astype(np.longdouble)
        e = np.exp(wide - wide.max(1, keepdims=True))
        want = e / e.sum(1, keepdims=True)
        got = run("softmax", [x], [like(x)], dim=1)[0]
        error = np.abs(got - want) / np.spacing(want.astype(dtype))
        assert error.max() < ulps, error.max()


def test_rows_of_infinities_and_nan(run):
    inf, nan = np.inf, np.nan
    x = np.array(
        [[-inf, -inf, -inf], [-inf, 0, 1], [inf, 0, 1], [nan, 0, 1], [5, 5, 5]], np.float32
    )
    y = run("softmax", [x], [like(x)], dim=1)[0]
    assert np.isnan(y[[0, 2, 3]]).all()
    assert y[1, 0] == 0 and abs(y[1].sum() - 1) < 1e-6
    assert np.allclose(y[4], 1 / 3)
    y = run("logsumexp", [x], [((5,), "float32")], dim=1)[0]
    assert y[0] == -inf and y[2] == inf and np.isnan(y[3])
    y = run("log_softmax", [x], [like(x)], dim=1)[0]
    assert np.isnan(y[[0, 2, 3]]).all() and y[1, 0] == -inf


@pytest.mark.parametrize("bits", [0x7FC00001, 0xFFC00003, 0x7FC001FF])
def test_nan_of_any_bits_shows_in_its_row(run, bits):
    """What else the bits of a NaN hold once became a power of two."""
    x = numbers((2, 70))
    x.view(np.uint32)[1, 40] = bits
    for op, out in (
        ("softmax", like(x)),
        ("log_softmax", like(x)),
        ("logsumexp", ((2,), "float32")),
    ):
        y = run(op, [x], [out], dim=1)[0].reshape(2, -1)
        assert np.isfinite(y[0]).all() and np.isnan(y[1]).all(), op


def test_empty(run):
    for shape in ((0, 5), (5, 0), (0, 0), (0, 3, 2), (2, 0, 3), (2, 3, 0)):
        x = np.zeros(shape, np.float32)
        for name in FORWARD:
            assert run(name, [x], [like(x)], dim=1)[0].shape == shape
    y = run("logsumexp", [np.zeros((2, 0), np.float32)], [((2,), "float32")], dim=1)[0]
    assert (y == -np.inf).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_torch(run, dtype):
    torch = pytest.importorskip("torch")
    tolerance = 2e-6 if dtype == "float32" else 1e-14
    for shape, dim in SHAPES:
        x = numbers(shape, dtype)
        g = numbers(shape, dtype, 1)
        t = torch.from_numpy(x.astype("float64")).requires_grad_()
        for name in FORWARD:
            want = getattr(torch, name)(t, dim)
            y = run(name, [x], [like(x)], dim=dim)[0]
            scale = max(1.0, np.abs(want.detach().numpy()).max())
            assert np.abs(y - want.detach().numpy()).max() < tolerance * scale
            (gx,) = torch.autograd.grad(want, t, torch.from_numpy(g.astype("float64")))
            got = run(f"{name}_backward", [g, y], [like(x)], dim=dim)[0]
            scale = max(1.0, np.abs(gx.numpy()).max())
            assert np.abs(got - gx.numpy()).max() < 20 * tolerance * scale, (name, shape)
        want = torch.logsumexp(t, dim).detach().numpy()
        got = run("logsumexp", [x], [(want.shape, dtype)], dim=dim)[0]
        assert np.abs(got - want).max() < 10 * tolerance


def test_strided_inputs(run, same_bits):
    """Evenly spaced rows are read where they are; other layouts are copied first."""
    x = numbers((6, 40))
    want = run("softmax", [x[:, :33].copy()], [((6, 33), "float32")], dim=1)[0]
    assert same_bits(run("softmax", [x[:, :33]], [((6, 33), "float32")], dim=1)[0], want)
    turned = np.asfortranarray(x)
    want = run("softmax", [x], [like(x)], dim=1)[0]
    assert same_bits(run("softmax", [turned], [like(x)], dim=1)[0], want)
    assert row_stride(Arg((6, 33), None, (40, 1)), (1,)) == 40
    assert row_stride(Arg((6, 33), None, (1, 6)), (1,)) is None
    assert row_stride(Arg((2, 3, 4), None, (24, 4, 1)), (2,)) is None
    assert split_shape((2, 3, 4), (1,)) == (2, 3, 4)
    with pytest.raises(ValueError, match="not neighbours"):
        split_shape((2, 3, 4), (0, 2))


# ---- cross entropy -------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "shape", [(9, 10), (4, 1000), (2, 5000), (3, 21, 13), (2, 5, 3, 4), (1, 1)]
)
def test_cross_entropy(run, same_bits, shape, weighted, smoothing):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(2)
    x = numbers(shape)
    rest = first_of(shape, 1)
    labels = random.integers(0, shape[1], rest)
    labels.flat[0] = -7
    weight = random.uniform(0.5, 2, shape[1]).astype(np.float32)
    g = random.standard_normal(rest).astype(np.float32)
    more = [weight] if weighted else []
    attrs = {"ignore_index": -7, "smoothing": smoothing}
    t = torch.from_numpy(x.astype("float64")).requires_grad_()
    want = torch.nn.functional.cross_entropy(
        t,
        torch.from_numpy(labels),
        weight=torch.from_numpy(weight.astype("float64")) if weighted else None,
        ignore_index=-7,
        label_smoothing=smoothing,
        reduction="none",
    )
    (gx,) = torch.autograd.grad(want, t, torch.from_numpy(g.astype("float64")))
    outs = [(rest, "float32")] * 2
    loss, lse = run("cross_entropy", [x, labels, *more], outs, **attrs)
    np.testing.assert_allclose(loss, want.detach().numpy(), rtol=3e-6, atol=3e-6)
    dx = run("cross_entropy_backward", [g, x, labels, lse, *more], [like(x)], **attrs)[0]
    np.testing.assert_allclose(dx, gx.numpy(), rtol=1e-5, atol=1e-5)
    for chunks in (1, 2, 3, 8):
        again = run("cross_entropy", [x, labels, *more], outs, chunks, **attrs)
        assert same_bits(again[0], loss) and same_bits(again[1], lse)
    if len(shape) > 2:
        flat = last(x, 1).reshape(-1, shape[1])
        rows, _ = run(
            "cross_entropy",
            [flat, labels.ravel(), *more],
            [((flat.shape[0],), "float32")] * 2,
            **attrs,
        )
        assert same_bits(rows, loss.ravel())
        grads = run(
            "cross_entropy_backward",
            [g.ravel(), flat, labels.ravel(), lse.ravel(), *more],
            [like(flat)],
            **attrs,
        )[0]
        assert same_bits(grads.reshape(last(dx, 1).shape), last(dx, 1))


def test_cross_entropy_never_reads_at_a_wrong_label(run):
    """Labels are checked above; here they are only safe: loss and gradient are 0."""
    x = numbers((4, 5))
    labels = np.array([5, -1, 2**40, 2])
    loss, lse = run("cross_entropy", [x, labels], [((4,), "float32")] * 2)
    assert (loss[:3] == 0).all() and loss[3] > 0
    g = np.ones(4, np.float32)
    dx = run("cross_entropy_backward", [g, x, labels, lse], [like(x)])[0]
    assert (dx[:3] == 0).all() and dx[3].any()
    none = run("cross_entropy", [x[:, :0].copy(), labels], [((4,), "float32")] * 2)
    assert (none[0] == 0).all()


# ---- normalisations ------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [0, 1, 2])
def test_layer_norm_is_its_definition(run, model, same_bits, affine):
    one = np.float32(1)
    for n in EXTENTS:
        x = numbers((9, n))
        more = [numbers(n, seed=3), numbers(n, seed=4)][:affine]
        mean = model(x) / np.float32(n)
        apart = x - mean[:, None]
        rstd = one / np.sqrt(model(apart * apart) / np.float32(n) + np.float32(1e-5))
        want = apart * rstd[:, None]
        for place, value in enumerate(more):
            want = want + value if place else want * value
        outs = [like(x), ((9,), "float32"), ((9,), "float32")]
        for chunks in (1, 2, 3, 8):
            made = run("layer_norm", [x, *more], outs, chunks, rank=1, eps=1e-5)
            assert same_bits(made[0], want), n
            assert same_bits(made[1], mean) and same_bits(made[2], rstd)


@pytest.mark.parametrize("weighted", [False, True])
def test_layer_norm_backward_is_its_definition(run, model, same_bits, weighted):
    for n in (1, 10, 33, 100, 4097):
        x, g, weight = numbers((70, n)), numbers((70, n), seed=1), numbers(n, seed=2)
        outs = [like(x), ((70,), "float32"), ((70,), "float32")]
        _, mean, rstd = run("layer_norm", [x], outs, rank=1, eps=1e-5)
        xhat = (x - mean[:, None]) * rstd[:, None]
        gy = g * weight if weighted else g
        count = np.float32(n)
        means = (model(gy) / count)[:, None], (model(gy * xhat) / count)[:, None]
        want = rstd[:, None] * (gy - means[0] - xhat * means[1])
        more = [weight] if weighted else []
        for chunks in (1, 3):
            got = run("layer_norm_backward", [g, x, mean, rstd, *more], [like(x)], chunks, rank=1)
            assert same_bits(got[0], want)
            outs = [((n,), "float32")] * 2
            gw, gb = run("layer_norm_affine_backward", [g, x, mean, rstd], outs, chunks, rank=1)
            assert same_bits(gw, model(np.ascontiguousarray((g * xhat).T)))
            assert same_bits(gb, model(np.ascontiguousarray(g.T)))


def test_layer_norm_over_two_axes_against_torch(run):
    torch = pytest.importorskip("torch")
    x, g = numbers((2, 6, 3, 50), "float64"), numbers((2, 6, 3, 50), "float64", 1)
    weight, bias = numbers((3, 50), "float64", 2), numbers((3, 50), "float64", 3)
    t, w, b = (torch.from_numpy(a).requires_grad_() for a in (x, weight, bias))
    want = torch.nn.functional.layer_norm(t, (3, 50), w, b)
    grads = torch.autograd.grad(want, (t, w, b), torch.from_numpy(g))
    moments = [((2, 6), "float64")] * 2
    made, mean, rstd = run("layer_norm", [x, weight, bias], [like(x), *moments], rank=2, eps=1e-5)
    np.testing.assert_allclose(made, want.detach().numpy(), rtol=1e-10, atol=1e-12)
    dx = run("layer_norm_backward", [g, x, mean, rstd, weight], [like(x)], rank=2)[0]
    np.testing.assert_allclose(dx, grads[0].numpy(), rtol=1e-9, atol=1e-11)
    outs = [like(weight)] * 2
    gw, gb = run("layer_norm_affine_backward", [g, x, mean, rstd], outs, rank=2)
    np.testing.assert_allclose(gw, grads[1].numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(gb, grads[2].numpy(), rtol=1e-9, atol=1e-11)


def test_rms_norm_against_torch(run, model, same_bits):
    torch = pytest.importorskip("torch")
    x, g, weight = numbers((30, 77)), numbers((30, 77), seed=1), numbers(77, seed=2)
    t, w = (torch.from_numpy(a.astype("float64")).requires_grad_() for a in (x, weight))
    want = torch.nn.functional.rms_norm(t, (77,), w, 1e-6)
    grads = torch.autograd.grad(want, (t, w), torch.from_numpy(g.astype("float64")))
    outs = [like(x), ((30,), "float32")]
    y, rstd = run("rms_norm", [x, weight], outs, rank=1, eps=1e-6)
    exact = np.float32(1) / np.sqrt(model(x * x) / np.float32(77) + np.float32(1e-6))
    assert same_bits(rstd, exact)
    assert same_bits(y, x * rstd[:, None] * weight)
    dx = run("rms_norm_backward", [g, x, rstd, weight], [like(x)], rank=1)[0]
    np.testing.assert_allclose(dx, grads[0].numpy(), rtol=1e-4, atol=1e-5)
    gw = run("rms_norm_weight_backward", [g, x, rstd], [like(weight)], rank=1)[0]
    np.testing.assert_allclose(gw, grads[1].numpy(), rtol=1e-4, atol=1e-4)
