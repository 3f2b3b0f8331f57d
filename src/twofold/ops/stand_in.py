"""What a tensor has instead of an array inside a transform. Floor 4.

Code that asks for shapes and types sees a tensor like any other; the numbers are not there to be
seen, since there are several of them (vmap) or they carry a slope (jvp). Who asks for them gets an
error that says so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NoReturn

from twofold.base.devices import CPU, Device
from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Array, Tensor, type_of


class Flags:
    """The flags of an array that lies in order and can be written."""

    c_contiguous = writeable = aligned = True


class StandIn:
    """A shape and a type for one level of transforms; `value` is the tensor one level below.

    Subclasses say in `copied`, `through` and `written` what these do to what they hold.
    """

    __slots__ = ("dtype", "level", "shape", "value")

    level: Any
    value: Tensor
    shape: tuple[int, ...]
    dtype: Any
    flags: Any = Flags()
    base = None
    device = CPU
    memoryless = False  # whether there are no numbers behind it at all
    slopes = False  # whether it carries a slope
    single = False  # whether all lanes have the same numbers

    @property
    def below(self) -> StandIn | None:
        """What stands in for an array one level below; None for an array, or for nothing."""
        array: Any = None if self.memoryless else self.value.array
        return array if isinstance(array, StandIn) else None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        steps = [self.itemsize]
        for n in reversed(self.shape[1:]):
            steps.append(steps[-1] * n)
        return tuple(reversed(steps))[: self.ndim]

    def numbers(self) -> Array:
        """All numbers behind it, for checks that must hold for each of them."""
        return numbers_of(self.value)

    def min(self, **options: Any) -> Any:
        """The least of all numbers, for checks of indices."""
        return self.numbers().min(**options)

    def max(self, **options: Any) -> Any:
        return self.numbers().max(**options)

    def copy(self, order: str = "C") -> StandIn:
        return self.copied()

    def __setitem__(self, key: Any, values: Any) -> None:
        if key is not Ellipsis:
            self.refuse("a part of its array is written")
        self.written(values)

    def run(self, op: Any, arrays: list[Any], attrs: tuple[Any, ...]) -> Any:
        """The operation on arrays of which this is one, where no interpreter is in force."""
        self.refuse(f"{op.name} wants its array")

    def copied(self) -> StandIn:
        return self.refuse("its array is copied")

    def beside(self, x: Tensor) -> Tensor:
        """A new tensor, made like this one, as one of this level, with memory for each lane."""
        return self.refuse("a tensor like it is wanted")

    def through(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """What a function of each element makes of it, one level below: no gradients flow."""
        return self.refuse("a function of its array is wanted")

    def written(self, values: Any) -> None:
        self.refuse("its array is written")

    def unsloped(self, x: Tensor) -> Tensor:
        """The tensor, which has this for its array, without the slopes of jvp."""
        return x

    def refuse_into(self, x: Tensor) -> NoReturn:
        """Raise: a tensor from outside cannot hold what belongs to a transform."""
        raise ArgumentError(
            self.level.name,
            f"a tensor from outside of {self.level.name} is written in place with a value that "
            "belongs to it",
            hint="x = x + value; or an x made inside, y.new_zeros(...) of such a value y. For "
            "BatchNorm: batched buffers, track_running_stats=False, or GroupNorm",
            tensor=type_of(x),
        )

    def refuse(self, what: str) -> NoReturn:
        raise ArgumentError(
            self.level.name,
            f"the numbers of a tensor are not known inside {self.level.name}: {what}",
            hint="tensor operations instead: where(condition, a, b) for a branch on a value",
            tensor=f"{self.dtype}{list(self.shape)}",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.refuse(f"its array's {name!r} is asked for")

    def needed(self, what: str, hint: str = "") -> NoReturn:
        """Raise: what is wanted depends on the numbers."""
        self.refuse(what)

    def _unknown(self, *_: Any) -> Any:
        return self.refuse("item(), bool(), a comparison in Python, or NumPy asked for them")

    __bool__ = __int__ = __float__ = __complex__ = __index__ = _unknown
    __array__ = __len__ = __iter__ = __getitem__ = _unknown
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _unknown
    __truediv__ = __rtruediv__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
    __eq__ = __ne__ = _unknown
    __hash__ = object.__hash__
    __array_ufunc__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.shape)}, {self.dtype})"


def stands_in(array: Any) -> bool:
    """Whether it is a StandIn: a question about `Any`, since a tensor's array is said to be one."""
    return isinstance(array, StandIn)


def device_of(x: Tensor) -> Device:
    """Where the tensor's data is: the CPU, or META where it has none."""
    array: Any = x.array
    return array.device if isinstance(array, StandIn) else CPU


def filling(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, which fills its first argument: one without memory stays as it is."""

    @functools.wraps(function)
    def fill(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        array: Any = tensor.array
        if isinstance(array, StandIn) and array.memoryless:
            return tensor
        return function(tensor, *args, **options)

    return fill


def unsloped(x: Tensor) -> Tensor:
    """A tensor without the slopes that jvp lets it carry."""
    array: Any = x.array
    return array.unsloped(x) if isinstance(array, StandIn) else x


def has_slope(x: Tensor) -> bool:
    """Whether a tensor belongs to a jvp, or to a vmap inside of one."""
    array: Any = x.array
    while isinstance(array, StandIn):
        if array.slopes:
            return True
        array = array.below
    return False


def numbers_of(x: Tensor) -> Array:
    """The numbers of a tensor, or all that stand behind it inside transforms: for checks alone."""
    array: Any = x.array
    return array.numbers() if isinstance(array, StandIn) else array
