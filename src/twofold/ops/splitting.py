"""Tensors cut into several along an axis. Floor 4. All parts share the input's memory."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import ceil_div, is_symbol, maximum, minimum
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.guarding import guard
from twofold.ops.joining import CAT, stack
from twofold.ops.op import Sample, define
from twofold.ops.rules import also_named, axis_there, axis_too, known_size, size_of
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import part

__all__ = [
    "chunk",
    "dsplit",
    "hsplit",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "vsplit",
]


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of a given size (the last may be smaller), or of the given sizes, along an axis: views.

    Raises ShapeError where sizes do not add up to the axis's.
    """
    axis = axis_there("split", dim, tensor)
    size = tensor.array.shape[axis]
    if isinstance(split_size_or_sections, int):
        step = size_of("split", split_size_or_sections)
        if step < 0 or (step == 0 and size):
            raise ArgumentError("split", f"parts of size {step}", input=type_of(tensor))
        sizes = _equal_parts(size, step)
    else:
        sizes = [size_of("split", n) for n in split_size_or_sections]
        if sum(sizes) != size:
            raise ShapeError(
                "split",
                f"sizes {sizes} do not add up to {size}",
                hint="sizes of all parts, or one size for every part",
                input=type_of(tensor),
            )
    return _cut(tensor, axis, sizes)


def _equal_parts(size: Any, step: Any) -> list[Any]:
    """The sizes of parts of a size; the last may be smaller. A graph is made for their number."""
    if not is_symbol(size) and not is_symbol(step):
        return [min(step, size - at) for at in range(0, size, step)] if size else [0]
    count = int(maximum(ceil_div(size, step), 1))
    return [step] * (count - 1) + [size - step * (count - 1)]


def _cut(x: Tensor, axis: int, sizes: list[int]) -> tuple[Tensor, ...]:
    return bind(SPLIT, (x,), (axis, tuple(sizes)))  # type: ignore[no-any-return]


def _edges(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where each part begins and ends."""
    return list(pairwise((0, *accumulate(sizes))))


def _split_vjp(g: Any, out: Any, x: Any, *, dim: int, sizes: tuple[int, ...]) -> Any:
    shapes = [(*x.shape[:dim], size, *x.shape[dim + 1 :]) for size in sizes]
    parts = [
        zeros_of(shape, x.dtype.numpy) if p is None else p
        for p, shape in zip(g, shapes, strict=True)
    ]
    return (bind(CAT, tuple(parts), (dim, sizes)),)


SPLIT = define(
    "split",
    attrs=("dim", "sizes"),
    doc="Parts of given sizes along an axis, one after the other, as views.",
    infer=lambda x, *, dim, sizes: tuple(
        Type((*x.shape[:dim], n, *x.shape[dim + 1 :]), x.dtype) for n in sizes
    ),
    lower="split",
    ref=lambda x, *, dim, sizes: tuple(
        x[(slice(None),) * dim + (slice(a, b), ...)] for a, b in _edges(sizes)
    ),
    vjp=_split_vjp,
    view=True,
    outputs=-1,
    samples=lambda r: [
        Sample((r.normal(size=(5, 2)), 0, (2, 3))),
        Sample((r.normal(size=(2, 4, 3)), 1, (1, 0, 3))),
    ],
    torch=lambda x, dim, sizes: x.split(list(sizes), dim),
)


# PyTorch's unsafe ones may be written to one by one, as all parts may here.
split_with_sizes = unsafe_split_with_sizes = split
unsafe_split = also_named(split_size="split_size_or_sections")(split)


@axis_too
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size (the last may be smaller) along an axis: views.

    Raises ArgumentError for less than one chunk.
    """
    chunks = int(known_size(chunks))
    if chunks < 1:
        raise ArgumentError("chunk", f"{chunks} chunks", hint="chunks >= 1")
    axis = axis_there("chunk", dim, input)
    size = input.array.shape[axis]
    if is_symbol(size):
        step = ceil_div(size, chunks)
        last = size - step * (chunks - 1)
        if last >= minimum(size, 1):  # as many parts as are wanted, or no elements at all
            return _cut(input, axis, [step] * (chunks - 1) + [last])
    if not size:
        return _cut(input, axis, [0] * chunks)
    return split(input, -(-size // chunks), axis)


unsafe_chunk = chunk


@axis_too
@also_named(indices="indices_or_sections", sections="indices_or_sections")
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Exactly so many parts, sizes differing by one at most; or parts cut at positions."""
    axis = axis_there("tensor_split", dim, input)
    size = input.array.shape[axis]
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.dtype is not dtypes.int64 or indices_or_sections.array.ndim > 1:
            facts: Any = {"indices_or_sections": type_of(indices_or_sections)}
            raise DTypeError("tensor_split", "i64[] or i64[n] is wanted", **facts)
        indices_or_sections = indices_or_sections.tolist()  # type: ignore[attr-defined]
    if isinstance(indices_or_sections, int):
        count = int(known_size(indices_or_sections))
        if count < 1:
            raise ArgumentError(
                "tensor_split", f"{count} parts", hint="1 or more", input=type_of(input)
            )
        return _cut(input, axis, [(size + count - 1 - i) // count for i in range(count)])
    places = map(known_size, indices_or_sections)
    edges = [maximum(i + size if i < 0 else i, 0) for i in places]
    edges = [0, *(minimum(edge, size) for edge in edges), size]
    return tuple([part(input, axis, a, maximum(a, b)) for a, b in pairwise(edges)])


UNBIND = define(
    "unbind",
    attrs=("dim",),
    doc="The slices along an axis, without it.",
    infer=lambda x, *, dim: (Type(x.shape[:dim] + x.shape[dim + 1 :], x.dtype),) * x.shape[dim],
    lower="unbind",
    ref=lambda x, *, dim: tuple(x[(slice(None),) * dim + (i, ...)] for i in range(x.shape[dim])),
    vjp=lambda g, out, x, *, dim: (_joined(g, x, dim),),
    view=True,
    outputs=-1,
    samples=lambda r: [Sample((r.normal(size=(3, 2)), 0)), Sample((r.normal(size=(2, 4, 3)), 1))],
    torch=lambda x, d: x.unbind(d),
)


def _joined(g: Any, x: Any, dim: int) -> Tensor:
    shape = tuple(x.shape[:dim]) + tuple(x.shape[dim + 1 :])
    parts = [zeros_of(shape, x.dtype.numpy) if p is None else p for p in g]
    return stack(parts, dim)


@axis_too
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it, as views."""
    return bind(UNBIND, (input,), (axis_there("unbind", dim, input),))  # type: ignore[no-any-return]


def _split_along(name: str, axis_for: Any, least: int) -> Any:
    def function(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.array.ndim < least:
            raise ShapeError(name, f"{least} axes or more are wanted", input=type_of(input))
        if not isinstance(indices_or_sections, int | tuple | list):
            given = type(indices_or_sections).__name__
            raise DTypeError(name, f"a {given} does not say where", hint="a number, or positions")
        axis = axis_for(input)
        size = input.array.shape[axis]
        if isinstance(indices_or_sections, int) and (
            indices_or_sections < 1 or size % indices_or_sections
        ):
            problem = f"axis {axis} does not split into {indices_or_sections} equal parts"
            raise ShapeError(name, problem, input=type_of(input))
        return tensor_split(input, indices_or_sections, axis)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Equal parts, or parts cut at positions, along the axis of {name}."
    return also_named(indices="indices_or_sections", sections="indices_or_sections")(function)


hsplit = _split_along("hsplit", lambda x: 0 if x.array.ndim == 1 else 1, 1)
vsplit = _split_along("vsplit", lambda x: 0, 2)
dsplit = _split_along("dsplit", lambda x: 2, 3)


guard(globals())
