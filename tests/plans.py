"""Plans, patterns and arrays for the tests of entries."""

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import Code
from twofold.runtime.program import Count, In, Out, Pattern, Plan, Step

F4, F8, I8 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8")


def out(shape: tuple[int, ...], dtype: np.dtype = F4) -> Type:
    return Type(shape, dtypes.of(dtype))


def add_of(kernels: Code, count: int, size: int = 4, chunks: int = 1) -> Plan:
    task = kernels.address(f"add{size}")
    return Plan((Step(task, (Out(0), In(0), In(1), count), chunks),))


def nothing(entry: object, *arrays: Any) -> str:
    return "miss"


def rand(*shape: int, dtype: np.dtype = F4, seed: int = 7) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def pattern_of(kernels: Code, name: str, inputs: tuple[Any, ...], dtype: np.dtype, small: int = 8):
    job = (Out(0), In(0), In(1), Count())
    return Pattern(inputs, (dtype,), Plan((Step(kernels.address(name), job, 0),)), small)
