"""Packed sequences, and recurrent layers on them, against PyTorch."""

import numpy as np
import pytest
from layers import fill, state_of, torch

import twofold
from twofold.base.errors import ArgumentError, ShapeError

X = np.random.default_rng(4).normal(size=(6, 4, 3)).astype(np.float32)
SORTED, MIXED = [6, 4, 4, 1], [2, 6, 1, 4]


def parts(packed):
    return [None if part is None else part.detach().numpy() for part in packed]


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, 1e-5, 1e-6)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("lengths", [SORTED, MIXED])
def test_packing_and_back(lengths, first):
    results = []
    for t in (twofold, torch):
        rnn = t.nn.utils.rnn
        x = t.tensor(X.swapaxes(0, 1).copy() if first else X)
        packed = rnn.pack_padded_sequence(x, t.tensor(lengths), first, lengths == SORTED)
        back, sizes = rnn.pad_packed_sequence(packed, first, -1.0, 7)
        rows = rnn.unpack_sequence(packed)
        results.append([*parts(packed), back.numpy(), sizes.numpy(), *(r.numpy() for r in rows)])
    same(*results)


def test_sequences_as_lists():
    results = []
    for t in (twofold, torch):
        rnn = t.nn.utils.rnn
        xs = [t.tensor(X[:n, i]) for i, n in enumerate(MIXED)]
        made = [rnn.pad_sequence(xs), rnn.pad_sequence(xs, True, 2.0, "left")]
        packed = rnn.pack_sequence(xs, enforce_sorted=False)
        results.append([*(m.numpy() for m in made), *parts(packed)])
    same(*results)


LAYERS = ["RNN(3, 4)", "LSTM(3, 4)", "GRU(3, 4)", "LSTM(3, 4, 2, bidirectional=True)"]
LAYERS += ["GRU(3, 4, 2, bidirectional=True, bias=False)", "LSTM(3, 4, proj_size=2)"]
LAYERS += ["RNN(3, 4, 2, bidirectional=True, nonlinearity='relu')"]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lengths", [SORTED, MIXED])
@pytest.mark.parametrize("text", LAYERS)
def test_layers_on_packed_sequences(text, lengths, given):
    theirs = eval(f"torch.nn.{text}", {"torch": torch})
    fill(theirs)
    results = []
    for t in (torch, twofold):
        layer = eval(f"t.nn.{text}", {"t": t})
        layer.load_state_dict({k: t.tensor(v) for k, v in state_of(theirs).items()})
        x = t.tensor(X, requires_grad=True)
        packed = t.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=lengths == SORTED)
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        start = None
        if given:
            made = np.random.default_rng(1).normal(size=(2, rows, 4, 4)).astype(np.float32)
            if text.startswith("LSTM"):
                width = layer.proj_size or 4
                start = (t.tensor(made[0, ..., :width].copy()), t.tensor(made[1]))
            else:
                start = t.tensor(made[0])
        out, state = layer(packed, start)
        states = list(state) if isinstance(state, tuple) else [state]
        sum(((i + 1) * part**2).sum() for i, part in enumerate([out.data, *states])).backward()
        grads = [p.grad.numpy() for p in layer.parameters()]
        results.append([*parts(out), *parts(states), x.grad.numpy(), *grads])
    found, wanted = results[1], results[0]
    for a, b in zip(found, wanted, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, 1e-4, 1e-5)


def test_refusals():
    rnn = twofold.nn.utils.rnn
    x = twofold.tensor(X)
    with pytest.raises(ArgumentError, match="do not descend"):
        rnn.pack_padded_sequence(x, MIXED)
    with pytest.raises(ArgumentError, match="one above 0"):
        rnn.pack_padded_sequence(x, [6, 4, 0, 0])
    with pytest.raises(ShapeError, match="do not fit"):
        rnn.pack_padded_sequence(x, [7, 4, 4, 1])


@pytest.mark.parametrize("kind", ["tensor", "computed", "list"])
def test_lengths_in_a_compiled_function(kind):
    """Lengths that only a run knows are for Python; for a list of them a program is made."""
    rnn = twofold.nn.utils.rnn

    def train(compile):
        twofold.manual_seed(0)
        layer = twofold.nn.GRU(3, 4, bidirectional=True, batch_first=True)

        def step(x, lengths):
            lengths = (lengths > 0).sum(1) if kind == "computed" else lengths
            packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            padded, found = rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)
            layer.zero_grad()
            padded.square().mean().backward()
            with twofold.no_grad():
                for p in layer.parameters():
                    p -= 0.1 * p.grad
            return padded.detach(), found

        step, made = compile(step), []
        for given in ([4, 2, 3], [5, 5, 1], [2, 2]):
            x = twofold.randn(len(given), 5, 3)
            if kind == "list":
                lengths = given
            elif kind == "tensor":
                lengths = twofold.tensor(given)
            else:
                lengths = (twofold.arange(5) < twofold.tensor(given)[:, None]).long()
            made.append([part.tolist() for part in step(x, lengths)])
        return made, [p.tolist() for p in layer.parameters()]

    assert train(lambda f: f) == train(twofold.compile)
