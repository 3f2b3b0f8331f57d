"""Plans, and the ways to run them on arrays. Floor 1.

A Plan is what a planner makes of one operation on inputs of known layout: kernels to call and job
words for them. It holds no address of an array, only Pointers by argument number, so that one plan
serves every call with the same layouts.

An *entry* is a callable on arrays that remembers plans. `make_entry(miss)` makes one; a call that
fits none of its plans calls `miss(entry, *arrays)`, which plans, calls `add_plan` or
`add_pattern`, and gives back the result. Entries are machine code (codegen/native/entry.py) where
the object layouts were recognised (runtime/native.py), and `PlainEntry` where not: same results,
some microseconds more.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, final

import numpy as np
import numpy.typing as npt

from twofold.base.records import NamedTuple
from twofold.runtime import memory
from twofold.runtime.threads import get_num_threads

Array = npt.NDArray[Any]


class Record:
    """Fields that are set once, and compared. (Dataclasses would take the import 10 ms.)"""

    __slots__: tuple[str, ...] = ()

    def _key(self) -> tuple[object, ...]:
        names = [name for name in self.__slots__ if name not in ("keep", "spots")]
        return tuple([getattr(self, name) for name in names])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._key()}"


@final
class In(Record):
    """The address of input `index`, moved by `offset` bytes. A pattern's number has one too."""

    __slots__ = ("index", "offset")

    def __init__(self, index: int, offset: int = 0) -> None:
        self.index = index
        self.offset = offset


@final
class Out(Record):
    """The address of output `index`, moved by `offset` bytes."""

    __slots__ = ("index", "offset")

    def __init__(self, index: int, offset: int = 0) -> None:
        self.index = index
        self.offset = offset


@final
class Scratch(Record):
    """An address in the plan's scratch memory (64-byte aligned), `offset` bytes from its start."""

    __slots__ = ("offset",)

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset


@final
class Frozen(Record):
    """An address in memory that belongs to a program, for what it computes of frozen inputs
    (exec/frozen.py), `offset` bytes from its start.
    """

    __slots__ = ("offset",)

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset


@final
class Count(Record):
    """The number of elements of the arrays: for patterns, which serve every shape."""

    __slots__ = ()


Pointer = In | Out | Scratch | Frozen
Word = int | Pointer | Count


@final
class Step(Record):
    """One kernel: task(job, chunk, chunks) for every chunk; steps run one after the other.

    In a pattern `chunks=0` leaves the number to the call, which knows the size. `chunks=-n` is no
    kernel: the job points to n bytes, and the plan ends here if one of them is set. `spots` names
    the words that are not plain numbers, where that is known.
    """

    __slots__ = ("chunks", "job", "spots", "task")

    def __init__(
        self,
        task: int,
        job: tuple[Word, ...],
        chunks: int = 1,
        spots: Sequence[int] | None = None,
    ) -> None:
        self.task = task
        self.job = job
        self.chunks = chunks
        self.spots = spots


# What a pointer of coded steps begins at: scratch memory, the number of elements, an input or, by
# further numbers, an output.
SCRATCH, COUNT, BASES = 0, 1, 2


@final
class Coded(Sequence[Step]):
    """Steps as machine code reads them (runtime/entries.py), made without an object for each word:
    a graph has thousands. Each is a `Step` when it is asked for.

    Lists of numbers, or arrays of int64:

    heads    of each step: task, where its job begins in `words`, chunks
    words    the jobs, one after the other, with zeros for pointers
    patches  of each pointer: its place in `words`, what it begins at, offset
    inputs   how many inputs there are: outputs are numbered after them
    """

    __slots__ = ("heads", "inputs", "made", "patches", "words")

    def __init__(self, heads: Any, words: Any, patches: Any, inputs: int) -> None:
        self.heads, self.words, self.patches, self.inputs = heads, words, patches, inputs
        self.made: tuple[Step, ...] | None = None

    def __len__(self) -> int:
        return len(self.heads) // 3

    def __getitem__(self, index: Any) -> Any:
        if self.made is None:
            self.made = self.decoded()
        return self.made[index]

    @property
    def chunks(self) -> list[int]:
        """Of each step."""
        return [*map(int, self.heads[2::3])]

    def decoded(self) -> tuple[Step, ...]:
        words: list[Word] = [*map(int, self.words)]
        heads, patches = [*map(int, self.heads)], [*map(int, self.patches)]
        for place, base, offset in zip(patches[::3], patches[1::3], patches[2::3], strict=True):
            if base == SCRATCH:
                words[place] = Scratch(offset)
            elif base < BASES + self.inputs:
                words[place] = In(base - BASES, offset)
            else:
                words[place] = Out(base - BASES - self.inputs, offset)
        ends = [*heads[4::3], len(words)]
        rows = zip(heads[::3], heads[1::3], heads[2::3], ends, strict=True)
        return tuple([Step(task, tuple(words[at:end]), chunks) for task, at, chunks, end in rows])


@final
class Plan(Record):
    """Everything that running one operation needs, but for the arrays.

    `contiguous` names the inputs that must be copied to C order before the steps run. `keep` holds
    what the job words point into, such as tables of offsets, for as long as the plan lives. `long`
    is for plans whose time no size tells, as they have loops. `frozen` bytes belong to the program
    that the plan becomes a part of: only plans for frozen inputs have them.
    """

    __slots__ = ("contiguous", "frozen", "keep", "long", "scratch", "steps")

    def __init__(
        self,
        steps: Sequence[Step],
        scratch: int = 0,
        contiguous: tuple[int, ...] = (),
        keep: tuple[object, ...] = (),
        long: bool = False,
        frozen: int = 0,
    ) -> None:
        self.steps = steps
        self.frozen = frozen
        self.long = long
        self.scratch = scratch
        self.contiguous = contiguous
        self.keep = keep


@final
class Number(Record):
    """An input of a pattern that is a Python number: int, or float for a float type."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype


@final
class Single(Record):
    """An input of a pattern that is an array without axes: one element for all of the others'."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype


@final
class Pattern(Record):
    """A plan for every shape: inputs C-contiguous, all of one shape, which the outputs get too.

    inputs   an element type for an array, `Number(type)` for a Python number, `Single(type)`
    outputs  element types
    small    elements below which one chunk does all
    """

    __slots__ = ("inputs", "outputs", "plan", "small")

    def __init__(
        self,
        inputs: tuple[np.dtype[Any] | Number | Single, ...],
        outputs: tuple[np.dtype[Any], ...],
        plan: Plan,
        small: int = 16384,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.plan = plan
        self.small = small


class HasType(Protocol):
    """What is asked of an output's type: base.types.Type has it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""

    @property
    def dtype(self) -> Any:
        """A record whose `numpy` is NumPy's type."""


Miss = Callable[..., Any]
RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class Doors(NamedTuple):
    """The machine code's ways to make entries and to teach them."""

    make_entry: Callable[[Miss], Any]
    add_plan: Callable[..., bool]
    add_pattern: Callable[[Any, Pattern], bool]


_pool_run: list[Callable[[int, int, int], None]] = []
_doors: list[Doors] = []


def connect(pool_run: int) -> None:
    """Take the address of the pool's pool_run(task, job, chunks)."""
    _pool_run[:] = [RUN(pool_run)]


def install(doors: Doors | None) -> None:
    """Have entries made by machine code from now on, or (None) in Python again."""
    _doors[:] = [] if doors is None else [doors]


def make_entry(miss: Miss) -> Any:
    """A callable `entry(*arrays)` -> array, tuple of arrays, or None, by the number of outputs."""
    return _doors[0].make_entry(miss) if _doors else PlainEntry(miss)


def add_plan(
    entry: Any,
    arrays: Sequence[Array],
    outs: Sequence[HasType],
    plan: Plan,
    layouts: Sequence[list[int]] | None = None,
) -> bool:
    """Let the entry answer arrays of these layouts by the plan. False if it cannot keep it.

    layouts   words of the arrays, where they are known (runtime/entries.py)
    """
    if isinstance(entry, PlainEntry):
        return entry.add(arrays, outs, plan)
    return _doors[0].add_plan(entry, arrays, outs, plan, layouts)


def add_pattern(entry: Any, pattern: Pattern) -> bool:
    """Let the entry answer arrays of any one shape by the pattern. False if it cannot keep it."""
    if isinstance(entry, PlainEntry):
        return entry.add_pattern(pattern)
    return _doors[0].add_pattern(entry, pattern)


def run_plan(plan: Plan, outs: Sequence[HasType], arrays: Sequence[Array]) -> Any:
    """Run a plan once: an array, a tuple of arrays, or None, by the number of outputs."""
    made = [memory.empty(out.shape, out.dtype.numpy) for out in outs]
    ready = list(arrays)
    for index in plan.contiguous:
        ready[index] = np.ascontiguousarray(ready[index]).reshape(ready[index].shape)
    _run(plan, ready, made, 0, 0)
    return _result(made)


def run_pattern(pattern: Pattern, values: Sequence[Any]) -> Any:
    """Run a pattern once on arrays and numbers that fit it."""
    with np.errstate(over="ignore"):
        ready = [
            np.asarray(value, wanted.dtype) if isinstance(wanted, Number) else value
            for value, wanted in zip(values, pattern.inputs, strict=True)
        ]
    first = values[next(i for i, wanted in enumerate(pattern.inputs) if _is_array(wanted))]
    made = [memory.empty(first.shape, dtype) for dtype in pattern.outputs]
    _run(pattern.plan, ready, made, first.size, pattern.small)
    return _result(made)


def chunks_for(count: int, small: int, threads: int) -> int:
    """Into how many chunks a pattern's call splits `count` elements."""
    if threads <= 1 or count < small:
        return 1
    return min(4 * threads, 2 * count // small)


def _result(made: list[Array]) -> Any:
    if len(made) == 1:
        return made[0]
    return tuple(made) if made else None


def _run(plan: Plan, ins: list[Array], outs: list[Array], count: int, small: int) -> None:
    scratch = memory.scratch(plan.scratch)
    for step in plan.steps:
        if not _run_step(step, ins, outs, scratch, count, small):
            return


def _run_step(
    step: Step, ins: list[Array], outs: list[Array], scratch: Array, count: int, small: int
) -> bool:
    """Run a step; whether the plan goes on."""
    words = [*_words(step.job, ins, outs, scratch, count)]
    if step.chunks < 0:
        return not any(ctypes.c_uint8.from_address(word).value for word in words)
    job = (ctypes.c_int64 * len(words))(*words)
    chunks = step.chunks or chunks_for(count, small, get_num_threads())
    _pool_run[0](step.task, ctypes.addressof(job), chunks)
    return True


def time_steps(plan: Plan, ins: list[Array], outs: list[Array]) -> list[float]:
    """Run a plan's steps one by one; the seconds of each."""
    scratch = memory.scratch(plan.scratch)
    seconds = []
    going = True
    for step in plan.steps:
        start = time.perf_counter()
        going = going and _run_step(step, ins, outs, scratch, 0, 0)
        seconds.append(time.perf_counter() - start)
    return seconds


def _words(
    job: tuple[Word, ...], ins: list[Array], outs: list[Array], scratch: Array, count: int
) -> Iterator[int]:
    for word in job:
        if isinstance(word, In):
            yield ins[word.index].ctypes.data + word.offset
        elif isinstance(word, Out):
            yield outs[word.index].ctypes.data + word.offset
        elif isinstance(word, Scratch):
            yield scratch.ctypes.data + word.offset
        elif isinstance(word, Count):
            yield count
        else:
            assert isinstance(word, int), "a plan for frozen inputs runs as a part of a program"
            yield word


@final
class PlainEntry:
    """An entry in Python: for interpreters whose objects the machine code does not know."""

    __slots__ = ("miss", "patterns", "plans")
    MOST = 256

    def __init__(self, miss: Miss) -> None:
        self.miss = miss
        self.plans: dict[Any, tuple[Plan, Sequence[HasType]]] = {}
        self.patterns: list[Pattern] = []

    def __call__(self, *arrays: Any) -> Any:
        for pattern in self.patterns:
            if fits(pattern, arrays):
                return run_pattern(pattern, arrays)
        found = self.plans.get(_layouts(arrays))
        if found is None:
            return self.miss(self, *arrays)
        plan, outs = found
        return run_plan(plan, outs, arrays)

    def add(self, arrays: Sequence[Array], outs: Sequence[HasType], plan: Plan) -> bool:
        layouts = _layouts(arrays)
        if layouts is None:
            return False
        if len(self.plans) >= self.MOST:
            self.plans.clear()
        self.plans[layouts] = plan, tuple(outs)
        return True

    def add_pattern(self, pattern: Pattern) -> bool:
        self.patterns.append(pattern)
        return True


def _layouts(arrays: Sequence[Any]) -> Any:
    """What a plan depends on. Only plain, aligned arrays have it; others match nothing."""
    if not all(type(a) is np.ndarray and a.flags.aligned for a in arrays):
        return None
    return (get_num_threads(), *[(a.dtype, a.shape, a.strides) for a in arrays])


def fits(pattern: Pattern, values: Sequence[Any]) -> bool:
    """Whether the values are what the pattern is for."""
    if len(values) != len(pattern.inputs):
        return False
    if not all(map(_accepts, pattern.inputs, values)):
        return False
    arrays = [v for v, w in zip(values, pattern.inputs, strict=True) if _is_array(w)]
    return len({array.shape for array in arrays}) == 1


def _is_array(wanted: Any) -> bool:
    return not isinstance(wanted, Number | Single)


def _accepts(wanted: np.dtype[Any] | Number | Single, value: Any) -> bool:
    if isinstance(wanted, Single):
        return _accepts(wanted.dtype, value) and value.ndim == 0
    if not isinstance(wanted, Number):
        flags = value.flags if type(value) is np.ndarray else None
        return flags is not None and value.dtype is wanted and flags.c_contiguous and flags.aligned
    if type(value) is float:
        return wanted.dtype.kind == "f"
    return type(value) is int and -(2**63) <= value < 2**63
