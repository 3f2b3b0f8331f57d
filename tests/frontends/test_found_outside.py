"""What is found outside, given as an argument, given back, exchanged, frozen or caught, is in a
program what it is without.
"""

import collections
from types import SimpleNamespace

import numpy as np
import pytest

import twofold
from twofold import nn, optim
from twofold.base.errors import ArgumentError
from twofold.frontends.arrays import CaptureError

AGAIN = 120  # calls until machine code answers them


def both(make, calls):
    """Call what `make` gives, eagerly and compiled; the results of all calls."""
    made = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        function, world = make()
        function = twofold.compile(function) if compiled else function
        made.append([call(function, world) for call in calls])
    return made


# ---- arguments that the function finds as well


def trained(found):
    def make():
        p, q = nn.Parameter(twofold.ones(3)), nn.Parameter(twofold.ones(3) * 2)
        opt = optim.Adam([p, q], lr=0.1)

        def step(x):
            opt.zero_grad()
            (x * q).sum().backward()
            opt.step()
            return (x.grad is None, x is p)

        return step, SimpleNamespace(p=p, q=q)

    def call(step, world):
        told = step(found(world))
        return told, world.p.tolist(), world.q.tolist()

    return both(make, [call] * 3)


def test_a_parameter_given_as_an_argument_is_the_parameter():
    plain, compiled = trained(lambda world: world.p)
    assert compiled == plain
    assert plain[-1][0] == (False, True)


def test_a_parameter_is_told_from_another_argument_by_machine_code_too():
    p = nn.Parameter(twofold.ones(3))

    @twofold.compile
    def step(x):
        (x * p).sum().backward()

    for _ in range(AGAIN):
        step(nn.Parameter(twofold.ones(3)))
    p.grad = None
    step(p)
    assert p.grad.tolist() == [2.0, 2.0, 2.0]
    step(nn.Parameter(twofold.ones(3)))
    assert p.grad.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("whole", [False, True])
def test_an_argument_that_is_written_in_memory_of_what_is_read_is_for_python(whole):
    p = twofold.ones(4)
    step = twofold.compile(lambda x: (p * 2, x.add_(1))[0], fullgraph=whole)
    for calls in (1, AGAIN):
        for _ in range(calls):
            step(twofold.ones(2))
        if whole:
            with pytest.raises(ArgumentError, match="shares memory with another tensor"):
                step(p[:2])
        else:
            wanted = (p * 2).tolist()
            assert step(p[:2]).tolist() == wanted
    assert p.tolist() == ([1.0] * 4 if whole else [3.0, 3.0, 1.0, 1.0])


# ---- what is given back as it was found


@pytest.mark.parametrize("how", [lambda x: x, lambda x: x.detach(), lambda x: x.data])
def test_what_is_only_given_back_is_that_of_now(how):
    def make():
        world = SimpleNamespace(h=twofold.ones(2), kept=None)

        def step(x):
            world.kept = how(world.h)
            return how(world.h), x + 1

        return step, world

    def call(step, world):
        found = step(twofold.zeros(2))[0]
        made = found.tolist(), world.kept.tolist(), found is world.h, found is world.kept
        world.h = world.h * 3
        return made

    plain, compiled = both(make, [call] * 4)
    assert compiled == plain


def test_a_write_into_what_was_exchanged_is_seen():
    world = SimpleNamespace(m=twofold.zeros(2))

    def step(x):
        world.m.sub_(x, alpha=2)

    step = twofold.compile(step)
    step(twofold.ones(2))
    world.m = twofold.ones(2)
    step(twofold.ones(2))
    assert world.m.tolist() == [-1.0, -1.0]


def test_results_share_memory_as_without_a_program():
    def step(x):
        y = x * 2
        return y, y.t(), y[0], y[0], y.detach()

    for run in (step, twofold.compile(step)):
        whole, turned, row, again, other = run(twofold.ones(2, 3))
        assert row is not again and whole is not other
        whole.add_(1)
        assert turned.tolist() == [[3.0, 3.0]] * 3
        assert row.tolist() == again.tolist() == [3.0] * 3 == other[1].tolist()


def test_one_view_given_twice_is_one_tensor():
    w = twofold.ones(2, 2)

    def step(x):
        row = w[0]
        return row, row, x

    for run in (step, twofold.compile(step)):
        first, second, _ = run(twofold.ones(1))
        assert first is second
        first.add_(1)
    assert w.tolist() == [[3.0, 3.0], [1.0, 1.0]]


def test_a_view_is_that_of_its_input_where_a_gradient_was_not_looked_at():
    w = twofold.arange(3.0)

    def step(x):
        if x.grad is None:
            x.grad = twofold.zeros_like(x)
        return w.unsqueeze(0)

    run = twofold.compile(step)
    x = twofold.ones(2, 2)
    assert run(x).tolist() == run(x).tolist() == [[0.0, 1.0, 2.0]]


def test_objects_around_tensors_are_no_graphs():
    def step(x):
        made = collections.defaultdict(list)
        made["a"].append(x * 2)
        return made

    assert twofold.compile(step)(twofold.ones(1))["a"][0].tolist() == [2.0]
    namespace = twofold.compile(lambda x: SimpleNamespace(y=x + 1))
    assert namespace(twofold.ones(1)).y.tolist() == [2.0]


def test_arrays_of_numpys_are_made_anew():
    run = twofold.compile(lambda x, s: np.array([1.0, s]))
    first, second = run(twofold.ones(1), 2), run(twofold.ones(1), 3)
    assert first.dtype == second.dtype == np.float64
    assert first.tolist() == [1.0, 2.0] and second.tolist() == [1.0, 3.0]


# ---- what a function does to tensors from outside


def test_other_memory_and_shapes_are_pythons():
    def make():
        world = SimpleNamespace(a=twofold.zeros(3), b=twofold.ones(2, 2), c=twofold.ones(1, 2))
        part = world.b[0]

        def step(x):
            world.a.data = x.detach().clone()
            world.c.squeeze_()
            part.data = x[0].detach()
            return x.sum()

        return step, world

    def call(step, world):
        x = twofold.arange(6.0).reshape(2, 3)
        step(x)
        x.add_(1)
        return world.a.tolist(), world.b.tolist(), world.c.tolist()

    plain, compiled = both(make, [call] * 2)
    assert compiled == plain


def test_data_of_the_same_shape_is_written_by_a_program():
    p = nn.Parameter(twofold.ones(2))

    @twofold.compile
    def step(x):
        p.data = p.data * 2 + x

    for _ in range(3):
        step(twofold.ones(2))
    assert p.tolist() == [15.0, 15.0]
    assert not twofold.explain(step).as_python


def test_an_argument_begins_to_require_a_gradient():
    def step(x):
        x.requires_grad_()
        return x * 2

    run = twofold.compile(step)
    for _ in range(3):
        x = twofold.ones(2)
        run(x).sum().backward()
        assert x.requires_grad and x.grad.tolist() == [2.0, 2.0]


def test_a_tensor_that_was_frozen_since_is_thawed():
    net = nn.Linear(2, 1)

    @twofold.compile
    def step(x):
        net.requires_grad_(True)
        return x + 1

    for _ in range(3):
        step(twofold.ones(1))
        assert net.weight.requires_grad
        net.requires_grad_(False)


def test_what_was_computed_before_a_tensor_was_frozen_keeps_its_history():
    net = nn.Linear(2, 1)

    def step(x):
        net.requires_grad_(True)
        y = net(x)
        net.requires_grad_(False)
        return y

    assert twofold.compile(step)(twofold.ones(2)).requires_grad


def test_a_parameter_that_a_function_makes_is_one():
    net = nn.Linear(2, 1)

    @twofold.compile
    def step():
        net.bias = nn.Parameter(net.bias.detach() * 2)

    step()
    assert isinstance(net.bias, nn.Parameter) and len(list(net.parameters())) == 2


def test_an_argument_with_a_history_of_a_write_has_it():
    p = nn.Parameter(twofold.ones(2))

    def step(x):
        x.mul_(p)

    x = twofold.ones(2)
    twofold.compile(step)(x)
    x.sum().backward()
    assert p.grad.tolist() == [1.0, 1.0]


def test_a_leaf_on_memory_from_outside_is_one():
    w = twofold.ones(2)
    made = twofold.compile(lambda: w.data.detach().requires_grad_())()
    assert made.requires_grad and made.data_ptr() == w.data_ptr() and not w.requires_grad


def test_a_leaf_that_is_given_back_has_its_gradient():
    def step(x):
        y = x.detach().requires_grad_()
        (y * y).sum().backward()
        return y

    assert twofold.compile(step)(twofold.ones(2)).grad.tolist() == [2.0, 2.0]


def test_a_result_that_was_walked_is_so_where_it_is_kept_as_well():
    world = SimpleNamespace(kept=None)
    p = nn.Parameter(twofold.ones(2))

    def step():
        loss = (p * p).sum()
        world.kept = loss.detach()
        loss.backward()
        return loss

    for run in (step, twofold.compile(step)):
        loss = run()
        assert loss.requires_grad and not loss.is_leaf and not world.kept.requires_grad


def test_results_that_cannot_be_walked_are_results():
    p = nn.Parameter(twofold.ones(2))
    opt = optim.SGD([p], lr=0.5)
    p.grad = twofold.ones(2)

    def step():
        y = (p * p).sum()
        opt.step()
        return y

    assert twofold.compile(step)().item() == 2.0
    assert p.tolist() == [0.5, 0.5]


def test_a_branch_that_is_not_taken_overwrites_nothing():
    fc = nn.Linear(2, 2)
    opt = optim.SGD(fc.parameters(), lr=0.5)
    for p in fc.parameters():
        p.grad = twofold.ones_like(p)

    @twofold.compile
    def step(x):
        y = fc(x)
        if x.sum() > 100:
            opt.step()
        y.sum().backward()
        return y

    x = twofold.ones(1, 2, requires_grad=True)
    step(x)
    assert twofold.equal(x.grad[0], fc.weight.detach().sum(0))


def test_a_checkpoint_around_buffers_is_walked_as_without_a_program():
    def make():
        net = nn.BatchNorm1d(2)

        def step(x):
            return twofold.utils.checkpoint.checkpoint(net, x, use_reentrant=False)

        return step, net

    def call(step, net):
        x = twofold.arange(4.0).reshape(2, 2).requires_grad_()
        y = step(x)
        before = net.running_mean.tolist()
        y.sum().backward()
        return y.tolist(), before, net.running_mean.tolist()

    plain, compiled = both(make, [call] * 2)
    assert compiled == plain


@pytest.mark.parametrize("see", [lambda x: x.reshape(-1), lambda x: x.contiguous()])
def test_what_does_not_lie_in_order_is_copied_before_it_is_written(see):
    def step(x):
        y = see(x)
        y.add_(1)
        return y

    run = twofold.compile(step)
    for x in (twofold.zeros(2, 3), twofold.zeros(3, 2).T, twofold.zeros(2, 3)):
        wanted = x.T.clone().T if not x.is_contiguous() else x.clone()
        assert run(x).tolist() == step(wanted).tolist()
        assert x.tolist() == wanted.tolist()


# ---- optimizers, random numbers, errors


def test_a_rate_that_is_set_before_a_schedule_goes_on():
    def make():
        p = nn.Parameter(twofold.ones(2))
        opt = optim.SGD([p], lr=0.1)
        schedule = optim.lr_scheduler.ExponentialLR(opt, 0.5)

        def step(rate):
            opt.param_groups[0]["lr"] = rate
            schedule.step()

        return step, opt

    def call(step, opt):
        step(0.25)
        return opt.param_groups[0]["lr"]

    plain, compiled = both(make, [call] * 3)
    assert compiled == plain


def test_a_state_of_an_optimizer_is_forgotten():
    def make():
        p = nn.Parameter(twofold.ones(2))
        opt = optim.Adam([p], lr=0.1)

        def step(x):
            opt.zero_grad()
            (p * x).sum().backward()
            opt.step()
            opt.state.clear()

        return step, (p, opt)

    def call(step, world):
        step(twofold.ones(2))
        return world[0].tolist(), len(world[1].state)

    plain, compiled = both(make, [call] * 3)
    assert compiled == plain


def test_the_state_of_a_generator_is_that_of_the_call():
    def step():
        state = twofold.get_rng_state()
        first = twofold.rand(2)
        twofold.set_rng_state(state)
        return first, twofold.rand(2)

    def forked():
        with twofold.random.fork_rng():
            twofold.manual_seed(1)
            return twofold.rand(2)

    def make():
        return (lambda: (*step(), forked(), twofold.rand(2))), None

    calls = [lambda run, _: [x.tolist() for x in run()]] * 3
    plain, compiled = both(make, calls)
    assert compiled == plain
    assert plain[0] != plain[1]


def test_errors_of_a_capture_are_not_the_users():
    rows = twofold.tensor([[0.0], [2.0], [3.0]])

    def loop(x):
        try:
            for row in rows:
                if row.sum() > 1:
                    break
            x = x + row
        except RuntimeError:
            x = x * 0
        return x

    def key(x):
        try:
            return x * {3.0: 2.0}[x.sum().item()]
        except Exception:
            return x * 0

    def bare(x):
        try:
            return x + 1 if x.sum() > 0 else x - 1
        except:  # noqa: E722
            return x * 0

    x = twofold.ones(3)
    with pytest.raises(CaptureError, match="Python wants this float"):
        twofold.compile(key, fullgraph=True)(x)
    for function in (loop, key, bare):
        for _ in range(2):
            assert twofold.compile(function)(x).tolist() == function(x).tolist() != [0.0] * 3


def test_a_list_that_is_emptied_and_made_anew():
    world = SimpleNamespace(log=[])

    def step(x):
        world.log.clear()
        world.log = world.log[-2:] + [x + 1]

    run = twofold.compile(step)
    for n in range(3):
        run(twofold.ones(1) * n)
        assert [x.tolist() for x in world.log] == [[n + 1.0]]


def test_complex_numbers_of_numbers_among_the_arguments():
    run = twofold.compile(lambda x, s: x * (s * 1j))
    assert run(twofold.ones(1), 2.0).tolist() == [2j]
    assert run(twofold.ones(1), 3.0).tolist() == [3j]


def test_a_size_that_is_no_whole_number_is_refused():
    with pytest.raises(TypeError, match="is not an integer"):
        twofold.compile(lambda k: twofold.zeros(k + 1))(2.0)
