"""All steps of an LSTM or a GRU as one operation, each way. Floor 4.

The inputs' projections of all steps are given; the operation runs what depends on the last state,
and its gradient by the projections of all steps lies in one piece, so that the weights' gradient is
one product. The bits are those of `lstm_cell` and `gru_cell` step by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.guarding import guard
from twofold.ops.joining import cat, stack
from twofold.ops.linalg import matmul
from twofold.ops.linear import linear
from twofold.ops.movement import reshape, transpose
from twofold.ops.op import FLOAT, Sample, define, wanted
from twofold.ops.reduce import sum as sum_
from twofold.ops.tensor import Tensor


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _order(steps: int, reverse: bool) -> range:
    return range(steps - 1, -1, -1) if reverse else range(steps)


def _before(first: Any, later: Any, reverse: bool) -> Any:
    """What each step began with (NumPy): `first`, then what the step before it gave."""
    rest = later[1:] if reverse else later[:-1]
    return np.concatenate([rest, first[None]] if reverse else [first[None], rest])


def _recurrent(h: Any, weight: Any, bias: tuple[Any, ...]) -> Any:
    made = np.matmul(h, weight.T)
    return made + bias[0] if bias else made


def _weight_gradients(
    g: Tensor, weight: Any, bias: tuple[Any, ...], h: Tensor, hs: Tensor, reverse: bool
) -> tuple[Any, ...]:
    """The gradients by weight and bias, from those by the products of all steps."""
    rows = reshape(g, (-1, g.array.shape[-1]))
    gw = None
    if wanted(weight):
        one = reshape(h, (1, *h.array.shape))
        rest = hs[1:] if reverse else hs[:-1]  # type: ignore[index]
        before = cat([rest, one] if reverse else [one, rest])
        flat = reshape(before, (-1, h.array.shape[-1]))
        gw = matmul(transpose(rows, 0, 1), flat)
    return gw, tuple(sum_(rows, 0) if wanted(b) else None for b in bias)


def _check(
    op: str, gates: int, projected: Type, weight: Type, bias: tuple[Type, ...], **states: Type
) -> None:
    steps, rows, width = projected.shape
    if not steps:
        raise ShapeError(op, "there are no steps", hint="one or more", projected=projected)
    size = states["h"].shape[-1]
    wanted = (gates * size, size)
    fits = all(state.shape == (rows, size) for state in states.values())
    fits = fits and all(b.shape == wanted[:1] for b in bias)
    if not fits or weight.shape != wanted or width != wanted[0]:
        form = f"projected [L, N, {gates} H], weight [{gates} H, H], bias [{gates} H]"
        raise ShapeError(
            op,
            "the sizes do not fit",
            hint=f"{form}, {' and '.join(states)} [N, H]",
            projected=projected,
            weight=weight,
            **{f"bias{i or ''}": b for i, b in enumerate(bias)},
            **states,
        )


# ---- LSTM


def _lstm(projected: Any, weight: Any, h: Any, c: Any, *bias: Any, reverse: bool) -> Any:
    dtype = projected.dtype
    hs = np.empty((*projected.shape[:2], h.shape[-1]), dtype)
    cs, acts = np.empty_like(hs), np.empty_like(projected)
    for t in _order(len(projected), reverse):
        i, f, g, o = np.split(projected[t] + _recurrent(h, weight, bias), 4, axis=-1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        c = (f * c + i * g).astype(dtype)
        h = (o * np.tanh(c)).astype(dtype)
        hs[t], cs[t], acts[t] = h, c, np.concatenate([i, f, g, o], -1)
    return hs, cs, acts


def _lstm_type(projected: Type, weight: Type, h: Type, c: Type, *bias: Type, reverse: bool) -> Any:
    _check("lstm_sequence", 4, projected, weight, bias, h=h, c=c)
    states = projected.with_shape((*projected.shape[:2], h.shape[-1]))
    return states, states, projected


def _lstm_vjp(
    g: Any, out: Any, projected: Any, weight: Any, h: Any, c: Any, *bias: Any, reverse: bool
) -> Any:
    gh, gc, gacts = g
    if mode.grad or gacts is not None:
        gates, first_h, first_c, hs = _lstm_gradients(
            g, projected, weight, h, c, bias, reverse=reverse
        )
    else:
        hs, cs, acts = out
        given = [x for x in (gh, gc) if x is not None]
        attrs = (reverse, gh is not None, gc is not None)
        gates, first_h, first_c = bind(LSTM_BACKWARD, (weight, c, cs, acts, *given), attrs)
    by_weight, by_bias = _weight_gradients(gates, weight, bias, h, hs, reverse)
    return (gates, by_weight, first_h, first_c, *by_bias)


def _lstm_gradients(
    g: Any, projected: Any, weight: Any, h: Any, c: Any, bias: Any, reverse: bool
) -> Any:
    """The same step by step in simple operations: the gradients by gates, h and c; and all h."""
    steps = _order(projected.array.shape[0], reverse)
    width, seen, hs = h.array.shape[-1], [], {}
    for t in steps:
        gates = projected[t] + linear(h, weight, *bias)
        i, f, gg, o = (gates[:, k * width : (k + 1) * width] for k in range(4))
        i, f, gg, o = i.sigmoid(), f.sigmoid(), gg.tanh(), o.sigmoid()
        before, c = c, f * c + i * gg
        h = hs[t] = o * c.tanh()
        seen.append((t, before, c, i, f, gg, o))
    dh, dc, made = c * 0.0, c * 0.0, {}
    for t, before, c, i, f, gg, o in reversed(seen):
        dh, dc = _plus(dh, g[0], t), _plus(dc, g[1], t)
        by_act = (
            [g[2][t][:, k * width : (k + 1) * width] for k in range(4)]
            if g[2] is not None
            else [0.0] * 4
        )
        top = c.tanh()
        inner = dc + dh * o * (1 - top * top)
        made[t] = cat(
            [
                (inner * gg + by_act[0]) * i * (1 - i),
                (inner * before + by_act[1]) * f * (1 - f),
                (inner * i + by_act[2]) * (1 - gg * gg),
                (dh * top + by_act[3]) * o * (1 - o),
            ],
            -1,
        )
        dh, dc = matmul(made[t], weight), inner * f
    return _in_order(made), dh, dc, _in_order(hs)


def _plus(x: Any, g: Any, t: int) -> Any:
    return x if g is None else x + g[t]


def _in_order(made: dict[int, Tensor]) -> Tensor:
    return stack([made[t] for t in sorted(made)])


def _lstm_backward(
    weight: Any, c: Any, cs: Any, acts: Any, *given: Any, reverse: bool, by_h: bool, by_c: bool
) -> Any:
    gh, gc = given[0] if by_h else None, given[-1] if by_c else None
    gates, before = np.empty_like(acts), _before(c, cs, reverse)
    dh, dc = np.zeros_like(c), np.zeros_like(c)
    for t in reversed(_order(len(acts), reverse)):
        dh, dc = _plus(dh, gh, t), _plus(dc, gc, t)
        i, f, g, o = np.split(acts[t], 4, axis=-1)
        top = np.tanh(cs[t])
        inner = dc + dh * o * (1 - top * top)
        parts = (
            inner * g * i * (1 - i),
            inner * before[t] * f * (1 - f),
            inner * i * (1 - g * g),
            dh * top * o * (1 - o),
        )
        gates[t] = np.concatenate(parts, -1)
        dh, dc = np.matmul(gates[t], weight).astype(c.dtype), (inner * f).astype(c.dtype)
    return gates, dh, dc


def _lstm_samples(r: Any) -> Iterator[Sample]:
    for steps, rows, n, bias in ((1, 2, 1, False), (3, 3, 5, True), (2, 17, 35, True)):
        shapes = [(steps, rows, 4 * n), (4 * n, n), (rows, n), (rows, n), (4 * n,)]
        values = [r.normal(size=shape) * 0.5 for shape in shapes[: 5 if bias else 4]]
        yield Sample((*values, steps == 3), smooth=rows < 17)


def _lstm_backward_samples(r: Any) -> Iterator[Sample]:
    for steps, rows, n, by_h, by_c in ((1, 2, 1, True, False), (3, 3, 5, True, True)):
        shapes = [(4 * n, n), (rows, n), (steps, rows, n), (steps, rows, 4 * n)]
        shapes += [(steps, rows, n)] * (by_h + by_c)
        values = [r.uniform(0.1, 0.9, size=shape) for shape in shapes]
        yield Sample((*values, steps == 3, by_h, by_c))


LSTM_BACKWARD = define(
    "lstm_sequence_backward",
    inputs="weight c cs acts *given",
    attrs=("reverse", "by_h", "by_c"),
    doc="The gradients of lstm_sequence by the gates of all steps, and by the first h and c.",
    accepts=FLOAT,
    infer=lambda weight, c, cs, acts, *given, reverse, by_h, by_c: (acts, c, c),
    ref=_lstm_backward,
    outputs=3,
    lower="lstm_sequence_backward",
    samples=lambda r: list(_lstm_backward_samples(r)),
    torch=False,
)
LSTM = define(
    "lstm_sequence",
    inputs="projected weight h c *bias",
    attrs=("reverse",),
    doc="h and c after each step, and the four gates: from projections [L, N, 4 H], the recurrent"
    " weight [4 H, H] with its bias, and the first h and c [N, H].",
    accepts=FLOAT,
    infer=_lstm_type,
    ref=_lstm,
    vjp=_lstm_vjp,
    saves="projected weight h c bias out0 out1 out2",
    outputs=3,
    lower="lstm_sequence",
    samples=lambda r: list(_lstm_samples(r)),
    torch=False,
)


def lstm_sequence(
    projected: Tensor,
    weight: Tensor,
    h: Tensor,
    c: Tensor,
    bias: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """h and c after each step, f[L, N, H] both, from projections f[L, N, 4 H] (input, forget,
    cell, output), weight f[4 H, H] and bias f[4 H] of the state, and the first h and c f[N, H].
    """
    given = (projected, weight, h, c, *(() if bias is None else (bias,)))
    hs, cs, _ = bind(LSTM, given, (bool(reverse),))
    return hs, cs


# ---- GRU


def _gru(projected: Any, weight: Any, h: Any, *bias: Any, reverse: bool) -> Any:
    dtype = projected.dtype
    hs = np.empty((*projected.shape[:2], h.shape[-1]), dtype)
    acts = np.empty((*projected.shape[:2], 4 * h.shape[-1]), dtype)
    for t in _order(len(projected), reverse):
        rx, zx, nx = np.split(projected[t], 3, axis=-1)
        rh, zh, nh = np.split(_recurrent(h, weight, bias), 3, axis=-1)
        r, z = _sigmoid(rx + rh), _sigmoid(zx + zh)
        n = np.tanh(nx + r * nh)
        h = (n + z * (h - n)).astype(dtype)
        hs[t], acts[t] = h, np.concatenate([r, z, n, nh], -1)
    return hs, acts


def _gru_type(projected: Type, weight: Type, h: Type, *bias: Type, reverse: bool) -> Any:
    _check("gru_sequence", 3, projected, weight, bias, h=h)
    steps, width = projected.shape[:2], h.shape[-1]
    return projected.with_shape((*steps, width)), projected.with_shape((*steps, 4 * width))


def _gru_vjp(
    g: Any, out: Any, projected: Any, weight: Any, h: Any, *bias: Any, reverse: bool
) -> Any:
    if mode.grad or g[1] is not None:
        by_input, by_state, first, hs = _gru_gradients(
            g, projected, weight, h, bias, reverse=reverse
        )
    else:
        hs, acts = out
        by_input, by_state, first = bind(GRU_BACKWARD, (g[0], weight, h, hs, acts), (reverse,))
    by_weight, by_bias = _weight_gradients(by_state, weight, bias, h, hs, reverse)
    return (by_input, by_weight, first, *by_bias)


def _gru_gradients(g: Any, projected: Any, weight: Any, h: Any, bias: Any, reverse: bool) -> Any:
    """The same step by step in simple operations: by the projections of the inputs and of the
    states, and by h; and all h.
    """
    steps = _order(projected.array.shape[0], reverse)
    width, seen, hs = h.array.shape[-1], [], {}

    def blocks(x: Any, count: int) -> list[Any]:
        return [x[:, k * width : (k + 1) * width] for k in range(count)]

    for t in steps:
        (rx, zx, nx) = blocks(projected[t], 3)
        (rh, zh, nh) = blocks(linear(h, weight, *bias), 3)
        r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
        n = (nx + r * nh).tanh()
        before, h = h, n + z * (h - n)
        hs[t] = h
        seen.append((t, before, r, z, n, nh))
    dh, inputs, states = h * 0.0, {}, {}
    for t, before, r, z, n, nh in reversed(seen):
        dh = _plus(dh, g[0], t)
        by_act = blocks(g[1][t], 4) if g[1] is not None else [0.0] * 4
        gn = (dh * (1 - z) + by_act[2]) * (1 - n * n)
        gr, gz = (gn * nh + by_act[0]) * r * (1 - r), (dh * (before - n) + by_act[1]) * z * (1 - z)
        inputs[t] = cat([gr, gz, gn], -1)
        states[t] = cat([gr, gz, gn * r + by_act[3]], -1)
        dh = dh * z + matmul(states[t], weight)
    return _in_order(inputs), _in_order(states), dh, _in_order(hs)


def _gru_backward(g: Any, weight: Any, h: Any, hs: Any, acts: Any, *, reverse: bool) -> Any:
    before, dh = _before(h, hs, reverse), np.zeros_like(h)
    inputs = np.empty((*acts.shape[:2], weight.shape[0]), acts.dtype)
    states = np.empty_like(inputs)
    for t in reversed(_order(len(acts), reverse)):
        dh = dh + g[t]
        r, z, n, nh = np.split(acts[t], 4, axis=-1)
        gn = dh * (1 - z) * (1 - n * n)
        gr, gz = gn * nh * r * (1 - r), dh * (before[t] - n) * z * (1 - z)
        inputs[t] = np.concatenate([gr, gz, gn], -1)
        states[t] = np.concatenate([gr, gz, gn * r], -1)
        dh = (dh * z + np.matmul(states[t], weight)).astype(h.dtype)
    return inputs, states, dh


def _gru_backward_type(g: Type, weight: Type, h: Type, hs: Type, acts: Type, **_: Any) -> Any:
    gates = acts.with_shape((*acts.shape[:2], weight.shape[0]))
    return gates, gates, h


def _gru_samples(r: Any) -> Iterator[Sample]:
    for steps, rows, n, bias in ((1, 2, 1, False), (3, 3, 5, True), (2, 17, 35, True)):
        shapes = [(steps, rows, 3 * n), (3 * n, n), (rows, n), (3 * n,)]
        values = [r.normal(size=shape) * 0.5 for shape in shapes[: 4 if bias else 3]]
        yield Sample((*values, steps == 3), smooth=rows < 17)


def _gru_backward_samples(r: Any) -> Iterator[Sample]:
    for steps, rows, n in ((1, 2, 1), (3, 3, 5)):
        shapes = [(steps, rows, n), (3 * n, n), (rows, n), (steps, rows, n), (steps, rows, 4 * n)]
        yield Sample((*(r.uniform(0.1, 0.9, size=shape) for shape in shapes), steps == 3))


GRU_BACKWARD = define(
    "gru_sequence_backward",
    inputs="g weight h hs acts",
    attrs=("reverse",),
    doc="The gradients of gru_sequence by both projections of all steps, and by the first h.",
    accepts=FLOAT,
    infer=_gru_backward_type,
    ref=_gru_backward,
    outputs=3,
    lower="gru_sequence_backward",
    samples=lambda r: list(_gru_backward_samples(r)),
    torch=False,
)
GRU = define(
    "gru_sequence",
    inputs="projected weight h *bias",
    attrs=("reverse",),
    doc="h after each step, and reset, update, new and the state's part of new: from projections"
    " [L, N, 3 H], the recurrent weight [3 H, H] with its bias, and the first h [N, H].",
    accepts=FLOAT,
    infer=_gru_type,
    ref=_gru,
    vjp=_gru_vjp,
    saves="projected weight h bias out0 out1",
    outputs=2,
    lower="gru_sequence",
    samples=lambda r: list(_gru_samples(r)),
    torch=False,
)


def gru_sequence(
    projected: Tensor, weight: Tensor, h: Tensor, bias: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """h after each step, f[L, N, H], from projections f[L, N, 3 H] (reset, update, new), weight
    f[3 H, H] and bias f[3 H] of the state, and the first h f[N, H].
    """
    given = (projected, weight, h, *(() if bias is None else (bias,)))
    made: Tensor = bind(GRU, given, (bool(reverse),))[0]
    return made


guard(globals())
