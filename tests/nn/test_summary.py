"""The table of a module."""

import pytest

import twofold
from twofold import nn


def test_layers_shapes_and_parameters():
    m = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(), nn.Sequential(nn.Linear(96, 10), nn.Dropout())
    )
    m[0].requires_grad_(False)
    made = nn.summary(m, twofold.ones(2, 1, 8, 8))
    assert (made.parameters, made.trained, made.nbytes) == (1126, 970, 4504)
    rows = [(row.depth, row.name, row.kind, row.shapes, row.parameters) for row in made.rows]
    assert rows == [
        (0, "", "Sequential", "[2, 10]", 0),
        (1, "0", "Conv2d(1 -> 6)", "[2, 6, 4, 4]", 156),
        (1, "1", "ReLU", "[2, 6, 4, 4]", 0),
        (1, "2", "Flatten", "[2, 96]", 0),
        (1, "3", "Sequential", "[2, 10]", 0),
        (2, "0", "Linear(96 -> 10)", "[2, 10]", 970),
        (2, "1", "Dropout", "[2, 10]", 0),
    ]


def test_the_table(golden):
    m = nn.ModuleDict({"rnn": nn.LSTM(3, 4), "norm": nn.BatchNorm1d(4)})
    m["norm"].requires_grad_(False)
    golden("summary/table", str(nn.summary(m)))
    golden("summary/shapes", str(nn.summary(m["rnn"], twofold.ones(5, 2, 3))))


def test_the_module_is_left_as_it_was():
    m = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).train()
    m[1].eval()
    nn.summary(m, twofold.ones(4, 2))
    assert [p.training for p in m.modules()] == [True, True, False]
    assert m[0].num_batches_tracked.item() == 0
    assert not m[0]._forward_hooks


def test_an_error_leaves_no_hooks():
    m = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="inner sizes"):
        nn.summary(m, twofold.ones(3))
    assert not m._forward_hooks and m.training


def test_shared_parameters_count_once():
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m[1].weight = m[0].weight
    made = nn.summary(m)
    assert made.parameters == 8
    assert [row.parameters for row in made.rows] == [0, 6, 6]


def test_keywords_and_nests():
    class Net(nn.Module):
        def forward(self, x, *, scale):
            return {"a": x * scale, "b": [x, x.sum()]}

    made = nn.summary(Net(), twofold.ones(2), scale=3)
    assert made.rows[0].shapes == "[2], [2], []"
