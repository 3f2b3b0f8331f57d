"""Trees of Python containers: what functions take and give, as a flat list of leaves. Floor 0.

A tuple, list, dict, named tuple or dataclass is a node; everything else, None too, is a leaf. Dicts
keep the order of their keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from twofold.base.records import NamedTuple


class Form(NamedTuple):
    """What remains of a tree without its leaves.

    kind      the container's class, or None for a leaf
    keys      the keys of a dict, or the fields of a dataclass, else None
    children  the forms of what it holds
    """

    kind: type | None
    keys: tuple[Any, ...] | None
    children: tuple[Form, ...]

    def leaf_count(self) -> int:
        """How many leaves it has."""
        return 1 if self.kind is None else sum(child.leaf_count() for child in self.children)


LEAF = Form(None, None, ())


def is_node(x: Any) -> bool:
    return type(x) in (tuple, list, dict, OrderedDict) or is_named(x) or is_record(x)


def is_named(x: Any) -> bool:
    """Whether it is a named tuple."""
    return isinstance(x, tuple) and hasattr(x, "_fields")


def is_record(x: Any) -> bool:
    """Whether it is a dataclass's instance that holds its fields and nothing else."""
    fields = getattr(type(x), "__dataclass_fields__", None)
    return fields is not None and getattr(x, "__dict__", fields).keys() == fields.keys()


def items_of(x: Any) -> tuple[tuple[Any, ...] | None, tuple[Any, ...]]:
    """The keys (of a dict, or the fields of a dataclass) and the children of a node."""
    fields = getattr(type(x), "__dataclass_fields__", None)
    if fields is not None:
        return tuple(fields), tuple([getattr(x, name) for name in fields])
    return (tuple(x), tuple(x.values())) if isinstance(x, dict) else (None, tuple(x))


def flatten(tree: Any) -> tuple[list[Any], Form]:
    """The leaves from left to right, and the form that puts them back."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Form:
    if not is_node(tree):
        leaves.append(tree)
        return LEAF
    keys, children = items_of(tree)
    return Form(type(tree), keys, tuple([_flatten(child, leaves) for child in children]))


def unflatten(leaves: Any, form: Form) -> Any:
    """The tree of a form with these leaves."""
    return _unflatten(iter(leaves), form)


def _unflatten(leaves: Iterator[Any], form: Form) -> Any:
    if form.kind is None:
        return next(leaves)
    return build(form, *[_unflatten(leaves, child) for child in form.children])


def build(form: Form, *children: Any) -> Any:
    """The container of a form with these children."""
    kind: Any = form.kind
    if hasattr(kind, "__dataclass_fields__"):
        if issubclass(kind, dict):  # a record that is a dict too is filled by its own rules
            return kind(**dict(zip(form.keys or (), children, strict=True)))
        made: Any = object.__new__(kind)
        for name, child in zip(form.keys or (), children, strict=True):
            object.__setattr__(made, name, child)
        return made
    if form.keys is not None:
        return kind(zip(form.keys, children, strict=True))
    return kind(*children) if hasattr(kind, "_fields") else kind(children)


def leaves_of(tree: Any) -> list[Any]:
    return flatten(tree)[0]


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The tree with function(leaf, leaves of the others at the same place...) for each leaf."""
    leaves, form = flatten(tree)
    rest = [flatten(other)[0] for other in others]
    return unflatten([function(*xs) for xs in zip(leaves, *rest, strict=True)], form)


def spread(prefix: Any, tree: Any) -> list[Any] | None:
    """For each leaf of the tree the value that a shorter tree has above it; None if they differ.

    A value stands for all leaves under it; lists and tuples of a prefix fit each other.
    """
    if not is_node(prefix):
        return [prefix] * flatten(tree)[1].leaf_count()
    if not is_node(tree):
        return None
    keys, children = items_of(prefix)
    others, below = items_of(tree)
    if len(children) != len(below) or (keys is None) != (others is None):
        return None
    if keys is not None:
        if set(keys) != set(others or ()):
            return None
        children = tuple(prefix[key] for key in others or ())
    made: list[Any] = []
    for part, whole in zip(children, below, strict=True):
        found = spread(part, whole)
        if found is None:
            return None
        made += found
    return made
