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
from functools import partial
from typing import Any, final

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
        self.code, self.count, self.key, self.name, self.build = code, count, key, name, build
        self.table: Any = None  # once it is there
        self.made: dict[int, Code] = {}
        code.then(self.fill)

    def want(self, numbers: Iterable[int], soon: bool = True) -> None:
        """Let these variants have their own code. soon: before a plan that wants them runs; else
        some day, as other threads find time for it.
        """
        for number in numbers:
            if number not in self.made or self.made[number].failed:
                build = partial(self.build, number)
                code = self.made[number] = load(f"{self.key}/{number}", build, soon=soon)
                code.then(partial(self.put, number))

    def fill(self) -> None:
        """Begin the table, when the module is there."""
        table = (ctypes.c_void_p * self.count).from_address(self.code.address(TABLE))
        table[:] = [self.code.address("single")] * self.count
        self.table = table
        for number in list(self.made):
            self.put(number)

    def put(self, number: int) -> None:
        """Write a variant's address into the table, when both are there."""
        code = self.made[number]
        if self.table is not None and code.job is None:
            self.table[number] = code.address(self.name)
