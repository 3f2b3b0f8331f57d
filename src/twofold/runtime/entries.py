"""Plans as words that machine code reads, and the entries that hold them. Floor 1.

An entry is a builtin function bound to a NativeEntry. Its machine code (codegen/native/entry.py)
compares the arguments with the signatures of up to 64 plans, the last used first, and runs the
plan that fits. Here plans become words; what each word means is told by the names below, which the
machine code uses too.

A plan's words: a header of these words, then at the places that it names
    inputs    plan: descriptor, rank, sizes, strides      pattern: descriptor, or 0; kind of number,
              or SINGLE
    outputs   plan: descriptor, shape, inexact, rank, bytes, sizes; all `types` are a tuple
              pattern: descriptor, 0, inexact, bytes of an element
    program   the steps (task, place of the job, chunks), then the job words
    patches   (place in the program, base, offset): program[place] = bases[base] + offset
    copies    the inputs to copy to C order
The bases are what only a call knows: scratch memory, the number of elements, inputs, outputs.
"""

from __future__ import annotations

import ctypes
import math
import operator
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, final

import numpy as np

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.runtime import native
from twofold.runtime.program import (
    BASES,
    COUNT,
    SCRATCH,
    Array,
    Coded,
    Count,
    HasType,
    In,
    Miss,
    Number,
    Out,
    Pattern,
    Plan,
    Scratch,
    Single,
    Step,
)
from twofold.runtime.threads import get_num_threads

# An entry's words: how many plans, then their addresses.
PLANS, FIRST_PLAN, MOST_PLANS = 0, 1, 256

HEADER = (
    *("pattern", "inputs", "outputs", "threads", "scratch", "steps", "words", "patches", "copies"),
    *("release", "small", "keep", "types", "in_at", "out_at", "program_at", "patch_at", "copy_at"),
)
WORD = {name: index for index, name in enumerate(HEADER)}
STEP_WORDS, PATCH_WORDS = 3, 3

# Kinds of numbers in a pattern, by the type they are converted to.
NUMBERS = {"f4": 1, "f8": 2, "i8": 3}
SINGLE = 9  # for an array without axes
MOST_NUMBERS = 8  # inputs of a pattern that has numbers
MOST_OUTPUTS = 8  # of a pattern, and of an operation on tensors
MOST_RESULTS = 256  # of a plan

# The GIL is given up for calls on this many elements: about 0.1 ms.
RELEASE_FROM = 1 << 17
NEVER = 1 << 62


# What an output's words begin with.
OUT_DESCR, OUT_SHAPE, OUT_INEXACT, OUT_NUMBER, OUT_BYTES, OUT_WORDS = range(6)
PATTERN_OUT_WORDS = 4  # are all of a pattern's


class Machine(NamedTuple):
    """Addresses and functions of the machine code."""

    entry_call: int
    entry_give: Callable[[NativeEntry, bytes, object], None]
    entry_free: int
    into: Callable[..., Array | None]


_machine: list[Machine] = []
_allocate = native.function("PyMem_RawCalloc", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)


@final
class NativeEntry:
    """What an entry's builtin is bound to: a capsule that owns the plans, and the miss."""

    __slots__ = ("block", "miss")

    block: Any
    miss: Miss


SLOTS = {"block": native.HEAD, "miss": native.HEAD + 8}


def doubts() -> str:
    """Why machine code should not read NativeEntry; empty when it may."""
    return native.slot_doubts(NativeEntry, SLOTS)


def connect(entry_call: int, entry_give: int, entry_free: int, entry_into: int) -> None:
    """Take the addresses of the entries' functions."""
    into = native.builtin("into", entry_into)
    give = native.builtin("give", entry_give)
    _machine[:] = [Machine(entry_call, give, entry_free, into)]


def make_entry(miss: Miss) -> Any:
    """An entry in machine code."""
    entry = NativeEntry()
    words = _allocate(FIRST_PLAN + MOST_PLANS, 8)
    if not words:
        raise MemoryError
    entry.block = native.new_capsule(words, destructor=_machine[0].entry_free)
    entry.miss = miss
    return native.builtin("entry", _machine[0].entry_call, entry)


def run_into(entry: Any, out: Array, arrays: Sequence[Array]) -> bool:
    """Run what an entry has for these arrays, with `out` as its output; false where it cannot be.

    Then nothing has been written. The arrays may be `out` itself, where the operation reads of it
    only the element that it writes, but share no memory with it otherwise.
    """
    if type(entry) is not type(len) or not _machine:
        return False
    return _machine[0].into(entry, out, *arrays) is out


def add_plan(
    entry: Any,
    arrays: Sequence[Array],
    outs: Sequence[HasType],
    plan: Plan,
    layouts: Sequence[list[int]] | None = None,
) -> bool:
    """Teach an entry (or the NativeEntry it is bound to) a plan for arrays like these, whose
    `layout_words` may be given.
    """
    plain = all([type(a) is np.ndarray and a.flags.aligned for a in arrays])
    if not plain or len(outs) > MOST_RESULTS:
        return False
    inputs = [*map(layout_words, arrays)] if layouts is None else layouts
    steps = plan.steps
    chunks = steps.chunks if isinstance(steps, Coded) else [step.chunks for step in steps]
    release = 0 if plan.long else release_for(max(chunks, default=0), arrays, outs)
    pairs = [known_output(tuple(out.shape), out.dtype) for out in outs]
    types, outputs = tuple([out for out, _ in pairs]), [words for _, words in pairs]
    keep = (plan, [a.dtype for a in arrays], types)
    words, rest = _encode(plan, inputs, outputs, pattern=0, release=release, small=0)
    words[WORD["types"]] = id(types)
    _push(entry, words, rest, keep)
    return True


def release_for(chunks: int, arrays: Sequence[Array], outs: Sequence[HasType]) -> int:
    """From how many elements on the GIL is given up, for steps of so many chunks at most."""
    if chunks <= 1:
        return NEVER
    elements = sum([a.size for a in arrays]) + sum([math.prod(out.shape) for out in outs])
    return NEVER if elements < RELEASE_FROM else 0


def add_pattern(entry: Any, pattern: Pattern) -> bool:
    """Teach an entry a pattern."""
    numbers = [w.dtype.str[1:] for w in pattern.inputs if isinstance(w, Number)]
    if len(pattern.outputs) > MOST_OUTPUTS or any(name not in NUMBERS for name in numbers):
        return False
    if numbers and len(pattern.inputs) > MOST_NUMBERS:
        return False
    inputs = [_wanted(wanted) for wanted in pattern.inputs]
    outputs = [[id(dtype), 0, _inexact(dtype), dtype.itemsize] for dtype in pattern.outputs]
    words, rest = _encode(
        pattern.plan, inputs, outputs, pattern=1, release=RELEASE_FROM, small=pattern.small
    )
    _push(entry, words, rest, pattern)
    return True


def layout_words(array: Array) -> list[int]:
    """How an array lies, as the machine code compares it."""
    return [id(array.dtype), array.ndim, *array.shape, *array.strides]


@lru_cache(4096)
def known_output(shape: tuple[int, ...], dtype: Any) -> tuple[Type, list[int]]:
    """A type with a plain tuple of numbers as its shape, which a node of the tape takes from there;
    and its words, which are right as long as it lives.
    """
    out = Type(shape, dtype)
    return out, _output(out)


def _output(out: HasType) -> list[int]:
    dtype = out.dtype.numpy
    shape = [*map(operator.index, out.shape)]  # 2.0 would be found where (2,) is looked for
    words = output_words(dtype, len(shape))
    words[OUT_SHAPE], words[OUT_BYTES] = id(out.shape), math.prod(shape, start=dtype.itemsize)
    return words + shape


def output_words(dtype: np.dtype[Any], rank: int) -> list[int]:
    """What an output's words begin with, without what depends on sizes."""
    return [id(dtype), 0, _inexact(dtype), rank, 0]


def _inexact(dtype: np.dtype[Any]) -> int:
    """1 for floating and complex types (bfloat16 is NumPy's "V"): what can have a gradient."""
    return int(dtype.kind in "fcV")


def _wanted(wanted: np.dtype[Any] | Number | Single) -> list[int]:
    if isinstance(wanted, Number):
        return [0, NUMBERS[wanted.dtype.str[1:]]]
    return [id(wanted.dtype), SINGLE] if isinstance(wanted, Single) else [id(wanted), 0]


def _encode(
    plan: Plan,
    inputs: Sequence[list[int]],
    outputs: list[list[int]],
    pattern: int,
    release: int,
    small: int,
) -> tuple[list[int], bytes]:
    """The words of a plan: the header and layouts, and the rest as it lies in memory."""
    program, patches = _program(plan, len(inputs))
    header = dict.fromkeys(HEADER, 0)
    header |= {"pattern": pattern, "inputs": len(inputs), "outputs": len(outputs)}
    header |= {"scratch": -(-plan.scratch // 64) * 64, "steps": len(plan.steps)}
    header |= {"words": len(program), "patches": len(patches) // PATCH_WORDS}
    header |= {"copies": len(plan.contiguous)}
    header |= {"release": release, "small": small, "threads": get_num_threads()}
    words = [0] * len(HEADER)
    for name, part in (("in_at", inputs), ("out_at", outputs)):
        header[name] = len(words)
        for one in part:
            words += one
    header["program_at"] = len(words)
    header["patch_at"] = header["program_at"] + len(program)
    header["copy_at"] = header["patch_at"] + len(patches)
    words[: len(HEADER)] = [header[name] for name in HEADER]
    return words, b"".join([_packed(program), _packed(patches), _packed([*plan.contiguous])])


def _program(plan: Plan, inputs: int) -> tuple[Any, Any]:
    """Steps and job words, and where bases must be put in: lists or arrays."""
    steps = plan.steps
    coded = steps if isinstance(steps, Coded) else _coded(steps, inputs)
    begin = len(coded.heads)
    heads, patches = coded.heads.copy(), coded.patches.copy()
    if isinstance(heads, np.ndarray):
        heads[1::STEP_WORDS] += begin
        patches[::PATCH_WORDS] += begin
        return np.concatenate([heads, coded.words]), patches
    heads[1::STEP_WORDS] = [begin + at for at in heads[1::STEP_WORDS]]
    patches[::PATCH_WORDS] = [begin + place for place in patches[::PATCH_WORDS]]
    return heads + coded.words, patches


def _coded(steps: Sequence[Step], inputs: int) -> Coded:
    heads: list[int] = []
    words: list[Any] = []
    patches: list[int] = []
    for step in steps:
        start, job = len(words), step.job
        heads += (step.task, start, step.chunks)
        words += job
        spots = step.spots
        if spots is None:
            spots = [i for i, word in enumerate(job) if type(word) is not int]
        for spot in spots:
            place, word = start + spot, job[spot]
            if isinstance(word, Scratch):
                patches += (place, SCRATCH, word.offset)
            elif isinstance(word, In):
                patches += (place, BASES + word.index, word.offset)
            elif isinstance(word, Out):
                patches += (place, BASES + inputs + word.index, word.offset)
            elif isinstance(word, Count):
                patches += (place, COUNT, 0)
            elif isinstance(word, int):
                continue
            words[place] = 0
    return Coded(heads, words, patches, inputs)


def _push(entry: Any, words: list[int], rest: bytes, keep: object) -> None:
    """Give the words to the entry, which copies them; the oldest plan goes."""
    _give(entry, _packed(words) + rest, keep)


def push_words(entry: Any, words: Any, keep: object) -> None:
    """Give an entry all words of a plan, as an array; `keep` is what they point to."""
    _give(entry, words.tobytes(), keep)


def _give(entry: Any, words: bytes, keep: object) -> None:
    owner = entry if type(entry) is NativeEntry else getattr(entry, "__self__", entry)
    if type(owner) is not NativeEntry:
        raise TypeError(f"{entry!r} is not an entry")
    _machine[0].entry_give(owner, words, keep)


def _packed(words: Any) -> bytes:
    """The words in memory. Those that are no signed ones (bits of a float) are unsigned."""
    if isinstance(words, np.ndarray):
        return words.tobytes()
    try:
        return struct.pack(f"<{len(words)}q", *words)
    except struct.error:
        return struct.pack(f"<{len(words)}Q", *[word & 0xFFFFFFFFFFFFFFFF for word in words])
