"""Python numbers that only a run of the program knows: what `x.item()` gives in a graph. Floor 9.

A `Later` behaves as the int, float or bool that it stands for: it has Python's arithmetic (of 64
bits; powers and the functions of `math` are Python's own, called when the program runs), counts as
a number where types are promoted, and comes out of the function as a number. What Python itself
must know of it (a branch, a text, a size) is refused; rewritten statements (frontends/syntax.py)
know what to do with it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import in_python
from twofold.base.symbols import is_symbol
from twofold.base.symbols import of_math as of_symbols
from twofold.base.types import Type
from twofold.frontends import asked, edges
from twofold.frontends.arrays import CaptureError
from twofold.frontends.capture import ITEM_OF, LATER
from twofold.frontends.windows import Line, lessened, moved, scaled
from twofold.ops import compare, elementwise
from twofold.ops.bind import bind, mode, recording
from twofold.ops.elementwise import cast
from twofold.ops.op import define
from twofold.ops.rounding import floor_divide, remainder
from twofold.ops.tensor import Tensor, wrap

TYPES = {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.float64}
KINDS = {"b": bool, "i": int, "u": int, "f": float, "V": float}


@final
class Later:
    """The number in a 0-d tensor of a graph: a bool, an i64 or an f64.

    kind     bool, int or float
    outside  the tensor from outside whose number it is, or None
    line     of what a loop counts: in which range, and how (frontends/windows.py)
    """

    __slots__ = ("kind", "line", "outside", "tensor")

    def __init__(self, kind: type, tensor: Tensor, outside: Tensor | None = None) -> None:
        self.kind = kind
        self.tensor = tensor
        self.outside = outside
        self.line: Line | None = None

    def on(self, line: Line | None) -> Later:
        """The same number, of which a range is known."""
        self.line = line
        return self

    @property  # type: ignore[misc]  # as of a Symbol: isinstance(n, float) holds
    def __class__(self) -> type:
        return self.kind

    def __add__(self, other: Any) -> Any:
        return _on(moved, self, other, _arithmetic(elementwise.add, self, other))

    def __radd__(self, other: Any) -> Any:
        return _on(moved, self, other, _arithmetic(elementwise.add, other, self))

    def __sub__(self, other: Any) -> Any:
        return _on(lessened, self, other, _arithmetic(elementwise.sub, self, other))

    def __rsub__(self, other: Any) -> Any:
        return _arithmetic(elementwise.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return _on(scaled, self, other, _arithmetic(elementwise.mul, self, other))

    def __rmul__(self, other: Any) -> Any:
        return _on(scaled, self, other, _arithmetic(elementwise.mul, other, self))

    def __truediv__(self, other: Any) -> Any:
        return _divided(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _divided(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _whole(floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _whole(floor_divide, other, self)

    def __mod__(self, other: Any) -> Any:
        return _whole(remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _whole(remainder, other, self)

    def __neg__(self) -> Any:
        return _arithmetic(elementwise.sub, 0, self) if self.kind is not float else self * -1.0

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        with recording(False):
            return Later(
                float if self.kind is float else int, elementwise.abs(_as(self, self.kind))
            )

    def __lt__(self, other: Any) -> Any:
        return _compared(compare.lt, self, other, "<")

    def __le__(self, other: Any) -> Any:
        return _compared(compare.le, self, other, "<", 1)

    def __gt__(self, other: Any) -> Any:
        return _compared(compare.gt, self, other, "<", 1, False)

    def __ge__(self, other: Any) -> Any:
        return _compared(compare.ge, self, other, "<", 0, False)

    def __eq__(self, other: object) -> Any:
        return _compared(compare.eq, self, other, "==")

    def __ne__(self, other: object) -> Any:
        return _compared(compare.ne, self, other, "==", 0, False)

    def __repr__(self) -> str:
        return f"<{self.kind.__name__} of a graph>"

    def _refuse(self, *_: Any) -> NoReturn:
        name = self.kind.__name__
        raise CaptureError(
            "compile",
            f"values are not known while a graph is captured: Python wants this {name}",
            hint="arithmetic of tensors; twofold.where or twofold.cond for a choice by value; "
            "twofold.callback for Python that runs every time; or do it outside of the function",
        )

    def size(self) -> Any:
        """A whole number as a symbol, for which no program is made anew."""
        if self.kind is float:
            return self
        made = asked.number_of(self.tensor.array)
        return self.__index__() if made is None else made

    def known(self) -> Any:
        """The number of a tensor from outside, which the program is then made for; a whole number
        of the graph, which is computed before each run, as a symbol. Raises CaptureError for
        others, and where what leads to it is a part of a loop or a branch.
        """
        capture = mode.capture
        if self.outside is not None and capture is not None:
            return self.kind(capture.values_now(self.outside).item())
        made = None
        if self.kind is not float and capture is not None:
            made = asked.number_of(self.tensor.array)
        if made is None:
            self._refuse()
        return made != 0 if self.kind is bool else made

    def __bool__(self) -> bool:
        return bool(self.known())

    def __int__(self) -> int:
        return int(self.known())

    def __float__(self) -> float:
        return float(self.known())

    def __index__(self) -> int:
        if self.kind is float:
            raise TypeError("'float' object cannot be interpreted as an integer")
        return operator.index(self.known())

    def __str__(self) -> str:
        return str(self._told())

    def __format__(self, spec: str) -> str:
        return format(self._told(), spec)

    def __hash__(self) -> int:
        return hash(self._now())

    def __round__(self, digits: int | None = None) -> Any:
        return computed(int if digits is None else self.kind, round, self, digits)

    def __trunc__(self) -> Any:
        return computed(int, math.trunc, self)

    def __floor__(self) -> Any:
        return computed(int, math.floor, self)

    def __ceil__(self) -> Any:
        return computed(int, math.ceil, self)

    def __pow__(self, other: Any) -> Any:
        return _power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return _power(other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def is_integer(self) -> Any:
        return computed(bool, float.is_integer, self)

    def as_integer_ratio(self) -> tuple[int, int]:
        return self._now().as_integer_ratio()  # type: ignore[no-any-return]

    def _told(self) -> Any:
        """The number for a text that a library makes, `str.format`: only Python can."""
        try:
            return self._now()
        except CaptureError as error:
            in_python(error)
            raise

    def _now(self) -> Any:
        """The number itself, which the program is then made for."""
        found = self.known()
        return self.kind(found) if self.kind is not float else found


def is_later(x: Any) -> bool:
    return type(x) is Later


def later(x: Tensor) -> Later:
    """The number in a tensor of one element. Raises CaptureError for complex ones."""
    kind = KINDS.get(x.array.dtype.kind)
    if kind is None:
        raise CaptureError("compile", "a complex number of a graph", hint="real and imag")
    with recording(False):
        return Later(kind, cast(x.detach().reshape(()), TYPES[kind]))  # type: ignore[attr-defined]


def number_of(x: Any) -> Tensor:
    """A Python number, a symbol or a Later as a 0-d tensor of 64 bits."""
    return _as(x, type_of_number(x))


def number_kind(x: Any) -> type | None:
    """bool, int or float for a Python number, or what stands for one; None for all else."""
    return type_of_number(x) if _number(x) else None


def type_of_number(x: Any) -> type:
    """bool, int or float: what Python takes a number for."""
    return bool if isinstance(x, bool) else int if isinstance(x, int) else float


def _as(x: Any, kind: type) -> Tensor:
    if is_later(x):
        return cast(x.tensor, TYPES[kind])
    return wrap(mode.capture.constant(x, TYPES[kind]))


def _number(x: Any) -> bool:
    return is_later(x) or is_symbol(x) or type(x) in TYPES


def _arithmetic(function: Any, a: Any, b: Any) -> Any:
    if not (_number(a) and _number(b)):
        return NotImplemented
    kind = float if float in (type_of_number(a), type_of_number(b)) else int
    with recording(False):
        return Later(kind, function(_as(a, kind), _as(b, kind)))


def _on(rule: Any, x: Later, other: Any, made: Any) -> Any:
    """A sum or a product, with its range where that of x is known."""
    if x.line is not None and is_later(made):
        made.line = rule(x.line, other)
    return made


def _divided(a: Any, b: Any) -> Any:
    if not (_number(a) and _number(b)):
        return NotImplemented
    with recording(False):
        x, y = _as(a, float), _as(b, float)
        zero = compare.ne(y, 0.0)
        mode.capture.demand(zero, lambda: ZeroDivisionError("division by zero"))
        return Later(float, elementwise.true_divide(x, y))


def _whole(function: Any, a: Any, b: Any) -> Any:
    """// and % of whole numbers."""
    if not (_number(a) and _number(b)):
        return NotImplemented
    if float in (type_of_number(a), type_of_number(b)):
        plain = operator.floordiv if function is floor_divide else operator.mod
        return computed(float, plain, a, b)
    with recording(False):
        x, y = _as(a, int), _as(b, int)
        mode.capture.demand(compare.ne(y, 0), lambda: ZeroDivisionError("modulo by zero"))
        return Later(int, function(x, y))


def _power(a: Any, b: Any) -> Any:
    """a ** b. Of whole numbers it is a whole number or a float: the program is made for them."""
    if not (_number(a) and _number(b)):
        return NotImplemented
    if float in (type_of_number(a), type_of_number(b)):
        return computed(float, operator.pow, a, b)
    return (a._now() if is_later(a) else a) ** (b._now() if is_later(b) else b)


@final
class Plain:
    """A Python function of numbers that a program calls."""

    __slots__ = ("function", "given", "type")

    def __init__(self, function: Callable[..., Any], given: tuple[Any, ...], type_: Type) -> None:
        self.function = function
        self.given = given  # its arguments; RUN where one is an operand
        self.type = type_

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", "function")


RUN = object()


def _of_python(*arrays: Any, hook: Plain) -> Any:
    operands = iter(arrays)
    given = [next(operands).item() if x is RUN else x for x in hook.given]
    return np.array(hook.function(*given), hook.type.dtype.numpy)


PYTHON = define(
    "python_number",
    inputs="*operands",
    attrs=("hook",),
    doc="A number that a Python function makes of numbers.",
    infer=lambda *types, hook: hook.type,
    ref=_of_python,
    torch=False,
    samples=lambda r: [],
)


def computed(kind: type, function: Callable[..., Any], *given: Any) -> Later:
    """function(*given), a number of this kind, computed by Python when the program runs."""
    waits = [is_later(x) or is_symbol(x) for x in given]
    operands = tuple([number_of(x) for x, wait in zip(given, waits, strict=True) if wait])
    rest = tuple([RUN if wait else x for x, wait in zip(given, waits, strict=True)])
    with recording(False):
        made = bind(PYTHON, operands, (Plain(function, rest, Type((), TYPES[kind])),))
    return Later(kind, made)


WHOLE = {"ceil", "comb", "factorial", "floor", "gcd", "isqrt", "lcm", "perm", "trunc"}
TRUTHS = {"isclose", "isfinite", "isinf", "isnan"}
SEVERAL = {"frexp", "modf", "fsum", "prod", "dist", "sumprod"}  # of containers, or several results


def of_math(function: Any, *given: Any) -> Any:
    """A function of Python's math, of numbers that a run knows too."""
    name = getattr(function, "__name__", "")
    waits = mode.capture is not None and any(map(is_later, given))
    if not waits or getattr(function, "__module__", "") != "math" or name in SEVERAL:
        return of_symbols(function, *given)
    kind = int if name in WHOLE else bool if name in TRUTHS else float
    return computed(kind, function, *given)


def _compared(function: Any, a: Later, b: Any, test: str, more: int = 0, holds: bool = True) -> Any:
    """A comparison. Of what a loop counts, `a < b + more` or `a == b` may be one in all turns."""
    if not _number(b):
        return NotImplemented
    if a.line is not None and not is_later(b):
        found = edges.answer(a.line, test, b + more)
        if found is not None:
            return found is holds
    kind = float if float in (type_of_number(a), type_of_number(b)) else int
    with recording(False):
        return Later(bool, function(_as(a, kind), _as(b, kind)))


LATER.add(Later)
ITEM_OF[:] = [lambda array: later(wrap(array))]
