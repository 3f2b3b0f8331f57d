"""Pooling kernels against a plain definition and PyTorch: values, places, gradients, NaN."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from twofold.lower import conv_steps, pool

Run = Callable[..., list[np.ndarray]]


class Case(NamedTuple):
    shape: tuple[int, ...]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    @property
    def out(self) -> tuple[int, ...]:
        sizes = []
        for n, k, s, p, d in zip(self.shape[-2:], *self[1:5], strict=True):
            span = n + 2 * p - d * (k - 1) - 1
            count = (-(-span // s) if self.ceil_mode else span // s) + 1
            if self.ceil_mode and (count - 1) * s >= n + p:
                count -= 1
            sizes.append(count)
        return (*self.shape[:-2], *sizes)

    def attrs(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kernel", "stride", "padding", *names)}


CASES = {
    "2x2": Case((2, 3, 8, 20), (2, 2), (2, 2)),
    "2x2, odd size": Case((2, 3, 9, 37), (2, 2), (2, 2)),
    "2x2, 7 columns": Case((3, 2, 14, 14), (2, 2), (2, 2)),
    "2x2, narrow": Case((3, 2, 6, 5), (2, 2), (2, 2)),
    "2x2, ceil": Case((2, 2, 7, 19), (2, 2), (2, 2), ceil_mode=True),
    "3x3 by 2": Case((2, 3, 16, 33), (3, 3), (2, 2), (1, 1)),
    "3x3 by 1": Case((2, 2, 9, 11), (3, 3), (1, 1), (1, 1)),
    "3x2 by 2, 1": Case((1, 2, 7, 5), (3, 2), (2, 1), (1, 1)),
    "ceil and padding": Case((1, 2, 7, 5), (3, 2), (2, 1), (1, 1), ceil_mode=True),
    "stride beyond the kernel": Case((2, 1, 11, 13), (2, 2), (3, 4)),
    "whole plane": Case((2, 3, 5, 6), (5, 6), (5, 6)),
    "1d": Case((2, 3, 1, 17), (1, 3), (1, 2), (0, 1)),
    "no batch": Case((2, 9, 10), (3, 3), (2, 2)),
}
DILATED = {
    "dilation": Case((1, 2, 12, 14), (3, 3), (1, 1), (1, 1), (2, 2)),
    "dilation and stride": Case((2, 1, 13, 15), (3, 2), (2, 3), (1, 1), (2, 3)),
}
plain = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every = pytest.mark.parametrize(
    "case", [*CASES.values(), *DILATED.values()], ids=[*CASES, *DILATED]
)


def numbers(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Few different values, so that there are ties; some are zeros of either sign."""
    random = np.random.default_rng(0)
    return (random.integers(-4, 5, shape) * np.float32(0.3)).astype(dtype)


# ---- the meaning, one window at a time -----------------------------------------------------------


def places(case: Case, i: int, j: int) -> list[tuple[int, int]]:
    """The places of a window that are inside, ascending."""
    height, width = case.shape[-2:]
    found = []
    for a in range(case.kernel[0]):
        for b in range(case.kernel[1]):
            row = i * case.stride[0] - case.padding[0] + a * case.dilation[0]
            column = j * case.stride[1] - case.padding[1] + b * case.dilation[1]
            if 0 <= row < height and 0 <= column < width:
                found.append((row, column))
    return found


def count(case: Case, i: int, j: int, include: bool) -> int:
    if not include:
        return len(places(case, i, j))
    sizes = []
    for start, n, k, s, p in zip((i, j), case.shape[-2:], *case[1:4], strict=True):
        first = start * s - p
        sizes.append(min(first + k, n + p) - first)
    return sizes[0] * sizes[1]


def largest(case: Case, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, index = np.empty(case.out, x.dtype), np.empty(case.out, np.int64)
    for lead in np.ndindex(*case.out[:-2]):
        for i, j in np.ndindex(*case.out[-2:]):
            inside = places(case, i, j)
            best, where = -np.inf, inside[0]
            for place in inside:
                value = x[lead][place]
                if value > best or np.isnan(value):
                    best, where = value, place
            values[lead][i, j], index[lead][i, j] = best, where[0] * case.shape[-1] + where[1]
    return values, index


def mean(case: Case, x: np.ndarray, include: bool) -> np.ndarray:
    made = np.empty(case.out, x.dtype)
    for lead in np.ndindex(*case.out[:-2]):
        for i, j in np.ndindex(*case.out[-2:]):
            total = x.dtype.type(0)
            for place in places(case, i, j):
                total += x[lead][place]
            made[lead][i, j] = total / x.dtype.type(count(case, i, j, include))
    return made


def mean_gradient(case: Case, g: np.ndarray, include: bool) -> np.ndarray:
    made = np.zeros(case.shape, g.dtype)
    for lead in np.ndindex(*case.out[:-2]):
        for i, j in np.ndindex(*case.out[-2:]):
            share = g[lead][i, j] / g.dtype.type(count(case, i, j, include))
            for place in places(case, i, j):
                made[lead][place] += share
    return made


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def run_max(run: Run, case: Case, x: np.ndarray, **how: Any) -> list[np.ndarray]:
    outs = [(case.out, str(x.dtype)), (case.out, "int64")]
    return run("max_pool", [x], outs, **case.attrs("dilation", "ceil_mode"), **how)


def run_average(run: Run, case: Case, x: np.ndarray, include: bool, **how: Any) -> np.ndarray:
    attrs = case.attrs("ceil_mode") | {"count_include_pad": include}
    return run("avg_pool", [x], [(case.out, str(x.dtype))], **attrs, **how)[0]


# ---- maximum -------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_max_and_its_places(run: Run, case: Case, dtype: str) -> None:
    x = numbers(case.shape, dtype)
    wanted = largest(case, x)
    made = run_max(run, case, x)
    assert equal(made[0], wanted[0]) and equal(made[1], wanted[1])


@every
def test_max_without_places(run: Run, case: Case) -> None:
    x = numbers(case.shape)
    outs = [(case.out, "float32")]
    (values,) = run("max_pool", [x], outs, **case.attrs("dilation", "ceil_mode"))
    assert equal(values, largest(case, x)[0])


@every
def test_a_nan_wins_and_infinities_have_places(run: Run, case: Case) -> None:
    random = np.random.default_rng(1)
    x = numbers(case.shape)
    x[random.random(x.shape) < 0.1] = np.nan
    x[random.random(x.shape) < 0.2] = -np.inf
    x[0] = np.where(np.isnan(x[0]), x[0], -np.inf)
    wanted = largest(case, x)
    made = run_max(run, case, x)
    assert equal(made[0], wanted[0]) and equal(made[1], wanted[1])


@every
def test_max_gradient(run: Run, case: Case) -> None:
    x, size = numbers(case.shape), case.shape[-2:]
    _, index = largest(case, x)
    g = np.random.default_rng(2).standard_normal(case.out).astype("f")
    wanted = np.zeros(case.shape, "f")
    for at in np.ndindex(*case.out):
        place = np.unravel_index(index[at], size)
        wanted[at[:-2]][place] += g[at]
    (made,) = run("max_pool_backward", [g, index], [(case.shape, "float32")], size=size)
    assert equal(made, wanted)


def test_a_place_outside_writes_nothing(run: Run) -> None:
    g, index = np.ones((1, 1, 1, 4), "f"), np.array([[[[0, -1, 4, 1 << 62]]]])
    (made,) = run("max_pool_backward", [g, index], [((1, 1, 2, 2), "float32")], size=(2, 2))
    assert made.ravel().tolist() == [1, 0, 0, 0]


# ---- mean ----------------------------------------------------------------------------------------


@plain
@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean(run: Run, case: Case, include: bool, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal(case.shape).astype(dtype)
    assert equal(run_average(run, case, x, include), mean(case, x, include))


@plain
@pytest.mark.parametrize("include", [False, True])
def test_mean_gradient(run: Run, case: Case, include: bool) -> None:
    g = np.random.default_rng(0).standard_normal(case.out).astype("f")
    attrs = case.attrs("ceil_mode") | {"count_include_pad": include, "size": case.shape[-2:]}
    (made,) = run("avg_pool_backward", [g], [(case.shape, "float32")], **attrs)
    assert equal(made, mean_gradient(case, g, include))


def test_a_nan_spoils_its_windows_only(run: Run) -> None:
    case = CASES["3x3 by 1"]
    x = np.zeros(case.shape, "f")
    x[0, 0, 4, 4] = np.nan
    made = run_average(run, case, x, include=True)
    wanted = np.zeros(case.out, bool)
    wanted[0, 0, 3:6, 3:6] = True
    assert (np.isnan(made) == wanted).all()


# ---- everything ----------------------------------------------------------------------------------


@every
def test_bits_do_not_depend_on_the_sharing(
    run: Run, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv_steps, "chunks_for", lambda work, threads: 4 * threads)
    x = np.random.default_rng(0).standard_normal(case.shape).astype("f")
    g = np.random.default_rng(1).standard_normal(case.out).astype("f")
    size = case.shape[-2:]
    results = []
    for threads in (1, 2, 3, 8):
        values, index = run_max(run, case, x, threads=threads)
        outs = [(case.shape, "float32")]
        (gx,) = run("max_pool_backward", [g, index], outs, size=size, threads=threads)
        made = [values, index, gx]
        if case.dilation == (1, 1):
            attrs = case.attrs("ceil_mode") | {"size": size}
            made.append(run_average(run, case, x, True, threads=threads))
            made += run("avg_pool_backward", [g], outs, threads=threads, **attrs)
        results.append([a.tobytes() for a in made])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (2, 0, 4, 4)])
def test_no_planes(run: Run, shape: tuple[int, ...]) -> None:
    case = Case(shape, (2, 2), (2, 2))
    x = np.zeros(shape, "f")
    values, index = run_max(run, case, x)
    assert values.shape == index.shape == case.out
    assert run_average(run, case, x, True).shape == case.out
    g = np.zeros(case.out, "f")
    outs = [(shape, "float32")]
    assert run("max_pool_backward", [g, index], outs, size=(4, 4))[0].shape == shape
    attrs = case.attrs("ceil_mode") | {"size": (4, 4)}
    assert run("avg_pool_backward", [g], outs, **attrs)[0].shape == shape


@every
def test_against_pytorch(run: Run, case: Case) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(numbers(case.shape)).requires_grad_()
    settings = (case.kernel, case.stride, case.padding)
    functional = torch.nn.functional
    rest = {"dilation": case.dilation, "ceil_mode": case.ceil_mode}
    values, index = functional.max_pool2d(x, *settings, **rest, return_indices=True)
    made = run_max(run, case, x.detach().numpy())
    assert equal(made[0], values.detach().numpy()) and equal(made[1], index.numpy())
    if case.dilation != (1, 1):
        return
    for include in (False, True):
        wanted = functional.avg_pool2d(x, *settings, case.ceil_mode, include)
        ours = run_average(run, case, x.detach().numpy(), include)
        assert np.allclose(ours, wanted.detach().numpy(), rtol=1e-6, atol=1e-6)


def test_windows_side_by_side_take_the_short_way() -> None:
    axes = pool.window_axes((8, 20), (4, 10), {"kernel": (2, 2), "stride": (2, 2)} | PLAIN)
    assert pool._are_pairs(*axes, pool.FORMATS["float32"])
    axes = pool.window_axes((7, 19), (4, 10), {"kernel": (2, 2), "stride": (2, 2)} | PLAIN)
    assert not pool._are_pairs(*axes, pool.FORMATS["float32"])


PLAIN = {"padding": (0, 0), "dilation": (1, 1)}
