"""What a captured function gave back, and did to gradients, attributes and places outside, in terms
of its graph's results. Floor 9.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import FunctionType
from typing import Any, final

from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol
from twofold.base.trees import LEAF, Form, is_node, items_of, leaves_of
from twofold.frontends.arrays import is_unknown
from twofold.frontends.capture import Capture
from twofold.frontends.derivative import walked
from twofold.frontends.effects import Text, Undefined
from twofold.frontends.later import Later, is_later
from twofold.frontends.places import Place
from twofold.frontends.world import Change, Growing, parts_of
from twofold.ir.graph import Value
from twofold.ops.bind import current
from twofold.ops.joining import Stacked
from twofold.ops.tensor import Size, Tensor


class Leaf(NamedTuple):
    """What stands at one place of what the function returned.

    kind    "result": number `what` of the results; "leaf": one that was made to require a gradient
            inside; "item": the Python number in it; "walked": one whose graph the function walked
            back through already, which cannot be done again; "view": a View of an argument, or of
            a tensor that the function found; "detached": a result without the history that the same
            result has elsewhere; "argument": leaf `what` of the arguments; "object":
            `what` itself; "number": the expression `what`; "shape": the Size `what`, of symbols
    """

    kind: str
    what: Any


class View(NamedTuple):
    """A part of an input's memory: the input's number, the views that lead there, and the result
    that holds a copy of it.
    """

    input: int
    chain: Any
    result: int


class Effect(NamedTuple):
    """A leaf's gradient after the call: a result by number, a tensor from outside, or None for
    forgotten.

    leaf    the tensor, or the number of the argument
    """

    leaf: Any
    result: int | Tensor | None


class Set(NamedTuple):
    """What a place outside holds after the call, or the list in it (frontends/world.py)."""

    place: Place
    form: Form
    leaves: tuple[Leaf, ...]
    how: int


class Answer(NamedTuple):
    """What the function gives back, and does to gradients, in terms of the graph's results."""

    form: Form
    leaves: tuple[Leaf, ...]
    effects: tuple[Effect, ...]
    checks: tuple[int, ...]
    attributes: tuple[tuple[Any, str, int], ...] = ()  # (module, name, result)
    streams: tuple[tuple[list[Any], int], ...] = ()  # (generator of the last run, result)
    sets: tuple[Set, ...] = ()


def answer_of(
    capture: Capture,
    result: tuple[list[Any], Form],
    changes: Sequence[Change],
    symbolic: list[Any],
    places: dict[int, int],
) -> tuple[Answer, dict[Value, int]]:
    """The function's result and its effects on gradients, and the number of each value in them."""
    numbers: dict[Value, int] = {}
    differentiated: set[int] = set()

    def result_number(array: Any) -> int:
        return numbers.setdefault(capture.value_of(array), len(numbers))

    def leaf_of(x: Any) -> Leaf:
        if is_symbol(x):
            return Leaf("number", x.expr)
        if isinstance(x, Size) and any(map(is_symbol, x)):
            return Leaf("shape", x)
        if is_later(x):
            return Leaf("item", result_number(x.tensor.array))
        if isinstance(x, Stacked):
            raise x.refuse()
        if not isinstance(x, Tensor):
            return x.refuse() if isinstance(x, (Text, Undefined, Growing)) else Leaf("object", x)
        if id(x) in places:
            return Leaf("argument", places[id(x)])
        array: Any = x.array
        if is_unknown(array):
            number = result_number(array)
            place = None if x.tracked else capture.place_of(array.storage)
            if place is not None:
                return Leaf("view", View(place, array.chain, number))
            if not x.tracked:
                return Leaf("detached", number)
            differentiated.add(number)
            if current(x).node is None:
                return Leaf("leaf", number)
            return Leaf("walked" if walked(x) else "result", number)
        return Leaf("object", x)

    def settled(leaf: Leaf) -> Leaf:
        """A result without a history, where the same value is not given back with one as well."""
        alone = leaf.kind == "detached" and leaf.what not in differentiated
        return Leaf("result", leaf.what) if alone else leaf

    given, form = result
    form = _plain_keys(form)
    found = [leaf_of(x) for x in given]
    parts = [(change, shape, [*map(leaf_of, xs)]) for change, xs, shape in parts_of(changes)]
    made = tuple(map(settled, found))
    sets = [Set(c.place, shape, tuple(map(settled, xs)), c.how) for c, shape, xs in parts]
    effects = []
    for key, (x, _, _) in capture.grads.items():
        target = places.get(key, x)
        if x.leaf_grad is None:
            effects.append(Effect(target, None))
        elif capture.has_set(x):
            made_here = is_unknown(x.leaf_grad.array)
            grad = result_number(x.leaf_grad.array) if made_here else x.leaf_grad
            effects.append(Effect(target, grad))
    checks = tuple([result_number(capture.unknown(check.bad)) for check in capture.checks])
    attributes = capture.assigned = capture.attributes()
    capture.read_attributes(attributes)
    named = tuple([(a.module, a.name, result_number(a.after.array)) for a in attributes])
    streams = tuple(
        [
            (holder, result_number(capture.streams[key].array))
            for key, holder in capture.found_streams.items()
        ]
    )
    answer = Answer(form, made, tuple(effects), checks, named, streams, tuple(sets))
    return answer, numbers


@final
class Maker:
    """What makes an object like one that the function has made, of its attributes."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self, attributes: Any) -> Any:
        made: Any = object.__new__(self.kind)
        made.__dict__.update(attributes)
        return made


def flat_result(x: Any, outside: dict[int, Any]) -> tuple[list[Any], Form]:
    """What a function gives back as leaves and their form. Sets, and objects that it has made
    around tensors and sizes of the graph, are made anew at each run; `outside` are those, by their
    ids, that were there before.
    """
    leaves: list[Any] = []
    return leaves, _flat(x, leaves, outside)


def rows_of(children: tuple[Any, ...]) -> list[Tensor]:
    """The list of a tensor's rows."""
    return list(children[0].unbind(0))


def numbers_of(children: tuple[Any, ...]) -> list[Any]:
    """The list of a tensor's numbers."""
    return children[0].tolist()  # type: ignore[no-any-return]


def _flat(x: Any, leaves: list[Any], outside: dict[int, Any]) -> Form:
    kind: Any = type(x)
    if kind is Stacked:
        if x.rest:
            raise x.refuse()
        leaves.append(x.whole)
        return Form(numbers_of if x.numbers else rows_of, None, (LEAF,))  # type: ignore[arg-type]
    if is_node(x):
        keys, children = items_of(x)
    elif kind in (set, frozenset, deque):
        keys, children = None, tuple(x)
    elif id(x) not in outside and _holds_graph(x):
        kind, keys, children = Maker(kind), tuple(x.__dict__), tuple(x.__dict__.values())
    else:
        leaves.append(x)
        return LEAF
    return Form(kind, keys, tuple([_flat(child, leaves, outside) for child in children]))


def _holds_graph(x: Any) -> bool:
    """Whether an object has tensors, numbers or sizes of a graph among its attributes."""
    if isinstance(x, Tensor | type | FunctionType | Size | Later) or is_symbol(x):
        return False
    held = getattr(x, "__dict__", None)
    if type(held) is not dict or hasattr(x, "_parameters"):
        return False
    return any(map(_of_graph, leaves_of(list(held.values()))))


def _of_graph(x: Any) -> bool:
    if isinstance(x, Tensor):
        return is_unknown(x.array)
    return is_symbol(x) or is_later(x) or (isinstance(x, Size) and any(map(is_symbol, x)))


def _plain_keys(form: Form) -> Form:
    """A form whose keys are no numbers of a graph: the program is made for those."""
    children = tuple(map(_plain_keys, form.children))
    keys = form.keys and tuple([_plain_key_of(key) for key in form.keys])
    return Form(form.kind, keys, children)


def _plain_key_of(key: Any) -> Any:
    if not is_symbol(key):
        return key.known() if is_later(key) else key
    return int(key) if key.whole else float(key)
