"""TensorBoard's event files, written without TensorBoard. Floor 8.

A file is a row of records: length u64, its masked CRC-32C, the bytes, their masked CRC-32C (all
little-endian; the framing of TFRecord). The bytes are a protocol-buffer message `Event`, of which
the few fields in use are written here by hand: fields by number as in TensorBoard's event.proto,
summary.proto and tensor.proto.
"""

from __future__ import annotations

import os
import socket
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """The bytes in their frame."""
    head = struct.pack("<Q", len(data))
    return head + _masked(head) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


# ---- protocol buffers: a field is its number and kind, then the value


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64 bits
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def whole(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def part(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def doubles(number: int, values: Sequence[float]) -> bytes:
    return part(number, struct.pack(f"<{len(values)}d", *values))


# ---- summaries: a value under a tag


def scalar(tag: str, value: float) -> bytes:
    return part(1, part(1, tag) + single(2, value))


def image(tag: str, pixels: Any) -> bytes:
    """pixels u8[height, width, 1, 3 or 4]."""
    height, width, channels = pixels.shape
    body = whole(1, height) + whole(2, width) + whole(3, channels) + part(4, png(pixels))
    return part(1, part(1, tag) + part(4, body))


def histogram(tag: str, values: Any, bins: Any) -> bytes:
    """The values counted between their bins' edges; an edge belongs to the bin below."""
    flat = np.asarray(values, np.float64).reshape(-1)
    counts, edges = np.histogram(flat, bins=bins)
    used = np.flatnonzero(counts)
    if used.size:  # one empty bin on either side, where there is one
        counts = counts[max(used[0] - 1, 0) : used[-1] + 2]
        edges = edges[max(used[0] - 1, 0) :][: len(counts) + 1]
    limits, numbers = edges[1:], counts
    body = double(1, flat.min()) + double(2, flat.max()) + double(3, flat.size)
    body += double(4, float(flat.sum())) + double(5, float(flat @ flat))
    body += doubles(6, limits.tolist()) + doubles(7, numbers.astype(np.float64).tolist())
    return part(1, part(1, tag) + part(5, body))


def text(tag: str, value: str) -> bytes:
    """Markdown, for TensorBoard's text page."""
    string = 7  # DT_STRING
    tensor = whole(1, string) + part(2, part(2, whole(1, 1))) + part(8, value)
    return part(1, part(1, f"{tag}/text_summary") + part(8, tensor) + _plugin("text"))


def _plugin(name: str) -> bytes:
    return part(9, part(1, part(1, name)))


def png(pixels: Any) -> bytes:
    """A PNG file (RFC 2083) of u8[height, width, 1, 3 or 4]."""
    height, width, channels = pixels.shape
    colours = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b""))
    made = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        made += struct.pack(">I", len(data)) + name + data
        made += struct.pack(">I", zlib.crc32(name + data))
    return made


@final
class EventFile:
    """One file of events in a folder, under a name that TensorBoard looks for."""

    made = 0

    def __init__(self, folder: str | os.PathLike[str], suffix: str = "") -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        EventFile.made += 1
        parts = (int(time.time()), socket.gethostname(), os.getpid(), EventFile.made)
        self.path = Path(folder) / ("events.out.tfevents." + ".".join(map(str, parts)) + suffix)
        self.file = self.path.open("xb")
        self._event(time.time(), part(3, "brain.Event:2"))
        self.flush()

    def add(self, summary: bytes, step: int | None = None, wall_time: float | None = None) -> None:
        """Write summaries (joined) as one event."""
        now = time.time() if wall_time is None else wall_time
        self._event(now, whole(2, int(step or 0)) + part(5, summary))

    def _event(self, now: float, body: bytes) -> None:
        self.file.write(record(double(1, now) + body))

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()
