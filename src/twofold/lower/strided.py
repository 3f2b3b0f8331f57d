"""Bring any layout to loops over contiguous elements. Floor 6.

One driver serves all elementwise kernels. It walks the output from front to back, which is
contiguous, in blocks; for each block it hands the kernel a pointer to where an input's elements
lie, if they lie side by side, or to a buffer into which it has gathered them. Five ways:

    flat      as the output lies
    single    one element for all
    row       side by side within a row (the innermost axis), or one element for a row ("held")
    gathered  copied into a buffer, block by block
    repeated  the same: but every block has the same elements, and they are copied once
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value, Var
from twofold.lower.copy import KINDS, WORTH_TURNING, contiguous_step, turnable
from twofold.lower.schedule import Arg, In, Out, Plan, Pointer, Scratch, Step, Word, chunks_for
from twofold.lower.task import Task

FLAT, SINGLE, ROW, HELD, GATHERED, REPEATED = range(6)

BLOCK = 512  # elements gathered at a time
SLOTS = 8  # buffers
LONG_ROW = 192  # rows of this many elements are walked row by row,
HELD_ROW = 64  # or of this many, where an input has one element for a row
MOST_AXES = 8
MOST_INPUTS = 16
MOST_OUTPUTS = 8

HEADER = "task:ptr outs ins rank n limit grain rows places"
OUT_WORDS = 2  # pointer, bytes of an element
IN_WORDS = 4  # pointer, kind, bytes of an element, buffer; then a stride for each axis


# ---- planning ------------------------------------------------------------------------------------


class Input(NamedTuple):
    """An input as the driver sees it: strides in elements along the joined axes."""

    pointer: Pointer
    size: int
    strides: tuple[int, ...]


def plan_strided(task: int, args: Sequence[Arg], outs: Sequence[Type], threads: int) -> Plan:
    """A plan that runs an elementwise task (see elementwise.py) on inputs that broadcast."""
    shape = outs[0].shape
    n = prod(shape)
    if n == 0:
        return Plan(())
    if plain(args, shape):
        return Plan((flat_step(task, args, outs, n, threads),))
    if len(args) > MOST_INPUTS or len(outs) > MOST_OUTPUTS:
        return flattened(task, args, outs, n, threads)
    before: list[Step] = []
    scratch = 0
    inputs = []
    for index, arg in enumerate(args):
        strides = spread_strides(arg, shape)
        pointer: Pointer = In(index)
        if n >= WORTH_TURNING and arg.shape == shape and turnable(arg):
            pointer = Scratch(scratch)
            before.append(contiguous_step(arg, In(index), pointer, threads))
            scratch += -(-n * arg.dtype.itemsize // 64) * 64
            strides = dense_strides(shape)
        inputs.append(Input(pointer, arg.dtype.itemsize, strides))
    axes, inputs = join_axes(shape, inputs)
    kinds, _ = kinds_of(axes, inputs)
    if len(axes) > MOST_AXES or sum(map(kinds.count, (GATHERED, REPEATED))) > SLOTS:
        return flattened(task, args, outs, n, threads)
    return Plan((*before, driver_step(task, axes, inputs, outs, threads)), scratch)


def plain(args: Sequence[Arg], shape: tuple[int, ...]) -> bool:
    """Whether each input is one element, or contiguous and of the output's shape."""
    return all(a.size == 1 or (a.contiguous and a.shape == shape) for a in args)


def flat_step(task: int, args: Sequence[Arg], outs: Sequence[Type], n: int, threads: int) -> Step:
    """The task itself, on contiguous inputs and single elements."""
    scalars = sum(1 << i for i, a in enumerate(args) if a.size == 1 and n > 1)
    pointers = [Out(i) for i in range(len(outs))] + [In(i) for i in range(len(args))]
    return Step(task, (n, *pointers, scalars), chunks_for(n, threads))


def flattened(task: int, args: Sequence[Arg], outs: Sequence[Type], n: int, threads: int) -> Plan:
    """For what the driver does not take: every input is broadcast into scratch memory first."""
    shape = outs[0].shape
    steps: list[Step] = []
    pointers: list[Word] = [Out(i) for i in range(len(outs))]
    scratch = 0
    for index, arg in enumerate(args):
        whole = Arg(shape, arg.dtype, spread_strides(arg, shape))
        pointers.append(Scratch(scratch))
        steps.append(contiguous_step(whole, In(index), Scratch(scratch), threads))
        scratch += -(-n * arg.dtype.itemsize // 64) * 64
    job = (n, *pointers, 0)
    return Plan((*steps, Step(task, job, chunks_for(n, threads))), scratch)


def spread_strides(arg: Arg, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an argument broadcast to this shape: 0 where it is repeated."""
    missing = len(shape) - len(arg.shape)
    own = [0 if s == 1 else stride for s, stride in zip(arg.shape, arg.strides, strict=True)]
    return (0,) * missing + tuple(own)


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of C order."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def join_axes(shape: Sequence[int], inputs: list[Input]) -> tuple[list[int], list[Input]]:
    """Without axes of size 1; neighbours that all inputs walk as one are one."""
    axes: list[int] = []
    columns: list[list[int]] = []  # for each axis a stride of each input
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        column = [x.strides[axis] for x in inputs]
        if columns and columns[-1] == [size * stride for stride in column]:
            axes[-1] *= size
            columns[-1] = column
        else:
            axes.append(size)
            columns.append(column)
    if not axes:
        axes, columns = [1], [[0] * len(inputs)]
    joined = [
        x._replace(strides=tuple(column[i] for column in columns)) for i, x in enumerate(inputs)
    ]
    return axes, joined


def kinds_of(axes: list[int], inputs: list[Input]) -> tuple[list[int], int]:
    """How each input reaches the kernel, and the period of those that are repeated."""
    dense = dense_strides(axes)
    row = axes[-1]
    # to gather what is one element for a row takes longer than short rows
    held = any(x.strides[-1] == 0 and any(x.strides) for x in inputs)
    least = HELD_ROW if held else LONG_ROW
    kinds = []
    period = 1
    for x in inputs:
        if x.strides == dense:
            kinds.append(FLAT)
        elif not any(x.strides):
            kinds.append(SINGLE)
        elif row >= least and x.strides[-1] in (0, 1):
            kinds.append(ROW if x.strides[-1] else HELD)
        else:
            kinds.append(GATHERED)
    if ROW in kinds or HELD in kinds:
        return kinds, 1
    # an input that repeats itself after few elements: a bias, say. Periods divide each other.
    for i, x in enumerate(inputs):
        if kinds[i] == GATHERED:
            walked = next(axis for axis, stride in enumerate(x.strides) if stride)
            length = prod(axes[walked:])
            if length <= block_of(inputs):
                kinds[i] = REPEATED
                period = max(period, length)
    return kinds, period


def block_of(inputs: list[Input]) -> int:
    """How many elements of the widest of these a buffer holds."""
    return BLOCK if all(x.size <= 8 for x in inputs) else BLOCK // 2


def driver_step(
    task: int, axes: list[int], inputs: list[Input], outs: Sequence[Type], threads: int
) -> Step:
    kinds, period = kinds_of(axes, inputs)
    by_rows = ROW in kinds or HELD in kinds
    buffered = [i for i, kind in enumerate(kinds) if kind in (GATHERED, REPEATED)]
    n = prod(axes)
    limit = block_of(inputs) // period * period if buffered else n
    # repeated inputs want a place only once: their buffers are filled by the first block
    places = any(kind in (ROW, HELD, GATHERED, REPEATED) for kind in kinds)
    header = (task, len(outs), len(inputs), len(axes), n, limit, period * 64)
    job: list[Word] = [*header, int(by_rows), int(places)]
    for index, out in enumerate(outs):
        job += [Out(index), out.dtype.itemsize]
    for i, (x, kind) in enumerate(zip(inputs, kinds, strict=True)):
        slot = buffered.index(i) if i in buffered else 0
        job += [x.pointer, kind, x.size, slot, *x.strides]
    return Step(driver(), (*job, *axes), chunks_for(n, threads))


# ---- the driver ----------------------------------------------------------------------------------


def driver() -> int:
    """The address of the driver's task."""
    return load("strided/driver", build_driver).address("run")


def build_driver() -> Module:
    m = Module("strided")
    define_gather(m)
    _Driver(m).write()
    return m


def define_gather(m: Module) -> None:
    """gather(to, source, index, axes, strides, last, count, size): elements from `index` on, put
    side by side. `source` is where the element of that index lies; `last` is the innermost axis."""
    params = [(x, "ptr") for x in ("to", "source", "index", "axes", "strides")]
    params += [(x, "i64") for x in ("last", "count", "size")]
    f = m.function("gather", params, internal=True, inline="never")
    size = f.args[-1]
    kinds = KINDS | {16: "i128"}
    f.switch(size, {bytes_: partial(_gather, f, kind) for bytes_, kind in kinds.items()})


def _gather(f: Function, kind: str) -> None:
    """Row by row; after a row the index of the axis above goes up, and so on."""
    to, source, index, axes, strides, last, count, _ = f.args
    row, step = (p.at(last, "i64").load("i64") for p in (axes, strides))
    begin = index.at(last, "i64").load("i64")
    start = f.var("ptr", source.at(-(begin * step), kind))  # of the row
    place = f.var("i64", begin)
    done = f.var("i64", 0)
    with f.while_():
        now, first = done.get(), place.get()
        piece = f.min(row - first, count - now)
        _copy_row(f, to.at(now, kind), start.get().at(first * step, kind), piece, step, kind)
        done.set(now + piece)
        f.break_if((now + piece).cmp("sge", count))
        place.set(0)
        _next_row(f, index, axes, strides, last, start, kind)


def _copy_row(f: Function, to: Value, source: Value, count: Value, step: Value, kind: str) -> None:
    lanes = 16 // TYPES[kind].size
    with f.if_(step.cmp("eq", 1)) as dense:
        whole = count // lanes * lanes
        with f.loop(0, whole, lanes) as i:
            many = vector(kind, lanes) if lanes > 1 else kind
            to.at(i, kind).store(source.at(i, kind).load(many))
        with f.loop(whole, count) as i:
            to.at(i, kind).store(source.at(i, kind).load(kind))
        dense.otherwise()
        fours = count // 4 * 4
        here = f.var("ptr", source)
        with f.loop(0, fours, 4) as i:
            values = [here.get().at(step * k, kind).load(kind) for k in range(4)]
            for k, value in enumerate(values):
                to.at(i + k, kind).store(value)
            here.set(here.get().at(step * 4, kind))
        with f.loop(fours, count) as i:
            to.at(i, kind).store(here.get().load(kind))
            here.set(here.get().at(step, kind))


def _next_row(
    f: Function, index: Value, axes: Value, strides: Value, last: Value, start: Var, kind: str
) -> None:
    axis = f.var("i64", last - 1)
    with f.while_():
        here = axis.get()
        f.break_if(here.cmp("slt", 0))
        up = index.at(here, "i64").load("i64") + 1
        stride = strides.at(here, "i64").load("i64")
        size = axes.at(here, "i64").load("i64")
        start.set(start.get().at(stride, kind))
        index.at(here, "i64").store(up)
        f.break_if(up.cmp("ne", size))
        index.at(here, "i64").store(f.const("i64", 0))
        start.set(start.get().at(-(stride * size), kind))
        axis.set(here - 1)


class _Driver:
    """The driver, while it is written."""

    def __init__(self, m: Module) -> None:
        self.t = Task(m, "run", HEADER)
        f = self.f = self.t.f
        self.out_at = self.t.job.at(len(HEADER.split()), "i64")
        self.in_at = self.out_at.at(self.t.outs * OUT_WORDS, "i64")
        self.step = self.t.rank + IN_WORDS
        self.axes = self.in_at.at(self.t.ins * self.step, "i64")
        self.last = self.t.rank - 1
        self.index = f.array("i64", MOST_AXES)
        self.moving = f.array("i64", MOST_AXES)
        self.job = f.array("i64", 2 + MOST_INPUTS + MOST_OUTPUTS)
        self.buffers = f.array("i8", SLOTS * BLOCK * 8, align=64)

    def write(self) -> None:
        """Block by block. A block that is walked by rows ends with its row."""
        f, t = self.f, self.t
        row = self.axes.at(self.last, "i64").load("i64")
        low, high = f.var("i64", 0), f.var("i64", t.n)
        with f.if_(t.chunks.cmp("ne", 1)):
            begin, end = t.share((t.n + (t.grain - 1)) // t.grain)
            low.set(f.min(begin * t.grain, t.n))
            high.set(f.min(end * t.grain, t.n))
        place = f.var("i64", low.get())
        with f.while_():
            now = place.get()
            f.break_if(now.cmp("sge", high.get()))
            count = f.var("i64", f.min(high.get() - now, t.limit))
            with f.if_(t.places.cmp("ne", 0)):
                self.find(now)
                with f.if_(t.rows.cmp("ne", 0)):
                    left = row - self.index.at(self.last, "i64").load("i64")
                    count.set(f.min(count.get(), left))
            self.point(now, count.get(), now.cmp("eq", low.get()))
            f.call("void", t.task, self.job, 0, 1)
            place.set(now + count.get())

    def find(self, now: Value) -> None:
        """The index of element `now`."""
        f, t = self.f, self.t
        rest = f.var("i64", now)
        with f.loop(0, t.rank) as back:
            axis = self.last - back
            size = self.axes.at(axis, "i64").load("i64")
            above = rest.get() // size
            self.index.at(axis, "i64").store(rest.get() - above * size)
            rest.set(above)

    def offset(self, strides: Value) -> Value:
        """Of the element at the index, in elements."""
        f = self.f
        total = f.var("i64", 0)
        with f.loop(0, self.t.rank) as axis:
            index = self.index.at(axis, "i64").load("i64")
            total.set(total.get() + index * strides.at(axis, "i64").load("i64"))
        return total.get()

    def point(self, now: Value, count: Value, first: Value) -> None:
        """The job of the kernel for `count` elements from `now` on."""
        f, t = self.f, self.t
        self.job.store(count)
        row = f.var("ptr", self.out_at)
        with f.loop(0, t.outs) as i:
            words = row.get()
            size = words.at(1, "i64").load("i64")
            self.job.at(i + 1, "i64").store(words.load("ptr").at(now * size, "i8"))
            row.set(words.at(OUT_WORDS, "i64"))
        scalars = f.var("i64", 0)
        row.set(self.in_at)
        with f.loop(0, t.ins) as i:
            words = row.get()
            row.set(words.at(self.step, "i64"))
            kind, size, slot = (words.at(k, "i64").load("i64") for k in (1, 2, 3))
            here = f.var("ptr", words.load("ptr"))
            buffer = self.buffers.at(slot * (BLOCK * 8), "i8")
            with f.if_(kind.cmp("eq", FLAT)):
                here.set(here.get().at(now * size, "i8"))
            with f.if_(kind.cmp("eq", SINGLE) | kind.cmp("eq", HELD)):
                scalars.set(scalars.get() | f.const("i64", 1) << i)
            with f.if_(kind.cmp("sge", ROW)):
                here.set(here.get().at(self.offset(words.at(IN_WORDS, "i64")) * size, "i8"))
            with f.if_(kind.cmp("sge", GATHERED)):
                with f.if_(kind.cmp("eq", GATHERED) | first):
                    self.gather(buffer, here.get(), words.at(IN_WORDS, "i64"), count, size)
                here.set(buffer)
            self.job.at(t.outs + i + 1, "i64").store(here.get())
        self.job.at(t.outs + t.ins + 1, "i64").store(scalars.get())

    def gather(
        self, buffer: Value, source: Value, strides: Value, count: Value, size: Value
    ) -> None:
        """Gathering moves the index; other inputs still want it."""
        f = self.f
        f.memcpy(self.moving, self.index, MOST_AXES * 8)
        places = (self.moving, self.axes, strides)
        f.call("void", "gather", buffer, source, *places, self.last, count, size)
