"""What TensorBoard's plugins read from event files: curves, audio, meshes, settings. Floor 11.

Each is a value under a tag, with the plugin's name and its own few bytes (TensorBoard's files
`plugins/*/plugin_data.proto`).
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold.saving.events import double, part, single, whole

__all__ = ["audio", "hparams", "mesh", "png_image", "pr_curve"]

NUMBERS = {"float32": 1, "int32": 3, "uint8": 4}  # DataType
MESH_PARTS = {"VERTEX": 1, "FACE": 2, "COLOR": 3}
SMALLEST = 1e-7  # a denominator


def _tensor(array: Any) -> bytes:
    """A TensorProto."""
    shape = b"".join(part(2, whole(1, size)) for size in array.shape)
    return whole(1, NUMBERS[array.dtype.name]) + part(2, shape) + part(4, array.tobytes())


def _value(tag: str, body: bytes, plugin: str, content: bytes) -> bytes:
    """A summary of one value for a plugin."""
    return part(1, part(1, tag) + body + part(9, part(1, part(1, plugin) + part(2, content))))


def pr_curve_counts(labels: Any, scores: Any, count: int, weights: Any = None) -> Any:
    """f32[6, count]: true and false positives, true and false negatives, precision and recall at
    `count` thresholds from 0 to 1.
    """
    labels = labels.astype(np.float64).reshape(-1)
    weights = np.ones_like(labels) if weights is None else weights.astype(np.float64).reshape(-1)
    places = np.floor(scores.astype(np.float64).reshape(-1) * (count - 1)).astype(np.int32)
    hits, _ = np.histogram(places, count, (0, count - 1), weights=labels * weights)
    misses, _ = np.histogram(places, count, (0, count - 1), weights=(1 - labels) * weights)
    tp, fp = np.cumsum(hits[::-1])[::-1], np.cumsum(misses[::-1])[::-1]
    tn, fn = fp[0] - fp, tp[0] - tp
    precision = tp / np.maximum(SMALLEST, tp + fp)
    recall = tp / np.maximum(SMALLEST, tp + fn)
    return np.stack([tp, fp, tn, fn, precision, recall]).astype(np.float32)


def pr_curve(tag: str, counts: Any) -> bytes:
    """counts f32[6, thresholds], as `pr_curve_counts` gives them."""
    content = whole(1, 0) + whole(2, counts.shape[1])
    return _value(tag, part(8, _tensor(counts)), "pr_curves", content)


def audio(tag: str, samples: Any, rate: int) -> bytes:
    """samples f32[length, channels] from -1 to 1, as a WAV file of 16 bits."""
    length, channels = samples.shape
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    body = single(1, rate) + whole(2, channels) + whole(3, length)
    body += part(4, file.getvalue()) + part(5, "audio/wav")
    return part(1, part(1, tag) + part(6, body))


def mesh(tag: str, parts: Mapping[str, Any], settings: str) -> bytes:
    """parts: VERTEX f32[n, points, 3], and if there are any FACE i32[n, faces, 3] and
    COLOR u8[n, points, 3]. settings: JSON.
    """
    bits = sum(1 << MESH_PARTS[name] for name in parts)
    made = b""
    for name, array in parts.items():
        sizes = b"".join(whole(6, size) for size in array.shape)
        content = whole(1, 0) + part(2, tag) + whole(3, MESH_PARTS[name]) + part(5, settings)
        content += sizes + whole(7, bits)
        made += _value(f"{tag}_{name}", part(8, _tensor(array)), "mesh", content)
    return made


def hparams(settings: Mapping[str, Any], metrics: Sequence[str]) -> list[bytes]:
    """The three summaries that tell of a run: which settings and metrics there are, the settings,
    and that it has ended well. Settings are truth values, numbers and texts.
    """
    kinds = {str: 1, bool: 2, float: 3}  # DataType
    values = {name: _setting(value) for name, value in settings.items()}
    infos = [
        part(4, part(1, name) + whole(4, kinds[type(value)])) for name, value in values.items()
    ]
    wanted = [part(5, part(1, part(2, tag))) for tag in metrics]
    pairs = [part(1, part(1, name) + part(2, _struct(value))) for name, value in values.items()]
    bodies = {
        "experiment": part(2, b"".join([*infos, *wanted])),
        "session_start_info": part(3, b"".join(pairs)),
        "session_end_info": part(4, whole(1, 1)),
    }
    return [
        _value(f"_hparams_/{name}", b"", "hparams", whole(1, 0) + body)
        for name, body in bodies.items()
    ]


def _setting(value: Any) -> bool | float | str:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.number)):
        return float(value)
    return str(value)


def _struct(value: bool | float | str) -> bytes:
    """A google.protobuf.Value."""
    if isinstance(value, bool):
        return whole(4, int(value))
    return double(2, value) if isinstance(value, float) else part(3, value)


def png_image(tag: str, data: bytes) -> bytes:
    """A PNG file as a picture."""
    width, height = struct.unpack(">II", data[16:24])
    body = whole(1, height) + whole(2, width) + whole(3, 4) + part(4, data)
    return part(1, part(1, tag) + part(4, body))
