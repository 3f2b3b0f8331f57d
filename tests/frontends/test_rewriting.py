"""Control flow on tensors in whatever function stands there: callees, modules, lambdas."""

from twice import compare

import twofold
from twofold import nn


def vectors(*sizes):
    return [lambda n=n: (twofold.arange(n) * 0.5 - n % 2,) for n in sizes]


def test_a_function_that_is_called():
    def helper(x):
        if x.sum() > 0:
            return x * 2
        return x - 1

    made = compare(lambda x: helper(x) + 1, vectors(3, 1, 4))
    assert len(made.all_programs()) == 1


def test_a_module_that_is_called():
    class Gate(nn.Module):
        def forward(self, x):
            if x.mean() > 0:
                return x * 3
            return -x

    gates = nn.Sequential(Gate(), Gate())
    made = compare(lambda x: gates(x).sum(), vectors(3, 1, 4))
    assert len(made.all_programs()) == 1


def test_a_decorated_function_and_a_lambda():
    scale = twofold.tensor(2.0)

    @twofold.no_grad()
    def decorated(x):
        for _ in range(x.shape[0]):
            x = x * scale if x.sum() < 10 else x + 1
        return x

    chosen = lambda x: x * 2 if x.sum() > 0 else x  # noqa: E731
    for function in (decorated, chosen):
        assert len(compare(function, vectors(3, 1, 4)).all_programs()) == 1


def test_functions_made_inside():
    def outer(x):
        def inner(y):
            return y + 1 if y.max() > 1 else y - 1

        return inner(x) + inner(x * 2)

    assert len(compare(outer, vectors(3, 1, 4)).all_programs()) == 1


def test_functions_have_their_own_code_again():
    def helper(x):
        return x if x.sum() > 0 else -x

    code = helper.__code__
    compare(lambda x: helper(x), vectors(3))
    assert helper.__code__ is code


def test_a_loop_that_cannot_be_one_of_the_graph_is_unrolled():
    def growing(x):
        y = x[:1]
        for i in range(x.shape[0]):
            y = twofold.cat([y, x[i : i + 1]])
        return y

    assert len(compare(growing, vectors(3, 2, 3)).all_programs()) == 2


def test_a_method_of_a_tensor_wants_no_number():
    captures = []

    def loss(x, y):
        captures.append(1)
        return ((x - y) ** 2).sum() + (x - y).max() * (x - y).float().mean()

    compiled = twofold.compile(loss)
    compiled(twofold.ones(3), twofold.zeros(3))
    assert len(captures) == 1
