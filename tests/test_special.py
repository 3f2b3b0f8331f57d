"""Special functions against PyTorch, in their tails too."""

import numpy as np
import pytest
from twins import cases, compare_all, compare_all_gradients

import twofold

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
    x = twofold.tensor([2.0], requires_grad=True)
    with pytest.raises(twofold.TwofoldError, match="no gradient by the first operand"):
        getattr(twofold.special, name)(x, twofold.tensor([1.0]))
