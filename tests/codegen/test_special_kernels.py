"""Special functions: the kernels against NumPy, at their ends, alone and beside others."""

from __future__ import annotations

import numpy as np
import pytest

import twofold
import twofold.ops.bessel  # records that are made when first asked for
from twofold.ops.bind import bind
from twofold.ops.op import OPS

ENDS = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-300, 1e300])
EVERYWHERE = np.concatenate([np.linspace(-30, 30, 4001), ENDS])
UNIT = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 4001), [0.0, 1.0, -0.5, 1.5, 1e-300, np.nan]])
NAMES = "bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1 airy_ai"
NAMES += " scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0 log_ndtr"
GIVEN = dict.fromkeys([*NAMES.split(), "airy_ai_slope"], EVERYWHERE)
GIVEN |= {"erfcx": EVERYWHERE[EVERYWHERE > -26], "ndtri": UNIT}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GIVEN)
def test_values_are_those_of_the_reference(name, dtype):
    with np.errstate(all="ignore"):
        x = GIVEN[name].astype(dtype)
        wanted = OPS[name].ref(x)
    assert OPS[name].lower is not None
    made = bind(OPS[name], (twofold.tensor(x),), ()).numpy()
    near = {np.float32: (2e-7, 1e-14), np.float64: (3e-13, 3e-14)}[dtype]
    np.testing.assert_allclose(made, wanted, *near)
    alone = bind(OPS[name], (twofold.tensor(x[-11:]),), ()).numpy()
    np.testing.assert_array_equal(alone, made[-11:])


@pytest.mark.parametrize("n", [1, 2, 3, 6, 12])
def test_polygamma_on_both_sides_of_0(n):
    x = np.concatenate([np.linspace(0.05, 30, 301), np.linspace(-6.97, -0.03, 300), ENDS[:5]])
    x = x[np.abs(x - np.rint(np.nan_to_num(x))) > 1e-3]
    made = twofold.special.polygamma(n, twofold.tensor(x)).numpy()
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(made, OPS["polygamma"].ref(x, n=n), rtol=1e-8)
    single = twofold.special.polygamma(n, twofold.tensor(x.astype(np.float32))).numpy()
    with np.errstate(all="ignore"):
        wanted = OPS["polygamma"].ref(x.astype(np.float32).astype(np.float64), n=n)
        np.testing.assert_allclose(single, wanted.astype(np.float32), rtol=3e-7)


def test_zeta_on_both_sides_of_0():
    s = np.array([1.0, 0.5, 1.1, 2.0, 2.5, 3.0, 7.0, 30.0])[:, None]
    q = np.array([-3.3, -2.0, -0.4, 0.0, 1e-3, 0.5, 1.0, 20.0, 1e10, np.nan])
    made = twofold.special.zeta(twofold.tensor(s), twofold.tensor(q)).numpy()
    wanted = OPS["zeta"].ref(*np.broadcast_arrays(s, q))
    np.testing.assert_allclose(made, wanted, rtol=3e-13)


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_each_element_has_a_polynomial_of_its_own_degree(slope):
    x, n = np.linspace(-1.5, 1.5, 7)[:, None], np.array([-1, 0, 1, 2, 3.7, 9, np.nan, np.inf])
    record = OPS["orthogonal_polynomial"]
    for family in ("hermite_polynomial_h", "laguerre_polynomial_l", "chebyshev_polynomial_w"):
        inputs = twofold.tensor(x), twofold.tensor(n)
        made = bind(record, inputs, (family, slope)).numpy()
        wanted = record.ref(x, n, family=family, slope=slope)
        np.testing.assert_allclose(made, wanted, rtol=1e-12, atol=1e-12)


def test_a_large_degree_in_a_tensor_is_refused_eager_and_compiled():
    degrees = twofold.tensor([3.0, 20_000.0])
    function = twofold.special.legendre_polynomial_p
    for called in (function, twofold.compile(function)):
        with pytest.raises(ValueError, match="a degree of"):
            called(twofold.tensor([0.1, 0.2]), degrees)


def test_functions_of_tails_have_their_slopes():
    x = twofold.tensor([-40.0, -5.0, -0.9, 0.0, 6.0], dtype=twofold.float64, requires_grad=True)
    twofold.special.log_ndtr(x).sum().backward()
    ratio = [40.024968835, 5.1865039671, 1.4456430984, 0.7978845608, 6.0758829e-9]
    np.testing.assert_allclose(x.grad.numpy(), ratio, rtol=1e-6)
    p = twofold.tensor([0.5, 0.0], requires_grad=True)
    twofold.special.entr(p).sum().backward()
    np.testing.assert_allclose(p.grad.numpy(), [-1 + np.log(2), np.inf], rtol=1e-6)
