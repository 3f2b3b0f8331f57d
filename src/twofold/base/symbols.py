"""Sizes and numbers that are known only when a program runs. Floor 0.

A `Symbol` stands for one size of an input, or one number that the user passes. Arithmetic on it
makes further symbols; a question about it (`n == 3`, `if n:`) is answered by its example value, and
the answer is noted in its `Table` as a *guard*: the program holds wherever all its guards give the
same answers. What follows for all sizes (n >= 0, n + 1 > n, n * 64 // 64 == n) is answered without
a guard.

Whole numbers are polynomials over atoms, so that equal expressions are equal objects; an atom is a
size, or a quotient, remainder, minimum or maximum that is no polynomial. Other numbers are trees.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

from twofold.base.errors import user_line
from twofold.base.records import NamedTuple

Atom = tuple[Any, ...]  # ("size", number), ("int", number), or (operation, argument, ...)
Monomial = tuple[Atom, ...]
Polynomial = tuple[tuple[Monomial, int], ...]


GIVEN = ("size", "int", "float")  # atoms that inputs give


class Guard(NamedTuple):
    """A question that was asked of a symbol, and its answer.

    left, test, right   the question, as `left < right`; expressions
    holds               the answer that the program was made for
    where               the user's line that asked
    """

    left: Any
    test: str
    right: Any
    holds: bool
    where: str

    def key(self) -> tuple[Any, ...]:
        return self.left, self.test, self.right


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
}


@final
class Table:
    """The symbols of one program: their names and example values, and the guards on them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.examples: list[Any] = []
        self.guards: dict[tuple[Any, ...], Guard] = {}

    def new(self, name: str, example: Any, kind: str = "size") -> Symbol:
        """A symbol for a "size", which is never negative, or for any "int" or "float"."""
        atom = (kind, len(self.names))
        self.names.append(name)
        self.examples.append(example)
        return Symbol(self, atom if kind == "float" else (((atom,), 1),), example)

    def ask(self, left: Any, test: str, right: Any) -> bool:
        """The answer by the example values, noted as a guard."""
        holds = TESTS[test](self.value(left), self.value(right))
        guard = Guard(left, test, right, holds, user_line())
        self.guards.setdefault(guard.key(), guard)
        return holds

    def ordered(self, less: Any, more: Any) -> bool:
        """Whether less <= more is known: for all sizes, or by a question that was asked."""
        difference = _add(less, more, -1)
        if _known(difference, "<=") is True:
            return True
        left, right = _sides(difference)
        found = self.guards.get((left, "<=", right))
        return found is not None and found.holds

    def equal(self, x: Any, y: Any) -> bool:
        """Whether a question was answered with: these are equal."""
        if not (is_polynomial(x) and is_polynomial(y)):
            return False
        for left, right in (_sides(_add(x, y, -1)), _sides(_add(y, x, -1))):
            found = self.guards.get((left, "==", right))
            if found is not None and found.holds:
                return True
        return False

    def value(self, expr: Any) -> Any:
        return evaluate(expr, self.examples)

    def text(self, expr: Any) -> str:
        return text_of(expr, self.names)


@final
class Symbol:
    """A number of a program that has a name instead of a value. Behaves as an int, or a float."""

    __slots__ = ("example", "expr", "table")

    def __init__(self, table: Table, expr: Any, example: Any) -> None:
        self.table = table
        self.expr = expr
        self.example = example

    @property  # type: ignore[misc]  # object's can be set, which nobody does to a number
    def __class__(self) -> type:
        # isinstance(n, int) holds, as for the number that it stands for
        return type(self.example)

    @property
    def whole(self) -> bool:
        return isinstance(self.example, int)

    # arithmetic

    def __add__(self, other: Any) -> Any:
        return _arithmetic("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _arithmetic("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _arithmetic("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _arithmetic("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return _arithmetic("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _arithmetic("*", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _arithmetic("//", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _arithmetic("//", other, self)

    def __mod__(self, other: Any) -> Any:
        return _arithmetic("%", self, other)

    def __rmod__(self, other: Any) -> Any:
        return _arithmetic("%", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _arithmetic("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _arithmetic("/", other, self)

    def __pow__(self, other: Any) -> Any:
        return _arithmetic("**", self, other)

    def __rpow__(self, other: Any) -> Any:
        return _arithmetic("**", other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __neg__(self) -> Any:
        return _arithmetic("*", self, -1)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    # questions

    def __eq__(self, other: object) -> bool:
        return _compare(self, "==", other)

    def __ne__(self, other: object) -> bool:
        return not _compare(self, "==", other)

    def __lt__(self, other: Any) -> bool:
        return _compare(self, "<", other)

    def __le__(self, other: Any) -> bool:
        return _compare(self, "<=", other)

    def __gt__(self, other: Any) -> bool:
        return not _compare(self, "<=", other)

    def __ge__(self, other: Any) -> bool:
        return not _compare(self, "<", other)

    def __bool__(self) -> bool:
        return not _compare(self, "==", 0)

    def __hash__(self) -> int:
        return hash(self.expr)

    def is_integer(self) -> bool:
        return self.whole

    # its value, which the program is then made for

    def __index__(self) -> int:
        _compare(self, "==", self.example)
        return operator.index(self.example)

    def __int__(self) -> int:
        _compare(self, "==", self.example)
        return int(self.example)

    def __float__(self) -> float:
        _compare(self, "==", self.example)
        return float(self.example)

    def __round__(self, digits: int | None = None) -> Any:
        return self if self.whole else round(float(self), digits)

    def __ceil__(self) -> Any:
        return self if self.whole else math.ceil(float(self))

    def __floor__(self) -> Any:
        return self if self.whole else math.floor(float(self))

    def __trunc__(self) -> Any:
        return self if self.whole else math.trunc(float(self))

    def __repr__(self) -> str:
        return self.table.text(self.expr)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec if spec[-1:] not in tuple("dfgeb") else "")


def is_symbol(x: Any) -> bool:
    return type(x) is Symbol


def minimum(a: Any, b: Any) -> Any:
    """min(a, b), which stays a symbol where Python's own would ask which is less."""
    return _extreme("min", a, b)


def maximum(a: Any, b: Any) -> Any:
    """max(a, b), likewise."""
    return _extreme("max", a, b)


def ceil_div(a: Any, b: Any) -> Any:
    """a / b rounded up, of whole numbers."""
    return -(-a // b)


def whole(x: Any) -> Any:
    """The number as a Python int; a symbol of a whole number stays one."""
    return x if type(x) is Symbol and x.whole else int(x)


def same_size(a: Any, b: Any) -> bool:
    """Whether two sizes are equal; of two symbols that are, the program will demand it."""
    return bool(a == b)


def same_shape(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes are equal. Of different ranks no size is asked for."""
    return len(a) == len(b) and a == b


def alike(a: Any, b: Any) -> bool:
    """Whether two sizes, or two shapes, are known to be equal; nothing is asked."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if type(a) is not Symbol and type(b) is not Symbol:
        return bool(a == b)
    x, y = expression(a), expression(b)
    return x == y or _table(a, b).equal(x, y)


def example_of(n: Any) -> Any:
    """A size in the call that the graph is captured with."""
    return n.example if type(n) is Symbol else n


def is_one(n: Any) -> bool:
    """Whether a size is known to be 1. A symbol is not: its broadcast is decided by the other."""
    return n == 1 if type(n) is not Symbol else False


# ---- expressions ---------------------------------------------------------------------------------


def expression(x: Any) -> Any:
    """The expression of a symbol or a number: a polynomial for whole ones."""
    if type(x) is Symbol:
        return x.expr
    if isinstance(x, bool) or not isinstance(x, int):
        return x
    return (((), int(x)),) if x else ()


def is_polynomial(expr: Any) -> bool:
    return isinstance(expr, tuple) and (not expr or isinstance(expr[0][0], tuple))


def _table(*values: Any) -> Table:
    return next(v.table for v in values if type(v) is Symbol)


PYTHON: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": operator.truediv,
    "**": operator.pow,
    "min": min,
    "max": max,
}


def _arithmetic(op: str, a: Any, b: Any) -> Any:
    left, right = (v.example if type(v) is Symbol else v for v in (a, b))
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return NotImplemented
    x, y = expression(a), expression(b)
    table = _table(a, b)
    if is_polynomial(x) and is_polynomial(y) and op in WHOLE:
        expr = WHOLE[op](x, y)
        if expr is not None:
            return _finish(table, expr)
    return Symbol(table, (op, x, y), PYTHON[op](left, right))


def _extreme(name: str, a: Any, b: Any) -> Any:
    if type(a) is not Symbol and type(b) is not Symbol:
        return PYTHON[name](a, b)
    x, y = expression(a), expression(b)
    table = _table(a, b)
    if is_polynomial(x) and is_polynomial(y):
        for less, more, answer in ((x, y, a), (y, x, b)):
            if table.ordered(less, more):
                return answer if name == "min" else (b if answer is a else a)
    first, second = sorted((x, y), key=repr)
    expr: Any = (((((name, first, second),), 1),)) if is_polynomial(x) else (name, first, second)
    return Symbol(table, expr, PYTHON[name](*(table.value(e) for e in (x, y))))


def _finish(table: Table, expr: Polynomial) -> Any:
    """A symbol, or a plain int where nothing unknown is left."""
    if not expr:
        return 0
    if len(expr) == 1 and expr[0][0] == ():
        return expr[0][1]
    return Symbol(table, expr, table.value(expr))


def _ordered(terms: Mapping[Monomial, int]) -> Polynomial:
    return tuple(sorted(((m, c) for m, c in terms.items() if c), key=repr))


def _add(x: Polynomial, y: Polynomial, factor: int = 1) -> Polynomial:
    terms = dict(x)
    for monomial, count in y:
        terms[monomial] = terms.get(monomial, 0) + factor * count
    return _ordered(terms)


def _multiply(x: Polynomial, y: Polynomial) -> Polynomial:
    terms: dict[Monomial, int] = {}
    for m, a in x:
        for n, b in y:
            both = tuple(sorted(m + n, key=repr))
            terms[both] = terms.get(both, 0) + a * b
    return _ordered(terms)


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
    return _ordered(whole), _ordered(rest)


def _number(x: Polynomial) -> int | None:
    if not x:
        return 0
    return x[0][1] if len(x) == 1 and x[0][0] == () else None


def _divide(x: Polynomial, y: Polynomial) -> Polynomial | None:
    if not y:
        return None
    parts = _split(x, y)
    whole, rest = ((), x) if parts is None else parts
    if not rest:
        return whole
    a, b = _number(rest), _number(y)
    if a is not None and b is not None:
        return _add(whole, expression(a // b))
    return _add(whole, (((("//", rest, y),), 1),))


def _remainder(x: Polynomial, y: Polynomial) -> Polynomial | None:
    if not y:
        return None
    parts = _split(x, y)
    rest = x if parts is None else parts[1]
    if not rest:
        return ()
    a, b = _number(rest), _number(y)
    if a is not None and b is not None:
        return expression(a % b)  # type: ignore[no-any-return]
    return (((("%", rest, y),), 1),)


def _power(x: Polynomial, y: Polynomial) -> Polynomial | None:
    times = _number(y)
    if times is None or not 0 <= times <= 4:
        return None
    made: Polynomial = (((), 1),)
    for _ in range(times):
        made = _multiply(made, x)
    return made


WHOLE: dict[str, Callable[[Polynomial, Polynomial], Polynomial | None]] = {
    "+": _add,
    "-": lambda x, y: _add(x, y, -1),
    "*": _multiply,
    "//": _divide,
    "%": _remainder,
    "**": _power,
}


# ---- questions -----------------------------------------------------------------------------------


def _compare(a: Any, test: str, b: Any) -> bool:
    other = b.example if type(b) is Symbol else b
    if not isinstance(other, int | float):
        if test == "==":
            return False
        raise TypeError(f"'{test}' not supported between a size and {type(b).__name__}")
    x, y = expression(a), expression(b)
    if is_polynomial(x) and is_polynomial(y):
        difference = _add(x, y, -1)
        known = _known(difference, test)
        if known is not None:
            return known
        x, y = _sides(difference)
    return _table(a, b).ask(x, test, y)


def _sides(difference: Polynomial) -> tuple[Polynomial, Polynomial]:
    """A difference that is compared with 0 as two sides without minus, numbers on the right.

    So equal questions are one guard, and read as people ask them.
    """
    left = {m: c for m, c in difference if m and c > 0}
    right = {m: -c for m, c in difference if not m or c < 0}
    return _ordered(left), _ordered(right)


def _sign(x: Polynomial) -> int | None:
    """1 for x > 0, -1 for x < 0, 0 for x == 0 whatever the sizes are; None if that depends.

    (A difference that may be 0 but never negative has no sign here.)
    """
    if not x:
        return 0
    constant = dict(x).get((), 0)
    others = [c for m, c in x if m]
    if all(c > 0 for c in others) and constant > 0 and _natural(x):
        return 1
    if all(c < 0 for c in others) and constant < 0 and _natural(x):
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
    return all(
        all(c > 0 for _, c in part) and _natural(part) for part in atom[1:] if is_polynomial(part)
    )


def _known(difference: Polynomial, test: str) -> bool | None:
    """The answer to `difference test 0` where it does not depend on the sizes."""
    sign = _sign(difference)
    if sign is not None:
        return TESTS[test](sign, 0)
    one: Polynomial = (((), 1),)
    above, below = _add(difference, one), _add(one, difference, -1)
    if test == "<=" or test == "==":
        if _never_above_zero(below):  # difference >= 1
            return False
        if test == "<=":
            return True if _never_above_zero(difference) else None
    if _never_above_zero(above):  # difference <= -1
        return test == "<"
    if test == "<" and _never_above_zero(_add((), difference, -1)):
        return False
    return None


def _never_above_zero(x: Polynomial, depth: int = 4) -> bool:
    """Whether x <= 0 follows for all sizes, by what bounds quotients, minima and maxima."""
    if all(c < 0 for _, c in x) and _natural(x):
        return True
    if not depth:
        return False
    ways = _larger(x)
    return any(all(_never_above_zero(y, depth - 1) for y in several) for several in ways)


def _larger(x: Polynomial) -> Iterator[tuple[Polynomial, ...]]:
    """Ways to see that x <= 0, by replacing an atom by a bound of it: that all of these are."""
    for monomial, count in x:
        if len(monomial) != 1 or monomial[0][0] in GIVEN:
            continue
        name, first, second = monomial[0]
        rest = _ordered({m: c for m, c in x if m != monomial})
        if name == "//" and is_polynomial(second):
            divisor = _number(second)
            if divisor is not None and divisor > 0:
                # divisor * (first // divisor) is at most first, at least first - divisor + 1
                slack = (((), 1 - divisor),) if count < 0 and divisor > 1 else ()
                scaled = _multiply(expression(divisor), rest)
                bound = _add(scaled, _multiply(expression(count), _add(first, slack)))
                # x is whole: divisor * x <= bound, and bound < divisor is enough
                yield (_add(bound, expression(divisor - 1), -1),)
        elif name in ("min", "max"):
            both = [_add(rest, _multiply(expression(count), y)) for y in (first, second)]
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
    if not isinstance(expr, tuple):
        return expr
    if is_polynomial(expr):
        total = 0
        for monomial, count in expr:
            product = count
            for atom in monomial:
                product *= evaluate(atom, values)
            total += product
        return total
    if expr[0] in GIVEN:
        return values[expr[1]]
    return PYTHON[expr[0]](*(evaluate(part, values) for part in expr[1:]))


def value_of(x: Any, values: Sequence[Any]) -> Any:
    """A number, or nested tuples of numbers, with symbols replaced by their values."""
    if type(x) is Symbol:
        return evaluate(x.expr, values)
    if type(x) is tuple:
        return tuple([value_of(part, values) for part in x])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*[value_of(part, values) for part in x])
    return x


def only_sizes(expr: Any) -> bool:
    """Whether an expression depends on sizes alone, and not on numbers that the user passes."""
    if not isinstance(expr, tuple):
        return True
    if is_polynomial(expr):
        return all(only_sizes(atom) for monomial, _ in expr for atom in monomial)
    return expr[0] == "size" or (expr[0] not in GIVEN and all(map(only_sizes, expr[1:])))


def fixed(x: Any) -> Any:
    """x, or nested tuples, where symbols that are not sizes became their example values."""
    if type(x) is Symbol:
        if only_sizes(x.expr):
            return x
        return int(x) if x.whole else float(x)
    if type(x) is tuple:
        return tuple([fixed(part) for part in x])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*[fixed(part) for part in x])
    return x


def guards_hold(guards: Sequence[Guard], values: Sequence[Any]) -> Guard | None:
    """The first guard that the values break, or None."""
    for guard in guards:
        left, right = evaluate(guard.left, values), evaluate(guard.right, values)
        if TESTS[guard.test](left, right) is not guard.holds:
            return guard
    return None


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
    if expr[0] in ("min", "max"):
        return f"{expr[0]}({', '.join(parts)})"
    left, right = (f"({part})" if " " in part else part for part in parts)
    return f"{left} {expr[0]} {right}"


def _term(monomial: Monomial, count: int, names: Sequence[str]) -> str:
    factors = [text_of(atom, names) for atom in monomial]
    if not factors:
        return str(count)
    factors = [f"({f})" if " " in f and (len(factors) > 1 or count != 1) else f for f in factors]
    return " * ".join(([] if count == 1 else [str(count)]) + factors)
