"""Which functions are methods of Tensor, and its operators. Floor 4."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base.devices import CPU, META
from twofold.base.dtypes import CATEGORY
from twofold.base.errors import DTypeError, GradientError, ShapeError
from twofold.base.layouts import strided
from twofold.base.symbols import whole
from twofold.ops import (
    bitwise,
    compare,
    complexes,
    composite,
    convert,
    counting,
    creation,
    creation_like,
    distances,
    elementwise,
    gather,
    indexing,
    joining,
    linalg,
    more_special,
    movement,
    normalize,
    older,
    padding,
    printing,
    products,
    quantiles,
    random,
    reduce,
    replacing,
    rounding,
    selecting,
    sorting,
    spectral,
    statistics,
    storage,
    transcendental,
    triangles,
    views,
)
from twofold.ops.bind import current, mode
from twofold.ops.elementwise import cast
from twofold.ops.op import OPS, Op
from twofold.ops.rules import EXACT, NUMBERS, as_tensor, check_sizes, constant, sizes_of
from twofold.ops.stand_in import device_of
from twofold.ops.tensor import (
    Exchanged,
    Node,
    Size,
    Tensor,
    leaf_changed,
    memory_given,
    root_of,
    type_of,
    wrap,
)
from twofold.ops.writing import (
    alias,
    before_write,
    fill_unseen,
    onto,
    overwrite,
    run_into,
    touched,
    unseen,
    write,
)


def attach(name: str, function: Any) -> None:
    """Make `function` the Tensor method (or property) `name`."""
    setattr(Tensor, name, function)


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def reflected(self: Tensor, other: Any) -> Any:
        if isinstance(other, TAKEN):
            return function(other, self)
        return _not_taken(function, other)

    return reflected


def _operator(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, TAKEN):
            return function(self, other)
        return _not_taken(function, other)

    return operator


def _comparison(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def comparison(self: Tensor, other: Any) -> Any:
        return function(self, other) if isinstance(other, TAKEN) else NotImplemented

    return comparison


def _not_taken(function: Callable[..., Tensor], other: Any) -> Any:
    """NotImplemented, so that the other class may know better; DTypeError where none can."""
    if isinstance(other, NEVER) and not (function is elementwise.mul and isinstance(other, TIMES)):
        as_tensor(other, function.__name__, "other")
    return NotImplemented


TAKEN = (Tensor, *NUMBERS, np.ndarray)
NEVER = (str, bytes, list, tuple, dict, set, type(None))
TIMES = (str, bytes, list, tuple)  # which a whole number repeats

# Every function of these modules whose first parameter is the tensor is a method of the same name.
SOURCES: tuple[Any, ...] = (
    elementwise, bitwise, compare, rounding, transcendental, movement, views, joining, padding,
    reduce, linalg, statistics, normalize, gather, indexing, selecting, sorting, products, counting,
    spectral, older, distances, replacing, quantiles, triangles, storage,
)  # fmt: skip
NOT_METHODS = {
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "row_stack",
    "column_stack", "atleast_1d", "atleast_2d", "atleast_3d", "meshgrid", "broadcast_tensors",
    "tril_indices", "triu_indices", "cartesian_prod", "block_diag", "combinations",
    "searchsorted", "pad", "polygamma", "layer_norm", "rms_norm", "softmin",
    "chain_matmul", "tensordot", "unravel_index", "isin",
    "bartlett_window", "blackman_window", "hamming_window", "hann_window",
    "broadcast_shapes", "cdist", "cumulative_trapezoid", "fill", "pdist", "trapezoid", "trapz",
    "lu_unpack",
}  # fmt: skip


def _late(file: str, name: str) -> Callable[..., Any]:
    """A method whose file of `ops` is imported when it is first called: few programs do."""

    def method(self: Tensor, *args: Any, **options: Any) -> Any:
        module = importlib.import_module(f"twofold.ops.{file}")
        return getattr(module, name)(self, *args, **options)

    method.__name__ = name
    return method


ACTIVATIONS = ("relu", "sigmoid", "tanh")
MORE = {
    "view": views.view,
    "view_as": views.view_as,
    "reshape_as": views.reshape_as,
    "narrow_copy": lambda self, *a, **k: joining.clone(views.narrow(self, *a, **k)),
    "sum_to_size": reduce.sum_to_size,
    "expand": movement.expand,
    "split": lambda self, split_size, dim=0: views.split(self, split_size, dim),
    "expand_as": views.expand_as,
    "unfold": views.unfold,
    "repeat": joining.repeat,
    "contiguous": joining.contiguous,
    "index_fill": selecting.index_fill,
    "index_put_": indexing.index_put_,
    "pad": padding.pad,
    "where": lambda self, condition, other: compare.where(condition, self, other),
    "bernoulli": random.bernoulli,
    "multinomial": random.multinomial,
    "uniform_": random.uniform_,
    "normal_": random.normal_,
    "exponential_": random.exponential_,
    "bernoulli_": random.bernoulli_,
    "random_": random.random_,
    "log_normal_": random.log_normal_,
    "cauchy_": random.cauchy_,
    "geometric_": random.geometric_,
    "new_zeros": creation_like.new_zeros,
    "new_ones": creation_like.new_ones,
    "new_empty": creation_like.new_empty,
    "new_empty_strided": creation_like.new_empty_strided,
    "new_full": creation_like.new_full,
    "new_tensor": creation_like.new_tensor,
    "to": convert.to,
    "type": convert.type_,
    "type_as": convert.type_as,
    "cpu": convert.cpu,
    "cuda": convert.cuda,
    "item": convert.item,
    "tolist": convert.tolist,
    "numpy": convert.numpy,
    "is_same_size": convert.is_same_size,
    "is_nonzero": convert.is_nonzero,
    "stride": convert.stride,
    "storage_offset": storage.storage_offset,
    "data_ptr": convert.data_ptr,
    "is_contiguous": convert.is_contiguous,
    "__array__": convert.to_array,
    "__dlpack__": convert.to_dlpack,
    "__dlpack_device__": convert.dlpack_device,
    "to_device": convert.to_device,
    "__len__": convert.length,
    "__iter__": convert.iterate,
    "__bool__": convert.to_bool,
    "__int__": lambda self: int(convert.item(self)),
    "__float__": lambda self: float(convert.item(self)),
    "__complex__": lambda self: complex(convert.item(self)),
    "__index__": convert.to_index,
    "__contains__": convert.contains,
    "__format__": convert.formatted,
    "__hash__": object.__hash__,
    "__repr__": printing.represent,
    "__deepcopy__": convert.deepcopy,
    "__reduce_ex__": convert.reduce_ex,
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
    "__neg__": elementwise.neg,
    "__pos__": elementwise.positive,
    "__abs__": elementwise.abs,
    "__invert__": bitwise.bitwise_not,
    "angle": complexes.angle,
    "i0": more_special.i0,
    "geqrf": _late("reflections", "geqrf"),
    "orgqr": _late("reflections", "orgqr"),
    "lu": lambda self, pivot=True, get_infos=False: older.lu(self, pivot, get_infos),
    "igamma": more_special.gammainc,
    "igammac": more_special.gammaincc,
    "mvlgamma": more_special.multigammaln,
    "polygamma": lambda self, n: transcendental.polygamma(n, self),
    "resolve_conj": complexes.resolve_conj,
    "resolve_neg": complexes.resolve_neg,
    "hardshrink": composite.hardshrink,
    "prelu": composite.prelu,
}
LATER = {
    "odds": "apply_ map_ map2_ dim_order is_conj is_neg is_distributed",
    "asked": "to_dense dense_dim sparse_dim is_coalesced record_stream is_set_to set_ resize "
    "resize_as reinforce module_load xpu mtia ipu",
}
MORE |= {name: _late(file, name) for file in LATER for name in LATER[file].split()}
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "truediv": elementwise.true_divide,
    "floordiv": rounding.floor_divide,
    "mod": rounding.remainder,
    "pow": transcendental.pow,
    "matmul": linalg.matmul,
    "and": bitwise.bitwise_and,
    "or": bitwise.bitwise_or,
    "xor": bitwise.bitwise_xor,
    "lshift": bitwise.bitwise_left_shift,
    "rshift": bitwise.bitwise_right_shift,
}
COMPARISONS = {name: getattr(compare, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def _attach_all() -> None:
    for module in SOURCES:
        for name in module.__all__:
            function = getattr(module, name)
            if name not in NOT_METHODS and callable(function) and not isinstance(function, type):
                attach(name, function)
    for name in ACTIVATIONS:
        attach(name, getattr(composite, name))
    for name, function in (MORE | convert.CASTERS).items():
        attach(name, function)
    for name, function in OPERATORS.items():
        attach(f"__{name}__", _operator(function))
        attach(f"__r{name}__", _reflected(function))
        attach(f"__i{name}__", _augmented(name, function))
    attach("__rdiv__", _reflected(elementwise.true_divide))
    for name, function in COMPARISONS.items():
        attach(f"__{name}__", _comparison(function))


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
    WRITERS[method] = _op_of(name)
    return method


def _augmented(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
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


def zero_(self: Tensor) -> Tensor:
    return self if fill_unseen(self, 0) else fill_(self, 0)


def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Other sizes for the tensor itself: as many elements as it has so far keep their values (and
    their memory, where they lie in order), further ones are 0.
    """
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


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the sizes of another tensor."""
    return resize_(self, the_template.array.shape)


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
        made = function(self, *args, **options)
        self.array, self.node, self.tracked = made.array, made.node, made.tracked
        return self

    method.__name__ = f"{name}_"
    method.__doc__ = f"`{name}`, of the tensor itself."
    return method


def _attach_in_place() -> None:
    for name in WRITTEN:
        function = getattr(Tensor, name, None)
        if function is not None:
            attach(f"{name}_", in_place(name, function))
    for name in SHAPED:
        attach(f"{name}_", _shaped(name, getattr(Tensor, name)))
    for function in (copy_, fill_, zero_, fill_diagonal_, resize_, resize_as_):
        attach(function.__name__, function)


# What belongs to gradients and is not a computation.


def _get_requires_grad(self: Tensor) -> bool:
    return current(self).tracked


def _set_requires_grad(self: Tensor, value: bool) -> None:
    if value and self.array.dtype.kind not in "fcV":
        raise DTypeError(
            "requires_grad",
            "only floating and complex tensors have gradients",
            input=type_of(self),
            hint="x.float().requires_grad_()",
        )
    if not value and self.node is not None:
        raise GradientError(
            "requires_grad", "only a leaf can stop requiring a gradient", hint="x.detach()"
        )
    if self.tracked is not bool(value):
        if mode.capture is not None:
            mode.capture.note_flag(self)
        leaf_changed(self)
    self.tracked = bool(value)


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Ask for this leaf's gradient (or no longer), and give the tensor back."""
    _set_requires_grad(self, requires_grad)
    return self


def _get_node(self: Tensor) -> Node | None:
    return current(self).node


def detach(self: Tensor) -> Tensor:
    """The same memory without the history: writes are seen through both."""
    return alias(self)


def detach_(self: Tensor) -> Tensor:
    """Forget the history of the tensor itself. Nodes that saved it can no longer be walked."""
    if self.node is not None:
        touched(self)
    self.node, self.tracked = None, False
    return self


def _get_data(self: Tensor) -> Tensor:
    memory_given(self)
    return wrap(self.array)


def _set_data(self: Tensor, value: Tensor) -> None:
    if mode.capture is not None:
        overwrite(self, value.array, "data")
        return
    self.array = value.array
    Exchanged.times += 1


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one axis."""
    return Size(self.array.shape) if dim is None else self.array.shape[dim]


def _set_real(self: Tensor, value: Any) -> None:
    copy_(complexes.real(self), value)


def _set_imag(self: Tensor, value: Any) -> None:
    copy_(complexes.imag(self), value)


PROPERTIES = {
    "requires_grad": property(_get_requires_grad, _set_requires_grad),
    "is_leaf": property(
        lambda self: _get_node(self) is None, doc="Whether no recorded operation made the tensor."
    ),
    "grad_fn": property(_get_node),
    "data": property(_get_data, _set_data),
    "device": property(device_of),
    "T": property(
        lambda self: movement.permute(self, tuple(range(self.array.ndim))[::-1]),
        doc="The axes in reverse order, as a view.",
    ),
    "mT": property(
        lambda self: movement.transpose(self, -2, -1), doc="The last two axes exchanged, as a view."
    ),
    "real": property(complexes.real, _set_real),
    "imag": property(complexes.imag, _set_imag),
    "mH": property(views.adjoint),
    "H": property(lambda self: elementwise.conj(movement.t(self))),
    "itemsize": property(lambda self: self.array.itemsize),
    "nbytes": property(lambda self: self.array.nbytes),
    "is_cuda": property(lambda self: False),
    "is_cpu": property(lambda self: device_of(self) is CPU),
    "is_meta": property(lambda self: device_of(self) is META),
    "layout": property(lambda self: strided),
    "_version": property(lambda self: root_of(self).version),
    "_base": property(lambda self: self.base if self.chain is not None else None),
    "name": property(lambda self: None),
    "volatile": property(lambda self: False),
}
NEITHER = "mps xpu sparse sparse_csr quantized nested xla mkldnn vulkan mtia ipu maia"
PROPERTIES |= {f"is_{kind}": property(lambda self: False) for kind in NEITHER.split()}


def _pinned(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: there is no device to copy to."""
    return self


def _is_pinned(self: Tensor, device: Any = None) -> bool:
    return False


PLAIN = {
    "requires_grad_": requires_grad_,
    "detach": detach,
    "detach_": detach_,
    "size": size,
    "dim": lambda self: self.array.ndim,
    "ndimension": lambda self: self.array.ndim,
    "numel": lambda self: whole(self.array.size),
    "nelement": lambda self: whole(self.array.size),
    "element_size": lambda self: self.array.itemsize,
    "is_floating_point": lambda self: self.dtype.is_floating_point,
    "is_complex": lambda self: self.dtype.is_complex,
    "is_signed": lambda self: self.dtype.is_signed,
    "get_device": lambda self: -1,
    "pin_memory": _pinned,
    "is_pinned": _is_pinned,
    "share_memory_": lambda self: self,
    "is_shared": lambda self: False,
    "is_inference": lambda self: False,
    "new": convert.new,
    "untyped_storage": storage.untyped_storage,
    "storage": storage.storage,
}
_attach_all()
_attach_in_place()
for _name, _value in (PROPERTIES | PLAIN).items():
    attach(_name, _value)
