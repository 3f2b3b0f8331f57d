"""What kernels find wrong with the numbers that they are given. Floor 1.

A kernel cannot raise. One that meets a divisor of 0, an index beyond its axis, or a matrix that it
cannot take, notes the first such number in the record here and goes on with a harmless one; whoever
runs such kernels looks at the record afterwards:

    run(plan)
    faults.check()
"""

from __future__ import annotations

import numpy as np

from twofold.base.errors import DivisionError, IndexRangeError, LinAlgError

DIVISION, RANGE, MEMORY, SINGULAR, INDEFINITE = 1, 2, 3, 4, 5
# kind of the fault, the number, the smallest and the largest that were allowed, the operation
_record = np.zeros(5, np.int64)
_names: list[str] = [""]
# What is wrong with a matrix, by the row where it was found, and what helps.
MATRICES = {
    SINGULAR: ("a diagonal has a 0, in row {row}", "finite values"),
    INDEFINITE: (
        "a matrix is not positive-definite (its leading minor of order {order} is not)",
        "A + eps * twofold.eye(n), if rounding is why",
    ),
}
# What users call an operation of another name.
CALLED = {"trunc_divide": "div"}


def address() -> int:
    """Where the record lies: a word of the jobs of kernels that check."""
    return int(_record.ctypes.data)


def number_of(name: str) -> int:
    """The number by which kernels tell the operation."""
    if name not in _names:
        _names.append(name)
    return _names.index(name)


def record() -> memoryview:
    """The record to look at: its first word is 0 while there is nothing to tell."""
    return _record.data


def noted() -> np.ndarray:
    """The byte that is not 0 while there is something to tell, for programs that end then."""
    return _record.view(np.bool_)[:1]


def pending() -> bool:
    """Whether a fault was noted and not yet told."""
    return bool(_record[0])


def is_of_matrix() -> bool:
    """Whether it is of a matrix, by which programs end before they write."""
    return int(_record[0]) in MATRICES


def clear() -> None:
    """Forget what was noted."""
    _record[:] = 0


def check(op: str = "index") -> None:
    """Raise what a kernel noted, and forget it; `op` where the kernel did not tell its name."""
    if not _record[0]:
        return
    kind, value, low, high, number = map(int, _record)
    clear()
    if kind == MEMORY:
        raise MemoryError("what a loop keeps for its gradient does not fit into memory")
    name = CALLED.get(_names[number], _names[number]) or op
    if kind == DIVISION:
        raise DivisionError(name, "a whole number is divided by 0", hint="true_divide gives inf")
    if kind in MATRICES:
        problem, hint = MATRICES[kind]
        raise LinAlgError(name, problem.format(row=value, order=value + 1), hint=hint)
    raise IndexRangeError(
        name,
        f"index {value} is out of range",
        hint=f"{low} to {high}" if high >= low else "nothing: the axis has size 0",
    )
