"""Composites in a captured graph: the same bits as eager, for other sizes too."""

import numpy as np
import pytest

import twofold as T

F = T.nn.functional
R = np.random.default_rng(6)


def f(*shape):
    return R.normal(size=shape).astype(np.float32)


IMAGE, OTHER = (1, 2, 4, 6), (2, 2, 6, 8)
VOLUME, WIDER = (1, 2, 4, 4, 4), (2, 2, 6, 4, 4)
# Each function, its arguments, and arguments of other sizes.
CASES = {
    "addmm": (lambda a, b: T.addmm(b[0, 0], a, b.mT), (f(3, 4), f(5, 4)), (f(2, 4), f(6, 4))),
    "einsum": (lambda a, b: T.einsum("ij,kj->ik", a, b), (f(3, 4), f(5, 4)), (f(2, 3), f(2, 3))),
    "tensordot": (lambda a, b: T.tensordot(a, b, ([1], [1])), (f(3, 4),) * 2, (f(2, 5),) * 2),
    "kron": (T.kron, (f(3, 4), f(2, 2)), (f(2, 3), f(3, 2))),
    "cdist": (T.cdist, (f(3, 4), f(5, 4)), (f(2, 3), f(4, 3))),
    "gather": (lambda a, i: a.gather(1, i), (f(3, 4), np.array([[1, 2]] * 3)), None),
    "rfft": (lambda a: T.fft.rfft(a).abs(), (f(3, 8),), (f(2, 6),)),
    "stft": (lambda a: T.stft(a, 8, return_complex=True).abs(), (f(2, 40),), (f(3, 50),)),
    "inv": (T.linalg.inv, (f(4, 4),), (f(3, 3),)),
    "svdvals": (T.linalg.svdvals, (f(3, 4),), (f(5, 2),)),
    "lstsq": (lambda a, b: T.linalg.lstsq(a, b)[0], (f(5, 3), f(5, 2)), None),
    "log_ndtr": (T.special.log_ndtr, (f(3, 4),), (f(2, 2),)),
    "reflect": (lambda a: F.pad(a, (2, 1), "reflect"), (f(2, 3, 5),), (f(1, 2, 7),)),
    "bilinear": (lambda a: F.interpolate(a, (5, 7), mode="bilinear"), (f(*IMAGE),), None),
    "unfold": (lambda a: F.unfold(a, 2), (f(*IMAGE),), (f(*OTHER),)),
    "fold": (lambda a: F.fold(a, (4, 6), 2), (f(1, 8, 15),), (f(2, 8, 15),)),
    "grid_sample": (
        lambda a, g: F.grid_sample(a, g, align_corners=True),
        (f(*IMAGE), f(1, 3, 3, 2)),
        None,
    ),
    "max_pool3d": (lambda a: F.max_pool3d(a, 2), (f(*VOLUME),), (f(*WIDER),)),
    "avg_pool3d": (lambda a: F.avg_pool3d(a, 2), (f(*VOLUME),), (f(*WIDER),)),
    "conv3d": (F.conv3d, (f(*VOLUME), f(3, 2, 2, 2, 2)), None),
    "conv_transpose3d": (F.conv_transpose3d, (f(*VOLUME), f(2, 3, 2, 2, 2)), None),
    "adaptive_max": (lambda a: F.adaptive_max_pool2d(a, (2, 3)), (f(1, 2, 5, 7),), None),
    "embedding_bag": (F.embedding_bag, (np.array([[0, 2, 1]]), f(3, 4)), None),
    "multi_margin": (F.multi_margin_loss, (f(3, 4), np.array([0, 3, 1])), None),
    "one_hot": (lambda i: F.one_hot(i, 4), (np.array([0, 3, 1]),), (np.array([2, 2]),)),
    "log_prob": (
        lambda a, b: T.distributions.Normal(a, b.abs() + 1).log_prob(a * b),
        (f(3, 4), f(3, 4)),
        (f(2, 2), f(2, 2)),
    ),
    "kl": (
        lambda a, b: T.distributions.kl_divergence(
            T.distributions.Categorical(logits=a), T.distributions.Categorical(logits=b)
        ),
        (f(3, 4), f(3, 4)),
        (f(2, 5), f(2, 5)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_graph_gives_the_bits_of_eager(name):
    function, *given = CASES[name]
    compiled = T.compile(function)
    for arrays in given:
        if arrays is not None:
            tensors = [T.from_numpy(a) for a in arrays]
            wanted = function(*tensors).numpy()
            np.testing.assert_array_equal(compiled(*tensors).numpy(), wanted)


def test_an_index_out_of_range_is_refused_by_the_graph_too():
    compiled = T.compile(lambda a, i: a.gather(1, i))
    with pytest.raises(IndexError, match="index 9 is out of range on axis 1"):
        compiled(T.from_numpy(f(3, 4)), T.tensor([[9]] * 3))
