"""Python numbers of a program: `item()`, int, float, len, branches and loops on them, print."""

import math
from math import exp

import pytest
from twice import compare

import twofold
from twofold import nn, optim
from twofold.frontends.arrays import CaptureError

F = nn.functional


def vectors(*sizes):
    return [lambda n=n: (twofold.arange(n) * 0.3 - n % 2,) for n in sizes]


def one_program(function, *sizes):
    assert len(compare(function, vectors(*(sizes or (3, 1, 4)))).all_programs()) == 1


def test_numbers_are_given_back_and_computed_with():
    def f(x):
        total, most = x.sum().item(), x.argmax().item()
        right = (x > 0).sum().item()
        return total, most + 1, right / len(x), -total * 2 - 1.5, most % 2, total > 0, x * total

    one_program(f)


def test_arithmetic_is_that_of_python():
    def f(x):
        third = x.sum().item() / 3 + 0.1
        return third, x * third, abs(third) - 7, 10 - 3 * x.numel() // 2

    one_program(f)


def test_branches_conversions_and_indices():
    def f(x):
        if x.sum().item() > 0.5 or not bool(x.max() > 0):
            x = x * float(x[0])
        return x[int(x.argmin())], x + int(x.sum() * 10)

    one_program(f)


def test_numbers_that_loops_carry_keep_their_width():
    def f(x):
        n, scale, total = 0, 0.1, 0
        while x.sum() < 3:
            n += 1
            scale = scale / 3
            x = x + 1 + scale
        for i in range(x.shape[0]):
            total = total + x[i] * (i / 7)
        return n, scale, total, x

    one_program(f)


def test_a_range_that_a_value_ends():
    def f(x):
        before = None
        for i in range(20):
            y = x * 0.5
            if (x - y).abs().max() < 1e-3 * i:
                break
            x = y
        return x, i, before

    one_program(f)


def test_sums_that_begin_with_zero_have_gradients():
    layer = nn.Linear(1, 1)

    def f(x):
        loss = 0
        for i in range(x.shape[0]):
            loss = loss + layer(x[i].reshape(1)).square().sum()
        return twofold.autograd.grad(loss / x.shape[0], list(layer.parameters()))

    one_program(f)


def test_what_other_tensors_tell():
    seen = twofold.tensor(0)

    def f(x):
        if int(seen) == 2 or twofold.equal(x, x * 2):
            x = x + 10
        seen.add_(1)
        return x, seen.item()

    compiled = twofold.compile(f)
    found = [compiled(twofold.ones(2)) for _ in range(4)]
    assert [n for _, n in found] == [1, 2, 3, 4]
    assert [x[0].item() for x, _ in found] == [1, 1, 11, 1]
    assert len(compiled.all_programs()) == 1


# What `math` says depends on the version of Python.
DOMAIN = "math domain error|expected a (positive|nonnegative) input"


def test_prints_at_each_run(capsys):
    layer = nn.Linear(1, 1)

    def f(x):
        y = layer(x[:, None]).mean()
        print("sizes", x.shape, x.numel(), [x.sum()], sep="|")
        print(f"{y.item():.3f} of {x.shape[0]:03d} {x.sum()!r}", y)
        return y

    compiled = twofold.compile(f)
    texts = []
    for g in (f, compiled):
        for n in (3, 1, 3):
            g(twofold.ones(n))
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert len(compiled.all_programs()) == 1
    assert print is not twofold.print


def test_what_only_python_can_do_is_refused():
    for f in (
        lambda x: x * {1.0: 2.0}[x.sum().item()],
        lambda x: f"{x.sum().item()}",
    ):
        with pytest.raises(CaptureError, match="not known while"):
            twofold.compile(f, fullgraph=True)(twofold.ones(3))


def test_counters_in_loops_on_tensors_are_not_counted_once():
    counted = {"n": 0}

    def f(x):
        for i in range(x.shape[0]):
            counted["n"] += 1
            x = x * 2 + i
        return x

    compiled = twofold.compile(f)
    for n in (3, 2):
        assert twofold.equal(compiled(twofold.ones(n)), f(twofold.ones(n)))
    assert counted["n"] == 10


def test_averages_of_models():
    model = nn.Linear(2, 2)
    average = optim.swa_utils.AveragedModel(model)
    twin, plain = nn.Linear(2, 2), None
    twin.load_state_dict(model.state_dict())
    plain = optim.swa_utils.AveragedModel(twin)

    def made(model, average):
        def step(x):
            with twofold.no_grad():
                model.weight += x.mean()
            average.update_parameters(model)

        return step

    compiled, eager = twofold.compile(made(model, average)), made(twin, plain)
    for n in (2, 3, 4):
        compiled(twofold.arange(n) * 0.7)
        eager(twofold.arange(n) * 0.7)
        for a, b in zip(average.parameters(), plain.parameters(), strict=True):
            assert twofold.equal(a, b)


def test_a_norm_that_is_not_finite_is_told():
    layer = nn.Linear(1, 1)

    @twofold.compile
    def step(x):
        layer.zero_grad()
        layer(x[:, None]).sum().backward()
        return nn.utils.clip_grad_norm_(layer.parameters(), 1.0, error_if_nonfinite=True)

    step(twofold.ones(2))
    with pytest.raises(ValueError, match="not finite"):
        step(twofold.ones(2) * float("inf"))


def test_numbers_from_outside_meet_numbers_of_tensors():
    """A running sum that a module or a dict keeps, as training loops write it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stats = {"sum": 0.0, "least": 10.0}
            self.total = 0.0

        def forward(self, x):
            value = x.sum().item()
            self.total += value
            self.stats["sum"] += value
            if self.stats["least"] > value:
                self.stats["least"] = value
                return x + 1
            return x - 1

    plain, compiled = Net(), Net()
    fast = twofold.compile(compiled)
    for value in (5.0, 7.0, 3.0, 2.0, 9.0):
        x = twofold.full((2,), value)
        assert twofold.equal(fast(x), plain(x))
        assert (compiled.stats, compiled.total) == (plain.stats, plain.total)


def test_functions_of_math_and_powers_are_pythons_own():
    def f(x):
        s = x.abs().sum().item()
        k = math.ceil(s * 0.5)
        made = [math.sqrt(s), exp(-s), 2**s, s**2, round(s, 2), round(s), math.floor(s), s // 0.3]
        made += [s % 0.3, divmod(s, 0.7), math.isnan(s), math.log(s + 1, 2), (s * 2).is_integer()]
        return x * math.sqrt(s), made, x[:k]

    compiled = twofold.compile(f)
    for n in (2, 3, 5):
        x = twofold.arange(float(n)) * 0.37
        (first, numbers, part), (wanted, others, other) = compiled(x), f(x)
        assert twofold.equal(first, wanted) and twofold.equal(part, other)
        assert numbers == others and list(map(type, numbers)) == list(map(type, others))
    assert len(compiled.all_programs()) == 1
    with pytest.raises(ValueError, match=DOMAIN):
        twofold.compile(lambda x: x * math.log(x.sum().item()))(-twofold.ones(2))


def test_numbers_of_a_graph_as_a_list():
    def lists(x):
        return x.topk(2)[1].tolist(), (x[:2, None] * x[:2]).tolist(), x.argmax().tolist()

    def lengths(x, n):
        return [x[row, :length].sum() for row, length in enumerate(n.tolist())]

    compiled, by_length = twofold.compile(lists), twofold.compile(lengths)
    for n in (3, 4, 7):
        x = twofold.arange(float(n)).cos()
        assert compiled(x) == lists(x)
        rows = x.expand(2, n)
        for pair in ([1, 2], [3, 1]):
            made = by_length(rows, twofold.tensor(pair))
            assert [a.item() for a in made] == [
                a.item() for a in lengths(rows, twofold.tensor(pair))
            ]
    assert len(compiled.all_programs()) == len(by_length.all_programs()) == 1
    with pytest.raises(CaptureError, match="more than 64 elements"):
        twofold.compile(lambda x: x.view(5, 13).tolist(), fullgraph=True)(twofold.ones(65))


def test_tensors_are_made_of_numbers_that_a_run_knows():
    def f(x):
        first, up, place = x[0].item(), (x[0] > 0).item(), x.argmax().item()
        doubled = x * 2
        made = [twofold.tensor(first), twofold.tensor(up), twofold.tensor(place)]
        made += [twofold.tensor([first, up, 3]), twofold.tensor(first, dtype=twofold.float64)]
        made += [twofold.tensor([[doubled[0], 1], [2, doubled[0]]], dtype=twofold.int32)]
        made += [twofold.tensor([doubled.sum(), doubled.mean()]), twofold.Tensor([first, 2.0])]
        return made, twofold.as_tensor([first]), twofold.FloatTensor([[first], [place]])

    one_program(f)


def test_rewards_in_a_list_are_discounted_for_each_run():
    def returns(value, rewards):
        kept = []
        for reward in reversed(rewards):
            value = reward + 0.5 * value
            kept.append(value.item())
        return twofold.tensor(kept[::-1]), twofold.tensor(rewards)

    calls = [(1.0, 2.0, 4.0), (0.1, 0.2, 0.3)]
    compiled = compare(returns, [lambda r=r: (twofold.ones(1), list(r)) for r in calls])
    assert len(compiled.all_programs()) == 1


def test_older_constructors_take_sizes_of_arguments():
    def f(x):
        n = x.shape[0]
        x = (
            twofold.FloatTensor(n, 1).fill_(1.0)
            + x.new(n, 1).zero_()
            + twofold.Tensor(n, 1).zero_()
        )
        return x, twofold.Tensor(n).zero_(), twofold.LongTensor(n).zero_(), x.new(x.size())

    one_program(f)


def test_older_constructors_give_fresh_memory_at_each_run():
    @twofold.compile
    def f(x):
        made = twofold.Tensor(2, 3)
        made[0] = x
        return made

    first = f(twofold.ones(3))
    second = f(twofold.full((3,), 2.0))
    assert first.tolist() == [[1.0] * 3, [0.0] * 3]
    assert second.tolist() == [[2.0] * 3, [0.0] * 3]


def test_a_division_by_zero_that_nobody_reads_raises_as_eagerly():
    def f(x, y):
        x // y
        return x + 1

    x, zero = twofold.tensor([1, 2]), twofold.tensor([1, 0])
    compiled = twofold.compile(f)
    assert compiled(x, x).tolist() == [2, 3]
    for g in (f, compiled):
        with pytest.raises(ZeroDivisionError, match="a whole number is divided by 0"):
            g(x, zero)


def rate_of(it):
    if it < 3:
        return 6e-4 * (it + 1) / 4
    return 6e-5 + 0.5 * (1.0 + math.cos(math.pi * (it - 3) / 30)) * 5e-4


def test_a_rate_by_functions_of_math_makes_one_program_for_each_branch():
    def trained(compiled):
        twofold.manual_seed(0)
        model = twofold.nn.Linear(4, 4)
        optimizer = twofold.optim.AdamW(model.parameters(), lr=1e-3)
        state = {"it": 0}

        def step(x):
            rate = rate_of(state["it"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            state["it"] += 1
            return loss

        run = twofold.compile(step) if compiled else step
        made = [run(twofold.ones(2, 4)).item() for _ in range(9)]
        made += [optimizer.param_groups[0]["lr"], model.weight.tolist()]
        return made, run

    plain, _ = trained(False)
    made, run = trained(True)
    assert made == plain
    assert twofold.explain(run).compiles <= 3


def test_functions_of_math_of_a_number_that_is_given():
    @twofold.compile
    def f(x, n):
        return x * math.sqrt(n), math.log(n, 3) + float(n), math.atan2(n, 2)

    for n in (2, 3, 7, 11):
        root, log, angle = f(twofold.ones(2), n)
        assert root.tolist() == [twofold.tensor(math.sqrt(n)).item()] * 2
        assert (log, angle) == (math.log(n, 3) + float(n), math.atan2(n, 2))
    assert twofold.explain(f).compiles == 1
    with pytest.raises(ValueError, match=DOMAIN):
        f(twofold.ones(2), -1)


PARTS = {
    "split": lambda x, n: [part.sum(0) for part in x.split(n.tolist())],
    "narrow": lambda x, n: x.narrow(0, n[0].item(), n[1].item()),
    "chunk": lambda x, n: [part.sum(0) for part in x.chunk(n[0].item())],
    "tensor_split": lambda x, n: [part.sum(0) for part in x.tensor_split(n[0].item())],
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_sizes_that_a_run_knows(name):
    compiled = twofold.compile(PARTS[name])
    x = twofold.arange(36.0).view(12, 3)
    for sizes in ([2, 3, 7], [4, 4, 4], [1, 5, 6]):
        n = twofold.tensor(sizes)
        found, wanted = compiled(x, n), PARTS[name](x, n)
        assert str(found) == str(wanted)
    assert twofold.explain(compiled).compiles == (1 if name in ("split", "narrow") else 3)


def test_experts_take_as_many_rows_as_they_are_given():
    """A mixture of experts that sorts rows by expert (Shazeer et al. 2017): it took minutes."""
    twofold.manual_seed(0)
    experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def mix(x, logits):
        gates = logits.softmax(1) * (logits > 0)
        where, order = gates.nonzero().sort(0)
        rows = gates.nonzero()[order[:, 1], 0]
        parts = x[rows].split((gates > 0).sum(0).tolist())
        made = twofold.cat([expert(part) for expert, part in zip(experts, parts, strict=True)])
        weights = gates[rows].gather(1, where[:, 1:])
        return twofold.zeros_like(x).index_add(0, rows, made * weights)

    compiled = twofold.compile(mix)
    for n in (6, 9):
        x, logits = twofold.randn(n, 4), twofold.randn(n, 3)
        assert twofold.equal(compiled(x, logits), mix(x, logits))
    assert twofold.explain(compiled).compiles == 1


def test_a_text_that_a_template_makes_is_for_python():
    state = {"loss": 0.0}

    def step(x):
        state["loss"] = x.sum().item()
        return "{loss:.2f} after {loss}".format(**state)

    compiled = twofold.compile(step)
    for number in (1.0, 2.0):
        x = twofold.full((2,), number)
        assert compiled(x) == step(x)
    with pytest.raises(RuntimeError, match="Python wants this float"):
        twofold.compile(step, fullgraph=True)(x)
