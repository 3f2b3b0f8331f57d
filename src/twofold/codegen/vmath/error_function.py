"""erf, erfc and erfinv. Floor 3. Polynomials by tools/fits.py ("erf", "erfc", "erfinv")."""

from __future__ import annotations

from twofold.codegen.vmath.core import (
    INF,
    at_most,
    bits_of,
    element,
    flip,
    float_of,
    format_of,
    polynomial,
    replace_where,
    sign_of,
    through_double,
    two_product,
)
from twofold.codegen.vmath.exponential import EXP, reduce, scale
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function
from twofold.ir.values import Value

# erf(x) = x + x (c0 + c1 x^2 + ...) for |x| below SEAM
SEAM = {"f32": 0.925, "f64": 1.0}
ERF = {
    "f32": (
        0.12837915122509003,
        -0.37612488865852356,
        0.11281730979681015,
        -0.026762964203953743,
        0.0049873474054038525,
        -0.000595955119933933,
    ),
    "f64": (
        0.12837916709551256,
        -0.3761263890318346,
        0.11283791670942668,
        -0.026866170642933274,
        0.005223977604950954,
        -0.0008548325882457955,
        0.00012055292366875613,
        -1.492469178822834e-05,
        1.6446904550209519e-06,
        -1.6204734629564029e-07,
        1.370471396333597e-08,
        -7.768648805686922e-10,
    ),
}
# The logarithm of 1 - erf(x) from SEAM to LAST, where erf rounds to 1: to base 2 for float32, whose
# exponential needs few digits, natural for float64
LAST = {"f32": 4.0, "f64": 6.0}
ERF_TAIL = {
    "f32": (
        -0.002836265368387103,
        -1.6156489849090576,
        -0.9394478797912598,
        -0.1310393214225769,
        0.022344965487718582,
        -0.001789075559279851,
    ),
    "f64": (
        -4.994650839595305e-07,
        -1.128374120980153,
        -0.6366434919049095,
        -0.10270380253997027,
        0.018990847070380432,
        0.00040972677027815817,
        -0.001915021598160188,
        0.0007699128907587734,
        -0.00013459663480963702,
        -2.048895260492274e-05,
        2.2908376805603763e-05,
        -8.693173107456136e-06,
        2.1417773475199335e-06,
        -3.743873745333904e-07,
        4.656403816547308e-08,
        -3.946934191757779e-09,
        2.051973874641925e-10,
        -4.946613631662225e-12,
    ),
}
# 2^r = 1 + r (c0 + c1 r + ...) for |r| <= 1/2, enough for the tail
EXP2_TAIL = (
    0.6931472420692444,
    0.24022239446640015,
    0.055502720177173615,
    0.00967168714851141,
    0.0013417346635833383,
)
# exp(x^2) erfc(x) (1 + 2 x) as a polynomial of (x - 3) / (x + 3), for 0 <= x <= 27.5
# (Shepherd and Laframboise 1981)
ERFC = {
    "f64": (
        1.2530080582697296,
        -0.13562110612458056,
        -0.04756229435344522,
        0.12964515870269283,
        -0.11927366341550963,
        0.06830802734620098,
        -0.02377051491517788,
        0.002529391782407523,
        0.001888690323794381,
        -0.000779831989176442,
        -0.00010515956136226997,
        0.00012509790366677632,
        4.94838132194826e-06,
        -2.009583125218387e-05,
        -7.279983351373708e-07,
        3.462358543199079e-06,
        3.492765399638767e-07,
        -6.029367623682724e-07,
        -1.309255201457066e-07,
        9.03990404725124e-08,
        3.2478226140740514e-08,
        -8.056076327952462e-09,
        -4.005557878165204e-09,
    ),
    "single": (
        1.253008058921647,
        -0.13562110233231986,
        -0.04756236397036684,
        0.12964501867549938,
        -0.11927247153135088,
        0.06830965535767668,
        -0.023777954274701727,
        0.002520677887592941,
        0.001909673969958659,
        -0.0007559852106076275,
        -0.00013237076868077995,
        9.211209280863902e-05,
        1.780356270170247e-05,
    ),
}
# exp for erfc where the result is rounded to float32
EXP_SINGLE = (
    0.5000000067349065,
    0.1666666586333004,
    0.04166629532796381,
    0.008333498257496042,
    0.0013944662689265547,
    0.0001978982030537202,
)


def erf(f: Function, x: Value) -> Value:
    """The error function."""
    name = element(x)
    size = f.abs(x)
    small = f.fma(polynomial(f, x * x, ERF[name]), x, x)
    power = polynomial(f, at_most(f, size, LAST[name]), ERF_TAIL[name])
    p, rounded = exp2_tail(f, power) if name == "f32" else exp_tail(f, power)
    # the exponent cannot leave the normal numbers here
    complement = float_of(bits_of(p) + (bits_of(rounded) << format_of(x).mantissa))
    large = flip(1.0 - complement, sign_of(x))
    return size.cmp("olt", SEAM[name]).select(small, large)


def exp2_tail(f: Function, power: Value) -> tuple[Value, Value]:
    """(p, k + magic) with 2^power = p 2^k, to 23 bits."""
    magic = format_of(power).magic
    rounded = power + magic
    r = power - (rounded - magic)
    return f.fma(polynomial(f, r, EXP2_TAIL), r, 1.0), rounded


def exp_tail(f: Function, power: Value) -> tuple[Value, Value]:
    """(p, k + magic) with exp(power) = p 2^k."""
    r, rounded = reduce(f, power)
    return f.fma(polynomial(f, r, EXP["f64"]), r * r, r) + 1.0, rounded


def _erfc(f: Function, x: Value, grade: str) -> Value:
    """1 - erf(x), with all its digits where that is small."""
    size = at_most(f, f.abs(x), 28.0)
    square, lost = two_product(f, size, size)
    r, rounded = reduce(f, -square)
    r = r - lost
    p = polynomial(f, r, EXP_SINGLE if grade == "single" else EXP["f64"])
    p = f.fma(p, r * r, r) + 1.0
    made = scale(f, p * scaled_erfc(f, size, grade), rounded)
    made = x.cmp("olt", 0.0).select(2.0 - made, made)
    if grade == "single":
        return made
    near = 1.0 - f.fma(polynomial(f, x * x, ERF[grade]), x, x)
    return f.abs(x + 0.25).cmp("olt", 0.75).select(near, made)


def scaled_erfc(f: Function, size: Value, grade: str) -> Value:
    """exp(size^2) erfc(size)."""
    bottom = f.fma(size, 2.0, 1.0)
    if grade == "f64":
        return polynomial(f, (size - 3.0) / (size + 3.0), ERFC[grade]) / bottom
    # one division for both, whose rounding does not count here
    inverse = 1.0 / (bottom * (size + 3.0))
    part = (size - 3.0) * (bottom * inverse)
    return polynomial(f, part, ERFC[grade]) * ((size + 3.0) * inverse)


erfc = through_double(_erfc)


# erfinv(x) / x as a polynomial of w - 2.5 with w = -log(1 - x^2) < 5, and further out as one of
# sqrt(w) less its middle value (after Giles 2012)
NEAR = 5.0
ERFINV = {
    "f64": (
        1.501409351110792,
        0.246640276744167,
        -0.004177317724384514,
        -0.001252707907811018,
        0.00021825026434766788,
        -4.996079598892185e-06,
        -3.416619603330215e-06,
        4.787252185848511e-07,
        1.341681082263803e-08,
        -1.0861168988363446e-08,
        9.072991296647101e-10,
        1.1960701331687866e-10,
        -3.110092715888834e-11,
        9.115580424312779e-13,
        5.351320917272353e-13,
        -7.612507502139976e-14,
        -2.792564518704724e-15,
        1.8965281217578547e-15,
        -1.4643247648487204e-16,
        -2.681457931573358e-17,
        5.5299223714274375e-18,
        1.6966839831732542e-19,
        -8.598233839478348e-20,
    ),
    "single": (
        1.5014093535137814,
        0.24664028765010249,
        -0.004177339393626148,
        -0.0012527447030368226,
        0.00021828260655467783,
        -4.961882419833259e-06,
        -3.43459612674853e-06,
        4.6588475819389726e-07,
        1.8033536564255672e-08,
        -8.772227056933637e-09,
        3.358266211949519e-10,
    ),
}
SPLIT = 4.0
ERFINV_MIDDLES = (3.125, 5.0)
ERFINV_TAIL = (
    2.958320150240462,
    1.0037186917979262,
    0.007047884417818155,
    -0.0053010106086111486,
    0.0037944200146731635,
    -0.0025198826879503835,
    0.0012606698933934563,
    -0.00032866222457969893,
    -8.95533744675069e-05,
    0.00013610527691993793,
    -5.885205558050595e-05,
    2.1826502022733683e-06,
    1.1399762647874332e-05,
    -6.267068727326851e-06,
    9.024900490635034e-07,
    7.414037743783975e-07,
    -5.554027085023562e-07,
    1.4237722392656145e-07,
    5.217424900308572e-08,
    -5.039311164145856e-08,
    3.301628791662754e-09,
    4.909874792610866e-09,
)
ERFINV_FAR_TAIL = (
    4.849906401408584,
    1.0103004648645462,
    -0.00013871931836511155,
    -0.00021503011986540474,
    7.599527754894279e-05,
    -1.9681770199423228e-05,
    4.526058766756919e-06,
    -9.930323866149544e-07,
    2.290191092800026e-07,
    -6.754663849793074e-08,
    2.911860991000153e-08,
    -1.5272347721490112e-08,
    7.649353151477719e-09,
    -3.453539743421865e-09,
    1.4874618052711639e-09,
    -4.47268421927917e-10,
    -2.2169795221083038e-11,
    4.50452405422566e-11,
)
ERFINV_TAIL_SINGLE = (
    2.9583201464393882,
    1.0037186649529024,
    0.007048165585569976,
    -0.005300306499184942,
    0.003790979574240724,
    -0.0025247520712876705,
    0.0012763479492423234,
    -0.0003160052965396971,
    -0.000122360913939877,
    0.00012474488567301245,
    -2.6862806097103233e-05,
)


def _erfinv(f: Function, x: Value, grade: str) -> Value:
    """The x whose error function this is; infinite at 1 and -1, NaN beyond."""
    w = -log(f, f.fma(-x, x, 1.0), grade)
    usual = polynomial(f, w - 0.5 * NEAR, ERFINV[grade])
    (factor,) = replace_where(f, w.cmp("oge", NEAR), [usual], lambda: [_erfinv_tail(f, w, grade)])
    return f.abs(x).cmp("oeq", 1.0).select(flip(f.const(x.type, INF), sign_of(x)), x * factor)


def _erfinv_tail(f: Function, w: Value, grade: str) -> Value:
    root = f.sqrt(w)
    if grade == "single":
        return polynomial(f, root - ERFINV_MIDDLES[0], ERFINV_TAIL_SINGLE)
    tail = polynomial(f, root - ERFINV_MIDDLES[0], ERFINV_TAIL)
    far = polynomial(f, root - ERFINV_MIDDLES[1], ERFINV_FAR_TAIL)
    return root.cmp("olt", SPLIT).select(tail, far)


erfinv = through_double(_erfinv)
