"""Attributes that a forward sets: one program where it sets them before it reads them."""

import pytest

import twofold
from twofold import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)


class SetsNew(Base):
    def forward(self, x):
        self.kept = self.linear(x).softmax(-1)
        return self.kept * 2


class SetsNone(Base):
    def __init__(self):
        super().__init__()
        self.kept = None
        self.other = None

    def forward(self, x):
        self.kept = self.linear(x).softmax(-1)
        return self.kept * 2


class SetsList(Base):
    def forward(self, x):
        self.kept = [self.linear(x).sum(), x.sum()]
        return self.kept[0] * self.kept[1]


class SetsInLoop(SetsNone):
    def forward(self, x):
        for row in x:
            self.kept = self.linear(row)
        return self.kept.sum()


class Delegates(SetsNone):
    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("linear"), name)


class ReadsNone(SetsNone):
    def forward(self, x):
        if self.kept is None:
            self.kept = twofold.zeros(3)
        self.kept = self.kept + self.linear(x).sum(0)
        return self.kept * 1


class AsksHas(Base):
    def forward(self, x):
        first = not hasattr(self, "kept")
        self.kept = self.linear(x).sum(0)
        return self.kept * (2 if first else 3)


class AsksGet(Base):
    def forward(self, x):
        before = getattr(self, "kept", None)
        self.kept = self.linear(x).sum(0)
        return self.kept if before is None else self.kept + before


class OfClass(Base):
    kept = None

    def forward(self, x):
        scale = 2 if self.kept is None else 3
        self.kept = self.linear(x).sum(0)
        return self.kept * scale


class LooksInside(SetsNone):
    def forward(self, x):
        scale = 2 if vars(self)["kept"] is None else 3
        self.kept = self.linear(x).sum(0)
        return self.kept * scale


class ReadsInLoop(SetsNone):
    def forward(self, x):
        for row in x:
            now = self.linear(row)
            self.kept = now if self.kept is None else self.kept + now
        return self.kept.sum()


ONE = [SetsNew, SetsNone, SetsList]
MORE = [ReadsNone, AsksHas, AsksGet, OfClass, LooksInside, ReadsInLoop, SetsInLoop, Delegates]


def run(make, compiled):
    twofold.manual_seed(1)
    module = make()
    step = twofold.compile(lambda x: module(x)) if compiled else module
    found = []
    for n in (2, 2, 3, 5):
        x = twofold.randn(n, 3)
        found += [step(x).tolist(), str(module.kept)]
        module.linear.weight.grad = None
    return found, step


@pytest.mark.parametrize("make", [*ONE, *MORE], ids=lambda kind: kind.__name__)
def test_attributes_are_those_of_eager(make):
    with twofold.no_grad():
        (eager, _), (made, step) = run(make, False), run(make, True)
    assert made == eager
    if make in ONE:
        assert twofold.explain(step).compiles == 1


def test_what_a_capture_hides_is_there_again():
    class Fails(SetsNone):
        def forward(self, x):
            assert self.other is None
            self.kept = x
            raise RuntimeError("on the way")

    module = Fails()
    with pytest.raises(RuntimeError, match="on the way"):
        twofold.compile(lambda x: module(x), fullgraph=True)(twofold.ones(2, 3))
    assert module.kept is None
    assert module.other is None
    assert vars(module)["kept"] is None


def test_a_penalty_that_layers_leave_for_the_step():
    class Layer(Base):
        def forward(self, x):
            self.penalty = self.linear.weight.square().sum()
            return self.linear(x)

    def train(compiled):
        twofold.manual_seed(2)
        net = nn.Sequential(Layer(), Layer())
        rate = twofold.optim.SGD(net.parameters(), 0.1)

        def step(x):
            loss = net(x).square().mean()
            loss = loss + sum(m.penalty for m in net.modules() if hasattr(m, "penalty"))
            rate.zero_grad()
            loss.backward()
            rate.step()
            return loss

        used = twofold.compile(step) if compiled else step
        return [used(twofold.randn(n, 3)).item() for n in (4, 4, 6)], used

    (eager, _), (made, step) = train(False), train(True)
    assert made == eager
    assert twofold.explain(step).compiles == 1
