"""Code that is compiled by another process while this one goes on. Floor 3.

    work = start("twofold.exec.tensors", "prepare")    None: compile it here, when it is needed
    work.done()                                        it has ended, whatever came of it

The other process is a Python of its own, which shares nothing with this one but the cache on disk:
no lock, thread or open file of this process can harm it. What it has compiled when it ends is in
the cache; what it has not, the caller compiles itself. It lives for a second, gives way to
others that want the CPU, is not waited for, and if this process ends sooner it finishes alone.
"""

from __future__ import annotations

import os
import sys
from typing import final

from twofold.codegen import cache

NOWHERE = "/dev/null"


@final
class Work:
    """A process that was started."""

    __slots__ = ("ended", "process")

    def __init__(self, process: int) -> None:
        self.process = process
        self.ended = False

    def done(self) -> bool:
        """Whether it has ended. Never waits."""
        if not self.ended:
            try:
                self.ended = os.waitpid(self.process, os.WNOHANG)[0] != 0
            except ChildProcessError:  # somebody else has asked for all children
                self.ended = True
        return self.ended


def start(module: str, function: str) -> Work | None:
    """Call a function of a module in another process; None where nothing would be gained by that:
    on one CPU, without a cache to put code into, or where no Python can be started.
    """
    if not _possible() or not cache.usable():
        return None
    code = f"import os, sys; sys.path[:] = {sys.path!r}\n"
    code += "if sys.platform == 'linux': os.sched_setscheduler(0, 0, os.sched_param(0))\n"
    code += "os.nice(10)\n"
    code += f"from {module} import {function}; {function}()"
    silent = [
        (os.POSIX_SPAWN_OPEN, 0, NOWHERE, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, NOWHERE, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, NOWHERE, os.O_WRONLY, 0),
    ]
    environment = {**os.environ, "TWOFOLD_CACHE": cache.root(), "TWOFOLD_DEBUG": "0"}
    try:
        words = [sys.executable, "-c", code]
        return Work(
            os.posix_spawn(sys.executable, words, environment, file_actions=silent, setpgroup=0)
        )
    except OSError:
        return None


def _possible() -> bool:
    """Whether there is a second CPU, and a Python that runs what it is told."""
    name = os.path.basename(sys.executable or "")
    plain = name.startswith("python") and not getattr(sys, "frozen", False)
    return plain and hasattr(os, "posix_spawn") and len(_cpus()) > 1


def _cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
