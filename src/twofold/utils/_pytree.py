"""Trees of containers under the names of PyTorch's `utils._pytree`. Floor 13."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twofold.base.trees import Form, flatten, leaves_of, map_leaves, unflatten

__all__ = ["TreeSpec", "tree_flatten", "tree_leaves", "tree_map", "tree_map_", "tree_map_only"]
__all__ += ["tree_all", "tree_any", "tree_structure", "tree_unflatten"]

TreeSpec = Form
tree_flatten, tree_leaves, tree_map = flatten, leaves_of, map_leaves


def tree_unflatten(leaves: Iterable[Any], treespec: Form) -> Any:
    """The tree of a form with these leaves; either may come first."""
    if isinstance(leaves, Form):
        leaves, treespec = treespec, leaves
    return unflatten(leaves, treespec)


def tree_structure(tree: Any) -> Form:
    return flatten(tree)[1]


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any) -> Any:
    """Call func on each leaf, for what it does to it: -> the tree itself."""
    map_leaves(func, tree, *rests)
    return tree


def tree_map_only(kind: Any, func: Callable[[Any], Any], tree: Any) -> Any:
    """func of the leaves of a class (or a tuple of classes), the others as they are."""
    return map_leaves(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree)


def tree_all(pred: Callable[[Any], bool], tree: Any) -> bool:
    return all(map(pred, leaves_of(tree)))


def tree_any(pred: Callable[[Any], bool], tree: Any) -> bool:
    return any(map(pred, leaves_of(tree)))
