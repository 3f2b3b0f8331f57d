"""Python's multiprocessing, under PyTorch's name. Floor 11.

A tensor that is sent to another process is copied, as an array is, unless `share_memory_()` has put
it where both see it.
"""

from __future__ import annotations

import multiprocessing as _processes
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import *  # noqa: F403  # the module itself, by another name
from multiprocessing import connection
from typing import Any, final

from twofold.base.errors import TwofoldError
from twofold.ops import sharing  # noqa: F401  # how shared tensors are sent


class ProcessException(TwofoldError):
    """A process that `spawn` started has failed: which one, and its pid."""

    error_index = pid = 0


class ProcessRaisedException(ProcessException):
    """It ended with an exception, whose traceback is in the text."""


class ProcessExitedException(ProcessException):
    """It ended with an exit code, or by a signal."""

    exit_code = 0
    signal_name: str | None = None


def get_all_sharing_strategies() -> set[str]:
    return {"copy"}


def get_sharing_strategy() -> str:
    return "copy"


def set_sharing_strategy(new_strategy: str) -> None:
    """Nothing is shared, so there is nothing to choose."""


def _run(fn: Callable[..., None], i: int, args: tuple[Any, ...], errors: Any) -> None:
    """fn(i, *args) in a new process; the traceback of an exception is sent back."""
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the process that started this one is told, too
    except Exception:
        errors.put(traceback.format_exc())
        sys.exit(1)


@final
class ProcessContext:
    """The processes that `spawn` has started."""

    def __init__(self, processes: list[Any], errors: list[Any]) -> None:
        self.processes = processes
        self.error_queues = errors
        self.waiting = dict(
            zip([p.sentinel for p in processes], range(len(processes)), strict=True)
        )

    def pids(self) -> list[int]:
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until one more has ended; whether all have. Raises ProcessRaisedException or
        ProcessExitedException where one has failed, after the others were ended.
        """
        if not self.waiting:
            return True
        ended = connection.wait(list(self.waiting), timeout)
        numbers = [self.waiting.pop(sentinel) for sentinel in ended]  # type: ignore[call-overload]
        for number in numbers:
            self.processes[number].join()
        failed = [number for number in numbers if self.processes[number].exitcode]
        if not failed:
            return not self.waiting
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join()
        raise self._error(failed[0])

    def _error(self, number: int) -> ProcessException:
        process, errors = self.processes[number], self.error_queues[number]
        made: ProcessException
        if not errors.empty():
            problem = f"process {number} terminated with the following error:\n{errors.get()}"
            made = ProcessRaisedException("spawn", problem)
        else:
            code = process.exitcode
            problem = f"process {number} terminated with exit code {code}"
            if code < 0:
                problem = f"process {number} terminated with signal {signal.Signals(-code).name}"
            exited = ProcessExitedException("spawn", problem)
            exited.exit_code = code
            exited.signal_name = signal.Signals(-code).name if code < 0 else None
            made = exited
        made.error_index, made.pid = number, process.pid
        return made


SpawnContext = ProcessContext


def start_processes(
    fn: Callable[..., None],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Run fn(i, *args) in `nprocs` new processes.

    Returns a ProcessContext with join=False. Raises ProcessRaisedException where one ends with an
    exception, ProcessExitedException where it ends otherwise than by itself; the others were ended.
    """
    context: Any = _processes.get_context(start_method)
    errors = [context.SimpleQueue() for _ in range(nprocs)]
    started = [
        context.Process(target=_run, args=(fn, i, args, errors[i]), daemon=daemon)
        for i in range(nprocs)
    ]
    for process in started:
        process.start()
    made = ProcessContext(started, errors)
    if not join:
        return made
    while not made.join():
        pass
    return None


spawn = start_processes
