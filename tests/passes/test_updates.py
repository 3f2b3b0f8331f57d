"""Updates in parts: each moves up to its gradients, reads what it should, and keeps every bit."""

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.base.flags import flags
from twofold.passes import updates
from twofold.passes.manager import PIPELINE

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "lion": lambda p: optim.Lion(p, lr=0.01),
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(updates, "PART", 40)


def train(run, optimizer, clip=None, shown=None):
    """Losses and weights of some steps."""
    twofold.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 10), nn.ReLU())
    model.append(nn.Linear(10, 4))
    opt = optimizer(model.parameters())

    def step(x, y):
        old = model[0].weight.detach() * 2.0
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        opt.step()
        opt.zero_grad()
        return loss, old, model[0].weight.detach() + old

    step = run(step)
    made = [step(twofold.randn(n, 6), twofold.randint(0, 4, (n,))) for n in (5, 3, 5)]
    if shown is not None:
        shown.append(step)
    made = [t.detach() for one in made for t in one] + [p.detach() for p in model.parameters()]
    return [t.numpy().tobytes() for t in made]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_training_step_keeps_its_bits(name, clip):
    shown = []
    with flags.override(check=2):
        made = train(twofold.compile, OPTIMIZERS[name], clip, shown)
    assert made == train(lambda f: f, OPTIMIZERS[name], clip)
    calls = [call.op.name for call in shown[0].all_programs()[-1].graph.calls]
    assert calls.count("update") > 1
    if clip is None:
        # the last layer's weights are new before the first layer's gradient is made
        assert calls.index("update") < max(i for i, c in enumerate(calls) if c == "matmul")


def test_small_updates_stay_whole(monkeypatch):
    monkeypatch.setattr(updates, "PART", 1 << 18)
    shown = []
    train(twofold.compile, OPTIMIZERS["adam"], shown=shown)
    calls = [call.op.name for call in shown[0].all_programs()[-1].graph.calls]
    assert calls.count("update") == 1


def test_gradients_are_not_all_alive_at_once(monkeypatch):
    monkeypatch.setattr(updates, "PART", 1 << 18)

    def peak(passes):
        model = nn.Sequential(*(nn.Linear(600, 600) for _ in range(6)))
        opt = optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            model(x).sum().backward()
            opt.step()
            opt.zero_grad()

        return int(twofold.compile(step, passes=passes).memory(twofold.randn(2, 600)))

    gradient = 600 * 600 * 4
    assert peak([p for p in PIPELINE if p.name != "updates"]) > 6 * gradient
    assert peak(PIPELINE) < 2 * gradient


def test_nothing_is_written_before_what_may_raise():
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 10))
    opt = optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        loss = model(x).sum()
        loss.backward()
        twofold.callback(print, loss)
        opt.step()
        opt.zero_grad()

    graph = twofold.compile(step).graph(twofold.randn(2, 6))
    calls = [call.op.name for call in graph.calls]
    assert calls.count("update") > 1 and calls.index("callback") < calls.index("update")


def test_a_step_in_parts(golden):
    shown = []
    train(twofold.compile, OPTIMIZERS["sgd"], shown=shown)
    golden("graphs/updates", str(shown[0].all_programs()[-1].graph))
