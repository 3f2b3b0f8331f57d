"""Bessel functions, Airy's and orthogonal polynomials: known values, identities, slopes."""

import math

import numpy as np
import pytest
from gradients import check

import twofold
from twofold.base.errors import ArgumentError

# By mpmath with 30 digits, on both sides of where the methods change.
ANYWHERE = [-30.5, -9.9, 1.9, 2.1, 26.0]
RIGHT = [0.01, 1.9, 2.1, 24.9, 25.1]
KNOWN = {
    "bessel_j0": (
        ANYWHERE,
        [
            -0.01938975451776215,
            -0.2403411055347603,
            0.2818185593743855,
            0.1666069803319903,
            0.1559993155224211,
        ],
    ),
    "bessel_j1": (
        ANYWHERE,
        [
            0.1434943001509709,
            -0.06836983228369213,
            0.5811570727134341,
            0.5682921357570387,
            0.01504573058691581,
        ],
    ),
    "bessel_y0": (
        RIGHT,
        [
            -3.005455637083646,
            0.4968199712838202,
            0.5182937375137607,
            -0.1364991839967651,
            -0.1167677076380371,
        ],
    ),
    "bessel_y1": (
        RIGHT,
        [
            -63.67859628206066,
            -0.1644057723315953,
            -0.05167861213042358,
            -0.08600255759555444,
            -0.1106222332278308,
        ],
    ),
    "modified_bessel_i0": (
        ANYWHERE,
        [
            1278062138712.566,
            2560.963353256043,
            2.127740194053888,
            2.446283129436182,
            15388976705.66081,
        ],
    ),
    "modified_bessel_i1": (
        ANYWHERE,
        [
            -1256932623308.472,
            -2427.958312950945,
            1.448244373054889,
            1.745499808836106,
            15090072642.34164,
        ],
    ),
    "modified_bessel_k0": (
        RIGHT,
        [
            4.721244730161095,
            0.1288459792760475,
            0.1007837408899669,
            3.836096520989486e-12,
            3.128312714321122e-12,
        ],
    ),
    "modified_bessel_k1": (
        RIGHT,
        [
            99.97389411829625,
            0.1596601530326676,
            0.1227464115335079,
            3.912382436256758e-12,
            3.190032318604271e-12,
        ],
    ),
    "scaled_modified_bessel_k0": (
        RIGHT,
        [
            4.768694028544462,
            0.8614506167517558,
            0.8230171525316621,
            0.2499321501540247,
            0.2489439954632875,
        ],
    ),
    "scaled_modified_bessel_k1": (
        RIGHT,
        [
            100.9786484582401,
            1.06747092981457,
            1.002368052740579,
            0.2549023855808171,
            0.2538555008950565,
        ],
    ),
    "airy_ai": (
        ANYWHERE,
        [
            -0.004333637288742865,
            0.1362350264479798,
            0.0405944200315295,
            0.02995260211586653,
            5.15301114519834e-40,
        ],
    ),
    "spherical_bessel_j0": (
        ANYWHERE,
        [
            -0.02600417178548476,
            -0.04621574684599202,
            0.4980526777302182,
            0.4110520793566066,
            0.02932917117229241,
        ],
    ),
}

SPECIAL = twofold.special
FAMILIES = {
    "chebyshev_polynomial_t": lambda n, t: math.cos(n * t),
    "chebyshev_polynomial_u": lambda n, t: math.sin((n + 1) * t) / math.sin(t),
    "chebyshev_polynomial_v": lambda n, t: math.cos((n + 0.5) * t) / math.cos(t / 2),
    "chebyshev_polynomial_w": lambda n, t: math.sin((n + 0.5) * t) / math.sin(t / 2),
    "hermite_polynomial_h": np.polynomial.hermite.hermval,
    "hermite_polynomial_he": np.polynomial.hermite_e.hermeval,
    "laguerre_polynomial_l": np.polynomial.laguerre.lagval,
    "legendre_polynomial_p": np.polynomial.legendre.legval,
}


@pytest.mark.parametrize("name", KNOWN)
def test_values_are_those_of_high_precision(name):
    places, known = KNOWN[name]
    function = getattr(SPECIAL, name)
    made = function(twofold.tensor(places, dtype=twofold.float64))
    np.testing.assert_allclose(made.numpy(), known, rtol=3e-13)
    single = function(twofold.tensor(places))
    exact = function(twofold.tensor(places).double())
    assert single.dtype is twofold.float32
    assert (single.numpy() == exact.numpy().astype(np.float32)).all()


@pytest.mark.parametrize("name", KNOWN)
def test_slopes_to_the_second_order(name):
    places, _ = KNOWN[name]
    function = getattr(SPECIAL, name)
    x = twofold.tensor([p for p in places if abs(p) < 24 and p > 0.1], dtype=twofold.float64)
    check(function, [x.clone().requires_grad_()])
    compiled = twofold.compile(function)
    assert twofold.equal(compiled(x), function(x))


def test_ends():
    def at(name, *places):
        return getattr(SPECIAL, name)(twofold.tensor(places)).tolist()

    inf = math.inf
    assert at("bessel_j0", 0.0, inf, -inf) == [1.0, 0.0, 0.0]
    assert at("bessel_y0", 0.0, inf) == [-inf, 0.0]
    assert (
        at("modified_bessel_k1", 0.0, inf) == at("scaled_modified_bessel_k0", 0.0, inf) == [inf, 0]
    )
    assert at("spherical_bessel_j0", 0.0, inf) == [1.0, 0.0]
    assert at("airy_ai", inf, -inf) == [0.0, 0.0]
    for name in KNOWN:
        assert math.isnan(at(name, math.nan)[0])
        if KNOWN[name][0] is RIGHT:
            assert math.isnan(at(name, -1.0)[0])


def test_the_block_in_which_an_element_lies_does_not_matter():
    x = twofold.linspace(0.1, 30, 9001, dtype=twofold.float64)
    for name in ("bessel_j0", "bessel_y1", "modified_bessel_k0", "airy_ai"):
        function = getattr(SPECIAL, name)
        assert twofold.equal(function(x)[5000:5003], function(x[5000:5003]))


@pytest.mark.parametrize("name", FAMILIES)
def test_polynomials(name):
    known = FAMILIES[name]
    function, shifted = getattr(SPECIAL, name), getattr(SPECIAL, f"shifted_{name}", None)
    for x in (-0.9, -0.2, 0.4, 0.83):
        for n in (-2, 0, 1, 2, 5, 11):
            if name.startswith("cheb"):
                wanted = known(n, math.acos(x)) if n >= 0 else 0
            else:
                wanted = known(x, [0] * n + [1]) if n >= 0 else 0
            given = twofold.tensor(x, dtype=twofold.float64)
            np.testing.assert_allclose(function(given, n).item(), wanted, rtol=1e-11, atol=1e-12)
            if shifted:
                again = shifted((given + 1) / 2, n).item()
                np.testing.assert_allclose(again, wanted, rtol=1e-11, atol=1e-12)
    x = twofold.tensor([0.3, -0.6, 0.8]).double().requires_grad_()
    check(lambda x: function(x, twofold.tensor([0.0, 1.0, 4.0]).double()), [x])
    degrees = twofold.arange(3)
    assert function(twofold.ones(2, 1), degrees).shape == (2, 3)
    assert function(1, degrees).dtype is twofold.float32


def test_a_degree_beyond_reason_is_refused():
    with pytest.raises(ArgumentError, match="a degree of 1000000"):
        SPECIAL.legendre_polynomial_p(twofold.tensor(0.5), 1_000_000)


def test_an_incomplete_gamma_does_not_depend_on_its_neighbours():
    a, x = twofold.linspace(0.1, 40, 200).double(), twofold.linspace(0.2, 60, 200).double()
    for function in (SPECIAL.gammainc, SPECIAL.gammaincc):
        together = function(twofold.cat([a, a * 1000]), twofold.cat([x, x * 1000]))
        assert twofold.equal(together[:200], function(a, x))


def test_modified_bessel_functions_of_many_numbers():
    x = twofold.linspace(-30, 30, 601).double()
    order0, order1 = SPECIAL.i0e(x), SPECIAL.i1e(x)
    # Wronski's identity: I0(x) K1(x) + I1(x) K0(x) = 1 / x
    k0, k1 = (
        f(x.abs()) for f in (SPECIAL.scaled_modified_bessel_k0, SPECIAL.scaled_modified_bessel_k1)
    )
    away = x.abs() > 0.05
    made = (order0 * k1 + order1.abs() * k0)[away]
    assert twofold.allclose(made, 1 / x.abs()[away], rtol=1e-13)
