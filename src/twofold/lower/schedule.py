"""The registry of planners, and what they are told of an argument. Floor 6.

A planner turns the layouts of the arguments into a Plan (runtime/program.py): tasks, their job
words, and the scratch memory they need. A plan serves every call with the same dtypes, shapes and
strides, so callers cache it by these.

    @schedule("softmax")
    def plan_softmax(args, outs, attrs, threads):
        rows, columns = ...
        job = (rows, columns, In(0), Out(0))
        return Plan(steps=(Step(task, job, chunks_for(rows * columns, threads)),))
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.runtime.program import Count, Frozen, In, Out, Plan, Pointer, Scratch, Step, Word

__all__ = [
    "Arg",
    "Count",
    "Frozen",
    "In",
    "Out",
    "Plan",
    "Pointer",
    "Scratch",
    "Step",
    "Word",
    "chunks_for",
    "find_planner",
    "float_word",
    "larger",
    "schedule",
    "smaller",
    "turned",
    "whenever",
]


class Arg(NamedTuple):
    """How one input lies in memory. Strides count elements and may be 0 or negative. What is made
    of `frozen` inputs alone may lie in memory of the program, `Frozen`: it is made once.
    """

    shape: tuple[int, ...]
    dtype: DType
    strides: tuple[int, ...]
    frozen: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        if 0 in self.shape:
            return True
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True


def turned(args: Sequence[Arg]) -> tuple[int, ...]:
    """The arguments that do not lie in C order, by number: for `Plan.contiguous`."""
    return tuple([i for i, arg in enumerate(args) if not arg.contiguous])


# A planner may answer None: there is no kernel for these element types, the reference serves.
Planner = Callable[[tuple[Arg, ...], tuple[Type, ...], Mapping[str, object], int], Plan | None]

_PLANNERS: dict[str, Planner] = {}


def schedule(name: str) -> Callable[[Planner], Planner]:
    """Register the decorated function as the planner that op records call `name`."""

    def register(planner: Planner) -> Planner:
        if name in _PLANNERS:
            raise ValueError(f"schedule: {name!r} is registered twice")
        _PLANNERS[name] = planner
        return planner

    return register


def is_known(name: str) -> bool:
    """Whether a planner of this name has been registered."""
    return name in _PLANNERS


def find_planner(name: str) -> Planner:
    """The planner registered under `name`."""
    planner = _PLANNERS.get(name)
    if planner is None:
        known = ", ".join(sorted(_PLANNERS))
        raise KeyError(f"schedule: there is no planner {name!r}; there are: {known}")
    return planner


# ---- numbers that may be traced (base/traced.py) -------------------------------------------------


def smaller(a: int, b: int) -> int:
    """min(a, b), as arithmetic: `min` decides, and each way to decide is traced apart."""
    tape = None if type(a) is int and type(b) is int else tape_of(a, b)
    if tape is not None:
        return tape.compute("min", a, b)  # type: ignore[no-any-return]
    return a if a <= b else b


def larger(a: int, b: int) -> int:
    """max(a, b), as arithmetic."""
    tape = None if type(a) is int and type(b) is int else tape_of(a, b)
    if tape is not None:
        return tape.compute("max", a, b)  # type: ignore[no-any-return]
    return a if a >= b else b


def whenever(act: Callable[..., None], *given: Any) -> None:
    """Do this now, and when what is traced is computed for other numbers than these."""
    tape = tape_of(*given)
    if tape is not None:
        tape.acts.append((act, given))
    act(*[getattr(x, "value", x) for x in given])


def tape_of(*numbers: Any) -> Any:
    """The tape of the first number that is traced; None where none is."""
    return next((x.tape for x in numbers if type(x) is not int and hasattr(x, "tape")), None)


# Below this much work (elements, or fma / 4), waking another thread costs more than it gives.
SMALL_WORK = 16384


def chunks_for(work: int, threads: int, small: int = SMALL_WORK) -> int:
    """How many chunks to split `work` into: 1 when it is small, else about four a thread."""
    if threads <= 1:
        return 1
    return larger(1, smaller(4 * threads, 2 * work // small))  # (1 for less than `small`)


def float_word(value: float, dtype: str = "f64") -> int:
    """The bits of a float as a job word; the kernel bitcasts it back (the low half for "f32"). A
    whole number is converted.
    """
    tape = tape_of(value)
    if tape is None:
        return _float_bits(dtype, value)
    return tape.compute(dtype, value, 0, lambda x, _: _float_bits(dtype, x))  # type: ignore[no-any-return]


def _float_bits(dtype: str, value: float) -> int:
    layout = {"f32": ("<f", "<I"), "f64": ("<d", "<q")}[dtype]
    return int(struct.unpack(layout[1], struct.pack(layout[0], value))[0])
