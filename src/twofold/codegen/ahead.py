"""Code that is compiled before it is needed, while the program goes on. Floor 3.

    work = start(prepare)      None: compile it here, when it is needed
    work.done()                it has ended, whatever came of it
    later(10.0, prepare)       in so many seconds, if the program still runs then

A compiler thread calls `prepare` when no kernel waits (codegen/jobs.py). What that compiles is in
the cache afterwards; what it does not, the caller compiles itself. Where a program ends before it
has begun, it is left.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import final

from twofold.codegen import cache
from twofold.codegen.compile import JOBS, Code, beside


@final
class Work:
    """Something that a compiler thread does, or will do."""

    __slots__ = ("code",)

    def __init__(self, code: Code) -> None:
        self.code = code

    def done(self) -> bool:
        """Whether it has ended. Never waits."""
        return self.code.job is None


def start(prepare: Callable[[], None]) -> Work | None:
    """Call a function on another thread; None where nothing would be gained by that: on one CPU,
    or without a cache to put code into.
    """
    if not beside() or not cache.usable():
        return None
    jobs = importlib.import_module(JOBS)
    code = Code("ahead", lambda symbol: None)

    def make() -> Callable[[str], int | None]:
        with suppress(Exception):  # who needs it compiles it, and is told
            prepare()
        return code.find

    code.job = jobs.Job(code, frozenset(), make, lambda: None)
    jobs.submit(code.job, jobs.LAST)
    return Work(code)


def later(seconds: float, prepare: Callable[[], None]) -> None:
    """Call a function on another thread once the program has run for so long."""
    timer = threading.Timer(seconds, lambda: start(prepare))
    timer.daemon = True  # the end of the program does not wait for it
    with suppress(RuntimeError):  # no more threads are to be had
        timer.start()
