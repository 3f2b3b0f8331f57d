"""Modules that other threads compile while Python writes the next. Floor 3.

    submit(job, NOW)      `finish` waits for it; LATER for nobody, LAST what may be left at the end
    job.address("f")      at once, though "f" is not compiled: a jump to where it will be
    finish()              wait for all that is needed now; this thread compiles too

LLVM's work is done by as many threads as the machine has CPUs, the caller's among them. A thread
ends when nothing is left to do, so that none waits when the program ends; what was submitted is
finished and kept, but for the last, which are begun when nothing else was compiled for a while.
What a function's address leads to is written when its module is placed: until `finish` has come
back, nobody may go there. Imported when something must be compiled.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, final

from twofold.codegen import elf
from twofold.runtime import limits

if TYPE_CHECKING:  # it gives the jobs: an import that runs would be a circle
    from twofold.codegen.compile import Code

QUIET = 0.3  # seconds without other work before the last jobs are begun,
LOOK = 0.02  # and between looks whether the program has ended
MOST = 4  # threads in all: Python's share of the work, a quarter, is done by one at a time
JUMP = struct.Struct("<2sixx")  # jmp *distance(%rip)
failures: list[BaseException] = []  # in the order in which they came

_changed = threading.Condition()
NOW, LATER, LAST = range(3)
_queues: tuple[deque[Job], ...] = (deque(), deque(), deque())
_running: dict[Job, threading.Thread] = {}
_open: set[Job] = set()  # needed, and not done
_threads: set[threading.Thread] = set()
_broken: dict[str, list[tuple[str, tuple[int, int]]]] = {}  # jumps to what failed, by its key
_stirred = [time.monotonic()]  # when something was compiled that somebody wanted
_forking: list[bool] = []  # while a fork comes
_slots: list[tuple[int, int]] = []  # free places: of the jump, and of the address that it reads


@final
class Job:
    """A module on its way: `make()` gives the function that finds its symbols, `keep()` writes it
    into the cache once nobody waits any more; `functions` are those that others may call.
    """

    __slots__ = ("code", "error", "functions", "keep", "later", "make", "places")

    def __init__(
        self,
        code: Code,
        functions: frozenset[str],
        make: Callable[[], Any],
        keep: Callable[[], None],
    ) -> None:
        self.code = code
        self.functions = functions
        self.make = make
        self.keep = keep
        self.error: BaseException | None = None
        self.places: dict[str, tuple[int, int]] = {}
        self.later: list[Callable[[], None]] = []

    def address(self, symbol: str) -> int | None:
        """Where a jump to this function lies; None for data, or where the code is there."""
        with _changed:
            if self.code.job is not self or self.error or symbol not in self.functions:
                return None
            if symbol not in self.places:
                self.places[symbol] = _new_place()
            return self.places[symbol][0]

    def then(self, call: Callable[[], None]) -> None:
        """Call this when the code is there, on whatever thread."""
        with _changed:
            if self.code.job is self:
                self.later.append(call)
                return
        call()

    def wait(self) -> None:
        """Come back when the code is there. Raises what its compilation has raised."""
        _take_back()
        while self.code.job is self and self.error is None:
            with _changed:
                mine = _take_this(self)
                if not mine and self in _running:
                    _changed.wait()
            if mine:
                _run(self)
        if self.error is not None:
            raise self.error


def helpers() -> int:
    """How many threads compile besides the one that waits."""
    return min(_cpus(), MOST) - 1


@cache
def _cpus() -> int:
    return limits.cpus()


def submit(job: Job, when: int) -> None:
    """Have a module compiled."""
    if when != LAST:
        stir()
    with _changed:
        _queues[when].append(job)
        if when == NOW:
            _open.add(job)
        _start_threads()
        _changed.notify_all()


def stir() -> None:
    """Something is compiled that somebody wants: the last jobs are to wait."""
    _stirred[0] = time.monotonic()


def finish(until: int = NOW) -> None:
    """Wait until all is there that was to be there now, or later. Never raises: see `failures`."""
    _take_back()
    while True:
        with _changed:
            job = _take(until)
            if job is None:
                if not _open and (until == NOW or not _running):
                    return
                _changed.wait()
        if job is not None:
            _run(job)


# ---- threads -------------------------------------------------------------------------------------


def _start_threads() -> None:
    """One more thread, if there is more to do than threads to do it."""
    if _forking or len(_threads) >= min(helpers(), sum(map(len, _queues)) + len(_running)):
        return
    thread = threading.Thread(target=_work, name="twofold compiler")
    _threads.add(thread)
    try:
        thread.start()
    except RuntimeError:  # no more threads are to be had: who waits compiles
        _threads.discard(thread)


def _work() -> None:
    while True:
        with _changed:
            job = _next()
            if job is None:
                _threads.discard(threading.current_thread())
                return
        _run(job)


def _next() -> Job | None:
    """A job for a thread. The last ones are long, and a first step would wait for the thread that
    has begun one: they wait until the program is past that.
    """
    while not _forking:
        job = _take(LATER)
        if job is not None or not _queues[LAST] or not threading.main_thread().is_alive():
            return job
        quiet = _stirred[0] + QUIET - time.monotonic()
        if quiet <= 0:
            return _take(LAST)
        _changed.wait(min(quiet, LOOK))
    return None


def _take(until: int) -> Job | None:
    """Take the next job out of the queues up to this one; None if there is none."""
    for queue in _queues[: until + 1]:
        if queue:
            job = queue.popleft()
            _running[job] = threading.current_thread()
            return job
    return None


def _take_this(job: Job) -> bool:
    """Take a job out of its queue, if it is in one."""
    for queue in _queues:
        if job in queue:
            queue.remove(job)
            _running[job] = threading.current_thread()
            return True
    return False


def _take_back() -> None:
    """What this thread has taken and not done, as it was interrupted, is to be done again."""
    with _changed:
        for job, thread in list(_running.items()):
            if thread is threading.current_thread():
                del _running[job]
                _queues[NOW].appendleft(job)
                _changed.notify_all()


def _run(job: Job) -> None:
    """Compile a module, place it, and let its jumps lead there."""
    find = None
    try:
        find = job.make()
    except Exception as error:
        job.error = error
    except BaseException:  # interrupted: it is still to be done, by whoever waits next
        _take_back()
        raise
    with _changed:
        if find is None:
            failures.append(job.error)  # type: ignore[arg-type]
            _broken.setdefault(job.code.key, []).extend(job.places.items())
        else:
            _publish(job, find)
        _running.pop(job, None)
        _open.discard(job)
        _changed.notify_all()
    if find is not None:
        job.keep()


def _publish(job: Job, find: Callable[[str], int | None]) -> None:
    mend(job.code.key, find)
    for symbol, place in job.places.items():
        _lead(place, find(symbol))
    # who has a jump tells by it what he has: it stays the function's address
    jumps = {symbol: place[0] for symbol, place in job.places.items()}
    job.code.find = lambda symbol: jumps.get(symbol) or find(symbol)
    job.code.job = None
    for call in job.later:
        call()


def mend(key: str, find: Callable[[str], int | None]) -> None:
    """Let jumps lead to code that could not be compiled at first: others may have kept them."""
    for symbol, place in _broken.pop(key, ()):
        _lead(place, find(symbol))


def _lead(place: tuple[int, int], address: int | None) -> None:
    ctypes.c_uint64.from_address(place[1]).value = address or 0


# ---- addresses before there is code --------------------------------------------------------------


def _new_place() -> tuple[int, int]:
    """A jump, and the place of the address that it goes to."""
    if not _slots:
        _slots.extend(_new_page())
    return _slots.pop()


def _new_page() -> list[tuple[int, int]]:
    """A page of jumps, and behind it one of addresses."""
    size = mmap.PAGESIZE
    image = elf.reserve(2 * size)
    count = size // JUMP.size
    code = b"".join([JUMP.pack(elf.JUMP, size - 6) for _ in range(count)])
    ctypes.memmove(image, code, len(code))
    elf.protect(image, size, mmap.PROT_READ | mmap.PROT_EXEC)
    return [(image + i * JUMP.size, image + size + i * JUMP.size) for i in reversed(range(count))]


# ---- forks ---------------------------------------------------------------------------------------


def _before_fork() -> None:
    """The child has none of the threads: none may be in the middle of something."""
    _forking.append(True)
    with _changed:
        _changed.notify_all()
    finish(LATER)
    for thread in list(_threads):
        thread.join()


def _in_parent() -> None:
    _forking.pop()
    with _changed:
        if any(_queues):
            _start_threads()


def _in_child() -> None:
    """What another thread submitted at the last moment is done by who waits for it."""
    global _changed
    _changed = threading.Condition()
    _forking.clear()
    _threads.clear()
    _queues[NOW].extend(_running)
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
