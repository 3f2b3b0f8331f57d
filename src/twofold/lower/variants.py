"""One function in many variants, each compiled when a plan first wants it. Floor 6.

A tile exists for every number of rows; a program needs two or three of them. The module that calls
tiles holds a table of addresses, by number. At first all are those of `single`, which computes what
any variant would, to the same bits, but slowly. A plan says which numbers it will want, and their
own code takes its place in the table.

    declare_table(m, count)                         in the module that calls them
    f.call("void", variant(f, number), number, ...)
    Variants(code, count, key, build).want({14, 6})  when a plan is made
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import final

from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.values import Value

TABLE = "variants"


def declare_table(m: Module, count: int) -> None:
    """Room for the addresses of variants 0 to count - 1."""
    m.data(TABLE, "ptr", count)


def variant(f: Function, number: Value) -> Value:
    """The address of a variant."""
    return f.address(TABLE).at(number, "ptr").load("ptr")


@final
class Variants:
    """The table of a module in this process. `build(number)` is the module of a variant, whose
    function has the name that is given; its code has the key `key`/number.
    """

    def __init__(
        self, code: Code, count: int, key: str, name: str, build: Callable[[int], Module]
    ) -> None:
        self.table = (ctypes.c_void_p * count).from_address(code.address(TABLE))
        self.table[:] = [code.address("single")] * count
        self.code, self.key, self.name, self.build = code, key, name, build
        self.known: set[int] = set()

    def want(self, numbers: Iterable[int]) -> None:
        """Let these variants have their own code."""
        for number in numbers:
            if number not in self.known:
                self.table[number] = self.made(number)
                self.known.add(number)

    def made(self, number: int) -> int:
        code = load(f"{self.key}/{number}", lambda: self.build(number))
        return code.address(self.name)
