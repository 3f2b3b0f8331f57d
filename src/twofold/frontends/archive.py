"""Whether what an archive says can be a program: checked when it is opened, and for new sizes.
Floor 9.

`check_saved` looks at the form of everything beside the graph. `Sizes` looks at the graph with
numbers in the place of symbols: each result is what its operation makes of its inputs, no size is
negative, and attributes name axes and parts that exist. Both raise ValueError, TypeError, KeyError
or IndexError for what cannot be; the archive's reader makes a DamagedFileError of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, final

from twofold.base import dtypes
from twofold.base.symbols import value_of
from twofold.base.types import Type
from twofold.ir.graph import Call, Graph
from twofold.ops.control import Body, bodies
from twofold.ops.tensor import Tensor

PLAIN = (bool, int, float, str, type(None))
LISTS = ("arguments", "checks", "examples", "guards", "hosts", "inputs", "results", "symbols")
MOST_SIZES = 512  # that are remembered


def need(holds: bool, what: str) -> None:
    """Raise ValueError unless it holds."""
    if not holds:
        raise ValueError(what)


def is_count(x: Any) -> bool:
    return type(x) is int and x >= 0


# ---- beside the graph ----------------------------------------------------------------------------


def check_saved(saved: Mapping[str, Any]) -> None:
    """The form of everything beside the graph's text: names, types of arguments, results."""
    need(all(type(saved[k]) is str for k in ("name", "text")), "a name or the text is no text")
    for key in [
        "arguments",
        "checks",
        "examples",
        "guards",
        "hosts",
        "inputs",
        "results",
        "symbols",
    ]:
        need(type(saved[key]) is list, f"{key} is no list")
    need(all(t is None or type(t) is str for t in saved["arguments"]), "a type is no text")
    state = saved["state"]
    need(type(state) is dict and all(map(_is_tensor, state.values())), "the state is no dict")
    count = len(saved["arguments"])
    for place, _ in saved.get("constants", []):
        need(is_count(place) and place < count, f"there is no argument {place}")
    for row, example in zip(saved["symbols"], saved["examples"], strict=True):
        name, place, axis = row
        need(type(name) is str and is_count(place) and place < count, f"there is no size {name}")
        if axis is None:
            need(type(example) in (int, float), f"{name} is no number")
        else:
            wanted = saved["arguments"][place]
            need(is_count(axis) and is_count(example), f"{name} is no size")
            need(wanted is not None and axis < rank_of(wanted), f"there is no axis of {name}")
    for kind, what in saved["results"]:
        known = kind == "object" or (kind in ("result", "argument") and is_count(what))
        need(known and type(what) in PLAIN, f"there is no result {kind} {what}")


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def rank_of(text: str) -> int:
    """The rank in the text of a type: 2 of "f32[32, 784]"."""
    inside = text.partition("[")[2].rstrip("]")
    return len(inside.split(",")) if inside else 0


class Facts(NamedTuple):
    """A call whose attributes are looked at, with the types of its inputs."""

    call: Call
    types: list[Type]
    attrs: dict[str, Any]

    @property
    def op(self) -> str:
        return self.call.op.name  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.types[0].shape if self.types else ()

    def size(self) -> int:
        """The size of the axis that it works along."""
        return self.shape[self.attrs["dim"]] if self.shape else 1


# ---- the graph, with numbers ---------------------------------------------------------------------


@final
class Sizes:
    """The sizes and numbers for which a graph was looked at.

    shapes   the place of each argument that is a tensor, and its type in the graph
    """

    def __init__(self, graph: Graph, shapes: Sequence[tuple[int, Type]]) -> None:
        self.graph = graph
        self.shapes = shapes
        self.known: set[tuple[Any, ...]] = set()

    def check(self, leaves: Sequence[Any], values: Sequence[Any]) -> None:
        """Raise unless the graph means something for arguments of these shapes."""
        key = (*values, *[leaves[place].array.shape for place, _ in self.shapes])
        if key in self.known:
            return
        for place, type_ in self.shapes:
            shape = tuple(leaves[place].array.shape)
            need(value_of(type_.shape, values) == shape, f"argument {place} is no {type_}")
        check_graph(self.graph, values)
        if len(self.known) >= MOST_SIZES:
            self.known.clear()
        self.known.add(key)


def check_graph(graph: Graph, values: Sequence[Any]) -> None:
    """Raise unless each call, with numbers for its symbols, makes what the graph says."""
    for given in graph.inputs:
        _type(given.value, values)
    for into, new in graph.updates:
        same = _type(into, values) == _type(new, values)
        need(same and any(into is given.value for given in graph.inputs), "an update does not fit")
    for call in graph.calls:
        types = [_type(x, values) for x in call.inputs]
        attrs = call.op.keywords(tuple([value_of(attr, values) for attr in call.attrs]))
        for name, value in attrs.items():
            holds = ATTRIBUTES.get(name)
            known = holds is None or holds(Facts(call, types, attrs), value)
            need(known, f"{call.op.name} has no {name} {value}")
        made = call.op.infer(*types, **attrs)
        wanted = [made] if isinstance(made, Type) else list(made)
        found = [_type(x, values) for x in call.outs]
        need([_plain(t, values) for t in wanted] == found, f"{call.op.name} makes something else")
        facts = Facts(call, types, attrs)
        for body, before, results in RUNS[call.op.name](facts) if bodies(call) else ():
            sizes = attrs["sizes"]
            need(tuple(sizes) == tuple(values)[: len(sizes)], "a body is run with other sizes")
            check_graph(body.graph, sizes)
            taken = [_type(x.value, sizes) for x in body.graph.inputs]
            need(taken == list(before), "a body does not take what it is given")
            first = body.graph.results[: len(results)]
            need([_type(x, sizes) for x in first] == list(results), "a body gives something else")


def _type(x: Any, values: Sequence[Any]) -> Type:
    found = _plain(x.type, values)
    need(all(map(is_count, found.shape)), f"{x.type} has sizes that are none")
    return found


def _plain(type_: Type, values: Sequence[Any]) -> Type:
    return Type(tuple(value_of(tuple(type_.shape), values)), type_.dtype)


# ---- bodies: what each is given, and what it gives first -----------------------------------------

Runs = Iterator[tuple[Body, Sequence[Type], Sequence[Type]]]


def _parts(facts: Facts, skip: int = 0) -> list[list[Type]]:
    """The inputs, split into the parts that `split` counts, and the rest."""
    split, rest, parts = facts.attrs["split"], facts.types[skip:], []
    need(isinstance(split, tuple) and all(map(is_count, split)), "a split is no split")
    for count in split:
        need(count <= len(rest), "a split is of more than there is")
        parts.append(rest[:count])
        rest = rest[count:]
    return [*parts, rest]


def _results(facts: Facts, body: Body, first: int, last: int) -> list[Type]:
    return [_type(x, facts.attrs["sizes"]) for x in body.graph.results[first:last]]


def _cond(facts: Facts) -> Runs:
    shared, first, second, rest = _parts(facts, 1)
    need(not rest, "a condition has more operands than its branches")
    yes, no, outs = (facts.attrs[name] for name in ("yes", "no", "outs"))
    need(facts.types[0] == TRUTH and is_count(outs), "a condition is no truth value")
    results = _results(facts, yes, 0, outs)
    need(len(results) == outs, "a branch gives too little")
    yield yes, [*shared, *first], results
    yield no, [*shared, *second], results


def _while(facts: Facts) -> Runs:
    carry, tested, turned, rest = _parts(facts)
    need(not rest, "a loop has more operands than its bodies")
    yield facts.attrs["test"], [*carry, *tested], [TRUTH]
    yield facts.attrs["body"], [*carry, *turned], carry


def _while_grad(facts: Facts) -> Runs:
    count, first, second, slopes, summed = facts.attrs["split"]
    short = facts._replace(attrs={**facts.attrs, "split": (count, first, second, slopes)})
    carry, tested, turned, gradients, outer = _parts(short)
    yield facts.attrs["test"], [*carry, *tested], [TRUTH]
    yield facts.attrs["body"], [*carry, *turned], carry
    back = facts.attrs["back"]
    sums = _results(facts, back, slopes, slopes + summed)
    need(len(sums) == summed, "a body gives too little")
    yield back, [*carry, *gradients, *sums, *outer], [*gradients, *sums]


def _scan(facts: Facts) -> Runs:
    count, scanned, stacked = facts.attrs["split"]
    short = facts._replace(attrs={**facts.attrs, "split": (count, scanned)})
    carry, rows, outer = _parts(short)
    lengths = {t.shape[0] for t in rows}
    need(len(lengths) == 1 and is_count(stacked), "a scan is along sizes that differ")
    slices, body = [Type(t.shape[1:], t.dtype) for t in rows], facts.attrs["body"]
    need(len(body.graph.results) >= count + stacked, "a body gives too little")
    yield body, [*carry, *slices, *outer], carry


TRUTH = Type((), dtypes.bool_)
RUNS: dict[str, Callable[[Facts], Runs]] = {
    "cond": _cond,
    "scan": _scan,
    "while_loop": _while,
    "while_loop_grad": _while_grad,
}


# ---- attributes ----------------------------------------------------------------------------------


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def _counts(facts: Facts, value: Any) -> bool:
    return all(map(is_count, _numbers(value)))


def _steps(facts: Facts, value: Any) -> bool:
    return all(type(n) is int and n > 0 for n in _numbers(value))


def _whole(facts: Facts, value: Any) -> bool:
    return all(type(n) is int for n in _numbers(value))


def _axes(facts: Facts, value: Any) -> bool:
    """Axes that exist, each once; those of diag_embed and stack are of the result."""
    rank = len(facts.attrs["shape"]) if "shape" in facts.attrs else len(facts.shape)
    rank = max(rank + (facts.op == "stack"), 1)
    axes = list(_numbers(value))
    inside = all(is_count(axis) and axis < rank for axis in axes)
    every = facts.op != "permute" or sorted(axes) == list(range(len(facts.shape)))
    return inside and every and (len(set(axes)) == len(axes) or facts.op == "roll")


def _shape(facts: Facts, value: Any) -> bool:
    """Sizes; of a reshape as many elements, of an expansion those that are there or 1."""
    if not isinstance(value, tuple) or not _counts(facts, value):
        return False
    if facts.op == "reshape":
        return math.prod(value) == math.prod(facts.shape)
    if facts.op == "expand":
        last = value[len(value) - len(facts.shape) :]
        fit = all(n in (1, size) for n, size in zip(facts.shape, last, strict=True))
        return len(value) >= len(facts.shape) and fit
    return True


def _size(facts: Facts, value: Any) -> bool:
    """Sizes; of a strided view such that it stays within the memory."""
    if not _counts(facts, value):
        return False
    if facts.op == "as_strided":
        stride, offset = facts.attrs["stride"], facts.attrs["offset"]
        need(_counts(facts, (stride, offset)) and len(stride) == len(value), "strides are none")
        last = offset + sum((n - 1) * step for n, step in zip(value, stride, strict=True))
        return 0 in value or last < math.prod(facts.shape)
    return facts.op != "unfold" or value <= facts.size()


def _sizes(facts: Facts, value: Any) -> bool:
    """Sizes along an axis; the parts of a split are all of it, those of a cat are the inputs'."""
    if not _counts(facts, value):
        return False
    if facts.op == "split":
        return bool(sum(value) == facts.size())
    if facts.op == "cat":
        return tuple(value) == tuple(t.shape[facts.attrs["dim"]] for t in facts.types)
    return True


def _rank(facts: Facts, value: Any) -> bool:
    """So many of the last axes."""
    return is_count(value) and value <= len(facts.shape)


ATTRIBUTES: dict[str, Callable[[Facts, Any], bool]] = {
    "dim": _axes,
    "dims": _axes,
    "dim1": _axes,
    "dim2": _axes,
    "shape": _shape,
    "size": _size,
    "sizes": _sizes,
    "rank": _rank,
    "count": _counts,
    "rows": _counts,
    "columns": _counts,
    "bins": _steps,
    "k": lambda facts, value: is_count(value) and value <= facts.size(),
    "kernel": _steps,
    "stride": lambda facts, value: (_counts if facts.op == "as_strided" else _steps)(facts, value),
    "dilation": _steps,
    "groups": _steps,
    "padding": _counts,
    "sides": _whole,
    "shifts": _whole,
    "offset": _whole,
    "diagonal": _whole,
    "step": lambda facts, value: facts.op == "arange" or _steps(facts, value),
    "blank": _counts,
    "n": _counts,
}
