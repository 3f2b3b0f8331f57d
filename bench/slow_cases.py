"""Small calls that decompose matrices, draw by rejection, transform, and count, for bench/calls.py."""

# ruff: noqa: E501  (a case is a line)

from __future__ import annotations

SIZES = {"4": 4, "1e4": 10_000, "1e6": 1_000_000}
DRAWN = "D = t.distributions; s = t.tensor((rng.random({n}) * 3 + 0.5).astype('f4')); e = t.tensor((rng.random(({n}, 3)) + 0.5).astype('f4')); w = t.tensor(rng.random(100).astype('f4')); k, z = s * 0 + 10, s / 4"
SPECIAL = "x, p = g({n}), g({n}).abs() + 0.5"
MATRIX = "m = g({b}{n}, {n}) + 3 * t.eye({n}); s = m @ m.mT + t.eye({n}); b = g({b}{n}, 2)"

SAMPLES = {
    "gamma": "D.Gamma(s, s).sample()",
    "gamma_made": "d.sample()",
    "beta": "D.Beta(s, s).sample()",
    "dirichlet": "D.Dirichlet(e).sample()",
    "poisson_d": "D.Poisson(s).sample()",
    "student": "D.StudentT(s).sample()",
    "chi2": "D.Chi2(s).sample()",
    "poisson": "t.poisson(s)",
    "poisson_large": "t.poisson(h)",
    "binomial": "t.binomial(k, z.clamp(0, 1))",
    "multinomial_r": "t.multinomial(w, {n}, replacement=True)",
    "gamma_grad": "(D.Gamma(r, s).rsample().sum().backward(), setattr(r, 'grad', None))[1]",
    "dirichlet_grad": "(D.Dirichlet(q).rsample().pow(2).sum().backward(), setattr(q, 'grad', None))[1]",
}
ONE = (
    "i0",
    "i0e",
    "i1",
    "i1e",
    "erfcx",
    "ndtri",
    "log_ndtr",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "airy_ai",
    "modified_bessel_k0",
    "digamma",
    "entr",
    "erfinv",
    "gammaln",
)
POSITIVE = ("bessel_y0", "modified_bessel_k0", "gammaln", "digamma")
FUNCTIONS = {
    **{f: f"t.special.{f}({'p' if f in POSITIVE else 'x'})" for f in ONE},
    "gammainc": "t.special.gammainc(p, p)",
    "gammaincc": "t.special.gammaincc(p, p)",
    "polygamma": "t.special.polygamma(1, p)",
    "zeta": "t.special.zeta(p + 1, p)",
    "multigammaln": "t.special.multigammaln(p + 2, 2)",
    "ndtri_unit": "t.special.ndtri(x.sigmoid())",
}
DECOMPOSED = {
    "inv": "t.linalg.inv(m)",
    "solve": "t.linalg.solve(m, b)",
    "cholesky": "t.linalg.cholesky(s)",
    "det": "t.linalg.det(m)",
    "qr": "t.linalg.qr(m)[1].abs()",
    "eigh": "t.linalg.eigh(s)[0]",
    "svd": "t.linalg.svd(m)[1]",
    "lu": "t.linalg.lu(m)[1]",
    "lu_factor": "t.linalg.lu_factor(m)[0]",
    "slogdet": "t.linalg.slogdet(m)[1]",
    "eigvalsh": "t.linalg.eigvalsh(s)",
    "solve_tri": "t.linalg.solve_triangular(s.tril(), b, upper=False)",
    "cholesky_solve": "t.cholesky_solve(b, t.linalg.cholesky(s))",
}
COUNTED = {
    "mode": "l.mode()[0]",
    "scatter_": "n.scatter_(1, k, v)",
    "median": "x.median()",
    "median_axis": "n.median(1)[0]",
    "randperm!": "t.randperm(10000)",
    "histc": "x.histc(20, -2.0, 2.0)",
    "unique": "l.unique()",
    "unique_counts": "l.unique(return_counts=True)[1]",
    "bincount": "l.bincount()",
    "unique_float": "x.unique()",
}
COUNTS = "x, n = g(10000), g(100, 100); l = t.tensor(rng.integers(0, 100, 10000)); k = t.tensor(rng.integers(0, 100, (100, 100))); v = k.float()"
SPLIT = "D = t.utils.data; ds = D.TensorDataset(g(64, 4), t.arange(64))"
CTC = "x = g(6, 2, 5).log_softmax(2); y = t.tensor([[1, 2], [3, 4]]); n, k = t.tensor([6, 6]), t.tensor([2, 2])"
LOOP = "w = g(4, 4).requires_grad_()\ndef run():\n    out, h = t.zeros(4, 10, 4), w\n    for i in range(10):\n        h = h * 1.1\n        out[:, i] = h\n    return out"
OWN = "x = g(16).requires_grad_(); Fn = type('Fn', (t.autograd.Function,), dict(forward=staticmethod(lambda c, v: v * 2), backward=staticmethod(lambda c, d: d * 2)))"


def _cases() -> dict[str, tuple[str, str]]:
    made = {}
    for name, n in SIZES.items():
        start = DRAWN.replace("{n}", str(n))
        start += "; d = D.Gamma(s, s); r, q = s.clone().requires_grad_(), e.clone().requires_grad_(); h = s * 30"
        for key, timed in SAMPLES.items():
            made[f"slow_draw_{key}_{name}!"] = (start, timed.replace("{n}", str(n)))
    for n in (4, 10_000):
        start = SPECIAL.replace("{n}", str(n))
        made |= {f"slow_special_{k}_{n}": (start, timed) for k, timed in FUNCTIONS.items()}
    for batch in ("", "1000, "):
        for n in (2, 4, 16):
            start = MATRIX.replace("{n}", str(n)).replace("{b}", batch)
            tail = "_many" if batch else ""
            made |= {f"slow_la_{k}_{n}{tail}": (start, timed) for k, timed in DECOMPOSED.items()}
    made |= {f"slow_count_{k}": (COUNTS, timed) for k, timed in COUNTED.items()}
    made["slow_prod_complex"] = ("x = h(16)", "x.prod()")
    made["slow_prod_complex_4"] = ("x = h(4, 4)", "x.prod(1)")
    made["slow_prod_complex_1e4"] = ("x = h(10000).sgn()", "x.prod()")
    made["slow_data_ptr"] = ("x = g(16)", "x.data_ptr() > 0")
    made["slow_random_split"] = (SPLIT, "len(D.random_split(ds, [48, 16]))")
    made["slow_ctc"] = (CTC, "t.nn.functional.ctc_loss(x, y, n, k)")
    made["slow_loop"] = (LOOP, "run().detach()")
    made["slow_loop_grad"] = (LOOP, "(run().sum().backward(), setattr(w, 'grad', None))[1]")
    made["slow_own_function"] = (OWN, "Fn.apply(x).detach()")
    made["slow_own_function_grad"] = (
        OWN,
        "(Fn.apply(x).sum().backward(), setattr(x, 'grad', None))[1]",
    )
    return made


CASES = _cases()
