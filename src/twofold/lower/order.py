"""The order of every reduction, written in the loop language. Floor 6.

For elements x[0], ..., x[n-1] along the reduced extent, and nothing else, the order is:

    blocks  of 4096 elements, the last one may be short
    lanes   in a block, element i goes to lane i mod 32; a lane takes its elements ascending,
            starting from the neutral element (+0.0 for a sum)
    tree    t[e] = (lane[e] + lane[e+8]) + (lane[e+16] + lane[e+24])   e = 0..7
            u[e] = t[e] + t[e+4];  w[e] = u[e] + u[e+2];  block = w[0] + w[1]
    join    neighbouring blocks level by level, (0+1), (2+3), ...; an odd last one moves up

Along a row the 32 lanes are four vectors of eight. Down a column they are 32 rows of accumulators,
see columns.py. Blocks are joined either by a stack that merges equal powers of two as they appear,
or from an array in place by `fold`; both are the tree above.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import final

from twofold.base.records import NamedTuple
from twofold.codegen.target import host
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value, Var

BLOCK = 4096
LANES = 32
WIDTH = 8
# Whole windows are this wide, so that a long recipe such as exp stands in the code as four
# independent chains side by side: on a machine with a short look-ahead that is 20% of softmax.
WIDE = 32

Merge = Callable[[Function, Value, Value], Value]


class Combine(NamedTuple):
    """How two partial results become one. `merge(f, earlier, later)`; `neutral` starts a lane."""

    name: str
    neutral: float
    merge: Merge


def _add(f: Function, a: Value, b: Value) -> Value:
    return a + b


def _multiply(f: Function, a: Value, b: Value) -> Value:
    return a * b


def _larger(f: Function, a: Value, b: Value) -> Value:
    # b wins unless a is greater, so a NaN in b wins; a NaN in a is put back.
    return a.cmp("uno", a).select(a, a.cmp("ogt", b).select(a, b))


def _smaller(f: Function, a: Value, b: Value) -> Value:
    return a.cmp("uno", a).select(a, a.cmp("olt", b).select(a, b))


def _larger_or_number(f: Function, a: Value, b: Value) -> Value:
    return b.cmp("ogt", a).select(b, a)


SUM = Combine("sum", 0, _add)
PROD = Combine("prod", 1, _multiply)
MAX = Combine("max", float("-inf"), _larger)
MIN = Combine("min", float("inf"), _smaller)
# The largest element, NaN ignored: one instruction, where a NaN shows up in what follows anyway.
PEAK = Combine("peak", float("-inf"), _larger_or_number)


@final
class Window:
    """Neighbouring elements of a row from `index` on: `width` of them, of which `count` exist.

    Without a count all exist. With `skip`, the first ones do not; then it cannot store. A window
    wider than eight stores under a mask.
    """

    __slots__ = ("count", "f", "index", "mask", "width")

    def __init__(
        self,
        f: Function,
        index: Value,
        count: Value | None = None,
        skip: Value | None = None,
        width: int = WIDTH,
    ) -> None:
        self.f = f
        self.index = index
        self.count = count
        self.width = width
        self.mask = None
        if count is not None:
            place = f.iota(f"i32x{width}")
            self.mask = place.cmp("slt", count.cast("trunc", "i32").splat(width))
            if skip is not None:
                after = place.cmp("sge", skip.cast("trunc", "i32").splat(width))
                self.mask = self.mask & after

    def load(self, base: Value, element: str) -> Value:
        """The elements from base[index] on; those that do not exist are 0."""
        place = base.at(self.index, element)
        if self.mask is None:
            return place.load(vector(element, self.width))
        return self.f.masked_load(place, self.mask, vector(element, self.width))

    def store(self, base: Value, value: Value, element: str) -> None:
        place = base.at(self.index, element)
        if self.count is None:
            place.store(value)
        elif self.width > WIDTH:
            assert self.mask is not None
            self.f.masked_store(value, place, self.mask)
        else:
            store_part(self.f, place, value, self.count, element)


# What is done with a window. The lane of its first element is a number for wide windows, and a
# Value for those of eight.
Body = Callable[[Window, int | Value], None]


def store_part(f: Function, place: Value, value: Value, count: Value, element: str) -> None:
    """Store the first `count` (1 to 8) of eight lanes, as 8 or 4 + 2 + 1.

    A masked store of AVX costs 42 micro-operations on the AMD machines this was measured on.
    """
    at = f.var("i64", 0)
    rest = f.var(value.type, value)
    for step in (8, 4, 2, 1):
        with f.if_((count & step).cmp("ne", 0)):
            lanes = rest.get()
            target = place.at(at.get(), element)
            head = f.extract(lanes, 0) if step == 1 else f.shuffle(lanes, None, range(step))
            target.store(head)
            if step in (4, 2):
                rest.set(f.shuffle(lanes, None, [(lane + step) % WIDTH for lane in range(WIDTH)]))
                at.set(at.get() + step)


def has_masks() -> bool:
    """Whether a mask costs a load or store nothing; else the ends of rows go eight at a time."""
    return host().vector_bytes >= 64


def each_whole(f: Function, lo: Value, hi: Value, body: Body) -> None:
    """body over [lo, hi), a multiple of 32 elements, with wide windows."""
    with f.loop(lo, hi, LANES) as i:
        for lane in range(0, LANES, WIDE):
            body(Window(f, i + lane, width=WIDE), lane)


def each_window(
    f: Function, lo: Value, hi: Value, body: Body, lanes: "Lanes | None" = None
) -> None:
    """body over [lo, hi), 32 elements a turn, then what is left: under a mask, or eight at a time.

    Eight at a time is written once, for any lane; `lanes` lie in memory meanwhile.
    """
    whole = lo + ((hi - lo) & -LANES)
    each_whole(f, lo, whole, body)
    rest = hi - whole
    if has_masks():
        with f.if_(rest.cmp("sgt", 0)):
            body(Window(f, whole, rest, width=WIDE), 0)
        return
    with f.if_(rest.cmp("sgt", 0)), in_memory(lanes), f.loop(0, rest, WIDTH) as lane:
        body(Window(f, whole + lane, f.min(rest - lane, WIDTH)), lane)


def each_window_anywhere(f: Function, lo: Value, hi: Value, body: Body, lanes: "Lanes") -> None:
    """The same where lo is no multiple of 32: element i still goes to lane i mod 32."""
    at = f.var("i64", lo)
    with f.while_():
        start = at.get()
        f.break_if(start.cmp("sge", hi))
        row = start & -LANES
        stop = f.min(row + LANES, hi)
        with f.if_((stop - start).cmp("eq", LANES)) as branch:
            whole = hi & -LANES
            each_whole(f, start, whole, body)
            at.set(whole)
            branch.otherwise()
            if has_masks():
                body(Window(f, row, stop - row, start - row, WIDE), 0)
            else:
                with in_memory(lanes), f.loop((start - row) & -WIDTH, stop - row, WIDTH) as lane:
                    first = row + lane
                    skip = f.max(start - first, 0)
                    body(Window(f, first, f.min(stop - first, WIDTH), skip), lane)
            at.set(stop)


def tree(f: Function, groups: Sequence[Value], merge: Merge) -> Value:
    """One value from the four vectors that hold lanes 0..7, 8..15, 16..23 and 24..31."""
    t = merge(f, merge(f, groups[0], groups[1]), merge(f, groups[2], groups[3]))
    u = merge(f, f.shuffle(t, None, range(4)), f.shuffle(t, None, range(4, 8)))
    w = merge(f, f.shuffle(u, None, range(2)), f.shuffle(u, None, range(2, 4)))
    return merge(f, f.extract(w, 0), f.extract(w, 1))


def column_tree(f: Function, lane: Callable[[int], Value], merge: Merge) -> Value:
    """The same tree when `lane(i)` is a vector across columns."""
    t = [
        merge(f, merge(f, lane(e), lane(e + 8)), merge(f, lane(e + 16), lane(e + 24)))
        for e in range(8)
    ]
    return last_levels(f, t, merge)


def tree_in_place(
    f: Function, cells: Value, pitch: int | Value, wide: str, lane: str, merge: Merge
) -> Value:
    """The tree of lanes that lie `pitch` elements apart from `cells` on, which are written over.

    A loop takes the first steps: written out, a tree is most of a kernel's code, and of the time to
    compile it.
    """
    with f.loop(0, 8) as e:
        four = [cells.at((e + far) * pitch, lane) for far in (0, 8, 16, 24)]
        a, b, c, d = (cell.load(wide) for cell in four)
        four[0].store(merge(f, merge(f, a, b), merge(f, c, d)))
    return last_levels(f, [cells.at(pitch * e, lane).load(wide) for e in range(8)], merge)


def last_levels(f: Function, t: Sequence[Value], merge: Merge) -> Value:
    """The tree from its second level on."""
    u = [merge(f, t[e], t[e + 4]) for e in range(4)]
    w = [merge(f, u[e], u[e + 2]) for e in range(2)]
    return merge(f, w[0], w[1])


def load_eight(f: Function, places: Sequence[Value], kind: str) -> Value:
    """The vector of what lies at eight places."""
    made = f.const(vector(kind, WIDTH), 0)
    for lane, place in enumerate(places):
        made = f.insert(made, place.load(kind), lane)
    return made


def eight_rows(f: Function, first: Value, count: Value) -> list[Value]:
    """The rows from `first` on; where fewer than eight are left, the last one for the rest."""
    return [f.min(first + row, count - 1) for row in range(WIDTH)]


def store_eight(f: Function, place: Value, value: Value, left: Value, element: str) -> None:
    """Store eight neighbouring numbers, or the `left` ones that exist."""
    with f.if_(left.cmp("sge", WIDTH)) as branch:
        place.store(value)
        branch.otherwise()
        store_part(f, place, value, left, element)


def short_tree(f: Function, n: Value, cells: Value, combine: Combine, lane: str) -> Value:
    """The tree for eight rows of n <= 32 elements; element i of all rows lies at cells[8 * i].

    The elements are merged with the neutral one already.
    """
    wide = vector(lane, WIDTH)
    neutral = f.const(wide, combine.neutral)
    with f.loop(n, LANES) as place:
        cells.at(place * WIDTH, lane).store(neutral)
    return tree_in_place(f, cells, WIDTH, wide, lane, combine.merge)


# What to reduce: the vectors of a window, one for each result.
Values = Callable[[Window], Sequence[Value]]


@final
class Lanes:
    """The 32 lanes of a block for each of several results: a vector of 32, or memory.

    The compiler makes as many registers of such a vector as the machine needs.
    """

    def __init__(self, f: Function, combines: Sequence[Combine], lane: str) -> None:
        self.f = f
        self.combines = combines
        self.lane = lane
        self.kind = vector(lane, WIDTH)
        self.all = [f.var(vector(lane, LANES), c.neutral) for c in combines]
        self.cells = [f.array(lane, LANES, align=64) for _ in combines]

    def add(self, window: Window, first: int | Value, values: Sequence[Value]) -> None:
        """Let the lanes from `first` on take the elements of a window that exist."""
        if isinstance(first, int):
            self._add_all(window, values)
            return
        f = self.f
        for combine, cells, new in zip(self.combines, self.cells, values, strict=True):
            cell = cells.at(first, self.lane)
            old = cell.load(self.kind)
            merged = combine.merge(f, old, new)
            cell.store(merged if window.mask is None else window.mask.select(merged, old))

    def _add_all(self, window: Window, values: Sequence[Value]) -> None:
        for combine, lanes, new in zip(self.combines, self.all, values, strict=True):
            merged = combine.merge(self.f, lanes.get(), new)
            lanes.set(merged if window.mask is None else window.mask.select(merged, lanes.get()))

    @contextmanager
    def in_memory(self) -> Iterator[None]:
        """Inside, windows may stand at any lane."""
        for cells, lanes in zip(self.cells, self.all, strict=True):
            cells.store(lanes.get())
        yield
        for cells, lanes in zip(self.cells, self.all, strict=True):
            lanes.set(cells.load(vector(self.lane, LANES)))

    def results(self) -> list[Value]:
        """The tree over the lanes: one scalar for each result."""
        return [
            tree(self.f, self._groups(lanes.get()), combine.merge)
            for combine, lanes in zip(self.combines, self.all, strict=True)
        ]

    def _groups(self, lanes: Value) -> list[Value]:
        return [self.f.shuffle(lanes, None, range(at, at + WIDTH)) for at in range(0, LANES, WIDTH)]


def in_memory(lanes: Lanes | None) -> AbstractContextManager[None]:
    return nullcontext() if lanes is None else lanes.in_memory()


def reduce_block(
    f: Function, lo: Value, hi: Value, combines: Sequence[Combine], lane: str, values: Values
) -> list[Value]:
    """The results of one block [lo, hi) of a row, as scalars of type `lane`."""
    lanes = Lanes(f, combines, lane)
    each_window(f, lo, hi, lambda window, first: lanes.add(window, first, values(window)), lanes)
    return lanes.results()


@final
class Joiner:
    """Joins blocks as they come. It stacks results and merges equal powers of two."""

    def __init__(self, f: Function, combines: Sequence[Combine], types: Sequence[str]) -> None:
        self.f = f
        self.combines = combines
        self.types = types
        self.stacks = [f.array(t, 64) for t in types]
        self.depth = f.var("i64", 0)

    def push(self, block: Value, results: Sequence[Value]) -> None:
        """Take the results of block number `block`; blocks come in ascending order."""
        f = self.f
        totals = [f.var(t, r) for t, r in zip(self.types, results, strict=True)]
        carry = f.var("i64", block + 1)
        with f.while_():
            f.break_if((carry.get() & 1).cmp("ne", 0))
            self._pop_into(totals)
            carry.set(carry.get().lshr(1))
        depth = self.depth.get()
        for stack, t, total in zip(self.stacks, self.types, totals, strict=True):
            stack.at(depth, t).store(total.get())
        self.depth.set(depth + 1)

    def finish(self) -> list[Value]:
        """The joined results; the neutral elements if nothing was pushed."""
        f = self.f
        totals = [f.var(t, c.neutral) for t, c in zip(self.types, self.combines, strict=True)]
        with f.if_(self.depth.get().cmp("sgt", 0)):
            self.depth.set(self.depth.get() - 1)
            for total, stack, t in zip(totals, self.stacks, self.types, strict=True):
                total.set(stack.at(self.depth.get(), t).load(t))
            with f.while_():
                f.break_if(self.depth.get().cmp("eq", 0))
                self._pop_into(totals)
        return [total.get() for total in totals]

    def _pop_into(self, totals: Sequence[Var]) -> None:
        top = self.depth.get() - 1
        self.depth.set(top)
        for total, stack, t, c in zip(totals, self.stacks, self.types, self.combines, strict=True):
            total.set(c.merge(self.f, stack.at(top, t).load(t), total.get()))


def block_count(n: Value) -> Value:
    return (n + (BLOCK - 1)) // BLOCK


def reduce_row(
    f: Function, n: Value, combines: Sequence[Combine], lane: str, values: Values
) -> list[Value]:
    """The results of a whole row of n elements, as scalars of type `lane`."""
    joiner = Joiner(f, combines, [lane] * len(combines))
    with f.loop(0, block_count(n)) as block:
        lo = block * BLOCK
        hi = f.min(lo + BLOCK, n)
        joiner.push(block, reduce_block(f, lo, hi, combines, lane, values))
    return joiner.finish()


def define_fold(m: Module, name: str, combine: Combine, lane: str) -> None:
    """name(p, blocks, pitch, lo, hi): join p[block * pitch + j] in place for j in [lo, hi).

    The result of column j ends in p[j].
    """
    fields = [("p", "ptr"), ("blocks", "i64"), ("pitch", "i64"), ("lo", "i64"), ("hi", "i64")]
    f = m.function(name, fields, internal=True, inline="never")
    p, blocks, pitch, lo, hi = f.args
    count = f.var("i64", blocks)
    whole = lo + ((hi - lo) & -WIDTH)
    parts = ((lo, whole, vector(lane, WIDTH), WIDTH), (whole, hi, lane, 1))
    with f.while_():
        n = count.get()
        f.break_if(n.cmp("sle", 1))
        half = n // 2
        with f.loop(0, half) as i:
            left = p.at(i * 2 * pitch, lane)
            right = p.at((i * 2 + 1) * pitch, lane)
            target = p.at(i * pitch, lane)
            for start, stop, kind, step in parts:
                with f.loop(start, stop, step) as j:
                    a = left.at(j, lane).load(kind)
                    b = right.at(j, lane).load(kind)
                    target.at(j, lane).store(combine.merge(f, a, b))
        with f.if_((n & 1).cmp("ne", 0)):
            bytes_each = TYPES[lane].size
            odd = p.at((n - 1) * pitch + lo, lane)
            f.memcpy(p.at(half * pitch + lo, lane), odd, (hi - lo) * bytes_each)
        count.set((n + 1) // 2)
    f.ret()
