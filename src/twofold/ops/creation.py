"""Tensors from values, and tensors from sizes. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, kind_of
from twofold.base.symbols import maximum
from twofold.ops import source
from twofold.ops.bind import mode, remark
from twofold.ops.guarding import guard
from twofold.ops.rules import check_sizes, deliver, sizes_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Array, Tensor, constructors, is_of_sizes, wrap
from twofold.ops.values import array_from, array_from_computed, computed, converted, with_sizes

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_permuted",
    "empty_strided",
    "eye",
    "from_numpy",
    "frombuffer",
    "full",
    "linspace",
    "logspace",
    "ones",
    "scalar_tensor",
    "tensor",
    "zeros",
]


def finish(array: Any, dtype: DType | None, requires_grad: bool) -> Tensor:
    """A tensor around a fresh array, converted, and tracked if asked for."""
    made = wrap(array if dtype is None else dtypes.convert(array, dtype))
    if requires_grad:
        made.requires_grad = True  # type: ignore[attr-defined]
    return made


def _known(array: Any, requires_grad: bool) -> Tensor:
    """The same of an array that comes of sizes and plain numbers alone."""
    made = finish(array, None, requires_grad)
    if mode.interpreter is not None and not requires_grad:
        remark("known", made)
    return made


def _dtype(dtype: Any) -> DType | None:
    return None if dtype is None else dtypes.as_dtype(dtype)


@source.placed
def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    layout: Any = None,
) -> Tensor:
    """A new tensor with a copy of the data: a number, nested lists, an array, or a tensor.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    wanted = _dtype(dtype)
    of_sizes = mode.capture is not None and is_of_sizes(data)
    if of_sizes:
        data = wrap(data.as_array())
    array = array_from(data, wide=wanted is not None)
    if wanted is not None and wanted.is_integer and not of_sizes:
        _check_range(array, wanted)
    made = array if wanted is None else converted(array, wanted)
    source = data.array if isinstance(data, Tensor) else data
    if made is source or (isinstance(source, np.ndarray) and np.may_share_memory(made, source)):
        made = made.copy()
    if not made.dtype.isnative:
        made = made.astype(made.dtype.newbyteorder("="))
    return finish(made, None, requires_grad)


def _check_range(array: Array, dtype: DType) -> None:
    """Refuse whole numbers that do not fit: they would wrap round."""
    if np.can_cast(array.dtype, dtype.numpy):
        return
    limits = np.iinfo(dtype.numpy)
    if (
        array.dtype.kind in "iuO"
        and array.size
        and not (array.min() >= limits.min and array.max() <= limits.max)
    ):
        raise ArgumentError("tensor", f"a number does not fit {dtype.name}", hint="a wider type")


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor, without a copy where the type allows."""
    if isinstance(data, Tensor):
        return data.to(device, dtype=dtype)  # type: ignore[attr-defined, no-any-return]
    return _as_tensor(data, dtype, device=device)


@source.placed
def _as_tensor(data: Any, dtype: Any, device: Any = None) -> Tensor:
    wanted = _dtype(dtype)
    array = array_from(data, "as_tensor", wide=wanted is not None)
    if wanted is not None and wanted.is_integer and not isinstance(data, np.ndarray):
        _check_range(array, wanted)
    return wrap(array if wanted is None else converted(array, wanted))


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:  # fmt: skip
    """The values as a tensor: of their memory where the type allows, or of another (`copy=True`).

    With `requires_grad=False` it is one that no gradient passes. Raises ArgumentError where
    `copy=False` and the values would have to be copied.
    """
    made: Any
    if copy and not isinstance(obj, Tensor):
        made = tensor(obj, dtype=dtype, device=device)
    else:
        made = as_tensor(obj, dtype, device)
        if copy and made is obj:
            made = made.clone()
    if copy is False and not _shares(made, obj):
        raise ArgumentError("asarray", "this needs a copy", hint="copy=None")
    if requires_grad is False and made.requires_grad:
        return made.detach()  # type: ignore[no-any-return]
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def _shares(made: Tensor, obj: Any) -> bool:
    """Whether there is nothing to copy, or nothing was."""
    values = obj.array if isinstance(obj, Tensor) else obj
    if not isinstance(values, np.ndarray) or values.dtype != made.array.dtype:
        return False
    return not values.size or np.may_share_memory(made.array, values)


def from_numpy(ndarray: Array) -> Tensor:
    """A tensor that shares the array's memory. Raises DTypeError for strings, objects and dates."""
    if not isinstance(ndarray, np.ndarray):
        raise DTypeError(
            "from_numpy", f"{kind_of(ndarray)} is not a NumPy array", hint="tensor(...)"
        )
    if is_of_sizes(ndarray):
        return wrap(ndarray.as_array(shares=True))  # type: ignore[attr-defined]
    ndarray = with_sizes(ndarray)
    dtypes.of(ndarray.dtype)
    if not ndarray.dtype.isnative:
        problem = f"the array's byte order is foreign ({ndarray.dtype.str})"
        raise DTypeError("from_numpy", problem, hint="tensor(array), which copies")
    return wrap(ndarray)


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector that shares the memory of a buffer."""
    array = np.frombuffer(buffer, dtypes.as_dtype(dtype).numpy, count, offset)
    return finish(array, None, requires_grad)


def _floating(dtype: Any) -> DType:
    return dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)


@source.placed
def zeros(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Zeros of a shape: `zeros(2, 3)` or `zeros((2, 3))`; float32 unless `dtype` is given.

    Raises ShapeError for a negative size, DTypeError for one that is no whole number.
    """
    made = _known(_zeros(_shape("zeros", sizes, size), _floating(dtype)), requires_grad)
    return made if out is None else deliver(made, out, "zeros")


def _zeros(shape: tuple[int, ...], dtype: DType) -> Array:
    return np.zeros(shape, dtype.numpy) if mode.capture is None else source.filled(shape, 0, dtype)


def _default_values(data: Any) -> Array:
    """The array of `Tensor([2, 3])`: of the default type."""
    dtype = dtypes.default_dtype()
    if mode.capture is None or not (computed(data) or is_of_sizes(data)):
        return np.array(data, dtype.numpy)
    return converted(array_from_computed(data, "Tensor", wide=True), dtype)


constructors[:] = [lambda sizes: _zeros(sizes, dtypes.default_dtype()), _default_values]


def _shape(op: str, sizes: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    shape = sizes_of(op, sizes, named)
    check_sizes(op, shape)
    if any(n < 0 for n in shape):
        raise ShapeError(op, f"{list(shape)} is not a shape", hint="sizes of 0 or more")
    return shape


@source.placed
def ones(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    out: Any = None,
) -> Tensor:
    """Ones of a shape: `ones(2, 3)` or `ones((2, 3))`; float32 unless `dtype` is given.

    Raises ShapeError for a negative size, DTypeError for one that is no whole number.
    """
    made = _known(source.filled(_shape("ones", sizes, size), 1, _floating(dtype)), requires_grad)
    return made if out is None else deliver(made, out, "ones")


@source.placed
def empty(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **_: Any,
) -> Tensor:
    """A tensor of a shape whose values are whatever the memory held."""
    shape, wanted = _shape("empty", sizes, size), _floating(dtype)
    if mode.capture is not None:
        return finish(source.filled(shape, 0, wanted), None, requires_grad)
    return finish(np.empty(shape, wanted.numpy), None, requires_grad)


@source.placed
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """An empty tensor whose elements lie at the given distances."""
    storage = _floating(dtype).numpy
    count = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else 0
    if len(size) != len(stride):
        problem = f"{len(size)} sizes and {len(stride)} strides"
        raise ShapeError("empty_strided", problem, hint="a stride for each size")
    memory = np.empty(count, storage)
    strides = tuple(s * storage.itemsize for s in stride)
    made = np.lib.stride_tricks.as_strided(memory, tuple(size), strides)
    return finish(made, None, requires_grad)


def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """An empty tensor whose axes lie in memory in the order that `physical_layout` gives."""
    order = tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        problem = f"physical_layout {order} is no order of {len(size)} axes"
        raise ArgumentError("empty_permuted", problem, hint="each axis once, the slowest first")
    stride, step = [0] * len(order), 1
    for axis in reversed(order):
        stride[axis], step = step, step * max(size[axis], 1)
    options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad}
    return empty_strided(size, stride, **options)


@source.placed
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    out: Any = None,
) -> Tensor:
    """One value everywhere: `full((2, 3), 7)`; its type is the value's unless given.

    Raises ArgumentError for a whole number that does not fit `dtype`.
    """
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value  # type: ignore[attr-defined]
    wanted = dtypes.scalar_dtype(value) if dtype is None else dtypes.as_dtype(dtype)
    if type(value) is int and wanted.is_integer:
        _check_range(np.asarray(value), wanted)
    made = finish(source.filled(_shape("full", (size,)), value, wanted), None, requires_grad)
    return made if out is None else deliver(made, out, "full")


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value  # type: ignore[attr-defined]


def _unread(x: Tensor) -> bool:
    """Whether only a run, or a lane of vmap, knows the number."""
    array: Any = x.array
    if stands_in(array):
        return True
    return mode.capture is not None and (
        not isinstance(array, np.ndarray) or mode.capture.reads_outside(array)
    )


def _between(start: Any, end: Any, steps: int, kind: DType) -> Tensor:
    """linspace of tensors whose numbers are not known, as inside of vmap; computed in float64."""
    first, last = [x.detach().double() if isinstance(x, Tensor) else x for x in (start, end)]  # type: ignore[attr-defined]
    places: Any = arange(steps, dtype=dtypes.float64)
    made = places * ((last - first) / max(steps - 1, 1)) + first
    ends = last if isinstance(last, Tensor) else full((), last, dtype=dtypes.float64)
    made = made.where(places < steps - 1, ends) if steps > 1 else made
    return made.to(kind)  # type: ignore[no-any-return]


def _towards_zero(value: Any) -> Any:
    """A number as an integer type has it: without its fraction."""
    return int(value) if isinstance(value, float) and math.isfinite(value) else value


@source.placed
def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    stop: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    out: Any = None,
) -> Tensor:
    """start, start + step, ... below end (or `stop`); `arange(n)` is 0 to n - 1. Integers give i64.

    Raises ArgumentError for a step of 0 or away from end, and for NaN and infinities.
    """
    if (
        dtype is end is stop is None
        and step == 1
        and start.__class__ is int
        and start >= 0
        and (mode.capture is None)
    ):
        made = _known(np.arange(start), requires_grad)
        return made if out is None else deliver(made, out, "arange")
    end = stop if end is None else end
    start, end, step = (
        _number(v) for v in ((0, start, step) if end is None else (start, end, step))
    )
    for name, value in (("start", start), ("end", end), ("step", step)):
        if isinstance(value, float) and not math.isfinite(value):
            raise ArgumentError("arange", f"{name} is {value}", hint="finite numbers")
        if value is None or isinstance(value, str | list | tuple):
            raise DTypeError("arange", f"{name} is {kind_of(value)}", hint="a number")
    if dtype is not None and dtypes.as_dtype(dtype) is dtypes.int64:
        start, end, step = (_towards_zero(v) for v in (start, end, step))
    if step == 0 or (end - start) * step < 0:
        hint = f"a step of {-step}" if step else "a step that is not 0"
        raise ArgumentError("arange", f"no way from {start} to {end} in steps of {step}", hint=hint)
    whole = all(isinstance(v, int | np.integer) for v in (start, end, step))
    wanted = (
        (dtypes.int64 if whole else dtypes.default_dtype())
        if dtype is None
        else dtypes.as_dtype(dtype)
    )
    count = maximum(-((start - end) // step) if whole else math.ceil((end - start) / step), 0)
    if wanted.is_integer:
        start, step = _towards_zero(start), _towards_zero(step)
    made = _known(source.made(source.ARANGE, (start, step, count, wanted)), requires_grad)
    return made if out is None else deliver(made, out, "arange")


@source.placed
def linspace(
    start: Any,
    end: Any,
    steps: int | None = None,
    *,
    num: int | None = None,
    endpoint: bool = True,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    out: Any = None,
) -> Tensor:
    """`steps` values from start to end, both included, at equal distances: f[steps].

    NumPy's `num` is `steps` too, and without `endpoint` the end is left out. Raises ArgumentError
    for a negative number of steps.
    """
    steps = num if steps is None else steps
    if steps is None:
        raise DTypeError("linspace", "how many steps?", hint="linspace(start, end, steps)")
    if not endpoint:
        made = linspace(start, end, steps + 1, dtype=dtype, requires_grad=requires_grad)[:-1]  # type: ignore[index]
        return made if out is None else deliver(made, out, "linspace")
    if isinstance(steps, int) and steps < 0:
        raise ArgumentError("linspace", f"{steps} steps", hint="steps >= 0")
    kind = _floating(dtype)
    if any(_unread(x) for x in (start, end) if isinstance(x, Tensor)):
        made = _between(start, end, steps, kind)
        return made if out is None else deliver(made, out, "linspace")
    start, end = _number(start), _number(end)
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, str | list | tuple) or value is None:
            raise DTypeError("linspace", f"{name} is {kind_of(value)}", hint="a number")
        if isinstance(value, complex):
            hint = "torch.complex of two of them, for the real and the imaginary parts"
            raise DTypeError(
                "linspace", f"{name} is complex", hint=hint.replace("torch", "twofold")
            )
    if kind.is_integer:
        start, end = _towards_zero(start), _towards_zero(end)
    attrs = (start, end, steps, kind)
    made = finish(source.made(source.LINSPACE, attrs), None, requires_grad)
    return made if out is None else deliver(made, out, "linspace")


@source.placed
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """base to the powers that linspace gives."""
    if steps < 0:
        raise ArgumentError("logspace", f"{steps} steps", hint="steps >= 0")
    kind = _floating(dtype)
    start, end = _number(start), _number(end)
    if kind.is_integer:
        start, end = _towards_zero(start), _towards_zero(end)
    values = np.logspace(start, end, int(steps), base=base)
    return finish(dtypes.convert(values, kind), None, requires_grad)


@source.placed
def eye(
    n: int,
    m: int | None = None,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    out: Any = None,
) -> Tensor:
    """Ones on the diagonal of an n x m matrix (n x n without m), zeros elsewhere: f[n, m].

    `k` names another diagonal, as in NumPy: above the main one, or below it where k < 0.
    """
    check_sizes("eye", (n, n if m is None else m))
    if k:
        above, below = max(min(k, n if m is None else m), 0), max(min(-k, n), 0)
        larger = eye(n + above, (n if m is None else m) + below, dtype=dtype)[above:, below:]  # type: ignore[index]
        made = finish(larger.clone().array, None, requires_grad)
        return made if out is None else deliver(made, out, "eye")
    attrs = (n, n if m is None else m, _floating(dtype))
    made = _known(source.made(source.EYE, attrs), requires_grad)
    return made if out is None else deliver(made, out, "eye")


def scalar_tensor(
    value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor without axes; in the default type unless `dtype` is given."""
    return tensor(value, dtype=_floating(dtype), device=device, requires_grad=requires_grad)


guard(globals())
