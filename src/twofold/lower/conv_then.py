"""What follows a convolution on the results that are finished: batch_norm, elementwise steps.
Floor 6.

    then(words, offset, rows, columns, row_step, channel)

does it in place to a block of results: row r is channel + r of one image, and begins `offset` +
r * row_step elements from the first of all. `words` are the words of the job behind those that the
kernel has itself: the results, mean, scale and bias of the norm, and what else the body reads,
which lies as the results do. The function is a module of its own and called through a pointer, so
that a convolution is compiled once for all of them. The recipes are those of the operations, so the
bits are those of the separate steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.batch_norm import scale_program
from twofold.lower.conv_put import Following, define_put
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Geometry
from twofold.lower.conv_tile import Format
from twofold.lower.fused import body_key, body_recipe
from twofold.lower.row_plan import Sizes, row_step
from twofold.lower.schedule import Arg, In, Out, Word
from twofold.lower.task import Task

# Words of every kernel that calls `then`: the function or 0, the pixels of an image, and how far it
# is from one image to the next.
THEN = " then:ptr image image_step"
PARAMS = [("words", "ptr"), ("offset", "i64"), ("rows", "i64"), ("columns", "i64")]
PARAMS += [("row_step", "i64"), ("channel", "i64")]
PLANES = "pixels channels items"


class Then(NamedTuple):
    """The code of what follows, and the words that it reads."""

    code: Code
    words: tuple[Word, ...]


def make_then(
    steps: Steps, fmt: Format, g: Geometry, args: tuple[Arg, ...], attrs: Mapping[str, Any]
) -> Then | None:
    """What follows conv by the attributes of conv_then; None if nothing does."""
    eps, body = attrs.get("eps"), attrs.get("body", ())
    if eps is None and not body:
        return None
    extra = list(range(2 + bool(attrs["biased"]), len(args)))
    words: list[Word] = [Out(0)]
    if eps is not None:
        mean, var, weight, bias = (In(i) for i in extra[:4])
        stays = all(args[i].frozen for i in extra[1:3])
        scale = steps.kept(g.filters) if stays else steps.scratch(g.filters)
        extra = extra[4:]
        places: dict[str, Word] = {"var": var, "weight": weight, "scale": scale}
        numbers = {"eps": eps, "count": 1.0}
        program = scale_program(args[0].dtype.loops)
        steps.extend(row_step(program, Sizes(1, g.filters), places, 1, numbers))
        words += [mean, scale, bias]
    words += [In(i) for i in extra]
    key = body_key(body, (eps is not None, len(extra)))
    kinds = [args[0].dtype] * (1 + len(extra))
    code = load(f"conv/then/{fmt.key}/{key}", lambda: _build(fmt, eps is not None, body, kinds))
    return Then(code, tuple(words))


def _build(fmt: Format, normal: bool, body: Any, kinds: list[Any]) -> Module:
    m = Module(f"conv_then_{fmt.element}")

    def norm(x: Value, numbers: list[Value]) -> Value:
        mean, scale, bias = numbers
        return (x - mean) * scale + bias

    recipe = body_recipe(body, kinds, (len(kinds) + len(body) - 1,))

    def steps(values: list[Value]) -> Value:
        made: Value = recipe(values[0].function, *values)[0]
        return made

    others = len(kinds) - 1
    follow = Following(norm if normal else None, 3 * normal, steps if body else None, others)
    _define_then(m, fmt, follow)
    _define_planes(m)
    define_put(m, fmt, follow)
    return m


def _define_then(m: Module, fmt: Format, follow: Following) -> None:
    f = m.function("then", PARAMS)
    words, offset, rows, columns, row_step, channel = f.args
    count = 1 + follow.numbers + follow.others
    starts = [words.at(i, "i64").load("ptr") for i in range(count)]
    element, lanes, kind = fmt.element, fmt.width, fmt.vector
    whole = columns // lanes * lanes
    mask = f.iota(vector("i64", lanes)).cmp("slt", (columns - whole).splat(lanes))

    with f.loop(0, rows) as row:
        first = offset + row * row_step
        numbers = [
            start.at(channel + row, element).load(element).splat(lanes)
            for start in starts[1 : 1 + follow.numbers]
        ]
        full = [start.at(first, element) for start in starts[:1] + starts[1 + follow.numbers :]]

        def finish(values: list[Value], numbers: list[Value] = numbers) -> Value:
            if follow.norm:
                values[0] = follow.norm(values[0], numbers)
            return follow.body(values) if follow.body else values[0]

        with f.loop(0, whole, lanes) as column:
            places = [start.at(column, element) for start in full]
            places[0].store(finish([place.load(kind) for place in places]))
        with f.if_(whole.cmp("ne", columns)):
            places = [start.at(whole, element) for start in full]
            values = [f.masked_load(place, mask, kind) for place in places]
            f.masked_store(finish(values), places[0], mask)


def _define_planes(m: Module) -> None:
    """Do it to all results, where the kernel of the convolution calls no `then`."""
    t = Task(m, "then_planes", PLANES)
    low, high = t.share(t.items)
    with t.f.loop(low, high) as item:
        words = t.job.at(len(t.words), "i64")
        given = (item * t.pixels, 1, t.pixels, t.pixels, item % t.channels)
        t.f.call("void", "then", words, *given)


def add_then_planes(steps: Steps, then: Then, g: Geometry) -> None:
    """A step of its own for what follows."""
    items = g.batch * g.filters
    job = (g.pixels, g.filters, items, *then.words)
    chunks = steps.chunks(items, elements=items * g.pixels)
    steps.append(then.code.address("then_planes"), job, chunks)


def call_then(
    t: Task, block: Value, pixels: tuple[Value, Value], channel: Value, rows: Value
) -> None:
    """Do what follows to some pixels of a unit and some of its channels.

    `block` is where the unit's first image has the first of these channels.
    """
    f = t.f
    words = t.job.at(len(t.words), "i64")
    low, high = pixels
    follows = t.then.cast("ptrtoint", "i64").cmp("ne", 0)
    with f.if_(follows), f.loop(low // t.image, (high + t.image - 1) // t.image) as image:
        start = image * t.image
        first, last = f.max(start, low), f.min(start + t.image, high)
        offset = block + image * t.image_step + (first - start)
        f.call("void", t.then, words, offset, rows, last - first, t.out_row, channel)
