"""What `compile(f, fast_math=True)` gives the same bits up for. Floor 5.

A convolution of 3 x 3 taps, and its gradient by the input, may be computed by Winograd's sums
(lower/winograd.py), which take fewer multiplications. They are not those of an eager call; nor are
NaN and infinity kept to the pixels that they reach: the 2 x 2 results of a patch share them. The
planner chooses by the sizes. In bodies of loops nothing is changed.
"""

from __future__ import annotations

from twofold.base import dtypes
from twofold.ir.graph import Call, Graph, replace
from twofold.ops.conv import CONV, CONV_INPUT_GRAD
from twofold.ops.fused import CONV_FAST, CONV_INPUT_GRAD_FAST, CONV_THEN, Body


def fast_math(graph: Graph) -> Graph:
    """The graph with convolutions that may be computed by other sums."""
    return replace(graph, [_fast(call) if _may(call) else call for call in graph.calls])


def _may(call: Call) -> bool:
    if (
        call.op not in (CONV, CONV_THEN, CONV_INPUT_GRAD)
        or call.outs[0].dtype is not dtypes.float32
    ):
        return False
    stride, _, dilation, groups = call.attrs[:4]
    kernel = tuple(call.inputs[1].shape[2:])
    return (kernel, stride, dilation, groups) == ((3, 3), (1, 1), (1, 1), 1)


def _fast(call: Call) -> Call:
    if call.op is CONV_INPUT_GRAD:
        return call._replace(op=CONV_INPUT_GRAD_FAST)
    if call.op is CONV_THEN:
        return call._replace(op=CONV_FAST)
    return call._replace(op=CONV_FAST, attrs=(*call.attrs, len(call.inputs) > 2, None, Body()))
