"""Groups of calls: who stands between whom, before and after groups are joined."""

import random

import pytest

import twofold
from twofold.passes.groups import Groups
from twofold.passes.manager import PIPELINE

UNFUSED = [p for p in PIPELINE if p.name != "fuse"]


def reached(groups, members, step):
    """The calls that are reached from some, whole groups at a time."""
    found, waiting = set(), list(members)
    while waiting:
        i = waiting.pop()
        if i not in found:
            found.add(i)
            waiting += [*step(i), *groups.members[groups.group[i]]]
    return found


def between(groups, a, b):
    """Whether a call outside of both groups is reached from them and reaches them."""
    members = {*groups.members[a], *groups.members[b]}
    above = reached(groups, members, lambda i: groups.before[i])
    below = reached(
        groups, members, lambda i: [j for j, before in enumerate(groups.before) if i in before]
    )
    return bool(above & below - members)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_free_where_nothing_stands_between_them(seed):
    rng = random.Random(seed)
    pairs = [(rng.randrange(max(n - 6, 0), n), rng.randrange(n)) for n in range(2, 30)]

    def function(x):
        known = [x, x.exp()]
        for one, other in pairs:
            known.append(known[one] * 0.5 + known[other])
        return known

    groups = Groups(twofold.compile(function, passes=UNFUSED).graph(twofold.ones(3)))
    joined = 0
    for _ in range(200):
        a, b = rng.sample(sorted(groups.members), 2)
        if rng.random() < 0.7:  # neighbours are joined most
            b = rng.choice([*groups.waits(a), b])
        assert groups.free(a, b) is not between(groups, a, b)
        if groups.free(a, b) and len(groups.members) > 4:
            groups.join(a, b)
            joined += 1
    assert joined > 5
