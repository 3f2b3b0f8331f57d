"""Arrays without values: what tensors hold while a graph is captured. Floor 9.

A `Storage` is memory as the program sees it: it has a Value, and a write gives it another. An
`Unknown` stands where a NumPy array stands otherwise, with its shape, type and no elements. It is
all of a storage, or the part that a chain of view operations names, and finds its value again when
the storage was written through another name. So in-place operations and views mean in a graph,
where nothing is ever overwritten, what they mean eagerly.
"""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING, Any, NoReturn, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import TwofoldError, in_python
from twofold.base.symbols import value_of
from twofold.ir.graph import Value
from twofold.ops.bind import ITEM, mode
from twofold.ops.movement import RESHAPE, viewable

if TYPE_CHECKING:  # a capture makes these arrays: an import that runs would be a ring
    from twofold.frontends.capture import Capture

Chain = tuple[tuple[Any, tuple[Any, ...]], ...]


def note_raised(error: BaseException) -> None:
    """Remember an error, or a reason to capture the function anew, that is about to be raised."""
    if mode.capture is not None:
        mode.capture.raised.append(error)


class CaptureError(TwofoldError):
    """What a graph cannot hold: a Python decision about a value that only a run knows."""

    def __init__(self, op: str, problem: str = "", *, hint: str = "", **facts: object) -> None:
        super().__init__(op, problem, hint=hint, **facts)
        note_raised(self)


@final
class Layout:
    """NumPy's flags, of an array that belongs to the program."""

    __slots__ = ("array",)
    f_contiguous = False
    writeable = True
    aligned = True
    owndata = True

    def __init__(self, array: Unknown) -> None:
        self.array = array

    @property
    def c_contiguous(self) -> bool:
        self.array.storage.assumed = True
        found = layout_of(self.array) if self.array.chain else None
        return found is None or bool(found.flags.c_contiguous)

    contiguous = c_contiguous


@final
class Storage:
    """Memory of the program.

    value    what it holds at this point of the program
    writes   how often it was written
    origin   the input of the program that it began as, or None
    real     the array that it is outside of the program, or None
    assumed  whether views were made as if it lay in order
    asked    whether the user's code asked how it lies
    either   tensors in whose memory it may lie (frontends/either.py); `followers`: who may in this
    taken    whether it is a part of a tensor at an index that a run knows: a view, but not here
    """

    __slots__ = (
        *("asked", "assumed", "either", "followers", "origin", "real", "taken", "value"),
        "writes",
    )

    def __init__(self, value: Value, origin: Value | None = None, real: Any = None) -> None:
        self.value = value
        self.writes = 0
        self.origin = origin
        self.real = real
        self.taken = False
        self.assumed = self.asked = False
        self.either: list[Any] = []
        self.followers: list[Any] = []

    def write(self, value: Value) -> None:
        self.value = value
        self.writes += 1


def bytes_of(array: Any) -> tuple[int, int]:
    """The addresses of an array's first byte, and of the one behind its last."""
    low = high = array.__array_interface__["data"][0]
    if not array.size:
        return low, high
    for n, stride in zip(array.shape, array.strides, strict=True):
        low += min((n - 1) * stride, 0)
        high += max((n - 1) * stride, 0)
    return low, high + array.itemsize


@final
class Ranges:
    """Where arrays lie in memory, by address."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []  # the first byte and the one behind the last, sorted
        self.longest = 0

    def add(self, array: Any) -> None:
        low, high = bytes_of(array)
        bisect.insort(self.spans, (low, high))
        self.longest = max(self.longest, high - low)

    def meets_another(self, array: Any) -> bool:
        """Whether an array that was added shares bytes with another one."""
        low, high = bytes_of(array)
        first = bisect.bisect_right(self.spans, (low - self.longest, high))
        behind = bisect.bisect_left(self.spans, (high, high))
        met = [span for span in self.spans[first:behind] if span[1] > low]
        return array.size > 0 and len(met) > 1


@final
class Unknown:
    """An array whose values only a run of the program knows."""

    __slots__ = ("_seen", "_value", "capture", "chain", "dtype", "shape", "storage")
    __array_ufunc__ = None
    base = None

    def __init__(self, capture: Capture, storage: Storage, value: Value, chain: Chain = ()) -> None:
        self.capture = capture
        self.storage = storage
        self.chain = chain
        self.shape = value.shape
        self.dtype = value.dtype.numpy
        self._value = value
        self._seen = storage.writes

    @property
    def value(self) -> Value:
        """The value that it has at this point of the program."""
        if self._seen != self.storage.writes:
            self._value = self.capture.view(self.storage.value, self.chain)
            self._seen = self.storage.writes
        return self._value

    def set(self, value: Value) -> None:
        """Write all of it."""
        self.capture.admit_write(self.storage)
        new = value if not self.chain else self.capture.scatter(self, value)
        self.storage.write(new)
        self._value, self._seen = value, self.storage.writes

    @property
    def flags(self) -> Layout:
        return Layout(self)

    def viewable(self, wanted: tuple[Any, ...]) -> bool:
        """Whether its elements can be seen in another shape without a copy, as they lie eagerly."""
        self.storage.assumed = True
        found = layout_of(self) if self.chain else None
        if found is None or found.flags.c_contiguous:
            return True
        return viewable(found.shape, found.strides, value_of(tuple(wanted), self.capture.larger))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Any:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> Any:
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[Any, ...]:
        """Those of an array that lies in order. Of another Python asks for them."""
        self.storage.asked = True
        found = layout_of(self) if self.chain else None
        if found is not None and not found.flags.c_contiguous:
            raise _numpys(self, "their steps are not those of an array that lies in order: stride")
        made: list[Any] = []
        step: Any = self.itemsize
        for size in reversed(self.shape):
            made.append(step)
            step = step * size
        return tuple(reversed(made))

    def copy(self, order: str = "C") -> Unknown:
        return self.capture.unknown(self.value)

    def __setitem__(self, key: Any, values: Any) -> None:
        if key is not Ellipsis:
            raise _needed(self, "writing a part of it")
        self.set(self.capture.fitted(values, self))

    def __len__(self) -> Any:
        return self.shape[0]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise _numpys(self, "NumPy wants them")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _numpys(self, f"{name} wants them")

    def needed(self, what: str, hint: str = "") -> NoReturn:
        """Raise: what is wanted depends on the values."""
        raise _needed(self, what, hint)

    def item(self) -> Any:
        """The number that the one element will be."""
        return self.capture.item(self)

    def _refuse(self, *_: Any) -> Any:
        raise _numpys(self, "Python wants them")

    __bool__ = __int__ = __float__ = __index__ = __iter__ = __getitem__ = _refuse
    __complex__ = tolist = tobytes = astype = _refuse
    # NumPy's arithmetic and comparisons would be computed now; tensors have their own
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __rtruediv__ = __and__ = __or__ = __invert__ = __neg__ = __abs__ = _refuse
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{dtypes.of(self.dtype).short}{list(self.shape)} of a graph>"


def layout_of(x: Unknown) -> Any:
    """An array of the steps that x would have eagerly, whose elements nobody may look at; None
    where there is no such.

    Its sizes are larger than the examples', so that none is 1 by chance: a program is for others
    too. Where a size is 1 after all, eager may share memory that a program copies.
    """
    values = x.capture.larger
    try:
        shape = value_of(tuple(x.storage.value.shape), values)
        steps = np.array([1, *shape[:0:-1]], np.int64).cumprod()[::-1] * x.dtype.itemsize
        made: Any = np.lib.stride_tricks.as_strided(
            np.empty(1, x.storage.value.dtype.numpy), shape, steps[: len(shape)]
        )
        for op, attrs in x.chain:
            if op is ITEM:
                made = made[attrs[0]]
                continue
            given = value_of(tuple(attrs), values)
            if op is RESHAPE and not viewable(made.shape, made.strides, given[0]):
                return None
            made = op.ref(made, **op.keywords(given))
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None  # such sizes cannot be
    return made


def _needed(x: Unknown, what: str, hint: str = "") -> CaptureError:
    return CaptureError(
        "compile",
        f"values are not known while a graph is captured: {what}",
        tensor=f"{dtypes.of(x.dtype).short}[{', '.join(map(str, x.shape))}]",
        hint=hint
        or "twofold.where or twofold.cond for a choice by value; twofold.print or "
        "twofold.callback for Python that runs every time; or call it outside of the compiled "
        "function",
    )


def _numpys(x: Unknown, what: str) -> CaptureError:
    """The same for what NumPy's arrays do: no graph has it, and Python runs the function."""
    error = _needed(x, what)
    in_python(error)
    return error


def is_unknown(array: Any) -> bool:
    return type(array) is Unknown
