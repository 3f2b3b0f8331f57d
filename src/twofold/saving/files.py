"""`save` and `load`: nested values in a safetensors file, checked and atomic. Floor 9.

The tree of values stands in the header's strings, beside checksums of the header and of every
array. Other readers of safetensors see a plain file of named tensors. No pickle, no code.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from twofold.base.atomic import atomic
from twofold.base.devices import Device, check_device
from twofold.base.errors import ArgumentError
from twofold.ops.rules import also_named
from twofold.ops.tensor import wrap
from twofold.saving.container import (
    Entry,
    Header,
    damaged,
    header_length,
    lay_out,
    parse_json,
    raw_bytes,
    read_header,
    view_as,
    write_header,
)
from twofold.saving.openers import OPENERS, READERS
from twofold.saving.tree import Decoder, Encoder

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]

VERSION = 1
CHECK, VERSION_KEY, TREE, SUMS = "twofold.check", "twofold.version", "twofold.tree", "twofold.sums"
UNSET = "00000000"  # stands in the header's own check while that is computed


@also_named(f="path")
def save(
    obj: Any,
    path: Path | IO[bytes],
    pickle_module: Any = None,
    pickle_protocol: Any = None,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write tensors and plain values, nested in dicts, lists and tuples, to a safetensors file.

    The file appears whole or not at all: it is written beside its place, flushed to the disk and
    renamed. Tensors that share memory exactly are stored once. `path` may be an open binary file.
    PyTorch's options of pickling are taken; nothing is pickled.

    Raises TypeError for a value of another kind, naming where it stands; OSError as `open` does.

    >>> twofold.save({"model": model.state_dict(), "epoch": 3}, "model.safetensors")
    """
    encoder = Encoder()
    tree = json.dumps(encoder.encode(obj), separators=(",", ":"))
    entries = lay_out(encoder.arrays)
    header = checked_header(tree, entries, encoder.arrays)
    if not isinstance(path, str | os.PathLike):
        write_all(path, header, entries, encoder.arrays)
        return
    with atomic(path) as file:
        write_all(file, header, entries, encoder.arrays)


@also_named(f="path")
def load(
    path: Path | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool = False,
) -> Any:
    """Read what `save` wrote; a plain safetensors file comes back as a dict of tensors.

    A `.pt` file that torch.save wrote is read too, where it holds tensors and plain values in
    dicts, lists and tuples, such as a state_dict or a checkpoint with the state of an optimizer;
    nothing in a file is ever run, so `weights_only` makes no difference. `map_location` may name
    the CPU.

    With `mmap=True` the tensors are the file's own pages, read when they are touched; writing to
    them changes memory only, and the file must stay as it is meanwhile (replacing it by `save` is
    fine). Their checksums are not verified then. `path` may be an open binary file.

    Raises DamagedFileError (a ValueError) for a file that is cut off, changed or of another format.

    >>> model.load_state_dict(twofold.load("model.safetensors")["model"])
    """
    if isinstance(map_location, str | Device):
        check_device(map_location)
    if not isinstance(path, str | os.PathLike):
        return _opened(load_bytes(path.read(), mmap))
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ArgumentError("load", "this is not a regular file", path=os.fspath(path))
        return _opened(load_file(file, os.fstat(file.fileno()).st_size, mmap))


def _opened(made: Any) -> Any:
    """The object that a dict with a mark stands for."""
    marks = OPENERS.keys() & made.keys() if isinstance(made, dict) else ()
    return OPENERS[next(iter(marks))](made) if marks else made


# Writing


def checked_header(tree: str, entries: Mapping[str, Entry], arrays: Mapping[str, Array]) -> bytes:
    """The header with the tree, a checksum of each array, and one of the header itself."""
    sums = {name: checksum(raw_bytes(arrays[name])) for name in entries}
    metadata = {
        CHECK: UNSET,
        VERSION_KEY: str(VERSION),
        TREE: tree,
        SUMS: json.dumps(sums, separators=(",", ":")),
    }
    try:
        blank = write_header(entries, metadata)
        return write_header(entries, {**metadata, CHECK: checksum(blank)})
    except ValueError as error:
        raise ArgumentError("save", str(error), hint="save many numbers as one tensor") from None


def checksum(data: Any) -> str:
    return f"{zlib.crc32(data):08x}"


def write_all(
    file: IO[bytes], header: bytes, entries: Mapping[str, Entry], arrays: Mapping[str, Array]
) -> None:
    file.write(header)
    for name in entries:
        file.write(raw_bytes(arrays[name]).data)


# Reading


def load_file(file: IO[bytes], size: int, mmap: bool) -> Any:
    reader = READERS.get(file.read(4))
    if reader is not None and mmap:
        hint = "twofold.save(twofold.load(path), new_path), and map that"
        raise ArgumentError("load", "a file of torch.save's cannot be mapped", hint=hint)
    if reader is not None:
        return reader(file)
    file.seek(0)
    header, text = header_of(file, size)
    if mmap and size > header.start:
        whole = np.asarray(np.memmap(file, np.uint8, mode="c"))
        return build(header, text, lambda entry: piece(whole, header, entry), check=False)
    return build(header, text, lambda entry: read_piece(file, header, entry), check=True)


def load_bytes(data: bytes, mmap: bool) -> Any:
    if mmap:
        raise ArgumentError("load", "only a file on the disk can be mapped", hint="pass its path")
    if data[:4] in READERS:
        return READERS[data[:4]](io.BytesIO(data))
    header, text = header_of(io.BytesIO(data), len(data))
    whole = np.frombuffer(data, np.uint8)
    return build(header, text, lambda entry: piece(whole, header, entry).copy(), check=True)


def header_of(file: IO[bytes], size: int) -> tuple[Header, bytes]:
    text = file.read(header_length(file.read(8), size))
    return read_header(text, size), text


def piece(whole: npt.NDArray[np.uint8], header: Header, entry: Entry) -> npt.NDArray[np.uint8]:
    return whole[header.start + entry.begin : header.start + entry.end]


def read_piece(file: IO[bytes], header: Header, entry: Entry) -> npt.NDArray[np.uint8]:
    raw = np.empty(entry.end - entry.begin, np.uint8)
    file.seek(header.start + entry.begin)
    if file.readinto(raw.data) != raw.size:  # type: ignore[attr-defined]
        raise damaged("the file became shorter while it was read")
    return raw


def build(
    header: Header, text: bytes, read: Callable[[Entry], npt.NDArray[np.uint8]], check: bool
) -> Any:
    """The values: by the tree where there is one of ours, else a dict of tensors."""
    ours = any(key.startswith("twofold.") for key in header.metadata)
    sums = checked_sums(header, text) if ours else {}

    def array_of(name: str) -> Array:
        if name not in header.entries:
            raise damaged("the tree names a tensor that is not there", tensor=repr(name))
        raw = read(header.entries[name])
        if check and ours and checksum(raw) != sums.get(name):
            raise damaged(
                "a tensor's data is not what was saved",
                hint="another copy of the file",
                tensor=repr(name),
            )
        return view_as(raw, name, header.entries[name])

    if not ours:
        return {name: wrap(array_of(name)) for name in header.entries}
    try:
        return Decoder(array_of).decode(parse_json(header.metadata[TREE], "tree"))
    except RecursionError:
        raise damaged("the tree is nested too deeply") from None


def checked_sums(header: Header, text: bytes) -> dict[str, str]:
    """The arrays' checksums, after the version and the header's own checksum were verified."""
    missing = {CHECK, VERSION_KEY, TREE, SUMS} - header.metadata.keys()
    if missing:
        raise damaged("the header lacks a part", missing=", ".join(sorted(missing)))
    version = header.metadata[VERSION_KEY]
    if version != str(VERSION):
        raise damaged(
            "the file has another version of the format",
            hint="load it with the version of Twofold that wrote it, or a newer one",
            file=version[:20],
            known=VERSION,
        )
    check = header.metadata[CHECK]
    blank = text.replace(f'"{CHECK}":"{check}"'.encode(), f'"{CHECK}":"{UNSET}"'.encode(), 1)
    if checksum(len(text).to_bytes(8, "little") + blank) != check:
        raise damaged("the header is not what was saved")
    sums = parse_json(header.metadata[SUMS], "table of checksums")
    if not isinstance(sums, dict):
        raise damaged("the table of checksums is not a JSON object")
    return sums
