"""Compiled functions that only Python can run: they run as they are, and explain tells why."""

import random
import subprocess
import sys

import numpy as np
import pytest
from twice import compare

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.base.errors import TwofoldError
from twofold.frontends.arrays import CaptureError


def trained(train):
    """What a training function makes of the same model, eagerly and compiled; and the report."""
    found = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        model = nn.Linear(3, 1)
        step = train(model)
        made = twofold.compile(step) if compiled else step
        losses = [made(twofold.randn(n, 3), twofold.ones(n, 1)).item() for n in (4, 4, 2)]
        found.append((losses, [p.tolist() for p in model.parameters()]))
    assert found[0] == found[1]
    return twofold.explain(made)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_steps_in_a_compiled_function(search):
    def train(model):
        optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, line_search_fn=search)

        def step(x, y):
            def closure():
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), y)
                loss.backward()
                return loss

            return optimizer.step(closure)

        return step

    report = trained(train)
    assert report.compiles == 0
    assert "how often the closure runs" in report.as_python[0]
    assert "test_in_python.py" in report.as_python[0]
    assert "runs as Python, without a program:\n  LBFGS.step" in str(report)


def test_training_until_a_loss_is_small():
    def train(model):
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            loss = F.mse_loss(model(x), y)
            turns = 0
            while loss > 0.5 and turns < 20:
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), y)
                loss.backward()
                optimizer.step()
                turns += 1
            return loss

        return step

    assert "sets the gradient of a leaf" in trained(train).as_python[0]


def test_training_with_a_break():
    def train(model):
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x, y):
            for _ in range(20):
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), y)
                loss.backward()
                optimizer.step()
                if loss.item() < 0.5:
                    break
            return loss

        return step

    assert trained(train).compiles == 0


def test_a_step_after_a_schedule_that_looked_at_the_loss():
    def train(model):
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            schedule.step(loss.detach())
            optimizer.step()
            return loss

        return step

    assert "as the last of the function" in trained(train).as_python[0]


def growing(ids):
    for _ in range(6):
        following = (ids[:, -1:] * 5 + 1) % 7
        ids = twofold.cat([ids, following], 1)
        if (following == 3).all():
            break
    return ids


def test_a_sequence_grows_until_its_end():
    calls = [lambda n=n: (twofold.arange(n).reshape(1, -1),) for n in (1, 2, 5)]
    report = twofold.explain(compare(growing, calls))
    assert report.compiles == 0
    assert "differ in shape" in report.as_python[0]


def test_a_list_grows_while_a_value_says():
    def f(x):
        made = []
        while x.sum() < 100:
            x = x * 2
            made.append(x)
        return twofold.stack(made)

    compare(f, [lambda n=n: (twofold.ones(n),) for n in (3, 2)])


def test_fullgraph_refuses_it():
    f = twofold.compile(growing, fullgraph=True)
    with pytest.raises(TwofoldError, match="differ in shape") as told:
        f(twofold.ones(1, 2, dtype=twofold.int64))
    assert "test_in_python.py" in str(told.value)
    assert twofold.explain(f).as_python == ()


def test_what_needs_the_graph_is_refused():
    f = twofold.compile(growing)
    x = twofold.ones(1, 2, dtype=twofold.int64)
    f(x)
    with pytest.raises(TwofoldError, match="differ in shape"):
        f.graph(x)


def test_whatever_else_no_graph_holds():
    def f(x):
        return x * {2.0: 1}[x.sum().item()]

    with pytest.raises(CaptureError, match="not known while"):
        twofold.compile(f, fullgraph=True)(twofold.ones(2))
    compiled = twofold.compile(f)
    assert compiled(twofold.ones(2)).tolist() == [1.0, 1.0]
    assert "Python wants this float" in twofold.explain(compiled).as_python[0]
    with pytest.raises(KeyError):  # it tells that the call is wrong, not the function
        compiled(twofold.ones(3))


def test_other_arguments_have_a_program_still():
    def f(x, grows):
        while x.sum() < 20:
            x = twofold.cat([x, x]) if grows else x * 2
        return x

    calls = [lambda g=g: (twofold.ones(3), g) for g in (True, False, True, False)]
    report = twofold.explain(compare(f, calls))
    assert report.compiles == 1
    assert len(report.as_python) == 1


# ---- names that have their first value in a loop ------------------------------------------------


def test_a_name_from_within_a_loop_is_read_after_it():
    def over_rows(x):
        for row in x:
            last = row * 2
        return last + 1

    def over_sizes(x):
        for t in range(x.shape[0]):
            last = x[t] * 2
            twice = t * 2
        return last, t, twice

    calls = [lambda n=n: (twofold.arange(2.0 * n).reshape(n, 2) * 0.37,) for n in (4, 1, 3)]
    assert twofold.explain(compare(over_rows, calls)).compiles == 1
    assert twofold.explain(compare(over_sizes, calls)).compiles == 1


def test_a_name_from_within_a_loop_that_breaks():
    def f(x):
        for _ in range(9):
            loss = x.pow(2).sum()
            x = x * 0.5
            if loss < 0.1:
                break
        return x, loss

    made = compare(f, [lambda n=n: (twofold.ones(n),) for n in (4, 1, 3)])
    assert twofold.explain(made).compiles == 1


def test_a_name_from_within_a_while_loop():
    def f(x):
        turns = 0
        while x.sum() < 10:
            y = x * 2
            x = x + 1
            turns += 1
            number = x.sum().item()
        return y, turns, number

    made = compare(f, [lambda n=n: (twofold.zeros(n),) for n in (4, 1, 3)])
    assert twofold.explain(made).compiles == 1
    with pytest.raises(UnboundLocalError):
        twofold.compile(f)(twofold.ones(20))


def test_a_loop_that_takes_no_turn_gives_no_name():
    def f(x):
        for row in x:
            last = row * 2
        return last

    compiled = twofold.compile(f)
    assert compiled(twofold.ones(2, 2)).tolist() == [2.0, 2.0]
    with pytest.raises(UnboundLocalError):
        compiled(twofold.ones(0, 2))


DRAWS = {
    "random": (lambda: random.random(), random.seed),
    "a choice": (lambda: random.choice([1, 2, 3, 4]), random.seed),
    "numpy.random": (lambda: float(np.random.rand()), np.random.seed),
    "an array": (lambda: twofold.from_numpy(np.random.randn(2).astype(np.float32)), np.random.seed),
}


@pytest.mark.parametrize("name", DRAWS)
def test_what_python_draws_is_drawn_at_each_call(name):
    draw, seed = DRAWS[name]

    def f(x):
        return x * 2 + draw()

    compiled = twofold.compile(f)
    x = twofold.ones(2)
    seed(3)
    wanted = [f(x) for _ in range(4)]
    seed(3)
    assert all(twofold.equal(compiled(x), y) for y in wanted)
    assert "twofold.rand" in twofold.explain(compiled).as_python[0]
    with pytest.raises(CaptureError, match="draws from"):
        twofold.compile(f, fullgraph=True)(x)


def test_a_generator_that_decides_is_asked_at_each_call():
    made = np.random.default_rng(5), random.Random(5)
    again = np.random.default_rng(5), random.Random(5)

    def f(x, rngs=made):
        return x + 1 if rngs[0].random() < 0.5 and rngs[1].random() < 0.8 else x

    compiled = twofold.compile(f)
    x = twofold.zeros(1)
    assert [compiled(x).item() for _ in range(9)] == [f(x, again).item() for _ in range(9)]


def test_who_draws_nothing_is_a_program():
    random.random(), np.random.rand()
    compiled = twofold.compile(lambda x: x * twofold.rand(2))
    assert not twofold.equal(compiled(twofold.ones(2)), compiled(twofold.ones(2)))
    assert not twofold.explain(compiled).as_python


def test_an_iterator_gives_its_next_item_at_each_call():
    rows = [twofold.full((2,), float(i)) for i in range(8)]
    loader = twofold.utils.data.DataLoader(twofold.utils.data.TensorDataset(twofold.arange(8.0)))
    for items in (iter(rows), (row for row in rows), (x for (x,) in loader)):

        @twofold.compile
        def f(x, items=items):
            return x + next(items)

        assert [f(twofold.zeros(2))[0].item() for _ in range(8)] == list(range(8))
        assert "take the next item outside" in twofold.explain(f).as_python[0]


def test_numpy_may_be_asked_for_its_first_number():
    """Its generator is imported when it is first used: there is no state to compare with."""
    code = "import sys, twofold, numpy as np; assert 'numpy.random' not in sys.modules; "
    code += "f = twofold.compile(lambda x: x + np.random.rand()); x = twofold.zeros(1); "
    code += "assert f(x).item() != f(x).item(); assert twofold.explain(f).as_python"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_draws_and_has_no_graph_runs_as_python():
    """What is refused besides may come of the draw: it was told instead of it."""

    def step(x):
        return x * {3.0: np.random.rand()}[x.sum().item()]

    compiled = twofold.compile(step)
    found = []
    for function in (step, compiled):
        np.random.seed(0)
        found.append([function(twofold.ones(3)).tolist() for _ in range(3)])
    assert found[0] == found[1]
    assert "numpy.random" in str(twofold.explain(compiled))


def test_what_numpy_makes_no_sense_of_sizes_in():
    def f(x):
        places = np.arange(x.shape[1])[:, None] / np.power(10000, np.arange(4)[None, :] / 4)
        return x + twofold.from_numpy(np.sin(places).astype(np.float32))

    compiled = twofold.compile(f)
    for n in (3, 5):
        x = twofold.randn(2, n, 4)
        assert compiled(x).tolist() == f(x).tolist()


def compiled_is_eager(function, make, calls, reason):
    """Results, and what `make()` gives besides the arguments, are those of eager calls; why."""
    found = []
    for compiled in (False, True):
        state = make()
        f = function(state)
        run = twofold.compile(f) if compiled else f
        rows = [run(*args) for args in calls()]
        found.append(repr((rows, state)))
    assert found[0] == found[1]
    report = twofold.explain(run)
    assert report.compiles == 0
    assert reason in str(report)
    with pytest.raises(CaptureError, match=reason):
        twofold.compile(function(make()), fullgraph=True)(*calls()[0])


def test_numpy_computes_with_values():
    def calls():
        return [(twofold.arange(n) * 0.5, twofold.ones(2)) for n in (3, 4, 2)]

    def loop(_):
        def f(x, y):
            for v in x.numpy():
                y = y + float(v)
            return y

        return f

    compiled_is_eager(loop, dict, calls, "values are not known")
    mean = lambda _: lambda x, y: y * float(x.numpy().mean())  # noqa: E731
    compiled_is_eager(mean, dict, calls, "values are not known")
    order = lambda _: lambda x, y: y + twofold.from_numpy(np.sort(x.numpy()))[-1]  # noqa: E731
    compiled_is_eager(order, dict, calls, "values are not known")


def test_lists_that_grow_and_are_read():
    def tracked(history):
        def f(x):
            history.append(x.sum().item())
            return x * len(history), max(history)

        return f

    def calls():
        return [(twofold.arange(n) * 1.0,) for n in (3, 4, 2)]

    compiled_is_eager(tracked, list, calls, "reads a list from outside")


def test_arguments_that_the_function_changes():
    def changes(_):
        def f(batch, k):
            labels = batch.pop("y")
            batch["x"] = batch["x"] * k
            return batch, labels + 1

        return f

    def calls():
        return [({"x": twofold.ones(n), "y": twofold.zeros(n)}, 2.0) for n in (2, 3)]

    compiled_is_eager(changes, dict, calls, "that it was given")


def test_a_cache_by_sizes():
    def remembers(cache):
        def f(x):
            if x.shape[0] not in cache:
                cache[x.shape[0]] = twofold.zeros(x.shape[0])
            return x + cache[x.shape[0]]

        return f

    def calls():
        return [(twofold.arange(n) * 1.0,) for n in (3, 4, 3)]

    compiled_is_eager(remembers, dict, calls, "as a key")


def test_calls_that_run_as_python_are_found_quickly():
    def f(x, k=1.0, *, mode="plain"):
        y = x * random.random() if mode == "random" else x
        return y * k

    compiled = twofold.compile(f)
    for args, named in (
        ((twofold.ones(2), 2.0), {"mode": "random"}),
        ((twofold.ones(3),), {"k": 3.0, "mode": "random"}),
        ((twofold.ones(2, 2),), {"mode": "random"}),
    ):
        for _ in range(3):
            random.seed(0)
            wanted = f(*args, **named).tolist()
            random.seed(0)
            assert compiled(*args, **named).tolist() == wanted
    report = twofold.explain(compiled)
    assert report.compiles == 0
    assert "random" in str(report)
