"""Several operations as one: what passes leave in a graph. Floor 4.

The body is a list of steps. A step's arguments are numbers: input i of the call, or, from the count
of inputs on, the result of a step before. Each step rounds as its operation does alone, so the bits
are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.conv import ATTRS, CONV, CONV_INPUT_GRAD
from twofold.ops.linalg import MATMUL
from twofold.ops.linear import LINEAR
from twofold.ops.normalize import LAYER_NORM, LOG_SOFTMAX, SOFTMAX
from twofold.ops.norms import WITH_MOMENTS
from twofold.ops.op import OPS, Op, define


class Step(NamedTuple):
    """One operation of a body. `full` has its number among the attributes, and no arguments."""

    op: Op
    args: tuple[int, ...]
    attrs: tuple[Any, ...]
    dtype: DType

    def __str__(self) -> str:
        if self.op.name == "full":
            return f"{self.attrs[1]}"
        words = [f"#{a}" for a in self.args]
        words += [f"{n}={v}" for n, v in zip(self.op.attrs, self.attrs, strict=False)]
        return f"{self.op.name}({', '.join(words)})"


class Body(tuple[Step, ...]):
    """The steps, which print as a program."""

    __slots__ = ()

    def __str__(self) -> str:
        return "[" + "; ".join(map(str, self)) + "]"


def _types(*types: Type, body: Body, outs: tuple[int, ...]) -> Any:
    known = list(types)
    for step in body:
        found = step.op.infer(*[known[a] for a in step.args], **step.op.keywords(step.attrs))
        known.append(found)
    made = tuple(known[i] for i in outs)
    return made if len(made) > 1 else made[0]


def _run(*arrays: Any, body: Body, outs: tuple[int, ...]) -> Any:
    made = _run_each(*arrays, body=body, outs=outs)
    found = made if isinstance(made, tuple) else (made,)
    shape = np.broadcast_shapes(*(a.shape for a in found))
    whole = tuple(np.broadcast_to(a, shape) for a in found)
    return whole if len(whole) > 1 else whole[0]


FUSED = define(
    "fused",
    inputs="*xs",
    attrs=("body", "outs"),
    doc="Elementwise operations in one pass over memory.",
    infer=_types,
    ref=_run,
    lower="fused",
    torch=False,
    samples=lambda random: [],
)


def _run_each(*arrays: Any, body: Body, outs: tuple[int, ...]) -> Any:
    known = list(arrays)
    for step in body:
        made = step.op.ref(*[known[a] for a in step.args], **step.op.keywords(step.attrs))
        known.append(np.asarray(made))
    found = tuple(known[i] for i in outs)
    return found if len(found) > 1 else found[0]


FUSED_REDUCE = define(
    "fused_reduce",
    inputs="*xs",
    attrs=("body", "outs"),
    doc="Reductions with the elementwise operations before and after them.",
    infer=_types,
    ref=_run_each,
    lower="fused_reduce",
    torch=False,
    samples=lambda random: [],
)


def _then(product: Op, inputs: str) -> Op:
    """A product whose elements go through an activation, named by an attribute."""

    def infer(*types: Type, activation: str) -> Any:
        return product.infer(*types)

    def ref(*arrays: Any, activation: str) -> Any:
        op = OPS[activation]
        return op.ref(product.ref(*arrays), **op.defaults)

    return define(
        f"{product.name}_then",
        inputs=inputs,
        attrs=("activation",),
        doc=f"{product.name}, then an activation.",
        infer=infer,
        ref=ref,
        lower=product.lower,
        torch=False,
        samples=lambda random: [],
    )


LINEAR_THEN = _then(LINEAR, "x w *bias")
MATMUL_THEN = _then(MATMUL, "x w")


def _of(rows: Op) -> Op:
    """An operation on rows whose first input is the last step of a body, of `count` inputs."""

    def infer(*types: Type, body: Body, count: int, **attrs: Any) -> Any:
        x = _types(*types[:count], body=body, outs=(count + len(body) - 1,))
        return rows.infer(x, *types[count:], **attrs)

    def ref(*arrays: Any, body: Body, count: int, **attrs: Any) -> Any:
        x = _run(*arrays[:count], body=body, outs=(count + len(body) - 1,))
        return rows.ref(x, *arrays[count:], **attrs)

    return define(
        f"{rows.name}_of",
        inputs="*xs",
        attrs=("body", "count", *rows.attrs),
        doc=f"{rows.name} of elements that are computed while it reads.",
        infer=infer,
        ref=ref,
        outputs=rows.outputs,
        residuals=rows.residuals,
        lower=f"{rows.name}_of",
        torch=False,
        samples=lambda random: [],
    )


ROWS_OF = {op.name: _of(op) for op in (SOFTMAX, LOG_SOFTMAX, LAYER_NORM)}


def _conv_then(
    x: Any, w: Any, *rest: Any, biased: bool, eps: float | None, body: Body, **attrs: Any
) -> Any:
    y = CONV.ref(x, w, *rest[:biased], **attrs)
    others = rest[biased:]
    if eps is not None:
        y, others = WITH_MOMENTS.ref(y, *others[:4], eps=eps), others[4:]
    return _run(y, *others, body=body, outs=(len(others) + len(body),))


CONV_THEN = define(
    "conv_then",
    inputs="x w *rest",
    attrs=(*ATTRS, "biased", "eps", "body"),
    doc="""conv, then on each of its elements batch_norm_inference (if there is an `eps`) and the
    steps of a body.

    rest: the bias, if `biased`; mean, var, weight and bias of the norm; what else the body reads,
    in the shape of the result, which is the body's first input.
    """,
    infer=lambda x, w, *rest, biased, eps, body, **attrs: CONV.infer(x, w, **attrs),
    ref=_conv_then,
    lower="conv",
    torch=False,
    samples=lambda random: [],
)


def _fast(name: str, inputs: str, op: Op) -> Op:
    """The same operation, whose kernel may add in another order: what fast_math leaves."""
    doc = f"{op.name}, up to rounding."
    return define(
        name,
        inputs=inputs,
        attrs=op.attrs,
        doc=doc,
        infer=op.infer,
        ref=op.ref,
        lower=name,
        torch=False,
        samples=lambda random: [],
    )


CONV_FAST = _fast("conv_fast", "x w *rest", CONV_THEN)
CONV_INPUT_GRAD_FAST = _fast("conv_input_grad_fast", "g w", CONV_INPUT_GRAD)
