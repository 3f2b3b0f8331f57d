"""compile(f, freeze=True): what is made of weights alone is kept, until they are written."""

import copy
import subprocess
import sys
import threading

import numpy as np
import pytest

import twofold
from twofold import nn, optim
from twofold.base.symbols import Table
from twofold.exec import frozen as store_module
from twofold.frontends.frozen import Frozen
from twofold.frontends.noted import Source
from twofold.ir.graph import Graph, Input, Value


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 7, 2, 3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 64, 3, padding=1),
            nn.Conv2d(64, 64, 3, stride=2, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(64, 32, 1),
        )
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture
def net() -> Net:
    twofold.manual_seed(3)
    made = Net().eval()
    for x in made.parameters():
        x.requires_grad_(False)
    return made


def image(batch: int, size: int = 20) -> twofold.Tensor:
    return twofold.randn(batch, 3, size, size, generator=twofold.Generator().manual_seed(batch))


def kept(frozen) -> int:
    """The steps that run before."""
    programs = getattr(frozen, "forward", frozen).all_programs()
    return sum(len(p.runner.store.steps) for p in programs if p.runner.store is not None)


def equal(a, b) -> bool:
    return bool((a == b).all())


def test_the_scale_of_a_norm_is_kept_and_made_anew_after_a_write() -> None:
    layers = nn.Sequential(nn.Conv2d(8, 32, 3, bias=False), nn.BatchNorm2d(32)).eval()
    frozen, x = twofold.compile(layers, freeze=True), twofold.randn(1, 8, 20, 20)
    with twofold.no_grad():
        assert equal(frozen(x), layers(x))
        assert kept(frozen) == 2  # the filters as panels, weight / sqrt(var + eps)
        layers[1].running_var.mul_(3.0)
        layers[1].weight.mul_(0.5)
        assert equal(frozen(x), layers(x))


@pytest.mark.parametrize("fast_math", [False, True])
def test_results_are_those_without(net: Net, fast_math: bool) -> None:
    plain = twofold.compile(net, fast_math=fast_math)
    frozen = twofold.compile(net, fast_math=fast_math, freeze=True)
    for batch, size in [(1, 20), (3, 20), (1, 9), (8, 33), (1, 20)]:
        x = image(batch, size)
        if fast_math:  # other filters may be worth transforming
            assert twofold.allclose(plain(x), frozen(x), atol=1e-5)
        else:
            assert equal(plain(x), frozen(x)) and equal(net(x), frozen(x))
    assert kept(frozen) > 0


def test_what_is_kept_is_not_made_again(net: Net) -> None:
    """What NumPy writes behind the program's back is not seen: that is what `freeze` promises."""
    frozen, x, memory = twofold.compile(net, freeze=True), image(2), net.body[3].weight.numpy()
    before = frozen(x)
    memory[...] = 0.0
    assert equal(frozen(x), before)
    net.body[3].weight.mul_(1.0)  # a write that is told
    assert equal(frozen(x), net(x)) and not equal(frozen(x), before)


@pytest.mark.parametrize("dtype", [twofold.bfloat16, twofold.float16])
def test_halves_are_widened_once(net: Net, dtype: twofold.dtype) -> None:
    half = net.to(dtype)
    frozen = twofold.compile(half, freeze=True)
    for batch in (1, 4):
        x = image(batch).to(dtype)
        assert equal(frozen(x), half(x))
    half.head.weight.mul_(0.5)
    half.body[3].weight.mul_(0.5)
    assert equal(frozen(x), half(x))
    assert kept(frozen) >= 5  # a step for each product's weights, at least
    dense = twofold.compile(half.head, freeze=True)
    dense(twofold.ones(2, 32, dtype=dtype))
    assert kept(dense) == 1


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("inner, outer", [(1, 300), (70, 17), (800, 331), (900, 64)])
def test_weights_of_products_are_packed_once(
    threads: int, kind: str, inner: int, outer: int
) -> None:
    """For so many rows as need it; all sizes share what is kept, whatever is left in a panel."""
    dtype = getattr(twofold, kind)
    twofold.manual_seed(6)
    stored = twofold.randn(outer, inner, dtype=dtype), twofold.randn(inner, outer, dtype=dtype)
    bias = twofold.randn(outer, dtype=dtype)

    def both(x):
        return nn.functional.linear(x, stored[0], bias), x @ stored[1]

    before = twofold.get_num_threads()
    twofold.set_num_threads(threads)
    try:
        frozen = twofold.compile(both, freeze=True)
        for rows in (1, 2, 5, 66, 130, 257):
            x = twofold.randn(rows, inner, dtype=dtype)
            for made, right in zip(frozen(x), both(x), strict=True):
                assert equal(made, right)
    finally:
        twofold.set_num_threads(before)
    if inner >= 800:
        assert kept(frozen) == 2


def test_weights_are_kept_before_anything_else_takes_memory() -> None:
    """In a process that has made no tensor's memory so far."""
    code = """
import numpy as np, twofold
w = twofold.from_numpy(np.full((64, 900), 0.5, np.float32))
x = twofold.from_numpy(np.ones((70, 900), np.float32))
with twofold.no_grad():
    y = twofold.compile(lambda x: twofold.nn.functional.linear(x, w), freeze=True)(x)
assert np.all(np.asarray(y) == 450.0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


WRITES = {
    "in place": lambda net: net.body[3].weight.mul_(0.5),
    "a part of it": lambda net: net.body[3].weight[1].fill_(2.0),
    "a view made before": lambda net: net.view_of_it.fill_(3.0),
    "data": lambda net: setattr(net.body[3].weight, "data", twofold.ones(64, 16, 3, 3)),
    "in place through data": lambda net: net.body[3].weight.data.add_(1.0),
    "load_state_dict": lambda net: net.load_state_dict(
        {name: x * 0.25 for name, x in net.state_dict().items()}
    ),
    "in place through NumPy": lambda net: net.body[3].weight.numpy().fill(1.0),
    "copy_": lambda net: net.body[6].weight.copy_(twofold.ones(32, 64, 1, 1)),
    "another parameter": lambda net: setattr(
        net.body[3], "weight", nn.Parameter(twofold.ones(64, 16, 3, 3), requires_grad=False)
    ),
    "a buffer": lambda net: net.body[1].running_mean.add_(1.0),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_are_seen_at_the_next_call(net: Net, name: str) -> None:
    frozen = twofold.compile(net, freeze=True)
    object.__setattr__(net, "view_of_it", net.body[3].weight[3:5])
    before = [frozen(image(n)) for n in (1, 4)]
    WRITES[name](net)
    for n, old in zip((1, 4), before, strict=True):
        assert equal(frozen(image(n)), net(image(n)))
        assert not equal(frozen(image(n)), old)


@pytest.mark.parametrize("compiled", [False, True])
def test_training_beside_it_is_seen(compiled: bool) -> None:
    twofold.manual_seed(4)
    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        opt.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        opt.step()
        return loss

    if compiled:
        step = twofold.compile(step)
    frozen = twofold.compile(net, freeze=True)
    seen = []
    for turn in range(6):
        net.train()
        step(image(turn + 1))
        net.eval()
        with twofold.no_grad():
            seen.append(frozen(image(1)))
            assert equal(seen[-1], net(image(1)))
    assert not equal(seen[0], seen[-1])


def test_a_function_that_writes_its_weights_freezes_none_of_them() -> None:
    def run(freeze: bool):
        twofold.manual_seed(5)
        net = Net()
        opt = optim.Adam(net.parameters(), lr=0.01)

        @twofold.compile(freeze=freeze)
        def step(x):
            opt.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            opt.step()
            return loss

        losses = [step(image(3)).item() for _ in range(4)]
        assert step.all_programs()[0].runner.store is None  # whether or not it was asked for
        return losses, net.state_dict()

    (plain, weights), (frozen, others) = run(False), run(True)
    assert plain == frozen
    assert all(equal(weights[name], others[name]) for name in weights)


def test_whole_operations_on_weights_are_made_before() -> None:
    whole = twofold.randint(-127, 127, (64, 32), dtype=twofold.int8)
    scale = twofold.rand(64, 1)

    @twofold.compile(freeze=True)
    def dense(x):
        weight = (whole.to(twofold.float32) * scale).softmax(0)
        return x @ weight.t()

    x = twofold.randn(5, 32)
    plain = x @ (whole.to(twofold.float32) * scale).softmax(0).t()
    assert equal(dense(x), plain) and equal(dense(x), plain)
    program = dense.all_programs()[0]
    assert len(program.runner.store.steps) == 3  # the last packs them
    scale.mul_(2.0)
    assert equal(dense(x), x @ (whole.to(twofold.float32) * scale).softmax(0).t())


def test_weights_in_a_branch_or_a_loop(net: Net) -> None:
    conv = net.body[3]

    def choose(x, n):
        if x.sum() > 0:
            x = conv(x)[:, :16]
        for _ in range(n):
            x = x * conv.weight.mean()
        return x

    frozen = twofold.compile(choose, freeze=True)
    for sign in (1.0, -1.0):
        for turns in (0, 3):
            x = twofold.full((1, 16, 9, 9), sign)
            assert equal(frozen(x, turns), choose(x, turns))
    conv.weight.mul_(2.0)
    x = twofold.ones(1, 16, 9, 9)
    assert equal(frozen(x, 2), choose(x, 2))


def test_gradients_by_the_input(net: Net) -> None:
    frozen = twofold.compile(net, freeze=True)
    x, y = image(2).requires_grad_(), image(2).requires_grad_()
    frozen(x).sum().backward()
    net(y).sum().backward()
    assert equal(x.grad, y.grad)


def test_many_sizes_keep_a_bounded_amount(net: Net) -> None:
    frozen = twofold.compile(net, freeze=True)
    for size in range(8, 60):
        assert equal(frozen(image(1, size)), net(image(1, size)))
    store = frozen.forward.all_programs()[0].runner.store
    arrays = sum(x.array.nbytes for x in (*net.parameters(), *net.buffers()))
    assert store.bytes <= 10 * arrays


def test_sizes_beyond_the_bound_pack_at_every_call(net: Net, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "MOST_BYTES", 0)
    frozen = twofold.compile(net, freeze=True)
    for size in (20, 21):
        assert equal(frozen(image(1, size)), net(image(1, size)))
    first, second = frozen.forward.all_programs()[0].runner.planned.values()
    assert len(second.plan.steps) > len(first.plan.steps)  # those that pack are among them


def test_several_threads_at_once(net: Net) -> None:
    frozen, wrong = twofold.compile(net, freeze=True), []
    expected = {n: net(image(n)) for n in range(1, 5)}

    def work() -> None:
        for _ in range(5):
            for n, right in expected.items():
                if not equal(frozen(image(n)), right):
                    wrong.append(n)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_are_frozen_too(net: Net) -> None:
    frozen = twofold.compile(net, freeze=True)
    other = copy.deepcopy(frozen)
    assert equal(other(image(1)), net(image(1)))
    assert kept(other) > 0
    for x in other.parameters():
        x.mul_(0.0)
    assert equal(other(image(1)), np.zeros((1, 5), np.float32))
    assert equal(frozen(image(1)), net(image(1)))


def test_explain_tells_what_is_kept(net: Net) -> None:
    frozen = twofold.compile(net, freeze=True)
    frozen(image(1))
    told = twofold.explain(frozen)
    assert told.frozen_bytes > 0
    assert f"{told.frozen_bytes} bytes made of frozen tensors" in str(told)


def test_what_is_kept_is_not_made_anew_while_another_run_reads_it() -> None:
    weight = twofold.ones(2)
    given = Input(Value((2,), twofold.float32), "state", "weight")
    frozen = Frozen(Graph("f", (given,), (), (), (), Table()), [Source("state", weight)])
    inside, leave, order = threading.Event(), threading.Event(), []

    def reads() -> None:
        with frozen.settled([weight.array], lambda _: order.append("made")):
            inside.set()
            leave.wait(10)
            order.append("read")

    def writes() -> None:
        with frozen.settled([weight.array], lambda _: order.append("made")):
            order.append("read")

    first, second = threading.Thread(target=reads), threading.Thread(target=writes)
    first.start()
    assert inside.wait(10)
    weight.mul_(2.0)
    second.start()
    second.join(0.2)
    assert order == ["made"]
    leave.set()
    first.join()
    second.join()
    assert order == ["made", "read", "made", "read"]
