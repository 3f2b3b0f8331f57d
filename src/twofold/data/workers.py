"""Fetch batches ahead on threads and hand them over in order. Floor 11.

Threads share the dataset, so memory does not grow with their number, and NumPy's and our own work
releases Python's lock. A batch belongs to a ticket; tickets are worked on in any order and given
out in theirs.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, final

from twofold.base.errors import TwofoldError
from twofold.base.records import NamedTuple

END = object()  # what a source gives when there is no further batch
PATIENCE = 5.0  # seconds to wait for a busy worker when a pass is left early

Source = Any  # claim(number, task) -> claimed, one at a time; finish(number, claimed) -> batch


class WorkerInfo(NamedTuple):
    """Which worker is asking. A stream is shared by all workers, so it sees one worker of one."""

    id: int
    num_workers: int
    dataset: Any


class WorkerTimeoutError(TwofoldError, TimeoutError):
    """A batch took longer than the loader's `timeout`."""


_local = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """The worker that runs this thread; None outside of a DataLoader's workers."""
    return getattr(_local, "info", None)


def appear_as(info: WorkerInfo) -> None:
    """Let this thread be that worker."""
    _local.info = info


@final
class Ticket:
    """One batch to be: its number and task, then its value or the error instead."""

    __slots__ = ("done", "error", "number", "task", "value")

    def __init__(self, number: int, task: Any) -> None:
        self.number = number
        self.task = task
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def fail(self, error: BaseException, where: str) -> None:
        error.add_note(f"raised in {where}, batch {self.number}")
        self.error = error
        self.done.set()

    def give(self, value: Any) -> None:
        self.value = value
        self.done.set()


@final
class Crew:
    """What the workers of one pass share. Knows nothing of who takes the batches."""

    def __init__(self, source: Source, start: Callable[[int], Any] | None) -> None:
        self.source = source
        self.start = start
        self.tickets: SimpleQueue[Ticket | None] = SimpleQueue()
        self.claiming = threading.Lock()
        self.stopped = False
        self.threads: list[threading.Thread] = []

    def hire(self, infos: list[WorkerInfo]) -> None:
        for info in infos:
            name = f"twofold-data-{info.id}"
            thread = threading.Thread(target=work, args=(self, info), name=name, daemon=True)
            self.threads.append(thread)
            thread.start()

    def dismiss(self) -> None:
        """Let the workers finish what they are at, and wait for them for a while."""
        self.stopped = True
        for _ in self.threads:
            self.tickets.put(None)
        if threading.current_thread() in self.threads:  # collected as garbage by a worker
            return
        deadline = time.monotonic() + PATIENCE
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.threads = []


def work(crew: Crew, info: WorkerInfo) -> None:
    """A worker's life: take a ticket, make its batch, until told to stop."""
    appear_as(info)
    where = f"DataLoader worker {info.id}"
    failure = attempt(crew.start, info.id)
    while True:
        with crew.claiming:  # so that a stream is read in the order of the tickets
            ticket = crew.tickets.get()
            if ticket is None or crew.stopped:
                return
            claimed = None
            try:
                if failure:
                    raise failure
                claimed = crew.source.claim(ticket.number, ticket.task)
            except BaseException as error:
                ticket.fail(error, where)
                continue
        try:
            ticket.give(crew.source.finish(ticket.number, claimed))
        except BaseException as error:
            ticket.fail(error, where)
        del ticket, claimed  # a worker that waits keeps no batch alive


def attempt(start: Callable[[int], Any] | None, worker: int) -> BaseException | None:
    try:
        if start is not None:
            start(worker)
    except BaseException as error:
        return error
    return None


@final
class Prefetcher:
    """The batches of one pass, in order, made by workers ahead of their being asked for."""

    def __init__(
        self,
        source: Source,
        tasks: Iterator[tuple[int, Any]],
        infos: list[WorkerInfo],
        ahead: int,
        timeout: float = 0,
        start: Callable[[int], Any] | None = None,
    ) -> None:
        self.tasks = tasks
        self.timeout = timeout
        self.pending: deque[Ticket] = deque()
        self.crew = Crew(source, start)
        LIVE.add(self)
        self.crew.hire(infos)
        for _ in range(ahead):
            self.order_next()

    def order_next(self) -> None:
        """Put the next task to the workers, if there is one."""
        try:
            number, task = next(self.tasks)
        except StopIteration:
            return
        except BaseException as error:  # of the sampler's: raised when its turn comes
            self.tasks = iter(())
            ticket = Ticket(-1, None)
            ticket.error = error
            ticket.done.set()
            self.pending.append(ticket)
            return
        ticket = Ticket(number, task)
        self.pending.append(ticket)
        self.crew.tickets.put(ticket)

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Any:
        if not self.pending:
            self.close()
            raise StopIteration
        ticket = self.pending.popleft()
        self.order_next()
        if not ticket.done.wait(self.timeout or None):
            self.close()
            raise WorkerTimeoutError(
                "DataLoader", "a batch took too long", batch=ticket.number, timeout=self.timeout
            )
        if isinstance(ticket.error, StopIteration):  # would end the pass in silence
            self.close()
            raise RuntimeError("the dataset raised StopIteration") from ticket.error
        if ticket.error is not None:
            self.close()
            raise ticket.error
        if ticket.value is END:
            self.close()
            raise StopIteration
        return ticket.value

    def close(self) -> None:
        """Stop the workers and drop what they made ahead."""
        self.tasks = iter(())
        self.pending.clear()
        self.crew.dismiss()


LIVE: weakref.WeakSet[Prefetcher] = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """Before the interpreter goes: no worker is left in the middle of something."""
    for prefetcher in list(LIVE):
        prefetcher.close()
