"""Batch rules of products, convolutions, pooling and normalisations. Floor 4.

The batch joins an axis over which the operation does not sum: rows, images, channels, groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.ops.batch_shapes import all_on, batched, in_rank, moved
from twofold.ops.bind import bind
from twofold.ops.elementwise import add, mul
from twofold.ops.linalg import matmul
from twofold.ops.movement import reshape, transpose
from twofold.ops.op import Op
from twofold.ops.reduce import sum as sum_
from twofold.ops.tensor import Tensor

On = tuple[bool, ...]


# ---- products


def _linear(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    x, w, *bias = xs
    if not any(on[1:]):
        return bind(op, xs, attrs)
    if on[1]:
        lead = x.array.shape[on[0] : -1]
        rows = reshape(x, (*x.array.shape[: on[0]], -1, x.array.shape[-1])) if x.array.size else x
        made = reshape(matmul(rows, transpose(w, -1, -2)), (lanes, *lead, w.array.shape[1]))
    else:
        made = bind(op, (batched(lanes, on[0], x), w), attrs)
    if not bias:
        return made
    return add(made, in_rank(bias[0], on[2], made.array.ndim - 1))


# ---- convolutions


def _into_rows(x: Tensor) -> Tensor:
    """[B, N, ...] -> [B N, ...]."""
    shape = x.array.shape
    return reshape(x, (shape[0] * shape[1], *shape[2:]))


def _from_rows(x: Tensor, lanes: int) -> Tensor:
    """[B N, ...] -> [B, N, ...]."""
    shape = x.array.shape
    return reshape(x, (lanes, shape[0] // max(lanes, 1), *shape[1:]))


def _into_channels(x: Tensor) -> Tensor:
    """[B, N, C, ...] -> [N, B C, ...]."""
    shape = x.array.shape
    return reshape(moved(x, 0, 1), (shape[1], shape[0] * shape[2], *shape[3:]))


def _from_channels(x: Tensor, lanes: int) -> Tensor:
    """[N, B C, ...] -> [B, N, C, ...]."""
    shape = x.array.shape
    split = reshape(x, (shape[0], lanes, shape[1] // max(lanes, 1), *shape[2:]))
    return moved(split, 1, 0)


def _conv(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    x, w, *bias = xs
    stride, padding, dilation, groups = attrs
    if not any(on[1:]):
        return _from_rows(bind(op, (_into_rows(x), w, *bias), attrs), lanes)
    if on[1]:
        planes = _into_channels(batched(lanes, on[0], x))
        wide = (stride, padding, dilation, groups * lanes)
        made = _from_channels(bind(op, (planes, _into_rows(w)), wide), lanes)
    else:
        made = _from_rows(bind(op, (_into_rows(batched(lanes, on[0], x)), w), attrs), lanes)
    if not bias:
        return made
    b = batched(lanes, on[2], bias[0])
    return add(made, reshape(b, (lanes, 1, b.array.shape[1], *(1,) * (made.array.ndim - 3))))


def _conv_input_grad(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    g, w = xs
    if not on[1]:
        return _from_rows(bind(op, (_into_rows(g), w), attrs), lanes)
    stride, padding, dilation, groups, size = attrs
    planes = _into_channels(batched(lanes, on[0], g))
    wide = (stride, padding, dilation, groups * lanes, size)
    return _from_channels(bind(op, (planes, _into_rows(w)), wide), lanes)


def _conv_weight_grad(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    stride, padding, dilation, groups, kernel = attrs
    x, g = (_into_channels(v) for v in all_on(lanes, on, xs))
    wide = (stride, padding, dilation, groups * lanes, kernel)
    return _from_rows(bind(op, (x, g), wide), lanes)


# ---- pooling, and others whose first axis is rows


def _weighted_rows(count: int) -> Callable[..., Any]:
    """Inputs whose first axis is rows; those from number `count` on are shared by the lanes."""

    def rule(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
        if any(on[count:]):
            return NotImplemented
        rows = map(_into_rows, all_on(lanes, on[:count], xs[:count]))
        made = bind(op, (*rows, *xs[count:]), attrs)
        if isinstance(made, tuple):
            return tuple(_from_rows(x, lanes) for x in made)
        return _from_rows(made, lanes)

    return rule


def _rows(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """The batch joins the first axis of every input and result."""
    return _weighted_rows(len(xs))(op, lanes, on, xs, attrs)


def _steps(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """Sequences [L, N, ...] and rows [N, ...]: the batch joins N; lanes share the weights."""
    names = op.inputs + op.inputs[-1:] * len(xs)
    shared = [name in ("weight", "*bias") for name in names[: len(xs)]]
    if any(s and b for s, b in zip(shared, on, strict=True)):
        return NotImplemented
    inputs = []
    for x, s, b in zip(xs, shared, on, strict=True):
        full = x if s else batched(lanes, b, x)
        steps = not s and full.array.ndim == 4
        inputs.append(x if s else _into_channels(full) if steps else _into_rows(full))
    made = bind(op, tuple(inputs), attrs)
    outs = made if isinstance(made, tuple) else (made,)
    apart = [_from_channels(x, lanes) if x.array.ndim == 3 else _from_rows(x, lanes) for x in outs]
    return tuple(apart) if isinstance(made, tuple) else apart[0]


# ---- normalisations


def _batch_norm(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """The batch joins the channels: images as [N, B C, ...], one number a channel as [B C]."""
    inputs = []
    for x, b in zip(xs, on, strict=True):
        full = batched(lanes, b, x)
        inputs.append(_into_rows(full) if full.array.ndim == 2 else _into_channels(full))
    made = bind(op, tuple(inputs), attrs)
    if not isinstance(made, tuple):
        return _from_channels(made, lanes)
    return tuple(
        _from_rows(x, lanes) if x.array.ndim == 1 else _from_channels(x, lanes) for x in made
    )


def _batch_norm_inference(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    if any(on[1:]):
        return _batch_norm(op, lanes, on, xs, attrs)
    return _from_rows(bind(op, (_into_rows(xs[0]), *xs[1:]), attrs), lanes)


def _by_row(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """layer_norm and rms_norm: x [..., last], then weights of the last axes."""
    x, *affine = xs
    x = batched(lanes, on[0], x)
    if not any(on[1:]):
        return bind(op, (x, *affine), attrs)
    made = bind(op, (x,), attrs)
    y, *rest = made if isinstance(made, tuple) else (made,)
    for place, (value, b) in enumerate(zip(affine, on[1:], strict=True)):
        wide = in_rank(value, b, x.array.ndim - 1)
        y = add(y, wide) if place else mul(y, wide)
    return (y, *rest) if isinstance(made, tuple) else y


def _by_row_backward(count: int) -> Callable[..., Any]:
    """The gradient by x; a batched weight (input number `count`) goes into g."""

    def rule(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
        g, *rest = all_on(lanes, on[:count], xs[:count])
        weight = xs[count:]
        if weight and on[count]:
            g, weight = mul(g, in_rank(weight[0], True, g.array.ndim - 1)), ()
        return bind(op, (g, *rest, *weight), attrs)

    return rule


def _row_sums(x: Tensor, rank: int) -> Tensor:
    """Summed over all axes between the batch and the last `rank`."""
    rows = tuple(range(1, x.array.ndim - rank))
    return sum_(x, rows) if rows else x


def _layer_norm_affine_backward(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    g, x, mean, rstd = all_on(lanes, on, xs)
    wide = (*mean.array.shape, *(1,) * attrs[0])
    xhat = mul(x - reshape(mean, wide), reshape(rstd, wide))  # type: ignore[operator]
    return _row_sums(mul(g, xhat), attrs[0]), _row_sums(g, attrs[0])


def _rms_norm_weight_backward(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    g, x, rstd = all_on(lanes, on, xs)
    xhat = mul(x, reshape(rstd, (*rstd.array.shape, *(1,) * attrs[0])))
    return _row_sums(mul(g, xhat), attrs[0])


KERNELS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "cross_entropy": _weighted_rows(2),
    "cross_entropy_backward": _weighted_rows(4),
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "batch_norm": _batch_norm,
    "batch_norm_backward": _batch_norm,
    "batch_norm_inference": _batch_norm_inference,
    "layer_norm": _by_row,
    "layer_norm_backward": _by_row_backward(4),
    "layer_norm_affine_backward": _layer_norm_affine_backward,
    "rms_norm": _by_row,
    "rms_norm_backward": _by_row_backward(3),
    "rms_norm_weight_backward": _rms_norm_weight_backward,
}
ROWS = """
    avg_pool avg_pool_backward grid_sample grid_sample_by_grid grid_sample_by_input
    gru_cell gru_cell_backward lstm_cell lstm_cell_backward max_pool max_pool_backward
    max_pool_with_indices
"""
STEPS = """
    ctc_loss ctc_loss_backward gru_sequence gru_sequence_backward lstm_sequence
    lstm_sequence_backward
"""
KERNELS |= {name: _rows for name in ROWS.split()}
KERNELS |= {name: _steps for name in STEPS.split()}
