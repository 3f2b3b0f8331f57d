"""Graphs in files: `export` writes a program, `load` gives it back in any process. Floor 9.

An archive is what `twofold.save` writes: safetensors with checksums, no pickle. It holds the graph
as text (ir/graph_text.py), the tensors that the program has found, the names and guards of its
sizes, and the plain numbers of optimizers and random streams. A loaded program needs no Python of
the model's, and gives the same bits. None of a file is Python, and all that it says is checked
(frontends/archive.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, final

from twofold.base.devices import Device, check_device
from twofold.base.dtypes import DType
from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
    StateError,
    TwofoldError,
)
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol, Table
from twofold.base.trees import flatten
from twofold.base.types import Type
from twofold.exec.runner import GuardBroken, make_body
from twofold.frontends.answers import Answer, Leaf
from twofold.frontends.archive import (
    PLAIN,
    Sizes,
    check_graph,
    check_saved,
    is_count,
    need,
    rank_of,
)
from twofold.frontends.arrays import CaptureError
from twofold.frontends.asked import number_array
from twofold.frontends.compiled import Compiled, compiled_in
from twofold.frontends.left_to_python import Failed
from twofold.frontends.noted import Check, Host, Source
from twofold.frontends.program import Program
from twofold.frontends.world import Moves
from twofold.ir.graph import Graph, Value
from twofold.ir.graph_parse import parse, parse_formula, parse_guards
from twofold.ir.graph_text import as_text, guards_text
from twofold.lower.optim_rules import RULES
from twofold.ops.bind import recording
from twofold.ops.control import Body
from twofold.ops.formula import record
from twofold.ops.generators import Generator
from twofold.ops.indexing import Here, Slice
from twofold.ops.ranges import CHECK
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.passes.manager import optimize
from twofold.saving.container import DamagedFileError
from twofold.saving.files import save

MARK, VERSION = "twofold.graph", 1
RECORDS = {"Slice": Slice, "Here": Here}


class Recorded(NamedTuple):
    """What a program does besides its graph, as plain values."""

    inputs: list[Any]
    state: dict[str, Tensor]
    hosts: list[Any]
    results: list[Any]
    checks: list[int]


# ---- writing -------------------------------------------------------------------------------------


def _captured(compiled: Compiled, examples: Any, keywords: Any) -> Program:
    """A program of the function, for a file. Raises CaptureError where it changes what lies outside
    of it besides tensors.
    """
    try:
        program = compiled.capture(compiled.given(examples, keywords))
        changed = [found.place for found in program.answer.sets]
    except Moves as moves:
        changed = moves.places
    if changed or compiled.moving:
        names = ", ".join(place.name for place in (*changed, *compiled.moving))
        raise CaptureError(
            "export",
            f"the function changes {names}, which a file does not hold",
            hint="give it back as a result, and take it as an argument",
        )
    return program


def export(function: Any, *examples: Any, path: Any, **keywords: Any) -> None:
    """Write the program of a function, or a module, for arguments like the examples.

    Sizes stay symbols: the loaded program takes other batches and lengths. A training step can be
    exported as well: parameters, averages and random streams are stored as they are now, and the
    loaded program goes on from there. Raises CaptureError for what needs the function's own Python.

    >>> twofold.export(model, twofold.zeros(1, 784), path="model.twofold")
    >>> twofold.load("model.twofold")(x)

    What `trace` made needs no examples: it has those that it was traced with.
    """
    save(program_of(function, examples, keywords)[0], path)


def program_of(function: Any, examples: Any, keywords: Any) -> tuple[dict[str, Any], Program]:
    """What `export` writes, as plain values and tensors that share the program's memory, and the
    program itself.
    """
    traced = getattr(compiled_in(function), "traced", None)
    if traced is not None and not (examples or keywords):
        examples, keywords = traced
    compiled = compiled_in(function) or Compiled(function)
    program = _captured(compiled, examples, keywords)
    if program.derivative is not None:
        with recording(False):
            program = _captured(compiled, examples, keywords)
    graph = program.source
    leaves, form = flatten((examples, keywords))
    parts = _record(program, graph)
    names = {v: n for n, v in zip(graph.table.names, program.symbols, strict=True)}
    written = {
        MARK: VERSION,
        "name": graph.name,
        "text": as_text(_slim(graph, parts.results, parts.checks)),
        "guards": guards_text(graph.guards, graph.table),
        "symbols": [[names[s], s[0], s[1]] for s in program.symbols],
        "examples": list(graph.table.examples),
        "arguments": [str(type_of(x)) if isinstance(x, Tensor) else None for x in leaves],
        "constants": _constants(leaves, program.symbols),
        "structure": _plain_tree(form, list(range(len(leaves)))),
        "inputs": parts.inputs,
        "state": parts.state,
        "hosts": parts.hosts,
        "results": parts.results,
        "checks": [[place, 0, 0, None] for place in parts.checks],
        "answer": _plain_tree(program.answer.form, list(range(len(program.answer.leaves)))),
        "training": program.fit.training,
    }
    return written, program


def _constants(leaves: Sequence[Any], symbols: Sequence[Any]) -> list[Any]:
    """The places and values of the plain arguments that the program was made for."""
    numbers = [place for place, axis in symbols if axis is None]
    plain = [(i, x) for i, x in enumerate(leaves) if isinstance(x, (*PLAIN, DType))]
    return [[i, x] for i, x in plain if i not in numbers]


def _plain_tree(form: Any, leaves: list[Any]) -> Any:
    """The structure as nested tuples, lists and dicts, with leaves in their places."""
    rest = iter(leaves)

    def build(form: Any) -> Any:
        if form.kind is None:
            return next(rest)
        children = [build(child) for child in form.children]
        if form.keys is not None:
            return dict(zip(form.keys, children, strict=True))
        return tuple(children) if issubclass(form.kind, tuple) else children

    return build(form)


def _record(program: Program, graph: Graph) -> Recorded:
    if program.asked:
        first = program.asked[0]
        raise CaptureError(
            "export",
            "a size or a number of the program is decided by values",
            asked=first.where,
            hint="twofold.where(mask, value, x), or x * mask, which keep the shape"
            if first.places
            else "keep the shape, as x * (twofold.arange(x.shape[0]) < n) does; for a choice let "
            "both ways give back tensors of one structure, shape and type",
        )
    inputs, state = [], {}
    for given, source in zip(graph.inputs, program.sources, strict=True):
        kind, key = source
        if kind == "argument":
            inputs.append(["argument", key])
        elif kind == "state":
            state[given.name] = wrap(key.array) if isinstance(key, Tensor) else wrap(key)
            inputs.append(["state", given.name])
        elif kind == "host":
            number, place, dtype = key
            inputs.append(["host", [number, place, dtype.name, list(given.value.shape)]])
        elif kind == "number":
            inputs.append(["number", [graph.table.text(key[0]), key[1].name]])
        else:
            raise CaptureError(
                "export", "the function adds to gradients from before", hint="zero_grad() in it"
            )
    hosts = [_host(host) for host in program.hosts]
    results = [_leaf(leaf) for leaf in program.answer.leaves]
    return Recorded(inputs, state, hosts, results, list(program.answer.checks))


def _host(host: Host) -> Any:
    plain = getattr(host.run, "plain", None)
    if plain is None:
        raise CaptureError(
            "export",
            f"{host.what} is Python of the program's own that runs before each call",
            hint="take it out of the function, and pass what it gives as an argument",
        )
    return plain()


def _leaf(leaf: Leaf) -> Any:
    if leaf.kind in ("result", "walked", "detached"):
        return ["result", leaf.what]
    if leaf.kind == "view":
        return ["result", leaf.what.result]
    if leaf.kind == "argument":
        return ["argument", leaf.what]
    if leaf.kind == "object" and isinstance(leaf.what, PLAIN):
        return ["object", leaf.what]
    raise CaptureError(
        "export",
        f"the function gives back a {type(leaf.what).__name__}, which is not its own",
        hint="tensors that it computes, numbers and text",
    )


def _slim(graph: Graph, results: list[Any], checks: list[int]) -> Graph:
    """The graph without the results that only gradients on leaves are for."""
    used = [what for kind, what in results if kind == "result"] + list(checks)
    places = list(dict.fromkeys(used))
    renumbered = {old: new for new, old in enumerate(places)}
    for row in results:
        if row[0] == "result":
            row[1] = renumbered[row[1]]
    checks[:] = [renumbered[c] for c in checks]
    return graph._replace(results=tuple(graph.results[i] for i in places))


# ---- reading -------------------------------------------------------------------------------------


@final
class Loaded:
    """A program from a file. Call it as the function that was exported.

    state   its tensors by name: parameters, buffers, an optimizer's averages
    """

    def __init__(
        self, program: Program, sizes: Sizes, saved: Mapping[str, Any], form: Any, types: Any
    ) -> None:
        self.program = program
        self.name = saved["name"]
        self.state: dict[str, Tensor] = saved["state"]
        self.form = form
        self.types = types
        self.constants: list[Any] = saved.get("constants", [])
        self.numbers = [
            (place, type(example))
            for (_, place, axis), example in zip(saved["symbols"], saved["examples"], strict=True)
            if axis is None
        ]
        self.sizes = sizes
        self.training: bool = saved.get("training") is True
        self.files: dict[str, bytes] = saved.get("files", {})  # that were written beside it

    def train(self, mode: bool = True) -> Loaded:
        """Itself. Raises StateError where the program is of the other mode: it is as it was
        exported.
        """
        if mode is not self.training:
            kept, wanted = ("train", "eval") if self.training else ("eval", "train")
            problem = f"the program was exported in {kept} mode"
            raise StateError(self.name, problem, hint=f"model.{wanted}() before it is exported")
        return self

    def eval(self) -> Loaded:
        """train(False)"""
        return self.train(False)

    def to(self, *args: Any, **kwargs: Any) -> Loaded:
        """Itself; there is one device. Raises ArgumentError for another one, or an element type."""
        for wanted in (*args, *kwargs.values()):
            if isinstance(wanted, DType):
                problem = "the types of a program are those it was exported with"
                raise ArgumentError(self.name, problem, wanted=wanted)
            if isinstance(wanted, str | Device):
                check_device(wanted)
        return self

    def parameters(self) -> Iterator[Tensor]:
        """Its tensors: what parameters and buffers were, as they are now."""
        return iter(self.state.values())

    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return dict(self.state)

    @property
    def graph(self) -> Graph:
        return self.program.graph

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, form = flatten((args, kwargs))
        if form != self.form:
            raise ArgumentError(
                self.name,
                f"it takes {_words(self.types)}",
                hint="arguments as it was exported with",
            )
        for place, (leaf, wanted) in enumerate(zip(leaves, self.types, strict=True)):
            if wanted is None:
                continue
            if not isinstance(leaf, Tensor):
                raise DTypeError(self.name, f"argument {place} is no tensor", wanted=wanted)
            if str(type_of(leaf)).partition("[")[0] != wanted.partition("[")[0]:
                raise DTypeError(
                    self.name, f"argument {place} is of another type", given=type_of(leaf),
                    wanted=wanted,
                )  # fmt: skip
            if leaf.array.ndim != rank_of(wanted):
                raise ShapeError(
                    self.name, f"argument {place} has another rank", given=type_of(leaf),
                    wanted=wanted,
                )  # fmt: skip
        for place, value in self.constants:
            if type(leaves[place]) is not type(value) or repr(leaves[place]) != repr(value):
                problem = f"argument {place} is {leaves[place]!r}"
                raise ArgumentError(self.name, problem, hint=f"{value!r}, as it was exported with")
        for place, kind in self.numbers:
            if type(leaves[place]) is not kind:
                problem = f"argument {place} is no {kind.__name__}"
                raise DTypeError(self.name, problem, given=repr(leaves[place]))
        try:
            with recording(False):
                values = self.program.values(leaves)
                self.program.accept(values)
                self.sizes.check(leaves, values)
                return self.program(leaves)
        except Failed as failed:
            raise failed.error from None
        except GuardBroken as broken:
            table, guard = self.graph.table, broken.guard
            question = f"{table.text(guard.left)} {guard.test} {table.text(guard.right)}"
            raise ShapeError(
                self.name, f"it was exported where {question} is {guard.holds}",
                hint="other sizes, or examples of these sizes at export",
            ) from None  # fmt: skip
        except MEANINGLESS as error:
            if isinstance(error, TwofoldError):
                raise
            raise _meaningless(error) from None

    def __repr__(self) -> str:
        return f"<loaded {self.name!r}>"


def _words(types: Sequence[Any]) -> str:
    return ", ".join("a plain value" if t is None else t for t in types)


def open_graph(saved: Mapping[str, Any]) -> Loaded:
    """The program of an archive. Raises DamagedFileError for one that means nothing."""
    if saved.get(MARK) != VERSION:
        raise DamagedFileError(
            "load", f"this is a graph of version {saved.get(MARK)!r}; version {VERSION} is known"
        )
    try:
        check_saved(saved)
        return _open(saved)
    except (*MEANINGLESS, TwofoldError) as error:
        raise _meaningless(error) from None


# What Python raises where a text or a number is not what it should be.
MEANINGLESS = (
    ArithmeticError, AttributeError, LookupError, RecursionError, SyntaxError, TypeError, ValueError
)  # fmt: skip


def _meaningless(error: BaseException) -> DamagedFileError:
    reason = str(error).partition("\n")[0]
    return DamagedFileError("load", f"the graph in this file means nothing: {reason}")


def _open(saved: Mapping[str, Any]) -> Loaded:
    table = Table()
    symbols: dict[str, Symbol] = {}
    for (name, _, axis), example in zip(saved["symbols"], saved["examples"], strict=True):
        kind = "size" if axis is not None else type(example).__name__
        symbols[name] = table.new(name, example, kind)
    parse_guards(list(saved["guards"]), table, symbols)
    graph = parse(saved["text"], table, symbols, record, RECORDS, _body)
    _verify(graph)
    sources = [
        _source(row, given.value, saved, symbols)
        for row, given in zip(saved["inputs"], graph.inputs, strict=True)
    ]
    check_graph(graph, list(saved["examples"]))
    hosts = [_open_host(row) for row in saved["hosts"]]
    _check_inputs(sources, graph, saved)
    places, form = flatten(saved["structure"])
    need(places == list(range(len(saved["arguments"]))), "arguments and their structure differ")
    answer_leaves, answer_form = flatten(saved["answer"])
    leaves = tuple(Leaf(str(kind), what) for kind, what in saved["results"])
    if len(answer_leaves) != len(leaves):
        raise ValueError("results and their structure differ")
    counts = {"result": len(graph.results), "argument": len(saved["arguments"])}
    for kind, what in leaves:
        if kind != "object" and not 0 <= what < counts[kind]:
            raise ValueError(f"there is no {kind} {what}")
    checked = _checked(graph, saved["checks"])
    checks = [_check(graph, place) for place in checked]
    capture = SimpleNamespace(
        sources=sources,
        hosts=hosts,
        checks=checks,
        symbols=[(key, axis) for _, key, axis in saved["symbols"]],
        grads={},
        places={},
        modules={},
        assigned=[],
        asked=[],
        flags={},
        own={},
        flags_after=[],
        tensors={},
        in_order=[],
        themselves=frozenset(),
        catches=False,
        conditions=[],
        options=[],
        now=None,
    )
    answer = Answer(answer_form, leaves, (), tuple(checked))
    program = Program(capture, optimize(graph), answer, source=graph)  # type: ignore[arg-type]
    inputs = zip(graph.inputs, sources, strict=True)
    shapes = [(s.key, given.value.type) for given, s in inputs if s.kind == "argument"]
    return Loaded(program, Sizes(graph, shapes), saved, form, list(saved["arguments"]))


def _check_inputs(sources: Sequence[Source], graph: Graph, saved: Mapping[str, Any]) -> None:
    """Raise unless each input that is an argument or Python's numbers is what the graph takes."""
    given = [_open_host(row).run() for row in saved["hosts"]]  # hosts of their own: they count
    for source, taken in zip(sources, graph.inputs, strict=True):
        kind, key = source
        if kind == "argument":
            wanted = saved["arguments"][key] if is_count(key) else None
            rank = len(taken.value.shape)
            fits = wanted is not None and wanted.partition("[")[0] == taken.value.dtype.short
            need(fits and rank_of(str(wanted)) == rank, f"argument {key} is no {taken.value.type}")
        elif kind == "number":
            need(tuple(taken.value.shape) == (), f"a number is no {taken.value.type}")
        elif kind == "host":
            number, place, dtype = key
            found = given[number] if place is None else given[number][place]
            shape = number_array(found, dtype).shape
            need(tuple(taken.value.shape) == shape, f"a host gives no {taken.value.type}")


def _verify(graph: Graph) -> None:
    """Raise ValueError for a call whose results are not what its operation makes of its inputs."""
    for call in graph.calls:
        made = call.op.infer(*[v.type for v in call.inputs], **call.op.keywords(call.attrs))
        types = (made,) if isinstance(made, Type) else tuple(made)
        if [str(t) for t in types] != [str(v.type) for v in call.outs]:
            raise ValueError(f"{call.op.name} makes {', '.join(map(str, types))}")


def _body(graph: Graph) -> Body:
    _verify(graph)
    return make_body(graph)


def _source(row: Any, value: Value, saved: Any, symbols: Mapping[str, Symbol]) -> Source:
    kind, key = row
    if kind == "argument":
        return Source("argument", key)
    if kind == "state":
        x = saved["state"][key]
        if x.dtype is not value.dtype or tuple(x.array.shape) != tuple(value.shape):
            raise ValueError(f"{key} is {type_of(x)}, the graph wants {value.type}")
        return Source("state", x)
    if kind == "host":
        number, place, _, _ = key
        return Source("host", (int(number), place, value.dtype))
    if kind == "number":
        number = parse_formula(key[0], symbols)
        return Source("number", (getattr(number, "expr", number), value.dtype))
    raise ValueError(f"{kind!r} is no source")


def _checked(graph: Graph, rows: Sequence[Any]) -> list[int]:
    """The results that are looked at after each run: those that the file names, and all that say
    whether an index is out of its range. Kernels trust that those are looked at.
    """
    bad = [call.outs[1] for call in graph.calls if call.op is CHECK]
    need(all(value in graph.results for value in bad), "an index is not checked")
    named = [row[0] for row in rows]
    need(all(is_count(n) and n < len(graph.results) for n in named), "a check is no result")
    return list(dict.fromkeys([*named, *map(graph.results.index, bad)]))


def _check(graph: Graph, place: int) -> Check:
    bad = graph.results[place]
    call = next(c for c in graph.calls if bad in c.outs)
    low, high, skip = call.attrs if call.op is CHECK else (0, 0, None)

    def error(index: Any) -> Exception:
        return IndexRangeError(graph.name, f"index {index} is out of range")

    return Check(bad, call.inputs[0], low, high, skip, error, "")


def _open_host(plain: Mapping[str, Any]) -> Host:
    if plain["kind"] == "draw":
        generator = Generator(seed=int(plain["seed"]), stream=int(plain["stream"]))
        generator.draw = int(plain["draw"])
        return Host(generator.next_draw, "draw")
    if plain["kind"] != "update":
        raise ValueError(f"{plain['kind']!r} is no step that is known")
    rule = RULES[plain["rule"]]
    options = dict(plain["options"])

    def numbers() -> list[float]:
        options["step"] += 1
        found = rule.numbers(options)
        options.update(rule.after(options))
        return [found[name] for name in rule.names]

    return Host(numbers, plain["rule"])
