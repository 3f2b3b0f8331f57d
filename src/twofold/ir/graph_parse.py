"""Graphs from their text. Floor 2. `parse` reads what ir/graph_text.py writes."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import TwofoldError
from twofold.base.guards import Guard
from twofold.base.polynomials import PYTHON, ROUNDED, TESTS
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol, Table, expression, maximum, minimum, rounded
from twofold.ir.graph import Call, Graph, Input, Value

SHORT = {d.short: d for d in vars(dtypes).values() if isinstance(d, DType)}
SPECIAL = {"inf": math.inf, "nan": math.nan, "Ellipsis": Ellipsis}


class TextError(TwofoldError, ValueError):
    """A text that is no graph."""


class Names(NamedTuple):
    """What words of a text stand for."""

    symbols: dict[str, Symbol]
    bodies: list[Any]
    find_op: Callable[[str], Any]
    records: Mapping[str, type]


def parse(
    text: str,
    table: Table,
    symbols: Mapping[str, Symbol],
    find_op: Callable[[str], Any],
    records: Mapping[str, type],
    body_of: Callable[[Graph], Any],
) -> Graph:
    """The graph of a text. `symbols` are its sizes by name, `records` the named tuples that
    attributes may hold; bodies become what `body_of` makes.

    Raises TextError naming the line.
    """
    parts = text.split("\n\n")
    bodies: list[Any] = [None] * (len(parts) - 1)
    names = Names(dict(symbols), bodies, find_op, records)
    for number in range(len(parts) - 1, 0, -1):
        bodies[number - 1] = body_of(_Reader(parts[number], table, names).graph())
    return _Reader(parts[0], table, names).graph()


HEAD = re.compile(r"graph (\w+)\((.*)\)")
CALL = re.compile(r"  (.*) = (\w+)\((.*)\)")
PARAM = re.compile(r"(\w+): (\w+)\[([^\]]*)\](\*?)(?:, |$)")
OUT = re.compile(r"(%\d+): (\w+)\[([^\]]*)\](?:, |$)")


class _Reader:
    """Reads one graph."""

    def __init__(self, text: str, table: Table, names: Names) -> None:
        self.rows = text.split("\n")
        self.table = table
        self.names = names
        self.values: dict[str, Value] = {}

    def graph(self) -> Graph:
        head = HEAD.fullmatch(self.rows[0])
        if head is None:
            raise TextError("graph", "a graph begins with its name", line=self.rows[0])
        inputs = []
        if PARAM.sub("", head[2]):
            raise TextError("graph", "its inputs cannot be read", line=self.rows[0])
        for name, kind, shape, _ in PARAM.findall(head[2]):
            value = self.value(name, kind, shape)
            inputs.append(Input(value, "argument", name))
        calls: list[Call] = []
        results: tuple[Value, ...] = ()
        updates = []
        for row in self.rows[1:]:
            word, _, rest = row.strip().partition(" ")
            if word == "return":
                results = tuple(self.known(n, row) for n in rest.split(", ") if n)
            elif word == "update":
                into, _, new = rest.partition(" = ")
                updates.append((self.known(into, row), self.known(new, row)))
            else:
                calls.append(self.call(row))
        return Graph(head[1], tuple(inputs), tuple(calls), results, tuple(updates), self.table)

    def known(self, name: str, row: str) -> Value:
        if name not in self.values:
            raise TextError("graph", f"nothing is called {name!r} here", line=row.strip())
        return self.values[name]

    def value(self, name: str, kind: str, shape: str) -> Value:
        if kind not in SHORT:
            raise TextError("graph", f"{kind!r} is no element type", line=name)
        sizes = self.read(f"({shape},)" if shape else "()", name)
        made = self.values[name] = Value(sizes, SHORT[kind])
        return made

    def call(self, row: str) -> Call:
        found = CALL.fullmatch(row)
        if found is None:
            raise TextError("graph", "this is no call", line=row.strip())
        op = self.names.find_op(found[2])
        words = re.sub(r"%(\d+)", r"_v\1", found[3])
        words = re.sub(r"@(\w+)", r"_op.\1", re.sub(r"\$(\d+)", r"_body[\1]", words))
        tree = self.tree(f"f({words})", row)
        if not isinstance(tree, ast.Call):
            raise TextError("graph", "this is no call", line=row.strip())
        inputs = tuple(self.known(_name_of(a), row) for a in tree.args)
        given = {k.arg: self.evaluate(k.value, row) for k in tree.keywords}
        if tuple(given) != tuple(op.attrs):
            raise TextError(
                "graph", f"{op.name} has the attributes {', '.join(op.attrs)}", line=row.strip()
            )
        if OUT.sub("", found[1]):
            raise TextError("graph", "what it makes cannot be read", line=row.strip())
        outs = tuple(self.value(*parts) for parts in OUT.findall(found[1]))
        return Call(op, inputs, tuple(given.values()), outs)

    # attributes

    def tree(self, text: str, row: str) -> ast.expr:
        try:
            return ast.parse(text, mode="eval").body
        except SyntaxError:
            raise TextError("graph", "this cannot be read", line=row.strip()) from None

    def read(self, text: str, row: str) -> Any:
        return self.evaluate(self.tree(text, row), row)

    def evaluate(self, node: ast.expr, row: str) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Tuple):
            return tuple([self.evaluate(part, row) for part in node.elts])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.evaluate(node.operand, row)
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            left, right = self.evaluate(node.left, row), self.evaluate(node.right, row)
            return PYTHON[ARITHMETIC[type(node.op)]](left, right)
        if isinstance(node, ast.Name):
            return self.word(node.id, row)
        if isinstance(node, ast.Attribute) and _name_of(node.value) == "_op":
            return self.names.find_op(node.attr)
        if isinstance(node, ast.Subscript) and _name_of(node.value) == "_body":
            return self.names.bodies[self.evaluate(node.slice, row)]
        if isinstance(node, ast.Call):
            return self.record(node, row)
        raise TextError("graph", "an attribute cannot be read", line=row.strip())

    def word(self, word: str, row: str) -> Any:
        for known in (self.names.symbols, SHORT, SPECIAL):
            if word in known:
                return known[word]
        raise TextError("graph", f"{word!r} stands for nothing", line=row.strip())

    def record(self, node: ast.Call, row: str) -> Any:
        name = _name_of(node.func)
        args = [self.evaluate(a, row) for a in node.args]
        if name in ("min", "max"):
            return (minimum if name == "min" else maximum)(*args)
        if name in ROUNDED:
            return rounded(name, *args)
        if name not in self.names.records:
            raise TextError("graph", f"{name!r} is no record", line=row.strip())
        return self.names.records[name](*args)


ARITHMETIC = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Div: "/",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return re.sub(r"^_v(\d+)$", r"%\1", node.id)
    return ""


def parse_formula(text: str, symbols: Mapping[str, Symbol]) -> Any:
    """The number, or symbol, of a formula of symbols. Raises TextError."""
    names = Names(dict(symbols), [], lambda name: None, {})
    return _Reader("", Table(), names).read(text, text)


GUARD = re.compile(r"(.*) (==|<=|<) (.*) is (True|False)")


def parse_guards(rows: list[str], table: Table, symbols: Mapping[str, Symbol]) -> None:
    """Enter guards, as guards_text writes them, into a table. Raises TextError."""
    names = Names(dict(symbols), [], lambda name: None, {})
    for row in rows:
        found = GUARD.fullmatch(row)
        if found is None or found[2] not in TESTS:
            raise TextError("graph", "this is no guard", line=row)
        reader = _Reader("", table, names)
        left, right = (expression(reader.read(found[i], row)) for i in (1, 3))
        guard = Guard(left, found[2], right, found[4] == "True", "")
        table.guards[guard.key()] = guard
