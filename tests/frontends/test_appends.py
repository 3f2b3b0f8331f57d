"""Branches that append to the same lists: a choice between values, in one program."""

import pytest

import twofold
from twofold import nn

F = nn.functional


def losses_of_parts(x, y):
    found, counts = [], []
    for j in range(3):
        near = x[j] > 0.5
        if near.sum() > 0:
            found.append((x[j] * near).sum() / near.sum())
            counts.append(near.sum())
        else:
            found.append(twofold.tensor(0.0))
            counts.append(twofold.tensor(0))
    return twofold.stack(found), twofold.stack(counts)


def three_ways(x, y):
    rows = []
    for j in range(3):
        if x[j].sum() > 1:
            rows.append(x[j])
        elif y[j].sum() > 0:
            rows.append(y[j] * 2)
        else:
            rows.append(x[j] - y[j])
    return twofold.stack(rows)


def over_a_size(x, y):
    rows = []
    for j in range(x.size(0)):
        if x[j].sum() > 0:
            rows.append(x[j].exp())
        else:
            rows.append(y[j])
    return twofold.stack(rows)


def one_reads_the_other(x, y):
    first, lengths = [], []
    for j in range(3):
        if x[j].sum() > 0:
            first.append(x[j])
            lengths.append(len(first))
        else:
            first.append(y[j])
            lengths.append(-len(first))
    return twofold.stack(first), twofold.tensor(lengths)


def of_python(x, y):
    kinds, rows = [], []
    for j in range(4):
        if j % 2:
            kinds.append("odd")
            rows.append(x)
        else:
            kinds.append(None)
            rows.append(y * j)
    return twofold.stack(rows), len([k for k in kinds if k])


def unlike(x, y):
    rows = []
    if x.sum() > 0:
        rows.append(x[0])
    else:
        rows.append(y)
    return rows[0] * 2


FEW = [losses_of_parts, three_ways, over_a_size]


@pytest.mark.parametrize("plain", [*FEW, one_reads_the_other, of_python, unlike])
def test_appends_are_those_of_eager(plain):
    f = twofold.compile(plain)
    for seed, width in enumerate((4, 5, 5, 2, 4)):
        twofold.manual_seed(seed)
        x, y = twofold.randn(3, width), twofold.randn(3, width)
        results = []
        for function in (f, plain):
            own = x.clone().requires_grad_()
            made = function(own, y)
            made = made if isinstance(made, tuple) else (made,)
            if made[0].requires_grad:
                made[0].square().sum().backward()
            parts = [*made, own.grad]
            results.append([p.tolist() if isinstance(p, twofold.Tensor) else p for p in parts])
        assert results[0] == results[1]
    if plain in FEW:
        assert twofold.explain(f).compiles == 1
