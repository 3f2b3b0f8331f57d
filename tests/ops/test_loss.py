"""Cross entropy's mean in one operation: the bits, gradients and errors of its separate steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
from twofold.base.errors import IndexRangeError
from twofold.ops.bind import bind
from twofold.ops.loss import CROSS_ENTROPY, mean_of_rows
from twofold.ops.tensor import Tensor

IGNORED = -100


def logits(rows: int, classes: int, dtype: Any) -> Tensor:
    values = np.random.default_rng(rows).normal(size=(rows, classes)) * 3
    return twofold.tensor(values.astype(dtype), requires_grad=True)


def labels(rows: int, classes: int, left_out: bool) -> Tensor:
    made = np.random.default_rng(classes).integers(0, classes, rows)
    made[::3] = IGNORED if left_out else 0
    return twofold.tensor(made)


def in_steps(x: Tensor, target: Tensor, smoothing: float) -> Tensor:
    losses = bind(CROSS_ENTROPY, (x, target), (IGNORED, smoothing))
    return losses.sum() / (target != IGNORED).sum().to(x.dtype)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(1, 1), (4, 5), (4100, 3), (70, 1000)])
def test_the_bits_of_the_steps(
    size: tuple[int, int], dtype: Any, left_out: bool, smoothing: float, threads: int
) -> None:
    before = twofold.get_num_threads()
    twofold.set_num_threads(threads)
    x, target = logits(*size, dtype), labels(*size, left_out)
    made, wanted = mean_of_rows(x, target, IGNORED, smoothing), in_steps(x, target, smoothing)
    assert made is not None
    np.testing.assert_array_equal(made.detach().numpy(), wanted.detach().numpy())
    (by_one,), (by_steps,) = (twofold.autograd.grad(y * 2, x) for y in (made, wanted))
    np.testing.assert_array_equal(by_one.numpy(), by_steps.numpy())
    twofold.set_num_threads(before)


@pytest.mark.parametrize("bad", [-1, 5, 1 << 40])
def test_labels_out_of_range_raise(bad: int) -> None:
    x, target = logits(4, 5, np.float32), twofold.tensor([0, 1, bad, 2])
    for _ in range(3):
        with pytest.raises(IndexRangeError, match=f"label {bad} is out of range"):
            F.cross_entropy(x, target)
    assert F.cross_entropy(x, target, ignore_index=bad).isfinite()


def test_what_is_not_a_number() -> None:
    x = twofold.tensor([[float("nan"), 1.0], [0.0, 1.0]])
    assert F.cross_entropy(x, twofold.tensor([0, 1])).isnan()
    none = F.cross_entropy(twofold.ones(2, 3), twofold.tensor([IGNORED, IGNORED]))
    assert none.isnan()
    assert F.cross_entropy(twofold.ones(0, 3), twofold.zeros(0, dtype=twofold.int64)).isnan()


def test_turned_logits_and_labels() -> None:
    x = twofold.tensor(np.random.default_rng(0).normal(size=(5, 8)).astype("f4"))
    target = twofold.tensor(np.arange(16) % 5)[::2]
    made = F.cross_entropy(x.T, target)
    assert made.item() == F.cross_entropy(x.T.contiguous(), target.clone()).item()


def test_second_order() -> None:
    x, target = logits(3, 4, np.float64), twofold.tensor([0, IGNORED, 2])

    def found(y: Tensor) -> Any:
        (g,) = twofold.autograd.grad(y, x, create_graph=True)
        return twofold.autograd.grad((g * g).sum(), x)[0].numpy()

    one = F.cross_entropy(x, target)
    np.testing.assert_allclose(found(one), found(in_steps(x, target, 0.0)), 1e-12, 1e-15)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": twofold.ones(3)}])
def test_second_gradient_of_ignored_rows_is_zero(options):
    """The mean of no rows is NaN, and its gradients are 0, as PyTorch's are."""
    x = twofold.randn(2, 3, requires_grad=True)
    loss = F.cross_entropy(x, twofold.tensor([-100, -100]), **options)
    (grad,) = twofold.autograd.grad(loss, x, create_graph=True)
    (second,) = twofold.autograd.grad((grad * twofold.rand(2, 3)).sum(), x)
    assert grad.tolist() == second.tolist() == twofold.zeros(2, 3).tolist()
