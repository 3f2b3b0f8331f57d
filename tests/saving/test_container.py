"""The safetensors container: what it writes others read, and nothing malformed gets through."""

import json

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.saving.container import (
    STORAGE,
    DamagedFileError,
    header_length,
    lay_out,
    raw_bytes,
    read_header,
    view_as,
    write_header,
)


def pack(arrays, metadata=None):
    entries = lay_out(arrays)
    data = b"".join(raw_bytes(arrays[name]).tobytes() for name in entries)
    return write_header(entries, metadata or {}) + data


def unpack(file):
    length = header_length(file[:8], len(file))
    header = read_header(file[8 : 8 + length], len(file))
    raw = np.frombuffer(file, np.uint8)[header.start :]
    return {n: view_as(raw[e.begin : e.end], n, e) for n, e in header.entries.items()}


def with_header(fields, data=b""):
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + data


def samples():
    made = {}
    for name, storage in STORAGE.items():
        bits = np.arange(2 * 3 * storage.itemsize, dtype=np.uint8)
        made[name] = (bits % 2 if name == "BOOL" else bits).view(storage).reshape(2, 3)
    return made


def test_every_type_comes_back():
    arrays = samples()
    again = unpack(pack(arrays))
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        assert again[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1), (5,)])
def test_shapes_come_back(shape):
    again = unpack(pack({"x": np.ones(shape, np.float32)}))["x"]
    assert again.shape == shape and np.all(again == 1)


def test_data_begins_at_a_multiple_of_64_and_lies_aligned():
    arrays = {"a": np.ones(3, np.int8), "b": np.ones(3, np.float64), "c": np.ones(5, np.float16)}
    file = pack(arrays)
    header = read_header(file[8 : 8 + int.from_bytes(file[:8], "little")], len(file))
    assert header.start % 64 == 0
    assert all(e.begin % e.storage.itemsize == 0 for e in header.entries.values())


def test_foreign_byte_order_and_strides():
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    again = unpack(pack({"x": array}))["x"]
    assert again.dtype == np.int32 and np.array_equal(again, array)


def test_a_misaligned_tensor_is_copied_not_misread():
    values = np.array([1.5, -2.0], np.float64)
    fields = {"x": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}}
    for pad in range(8):
        text = json.dumps(fields).encode() + b" " * pad
        again = unpack(with_header(text, values.tobytes()))["x"]
        assert again.flags.aligned and np.array_equal(again, values)


def entry(dtype="U8", shape=(4,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


MALFORMED = {
    "empty": (b"", "too short"),
    "short": (b"\x01\x02", "too short"),
    "long header": ((2**63).to_bytes(8, "little") + b"{}", "longer than the file"),
    "pickle": (b"\x80\x04\x95abcdefgh", "a pickle"),
    "zip": (b"PK\x03\x04" + b"\0" * 20, "torch.save"),
    "npy": (b"\x93NUMPY\x01\x00" + b"\0" * 20, ".npy"),
    "not json": (with_header(b"{nonsense}"), "not valid JSON"),
    "not utf-8": (with_header(b'{"\xff": 1}'), "not valid JSON"),
    "nan": (with_header(b'{"x": NaN}'), "not valid JSON"),
    "deep": (with_header(b"[" * 100_000), "nested too deeply"),
    "huge number": (with_header(b'{"x": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "a list": (with_header([1]), "not a JSON object"),
    "twice": (with_header(b'{"x": 1, "x": 2}'), "stands twice"),
    "metadata": (with_header({"__metadata__": {"a": 1}}), "strings to strings"),
    "metadata list": (with_header({"__metadata__": []}), "strings to strings"),
    "entry": (with_header({"x": 3}), "an entry is not"),
    "extra": (with_header({"x": entry() | {"more": 1}}, b"abcd"), "an entry is not"),
    "dtype": (with_header({"x": entry("F3")}, b"abcd"), "unknown element type"),
    "dtype list": (with_header({"x": entry(["F32"])}, b"abcd"), "unknown element type"),
    "negative size": (with_header({"x": entry(shape=(-2, -2))}, b"abcd"), "list of sizes"),
    "float size": (with_header({"x": entry(shape=(4.0,))}, b"abcd"), "list of sizes"),
    "bool size": (with_header({"x": entry(shape=(True, 4))}, b"abcd"), "list of sizes"),
    "text size": (with_header({"x": entry(shape=("4",))}, b"abcd"), "list of sizes"),
    "rank": (with_header({"x": entry(shape=(1,) * 65 + (4,))}, b"abcd"), "list of sizes"),
    "three offsets": (with_header({"x": entry(offsets=(0, 4, 4))}, b"abcd"), "two positions"),
    "backward": (with_header({"x": entry(shape=(0,), offsets=(4, 3))}, b"abcd"), "disagree"),
    "too large": (with_header({"x": entry(shape=(2**62, 4))}, b"abcd"), "disagree"),
    "overflow": (with_header({"x": entry(shape=(2**32, 2**32))}, b""), "disagree"),
    "hole": (with_header({"x": entry(offsets=(1, 5))}, b"abcde"), "a hole"),
    "overlap": (with_header({"x": entry(), "y": entry()}, b"abcd"), "overlap"),
    "cut off": (with_header({"x": entry()}, b"abc"), "cut off"),
    "left over": (with_header({"x": entry()}, b"abcde"), "no tensor owns"),
    "bool value": (with_header({"x": entry("BOOL")}, b"\0\1\2\1"), "neither 0 nor 1"),
    "no such array": (
        with_header({"x": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}),
        "impossible shape",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    file, problem = MALFORMED[name]
    with pytest.raises(DamagedFileError, match=problem):
        unpack(file)


def test_the_library_reads_ours_and_we_read_theirs():
    library = pytest.importorskip("safetensors.numpy")
    arrays = {n: a for n, a in samples().items() if n not in ("BF16", "C64")}
    theirs = library.load(pack(arrays, {"note": "a string"}))
    again = unpack(library.save(arrays))
    for name, array in arrays.items():
        assert theirs[name].tobytes() == again[name].tobytes() == array.tobytes()
        assert theirs[name].dtype == again[name].dtype == array.dtype


def test_bfloat16_is_stored_as_sixteen_bits():
    values = dtypes.to_bfloat16(np.array([1.0, -2.5, 3e38], np.float32))
    file = pack({"x": values})
    assert b'"dtype":"BF16"' in file and file.endswith(values.tobytes())
