"""All steps of an LSTM or a GRU in one plan, forwards and backwards. Floor 6.

The recurrent weight is packed once, into panels as wide as the register tile; then there is one
task a step, whose job moves on from step to step (`walk`). A task computes, for some rows and one
panel of hidden units, the products of all its gates into a small buffer, and the cell on them:
nothing but the step's results goes to memory. A product is one ascending chain of fma over k
(DESIGN.md, N4), and the cell is that of cells.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import Code, load
from twofold.codegen.vmath.exponential import sigmoid, tanh
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower import tile as tiles
from twofold.lower.schedule import (
    Arg,
    In,
    Out,
    Plan,
    Scratch,
    Step,
    Word,
    schedule,
    smaller,
    turned,
)
from twofold.lower.shared_tiles import declare, symbol, want
from twofold.lower.task import Task, arrange
from twofold.lower.tile import TILES, Tile

PACK = "weight:ptr panels:ptr h gates units"
FORWARD = "before:ptr panels:ptr projected:ptr bias:ptr c:ptr out:ptr out_c:ptr acts:ptr"
BACKWARD = "later:ptr panels:ptr g:ptr gc:ptr acts:ptr before:ptr c:ptr carry:ptr out:ptr"
BACKWARD += " out_state:ptr"
SIZES = " rows h row_block tile_rows parts units"
# Behind these the job of the first turn, of `size` words, and the bytes that each of them moves on.
WALK = "task:ptr turns shares size"
TILES_A_BLOCK = 2  # of rows, whose products the buffer holds
SERIAL = 60_000  # multiplications of a step below which one thread does all
ACTS = 4  # what is kept of a step, in blocks of h

Values = list[Value]
_Jobs = Callable[[int], dict[str, Word]]  # the words of a turn


class Spot(NamedTuple):
    """Where a task works: an element of a row of [rows, h], and how it is read and written."""

    row: Value
    j: Value
    load: Callable[[Value], Value]
    store: Callable[[Value, Value], None]


GATES = {"lstm": 4, "gru": 3}  # whose products a step needs


# ---- packing


def _define_pack(m: Module, tile: Tile, forward: bool) -> None:
    """The panels of the weight [gates * h, h]: of each gate by rows, or (backwards) all by columns.

    A panel holds `tile.columns` hidden units of every k; those that are not there hold anything.
    """
    t = Task(m, "pack", PACK)
    f, e = t.f, tile.element
    panel = "across" if forward else "along"
    declare(m, tile, "tile", panel)
    count = t.h if forward else t.gates * t.h
    lo, hi = t.share(t.units * t.gates if forward else t.units)
    with f.loop(lo, hi) as number:
        unit, gate = (number // t.gates, number % t.gates) if forward else (number, None)
        j = unit * tile.columns
        source = t.weight.at((gate * t.h + j) * t.h if gate is not None else j, e)
        out = t.panels.at(number * count * tile.columns, e)
        width = f.min(t.h - j, tile.columns)
        apart = () if forward else (tile.columns,)
        f.call("void", symbol(tile, panel), source, out, width, count, t.h, *apart)
    f.ret()


# ---- from step to step


def _define_walk(m: Module) -> None:
    """Run a task in turns; the pointers of its job move on after each."""
    m.extern("pool_run", "void", ("ptr", "ptr", "i64"))
    t = Task(m, "walk", WALK)
    f = t.f
    # In lines of their own: what else this thread writes would take them from the other threads.
    most = -(-len(f"{BACKWARD}{SIZES}".split()) // 8) * 8
    job, given = f.array("i64", most, 64), t.job.at(len(t.words), "i64")
    with f.loop(0, t.size) as i:
        job.at(i, "i64").store(given.at(i, "i64").load("i64"))
    with f.loop(0, t.turns):
        f.call("void", "pool_run", t.task, job, t.shares)
        with f.loop(0, t.size) as i:
            word = job.at(i, "i64")
            word.store(word.load("i64") + given.at(t.size + i, "i64").load("i64"))
    f.ret()


def _walk(
    code: Code, layout: str, jobs: _Jobs, count: int, chunks: int, back: bool = False
) -> list[Step]:
    """The steps of `count` turns, from the last one `back`: the first and the last, which may read
    elsewhere, and one that walks through those between.
    """
    inner = count - 2
    first, last = (count - 1, 0) if back else (0, count - 1)
    step = -1 if back else 1
    single = [first, last] if count > 1 else [first]
    steps = [Step(code.address("step"), arrange(layout, jobs(turn)), chunks) for turn in single]
    if inner > 0:
        job = arrange(layout, jobs(first + step))
        after = arrange(layout, jobs(first + 2 * step)) if inner > 1 else job
        moves = tuple([_distance(a, b) for a, b in zip(job, after, strict=True)])
        head = (code.address("step"), inner, chunks, len(job))
        steps.insert(1, Step(code.address("walk"), (*head, *job, *moves)))
    return steps


def _distance(a: Word, b: Word) -> int:
    """The bytes from one word to another of its kind."""
    if isinstance(a, In | Out | Scratch):
        assert isinstance(b, In | Out | Scratch) and type(a) is type(b)
        return b.offset - a.offset
    return 0


# ---- the frame of a step


class _Work:
    """One task of a step: its units, the products of a unit, and the cell on their elements."""

    def __init__(self, t: Task, tile: Tile, gates: int) -> None:
        self.t, self.f, self.tile, self.e = t, t.f, tile, tile.element
        self.rows = TILES_A_BLOCK * tile.rows
        self.buffer = t.f.array(tile.element, gates * self.rows * tile.columns, 64)

    def write(
        self, product: Callable[[Value, Value, Value], None], cell: Callable[[Any], None]
    ) -> None:
        """product(unit, first row, height), then cell(spot) for every vector of the unit."""
        t, f, tile = self.t, self.f, self.tile
        lo, hi = t.share(t.units)
        with f.loop(lo, hi) as number:
            unit, first = number // t.parts, number % t.parts * t.row_block
            height = f.min(t.row_block, t.rows - first)
            j = unit * tile.columns
            self.wide = f.min(t.h - j, tile.columns)
            product(unit, first, height)
            with f.loop(0, height) as i:
                self._vectors(first + i, i, j, self.wide, cell)
        f.ret()

    def _vectors(self, row: Value, i: Value, j: Value, wide: Value, cell: Any) -> None:
        f, tile = self.f, self.tile
        lanes = tile.lanes
        whole = wide // lanes * lanes
        with f.loop(0, whole, lanes) as v:

            def load(place: Value) -> Value:
                return place.load(tile.vector)

            def store(place: Value, value: Value) -> None:
                place.store(value)

            self.place = self.buffer.at(i * tile.columns + v, self.e)
            cell(Spot(row, j + v, load, store))
        with f.if_(whole.cmp("ne", wide)):
            numbers = f.iota(vector("i64", lanes))
            mask = numbers.cmp("slt", (wide - whole).splat(lanes))
            self.place = self.buffer.at(i * tile.columns + whole, self.e)
            cell(
                Spot(
                    row,
                    j + whole,
                    lambda place: f.masked_load(place, mask, tile.vector),
                    lambda place, value: f.masked_store(value, place, mask),
                )
            )

    def multiply(self, a: Value, row: Value, panel: Value, gate: int, height: Value) -> None:
        """Rows of `a` (of `row` numbers) by a panel, into the buffer of a gate."""
        t, f, tile = self.t, self.f, self.tile
        start = self.buffer.at(gate * self.rows * tile.columns, self.e)
        with f.loop(0, height, t.tile_rows) as i:
            here = start.at(i * tile.columns, self.e)
            rest = (a.at(i * row, self.e), row, 1, panel, tile.columns, here, tile.columns, row, 0)
            kind = tiles.kind_of(tile, f.min(t.tile_rows, height - i), self.wide)
            f.call("void", symbol(tile, "tile"), kind, *rest)

    def product_of(self, gate: int) -> Value:
        """The vector of a gate's products here. The buffer is whole panels, so never masked."""
        return self.place.at(gate * self.rows * self.tile.columns, self.e).load(self.tile.vector)

    def blocks(self, spot: Spot, start: Value, count: int) -> Values:
        """The places of an element in [rows, count * h]."""
        base = start.at(spot.row * self.t.h * count + spot.j, self.e)
        return [base.at(self.t.h * k, self.e) if k else base for k in range(count)]

    def maybe(self, spot: Spot, start: Value, count: int = 1) -> Value:
        """An element of [rows, h], 0 where there is no such array."""
        f = self.f
        value = f.var(self.tile.vector, 0.0)
        with f.if_(start.cast("ptrtoint", "i64").cmp("ne", 0)):
            value.set(spot.load(self.blocks(spot, start, count)[0]))
        return value.get()


def _store_all(spot: Spot, places: Values, values: Sequence[Value]) -> None:
    for place, value in zip(places, values, strict=True):
        spot.store(place, value)


# ---- forwards


def build_forward(name: str, tile: Tile, bias: bool) -> Module:
    """A module with `pack`, `step` and `walk`."""
    gates = GATES[name]
    m = Module(f"{name}_sequence_{tile.element}")
    _define_pack(m, tile, forward=True)
    _define_walk(m)
    t = Task(m, "step", FORWARD + SIZES)
    work = _Work(t, tile, gates)
    f, e = t.f, tile.element

    def product(unit: Value, first: Value, height: Value) -> None:
        for gate in range(gates):
            panel = t.panels.at((unit * gates + gate) * (t.h * tile.columns), e)
            work.multiply(t.before.at(first * t.h, e), t.h, panel, gate, height)

    def cell(spot: Spot) -> None:
        x = [spot.load(p) for p in work.blocks(spot, t.projected, gates)]
        s = [work.product_of(gate) for gate in range(gates)]
        if bias:
            added = [t.bias.at(t.h * gate + spot.j, e) for gate in range(gates)]
            s = [value + spot.load(place) for value, place in zip(s, added, strict=True)]
        (out,) = work.blocks(spot, t.out, 1)
        if name == "lstm":
            i, forget, g, o = (a + b for a, b in zip(x, s, strict=True))
            kept = [sigmoid(f, i), sigmoid(f, forget), tanh(f, g), sigmoid(f, o)]
            new = kept[1] * spot.load(work.blocks(spot, t.c, 1)[0]) + kept[0] * kept[2]
            spot.store(work.blocks(spot, t.out_c, 1)[0], new)
            spot.store(out, kept[3] * tanh(f, new))
        else:
            r, z = (sigmoid(f, x[k] + s[k]) for k in (0, 1))
            n = tanh(f, x[2] + r * s[2])
            h = spot.load(work.blocks(spot, t.before, 1)[0])
            spot.store(out, n + z * (h - n))
            kept = [r, z, n, s[2]]
        _store_all(spot, work.blocks(spot, t.acts, ACTS), kept)

    work.write(product, cell)
    return m


# ---- backwards


def build_backward(name: str, tile: Tile) -> Module:
    """A module with `pack`, `step`, `walk`, and `last`: what the first step sends to the first
    state.
    """
    gates = GATES[name]
    m = Module(f"{name}_sequence_backward_{tile.element}")
    _define_pack(m, tile, forward=False)
    _define_walk(m)
    for task in ("step", "last"):
        t = Task(m, task, BACKWARD + SIZES)
        _backward_task(t, tile, name, gates, task == "last")
    return m


def _backward_task(t: Task, tile: Tile, name: str, gates: int, last: bool) -> None:
    work = _Work(t, tile, 1)
    f, e = t.f, tile.element
    is_first = t.later.cast("ptrtoint", "i64").cmp("eq", 0)

    def product(unit: Value, first: Value, height: Value) -> None:
        row = t.h * gates
        with f.if_(is_first) as branch:
            f.memset(work.buffer, 0, height * (tile.columns * tile.itemsize))
            branch.otherwise()
            panel = t.panels.at(unit * row * tile.columns, e)
            work.multiply(t.later.at(first * row, e), row, panel, 0, height)

    def lstm(spot: Spot) -> None:
        dh = work.product_of(0)
        if last:
            spot.store(work.blocks(spot, t.out, 1)[0], dh)
            return
        dh = dh + work.maybe(spot, t.g)
        i, forget, g, o = (spot.load(p) for p in work.blocks(spot, t.acts, ACTS))
        c, top = (
            spot.load(work.blocks(spot, t.before, 1)[0]),
            tanh(f, spot.load(work.blocks(spot, t.c, 1)[0])),
        )
        (carry,) = work.blocks(spot, t.carry, 1)
        dc = f.var(tile.vector, 0.0)
        with f.if_(~is_first):
            dc.set(spot.load(carry))
        inner = (dc.get() + work.maybe(spot, t.gc)) + dh * o * (1.0 - top * top)
        by_input, by_forget = inner * g * i * (1.0 - i), inner * c * forget * (1.0 - forget)
        by_gate = [by_input, by_forget, inner * i * (1.0 - g * g), dh * top * o * (1.0 - o)]
        _store_all(spot, work.blocks(spot, t.out, gates), by_gate)
        spot.store(carry, inner * forget)

    def gru(spot: Spot) -> None:
        (carry,) = work.blocks(spot, t.carry, 1)
        carried = f.var(tile.vector, 0.0)
        with f.if_(~is_first):
            carried.set(spot.load(carry))
        dh = carried.get() + work.product_of(0)
        if last:
            spot.store(work.blocks(spot, t.out, 1)[0], dh)
            return
        dh = dh + work.maybe(spot, t.g)
        r, z, n, nh = (spot.load(p) for p in work.blocks(spot, t.acts, ACTS))
        h = spot.load(work.blocks(spot, t.before, 1)[0])
        gn = dh * (1.0 - z) * (1.0 - n * n)
        gr, gz = gn * nh * r * (1.0 - r), dh * (h - n) * z * (1.0 - z)
        _store_all(spot, work.blocks(spot, t.out, gates), [gr, gz, gn])
        _store_all(spot, work.blocks(spot, t.out_state, gates), [gr, gz, gn * r])
        spot.store(carry, dh * z)

    work.write(product, lstm if name == "lstm" else gru)


# ---- plans


class _Sizes(NamedTuple):
    """A sequence: steps, rows of a step, hidden units; and how it is cut."""

    tile: Tile
    steps: int
    rows: int
    h: int
    gates: int
    threads: int

    @property
    def columns(self) -> int:
        """Panels of hidden units."""
        return -(-self.h // self.tile.columns)

    @property
    def panel_bytes(self) -> int:
        return self.columns * self.tile.columns * self.h * self.gates * self.tile.itemsize

    def ready(self) -> None:
        """Have the tiles that the products of a step are made of."""
        block, tall, _ = self.cut()
        heights = tiles.heights_of(tiles.heights_of([self.rows], block), tall)
        want(self.tile, heights, self.h)

    def step(self, turn: int, reverse: bool) -> int:
        """Which step of the sequence a turn is."""
        return self.steps - 1 - turn if reverse else turn

    def cut(self) -> tuple[int, int, int]:
        """Rows of a block, rows of a tile, and how many blocks there are."""
        most = TILES_A_BLOCK * self.tile.rows
        parts = -(-self.rows // most)
        block = -(-self.rows // parts)
        heights = -(-block // self.tile.rows)
        return block, -(-block // heights), parts

    def words(self) -> dict[str, Word]:
        block, tall, parts = self.cut()
        cut = {"row_block": block, "tile_rows": tall, "parts": parts}
        return {"rows": self.rows, "h": self.h, **cut, "units": parts * self.columns}

    def chunks(self) -> int:
        units = self.cut()[2] * self.columns
        work = self.rows * self.h * self.h * self.gates
        return smaller(units, 2 * self.threads) if self.threads > 1 and work >= SERIAL else 1

    def bytes_of(self, blocks: int) -> int:
        """Of one step of an array [steps, rows, blocks * h]."""
        return self.rows * blocks * self.h * self.tile.itemsize

    def pack(self, task: int, weight: Word) -> Step:
        words = {"weight": weight, "panels": Scratch(), "h": self.h, "gates": self.gates}
        chunks = min(self.columns, 2 * self.threads) if self.chunks() > 1 else 1
        return Step(task, arrange(PACK, words | {"units": self.columns}), chunks)


def _sizes(weight: Arg, steps: Arg | Type, rows: int, gates: int, threads: int) -> _Sizes | None:
    tile = TILES.get(weight.dtype.name)
    if tile is None or not steps.shape[0]:
        return None
    return _Sizes(tile, steps.shape[0], rows, weight.shape[1], gates, threads)


def _forward_plan(name: str) -> None:
    gates = GATES[name]
    places = 4 if name == "lstm" else 3

    @schedule(f"{name}_sequence")
    def plan(
        args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
    ) -> Plan | None:
        """projected, weight, h (lstm: and c), and the bias if there is one."""
        s = _sizes(args[1], args[0], args[2].shape[0], gates, threads)
        if s is None:
            return None
        if not s.rows or not s.h:
            return Plan(())
        bias = len(args) > places
        key = f"{name}_sequence/{s.tile.key}/{'bias' if bias else 'plain'}"
        s.ready()
        code = load(key, lambda: build_forward(name, s.tile, bias))
        steps = [s.pack(code.address("pack"), In(1))]
        common = s.words() | {"panels": Scratch(), "bias": In(places) if bias else 0}
        one, reverse = s.bytes_of(1), bool(attrs["reverse"])

        def job(turn: int) -> dict[str, Word]:
            t, before = s.step(turn, reverse), s.step(turn - 1, reverse) * one
            words: dict[str, Word] = {"before": Out(0, before) if turn else In(2)}
            words |= {"projected": In(0, t * s.bytes_of(gates)), "out": Out(0, t * one)}
            words |= {"c": 0, "out_c": 0, "acts": Out(1, t * s.bytes_of(ACTS))}
            if name == "lstm":
                words |= {"c": Out(1, before) if turn else In(3)}
                words |= {"out_c": Out(1, t * one), "acts": Out(2, t * s.bytes_of(ACTS))}
            return common | words

        steps += _walk(code, FORWARD + SIZES, job, s.steps, s.chunks())
        return Plan(tuple(steps), s.panel_bytes, turned(args))


class _Inputs(NamedTuple):
    """Which inputs of a backward plan are what, by their numbers."""

    weight: int
    g: int | None
    gc: int | None
    first: int
    states: int
    acts: int


def _lstm_inputs(attrs: Mapping[str, Any]) -> _Inputs:
    g = 4 if attrs["by_h"] else None
    gc = 4 + bool(attrs["by_h"]) if attrs["by_c"] else None
    return _Inputs(0, g, gc, 1, 2, 3)


def _gru_inputs(attrs: Mapping[str, Any]) -> _Inputs:
    return _Inputs(1, 0, None, 2, 3, 4)


def _backward_plan(name: str, inputs_of: Callable[[Mapping[str, Any]], _Inputs]) -> None:
    gates = GATES[name]

    @schedule(f"{name}_sequence_backward")
    def plan(
        args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
    ) -> Plan | None:
        """As `inputs_of` names them; gives the gradients by the gates, and by the first state."""
        given = inputs_of(attrs)
        acts = args[given.acts]
        s = _sizes(args[given.weight], acts, acts.shape[1], gates, threads)
        if s is None:
            return None
        if not s.rows or not s.h:
            return Plan(())
        s.ready()
        code = load(f"{name}_backward/{s.tile.key}", lambda: build_backward(name, s.tile))
        steps = [s.pack(code.address("pack"), In(given.weight))]
        jobs = _Backward(s, name, given, bool(attrs["reverse"]))
        steps += _walk(code, BACKWARD + SIZES, jobs.step, s.steps, s.chunks(), back=True)
        last = arrange(BACKWARD + SIZES, jobs.last())
        steps.append(Step(code.address("last"), last, s.chunks()))
        scratch = s.panel_bytes + (s.bytes_of(1) if name == "gru" else 0)
        return Plan(tuple(steps), scratch, turned(args))


class _Backward(NamedTuple):
    """The jobs of a backward plan."""

    sizes: _Sizes
    name: str
    inputs: _Inputs
    reverse: bool

    @property
    def common(self) -> dict[str, Word]:
        # What the first state gets is summed up where it is given back, or (GRU) in the scratch.
        carry: Word = Out(2) if self.name == "lstm" else Scratch(self.sizes.panel_bytes)
        return self.sizes.words() | {"panels": Scratch(), "carry": carry}

    def product(self, place: int) -> Word:
        """What the recurrent weight multiplies: the gradients by the gates of a step."""
        at = self.sizes.step(place, self.reverse) * self.sizes.bytes_of(self.sizes.gates)
        return Out(0 if self.name == "lstm" else 1, at)

    def step(self, place: int) -> dict[str, Word]:
        """The words of a step; the last one is the first to be gone back through."""
        s = self.sizes
        t, one, width = s.step(place, self.reverse), s.bytes_of(1), s.bytes_of(s.gates)
        before = In(self.inputs.first)
        if place:
            before = In(self.inputs.states, s.step(place - 1, self.reverse) * one)
        words: dict[str, Word] = {"before": before, "c": In(self.inputs.states, t * one)}
        words |= {"later": self.product(place + 1) if place + 1 < s.steps else 0}
        words |= {"g": self._maybe(self.inputs.g, t * one)}
        words |= {"gc": self._maybe(self.inputs.gc, t * one)}
        words |= {"acts": In(self.inputs.acts, t * s.bytes_of(ACTS)), "out": Out(0, t * width)}
        words |= {"out_state": 0 if self.name == "lstm" else Out(1, t * width)}
        return self.common | words

    def last(self) -> dict[str, Word]:
        """What goes to the first state."""
        none = dict.fromkeys(("g", "gc", "acts", "before", "c", "out_state"), 0)
        out = Out(1 if self.name == "lstm" else 2)
        return self.common | none | {"later": self.product(0), "out": out}

    def _maybe(self, index: int | None, offset: int) -> Word:
        return 0 if index is None else In(index, offset)


for _name in GATES:
    _forward_plan(_name)
_backward_plan("lstm", _lstm_inputs)
_backward_plan("gru", _gru_inputs)
