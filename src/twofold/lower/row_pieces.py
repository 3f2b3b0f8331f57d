"""Row programs on rows that lie in pieces: a channel of (N, C, ...) is N pieces. Floor 6.

    pieces   row r of `outer` is made of n / inner pieces of `inner` neighbouring elements; piece p
             begins at (p * outer + r) * inner

One row goes through all phases before the next begins, so that the later phases find it in the
second level of cache, where kernels that each run over the whole array would read memory again.
The order of the sums is that of order.py over the row as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import final

from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.loops import TYPES
from twofold.ir.values import Value
from twofold.lower.order import (
    BLOCK,
    Joiner,
    Lanes,
    Window,
    block_count,
    each_window,
    each_window_anywhere,
)
from twofold.lower.row_kernels import LINE, job_numbers, known
from twofold.lower.row_plan import row_words
from twofold.lower.rows import Let, Names, Pick, Reduce, RowProgram, Save, Store, run_phases
from twofold.lower.schedule import Step, Word, chunks_for
from twofold.lower.task import Task, arrange


def pieces_step(
    program: RowProgram,
    rows: int,
    pieces: int,
    length: int,
    places: Mapping[str, Word],
    threads: int,
    numbers: Mapping[str, float],
) -> Step:
    """The step of a program over `rows` rows, each of `pieces` pieces of `length` elements."""
    n = pieces * length
    values = row_words(program, {"outer": rows, "n": n, "inner": length, **places}, numbers, {})
    task = load(f"rows/{program.name}/pieces", partial(build_pieces, program)).address("pieces")
    chunks = min(rows, chunks_for(rows * n, threads))
    return Step(task, arrange(program.words(), values), chunks)


def build_pieces(program: RowProgram) -> Module:
    m = Module("pieces")
    task = Task(m, "pieces", program.words())
    f = task.f
    shared = job_numbers(task, program)
    lo, hi = task.share(task.outer)
    with f.loop(lo, hi) as row:
        run_phases(program, InPieces(task, program, row, shared))
    f.ret()
    return m


@final
class InPieces:
    """One row in pieces. It keeps no output row between phases."""

    def __init__(
        self, task: Task, program: RowProgram, row: Value, shared: Mapping[str, Value]
    ) -> None:
        assert not program.places and not program.cyclic
        self.task, self.program, self.f, self.row = task, program, task.f, row
        self.numbers = dict(shared)
        for name, kind in program.each.items():
            self.numbers[name] = task.words[name].at(row, kind).load(kind)

    def _window(self, window: Window, offset: Value) -> Names:
        """What a recipe sees of a window whose elements lie `offset` from the array's first."""

        def maker(name: str, kind: str) -> Callable[[], Value]:
            return lambda: window.load(self.task.words[name].at(offset, kind), kind)

        makers = {name: maker(name, kind) for name, kind in self.program.rows.items()}
        makers |= {name: partial(value.splat, window.width) for name, value in self.numbers.items()}
        return Names(makers)

    def reduce(self, phase: Reduce) -> None:
        assert phase.keep is None
        f, task, lane = self.f, self.task, self.program.lane
        n, length = task.n, task.inner
        joiner = Joiner(f, phase.combines, [lane] * len(phase.combines))
        with f.loop(0, block_count(n)) as block:
            lo = block * BLOCK
            hi = f.min(lo + BLOCK, n)
            lanes = Lanes(f, phase.combines, lane)
            with f.loop(lo // length, (hi + length - 1) // length) as piece:
                start = piece * length
                # a window's index is its place in the row
                offset = (piece * (task.outer - 1) + self.row) * length

                def body(window: Window, first: int | Value, offset: Value = offset) -> None:
                    self._fetch_ahead(window, offset)
                    lanes.add(window, first, phase.values(f, self._window(window, offset)))

                each_window_anywhere(f, f.max(start, lo), f.min(start + length, hi), body, lanes)
            joiner.push(block, lanes.results())
        self.numbers |= dict(zip(phase.names, joiner.finish(), strict=True))

    def _fetch_ahead(self, window: Window, offset: Value) -> None:
        """Ask for the same elements of the next piece, which the CPU does not expect there."""
        following = offset + self.task.outer * self.task.inner + window.index
        for name, kind in self.program.rows.items():
            for at in range(0, window.width, LINE // TYPES[kind].size):
                self.f.prefetch(self.task.words[name].at(following + at, kind))

    def let(self, phase: Let) -> None:
        self.numbers[phase.name] = phase.value(self.f, known(self.numbers))

    def pick(self, phase: Pick) -> None:
        raise ValueError("a row in pieces picks no element")

    def store(self, phase: Store) -> None:
        """Piece by piece, the last one first: it is the likeliest to be in the cache."""
        f, task, lane = self.f, self.task, self.program.lane
        pieces = task.n // task.inner
        with f.loop(0, pieces) as turn:
            offset = ((pieces - 1 - turn) * task.outer + self.row) * task.inner

            def body(window: Window, first: int | Value, offset: Value = offset) -> None:
                value = phase.value(f, self._window(window, offset))
                window.store(task.words[phase.out].at(offset, lane), value, lane)

            each_window(f, f.const("i64", 0), task.inner, body)

    def save(self, phase: Save) -> None:
        value = phase.value(self.f, known(self.numbers))
        self.task.words[phase.out].at(self.row, self.program.lane).store(value)
