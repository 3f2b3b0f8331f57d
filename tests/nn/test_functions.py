"""Functions of images, bags, sequences and margins: values, gradients, refusals, as in PyTorch."""

import numpy as np
import pytest
import twins
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold.ops.tensor import wrap

# I images, V volumes, L lines, G a grid, of distinct numbers
SETUP = "I = (T.arange(160.) * 7 % 31 / 9 - 1).reshape(2, 2, 5, 8) * f[0, 0]; "
SETUP += "V = (T.arange(420.) * 11 % 421 / 90 - 2).reshape(1, 2, 5, 6, 7) * f[0, 0]; "
SETUP += (
    "L = I.reshape(2, 2, 40)[:, :, :11]; G = x[..., :2].reshape(2, 1, 3, 2).repeat(1, 2, 1, 1); "
)
SETUP += "W = x[:1, :, :3].reshape(1, 1, 3, 3, 1).repeat(1, 2, 1, 1, 3) * 0.7; "
RESIZE = """
F.interpolate(L, 7)  F.interpolate(I, (3, 11))  F.interpolate(I, scale_factor=2)
F.interpolate(V, scale_factor=(1, 2, 0.5))  F.interpolate(I, scale_factor=1.7)
F.interpolate(I, (7, 3), mode='nearest-exact')
F.interpolate(I, scale_factor=0.6, mode='nearest-exact')
F.interpolate(L, 17, mode='linear')  F.interpolate(L, 5, mode='linear', align_corners=True)
F.interpolate(I, (9, 3), mode='bilinear')
F.interpolate(I, (9, 3), mode='bilinear', align_corners=True)
F.interpolate(I, scale_factor=1.7, mode='bilinear')
F.interpolate(I, scale_factor=2, mode='bilinear')
F.interpolate(I, scale_factor=1.7, mode='bilinear', recompute_scale_factor=True)
F.interpolate(I, (5, 8), mode='bilinear')  F.interpolate(I, 1, mode='bilinear', align_corners=True)
F.interpolate(I, (9, 5), mode='bicubic')
F.interpolate(I, (9, 5), mode='bicubic', align_corners=True)
F.interpolate(I, scale_factor=0.5, mode='bicubic')  F.interpolate(V, (7, 4, 9), mode='trilinear')
F.interpolate(V, scale_factor=1.5, mode='trilinear', align_corners=True)
F.interpolate(I, (3, 3), mode='area')
F.interpolate(V, 2, mode='area')  F.interpolate(L, 3, mode='area')
F.interpolate(I, (3, 3), mode='bilinear', antialias=True)
F.interpolate(I, (9, 3), mode='bicubic', antialias=True)
F.interpolate(I, (3, 12), mode='bilinear', antialias=True, align_corners=True)
F.interpolate(I, scale_factor=0.4, mode='bicubic', antialias=True)
F.interpolate(I.double(), (3, 9), mode='bilinear')
F.interpolate(I)  F.interpolate(I, 3, 2)  F.interpolate(I, 3, mode='linear')
F.interpolate(I, 3, mode='no')
F.interpolate(I, 3, align_corners=True)  F.interpolate(I, (3, 3, 3))  F.interpolate(f, 3)
F.interpolate(L, 3, mode='linear', antialias=True)  F.interpolate(I, 0)  F.upsample_nearest(I, 3)
F.upsample_bilinear(I, scale_factor=2)
"""
GRIDS = """
F.grid_sample(I, G)  F.grid_sample(I, G, align_corners=True)  F.grid_sample(I, G, 'nearest')
F.grid_sample(I, G, 'nearest', 'border', True)  F.grid_sample(I, G, padding_mode='border')
F.grid_sample(I, G, padding_mode='reflection')  F.grid_sample(I, G, 'bilinear', 'reflection', True)
F.grid_sample(I, G, 'bicubic')  F.grid_sample(I, G, 'bicubic', 'border')
F.grid_sample(I, G, 'bicubic', 'reflection', True)  F.grid_sample(V, W)
F.grid_sample(V, W, 'nearest')
F.grid_sample(V, W, 'bilinear', 'border')  F.grid_sample(V, W, 'bilinear', 'reflection', True)
F.grid_sample(V, W, 'bicubic')  F.grid_sample(I, W)  F.grid_sample(I, G, 'other')
F.grid_sample(I, G[:1])
F.grid_sample(I, F.affine_grid(x[:, :2, :3], (2, 2, 4, 3), False))
F.affine_grid(x[:, :2, :3], (2, 1, 4, 3), True)  F.affine_grid(x[:, :2, :3], (2, 1, 4, 3), False)
F.affine_grid(x[:1].reshape(1, 3, 4), (1, 1, 2, 3, 4), False)  F.affine_grid(x, (2, 1, 4, 3), False)
F.affine_grid(x[:, :2, :3], (2, 1, 1, 3), True)
"""
WINDOWS = """
F.unfold(I, 2)  F.unfold(I, (2, 3), stride=2)  F.unfold(I, 3, padding=1, dilation=2)
F.unfold(I[0], 2)
F.unfold(I, 9)  F.unfold(L, 2, padding=(1, 0))  F.fold(F.unfold(I, 2), (5, 8), 2)
F.fold(F.unfold(I, (2, 3), stride=2), (5, 8), (2, 3), stride=2)
F.fold(F.unfold(I[0], 2), (5, 8), 2)  F.fold(F.unfold(I.repeat(1, 1, 1, 3), 3), (5, 24), 3)
F.fold(F.unfold(I, 3, 2, 1, (1, 2)), (5, 8), 3, 2, 1, (1, 2))  F.fold(L, (5, 8), 2)
F.max_pool3d(V, 2)  F.max_pool3d(V, (2, 3, 2), (1, 2, 3), 1)  F.max_pool3d(V, 3, 2, 1, 1, True)
F.max_pool3d(V[0], 2, return_indices=True)  F.max_pool3d(V, 3, 2, 1, return_indices=True)
F.max_pool3d(V, 2, dilation=2, return_indices=True)  F.max_pool3d(V, 9)  F.max_pool3d(I[0, 0], 2)
F.avg_pool3d(V, 2)  F.avg_pool3d(V, 3, 2, 1)  F.avg_pool3d(V, 3, 2, 1, True, False)
F.avg_pool3d(V, 3, 2, 1, count_include_pad=False)  F.avg_pool3d(V[0], 2, divisor_override=3)
F.adaptive_avg_pool3d(V, 2)  F.adaptive_avg_pool3d(V, (1, None, 3))
F.adaptive_max_pool3d(V, (2, 3, 2))
F.adaptive_max_pool3d(V, (2, 4, 3), return_indices=True)  F.adaptive_max_pool2d(I, (2, 3), True)
F.adaptive_max_pool1d(L, 4, return_indices=True)  F.adaptive_max_pool3d(V[0], 1, True)
F.lp_pool1d(L.abs(), 2, 3)  F.lp_pool2d(I.abs() + 0.1, 3, 2, 1)
F.lp_pool2d(I, 1, (2, 3), ceil_mode=True)  F.conv3d(V[0], V[:, :, :2, :3, :2], padding='same')
F.conv3d(V, V[:, :, :2, :3, :2], v[:1], 2, (1, 2, 0), (2, 1, 3))
F.lp_pool3d(V.abs() + 0.1, 2, 2)  F.max_unpool2d(*F.max_pool2d(I, 2, return_indices=True), 2)
F.max_unpool1d(*F.max_pool1d(L, 2, return_indices=True), 2, output_size=(11,))
F.max_unpool3d(*F.max_pool3d(V, 2, return_indices=True), 2, output_size=V.shape)
F.max_unpool2d(*F.max_pool2d(I, 3, 2, 1, return_indices=True), 3, 2, 1)
F.max_unpool2d(I, I.long()[0], 2)
F.fractional_max_pool2d(I, 2, (3, 4), _random_samples=R)
F.fractional_max_pool2d(I, 2, output_ratio=0.5, _random_samples=R)
F.fractional_max_pool2d(I, (2, 3), (2, 4), return_indices=True, _random_samples=R)
F.fractional_max_pool3d(V, 2, (3, 4, 5), return_indices=True, _random_samples=R3)
F.fractional_max_pool2d(I, 2)  F.fractional_max_pool2d(I, 4, (5, 4))
F.conv3d(V, V[:, :, :2, :3, :2].repeat(3, 1, 1, 1, 1))
F.conv3d(V, V[:, :1, :2, :2, :2].repeat(4, 1, 1, 1, 1), stride=(1, 2, 1), padding=1, groups=2)
F.conv_transpose3d(V, V[:, :, :2, :2, :3].transpose(0, 1))
F.conv_transpose3d(V, V[:, :, :2, :2, :3].transpose(0, 1), None, 2, 1, 1)
"""
SEQUENCES = """
F.embedding_bag(k % 3, f)  F.embedding_bag(k % 3, f, mode='sum')
F.embedding_bag(k % 3, f, mode='max')
F.embedding_bag(k[0] % 3, f, T.tensor([0, 2]))
F.embedding_bag(k[0] % 3, f, T.tensor([0, 2, 2, 4]), mode='sum')
F.embedding_bag(k[0] % 3, f, T.tensor([0, 2, 2]), mode='max')
F.embedding_bag(k[0] % 3, f, T.tensor([0, 1, 4]), include_last_offset=True)
F.embedding_bag(k % 3, f, mode='sum', per_sample_weights=g)
F.embedding_bag(k % 3, f, padding_idx=1)
F.embedding_bag(k % 3, f, mode='max', padding_idx=-1)
F.embedding_bag(k % 3, f, per_sample_weights=g)
F.embedding_bag(k[0], f)  F.embedding_bag(k % 3, f, mode='min')  F.embedding_bag(k + 9, f)
F.ctc_loss(P, Y, (7, 5), (3, 2))  F.ctc_loss(P, Y, (7, 5), (3, 2), reduction='none')
F.ctc_loss(P, Y, T.tensor([7, 6]), T.tensor([3, 0]), reduction='sum')
F.ctc_loss(P, Y.flatten()[:5], (7, 5), (3, 2), blank=3)
F.ctc_loss(P[:, 0], Y[0], (7,), (3,))  F.ctc_loss(P, Y, (7, 2), (3, 3), reduction='none').detach()
F.ctc_loss(P, Y, (7, 2), (3, 3), zero_infinity=True)  F.ctc_loss(P, Y, (9, 2), (3, 3))
F.ctc_loss(P, Y * 0 + 2, (7, 7), (3, 3))
F.multi_margin_loss(f, k[:, 0] % 4)  F.multi_margin_loss(f, k[:, 0] % 4, 2, 0.5, g[0])
F.multi_margin_loss(v, n)
F.multi_margin_loss(f, k[:, 0] % 4, reduction='none')  F.multi_margin_loss(f, k[:, 0] + 9)
F.multilabel_margin_loss(f, T.tensor([[3, 0, -1, 1], [1, -1, 2, 2], [-1, 0, 1, 2]]))
F.multilabel_margin_loss(v, T.tensor([3, 0, -1, 1]), reduction='sum')
F.multilabel_soft_margin_loss(f, b.float())
F.multilabel_margin_loss(f, T.tensor([[3, 0, 2, 1]] * 3), reduction='none')
F.multilabel_soft_margin_loss(f, b.float(), g, reduction='none')
F.triplet_margin_with_distance_loss(f, g, g.flip(0))
F.triplet_margin_with_distance_loss(f, g, q[1:], distance_function=F.cosine_similarity, swap=True)
F.triplet_margin_with_distance_loss(f, g, g, margin=-1)  F.relu_(f.clone())  F.elu_(f.clone(), 0.5)
F.leaky_relu_(f.clone())
F.hardtanh_(f.clone(), -0.5, 0.5)  F.threshold_(f.clone(), 0.1, 2)  F.selu_(f.clone())
F.celu_(f.clone())
"""
TOP = """
T.conv1d(L, L[:, :, :3])  T.conv2d(I, I[:, :, :2, :2], stride=2)  T.conv3d(V, V[:, :, :2, :2, :2])
T.conv_transpose2d(I, I[:, :, :2, :2])  T.avg_pool1d(L, 2)  T.max_pool1d(L, 2)  T.max_pool2d(I, 2)
T.max_pool3d(V, 2)  T.adaptive_avg_pool1d(L, 3)  T.cosine_similarity(f, g)  T.dropout(f, 0.5, False)
T.pairwise_distance(f, g)  T.pixel_shuffle(I.repeat(1, 2, 1, 1), 2)  T.pixel_unshuffle(V[0], 1)
T.bilinear(f, g, x.reshape(1, 6, 4)[:, :4])  T.channel_shuffle(I, 2)  T.group_norm(I, 2)
"""
MORE = "R = T.tensor([[[0.4, 0.9]] * 2] * 2); R3 = T.tensor([[[0.1, 0.7, 0.3]] * 2]); "
MORE += "P = T.stack([x[0], x[1], x[0].flip(0)[:3]])[:, :2].reshape(3, 2, 4); "
MORE += (
    "P = T.cat([P, P * 0.5, P.flip(2)])[:7].log_softmax(-1); Y = T.tensor([[1, 2, 2], [2, 1, 3]]); "
)
LINES = [
    line for text in (RESIZE, GRIDS, WINDOWS, SEQUENCES, TOP) for line in text.splitlines() if line
]
EXCEPT = {
    "F.fractional_max_pool2d(I, 2, output_ratio=0.5, _random_samples=R)": "PyTorch wants two",
}


def given(line):
    return [SETUP + MORE + text for text in cases(line) if text not in EXCEPT]


@pytest.mark.parametrize("line", LINES)
def test_values(line, monkeypatch):
    monkeypatch.setitem(twins.TOLERANCE, "float32", 1e-5)
    compare_all(given(line))


@pytest.mark.parametrize("line", LINES)
def test_gradients(line, monkeypatch):
    monkeypatch.setitem(twins.TOLERANCE, "float32", 1e-4)
    compare_all_gradients(given(line))


@pytest.mark.parametrize("lengths", [[9, 6, 7], twofold.tensor([9, 6, 7])])
def test_ctc_in_a_compiled_function(lengths):
    twofold.manual_seed(0)
    scores = twofold.randn(9, 3, 5)
    labels, sizes = twofold.tensor([[1, 2, 2, 4], [3, 1, 0, 0], [4, 4, 1, 0]]), [4, 2, 3]

    def loss(scores, labels, sizes):
        x = scores.log_softmax(2)
        made = twofold.nn.functional.ctc_loss(x, labels, lengths, sizes)
        return made, twofold.autograd.grad(made, scores)[0]

    for given in (sizes, twofold.tensor(sizes)):
        eager = loss(scores.clone().requires_grad_(), labels, given)
        compiled = twofold.compile(loss)
        again = compiled(scores.clone().requires_grad_(), labels, given)
        assert all(map(twofold.equal, eager, again))
        with pytest.raises(IndexError, match="is not a class"):
            compiled(scores.clone().requires_grad_(), labels + 1, given)
    one_after_the_other = twofold.tensor([1, 2, 2, 4, 3, 1, 4, 4, 1])
    assert twofold.equal(loss(scores.requires_grad_(), one_after_the_other, sizes)[0], eager[0])


def test_ctc_gradient_is_the_difference_quotient():
    random = np.random.default_rng(2)
    x = random.normal(size=(6, 2, 4))
    targets, lengths, sizes = np.array([[1, 1, 3], [2, 3, 0]]), [6, 5], [3, 2]

    def loss(array):
        made = twofold.nn.functional.ctc_loss(
            array, wrap(targets), lengths, sizes, reduction="none"
        )
        return (made * twofold.tensor([0.5, 2.0], dtype=twofold.float64)).sum()

    tracked = wrap(x.copy())
    tracked.tracked = True
    loss(tracked).backward()
    step = random.normal(size=x.shape)
    numeric = (loss(wrap(x + 1e-6 * step)) - loss(wrap(x - 1e-6 * step))).item() / 2e-6
    assert abs((tracked.grad.numpy() * step).sum() - numeric) < 1e-6


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("options", [{}, {"align_corners": True}, {"antialias": True}])
def test_resized_bytes_are_pytorchs(mode, options):
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 17), dtype=np.uint8)
    for size in ((7, 9), (33, 40), (16, 5), (20, 17)):
        made = [
            T.nn.functional.interpolate(T.tensor(numbers), size=size, mode=mode, **options)
            for T in (torch, twofold)
        ]
        np.testing.assert_array_equal(made[1].numpy(), made[0].numpy())


def test_resized_bytes_by_hand():
    x = twofold.tensor([[[[0, 255]]]], dtype=twofold.uint8)
    made = twofold.nn.functional.interpolate(x, size=(1, 4), mode="bilinear")
    assert made.flatten().tolist() == [0, 64, 191, 255]
    flat = twofold.full((1, 1, 5, 6), 77, dtype=twofold.uint8)
    for mode in ("bilinear", "bicubic"):
        made = twofold.nn.functional.interpolate(flat, size=(9, 2), mode=mode, antialias=True)
        assert (made == 77).all()


@pytest.mark.parametrize("dtype", [twofold.uint8, twofold.int32, twofold.float64])
def test_bilinear_keeps_the_type_of_whole_numbers(dtype):
    weight = twofold.ones(2, 3, 2, dtype=dtype)
    made = twofold.nn.functional.bilinear(
        twofold.ones(4, 3, dtype=dtype), twofold.ones(4, 2, dtype=dtype), weight
    )
    assert made.dtype is dtype and made.tolist() == [[6, 6]] * 4


def test_pools_of_one_window_are_means_and_extremes_of_all_axes():
    F = twofold.nn.functional
    x = twofold.tensor(np.random.default_rng(0).normal(size=(2, 3, 5, 7)), requires_grad=True)
    for pool in (F.adaptive_avg_pool2d, twofold.compile(F.adaptive_avg_pool2d)):
        assert pool(x, 1).tolist() == x.mean((2, 3), keepdim=True).tolist()
    assert F.adaptive_avg_pool3d(x, (1, 1, 1)).shape == (2, 1, 1, 1)
    for pool in (F.adaptive_max_pool2d, twofold.compile(F.adaptive_max_pool2d)):
        assert pool(x, (1, 1)).tolist() == x.amax((2, 3), keepdim=True).tolist()
    places = F.adaptive_max_pool2d(x, 1, return_indices=True)[1]
    F.adaptive_max_pool2d(x, 1).sum().backward()
    assert x.grad.flatten(2).argmax(-1).tolist() == places.flatten(1).tolist()
    ties = twofold.ones(1, 1, 4, requires_grad=True)
    F.adaptive_max_pool1d(ties, 1).sum().backward()
    assert ties.grad.tolist() == [[[1.0, 0.0, 0.0, 0.0]]]
    with pytest.raises(TypeError, match="int64 is not taken"):
        F.adaptive_avg_pool2d(twofold.ones(1, 4, 4, dtype=twofold.int64), 1)
