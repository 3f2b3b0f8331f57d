"""One step of LSTM and GRU, each one kernel forwards and one backwards. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.joining import cat
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.source import zeros_of
from twofold.ops.splitting import chunk
from twofold.ops.tensor import Tensor


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _blocks(x: Any, count: int) -> Any:
    return np.split(x, count, axis=-1)


def _check(op: str, count: int, state: Type, **gates: Type) -> None:
    """Raises ShapeError where the kernels would reach past a row: they take sizes from `state`."""
    rows, width = state.shape if len(state.shape) == 2 else (None, 0)
    if any(g.shape != (rows, count * width) for g in gates.values()):
        raise ShapeError(
            op,
            "the sizes do not fit",
            hint=f"{', '.join(gates)} of shape [N, {count} H] for a state of shape [N, H]",
            **gates,
            state=state,
        )


# ---- LSTM (Hochreiter, Schmidhuber 1997; forget gates: Gers, Schmidhuber, Cummins 2000)


def _lstm(gates: Any, c: Any) -> Any:
    i, f, g, o = _blocks(gates, 4)
    new = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return (_sigmoid(o) * np.tanh(new)).astype(c.dtype), new.astype(c.dtype)


def _lstm_type(gates: Type, c: Type) -> Any:
    _check("lstm_cell", 4, c, gates=gates)
    return c, c


def _lstm_vjp(g: Any, out: Any, gates: Tensor, c: Tensor) -> Any:
    new = out[1]
    zero = zeros_of(c.array.shape, c.array.dtype)
    gh, gc = (zero if x is None else x for x in g)
    if mode.grad:
        return _lstm_gradients(gh, gc, gates, c)
    return bind(LSTM_BACKWARD, (gh, gc, gates, c, new))


def _lstm_gradients(gh: Tensor, gc: Tensor, gates: Tensor, c: Tensor) -> Any:
    """The same in simple operations, for gradients of gradients."""
    parts: Any = chunk(gates, 4, -1)
    i, f, g, o = parts[0].sigmoid(), parts[1].sigmoid(), parts[2].tanh(), parts[3].sigmoid()
    t = (f * c + i * g).tanh()
    inner: Any = gc + gh * o * (1 - t * t)
    by_gate = (inner * g * i * (1 - i), inner * c * f * (1 - f), inner * i * (1 - g * g))
    return cat([*by_gate, gh * t * o * (1 - o)], -1), inner * f


def _lstm_backward(gh: Any, gc: Any, gates: Any, c: Any, new: Any) -> Any:
    i, f, g, o = _blocks(gates, 4)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    t = np.tanh(new)
    inner = gc + gh * o * (1 - t * t)
    parts = (
        inner * g * i * (1 - i),
        inner * c * f * (1 - f),
        inner * i * (1 - g * g),
        gh * t * o * (1 - o),
    )
    return np.concatenate(parts, -1).astype(c.dtype), (inner * f).astype(c.dtype)


LSTM_BACKWARD = define(
    "lstm_cell_backward",
    inputs="gh gc gates c new",
    doc="The gradients of lstm_cell by the gates and the cell.",
    accepts=FLOAT,
    infer=lambda gh, gc, gates, c, new: (gates, c),
    ref=_lstm_backward,
    outputs=2,
    lower="lstm_cell_backward",
    samples=lambda r: [
        Sample(tuple(r.normal(size=(3, width * n)) for width in (1, 1, 4, 1, 1)))
        for n in (1, 5, 19)
    ],
    torch=False,
)
LSTM = define(
    "lstm_cell",
    inputs="gates c",
    doc="(h, c') from gates [N, 4 H] (input, forget, cell, output) and the cell [N, H].",
    accepts=FLOAT,
    infer=_lstm_type,
    ref=_lstm,
    vjp=_lstm_vjp,
    saves="gates c out1",
    outputs=2,
    lower="lstm_cell",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4 * n)), r.normal(size=(3, n)))) for n in (1, 5, 19)
    ],
    torch=False,
)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(h, c') f[N, H] from gates f[N, 4 H] (input, forget, cell, output) and c f[N, H]."""
    return bind(LSTM, (gates, c))  # type: ignore[no-any-return]


# ---- GRU (Cho et al. 2014, the reset gate after the product)


def _gru(projected: Any, recurrent: Any, h: Any) -> Any:
    (rx, zx, nx), (rh, zh, nh) = _blocks(projected, 3), _blocks(recurrent, 3)
    r, z = _sigmoid(rx + rh), _sigmoid(zx + zh)
    n = np.tanh(nx + r * nh)
    return (n + z * (h - n)).astype(h.dtype)


def _gru_type(projected: Type, recurrent: Type, h: Type) -> Type:
    _check("gru_cell", 3, h, projected=projected, recurrent=recurrent)
    return h


def _gru_vjp(g: Tensor, out: Any, projected: Tensor, recurrent: Tensor, h: Tensor) -> Any:
    if mode.grad:
        return _gru_gradients(g, projected, recurrent, h)
    return bind(GRU_BACKWARD, (g, projected, recurrent, h))


def _gru_gradients(g: Any, projected: Any, recurrent: Any, h: Any) -> Any:
    (rx, zx, nx), (rh, zh, nh) = projected.chunk(3, -1), recurrent.chunk(3, -1)
    r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
    n = (nx + r * nh).tanh()
    gn = g * (1 - z) * (1 - n * n)
    gr, gz = gn * nh * r * (1 - r), g * (h - n) * z * (1 - z)
    return cat([gr, gz, gn], -1), cat([gr, gz, gn * r], -1), g * z


def _gru_backward(g: Any, projected: Any, recurrent: Any, h: Any) -> Any:
    (rx, zx, nx), (rh, zh, nh) = _blocks(projected, 3), _blocks(recurrent, 3)
    r, z = _sigmoid(rx + rh), _sigmoid(zx + zh)
    n = np.tanh(nx + r * nh)
    gn = g * (1 - z) * (1 - n * n)
    gr, gz = gn * nh * r * (1 - r), g * (h - n) * z * (1 - z)
    made = np.concatenate([gr, gz, gn], -1), np.concatenate([gr, gz, gn * r], -1), g * z
    return tuple(x.astype(h.dtype) for x in made)


GRU_BACKWARD = define(
    "gru_cell_backward",
    inputs="g projected recurrent h",
    doc="The gradients of gru_cell by its inputs.",
    accepts=FLOAT,
    infer=lambda g, projected, recurrent, h: (projected, recurrent, h),
    ref=_gru_backward,
    outputs=3,
    lower="gru_cell_backward",
    samples=lambda r: [
        Sample(tuple(r.normal(size=(3, width * n)) for width in (1, 3, 3, 1))) for n in (1, 5, 19)
    ],
    torch=False,
)
GRU = define(
    "gru_cell",
    inputs="projected recurrent h",
    doc="h' from both projections [N, 3 H] (reset, update, new) and the state [N, H].",
    accepts=FLOAT,
    infer=_gru_type,
    ref=_gru,
    vjp=_gru_vjp,
    saves="projected recurrent h",
    lower="gru_cell",
    samples=lambda r: [
        Sample((r.normal(size=(3, 3 * n)), r.normal(size=(3, 3 * n)), r.normal(size=(3, n))))
        for n in (1, 5, 19)
    ],
    torch=False,
)


def gru_cell(projected: Tensor, recurrent: Tensor, h: Tensor) -> Tensor:
    """h' f[N, H] from both projections f[N, 3 H] (reset, update, new) and h f[N, H]."""
    return bind(GRU, (projected, recurrent, h))  # type: ignore[no-any-return]
