"""autograd.grad in loops of a graph by what lies outside of them, and leaves that loops do not
reach.
"""

from twice import bits

import twofold
from twofold import nn

SIZES = (3, 4, 2)


def numbers(n):
    return twofold.arange(n).float() * 0.3 + 0.1


def agree(function, programs=None):
    compiled = twofold.compile(function)
    for n in SIZES:
        found, wanted = compiled(numbers(n)), function(numbers(n))
        assert [bits(x) for x in found] == [bits(x) for x in wanted]
    assert programs is None or len(compiled.made) == programs


def test_by_a_parameter_of_each_turn():
    weight = twofold.tensor([0.5, 0.3], requires_grad=True)
    unused = twofold.ones(2, requires_grad=True)

    def adjoint(x):
        z, total = twofold.ones(2), twofold.zeros(2)
        for i in range(x.shape[0]):
            y = twofold.tanh(z.detach() * weight + x[i])
            z = y.detach()
            g, none = twofold.autograd.grad(y.sum(), (weight, unused), allow_unused=True)
            assert none is None
            total = total + g
        return z, total

    def by_value(x):
        z, turns = twofold.ones(2), int((x * 4).max().item())
        for _ in range(turns):
            given = z.detach().requires_grad_()
            parts = twofold.autograd.grad((given * weight).sin().sum(), (given, weight))
            z = z + 0.1 * parts[0] + parts[1]
        return (z.detach(),)

    agree(by_value)
    agree(adjoint, programs=1)


def test_by_what_earlier_turns_depend_on_too():
    weight = twofold.tensor([0.5, 0.3], requires_grad=True)

    def through_all(x):
        z, total = twofold.ones(2), twofold.zeros(2)
        for i in range(x.shape[0]):
            z = twofold.tanh(z * weight + x[i])
            total = total + twofold.autograd.grad(z.sum(), weight, retain_graph=True)[0]
        return z.detach(), total

    def behind_a_sum(x):
        doubled, total = weight * 2, twofold.zeros(2)
        for i in range(x.shape[0]):
            g = twofold.autograd.grad((doubled * x[i]).sin().sum(), weight, retain_graph=True)[0]
            total = total + g
        return (total,)

    agree(through_all)
    agree(behind_a_sum)


def test_a_leaf_that_no_result_of_a_loop_depends_on_has_no_gradient():
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def slope(x):
        return twofold.autograd.grad(net(x).sum(), x, create_graph=True)[0]

    def steps(x, n):
        for _ in range(n):
            x = x + 0.1 * slope(x)
        return x

    found = []
    for run in (steps, twofold.compile(steps)):
        net.zero_grad()
        run(twofold.ones(3, 2, requires_grad=True), 3).pow(2).sum().backward()
        found.append([None if p.grad is None else bits(p.grad) for p in net.parameters()])
    assert found[0] == found[1]
    assert found[1][-1] is None  # the bias at the end
