"""The words of a compiled function's front, in Loops: facts, tables, rows (facts.py). Floor 3."""

from __future__ import annotations

from twofold.codegen.native.facts import FRONT, FRONT_TABLES
from twofold.ir.values import Value


def word(front: Value, name: str, type: str = "i64") -> Value:
    return front.at(FRONT.index(name), "i64").load(type)


def table(front: Value, name: str) -> tuple[Value, Value]:
    """Where a table begins, and how many rows it has."""
    at = front.at(len(FRONT) + 2 * list(FRONT_TABLES).index(name), "i64")
    return front.at(at.load("i64"), "i64"), at.at(1, "i64").load("i64")


def row_of(rows: Value, name: str, index: Value) -> Value:
    return rows.at(index * FRONT_TABLES[name], "i64")
