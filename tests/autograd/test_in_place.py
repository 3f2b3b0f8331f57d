"""Writing in place through every kind of view: values and gradients as PyTorch has them."""

import numpy as np
import pytest
from overwriting import X, compare, run

import twofold

torch = pytest.importorskip("torch")

# Each program gets the namespace, a tracked leaf x, a tracked leaf y, and gives a tensor.
SAME = {}


def same(program):
    SAME[program.__name__] = program
    return program


# ---- on a whole tensor


@same
def add_to_result(t, x, y):
    h = x * 2
    h.add_(y)
    return h * h


@same
def chain_of_writes(t, x, y):
    h = x.clone()
    h.mul_(y).sub_(1).div_(y + 3).neg_()
    return h


@same
def operators(t, x, y):
    h = x + 0
    h += y
    h *= 3
    h -= x
    h /= 2
    return h


@same
def power_and_roots(t, x, y):
    h = x * 1
    h.pow_(2)
    h.add_(1).sqrt_()
    return h * y


@same
def activations(t, x, y):
    h = (x - 1) * 1
    h.relu_()
    k = (y * 1).sigmoid_()
    m = (y * 2).tanh_()
    return h * k + m


@same
def clamp_in_place(t, x, y):
    h = y * 2
    h.clamp_(-1, 1)
    return h * x


@same
def masked_fill(t, x, y):
    h = x * y
    h.masked_fill_(y > 0, 2.0)
    return h * x


@same
def zero_keeps_the_graph(t, x, y):
    h = x * 2
    h.zero_()
    return h + y


@same
def zero_alone(t, x, y):
    h = x * 2
    h.zero_()
    return h


@same
def fill_with_number(t, x, y):
    h = x * y
    h.fill_(3.0)
    return h * x


@same
def fill_with_tensor(t, x, y):
    h = x * y
    h.fill_(y.sum())
    return h * x


@same
def copy_a_leaf(t, x, y):
    h = t.zeros(3, 4, dtype=t.float64)
    h.copy_(x)
    return h * y


@same
def copy_a_row(t, x, y):
    h = x * 2
    h.copy_(y[0])
    return h * x


@same
def copy_a_result_used_elsewhere(t, x, y):
    h = t.zeros(3, 4, dtype=t.float64)
    r = x * y
    h.copy_(r)
    h.mul_(2)
    return h + r


@same
def number_into_untracked(t, x, y):
    h = t.zeros(3, 4, dtype=t.float64)
    h.add_(x)
    h.mul_(y)
    return h


@same
def lerp_and_addcmul(t, x, y):
    h = x * 1
    h.lerp_(y, 0.3)
    h.addcmul_(x, y, value=0.5)
    return h


@same
def self_times_other_saved_before(t, x, y):
    h = x * 2
    k = h + y
    h.add_(1)
    return h * k


@same
def version_of_unrelated(t, x, y):
    h, k = x * 2, y * 2
    r = h * h
    k.add_(1)
    return r * k


# ---- through views


@same
def row(t, x, y):
    h = x * 2
    h[0].mul_(3)
    return h * y


@same
def view_made_before_the_write(t, x, y):
    h = x * 2
    v = h[1]
    h.mul_(y)
    return v * 3


@same
def view_and_base_by_turns(t, x, y):
    h = x * 2
    v = h[0]
    h.mul_(3)
    v.mul_(2)
    h.add_(y)
    v.sub_(1)
    return h + v * v


@same
def two_views(t, x, y):
    h = x * 2
    a, b = h[0], h[:, 1]
    a.mul_(2)
    b.mul_(3)
    return h + a


@same
def view_of_view(t, x, y):
    h = x * 2
    a = h[1:]
    b = a[:, ::2]
    b.mul_(5)
    return h * y + a.sum()


@same
def reshaped(t, x, y):
    h = x * 2
    h.view(-1)[3:7].mul_(2)
    return h * y


@same
def reshape_that_copies(t, x, y):
    h = x * 2
    c = h.t().reshape(-1)
    c.mul_(10)
    return h * y + c.sum()


@same
def transposed(t, x, y):
    h = x * 2
    h.t()[1].add_(7)
    h.t().mul_(y.t())
    return h


@same
def permuted_unsqueezed(t, x, y):
    h = x * 2
    h.unsqueeze(1).permute(2, 0, 1).mul_(3)
    return h


@same
def diagonal(t, x, y):
    h = x * 2
    h.diagonal().mul_(4)
    return h * y


@same
def narrow_and_select(t, x, y):
    h = x * 1
    h.narrow(1, 1, 2).mul_(y[:, :2])
    h.select(0, 1).fill_(1)
    return h


@same
def squeeze(t, x, y):
    h = (x * 2).unsqueeze(0)
    h.squeeze(0).mul_(y)
    return h


@same
def flat_of_transposed_storage(t, x, y):
    h = (x * 2).t().clone(memory_format=t.preserve_format) if t is torch else (x * 2).t()
    h = h.t() * 1
    h.t().t().view(-1)[:3].mul_(2)
    return h * y


@same
def write_a_view_of_a_view_written_through_base(t, x, y):
    h = x * 2
    v = h.view(12)
    w = v[2:5]
    h[0, 3] = 9
    w.mul_(2)
    return v * y.reshape(12)


@same
def hook_sees_the_gradient_before_the_write(t, x, y):
    h = x * 2
    h.register_hook(lambda g: g * 10)
    h.mul_(3)
    return h


@same
def detached_is_shared(t, x, y):
    h = x * 2
    d = h.detach()
    d.mul_(5)
    return h * y


@same
def write_under_no_grad(t, x, y):
    h = x * 2
    with t.no_grad():
        h.mul_(5)
    return h * y


@same
def leaf_under_no_grad(t, x, y):
    with t.no_grad():
        x.mul_(2)
        x[0] = 1
    return x * y


@same
def view_of_untracked(t, x, y):
    h = t.zeros(3, 4, dtype=t.float64)
    v = h[1]
    v.add_(x[0])
    return h * y + v


@same
def expand_reads_what_was_written(t, x, y):
    h = x[0] * 2
    e = h.expand(3, 4)
    h.mul_(3)
    return e * y


@same
def stale_view_written_under_no_grad(t, x, y):
    h = x * 2
    v = h[0]
    h.mul_(3)
    with t.no_grad():
        v.add_(1)
    return v * y[0]


@same
def base_in_another_layout(t, x, y):
    h = t.from_numpy(np.asfortranarray(X))
    v = h.t().view(-1)
    v[:3] = x[0, :3]
    v[2:5].mul_(y[1, :3])
    return h * y


# ---- index assignment


@same
def assign_number(t, x, y):
    h = x * 2
    h[0, 1] = 5
    h[:, 0] = -1
    return h * y


@same
def assign_leaf(t, x, y):
    h = t.zeros(2, 3, 4, dtype=t.float64)
    h[0] = x
    h[1] = y
    return h * h


@same
def assign_row_broadcast(t, x, y):
    h = x * 1
    h[1:] = y[0]
    return h * x


@same
def assign_with_leading_ones(t, x, y):
    h = x * 1
    h[1] = y[:1, :]
    return h


@same
def assign_in_a_loop(t, x, y):
    h = t.zeros(4, 4, dtype=t.float64)
    for i in range(3):
        h[i + 1] = h[i] * 2 + x[i]
    return h * 1


@same
def assign_by_list(t, x, y):
    h = x * 2
    h[[0, 2]] = y[:2]
    return h * y


@same
def assign_by_tensor(t, x, y):
    h = x * 2
    h[t.tensor([2, 0]), t.tensor([1, 3])] = t.stack([y[0, 0], y[1, 1]])
    return h


@same
def assign_by_mask(t, x, y):
    h = x * 2
    h[y > 0] = 0
    h[h > 2] = y[0, 0]
    return h * x


@same
def assign_mask_values(t, x, y):
    h = x * 2
    m = y > 0
    h[m] = (y * y)[m]
    return h


@same
def assign_none_and_ellipsis(t, x, y):
    h = x * 2
    h[..., None] = y[:, :, None]
    return h * x


@same
def assign_step(t, x, y):
    h = x * 2
    h[::2, 1::2] = y[:2, :2]
    return h


@same
def add_to_a_slice(t, x, y):
    h = x * 2
    h[1:] += y[1:]
    h[:, 2] *= 3
    return h


@same
def add_to_places(t, x, y):
    h = x * 2
    h[[0, 0, 1]] += y
    return h


@same
def shift_overlapping(t, x, y):
    h = x * 2
    h[1:] = h[:-1].clone()
    return h


@same
def index_methods(t, x, y):
    h = x * 2
    at = t.tensor([2, 0])
    h.index_fill_(0, t.tensor([1]), 0.5)
    h.index_add_(1, at, y[:, :2])
    h.index_copy_(0, at, y[:2])
    return h


@same
def index_put_accumulate(t, x, y):
    h = x * 2
    h.index_put_((t.tensor([0, 0, 1]),), y, accumulate=True)
    return h * y


@same
def scatter_in_place(t, x, y):
    h = x * 2
    at = t.tensor([[0, 1], [3, 2]])
    h.scatter_(1, at, y[:2, :2] * 2)
    h.scatter_add_(1, at, y[:2, :2])
    return h


@same
def view_index_then_mask(t, x, y):
    h = x * 2
    v = h[1:]
    v[v > 1] = 7
    return h * y


@same
def tril_in_place(t, x, y):
    h = x * 2
    h.tril_()
    return h * y


@same
def cumsum_in_place(t, x, y):
    h = x * 2
    h.cumsum_(1)
    return h * y


@same
def shape_changes_in_place(t, x, y):
    h = x * 2
    h.unsqueeze_(0)
    h.squeeze_(0)
    h.t_()
    return h.t() * y


@pytest.mark.parametrize("name", SAME)
def test_as_in_pytorch(name):
    compare(run(twofold, SAME[name]), run(torch, SAME[name]))
