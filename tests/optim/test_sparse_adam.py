"""SparseAdam: rows that were not read stay, with their moments."""

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.optim import SparseAdam


def steps(optimizer, table, reads):
    for read in reads:
        optimizer.zero_grad()
        (table(twofold.tensor(read)) ** 2).sum().backward()
        optimizer.step()


READS = [[0, 2], [2, 2, 3], [0], [3, 0], [2]]


def test_rows_that_are_not_read_stay():
    table = nn.Embedding(5, 3)
    before = table.weight.detach().clone()
    optimizer = SparseAdam(table.parameters(), lr=0.1)
    steps(optimizer, table, READS)
    assert twofold.equal(table.weight[[1, 4]], before[[1, 4]])
    state = optimizer.state[table.weight]
    assert not state["exp_avg"][[1, 4]].any() and state["exp_avg"][[0, 2, 3]].all()
    still = table.weight[0].detach().clone()
    steps(optimizer, table, [[2]])
    assert twofold.equal(table.weight[0], still), "its momentum does not move it either"


@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "maximize": True}, {"betas": (0.5, 0.7)}])
def test_agrees_with_pytorch(options):
    torch = pytest.importorskip("torch")
    start = np.random.default_rng(0).normal(size=(5, 3))
    theirs = torch.nn.Embedding(5, 3, sparse=True, dtype=torch.float64)
    theirs.weight.data.copy_(torch.from_numpy(start))
    ours = nn.Embedding.from_pretrained(twofold.tensor(start), freeze=False)
    first = torch.optim.SparseAdam(theirs.parameters(), **options)
    second = SparseAdam(ours.parameters(), **options)
    for read in READS:
        first.zero_grad()
        (theirs(torch.tensor(read)) ** 2).sum().backward()
        first.step()
    steps(second, ours, READS)
    assert np.allclose(theirs.weight.detach().numpy(), ours.weight.detach().numpy(), rtol=1e-12)
    a, b = first.state_dict(), second.state_dict()
    assert set(a["state"][0]) == set(b["state"][0])
    assert set(a["param_groups"][0]) == set(b["param_groups"][0])
    assert a["state"][0]["step"] == b["state"][0]["step"]


def test_the_bits_of_a_compiled_step():
    def run(compiled):
        twofold.manual_seed(0)
        table = nn.Embedding(5, 3)
        optimizer = SparseAdam(table.parameters(), lr=0.1)

        def step(read):
            optimizer.zero_grad()
            (table(read) ** 2).sum().backward()
            optimizer.step()

        step = twofold.compile(step) if compiled else step
        for read in READS:
            step(twofold.tensor(read))
        return table.weight.detach()

    assert twofold.equal(run(False), run(True))


def test_errors():
    with pytest.raises(twofold.TwofoldError, match="eps > 0"):
        SparseAdam(nn.Embedding(2, 2).parameters(), eps=0.0)
    with pytest.raises(twofold.TwofoldError, match="lr"):
        SparseAdam(nn.Embedding(2, 2).parameters(), lr=-1.0)
