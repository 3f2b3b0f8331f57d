"""Attention by blocks: its values, its gradients, and that nothing else enters their bits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.native import core
from twofold.lower import attention
from twofold.lower.schedule import Arg
from twofold.runtime import program

Run = Callable[..., list[np.ndarray]]
FLOATS = ("float32", "float64")
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def attend(run: Run) -> Callable[..., list[np.ndarray]]:
    def make(
        q: Any,
        k: Any,
        v: Any,
        mask: Any = None,
        causal: bool = False,
        scale: float = 0.3,
        **more: Any,
    ) -> list[np.ndarray]:
        kind = q.dtype.name
        outs = [((*q.shape[:-1], v.shape[-1]), kind), (q.shape[:-1], kind)]
        masks = [] if mask is None else [mask]
        return run("attention", [q, k, v, *masks], outs, causal=causal, scale=scale, **more)

    return make


@pytest.fixture
def descend(run: Run) -> Callable[..., list[np.ndarray]]:
    def make(g: Any, saved: Any, causal: bool = False, scale: float = 0.3, **more: Any) -> Any:
        outs = [(x.shape, x.dtype.name) for x in saved[:3]]
        given = [g, *saved]
        return run("attention_backward", given, outs, causal=causal, scale=scale, **more)

    return make


def scores(q: Any, k: Any, mask: Any, causal: bool, scale: float) -> Any:
    s = q @ np.swapaxes(k, -1, -2) * scale
    if causal:
        rows, columns = s.shape[-2:]
        s = np.where(np.tril(np.ones((rows, columns), np.bool_)), s, -np.inf)
    return s if mask is None else s + mask


def reference(
    q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False, scale: float = 0.3
) -> Any:
    """Output, weights and logsumexp in float64, by the formula."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    s = scores(q, k, mask, causal, scale)
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    w = np.exp(s - top)
    total = w.sum(axis=-1, keepdims=True)
    w = np.divide(w, total, out=np.zeros_like(w), where=total != 0)
    with np.errstate(divide="ignore"):
        return w @ v, w, (top + np.log(total))[..., 0]


def gradients(g: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float) -> Any:
    out, w, _ = reference(q, k, v, mask, causal, scale)
    slope = g @ np.swapaxes(v, -1, -2) - (g * out).sum(axis=-1, keepdims=True)
    s = w * slope * scale
    return s @ k, np.swapaxes(s, -1, -2) @ q, np.swapaxes(w, -1, -2) @ g


SIZES = [  # batch, queries, keys, depth, width
    ((), 3, 5, 4, 4),
    ((2,), 1, 1, 1, 1),
    ((2,), 1, 130, 7, 20),
    ((3,), 70, 130, 16, 24),
    ((2, 2), 100, 63, 33, 17),
    ((2,), 64, 64, 8, 8),
    ((1,), 200, 300, 5, 3),
    ((2,), 97, 65, 64, 64),
]


def make_inputs(random: Any, size: Any, dtype: str, masked: bool) -> list[Any]:
    batch, queries, keys, depth, width = size
    shapes = [(queries, depth), (keys, depth), (keys, width)]
    made = [random.standard_normal((*batch, *shape)).astype(dtype) for shape in shapes]
    if not masked:
        return [*made, None]
    mask = random.standard_normal((*batch, queries, keys)).astype(dtype)
    mask[..., ::3, ::2] = -np.inf
    mask[..., 1:2, :] = -np.inf  # a query that sees nothing
    return [*made, mask]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("masked", "causal"), [(False, False), (False, True), (True, False)])
def test_against_the_formula(
    size: Any, masked: bool, causal: bool, dtype: str, attend: Any, descend: Any, random: Any
) -> None:
    q, k, v, mask = make_inputs(random, size, dtype, masked)
    out, lse = attend(q, k, v, mask, causal)
    expected, _, expected_lse = reference(q, k, v, mask, causal)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    np.testing.assert_allclose(out, expected, **close)
    np.testing.assert_allclose(lse, expected_lse, **close)
    g = random.standard_normal(out.shape).astype(dtype)
    saved = [q, k, v, out, lse] + ([] if mask is None else [mask])
    wide = [x.astype(np.float64) for x in (g, q, k, v)]
    expected = gradients(*wide, mask, causal, 0.3)
    for threads in (1, 2):
        for got, want in zip(descend(g, saved, causal, threads=threads), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=10 * close["rtol"], atol=10 * close["atol"])


@pytest.mark.parametrize("causal", [False, True])
def test_against_pytorch(causal: bool, attend: Any, descend: Any, random: Any) -> None:
    torch = pytest.importorskip("torch")
    q, k, v, _ = make_inputs(random, ((2, 3), 90, 70, 16, 16), "float32", False)
    inputs = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    attention_of = torch.nn.functional.scaled_dot_product_attention
    theirs = attention_of(*inputs, is_causal=causal, scale=0.3)
    out, lse = attend(q, k, v, causal=causal)
    np.testing.assert_allclose(out, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = random.standard_normal(out.shape).astype("f4")
    theirs.backward(torch.tensor(g))
    for got, x in zip(descend(g, [q, k, v, out, lse], causal), inputs, strict=True):
        np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-3, atol=1e-4)


def test_a_query_that_sees_nothing_is_zero_in_pytorch_too(
    attend: Any, descend: Any, random: Any
) -> None:
    torch = pytest.importorskip("torch")
    q, k, v, mask = make_inputs(random, ((1, 1), 3, 5, 4, 4), "float32", True)
    inputs = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    attention_of = torch.nn.functional.scaled_dot_product_attention
    theirs = attention_of(*inputs, attn_mask=torch.tensor(mask), scale=0.3)
    theirs.sum().backward()
    out, lse = attend(q, k, v, mask)
    dq, _, _ = descend(np.ones_like(out), [q, k, v, out, lse, mask])
    assert (out[..., 1, :] == 0).all() and (theirs[..., 1, :] == 0).all()
    assert (dq[..., 1, :] == 0).all() and (inputs[0].grad[..., 1, :] == 0).all()
    assert (lse[..., 1] == -np.inf).all()


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_against_differences(
    causal: bool, attend: Any, descend: Any, random: Any
) -> None:
    size = ((2,), 5, 70, 3, 2)
    q, k, v, mask = make_inputs(random, size, "float64", not causal)
    g = random.standard_normal((2, 5, 2))
    out, lse = attend(q, k, v, mask, causal)
    found = descend(g, [q, k, v, out, lse] + ([] if causal else [mask]), causal)
    for x, slope in zip((q, k, v), found, strict=True):
        for _ in range(6):
            place = tuple(int(random.integers(n)) for n in x.shape)
            values = []
            for step in (1e-5, -2e-5):
                x[place] += step
                values.append(float((attend(q, k, v, mask, causal)[0] * g).sum()))
            x[place] += 1e-5
            assert math.isclose((values[0] - values[1]) / 2e-5, slope[place], abs_tol=1e-7)


# ---- what does not enter the bits ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("causal", [False, True])
def test_threads_and_batches(
    causal: bool, dtype: str, attend: Any, descend: Any, random: Any
) -> None:
    q, k, v, _ = make_inputs(random, ((2, 3), 110, 140, 16, 24), dtype, False)
    out, lse = attend(q, k, v, causal=causal)
    g = random.standard_normal(out.shape).astype(dtype)
    slopes = descend(g, [q, k, v, out, lse], causal)
    for threads in (2, 3, 8):
        again = attend(q, k, v, causal=causal, threads=threads)
        assert again[0].tobytes() == out.tobytes() and again[1].tobytes() == lse.tobytes()
        other = descend(g, [q, k, v, out, lse], causal, threads=threads)
        assert [x.tobytes() for x in other] == [x.tobytes() for x in slopes]
    one = attend(q[1, 2], k[1, 2], v[1, 2], causal=causal)
    assert one[0].tobytes() == out[1, 2].tobytes()
    alone = [x[1, 2] for x in (q, k, v, out, lse)]
    for got, whole in zip(descend(g[1, 2], alone, causal), slopes, strict=True):
        assert got.tobytes() == whole[1, 2].tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_on_the_pool(threads: int, random: Any) -> None:
    core.start()
    q, k, v, _ = make_inputs(random, ((2, 3), 200, 140, 16, 24), "float32", False)
    kind = dtypes.float32
    args = tuple(Arg(x.shape, kind, tuple(s // 4 for s in x.strides)) for x in (q, k, v))
    outs = (Type((2, 3, 200, 24), kind), Type((2, 3, 200), kind))
    attrs = {"causal": True, "scale": 0.25}
    alone = attention.plan_attention(args, outs, attrs, 1)
    shared = attention.plan_attention(args, outs, attrs, threads)
    assert alone is not None and shared is not None
    expected = program.run_plan(alone, outs, [q, k, v])
    for _ in range(10):
        made = program.run_plan(shared, outs, [q, k, v])
        assert all(a.tobytes() == b.tobytes() for a, b in zip(made, expected, strict=True))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_query_alone(dtype: str, attend: Any, random: Any) -> None:
    q, k, v, mask = make_inputs(random, ((2,), 110, 200, 19, 21), dtype, True)
    out, lse = attend(q, k, v, mask)
    for i in (0, 1, 5, 66, 109):
        one, its = attend(q[:, i : i + 1], k, v, mask[:, i : i + 1])
        assert one.tobytes() == np.ascontiguousarray(out[:, i : i + 1]).tobytes()
        assert its.tobytes() == np.ascontiguousarray(lse[:, i : i + 1]).tobytes()
    assert attend(q[:, 3:40], k, v, mask[:, 3:40])[0].tobytes() == out[:, 3:40].tobytes()


def test_keys_that_are_not_seen_do_not_matter(attend: Any, random: Any) -> None:
    q, k, v, _ = make_inputs(random, ((2,), 20, 150, 8, 8), "float32", False)
    for count in (1, 63, 64, 65, 100):
        mask = np.zeros((2, 20, 150), "f4")
        mask[..., count:] = -np.inf
        short = attend(q, k[:, :count], v[:, :count])
        long = attend(q, k, v, mask)
        assert short[0].tobytes() == long[0].tobytes() and short[1].tobytes() == long[1].tobytes()


def test_causal_is_a_mask(attend: Any, descend: Any, random: Any) -> None:
    q, k, v, _ = make_inputs(random, ((2,), 110, 140, 8, 8), "float32", False)
    mask = np.where(np.tril(np.ones((110, 140), np.bool_)), 0, -np.inf).astype("f4")
    mask = np.broadcast_to(mask, (2, 110, 140))
    out, lse = attend(q, k, v, causal=True)
    assert attend(q, k, v, mask)[0].tobytes() == out.tobytes()
    g = random.standard_normal(out.shape).astype("f4")
    plain = descend(g, [q, k, v, out, lse], True)
    masked = descend(g, [q, k, v, out, lse, mask])
    for a, b in zip(plain, masked, strict=True):
        assert (a == b).all()  # -0.0 may stand for 0.0 where nothing is seen


def test_layouts(attend: Any, descend: Any, random: Any) -> None:
    joined = random.standard_normal((2, 50, 3, 3, 16)).astype("f4")  # as one linear layer gives it
    q, k, v = (joined[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    dense = [np.ascontiguousarray(x) for x in (q, k, v)]
    out, lse = attend(q, k, v)
    assert attend(*dense)[0].tobytes() == out.tobytes()
    turned = [np.ascontiguousarray(np.swapaxes(x, -1, -2)).swapaxes(-1, -2) for x in dense]
    assert attend(*turned)[0].tobytes() == out.tobytes()
    g = random.standard_normal((2, 50, 3, 16)).astype("f4").transpose(0, 2, 1, 3)
    expected = descend(np.ascontiguousarray(g), [*dense, out, lse])
    for inputs in ([q, k, v], turned):
        for got, want in zip(descend(g, [*inputs, out, lse]), expected, strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("shape", [(2, 3, 50, 70), (1, 1, 50, 70), (2, 1, 1, 70), (1, 3, 50, 1)])
def test_masks_are_broadcast(shape: Any, attend: Any, descend: Any, random: Any) -> None:
    q, k, v, _ = make_inputs(random, ((2, 3), 50, 70, 8, 8), "float32", False)
    mask = np.broadcast_to(random.standard_normal(shape).astype("f4"), (2, 3, 50, 70))
    dense = np.ascontiguousarray(mask)
    out, lse = attend(q, k, v, mask)
    assert attend(q, k, v, dense)[0].tobytes() == out.tobytes()
    spread = np.repeat(dense, 2, axis=-1)[..., ::2]
    assert attend(q, k, v, spread)[0].tobytes() == out.tobytes()
    g = random.standard_normal(out.shape).astype("f4")
    saved = [q, k, v, out, lse]
    for a, b in zip(descend(g, [*saved, mask]), descend(g, [*saved, dense]), strict=True):
        assert a.tobytes() == b.tobytes()


# ---- degenerate and extreme ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "size",
    [
        ((2,), 0, 5, 4, 4),
        ((0,), 3, 5, 4, 4),
        ((2,), 3, 0, 4, 4),
        ((2,), 3, 5, 0, 4),
        ((2,), 3, 5, 4, 0),
        ((2,), 3, 0, 0, 4),
        ((2,), 1, 5, 0, 4),
    ],
)
def test_sizes_of_zero(size: Any, attend: Any, descend: Any, random: Any) -> None:
    q, k, v, _ = make_inputs(random, size, "float32", False)
    out, lse = attend(q, k, v)
    expected, _, expected_lse = reference(q, k, v)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    np.testing.assert_allclose(lse, expected_lse, atol=1e-6)
    g = np.ones_like(out)
    wide = [x.astype(np.float64) for x in (g, q, k, v)]
    for threads in (1, 2):
        for got, want in zip(
            descend(g, [q, k, v, out, lse], threads=threads),
            gradients(*wide, None, False, 0.3),
            strict=True,
        ):
            np.testing.assert_allclose(got, want, atol=1e-6)


def test_not_a_number_stays_in_its_row(attend: Any, random: Any) -> None:
    q, k, v, _ = make_inputs(random, ((), 20, 70, 8, 8), "float32", False)
    q[3, 0] = np.nan
    q[5] = np.inf
    out, lse = attend(q, k, v)
    bad = np.isnan(out).any(axis=-1)
    assert bad.tolist() == [i in (3, 5) for i in range(20)]
    assert np.isnan(lse[[3, 5]]).all()


def test_large_scores_do_not_overflow(attend: Any, random: Any) -> None:
    q, k, v, _ = make_inputs(random, ((), 20, 200, 8, 8), "float32", False)
    q *= 1000
    out, lse = attend(q, k, v)
    expected, _, expected_lse = reference(q, k, v)
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-5)


def test_types_without_a_kernel_have_no_plan() -> None:
    arg = Arg((2, 2), dtypes.float16, (2, 1))
    outs = (Type((2, 2), dtypes.float16), Type((2,), dtypes.float16))
    attrs = {"causal": False, "scale": 1.0}
    assert attention.plan_attention((arg, arg, arg), outs, attrs, 1) is None
