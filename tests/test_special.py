"""Special functions against PyTorch, in their tails too."""

import math

import numpy as np
import pytest
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold.exec import tensors
from twofold.ops.tensor import wrap

NAMES = cases("""
digamma  entr  erf  erfc  erfcx  erfinv  exp2  expit  expm1  gammaln  i0  i0e  i1  i1e  log1p
log_ndtr  logit  ndtr  ndtri  psi  round  sinc
""")
ONE = [
    f"T.special.{name}({x})"
    for name in NAMES
    for x in cases("p  f  p.double()  g.double() * 9  i  u  e  b")
]
OTHER = cases("""
T.special.gammainc(g, p)  T.special.gammaincc(g, p * 5)  T.special.gammainc(g.double() * 9, p * 20)
T.special.gammaincc(g.double() * 9, p * 20)  T.igamma(g, p)  T.igammac(g, p)  g.igamma(p)
T.special.multigammaln(g + 2, 3)  T.mvlgamma(g + 2, 1)  (g + 2).mvlgamma(2)  T.i0(f)  f.i0()
T.special.zeta(g + 1.5, p)  T.special.zeta(2.0, g)  T.special.polygamma(1, g)  g.polygamma(2)
T.special.xlogy(p, g)  T.special.xlog1py(p, g)  T.special.logsumexp(f, 1)
T.special.softmax(f, 1)  T.special.log_softmax(f, 0)  T.special.erfcx(T.tensor([30., -30., nan]))
T.special.log_ndtr(T.tensor([-40., -5., 5., 20.]))  T.special.ndtri(T.tensor([0., 1e-6, 1., 2.]))
T.special.ndtri(T.tensor([1e-12, 0.3]).double())  T.special.i0e(T.tensor([600., -1000.]).double())
T.special.i1e(T.tensor([600., -1000.]).double())  T.special.i0(T.tensor([0., nan, -50., 80.]))
T.special.entr(T.tensor([0., -1., 2.]))
T.special.gammainc(T.tensor([0., 1., 2.]), T.tensor([1., 0., inf]))
T.special.zeta(T.tensor([1., 3., 0.5]), T.tensor([2., 2., 1.]))
""")


@pytest.mark.parametrize("name", NAMES)
def test_functions_of_one_number(name):
    texts = [text for text in ONE if f".{name}(" in text]
    compare_all(texts)
    compare_all_gradients([text for text in texts if not text.endswith("(f)")])


def test_other_functions():
    compare_all(OTHER)
    compare_all_gradients(OTHER[:19])


def test_bessel_functions_have_no_step_where_the_series_takes_over():
    x = twofold.linspace(450, 550, 101, dtype=twofold.float64)
    made = twofold.special.i0e(x).numpy()
    assert (np.diff(made) < 0).all()


@pytest.mark.parametrize("name", ["gammainc", "gammaincc", "zeta"])
def test_gradients_that_do_not_exist_are_refused(name):
    tensors.install()  # machine code, too, once it knows the operation
    function, x = getattr(twofold.special, name), twofold.full((3, 3), 2.0)
    function(x, x)
    x.requires_grad_()
    for _ in range(2):
        with pytest.raises(twofold.TwofoldError, match="no gradient by the first operand"):
            function(x, x.detach())


def test_polygamma_far_below_zero():
    # the recurrence: polygamma(n, x + 1) - polygamma(n, x) = (-1)**n n! x**(-n - 1)
    x = np.array([-0.5, -3.3, -10.7, -250.4, -1000.25])
    for n in (1, 2, 3, 4):
        near, far = (twofold.polygamma(n, wrap(v)).numpy() for v in (x + 1, x))
        step = (-1) ** n * math.factorial(n) * x ** (-n - 1.0)
        np.testing.assert_allclose(near - far, step, 1e-9, 1e-10 * np.abs(far).max())
    # trigamma at -k + 1/2 tends to pi**2
    assert abs(twofold.polygamma(1, wrap(np.array(-5000.5))).item() - math.pi**2) < 1e-3
    # whole orders of zeta below 0: zeta(s, q) - zeta(s, q + 1) = q**-s
    s, q = np.array([2.0, 3.0, 5.0]), np.array([-400.5, -77.25, -1e3 - 0.125])
    here, next_one = (twofold.special.zeta(wrap(s), wrap(v)).numpy() for v in (q, q + 1))
    np.testing.assert_allclose(here - next_one, q**-s, 1e-6, 1e-9 * np.abs(here).max())
    np.testing.assert_allclose(here[0], math.pi**2, 1e-2)
