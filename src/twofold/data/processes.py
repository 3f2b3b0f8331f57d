"""Processes that make batches, on request: `multiprocessing_context="spawn"`. Floor 11.

Each worker thread of a pass has a process of its own, hands it a task and waits for the batch; so
order, errors and time limits are those of threads. The dataset is pickled to each process, except
for its large arrays: they are written once into shared memory, which every process maps read-only.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import os
import pickle
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base.errors import ArgumentError, TwofoldError
from twofold.data.workers import WorkerInfo, appear_as
from twofold.runtime.threads import set_num_threads

Array = npt.NDArray[Any]
LARGE = 1 << 16  # bytes from which an array is shared and not copied
MEMORY = "/dev/shm"
METHODS = ("spawn", "forkserver", "fork")


class WorkerExitError(TwofoldError):
    """A process ended before it gave its batch."""


def context_of(wanted: Any) -> Any:
    """The multiprocessing context of a name, or the context itself. Raises ArgumentError."""
    if isinstance(wanted, str):
        if wanted not in multiprocessing.get_all_start_methods():
            raise ArgumentError(
                "DataLoader", f"there is no way {wanted!r} to start processes", hint='"spawn"'
            )
        return multiprocessing.get_context(wanted)
    if not hasattr(wanted, "Process") or not hasattr(wanted, "Pipe"):
        raise ArgumentError("DataLoader", "multiprocessing_context is no context", hint='"spawn"')
    return wanted


@final
class Sharing(pickle.Pickler):
    """Pickles an object for workers: its large arrays stand in files of a folder."""

    def __init__(self, file: Any, folder: str) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.folder = folder

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.nbytes < LARGE or value.dtype.hasobject:
            return NotImplemented
        # the pickler's memo gives the same array the same file
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder))}.npy")
        np.save(path, np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        return opened, (path, value.dtype, value.shape)


def opened(path: str, dtype: Any, shape: tuple[int, ...]) -> Array:
    """The array of a file, as pages that all processes share and none can write to."""
    pages = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(np.asarray(pages).view(dtype).reshape(shape))


def shared_pickle(value: Any, folder: str) -> bytes:
    file = io.BytesIO()
    Sharing(file, folder).dump(value)
    return file.getvalue()


@final
class Processes:
    """A source whose batches are made by processes, one for each thread that asks."""

    def __init__(self, source: Any, infos: list[WorkerInfo], context: Any, start: Any) -> None:
        self.source = source
        self.context = context
        self.folder = tempfile.mkdtemp(
            prefix="twofold-data-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None
        )
        try:
            self.payload = shared_pickle((source, infos, start), self.folder)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.workers: list[tuple[Any, Any]] = []
        self.own = threading.local()
        self.starting = threading.Lock()

    def start(self, worker: int) -> None:
        """Start the process of this thread."""
        with self.starting:
            ours, theirs = self.context.Pipe()
            process = self.context.Process(
                target=serve, args=(theirs, self.payload, worker), daemon=True
            )
            process.start()
            theirs.close()
            self.workers.append((process, ours))
        self.own.process, self.own.pipe = process, ours
        self.receive()  # worker_init_fn is through

    def claim(self, number: int, task: Any) -> Any:
        return self.source.claim(number, task)

    def finish(self, number: int, claimed: Any) -> Any:
        with contextlib.suppress(OSError):  # where it is gone, receive says so
            self.own.pipe.send((number, claimed))
        return self.receive()

    def receive(self) -> Any:
        """The process's answer; its error is raised here, with its traceback as a note."""
        try:
            good, value, trace = self.own.pipe.recv()
        except (EOFError, OSError):
            self.own.process.join(1)
            raise WorkerExitError(
                "DataLoader",
                "a worker process ended before it gave its batch",
                exit_code=self.own.process.exitcode,
                hint="num_workers=0, to see why",
            ) from None
        if good:
            return value
        value.add_note(f"in a worker process:\n{trace}")
        raise value

    def close(self) -> None:
        """End the processes, and let the shared memory go."""
        for _, pipe in self.workers:
            with contextlib.suppress(OSError):
                pipe.close()
        for process, _ in self.workers:
            process.join(0.2)
            if process.is_alive():
                process.terminate()
                process.join()
        self.workers = []
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(pipe: Any, payload: bytes, worker: int) -> None:
    """A worker process: batches for tasks, until the other end of the pipe is closed."""
    set_num_threads(1)
    source: Any = None

    def begin() -> None:
        nonlocal source
        source, infos, start = pickle.loads(payload)
        appear_as(infos[worker])
        if start is not None:
            start(worker)

    answer(pipe, begin)
    while True:
        try:
            number, task = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        answer(pipe, functools.partial(source.finish, number, task))


def answer(pipe: Any, make: Callable[[], Any]) -> None:
    try:
        reply = (True, make(), "")
    except Exception as error:
        reply = (False, sendable(error), traceback.format_exc())
    try:
        pipe.send(reply)
    except BrokenPipeError:
        return
    except Exception as error:  # what was made cannot be pickled
        pipe.send((False, sendable(error), traceback.format_exc()))


def sendable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
