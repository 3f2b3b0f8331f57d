"""Sizes and numbers that are known only when a program runs. Floor 0.

A `Symbol` stands for one size of an input, or one number that the user passes. Arithmetic on it
makes further symbols; a question about it (`n == 3`, `if n:`) is answered by its example value, and
the answer is noted in its `Table` as a *guard*: the program holds wherever all its guards give the
same answers. What follows for all sizes (n >= 0, n + 1 > n, n * 64 // 64 == n) is answered without
a guard.

What a symbol is as a formula of the inputs is its expression (base/polynomials.py).
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, final

import numpy as np

from twofold.base import polynomials
from twofold.base.errors import OURS, owner_of, user_line
from twofold.base.guards import Guard, Guards
from twofold.base.polynomials import (
    PYTHON,
    TESTS,
    WHOLE,
    Polynomial,
    constant,
    evaluate,
    is_polynomial,
    only_sizes,
    text_of,
)


@final
class Table(Guards):
    """The symbols of one program: their names and example values, and the guards on them.

    watch   called with each new guard, and the value of its left side, unless None
    fixing  called with the frame that wants a number of the user's as a plain one, unless None
    open    whether sizes stand for no call's, so that what has to be equal is taken to be
    repeat  called for a list times a symbol, unless None: what it is, or NotImplemented
    lists   whether a list of as many things as a size may stay one of the graph
    """

    watch: Callable[[Guard, Any], None] | None = None
    fixing: Callable[[FrameType], None] | None = None
    open = False
    repeat: Callable[[list[Any], Symbol], Any] | None = None
    lists: Callable[[Symbol], bool] | None = None
    arrays: Any = None  # what NumPy has made of sizes (ops/numpy_of_sizes.py)
    shown: Sequence[Any] | None = None  # the values by which symbols print, while an error is told

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.examples: list[Any] = []
        self.wanted: set[tuple[Any, ...]] = set()  # keys of those that tell a number itself
        self.values: dict[Any, Any] = {}  # of expressions, by the examples
        self.raised: list[BaseException] = []  # errors of the examples' values

    def new(self, name: str, example: Any, kind: str = "size") -> Symbol:
        """A symbol for a "size", which is never negative, or for any "int" or "float"."""
        atom = (kind, len(self.names))
        self.names.append(name)
        self.examples.append(example)
        return Symbol(self, atom if kind == "float" else (((atom,), 1),), example)

    def ask(self, left: Any, test: str, right: Any) -> bool:
        """The answer by the example values, noted as a guard."""
        found = self.guards.get((left, test, right))
        if found is not None:
            return found.holds
        holds = TESTS[test](self.value(left), self.value(right))
        self.note(Guard(left, test, right, holds, user_line()))
        return holds

    def want(self, expr: Any, number: int) -> None:
        """A program is made for this number, as it stands where sizes do."""
        if is_polynomial(expr):
            guard = self.asked(polynomials.add(expr, constant(number), -1), "==")
            if guard is not None:
                self.wanted.add(guard.key())

    def note(self, guard: Guard) -> None:
        super().note(guard)
        if self.watch is not None:
            self.watch(guard, self.value(guard.left))

    def value(self, expr: Any) -> Any:
        found = self.values.get(expr)
        if found is None:
            found = self.values[expr] = self.example(evaluate, expr, self.examples)
        return found

    def example(self, function: Callable[..., Any], *given: Any) -> Any:
        """What a function gives for the example values. An error is of these, and noted: the user's
        code may catch it.
        """
        try:
            return function(*given)
        except (ArithmeticError, ValueError) as error:
            self.raised.append(error)
            raise

    def text(self, expr: Any) -> str:
        return text_of(expr, self.names)


def _both(op: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The methods of an operator, with the symbol on its left and on its right."""
    return lambda a, b: _arithmetic(op, a, b), lambda a, b: _arithmetic(op, b, a)


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

    def __add__(self, other: Any) -> Any:
        return _arithmetic("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _arithmetic("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _arithmetic("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _arithmetic("-", other, self)

    def __mul__(self, other: Any) -> Any:
        if type(other) is list and self.table.repeat is not None:
            return self.table.repeat(other, self)
        return _arithmetic("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        if type(other) is list and self.table.repeat is not None:
            return self.table.repeat(other, self)
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

    __lshift__, __rlshift__ = _both("<<")
    __rshift__, __rrshift__ = _both(">>")
    __and__, __rand__ = _both("&")
    __or__, __ror__ = _both("|")
    __xor__, __rxor__ = _both("^")

    def __invert__(self) -> Any:
        return -self - 1

    def bit_length(self) -> Any:
        return rounded("bit_length", self)

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

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
        """NumPy's functions: arithmetic gives symbols, all else is of numbers, for which the
        program is then made.
        """
        python = OF_NUMPY.get(ufunc.__name__) if method == "__call__" and not options else None
        if python is not None and all(type(x) is Symbol or _is_number(x) for x in given):
            return python(*[x if type(x) is Symbol else _python_number(x) for x in given])
        return getattr(ufunc, method)(*map(_fixed, given), **options)

    @property
    def __array__(self) -> Callable[..., Any]:
        """For NumPy, which makes an array of numbers: the program is then made for this fraction.
        Whole numbers stay what they are, in arrays of objects, with which shapes are computed.
        """
        if self.whole:
            raise AttributeError("__array__")
        return lambda dtype=None, copy=None: np.array(float(self), dtype)

    # questions

    def __eq__(self, other: object) -> bool:
        # a symbol of another program has another's guards: what a cache of the user's keeps by
        # sizes is not for this one
        if type(other) is Symbol and other.table is not self.table:
            return False
        return _answer(self, "==", other)  # type: ignore[no-any-return]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> Any:
        return _answer(self, "<", other)

    def __le__(self, other: Any) -> Any:
        return _answer(self, "<=", other)

    def __gt__(self, other: Any) -> Any:
        return _answer(self, "<=", other, holds=False)

    def __ge__(self, other: Any) -> Any:
        return _answer(self, "<", other, holds=False)

    def __bool__(self) -> bool:
        return not _compare(self, "==", 0)

    def __hash__(self) -> int:
        if self.table.watch is not None and self._wanted(sys._getframe(1)):
            return hash(self._fixed())  # a key of the user's, beside numbers
        return hash(self.expr)

    def is_integer(self) -> bool:
        return self.whole or bool(self % 1.0 == 0.0)

    def conjugate(self) -> Any:
        return self

    real = numerator = property(conjugate)
    imag = property(lambda self: 0 if self.whole else 0.0)

    def __getattr__(self, name: str) -> Any:
        # what else numbers have is of this one: `hex`, `as_integer_ratio`, `to_bytes`
        if name.startswith("__") or not hasattr(self.example, name):
            raise AttributeError(
                f"{type(self.example).__name__!r} object has no attribute {name!r}"
            )
        return getattr(self._fixed(), name)

    # its value, which the program is then made for

    def __index__(self) -> int:
        _compare(self, "==", self.example)
        self.table.want(self.expr, self.example)
        return operator.index(self.example)

    def __int__(self) -> int:
        if not self.whole and self.table.fixing is not None:
            self.table.fixing(sys._getframe(1))
        _compare(self, "==", self.example)
        return int(self.example)

    def __complex__(self) -> complex:
        return complex(_fixed(self))

    def __float__(self) -> float:
        if self.table.fixing is not None:
            self.table.fixing(sys._getframe(1))
        _compare(self, "==", self.example)
        return float(self.example)

    def __round__(self, digits: int | None = None) -> Any:
        if self.whole or digits is None:
            return rounded("round", self)
        return round(float(self), digits)

    def __ceil__(self) -> Any:
        return rounded("ceil", self)

    def __floor__(self) -> Any:
        return rounded("floor", self)

    def __trunc__(self) -> Any:
        return rounded("trunc", self)

    def told(self, frame: FrameType) -> str:
        """Its text for a frame: a name for code of ours, and for the user's its value, which the
        program is then made for; for a log or a traceback that of the call at hand.
        """
        table = self.table
        if table.shown is not None:
            return str(evaluate(self.expr, table.shown))
        if table.watch is None or owner_of(frame.f_code.co_filename) == OURS:
            return table.text(self.expr)
        if self._wanted(frame):
            if table.fixing is not None:
                table.fixing(frame)
            return str(self._fixed())
        return str(self.example)

    def _wanted(self, frame: FrameType) -> bool:
        """Whether a frame is the user's, or of a library that does something for it."""
        if owner_of(frame.f_code.co_filename) == OURS:
            return False
        return frame.f_globals.get("__name__", "").partition(".")[0] not in LOGS

    def _fixed(self) -> Any:
        _compare(self, "==", self.example)
        return self.example

    def __repr__(self) -> str:
        return self.told(sys._getframe(1))

    def __str__(self) -> str:
        return self.told(sys._getframe(1))

    def __format__(self, spec: str) -> str:
        text = self.told(sys._getframe(1))
        if text == str(self.example):
            return format(self.example, spec)
        return format(text, spec if spec[-1:] not in tuple("dfgeb") else "")


LOGS = {"logging", "warnings", "traceback", "pdb", "bdb"}  # what they write is of the call at hand
SymInt = SymFloat = Symbol  # PyTorch's names: one class is both here


def is_symbol(x: Any) -> bool:
    return type(x) is Symbol


def minimum(a: Any, b: Any) -> Any:
    """min(a, b), which stays a symbol where Python's own would ask which is less."""
    return _extreme("min", a, b)


def maximum(a: Any, b: Any) -> Any:
    """max(a, b), likewise."""
    return _extreme("max", a, b)


def _python_number(x: Any) -> Any:
    """A number of NumPy's that is one of Python's too, as that."""
    return x.item() if hasattr(x, "item") else x


def _fixed(x: Any) -> Any:
    """A number in place of a symbol, for which the program is then made."""
    if type(x) is not Symbol:
        return x
    return int(x) if x.whole else float(x)


def numbers_in(array: Any) -> Any:
    """An array of objects, which NumPy makes of symbols, as one of numbers."""
    found = [_fixed(x) for x in array.reshape(-1)]
    kind = "f8" if any(isinstance(x, float) for x in found) else "i8"
    known = found and all(isinstance(x, int | float) for x in found)
    return array.astype(kind) if known else array


def of_math(function: Callable[..., Any], *given: Any) -> Any:
    """A function of Python's math. Where a number is known only when a program runs, what it gives
    is a symbol, too, if it is a fraction always; else the program is made for that number.
    """
    name = f"math.{getattr(function, '__name__', '')}"
    waits = any(type(x) is Symbol for x in given)
    if (
        not waits
        or polynomials.CALLS.get(name) is not function
        or not all(type(x) is Symbol or _is_number(x) for x in given)
    ):
        return function(*given)
    table = _table(*given)
    example = table.example(function, *map(example_of, given))
    return Symbol(table, (name, *map(expression, given)), example)


def rounded(how: str, x: Symbol) -> Any:
    """A symbol as a whole number: how is a name in ROUNDED."""
    keeps = x.whole and how != "bit_length"
    return x if keeps else _finish(x.table, polynomials.rounded(how, x.expr))


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
    return constant(x)


def _table(*values: Any) -> Table:
    return next(v.table for v in values if type(v) is Symbol)


def _arithmetic(op: str, a: Any, b: Any) -> Any:
    left, right = (v.example if type(v) is Symbol else v for v in (a, b))
    if not _is_number(left) or not _is_number(right):
        if type(left) is complex or type(right) is complex:
            return PYTHON[op](_fixed(a), _fixed(b))
        return NotImplemented
    x, y = expression(a), expression(b)
    table = _table(a, b)
    if is_polynomial(x) and is_polynomial(y) and op in WHOLE:
        expr = WHOLE[op](x, y)
        if expr is not None:
            return _finish(table, expr)
    return Symbol(table, (op, x, y), table.example(PYTHON[op], left, right))


def _is_number(x: Any) -> bool:
    """Whether it is one indeed: what only claims to be (frontends/later.py) does its own sums."""
    return issubclass(type(x), int | float)


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


# ---- questions -----------------------------------------------------------------------------------


def _answer(a: Symbol, test: str, b: Any, holds: bool = True) -> Any:
    """Whether a test holds, or does not; NotImplemented for what answers such questions itself."""
    claims: Any = isinstance(b, int | float)
    if claims and type(b) is not Symbol and not _is_number(b):
        return NotImplemented
    return _compare(a, test, b) is holds


def _compare(a: Any, test: str, b: Any) -> bool:
    other = b.example if type(b) is Symbol else b
    if not isinstance(other, int | float):
        if test == "==":
            return False
        raise TypeError(f"'{test}' not supported between a size and {type(b).__name__}")
    x, y, table = expression(a), expression(b), _table(a, b)
    if is_polynomial(x) and is_polynomial(y):
        difference = polynomials.add(x, y, -1)
        known = table.known(difference, test)
        if known is not None:
            return known
        found = table.asked(difference, test)
        if found is not None:
            return found.holds
        x, y = polynomials.sides(difference)
    return table.ask(x, test, y)


def taken_equal(a: Any, b: Any) -> bool:
    """Whether sizes that have to be equal may be: in an `open` table this is noted as a guard."""
    table = _table(a, b)
    x, y = expression(a), expression(b)
    if not table.open or not (is_polynomial(x) and is_polynomial(y)):
        return False
    difference = polynomials.add(x, y, -1)
    if table.known(difference, "==") is False:
        return False
    found = table.asked(difference, "==")
    if found is None:
        left, right = polynomials.sides(difference)
        table.note(Guard(left, "==", right, True, user_line()))
    return found is None or found.holds


# ---- values and text -----------------------------------------------------------------------------


def value_of(x: Any, values: Sequence[Any]) -> Any:
    """A number, or nested tuples of numbers, with symbols replaced by their values."""
    if type(x) is Symbol:
        return evaluate(x.expr, values)
    if type(x) is tuple:
        return tuple([value_of(part, values) for part in x])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*[value_of(part, values) for part in x])
    return x


def fixed(x: Any) -> Any:
    """x, or nested tuples, where symbols that are not sizes became their example values."""
    if type(x) is Symbol:
        if only_sizes(x.expr):
            return x
        return operator.index(x) if x.whole else float(x)
    if type(x) is tuple:
        return tuple([fixed(part) for part in x])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*[fixed(part) for part in x])
    return x


# NumPy's arithmetic as Python's, by the names of its functions.
OF_NUMPY: dict[str, Callable[..., Any]] = {
    **{"add": operator.add, "subtract": operator.sub, "multiply": operator.mul},
    **{"divide": operator.truediv, "true_divide": operator.truediv},
    **{"floor_divide": operator.floordiv, "remainder": operator.mod, "power": operator.pow},
    **{"negative": operator.neg, "absolute": abs, "maximum": maximum, "minimum": minimum},
    **{"equal": operator.eq, "not_equal": operator.ne, "less": operator.lt},
    **{"less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge},
    "sqrt": lambda x: of_math(math.sqrt, x),
    **{"left_shift": operator.lshift, "right_shift": operator.rshift},
}
