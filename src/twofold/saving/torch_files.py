"""Read the `.pt` files that torch.save writes: tensors and plain values, nothing else. Floor 8.

Such a file is a zip archive with a pickle, `data.pkl`, and one record of bytes for each storage,
`data/0`, `data/1` ... The pickle is read by our own machine (saving/pickles.py) with the table of
names below, so that no file can run anything; every size is checked before it is used.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO, Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.devices import CPU, Device
from twofold.base.dtypes import DType
from twofold.base.errors import TwofoldError
from twofold.ops.tensor import Parameter, Size, Tensor, wrap
from twofold.saving.container import damaged
from twofold.saving.pickles import PLAIN_NAMES, Constructor, Machine

LARGEST_RANK = 64
BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, IndexError, OSError,
    ValueError, NotImplementedError, OverflowError, RuntimeError,
)  # fmt: skip
STORAGES = {
    "DoubleStorage": dtypes.float64,
    "FloatStorage": dtypes.float32,
    "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64,
    "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_,
    "ComplexFloatStorage": dtypes.complex64,
    "ComplexDoubleStorage": dtypes.complex128,
}


class Kind(NamedTuple):
    """A class of storages: the type of its elements, or None where the tensor says it."""

    dtype: DType | None


class Storage(NamedTuple):
    """The bytes of one record, and the type of its elements where that is known."""

    raw: npt.NDArray[np.uint8]
    dtype: DType | None
    key: str


def load_torch(file: IO[bytes]) -> Any:
    """The value that torch.save wrote. Raises DamagedFileError for what is not of that kind."""
    try:
        with zipfile.ZipFile(file) as archive:
            return Reader(archive).value()
    except TwofoldError:
        raise
    except BROKEN as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise damaged("the archive cannot be read", reason=reason) from None


@final
class Reader:
    """One archive, whose storages are read when they are first referred to."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.entries = {entry.filename: entry for entry in archive.infolist()}
        found = [name for name in self.entries if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise damaged(
                "this zip file is none that torch.save wrote",
                hint="numpy.load, where numpy.savez wrote it",
                holds=", ".join(list(self.entries)[:5]),
            )
        self.folder = found[0].removesuffix("data.pkl")
        if f"{self.folder}constants.pkl" in self.entries:
            raise damaged(
                "this is a TorchScript program", hint="torch.save(model.state_dict(), path)"
            )
        order = self.folder + "byteorder"
        self.swapped = order in self.entries and self.record(order).tobytes() == b"big"
        self.storages: dict[str, Storage] = {}
        self.tensors: dict[tuple[Any, ...], Tensor] = {}

    def value(self) -> Any:
        names = NAMES | {
            ("torch._utils", "_rebuild_tensor_v2"): Constructor("tensor", self.tensor),
            ("torch._utils", "_rebuild_tensor_v3"): Constructor("tensor", self.typed_tensor),
        }
        pickle = self.record(f"{self.folder}data.pkl").tobytes()
        return Machine(pickle, names, self.storage).run()

    def record(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of an entry, which must be stored as they are: no archive unpacks to more."""
        entry = self.entries.get(name)
        if entry is None:
            raise damaged("the archive lacks a record", record=name[:200])
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise damaged("a record is compressed, which torch.save never does", record=name[:200])
        with self.archive.open(entry) as file:
            data = file.read()
        if len(data) != entry.file_size:
            raise damaged("the archive is cut off", record=name[:200])
        return np.frombuffer(bytearray(data), np.uint8)

    def storage(self, reference: Any) -> Storage:
        """What ("storage", class, key, device, elements) refers to."""
        if not isinstance(reference, tuple) or len(reference) != 5 or reference[0] != "storage":
            raise damaged("the file refers to something that is no storage")
        _, kind, key, _, _ = reference
        if not isinstance(kind, Kind) or not isinstance(key, str):
            raise damaged("the file refers to something that is no storage")
        if key not in self.storages:
            self.storages[key] = Storage(self.record(f"{self.folder}data/{key}"), kind.dtype, key)
        return self.storages[key]._replace(dtype=kind.dtype)

    def tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False,
        hooks: Any = None, metadata: Any = None,
    ) -> Tensor:  # fmt: skip
        """A tensor on a storage, which it shares with the others there."""
        dtype = storage.dtype if isinstance(storage, Storage) else None
        return self.typed_tensor(
            storage, offset, size, stride, requires_grad, hooks, dtype, metadata
        )

    def typed_tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any,
        dtype: Any, metadata: Any = None,
    ) -> Tensor:  # fmt: skip
        if not isinstance(storage, Storage) or not isinstance(dtype, DType):
            raise damaged("a tensor has no storage, or no type")
        if metadata:
            raise damaged(
                "a tensor is the conjugate or the negative of its storage",
                hint="x.resolve_conj() before torch.save",
            )
        key = (storage.key, offset, tuple(size), tuple(stride), dtype, requires_grad is True)
        if key not in self.tensors:
            made = wrap(self.view(storage, offset, tuple(size), tuple(stride), dtype))
            made.tracked = requires_grad is True and made.array.dtype.kind in "fcV"
            self.tensors[key] = made
        return self.tensors[key]

    def view(
        self, storage: Storage, offset: Any, size: Any, stride: Any, dtype: DType
    ) -> npt.NDArray[Any]:
        numbers = (offset, *size, *stride)
        if not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
            raise damaged("the shape of a tensor is not made of sizes")
        if len(size) != len(stride) or len(size) > LARGEST_RANK:
            raise damaged("the shape and the strides of a tensor disagree", shape=size)
        count, rest = divmod(storage.raw.size, dtype.itemsize)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if rest or (0 not in size and last >= count) or offset > count:
            raise damaged(
                "a tensor reaches beyond its storage", shape=size, strides=stride, elements=count
            )
        if dtype is dtypes.bool_ and storage.raw.max(initial=0) > 1:
            raise damaged("a boolean is neither 0 nor 1")
        typed = storage.raw.view(dtype.numpy)
        if self.swapped:
            typed = swap(storage.raw, dtype)
        steps = tuple(step * dtype.itemsize for step in stride)
        made: npt.NDArray[Any] = np.ndarray(
            size, dtype.numpy, typed.data, 0 if 0 in size else offset * dtype.itemsize, steps
        )
        return made


def swap(raw: npt.NDArray[np.uint8], dtype: DType) -> npt.NDArray[Any]:
    """Elements of the other byte order in ours."""
    part = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    turned = np.ascontiguousarray(raw.reshape(-1, part)[:, ::-1])
    return turned.reshape(-1).view(dtype.numpy)


def parameter(data: Any, requires_grad: Any = True, hooks: Any = None) -> Parameter:
    if not isinstance(data, Tensor):
        raise damaged("a parameter is made of something that is no tensor")
    return Parameter(data, requires_grad=requires_grad is True)


def size_of(sizes: Any = ()) -> Size:
    if not all(type(n) is int for n in sizes):
        raise damaged("a shape is not made of sizes")
    return Size(sizes)


def device_of(*_: Any) -> Device:
    """The CPU, whatever device the file was written on."""
    return CPU


NAMES: dict[tuple[str, str], Any] = {
    **PLAIN_NAMES,
    **{("torch", name): Kind(dtype) for name, dtype in STORAGES.items()},
    **{("torch", dtype.name): dtype for dtype in dtypes.ALL},
    ("torch.storage", "UntypedStorage"): Kind(None),
    ("torch._utils", "_rebuild_parameter"): Constructor("parameter", parameter),
    ("torch", "Size"): Constructor("Size", size_of),
    ("torch", "device"): Constructor("device", device_of),
}
