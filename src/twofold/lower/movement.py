"""Plans for operations that move elements and change none: copies, views, joins, paddings. Floor 6.

Every one is a few walks of move.py: a flip reads backwards, a roll is two walks for each axis, a
write through a view is a copy of the base and a walk into the part that the view names. The views'
plans copy: they serve where a view cannot, as when its elements are wanted in C order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.lower.move import Part, move_step, part_of
from twofold.lower.offsets import put_offsets
from twofold.lower.schedule import (
    Arg,
    In,
    Out,
    Plan,
    Pointer,
    Step,
    Word,
    chunks_for,
    schedule,
    turned,
)
from twofold.lower.splice import HALVES, Builder, shifted, through
from twofold.lower.strided import dense_strides, spread_strides
from twofold.lower.task import Task, arrange
from twofold.lower.views import indexed
from twofold.ops.movement import viewable
from twofold.ops.op import OPS, Op

Args = tuple[Arg, ...]
Outs = tuple[Type, ...]
Attrs = Mapping[str, Any]


class _Moves:
    """A plan of walks under construction."""

    def __init__(self, threads: int) -> None:
        self.build = Builder(threads)

    def move(
        self,
        sizes: Sequence[int],
        dtype: DType,
        source: tuple[Pointer, int, Sequence[int]],
        out: tuple[Pointer, int, Sequence[int]],
        add: bool = False,
    ) -> None:
        """A walk; source and output are (place, bytes from it, strides)."""
        (place, offset, strides), (there, start, out_strides) = source, out
        self._add(
            move_step(
                sizes,
                strides,
                out_strides,
                dtype,
                shifted(place, offset),
                shifted(there, start),
                self.build.threads,
                add,
            )
        )

    def copy(self, arg: Arg, index: int = 0, out: int = 0) -> None:
        """A whole input, in C order, to a whole output."""
        self.move(
            arg.shape,
            arg.dtype,
            (In(index), 0, arg.strides),
            (Out(out), 0, dense_strides(arg.shape)),
        )

    def write(self, arg: Arg, index: int, made: Type, part: Part, add: bool = False) -> None:
        """An input, broadcast, into a part of the output."""
        source = (In(index), 0, spread_strides(arg, part.shape))
        self.move(part.shape, arg.dtype, source, (Out(0), part.offset, part.strides), add)

    def _add(self, step: Step | None) -> None:
        if step is not None:
            self.build.add(step)

    def plan(self) -> Plan:
        return self.build.plan()


def _within(made: Type, view: Any) -> Part:
    """The part of the output, in C order, that a NumPy view names."""
    return part_of(view, made.shape, dense_strides(made.shape), made.dtype)


# ---- copies and views ----------------------------------------------------------------------------


@schedule("reshape")
def plan_reshape(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """The elements in C order."""
    moves = _Moves(threads)
    moves.copy(args[0])
    return moves.plan()


DENSE = ("as_strided", "view_as_complex")  # views of memory in C order alone


def _viewed(op: Op, args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """A copy of what a view shows; of each of its outputs."""
    arg = args[0]
    moves = _Moves(threads)
    if arg.size == 0:
        return Plan(())
    place: Pointer = In(0)
    strides = arg.strides
    if op.name in DENSE:
        place, strides = moves.build.dense(arg, 0), dense_strides(arg.shape)
    for index, made in enumerate(outs):
        view = partial(_shown, op, attrs, index if op.outputs == -1 else None)
        part = part_of(view, arg.shape, strides, arg.dtype)
        source = (place, part.offset, part.strides)
        moves.move(made.shape, made.dtype, source, (Out(index), 0, dense_strides(made.shape)))
    return moves.plan()


def _shown(op: Op, attrs: Attrs, index: int | None, array: Any) -> Any:
    made = op.ref(array, **attrs)
    return made if index is None else made[index]


VIEWS: tuple[str, ...] = (
    "permute",
    "expand",
    "index",
    "unbind",
    "split",
    "diagonal",
    "unfold",
    "as_strided",
)
VIEWS += ("real", "imag", "view_as_real", "view_as_complex", "view_dtype", "detach")
for _name in VIEWS:
    schedule(_name)(partial(_viewed, OPS[_name]))


# ---- writes into parts ---------------------------------------------------------------------------


@schedule("slice_scatter")
def plan_slice_scatter(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x, part -> x with the part that a key names replaced."""
    key, made = attrs["key"], outs[0]
    moves = _Moves(threads)
    moves.copy(args[0])
    if made.size:
        lies = indexed(Arg(made.shape, made.dtype, dense_strides(made.shape)), key)
        if lies is None:
            part = _within(made, lambda x: OPS["index"].ref(x, key=key))
        else:
            ((moved, shape, strides),) = lies
            part = Part(moved * made.dtype.itemsize, shape, strides)
        moves.write(args[1], 1, made, part)
    return moves.plan()


OVERLAPPING = ("expand", "unfold", "as_strided")


@schedule("view_scatter")
def plan_view_scatter(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x, part -> x with what a chain of views shows replaced."""
    (x, part), made, chain = args, outs[0], attrs["chain"]
    overlapping = any([op.name in OVERLAPPING for op, _ in chain])
    moves = _Moves(1 if overlapping else threads)
    moves.copy(x)
    if part.size == 0 or made.size == 0:
        return moves.plan()
    if _stays_view(made.shape, made.dtype, chain):
        moves.write(part, 1, made, _within(made, lambda array: _walked(array, chain)))
        return moves.plan()
    # somewhere in the chain a reshape copies: the places are found once, as numbers
    places = _places(made, part.dtype, chain)
    if part.dtype.itemsize == 16:  # two words each
        places = 2 * places[..., None] + np.arange(2)
    places = np.ascontiguousarray(places)
    moves.build.keep.append(places)
    source = moves.build.dense(part, 1)
    kind = dtypes.float64 if part.dtype.itemsize == 16 else part.dtype
    put_offsets(moves.build, kind, source, Out(0), places.ctypes.data, places.size)
    return moves.plan()


def _places(made: Type, part: DType, chain: Any) -> Any:
    """The number, in C order, of each element that the chain shows; of parts of complex numbers,
    their own.
    """
    if part is made.dtype:
        return _walked(np.arange(made.size).reshape(made.shape), chain)
    pairs = np.arange(2.0 * made.size).view(np.complex128)
    return _walked(pairs.reshape(made.shape), chain).astype(np.int64)


def _walked(array: Any, chain: Any) -> Any:
    for op, attrs in chain:
        array = array[attrs[0]] if op.name == "item_of" else op.ref(array, **op.keywords(attrs))
    return array


def _stays_view(shape: tuple[int, ...], dtype: DType, chain: Any) -> bool:
    """Whether every reshape of the chain is a view where x lies in C order."""
    strides = dense_strides(shape)
    for count, (op, attrs) in enumerate(chain):
        if op.name == "reshape":
            part = part_of(partial(_walked, chain=chain[:count]), shape, strides, dtype)
            wanted = op.infer(Type(part.shape, dtype), **op.keywords(attrs)).shape
            if not viewable(part.shape, part.strides, wanted):
                return False
    return True


@schedule("diag_embed")
def plan_diag_embed(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Zeros with x on a diagonal."""
    where = (attrs["offset"], attrs["dim1"], attrs["dim2"])
    moves = _Moves(threads)
    moves.build.fill(outs[0], 0)
    if args[0].size:
        moves.write(args[0], 0, outs[0], _within(outs[0], lambda x: np.diagonal(x, *where)))
    return moves.plan()


@schedule("fold_windows")
def plan_fold(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan | None:
    """Windows added up where they overlap, the first elements of all windows first."""
    if args[0].dtype in HALVES:
        return through(plan_fold, HALVES, args, outs, attrs, threads)
    x, made = args[0], outs[0]
    dim, size, step = attrs["dim"], attrs["size"], attrs["step"]
    moves = _Moves(threads)
    moves.build.fill(made, 0)
    count = x.shape[dim]
    for place in range(size if x.size else 0):
        there = slice(place, place + step * (count - 1) + 1, step)
        target = _within(made, itemgetter((slice(None),) * dim + (there,)))
        source = part_of(itemgetter((..., place)), x.shape, x.strides, x.dtype)
        out = (Out(0), target.offset, target.strides)
        read = (In(0), source.offset, source.strides)
        moves.move(target.shape, made.dtype, read, out, add=True)
    return moves.plan()


# ---- turns and paddings -------------------------------------------------------------------


@schedule("flip")
def plan_flip(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Axes read backwards."""
    arg, made = args[0], outs[0]
    moves = _Moves(threads)
    if arg.size:
        turned = [slice(None, None, -1 if i in attrs["dims"] else 1) for i in range(len(arg.shape))]
        view = part_of(itemgetter((*turned, ...)), arg.shape, arg.strides, arg.dtype)
        out = (Out(0), 0, dense_strides(made.shape))
        moves.move(made.shape, made.dtype, (In(0), view.offset, view.strides), out)
    return moves.plan()


@schedule("roll")
def plan_roll(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Each axis in two pieces, which change places."""
    arg, made = args[0], outs[0]
    moves = _Moves(threads)
    if arg.size == 0:
        return moves.plan()
    shifts = [0] * len(arg.shape)
    for shift, dim in zip(attrs["shifts"], attrs["dims"], strict=True):
        shifts[dim] = (shifts[dim] + shift) % arg.shape[dim]
    pieces = [_pieces(size, shift) for size, shift in zip(arg.shape, shifts, strict=True)]
    for choice in itertools.product(*pieces):
        here = tuple([slice(start, start + n) for start, _, n in choice])
        there = tuple([slice(to, to + n) for _, to, n in choice])
        source = part_of(itemgetter((*here, ...)), arg.shape, arg.strides, arg.dtype)
        target = _within(made, itemgetter((*there, ...)))
        out = (Out(0), target.offset, target.strides)
        moves.move(target.shape, made.dtype, (In(0), source.offset, source.strides), out)
    return moves.plan()


def _pieces(size: int, shift: int) -> list[tuple[int, int, int]]:
    """(from, to, length) of the pieces of an axis that is moved round."""
    if shift == 0:
        return [(0, 0, size)]
    return [(0, shift, size - shift), (size - shift, 0, shift)]


@schedule("pad")
def plan_pad(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """One value around x; negative amounts take elements away."""
    arg, made, sides = args[0], outs[0], attrs["sides"]
    moves = _Moves(threads)
    if any([side > 0 for pair in sides for side in pair]):
        moves.build.fill(made, attrs["value"])
    inside, part = [], []
    for n, (a, b) in zip(arg.shape, sides, strict=True):
        inside.append(slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0)))
        part.append(slice(max(-a, 0), n - max(-b, 0)))
    if arg.size and made.size:
        source = part_of(itemgetter((*part, ...)), arg.shape, arg.strides, arg.dtype)
        target = _within(made, itemgetter((*inside, ...)))
        out = (Out(0), target.offset, target.strides)
        moves.move(target.shape, made.dtype, (In(0), source.offset, source.strides), out)
    return moves.plan()


# ---- triangles -----------------------------------------------------------------------------------

TRIANGLE = "x:ptr out:ptr rows columns total diagonal upper"


def build_triangle(size: int) -> Module:
    """Task `triangle`: rows of matrices, copied on one side of the diagonal, 0 on the other."""
    m = Module("triangle")
    t = Task(m, "triangle", TRIANGLE)
    f = t.f
    low, high = t.share(t.total)
    with f.loop(low, high) as row:
        edge = row % t.rows + t.diagonal + 1 - t.upper  # the first column beyond the lower side
        edge = f.max(f.min(edge, t.columns), 0)
        start = row * t.columns * size
        first, rest = edge * size, (t.columns - edge) * size
        x, out = t.x.at(start, "i8"), t.out.at(start, "i8")
        with f.if_(t.upper.cmp("ne", 0)) as branch:
            f.memset(out, 0, first)
            f.memcpy(out.at(first, "i8"), x.at(first, "i8"), rest)
            branch.otherwise()
            f.memcpy(out, x, first)
            f.memset(out.at(first, "i8"), 0, rest)
    return m


def _triangle(upper: bool, args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    shape, size = args[0].shape, args[0].dtype.itemsize
    total = prod(shape[:-1])
    if total * shape[-1] == 0:
        return Plan(())
    words: dict[str, Word] = {"x": In(0), "out": Out(0), "rows": shape[-2], "columns": shape[-1]}
    words |= {"total": total, "diagonal": attrs["diagonal"], "upper": int(upper)}
    code = load(f"triangle/{size}", lambda: build_triangle(size))
    chunks = min(chunks_for(args[0].size, threads), total)
    step = Step(code.address("triangle"), arrange(TRIANGLE, words), chunks)
    return Plan((step,), contiguous=turned(args))


schedule("tril")(partial(_triangle, False))
schedule("triu")(partial(_triangle, True))
