"""Softmax and the normalisations, each one kernel forward and one backward. Floor 4.

Sums follow the contract's order (DESIGN.md, N3); means and variances are two-pass. The backward
records are
operations themselves; where their own gradient is wanted the rule is written out in simpler
operations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import add, cast, mul, neg, rsqrt, sub
from twofold.ops.guarding import guard
from twofold.ops.movement import expand, reshape
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import admit, as_tensor, axis_of, axis_too
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import exp

__all__ = [
    "layer_norm",
    "log_softmax",
    "softmax",
    "softmin",
]


def _along(random: Any) -> list[Sample]:
    cases = [((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((1, 1), 1), ((0, 3), 1), ((4, 40), 1)]
    return [Sample((random.normal(size=shape), dim)) for shape, dim in cases]


def _pairs_along(random: Any) -> list[Sample]:
    cases = [((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 2)]
    return [
        Sample((random.normal(size=s), random.uniform(0.1, 1, size=s), dim)) for s, dim in cases
    ]


def _softmax(x: Any, *, dim: int) -> Any:
    if x.shape[dim] == 0:
        return x.copy()
    e = np.exp(x - x.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


def _softmax_backward_vjp(h: Tensor, out: Any, g: Tensor, y: Tensor, *, dim: int) -> Any:
    g_sum = sum_(mul(g, y), dim, True)
    h_sum = sum_(mul(h, y), dim, True)
    return bind(SOFTMAX_BACKWARD, (h, y), (dim,)), sub(mul(h, sub(g, g_sum)), mul(g, h_sum))


SOFTMAX_BACKWARD = define(
    "softmax_backward",
    inputs="g y",
    attrs=("dim",),
    doc="y * (g - sum(g * y)): the gradient of softmax by its input, y being its output.",
    accepts=FLOAT,
    infer=lambda g, y, *, dim: y,
    ref=lambda g, y, *, dim: y * (g - (g * y).sum(axis=dim, keepdims=True)),
    vjp=_softmax_backward_vjp,
    saves="g y",
    lower="softmax_backward",
    samples=_pairs_along,
    torch=lambda g, y, dim: y * (g - (g * y).sum(dim, keepdim=True)),
)
SOFTMAX = define(
    "softmax",
    attrs=("dim",),
    doc="exp(x - max) / sum(exp(x - max)) along an axis.",
    accepts=FLOAT,
    infer=lambda x, *, dim: x,
    ref=_softmax,
    vjp=lambda g, y, x, *, dim: (bind(SOFTMAX_BACKWARD, (g, y), (dim,)),),
    saves="out",
    lower="softmax",
    samples=_along,
)


def _log_softmax(x: Any, *, dim: int) -> Any:
    if x.shape[dim] == 0:
        return x.copy()
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def _log_softmax_backward_vjp(h: Tensor, out: Any, g: Tensor, y: Tensor, *, dim: int) -> Any:
    p = exp(y)
    h_sum = sum_(mul(p, h), dim, True)
    return sub(h, h_sum), neg(mul(mul(p, h), sum_(g, dim, True)))


LOG_SOFTMAX_BACKWARD = define(
    "log_softmax_backward",
    inputs="g y",
    attrs=("dim",),
    doc="g - exp(y) * sum(g): the gradient of log_softmax by its input, y being its output.",
    accepts=FLOAT,
    infer=lambda g, y, *, dim: y,
    ref=lambda g, y, *, dim: g - np.exp(y) * g.sum(axis=dim, keepdims=True),
    vjp=_log_softmax_backward_vjp,
    saves="g y",
    lower="log_softmax_backward",
    samples=_pairs_along,
    torch=lambda g, y, dim: g - y.exp() * g.sum(dim, keepdim=True),
)
LOG_SOFTMAX = define(
    "log_softmax",
    attrs=("dim",),
    doc="x - max - log(sum(exp(x - max))) along an axis.",
    accepts=FLOAT,
    infer=lambda x, *, dim: x,
    ref=_log_softmax,
    vjp=lambda g, y, x, *, dim: (bind(LOG_SOFTMAX_BACKWARD, (g, y), (dim,)),),
    saves="out",
    lower="log_softmax",
    samples=_along,
)


def _along_axis(record: Any, input: Any, dim: int | None, dtype: Any) -> Tensor:
    x = as_tensor(input, record.name)
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    x = admit(record, x)
    if not x.array.ndim:
        return reshape(_along_axis(record, reshape(x, (1,)), 0, None), ())
    if dim is None:
        # PyTorch's implicit choice, kept for old programs
        dim = 0 if x.array.ndim in (1, 3) else 1
    made: Tensor = bind(record, (x,), (axis_of(record.name, dim, x),))
    return made


@axis_too
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Probabilities along `dim`: exp(x - max) / sum. Rows of -inf give NaN, as in PyTorch."""
    return _along_axis(SOFTMAX, input, dim, dtype)


@axis_too
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """log(softmax(x)) along `dim`, without the loss of small probabilities."""
    return _along_axis(LOG_SOFTMAX, input, dim, dtype)


@axis_too
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """softmax(-x) along `dim`."""
    return softmax(neg(input), dim, dtype=dtype)


def _moments(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    mean = x.mean(axis=axes, keepdims=True, dtype=x.dtype)
    centred = x - mean
    var = (centred * centred).mean(axis=axes, keepdims=True, dtype=x.dtype)
    return mean, centred, (1 / np.sqrt(var + x.dtype.type(eps))).astype(x.dtype)


def _layer_norm(x: Any, *affine: Any, rank: int, eps: float) -> Any:
    axes = tuple(range(x.ndim - rank, x.ndim))
    mean, centred, rstd = _moments(x, axes, eps)
    y = centred * rstd
    for place, value in enumerate(affine):
        y = y + value if place else y * value
    rows = x.shape[: x.ndim - rank]
    return y, mean.reshape(rows), rstd.reshape(rows)


def _layer_norm_type(x: Type, *affine: Type, rank: int, eps: float) -> Any:
    rows = Type(x.shape[: x.ndim - rank], x.dtype)
    return x, rows, rows


def _layer_norm_vjp(
    g: Tensor, saved: Any, x: Tensor, *affine: Tensor, rank: int, eps: float
) -> Any:
    if mode.grad:
        return _layer_norm_gradients(g, x, affine, rank, eps)
    mean, rstd = saved
    gx = bind(LAYER_NORM_BACKWARD, (g, x, mean, rstd, *affine[:1]), (rank,)) if x.tracked else None
    if not affine:
        return (gx,)
    gw, gb = bind(LAYER_NORM_AFFINE_BACKWARD, (g, x, mean, rstd), (rank,))
    return (gx, gw, gb)[: 1 + len(affine)]


def _layer_norm_gradients(g: Tensor, x: Tensor, affine: Any, rank: int, eps: float) -> Any:
    """The same in simple operations, for gradients of gradients."""
    ndim = x.array.ndim
    axes = tuple(range(ndim - rank, ndim))
    xhat, rstd = normalised(x, axes, eps)
    gy = mul(g, affine[0]) if affine else g
    gx = normalised_vjp(gy, xhat, rstd, axes)
    if not affine:
        return (gx,)
    rows = tuple(range(ndim - rank))
    parts = (gx, _sum_rows(mul(g, xhat), rows), _sum_rows(g, rows))
    return parts[: 1 + len(affine)]


def _sum_rows(x: Tensor, rows: tuple[int, ...]) -> Tensor:
    return sum_(x, rows) if rows else x


def _share(x: Tensor, axes: tuple[int, ...]) -> Any:
    """1 / the count of elements along the axes; of none there is no sum to divide."""
    count = math.prod(x.array.shape[a] for a in axes)
    return 0.0 if isinstance(count, int) and count == 0 else 1.0 / count


def normalised(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """((x - mean) * rstd, rstd) over the axes, in simple operations."""
    scale = _share(x, axes)
    centred = sub(x, mul(sum_(x, axes, True), scale))
    rstd = rsqrt(add(mul(sum_(mul(centred, centred), axes, True), scale), eps))
    return mul(centred, rstd), rstd


def normalised_vjp(g: Tensor, xhat: Tensor, rstd: Tensor, axes: tuple[int, ...]) -> Tensor:
    scale = _share(g, axes)
    g_mean = mul(sum_(g, axes, True), scale)
    gx_mean = mul(sum_(mul(g, xhat), axes, True), scale)
    return mul(rstd, sub(sub(g, g_mean), mul(xhat, gx_mean)))


def _layer_norm_backward(g: Any, x: Any, mean: Any, rstd: Any, *weight: Any, rank: int) -> Any:
    axes = tuple(range(x.ndim - rank, x.ndim))
    wide = mean.shape + (1,) * rank
    rstd = rstd.reshape(wide)
    xhat = (x - mean.reshape(wide)) * rstd
    gy = g * weight[0] if weight else g
    g_mean = gy.mean(axis=axes, keepdims=True, dtype=x.dtype)
    return rstd * (gy - g_mean - xhat * (gy * xhat).mean(axis=axes, keepdims=True, dtype=x.dtype))


LAYER_NORM_BACKWARD = define(
    "layer_norm_backward",
    inputs="g x mean rstd *weight",
    attrs=("rank",),
    doc="The gradient of layer_norm by its input.",
    accepts=FLOAT,
    infer=lambda g, x, *rest, rank: x,
    ref=_layer_norm_backward,
    lower="layer_norm_backward",
    samples=lambda r: [
        Sample((*(r.normal(size=s) for s in ((3, 5), (3, 5), 3, 3, 5)), 1)),
        Sample((*(r.normal(size=s) for s in ((2, 3, 4), (2, 3, 4), 2, 2)), 2)),
    ],
    torch=False,
)


def _layer_norm_affine_backward(g: Any, x: Any, mean: Any, rstd: Any, *, rank: int) -> Any:
    wide = mean.shape + (1,) * rank
    rows = tuple(range(x.ndim - rank))
    xhat = (x - mean.reshape(wide)) * rstd.reshape(wide)
    return (g * xhat).sum(axis=rows, dtype=x.dtype), g.sum(axis=rows, dtype=x.dtype)


LAYER_NORM_AFFINE_BACKWARD = define(
    "layer_norm_affine_backward",
    inputs="g x mean rstd",
    attrs=("rank",),
    doc="The gradients of layer_norm by its weight and bias.",
    accepts=FLOAT,
    infer=lambda g, x, mean, rstd, *, rank: (Type(x.shape[x.ndim - rank :], x.dtype),) * 2,
    ref=_layer_norm_affine_backward,
    outputs=2,
    lower="layer_norm_affine_backward",
    samples=lambda r: [
        Sample((*(r.normal(size=s) for s in ((3, 5), (3, 5), 3, 3)), 1)),
        Sample((*(r.normal(size=s) for s in ((2, 3, 4), (2, 3, 4), 2, 2)), 2)),
    ],
    torch=False,
)
LAYER_NORM = define(
    "layer_norm",
    inputs="x *affine",
    attrs=("rank", "eps"),
    doc="(x - mean) * rstd over the last `rank` axes, times weight, plus bias.",
    accepts=FLOAT,
    infer=_layer_norm_type,
    ref=_layer_norm,
    vjp=_layer_norm_vjp,
    saves="x affine",
    residuals=2,
    lower="layer_norm",
    samples=lambda r: [
        Sample((r.normal(size=(3, 5)), r.normal(size=5), r.normal(size=5), 1, 1e-5)),
        Sample((r.normal(size=(2, 3, 4)), 2, 1e-5)),
        Sample((r.normal(size=(2, 6)), r.normal(size=6), 1, 1e-5)),
    ],
    torch=False,
)


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the last axes, whose sizes `normalized_shape` names (Ba, Kiros, Hinton 2016).

    input f32[..., *normalized_shape]; weight and bias f32[*normalized_shape]. Raises ShapeError.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    x = admit(LAYER_NORM, input)
    if x.array.shape[-len(shape) :] != shape or not shape:
        raise ShapeError(
            "layer_norm",
            f"the last sizes are not {list(shape)}",
            hint="normalized_shape = the last sizes",
            input=type_of(x),
        )
    affine = _affine("layer_norm", x, weight, bias, shape)
    made: Tensor = bind(LAYER_NORM, (x, *affine), (len(shape), float(eps)))
    return made


def _affine(
    op: str, x: Tensor, weight: Any, bias: Any, shape: tuple[int, ...]
) -> tuple[Tensor, ...]:
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.array.shape != shape:
            facts: dict[str, Any] = {name: type_of(value)}
            raise ShapeError(
                op,
                f"{name} has not the shape {list(shape)}",
                hint=f"a {name} of shape {list(shape)}",
                input=type_of(x),
                **facts,
            )
    if weight is None and bias is None:
        return ()
    if weight is None:
        weight = expand(reshape(x.new_ones(1), (1,) * len(shape)), shape)  # type: ignore[attr-defined]
    return (
        (cast(weight, x.dtype),) if bias is None else (cast(weight, x.dtype), cast(bias, x.dtype))
    )


guard(globals())
