"""Kernels of complex64: their values, what is not finite, and that bits depend on values alone."""

import numpy as np
import pytest

import twofold
from twofold.exec import eager
from twofold.exec.planners import COMPLEX, COMPLEX128, missing
from twofold.ops.op import OPS

EDGES = [0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e38, 1e-38]
GRID = np.array([complex(a, b) for a in EDGES for b in EDGES], np.complex64)
BINARY = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
}
UNARY = {
    "neg": lambda x: -x,
    "conj": lambda x: x.conj(),
    "abs": lambda x: x.abs(),
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "sgn": lambda x: x.sgn(),
    "square": lambda x: x.square(),
    "reciprocal": lambda x: x.reciprocal(),
    "sum": lambda x: x.sum(-1),
    "mean": lambda x: x.mean(0),
    "cumsum": lambda x: x.cumsum(1),
    "to_real": lambda x: twofold.complex(x.real, x.imag).real.contiguous(),
}


@pytest.fixture
def no_reference(monkeypatch):
    """NumPy must not be asked."""

    def refuse(op, *_):
        raise AssertionError(f"{op.name} ran in NumPy")

    monkeypatch.setattr(eager, "run_reference", refuse)


def numbers(*shape, seed=0):
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def wide(x):
    return x.astype(np.complex128)


@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_is_that_of_wider_numbers(name, no_reference):
    f = BINARY[name]
    for left, right in (((7,), (7,)), ((3, 1, 50), (4, 1)), ((600, 5), (600, 5))):
        x, y = numbers(*left), numbers(*right, seed=1)
        found = f(twofold.tensor(x), twofold.tensor(y)).numpy()
        wanted = f(wide(x), wide(y))
        assert found.dtype == np.complex64
        scale = np.abs(x).max() * np.abs(y).max() if name == "mul" else 0
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=3e-7 * scale + 1e-7)


@pytest.mark.parametrize("name", UNARY)
def test_functions_run_in_kernels(name, no_reference):
    f, x = UNARY[name], numbers(33, 70)
    found = f(twofold.tensor(x))
    wanted = {
        "neg": lambda: -wide(x),
        "conj": lambda: wide(x).conj(),
        "abs": lambda: np.abs(wide(x)),
        "exp": lambda: np.exp(wide(x)),
        **{f: lambda f=f: getattr(np, f)(wide(x)) for f in ("log", "sqrt", "sin", "cos")},
        "sgn": lambda: wide(x) / np.abs(wide(x)),
        "square": lambda: wide(x) ** 2,
        "reciprocal": lambda: 1 / wide(x),
        "to_real": lambda: x.real,
        "sum": lambda: wide(x).sum(-1),
        "mean": lambda: wide(x).mean(0),
        "cumsum": lambda: wide(x).cumsum(1),
    }
    np.testing.assert_allclose(found.numpy(), wanted[name](), rtol=2e-6, atol=4e-6)


@pytest.mark.parametrize("name", ["div", "exp", "abs", "mul", "reciprocal", "log", "sqrt"])
def test_what_is_not_finite_is_numpys(name):
    if name == "mul":
        x, y = np.repeat(GRID, len(GRID)), np.tile(GRID, len(GRID))
        found = (twofold.tensor(x) * twofold.tensor(y)).numpy()
        with np.errstate(all="ignore"):
            wanted = np.empty_like(x)
            wanted.real = x.real * y.real - x.imag * y.imag
            wanted.imag = x.real * y.imag + x.imag * y.real
    else:
        # NumPy's complex division by what is infinite depends on its version
        x = GRID if name in ("exp", "abs", "log", "sqrt") else GRID[np.isfinite(GRID)]
        with np.errstate(all="ignore"):
            if name == "div":
                found, wanted = (twofold.tensor(x) / 0j).numpy(), x / np.complex64(0)
            elif name == "reciprocal":
                found, wanted = twofold.tensor(x).reciprocal().numpy(), np.complex64(1) / x
            else:
                found = getattr(twofold, name)(twofold.tensor(x)).numpy()
                wanted = getattr(np, name)(x)
    if name == "exp":  # the sign of an infinite part whose angle is unknown is anyone's
        known = np.isfinite(x.imag) | (x.real < np.inf)
        found, wanted = found[known], wanted[known]
    np.testing.assert_allclose(found, wanted, rtol=3e-6)


def test_a_part_that_fits_is_no_infinity_because_the_other_does_not():
    x = np.array([89 + 1.5707963j, 100 + 1e-30j, 200 + 1j], np.complex64)
    with np.errstate(over="ignore"):
        wanted = np.exp(wide(x)).astype(np.complex64)
    found = twofold.tensor(x).exp().numpy()
    np.testing.assert_allclose(found.real, wanted.real, rtol=3e-5)
    np.testing.assert_allclose(found.imag, wanted.imag, rtol=3e-5)


def test_a_number_times_its_conjugate_is_real():
    x = twofold.tensor(numbers(1000))
    assert (x * x.conj()).imag.abs().max().item() == 0.0


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_bits_depend_on_values_alone(name):
    f = BINARY.get(name) or (lambda x, y: UNARY[name](x))
    x, y = twofold.tensor(numbers(130, 140)), twofold.tensor(numbers(130, 140, seed=1))
    whole = f(x, y).numpy()
    before = twofold.get_num_threads()
    try:
        for threads in (1, 2, 3):
            twofold.set_num_threads(threads)
            assert f(x, y).numpy().tobytes() == whole.tobytes()
    finally:
        twofold.set_num_threads(before)
    if name not in ("sum", "mean", "cumsum"):
        apart = f(x.t().contiguous().t(), y.t().contiguous().t())
        assert apart.contiguous().numpy().tobytes() == whole.tobytes()
        assert f(x[5:6, 3:8], y[5:6, 3:8]).numpy().tobytes() == whole[5:6, 3:8].tobytes()


def test_compiled_functions_fuse_complex_steps():
    def f(x, y):
        z = twofold.complex(x, y) * twofold.polar(x.abs(), y) + (1 - 2j)
        z = twofold.where(x > 0, z, z.conj() / 3) - z.exp() * 1e-3
        return (z.abs() + z.real).sum()

    def step(x, y):
        loss = f(x, y)
        return loss, *twofold.autograd.grad(loss, (x, y))

    compiled = twofold.compile(step)
    for shape in ((5, 7), (64, 33)):
        twofold.manual_seed(0)
        x, y = (twofold.randn(*shape, requires_grad=True) for _ in range(2))
        for a, b in zip(step(x, y), compiled(x, y), strict=True):
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    report = twofold.explain(compiled)
    assert report.compiles == 1
    assert not report.unsupported
    assert any("complex(" in body and "mul(" in body for body in report.fused)
    assert any("exp(" in body and "where(" in body for body in report.fused)


def test_truth_of_a_complex_number_looks_at_both_parts():
    assert twofold.tensor([0j, 1j, 2 + 0j, -0.0 - 0j]).bool().tolist() == [False, True, True, False]


def test_the_table_tells_which_complex_numbers_have_no_kernel():
    c64, c128 = twofold.complex64, twofold.complex128
    assert missing(OPS["mul"], [c64, c64], [c64]) is None
    assert missing(OPS["mul"], [c128, c128], [c128]) == COMPLEX128
    assert missing(OPS["sum"], [c128], [c128]) is None
    assert missing(OPS["tanh"], [c64], [c64]) == COMPLEX


def test_a_logarithm_near_one_keeps_its_digits():
    x = np.exp(1j * np.random.default_rng(0).normal(size=1000)).astype(np.complex64)
    found = twofold.tensor(x).log().real.numpy()
    np.testing.assert_allclose(found, np.log(np.abs(wide(x))), rtol=1e-5)
