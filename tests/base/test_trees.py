"""Trees of containers: flat lists and back."""

import collections

import pytest

from twofold.base import trees

Point = collections.namedtuple("Point", "x y")
CASES = [
    (1, [1]),
    (None, [None]),
    ((1, [2, (3,)], {"a": 4, "b": []}), [1, 2, 3, 4]),
    (Point(1, (2, 3)), [1, 2, 3]),
    (collections.OrderedDict(b=1, a=2), [1, 2]),
    ((), []),
    ({2, 3}, [{2, 3}]),
]


@pytest.mark.parametrize(("tree", "leaves"), CASES)
def test_there_and_back(tree, leaves):
    found, form = trees.flatten(tree)
    assert found == leaves
    again = trees.unflatten(found, form)
    assert again == tree and type(again) is type(tree)
    assert trees.leaves_of(trees.map_leaves(lambda x: [x], tree)) == [
        x for leaf in leaves for x in trees.leaves_of([leaf])
    ]


def test_containers_of_other_kinds_are_leaves():
    class Sizes(tuple):
        __slots__ = ()

    assert trees.leaves_of([Sizes((1, 2))]) == [(1, 2)]


@pytest.mark.parametrize(
    ("prefix", "tree", "spread"),
    [
        (0, (1, [2, 3]), [0, 0, 0]),
        ((0, None), (1, [2, 3]), [0, None, None]),
        ([0, 1], (1, [2, 3]), [0, 1, 1]),
        ((0, {"b": 1, "a": 2}), (1, {"a": (1, 2), "b": 3}), [0, 2, 2, 1]),
        ((0, 1), (1, 2, 3), None),
        ((0, 1), 5, None),
        ({"a": 0}, {"b": 0}, None),
        ((0,), {"b": 0}, None),
    ],
)
def test_a_prefix_stands_for_what_is_under_it(prefix, tree, spread):
    assert trees.spread(prefix, tree) == spread
