"""The tails of the normal distribution: erfcx, ndtri and log_ndtr. Floor 3.

erfcx is a Chebyshev series of (1 + 2 x) exp(x^2) erfc(x) in (x - 3.75) / (x + 3.75), the variable
of Schonfelder (1978), computed with 150 bits. ndtri are the fractions of Wichura (1988, AS 241).
"""

from __future__ import annotations

import math

from twofold.codegen.vmath.core import (
    INF,
    NAN,
    at_least,
    at_most,
    chebyshev,
    polynomial,
    replace_where,
    through_double,
    two_product,
)
from twofold.codegen.vmath.error_function import erfc
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.logarithm import log, log1p
from twofold.ir.build import Function
from twofold.ir.values import Value

ERFCX = (
    1.1775789345674017,
    -0.004590054580646478,
    -0.08424913336651792,
    0.05920993999819189,
    -0.026658668435305753,
    0.009074997670705265,
    -0.002413163540417608,
    0.0004907758365258086,
    -6.916973302501207e-05,
    4.13902798607301e-06,
    7.74038306619849e-07,
    -2.1886401049234397e-07,
    1.076499946567091e-08,
    4.521959811218287e-09,
    -7.754400208831351e-10,
    -6.318088340886684e-11,
    2.86879501093067e-11,
    1.9455868545777347e-13,
    -9.65469674843344e-13,
    3.25254814814874e-14,
    3.3478119482868056e-14,
    -1.864562880419313e-15,
    -1.2507950530688648e-15,
    7.418235256624044e-17,
    5.068148904796111e-17,
)

# ndtri(p) / (p - 1/2) in 0.425^2 - (p - 1/2)^2, and the tails in sqrt(-log p) less 1.6 or 5
MIDDLE_TOP = (
    3.3871328727963665,
    133.14166789178438,
    1971.5909503065513,
    13731.69376550946,
    45921.95393154987,
    67265.7709270087,
    33430.57558358813,
    2509.0809287301227,
)
MIDDLE_BOTTOM = (
    1.0,
    42.31333070160091,
    687.1870074920579,
    5394.196021424751,
    21213.794301586597,
    39307.89580009271,
    28729.085735721943,
    5226.495278852854,
)
TAIL_TOP = (
    1.4234371107496835,
    4.630337846156546,
    5.769497221460691,
    3.6478483247632045,
    1.2704582524523684,
    0.2417807251774506,
    0.022723844989269184,
    0.0007745450142783414,
)
TAIL_BOTTOM = (
    1.0,
    2.053191626637759,
    1.6763848301838038,
    0.6897673349851,
    0.14810397642748008,
    0.015198666563616457,
    0.0005475938084995345,
    1.0507500716444169e-09,
)
FAR_TOP = (
    6.657904643501103,
    5.463784911164114,
    1.7848265399172913,
    0.29656057182850487,
    0.026532189526576124,
    0.0012426609473880784,
    2.7115555687434876e-05,
    2.0103343992922881e-07,
)
FAR_BOTTOM = (
    1.0,
    0.599832206555888,
    0.1369298809227358,
    0.014875361290850615,
    0.0007868691311456133,
    1.8463183175100548e-05,
    1.421511758316446e-07,
    2.0442631033899397e-15,
)

ROOT_HALF = math.sqrt(0.5)


def _scaled(f: Function, size: Value) -> Value:
    """exp(size^2) erfc(size) for size >= 0."""
    held = at_most(f, size, 1e300)
    made = chebyshev(f, (held - 3.75) / (held + 3.75), ERFCX) / f.fma(held, 2.0, 1.0)
    return size.cmp("oeq", INF).select(0.0, made)


def _erfcx(f: Function, x: Value) -> Value:
    """exp(x^2) erfc(x)."""
    usual = _scaled(f, f.abs(x))

    def below() -> list[Value]:
        held = at_least(f, x, -27.0)
        square, lost = two_product(f, held, held)
        grown = exp(f, square)
        made = f.fma(grown, lost, grown)
        made = grown.cmp("oeq", INF).select(INF, made + made - usual)
        return [made]

    (made,) = replace_where(f, x.cmp("olt", 0.0), [usual], below)
    return made


def _ratio(f: Function, r: Value, top: tuple[float, ...], bottom: tuple[float, ...]) -> Value:
    return polynomial(f, r, top) / polynomial(f, r, bottom)


def _ndtri(f: Function, p: Value) -> Value:
    """The number below which a part p of the normal distribution lies."""
    q = p - 0.5
    usual = q * _ratio(f, 0.180625 - q * q, MIDDLE_TOP, MIDDLE_BOTTOM)

    def tails() -> list[Value]:
        low = q.cmp("olt", 0.0)
        rest = low.select(p, 1.0 - p)
        inside = rest.cmp("ogt", 0.0)
        r = f.sqrt(-log(f, inside.select(at_most(f, rest, 0.5), 0.5)))
        near = _ratio(f, r - 1.6, TAIL_TOP, TAIL_BOTTOM)
        far = _ratio(f, r - 5.0, FAR_TOP, FAR_BOTTOM)
        made = r.cmp("ole", 5.0).select(near, far)
        made = rest.cmp("oeq", 0.0).select(INF, made)
        return [rest.cmp("olt", 0.0).select(NAN, low.select(-made, made))]

    (made,) = replace_where(f, f.abs(q).cmp("ogt", 0.425), [usual], tails)
    return made


def _log_ndtr(f: Function, x: Value) -> Value:
    """The logarithm of the part of the normal distribution that lies below x."""
    scaled = x * ROOT_HALF
    usual = log1p(f, erfc(f, scaled) * -0.5)

    def below() -> list[Value]:
        square = x * x * -0.5
        return [square + log(f, _scaled(f, f.abs(scaled)) * 0.5)]

    (made,) = replace_where(f, x.cmp("olt", -1.0), [usual], below)
    return x.cmp("oeq", -INF).select(-INF, made)


erfcx = through_double(_erfcx, graded=False)
ndtri = through_double(_ndtri, graded=False)
log_ndtr = through_double(_log_ndtr, graded=False)
