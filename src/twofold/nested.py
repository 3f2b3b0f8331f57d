"""Batches of sequences of unequal lengths without padding, as PyTorch's nested tensors. Floor 12.

    batch = nested_tensor([x, y], layout=twofold.jagged)    # x f[3, 8], y f[5, 8]
    h = twofold.relu(linear(batch))                         # on the 8 rows that there are
    padded = h.to_padded_tensor(0.0)                        # f[2, 5, 16]

A NestedTensor is the rows of all sequences in one tensor, `values`, and where each begins,
`offsets`. It is no Tensor itself: functions that work row by row (elementwise ones, linear,
layer_norm, softmax, dropout) are taken over by `__torch_function__` and work on `values`; attention
goes sequence by sequence. Everything has gradients by what went in.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import numpy as np

from twofold import overrides
from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.layouts import Layout, strided
from twofold.exec import tensors as tier
from twofold.nn import functional as F
from twofold.on_values import OnValues
from twofold.ops.creation import as_tensor, full, zeros
from twofold.ops.joining import cat
from twofold.ops.selecting import index_add
from twofold.ops.tensor import Tensor, type_of

__all__ = ["NestedTensor", "as_nested_tensor", "jagged", "narrow", "nested_tensor"]
__all__ += ["nested_tensor_from_jagged", "to_padded_tensor"]

jagged = Layout("jagged")
# Functions that work on each number, or on each row, whichever sequence it is of.
EVERY = """
abs acos acosh add asin asinh atan atan2 atanh bitwise_not ceil clamp clone cos cosh deg2rad div eq
erf erfc exp exp2 expm1 floor fmod ge gt isfinite isinf isnan le lerp log log10 log1p log2
logical_and logical_not logical_or logit lt masked_fill maximum minimum mul nan_to_num ne neg pow
rad2deg reciprocal relu remainder round rsqrt sigmoid sign sin sinh sqrt square sub tan tanh
true_divide trunc where zeros_like ones_like full_like empty_like rand_like randn_like dropout
"""
ROWS = """
celu dropout elu gelu glu hardsigmoid hardswish hardtanh layer_norm leaky_relu linear logsigmoid
mish normalize relu relu6 rms_norm selu silu softplus softsign tanhshrink embedding
"""
METHODS = """
abs bfloat16 bool clamp clone cos cosh detach double erf exp float floor half int log log1p long
masked_fill neg nan_to_num pow reciprocal relu round rsqrt sigmoid sign sin sqrt square tanh to type
"""


@final
class NestedTensor(OnValues):
    """Sequences of rows in one tensor.

    values [rows of all sequences, ...], offsets i64[number + 1]: sequence i is the rows offsets[i]
    to offsets[i + 1] along the ragged axis, which is axis 1 unless it was transposed. In `shape`
    the length stands as None.
    """

    is_nested = True
    layout = jagged

    def __init__(self, values: Tensor, offsets: Tensor, ragged: int = 1) -> None:
        self._numbers, self._offsets, self._ragged_idx = values, offsets, ragged

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _own():
            return _own()[func](*args, **kwargs)
        if func in _shared():
            return _on_values(func, args, kwargs)
        return NotImplemented

    # ---- facts

    def values(self) -> Tensor:
        """The rows of all sequences."""
        return self._numbers

    _values = property(values)

    def offsets(self) -> Tensor:
        """Where each sequence begins, and the number of all rows."""
        return self._offsets

    def lengths(self) -> Tensor:
        """The number of rows of each sequence."""
        return self._offsets[1:] - self._offsets[:-1]

    @property
    def shape(self) -> tuple[int | None, ...]:
        sizes: list[int | None] = [len(self), *self._numbers.shape]
        sizes[self._ragged_idx] = None
        return tuple(sizes)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or a size of it. Raises ArgumentError for the axis of unequal lengths."""
        if dim is None:
            return self.shape
        found = self.shape[dim]
        if found is None:
            raise ArgumentError("size", f"sequences differ on axis {dim}", hint="lengths()")
        return found

    @property
    def ndim(self) -> int:
        return self._numbers.ndim + 1

    def numel(self) -> int:
        return self._numbers.numel()

    def is_contiguous(self) -> bool:
        return self._ragged_idx == 1 and self._numbers.is_contiguous()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __repr__(self) -> str:
        sizes = ", ".join("j" if n is None else str(n) for n in self.shape)
        return f"NestedTensor(size=({sizes}), offsets={self._offsets.tolist()}, {self.dtype})"

    # ---- other forms of the same

    def _with(self, values: Tensor) -> NestedTensor:
        return NestedTensor(values, self._offsets, self._ragged_idx)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The sequences. Raises ArgumentError for another axis than the first."""
        if dim % self.ndim:
            raise ArgumentError("unbind", f"dim={dim}", hint="0: the sequences")
        return self._numbers.split(self.lengths().tolist(), self._ragged_idx - 1)

    def __iter__(self) -> Any:
        return iter(self.unbind())

    def __getitem__(self, place: Any) -> Any:
        """One sequence, or several as a NestedTensor."""
        parts = self.unbind()
        if isinstance(place, int):
            return parts[place]
        return as_nested_tensor(list(parts[place]), layout=jagged)

    def to_padded_tensor(self, padding: float, output_size: Sequence[int] | None = None) -> Tensor:
        """A tensor of equal lengths, the longest's or that of output_size, `padding` at the ends.

        Raises ShapeError where a sequence does not fit into output_size.
        """
        axis = self._ragged_idx - 1
        rows = self._numbers.movedim(axis, 0)
        lengths = self.lengths().numpy()
        longest = int(lengths.max()) if len(lengths) else 0
        size = list(self.shape)
        size[self._ragged_idx] = longest
        wanted = size if output_size is None else list(output_size)
        if len(wanted) != len(size) or any(w < n for w, n in zip(wanted, size, strict=True)):  # type: ignore[operator]
            raise ShapeError("to_padded_tensor", f"{wanted} is smaller than {size}")
        which = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(len(which)) - self._offsets.numpy()[which]
        made = full((len(lengths), longest, *rows.shape[1:]), padding, dtype=self.dtype)
        made = made.index_put((as_tensor(which), as_tensor(place)), rows)
        made = made.movedim(1, self._ragged_idx)
        missing = [n for w, s in zip(wanted[::-1], size[::-1], strict=True) for n in (0, w - s)]  # type: ignore[operator]
        return F.pad(made, missing, value=padding) if any(missing) else made

    def transpose(self, dim0: int, dim1: int) -> NestedTensor:
        """Two axes change places. Raises ArgumentError for the first one, of the sequences."""
        first, second = dim0 % self.ndim, dim1 % self.ndim
        if not first or not second:
            raise ArgumentError("transpose", "axis 0 is that of the sequences", hint="1 or more")
        turn = {first: second, second: first}
        ragged = turn.get(self._ragged_idx, self._ragged_idx)
        values = self._numbers.transpose(first - 1, second - 1)
        return NestedTensor(values, self._offsets, ragged)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> NestedTensor:
        """An axis behind the ragged one as several. Raises ArgumentError for another."""
        axis = self._behind("unflatten", dim)
        return self._with(self._numbers.unflatten(axis - 1, sizes))

    def flatten(self, start_dim: int, end_dim: int = -1) -> NestedTensor:
        """Axes behind the ragged one as one. Raises ArgumentError for others."""
        first, last = self._behind("flatten", start_dim), self._behind("flatten", end_dim)
        return self._with(self._numbers.flatten(first - 1, last - 1))

    def _behind(self, op: str, dim: int) -> int:
        axis = dim % self.ndim
        if axis <= self._ragged_idx:
            hint = f"an axis behind {self._ragged_idx}"
            raise ArgumentError(op, f"sequences differ on axis {self._ragged_idx}", hint=hint)
        return axis

    def contiguous(self) -> NestedTensor:
        return self._with(self._numbers.contiguous())

    # ---- sums and products

    def sum(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Of everything, of each sequence (the ragged axis: a tensor), or along another axis."""
        if dim is None:
            return self._numbers.sum()
        axis = dim % self.ndim
        if not axis:
            raise ArgumentError("sum", "axis 0 is that of the sequences", hint="1 or more, or None")
        if axis != self._ragged_idx:
            values = self._numbers.sum(axis - 1, keepdim)
            moved = 0 if keepdim or axis > self._ragged_idx else 1
            return NestedTensor(values, self._offsets, self._ragged_idx - moved)
        rows = self._numbers.movedim(axis - 1, 0)
        which = np.repeat(np.arange(len(self)), self.lengths().numpy())
        made = index_add(
            zeros(len(self), *rows.shape[1:], dtype=rows.dtype), 0, as_tensor(which), rows
        )
        return made.unsqueeze(axis) if keepdim else made

    def mean(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Of everything, of each sequence, or along another axis."""
        if dim is None:
            return self._numbers.mean()
        total = self.sum(dim, keepdim)
        if dim % self.ndim != self._ragged_idx:
            return total / self._numbers.shape[dim % self.ndim - 1]
        counts = self.lengths().to(self.dtype)
        return total / counts.reshape(-1, *[1] * (total.ndim - 1))

    def matmul(self, other: Any) -> NestedTensor:
        """Each row with a matrix f[n, m]; sequence by sequence with another NestedTensor."""
        if isinstance(other, NestedTensor):
            return _each(operator.matmul, self, other)
        return self._with(self._numbers @ other)

    __matmul__ = matmul


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def forward(self: NestedTensor, other: Any) -> Any:
        return _on_values(function, (self, other), {})

    return forward


def _turned(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def backward(self: NestedTensor, other: Any) -> Any:
        return _on_values(function, (other, self), {})

    return backward


def _method(name: str) -> Callable[..., Any]:
    def method(self: NestedTensor, *args: Any, **kwargs: Any) -> Any:
        return _on_values(getattr(Tensor, name), (self, *args), kwargs)

    method.__doc__ = f"Tensor.{name} of every number."
    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(NestedTensor, f"__{_name}__", _operator(_name))
    setattr(NestedTensor, f"__r{_name}__", _turned(_name))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(NestedTensor, f"__{_name}__", _operator(_name))
for _name in METHODS.split():
    setattr(NestedTensor, _name, _method(_name))
NestedTensor.__neg__ = NestedTensor.neg  # type: ignore[attr-defined]
NestedTensor.__hash__ = object.__hash__  # type: ignore[method-assign]


# ---- functions on them ---------------------------------------------------------------------------


def _on_values(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A function of rows, on the rows of all sequences. Raises ShapeError for unequal lengths, and
    for a tensor that has an axis of sequences.
    """
    if not _tables:
        _fill()
    given = [x for x in (*args, *kwargs.values()) if isinstance(x, NestedTensor)]
    first = given[0]
    for other in given[1:]:
        same = (
            other._offsets is first._offsets or other._offsets.tolist() == first._offsets.tolist()
        )
        if not same or other._ragged_idx != first._ragged_idx:
            raise ShapeError(_name_of(function), "the sequences have other lengths")
    for x in () if function in _tables[2] else args:
        if isinstance(x, Tensor) and x.ndim >= first._numbers.ndim:
            hint = "a tensor of the last axes, or a NestedTensor"
            problem = "a tensor has no sequences"
            raise ShapeError(_name_of(function), problem, hint=hint, x=type_of(x))
    plain = [x._numbers if isinstance(x, NestedTensor) else x for x in args]
    named = {k: x._numbers if isinstance(x, NestedTensor) else x for k, x in kwargs.items()}
    return first._with(function(*plain, **named))


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", "nested")


def _each(function: Callable[..., Tensor], *given: NestedTensor, **options: Any) -> NestedTensor:
    """A function on the sequences one by one, its results side by side."""
    made = [function(*parts, **options) for parts in zip(*given, strict=True)]
    axis = given[0]._ragged_idx - 1
    return NestedTensor(cat(made, axis), given[0]._offsets, given[0]._ragged_idx)


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def of(input: NestedTensor, dim: int, **options: Any) -> NestedTensor:
        axis = dim % input.ndim
        if axis == input._ragged_idx:
            return _each(lambda x: function(x, axis - 1, **options), input)
        return input._with(function(input._numbers, axis - 1, **options))

    return of


def _attention(
    query: NestedTensor, key: NestedTensor, value: NestedTensor, **options: Any
) -> NestedTensor:
    """Attention of each sequence by itself: [sequences, heads, length, features]."""
    if options.get("attn_mask") is not None:
        hint = "is_causal=True, or no mask"
        raise ArgumentError("scaled_dot_product_attention", "sequences take no mask", hint=hint)
    return _each(F.scaled_dot_product_attention, query, key, value, **options)


_tables: list[Any] = []


def _public(name: str) -> Any:
    return getattr(sys.modules["twofold"], name)


def _fill() -> None:
    rows = {getattr(F, name) for name in ROWS.split()}  # which take weights of as many axes
    shared = rows | {_public(name) for name in EVERY.split()}
    own: dict[Any, Any] = {
        F.scaled_dot_product_attention: _attention,
        _public("matmul"): NestedTensor.matmul,
        _public("sum"): NestedTensor.sum,
        _public("mean"): NestedTensor.mean,
        _public("transpose"): NestedTensor.transpose,
        _public("unbind"): NestedTensor.unbind,
    }
    for module in (F, None):
        for name in ("softmax", "log_softmax"):
            function = _public(name) if module is None else getattr(module, name)
            own[function] = _softmax(function)
    for name in ("add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge", "pow", "div"):
        shared.add(getattr(Tensor, name))
        for word in (f"__{name}__", f"__r{name}__"):
            shared.add(getattr(Tensor, word, None))
    _tables[:] = [own, shared, rows]


# Functions are others where machine code comes or goes.
tier.watchers.append(lambda _: _tables.clear())


def _own() -> dict[Any, Any]:
    if not _tables:
        _fill()
    return _tables[0]  # type: ignore[no-any-return]


def _shared() -> set[Any]:
    if not _tables:
        _fill()
    return _tables[1]  # type: ignore[no-any-return]


# ---- making them ---------------------------------------------------------------------------------


def as_nested_tensor(
    ts: Any, dtype: DType | None = None, device: Any = None, layout: Layout | None = None
) -> NestedTensor:
    """Tensors [length, ...] of one type, or one tensor [number, length, ...], with their gradients.

    Raises ShapeError where they differ on another axis than the first, ArgumentError for none.
    """
    if layout not in (None, strided, jagged):
        raise ArgumentError("nested_tensor", f"layout={layout!r}", hint="twofold.jagged")
    if isinstance(ts, NestedTensor):
        return ts if dtype is None else ts.to(dtype)  # type: ignore[attr-defined, no-any-return]
    parts = [as_tensor(x, dtype=dtype, device=device) for x in ts]
    if not parts or not parts[0].ndim:
        hint = "a list of tensors with one axis or more"
        raise ArgumentError("nested_tensor", "there are no sequences", hint=hint)
    for x in parts:
        if x.shape[1:] != parts[0].shape[1:]:
            problem = "sequences differ on the first axis alone"
            raise ShapeError("nested_tensor", problem, first=type_of(parts[0]), other=type_of(x))
    offsets = np.cumsum([0, *(len(x) for x in parts)])
    return NestedTensor(cat(parts), as_tensor(offsets.astype(np.int64)))


def nested_tensor(
    tensor_list: Iterable[Any],
    *,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> NestedTensor:
    """Sequences of the tensors' or lists' numbers, a leaf. Raises what as_nested_tensor raises."""
    made = as_nested_tensor(list(tensor_list), dtype, device, layout)
    return made._with(made._numbers.detach().clone().requires_grad_(requires_grad))


def nested_tensor_from_jagged(
    values: Tensor,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
    jagged_dim: int | None = None,
    min_seqlen: int | None = None,
    max_seqlen: int | None = None,
) -> NestedTensor:
    """Sequences that lie in `values` already, by offsets i64[number + 1] or by lengths i64[number].

    jagged_dim: the axis of unequal lengths, counted with that of the sequences; 1 unless given.
    Raises ArgumentError without either, and where they do not add up to the rows of values.
    """
    op = "nested_tensor_from_jagged"
    ragged = 1 if jagged_dim is None else jagged_dim
    if not 1 <= ragged <= values.ndim:
        raise ArgumentError(op, f"jagged_dim={jagged_dim}", hint=f"1 to {values.ndim}")
    if offsets is None:
        if lengths is None:
            raise ArgumentError(op, "neither offsets nor lengths are given")
        offsets = as_tensor(np.cumsum([0, *lengths.tolist()]).astype(np.int64))
    elif lengths is not None:
        raise ArgumentError(op, "offsets say the lengths", hint="without holes: one of both")
    found = offsets.numpy()
    if (
        not len(found)
        or found[0]
        or found[-1] != values.shape[ragged - 1]
        or (np.diff(found) < 0).any()
    ):
        hint = f"0 first, never less, {values.shape[ragged - 1]} last"
        raise ArgumentError(op, "offsets do not cut the rows into sequences", hint=hint)
    return NestedTensor(values, offsets.to(dtypes.int64), ragged)


def to_padded_tensor(
    input: NestedTensor, padding: float, output_size: Sequence[int] | None = None
) -> Tensor:
    """NestedTensor.to_padded_tensor."""
    return input.to_padded_tensor(padding, output_size)


def narrow(
    tensor: Tensor, dim: int, start: Any, length: Any, layout: Layout = jagged
) -> NestedTensor:
    """length[i] rows from start[i] of each row i of a tensor [number, rows, ...]: dim is 1.

    start, length: a number for all, or i64[number]. Raises ArgumentError for another dim.
    """
    if dim != 1:
        raise ArgumentError("nested.narrow", f"dim={dim}", hint="1")
    count = len(tensor)
    begins, lengths = (np.broadcast_to(np.asarray(x), (count,)).tolist() for x in (start, length))
    parts = [x[b : b + n] for x, b, n in zip(tensor, begins, lengths, strict=True)]
    return as_nested_tensor(parts, layout=layout)


overrides.install()  # which asks classes that are no tensors, from now on
