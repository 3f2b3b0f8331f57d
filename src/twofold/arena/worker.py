"""The process of one framework in one mode: reads requests, one JSON line each, and answers.

It is run by its path, not as a part of the package, so that no peer's process loads Twofold, and so
that it can run in an interpreter that does not have it. It needs NumPy and the standard library.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import importlib.util
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

STEPS = 3  # of the check, before anything is timed
MOST = 32  # calls of a turn: each has inputs of its own, which are made before
LEAST = 3  # of these, as the first may find its memory paged out while its process waited
HELD = 1 << 27  # bytes of inputs of a turn: more calls than fit into it are not made, but STEPS are
SAMPLES = 24  # elements of an output that are told one by one
CHECK = 999_999  # the number of the turn whose inputs the check uses


class Mode(str):
    """The name of a mode. Called with a function, it gives the function as this mode runs it."""

    wrap: Callable[..., Any]

    def __call__(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return self.wrap(str(self), function, **options)


class Refused(Exception):
    """A contestant that does not take part, with the reason."""


def load(path: str) -> ModuleType:
    """The module in this file, under a name that hides nobody else's."""
    spec = importlib.util.spec_from_file_location(f"arena_{Path(path).stem}_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def leaves(tree: Any) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        for branch in tree:
            yield from leaves(branch)
    elif tree is not None:
        yield tree


def convert(tree: Any, tensor: Callable[[Any], Any]) -> Any:
    """The same tree with every array made a tensor; other values stay."""
    if isinstance(tree, dict):
        return {name: convert(branch, tensor) for name, branch in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(convert(branch, tensor) for branch in tree)
    return tensor(tree) if isinstance(tree, np.ndarray) else tree


def digest(array: Any) -> dict[str, Any]:
    """An output in few numbers: its shape, its norm, its mean, and some of its elements."""
    array = np.asarray(array, dtype=np.float64)
    flat = array.reshape(-1)
    spots = np.linspace(0, max(flat.size - 1, 0), min(SAMPLES, flat.size)).astype(np.int64)
    mean = float(flat.mean()) if flat.size else 0.0
    return {
        "shape": list(array.shape),
        "norm": float(np.sqrt(flat @ flat)),
        "mean": mean,
        "samples": [float(x) for x in flat[spots]],
    }


def peak_memory() -> int | None:
    """The most memory that this process had since `forget_peak`, in bytes."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def forget_peak() -> bool:
    """Measure anew from here, with what earlier rows left behind given back to the system."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


class Worker:
    """One framework, and the contestant that it runs at the moment."""

    def __init__(self) -> None:
        self.framework: ModuleType
        self.mode: Mode
        self.step: Callable[..., Any] | None = None
        self.read: Callable[[], Any] | None = None
        self.take: Callable[..., Any]
        self.once = 1.0
        self.bytes = 0  # of the inputs of one call

    def start(self, framework: str, mode: str, threads: int) -> dict[str, Any]:
        """Import the framework. Answers with its version and the time of the import."""
        self.framework = load(framework)
        began = time.perf_counter()
        try:
            reason = self.framework.start(mode, threads)
        except ImportError as error:
            reason = f"not installed ({error})"
        if reason:
            raise Refused(reason)
        took = time.perf_counter() - began
        self.mode = Mode(mode)
        self.mode.wrap = self.framework.compiled
        return {"import": took, "version": version(self.framework.DISTRIBUTION)}

    def build(self, workload: str, contestant: str, sizes: dict[str, Any]) -> dict[str, Any]:
        """Make the contestant of a workload. Answers with the time that took."""
        self.drop()
        getattr(self.framework, "give_back", int)()
        self.clean = forget_peak()
        self.workload, self.sizes = load(workload), sizes
        make = getattr(self.workload, contestant, None)
        if make is None:
            raise Refused("not written for this framework")
        refuses = getattr(self.framework, "refuses", None)
        reason = refuses and refuses(str(self.mode), Path(workload).stem)
        if reason:
            raise Refused(reason)
        weights = self.weights()
        began = time.perf_counter()
        made = make(weights, self.mode, **sizes)
        took = time.perf_counter() - began
        if isinstance(made, str):
            raise Refused(made)
        if not isinstance(made, dict):
            made = {"step": made}
        self.step, self.read = made["step"], made.get("weights")
        self.take = made.get("take", self.take_inputs)
        return {"build": took}

    def weights(self) -> Any:
        make = getattr(self.workload, "weights", None)
        return {} if make is None else make(np.random.default_rng(1), **self.sizes)

    def take_inputs(self, *inputs: Any) -> tuple[Any, ...]:
        return tuple(convert(inputs, self.framework.tensor))

    def inputs(self, turn: int, call: int) -> tuple[Any, ...]:
        """What call number `call` of a turn gets: the same for every contestant, never twice."""
        drawn = self.workload.inputs(np.random.default_rng([turn, call]), **self.sizes)
        self.bytes = sum(getattr(leaf, "nbytes", 0) for leaf in leaves(drawn))
        return tuple(self.take(*drawn))

    def call(self, inputs: tuple[Any, ...]) -> tuple[float, Any]:
        """The time of one call, waited for, and its result."""
        assert self.step is not None
        began = time.perf_counter()
        result = self.step(*inputs)
        self.framework.wait(result)
        return time.perf_counter() - began, result

    def told(self, result: Any) -> list[dict[str, Any]]:
        return [digest(self.framework.array(leaf)) for leaf in leaves(result)]

    def snapshot(self) -> list[Any]:
        if self.read is None:
            return []
        return [np.array(self.framework.array(leaf), np.float64) for leaf in leaves(self.read())]

    def check(self) -> dict[str, Any]:
        """Three calls, their results, and how far each weight moved."""
        before = self.snapshot()
        times, results = [], []
        for number in range(getattr(self.workload, "STEPS", STEPS)):
            took, result = self.call(self.inputs(CHECK, number))
            times.append(took)
            results.append(self.told(result))
        self.once = times[-1]
        return {"times": times, "results": results, "moves": moves(before, self.snapshot())}

    def turn(self, number: int, seconds: float) -> dict[str, Any]:
        """As many calls as fit into `seconds`, each with inputs of its own, each timed."""
        least = 1 if getattr(self.workload, "FRESH", False) else LEAST
        calls = max(least, min(MOST, math.ceil(seconds / max(self.once, 1e-9))))
        calls = min(calls, max(STEPS, HELD // max(1, self.bytes)))  # who is fast holds no more
        inputs = [self.inputs(number, call) for call in range(calls)]
        before = self.snapshot()
        if not getattr(self.workload, "FRESH", False):
            getattr(self.framework, "settle", int)()
        gc.collect()
        times, results = [], []
        for call, given in enumerate(inputs):
            took, result = self.call(given)
            times.append(took)
            if self.read is not None or call in (0, calls - 1):
                results.append(self.told(result))  # now: some reuse their outputs' memory
        self.once = sorted(times)[len(times) // 2]
        return {"times": times, "results": results, "moves": moves(before, self.snapshot())}

    def memory(self) -> dict[str, Any]:
        return {"peak": peak_memory(), "clean": self.clean}

    def behave(self, path: str, name: str) -> dict[str, Any]:
        """One behaviour of the framework: what was done and what came of it."""
        module = load(path)
        act = getattr(module, name, None)
        if act is None:
            raise Refused("not written for this framework")
        return dict(act(self.framework, self.mode))

    def drop(self) -> dict[str, Any]:
        self.step = self.read = None
        gc.collect()
        return {}


def moves(before: list[Any], after: list[Any]) -> list[float]:
    return [float(np.linalg.norm(b - a)) for a, b in zip(before, after, strict=True)]


def version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "from source"


def end_with_parent() -> None:
    """Have the system end this process when the arena ends, also while it is stopped."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def main() -> None:
    """Answer on what was standard output; all that frameworks print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    end_with_parent()
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Refused as refusal:
            answer = {"refused": str(refusal)}
        except BaseException as error:
            traceback.print_exc()
            first = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {first[0]}"[:400]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
