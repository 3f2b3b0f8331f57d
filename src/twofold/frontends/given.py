"""The arguments of a call: as leaves, and as what a program is made for; and of whom. Floor 9."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Container, Sequence
from typing import Any, final

from twofold.base import dtypes
from twofold.base.errors import in_python
from twofold.base.records import NamedTuple
from twofold.base.trees import Form, flatten
from twofold.frontends.arrays import CaptureError
from twofold.ops.bind import mode
from twofold.ops.tensor import Parameter, Tensor

ITSELF = "itself"
MOST_THEMSELVES = 32
NUMBERS = (int, float)
TENSORS = (Tensor, Parameter)
default = dtypes.default_cell()


class Given(NamedTuple):
    """The arguments of a call as leaves, and what a program must be made for."""

    leaves: list[Any]
    form: Form
    key: tuple[Any, ...]


def kind_of_leaf(leaf: Any) -> Any:
    """What of an argument a program depends on: not its sizes, nor the value of a number."""
    if isinstance(leaf, Tensor):
        return "tensor", leaf.array.dtype, leaf.array.ndim, leaf.tracked
    if type(leaf) in NUMBERS:
        return type(leaf)
    try:
        hash(leaf)
    except TypeError:
        return _Same(leaf)
    return leaf


class _Same:
    """An object that has no hash, as a key: equal to itself only, and kept alive."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


@final
class Themselves:
    """Tensors that a function is given and finds outside as well: programs are made for them, as
    what it does to the one name it does to the other.
    """

    def __init__(self) -> None:
        self.known: dict[int, weakref.ref[Tensor]] = {}

    def has(self, x: Any) -> bool:
        found = self.known.get(id(x))
        return found is not None and found() is x

    def kind(self, leaf: Any) -> Any:
        """What of an argument a program depends on."""
        return (ITSELF, _Same(leaf)) if self.known and self.has(leaf) else kind_of_leaf(leaf)

    def meet(self, leaves: Sequence[Any], found: Container[int]) -> None:
        """Raise Met where tensors among the arguments are among those that were found, by ids."""
        met = [x for x in leaves if isinstance(x, Tensor) and id(x) in found and not self.has(x)]
        if len(self.known) + len(met) > MOST_THEMSELVES:
            error = CaptureError(
                "compile",
                f"{MOST_THEMSELVES} tensors were arguments that the function finds outside as well",
                hint="find them there, or give them alone",
            )
            in_python(error)
            raise error
        self.known |= {id(x): weakref.ref(x) for x in met}
        if met:
            raise Met


def themselves(kinds: Sequence[Any]) -> frozenset[int]:
    """The numbers of the leaves that are given as what they are."""
    return frozenset(
        [n for n, kind in enumerate(kinds) if type(kind) is tuple and kind[:1] == (ITSELF,)]
    )


class Met(BaseException):
    """An argument was found outside, too: the function is captured with it as it is."""


def same_tensors(leaves: Sequence[Any]) -> tuple[int, ...]:
    """For each tensor among the arguments the first place of it; empty where all differ."""
    places: dict[int, int] = {}
    tensors = [(place, x) for place, x in enumerate(leaves) if isinstance(x, Tensor)]
    found = tuple([places.setdefault(id(x), place) for place, x in tensors])
    return found if len(places) < len(tensors) else ()


def plain_key(args: tuple[Any, ...]) -> Any:
    """What decides on the program where all arguments are tensors that differ; None elsewhere."""
    key: list[Any] = [mode.grad, default[0]]
    for x in args:
        if not isinstance(x, Tensor):
            return None
        array = x.array
        key += (array.dtype, array.ndim, x.tracked)
    if len(args) > 1 and len(set(map(id, args))) < len(args):
        return None
    return tuple(key)


def quick_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for tensors, numbers and plain values, by position and by name; None elsewhere."""
    key: list[Any] = [mode.grad, default[0], len(args), *kwargs]
    for x in (*args, *kwargs.values()):
        kind = type(x)
        if kind in TENSORS:
            key += (x.array.dtype, x.array.ndim, x.tracked)
        elif kind in NUMBERS:
            key.append(kind)
        elif kind in (str, bool, type(None)):
            key.append(x)
        else:
            return None
    return tuple(key)


def is_object(leaf: Any) -> bool:
    """Whether an argument is looked into: what is neither a tensor nor a plain value."""
    return not isinstance(leaf, Tensor | int | float | str | bool | type(None))


def check_unchanged(arguments: Any, given: Sequence[Any], form: Form) -> None:
    """Raise CaptureError where the function has changed a container among its arguments, which
    Python does then.
    """
    leaves, now = flatten(arguments)
    if now != form or any(a is not b for a, b in zip(leaves, given, strict=True)):
        error = CaptureError(
            "compile",
            "the function changes a list, a dict or a dataclass that it was given",
            hint="make a new one, and give it back",
        )
        in_python(error)
        raise error


def owner_of_call(function: Any) -> Any:
    """The module whose forward this is, or None."""
    bound = getattr(function, "__self__", None)
    found = bound if bound is not None else next(iter(getattr(function, "args", ())), None)
    return found if hasattr(found, "_parameters") else None


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
