"""Tensors as text, the way PyTorch prints them. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import BFLOAT16
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Array, Parameter, Tensor

PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
options: dict[str, Any] = PROFILES["default"] | {"sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors print: digits, the size from which they are cut, items at the edges, line width,
    1e-3 style.
    """
    if profile is not None:
        options.update(PROFILES[profile])
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    options.update({k: v for k, v in given.items() if v is not None})
    options["sci_mode"] = sci_mode


class _Style:
    """One width and notation for all the numbers of a tensor, chosen from those that are shown."""

    def __init__(self, values: Array) -> None:
        self.kind = values.dtype.kind
        self.whole = self.scientific = False
        flat = values.reshape(-1)
        if self.kind == "f":
            # as in PyTorch, zeros and what is not finite have no say in how numbers are written
            flat = flat[np.isfinite(flat) & (flat != 0)]
            self._choose_notation(np.abs(flat.astype(np.float64)))
        self.width = max((len(self.text(v)) for v in flat), default=1)

    def _choose_notation(self, nonzero: Array) -> None:
        self.whole = bool((nonzero == np.ceil(nonzero)).all())
        if not nonzero.size:
            return
        low, high = float(nonzero.min()), float(nonzero.max())
        wide = high / low > 1000 or high > 1e8
        self.scientific = wide if self.whole else wide or low < 1e-4
        if options["sci_mode"] is not None:
            self.scientific = options["sci_mode"]

    def text(self, value: Any) -> str:
        if self.kind == "b":
            return "True" if value else "False"
        if self.kind != "f":
            return str(value)
        if self.scientific:
            return f"{value:.{options['precision']}e}"
        if self.whole:
            return f"{value:.0f}." if np.isfinite(value) else str(float(value))
        return f"{value:.{options['precision']}f}"

    def padded(self, value: Any) -> str:
        return self.text(value).rjust(self.width)


class _ComplexStyle:
    """Real and imaginary part, each in its own style."""

    def __init__(self, values: Array) -> None:
        self.real, self.imaginary = _Style(values.real), _Style(np.abs(values.imag))

    def padded(self, value: Any) -> str:
        sign = "-" if math.copysign(1, value.imag) < 0 else "+"
        imaginary = self.imaginary.padded(abs(value.imag)).lstrip()
        return f"{self.real.padded(value.real)}{sign}{imaginary}j"


def _shown(values: Array) -> Array:
    """The elements that print: all, or the edges of each axis."""
    if values.size <= options["threshold"]:
        return values
    edge = options["edgeitems"]
    for axis, size in enumerate(values.shape):
        if size > 2 * edge:
            values = np.take(values, [*range(edge), *range(-edge, 0)], axis)
    return values


def _block(values: Array, style: Any, indent: int, cut: bool) -> str:
    if values.ndim == 0:
        return str(style.padded(values[()])).strip()
    edge = options["edgeitems"]
    skip = cut and values.shape[0] > 2 * edge
    if values.ndim == 1:
        return _row(values, style, indent, skip)
    parts = list(values) if not skip else [*values[:edge], None, *values[-edge:]]
    texts = ["..." if p is None else _block(p, style, indent + 1, cut) for p in parts]
    between = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
    return "[" + between.join(texts) + "]"


def _row(values: Array, style: Any, indent: int, skip: bool) -> str:
    edge = options["edgeitems"]
    if skip:
        words = (
            [style.padded(v) for v in values[:edge]]
            + [" ..."]
            + [style.padded(v) for v in values[-edge:]]
        )
    else:
        words = [style.padded(v) for v in values]
    width = max((len(w) for w in words), default=0) + 2
    per_line = max(1, (options["linewidth"] - indent) // width)
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def represent(self: Tensor) -> str:
    """tensor([[1., 2.]], dtype=..., requires_grad=True), as PyTorch prints it."""
    if self.array is None:
        return "tensor(<symbolic>)"  # type: ignore[unreachable]
    if stands_in(self.array):
        text = f"tensor({', '.join([repr(self.array), *_suffixes(self)])})"
        return f"Parameter containing:\n{text}" if isinstance(self, Parameter) else text
    ours = type(self) in (Tensor, Parameter) or issubclass(type(self), Parameter)
    head = "tensor(" if ours else f"{type(self).__name__}("
    values = dtypes.to_float32(self.array) if self.array.dtype == BFLOAT16 else self.array
    cut = values.size > options["threshold"]
    if values.size == 0:
        body = "[]"
    else:
        shown = _shown(values)
        style: Any = _ComplexStyle(shown) if values.dtype.kind == "c" else _Style(shown)
        body = _block(values, style, len(head), cut)
    text = head + ", ".join([body, *_suffixes(self)]) + ")"
    if isinstance(self, Parameter):
        return "Parameter containing:\n" + text
    return text


def _suffixes(x: Tensor) -> list[str]:
    made = []
    if x.array.size == 0 and x.array.ndim != 1 and not stands_in(x.array):
        made.append(f"size={tuple(x.array.shape)}")
    plain = (
        dtypes.default_dtype(),
        dtypes.int64,
        dtypes.bool_,
        dtypes.default_dtype().to_complex(),
    )
    empty = x.array.size == 0 and x.dtype is not dtypes.default_dtype()
    if x.dtype not in plain or empty:
        made.append(f"dtype={x.dtype!r}")
    if x.node is not None:
        made.append(f"grad_fn={x.node!r}")
    elif x.tracked:
        made.append("requires_grad=True")
    return made
