"""Which functions are methods of Tensor, and its operators. Floor 4."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from twofold.base.devices import CPU, META
from twofold.base.errors import DTypeError, GradientError
from twofold.base.layouts import strided
from twofold.base.symbols import whole
from twofold.ops import (
    assigning,
    bitwise,
    compare,
    complexes,
    composite,
    convert,
    counting,
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
    splitting,
    statistics,
    storage,
    transcendental,
    triangles,
    views,
)
from twofold.ops.bind import bind, current, mode, refresh
from twofold.ops.guarding import guarded
from twofold.ops.rules import NUMBERS, as_tensor
from twofold.ops.stand_in import device_of, has_slope
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
from twofold.ops.writers import augmented, copy_, methods_of
from twofold.ops.writing import alias, overwrite, touched


def attach(name: str, function: Any) -> None:
    """Make `function` the Tensor method (or property) `name`."""
    setattr(Tensor, name, function)


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def reflected(self: Tensor, other: Any) -> Any:
        if isinstance(other, TAKEN):
            return function(other, self)
        return _not_taken(function, other, other, self)

    return reflected


def _operator(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, TAKEN):
            return function(self, other)
        return _not_taken(function, other, self, other)

    return operator


def _comparison(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def comparison(self: Tensor, other: Any) -> Any:
        return function(self, other) if isinstance(other, TAKEN) else NotImplemented

    return comparison


class Asked:
    """Who asks the classes of operands (overrides.py), once somebody wants it."""

    functions: ClassVar[list[Callable[..., Any]]] = []


def _not_taken(function: Callable[..., Tensor], other: Any, *operands: Any) -> Any:
    """NotImplemented, so that the other class may know better; DTypeError where none can."""
    if hasattr(type(other), "__torch_function__"):
        for ask in Asked.functions:
            method = getattr(Tensor, function.__name__, function)  # as programs name it
            return ask(method, operands, *operands)
    if isinstance(other, NEVER) and not (function is elementwise.mul and isinstance(other, TIMES)):
        as_tensor(other, function.__name__, "other")
    return NotImplemented


TAKEN = (Tensor, *NUMBERS, np.ndarray)
NEVER = (str, bytes, list, tuple, dict, set, type(None))
TIMES = (str, bytes, list, tuple)  # which a whole number repeats

# Every function of these modules whose first parameter is the tensor is a method of the same name.
SOURCES: tuple[Any, ...] = (
    elementwise, bitwise, compare, rounding, transcendental, movement, views, splitting, joining,
    padding, reduce, linalg, statistics, normalize, gather, assigning, selecting, sorting, products,
    counting, spectral, older, distances, replacing, quantiles, triangles, storage,
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
    "split": lambda self, split_size, dim=0: splitting.split(self, split_size, dim),
    "expand_as": views.expand_as,
    "unfold": views.unfold,
    "repeat": joining.repeat,
    "contiguous": joining.contiguous,
    "index_fill": selecting.index_fill,
    "index_put_": assigning.index_put_,
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
    "__array_wrap__": convert.array_wrap,
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
    "__setitem__": assigning.setitem,
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
    "sharing": "share_memory_ is_shared",
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
        attach(f"__i{name}__", augmented(name, function))
    attach("__rdiv__", _reflected(elementwise.true_divide))
    for name, function in COMPARISONS.items():
        attach(f"__{name}__", _comparison(function))


# What belongs to gradients and is not a computation.


def _get_requires_grad(self: Tensor) -> bool:
    if mode.capture is not None:
        mode.capture.remember(self)  # a program is made for what it is
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
    if mode.capture is not None:
        mode.capture.remember(self)
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


@guarded
def detach(self: Tensor) -> Tensor:
    """The same memory without the history and the slopes: writes are seen through both."""
    if mode.capture is not None and mode.capture.slopes:
        return bind(movement.DETACH, (self,))  # type: ignore[no-any-return]
    return without_slopes(self) if has_slope(self) else alias(self)


@guarded
def detach_(self: Tensor) -> Tensor:
    """Forget the history of the tensor itself. Nodes that saved it can no longer be walked."""
    if self.node is not None:
        touched(self)
    if has_slope(self):
        self.array = without_slopes(self).array
    self.node, self.tracked = None, False
    return self


def without_slopes(x: Tensor) -> Tensor:
    """A tensor inside of jvp, of however many, on the same numbers and without slopes."""
    if x.base is not None and x.version != x.base.version:
        refresh(x)
    array: Any = x.array
    return array.through(detach)  # type: ignore[no-any-return]


def _get_data(self: Tensor) -> Tensor:
    if has_slope(self):
        return without_slopes(self)
    memory_given(self)
    made = wrap(self.array)
    if mode.capture is not None:
        mode.capture.note_alias(made, self)
    return made


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise DTypeError("data", f"a {type(value).__name__} is no tensor", hint="x.data = tensor")
    if self.tracked and value.array.dtype.kind not in "fcV":
        raise DTypeError(
            "data",
            "a tensor that requires a gradient holds floating or complex numbers",
            input=type_of(self),
            data=type_of(value),
            hint="x.requires_grad_(False) before",
        )
    if mode.capture is not None and not mode.capture.takes_over(self, value):
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
    "is_inference": lambda self: False,
    "new": convert.new,
    "untyped_storage": storage.untyped_storage,
    "storage": storage.storage,
}
_attach_all()
for _name, _value in (*methods_of(Tensor), *PROPERTIES.items(), *PLAIN.items()):
    attach(_name, _value)
