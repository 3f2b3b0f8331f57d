"""Tensors to other types and out to Python and NumPy. Floor 4."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.devices import CPU, META, Device, check_device, known_device
from twofold.base.dtypes import BFLOAT16, DType
from twofold.base.errors import ArgumentError, DTypeError, GradientError
from twofold.base.symbols import whole
from twofold.ops.bind import mode, remark
from twofold.ops.compare import eq
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.joining import Stacked, clone
from twofold.ops.rules import also_named, as_tensor
from twofold.ops.source import without_data
from twofold.ops.stand_in import device_of, stands_in
from twofold.ops.tensor import Array, Tensor, memory_given, type_of
from twofold.ops.typed import OLD_NAMES, TensorKind, old_name
from twofold.runtime import dlpack

__all__ = ["from_dlpack", "is_complex", "is_floating_point", "is_nonzero", "is_same_size"]
__all__ += ["is_tensor", "numel"]
MOST_LISTED = 64  # numbers of a graph that a list has

# The types of Python's numbers, by the kind of an array.
NUMBERS = {"b": dtypes.bool_, "i": dtypes.int64, "u": dtypes.int64, "f": dtypes.float64}


def wanted(args: tuple[Any, ...], device: Any = None, dtype: Any = None) -> tuple[Any, Any]:
    """The device and the type that `to(*args, device=..., dtype=...)` names, each None if not."""
    for argument in args:
        if isinstance(argument, Tensor):
            dtype = argument.dtype
        elif isinstance(argument, str | Device) and not (
            isinstance(argument, str) and argument in dtypes.NAMES
        ):
            device = argument
        elif isinstance(argument, bool):
            continue
        elif argument is not None:
            dtype = argument
    return device, dtype


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    **_: Any,
) -> Tensor:
    """The tensor in another type: `x.to(float64)`, `x.to("cpu")`, `x.to(other)`. Itself where
    nothing changes.
    """
    device, dtype = wanted(args, device, dtype)
    made = self if device is None else to_device(self, device)
    made = made if dtype is None else cast(made, dtypes.as_dtype(dtype))
    return clone(made) if copy and made is self else made


def _caster(dtype: DType) -> Any:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return cast(self, dtype)

    convert.__doc__ = f"The tensor as {dtype.name}."
    convert.__name__ = dtype.name
    return convert


CASTERS = {
    name: _caster(dtype)
    for name, dtype in {
        "float": dtypes.float32,
        "double": dtypes.float64,
        "half": dtypes.float16,
        "bfloat16": dtypes.bfloat16,
        "long": dtypes.int64,
        "int": dtypes.int32,
        "short": dtypes.int16,
        "char": dtypes.int8,
        "byte": dtypes.uint8,
        "bool": dtypes.bool_,
        "cfloat": dtypes.complex64,
        "cdouble": dtypes.complex128,
    }.items()
}


def type_as(self: Tensor, other: Tensor) -> Tensor:
    return cast(self, other.dtype)


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """PyTorch's old name of the type (`torch.FloatTensor`), or the tensor converted."""
    if dtype is None:
        return old_name(self.dtype)
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        dtype = TensorKind.named(dtype, "type")
    return cast(self, dtype.dtype if isinstance(dtype, TensorKind) else dtypes.as_dtype(dtype))


def new(self: Tensor, *data: Any, device: Any = None) -> Tensor:
    """The older way to make a tensor of the same type, from values or from sizes."""
    name = next((n for n, d in OLD_NAMES.items() if d is self.dtype), self.dtype.name)
    return TensorKind(name, self.dtype)(*data, device=device)


def cpu(self: Tensor, **_: Any) -> Tensor:
    """The tensor itself. Raises DeviceError for one without data."""
    return to_device(self, CPU)


def cuda(self: Tensor, device: Any = None, **_: Any) -> Tensor:
    """Raises DeviceError: there is no CUDA device here."""
    return to(self, device="cuda")


def item(self: Tensor) -> Any:
    """The one element as a Python number. Raises ArgumentError unless there is exactly one."""
    if self.array.size != 1:
        raise ArgumentError(
            "item",
            f"{self.array.size} elements are not one number",
            hint="x.tolist()",
            input=type_of(self),
        )
    array: Any = self.array
    if mode.interpreter is not None:
        remark("values")
    if stands_in(array) and (array.slopes or array.single):
        return item(array.value)  # a Python number carries no slope
    if mode.capture is not None:
        if _outside(self):
            return mode.capture.item(_known(self), self)
        return _known(self).item()
    if stands_in(array):
        array.refuse("item() asks for its number")
    return (dtypes.to_float32(array) if array.dtype == BFLOAT16 else array).item()


def _known(x: Tensor) -> Any:
    """The array whose elements Python asks for while a graph is captured: one without elements,
    where a run may find others.
    """
    array: Any = x.array
    if _outside(x):
        return clone(x.detach()).array  # type: ignore[attr-defined]
    return (
        dtypes.to_float32(array) if array.dtype == BFLOAT16 and type(array) is np.ndarray else array
    )


def _outside(x: Tensor) -> bool:
    """Whether a tensor lies outside of the graph that is captured: its values may change."""
    capture, array = mode.capture, x.array
    known = capture is not None and type(array) is np.ndarray
    return known and capture.reads_outside(array)


def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers (a number for a 0-d tensor)."""
    if mode.capture is not None:
        known: Any = mode.capture.values_now(self) if _outside(self) else _known(self)
        return known.tolist() if isinstance(known, np.ndarray) else _items_of_graph(self)
    array: Any = self.array
    if stands_in(array):
        array.refuse("tolist() asks for its numbers")
    return (dtypes.to_float32(array) if array.dtype == BFLOAT16 else array).tolist()


def _items_of_graph(x: Tensor) -> Any:
    """Nested lists of the numbers of a graph; the program is made for the sizes."""
    array: Any = x.array
    if not array.ndim:
        return array.item()
    listed = array.ndim == 1 and mode.capture.listed(array.shape[0])
    if listed and array.dtype.kind in NUMBERS:
        return Stacked(cast(x.detach(), NUMBERS[array.dtype.kind]), numbers=True)  # type: ignore[attr-defined]
    count = operator.index(array.shape[0])
    if math.prod(map(operator.index, array.shape)) > MOST_LISTED:
        array.needed(f"tolist() of more than {MOST_LISTED} elements", "call it outside")
    return [_items_of_graph(x[i].detach()) for i in range(count)]  # type: ignore[index]


def numpy(self: Tensor, *, force: bool = False) -> Array:
    """The values as a NumPy array that shares the memory. Raises GradientError for a tracked
    tensor.

    bfloat16, which NumPy lacks, comes as a float32 copy.
    """
    if self.tracked and not force:
        raise GradientError(
            "numpy",
            "this tensor requires a gradient, which NumPy would lose",
            hint="x.detach().numpy()",
            input=type_of(self),
        )
    array: Any = self.array
    if stands_in(array):
        array.refuse("its NumPy array is asked for")
    if _outside(self):
        return mode.capture.values_now(self)  # type: ignore[no-any-return]
    memory_given(self)
    return dtypes.to_float32(array) if array.dtype == BFLOAT16 else array


def to_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Array:
    """NumPy's protocol: `np.asarray(x)` shares the memory where the type allows."""
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError("the conversion needs a copy")
        return array.astype(dtype)
    return array.copy() if copy else array


def array_wrap(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
    """What a function of NumPy's made of the tensor, as a tensor: `np.sin(x)`. What is no number
    stays NumPy's.
    """
    made = np.asarray(array)
    if made.dtype not in dtypes.OF_NUMPY:
        return array
    found = Tensor.__new__(Tensor)
    found.array = made
    return found


def to_dlpack(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """The DLPack capsule of the memory, or of a copy (https://dmlc.github.io/dlpack)."""
    options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    array = numpy(self)
    if self.dtype is dtypes.bfloat16:  # which NumPy has as float32
        return dlpack.export(self.array.view(np.uint16), **options)
    return array.__dlpack__(**options)


def dlpack_device(self: Tensor) -> tuple[int, int]:
    return (1, 0)


def to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """The tensor itself, or one of its shape without data on the "meta" device. Raises DeviceError
    for another device, and where there is no data to bring to the CPU.
    """
    here, there = device_of(self), known_device(device) or CPU
    if here is there:
        return self
    if there is CPU:
        array: Any = self.array
        array.refuse("it is wanted on the CPU")
    return without_data().of(self)  # type: ignore[no-any-return]


def _bfloat16_of(x: Any, refused: Exception) -> Array:
    """The memory of an object that NumPy refused, if that was for its bfloat16 elements."""
    try:
        return np.from_dlpack(dlpack.Bits(x)).view(BFLOAT16)
    except BufferError:
        hint = "x.detach(), and a type that twofold has"
        raise ArgumentError("from_dlpack", str(refused), hint=hint) from None


class _Capsule:
    """A capsule that stands for the object whose memory it is of."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class _Writable:
    """The memory of an array that NumPy takes for read-only, as an older capsule cannot say."""

    def __init__(self, array: Array) -> None:
        self.array = array
        facts = dict(array.__array_interface__)
        self.__array_interface__ = facts | {"data": (facts["data"][0], False)}


@also_named(ext_tensor="x")
def from_dlpack(x: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of any object with `__dlpack__` on the CPU, or copies it."""
    check_device(device)
    older = type(x).__name__ == "PyCapsule"
    if older:
        x = _Capsule(x)
    if not hasattr(x, "__dlpack__"):
        problem = f"a {type(x).__name__} does not speak DLPack"
        raise DTypeError("from_dlpack", problem, hint="twofold.as_tensor(x)")
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        array = _bfloat16_of(x, error)
    dtypes.of(array.dtype)
    made = Tensor.__new__(Tensor)
    made.array = np.asarray(_Writable(array)) if older else array
    return clone(made) if copy else made


def _number(self: Tensor, op: str, kind: Any) -> Any:
    if self.array.size != 1:
        raise ArgumentError(
            op, f"{self.array.size} elements are not one number", input=type_of(self)
        )
    return kind(item(self))


def to_bool(self: Tensor) -> bool:
    """The truth of one element. Raises ArgumentError for more, whose truth is not one."""
    if self.array.size != 1:
        raise ArgumentError(
            "bool",
            f"the truth of {self.array.size} elements is not one",
            hint="x.any() or x.all()",
            input=type_of(self),
        )
    return bool(item(self))


def to_index(self: Tensor) -> int:
    if self.array.dtype.kind not in "iub" or self.array.size != 1:
        raise DTypeError(
            "index", "only one integer element is an index", hint="x.long()", input=type_of(self)
        )
    return int(item(self))


def length(self: Tensor) -> int:
    if not self.array.ndim:
        raise DTypeError("len", "a 0-d tensor has no length", hint="x.numel()", input=type_of(self))
    return int(self.array.shape[0])


def iterate(self: Tensor) -> Any:
    """The slices along the first axis, as views."""
    if not self.array.ndim:
        raise DTypeError(
            "iter",
            "a 0-d tensor has no axis to go along",
            hint="x.item(), or x.reshape(-1)",
            input=type_of(self),
        )
    return iter(self.unbind(0))  # type: ignore[attr-defined]


def contains(self: Tensor, value: Any) -> bool:
    """Whether an element equals the number (or one of the tensor's). Raises DTypeError."""
    return bool(eq(self, as_tensor(value, "in", "value")).array.any())


def formatted(self: Tensor, spec: str) -> str:
    """A 0-d tensor formats as its number; others take no format."""
    if not self.array.ndim:
        return format(item(self), spec)
    return object.__format__(self, spec)


def stride(self: Tensor, dim: int | None = None) -> Any:
    """The distances between neighbours along each axis, in elements."""
    strides = tuple(s // self.array.itemsize for s in self.array.strides)
    return strides if dim is None else strides[dim]


def data_ptr(self: Tensor) -> int:
    """The address of the first element; 0 where there is no data."""
    memory_given(self)
    array: Any = self.array
    if type(array) is np.ndarray and array.size:  # in a quarter of the time of `ctypes`
        return array.__array_interface__["data"][0]  # type: ignore[no-any-return]
    return 0 if device_of(self) is META else int(array.ctypes.data)


def is_contiguous(self: Tensor, **_: Any) -> bool:
    if mode.capture is not None:
        mode.capture.asks_layout(self.array)
    return bool(self.array.flags.c_contiguous)


def deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf of the same class with its own memory. Raises GradientError for a tensor with
    history.
    """
    if id(self) in memo:
        return memo[id(self)]  # type: ignore[no-any-return]
    if self.node is not None:
        raise GradientError(
            "deepcopy",
            "only a leaf can be copied with its class",
            hint="x.detach().clone()",
            input=type_of(self),
        )
    made = type(self).__new__(type(self))
    # in a graph a copy is a call, which each run makes of the values that it finds
    made.array = self.array.copy() if mode.capture is None else self.detach().clone().array  # type: ignore[attr-defined]
    made.tracked = self.tracked
    kept = self.leaf_grad
    made.leaf_grad = None if kept is None else deepcopy(kept.detach(), memo)  # type: ignore[attr-defined]
    memo[id(self)] = made
    if self.__dict__:
        import copy  # which `import twofold` does without

        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made


def reduce_ex(self: Tensor, protocol: int) -> Any:
    """Pickling passes the values and the user's attributes (for processes); files are written by
    twofold.save.
    """
    return _rebuild, (type(self), np.asarray(self.array), self.tracked), self.__dict__ or None


def _rebuild(cls: Any, array: Array, tracked: bool) -> Tensor:
    made: Tensor = cls.__new__(cls)
    made.array, made.tracked = array, tracked
    return made


# ---- questions about a tensor


def is_tensor(obj: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floating numbers."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Whether the elements are complex numbers."""
    return input.dtype.is_complex


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.array.shape == other.array.shape


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero."""
    return bool(item(input))


def numel(input: Tensor) -> int:
    """How many elements there are."""
    return whole(input.array.size)  # type: ignore[no-any-return]


guard(globals(), "type_as")
