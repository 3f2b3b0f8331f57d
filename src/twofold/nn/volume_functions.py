"""Convolution of volumes, by that of images. Floor 10. NCDHW.

The layers under a window become channels, so that each element is one chain over (channel, layer,
row, column): the contract's order (DESIGN.md, N4).
"""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ShapeError
from twofold.ops.bind import bind
from twofold.ops.conv import check_image, convolution, padded, per_axis, transposed
from twofold.ops.guarding import guard
from twofold.ops.padding import pad
from twofold.ops.rules import operands
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import FOLD, unfold


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """input f[N, C, D, H, W], weight f[O, C / groups, KD, KH, KW] -> f[N, O, D', H', W']. padding:
    numbers, 'same', 'valid'.
    """
    op = "conv3d"
    x, w, s, d = _volumes(op, input, weight, stride, dilation)
    alone = x.ndim == 4
    x = x.unsqueeze(0) if alone else x
    x, p = padded(op, x, w, padding, s, d, 3)
    if x.shape[1] != w.shape[1] * groups:
        problem = f"the input has {x.shape[1]} channels, the weight takes {w.shape[1] * groups}"
        raise ShapeError(op, problem, input=type_of(x), weight=type_of(w))
    if p[0]:
        x = pad(x, (0, 0, 0, 0, p[0], p[0]))
    span = d[0] * (w.shape[2] - 1) + 1
    if x.shape[2] < span:
        problem = "the kernel is larger than the padded input"
        raise ShapeError(op, problem, input=type_of(x), weight=type_of(w))
    windows: Any = unfold(x, 2, span, s[0])
    windows = windows[..., :: d[0]] if d[0] > 1 else windows
    n, c, depth, height, width, layers = windows.shape
    flat = windows.permute(0, 2, 1, 5, 3, 4).reshape(n * depth, c * layers, height, width)
    filters = w.reshape(w.shape[0], w.shape[1] * layers, *w.shape[3:])
    made: Any = convolution(op, flat, filters, bias, s[1:], p[1:], d[1:], groups, 2)
    made = made.reshape(n, depth, *made.shape[1:]).transpose(1, 2)
    return made.squeeze(0) if alone else made  # type: ignore[no-any-return]


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """input f[N, C, D, H, W], weight f[C, O / groups, KD, KH, KW] -> f[N, O, D', H', W']."""
    op = "conv_transpose3d"
    x, w, s, d = _volumes(op, input, weight, stride, dilation)
    p = per_axis(op, "padding", padding, 3)
    extra = per_axis(op, "output_padding", output_padding, 3)
    alone = x.ndim == 4
    x = x.unsqueeze(0) if alone else x
    if x.shape[1] != w.shape[0]:
        problem = f"the input has {x.shape[1]} channels, the weight takes {w.shape[0]}"
        raise ShapeError(op, problem, input=type_of(x), weight=type_of(w))
    n, c, depth, height, width = x.shape
    layers, outputs = w.shape[2], w.shape[1] * groups
    flat = x.transpose(1, 2).reshape(n * depth, c, height, width)
    filters = w.reshape(w.shape[0], w.shape[1] * layers, *w.shape[3:])
    rest = (s[1:], p[1:], extra[1:], groups, d[1:])
    planes: Any = transposed(op, flat, filters, None, *rest, 2)
    planes = planes.reshape(n, depth, outputs, layers, *planes.shape[2:]).permute(0, 2, 1, 4, 5, 3)
    span = d[0] * (layers - 1) + 1
    if d[0] > 1:
        spread = planes.unsqueeze(-1).pad((0, d[0] - 1))
        planes = spread.reshape(*planes.shape[:-1], layers * d[0])[..., :span]
    full = (depth - 1) * s[0] + span
    made = bind(FOLD, (planes,), ((n, outputs, full, *planes.shape[3:5]), 2, span, s[0]))
    made = made.pad((0, 0, 0, 0, -p[0], extra[0] - p[0]))
    if bias is not None:
        made = made + bias.reshape(-1, 1, 1, 1)
    return made.squeeze(0) if alone else made  # type: ignore[no-any-return]


def _volumes(op: str, input: Any, weight: Any, stride: Any, dilation: Any) -> tuple[Any, ...]:
    x, w = operands(op, input, weight)
    if x.array.ndim not in (4, 5) or w.array.ndim != 5:
        hint = "input [N, C, D, H, W], weight [O, C, KD, KH, KW]"
        facts = {"input": type_of(x), "weight": type_of(w)}
        raise ShapeError(op, "the axes do not fit", hint=hint, **facts)
    check_image(op, x, 3)
    return x, w, per_axis(op, "stride", stride, 3), per_axis(op, "dilation", dilation, 3)


guard(globals())
