"""Trees of containers under PyTorch's names."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

from twofold.base.errors import ArgumentError
from twofold.utils import _pytree as pytree

Pair = namedtuple("Pair", "a b")


class Box:
    def __init__(self, x):
        self.x = x


def tree():
    counts = defaultdict(list, {"k": [None]})
    return [1, (2, Pair(3, {"x": 4})), OrderedDict(z=5), deque([6], 3), counts]


def test_a_tree_comes_back_from_its_leaves():
    leaves, spec = pytree.tree_flatten(tree())
    assert leaves == [1, 2, 3, 4, 5, 6, None] == pytree.tree_leaves(tree())
    assert spec.num_leaves == 7 and spec == pytree.tree_structure(tree()) and not spec.is_leaf()
    again = pytree.tree_unflatten(leaves, spec)
    assert again == tree()
    assert [type(x) for x in again] == [type(x) for x in tree()]
    assert again[3].maxlen == 3 and again[4].default_factory is list
    with pytest.raises(ArgumentError, match="2 leaves do not fit a tree of 7"):
        pytree.tree_unflatten([1, 2], spec)


def test_map():
    assert pytree.tree_map(lambda x, y: x + y, [1, {"a": 2}], [10, {"a": 20}]) == [11, {"a": 22}]
    pairs = pytree.tree_map(sum, [(1, 2), (3,)], is_leaf=lambda x: isinstance(x, tuple))
    assert pairs == [3, 3]
    assert pytree.tree_map_only(int, str, [1, 2.0]) == ["1", 2.0]
    assert pytree.tree_any(lambda x: x > 1, [1, (2,)]) and not pytree.tree_all(bool, [0, 1])
    seen = []
    assert pytree.tree_map_(seen.append, [1, 2]) == [1, 2] and seen == [1, 2]


def test_classes_of_the_users():
    assert pytree.tree_leaves([Box(1)])[0].x == 1
    pytree.register_pytree_node(Box, lambda b: ([b.x], None), lambda xs, _: Box(*xs))
    try:
        assert pytree.tree_map(lambda x: x + 1, [Box((1, 2))])[0].x == (2, 3)
    finally:
        del pytree.KINDS[Box]
