"""Writing in place that PyTorch refuses: so do we, or keep a copy and give the right gradients."""

import pytest
from overwriting import compare, run

import twofold
from twofold.base.errors import GradientError, ShapeError

torch = pytest.importorskip("torch")

# Each program gets the namespace, a tracked leaf x, a tracked leaf y, and gives a tensor.
# Programs that PyTorch refuses, forward or backward, and we too.
REFUSED = {}
# Programs that PyTorch refuses since it keeps no copy; we keep one. The right gradients by the
# same program without the write in place.
KEPT = {}


def refused(program):
    REFUSED[program.__name__] = program
    return program


def kept(instead):
    def register(program):
        KEPT[program.__name__] = (program, instead)
        return program

    return register


# ---- refused by both


@refused
def leaf(t, x, y):
    x.add_(1)
    return x


@refused
def leaf_by_operator(t, x, y):
    x *= 2
    return x


@refused
def leaf_by_index(t, x, y):
    x[0] = 1
    return x


@refused
def leaf_by_mask(t, x, y):
    x[y > 0] = 1
    return x


@refused
def view_of_leaf(t, x, y):
    x[0].mul_(2)
    return x


@refused
def leaf_filled(t, x, y):
    x.zero_()
    return x


@refused
def leaf_drawn(t, x, y):
    x.normal_()
    return x


@refused
def leaf_turned(t, x, y):
    x.t_()
    return x


@refused
def saved_input_overwritten(t, x, y):
    h = x * 2
    r = h * y
    h.add_(1)
    return r


@refused
def saved_input_overwritten_through_view(t, x, y):
    h = x * 2
    r = h.sin()
    h[0].add_(1)
    return r


@refused
def saved_input_overwritten_through_base(t, x, y):
    h = x * 2
    r = h[0].sin()
    h.add_(1)
    return r


@refused
def saved_input_overwritten_through_detached(t, x, y):
    h = x * 2
    r = h * y
    h.detach().add_(1)
    return r


@refused
def saved_leaf_overwritten_under_no_grad(t, x, y):
    r = x * y
    with t.no_grad():
        x.add_(1)
    return r


@refused
def saved_weight_overwritten(t, x, y):
    r = x @ y.t()
    with t.no_grad():
        y[0] = 0
    return r


@refused
def saved_then_detached_in_place(t, x, y):
    h = x * 2
    r = h * h
    h.detach_()
    return r


@refused
def view_made_under_no_grad(t, x, y):
    h = x * 2
    with t.no_grad():
        v = h[0]
    v.mul_(2)
    return h


@refused
def expanded_is_written(t, x, y):
    h = (x[0] * 2).expand(3, 4)
    h.add_(1)
    return h


# ---- refused by PyTorch, which keeps no copy


@kept(lambda t, x, y: x.exp() + 1)
def saved_output_overwritten(t, x, y):
    h = x.exp()
    h.add_(1)
    return h


@kept(lambda t, x, y: y.sigmoid() * t.tensor([[2.0], [1.0], [1.0]], dtype=t.float64))
def saved_output_overwritten_through_view(t, x, y):
    h = y.sigmoid()
    h[0].mul_(2)
    return h


@kept(lambda t, x, y: x.exp() * y + 0 * y)
def saved_output_overwritten_through_detached(t, x, y):
    h = x.exp()
    r = h * 1
    h.detach().add_(1)
    return r * y


@kept(lambda t, x, y: (x * 2) ** 2)
def times_itself(t, x, y):
    h = x * 2
    h.mul_(h)
    return h


@kept(lambda t, x, y: x.softmax(1) * 3)
def softmax_then_write(t, x, y):
    h = x.softmax(1)
    h *= 3
    return h


@kept(lambda t, x, y: t.cat([x[:1] * 3, x[1:] * 1]))
def parts_of_unbind(t, x, y):
    h = x * 1
    h.unbind(0)[0].mul_(3)
    return h


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_in_pytorch(name):
    with pytest.raises(RuntimeError):
        run(torch, REFUSED[name])
    with pytest.raises((GradientError, ShapeError)) as caught:
        run(twofold, REFUSED[name])
    assert caught.value.hint
    assert "test_in_place_refused.py" in str(caught.value)


@pytest.mark.parametrize("name", KEPT)
def test_values_are_kept_where_pytorch_refuses(name):
    program, instead = KEPT[name]
    with pytest.raises(RuntimeError):
        run(torch, program)
    compare(run(twofold, program), run(torch, instead))
