"""The safetensors container: named arrays and a map of strings, as bytes. Floor 9.

A file is 8 bytes of little-endian header length, a JSON header, then the arrays' bytes. The header
maps each name to `{"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}` and may hold
`"__metadata__"`, a map from strings to strings. Offsets count from the end of the header; the
arrays cover the rest of the file without holes. (The format: github.com/huggingface/safetensors.)

Nothing in a file is trusted: every number is checked before it is used to read or to allocate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.errors import TwofoldError
from twofold.base.records import NamedTuple

Array = npt.NDArray[Any]

LARGEST_HEADER = 100_000_000  # the format's own limit
LARGEST_SIZE = 2**63 - 1
LARGEST_RANK = 64  # NumPy's
ALIGNMENT = 64
METADATA = "__metadata__"

# The format's names of element types, and how NumPy stores them, little-endian.
STORAGE: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": dtypes.BFLOAT16,
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "C64": np.dtype("<c8"),
}
NAME_OF_STORAGE = {storage: name for name, storage in STORAGE.items()}

# What people try to load by mistake, told by the first bytes.
FOREIGN = {
    b"PK\x03\x04": "a zip file, perhaps written by torch.save or numpy.savez",
    b"\x80\x02": "a pickle, perhaps written by an old torch.save",
    **{b"\x80%c" % protocol: "a pickle" for protocol in (3, 4, 5)},
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF": "an HDF5 file",
}
FOREIGN_HINT = "write it as safetensors where it was made: safetensors.torch.save_file(state, path)"


class DamagedFileError(TwofoldError, ValueError):
    """A file that is not what was saved: cut off, changed, or of another format."""


class Entry(NamedTuple):
    """Where one array lies: its storage type, its shape, and its bytes after the header."""

    storage: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """What a header says: the arrays by name, the strings, and where the arrays' bytes begin."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    start: int


def damaged(problem: str, hint: str = "", **facts: object) -> DamagedFileError:
    return DamagedFileError("load", problem, hint=hint, **facts)


# Writing


def lay_out(arrays: Mapping[str, Array]) -> dict[str, Entry]:
    """Give each array its place: the widest element types first, so that all lie aligned."""
    entries, position = {}, 0
    for name in sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize):
        array = arrays[name]
        storage = array.dtype.newbyteorder("<")
        entries[name] = Entry(storage, array.shape, position, position + array.nbytes)
        position += array.nbytes
    return entries


def write_header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON text, padded with spaces so that the arrays begin at a multiple of 64.

    Raises ValueError when it is longer than the format allows.
    """
    fields: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, entry in entries.items():
        fields[name] = {
            "dtype": NAME_OF_STORAGE[entry.storage],
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"the header takes {len(text)} bytes; the format allows {LARGEST_HEADER}")
    return len(text).to_bytes(8, "little") + text


def raw_bytes(array: Array) -> npt.NDArray[np.uint8]:
    """The array's bytes as the file holds them: C order, little-endian; a view where possible."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8)


# Reading


def header_length(head: bytes, file_size: int) -> int:
    """The length of the header, from the first 8 bytes of a file of that size."""
    for magic, what in FOREIGN.items():
        if head.startswith(magic[:8]):
            raise damaged(f"this is not a safetensors file but {what}", hint=FOREIGN_HINT)
    if len(head) < 8:
        raise damaged(
            "the file is too short to be a safetensors file",
            hint="a file that twofold.save or safetensors wrote",
            size=f"{file_size} bytes",
        )
    length = int.from_bytes(head, "little")
    if length > min(LARGEST_HEADER, file_size - 8):
        raise damaged(
            "the header is longer than the file, so it is cut off or not a safetensors file",
            hint="a file that twofold.save or safetensors wrote",
            header=f"{length} bytes",
            file=f"{file_size} bytes",
        )
    return length


def read_header(text: bytes, file_size: int) -> Header:
    """Parse and check a header's JSON against the size of the file that holds it."""
    fields = parse_json(text, "header")
    if not isinstance(fields, dict):
        raise damaged("the header is not a JSON object")
    metadata = fields.pop(METADATA, {})
    check_metadata(metadata)
    start = 8 + len(text)
    entries = {name: read_entry(name, field) for name, field in fields.items()}
    check_coverage(entries, file_size - start)
    return Header(entries, metadata, start)


def parse_json(text: bytes | str, what: str) -> Any:
    """JSON without its loose ends: no name twice, no NaN, no nesting without end."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=unique, parse_constant=refuse_constant)
    except DamagedFileError:
        raise
    except RecursionError:
        raise damaged(f"the {what} is nested too deeply") from None
    except ValueError as error:
        raise damaged(f"the {what} is not valid JSON", reason=str(error)[:200]) from None


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise damaged("a name stands twice in the header", name=repr(name))
        made[name] = value
    return made


def refuse_constant(text: str) -> None:
    raise damaged("the header is not valid JSON", reason=f"{text} is not a JSON number")


def check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise damaged(f"{METADATA} is not a map from strings to strings")


def read_entry(name: str, field: Any) -> Entry:
    """One array's place, each number checked; not yet that it fits its neighbours."""
    if not isinstance(field, dict) or field.keys() != {"dtype", "shape", "data_offsets"}:
        raise damaged("an entry is not dtype, shape and data_offsets", tensor=repr(name))
    storage = STORAGE.get(field["dtype"]) if isinstance(field["dtype"], str) else None
    if storage is None:
        known = " ".join(STORAGE)
        raise damaged("unknown element type", tensor=repr(name), dtype=field["dtype"], known=known)
    shape, offsets = field["shape"], field["data_offsets"]
    if not are_sizes(shape) or len(shape) > LARGEST_RANK:
        raise damaged("a shape is not a list of sizes", tensor=repr(name), shape=shape)
    if not are_sizes(offsets) or len(offsets) != 2:
        raise damaged("data_offsets are not two positions", tensor=repr(name), offsets=offsets)
    if offsets[1] - offsets[0] != math.prod(shape) * storage.itemsize:
        raise damaged(
            "shape and data_offsets disagree",
            tensor=repr(name),
            shape=shape,
            dtype=field["dtype"],
            offsets=offsets,
        )
    return Entry(storage, tuple(shape), *offsets)


def are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= LARGEST_SIZE for value in values
    )


def check_coverage(entries: Mapping[str, Entry], size: int) -> None:
    """The arrays must follow each other without hole or overlap, to the end of the file."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != position:
            kind = "a hole before" if entry.begin > position else "an overlap at"
            raise damaged(f"there is {kind} a tensor's data", tensor=repr(name))
        position = entry.end
    if position != size:
        raise damaged(
            "the file is cut off" if position > size else "there is data that no tensor owns",
            hint="another copy of the file",
            expected=f"{position} bytes of data",
            found=f"{size}",
        )


def view_as(raw: npt.NDArray[np.uint8], name: str, entry: Entry) -> Array:
    """Those bytes as the entry's array; copied only where they do not lie aligned to its type."""
    if entry.storage.kind == "b" and raw.max(initial=0) > 1:
        raise damaged("a boolean is neither 0 nor 1", tensor=repr(name))
    address = raw.__array_interface__["data"][0]
    aligned = raw if address % entry.storage.itemsize == 0 else raw.copy()
    try:
        typed = aligned.view(entry.storage).reshape(entry.shape)
    except ValueError as error:  # a size of zero beside one that no array can have
        raise damaged("impossible shape", tensor=repr(name), reason=str(error)) from None
    return typed.astype(entry.storage.newbyteorder("="), copy=False)
