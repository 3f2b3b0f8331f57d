"""Values and variables of a function being written: Python operators write statements. Floor 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from twofold.ir import loops
from twofold.ir.loops import TYPES, LoopsError, Operand, vector, with_element

if TYPE_CHECKING:  # the pen that these belong to
    from twofold.ir.build import Function

Number = int | float | bool


@final
class Value:
    """A value in the function being written. Operators write statements and give new values.

    `//`, `%`, `<<` and `.lshr` treat integers as unsigned, as index arithmetic wants;
    Python numbers are taken wherever a Value is, with the type of the other operand.
    """

    __slots__ = ("function", "operand", "type")

    def __init__(self, function: Function, operand: Operand) -> None:
        self.function = function
        self.operand = operand
        self.type = operand.type

    def __repr__(self) -> str:
        return f"{self.type} {self.operand.name}"

    def __bool__(self) -> bool:
        raise LoopsError("if", "a value exists only when the kernel runs", hint="f.if_(value)")

    def __add__(self, other: Value | Number) -> Value:
        return self.function.binary("add", self, other)

    def __radd__(self, other: Number) -> Value:
        return self.function.binary_reflected("add", other, self)

    def __sub__(self, other: Value | Number) -> Value:
        return self.function.binary("sub", self, other)

    def __rsub__(self, other: Number) -> Value:
        return self.function.binary_reflected("sub", other, self)

    def __mul__(self, other: Value | Number) -> Value:
        return self.function.binary("mul", self, other)

    def __rmul__(self, other: Number) -> Value:
        return self.function.binary_reflected("mul", other, self)

    def __truediv__(self, other: Value | Number) -> Value:
        return self.function.binary("div", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return self.function.binary_reflected("div", other, self)

    def __floordiv__(self, other: Value | Number) -> Value:
        return self.function.binary("udiv", self, other)

    def __rfloordiv__(self, other: Number) -> Value:
        return self.function.binary_reflected("udiv", other, self)

    def __mod__(self, other: Value | Number) -> Value:
        return self.function.binary("urem", self, other)

    def __rmod__(self, other: Number) -> Value:
        return self.function.binary_reflected("urem", other, self)

    def __and__(self, other: Value | Number) -> Value:
        return self.function.binary("and", self, other)

    __rand__ = __and__

    def __or__(self, other: Value | Number) -> Value:
        return self.function.binary("or", self, other)

    __ror__ = __or__

    def __xor__(self, other: Value | Number) -> Value:
        return self.function.binary("xor", self, other)

    __rxor__ = __xor__

    def __lshift__(self, other: Value | Number) -> Value:
        return self.function.binary("shl", self, other)

    def __rlshift__(self, other: Number) -> Value:
        return self.function.binary_reflected("shl", other, self)

    def __invert__(self) -> Value:
        return self ^ (1 if TYPES[self.type].bits == 1 else -1)

    def __neg__(self) -> Value:
        return self.function.let(self.type, "neg", (self.operand,))

    def ashr(self, other: Value | Number) -> Value:
        """Shift right, filling with the sign."""
        return self.function.binary("ashr", self, other)

    def lshr(self, other: Value | Number) -> Value:
        """Shift right, filling with zeros."""
        return self.function.binary("lshr", self, other)

    def sdiv(self, other: Value | Number) -> Value:
        """Signed division, rounding toward zero."""
        return self.function.binary("sdiv", self, other)

    def srem(self, other: Value | Number) -> Value:
        """The remainder of `sdiv`, with the sign of the dividend."""
        return self.function.binary("srem", self, other)

    def cmp(self, predicate: str, other: Value | Number) -> Value:
        """A truth value, or a vector of them: x.cmp("olt", 0.0)."""
        right = self.function.like(self, other)
        known = loops.FLOAT_PREDICATES if TYPES[self.type].is_float else loops.INT_PREDICATES
        if predicate not in known:
            raise LoopsError("cmp", f"no predicate {predicate!r} for {self.type}", known=known)
        kind = with_element(self.type, "i1")
        return self.function.let(kind, "cmp", (self.operand, right.operand), (predicate,))

    def select(self, yes: Value | Number, no: Value | Number) -> Value:
        """`yes` where this is true, else `no`; lane by lane if this is a vector."""
        function = self.function
        if isinstance(yes, Value):
            no = function.like(yes, no)
        elif isinstance(no, Value):
            yes = function.const(no.type, yes)
        else:
            raise LoopsError("select", "two Python numbers have no type", hint="f.const")
        args = (self.operand, yes.operand, no.operand)
        return function.let(yes.type, "select", args)

    def at(self, index: Value | int, type: str = "f32") -> Value:
        """This pointer moved by `index` elements of `type`."""
        where = self.function.value("i64", index)
        return self.function.let("ptr", "at", (self.operand, where.operand), (type,))

    def load(self, type: str = "f32", align: int | None = None) -> Value:
        """The value in memory here; `align` in bytes, an element's size if not given, or 8."""
        align = min(TYPES[type].size, 8) if align is None else align
        return self.function.let(type, "load", (self.operand,), (align,))

    def store(self, value: Value, align: int | None = None) -> None:
        if not isinstance(value, Value):
            raise LoopsError("store", f"{value!r} has no type", hint="f.const(type, number)")
        align = min(TYPES[value.type].size, 8) if align is None else align
        self.function.do("store", (value.operand, self.operand), (align,))

    def cast(self, how: str, type: str) -> Value:
        """Convert by one of loops.CASTS: x.cast("sitofp", "f32x8")."""
        if how not in loops.CASTS:
            raise LoopsError("cast", f"no cast {how!r}", known=loops.CASTS)
        return self.function.let(type, "cast", (self.operand,), (how,))

    def splat(self, width: int) -> Value:
        """A vector with this value in every lane."""
        return self.function.let(vector(self.type, width), "splat", (self.operand,))


@final
class Var:
    """A variable of the function being written."""

    __slots__ = ("function", "place", "type")

    def __init__(self, function: Function, place: Operand) -> None:
        self.function = function
        self.place = place
        self.type = place.type

    def get(self) -> Value:
        return self.function.let(self.type, "get", (self.place,))

    def set(self, value: Value | Number) -> None:
        new = self.function.value(self.type, value)
        self.function.do("set", (self.place, new.operand))


@final
class Branch:
    """An `if` being written: `branch.otherwise()` begins its other side."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.then: list[loops.Statement] | None = None

    def otherwise(self) -> None:
        if self.then is not None:
            raise LoopsError("if", "otherwise() was already called")
        self.then = self.function.body
        self.function.body = []


# What the two-operand operations take: floats, whole numbers, or both.
BINARY = {
    "add": "number",
    "sub": "number",
    "mul": "number",
    "div": "float",
    "udiv": "int",
    "urem": "int",
    "sdiv": "int",
    "srem": "int",
    "and": "int",
    "or": "int",
    "xor": "int",
    "shl": "int",
    "ashr": "int",
    "lshr": "int",
    "min": "int",
    "max": "int",
    "copysign": "float",
}
ACCEPTS = {"number": (True, False), "float": (True,), "int": (False,)}
