"""Comparisons for tests: assert_close. Floor 11."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.ops.creation import as_tensor
from twofold.ops.tensor import Tensor, type_of

__all__ = ["assert_allclose", "assert_close"]

# (rtol, atol) for each type; PyTorch's numbers, which its users' tests count on.
TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
    dtypes.complex64: (1.3e-6, 1e-5),
    dtypes.complex128: (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Tensors, arrays and numbers, in lists, tuples and dicts; shapes and types must agree too.
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError("assert_close", "rtol and atol go together", hint="both, or neither")
    complaint = _compare("", actual, expected, rtol, atol, equal_nan, check_dtype)
    if complaint:
        raise AssertionError(msg(complaint) if callable(msg) else msg or complaint)


def _compare(place: str, a: Any, b: Any, rtol: Any, atol: Any, nan: bool, dtype: bool) -> str:
    """What differs, and where; nothing if nothing does."""
    rest = (rtol, atol, nan, dtype)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            return f"the keys{place} differ: {list(a)} and {list(b)}"
        return _first(_compare(f"{place}[{k!r}]", a[k], b[k], *rest) for k in a)
    if _is_list(a) and _is_list(b):
        if len(a) != len(b):
            return f"the lengths{place} differ: {len(a)} and {len(b)}"
        return _first(
            _compare(f"{place}[{i}]", x, y, *rest)
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        )
    return _compare_tensors(place, as_tensor(a), as_tensor(b), *rest)


def _is_list(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str | bytes)


def _first(complaints: Any) -> str:
    return next((each for each in complaints if each), "")


def _compare_tensors(
    place: str, a: Tensor, b: Tensor, rtol: Any, atol: Any, nan: bool, dtype: bool
) -> str:
    if a.shape != b.shape or (dtype and a.dtype is not b.dtype):
        return f"the tensors{place} differ in kind: {type_of(a)} and {type_of(b)}"
    kinds = [TOLERANCES.get(x.dtype, (0.0, 0.0)) for x in (a, b)]
    if rtol is None:
        rtol, atol = max(k[0] for k in kinds), max(k[1] for k in kinds)
    wide = np.complex128 if a.array.dtype.kind == "c" else np.float64
    exact = a.dtype.kind in "iub" and b.dtype.kind in "iub"
    x, y = (t.array if exact else _values(t).astype(wide) for t in (a, b))
    same = x == y if exact and not rtol and not atol else np.isclose(x, y, rtol, atol, nan)
    wrong = np.argwhere(~np.asarray(same).reshape(a.shape))
    if not len(wrong):
        return ""
    at = tuple(wrong[0].tolist())
    return (
        f"the tensors{place} differ in {len(wrong)} of {a.array.size} elements, first at {at}: "
        f"{x[at]} and {y[at]} (rtol {rtol:g}, atol {atol:g})"
    )


def _values(x: Tensor) -> Any:
    return dtypes.to_float32(x.array) if x.dtype is dtypes.bfloat16 else x.array


def assert_allclose(actual: Any, expected: Any, rtol: Any = None, atol: Any = None) -> None:
    """The older name; types may differ."""
    assert_close(actual, expected, rtol=rtol, atol=atol, check_dtype=False)
