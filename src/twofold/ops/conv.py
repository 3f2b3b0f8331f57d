"""Convolution of images with its gradients, and pooling. Floor 4. NCHW; sums in the contract's
order (N4).

A convolution's three operations are each other's gradients: conv, its gradient by input (which is
also the transposed convolution) and its gradient by weights.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import whole
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.elementwise import conj
from twofold.ops.guarding import guard
from twofold.ops.op import NUMBER, Sample, define, wanted
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import operands
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import unsqueeze

ATTRS = ("stride", "padding", "dilation", "groups")


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Positions of a window of `kernel` taps along an axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _conv_type(
    x: Type, w: Type, *bias: Type, stride: Any, padding: Any, dilation: Any, groups: int
) -> Type:
    channels = w.shape[1] * groups
    if x.shape[1] != channels:
        hint = f"an input of shape [N, {channels}, ...]"
        if len(x.shape) > 3 and x.shape[-1] == channels:
            hint = f"input.movedim(-1, 1): {hint}"
        raise ShapeError(
            "conv",
            f"the input has {x.shape[1]} channels, the weight takes {channels}",
            hint=hint,
            input=x,
            weight=w,
        )
    sizes = tuple(map(out_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    if any(n <= 0 for n in sizes):
        raise ShapeError(
            "conv",
            f"the kernel is larger than the padded input (output {list(sizes)})",
            hint="a larger input, more padding, or a smaller kernel",
            input=x,
            weight=w,
        )
    return Type((x.shape[0], w.shape[0], *sizes), x.dtype)


def _pad(x: Any, padding: Any, value: float = 0) -> Any:
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), constant_values=value)


def _windows(x: Any, kernel: Any, stride: Any, dilation: Any, sizes: Any) -> Any:
    """x[N, C, *positions, *taps] as a view of the padded input."""
    steps = x.strides[2:]
    shape = (*x.shape[:2], *sizes, *kernel)
    strides = (*x.strides[:2], *(s * n for s, n in zip(stride, steps, strict=True)))
    strides += tuple(d * n for d, n in zip(dilation, steps, strict=True))
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _letters(rank: int) -> tuple[str, str]:
    return "xyz"[:rank], "ijk"[:rank]


def _conv(x: Any, w: Any, *bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    sizes = tuple(map(out_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    view = _windows(_pad(x, padding), w.shape[2:], stride, dilation, sizes)
    at, tap = _letters(len(sizes))
    view = view.reshape(x.shape[0], groups, x.shape[1] // groups, *view.shape[2:])
    grouped = w.reshape(groups, -1, *w.shape[1:])
    y = np.einsum(f"ngc{at}{tap},goc{tap}->ngo{at}", view, grouped, optimize=True)
    y = y.reshape(x.shape[0], w.shape[0], *sizes).astype(x.dtype, copy=False)
    return y + bias[0].reshape(1, -1, *(1,) * len(sizes)) if bias else y


def _conv_vjp(g: Tensor, out: Any, x: Any, w: Any, *bias: Any, **attrs: Any) -> Any:
    values = tuple(attrs[name] for name in ATTRS)
    gx = bind(CONV_INPUT_GRAD, (g, conj(w)), (*values, tuple(x.shape[2:]))) if wanted(x) else None
    gw = bind(CONV_WEIGHT_GRAD, (conj(x), g), (*values, tuple(w.shape[2:]))) if wanted(w) else None
    if not bias:
        return gx, gw
    return gx, gw, sum_(g, (0, *range(2, g.array.ndim))) if wanted(bias[0]) else None


def _conv_samples(random: Any) -> list[Sample]:
    cases = [
        ((2, 3, 6, 5), (4, 3, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
        ((1, 4, 7, 7), (6, 2, 3, 2), ((2, 1), (0, 1), (1, 1), 2)),
        ((2, 2, 8, 8), (2, 1, 3, 3), ((1, 2), (2, 2), (2, 2), 2)),
        ((1, 2, 4, 4), (3, 2, 1, 1), ((2, 2), (0, 0), (1, 1), 1)),
        ((0, 2, 4, 4), (3, 2, 2, 2), ((1, 1), (0, 0), (1, 1), 1)),
    ]
    made = [Sample((random.normal(size=x), random.normal(size=w), *attrs)) for x, w, attrs in cases]
    x, w, attrs = cases[0]
    return [
        *made,
        Sample((random.normal(size=x), random.normal(size=w), random.normal(size=w[0]), *attrs)),
    ]


CONV = define(
    "conv",
    inputs="x w *bias",
    attrs=ATTRS,
    doc="Cross-correlation of x[N, C, ...] with w[O, C / groups, ...], plus a bias per channel.",
    accepts=NUMBER,
    infer=_conv_type,
    ref=_conv,
    vjp=_conv_vjp,
    saves="x:w w:x",
    lower="conv",
    samples=_conv_samples,
    torch=False,
)


def _input_grad(
    g: Any, w: Any, *, stride: Any, padding: Any, dilation: Any, groups: int, size: Any
) -> Any:
    rank = len(size)
    channels = w.shape[1] * groups
    full = np.zeros(
        (g.shape[0], channels, *(n + 2 * p for n, p in zip(size, padding, strict=True))), g.dtype
    )
    split = g.reshape(g.shape[0], groups, g.shape[1] // groups, *g.shape[2:])
    grouped = w.reshape(groups, -1, *w.shape[1:])
    at, _ = _letters(rank)
    for tap in itertools.product(*map(range, w.shape[2:])):
        part = np.einsum(f"ngo{at},goc->ngc{at}", split, grouped[(..., *tap)], optimize=True)
        place = tuple(
            slice(t * d, t * d + s * (n - 1) + 1, s)
            for t, d, s, n in zip(tap, dilation, stride, g.shape[2:], strict=True)
        )
        if 0 not in g.shape[2:]:
            full[(slice(None), slice(None), *place)] += part.reshape(
                g.shape[0], channels, *g.shape[2:]
            )
    inside = tuple(slice(p, p + n) for p, n in zip(padding, size, strict=True))
    return np.ascontiguousarray(full[(slice(None), slice(None), *inside)])


def _input_grad_vjp(h: Tensor, out: Any, g: Any, w: Any, *, size: Any, **attrs: Any) -> Any:
    values = tuple(attrs[name] for name in ATTRS)
    gg = bind(CONV, (h, conj(w)), values) if wanted(g) else None
    gw = bind(CONV_WEIGHT_GRAD, (h, conj(g)), (*values, tuple(w.shape[2:]))) if wanted(w) else None
    return gg, gw


def _input_grad_type(
    g: Type, w: Type, *, stride: Any, padding: Any, dilation: Any, groups: int, size: Any
) -> Type:
    return Type((g.shape[0], w.shape[1] * groups, *size), g.dtype)


CONV_INPUT_GRAD = define(
    "conv_input_grad",
    inputs="g w",
    attrs=(*ATTRS, "size"),
    doc="The gradient of conv by its input, of image axes `size`: the transposed convolution.",
    accepts=NUMBER,
    infer=_input_grad_type,
    ref=_input_grad,
    vjp=_input_grad_vjp,
    saves="g:w w:g",
    lower="conv_input_grad",
    samples=lambda r: [
        Sample(
            (
                r.normal(size=(2, 4, 6, 5)),
                r.normal(size=(4, 3, 3, 3)),
                (1, 1),
                (1, 1),
                (1, 1),
                1,
                (6, 5),
            )
        ),
        Sample(
            (
                r.normal(size=(1, 6, 3, 8)),
                r.normal(size=(6, 2, 3, 2)),
                (2, 1),
                (0, 1),
                (1, 1),
                2,
                (7, 7),
            )
        ),
    ],
    torch=False,
)


def _weight_grad(
    x: Any, g: Any, *, stride: Any, padding: Any, dilation: Any, groups: int, kernel: Any
) -> Any:
    view = _windows(_pad(x, padding), kernel, stride, dilation, g.shape[2:])
    at, tap = _letters(len(kernel))
    view = view.reshape(x.shape[0], groups, x.shape[1] // groups, *view.shape[2:])
    split = g.reshape(g.shape[0], groups, g.shape[1] // groups, *g.shape[2:])
    made = np.einsum(f"ngc{at}{tap},ngo{at}->goc{tap}", view, split, optimize=True)
    return made.reshape(g.shape[1], x.shape[1] // groups, *kernel).astype(x.dtype, copy=False)


def _weight_grad_vjp(h: Tensor, out: Any, x: Any, g: Any, *, kernel: Any, **attrs: Any) -> Any:
    values = tuple(attrs[name] for name in ATTRS)
    gx = bind(CONV_INPUT_GRAD, (conj(g), h), (*values, tuple(x.shape[2:]))) if wanted(x) else None
    gg = bind(CONV, (conj(x), h), values) if wanted(g) else None
    return gx, gg


def _weight_grad_type(
    x: Type, g: Type, *, stride: Any, padding: Any, dilation: Any, groups: int, kernel: Any
) -> Type:
    return Type((g.shape[1], x.shape[1] // groups, *kernel), x.dtype)


CONV_WEIGHT_GRAD = define(
    "conv_weight_grad",
    inputs="x g",
    attrs=(*ATTRS, "kernel"),
    doc="The gradient of conv by its weight, whose taps have the sizes `kernel`.",
    accepts=NUMBER,
    infer=_weight_grad_type,
    ref=_weight_grad,
    vjp=_weight_grad_vjp,
    saves="x:g g:x",
    lower="conv_weight_grad",
    samples=lambda r: [
        Sample(
            (
                r.normal(size=(2, 3, 6, 5)),
                r.normal(size=(2, 4, 6, 5)),
                (1, 1),
                (1, 1),
                (1, 1),
                1,
                (3, 3),
            )
        ),
        Sample(
            (
                r.normal(size=(1, 4, 7, 7)),
                r.normal(size=(1, 6, 3, 8)),
                (2, 1),
                (0, 1),
                (1, 1),
                2,
                (3, 2),
            )
        ),
    ],
    torch=False,
)


def per_axis(op: str, name: str, value: Any, rank: int) -> tuple[int, ...]:
    """A number for every axis, or one number for all. Raises ArgumentError."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
    if len(values) == 1:
        values *= rank
    if len(values) != rank or not all(isinstance(v, int | np.integer) for v in values):
        raise ArgumentError(op, f"{name} = {value!r}", hint=f"an integer, or {rank} of them")
    least = LEAST.get(name)
    if least is not None and any(v < least for v in values):
        raise ArgumentError(op, f"{name} = {value!r}", hint=f"{least} or more")
    return tuple(map(whole, values))


LEAST = {"kernel_size": 1, "stride": 1, "dilation": 1, "padding": 0, "output_padding": 0}


def check_image(op: str, x: Any, rank: int) -> None:
    """Refuse images (or signals, or volumes) of no pixels: the last `rank` axes have some.
    Raises ShapeError.
    """
    if any(type(n) is int and n == 0 for n in x.array.shape[-rank:]):
        raise ShapeError(
            op, "the input has an image axis of size 0", hint="1 or more", input=type_of(x)
        )


def check_axes(op: str, x: Tensor, w: Tensor, rank: int) -> None:
    if w.array.ndim != rank + 2 or x.array.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            op,
            f"{rank + 2} axes are wanted (or {rank + 1} without the batch)",
            hint=image_hint(rank),
            input=type_of(x),
            weight=type_of(w),
        )


def convolution(
    op: str,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    rank: int,
) -> Tensor:
    """Convolution with `rank` image axes; an input without the batch axis is a batch of one."""
    x, w, *rest = operands(op, input, weight, *([] if bias is None else [bias]))
    check_axes(op, x, w, rank)
    check_image(op, x, rank)
    single = x.array.ndim == rank + 1
    x = x.unsqueeze(0) if single else x  # type: ignore[attr-defined]
    steps, dilations = (
        per_axis(op, "stride", stride, rank),
        per_axis(op, "dilation", dilation, rank),
    )
    x, around = padded(op, x, w, padding, steps, dilations, rank)
    attrs = (steps, around, dilations, int(groups))
    check_groups(op, x, w, rest, groups)
    if rank == 1:
        made = _in_two_axes(x, w, rest, attrs)
    else:
        made = bind(CONV, (x, w, *rest), attrs)
    return made.squeeze(0) if single else made  # type: ignore[attr-defined]


def _in_two_axes(x: Tensor, w: Tensor, bias: list[Tensor], attrs: Any) -> Tensor:
    stride, padding, dilation, groups = attrs
    flat = ((1, *stride), (0, *padding), (1, *dilation), groups)
    made = bind(CONV, (x.unsqueeze(2), w.unsqueeze(2), *bias), flat)  # type: ignore[attr-defined]
    return made.squeeze(2)  # type: ignore[no-any-return]


def check_groups(op: str, x: Tensor, w: Tensor, bias: list[Tensor], groups: int) -> None:
    if groups < 1 or w.array.shape[0] % groups:
        raise ArgumentError(
            op,
            f"{w.array.shape[0]} output channels do not split into {groups} groups",
            hint="a number of groups that divides both kinds of channels",
        )
    if bias and bias[0].array.shape != w.array.shape[:1]:
        count = w.array.shape[0]
        raise ShapeError(
            op,
            f"bias must have {count} elements",
            hint=f"a bias of shape [{count}]",
            bias=type_of(bias[0]),
        )


def image_hint(rank: int) -> str:
    """The axes of images with `rank` axes of pixels, in words."""
    return f"[N, C, {', '.join('DHW'[-rank:])}]: x.unsqueeze(0) adds the batch, or the channel"


def padded(
    op: str,
    x: Tensor,
    w: Tensor,
    padding: Any,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    rank: int,
) -> tuple[Tensor, tuple[int, ...]]:
    """The input and the symmetric padding, from numbers, 'valid' or 'same'."""
    if padding == "valid":
        return x, (0,) * rank
    if padding != "same":
        return x, per_axis(op, "padding", padding, rank)
    if any(s != 1 for s in stride):
        raise ArgumentError(op, "padding='same' needs stride 1", hint="numbers for padding")
    sides = same_sides(w.array.shape[2:], dilation)
    if all(before == after for before, after in sides):
        return x, tuple(before for before, _ in sides)
    flat = [side for pair in reversed(sides) for side in pair]
    return x.pad(flat), (0,) * rank  # type: ignore[attr-defined]


def same_sides(kernel: Any, dilation: Any) -> list[tuple[int, int]]:
    """What padding='same' puts before and after each axis, so that stride 1 keeps the sizes."""
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return [(n // 2, n - n // 2) for n in total]


def transposed(
    op: str,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    rank: int,
) -> Tensor:
    """The transposed convolution: conv's gradient by input as an operation of its own."""
    x, w = operands(op, input, weight)
    check_axes(op, x, w, rank)
    check_image(op, x, rank)
    single = x.array.ndim == rank + 1
    x = x.unsqueeze(0) if single else x  # type: ignore[attr-defined]
    if x.array.shape[1] != w.array.shape[0]:
        raise ShapeError(
            op,
            f"the input has {x.array.shape[1]} channels, the weight takes {w.array.shape[0]}",
            hint=f"an input of shape [N, {w.array.shape[0]}, ...]",
            input=type_of(x),
            weight=type_of(w),
        )
    names = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "output_padding": output_padding,
    }
    s, p, d, extra = (per_axis(op, k, v, rank) for k, v in names.items())
    if any(e >= n for e, n in zip(extra, s, strict=True)):
        # a whole step more at the end is a zero more there, of which its gradient knows
        further = [
            0 if i % 2 == 0 else extra[-1 - i // 2] // s[-1 - i // 2] for i in range(2 * rank)
        ]
        x = x.pad(further)  # type: ignore[union-attr]
        extra = tuple(e % n for e, n in zip(extra, s, strict=True))
    size = tuple(
        (n - 1) * s[i] - 2 * p[i] + d[i] * (w.array.shape[2 + i] - 1) + extra[i] + 1
        for i, n in enumerate(x.array.shape[2:])
    )
    if rank == 1:
        attrs = ((1, *s), (0, *p), (1, *d), groups, (1, *size))
        made = bind(CONV_INPUT_GRAD, (unsqueeze(x, 2), unsqueeze(w, 2)), attrs).squeeze(2)
    else:
        made = bind(CONV_INPUT_GRAD, (x, w), (s, p, d, groups, size))
    if bias is not None:
        made = made + bias.reshape(1, -1, *(1,) * rank)
    return made.squeeze(0) if single else made  # type: ignore[no-any-return]


guard(globals())
