"""Angles of any size, reduced exactly. Floor 3.

Payne and Hanek (1983): of x / pi only the part below 2 matters, and that comes from the digits of
1 / pi that stand opposite to those of x. All in integers, 32 bits at a time.
"""

from __future__ import annotations

from twofold.codegen.vmath.core import (
    NAN,
    Pair,
    bits_of,
    fast_two_sum,
    flip,
    sign_of,
    two_product,
    two_sum,
)
from twofold.ir.build import Function
from twofold.ir.loops import with_element
from twofold.ir.values import Value

# The first 1280 bits of 1 / pi after the point: floor(2**1280 / pi), from mpmath.
DIGITS = int(
    "517CC1B727220A94FE13ABE8FA9A6EE06DB14ACC9E21C820FF28B1D5EF5DE2B0DB92371D2126E970"
    "0324977504E8C90E7F0EF58E5894D39F74411AFA975DA24274CE38135A2FBF209CC8EB1CC1A99CFA"
    "4E422FC5DEFC941D8FFC4BFFEF02CC07F79788C5AD05368FB69B3F6793E584DBA7A31FB34F2FF516"
    "BA93DD63F5F2F8BD9E839CFBC529497535FDAFD88FC6AE842B0198237E3DB5D5F867DE104D7A1B0E",
    16,
)
PI = (3.141592653589793, 1.2246467991473532e-16)
BEFORE = 64  # zeros before the point, for arguments whose own digits go beyond it
ENTRIES = 152  # the last word of the largest float64 is number 149
LOW = 0xFFFFFFFF

# What to count in x / pi: (the place of its lowest bit in a word whose highest bit is worth 1,
# what to take away first)
STEPS = {
    "half turns": (31, 0),
    "half turns, from a quarter": (31, 1 << 30),
    "quarter turns": (30, 0),
}


def words() -> list[int]:
    """Word k: 32 bits of 1 / pi, the first of them worth 2**(64 - 8 k)."""
    return [DIGITS >> 1280 + BEFORE - 31 - 8 * k & LOW for k in range(ENTRIES)]


def turns(f: Function, x: Value, step: str) -> tuple[Value, Value, Value]:
    """(r, its correction, n): x less n steps, for one float64 from 1 on; NaN at infinity."""
    size = bits_of(x) & ((1 << 63) - 1)
    biased = size.lshr(52)
    digits = size & ((1 << 52) - 1) | 1 << 52
    place = f.max(biased - (1075 - BEFORE), 0)
    digits = digits << (place & 7)
    fraction = multiply(f, digits, place.lshr(3))
    bit, offset = STEPS[step]
    top = (fraction[3] - offset) & LOW
    count = (top + (1 << bit - 1)).lshr(bit)
    high, low = angle(f, [top - (count << bit), *reversed(fraction[:3])])
    unending = biased.cmp("eq", 2047)
    high = unending.select(NAN, high)
    if offset:
        return high, low, count
    return flip(high, sign_of(x)), flip(low, sign_of(x)), count


def multiply(f: Function, digits: Value, start: Value) -> list[Value]:
    """The product with 1 / pi, modulo 2: four words, lowest first; the highest bit is worth 1."""
    zero = f.const(digits.type, 0)
    columns = [zero] * 6  # 32 bits each; of the lowest only what is carried counts
    halves = (digits & LOW, digits.lshr(32))
    parts = [word_at(f, start + 4 * j) for j in range(6)]
    for i, half in enumerate(halves):
        for j, part in enumerate(parts):
            column = 4 + i - j
            if 0 <= column <= 4:
                product = half * part
                columns[column] = columns[column] + (product & LOW)
                columns[column + 1] = columns[column + 1] + product.lshr(32)
    carry = columns[0].lshr(32)
    fraction = []
    for so_far in columns[1:5]:
        total = so_far + carry
        fraction.append(total & LOW)
        carry = total.lshr(32)
    return fraction


def word_at(f: Function, index: Value) -> Value:
    """A word of the table, as an i64."""
    f.module.table("one_over_pi", "i32", words())
    return f.address("one_over_pi").at(index, "i32").load("i32").cast("zext", "i64")


def angle(f: Function, parts: list[Value]) -> Pair:
    """pi times the sum of parts[k] * 2**(-31 - 32 k), as a pair of floats."""
    real = with_element(parts[0].type, "f64")
    a, b, c, d = (part.cast("sitofp", real) * 2.0 ** (-31 - 32 * k) for k, part in enumerate(parts))
    near, lost = two_sum(a, b)
    near, more = two_sum(near, c)
    high, low = fast_two_sum(near, lost + more + d)
    product, error = two_product(f, high, PI[0])
    return product, f.fma(high, PI[1], f.fma(low, PI[0], error))
