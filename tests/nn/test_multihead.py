"""Attention layers and scaled_dot_product_attention against PyTorch: masks, causality, no batch."""

import numpy as np
import pytest
from layers import Case, assert_close, build, fill, outcome, state_of, torch

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, ShapeError

R = np.random.default_rng(3)
HIDDEN = np.triu(np.ones((5, 5), bool), 1)
ADDED = np.where(HIDDEN, -np.inf, 0).astype(np.float32)
PADDED = np.array([[False] * 5, [False, False, False, True, True]])
HEADS = R.random((4, 5, 5)) < 0.3
HEADS[..., 0] = False
SQUARE = ((5, 2, 6),) * 3
FIRST = ((2, 5, 6),) * 3
ALONE = ((5, 6),) * 3
MHA = "nn.MultiheadAttention(6, 2"

CASES = [
    Case(f"{MHA})", SQUARE),
    Case(f"{MHA})", ALONE),
    Case(f"{MHA}, bias=False)", SQUARE),
    Case(f"{MHA}, batch_first=True)", FIRST),
    Case(f"{MHA}, kdim=3, vdim=4)", ((5, 2, 6), (7, 2, 3), (7, 2, 4))),
    Case(f"{MHA})", ((5, 2, 6), (7, 2, 6), (7, 2, 6)), {"need_weights": False}),
    Case(f"{MHA})", SQUARE, {"need_weights": False}),
    Case(f"{MHA})", SQUARE, {"average_attn_weights": False}),
    Case(f"{MHA})", SQUARE, {"attn_mask": HIDDEN}),
    Case(f"{MHA})", SQUARE, {"attn_mask": HIDDEN, "need_weights": False}),
    Case(f"{MHA})", SQUARE, {"attn_mask": HIDDEN, "is_causal": True, "need_weights": False}),
    Case(f"{MHA})", SQUARE, {"attn_mask": HIDDEN, "is_causal": True}),
    Case(f"{MHA})", SQUARE, {"attn_mask": HEADS}),
    Case(f"{MHA})", SQUARE, {"attn_mask": HEADS, "need_weights": False}),
    Case(f"{MHA})", SQUARE, {"key_padding_mask": PADDED}),
    Case(f"{MHA})", SQUARE, {"key_padding_mask": PADDED, "need_weights": False}),
    Case(f"{MHA})", SQUARE, {"key_padding_mask": PADDED, "attn_mask": HIDDEN}),
    Case(f"{MHA})", ALONE, {"key_padding_mask": PADDED[1], "attn_mask": HEADS[:2]}),
    Case(f"{MHA}, dropout=0.5)", SQUARE, train=False),
    Case(
        "nn.MultiheadAttention(64, 4, batch_first=True)",
        ((3, 33, 64),) * 3,
        {"need_weights": False},
    ),
]
LAYER = "nn.TransformerEncoderLayer(6, 2, 11, dropout=0.0"
CASES += [
    Case(f"{LAYER})", ((5, 2, 6),)),
    Case(f"{LAYER})", ((5, 6),)),
    Case(f"{LAYER}, batch_first=True, activation='gelu')", ((2, 5, 6),)),
    Case(f"{LAYER}, norm_first=True, bias=False)", ((5, 2, 6),)),
    Case(f"{LAYER}, activation=nn.SiLU(), layer_norm_eps=0.1)", ((5, 2, 6),)),
    Case(f"{LAYER})", ((5, 2, 6),), {"src_mask": HIDDEN}),
    Case(f"{LAYER})", ((5, 2, 6),), {"src_mask": HIDDEN, "is_causal": True}),
    Case(f"{LAYER})", ((5, 2, 6),), {"src_key_padding_mask": PADDED}),
    Case("nn.TransformerEncoderLayer(6, 2, 11)", ((5, 2, 6),), train=False),
    Case(f"nn.TransformerEncoder({LAYER}), 3, nn.LayerNorm(6))", ((5, 2, 6),)),
    Case(f"nn.TransformerEncoder({LAYER}), 2)", ((5, 2, 6),), {"mask": HIDDEN}),
]
DECODER = "nn.TransformerDecoderLayer(6, 2, 11, dropout=0.0"
PAIR = ((5, 2, 6), (7, 2, 6))
WHOLE = "nn.Transformer(6, 2, 2, 1, 11, dropout=0.0"
CASES += [
    Case(f"{DECODER})", PAIR),
    Case(f"{DECODER}, norm_first=True, bias=False)", ((5, 6), (7, 6))),
    Case(f"{DECODER}, batch_first=True, activation='gelu')", ((2, 5, 6), (2, 7, 6))),
    Case(f"{DECODER})", PAIR, {"tgt_mask": HIDDEN, "tgt_is_causal": True}),
    Case(f"{DECODER})", PAIR, {"tgt_mask": HIDDEN, "tgt_key_padding_mask": PADDED}),
    Case(f"{DECODER})", ((7, 2, 6), (5, 2, 6)), {"memory_key_padding_mask": PADDED}),
    Case(f"nn.TransformerDecoder({DECODER}), 2, nn.LayerNorm(6))", PAIR),
    Case(f"nn.TransformerDecoder({DECODER}), 2)", PAIR, {"tgt_mask": HIDDEN}),
    Case(f"{WHOLE})", ((7, 2, 6), (5, 2, 6)), {"tgt_mask": HIDDEN}),
    Case(f"{WHOLE}, batch_first=True, norm_first=True)", ((2, 5, 6), (2, 7, 6))),
    Case("nn.Transformer(6, 2, 1, 1, 11)", ((7, 2, 6), (5, 2, 6)), train=False),
    Case(f"{MHA}, add_bias_kv=True)", SQUARE, {"attn_mask": HIDDEN}),
    Case(f"{MHA}, add_zero_attn=True, batch_first=True)", FIRST, {"key_padding_mask": PADDED}),
    Case(
        f"{MHA}, add_bias_kv=True, add_zero_attn=True, kdim=3, vdim=4)",
        ((5, 2, 6), (7, 2, 3), (7, 2, 4)),
        {"need_weights": False},
    ),
    Case(f"{MHA}, add_bias_kv=True)", ALONE, {"average_attn_weights": False}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c} {sorted(c.kwargs)}")
@pytest.mark.filterwarnings("ignore")
def test_as_in_pytorch(case):
    theirs, ours = build(case.layer, torch), build(case.layer, twofold)
    fill(theirs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(state_of(theirs))
    found, wanted = outcome(ours, case, twofold), outcome(theirs, case, torch)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert_close(found[name], value, name, case)


def test_causal_without_a_mask():
    layer = nn.MultiheadAttention(6, 2, batch_first=True)
    x, padded = twofold.randn(2, 5, 6), twofold.tensor(PADDED)
    hidden = twofold.tensor(HIDDEN)
    for padding in (None, padded):
        wanted, weights = layer(x, x, x, padding, attn_mask=hidden)
        for need in (True, False):
            made, given = layer(x, x, x, padding, need_weights=need, is_causal=True)
            np.testing.assert_allclose(made.detach().numpy(), wanted.detach().numpy(), 1e-5, 1e-6)
            assert not need or (given == weights).all()


ATTENTION = [
    ({}, (2, 3, 4), (2, 5, 4), (2, 5, 6)),
    ({}, (3, 4), (5, 4), (5, 6)),
    ({}, (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 6)),
    ({"scale": 0.3}, (2, 3, 4), (2, 5, 4), (2, 5, 6)),
    ({"is_causal": True}, (2, 5, 4), (2, 5, 4), (2, 5, 6)),
    ({"is_causal": True}, (2, 3, 4), (2, 5, 4), (2, 5, 6)),
    ({"attn_mask": HIDDEN}, (2, 5, 4), (2, 5, 4), (2, 5, 4)),
    ({"attn_mask": ADDED}, (2, 5, 4), (2, 5, 4), (2, 5, 4)),
    ({"attn_mask": R.normal(size=(2, 1, 1, 5)).astype(np.float32)}, *((2, 3, 5, 4),) * 3),
    ({"enable_gqa": True}, (2, 6, 5, 4), (2, 2, 5, 4), (2, 2, 5, 4)),
    ({}, (1, 4, 70, 16), (1, 4, 70, 16), (1, 4, 70, 16)),
    ({"is_causal": True}, (1, 4, 70, 16), (1, 4, 70, 16), (1, 4, 70, 16)),
    ({}, (0, 3, 4), (0, 5, 4), (0, 5, 6)),
]


@pytest.mark.parametrize(("options", "q", "k", "v"), ATTENTION)
def test_scaled_dot_product_attention(options, q, k, v):
    random = np.random.default_rng(1)
    arrays = [random.normal(size=s).astype(np.float32) for s in (q, k, v)]
    weight = random.normal(size=(*q[:-1], v[-1])).astype(np.float32)

    def run(t):
        xs = [t.tensor(a, requires_grad=True) for a in arrays]
        given = {n: t.tensor(o) if isinstance(o, np.ndarray) else o for n, o in options.items()}
        mask = given.get("attn_mask")
        if mask is not None and mask.is_floating_point():
            mask.requires_grad_()
        out = t.nn.functional.scaled_dot_product_attention(*xs, **given)
        (out * t.tensor(weight)).sum().backward()
        grads = [x.grad.numpy() for x in xs]
        if mask is not None and mask.requires_grad:
            grads.append(mask.grad.numpy())
        return [out.detach().numpy(), *grads]

    for ours, theirs in zip(run(twofold), run(torch), strict=True):
        finite = np.nan_to_num(theirs)
        np.testing.assert_allclose(ours, finite, rtol=1e-4, atol=1e-5)


def test_attention_dropout_scales_what_it_keeps():
    twofold.manual_seed(0)
    q, k = twofold.randn(1, 1, 4), twofold.randn(1, 2000, 4) * 0
    out = nn.functional.scaled_dot_product_attention(q, k, twofold.ones(1, 2000, 1), dropout_p=0.5)
    assert abs(out.item() - 1) < 0.1


@pytest.mark.parametrize("dtype", [twofold.bfloat16, twofold.float16])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": ~HIDDEN}])
def test_half_types(dtype, options):
    twofold.manual_seed(0)
    x = twofold.randn(2, 5, 4)
    given = {k: twofold.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    attend = nn.functional.scaled_dot_product_attention
    half = attend(*(x.to(dtype),) * 3, **given)
    assert half.dtype is dtype
    np.testing.assert_allclose(half.float().numpy(), attend(x, x, x, **given).numpy(), atol=0.03)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).to(dtype)
    made = layer(x.to(dtype), src_mask=twofold.tensor(HIDDEN))
    assert made.dtype is dtype


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: nn.MultiheadAttention(6, 4), "does not split into 4 heads"),
        (lambda: nn.TransformerEncoderLayer(6, 2, activation="swish"), "activation='swish'"),
    ],
)
def test_layers_that_cannot_be(make, problem):
    with pytest.raises(ArgumentError, match=problem):
        make()


def test_inputs_that_do_not_fit():
    x = twofold.ones(5, 2, 6)
    with pytest.raises(ShapeError, match="key must have 2 or 3 axes, the last of size 6"):
        nn.MultiheadAttention(6, 2)(x, twofold.ones(5, 2, 4), x)
    attend = nn.functional.scaled_dot_product_attention
    with pytest.raises(ShapeError, match="sizes do not fit"):
        attend(x, twofold.ones(5, 3, 4), x)
    with pytest.raises(ShapeError, match="mask does not broadcast"):
        attend(x, x, x, twofold.ones(3, 3).bool())
    with pytest.raises(ArgumentError, match="exclude each other"):
        attend(x, x, x, twofold.ones(2, 2).bool(), is_causal=True)


FUNCTION = [
    {},
    {"need_weights": False},
    {"key_padding_mask": PADDED},
    {"attn_mask": ADDED, "average_attn_weights": False},
    {"attn_mask": HEADS, "add_zero_attn": True},
    {"use_separate_proj_weight": True},
    {"bias": True},
]


@pytest.mark.parametrize("options", FUNCTION, ids=lambda o: ",".join(o))
def test_attention_as_a_function_of_all_its_weights(options):
    random = np.random.default_rng(7)

    def numbers(*shape):
        return random.normal(size=shape).astype(np.float32)

    x, weight, shift = numbers(5, 2, 6), numbers(18, 6), numbers(18)
    out, last, extra = numbers(6, 6), numbers(6), numbers(2, 1, 1, 6)
    made = []
    for t in (twofold, torch):
        given = {k: t.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        bias = given.pop("bias", False)
        zero = given.pop("add_zero_attn", False)
        parts = t.tensor(weight)
        if given.get("use_separate_proj_weight"):
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            given |= dict(zip(names, parts.chunk(3), strict=True))
        keys = [t.tensor(k) if bias else None for k in extra]
        rest = (parts, t.tensor(shift), *keys, zero, 0.0, t.tensor(out), t.tensor(last))
        made.append(
            t.nn.functional.multi_head_attention_forward(*(t.tensor(x),) * 3, 6, 2, *rest, **given)
        )
    for found, wanted in zip(*made, strict=True):
        assert (found is None) == (wanted is None)
        if found is not None:
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), 1e-5, 1e-5)


def test_the_mask_of_later_steps():
    made = nn.Transformer.generate_square_subsequent_mask(3)
    np.testing.assert_array_equal(made.numpy(), np.triu(np.full((3, 3), -np.inf), 1))
