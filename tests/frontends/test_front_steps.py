"""Compiled calls in machine code that leave gradients, nodes and new weights behind."""

import gc
import sys
import threading

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.base.errors import GradientError
from twofold.codegen.native import core
from twofold.exec import tensors
from twofold.frontends.noted import Host
from twofold.frontends.program import Program

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)


@pytest.fixture(autouse=True)
def tier():
    tensors.install()


@pytest.fixture
def python(monkeypatch):
    """How often Python ran a program."""
    calls = []
    call = Program.__call__

    def counted(self, leaves):
        calls.append(self)
        return call(self, leaves)

    monkeypatch.setattr(Program, "__call__", counted)
    return calls


def bits(x):
    return x.detach().numpy().tobytes()


def leaf(*shape):
    return twofold.randn(*shape, requires_grad=True)


def warmed(f, *args):
    compiled = twofold.compile(f)
    for _ in range(3):
        compiled(*args)
    return compiled


class Trained:
    """A small network with dropout, and its step."""

    def __init__(self, optimizer=optim.Adam):
        twofold.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))
        self.optimizer = optimizer(self.model.parameters(), lr=0.05)
        self.schedule = optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss

    def state(self):
        tensors_ = [*self.model.parameters(), *(p.grad for p in self.model.parameters())]
        return [bits(p) for p in tensors_], self.schedule.get_last_lr()


def batches():
    twofold.manual_seed(1)
    return [(twofold.randn(n, 5), twofold.randint(0, 3, (n,))) for n in (4, 4, 4, 4, 7, 7, 4, 7)]


def test_a_training_step_stays_in_machine_code(python):
    seen = []
    for compiled in (False, True):
        trained = Trained()
        data = batches()
        step = twofold.compile(lambda x, y, t=trained: t.step(x, y)) if compiled else trained.step
        twofold.manual_seed(2)
        losses = [bits(step(x, y)) for x, y in data]
        seen.append((losses, trained.state()))
    assert seen[0] == seen[1]
    assert len(python) <= 4  # the first for each size, and the one that follows it


def test_versions_are_counted(python):
    trained = Trained(optim.SGD)
    (x, y), weight = batches()[0], trained.model[0].weight
    step = warmed(trained.step, x, y)
    before, ran = weight.version, len(python)
    kept = (weight * weight).sum()
    step(x, y)
    assert (weight.version, len(python)) == (before + 1, ran)
    with pytest.raises(GradientError, match="overwritten in place"):
        kept.backward()


def test_the_loss_of_a_step_cannot_be_walked_again(python):
    trained = Trained()
    x, y = batches()[0]
    step = warmed(trained.step, x, y)
    before = len(python)
    loss = step(x, y)
    assert loss.requires_grad
    assert len(python) == before
    with pytest.raises(GradientError, match="walked before"):
        loss.backward()


def test_a_label_out_of_range_raises_and_gradients_stay(python):
    trained = Trained()
    x, y = batches()[0]
    step = warmed(trained.step, x, y)
    grads, before = [p.grad for p in trained.model.parameters()], len(python)
    with pytest.raises(IndexError, match="label 9"):
        step(x, twofold.full_like(y, 9))
    assert all(p.grad is g for p, g in zip(trained.model.parameters(), grads, strict=True))
    step(x, y)
    assert len(python) == before


def test_what_python_raises_before_the_run_is_raised(python):
    trained = Trained()
    x, y = batches()[0]
    step = warmed(trained.step, x, y)
    program = step.all_programs()[-1]
    hosts, before = list(program.hosts), len(python)

    def refuse():
        raise RuntimeError("no numbers today")

    program.hosts[0] = Host(refuse, "numbers")
    with pytest.raises(RuntimeError, match="no numbers today"):
        step(x, y)
    program.hosts[:] = hosts
    step(x, y)
    assert len(python) == before


def test_no_plan_after_the_hosts_have_run(python):
    trained, other = Trained(), Trained()
    x, y = batches()[0]
    twofold.manual_seed(3)
    for _ in range(4):
        other.step(x, y)
    twofold.manual_seed(3)
    step = warmed(trained.step, x, y)
    program, threads = step.all_programs()[-1], twofold.get_num_threads()
    first, before = program.hosts[0], len(python)

    def exchanged():
        twofold.set_num_threads(3 - min(threads, 2))
        return first.run()

    program.hosts[0] = Host(exchanged, first.what)
    try:
        step(x, y)
    finally:
        twofold.set_num_threads(threads)
    assert len(python) == before
    assert trained.state() == other.state()


def test_gradients_of_arguments_and_of_tensors_outside(python):
    w, x = leaf(3), leaf(3)
    plain = twofold.tensor(w.tolist(), requires_grad=True)
    step = warmed(lambda x: (x * w * w).sum().backward(), x)
    for _ in range(3):
        (x.detach() * plain * plain).sum().backward()
    assert bits(w.grad) == bits(plain.grad)
    before = len(python)
    for _ in range(3):
        step(x)
        (x.detach() * plain * plain).sum().backward()
    assert bits(w.grad) == bits(plain.grad)
    assert len(python) == before
    x.grad = None
    step(x)
    assert bits(x.grad) == bits((w * w).detach())
    assert step(x) is None


def test_backward_inside_does_not_stop_at_an_argument_with_a_history():
    w = leaf(3)
    step = warmed(lambda x: (x * x).sum().backward(), leaf(3))
    step(w * 2)  # as Python, which alone goes on behind it
    assert bits(w.grad) == bits(8 * w.detach())
    w.grad = None
    f = twofold.compile(lambda x: (x * x).sum())
    f(w * 2).backward()
    assert bits(w.grad) == bits(8 * w.detach())


def test_a_result_that_is_differentiated_outside(python):
    w, x = leaf(4), leaf(4)
    f = warmed(lambda x: ((x * w).exp(), x.detach() * 2, None, x), x)
    before = len(python)
    y, double, none, same = f(x)
    assert len(python) == before
    assert (none, same is x, double.requires_grad) == (None, True, False)
    assert bits(double) == bits(x.detach() * 2)
    seed = twofold.randn(4)
    found = twofold.autograd.grad(y, (x, w), seed)
    wanted = twofold.autograd.grad((x * w).exp(), (x, w), seed)
    assert list(map(bits, found)) == list(map(bits, wanted))


def test_histories_go_on_before_and_after(python):
    x = leaf(4)
    f = warmed(lambda x: (x * x).sum(), x * 2)
    before = len(python)
    (f(x * 2) * 3).backward()
    assert bits(x.grad) == bits(24 * x.detach())
    assert len(python) == before
    with twofold.no_grad():
        x.mul_(2)
    y = f(x * 2)
    assert y.grad_fn.name() == "<lambda>Backward0"
    (first,) = twofold.autograd.grad(y, x, create_graph=True)
    (second,) = twofold.autograd.grad(first.sum(), x)
    assert second.tolist() == [8.0] * 4


def test_what_a_result_needs_is_not_to_be_overwritten(python):
    x = leaf(4)
    f = warmed(lambda x: (x * x).sum(), x)
    before = len(python)
    y = f(x)
    with twofold.no_grad():
        x.mul_(2)
    with pytest.raises(GradientError, match="overwritten in place"):
        y.backward()
    assert len(python) == before


def test_a_node_is_walked_once(python):
    x = leaf(4)
    f = warmed(lambda x: (x * x).sum(), x)
    y = f(x)
    y.backward()
    with pytest.raises(GradientError, match="walked before"):
        y.backward()


def test_leaves_that_do_not_require_a_gradient_any_more():
    w, x = leaf(4), twofold.ones(4)
    f = warmed(lambda x: (x * w).sum(), x)
    assert f(x).requires_grad
    w.requires_grad_(False)
    assert not f(x).requires_grad
    w.requires_grad_(True)
    f(x).backward()
    assert w.grad.tolist() == [1.0] * 4


def test_no_object_is_lost():
    trained = Trained()
    x, y = batches()[0]
    w, z = leaf(4), leaf(4)
    step = warmed(trained.step, x, y)
    f = warmed(lambda z: ((z * w).sum(), z + 1), z)
    g = warmed(lambda z: (z * w).sum().backward(), z)
    h = warmed(lambda z: (z * w).sum(), z)
    weight, program = trained.model[0].weight, step.all_programs()[-1]

    def turn():
        step(x, y)
        f(z)[0].backward()
        f(z)
        g(z)
        h(z).backward()
        with pytest.raises(IndexError):
            step(x, y + 5)

    turn()
    lasts = [made.all_programs()[-1] for made in (f, g, h)]
    kept = [x, y, z, w, x.array, z.array, w.array, weight, weight.array, program, *lasts]
    kept += [lasts[0].derivative.op, lasts[2].derivative.op, trained.optimizer.state[weight]]
    kept += [step.front, g.front, h.front]
    assert all(thing is not None for thing in kept)  # whose references all of Python changes
    gc.collect()
    before = [sys.getrefcount(thing) for thing in kept]
    alive = len(gc.get_objects())
    for _ in range(200):
        turn()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in kept] == before
    assert len(gc.get_objects()) < alive + 100


def test_threads_may_drop_the_program_that_runs():
    x, wrong = leaf(1 << 18), []
    f = warmed(lambda a: a.exp() * a, x)
    (wanted,) = twofold.autograd.grad(f(x).sum(), x)

    def call():
        for _ in range(20):
            (found,) = twofold.autograd.grad(f(x).sum(), x)
            if bits(found) != bits(wanted):
                wrong.append(1)

    running = [threading.Thread(target=call) for _ in range(2)]
    for thread in running:
        thread.start()
    for n in range(3, 40):
        f(twofold.ones(n, 2))  # another program's front takes the slot
    for thread in running:
        thread.join()
    assert not wrong


def test_inputs_that_nobody_differentiates_by_stay_in_machine_code(python):
    layer, still, x = nn.Linear(5, 3), twofold.randn(3), twofold.randn(4, 5)
    f = warmed(lambda x: layer(x).exp() * still, x)
    before = len(python)
    result = f(x)
    assert len(python) == before
    result.sum().backward()
    found, layer.weight.grad = layer.weight.grad, None
    (layer(x).exp() * still).sum().backward()
    assert bits(found) == bits(layer.weight.grad)

    kept = f(x)
    x.add_(1.0)
    with pytest.raises(GradientError, match="overwritten in place"):
        kept.sum().backward()

    still.requires_grad_()  # no longer as the program had it
    for _ in range(4):
        still.grad = None
        f(x).sum().backward()
        found, still.grad = still.grad, None
        (layer(x).exp() * still).sum().backward()
        assert bits(found) == bits(still.grad)


def test_a_step_that_left_some_out_is_seen():
    found = []
    for compiled in (True, False):
        a, b = nn.Parameter(twofold.ones(3)), nn.Parameter(twofold.ones(3))
        optimizer = twofold.optim.Adam([a, b], lr=0.1)

        def step(x, a=a, b=b, optimizer=optimizer):
            optimizer.zero_grad()
            ((a * x).sum() + (b * b * x).sum()).backward()
            optimizer.step()
            return (a + b).sum().detach()

        run, x = twofold.compile(step) if compiled else step, twofold.tensor([1.0, 2.0, -1.0])
        made = [run(x).item() for _ in range(4)]
        a.grad = b.grad = None
        (a * x).sum().backward()
        optimizer.step()  # of a alone
        made += [run(x).item() for _ in range(4)]
        found.append((made, a.tolist(), b.tolist()))
    assert found[0] == found[1]
