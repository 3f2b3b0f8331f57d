"""Processes of contestants: started, asked, stopped while others have their turn."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, final

HERE = Path(__file__).resolve().parent
WORKER = HERE / "worker.py"
SOURCE = HERE.parent.parent  # the folder of the package: what Twofold's own process imports
# Settings of the calling shell that would slow a contestant down without being its fault.
FORGET: tuple[str, ...] = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONHOME")
FORGET += ("PYTHONDONTWRITEBYTECODE",)
LISTS_OF_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CACHES = ("TWOFOLD_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


def as_installed() -> None:
    """Have Python's compiled files beside Twofold's source, where installers leave them for all
    peers: a checkout that is never written to compiles a hundred files at each first step.
    """
    compileall.compile_dir(str(SOURCE / "twofold"), quiet=2)


class PeerError(Exception):
    """A process that died or did not answer in time."""


@final
class Peer:
    """One framework in one mode, in a process of its own."""

    def __init__(
        self, framework: Path, mode: str, python: str, threads: int, cold: str = ""
    ) -> None:
        self.framework = framework
        self.mode = mode
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        self.process = subprocess.Popen(
            [python, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment(framework.stem, threads, cold),
            start_new_session=True,  # an interrupt of the user ends us, and we end them
        )
        pin(self.process.pid, threads)

    def ask(self, limit: float, do: str, **request: Any) -> dict[str, Any]:
        """The answer to one request. Raises PeerError when there is none within `limit` seconds."""
        assert self.process.stdin and self.process.stdout
        if self.log.closed:
            raise PeerError("its process was stopped")
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise PeerError(f"its process ended; {self.last_words()}") from None
        line, end = b"", time.monotonic() + limit
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self.close()
                raise PeerError(f"stopped after {limit:.0f} s")
            chunk = os.read(self.process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise PeerError(f"its process ended; {self.last_words()}")
            line += chunk
        answer: dict[str, Any] = json.loads(line)
        return answer

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"

    def pause(self) -> None:
        """Stop all of its threads: some spin for a while when they have nothing to do."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def cpu(self) -> float:
        """Seconds of CPU time that it has used so far."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it, and all that it started."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):  # a pipe that nobody reads may hold a request
                stream.close()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def _signal(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(OSError):
                os.kill(self.process.pid, number)


def environment(framework: str, threads: int, cold: str) -> dict[str, str]:
    """The variables of a contestant's process. `cold` is an empty folder for all its caches."""
    made = {name: value for name, value in os.environ.items() if name not in FORGET}
    made.update(dict.fromkeys(LISTS_OF_THREADS, str(threads)))
    if framework == "twofold":
        made["PYTHONPATH"] = str(SOURCE)
    if cold:
        made.update({name: os.path.join(cold, name.lower()) for name in CACHES})
    return made


def pin(pid: int, threads: int) -> None:
    """Give the process as many CPUs as threads: some frameworks have no other setting."""
    if not hasattr(os, "sched_getaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    if threads < len(allowed):
        os.sched_setaffinity(pid, allowed[:threads])


def interpreter(framework: str, peers: str) -> str:
    """Twofold runs where the arena runs; the peers may live in another environment."""
    return sys.executable if framework == "twofold" or not peers else peers
