"""What a compiled function finds and leaves outside: attributes, names, cells, containers."""

import argparse
import collections
import dataclasses
import importlib
import types
from collections.abc import Callable

import pytest
from twice import bits, same

import twofold
from twofold import nn
from twofold.base.trees import leaves_of
from twofold.frontends.arrays import CaptureError
from twofold.frontends.places import Place, watch

RATE = 1.0


def alike(make, calls, programs=None):
    """make() gives a function, what to do before call i, and the state to look at."""
    found = []
    for compiled in (False, True):
        twofold.manual_seed(1)
        function, before, state = make()
        made = twofold.compile(function) if compiled else function
        rows = []
        for i in range(calls):
            before(i)
            results = made(twofold.arange(2 + i % 3) * 1.0)
            rows += [bits(x) for x in leaves_of((results, state()))]
            rows += [x.requires_grad for x in leaves_of(state()) if isinstance(x, twofold.Tensor)]
        found.append(rows)
    same(*found)
    if programs is not None:
        assert len(made.all_programs()) == programs
    return made


def nothing(_):
    pass


def test_numbers_that_somebody_changes_between_calls():
    global RATE

    class Scaled(nn.Module):
        factor = 2.0

        def __init__(self):
            super().__init__()
            self.shift = 0.5

        def forward(self, x):
            return x * self.factor + self.shift

    def make():
        layer, k, kinds = Scaled(), 3.0, {"sign": 1}

        def change(i):
            nonlocal k
            global RATE
            RATE, k, layer.shift, kinds["sign"] = i * 1.0, i + 0.5, i * 2.0, 1 - 2 * (i % 2)
            Scaled.factor = i * 0.25

        return lambda x: layer(x) * RATE + k * kinds["sign"], change, tuple

    try:
        alike(make, 6, programs=2)
    finally:
        RATE = 1.0


def test_tensors_and_modules_that_are_exchanged():
    def make():
        layers = [nn.Linear(1, 2)]
        held = {"w": twofold.ones(1)}

        def change(i):
            twofold.manual_seed(i)
            held["w"] = twofold.full((1,), float(i))
            if i == 2:
                layers[0] = nn.Linear(1, 2)
            if i == 4:
                layers.append(nn.Linear(2, 1))

        def function(x):
            y = x[:, None] * held["w"]
            for layer in layers:
                y = layer(y)
            return y

        return function, change, tuple

    alike(make, 6)


def test_counters_lists_and_tensors_that_the_function_leaves():
    class Trainer:
        def __init__(self):
            self.count, self.mean, self.last, self.seen = 0, 0.0, None, []
            self.state, self.ready = {"h": twofold.zeros(())}, False

        def step(self, x):
            self.count += 1
            self.mean = 0.5 * self.mean + self.count
            self.last = x.sum()
            self.seen.append(self.last * self.count)
            self.state["h"] = self.state["h"] * 0.5 + self.last
            self.ready = True
            return x * self.count + self.state["h"]

    def make():
        trainer = Trainer()
        return trainer.step, nothing, lambda: list(vars(trainer).values())

    made = alike(make, 6)
    assert len(made.all_programs()) <= 3


def test_a_leaf_that_is_made_anew_and_an_optimizer_of_the_users():
    class Momentum:
        def __init__(self, params):
            self.params, self.steps = list(params), 0
            self.averages = [twofold.zeros_like(p) for p in self.params]

        @twofold.no_grad()
        def step(self):
            self.steps += 1
            for i, p in enumerate(self.params):
                self.averages[i] = self.averages[i] * 0.9 + p.grad
                p -= self.averages[i] / (10 + self.steps)
                p.grad = None

    def make():
        layer = nn.Linear(1, 1)
        optimizer = Momentum(layer.parameters())
        own = {"w": twofold.ones(1, requires_grad=True)}

        def step(x):
            loss = (layer(x[:, None]) * own["w"]).square().mean()
            loss.backward()
            optimizer.step()
            own["w"] = (own["w"] - 0.1 * own["w"].grad).detach().requires_grad_()
            return loss

        state = lambda: [*layer.parameters(), *optimizer.averages, optimizer.steps, own["w"]]  # noqa: E731
        return step, nothing, state

    assert alike(make, 5)


def test_a_rate_that_the_function_sets_itself():
    def make():
        layer = nn.Linear(1, 1)
        optimizer = twofold.optim.Adam(layer.parameters(), 0.1)
        steps = {"n": 0}

        def step(x):
            steps["n"] += 1
            for group in optimizer.param_groups:
                group["lr"] = 0.1 / steps["n"]
            optimizer.zero_grad()
            layer(x[:, None]).square().mean().backward()
            optimizer.step()

        state = lambda: [*layer.parameters(), steps, optimizer.param_groups[0]["lr"]]  # noqa: E731
        return step, nothing, state

    assert len(alike(make, 5).all_programs()) == 1


def test_training_flags_that_the_function_sets():
    def make():
        model = nn.Sequential(nn.Linear(1, 3), nn.Dropout(0.5))

        def step(x):
            model.train()
            a = model(x[:, None])
            model.eval()
            return a, model(x[:, None])

        return step, nothing, lambda: [m.training for m in model.modules()]

    alike(make, 4, programs=2)


def test_dataclasses_are_containers():
    @dataclasses.dataclass
    class Pair:
        a: object
        b: object

    f = twofold.compile(lambda p: Pair(p.b, p.a * 2))
    for n in (3, 1):
        made = f(Pair(twofold.ones(n), "text"))
        assert type(made) is Pair
        assert made.a == "text"
        assert made.b.tolist() == [2.0] * n
    assert len(f.all_programs()) == 1


def test_what_cannot_be_left_is_refused():
    seen = []

    def reads(x):
        seen.append(x)
        return twofold.stack(seen)

    with pytest.raises(CaptureError, match="reads a list from outside"):
        twofold.compile(reads, fullgraph=True)(twofold.ones(2))
    assert seen == []

    def changes(d):
        d["x"] = d["x"] * 2

    given = {"x": twofold.ones(2)}
    with pytest.raises(CaptureError, match="that it was given"):
        twofold.compile(changes, fullgraph=True)(given)

    cache = {}

    def remembers(x):
        cache[x.shape[0]] = x
        return x

    with pytest.raises(CaptureError, match="as a key"):
        twofold.compile(remembers, fullgraph=True)(twofold.ones(2))
    assert cache == {}


def test_copies_of_compiled_modules_have_programs_of_their_own():
    import copy

    model = twofold.compile(nn.Linear(2, 2))
    x = twofold.ones(1, 2)
    model(x)
    twin = copy.deepcopy(model)
    with twofold.no_grad():
        twin.weight.zero_()
    assert not twofold.equal(model(x), twin(x))
    assert twofold.equal(twin(x)[0], twin.bias)


# ---- lists and containers that a function fills and reads ---------------------------------------


class Remembers(twofold.nn.Module):
    """A module that keeps its activations: emptied, made anew, or read from the end."""

    def __init__(self, how):
        super().__init__()
        self.first = twofold.nn.Linear(3, 4)
        self.how = how
        self.features = []

    def forward(self, x):
        if self.how == "emptied":
            self.features.clear()
        elif self.how == "deleted":
            del self.features[:]
        elif self.how == "made anew":
            self.features = []
        self.features.append(x)
        h = self.first(x)
        self.features.append(h.detach())
        if self.how == "read":
            return h + self.features[-1].mean() + self.features[-2].sum()
        return h + len(self.features) + self.features[1].mean()


@pytest.mark.parametrize("how", ["emptied", "deleted", "made anew", "read"])
def test_a_module_keeps_its_activations(how):
    found = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        module = Remembers(how)
        run = twofold.compile(module.forward) if compiled else module.forward
        made = []
        for n in (4, 4, 2, 3, 1):
            made.append(run(twofold.ones(n, 3)).tolist())
            made.append([x.tolist() for x in module.features])
        found.append(made)
    assert found[0] == found[1]
    assert len(run.all_programs()) <= 2


def test_hooks_keep_activations_in_a_list():
    model = twofold.nn.Sequential(twofold.nn.Linear(3, 4), twofold.nn.ReLU())
    kept = []
    model[1].register_forward_hook(lambda module, given, made: kept.append(made))

    def f(x):
        kept.clear()
        return model(x).sum() + kept[0].pow(2).sum()

    compiled = twofold.compile(f)
    for n in (4, 2, 3):
        x = twofold.ones(n, 3)
        assert compiled(x).item() == f(x).item()
        assert len(kept) == 1
    assert len(compiled.all_programs()) == 1


def test_a_state_of_several_tensors_is_one_program():
    class Cell(twofold.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = twofold.nn.LSTMCell(3, 4)
            self.state = None

        def forward(self, x):
            h, c = self.cell(x, self.state)
            self.state = h.detach(), c.detach()
            return h.sum()

    found = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        module = Cell()
        run = twofold.compile(module.forward) if compiled else module.forward
        made = []
        for reset in (True, False, False, False, True, False, False):
            if reset:
                module.state = None
            made.append(run(twofold.ones(2, 3)).item())
            made.append([x.tolist() for x in module.state])
        found.append(made)
    assert found[0] == found[1]
    assert len(run.all_programs()) == 3  # the first, one that finds a state, and one after a reset


def test_a_cache_grows_from_call_to_call():
    cache = [None]

    def f(x):
        keys, values = (x, x * 2) if cache[0] is None else cache[0]
        if cache[0] is not None:
            keys, values = twofold.cat([keys, x]), twofold.cat([values, x * 2])
        cache[0] = keys, values
        return keys.sum() + values.mean()

    compiled = twofold.compile(f)
    made = [compiled(twofold.ones(n, 2)).item() for n in (3, 1, 1, 1)]
    assert [x.shape[0] for x in cache[0]] == [6, 6]
    cache[0] = None
    assert made == [f(twofold.ones(n, 2)).item() for n in (3, 1, 1, 1)]
    assert len(compiled.all_programs()) == 2


def test_attributes_are_set_whose_names_are_made():
    module = twofold.nn.Linear(3, 3)

    def f(x):
        y = module(x)
        setattr(module, "last_" + "y", y.detach())
        return y

    compiled = twofold.compile(f)
    for n in (2, 3, 4):
        y = compiled(twofold.ones(n, 3))
        assert module.last_y.tolist() == y.tolist()


class Output:
    """What a model may give back: no dataclass, no dict."""

    def __init__(self, logits, size):
        self.logits = logits
        self.size = size
        self.parts = {"twice": [logits * 2]}


def test_objects_that_a_function_makes_are_made_at_each_run():
    weight = twofold.ones(3, requires_grad=True)

    def f(x):
        return Output(x * weight, x.shape[0]), {x.shape}, {x.shape[0]}

    compiled = twofold.compile(f)
    for n in (2, 3, 4):
        made, shapes, sizes = compiled(twofold.ones(n, 3) * n)
        assert type(made) is Output and (made.size, sizes) == (n, {n})
        assert shapes == {twofold.Size((n, 3))}
        assert made.parts["twice"][0].tolist() == [[2.0 * n] * 3] * n
        made.logits.sum().backward()
    assert weight.grad.tolist() == [4.0 + 9 + 16] * 3
    assert len(compiled.all_programs()) == 3  # what is in a set tells of each size


def test_a_deque_that_is_filled_is_refused_and_left_as_it_was():
    recent = collections.deque([1, 2, 3], maxlen=3)

    def f(x):
        recent.append(x.detach())
        return x + 1

    with pytest.raises(CaptureError, match="changes recent, a deque from outside"):
        twofold.compile(f, fullgraph=True)(twofold.ones(2))
    assert list(recent) == [1, 2, 3]


MODELS = """
import twofold
import tables_for_test as tables
from tables_for_test import limits, shaped

SCALE = {"by": 1.0}
limit = limits()

def run(x):
    return shaped(x) * SCALE["by"] * tables.FACTOR + limit.most.size + limit.shift()
"""
TABLES = """
class Entry:
    def __init__(self, own):
        self.own = [own] * 50

RATE, FACTOR, CACHE = 1.0, 1.0, [Entry(i) for i in range(200)]

class Limit:
    size, own = 1.0, 0.5

    def shift(self):
        return self.own

class Limits(Limit):
    def __init__(self):
        self.most, self.cache = Limit(), CACHE

    def shift(self):
        return self.own + len(self.cache)

def rate():
    return RATE

def shaped(x):
    return x * rate() + len(CACHE)

def limits():
    return Limits()
"""


def test_installed_libraries_are_watched_where_the_code_reads_them(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "models_for_test.py").write_text(MODELS)
    (folder / "tables_for_test.py").write_text(TABLES)
    monkeypatch.syspath_prepend(str(folder))
    models = importlib.import_module("models_for_test")
    tables = models.tables
    changes = [
        lambda i: None,
        lambda i: models.SCALE.update(by=i * 1.0),
        lambda i: setattr(tables, "RATE", i * 1.0),
        lambda i: setattr(tables, "FACTOR", i * 1.0),
        lambda i: setattr(models.limit.most, "size", i * 1.0),
        lambda i: setattr(models.limit, "own", i * 1.0),
        lambda i: setattr(tables, "rate", lambda: 2.0),
    ]

    compiled = twofold.compile(models.run)
    for number, change in enumerate(changes):
        change(number + 2)
        x = twofold.arange(3) * 1.0
        same(bits(compiled(x)), bits(models.run(x)))
    assert max(len(program.fit.outside) for program in compiled.all_programs()) < 500


class Registered:
    def __init__(self, other=None):
        self.names = set() if other is None else set(other.names)
        self.uses = [] if other is None else list(other.uses)

    def with_name(self, name):
        made = Registered(self)
        made.names.add(name)
        return made


class Registry:
    def __init__(self):
        self.state = Registered()

    def look(self, name):
        self.state = self.state.with_name(name)
        return len(self.state.names)


def test_an_object_that_is_replaced_by_a_copy_of_it_makes_no_new_program():
    registry = Registry()

    @twofold.compile
    def f(x):
        return x * registry.look("a") + len(registry.state.uses)

    for _ in range(5):
        assert f(twofold.ones(2)).tolist() == [1.0, 1.0]
    assert twofold.explain(f).compiles <= 2
    registry.state.uses.append("here")
    for _ in range(3):
        assert f(twofold.ones(2)).tolist() == [2.0, 2.0]
    registry.look("b")
    assert f(twofold.ones(2)).tolist() == [3.0, 3.0]
    assert registry.state.names == {"a", "b"}


@pytest.mark.parametrize("kind", [argparse.Namespace, types.SimpleNamespace])
def test_options_in_a_namespace_are_seen(kind):
    args = kind(beta=2.0, on=True, name="a")

    def f(x):
        y = x * args.beta
        if args.on:
            y = y + 1
        return y if args.name == "a" else -y

    compiled = twofold.compile(f)
    x = twofold.ones(2)
    for change in ({}, {"beta": 5.0}, {"on": False}, {"on": True}, {"name": "b"}, {"beta": 7.0}):
        vars(args).update(change)
        assert twofold.equal(compiled(x), f(x))
    assert len(compiled.all_programs()) <= 5


Rule = Callable[[int], int]
Rows = list[int]


def test_names_of_types_are_no_objects():
    """Callable[[int], int] gives its class's attributes as its own, in no dict."""

    @twofold.compile
    def f(x):
        rule: Rule = abs
        return x * rule(-2) if Rule is not None and Rows is not None else x

    assert twofold.equal(f(twofold.ones(2)), twofold.full((2,), 2.0))


class Nervous(dict):
    """A dict whose own `get` counts."""

    def get(self, *args):
        raise AssertionError("asked")


def cell_of(*values):
    """A cell, which may be empty."""
    if values:
        value = values[0]
    return (lambda: value).__closure__[0]


def empty(cell):
    del cell.cell_contents


PLACES = {
    "an entry": (Nervous(a=[1]), "dict", "a", lambda d: d.update(a=[1])),
    "an entry that goes": ({"a": None}, "dict", "a", lambda d: d.pop("a")),
    "an entry that comes": ({}, "dict", "a", lambda d: d.update(a=None)),
    "a number": ({"a": 1.5}, "dict", "a", lambda d: d.update(a=2.5)),
    "a number of another type": ({"a": 1}, "dict", "a", lambda d: d.update(a=True)),
    "a size": ([1, 2], "size", -1, lambda x: x.append(3)),
    "an item": ([[1], [2]], "item", 1, lambda x: x.__setitem__(1, [2])),
    "a cell": (cell_of("x"), "cell", None, lambda c: setattr(c, "cell_contents", "y")),
    "a cell that is emptied": (cell_of("x"), "cell", None, empty),
    "a cell that is filled": (cell_of(), "cell", None, lambda c: setattr(c, "cell_contents", 1)),
    "a tensor": (twofold.ones(2), "values", None, lambda x: x.add_(1.0)),
}


@pytest.mark.parametrize("what", PLACES)
def test_changes_of_places_are_seen(what):
    holder, kind, key, change = PLACES[what]
    place = Place(kind, holder, key, "it")
    holds = watch([Place("dict", {"b": 1}, "b", "another"), place])
    assert holds()
    change(holder)
    assert not holds()
    assert not place.holds()


def test_equal_numbers_are_the_same_in_places():
    holder = {"a": 1000.5, "b": "xyz"}
    holds = watch([Place("dict", holder, key, key) for key in holder])
    holder |= {"a": float("1000.5"), "b": "".join(["x", "yz"])}
    assert holds()
