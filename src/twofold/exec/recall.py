"""What functions with attributes ask for, remembered for machine code. Floor 7.

`x.sum(1)` or `x.T` in Python look at the arguments and bind one operation. `learn` calls such a
function under an interpreter that sees what it binds. If that was one operation on the arguments
themselves, given back as it was made, a record of it goes into the table that
codegen/native/recall.py reads, and the next call like it stays in machine code. Only operations
of RECALLED are: their functions look at layouts, never at values, and draw no random numbers.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any

from twofold.base.dtypes import DType
from twofold.codegen.compile import Code
from twofold.codegen.native.recall import (
    INT,
    MOST_ARGS,
    PLAN,
    RECORD,
    SLICE,
    TENSOR,
    TUPLE,
    VIEW,
)
from twofold.ops import bind
from twofold.ops.op import Op
from twofold.ops.tensor import Parameter, Tensor
from twofold.runtime import native
from twofold.runtime.entries import NativeEntry

REDUCTIONS = [
    "sum",
    "prod",
    "mean",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "any",
    "all",
    "logsumexp",
    "cumsum",
    "cumprod",
]
ROWS = [
    "softmax",
    "log_softmax",
    "layer_norm",
    "rms_norm",
    "gelu",
    "leaky_relu",
    "elu",
    "linear",
    "matmul",
    "clamp",
]
VIEWS = ["permute", "reshape", "expand", "index", "unfold", "diagonal", "squeeze", "unsqueeze"]
RECALLED = {*REDUCTIONS, *ROWS, *VIEWS}
# Functions and methods that are put behind the memory, where they exist.
NAMES = {
    *REDUCTIONS,
    *("softmax", "log_softmax", "layer_norm", "rms_norm", "gelu", "leaky_relu", "elu", "linear"),
    *("permute", "reshape", "view", "expand", "transpose", "t", "squeeze", "unsqueeze", "flatten"),
    *("swapaxes", "unfold", "diagonal", "__getitem__"),
}
PROPERTIES = ("T", "mT")
PATIENCE = 512  # calls of one function that are looked at
CONSTANTS = (int, float, bool, str, type(None), DType, type(...))


class Recorder:
    """An interpreter that runs everything eagerly and remembers what it was."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.eager = run
        self.seen: list[tuple[Op, tuple[Tensor, ...], tuple[Any, ...]]] = []
        self.made: Any = None

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        self.seen.append((op, inputs, attrs))
        self.made = self.eager(op, inputs, attrs)
        return self.made


class Memory:
    """The table of records, and the objects that they refer to."""

    def __init__(self, code: Code, run: Callable[..., Any], info: Callable[[Op], int]) -> None:
        self.table = code.address("recalls")
        pointers = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        self.row = ctypes.PYFUNCTYPE(ctypes.c_int64, *pointers)(code.address("recall_row"))
        self.run = run
        self.info = info
        # Machine code may look at the table to the end: what is in it is never given up at exit.
        self.kept: dict[int, Any] = native.forever({})
        self.replaced: deque[Any] = native.forever(deque(maxlen=256))

    def learn(self, python: Any, names: tuple[str, ...] | None, *args: Any) -> Any:
        """python(*args), the last ones by keyword; remembered if it can be."""
        split = len(args) - len(names or ())
        recorder = Recorder(self.run)
        with bind.interpreter(recorder):
            made = python(*args[:split], **dict(zip(names or (), args[split:], strict=True)))
        if made is recorder.made and len(recorder.seen) == 1:
            self.remember(python, names, args, made, *recorder.seen[0])
        return made

    def remember(
        self,
        python: Any,
        names: tuple[str, ...] | None,
        args: tuple[Any, ...],
        made: Any,
        op: Op,
        inputs: tuple[Tensor, ...],
        attrs: tuple[Any, ...],
    ) -> None:
        """Write a record, unless the call is of a kind that is not remembered."""
        places = _places(args, inputs)
        facts = _result(op, inputs, attrs, made) if op.name in RECALLED else None
        if type(made) is not Tensor or places is None or facts is None:
            return
        if len(args) > MOST_ARGS or not all(map(_constant, args)):
            return
        given = (ctypes.py_object * len(args))(*args)
        names_at = 0 if names is None else id(names)
        row = self.row(id(python), ctypes.addressof(given), len(args), names_at or None)
        if row < 0:
            return
        link = ((op, attrs),)
        shape = tuple(made.array.shape)
        words = _encode(
            [word for arg in args for word in _key(arg)],
            places,
            facts
            | {
                "front": id(python),
                "count": len(args),
                "names": names_at,
                "info": self.info(op),
                "attrs": id(attrs),
                "inputs": len(inputs),
                "link": id(link),
                "shape": id(shape),
            },
            made,
        )
        record = (ctypes.c_int64 * len(words))(*words)
        old = self.kept.get(row)
        constants = [arg for arg in args if not isinstance(arg, Tensor)]
        dtypes = [arg.array.dtype for arg in args if isinstance(arg, Tensor)]
        entry = op.entries.get(attrs)
        self.kept[row] = record, python, names, attrs, link, shape, constants, dtypes, entry
        ctypes.c_int64.from_address(self.table + 8 * row).value = ctypes.addressof(record)
        # A call that stands in the middle of a view may still read the old record.
        self.replaced.append(old)


def _constant(arg: Any) -> bool:
    """Whether an argument means the same for ever if it is the same object."""
    parts = _parts(arg)
    if parts is not None:
        return all(map(_constant, parts)) and not any(isinstance(a, Tensor) for a in parts)
    return type(arg) in (*CONSTANTS, Tensor, Parameter)


def _places(args: tuple[Any, ...], inputs: tuple[Tensor, ...]) -> list[int] | None:
    """Which argument each input is; None if one is not an argument."""
    found = [next((k for k, arg in enumerate(args) if arg is x), -1) for x in inputs]
    tensors = sum(isinstance(arg, Tensor) for arg in args)
    return None if -1 in found or tensors != len(set(found)) or not found else found


def _parts(arg: Any) -> tuple[Any, ...] | None:
    """What a tuple or a slice holds; None for other objects."""
    if type(arg) is slice:
        return arg.start, arg.stop, arg.step
    return arg if type(arg) is tuple else None


def _key(arg: Any) -> list[int]:
    """An argument as words of a record's key."""
    parts = _parts(arg)
    if parts is not None:
        begin = [SLICE] if type(arg) is slice else [TUPLE, len(parts)]
        return begin + [word for part in parts for word in _key(part)]
    if type(arg) is int and -(2**63) <= arg < 2**63:
        return [INT, arg]
    if not isinstance(arg, Tensor):
        return [id(arg)]
    array = arg.array
    return [TENSOR, id(array.dtype), array.ndim, *array.shape, *array.strides]


def _result(
    op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], made: Any
) -> dict[str, int] | None:
    """What the record tells of the result; None if machine code could not make it."""
    if type(made) is not Tensor or op.outputs != 1 or op.variadic:
        return None
    source, array = inputs[0].array, made.array
    inexact = int(array.dtype.kind in "fcV" and op.vjp is not None)
    if made.base is None:
        entry = getattr(op.entries.get(attrs), "__self__", None)
        if op.view or not isinstance(entry, NativeEntry):
            return None
        return {"kind": PLAN, "entry": id(entry), "inexact": inexact}
    if len(inputs) != 1 or array.size == 0 or array.dtype is not source.dtype or op.saves_out:
        return None
    if array.flags.writeable and not source.flags.writeable:
        return None
    flags = native.WRITEABLE if array.flags.writeable == source.flags.writeable else 0
    offset = array.ctypes.data - source.ctypes.data
    return {
        "kind": VIEW,
        "inexact": inexact,
        "nd": array.ndim,
        "offset": offset,
        "flags": flags,
    }


def _encode(key: list[int], places: list[int], facts: dict[str, int], made: Any) -> list[int]:
    words = [0] * len(RECORD)
    parts = {"key_at": key, "inputs_at": places}
    parts |= {"dims_at": list(made.array.shape), "strides_at": list(made.array.strides)}
    for name, part in parts.items():
        facts[name] = len(words)
        words += part
    words[: len(RECORD)] = [facts.get(name, 0) for name in RECORD]
    return words
