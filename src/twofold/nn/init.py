"""How parameters start, in place. Floor 10. All draw from the default stream (or `generator`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.bind import mode, recording
from twofold.ops.creation import full
from twofold.ops.elementwise import cast
from twofold.ops.random import normal_values, uniform_values
from twofold.ops.stand_in import filling
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.writing import overwrite

GAINS = {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "sigmoid")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through an activation (He et al. 2015)."""
    if nonlinearity in LINEAR:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity not in GAINS:
        raise ArgumentError(
            "calculate_gain", f"{nonlinearity!r} is not known", hint=", ".join((*LINEAR, *GAINS))
        )
    return GAINS[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(inputs, outputs) of one unit: sizes of axes 1 and 0 times the kernel's positions."""
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ShapeError(
            "init",
            "only a tensor with at least 2 axes has fans",
            hint="normal_ or uniform_ for a vector",
            tensor=type_of(tensor),
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _fill(tensor: Tensor, values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return overwrite(tensor, cast(values, tensor.dtype).array)
    return overwrite(tensor, dtypes.convert(np.asarray(values), tensor.dtype))


def _is_plain(tensor: Tensor, generator: Any = None) -> bool:
    """Whether the tensor's own methods fill it alike: machine code answers those."""
    plain = mode.interpreter is None and mode.capture is None and generator is None
    return plain and type(tensor.array) is np.ndarray and tensor.array.dtype.kind == "f"


@filling
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in [a, b)."""
    if _is_plain(tensor, generator):
        with recording(False):
            return tensor.uniform_(a, b)  # type: ignore[attr-defined, no-any-return]
    return _fill(tensor, uniform_values(tensor.array.shape, tensor.dtype, a, b, generator))


@filling
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with a mean and a standard deviation."""
    if _is_plain(tensor, generator):
        with recording(False):
            return tensor.normal_(mean, std)  # type: ignore[attr-defined, no-any-return]
    return _fill(tensor, normal_values(tensor.array.shape, tensor.dtype, mean, std, generator))


@filling
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, drawn again where it falls outside [a, b]."""
    values = normal_values(tensor.array.shape, tensor.dtype, mean, std, generator).array.copy()
    outside = (values < a) | (values > b)
    while outside.any():
        again = normal_values((int(outside.sum()),), tensor.dtype, mean, std, generator)
        values[outside] = again.array
        outside = (values < a) | (values > b)
    return _fill(tensor, values)


@filling
def constant_(tensor: Tensor, val: float) -> Tensor:
    if type(val) in (int, float) and _is_plain(tensor):
        with recording(False):
            return tensor.fill_(val)  # type: ignore[attr-defined, no-any-return]
    return _fill(tensor, full((), val, dtype=tensor.dtype))


@filling
def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0)


@filling
def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1)


@filling
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    return _fill(tensor, np.eye(*tensor.array.shape))


@filling
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform within gain * sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


@filling
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal of deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _is_fan_out(mode: str) -> bool:
    if str(mode).lower() not in ("fan_in", "fan_out"):
        raise ArgumentError("kaiming", f"mode={mode!r} is not known", hint="'fan_in' or 'fan_out'")
    return mode.lower() == "fan_out"


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = fans(tensor)[_is_fan_out(mode)] or 1  # 0 is of a tensor without elements
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


@filling
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform within gain * sqrt(3 / fan) (He et al. 2015)."""
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


@filling
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal of deviation gain / sqrt(fan)."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), generator)


@filling
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns, the fewer) that are orthonormal (Saxe et al. 2013)."""
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ShapeError("orthogonal_", "at least 2 axes are needed", tensor=type_of(tensor))
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = normal_values((rows, columns), tensor.dtype, 0.0, 1.0, generator)
    flat = cast(drawn, dtypes.float64).array
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(shape))


@filling
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that gives its input: 1 at the kernel's middle, channel by channel.

    tensor   f[out, in / groups, *kernel] with a kernel of 1 to 3 axes, out divisible by groups
    """
    shape = tensor.array.shape
    if not 3 <= len(shape) <= 5 or shape[0] % groups:
        problem = f"a weight of 3 to 5 axes is wanted, its first divisible by {groups}"
        raise ShapeError("dirac_", problem, tensor=type_of(tensor))
    made = np.zeros(shape, np.float32)
    per_group = shape[0] // groups
    middle = tuple(n // 2 for n in shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, shape[1])):
            made[(group * per_group + channel, channel, *middle)] = 1
    return _fill(tensor, made)


@filling
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal numbers f[rows, columns] of deviation `std`, but in each column a share of 0s (Martens
    2010).
    """
    if tensor.array.ndim != 2:
        raise ShapeError("sparse_", "two axes are wanted", tensor=type_of(tensor))
    rows, columns = tensor.array.shape
    empty = math.ceil(sparsity * rows)
    order = uniform_values((rows, columns), dtypes.float32, 0.0, 1.0, generator).array.argsort(0)
    drawn = np.array(normal_values((rows, columns), tensor.dtype, 0.0, std, generator).array)
    np.put_along_axis(drawn, order[:empty], 0, axis=0)
    return _fill(tensor, drawn)


# Their older names.
constant, dirac, eye, normal, uniform = constant_, dirac_, eye_, normal_, uniform_
kaiming_normal, kaiming_uniform, orthogonal = kaiming_normal_, kaiming_uniform_, orthogonal_
sparse, xavier_normal, xavier_uniform = sparse_, xavier_normal_, xavier_uniform_

# Names that PyTorch keeps to itself, and programs use all the same.
_calculate_fan_in_and_fan_out = fans
_no_grad_normal_, _no_grad_uniform_, _no_grad_fill_ = normal_, uniform_, constant_
_no_grad_trunc_normal_, _no_grad_zero_ = trunc_normal_, zeros_


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """The inputs (mode "fan_in") or outputs ("fan_out") of one unit."""
    return fans(tensor)[_is_fan_out(mode)]
