"""Memory that a compiled function shares with others: arguments, their views, what it writes."""

import pytest
from twice import bits

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, IndexRangeError
from twofold.exec import tensors


def trained(model, compiled=True, rate=0.1):
    """A step that looks up one batch, updates, and looks up another; and everything it changes."""
    opt = twofold.optim.Adam(model.parameters(), lr=rate)
    rates = twofold.optim.lr_scheduler
    inner = rates.ExponentialLR(opt, 0.5)
    schedule = rates.ChainedScheduler([inner, rates.ConstantLR(opt, 0.5, 2)])
    norm = nn.BatchNorm1d(3)

    def step(first, second, drop):
        opt.zero_grad()
        rows = nn.functional.dropout(norm(model(first)), 0.5) * drop
        (rows.square().sum() + model.weight.sum()).backward()
        opt.step()
        schedule.step()
        return model(second).detach().sum()

    def everything():
        kept = [*model.parameters(), *norm.buffers()]
        for state in opt.state.values():
            kept += [twofold.as_tensor(x) for _, x in sorted(state.items())]
        numbers = (inner.last_epoch, opt.param_groups[0]["lr"], twofold.get_rng_state().tolist())
        return [x.detach().numpy().tobytes() for x in kept], numbers

    return (twofold.compile(step) if compiled else step), everything


GOOD = twofold.tensor([1, 2, 4])
ONE = twofold.tensor(1.0)


@pytest.mark.parametrize("place", [0, 1])
def test_an_index_out_of_range_leaves_nothing_half_written(place):
    twofold.manual_seed(0)
    step, everything = trained(nn.Embedding(5, 3))
    step(GOOD, GOOD, ONE)
    before = everything()
    batch = [GOOD, GOOD, ONE]
    batch[place] = twofold.tensor([1, 5, 0])
    for run in (step, step, lambda *args: twofold.profile(step, *args)):
        with pytest.raises(IndexRangeError, match="number 5 is out of range"):
            run(*batch)
        assert everything() == before


def test_after_the_error_training_goes_on_as_if_nothing_had_been():
    def run(compiled, fail):
        twofold.manual_seed(0)
        step, everything = trained(nn.Embedding(5, 3), compiled)
        step(GOOD, GOOD, ONE)
        if fail:
            with pytest.raises(IndexRangeError):
                step(twofold.tensor([1, 7, 0]), GOOD, ONE)
        step(GOOD, GOOD, ONE)
        return everything()

    assert run(True, True) == run(True, False) == run(False, False)


def test_an_assertion_on_what_was_written_is_raised_after_it():
    p = nn.Parameter(twofold.ones(3))
    opt = twofold.optim.SGD([p], lr=1.0)

    @twofold.compile
    def step(limit):
        opt.zero_grad()
        p.sum().backward()
        opt.step()
        assert p.sum() > limit
        return p.detach() * 1

    with pytest.raises(AssertionError):
        step(twofold.tensor(100.0))
    assert p.tolist() == [0.0] * 3  # as without the decorator
    assert step(twofold.tensor(-100.0)).tolist() == [-1.0] * 3


def test_an_error_of_python_ends_the_program_before_it_writes():
    p = nn.Parameter(twofold.eye(2))
    opt = twofold.optim.Adam([p], lr=1e-3)

    @twofold.compile
    def step(x):
        opt.zero_grad()
        twofold.linalg.cholesky(p + x).sum().backward()
        opt.step()

    @twofold.compile
    def turned(x, count):
        opt.zero_grad()
        for _ in range(count):
            x = twofold.linalg.cholesky(p + x)
        x.sum().backward()
        opt.step()

    def fail(x):
        raise KeyError("no")

    @twofold.compile
    def told(x):
        opt.zero_grad()
        p.square().sum().backward()
        twofold.callback(fail, x)
        opt.step()

    tensors.install()  # machine code answers, where there is any
    for _ in range(10):
        step(twofold.eye(2) * 100)
    before, steps = p.tolist(), opt.state[p]["step"]
    bad, count = twofold.eye(2) * -500, twofold.tensor(2)
    for run, args, error in (
        (step, (bad,), twofold.TwofoldError),
        (turned, (bad, count), twofold.TwofoldError),
        (told, (bad,), KeyError),
    ):
        for _ in range(3):
            with pytest.raises(error):
                run(*args)
            assert p.tolist() == before
            if run is not told:
                assert opt.state[p]["step"] == steps


@pytest.mark.parametrize("alias", [lambda p: p.detach(), lambda p: p.detach()[1:]])
def test_an_argument_in_memory_that_is_written_is_refused(alias):
    p = nn.Parameter(twofold.ones(4))
    opt = twofold.optim.SGD([p], lr=0.01)

    @twofold.compile(fullgraph=True)
    def step(x):
        opt.zero_grad()
        (p * p).sum().backward()
        opt.step()
        return (x.detach() * 1).sum()

    step(twofold.ones(4))
    for calls in (0, 150):  # then machine code answers
        for _ in range(calls):
            step(twofold.ones(8)[2:6])
        before = p.tolist()
        with pytest.raises(ArgumentError, match="shares memory with another tensor"):
            step(alias(p))
        assert p.tolist() == before
    given = p.detach().clone()
    assert step(given).item() == given.sum().item()


def test_two_arguments_in_one_memory():
    def f(a, b):
        a.add_(1)
        return b * 2

    compiled = twofold.compile(f)
    x = twofold.ones(4)
    assert compiled(x[:2], x[2:]).tolist() == [2.0] * 2
    assert compiled(x, x).tolist() == f(x, x).sub(2).tolist()
    with pytest.raises(ArgumentError, match="shares memory with another tensor"):
        twofold.compile(f, fullgraph=True)(x[:3], x[1:])
    twin = x.clone()
    assert compiled(x[:3], x[1:]).tolist() == f(twin[:3], twin[1:]).tolist()
    assert x.tolist() == twin.tolist()


def test_views_of_arguments_and_of_what_is_found_are_views():
    w = twofold.ones(3, 2)
    p = nn.Parameter(twofold.ones(2, 2))

    @twofold.compile
    def f(x):
        return x[1:], x.reshape(-1), x.transpose(0, 1)[0], x.detach(), w[0], p.detach()[1], x + 1

    for n in (3, 4):
        x = twofold.zeros(n, 2)
        made = f(x)
        for i, part in enumerate(made):
            part.fill_(i + 1.0)
        wanted = twofold.zeros(n, 2)
        for i, part in enumerate(f.function(wanted)[:4]):
            part.fill_(i + 1.0)
        assert x.tolist() == wanted.tolist()
        assert w.tolist() == [[5.0, 5.0], [1.0, 1.0], [1.0, 1.0]]
        assert p.tolist() == [[1.0, 1.0], [6.0, 6.0]]
        assert x._version == 4
    assert len(f.all_programs()) == 1
    turned = twofold.zeros(2, 5).transpose(0, 1)
    f(turned)[1].fill_(9.0)  # of this layout a reshape is a copy
    assert turned.sum().item() == 0


def test_a_view_that_is_written_inside_shows_the_new_values():
    @twofold.compile
    def f(x):
        part = x[1:]
        x.mul_(2)
        part.add_(1)
        return part

    x = twofold.ones(3)
    part = f(x)
    assert (x.tolist(), part.tolist()) == ([2.0, 3.0, 3.0], [3.0, 3.0])
    part.zero_()
    assert x.tolist() == [2.0, 0.0, 0.0]


def test_what_is_replaced_before_it_is_read_may_share_memory():
    def step(model, opt):
        def run(x):
            model.doubled = model.weight * 2
            opt.zero_grad()
            loss = (x @ model.doubled.t()).square().sum()
            loss.backward()
            opt.step()
            return loss

        return run

    losses = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        model = nn.Linear(4, 3)
        model.doubled = model.weight.detach()
        run = step(model, twofold.optim.SGD(model.parameters(), lr=0.01))
        run = twofold.compile(run) if compiled else run
        losses.append([run(twofold.ones(2, 4)).item() for _ in range(3)])
    assert losses[0] == losses[1]


def test_spectral_norm_by_hooks_trains_in_one_program():
    losses = []
    for wrap in (lambda f: f, twofold.compile):
        twofold.manual_seed(0)
        model = nn.utils.spectral_norm(nn.Linear(4, 3))
        opt = twofold.optim.Adam(model.parameters(), lr=0.1)

        @wrap
        def run(x, model=model, opt=opt):
            opt.zero_grad()
            loss = model(x).relu().mean() - model(-x).mean()
            loss.backward()
            opt.step()
            return loss

        losses.append([run(twofold.ones(n, 4)).item() for n in (2, 3, 2)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("write", ["lerp_", "add_", "mul_", "sub_", "div_"])
def test_memory_from_outside_is_read_at_each_run_where_what_is_written_has_a_history(write):
    # the moving average of a codebook: `average.data.lerp_(new, 0.2)` outside of no_grad
    found = []
    for way in (lambda f: f, twofold.compile):
        average, seen = twofold.full((3,), 2.0), []
        weight = twofold.tensor([1.0, 2.0, 3.0], requires_grad=True)

        def step(x, average=average, weight=weight):
            weight.grad = None
            h = weight * x
            getattr(average.data, write)(h, *[0.2] * (write == "lerp_"))
            h.sum().backward()
            return h * average

        stepped = way(step)
        for i in range(4):
            made = stepped(twofold.full((3,), i + 1.5))
            seen += [bits(made), bits(average), bits(weight.grad), average.requires_grad]
        found.append(seen)
    assert found[0] == found[1]
