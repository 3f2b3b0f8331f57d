"""Tensors put together, repeated and turned: copies, with gradients. Floor 4."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import alike
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.guarding import guard
from twofold.ops.indexing import VIEW, Slice
from twofold.ops.movement import CLONE, can_be_seen, expand, permute, reshape, transpose
from twofold.ops.op import Sample, define
from twofold.ops.rules import (
    also_named,
    as_tensor,
    axes_of,
    axis_of,
    axis_there,
    axis_too,
    deliver,
    operands,
    sizes_of,
)
from twofold.ops.tensor import Tensor, type_of, wrap

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "cartesian_prod",
    "cat",
    "clone",
    "column_stack",
    "combinations",
    "concat",
    "concatenate",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "hstack",
    "meshgrid",
    "roll",
    "rot90",
    "row_stack",
    "stack",
    "tile",
    "vstack",
]

ALL = Slice(None, None, None)


def _cat_type(*xs: Type, dim: int, sizes: tuple[int, ...]) -> Type:
    first = xs[0]
    for place, x in enumerate(xs):
        facts: dict[str, Any] = {"tensors[0]": first, f"tensors[{place}]": x}
        if x.ndim != first.ndim:
            raise ShapeError(
                "cat",
                f"{first.ndim} and {x.ndim} axes do not go together",
                hint="as many axes everywhere: x.unsqueeze(dim), or stack for a new axis",
                **facts,
            )
        pairs = enumerate(zip(first.shape, x.shape, strict=True))
        for axis, (n, m) in pairs:
            if axis != dim and n != m:
                raise ShapeError(
                    "cat",
                    f"sizes {n} and {m} differ on axis {axis}",
                    hint=f"equal sizes on every axis but {dim}",
                    **facts,
                )
    size = sum(x.shape[dim] for x in xs)
    return Type((*first.shape[:dim], size, *first.shape[dim + 1 :]), first.dtype)


def _cat_vjp(g: Tensor, out: Any, *xs: Any, dim: int, sizes: tuple[int, ...]) -> Any:
    made, at = [], 0
    for x, size in zip(xs, sizes, strict=True):
        part = (ALL,) * dim + (Slice(at, at + size, None),)
        made.append(None if x is None else bind(VIEW, (g,), (part,)))
        at += size
    return tuple(made)


CAT = define(
    "cat",
    inputs="*xs",
    attrs=("dim", "sizes"),
    doc="Tensors one after the other along an axis.",
    infer=_cat_type,
    ref=lambda *xs, dim, sizes: np.concatenate(xs, axis=dim),
    vjp=_cat_vjp,
    lower="cat",
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)), r.normal(size=(1, 3)), 0, (2, 1))),
        Sample((r.normal(size=(2, 3)), r.normal(size=(2, 0)), r.normal(size=(2, 2)), 1, (3, 0, 2))),
    ],
    torch=False,
)


def _stack_type(*xs: Type, dim: int) -> Type:
    shape = xs[0].shape
    return Type((*shape[:dim], len(xs), *shape[dim:]), xs[0].dtype)


def _stack_vjp(g: Tensor, out: Any, *xs: Any, dim: int) -> Any:
    def part(index: int) -> Any:
        return bind(VIEW, (g,), ((ALL,) * dim + (index,),))

    return tuple([None if x is None else part(i) for i, x in enumerate(xs)])


STACK = define(
    "stack",
    inputs="*xs",
    attrs=("dim",),
    doc="Tensors of one shape along a new axis.",
    infer=_stack_type,
    ref=lambda *xs, dim: np.stack(xs, axis=dim),
    vjp=_stack_vjp,
    lower="cat",
    samples=lambda r: (
        [Sample((r.normal(size=(2, 3)), r.normal(size=(2, 3)), dim)) for dim in (0, 1, 2)]
        + [
            Sample((r.normal(size=()), 0)),
            Sample((r.normal(size=(0, 2)), r.normal(size=(0, 2)), 1)),
        ]
    ),
    torch=False,
)


def _refused(name: str) -> Any:
    def method(self: Stacked, *args: Any, **kwargs: Any) -> NoReturn:
        raise self.refuse()

    method.__name__ = name
    return method


class OneByOneError(ArgumentError):
    """A list that stands for as many things as a size is used one by one."""


class Stacked(list[Any]):
    """A list of as many tensors as a loop of a graph has turns: `stack` and `cat` take it; or of
    Python numbers that a run knows, which `tensor` takes.

    whole    the tensors along a new first axis; or the numbers, b[n], i64[n] or f64[n]
    rest     tensors after those, which may be of other sizes
    """

    __slots__ = ("numbers", "rest", "whole")

    def __init__(self, whole: Tensor, numbers: bool = False) -> None:
        super().__init__()
        self.whole = whole
        self.numbers = numbers
        self.rest: list[Tensor] = []

    def __bool__(self) -> bool:
        return bool(self.rest) or bool(self.whole.array.shape[0] > 0)

    def __len__(self) -> Any:
        return self.whole.array.shape[0] + len(self.rest)

    def __getitem__(self, index: Any) -> Any:
        if self.rest:
            if type(index) is int and -len(self.rest) <= index < 0:
                return self.rest[index]
            raise self.refuse()
        if isinstance(index, slice):
            if index == slice(None, None, -1):
                return Stacked(flip(self.whole, 0), self.numbers)
            if index.step not in (None, 1):
                raise self.refuse()
            return Stacked(self.whole[index], self.numbers)  # type: ignore[index]
        return self.item(self.whole[index])  # type: ignore[index]

    def item(self, row: Tensor) -> Any:
        """What stands in the list for a row of `whole`."""
        return row.array.item() if self.numbers else row

    def reverse(self) -> None:
        if self.rest:
            raise self.refuse()
        self.whole = flip(self.whole, 0)

    def append(self, x: Any) -> None:
        if self.rest or not self.fits(x):
            self.rest.append(x)
        else:
            self.whole = in_turn([self.whole, self.row(x)])

    def fits(self, x: Any) -> bool:
        """Whether a tensor is known to be of the same shape. Raises OneByOneError for what is of
        another type or rank.
        """
        shape = self.whole.array.shape[1:]
        if self.numbers or not isinstance(x, Tensor) or x.dtype is not self.whole.dtype:
            raise self.refuse()
        if x.array.ndim != len(shape):
            raise self.refuse()
        return alike(tuple(x.array.shape), tuple(shape))

    def insert(self, place: Any, x: Any) -> None:
        if place != 0 or self.rest:
            raise self.refuse()
        self.whole = in_turn([self.row(x), self.whole])

    def row(self, x: Any) -> Tensor:
        """A tensor as another row."""
        shape = self.whole.array.shape[1:]
        if not self.fits(x) and any(n != m for n, m in zip(x.array.shape, shape, strict=True)):
            raise self.refuse()
        return reshape(x, (1, *shape))

    def rows(self) -> Tensor:
        """All of them along a new first axis."""
        if self.rest:
            self.whole = in_turn([self.whole, *map(self.row, self.rest)])
            self.rest = []
        return self.whole

    def refuse(self) -> ArgumentError:
        """The error for what needs the tensors one by one: the loop is unrolled then."""
        return OneByOneError(
            "compile",
            "a list that a loop of a graph has filled is used one by one",
            hint="stack(list), cat(list), or list[i]",
            whole=type_of(self.whole),
        )

    def joined(self, dim: int) -> Tensor:
        """The tensors one after the other along an axis."""
        # (of an empty list there is no row, which is an error eagerly too)
        axis = axis_of("cat", dim, self.rest[0] if self.rest else self.whole[0])  # type: ignore[index]
        shape = self.whole.array.shape
        wide = (*shape[1 : axis + 1], shape[0] * shape[axis + 1], *shape[axis + 2 :])
        made = reshape(_turned(self.whole, axis), wide)
        return cat([made, *self.rest], axis) if self.rest else made


ONE_BY_ONE = (
    "__iter__", "__reversed__", "__contains__", "__eq__", "__add__", "__radd__", "__iadd__",
    "__mul__", "__imul__", "__setitem__", "__delitem__", "extend", "pop", "remove", "clear",
    "copy", "index", "count", "sort",
)  # fmt: skip
for _name in ONE_BY_ONE:
    setattr(Stacked, _name, _refused(_name))


def in_turn(parts: list[Tensor]) -> Tensor:
    """Tensors of one type one after the other, of which none is left out."""
    sizes = tuple([x.array.shape[0] for x in parts])
    return bind(CAT, tuple(parts), (0, sizes))  # type: ignore[no-any-return]


def _turned(x: Tensor, axis: int) -> Tensor:
    """The first axis moved to another place."""
    rest = list(range(1, x.array.ndim))
    return permute(x, (*rest[:axis], 0, *rest[axis:]))


def _check_list(op: str, tensors: Any) -> None:
    if isinstance(tensors, Tensor):
        facts = {"tensors": type_of(tensors)}
        raise DTypeError(op, "one tensor is not a list of them", hint=f"{op}([x, y])", **facts)


@axis_too
def cat(tensors: Sequence[Tensor], dim: int | None = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors one after the other along `dim`, promoted to their common type. Raises ShapeError.

    Empty vectors are left out, as PyTorch does. With dim None all elements in one row.
    """
    if dim is None:
        return cat([reshape(x, (-1,)) for x in tensors], 0, out=out)
    if isinstance(tensors, Stacked) and not tensors.numbers:
        return tensors.joined(dim)
    _check_list("cat", tensors)
    if not isinstance(tensors, list | tuple) or not tensors:
        raise ArgumentError("cat", "there is no tensor", hint="a list of at least one tensor")
    for place, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise DTypeError(
                "cat", f"tensors[{place}] is a {type(x).__name__}", hint="twofold.tensor([...])"
            )
        elif not x.array.ndim:
            raise ShapeError("cat", "a 0-d tensor has no axis", hint="stack", input=type_of(x))
    xs = operands("cat", *tensors)
    full = [x for x in xs if x.array.ndim > 1 or not _bare(x)] or list(xs[:1])
    axis = axis_of("cat", dim, full[0])
    sizes = tuple([x.array.shape[axis] if axis < x.array.ndim else 0 for x in full])
    made: Tensor = bind(CAT, tuple(full), (axis, sizes))
    return made if out is None else deliver(made, out, "cat")


concat = concatenate = cat


def _bare(x: Tensor) -> bool:
    """Whether a vector has no element, which goes with tensors of any rank."""
    return bool(x.array.shape == (0,))


@axis_too
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis. Raises ShapeError."""
    if isinstance(tensors, Stacked) and not tensors.numbers:
        return _turned(tensors.rows(), axis_of("stack", dim, tensors.whole))
    _check_list("stack", tensors)
    if not tensors:
        raise ArgumentError("stack", "there is no tensor", hint="a list of at least one tensor")
    first = tensors[0]
    axis = axis_of("stack", dim, first, extra=1)
    for place, x in enumerate(tensors):
        if x.array.shape != first.array.shape:
            facts: dict[str, Any] = {"tensors[0]": type_of(first), f"tensors[{place}]": type_of(x)}
            raise ShapeError("stack", "shapes differ", hint="tensors of one shape, or cat", **facts)
    return bind(STACK, operands("stack", *tensors), (axis,))  # type: ignore[no-any-return]


def atleast_1d(*tensors: Tensor) -> Any:
    return _each(tensors, lambda x: x if x.array.ndim else reshape(x, (1,)))


def atleast_2d(*tensors: Tensor) -> Any:
    return _each(tensors, lambda x: x if x.array.ndim > 1 else reshape(x, (1, -1)))


def atleast_3d(*tensors: Tensor) -> Any:
    def grown(x: Tensor) -> Tensor:
        shape = x.array.shape
        return (
            x
            if len(shape) > 2
            else reshape(x, (*shape, 1) if len(shape) == 2 else (1, x.array.size, 1))
        )

    return _each(tensors, grown)


def _each(tensors: tuple[Any, ...], function: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    items = tensors[0] if len(tensors) == 1 else tensors
    return tuple(function(x) for x in items)


def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    parts = [atleast_1d(x) for x in tensors]
    made: Tensor = cat(parts, 1 if parts and parts[0].array.ndim > 1 else 0)
    return made if out is None else deliver(made, out, "hstack")


def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    made: Tensor = cat([atleast_2d(x) for x in tensors], 0)
    return made if out is None else deliver(made, out, "vstack")


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([atleast_3d(x) for x in tensors], 2)


row_stack = vstack


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([x if x.array.ndim > 1 else reshape(x, (-1, 1)) for x in tensors], 1)


FLIP = define(
    "flip",
    attrs=("dims",),
    doc="The elements in reverse order along axes.",
    infer=lambda x, *, dims: x,
    lower="flip",
    ref=lambda x, *, dims: np.array(np.flip(x, dims), order="C"),
    vjp=lambda g, out, x, *, dims: (bind(FLIP, (g,), (dims,)),),  # type: ignore[has-type]
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)), (0,))),
        Sample((r.normal(size=(2, 3)), (0, 1))),
        Sample((r.normal(size=()), ())),
    ],
)


@axis_too
def flip(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """The elements in reverse order along the axes (all, if none is given), copied."""
    if dims is None and not sizes:
        dims = range(input.array.ndim)
    axes = sizes_of("flip", sizes, dims if dims is None or isinstance(dims, int) else tuple(dims))
    return bind(FLIP, (input,), (axes_of("flip", axes, input) if axes else (),))  # type: ignore[no-any-return]


def fliplr(input: Tensor) -> Tensor:
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    return flip(input, axis_there("flipud", 0, input))


ROLL = define(
    "roll",
    attrs=("shifts", "dims"),
    doc="The elements moved round along axes.",
    infer=lambda x, *, shifts, dims: x,
    lower="roll",
    ref=lambda x, *, shifts, dims: np.roll(x, shifts, dims),
    vjp=lambda g, out, x, *, shifts, dims: (bind(ROLL, (g,), (tuple(-s for s in shifts), dims)),),  # type: ignore[has-type]
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), (1,), (1,))),
        Sample((r.normal(size=(3, 4)), (2, -1), (0, 1))),
    ],
)


@also_named(axis="dims", shift="shifts")
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved by `shifts` along `dims`; those that leave come back.

    Along the flattened tensor, if dims is None.
    """
    moves = sizes_of("roll", (shifts,))
    if dims is None:
        return reshape(roll(reshape(input, (-1,)), moves, (0,)), input.array.shape)
    axes = tuple(axis_there("roll", d, input) for d in sizes_of("roll", (dims,)))
    if len(moves) != len(axes):
        raise ArgumentError("roll", f"{len(moves)} shifts for {len(axes)} axes")
    return bind(ROLL, (input,), (moves, axes))  # type: ignore[no-any-return]


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k quarters in the plane of two axes, from the first towards the second."""
    if len(dims) != 2:
        problem = f"{len(dims)} axes are no plane"
        raise ArgumentError("rot90", problem, hint="dims=(0, 1)", input=type_of(input))
    a, b = (axis_there("rot90", d, input) for d in dims)
    if a == b:
        raise ArgumentError("rot90", f"dim {a} names no plane with itself", input=type_of(input))
    if k % 4 == 0:
        return clone(input)
    if k % 4 == 2:
        return flip(input, a, b)
    return transpose(flip(input, b if k % 4 == 1 else a), a, b)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy in row-major order, through which gradients pass."""
    return bind(CLONE, (as_tensor(input, "clone"),))  # type: ignore[no-any-return]


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its elements lie in row-major order without gaps, else a copy that
    does.
    """
    return input if input.array.flags.c_contiguous else clone(input)


def repeat(input: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """The whole tensor, so many times along each axis (new axes first)."""
    times = sizes_of("repeat", sizes, repeats)
    if len(times) < input.array.ndim:
        raise ShapeError(
            "repeat",
            f"{len(times)} numbers for {input.array.ndim} axes",
            hint="one for each axis, 1 to leave it as it is",
            input=type_of(input),
        )
    shape = (1,) * (len(times) - input.array.ndim) + input.array.shape
    spread = reshape(input, tuple(n for size in shape for n in (1, size)))
    wide = expand(spread, tuple(n for t, size in zip(times, shape, strict=True) for n in (t, size)))
    return in_order(wide, tuple(t * size for t, size in zip(times, shape, strict=True)))


def in_order(wide: Tensor, shape: tuple[Any, ...]) -> Tensor:
    """The elements of an expanded tensor in another shape, in memory of their own."""
    if mode.capture is None and not can_be_seen(wide.array, shape):
        return reshape(wide, shape)  # which copies
    return clone(reshape(wide, shape))


def tile(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """repeat, with ones for the leading axes that are not named."""
    times = sizes_of("tile", sizes, dims)
    return repeat(input, (1,) * (input.array.ndim - len(times)) + times)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors repeated to a common grid; indexing 'ij' (rows first) or 'xy'."""
    xs = (
        list(tensors[0])
        if len(tensors) == 1 and isinstance(tensors[0], list | tuple)
        else list(tensors)
    )
    for x in xs:
        if x.array.ndim > 1:
            raise ShapeError("meshgrid", "vectors are wanted", input=type_of(x))
    if indexing not in ("ij", "xy"):
        raise ArgumentError("meshgrid", f"indexing is {indexing!r}", hint="'ij' or 'xy'")
    if indexing == "xy" and len(xs) > 1:
        xs[0], xs[1] = xs[1], xs[0]
    shape = tuple(x.array.size for x in xs)
    made = [
        expand(reshape(x, tuple(-1 if i == j else 1 for j in range(len(xs)))), shape)
        for i, x in enumerate(xs)
    ]
    if indexing == "xy" and len(xs) > 1:
        made[0], made[1] = made[1], made[0]
    return tuple(made)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Every choice of r elements of a vector, one row each, in order."""
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(pick(range(input.array.shape[0]), r)), np.int64).reshape(-1, r)
    return input[wrap(places)]  # type: ignore[index, no-any-return]


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every combination of the elements of vectors, one row each."""
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors)
    return stack([reshape(g, (-1,)) for g in grids], -1)


guard(globals())
