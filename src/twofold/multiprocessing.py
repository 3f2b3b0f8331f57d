"""Python's multiprocessing, under PyTorch's name. Floor 11.

A tensor that is sent to another process is copied, as an array is; nothing is shared unasked.
"""

from __future__ import annotations

import multiprocessing as _processes
from collections.abc import Callable
from multiprocessing import *  # noqa: F403  # the module itself, by another name
from typing import Any

from twofold.base.errors import TwofoldError


class ProcessRaisedException(TwofoldError):
    """A process that `spawn` started has failed."""


def get_all_sharing_strategies() -> set[str]:
    return {"copy"}


def get_sharing_strategy() -> str:
    return "copy"


def set_sharing_strategy(new_strategy: str) -> None:
    """Nothing is shared, so there is nothing to choose."""


def spawn(
    fn: Callable[..., None],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Run fn(i, *args) in `nprocs` new processes.

    Returns the processes with join=False. Raises ProcessRaisedException where one ends with an
    error, after the others were ended.
    """
    context: Any = _processes.get_context(start_method)
    started = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]
    for process in started:
        process.start()
    if not join:
        return started
    for number, process in enumerate(started):
        process.join()
        if process.exitcode:
            for other in started:
                other.terminate()
            problem = f"process {number} ended with exit code {process.exitcode}"
            raise ProcessRaisedException("spawn", problem, hint="its traceback stands above")
    return None
