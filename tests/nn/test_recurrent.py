"""RNN, LSTM, GRU and their cells against PyTorch: layers, directions, states, no batch."""

import numpy as np
import pytest
from layers import Case, compare

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops import cells, sequences

OPTIONS = [
    ("", (5, 2, 3), (1, 2, 4)),
    ("", (5, 3), (1, 4)),
    ("", (1, 1, 3), (1, 1, 4)),
    ("batch_first=True", (2, 5, 3), (1, 2, 4)),
    ("num_layers=2", (5, 2, 3), (2, 2, 4)),
    ("bidirectional=True", (5, 2, 3), (2, 2, 4)),
    ("num_layers=2, bidirectional=True, batch_first=True", (2, 5, 3), (4, 2, 4)),
    ("num_layers=2, bidirectional=True", (5, 3), (4, 4)),
    ("bias=False", (5, 2, 3), (1, 2, 4)),
    ("num_layers=2, dropout=0.5", (5, 2, 3), (2, 2, 4)),
]


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def cases():
    for layer in ("RNN", "LSTM", "GRU"):
        for options, x, h in OPTIONS:
            text = f"nn.{layer}(3, 4{', ' if options else ''}{options})"
            state = (random(*h), random(*h) * 0.5) if layer == "LSTM" else random(*h)
            train = "dropout" not in options
            yield Case(text, (x,), train=train)
            yield Case(text, (x, state), train=train)
    yield Case("nn.RNN(3, 4, 2, 'relu')", ((5, 2, 3),))
    yield Case("nn.LSTM(3, 4, proj_size=2)", ((5, 2, 3),))
    yield Case("nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, bias=False)", ((5, 2, 3),))
    yield Case("nn.LSTM(3, 4, proj_size=2)", ((5, 2, 3), (random(1, 2, 2), random(1, 2, 4))))
    yield Case("nn.RNN(3, 4, nonlinearity='relu', bias=False)", ((5, 2, 3),))
    yield Case("nn.LSTM(3, 40, 1, True, True)", ((6, 9, 3),))
    yield Case("nn.GRU(3, 4, dtype=T.float64)", ((5, 2, 3),), dtype="float64", rtol=1e-9)
    for cell in ("RNNCell", "LSTMCell", "GRUCell"):
        for options in ("", ", bias=False"):
            for x, h in (((2, 3), (2, 4)), ((3,), (4,))):
                state = (random(*h), random(*h)) if cell == "LSTMCell" else random(*h)
                yield Case(f"nn.{cell}(3, 4{options})", (x,))
                yield Case(f"nn.{cell}(3, 4{options})", (x, state))
    yield Case("nn.RNNCell(3, 4, nonlinearity='relu')", ((2, 3),))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_as_in_pytorch(case):
    compare(case)


def test_a_sequence_step_by_step():
    layer, cell = nn.LSTM(3, 4), nn.LSTMCell(3, 4)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = twofold.randn(6, 2, 3)
    out, (h, c) = layer(x)
    state = None
    for step in range(6):
        state = cell(x[step], state)
        np.testing.assert_array_equal(state[0].detach().numpy(), out[step].detach().numpy())
    assert (state[0] == h[0]).all() and (state[1] == c[0]).all()


def test_dropout_between_layers_only():
    twofold.manual_seed(0)
    one = nn.GRU(3, 4, dropout=0.9)
    x = twofold.randn(5, 2, 3)
    assert (one(x)[0] == one(x)[0]).all()
    two = nn.GRU(3, 4, 2, dropout=0.9)
    assert not (two(x)[0] == two(x)[0]).all()


def test_a_row_of_a_batch_is_that_row_alone():
    layer = nn.GRU(3, 8, 2, bidirectional=True)
    x = twofold.randn(7, 5, 3)
    whole, _ = layer(x)
    alone, _ = layer(x[:, 2:3])
    assert (whole[:, 2:3] == alone).all()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: nn.RNN(3, 4, nonlinearity="gelu"), "nonlinearity='gelu'"),
        (lambda: nn.LSTM(3, 4, proj_size=4), "proj_size"),
        (lambda: nn.GRU(3, 4, proj_size=2), "proj_size"),
        (lambda: nn.LSTM(3, 0), "hidden_size"),
        (lambda: nn.GRU(3, 4, num_layers=0), "num_layers"),
        (lambda: nn.GRU(3, 4, dropout=1.5), "probability"),
    ],
)
def test_layers_that_cannot_be(make, problem):
    with pytest.raises(ArgumentError, match=problem):
        make()


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ((twofold.ones(5, 2, 4),), "input_size = 3"),
        ((twofold.ones(5, 2, 2, 3),), "2 or 3 axes"),
        ((twofold.ones(0, 2, 3),), "no steps"),
        ((twofold.ones(5, 2, 3), twofold.ones(1, 3, 4)), "first state is not"),
        ((twofold.ones(5, 2, 3), twofold.ones(2, 4)), "first state is not"),
    ],
)
def test_inputs_that_do_not_fit(args, problem):
    with pytest.raises(ShapeError, match=problem) as caught:
        nn.GRU(3, 4)(*args)
    assert caught.value.hint


SIZES = {"x": (3, 10), "h": (3, 20), "c": (3, 20)}


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize(
    "other",
    [{"h": (3, 21)}, {"h": (5, 20)}, {"h": (1, 20)}, {"h": (3, 1, 1, 20)}, {"h": (20,)}]
    + [{"c": (3, 19)}, {"c": (2, 20)}],
)
def test_a_cell_refuses_a_state_of_another_size(kind, other):
    """The kernels take their sizes from the state: they would reach past the gates."""
    if "c" in other and kind != "LSTMCell":
        return
    x, h, c = (twofold.zeros(*(SIZES | other)[name]) for name in "xhc")
    with pytest.raises(ShapeError):
        getattr(nn, kind)(10, 20)(x, (h, c) if kind == "LSTMCell" else h)


def test_operations_of_cells_check_their_operands():
    f = twofold.zeros
    for call in (
        lambda: cells.lstm_cell(f(3, 80), f(3, 21)),
        lambda: cells.lstm_cell(f(3, 80), f(4, 20)),
        lambda: cells.gru_cell(f(3, 60), f(3, 59), f(3, 20)),
        lambda: cells.gru_cell(f(3, 60), f(3, 60), f(1, 20)),
        lambda: sequences.lstm_sequence(f(2, 3, 80), f(80, 20), f(3, 20), f(3, 19)),
        lambda: sequences.lstm_sequence(f(2, 3, 80), f(80, 20), f(3, 20), f(3, 20), f(79)),
        lambda: sequences.gru_sequence(f(2, 3, 60), f(60, 20), f(3, 20), f(61)),
    ):
        with pytest.raises(ShapeError, match="the sizes do not fit"):
            call()


def test_options_that_are_no_bools():
    with pytest.raises(DTypeError, match="bias = 0 is no bool"):
        nn.LSTM(3, 5, bias=0)


def test_weights_by_layers_and_directions():
    net = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    names = [name for name, _ in net.named_parameters()]
    assert net._flat_weights_names == names and len(net._flat_weights) == 20
    assert [len(part) for part in net.all_weights] == [5] * 4
    assert net.all_weights[1][0] is net.weight_ih_l0_reverse


@pytest.mark.parametrize("size", ["5", 2.5, True])
def test_sizes_that_are_no_whole_numbers(size):
    for make in (nn.LSTM, nn.GRUCell):
        with pytest.raises(DTypeError, match=r"hidden_size = .* is no whole number"):
            make(3, size)
