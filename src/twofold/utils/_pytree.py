"""Trees of containers under PyTorch's names: tree_map, tree_flatten, tree_unflatten. Floor 13."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.base.records import NamedTuple
from twofold.base.trees import is_named

__all__ = [
    "SUPPORTED_NODES",
    "LeafSpec",
    "PyTree",
    "TreeSpec",
    "register_pytree_node",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_structure",
    "tree_unflatten",
]  # fmt: skip

Predicate = Callable[[Any], bool]
PyTree = Any


class Kind(NamedTuple):
    """How a container is taken apart, (children, context), and made again of these."""

    flatten_fn: Callable[[Any], tuple[Iterable[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]


def _of_sequence(kind: Any) -> Kind:
    return Kind(lambda x: (x, None), lambda children, _: kind(children))


def _of_mapping(kind: Any) -> Kind:
    return Kind(
        lambda x: (x.values(), tuple(x)),
        lambda children, keys: kind(zip(keys, children, strict=True)),
    )


KINDS: dict[type, Kind] = {
    tuple: _of_sequence(tuple),
    list: _of_sequence(list),
    dict: _of_mapping(dict),
    OrderedDict: _of_mapping(OrderedDict),
    defaultdict: Kind(
        lambda x: (x.values(), (x.default_factory, tuple(x))),
        lambda children, context: defaultdict(context[0], zip(context[1], children, strict=True)),
    ),
    deque: Kind(lambda x: (x, x.maxlen), deque),
}
SUPPORTED_NODES = KINDS
NAMED = Kind(lambda x: (x, type(x)), lambda children, kind: kind(*children))


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_fn: Callable[[Iterable[Any], Any], Any],
    **_: Any,
) -> None:
    """Let instances of a class be containers: flatten_fn(x) is its children and what else it is."""
    KINDS[cls] = Kind(flatten_fn, unflatten_fn)


class MappingKey(NamedTuple):
    """The way to a child by its key."""

    key: Any


class SequenceKey(NamedTuple):
    """The place of a leaf in a list or tuple."""

    idx: int


def _list_flatten(d: list[Any]) -> tuple[list[Any], None]:
    """The items of a list, and nothing that a list needs besides."""
    return list(d), None


def _list_unflatten(values: Iterable[Any], context: None) -> list[Any]:
    """A list of these items."""
    return list(values)


def _list_flatten_with_keys(d: list[Any]) -> tuple[list[tuple[SequenceKey, Any]], None]:
    """The items of a list, each with its place."""
    return [(SequenceKey(place), x) for place, x in enumerate(d)], None


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
    """Children and keys: what libraries register their own dicts by."""
    return list(d.values()), list(d)


def _dict_unflatten(values: Iterable[Any], context: list[Any]) -> dict[Any, Any]:
    """The dict of these children."""
    return dict(zip(context, values, strict=True))


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[tuple[MappingKey, Any]], list[Any]]:
    """Children with the ways to them, and the keys."""
    return [(MappingKey(key), child) for key, child in d.items()], list(d)


class TreeSpec(NamedTuple):
    """What remains of a tree without its leaves: the class, its context, the children's specs."""

    type: Any
    context: Any
    children_specs: tuple[Any, ...]

    @property
    def num_leaves(self) -> int:
        return 1 if self.is_leaf() else sum(child.num_leaves for child in self.children_specs)

    @property
    def num_children(self) -> int:
        return len(self.children_specs)

    def is_leaf(self) -> bool:
        return self.type is None


def LeafSpec() -> TreeSpec:
    """The spec of a leaf."""
    return TreeSpec(None, None, ())


def _get_node_type(tree: Any) -> Any:
    """The class by which a container is known: namedtuples are all known as one."""
    return namedtuple if is_named(tree) and type(tree) not in KINDS else type(tree)


def _kind_of(x: Any) -> Kind | None:
    found = KINDS.get(type(x))
    return NAMED if found is None and is_named(x) else found


def tree_flatten(tree: Any, is_leaf: Predicate | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves from left to right, and what puts them back. None is a leaf."""
    leaves: list[Any] = []

    def visit(x: Any) -> TreeSpec:
        kind = _kind_of(x)
        if kind is None or (is_leaf is not None and is_leaf(x)):
            leaves.append(x)
            return LeafSpec()
        children, context = kind.flatten_fn(x)
        return TreeSpec(type(x), context, tuple([visit(child) for child in children]))

    return leaves, visit(tree)


def tree_unflatten(leaves: Any, treespec: Any) -> Any:
    """The tree of a spec with these leaves; either may come first.

    Raises ArgumentError for another number of leaves.
    """
    if isinstance(leaves, TreeSpec):
        leaves, treespec = treespec, leaves
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ArgumentError(
            "tree_unflatten",
            f"{len(leaves)} leaves do not fit a tree of {treespec.num_leaves}",
        )
    rest = iter(leaves)

    def build(spec: TreeSpec) -> Any:
        if spec.is_leaf():
            return next(rest)
        kind = KINDS.get(spec.type, NAMED)
        return kind.unflatten_fn([build(child) for child in spec.children_specs], spec.context)

    return build(treespec)


def tree_leaves(tree: Any, is_leaf: Predicate | None = None) -> list[Any]:
    """The leaves from left to right."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Predicate | None = None) -> TreeSpec:
    """What remains of a tree without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Predicate | None = None
) -> Any:
    """The tree with func(leaf, leaves of the others at the same place...) for each leaf."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_leaves(rest, is_leaf) for rest in rests]
    return tree_unflatten([func(*xs) for xs in zip(leaves, *others, strict=True)], spec)


def tree_map_(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Predicate | None = None
) -> Any:
    """Call func on each leaf, for what it does; the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(
    type_: Any, func: Callable[[Any], Any], tree: Any, is_leaf: Predicate | None = None
) -> Any:
    """The tree with func(leaf) for each leaf of a type; `type_` may also be a predicate."""
    chosen = _chooses(type_)
    return tree_map(lambda x: func(x) if chosen(x) else x, tree, is_leaf=is_leaf)


def _chooses(type_: Any) -> Predicate:
    if isinstance(type_, type | tuple):
        return lambda x: isinstance(x, type_)
    return type_  # type: ignore[no-any-return]


def tree_all(pred: Predicate, tree: Any, is_leaf: Predicate | None = None) -> bool:
    """Whether pred(leaf) holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Predicate, tree: Any, is_leaf: Predicate | None = None) -> bool:
    """Whether pred(leaf) holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
