"""Losses against PyTorch: values, gradients, reductions, weights; and nothing is broadcast."""

import numpy as np
import pytest
from layers import Case, compare, torch

import twofold
from twofold import nn
from twofold.autograd import gradgradcheck
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

F = nn.functional
R = np.random.default_rng(7)
X = R.normal(size=(4, 5)).astype(np.float32)
T = R.normal(size=(4, 5)).astype(np.float32)
P = R.uniform(0.05, 0.95, (4, 5)).astype(np.float32)
ONE = (R.random((4, 5)) < 0.5).astype(np.float32)
SIGN = np.where(R.random((4, 5)) < 0.5, -1, 1).astype(np.float32)
ROWS = np.where(R.random(4) < 0.5, -1, 1).astype(np.float32)
LABELS = np.array([0, 4, 2, 2])
IMAGE = R.normal(size=(2, 5, 3, 2)).astype(np.float32)
PLACES = R.integers(0, 5, (2, 3, 2))
SOFT = R.dirichlet(np.ones(5), 4).astype(np.float32)

PAIRS = [
    ("MSELoss", X, T, ""),
    ("L1Loss", X, T, ""),
    ("SmoothL1Loss", X, T, "beta=0.4"),
    ("SmoothL1Loss", X, T, "beta=0"),
    ("HuberLoss", X, T, "delta=0.6"),
    ("BCELoss", P, ONE, ""),
    ("BCELoss", P, P[::-1].copy(), "weight=T.arange(5.0)"),
    ("BCEWithLogitsLoss", X, ONE, ""),
    ("BCEWithLogitsLoss", X, P, "weight=T.arange(5.0)"),
    ("BCEWithLogitsLoss", X, ONE, "pos_weight=T.arange(5.0) + 1"),
    ("KLDivLoss", X, SOFT, ""),
    ("KLDivLoss", X, T, "log_target=True"),
    ("PoissonNLLLoss", X, P, ""),
    ("PoissonNLLLoss", P, X * X, "log_input=False, full=True"),
    ("SoftMarginLoss", X, SIGN.astype(np.int64), ""),
    ("HingeEmbeddingLoss", X, SIGN, "margin=0.5"),
    ("CrossEntropyLoss", X, LABELS, ""),
    ("CrossEntropyLoss", X, LABELS, "label_smoothing=0.2"),
    ("CrossEntropyLoss", X, LABELS, "ignore_index=2"),
    ("CrossEntropyLoss", X, LABELS, "weight=T.arange(5.0) + 1"),
    (
        "CrossEntropyLoss",
        X,
        LABELS,
        "weight=T.arange(5.0) + 1, label_smoothing=0.1, ignore_index=2",
    ),
    ("CrossEntropyLoss", X, SOFT, ""),
    ("CrossEntropyLoss", X, SOFT, "weight=T.arange(5.0) + 1, label_smoothing=0.1"),
    ("CrossEntropyLoss", IMAGE, PLACES, ""),
    ("CrossEntropyLoss", IMAGE, PLACES, "weight=T.arange(5.0) + 1, ignore_index=1"),
    ("CrossEntropyLoss", X[0], np.array(3), ""),
    ("CrossEntropyLoss", X[0], SOFT[0], ""),
    ("NLLLoss", X, LABELS, ""),
    ("NLLLoss", X, LABELS, "weight=T.arange(5.0), ignore_index=0"),
    ("NLLLoss", IMAGE, PLACES, ""),
    ("NLLLoss", X[0], np.array(3), ""),
]
TRIPLES = [
    ("GaussianNLLLoss", (X, T, np.abs(T)), ""),
    ("GaussianNLLLoss", (X, T, np.abs(T[:, :1])), "full=True"),
    ("MarginRankingLoss", (X, T, SIGN), "margin=0.3"),
    ("CosineEmbeddingLoss", (X, T, ROWS), "margin=0.1"),
    ("TripletMarginLoss", (X, T, P), ""),
    ("TripletMarginLoss", (X, T, P), "margin=0.5, p=1, swap=True"),
]
BOTH = [(name, (x, t), options) for name, x, t, options in PAIRS] + TRIPLES
CASES = [
    Case(f"nn.{name}({options}{', ' if options else ''}reduction='{reduction}')", inputs)
    for name, inputs, options in BOTH
    for reduction in ("mean", "sum", "none")
]
CASES += [Case("nn.KLDivLoss(reduction='batchmean')", (X, SOFT))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_in_pytorch(case):
    compare(case)


def both(function, *inputs, **options):
    """A functional loss and the gradient by its first input, here and in PyTorch."""
    found = []
    for t in (twofold, torch):
        x, *rest = (t.tensor(a) for a in inputs)
        x.requires_grad_()
        loss = getattr(t.nn.functional, function)(x, *rest, **options)
        loss.sum().backward()
        found.append((np.array(loss.detach().numpy()), x.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_probabilities_of_0_and_1():
    p = np.array([0.0, 1.0, 0.0, 1.0], np.float32)
    t = np.array([0.0, 1.0, 1.0, 0.0], np.float32)
    both("binary_cross_entropy", p, t, reduction="none")


def test_scores_that_overflow():
    x = np.array([1000.0, -1000.0, 0.0, 80.0], np.float32)
    t = np.array([1.0, 1.0, 0.5, 0.0], np.float32)
    both("binary_cross_entropy_with_logits", x, t, reduction="none")
    both("cross_entropy", np.stack([x, -x]), np.array([1, 0]), reduction="none")


def test_a_row_that_is_left_out_may_be_infinite():
    logs = np.array([[-np.inf, 0.0], [-1.0, -0.5]], np.float32)
    both("nll_loss", logs, np.array([-100, 1]))


def test_every_row_is_left_out():
    both("cross_entropy", X, np.full(4, -100))
    both("nll_loss", X, np.full(4, -100), reduction="sum")


def test_no_rows():
    both("cross_entropy", X[:0], LABELS[:0])
    both("mse_loss", X[:0], T[:0], reduction="sum")


def test_weights_of_elements():
    both("mse_loss", X, T, weight=None)
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        for reduction in ("mean", "sum", "none"):
            found = []
            for t in (twofold, torch):
                function = getattr(t.nn.functional, name)
                loss = function(t.tensor(X), t.tensor(T), weight=t.tensor(P), reduction=reduction)
                found.append(loss.numpy())
            np.testing.assert_allclose(*found, rtol=1e-5)


def ones(*shape):
    return twofold.ones(*shape)


NEVER = {
    "mse_loss": (ones(4, 1), ones(4)),
    "l1_loss": (ones(4), ones(1)),
    "smooth_l1_loss": (ones(4, 1), ones(4, 4)),
    "huber_loss": (ones(2, 2), ones(())),
    "binary_cross_entropy": (ones(4, 1), ones(4)),
    "binary_cross_entropy_with_logits": (ones(4, 1), ones(4)),
    "kl_div": (ones(4, 3), ones(3)),
    "poisson_nll_loss": (ones(4, 1), ones(4)),
    "soft_margin_loss": (ones(4, 1), ones(4)),
    "hinge_embedding_loss": (ones(4, 1), ones(4)),
    "margin_ranking_loss": (ones(4), ones(4), ones(4, 1)),
    "cosine_embedding_loss": (ones(4, 2), ones(4, 2), ones(4, 1)),
    "triplet_margin_loss": (ones(4, 2), ones(4, 2), ones(1, 2)),
    "gaussian_nll_loss": (ones(4, 2), ones(4, 1), ones(4, 2)),
    "cross_entropy": (ones(4, 3), ones(4, 1).long()),
    "nll_loss": (ones(4, 3), ones(3).long()),
}


@pytest.mark.parametrize("name", NEVER)
def test_nothing_is_broadcast(name):
    with pytest.raises(ShapeError, match=r"shapes|fit|row") as caught:
        getattr(F, name)(*NEVER[name])
    assert caught.value.hint and len(caught.value.facts) >= 2


def test_soft_targets_are_not_broadcast():
    with pytest.raises(ShapeError, match="never broadcast"):
        F.cross_entropy(ones(4, 3), ones(4, 1))


@pytest.mark.parametrize("label", [3, -1, -101])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_a_label_out_of_range(name, label):
    with pytest.raises(IndexRangeError, match=f"label {label} is out of range"):
        getattr(F, name)(ones(2, 3), twofold.tensor([0, label]))


def test_labels_are_integers():
    with pytest.raises(DTypeError, match="labels are bool"):
        F.cross_entropy(ones(2, 3), ones(2).bool())


def test_weights_are_one_for_each_class():
    with pytest.raises(ShapeError, match="one number for each class"):
        F.cross_entropy(ones(2, 3), twofold.tensor([0, 1]), weight=ones(2))


def test_words_that_are_not_reductions():
    with pytest.raises(ArgumentError, match="reduction='average'"):
        F.mse_loss(ones(2), ones(2), reduction="average")


OLDER = [({"size_average": False}, "sum"), ({"reduce": False}, "none"), ({"reduce": True}, "mean")]


@pytest.mark.parametrize(("older", "word"), OLDER)
def test_the_older_options_say_a_reduction_with_a_warning(older, word):
    x, labels = twofold.tensor(X), twofold.tensor(LABELS)
    weight = twofold.arange(1.0, 6.0)
    for loss in (
        lambda **o: F.mse_loss(x, twofold.tensor(T), **o),
        lambda **o: nn.L1Loss(**o)(x, twofold.tensor(T)),
        lambda **o: F.cross_entropy(x, labels, weight, **o),
        lambda **o: F.nll_loss(x, labels, **o),
        lambda **o: F.kl_div(x, twofold.tensor(SOFT), **o),
        lambda **o: F.multi_margin_loss(x, labels, **o),
    ):
        with pytest.warns(UserWarning, match=f"reduction='{word}'"):
            made = loss(**older)
        assert twofold.equal(made, loss(reduction=word))


def test_probabilities_lie_in_0_to_1():
    with pytest.raises(ArgumentError, match="0 to 1"):
        F.binary_cross_entropy(ones(2) * 1.5, ones(2))
    with pytest.raises(ArgumentError, match="0 to 1"):
        F.binary_cross_entropy(ones(2) * float("nan"), ones(2))


@pytest.mark.parametrize("dtype", [twofold.bfloat16, twofold.float16])
@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits", "smooth_l1_loss"])
def test_half_types(name, dtype):
    function = getattr(F, name)
    x = twofold.tensor(X).to(dtype).requires_grad_()
    loss = function(x, twofold.tensor(ONE).to(dtype))
    loss.backward()
    assert loss.dtype is dtype and x.grad.dtype is dtype
    np.testing.assert_allclose(
        loss.item(), function(twofold.tensor(X), twofold.tensor(ONE)).item(), 0.02
    )


def test_cross_entropy_of_halfs():
    x = twofold.tensor(X).bfloat16().requires_grad_()
    loss = F.cross_entropy(x, twofold.tensor(LABELS))
    loss.backward()
    np.testing.assert_allclose(
        loss.item(), F.cross_entropy(twofold.tensor(X), twofold.tensor(LABELS)).item(), 0.02
    )


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'reduce_by'"):
        nn.MSELoss(reduce_by="mean")


def test_the_class_weights_are_state():
    loss = nn.CrossEntropyLoss(twofold.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3)])
def test_class_weights_are_one_kernel_that_agrees_with_the_formula(shape, smoothing):
    random = np.random.default_rng(5)
    weight = twofold.tensor(random.uniform(0.5, 2, shape[1]))
    target = twofold.tensor(random.integers(0, shape[1], shape[:1] + shape[2:]))
    options = {"label_smoothing": smoothing, "ignore_index": 2}
    x = twofold.tensor(random.normal(size=shape), requires_grad=True)
    F.cross_entropy(x, target, weight, **options).backward()
    y = x.detach().requires_grad_()
    F.cross_entropy(y, target, weight.clone().requires_grad_(), **options).backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-12, 1e-14)
    assert gradgradcheck(lambda z: F.cross_entropy(z, target, weight, **options), (x,))


def test_options_of_cross_entropy_that_mean_nothing():
    x, soft = twofold.randn(3, 4), twofold.rand(3, 4)
    with pytest.raises(ArgumentError, match="label_smoothing"):
        nn.functional.cross_entropy(x, twofold.tensor([0, 1, 2]), label_smoothing=1.5)
    with pytest.raises(ArgumentError, match="ignore_index"):
        nn.functional.cross_entropy(x, soft, ignore_index=1)


def test_a_variance_for_each_column():
    x, target, var = twofold.randn(4, 3, 2), twofold.randn(4, 3, 2), twofold.rand(4, 1, 2) + 0.1
    wide = nn.functional.gaussian_nll_loss(x, target, var.expand(4, 3, 2).clone())
    assert nn.functional.gaussian_nll_loss(x, target, var).item() == wide.item()
