"""Expressions over sizes and numbers that are known later: polynomials, and trees. Floor 0.

Whole numbers are polynomials over atoms, so that equal expressions are equal objects; an atom is a
size, or a quotient, remainder, minimum or maximum that is no polynomial. Other numbers are trees.

A capture asks the same few things again and again: what follows from expressions alone is
remembered.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, final

Atom = tuple[Any, ...]  # ("size", number), ("int", number), or (operation, argument, ...)
Monomial = tuple[Atom, ...]
Polynomial = tuple[tuple[Monomial, int], ...]
remembered = lru_cache(maxsize=1 << 14)

GIVEN = ("size", "int", "float")  # atoms that inputs give
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
}
PYTHON: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": operator.truediv,
    "**": operator.pow,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "min": min,
    "max": max,
}

# Python's functions of numbers that give fractions: what schedules compute rates with
FUNCTIONS = {
    f.__name__: f
    for f in (
        *(math.acos, math.acosh, math.asin, math.asinh, math.atan, math.atan2, math.atanh),
        *(math.copysign, math.cos, math.cosh, math.degrees, math.erf, math.erfc, math.exp),
        *(math.expm1, math.fabs, math.fmod, math.gamma, math.hypot, math.lgamma, math.log),
        *(math.log10, math.log1p, math.log2, math.pow, math.radians, math.sin, math.sinh),
        *(math.sqrt, math.tan, math.tanh),
    )
}
CALLS: dict[str, Callable[..., Any]] = {f"math.{name}": f for name, f in FUNCTIONS.items()}
PYTHON |= CALLS

# Whole numbers of fractions: atoms, as what they are of is a tree
ROUNDED: dict[str, Callable[[Any], Any]] = {
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "bit_length": int.bit_length,
}
PYTHON |= ROUNDED
RISING = ("+", "*", "/", "**", "min", "max", "math.sqrt", *ROUNDED)  # of what is 0 or more, as much


BITS = ("<<", ">>", "&", "|", "^")


def constant(number: int) -> Polynomial:
    return (((), int(number)),) if number else ()


def is_polynomial(expr: Any) -> bool:
    return isinstance(expr, tuple) and (not expr or isinstance(expr[0][0], tuple))


text = lru_cache(maxsize=1 << 12)(repr)  # what atoms and monomials are ordered by


def ordered(terms: Mapping[Monomial, int]) -> Polynomial:
    return tuple(sorted(((m, c) for m, c in terms.items() if c), key=lambda term: text(term[0])))


@remembered
def add(x: Polynomial, y: Polynomial, factor: int = 1) -> Polynomial:
    terms = dict(x)
    for monomial, count in y:
        terms[monomial] = terms.get(monomial, 0) + factor * count
    return ordered(terms)


@remembered
def multiply(x: Polynomial, y: Polynomial) -> Polynomial:
    terms: dict[Monomial, int] = {}
    for m, a in x:
        for n, b in y:
            both = tuple(sorted(m + n, key=text))
            terms[both] = terms.get(both, 0) + a * b
    return ordered(terms)


def _without(monomial: Monomial, part: Monomial) -> Monomial | None:
    """The monomial divided by another, or None."""
    rest = list(monomial)
    for atom in part:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _split(x: Polynomial, y: Polynomial) -> tuple[Polynomial, Polynomial] | None:
    """x as whole * y + rest for a y of one term; None for other divisors."""
    if len(y) != 1:
        return ((((), 1),), ()) if x == y else None
    divisor, count = y[0]
    whole: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for monomial, c in x:
        left = _without(monomial, divisor)
        if left is not None and c % count == 0:
            whole[left] = whole.get(left, 0) + c // count
        else:
            rest[monomial] = c
    return ordered(whole), ordered(rest)


def number_of(x: Polynomial) -> int | None:
    if not x:
        return 0
    return x[0][1] if len(x) == 1 and x[0][0] == () else None


@remembered
def _divide(x: Polynomial, y: Polynomial) -> Polynomial | None:
    if not y:
        return None
    parts = _split(x, y)
    whole, rest = ((), x) if parts is None else parts
    if not rest:
        return whole
    a, b = number_of(rest), number_of(y)
    if a is not None and b is not None:
        return add(whole, constant(a // b))
    return add(whole, (((("//", rest, y),), 1),))


@remembered
def _remainder(x: Polynomial, y: Polynomial) -> Polynomial | None:
    if not y:
        return None
    parts = _split(x, y)
    rest = x if parts is None else parts[1]
    if not rest:
        return ()
    a, b = number_of(rest), number_of(y)
    if a is not None and b is not None:
        return constant(a % b)
    return (((("%", rest, y),), 1),)


def _power(x: Polynomial, y: Polynomial) -> Polynomial | None:
    times = number_of(y)
    if times is None or not 0 <= times <= 4:
        return None
    made: Polynomial = (((), 1),)
    for _ in range(times):
        made = multiply(made, x)
    return made


def _of_bits(name: str) -> Callable[[Polynomial, Polynomial], Polynomial]:
    """Shifts by known numbers and masks of low bits are arithmetic; all else is an atom."""

    def made(x: Polynomial, y: Polynomial) -> Polynomial:
        a, b = number_of(x), number_of(y)
        if a is not None and b is not None:
            return constant(PYTHON[name](a, b))
        if name in ("<<", ">>") and b is not None and 0 <= b < 64:
            found = multiply(x, constant(1 << b)) if name == "<<" else _divide(x, constant(1 << b))
        elif name == "&" and b is not None and b >= 0 and b & (b + 1) == 0:
            found = _remainder(x, constant(b + 1))
        else:
            found = None
        return (((((name, x, y),), 1),)) if found is None else found

    return made


def rounded(how: str, x: Any) -> Polynomial:
    """A fraction that is known later as a whole number: `how` is a name in ROUNDED.

    Quotients of whole numbers are divided as these, where that gives the same below 2 ** 52.
    """
    if how in ("trunc", "floor", "ceil") and isinstance(x, tuple) and x[0] in ("/", "*"):
        over, under = _whole(x[1]), _whole(x[2])
        if x[0] == "*" and over is not None and under is not None:
            return multiply(over, under)
        if x[0] == "*":
            over, under = (over, _whole_inverse(x[2])) if over else (under, _whole_inverse(x[1]))
        if over and under and _tree_natural(over) and _tree_natural(under):
            made = _divide(over, under) if how != "ceil" else _divide(add((), over, -1), under)
            if made is not None:
                return made if how != "ceil" else add((), made, -1)
    return ((((how, x),), 1),)


def _whole(x: Any) -> Polynomial | None:
    """A whole number, which may be written as a float."""
    if isinstance(x, tuple):
        return x if is_polynomial(x) else None
    return constant(int(x)) if float(x).is_integer() else None


def _whole_inverse(x: Any) -> Polynomial | None:
    """1 / x for 1, 1 / 2, 1 / 4 ..., by which a product is the quotient to the last bit."""
    if isinstance(x, tuple) or not x > 0 or math.frexp(x)[0] != 0.5 or x > 1:
        return None
    return constant(int(1 / x))


WHOLE: dict[str, Callable[[Polynomial, Polynomial], Polynomial | None]] = {
    "+": add,
    "-": lambda x, y: add(x, y, -1),
    "*": multiply,
    "//": _divide,
    "%": _remainder,
    "**": _power,
    **{name: _of_bits(name) for name in BITS},
}


# ---- questions -----------------------------------------------------------------------------------


@remembered
def sides(difference: Polynomial) -> tuple[Polynomial, Polynomial]:
    """A difference that is compared with 0 as two sides without minus, numbers on the right.

    So equal questions are one guard, and read as people ask them.
    """
    left = {m: c for m, c in difference if m and c > 0}
    right = {m: -c for m, c in difference if not m or c < 0}
    return ordered(left), ordered(right)


def _sign(x: Polynomial) -> int | None:
    """1 for x > 0, -1 for x < 0, 0 for x == 0 whatever the sizes are; None if that depends.

    (A difference that may be 0 but never negative has no sign here.)
    """
    if not x:
        return 0
    alone = dict(x).get((), 0)
    others = [c for m, c in x if m]
    if all(c > 0 for c in others) and alone > 0 and _natural(x):
        return 1
    if all(c < 0 for c in others) and alone < 0 and _natural(x):
        return -1
    return None


def _natural(x: Polynomial) -> bool:
    """Whether all atoms are 0 or more: sizes, and what is made of sizes without subtraction."""
    return all(_atom_natural(atom) for monomial, _ in x for atom in monomial)


def _atom_natural(atom: Atom) -> bool:
    if atom[0] == "size":
        return True
    if atom[0] in GIVEN:
        return False
    if atom[0] == "bit_length":
        return True
    if atom[0] in ROUNDED:
        return _tree_natural(atom[1])
    return all(
        all(c > 0 for _, c in part) and _natural(part) for part in atom[1:] if is_polynomial(part)
    )


def _tree_natural(expr: Any) -> bool:
    """Whether a fraction is 0 or more, as what it is made of is."""
    if not isinstance(expr, tuple):
        return bool(expr >= 0)
    if is_polynomial(expr):
        return all(c > 0 for _, c in expr) and _natural(expr)
    return expr[0] in RISING and all(map(_tree_natural, expr[1:]))


@remembered
def known(difference: Polynomial, test: str) -> bool | None:
    """The answer to `difference test 0` where it does not depend on the sizes."""
    sign = _sign(difference)
    if sign is not None:
        return TESTS[test](sign, 0)
    if test == "==" and _never_zero(difference):
        return False
    one: Polynomial = (((), 1),)
    above, below = add(difference, one), add(one, difference, -1)
    if test == "<=" or test == "==":
        if _never_above_zero(below):  # difference >= 1
            return False
        if test == "<=":
            return True if _never_above_zero(difference) else None
    if _never_above_zero(above):  # difference <= -1
        return test == "<"
    if test == "<" and _never_above_zero(add((), difference, -1)):
        return False
    return None


def _never_zero(x: Polynomial) -> bool:
    """Whether a number that divides all terms with sizes does not divide the one without."""
    divisor = math.gcd(*(count for monomial, count in x if monomial))
    return divisor > 1 and dict(x).get((), 0) % divisor != 0


def least_by(difference: Polynomial, test: str, holds: bool) -> tuple[Atom, int] | None:
    """What an answer to `difference test 0` says of one size: the least that it is; or None."""
    alone = dict(difference).get((), 0)
    others = [(m[0], c) for m, c in difference if len(m) == 1]
    if len(difference) - (alone != 0) != 1 or len(others) != 1 or others[0][0][0] != "size":
        return None
    size, count = others[0]
    if count == 1 and test in ("<", "<=") and not holds:
        return size, (test == "<=") - alone
    if count == -1 and test in ("<", "<=") and holds:
        return size, (test == "<") + alone
    if abs(count) == 1 and test == "==":
        found = -count * alone
        return (size, found) if holds else (size, 1) if found == 0 else None
    return None


@remembered
def raised(x: Polynomial, least: tuple[tuple[Atom, int], ...]) -> Polynomial | None:
    """x, where each size stands for how far it is above the least that it can be. None for what
    cannot be written so.
    """
    total: Polynomial = ()
    for monomial, count in x:
        product = constant(count)
        for atom in monomial:
            higher = _raised_atom(atom, least)
            if higher is None:
                return None
            product = multiply(product, higher)
        total = add(total, product)
    return total


def _raised_atom(atom: Atom, least: tuple[tuple[Atom, int], ...]) -> Polynomial | None:
    if atom[0] in GIVEN:
        return add((((atom,), 1),), constant(dict(least).get(atom, 0)))
    if atom[0] not in WHOLE and atom[0] not in ("min", "max"):
        return None
    parts = []
    for part in atom[1:]:
        higher = raised(part, least) if is_polynomial(part) else None
        if higher is None:
            return None
        parts.append(higher)
    if atom[0] in WHOLE:
        return WHOLE[atom[0]](*parts)
    return ((((atom[0], *sorted(parts, key=repr)),), 1),)


@remembered
def _never_above_zero(x: Polynomial, depth: int = 4) -> bool:
    """Whether x <= 0 follows for all sizes, by what bounds quotients, minima and maxima."""
    if all(c < 0 for _, c in x) and _natural(x):
        return True
    if not depth or _above_zero_somewhere(x):
        return False
    ways = _larger(x)
    return any(all(_never_above_zero(y, depth - 1) for y in several) for several in ways)


@final
class _Sizes:
    """Sizes to try a claim about all sizes with: each symbol has another."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __getitem__(self, number: int) -> int:
        return self.least + number % 7


TRIED: Any = (_Sizes(1), _Sizes(61))


@remembered
def _above_zero_somewhere(x: Polynomial) -> bool:
    """Whether x > 0 for sizes that are tried, which is quicker than a search for why it is not."""
    try:
        return any(evaluate(x, sizes) > 0 for sizes in TRIED)
    except (ArithmeticError, ValueError):  # a divisor is zero for these, or a root of less
        return False


def _larger(x: Polynomial) -> Iterator[tuple[Polynomial, ...]]:
    """Ways to see that x <= 0, by replacing an atom by a bound of it: that all of these are."""
    for monomial, count in x:
        if len(monomial) != 1 or len(monomial[0]) != 3:
            continue
        name, first, second = monomial[0]
        rest = ordered({m: c for m, c in x if m != monomial})
        if name == "//" and is_polynomial(second):
            divisor = number_of(second)
            if divisor is not None and divisor > 0:
                # divisor * (first // divisor) is at most first, at least first - divisor + 1
                slack = (((), 1 - divisor),) if count < 0 and divisor > 1 else ()
                scaled = multiply(constant(divisor), rest)
                bound = add(scaled, multiply(constant(count), add(first, slack)))
                # x is whole: divisor * x <= bound, and bound < divisor is enough
                yield (add(bound, constant(divisor - 1), -1),)
        elif name in ("min", "max"):
            both = [add(rest, multiply(constant(count), y)) for y in (first, second)]
            if (name == "min") == (count > 0):
                yield (both[0],)
                yield (both[1],)
            else:
                yield tuple(both)
        elif name == "%" and count < 0:
            yield (rest,)


# ---- values and text -----------------------------------------------------------------------------


def evaluate(expr: Any, values: Sequence[Any]) -> Any:
    """The value of an expression, symbol number i being values[i]."""
    if type(expr) is not tuple:
        return expr
    if not expr or type(expr[0]) is tuple:  # a polynomial
        total = 0
        for monomial, count in expr:
            product = count
            for atom in monomial:
                product *= values[atom[1]] if atom[0] in GIVEN else evaluate(atom, values)
            total += product
        return total
    if expr[0] in GIVEN:
        return values[expr[1]]
    return PYTHON[expr[0]](*(evaluate(part, values) for part in expr[1:]))


def only_sizes(expr: Any) -> bool:
    """Whether an expression depends on sizes alone, and not on numbers that the user passes."""
    if not isinstance(expr, tuple):
        return True
    if is_polynomial(expr):
        return all(only_sizes(atom) for monomial, _ in expr for atom in monomial)
    return expr[0] == "size" or (expr[0] not in GIVEN and all(map(only_sizes, expr[1:])))


def symbols_of(expr: Any) -> set[Atom]:
    """The symbols in an expression, as their kinds and numbers."""
    if not isinstance(expr, tuple):
        return set()
    if is_polynomial(expr):
        parts: Any = [atom for monomial, _ in expr for atom in monomial]
    elif expr[0] in GIVEN:
        return {expr}
    else:
        parts = expr[1:]
    return set().union(*map(symbols_of, parts))


def text_of(expr: Any, names: Sequence[str]) -> str:
    """An expression as a formula of the symbols' names."""
    if not isinstance(expr, tuple):
        return str(expr)
    if is_polynomial(expr):
        terms = [_term(monomial, count, names) for monomial, count in reversed(expr)]
        return " + ".join(terms).replace("+ -", "- ") or "0"
    if expr[0] in GIVEN:
        return names[expr[1]]
    parts = [text_of(part, names) for part in expr[1:]]
    if expr[0] in ("min", "max", *ROUNDED, *CALLS):
        return f"{expr[0]}({', '.join(parts)})"
    left, right = (f"({part})" if " " in part else part for part in parts)
    made = f"{left} {expr[0]} {right}"
    return f"({made})" if expr[0] in BITS else made  # these bind less than sums do


def _term(monomial: Monomial, count: int, names: Sequence[str]) -> str:
    factors = [text_of(atom, names) for atom in monomial]
    if not factors:
        return str(count)
    factors = [f"({f})" if " " in f and (len(factors) > 1 or count != 1) else f for f in factors]
    return " * ".join(([] if count == 1 else [str(count)]) + factors)
