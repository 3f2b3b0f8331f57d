"""Where eager copies because of how elements lie, a program copies: writes go where they go."""

import numpy as np
import pytest
from twice import compare, fresh

import twofold
from twofold.base.errors import ShapeError


def writes(part):
    def function(x):
        part(x).add_(1)
        return x * 1

    return function


def reads_after(part):
    def function(x):
        made = part(x)
        x.add_(1)
        return made.sum()

    return function


PARTS = {
    "turned, flat": lambda x: x.mT.reshape(-1),
    "turned, in order": lambda x: x.mT.contiguous(),
    "turned, axes joined": lambda x: x.permute(1, 0, 2).reshape(x.shape[0] * x.shape[1], -1),
    "turned, and still a view": lambda x: x.permute(2, 0, 1).reshape(x.shape[2], -1),
    "steps": lambda x: x[:, ::2].contiguous(),
    "an inner part, flat": lambda x: x[:, 1:3].flatten(),
    "an outer part, flat": lambda x: x[1:3].flatten(),
    "repeated": lambda x: x.expand(4, *x.shape).contiguous(),
    "windows": lambda x: x.unfold(1, 2, 1).contiguous(),
    "in order": lambda x: x.contiguous().reshape(-1),
    "rows of one": lambda x: x[:, :1].transpose(0, 1).contiguous(),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("use", [writes, reads_after])
def test_a_program_shares_memory_where_eager_does(name, use):
    sizes = ((3, 7, 2), (4, 5, 6), (3, 3, 3))
    calls = [
        lambda s=s: (fresh(np.arange(np.prod(s), dtype=np.float32).reshape(s)),) for s in sizes
    ]
    made = compare(use(PARTS[name]), calls)
    assert len(made.made) == 1


def test_gradients_through_copies():
    def function(x):
        y = x * 2
        part = y.mT.reshape(-1)
        part.mul_(3)
        made = (y * y).sum() + part.sum()
        made.backward()
        return made

    compare(function, [lambda: (fresh(np.ones((2, 3), np.float32), tracked=True),)])


def test_what_is_in_order_is_told():
    compiled = twofold.compile(lambda x: (x * 1, x.mT.is_contiguous(), x[1:].is_contiguous()))
    assert compiled(twofold.ones(3, 4))[1:] == (False, True)


def test_view_refuses_what_it_refuses_eagerly():
    with pytest.raises(ShapeError, match="where they lie"):
        twofold.compile(lambda x: x.mT.view(-1))(twofold.ones(3, 4))
