"""For tests: assert_close compares, make_tensor draws. Floor 11."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.ops.compare import where
from twofold.ops.complexes import complex as complex_
from twofold.ops.creation import as_tensor, tensor
from twofold.ops.random import rand, randint
from twofold.ops.tensor import Tensor, type_of

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

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


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of numbers drawn evenly from low to high: -9 to 9 (uint8: 0 to 9, bool: both) where
    they are not told, high not among whole numbers.

    With exclude_zero zeros become 1 or the smallest normal number; noncontiguous leaves gaps in
    the memory. Raises ArgumentError where low is not below high.
    """
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    kind = dtypes.as_dtype(dtype)
    wide = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes else tuple(sizes)
    made = _drawn(wide, kind, *_bounds(kind, low, high))
    if noncontiguous and sizes:
        made = made[..., ::2]  # type: ignore[index]
    if exclude_zero:
        least = 1 if kind.kind in "bui" else np.finfo(np.float32).tiny
        made = where(made == 0, tensor(least, dtype=kind), made)
    made = made.to(device) if device is not None else made  # type: ignore[attr-defined]
    return made.requires_grad_() if requires_grad else made  # type: ignore[attr-defined, no-any-return]


def _bounds(kind: Any, low: Any, high: Any) -> tuple[Any, Any]:
    usual = (0, 2) if kind is dtypes.bool_ else (0 if kind.kind == "u" else -9, 10)
    usual = usual if kind.kind in "bui" else (-9, 9)
    first, last = usual[0] if low is None else low, usual[1] if high is None else high
    if not first < last:
        raise ArgumentError("make_tensor", f"low {first} is not below high {last}")
    return first, last


def _drawn(sizes: Any, kind: Any, low: Any, high: Any) -> Tensor:
    if kind.kind in "bui":
        return randint(math.floor(low), math.ceil(high), tuple(sizes)).to(kind)  # type: ignore[attr-defined, no-any-return]
    if kind.is_complex:
        parts = [_drawn(sizes, kind.to_real(), low, high) for _ in range(2)]
        return complex_(*parts)
    return (rand(*sizes, dtype=dtypes.float64) * (high - low) + low).to(kind)  # type: ignore[operator, attr-defined, no-any-return]
