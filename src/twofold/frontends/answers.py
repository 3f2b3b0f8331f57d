"""What a captured function gave back, and did to gradients, attributes and places outside, in terms
of its graph's results. Floor 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, final

from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol
from twofold.base.trees import Form
from twofold.frontends.arrays import is_unknown
from twofold.frontends.capture import Capture
from twofold.frontends.derivative import walked
from twofold.frontends.effects import Text, Undefined
from twofold.frontends.exchanged import check_leaf, owner_of_memory, python_only
from twofold.frontends.later import is_later
from twofold.frontends.places import Place
from twofold.frontends.world import Change, Growing
from twofold.ir.graph import Value
from twofold.ops.bind import current
from twofold.ops.tensor import Size, Tensor


class Leaf(NamedTuple):
    """What stands at one place of what the function returned.

    kind    "result": number `what` of the results; "leaf": one that was made to require a gradient
            inside; "item": the Python number in it; "walked": one whose graph the function walked
            back through already, which cannot be done again; "view": a View of an argument, or of
            a tensor that the function found; "part": a Part of a result; "detached": a further
            tensor on a result's memory, with no history; "argument": leaf `what` of the arguments;
            "seen": what is Seen; "object": `what` itself; "number": the expression `what`; "shape":
            the Size `what`
    """

    kind: str
    what: Any


class View(NamedTuple):
    """A part of an input's memory: the input, the views that lead there, and the result that holds
    a copy of it.
    """

    input: Value
    chain: Any
    result: int


class Part(NamedTuple):
    """A part of a result's memory, which is given back, too: its number, and the views."""

    result: int
    chain: Any


class Seen(NamedTuple):
    """A result with a history, by number, that is a part of other memory: a View, or a Part."""

    result: int
    part: View | Part


class Effect(NamedTuple):
    """A leaf's gradient after the call: a result by number, a Leaf where it is given back as well,
    a tensor from outside, or None for forgotten.

    leaf    the tensor, or the number of the argument
    """

    leaf: Any
    result: int | Leaf | Tensor | None


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


@final
class Found:
    """What a function has given back so far, as leaves of its answer.

    numbers         of the graph's values that are results
    differentiated  those with a history
    """

    def __init__(self, capture: Capture, places: dict[int, int]) -> None:
        self.capture = capture
        self.places = places
        self.numbers: dict[Value, int] = {}
        self.differentiated: set[int] = set()
        self.given: set[int] = set()  # the results that tensors given back are
        self.known: dict[int, Leaf] = {}  # by the ids of tensors: one that is given twice is one
        self.first: dict[int, int] = {}  # results, and the first tensor without history around each
        self.memory: dict[int, set[int]] = {}  # tensors in each storage of the graph, by ids
        self.wholes: dict[int, Tensor] = {}  # and the first that is all of one

    def number(self, array: Any) -> int:
        return self.numbers.setdefault(self.capture.value_of(array), len(self.numbers))

    def expect(self, given: Sequence[Any]) -> None:
        """Tensors that lie in the memory of one another are given back so: see who does."""
        for x in given:
            if isinstance(x, Tensor) and is_unknown(x.array):
                storage: Any = x.array.storage  # type: ignore[attr-defined]
                self.memory.setdefault(id(storage), set()).add(id(x))
                if not x.array.chain:  # type: ignore[attr-defined]
                    self.wholes.setdefault(id(storage), x)

    def leaf(self, x: Any) -> Leaf:
        if isinstance(x, Tensor):
            if id(x) not in self.known:
                self.known[id(x)] = self.tensor(x)
            return self.known[id(x)]
        if is_symbol(x):
            return Leaf("number", x.expr)
        if isinstance(x, Size) and any(map(is_symbol, x)):
            return Leaf("shape", x)
        if is_later(x):
            return Leaf("item", self.number(x.tensor.array))
        return x.refuse() if isinstance(x, (Text, Undefined, Growing)) else Leaf("object", x)

    def tensor(self, x: Tensor) -> Leaf:
        if id(x) in self.places:
            return Leaf("argument", self.places[id(x)])
        array: Any = x.array
        if not is_unknown(array):
            return self.outside(x)
        check_leaf(self.capture, x)
        number = self.number(array)
        if x.tracked:
            self.differentiated.add(number)
            if current(x).node is None:
                return Leaf("leaf", number)
            return self.with_history(x, number)
        if self.capture.place_of(array.storage) is not None:
            return Leaf("view", View(array.storage.origin, array.chain, number))
        if array.chain and len(self.memory.get(id(array.storage), ())) > 1:
            whole = self.capture.unknown(array.storage.value)
            return Leaf("part", Part(self.number(whole), array.chain))
        self.first.setdefault(number, id(x))
        return Leaf("detached", number)

    def with_history(self, x: Tensor, number: int) -> Leaf:
        """A result with a history, which may lie in the memory of an input or of another one."""
        if walked(x):
            return Leaf("walked", number)
        array: Any = x.array
        storage = array.storage
        if not array.chain or storage.taken:
            return Leaf("result", number)
        if self.capture.place_of(storage) is not None and storage.value is storage.origin:
            return Leaf("seen", Seen(number, View(storage.origin, array.chain, number)))
        whole = self.wholes.get(id(storage))
        if whole is None or not whole.tracked:
            return Leaf("result", number)
        return Leaf("seen", Seen(number, Part(self.number(whole.array), array.chain)))

    def outside(self, x: Tensor) -> Leaf:
        """A tensor that the function found, or a further name of its memory."""
        owner = owner_of_memory(self.capture, x)
        self.capture.remember(x if owner is None else owner)
        if owner is None:
            return Leaf("object", x)
        if x.tracked:
            python_only(
                "the function gives back a leaf that it has made on memory from outside",
                "requires_grad_() outside, or on a copy",
            )
        number = self.number(x.array)
        storage: Any = self.capture.lift(x.array)
        if self.capture.place_of(storage) is None:
            return Leaf("object", x)
        return Leaf("view", View(storage.origin, (), number))

    def settled(self, leaf: Leaf, x: Any) -> Leaf:
        """A result without a history, where the same value is not given back with one as well."""
        if leaf.kind != "detached" or leaf.what in self.differentiated:
            return leaf
        return Leaf("result", leaf.what) if self.first[leaf.what] == id(x) else leaf

    def effects(self) -> Iterator[Effect]:
        """What is left in the gradients of leaves."""
        for key, (x, _, _) in self.capture.grads.items():
            target = self.places.get(key, x)
            grad = x.leaf_grad
            if grad is None:
                yield Effect(target, None)
            elif self.capture.has_set(x):
                made_here = is_unknown(grad.array)
                if not made_here:
                    self.outside(grad)
                    yield Effect(target, grad)
                    continue
                number = self.number(grad.array)
                also = number in self.given or id(grad) in self.known
                yield Effect(target, self.settled(self.leaf(grad), grad) if also else number)


def answer_of(
    capture: Capture,
    result: tuple[list[Any], Form],
    changes: Sequence[tuple[Change, list[Any], Form]],
    symbolic: list[Any],
    places: dict[int, int],
) -> tuple[Answer, dict[Value, int]]:
    """The function's result and its effects on gradients, and the number of each value in them.
    The result, and what places outside hold afterwards, are given as leaves and forms.
    """
    given, form = result
    found = Found(capture, places)
    parts = [(change, shape, xs) for change, xs, shape in changes]
    found.expect([*given, *[x for _, _, xs in parts for x in xs]])
    leaves = [found.leaf(x) for x in given]
    held = [[found.leaf(x) for x in xs] for _, _, xs in parts]
    made = tuple(map(found.settled, leaves, given))
    sets = [
        Set(change.place, shape, tuple(map(found.settled, lies, xs)), change.how)
        for (change, shape, xs), lies in zip(parts, held, strict=True)
    ]
    kinds = ("result", "leaf", "walked", "detached")
    given_too = [*leaves, *[leaf for lies in held for leaf in lies]]
    found.given = {leaf.what for leaf in given_too if leaf.kind in kinds}
    effects = tuple(found.effects())
    checks = tuple([found.number(capture.unknown(check.bad)) for check in capture.checks])
    attributes = capture.assigned = capture.attributes()
    capture.read_attributes(attributes)
    named = tuple([(a.module, a.name, found.number(a.after.array)) for a in attributes])
    streams = tuple(
        [
            (holder, found.number(capture.streams[key].array))
            for key, holder in capture.found_streams.items()
        ]
    )
    answer = Answer(_plain_keys(form), made, effects, checks, named, streams, tuple(sets))
    return answer, found.numbers


def _plain_keys(form: Form) -> Form:
    """A form whose keys are no numbers of a graph: the program is made for those."""
    children = tuple(map(_plain_keys, form.children))
    keys = form.keys and tuple([_plain_key_of(key) for key in form.keys])
    return Form(form.kind, keys, children)


def _plain_key_of(key: Any) -> Any:
    if not is_symbol(key):
        return key.known() if is_later(key) else key
    return int(key) if key.whole else float(key)
