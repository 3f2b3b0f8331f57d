"""What a captured function gives back and leaves outside, as leaves and the forms that put them
together at each run. Floor 9.

Containers, and objects of users' classes around tensors, are made anew at each run; one that is met
twice is one, there too. What was there before is given back as it is.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, final

import numpy as np

from twofold.base.symbols import is_symbol
from twofold.base.trees import LEAF, Form, build, is_node, items_of, leaves_of
from twofold.frontends.arrays import is_unknown
from twofold.frontends.exchanged import python_only
from twofold.frontends.later import Later, is_later
from twofold.ops.joining import Stacked
from twofold.ops.tensor import Size, Tensor

SETS = (set, frozenset, deque)
FIXED = (int, float, str, bytes, complex, type, ModuleType, BuiltinFunctionType, enum.Enum, Size)
CHANGEABLE = (bytearray, memoryview)


@final
class Maker:
    """What makes an object like one that the function has made, of its attributes."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __call__(self, attributes: Any) -> Any:
        made: Any = self.kind.__new__(self.kind)
        made.__dict__.update(attributes)
        return made


class _Made(threading.local):
    it: Any = None


@final
class First:
    """Makes a container that stands at several places, and keeps it for those that follow."""

    def __init__(self, form: Form, made: _Made) -> None:
        self.form = form
        self.made = made

    def __call__(self, children: tuple[Any, ...]) -> Any:
        self.made.it = build(self.form, *children)
        return self.made.it


@final
class Again:
    """Gives what `First` has made in this run."""

    def __init__(self, made: _Made) -> None:
        self.made = made

    def __call__(self, _: Any) -> Any:
        return self.made.it


def rows_of(children: tuple[Any, ...]) -> list[Tensor]:
    """The list of a tensor's rows."""
    return list(children[0].unbind(0))


def numbers_of(children: tuple[Any, ...]) -> list[Any]:
    """The list of a tensor's numbers."""
    return children[0].tolist()  # type: ignore[no-any-return]


@final
class GivenBack:
    """One walk over all that a function leaves outside and gives back, in the order in which a run
    makes it.

    outside  what was there before the function ran, by ids
    given    the containers among its arguments, and what stands for those outside that it changes
    """

    def __init__(self, outside: dict[int, Any], given: Iterable[Any]) -> None:
        self.outside = outside
        self.given = {id(x): x for part in given for x in containers_of(part)}
        self.counts: dict[int, int] = {}
        self.made: dict[int, _Made] = {}

    def flat(self, values: Sequence[Any]) -> list[tuple[list[Any], Form]]:
        """The leaves and the form of each of these."""
        for x in values:
            self.count(x, [])
        found = []
        for x in values:
            leaves: list[Any] = []
            found.append((leaves, self.form(x, leaves)))
        return found

    def count(self, x: Any, around: list[int]) -> None:
        """How often each container stands somewhere."""
        parts = self.parts(x)
        if parts is None:
            return
        if id(x) in around:
            python_only(f"a {type(x).__name__} that the function makes holds itself", "two objects")
        if id(x) in self.given and not isinstance(x, tuple):
            python_only(
                f"the function gives back a {type(x).__name__} that it was given",
                "a new one, or what is in it",
            )
        self.counts[id(x)] = self.counts.get(id(x), 0) + 1
        if self.counts[id(x)] == 1:
            for part in parts[2]:
                self.count(part, [*around, id(x)])

    def parts(self, x: Any) -> tuple[Any, Any, tuple[Any, ...]] | None:
        """The kind, keys and children of what is made anew at each run; None for the rest."""
        if id(x) in self.outside and type(x) is not tuple:
            return None
        if type(x) is Stacked:
            return None
        if is_node(x):
            return type(x), *items_of(x)
        if type(x) in SETS:
            return type(x), None, tuple(x)
        if self.is_new_object(x):
            return Maker(type(x)), tuple(x.__dict__), tuple(x.__dict__.values())
        return None

    def form(self, x: Any, leaves: list[Any]) -> Form:
        if type(x) is Stacked:
            if x.rest:
                raise x.refuse()
            leaves.append(x.whole)
            kind: Any = numbers_of if x.numbers else rows_of
            return Form(kind, None, (LEAF,))
        parts = self.parts(x)
        if parts is None:
            self.check(x)
            leaves.append(x)
            return LEAF
        if id(x) in self.made:
            again: Any = Again(self.made[id(x)])
            return Form(again, None, ())
        kind, keys, children = parts
        form = Form(kind, keys, tuple([self.form(child, leaves) for child in children]))
        if self.counts[id(x)] == 1:
            return form
        made = self.made[id(x)] = _Made()
        first: Any = First(form, made)
        return Form(first, None, form.children)

    def is_new_object(self, x: Any) -> bool:
        """Whether it is an object with tensors of the graph, which each run must make."""
        if isinstance(x, Tensor | type | FunctionType | Size | Later | enum.Enum) or is_symbol(x):
            return False
        held = getattr(x, "__dict__", None)
        if type(held) is not dict or hasattr(x, "_parameters") or isinstance(x, ModuleType):
            return False
        return holds_graph(list(held.values()))

    def check(self, x: Any) -> None:
        """Raise CaptureError for what was made here, and what a run cannot make anew."""
        if isinstance(x, FIXED) or x is None or id(x) in self.outside or isinstance(x, Tensor):
            return
        if isinstance(x, np.ndarray):  # or an array of sizes
            python_only("the function gives back an array of NumPy's that it makes", "a tensor")
        kind = type(x).__name__
        contains = isinstance(x, list | tuple | dict | set | frozenset | deque)
        if contains and not hasattr(x, "refuse") and holds_graph([x]):
            python_only(
                f"the function gives back a {kind} around tensors that it has made",
                "a dict, a list, a tuple or a dataclass",
            )
        if hasattr(x, "__next__") or isinstance(x, CHANGEABLE):
            python_only(f"the function gives back a {kind} that it has made", "a list")
        if isinstance(x, FunctionType):
            bound = [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
            if x.__closure__ is not None or bound:
                python_only("the function gives back a function that it has made", "its result")
        if isinstance(x, MethodType) and id(x.__self__) not in self.outside:
            python_only("the function gives back a method of what it has made", "its result")
        if hasattr(x, "func") and hasattr(x, "keywords"):
            python_only("the function gives back a function that it has made", "its result")
        if hasattr(x, "_parameters"):
            python_only("the function gives back a module that it has made", "its result")


def containers_of(x: Any) -> list[Any]:
    """A tree's containers that may be changed."""
    if not is_node(x):
        return []
    below = [part for child in items_of(x)[1] for part in containers_of(child)]
    return below if isinstance(x, tuple) else [x, *below]


def holds_graph(held: list[Any], seen: set[int] | None = None) -> bool:
    """Whether there are tensors, numbers or sizes of a graph among these, or in what they hold."""
    seen = set() if seen is None else seen
    for x in leaves_of(held):
        if _of_graph(x):
            return True
        if id(x) in seen:
            continue
        seen.add(id(x))
        if holds_graph(_held_by(x), seen):
            return True
    return False


def _held_by(x: Any) -> list[Any]:
    """What is in an object, or in a container of a class of its own."""
    if isinstance(x, type | FunctionType | ModuleType | Tensor) or hasattr(x, "_parameters"):
        return []
    held = getattr(x, "__dict__", None)
    found = list(held.values()) if type(held) is dict else []
    if isinstance(x, dict):
        return [*found, *x.values()]
    return [*found, *x] if isinstance(x, list | tuple | set | frozenset | deque) else found


def _of_graph(x: Any) -> bool:
    if isinstance(x, Tensor):
        return is_unknown(x.array)
    return is_symbol(x) or is_later(x) or (isinstance(x, Size) and any(map(is_symbol, x)))
