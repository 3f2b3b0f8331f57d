"""Compiled functions in machine code: which calls, and what it must know of a program. Floor 9.

`codegen/native/front.py` answers a call of a compiled function without Python while the Tensor tier
is installed. Here are the words that it reads. A program has them if its arguments are tensors
without a history, nothing but its results comes of it, and no Python runs before it.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

from twofold.base import dtypes
from twofold.base.flags import Flags, flags
from twofold.base.trees import LEAF
from twofold.codegen.compile import Code
from twofold.codegen.native.front import COMPILED, FRONT, MOST_INPUTS, MOST_OUTPUTS
from twofold.exec import tensors
from twofold.frontends.program import Program
from twofold.ops.bind import mode
from twofold.ops.tensor import Parameter, Tensor
from twofold.runtime import faults, native
from twofold.runtime.entries import NativeEntry

PATIENCE = 100  # calls in Python until the tier is asked for
ATTRIBUTE = native.forever("training")


class Front:
    """The words about one program, and what they point to."""

    __slots__ = ("holds", "words")

    def __init__(self, words: bytes, holds: Any) -> None:
        self.words = words
        self.holds = holds


def front_of(program: Program, leaves: Sequence[Any]) -> Front | None:
    """What machine code must know to answer calls like this one; None where it cannot."""
    entry = getattr(program.runner.entry, "__self__", None)
    if not isinstance(entry, NativeEntry) or not _simple(program) or not _plain(leaves):
        return None
    found = native.slot_places(Flags).get("eager")
    inputs = [_input(kind, key) for kind, key in program.sources]
    if found is None or flags.eager or None in inputs or len(inputs) > MOST_INPUTS:
        return None
    cell, eager = dtypes.default_cell(), flags.eager
    modules = [(vars(module), training) for module, training in program.modules]
    rows = [word for state, on in modules for word in (id(state), id(ATTRIBUTE), id(on))]
    facts = {
        "entry": id(entry),
        "args": len(leaves),
        "grad": int(mode.grad),
        "cell": id(cell),
        "default": id(cell[0]),
        "eager_at": id(flags) + found,
        "eager": id(eager),
        "outputs": len(program.answer.leaves),
        "single": int(program.answer.form == LEAF),
        "errors": id(program.runner.errors),
        "faults": faults.address(),
        "inputs": len(inputs),
        "modules": len(modules),
        "inputs_at": len(FRONT),
        "modules_at": len(FRONT) + len(inputs),
    }
    words = [*(facts[name] for name in FRONT), *inputs, *rows]
    return Front(struct.pack(f"<{len(words)}q", *words), (program, cell[0], eager, modules))


def _simple(program: Program) -> bool:
    """Whether nothing but the results comes of it, and they are all of what is given back."""
    answer = program.answer
    if program.hosts or program.checks or program.grads or program.derivative is not None:
        return False
    if answer.effects or answer.attributes or program.updated or program.absent:
        return False
    flat = all(child == LEAF for child in answer.form.children)
    if not flat or answer.form.kind not in (None, tuple):
        return False
    numbers = [leaf.what for leaf in answer.leaves if leaf.kind == "result"]
    return numbers == list(range(len(answer.leaves))) and 0 < len(numbers) <= MOST_OUTPUTS


def _plain(leaves: Sequence[Any]) -> bool:
    return all(type(x) in (Tensor, Parameter) and not x.tracked for x in leaves)


def _input(kind: str, key: Any) -> int | None:
    """The word of an input."""
    if kind == "argument":
        return int(key)
    return id(key) if kind == "state" else None


def tell(errors: list[BaseException]) -> None:
    """Raise what a run left to be told."""
    if errors:
        raise errors.pop()
    faults.check()


class Door:
    """The class of compiled functions, whose `__call__` is in Python or in machine code."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.python = owner.__call__
        self.patience = PATIENCE
        tensors.watchers.append(self.connect)
        if tensors.installed():
            self.connect(tensors.code())

    def connect(self, code: Code | None) -> None:
        slot = native.slot_places(self.owner).get("front")
        self.owner.__call__ = self.python
        if code is None or slot is None:
            return
        facts = {"slot": slot, "python": id(self.python), "tell": id(native.forever(tell))}
        words = (ctypes.c_int64 * len(COMPILED)).from_address(code.address("compiled_words"))
        words[:] = [facts[name] for name in COMPILED]
        address = code.address("compiled_call")
        doc = self.python.__doc__ or ""
        self.owner.__call__ = native.method(self.owner, "__call__", address, tensors.FLAGS, doc)

    def knock(self) -> None:
        """Count a call in Python that machine code could answer."""
        self.patience -= 1
        if self.patience == 0 and flags.tier in (0, 3):
            tensors.install()
