"""torch.nn.attention: the choice of kernels, and attention with functions of the user's."""

import warnings

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.nn.attention import SDPBackend, sdpa_kernel
from twofold.nn.attention import flex_attention as flex


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_choice_of_kernels_changes_nothing():
    q = twofold.from_numpy(numbers(1, 2, 3, 4))
    plain = nn.functional.scaled_dot_product_attention(q, q, q)
    for choice in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        with nn.attention.sdpa_kernel(choice):
            assert (nn.functional.scaled_dot_product_attention(q, q, q) == plain).all()
    with pytest.raises(DTypeError, match="not an SDPBackend"), sdpa_kernel("flash"):
        pass


def causal(batch, head, query, key):
    return query >= key


def nearby(batch, head, query, key):
    return (query - key).abs() < 2


def late(batch, head, query, key):
    return query > key  # the first query sees nothing


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("masks", [(), (causal,), (late,), (causal, nearby)])
def test_flex_attention_is_pytorchs(masks, compiled):
    torch = pytest.importorskip("torch", reason="compared with PyTorch")
    warnings.simplefilter("ignore")  # return_lse has another name there now, and it says: compile
    theirs = pytest.importorskip("torch.nn.attention.flex_attention", reason="as old as that")
    q, k, v, table = (
        numbers(2, 4, 5, 8),
        numbers(2, 2, 5, 8, seed=1),
        numbers(2, 2, 5, 8),
        numbers(9),
    )

    def run(T, module, function):
        bias = T.from_numpy(table)

        def score(s, batch, head, query, key):
            return s * 0.5 + bias[query - key + 4] + head

        mask = module.and_masks(*masks) if len(masks) > 1 else next(iter(masks), None)
        block = module.create_block_mask(mask, None, None, 5, 5, device="cpu") if mask else None
        arrays = (T.from_numpy(x) for x in (q, k, v))
        return function(*arrays, score, block, enable_gqa=True, return_lse=True)

    ours = twofold.compile(flex.flex_attention) if compiled else flex.flex_attention
    for a, b in zip(
        run(twofold, flex, ours), run(torch, theirs, theirs.flex_attention), strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-5, 1e-5)


def test_masks_as_tensors():
    block = flex.create_block_mask(flex.or_masks(causal, nearby), None, 2, 3, 4)
    wanted = [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert block.to_dense().int().tolist() == [[wanted, wanted]]
    assert block.shape == (1, 2, 3, 4) and block.sparsity() == 25.0
    scores = flex.create_mask(lambda s, b, h, q, k: s + q, None, None, 2, 1)
    assert scores.tolist() == [[[[0.0], [1.0]]]]


def test_gradients_reach_what_a_score_is_made_of():
    q = twofold.from_numpy(numbers(1, 1, 3, 4)).requires_grad_()
    bias = twofold.zeros(5, requires_grad=True)
    block = flex.create_block_mask(causal, None, None, 3, 3)
    out = flex.flex_attention(q, q, q, lambda s, b, h, i, j: s + bias[i - j + 2], block)
    (out**2).sum().backward()
    assert q.grad is not None and bias.grad[:2].tolist() == [0.0, 0.0] and bias.grad[2:].any()


def test_what_does_not_fit_is_refused():
    x = twofold.ones(1, 4, 3, 2)
    with pytest.raises(ShapeError, match="4 heads of query, 2 of key"):
        flex.flex_attention(x, x[:, :2], x[:, :2])
    with pytest.raises(ShapeError, match="4 axes"):
        flex.flex_attention(x[0], x[0], x[0])
    with pytest.raises(ArgumentError, match="lengths 2 and 3"):
        flex.flex_attention(x, x, x, block_mask=flex.create_block_mask(causal, 1, 1, 2, 3))


def test_causal_masks_of_unequal_numbers():
    from twofold.nn.attention.bias import CausalVariant, causal_lower_right, causal_upper_left

    assert causal_upper_left(2, 3).tolist() == [[True, False, False], [True, True, False]]
    assert causal_lower_right(2, 3).tolist() == [[True, True, False], [True, True, True]]
    assert CausalVariant.LOWER_RIGHT == 2
    q, k = twofold.randn(1, 2, 4), twofold.randn(1, 2, 4)
    made = nn.functional.scaled_dot_product_attention(q, k, k, attn_mask=causal_lower_right(2, 2))
    assert made.allclose(nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True))
