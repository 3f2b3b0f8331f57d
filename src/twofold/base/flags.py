"""Every switch of the framework, in one place. Floor 0.

A flag is an environment variable `TWOFOLD_<NAME>` read once, and an attribute of `flags`.
`with flags.override(debug=1): ...` changes it for a while.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, final

from twofold.base.records import NamedTuple


class Flag(NamedTuple):
    name: str
    default: Any
    parse: Any
    doc: str


TABLE = (
    Flag(
        "debug",
        0,
        int,
        "1 shows full tracebacks; 2 cache hits, time and bytes per kernel; 3 graphs before and "
        "after the passes; 4 loops; 5 LLVM text; 6 assembly; 7 every rewrite",
    ),
    Flag(
        "check",
        0,
        int,
        "1 verifies graphs after the passes, and kernels; 2 after each; 3 runs references beside",
    ),
    Flag("view", "", str, "a folder: a page for each program there, pass by pass"),
    Flag(
        "tier",
        0,
        int,
        "the highest way into machine code: 3 tensors, 2 arrays, 1 ctypes; 0 chooses",
    ),
    Flag("eager", 0, int, "1 runs compiled functions as plain Python"),
    Flag("threads", 0, int, "threads of a kernel; 0 means what the cgroup and the affinity allow"),
    Flag("cache", "", str, "the folder of compiled kernels; empty means ~/.cache/twofold"),
    Flag(
        "cpu",
        "native",
        str,
        "what kernels are compiled for: native, or x86-64-v3, x86-64-v4 or aarch64, whose kernels "
        "run on every such CPU",
    ),
    Flag("seed", "", str, "the seed of the default random stream at start"),
)


@final
class Flags:
    """The values in force. `str(flags)` is the table that `twofold flags` prints."""

    __slots__ = tuple(flag.name for flag in TABLE)  # machine code looks at one

    debug: int
    check: int
    eager: int
    tier: int
    view: str
    threads: int
    cache: str
    cpu: str
    seed: str

    def __init__(self) -> None:
        for flag in TABLE:
            text = os.environ.get(f"TWOFOLD_{flag.name.upper()}")
            setattr(self, flag.name, flag.default if text is None else _parse(flag, text))

    @contextlib.contextmanager
    def override(self, **values: Any) -> Iterator[None]:
        before = {name: getattr(self, name) for name in values}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    def __str__(self) -> str:
        rows = [f"TWOFOLD_{f.name.upper():<8} {getattr(self, f.name)!r:<6} {f.doc}" for f in TABLE]
        return "\n".join(rows)


def _parse(flag: Flag, text: str) -> Any:
    try:
        return flag.parse(text)
    except ValueError:
        name = f"TWOFOLD_{flag.name.upper()}"
        raise ValueError(f"{name}={text!r} is not a number: {flag.doc}") from None


flags = Flags()
