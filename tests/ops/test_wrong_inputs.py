"""Wrong inputs that PyTorch refuses: of the classes that its programs catch, and not silently."""

import pytest

import twofold
from twofold import nn, signal
from twofold.nn import functional as F

WHOLE = twofold.zeros(2, 2, dtype=twofold.int64)
HALF = twofold.full((2, 2), 1.5)
ROWS = twofold.tensor([0, 1])
PLACES = twofold.tensor([[0, 1], [1, 0]])
NONE = twofold.zeros(2, 3, 4, 0)

# Fractions among whole numbers: they were cut.
CUT = {
    "scatter": lambda: WHOLE.scatter(0, PLACES, HALF),
    "scatter_add": lambda: WHOLE.scatter_add(0, PLACES, HALF),
    "scatter_reduce": lambda: WHOLE.scatter_reduce(0, PLACES, HALF, "sum"),
    "index_add": lambda: WHOLE.index_add(0, ROWS, HALF),
    "index_copy": lambda: WHOLE.index_copy(0, ROWS, HALF),
    "index_put": lambda: WHOLE.index_put((ROWS,), HALF),
    "index_put_": lambda: WHOLE.clone().index_put_((ROWS,), HALF),
    "put": lambda: WHOLE.put(ROWS, HALF[0]),
    "assignment": lambda: WHOLE.clone().__setitem__(ROWS, HALF),
    "mask": lambda: WHOLE.clone().__setitem__(WHOLE == 0, HALF.reshape(-1)),
    "bools": lambda: (WHOLE > 0).index_put((ROWS,), WHOLE),
}
REFUSED = {
    IndexError: {
        "amax": lambda: twofold.zeros(0, 2).amax(0),
        "argmin": lambda: twofold.zeros(2, 0).argmin(1),
        "median": lambda: twofold.zeros(2, 0).median(1),
        "fft": lambda: twofold.fft.fft(twofold.tensor(1.0)),
        "irfft2": lambda: twofold.fft.irfft2(twofold.tensor(1.0), dim=(0,)),
        "select_scatter": lambda: HALF.select_scatter(HALF[0], 1, 7),
        "smallest of nothing": lambda: twofold.linalg.vector_norm(twofold.zeros(0), -2),
        "float index": lambda: HALF[1.0],
        "float indices": lambda: HALF[twofold.tensor([1.0])],
    },
    ValueError: {
        "window of integers": lambda: signal.windows.hann(3, dtype=twofold.int64),
        "window layout": lambda: signal.windows.hann(3, layout=twofold.sparse_coo),
        "reduction": lambda: F.multi_margin_loss(HALF, HALF[0], reduction="abc"),
        "weight": lambda: F.multi_margin_loss(HALF, HALF[0], weight=twofold.tensor(1.0)),
        "labels": lambda: F.multilabel_margin_loss(HALF, HALF, reduction="abc"),
        "margin": lambda: F.triplet_margin_loss(HALF, HALF, HALF, margin=-1.0),
    },
    RuntimeError: {
        "dilation": lambda: F.conv2d(HALF[None, None], HALF[None, None], dilation=-1),
        "padding": lambda: F.conv1d(HALF[None], HALF[None], padding=-1),
        "axes of a shuffle": lambda: F.pixel_shuffle(HALF, 2),
        "axes of an unshuffle": lambda: F.pixel_unshuffle(HALF, 2),
        "axes of channels": lambda: F.channel_shuffle(HALF[0], 2),
        "axes of a transposed image": lambda: F.conv_transpose2d(HALF, twofold.ones(2, 1, 2, 2)),
        "whole numbers as logits": lambda: F.binary_cross_entropy_with_logits(WHOLE, WHOLE),
        "a tensor as a type": lambda: twofold.zeros(2, dtype=HALF),
        "stride": lambda: F.max_pool2d(HALF[None], 1, stride=0),
        "nearest of nothing": lambda: F.interpolate(NONE, (3, 3)),
        "bilinear of nothing": lambda: F.interpolate(NONE, (3, 3), mode="bilinear"),
        "grid of nothing": lambda: F.grid_sample(NONE, twofold.zeros(2, 1, 1, 2)),
        "conv of nothing": lambda: F.conv2d(NONE, twofold.ones(1, 3, 1, 1), padding=1),
        "transposed": lambda: F.conv_transpose2d(NONE, twofold.ones(3, 1, 2, 2)),
        "pool of nothing": lambda: F.avg_pool2d(NONE, 2, padding=1),
        "adaptive pool of nothing": lambda: F.adaptive_avg_pool2d(NONE, 2),
        "sums of nothing": lambda: F.avg_pool2d(NONE, 2, padding=1, divisor_override=2),
        "classes of none": lambda: F.one_hot(twofold.zeros(0, dtype=twofold.int64)),
        "pivots": lambda: twofold.linalg.lu_solve(HALF, ROWS[:1].int(), HALF),
        "parameter": lambda: nn.Parameter(WHOLE),
    },
}
REFUSED[TypeError] = REFUSED.get(TypeError, {}) | {
    "numbers alone": lambda: twofold.max(2, 3),
    "a number alone": lambda: twofold.min(2.0),
}
CASES = [(kind, name) for kind, cases in REFUSED.items() for name in cases]


@pytest.mark.parametrize("name", CUT)
def test_fractions_are_not_cut_on_the_way_into_whole_numbers(name):
    with pytest.raises(TypeError, match="would be cut to"):
        CUT[name]()


def test_values_of_wider_types_of_a_kind_are_rounded():
    made = twofold.zeros(2, 2)
    made[ROWS] = HALF.double()
    assert made.tolist() == HALF.tolist()
    made[made > 1] = twofold.tensor(3)
    assert made.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    whole = WHOLE.clone()
    whole[whole == 0] = twofold.tensor(1.5)  # one value for a mask, as PyTorch's masked_fill
    assert whole.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_refusals_are_of_the_class_that_is_caught(kind, name):
    with pytest.raises(kind):
        REFUSED[kind][name]()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: twofold.linalg.norm(twofold.zeros(0, 5), float("inf")), ()),
        (lambda: twofold.linalg.matrix_norm(twofold.zeros(2, 0, 3), 2), (2,)),
        (
            lambda: F.max_unpool1d(*[twofold.zeros(0, 2, 1, dtype=d) for d in KINDS], 3, 2),
            (0, 2, 3),
        ),
        (
            lambda: F.max_pool2d(WHOLE[:0].reshape(0, 2, 1, 1), 1, return_indices=True)[1],
            (0, 2, 1, 1),
        ),
        (lambda: F.scaled_dot_product_attention(*[twofold.zeros(0, 2, 0)] * 3), (0, 2, 0)),
        (lambda: F.conv2d(twofold.zeros(0, 1, 4, 4), twofold.ones(1, 1, 2, 2)), (0, 1, 3, 3)),
        (lambda: F.interpolate(twofold.zeros(0, 1, 4, 4), (2, 2)), (0, 1, 2, 2)),
        (lambda: F.adaptive_avg_pool1d(twofold.zeros(2, 3, 0), 0), (2, 3, 0)),
    ],
)
def test_nothing_gives_nothing(make, shape):
    made = make()
    assert made.shape == shape
    assert made.sum() == 0


KINDS = (twofold.float32, twofold.int64)


def test_the_median_of_nothing_is_nan():
    assert twofold.zeros(0).nanmedian().isnan()


def test_einsum_sums_an_axis_of_bytes_in_int64():
    """A letter of one operand alone, as PyTorch does; letters of two are products' axes."""
    bytes_ = twofold.full((3,), 200, dtype=twofold.uint8)
    made = twofold.einsum("i->", bytes_)
    assert made.dtype is twofold.int64
    assert made.item() == 600
    made = twofold.einsum("i,j->j", bytes_, twofold.ones(2, dtype=twofold.uint8))
    assert made.tolist() == [600, 600]
    assert twofold.einsum("i,i->", bytes_, bytes_).dtype is twofold.uint8
