"""The memory behind tensors, for programs that ask for it: as elements, and as bytes. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self, final

import numpy as np

from twofold.base import dtypes
from twofold.base.devices import CPU
from twofold.base.errors import ArgumentError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.creation import tensor
from twofold.ops.elementwise import add
from twofold.ops.guarding import guard
from twofold.ops.indexing import PUT, Here
from twofold.ops.movement import reshape
from twofold.ops.op import Sample, define
from twofold.ops.rules import sizes_of
from twofold.ops.source import ARANGE, made, zeros_of
from twofold.ops.source import filled as full_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, memory_given, root_of, type_of, wrap

__all__ = ["as_strided"]


def _whole(array: Any) -> Any:
    """The array that owns the memory of this one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class _Memory:
    """What both kinds of storages have: an array of one axis, which is their memory."""

    is_cuda = False
    is_sparse = False
    device = CPU

    def __init__(self, array: Any) -> None:
        self.array = array

    def data_ptr(self) -> int:
        return 0 if stands_in(self.array) else int(self.array.ctypes.data)

    _cdata = property(data_ptr)  # what programs compare to see whether two are one

    def nbytes(self) -> int:
        return int(self.array.nbytes)

    def __len__(self) -> int:
        return int(self.array.size)

    def size(self) -> int:
        return int(self.array.size)

    def element_size(self) -> int:
        return int(self.array.itemsize)

    def tolist(self) -> list[Any]:
        return list(wrap(self.array).tolist())  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def fill_(self, value: Any) -> Self:
        """All elements become the value."""
        wrap(self.array).fill_(value)  # type: ignore[attr-defined]
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Self:
        """All elements become those of a storage of as many. Raises ArgumentError for another."""
        if len(source) != len(self):
            problem = f"{len(source)} elements for {len(self)}"
            raise ArgumentError("storage.copy_", problem, hint="storages of one size")
        self.array[...] = source.array
        return self

    def cpu(self) -> Self:
        """Itself: it is there."""
        return self

    def is_pinned(self, device: Any = None) -> bool:
        return False

    def is_shared(self) -> bool:
        return bool(wrap(self.array).is_shared())  # type: ignore[attr-defined]

    def resize_(self, size: int) -> Self:
        """Itself for the size that it has. Raises ArgumentError for another: tensors look at it."""
        if size != len(self):
            hint = "tensor.resize_(...), or a new tensor"
            raise ArgumentError("storage.resize_", f"from {len(self)} to {size}", hint=hint)
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array if dtype is None else self.array.astype(dtype)

    def _shown(self, name: str, facts: str) -> str:
        values = "\n ".join(str(x) for x in self.tolist())
        package = dtypes.package[0]
        return f" {values}\n[{package}.storage.{name}({facts}device=cpu) of size {len(self)}]"


@final
class TypedStorage(_Memory):
    """The memory of a tensor as elements: how many there are, and whether two tensors share it.

    `TypedStorage(3, dtype=twofold.float32)` makes a new one, of zeros; a list is what is in it.
    """

    def __init__(
        self, data: Any = 0, *, dtype: Any = None, wrap_storage: Any = None, device: Any = None
    ) -> None:
        self.dtype = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_dtype()
        if wrap_storage is not None:
            super().__init__(np.asarray(wrap_storage.array).view(self.dtype.numpy))
        elif isinstance(data, int):
            super().__init__(np.zeros(data, self.dtype.numpy))
        else:
            super().__init__(tensor(list(data), dtype=self.dtype).array)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(array=self.array.view(np.uint8))

    untyped_storage = untyped

    def __getitem__(self, key: Any) -> Any:
        """One element. Raises ArgumentError for a slice."""
        if isinstance(key, slice):
            hint = "storage.tolist()[a:b], or storage.untyped()[a:b]"
            raise ArgumentError("TypedStorage", "elements are read one by one", hint=hint)
        return wrap(self.array)[int(key)].item()  # type: ignore[index]

    def __setitem__(self, key: Any, value: Any) -> None:
        wrap(self.array)[key] = value  # type: ignore[index]

    def clone(self) -> TypedStorage:
        """A copy."""
        return TypedStorage(dtype=self.dtype, wrap_storage=_Memory(self.array.copy()))

    def type(self, dtype: Any = None) -> Any:
        """The name of its class, or a copy with elements of another type."""
        if dtype is None:
            return f"torch.{STORAGE_NAMES[self.dtype]}"
        to = dtypes.as_dtype(dtype)
        array = wrap(self.array).to(to).array  # type: ignore[attr-defined]
        return TypedStorage(dtype=to, wrap_storage=_Memory(array))

    def pickle_storage_type(self) -> str:
        """`FloatStorage` of float32, and so on."""
        return STORAGE_NAMES[self.dtype]

    def __repr__(self) -> str:
        return self._shown("TypedStorage", f"dtype={self.dtype}, ")


STORAGE_NAMES = {
    dtypes.float64: "DoubleStorage",
    dtypes.float32: "FloatStorage",
    dtypes.float16: "HalfStorage",
    dtypes.bfloat16: "BFloat16Storage",
    dtypes.int64: "LongStorage",
    dtypes.int32: "IntStorage",
    dtypes.int16: "ShortStorage",
    dtypes.int8: "CharStorage",
    dtypes.uint8: "ByteStorage",
    dtypes.bool_: "BoolStorage",
    dtypes.complex64: "ComplexFloatStorage",
    dtypes.complex128: "ComplexDoubleStorage",
}
_CASTS = "double float half bfloat16 long int short char byte bool complex_float complex_double"
for _name, _dtype in zip(_CASTS.split(), STORAGE_NAMES, strict=True):
    setattr(TypedStorage, _name, lambda self, _dtype=_dtype: self.type(_dtype))


class _OneType(type):
    """The class of `FloatStorage` and its like: called, they make a TypedStorage."""

    dtype: Any

    def __call__(cls, data: Any = 0, **options: Any) -> TypedStorage:
        return TypedStorage(data, dtype=cls.dtype, **options)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TypedStorage) and instance.dtype is cls.dtype


def storage_of(name: str) -> Any:
    """The class `FloatStorage`, `LongStorage` and so on, by its name."""
    dtype = next(dtype for dtype, known in STORAGE_NAMES.items() if known == name)
    body = {"dtype": dtype, "__module__": "twofold", "__doc__": f"Storages of {dtype.name}."}
    return _OneType(name, (), body)


@final
class UntypedStorage(_Memory):
    """Bytes: of a tensor, of a file, or so many new ones, all zero. A part shares the memory."""

    def __init__(self, size: int = 0, *, array: Any = None, device: Any = None) -> None:
        super().__init__(np.zeros(size, np.uint8) if array is None else array)

    @staticmethod
    def from_file(filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first bytes of a file, read when they are used; with `shared` what is written goes to
        the file, which has to be large enough.
        """
        made = np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,))
        return UntypedStorage(array=made)

    def untyped(self) -> UntypedStorage:
        return self

    def clone(self) -> UntypedStorage:
        """A copy."""
        return UntypedStorage(array=self.array.copy())

    def __getitem__(self, key: Any) -> Any:
        """One byte, or a part. Raises ArgumentError for a step."""
        if not isinstance(key, slice):
            return int(self.array[key])
        if key.step not in (None, 1):
            raise ArgumentError("UntypedStorage", f"step {key.step}", hint="storage[start:stop]")
        return UntypedStorage(array=self.array[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[key] = value

    def __repr__(self) -> str:
        return self._shown("UntypedStorage", "")


def _flat(x: Tensor) -> Any:
    """All memory that the tensor lies in, as elements in their order."""
    whole = _whole(x.array)
    if stands_in(whole):
        return whole
    order = sorted(range(whole.ndim), key=lambda axis: -whole.strides[axis])
    return whole.transpose(order).reshape(-1)


def storage(self: Tensor) -> TypedStorage:
    """The memory of the tensor, all of it also where the tensor sees a part."""
    memory_given(self)
    return TypedStorage(dtype=self.dtype, wrap_storage=_Memory(_flat(self)))


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The same, as bytes."""
    memory_given(self)
    flat = _flat(self)
    return UntypedStorage(array=flat if stands_in(flat) else flat.view(np.uint8))


def _strided(x: Any, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    start = x.reshape(-1)[offset:]
    return np.lib.stride_tricks.as_strided(start, size, tuple(s * x.itemsize for s in stride))


def _strided_vjp(
    g: Tensor, out: Any, x: Any, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Any:
    places = wrap(full_of((), offset, dtypes.int64))
    for axis, step in enumerate(stride):
        shape = [size[axis] if i == axis else 1 for i in range(len(size))]
        steps = wrap(made(ARANGE, (0, step, size[axis], dtypes.int64)))
        places = add(places, reshape(steps, shape))
    zeros = zeros_of((math.prod(x.shape),), g.array.dtype)
    flat = reshape(g, (math.prod(size),))
    whole = bind(PUT, (zeros, flat, reshape(places, (math.prod(size),))), ((Here(0),), True))
    return (reshape(whole, tuple(x.shape)),)


AS_STRIDED = define(
    "as_strided",
    attrs=("size", "stride", "offset"),
    doc="Any view of the memory of x, in elements from its start; x is contiguous.",
    infer=lambda x, *, size, stride, offset: Type(size, x.dtype),
    lower="as_strided",
    ref=_strided,
    vjp=_strided_vjp,
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), (2, 2), (4, 1), 1)),
        Sample((r.normal(size=8), (3, 4), (1, 1), 0)),
    ],
)


def storage_offset(input: Tensor) -> int:
    """How many elements of the memory come before the first."""
    array: Any = input.array
    if not isinstance(array, np.ndarray):
        if input.base is not None:
            array.needed("where a view lies in memory", hint="as_strided of the whole tensor")
        return 0
    start = root_of(input).array.__array_interface__["data"][0]
    return int(input.array.__array_interface__["data"][0] - start) // input.array.itemsize


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Any view of the tensor's memory: sizes, strides and the first place, in elements.

    Raises ArgumentError where it would leave the memory.
    """
    shape, steps = sizes_of("as_strided", (size,)), sizes_of("as_strided", (stride,))
    root = (
        root_of(input)
        if input.base is None or input.chain is not None
        else wrap(root_of(input).array)
    )
    offset = _offset(input) if storage_offset is None else int(storage_offset)
    last = offset + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    inside = offset >= 0 and min(steps, default=0) >= 0
    if not root.array.flags.c_contiguous or (
        0 not in shape and not (inside and last < root.array.size)
    ):
        problem = f"sizes {list(shape)} and strides {list(steps)} leave the memory"
        raise ArgumentError("as_strided", problem, input=type_of(root))
    return bind(AS_STRIDED, (root,), (shape, steps, offset))  # type: ignore[no-any-return]


_offset = storage_offset


guard(globals())
