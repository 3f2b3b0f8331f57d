"""Operations under the names that PyTorch's dispatcher has: `ops.aten.add.Tensor(a, b)`. Floor 13.

Most names are those of functions of `twofold`, of methods, or of `linalg`, `fft`, `special` and
`nn.functional`, with the same arguments; OWN has the others. An overload (`.Tensor`, `.Scalar`,
`.default`) names the kind of arguments, which a function here sees by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, final

from twofold.base.errors import MissingNameError
from twofold.nn import functional as F
from twofold.nn import native_functions
from twofold.ops.tensor import Tensor

__all__ = ["Namespace", "Overload", "Packet", "aten"]

# What PyTorch adds to the name of an operation to tell its forms apart.
OVERLOADS = frozenset(
    [
        "default",
        "Tensor",
        "Scalar",
        "out",
        "Scalar_out",
        "Tensor_out",
        "Scalar_Tensor",
        "Tensor_Scalar",
        "Tensor_Tensor",
        "self",
        "self_out",
        "ScalarSelf",
        "ScalarOther",
        "SelfScalar",
        "OtherScalar",
        "SelfTensor",
        "int",
        "dim",
        "dim_IntList",
        "IntList_out",
        "dim_out",
        "int_out",
        "dim_int",
        "dims",
        "dim_other",
        "dim_max",
        "dim_min",
        "other",
        "correction",
        "correction_names",
        "unbiased_dim",
        "memory_format",
        "names",
        "Tensor_mode",
        "Scalar_mode",
        "start",
        "step",
        "start_step",
        "start_out",
        "stable",
        "values",
        "values_stable",
        "sizes",
        "size",
        "shape",
        "source",
        "dtype",
        "device",
        "float",
        "float_out",
        "p",
        "low",
        "generator",
        "grad_input",
        "vec",
        "vec_out",
        "padding",
        "Padding",
        "value",
        "Tensor_indices",
        "src",
        "indices",
        "ScalarOpt_dim",
        "ScalarOpt_dim_dtype",
        "ScalarOpt_dtype",
        "dim_ScalarOpt",
        "Tensor_dim",
        "norm",
        "mode",
        "stream_read",
        "input",
        "Tensor_Dimname",
        "Dimname",
        "str",
        "bool",
        "complex",
        "t",
        "List",
        "ScalarList",
        "TensorAlphaScalar",
        "Scalarlist",
        "ScalarTensor",
        "Tensor_dtype",
        "Scalar_complex",
        "from",
        "self_int",
    ]
)
REDUCTIONS = ("none", "mean", "sum")
PREFIXES = {"linalg_": "linalg", "special_": "special", "fft_": "fft", "_foreach_": ""}


def _slice(x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    """The part from start to end along one axis."""
    places = [slice(None)] * x.ndim  # type: ignore[attr-defined]
    places[dim] = slice(start, None if end is not None and end >= sys.maxsize else end, step)
    return x[tuple(places)]  # type: ignore[index, no-any-return]


def _index(x: Tensor, indices: Iterable[Any]) -> Tensor:
    """x[indices], where None stands for all of an axis."""
    return x[tuple(slice(None) if i is None else i for i in indices)]  # type: ignore[index, no-any-return]


def _index_put(x: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    return _index_put_(x.clone(), indices, values, accumulate)  # type: ignore[attr-defined]


def _index_put_(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    key = tuple(slice(None) if i is None else i for i in indices)
    if all(isinstance(i, Tensor) for i in key):
        return x.index_put_(key, values, accumulate)  # type: ignore[no-any-return]
    x[key] = x[key] + values if accumulate else values
    return x  # type: ignore[no-any-return]


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    """A convolution over as many axes as there are, or the one that goes back."""
    axes = weight.ndim - 2  # type: ignore[attr-defined]
    settings = [_each(n, axes) for n in (stride, padding, output_padding, dilation)]
    if transposed:
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
        return function(x, weight, bias, *settings[:3], groups, settings[3])
    function = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    return function(x, weight, bias, settings[0], settings[1], settings[3], groups)


def _each(value: Any, axes: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _to_copy(x: Any, **options: Any) -> Any:
    wanted = {k: v for k, v in options.items() if k in ("dtype", "device") and v is not None}
    return x.to(copy=True, **wanted) if wanted else x.clone()


def _loss(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss whose reduction is 0 for "none", 1 for "mean" and 2 for "sum"."""

    def loss(x: Tensor, target: Tensor, reduction: int = 1, **options: Any) -> Any:
        return function(x, target, reduction=REDUCTIONS[reduction], **options)

    return loss


def _threshold_backward(grad_output: Any, x: Any, threshold: Any) -> Any:
    return grad_output.masked_fill(x <= threshold, 0)


def _attention(query: Any, key: Any, value: Any, *args: Any, **options: Any) -> Any:
    return F.scaled_dot_product_attention(query, key, value, *args, **options)


def _resized(kind: str) -> Callable[..., Any]:
    """interpolate with a size, or with factors: one list, or a number for each axis."""

    def resize(x: Tensor, size: Any, *rest: Any) -> Any:
        corners = rest[0] if kind != "nearest" and rest else None
        factors = None if size is not None else rest[-1]
        return F.interpolate(x, size, factors, kind, corners)

    return resize


OWN: dict[str, Callable[..., Any]] = {
    "_adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "_adaptive_avg_pool3d": F.adaptive_avg_pool3d,
    "_local_scalar_dense": lambda x: x.item(),
    "_log_softmax": lambda x, dim, half_to_float: F.log_softmax(x, dim),
    "_reshape_alias": lambda x, size, stride: x.reshape(size),
    "_softmax": lambda x, dim, half_to_float: F.softmax(x, dim),
    "_to_copy": _to_copy,
    "_unsafe_view": lambda x, size: x.reshape(size),
    "_conj": lambda x: x.conj(),
    "alias": lambda x: x.view(x.shape),
    "binary_cross_entropy": lambda x, y, weight=None, reduction=1: F.binary_cross_entropy(
        x, y, weight, reduction=REDUCTIONS[reduction]
    ),
    "clone": lambda x, memory_format=None: x.clone(),
    "convolution": _convolution,
    "cross_entropy_loss": lambda x, y, weight=None, reduction=1, ignore_index=-100, smooth=0.0: (
        F.cross_entropy(
            x, y, weight, ignore_index=ignore_index, reduction=REDUCTIONS[reduction],
            label_smoothing=smooth,
        )
    ),
    "elu": lambda x, alpha=1.0, scale=1.0, input_scale=1.0: (
        F.elu(x * input_scale, alpha) * scale if (scale, input_scale) != (1, 1) else F.elu(x, alpha)
    ),
    "fill": lambda x, value: x.clone().fill_(value),
    "huber_loss": lambda x, y, reduction=1, delta=1.0: F.huber_loss(
        x, y, reduction=REDUCTIONS[reduction], delta=delta
    ),
    "index": _index,
    "index_put": _index_put,
    "index_put_": _index_put_,
    "l1_loss": _loss(F.l1_loss),
    "layer_norm": lambda x, shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True: (
        F.layer_norm(x, shape, weight, bias, eps)
    ),
    "lift_fresh": lambda x: x,
    "lift_fresh_copy": lambda x: x.clone(),
    "max_pool2d_with_indices": lambda *args: F.max_pool2d(*args, return_indices=True),
    "mse_loss": _loss(F.mse_loss),
    "native_batch_norm": native_functions.native_batch_norm,
    "native_dropout": native_functions.native_dropout,
    "native_group_norm": native_functions.native_group_norm,
    "native_layer_norm": native_functions.native_layer_norm,
    "nll_loss": lambda x, y, weight=None, reduction=1, ignore_index=-100: F.nll_loss(
        x, y, weight, ignore_index=ignore_index, reduction=REDUCTIONS[reduction]
    ),
    "pad": F.pad,
    "repeat": lambda x, repeats: x.repeat(*repeats),
    "scaled_dot_product_attention": _attention,
    "scalar_tensor": lambda s, **options: _package().tensor(s, **options),
    "sigmoid_backward": lambda g, out: g * (1 - out) * out,
    "slice": _slice,
    "smooth_l1_loss": lambda x, y, reduction=1, beta=1.0: F.smooth_l1_loss(
        x, y, reduction=REDUCTIONS[reduction], beta=beta
    ),
    "soft_margin_loss": _loss(F.soft_margin_loss),
    "sym_numel": lambda x: x.numel(),
    "sym_size": lambda x, dim=None: x.size() if dim is None else x.size(dim),
    "sym_storage_offset": lambda x: x.storage_offset(),
    "sym_stride": lambda x, dim=None: x.stride() if dim is None else x.stride(dim),
    "split": lambda x, size, dim=0: list(x.split(size, dim)),
    "split_with_sizes": lambda x, sizes, dim=0: list(x.split(sizes, dim)),
    "tanh_backward": lambda g, out: g * (1 - out * out),
    "threshold_backward": _threshold_backward,
    "unbind": lambda x, dim=0: list(x.unbind(dim)),
    "upsample_bicubic2d": _resized("bicubic"),
    "upsample_bilinear2d": _resized("bilinear"),
    "upsample_linear1d": _resized("linear"),
    "upsample_nearest1d": _resized("nearest"),
    "upsample_nearest2d": _resized("nearest"),
    "upsample_nearest3d": _resized("nearest"),
    "upsample_trilinear3d": _resized("trilinear"),
}  # fmt: skip


def _package() -> Any:
    return sys.modules["twofold"]


def _found(name: str) -> Callable[..., Any] | None:
    """The function that an operation of PyTorch's is here."""
    if name in OWN:
        return OWN[name]
    places: list[Any] = [_package()]
    plain = name
    for prefix, module in PREFIXES.items():
        if module and name.startswith(prefix):
            places, plain = [getattr(_package(), module)], name.removeprefix(prefix)
    if plain == name:
        places += [F, Tensor]
    for place in places:
        made = getattr(place, plain, None)
        if callable(made) and not isinstance(made, type):
            return made  # type: ignore[no-any-return]
    return None


@final
class Overload:
    """One form of an operation: `aten.add.Tensor`. Call it as the function."""

    def __init__(self, packet: Packet, name: str) -> None:
        self.overloadpacket = packet
        self._overloadname = name
        self.namespace = "aten"
        self.__name__ = f"{packet.__name__}.{name}"
        self.__qualname__ = self.__name__
        self.__module__ = "twofold.ops.aten"
        self.function = packet.function

    op = property(lambda self: self.function)

    def name(self) -> str:
        """`aten::add.Tensor`, without `.default`."""
        own = "" if self._overloadname == "default" else f".{self._overloadname}"
        return f"aten::{self.overloadpacket.__name__}{own}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __str__(self) -> str:
        return f"aten.{self.__name__}"

    def __repr__(self) -> str:
        packet = self.overloadpacket.__name__
        return f"<OpOverload(op='aten.{packet}', overload='{self._overloadname}')>"

    def __reduce__(self) -> Any:
        return getattr, (self.overloadpacket, self._overloadname)


@final
class Packet:
    """An operation in all its forms: `aten.add`. Call it as the function."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.__name__ = self.__qualname__ = name
        self.__module__ = "twofold.ops.aten"
        self.function = function
        self._qualified_op_name = f"aten::{name}"

    op = property(lambda self: self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in OVERLOADS:
            raise MissingNameError(f"ops.aten.{self.__name__}", name, lambda: OVERLOADS)
        made = self.__dict__[name] = Overload(self, name)
        return made

    def __str__(self) -> str:
        return f"aten.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='aten.{self.__name__}')>"

    def __reduce__(self) -> Any:
        return _packet, (self.__name__,)


def _packet(name: str) -> Any:
    return getattr(aten, name)


@final
class Namespace:
    """`ops.aten`: operations by their names."""

    def __getattr__(self, name: str) -> Any:
        function = None if name.startswith("__") else _found(name)
        if function is None:
            raise MissingNameError("ops.aten", name, lambda: [*OWN, *dir(_package())])
        made = self.__dict__[name] = Packet(name, function)
        return made


aten = Namespace()
