"""Run a plan chunk by chunk, in any number of chunks, without a pool; and the order as a model."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.lower.schedule import Arg, In, Out, Plan, Scratch, find_planner

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
FILL = 0xFF  # not a number, in any float type


def arg_of(array: np.ndarray) -> Arg:
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Arg(array.shape, dtypes.of(array.dtype), strides)


def run_steps(
    plan: Plan, arrays: Sequence[np.ndarray], made: list[np.ndarray], chunks: int
) -> None:
    """Each step in `chunks` chunks (0: as planned), the last chunk first."""
    scratch = np.full(plan.scratch + 64, FILL, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % 64
    bases = {In: [a.ctypes.data for a in arrays], Out: [a.ctypes.data for a in made]}

    def word(value: Any) -> int:
        if isinstance(value, Scratch):
            return start + value.offset
        if isinstance(value, In | Out):
            return bases[type(value)][value.index] + value.offset
        return value

    for step in plan.steps:
        job = (ctypes.c_int64 * len(step.job))(*map(word, step.job))
        count = chunks or step.chunks
        for chunk in reversed(range(count)):
            TASK(step.task)(ctypes.addressof(job), chunk, count)


Outs = Sequence[tuple[Sequence[int], str]]


def run(
    name: str,
    arrays: Sequence[np.ndarray],
    outs: Outs,
    chunks: int = 0,
    threads: int = 2,
    **attrs: Any,
) -> list[np.ndarray]:
    """The outputs of the planner `name`; `outs` are (shape, dtype name)."""
    arrays = [np.asarray(array) for array in arrays]
    types = tuple(Type(tuple(shape), dtypes.as_dtype(dtype)) for shape, dtype in outs)
    plan = find_planner(name)(tuple(map(arg_of, arrays)), types, attrs, threads)
    ready = [np.ascontiguousarray(a) if i in plan.contiguous else a for i, a in enumerate(arrays)]
    # filled with rubbish, and framed by it: what is not written or written outside is seen
    frames = [np.full(t.size * t.dtype.itemsize + 128, FILL, np.uint8) for t in types]
    made = [
        frame[64 : 64 + t.size * t.dtype.itemsize].view(t.dtype.numpy).reshape(t.shape)
        for frame, t in zip(frames, types, strict=True)
    ]
    run_steps(plan, ready, made, chunks)
    for frame in frames:
        assert (frame[:64] == FILL).all() and (frame[-64:] == FILL).all(), "written outside"
    return made


@pytest.fixture(name="run")
def run_fixture() -> Callable[..., list[np.ndarray]]:
    return run


@pytest.fixture(name="run_steps")
def run_steps_fixture() -> Callable[..., None]:
    return run_steps


MERGE = {
    "sum": (np.add, 0.0),
    "prod": (np.multiply, 1.0),
    "max": (np.maximum, -np.inf),
    "min": (np.minimum, np.inf),
}


def slow_model(row: Sequence[Any], op: str, dtype: Any) -> Any:
    """The order of DESIGN.md (N3) word for word, one scalar at a time."""
    merge, neutral = MERGE[op]
    blocks = []
    for start in range(0, max(len(row), 1), 4096):
        lane = [dtype(neutral)] * 32
        for i, value in enumerate(row[start : start + 4096]):
            lane[i % 32] = merge(lane[i % 32], dtype(value))
        t = [
            merge(merge(lane[e], lane[e + 8]), merge(lane[e + 16], lane[e + 24])) for e in range(8)
        ]
        u = [merge(t[e], t[e + 4]) for e in range(4)]
        w = [merge(u[e], u[e + 2]) for e in range(2)]
        blocks.append(merge(w[0], w[1]))
    while len(blocks) > 1:
        pairs = [merge(a, b) for a, b in zip(blocks[::2], blocks[1::2], strict=False)]
        blocks = pairs + blocks[len(pairs) * 2 :]
    return blocks[0]


def model(x: np.ndarray, op: str = "sum") -> np.ndarray:
    """The same over the last axis of an array, vectorised over the others."""
    merge, neutral = MERGE[op]
    n = x.shape[-1]
    blocks = []
    for start in range(0, max(n, 1), 4096):
        block = x[..., start : start + 4096]
        lanes = np.full((*x.shape[:-1], 32), neutral, x.dtype)
        for base in range(0, block.shape[-1], 32):
            part = block[..., base : base + 32]
            lanes[..., : part.shape[-1]] = merge(lanes[..., : part.shape[-1]], part)
        t = merge(
            merge(lanes[..., :8], lanes[..., 8:16]), merge(lanes[..., 16:24], lanes[..., 24:])
        )
        u = merge(t[..., :4], t[..., 4:])
        w = merge(u[..., :2], u[..., 2:])
        blocks.append(merge(w[..., 0], w[..., 1]))
    while len(blocks) > 1:
        pairs = [merge(a, b) for a, b in zip(blocks[::2], blocks[1::2], strict=False)]
        blocks = pairs + blocks[len(pairs) * 2 :]
    return blocks[0]


@pytest.fixture(name="model")
def model_fixture() -> Callable[..., np.ndarray]:
    return model


@pytest.fixture(name="slow_model")
def slow_model_fixture() -> Callable[..., Any]:
    return slow_model


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit, any NaN being any other."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind == "f":
        both = np.isnan(a) & np.isnan(b)
        a, b = np.where(both, 0, a), np.where(both, 0, b)
    return a.tobytes() == b.tobytes()


@pytest.fixture(name="same_bits")
def same_bits_fixture() -> Callable[..., bool]:
    return same_bits
