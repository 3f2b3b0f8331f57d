"""Loops: the language of kernels, as immutable records. Floor 2.

A module holds functions, external functions, zeroed data and constant tables. A function's body is
a tuple of statements; control flow is structured (loop, while, if, switch), so there are no labels
and no phi. Values are defined once; what changes lives in a `Var` or in memory.

Types are words: i1 i8 i16 i32 i64 f16 f32 f64 ptr, and vectors of them such as "f32x8".
Arithmetic is IEEE 754 as written: there is no flag that would allow anything else. Some things have
no meaning and must not happen: a whole number divided by 0, a shift by the width or more, a float
cast to a whole number that does not hold it (NaN too: clamp before), a step that is not positive.
`str(module)` prints the canonical text, `text.parse` reads it back.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from operator import index as exact_int
from typing import Any, TypeVar

from twofold.base.errors import TwofoldError
from twofold.base.records import NamedTuple


class LoopsError(TwofoldError, ValueError):
    """A Loops program that means nothing: wrong types, unknown names, bad structure."""


class TypeFacts(NamedTuple):
    """What is known about a type word: f32x8 has element f32, 8 lanes, 4 bytes a lane."""

    name: str
    element: str
    lanes: int
    is_vector: bool
    is_float: bool
    bits: int
    size: int


# element: (is_float, bits, bytes in memory)
ELEMENTS = {
    "i1": (False, 1, 1),
    "i8": (False, 8, 1),
    "i16": (False, 16, 2),
    "i32": (False, 32, 4),
    "i64": (False, 64, 8),
    "i128": (False, 128, 16),  # two words: loaded, moved and stored, and taken apart
    "f16": (True, 16, 2),
    "f32": (True, 32, 4),
    "f64": (True, 64, 8),
    "ptr": (False, 64, 8),
}


class _Types(dict[str, TypeFacts]):
    def __missing__(self, name: str) -> TypeFacts:
        element, mark, lanes = str(name).partition("x")
        known = element in ELEMENTS and (not mark or (lanes.isdecimal() and lanes[0] != "0"))
        if not known or (mark and element == "ptr"):
            words = ", ".join(ELEMENTS) + ", and vectors such as f32x8"
            raise LoopsError("type", f"{name!r} is no type", types=words)
        self[name] = TypeFacts(name, element, int(lanes or 1), bool(mark), *ELEMENTS[element])
        return self[name]


TYPES = _Types()


def vector(element: str, lanes: int) -> str:
    """The type of `lanes` values of type `element`: vector("f32", 8) is "f32x8"."""
    return f"{element}x{lanes}"


def with_element(name: str, element: str) -> str:
    """The same lanes with another element: with_element("f32x8", "i1") is "i1x8"."""
    _, mark, lanes = name.partition("x")
    return element + mark + lanes


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def is_name(name: str) -> bool:
    """Whether a function, parameter, table or data may be called so; %v7 is a value's own name."""
    return _NAME.fullmatch(name) is not None and not (name[0] == "v" and name[1:].isdecimal())


Record = TypeVar("Record", bound=type)


def record(cls: Record) -> Record:
    """Make equality of a NamedTuple look at the class too: Break(c) is not Continue(c)."""

    def same(self: Any, other: Any) -> bool:
        return type(self) is type(other) and bool(tuple.__eq__(self, other))

    def differs(self: Any, other: Any) -> bool:
        return not same(self, other)

    made: Any = cls
    made.__eq__, made.__ne__, made.__hash__ = same, differs, tuple.__hash__
    return cls


class Operand(NamedTuple):
    """Something a statement reads or defines: a type and a name.

    The first letter of the name says what it is: %v3 or %job a value, $4 a variable, @f the address
    of a function, of data or of a table; anything else is a literal such as 7, 0.5, true or null.
    """

    type: str
    name: str


@record
class Let(NamedTuple):
    """`result = op(args)`. The attributes are what is known when the program is written."""

    result: Operand
    op: str
    args: tuple[Operand, ...]
    attrs: tuple[Any, ...] = ()


@record
class Do(NamedTuple):
    """An operation without a result: a store, a fence, a call of a void function."""

    op: str
    args: tuple[Operand, ...]
    attrs: tuple[Any, ...] = ()


@record
class Var(NamedTuple):
    """A place for one value that changes, read by `get` and written by `set`."""

    place: Operand
    init: Operand | None


@record
class Loop(NamedTuple):
    """counter = low; while counter < high (signed): body; counter += step."""

    counter: Operand
    low: Operand
    high: Operand
    step: Operand
    body: Body


@record
class While(NamedTuple):
    """Repeat the body until a Break or a Return leaves it."""

    body: Body


@record
class Break(NamedTuple):
    """Leave the innermost loop if the condition holds."""

    condition: Operand


@record
class Continue(NamedTuple):
    """Go on with the next turn of the innermost loop if the condition holds."""

    condition: Operand


@record
class If(NamedTuple):
    condition: Operand
    then: Body
    otherwise: Body


@record
class Switch(NamedTuple):
    """The body of the case that equals the value, else the default's."""

    value: Operand
    cases: tuple[tuple[int, Body], ...]
    default: Body


@record
class Return(NamedTuple):
    value: Operand | None


Statement = Let | Do | Var | Loop | While | Break | Continue | If | Switch | Return
Body = tuple[Statement, ...]


@record
class Extern(NamedTuple):
    """A function that is found when the code is loaded."""

    name: str
    result: str
    params: tuple[str, ...]
    variadic: bool = False


@record
class Data(NamedTuple):
    """An array of `size` zeros that the module owns; others find it by Code.address."""

    name: str
    type: str
    size: int


@record
class Table(NamedTuple):
    """Constants in memory. The values are literals, as they print."""

    name: str
    type: str
    values: tuple[str, ...]


@record
class Function(NamedTuple):
    name: str
    params: tuple[Operand, ...]
    result: str
    body: Body
    internal: bool = False
    inline: str = "auto"
    noalias: bool = False


@record
class Module(NamedTuple):
    name: str
    externs: tuple[Extern, ...]
    data: tuple[Data, ...]
    tables: tuple[Table, ...]
    functions: tuple[Function, ...]

    def __str__(self) -> str:
        return "\n".join(_module_lines(self)) + "\n"


# The names of the attributes of operations that have some, in the order of `attrs`.
ATTRS: dict[str, tuple[str, ...]] = {
    "cmp": ("predicate",),
    "at": ("element",),
    "load": ("align",),
    "store": ("align",),
    "cast": ("how",),
    "call": ("fixed",),  # the types of the fixed parameters when the callee is variadic
    "array": ("element", "count", "align"),
    "shuffle": ("mask",),
    "prefetch": ("write", "locality"),
    "atomic_load": ("order",),
    "atomic_store": ("order",),
    "atomic": ("how", "order"),
}

INT_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
FLOAT_PREDICATES = ("oeq", "one", "olt", "ole", "ogt", "oge", "ord") + (
    "ueq", "une", "ult", "ule", "ugt", "uge", "uno",
)  # fmt: skip
CASTS = ("zext", "sext", "trunc", "bitcast", "sitofp", "uitofp", "fptosi", "fptoui") + (
    "fpext", "fptrunc", "ptrtoint", "inttoptr",
)  # fmt: skip
ATOMICS = ("add", "sub", "xchg", "and", "or", "xor")
ORDERS = ("monotonic", "acquire", "release", "acq_rel", "seq_cst")
INLINE = ("auto", "never", "always")


# ---- literals ------------------------------------------------------------------------------------

_constants: dict[tuple[str, type, Any], Operand] = {}


def constant(type: str, value: Any) -> Operand:
    """The operand of a constant; the same numbers come again and again, so they are remembered."""
    kind = value.__class__
    if not (kind is int or kind is float) or not value:  # 0.0 and -0.0 would be one key
        return Operand(type, literal(type, value))
    key = (type, kind, value)
    known = _constants.get(key)
    if known is None:
        known = _constants[key] = Operand(type, literal(type, value))
    return known


_FLOAT_FORMAT = {"f16": "e", "f32": "f", "f64": "d"}


def literal(type: str, value: Any) -> str:
    """The canonical text of a constant, rounded to its type: literal("f32", 1) is "1.0".

    A sequence gives each lane of a vector its own value; a number stands for all lanes.
    """
    facts = TYPES[type]
    if isinstance(value, list | tuple | range):
        if not facts.is_vector or len(value) != facts.lanes:
            raise LoopsError("const", f"{len(value)} values for one {type}")
        return "[" + ", ".join(literal(facts.element, x) for x in value) + "]"
    if facts.is_float:
        return _float_text(facts, float(value))
    if facts.element == "ptr":
        raise LoopsError("const", f"{value!r} is no pointer", hint="f.null()")
    return _int_text(facts, value)


def _float_text(facts: TypeFacts, value: float) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    form = _FLOAT_FORMAT[facts.element]
    try:
        return repr(struct.unpack(form, struct.pack(form, value))[0])
    except OverflowError:
        return "inf" if value > 0 else "-inf"


def _int_text(facts: TypeFacts, value: Any) -> str:
    try:
        number = exact_int(value)
    except TypeError:
        raise LoopsError("const", f"{value!r} is no whole number", type=facts.name) from None
    if facts.bits == 1:
        if number not in (0, 1):
            raise LoopsError("const", f"{value!r} is no truth value")
        return "true" if number else "false"
    if not -(1 << facts.bits - 1) <= number < 1 << facts.bits:
        raise LoopsError("const", f"{value!r} does not fit", type=facts.name)
    return str(number if number < 1 << facts.bits - 1 else number - (1 << facts.bits))


# ---- printing ------------------------------------------------------------------------------------


def show_operand(operand: Operand) -> str:
    """A name as it is; a literal with its type before it: `f32x8 0.5`."""
    return operand.name if operand.name[0] in "%$@" else f"{operand.type} {operand.name}"


def _attr(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _operation(op: str, args: tuple[Operand, ...], attrs: tuple[Any, ...]) -> str:
    text = f"{op} {', '.join(map(show_operand, args))}" if args else op
    for name, value in zip(ATTRS.get(op, ()), attrs, strict=True):
        if value is not None:
            text += f" {name}={_attr(value)}"
    return text


def show_statement(statement: Statement) -> str:
    """The first line of a statement, as errors quote it."""
    return _lines(statement, "")[0]


def _lines(statement: Statement, margin: str) -> list[str]:
    show = show_operand
    match statement:
        case Let(result, op, args, attrs):
            return [f"{margin}{result.name}: {result.type} = {_operation(op, args, attrs)}"]
        case Do(op, args, attrs):
            return [margin + _operation(op, args, attrs)]
        case Var(place, init):
            start = "" if init is None else f" = {show(init)}"
            return [f"{margin}var {place.name}: {place.type}{start}"]
        case Loop(counter, low, high, step, body):
            head = f"loop {counter.name} from {show(low)} to {show(high)} step {show(step)}"
            return _block(head, body, margin)
        case While(body):
            return _block("while", body, margin)
        case Break(condition):
            return [f"{margin}break {show(condition)}"]
        case Continue(condition):
            return [f"{margin}continue {show(condition)}"]
        case If(condition, then, otherwise):
            lines = _block(f"if {show(condition)}", then, margin)
            if otherwise:
                lines += _block("else", otherwise, margin)
            return lines
        case Switch(value, cases, default):
            lines = [f"{margin}switch {show(value)} {{"]
            for number, body in cases:
                lines += _block(f"case {number}", body, margin + "  ")
            return [*lines, *_block("default", default, margin + "  "), margin + "}"]
        case Return(value):
            return [f"{margin}return" if value is None else f"{margin}return {show(value)}"]


def _block(head: str, body: Body, margin: str) -> list[str]:
    lines = [f"{margin}{head} {{"]
    for statement in body:
        lines += _lines(statement, margin + "  ")
    lines.append(margin + "}")
    return lines


def _types(types: Sequence[str], variadic: bool) -> str:
    return ", ".join([*types, "..."] if variadic else types)


def _function_head(function: Function) -> str:
    params = ", ".join(f"{p.name}: {p.type}" for p in function.params)
    marks = " internal" if function.internal else ""
    marks += "" if function.inline == "auto" else f" inline={function.inline}"
    marks += " noalias" if function.noalias else ""
    return f"function {function.name}({params}) -> {function.result}{marks}"


def _module_lines(module: Module) -> list[str]:
    lines = [f'module "{module.name}"']
    for extern in module.externs:
        params = _types(extern.params, extern.variadic)
        lines.append(f"extern {extern.name}({params}) -> {extern.result}")
    for data in module.data:
        lines.append(f"data {data.name}: {data.type}[{data.size}]")
    for table in module.tables:
        lines.append(f"table {table.name}: {table.type} = [{', '.join(table.values)}]")
    for function in module.functions:
        lines += ["", *_block(_function_head(function), function.body, "")]
    return lines
