"""Small calls around operations against PyTorch: modules, optimizers, batches, complex numbers.

python -m bench.calls [PATTERN ...] [--threads 1] [--rounds 3]

A case is what is made once, and the expression that is timed; `t` is the library, `nn` and `F` are
its modules, `np` is NumPy. What an expression gives is compared before its time counts, but for
what is drawn. One process per library takes turns with the other; the table is sorted by the ratio.
Every process has run some hundred operations before.
"""

from __future__ import annotations

import argparse
import copy
import fnmatch
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.call_cases import CASES as COMMON
from bench.call_cases import SEED
from bench.slow_cases import CASES as SLOW
from bench.sweep import measure
from bench.turns import Contestant

SECONDS = 0.03  # of work a turn
CASES = COMMON | SLOW


def prepare(library: str, name: str) -> Callable[[], Any]:
    """The function that is timed."""
    t = importlib.import_module(library)
    names: dict[str, Any] = {"t": t, "nn": t.nn, "F": t.nn.functional, "np": np, "copy": copy}
    made, timed = CASES[name]
    x = t.ones(4)
    for _ in range(400):  # a program that has run some operations has machine code before it
        x + x
    for part in ("torch.utils.data", "torch.distributions"):
        importlib.import_module(part.replace("torch", library))
    exec(f"{SEED}\n{made}", names)
    return eval(f"lambda: {timed}", names)  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """A result as Python's and NumPy's values."""
    if hasattr(value, "detach"):
        return value.detach().resolve_conj().numpy()
    if isinstance(value, (tuple, list)):
        return [plain(x) for x in value]
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two results agree."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        same_type = a.dtype == b.dtype and a.shape == b.shape
        return same_type and np.allclose(a, b, 1e-4, 1e-5, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5)
    return bool(a == b)


def differs(name: str) -> str | None:
    """Why a case cannot be timed: what the libraries give, if that is not the same."""
    results = [plain(prepare(library, name)()) for library in ("twofold", "torch")]
    if name.endswith("!") or same(*results):
        return None
    return f"another result: {results[0]!r:.60} and {results[1]!r:.60}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    chosen = [n for n in CASES if any(fnmatch.fnmatch(n.rstrip("!"), p) for p in args.patterns)]
    runners = [
        Contestant("bench.calls", name, args.threads, SECONDS) for name in ("twofold", "torch")
    ]
    rows = []
    for name in chosen:
        reason = differs(name)
        if reason is not None:
            print(f"{name:<28}{reason}", flush=True)
            continue
        ours, theirs = measure(runners, name, args.rounds)
        rows.append((ours / theirs, name, ours, theirs))
    for runner in runners:
        runner.process.kill()
    for ratio, name, ours, theirs in sorted(rows, reverse=True):
        print(f"{ratio:>8.2f}  {name:<28}{ours:>12.2f} us {theirs:>12.2f} us")


if __name__ == "__main__":
    main()
