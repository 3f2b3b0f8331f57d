"""Older names of functions, and what programs ask of tensors now and then."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import twofold
from twofold.nn import functional


def test_powers_and_ranges():
    x = twofold.tensor([1.0, 2.0, 3.0])
    assert twofold.vander(x).tolist() == np.vander([1.0, 2.0, 3.0]).tolist()
    assert twofold.vander(x, 2, increasing=True).tolist() == [[1, 1], [1, 2], [1, 3]]
    made = twofold.range(1, 4)
    assert made.tolist() == [1.0, 2.0, 3.0, 4.0] and made.dtype is twofold.float32
    assert twofold.range(1, 2, 0.5).tolist() == [1.0, 1.5, 2.0]
    assert twofold.range(3, 0, -2, dtype=twofold.int64).tolist() == [3, 1]
    with pytest.raises(twofold.TwofoldError, match="does not lead from 0 to 3"):
        twofold.range(0, 3, -1)


def test_norms():
    x = np.arange(12.0).reshape(3, 4)
    t = twofold.tensor(x)
    assert np.isclose(twofold.frobenius_norm(t).item(), np.linalg.norm(x))
    assert np.allclose(twofold.frobenius_norm(t, 1).numpy(), np.linalg.norm(x, axis=1))
    assert np.isclose(twofold.nuclear_norm(t).item(), np.linalg.norm(x, "nuc"))
    made = twofold.norm_except_dim(t, 2, 1)
    assert made.shape == (1, 4) and np.allclose(made.numpy()[0], np.linalg.norm(x, axis=0))
    assert np.isclose(twofold.norm_except_dim(t, 2, -1).item(), np.linalg.norm(x))
    assert twofold.norm_except_dim(t[0], 2, 0).tolist() == [0, 1, 2, 3]


def test_questions():
    x = twofold.ones(2)
    assert twofold.is_signed(x) and not twofold.is_signed(x.to(twofold.uint8))
    asked = (twofold.is_conj, twofold.is_neg, twofold.is_inference, twofold.is_distributed)
    assert [ask(x) for ask in asked] == [False] * 4
    assert twofold.get_device(x) == -1
    assert twofold.sym_max(2, 1.0) == 2.0 and isinstance(twofold.sym_max(2, 1.0), float)
    assert isinstance(twofold.sym_min(1, 2.0), float) and twofold.sym_sum([1, 2, 3]) == 6
    assert twofold.sym_int(2.7) == 2 and twofold.sym_float(2) == 2.0 and twofold.sym_not(0)
    assert twofold.sym_sqrt(9) == 3.0 and twofold.sym_ite(False, 1, 2) == 2


def test_functions_of_layers_with_their_flat_arguments():
    twofold.manual_seed(0)
    x, w, b = twofold.randn(4, 3, 5), twofold.rand(3), twofold.rand(3)
    mean, var = twofold.zeros(3), twofold.ones(3)
    made = twofold.batch_norm(x, w, b, mean, var, False, 0.1, 1e-5, True)
    assert twofold.equal(made, functional.batch_norm(x, mean, var, w, b))
    made = twofold.instance_norm(x, w, b, None, None, True, 0.1, 1e-5, True)
    assert twofold.equal(made, functional.instance_norm(x, weight=w, bias=b))
    assert twofold.embedding(w.reshape(3, 1), twofold.tensor([2, 0])).tolist() == [[w[2]], [w[0]]]
    p, q = twofold.randn(4, 3), twofold.rand(4, 3)
    sign = twofold.tensor([1.0, -1.0, 1.0, -1.0])
    losses = [
        ("binary_cross_entropy_with_logits", (p, q), {}),
        ("kl_div", (p, q), {}),
        ("cosine_embedding_loss", (p, q, sign), {}),
        ("hinge_embedding_loss", (p[:, 0], sign), {}),
        ("margin_ranking_loss", (p[:, 0], q[:, 0], sign), {}),
        ("triplet_margin_loss", (p, q, q + 1), {}),
    ]
    for name, args, options in losses:
        for number, word in enumerate(("none", "mean", "sum")):
            made = getattr(twofold, name)(*args, reduction=number, **options)
            wanted = getattr(functional, name)(*args, reduction=word, **options)
            assert twofold.equal(made, wanted), name
    made = twofold.poisson_nll_loss(p, q, True, False, 1e-8, 2)
    assert twofold.equal(made, functional.poisson_nll_loss(p, q, reduction="sum"))
    lengths = (twofold.tensor([6]), twofold.tensor([2]))
    scores, words = twofold.randn(6, 1, 4).log_softmax(-1), twofold.tensor([[1, 2]])
    made = twofold.ctc_loss(scores, words, *lengths, 0, 2)
    assert twofold.equal(made, functional.ctc_loss(scores, words, *lengths, reduction="sum"))
    with pytest.raises(twofold.TwofoldError, match="reduction=3"):
        twofold.kl_div(p, q, 3)


def test_functions_that_write_into_their_input():
    for name in ("celu", "selu", "threshold"):
        x = twofold.linspace(-2, 2, 5)
        rest = (0.0, 7.0) if name == "threshold" else ()
        wanted = getattr(functional, name)(x, *rest)
        assert getattr(twofold, name + "_")(x, *rest) is x and twofold.equal(x, wanted)
    x = twofold.ones(100)
    assert twofold.dropout_(x, 0.5, True) is x and sorted(set(x.tolist())) == [0.0, 2.0]
    assert twofold.rrelu(twofold.ones(2), training=False).tolist() == [1.0, 1.0]
    assert twofold.adaptive_max_pool1d(x.reshape(1, 1, 100), 1).item() == 2.0


def test_kaiser_windows():
    assert np.allclose(twofold.kaiser_window(5, False).numpy(), np.kaiser(5, 12.0), atol=1e-6)
    assert np.allclose(twofold.kaiser_window(4, beta=3.0).numpy(), np.kaiser(5, 3.0)[:4], atol=1e-6)
    assert twofold.kaiser_window(4, dtype=twofold.float64).dtype is twofold.float64


def _given(made):
    made.note = Kept()
    return made, weakref.ref(made.note)


class Kept:
    """What a weak reference can watch."""


def test_attributes_of_the_users():
    """`x.note = 1` works as on any object of Python's, ends with the tensor, and is not carried on
    by operations.
    """
    x, kept = _given(twofold.ones(3))
    y = x + x
    y.source = x
    assert y.source.note is kept() and not hasattr(x + y, "note")
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'other'"):
        x.other  # noqa: B018
    copied = copy.deepcopy(y)
    assert copied.source is not x and copied.source.tolist() == [1, 1, 1]
    sent = pickle.loads(pickle.dumps(twofold.nn.Parameter(twofold.ones(1))))
    assert type(sent) is twofold.nn.Parameter and vars(sent) == {}
    x.note = copied.source.note = None
    assert kept() is None and vars(x) == {"note": None}
    del x, y
    round_, kept = _given(twofold.ones(1) * 2)
    round_.itself = round_
    del round_
    gc.collect()
    assert kept() is None
    many = [twofold.ones(1) + k for k in range(300)]
    for k in range(0, 300, 3):
        many[k].place = k
    assert [getattr(x, "place", None) for x in many[:4]] == [0, None, None, 3]
    del many
    assert not any(vars(twofold.ones(1) + k) for k in range(300))


def test_python_functions_of_elements():
    x = twofold.tensor([[1.0, 2.0], [3.0, 4.0]])
    version = x._version
    assert x.apply_(lambda v: v * 2 + 1) is x and x.tolist() == [[3, 5], [7, 9]]
    assert x._version > version
    assert x.map_(twofold.tensor([1.0, 2.0]), lambda a, b: a * b).tolist() == [[3, 10], [7, 18]]
    assert x[0].map2_(x[1], x[1], lambda a, b, c: a + b + c).tolist() == [17, 46]
    assert twofold.tensor([1, 2]).apply_(lambda v: v + 0.9).tolist() == [1, 2]
    with pytest.raises(twofold.TwofoldError, match="a Python function has no gradient"):
        x.requires_grad_().apply_(abs)


def test_marks_and_orders_of_axes():
    x = twofold.zeros(2, 3, 4)
    assert not (x.is_conj() or x.is_neg()) and x.resolve_conj() is x
    assert x.dim_order() == (0, 1, 2) and x.permute(2, 0, 1).dim_order() == (1, 2, 0)
    with pytest.raises(twofold.TwofoldError, match="several orders"):
        x[:1, :1].dim_order(ambiguity_check=True)
