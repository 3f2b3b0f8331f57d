"""The loss of connectionist temporal classification, and its gradient. Floor 6.

One target after the other, in float64 and logarithms, as ops/ctc.py says it. A row of states has
room before and behind it that is -inf, so that eight states are computed at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.core import INF, NAN
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, In, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.splice import Builder
from twofold.lower.task import Task, arrange

WORDS = "x:ptr targets:ptr lengths:ptr sizes:ptr out:ptr work:ptr steps count classes labels blank"
WORDS += " width room"
LANES = 8
BEFORE = 8  # places before the first state
Args = tuple[Arg, ...]


class Row:
    """One target: what it is made of, and where its numbers lie.

    states  the class of each state; jumps: 0 where a state is reached from the one before the last
    scores  of the states at a step; alpha: the steps' rows
    """

    def __init__(self, t: Task, number: Value, element: str) -> None:
        f = t.f
        self.t, self.f, self.element, self.number = t, f, element, number
        work = t.work.at(t.chunk * t.room, "f64")
        self.states, self.jumps, self.scores, self.beta, self.after = (
            work.at(i * t.width + BEFORE, "f64") for i in range(5)
        )
        self.alpha = work.at(t.width * 5 + BEFORE, "f64")
        self.sums = work.at(t.width * (t.steps + 5), "f64")
        length = t.lengths.at(number, "i64").load("i64")
        self.length = f.max(f.min(length, t.steps), 0)
        self.size = f.max(f.min(t.sizes.at(number, "i64").load("i64"), t.labels), 0)
        self.last = self.size * 2
        f.memset(work, 0, t.width * 8)
        for place in (self.jumps, self.scores, self.beta, self.after):
            with f.loop(-BEFORE, t.width - BEFORE) as s:
                place.at(s, "f64").store(f.const("f64", -INF))
        targets = t.targets.at(number * t.labels, "i64")
        with f.loop(0, self.last + 1) as s:
            state = f.var("i64", t.blank)
            with f.if_((s & 1).cmp("eq", 1)):
                label = targets.at(s.lshr(1), "i64").load("i64")
                state.set(label)
                with f.if_(s.cmp("sgt", 2) & label.cmp("ne", t.blank)):
                    before = targets.at(s.lshr(1) - 1, "i64").load("i64")
                    with f.if_(before.cmp("ne", label)):
                        self.jumps.at(s, "f64").store(f.const("f64", 0.0))
            self.states.at(s, "i64").store(state.get())

    def score(self, step: Value) -> None:
        """The log-probabilities of the states at a step."""
        f, t = self.f, self.t
        x = t.x.at((step * t.count + self.number) * t.classes, self.element)
        with f.loop(0, self.last + 1) as s:
            value = x.at(self.states.at(s, "i64").load("i64"), self.element).load(self.element)
            wide = value if self.element == "f64" else value.cast("fpext", "f64")
            self.scores.at(s, "f64").store(wide)

    def row(self, step: Value) -> Value:
        return self.alpha.at(step * self.t.width, "f64")

    def forward(self) -> None:
        """All rows of alpha."""
        f, t, kind = self.f, self.t, vector("f64", LANES)
        with f.loop(0, self.length) as step:
            self.score(step)
            row = self.row(step)
            with f.loop(-BEFORE, t.width - BEFORE) as s:
                row.at(s, "f64").store(f.const("f64", -INF))
            with f.if_(step.cmp("eq", 0)) as start:
                with f.loop(0, f.min(self.last + 1, 2)) as s:
                    row.at(s, "f64").store(self.scores.at(s, "f64").load("f64"))
                start.otherwise()
                old = self.row(step - 1)
                with f.loop(0, self.last + 1, LANES) as s:
                    same, one, two = (old.at(s - k, "f64").load(kind) for k in range(3))
                    jumped = two + self.jumps.at(s, "f64").load(kind)
                    made = _add(f, same, one, jumped) + self.scores.at(s, "f64").load(kind)
                    row.at(s, "f64").store(made)

    def likelihood(self) -> Value:
        """The logarithm of the probability of the target."""
        f = self.f
        found = f.var("f64", self.size.cmp("sgt", 0).select(f.const("f64", -INF), 0.0))
        with f.if_(self.length.cmp("sgt", 0)):
            row = self.row(self.length - 1)
            end, label = (row.at(self.last - k, "f64").load("f64") for k in range(2))
            found.set(_add(f, end, label))  # before the first state it is -inf
        return found.get()

    def backward(self, step: Value) -> None:
        """The row of beta at a step, from what comes after it."""
        f, kind = self.f, vector("f64", LANES)
        with f.if_(step.cmp("eq", self.length - 1)) as start:
            with f.loop(0, f.min(self.last + 1, 2)) as k:
                self.beta.at(self.last - k, "f64").store(f.const("f64", 0.0))
            start.otherwise()
            with f.loop(0, self.last + 1, LANES) as s:
                same, one, two = (self.after.at(s + k, "f64").load(kind) for k in range(3))
                jumped = two + self.jumps.at(s + 2, "f64").load(kind)
                self.beta.at(s, "f64").store(_add(f, same, one, jumped))
        self.score(step)
        with f.loop(0, self.last + 1, LANES) as s:
            both = self.beta.at(s, "f64").load(kind) + self.scores.at(s, "f64").load(kind)
            self.after.at(s, "f64").store(both)


def _add(f: Function, *terms: Value) -> Value:
    """The logarithm of a sum, from logarithms; -inf is 0."""
    top = terms[0]
    for term in terms[1:]:
        top = (top.cmp("olt", term) | term.cmp("uno", term)).select(term, top)
    safe = f.abs(top).cmp("oeq", INF).select(0.0, top)
    total = exp(f, terms[0] - safe)
    for term in terms[1:]:
        total = total + exp(f, term - safe)
    return log(f, total) + safe


def _narrow(x: Value, element: str) -> Value:
    return x if element == "f64" else x.cast("fptrunc", element)


def build_loss(element: str) -> Module:
    """Task `loss`: out[n], minus the log-probability of target n."""
    m = Module(f"ctc_{element}")
    t = Task(m, "loss", WORDS)
    f = t.f
    low, high = t.share(t.count)
    with f.loop(low, high) as number:
        row = Row(t, number, element)
        row.forward()
        t.out.at(number, element).store(_narrow(-row.likelihood(), element))
    f.ret()
    return m


def build_gradient(element: str) -> Module:
    """Task `gradient`: out[t, n, c], -g[n] times the probability of class c at step t."""
    m = Module(f"ctc_gradient_{element}")
    t = Task(m, "gradient", WORDS + " g:ptr")
    f, kind = t.f, vector("f64", LANES)
    low, high = t.share(t.count)
    with f.loop(low, high) as number:
        row = Row(t, number, element)
        row.forward()
        total = row.likelihood()
        g = t.g.at(number, element).load(element)
        g = g if element == "f64" else g.cast("fpext", "f64")
        impossible = total.cmp("oeq", -INF)
        with f.loop(0, t.steps) as back:
            step = t.steps - 1 - back
            sums, states = row.sums, row.states
            inside = step.cmp("slt", row.length)
            start = (inside & impossible).select(f.const("f64", NAN), 0.0)
            with f.loop(0, t.classes) as c:
                sums.at(c, "f64").store(start)
            with f.if_(inside & ~impossible):
                row.backward(step)
                alpha = row.row(step)
                with f.loop(0, row.last + 1, LANES) as s:
                    both = alpha.at(s, "f64").load(kind) + row.beta.at(s, "f64").load(kind)
                    share = exp(f, both - total.splat(LANES))
                    row.scores.at(s, "f64").store(both.cmp("oeq", -INF).select(0.0, share))
                with f.loop(0, row.last + 1) as s:
                    place = sums.at(states.at(s, "i64").load("i64"), "f64")
                    place.store(place.load("f64") + row.scores.at(s, "f64").load("f64"))
                with f.loop(row.last + 1, row.last + 1 + LANES) as s:
                    row.scores.at(s, "f64").store(f.const("f64", -INF))
            out = t.out.at((step * t.count + number) * t.classes, element)
            with f.loop(0, t.classes) as c:
                made = -(sums.at(c, "f64").load("f64") * g)
                made = g.cmp("oeq", 0.0).select(0.0, made)
                out.at(c, element).store(_narrow(made, element))
    f.ret()
    return m


def _plan(args: Args, first: int, attrs: Mapping[str, Any], threads: int, task: str) -> Plan | None:
    """x f[T, N, C], targets i64[N, S], lengths i64[N], sizes i64[N], from argument `first` on."""
    x, *numbers = args[first:]
    if x.dtype not in (dtypes.float32, dtypes.float64) or 0 in x.shape:
        return None
    if any(number.dtype is not dtypes.int64 for number in numbers):
        return None
    build, (steps, count, classes), labels = Builder(threads), x.shape, numbers[0].shape[1]
    width = BEFORE + (2 * labels + 1 + LANES - 1) // LANES * LANES + LANES
    room = width * (steps + 5) + classes
    chunks = max(min(chunks_for(20 * steps * count * width, threads), count), 1)
    names = ("x", "targets", "lengths", "sizes")
    words: dict[str, Word] = {
        name: build.dense(arg, first + i)
        for i, (name, arg) in enumerate(zip(names, args[first:], strict=True))
        if arg.size
    }
    words = {"targets": In(first)} | words  # of no labels nothing is read
    words |= {"out": Out(0), "work": build.scratch(chunks * room, 8), "steps": steps}
    words |= {"count": count, "classes": classes, "labels": labels, "width": width, "room": room}
    words |= {"blank": int(attrs["blank"])}
    element, given = x.dtype.loops, WORDS
    make = build_loss
    if first:
        words, given, make = (
            words | {"g": build.dense(args[0], 0)},
            WORDS + " g:ptr",
            build_gradient,
        )
    code = load(f"ctc/{task}/{element}", partial(make, element))
    build.add(Step(code.address(task), arrange(given, words), chunks))
    return build.plan()


@schedule("ctc_loss")
def plan_loss(
    args: Args, outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """x, targets, lengths, sizes -> f[N]; attrs: blank."""
    return _plan(args, 0, attrs, threads, "loss")


@schedule("ctc_loss_backward")
def plan_gradient(
    args: Args, outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """g, x, targets, lengths, sizes -> f[T, N, C]; attrs: blank."""
    return _plan(args, 1, attrs, threads, "gradient")
