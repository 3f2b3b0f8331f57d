"""What compiled functions leave to Python: calls of which no program is made, and calls whose
program ended at an error that the function itself may catch. Floor 9.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import itertools
from collections.abc import Iterator
from types import CodeType


class InPython(BaseException):
    """What a call does only Python can run: it does, without a program.

    once  whether a call like it may have its program still
    """

    def __init__(self, error: Exception, once: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.once = once


class Failed(BaseException):
    """A program ended before it did anything: at an error, or at memory that it cannot be given.
    Python runs the call, and tells the error, or catches it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A code and those of the functions in it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from codes_of(part)


@contextlib.contextmanager
def of_passes() -> Iterator[None]:
    """In the block an error is a fault of a pass, or of a graph: no function is left to Python for
    it.
    """
    try:
        yield
    except Exception as error:
        error.of_passes = True  # type: ignore[attr-defined]
        raise


CATCHING = {"CHECK_EXC_MATCH", "CHECK_EG_MATCH"}
SUPPRESSING = {"suppress", "ExitStack", "__exit__"}


@functools.cache
def catches(code: CodeType) -> bool:
    """Whether a function, or one in it, may catch an error, or does something where there is one:
    it has an `except`, a `finally`, or a `with` that may suppress.
    """
    return any(map(_catches, codes_of(code)))


def _catches(code: CodeType) -> bool:
    if not SUPPRESSING.isdisjoint((*code.co_names, code.co_name)):
        return True
    names = [one.opname for one in dis.get_instructions(code)]
    if not CATCHING.isdisjoint(names):
        return True
    behind = itertools.pairwise(names)
    return any(one == "PUSH_EXC_INFO" and two != "WITH_EXCEPT_START" for one, two in behind)
