"""Pooling over all of a plane by its own size, as text models do: one program for all lengths."""

import pytest

import twofold
import twofold.nn.functional as F

CASES = {
    "max_pool1d": lambda x: F.max_pool1d(x, x.size(2)).squeeze(2),
    "named": lambda x: F.max_pool1d(x, kernel_size=x.shape[2], stride=1, padding=0),
    "indices": lambda x: F.max_pool1d(x, x.size(2), return_indices=True),
    "max_pool2d": lambda x: F.max_pool2d(x[:, None], x.size()[1:]),
    "of one axis": lambda x: F.max_pool2d(x[:, None], (x.size(1), 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_as_eagerly(name):
    function = CASES[name]

    def both(x):
        x = x.detach().requires_grad_()
        made = function(x)
        values, *places = made if isinstance(made, tuple) else (made,)
        return values.detach(), places, twofold.autograd.grad((values * values).sum(), x)

    compiled = twofold.compile(both)
    for n in (5, 8, 3):
        x = twofold.arange(6.0 * n).view(2, 3, n).sin().round(decimals=1)  # with equal ones
        assert str(compiled(x)) == str(both(x))
    assert twofold.explain(compiled).compiles == 1
