"""What is known of a value from the calls that make it. Floor 5.

An arithmetic operation makes a signaling NaN quiet, and a sum of zeros +0.0: where the operand is
known to be none of these, `x * 1` and `x + 0` are x to the last bit.
"""

from __future__ import annotations

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.ir.graph import Value
from twofold.passes.rules import Scope

# Operations whose results have the elements of these inputs, or their bits with another sign.
MOVES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("reshape", "permute", "expand", "index", "flip", "clone", "unbind"), (0,)),
    **dict.fromkeys(("split", "roll"), (0,)),
    "where": (1, 2),
}
SIGNS: dict[str, tuple[int, ...]] = {"neg": (0,), "abs": (0,), "relu": (0,)}
# Operations that compute: what comes out of their instructions is no signaling NaN.
COMPUTE = frozenset(
    ("add", "sub", "mul", "div", "sqrt", "rsqrt", "square", "reciprocal", "exp", "exp2", "expm1")
    + ("log1p", "tanh", "sigmoid", "erf", "gelu", "silu", "sin", "cos")
    + ("sum", "mean", "matmul", "linear", "conv", "softmax", "log_softmax", "layer_norm")
    + ("rms_norm", "batch_norm", "attention")
)
# Operations whose zeros are +0.0.
ABOVE = frozenset(("exp", "exp2", "square", "abs", "sigmoid", "sum", "softmax"))
PLAIN = (dtypes.float32, dtypes.float64)


def is_quiet(scope: Scope, value: Value) -> bool:
    """Whether no element is a signaling NaN."""
    if value.dtype.kind not in "fc":
        return True
    call = scope.maker(value)
    if call is None:
        return False
    name = call.op.name
    if name in COMPUTE or name == "full":
        return True
    if name == "cast":
        return call.inputs[0].dtype is not value.dtype
    through = MOVES.get(name) or SIGNS.get(name)
    return through is not None and all(is_quiet(scope, call.inputs[i]) for i in through)


def is_never_minus_zero(scope: Scope, value: Value) -> bool:
    """Whether no element is -0.0."""
    if value.dtype.kind not in "fc":
        return True
    call = scope.maker(value)
    if call is None or value.dtype not in PLAIN:
        return False
    name = call.op.name
    if name in ABOVE:
        return True
    if name == "cast":
        return call.inputs[0].dtype.kind in "bui"
    if name == "add":
        return any(is_never_minus_zero(scope, v) for v in call.inputs)
    through = MOVES.get(name)
    return through is not None and all(is_never_minus_zero(scope, call.inputs[i]) for i in through)


# For each element type the types that hold all its values.
HOLDS: dict[DType, tuple[DType, ...]] = {
    dtypes.float16: (dtypes.float32, dtypes.float64),
    dtypes.bfloat16: (dtypes.float32, dtypes.float64),
    dtypes.float32: (dtypes.float64,),
    dtypes.int8: (dtypes.int16, dtypes.int32, dtypes.int64),
    dtypes.int16: (dtypes.int32, dtypes.int64),
    dtypes.int32: (dtypes.int64,),
    dtypes.uint8: (dtypes.int16, dtypes.int32, dtypes.int64, dtypes.uint16, dtypes.uint32),
    dtypes.uint16: (dtypes.int32, dtypes.int64, dtypes.uint32),
    dtypes.uint32: (dtypes.int64,),
}
HOLDS[dtypes.bool_] = (*HOLDS, dtypes.int64, dtypes.float64)


def holds(wide: DType, narrow: DType) -> bool:
    """Whether a type holds every value of another one."""
    return wide in HOLDS.get(narrow, ())
