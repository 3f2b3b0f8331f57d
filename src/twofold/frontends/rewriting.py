"""Which functions are captured with their control flow rewritten: those that need it. Floor 9.

A function is captured as it is. Where a tensor decides in it or in a function that it calls, or a
size how often a loop turns, the innermost function of the user's that stands there is rewritten
(frontends/syntax.py), and the capture begins anew. While it runs, the rewritten code stands in the
function itself, whoever calls it; Python values take the same way in both.
"""

from __future__ import annotations

import contextlib
import gc
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, FrameType, FunctionType
from typing import NamedTuple

from twofold.base.errors import USERS, owner_of
from twofold.base.guards import Guard
from twofold.frontends import syntax
from twofold.frontends.arrays import note_raised
from twofold.frontends.left_to_python import codes_of

# What a line has that wants a number: a loop, or a function that is no method (x.sum() is none).
WANTING = re.compile(r" for |(?<![\w.])(?:len|int|float|list|tuple|sum|max|min|map)\(|\bmath\.")
NUMPYS = ("np.", "numpy.")
MOST_TURNS = 256  # of a loop that turns in Python while a graph is captured


class Rewrite(NamedTuple):
    """The code of a function, and the code with which it is captured."""

    plain: CodeType
    code: CodeType


class Unrolled(BaseException):
    """A loop of the function is being unrolled for one size: no program should hold it so."""

    def __init__(self, rewrite: Rewrite) -> None:
        super().__init__(rewrite)
        self.rewrite = rewrite
        note_raised(self)


def unrolls(guard: Guard) -> bool:
    """Whether a guard fixes how often a loop turns: `for i in range(n)`, or over a tensor of n
    rows, or `while i < n`; or a size that Python wants as a number, and rewritten code does not:
    `len(x)`, `int(n)`.
    """
    line = f" {guard.where.partition('    ')[2]}"
    if line.lstrip().startswith("while "):
        return True
    return _fixes(guard) and WANTING.search(line) is not None


def asks_numpy(guard: Guard) -> bool:
    """Whether a guard fixes a size that NumPy wants as a number, and rewritten code does not:
    `np.ones(n)`.
    """
    return _fixes(guard) and any(word in guard.where for word in NUMPYS)


def _fixes(guard: Guard) -> bool:
    return guard.test == "==" and guard.holds and ":" in guard.where


def frames_of(error: BaseException) -> list[FrameType]:
    """The frames of the user's functions that an error went through, the innermost first."""
    found = []
    trace = error.__traceback__
    while trace is not None:
        found.append(trace.tb_frame)
        trace = trace.tb_next
    return found[::-1]


def frames_now() -> list[FrameType]:
    """The frames of the user's functions that run, the innermost first."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def rewrite_of(
    frames: Iterable[FrameType],
    known: Iterable[Rewrite],
    top: CodeType | None = None,
    most: int = sys.maxsize,
) -> Rewrite | None:
    """The innermost function in these frames that can be rewritten and is not yet; not further out
    than the frame that has the code `top`, or the user's frame number `most`.
    """
    done = {code for rewrite in known for code in (*codes_of(rewrite.code), rewrite.plain)}
    for frame in frames:
        code = frame.f_code
        if owner_of(code.co_filename) == USERS:
            most -= 1
        if code not in done and owner_of(code.co_filename) == USERS:
            new = syntax.rewritten_code(code)
            if new is not None and any(functions_of([code])):
                return Rewrite(code, new)
        if code is top or not most:
            break
    return None


def functions_of(codes: Sequence[CodeType]) -> list[list[FunctionType]]:
    """The functions that have each of these codes now: all that one `def`, run several times, has
    made. The collector looks at every object for them, so they are looked for together.

    It does not show what `gc.freeze` has put aside, as servers do before they fork.
    """
    if gc.get_freeze_count():
        gc.unfreeze()
        holders = gc.get_referrers(*codes)
        gc.freeze()
    else:
        holders = gc.get_referrers(*codes)
    functions = [f for f in holders if type(f) is FunctionType]
    return [[f for f in functions if f.__code__ is code] for code in codes]


_lock = threading.Lock()
_standing: dict[CodeType, list[list[FunctionType]]] = {}  # by own code: whose it is, by captures


@contextlib.contextmanager
def standing(rewrites: Iterable[Rewrite]) -> Iterator[None]:
    """In the block, functions have their rewritten code."""
    rewrites = list(rewrites)
    with _lock:
        functions = functions_of([rewrite.plain for rewrite in rewrites]) if rewrites else []
        for rewrite, found in zip(rewrites, functions, strict=True):
            _standing.setdefault(rewrite.plain, []).append(found)
            for function in found:
                function.__code__ = rewrite.code
    try:
        yield
    finally:
        with _lock:
            for rewrite in rewrites:
                captures = _standing[rewrite.plain]
                if len(captures) > 1:  # others still need them
                    captures[0] += captures.pop()
                    continue
                for function in captures[0]:
                    function.__code__ = rewrite.plain
                del _standing[rewrite.plain]
