"""Programs under the debugger: what it shows, where it stops, the same results as the program's."""

import bdb
import io

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim


def run(function, *args, commands, **options):
    """The result, and what was shown."""
    out = io.StringIO()
    made = twofold.debug(function, commands=commands, stdout=out, **options)(*args)
    return made, out.getvalue()


def curve(x, w):
    h = x @ w
    y = (h * 2 + 1).tanh()
    return y.prod(1)


def given(seed=0):
    twofold.manual_seed(seed)
    return twofold.randn(3, 4), twofold.randn(4, 5)


@pytest.mark.parametrize("optimized", [True, False])
def test_results_are_the_programs(optimized):
    x, w = given()
    made, _ = run(curve, x, w, commands=[], optimized=optimized)
    assert np.array_equal(made.numpy(), twofold.compile(curve)(x, w).numpy())


def test_it_stops_at_lines_and_shows_calls():
    x, w = given()
    _, shown = run(curve, x, w, commands=["step", "next", "p %0.shape", "where"])
    assert "test_debug.py:" in shown and "h = x @ w" in shown
    assert "-> %0: f32[x_0, w_1] = matmul(x, w)" in shown
    assert "y = (h * 2 + 1).tanh()" in shown and "fused(" in shown
    assert "return y.prod(1)" in shown
    assert "(3, 5)" in shown or "[3, 5]" in shown
    assert "call 2 of 3" in shown


def test_values_by_name():
    x, w = given()
    _, shown = run(curve, x, w, commands=["p %0", "p x.sum()", "s", "p %0[0] - x[0] @ w", "p q"])
    lines = shown.splitlines()
    assert "*** %0 is not computed yet" in lines and "*** q is unknown" in lines
    assert repr(x.sum()) in shown
    assert "tensor([0., 0., 0., 0., 0.])" in shown


def test_breaks_by_operation_and_by_line():
    x, w = given()
    line = curve.__code__.co_firstlineno + 3
    _, shown = run(
        curve, x, w, commands=["b prod", "c", "stats %1", "b 99999", "b", "cl", "b", "c"]
    )
    assert "breakpoint 1 at prod" in shown and "1: prod" in shown
    assert "-> %2: f32[x_0] = prod(" in shown
    assert "%1 = f32[3, 5], min -" in shown and "0 NaN, 0 inf" in shown
    assert "no call is of 99999; the operations are fused, matmul, prod" in shown
    assert "the program is at its end" in shown
    _, shown = run(curve, x, w, commands=[f"b test_debug.py:{line}", "c", "l"])
    assert f"{line} -> " in shown and "return y.prod(1)" in shown


def test_watched_values():
    x, w = given()
    made, shown = run(curve, x, w, commands=["watch %1.sum()", "c", "watch", "unwatch", "c"])
    assert "%1.sum() was *** %1 is not computed yet" in shown
    assert "%1.sum() is  tensor(" in shown
    assert made.shape == (3,)


def test_inputs_and_text():
    x, w = given()
    _, shown = run(curve, x, w, commands=["a", "graph", "help", "nonsense )"])
    assert "x = f32[3, 4], min" in shown
    assert "graph curve(" in shown and "return %2" in shown
    assert "continue" in shown and "*** SyntaxError" in shown


def test_it_reads_what_is_typed():
    x, w = given()
    out = io.StringIO()
    typed = io.StringIO("step\np %0.shape\ncontinue\n")
    made = twofold.debug(curve, stdin=typed, stdout=out)(x, w)
    assert "(twofold) " in out.getvalue() and made.shape == (3,)


def trainer():
    twofold.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def state(model):
    return b"".join(v.numpy().tobytes() for v in model.state_dict().values())


def test_a_training_step_is_the_same_step():
    x, y = twofold.randn(6, 4), twofold.randint(0, 3, (6,))
    losses, states = [], []
    for wrap in (twofold.compile, twofold.debug, twofold.nan_watch, lambda f: f):
        model, step = trainer()
        made = wrap(step) if wrap is not twofold.debug else twofold.debug(step, commands=[])
        losses.append([made(x, y).item() for _ in range(3)])
        states.append(state(model))
    assert losses[0] == losses[1] == losses[2] == losses[3]
    assert states[0] == states[1] == states[2] == states[3]


def test_after_quit_nothing_was_written():
    x, y = twofold.randn(6, 4), twofold.randint(0, 3, (6,))
    model, step = trainer()
    before = state(model)
    with pytest.raises(bdb.BdbQuit):
        run(step, x, y, commands=["step 10", "quit"])
    assert state(model) == before


def test_gradients_go_through_a_debugged_function():
    x, w = given()
    w.requires_grad_()
    made, _ = run(curve, x, w, commands=[])
    made.sum().backward()
    found, w.grad = w.grad, None
    curve(x, w).sum().backward()
    assert np.array_equal(found.numpy(), w.grad.numpy())


# ---- NaN -----------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.scale = Root()

    def forward(self, x):
        return self.scale(self.inner(x)).prod()


class Root(nn.Module):
    def forward(self, h):
        return (h - 1000).sqrt() * 2


def test_the_first_nan_is_named():
    twofold.manual_seed(0)
    x = twofold.randn(2, 4)
    with pytest.raises(FloatingPointError) as caught:
        twofold.nan_watch(Net())(x)
    text = str(caught.value)
    assert text.startswith("sqrt: the first NaN was made here, of numbers")
    assert "f32[2, 4], min -100" in text and "0 NaN, 0 inf" in text and "8 NaN" in text
    assert "in  " in text and "scale" in text.split("in  ")[1].split("\n")[0]
    assert "return (h - 1000).sqrt() * 2" in text


def test_the_debugger_stops_at_the_first_nan():
    twofold.manual_seed(0)
    x = twofold.randn(2, 4)
    out = io.StringIO()
    commands = ["nan", "c", "p %3.isnan().sum()", "c"]
    made = twofold.debug(Net(), commands=commands, stdout=out)(x)
    shown = out.getvalue()
    assert "sqrt (fused): the first NaN was made here" in shown and "scale" in shown
    assert "tensor(8)" in shown
    assert np.isnan(made.item())
    out = io.StringIO()
    twofold.debug(Net(), commands=["nan off", "c"], stdout=out)(x)
    assert "was made here" not in out.getvalue()


def test_nan_in_arguments_is_told_apart():
    x = twofold.tensor([1.0, float("nan")])
    with pytest.raises(FloatingPointError, match="x holds NaN before anything is computed"):
        twofold.nan_watch(lambda x: x * 2)(x)


def test_infinities_are_no_nan():
    made = twofold.nan_watch(lambda x: (x.log(), x / x.abs().sum()))(twofold.tensor([0.0, 1.0]))
    assert made[0].tolist() == [float("-inf"), 0.0]
