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
from twofold.ops.tensor import Tensor

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
    rest = (rtol, atol, equal_nan, check_dtype, check_stride)
    complaint = _compare("", actual, expected, *rest)
    if complaint:
        raise AssertionError(msg(complaint) if callable(msg) else msg or complaint)


def _compare(place: str, a: Any, b: Any, *rest: Any) -> str:
    """What differs, and where; nothing if nothing does."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            missing = [k for k in b if k not in a]
            more = [k for k in a if k not in b]
            text = "The keys of the mappings do not match:"
            text += f"\nMissing keys in the actual mapping: {missing}" if missing else ""
            text += f"\nAdditional keys in the actual mapping: {more}" if more else ""
            return _at(place, text)
        return _first(_compare(f"{place}[{k!r}]", a[k], b[k], *rest) for k in a)
    if _is_list(a) and _is_list(b):
        if len(a) != len(b):
            return _at(place, f"The length of the sequences mismatch: {len(a)} != {len(b)}")
        return _first(
            _compare(f"{place}[{i}]", x, y, *rest)
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        )
    if a is None and b is None:
        return ""
    if isinstance(a, float | complex) and isinstance(b, float | complex):
        wide = dtypes.complex128 if isinstance(a, complex) else dtypes.float64
        a, b = tensor(a, dtype=wide), tensor(b, dtype=wide)
    return _at(place, _compare_tensors(as_tensor(a), as_tensor(b), *rest))


def _at(place: str, text: str) -> str:
    return f"{text}\n\nThe failure occurred for item {place}" if text and place else text


def _is_list(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str | bytes)


def _first(complaints: Any) -> str:
    return next((each for each in complaints if each), "")


def _compare_tensors(
    a: Tensor, b: Tensor, rtol: Any, atol: Any, nan: bool, dtype: bool, stride: bool
) -> str:
    facts: list[tuple[str, Any, Any]] = [("shape", a.shape, b.shape)]
    facts += [("dtype", a.dtype, b.dtype)] if dtype else []
    facts += [("stride()", a.stride(), b.stride())] if stride else []  # type: ignore[attr-defined]
    for name, x, y in facts:
        if x != y:
            return f"The values for attribute '{name}' do not match: {x} != {y}."
    kinds = [TOLERANCES.get(x.dtype, (0.0, 0.0)) for x in (a, b)]
    if rtol is None:
        rtol, atol = max(k[0] for k in kinds), max(k[1] for k in kinds)
    wide = np.complex128 if a.array.dtype.kind == "c" else np.float64
    exact = a.dtype.kind in "iub" and b.dtype.kind in "iub"
    x, y = (t.array if exact else _values(t).astype(wide) for t in (a, b))
    same = x == y if exact and not rtol and not atol else np.isclose(x, y, rtol, atol, nan)
    wrong = ~np.asarray(same).reshape(a.shape)
    if not wrong.any():
        return ""
    return _mismatch(_numbers(a), _numbers(b), wrong, rtol, atol)


def _mismatch(x: Any, y: Any, wrong: Any, rtol: float, atol: float) -> str:
    """How far the numbers are apart, in PyTorch's words."""
    kind = "close" if rtol or atol else "equal"
    allowed = [f" (up to {limit} allowed)" if kind == "close" else "" for limit in (atol, rtol)]
    with np.errstate(all="ignore"):
        absolute = np.abs(x - y)
        relative = np.asarray(absolute / np.abs(y), np.float32 if x.dtype.kind in "iu" else None)
    if not x.ndim:
        return (
            f"Scalars are not {kind}!\n\nExpected {y.item()} but got {x.item()}.\n"
            f"Absolute difference: {absolute.item()}{allowed[0]}\n"
            f"Relative difference: {relative.item()}{allowed[1]}"
        )
    lines = [f"Mismatched elements: {wrong.sum()} / {wrong.size} ({wrong.mean():.1%})"]
    for name, values, limit in (
        ("absolute", absolute, allowed[0]),
        ("relative", relative, allowed[1]),
    ):
        values = np.where(wrong, values, 0)
        at = tuple(int(n) for n in np.unravel_index(np.argmax(values), values.shape))
        lines.append(f"Greatest {name} difference: {values[at].item()} at index {at}{limit}")
    return f"Tensor-likes are not {kind}!\n\n" + "\n".join(lines)


def _numbers(x: Tensor) -> Any:
    """Its values, as differences are taken of them."""
    values = np.asarray(_values(x))
    return values.astype(np.int64) if values.dtype.kind in "biu" else values


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
