"""Methods that write into the tensor itself: `x.add_(y)`, `x += y`, `x.copy_(y)`. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from twofold.base.dtypes import CATEGORY
from twofold.base.errors import DTypeError, GradientError, ShapeError, kind_of
from twofold.ops import compare, creation, elementwise, joining, movement, views
from twofold.ops.bind import current, mode
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guarded
from twofold.ops.op import OPS, Op
from twofold.ops.rules import EXACT, as_tensor, check_sizes, constant, sizes_of
from twofold.ops.tensor import Exchanged, Tensor, type_of
from twofold.ops.writing import (
    alias,
    before_write,
    fill_unseen,
    onto,
    overwrite,
    run_into,
    unseen,
    write,
)

# In place: every such method computes its result and writes it into the tensor's memory.
WRITTEN = [
    "abs", "acos", "add", "addcdiv", "addcmul", "asin", "atan", "ceil", "clamp", "clamp_max",
    "clamp_min", "copysign", "cos", "cumprod", "cumsum", "digamma", "div", "eq", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "floor", "floor_divide", "fmod", "ge", "gt", "hypot",
    "index_add", "index_copy", "index_fill", "index_reduce", "le", "lerp", "lgamma", "log",
    "log10", "log1p", "log2", "logical_and", "logical_not", "logical_or", "logical_xor", "lt",
    "masked_fill",
    "masked_scatter", "mul", "multiply", "nan_to_num", "ne", "neg", "negative", "pow",
    "reciprocal", "relu", "remainder", "round", "rsqrt", "scatter", "scatter_add",
    "scatter_reduce", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "sub", "subtract",
    "tan", "tanh", "tril", "triu", "true_divide", "trunc", "xlogy", "absolute", "acosh", "arccos",
    "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "asinh", "atan2", "atanh",
    "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "clip", "cosh", "deg2rad", "divide", "fix", "float_power", "frac", "gcd",
    "greater", "greater_equal", "heaviside", "lcm", "less", "less_equal", "logit", "nextafter",
    "not_equal", "rad2deg", "sgn", "sinc",
    "conj_physical",
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "ldexp", "i0", "igamma", "igammac", "mvlgamma",
    "polygamma", "put", "renorm", "index_reduce",
]  # fmt: skip
SHAPED = ("squeeze", "unsqueeze", "transpose", "t", "swapaxes", "swapdims", "as_strided")


# Those that are one elementwise operation: by name the operation, for operands of one type.
ONE_OPERAND = [
    "abs", "ceil", "cos", "erf", "erfc", "exp", "exp2", "expm1", "floor", "log", "log10", "log1p",
    "log2", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "sin", "sqrt",
    "square", "tan", "tanh", "trunc",
]  # fmt: skip
TWO_OPERANDS = {
    "add": elementwise.ADD, "sub": elementwise.SUB, "subtract": elementwise.SUB,
    "mul": elementwise.MUL, "multiply": elementwise.MUL, "div": elementwise.DIV,
    "divide": elementwise.DIV, "true_divide": elementwise.DIV, "truediv": elementwise.DIV,
    "clamp_min": compare.CLAMP_MIN, "clamp_max": compare.CLAMP_MAX, "clamp": compare.CLAMP,
    "lerp": elementwise.LERP, "addcmul": elementwise.ADDCMUL, "addcdiv": elementwise.ADDCDIV,
}  # fmt: skip
KEYWORDS = {"add": "alpha", "sub": "alpha", "addcmul": "value", "addcdiv": "value"}


# The in-place methods, for machine code in front of them: with the operation that they are when
# called plainly, or None.
WRITERS: dict[Callable[..., Tensor], Op | None] = {}


def _op_of(name: str) -> Op | None:
    return OPS.get(name) if name in ONE_OPERAND else TWO_OPERANDS.get(name)


def _directly(name: str, x: Tensor, args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether the result could be computed right into the memory of `x`, by one operation."""
    op = _op_of(name)
    if op is None or type(x) not in EXACT:
        return False
    if keywords:
        number: Any = keywords.get(KEYWORDS.get(name, ""))
        if len(keywords) > 1 or type(number) not in (int, float) or x.array.dtype.kind != "f":
            return False
        if name in ("add", "sub"):
            op, number = elementwise.ADD_SCALED, number if name == "add" else -number
        args = (*args, number)
    elif name in ("addcmul", "addcdiv"):
        args = (*args, 1)
    storage = x.array.dtype
    others = []
    for arg in args:
        if type(arg) in EXACT and arg.array.dtype == storage:
            others.append(arg)
        elif type(arg) in (int, float) and (
            storage.kind == "f" or (type(arg) is int and storage == np.int64)
        ):
            others.append(constant(arg, x.dtype))
        else:
            return False
    return len(others) + 1 == len(op.inputs) and run_into(op, x, tuple(others))


def in_place(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if _directly(name, self, args, kwargs):
            return self
        if not isinstance(self, Tensor):
            raise DTypeError(f"{name}_", f"it writes into {kind_of(self)}", hint="a tensor")
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        if unseen(self, *given):
            with onto(self):
                made = fitting(name, self, function(self, *args, **kwargs))
            return overwrite(self, made.array, f"{name}_")
        others = any(a.tracked for a in given)
        old = before_write(self, keep=mode.grad and (current(self).tracked or others))
        args = tuple(old if a is self else a for a in args)
        return write(self, fitting(name, self, function(old, *args, **kwargs)), f"{name}_")

    method.__name__ = f"{name}_"
    method.__doc__ = f"`{name}`, written into the tensor itself."
    vars(method)["__wrapped__"] = function  # whose signature `inspect` and `help` show
    WRITERS[method] = _op_of(name)
    return method


def augmented(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, other: Any) -> Tensor:
        if _directly(name, self, (other,), {}):
            return self
        tracked = isinstance(other, Tensor) and other.tracked
        old = before_write(self, keep=mode.grad and (current(self).tracked or tracked))
        made = function(old, old if other is self else other)
        return write(self, fitting(name, self, made), f"{name}_")

    WRITERS[method] = _op_of(name)
    return method


def fitting(name: str, x: Tensor, made: Tensor) -> Tensor:
    """A result in x's shape and type. Raises ShapeError or DTypeError where it would not fit."""
    if made.array.shape != x.array.shape:
        raise ShapeError(
            f"{name}_", "the result does not have the tensor's shape", hint=f"x = x.{name}(...)",
            input=type_of(x), result=type_of(made),
        )  # fmt: skip
    if CATEGORY[made.dtype.kind] > CATEGORY[x.dtype.kind]:
        raise DTypeError(
            f"{name}_",
            f"a {made.dtype.name} result does not fit a {x.dtype.name} tensor",
            hint=f"x = x.{name}(...)",
        )
    return cast(made, x.dtype)


@guarded
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of `src`, broadcast and converted."""
    if (
        type(src) in EXACT
        and src.array.dtype == self.array.dtype
        and src.array.shape == self.array.shape
        and unseen(self, src)
    ):
        return overwrite(self, src.array, "copy_")
    source = as_tensor(src, "copy_", "src")
    return write(self, cast(movement.expand(source, self.array.shape), self.dtype), "copy_")


@guarded
def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one value everywhere."""
    if fill_unseen(self, value):
        return self
    number = value if isinstance(value, Tensor) else constant(value, self.dtype)
    if number is not value and unseen(self):
        return overwrite(self, number.array, "fill_")
    if number.array.ndim:
        raise ShapeError("fill_", "one value is wanted", hint="x.copy_(...)", value=type_of(number))
    return write(self, movement.expand(cast(number, self.dtype), self.array.shape), "fill_")


@guarded
def zero_(self: Tensor) -> Tensor:
    return self if fill_unseen(self, 0) else fill_(self, 0)


@guarded
def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Other sizes for the tensor itself: as many elements as it has so far keep their values (and
    their memory, where they lie in order), further ones are 0.
    """
    if mode.capture is not None:
        mode.capture.refuse_layout(self, "resize_")
    wanted = sizes_of("resize_", size)
    check_sizes("resize_", wanted)
    if self.tracked:
        problem = "a tensor that requires a gradient keeps its size"
        raise GradientError("resize_", problem, hint="x = x.detach().resize_(...)")
    count, flat = math.prod(wanted), movement.reshape(alias(self), (-1,))
    if count > self.array.size:
        rest = creation.zeros((count - self.array.size,), dtype=self.dtype)
        flat = joining.cat([flat, rest], 0)
    self.array = movement.reshape(views.narrow(flat, 0, 0, count), wanted).array
    Exchanged.times += 1
    return self


@guarded
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the sizes of another tensor."""
    return resize_(self, the_template.array.shape)


@guarded
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """The diagonal of a matrix, which with `wrap` begins again below itself in a tall one."""
    fill_(self.diagonal(), fill_value)  # type: ignore[attr-defined]
    columns = self.array.shape[-1]
    if wrap and self.array.ndim == 2 and self.array.shape[0] > columns + 1:
        fill_diagonal_(self[columns + 1 :], fill_value, True)  # type: ignore[index]
    return self


def _shaped(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A method that changes how the tensor sees its memory, not the memory."""

    def method(self: Tensor, *args: Any, **options: Any) -> Tensor:
        if mode.grad and self.tracked and self.node is None:
            raise GradientError(
                f"{name}_",
                "a leaf that requires a gradient keeps its shape",
                hint=f"x = x.{name}(...)",
            )
        if mode.capture is not None:
            mode.capture.refuse_layout(self, f"{name}_")
        made = function(self, *args, **options)
        self.array, self.node, self.tracked = made.array, made.node, made.tracked
        return self

    method.__name__ = f"{name}_"
    method.__doc__ = f"`{name}`, of the tensor itself."
    return guarded(method)


OWN = (copy_, fill_, zero_, fill_diagonal_, resize_, resize_as_)


def methods_of(cls: type[Tensor]) -> Iterator[tuple[str, Callable[..., Tensor]]]:
    """The names and functions of all methods in place, made of those that the class has."""
    for name in WRITTEN:
        function = getattr(cls, name, None)
        if function is not None:
            yield f"{name}_", in_place(name, function)
    for name in SHAPED:
        yield f"{name}_", _shaped(name, getattr(cls, name))
    for function in OWN:
        yield function.__name__, function
