"""Transforms of images: values, shapes, and draws that belong to the batch."""

import numpy as np
import pytest

import twofold
from twofold.data import DataLoader
from twofold.data import transforms as T
from twofold.data.dataset import Dataset

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (6, 8, 3)).astype(np.uint8)


def test_to_tensor_scales_bytes_and_puts_channels_first():
    made = T.ToTensor()(IMAGE)
    assert made.shape == (3, 6, 8)
    assert made.dtype is twofold.float32
    np.testing.assert_array_equal(made.numpy(), IMAGE.transpose(2, 0, 1) / np.float32(255))
    assert T.ToTensor()(IMAGE[:, :, 0]).shape == (1, 6, 8)
    floats = RANDOM.standard_normal((4, 4))
    assert T.ToTensor()(floats).tolist() == [floats.tolist()]
    with pytest.raises(TypeError, match="leave ToTensor out"):
        T.ToTensor()(made)
    with pytest.raises(ValueError, match="2 or 3 axes"):
        T.ToTensor()(np.zeros(3))


def test_normalize():
    x = T.ToTensor()(IMAGE)
    made = T.Normalize((0.5, 0.25, 0.0), (0.5, 1.0, 2.0))(x)
    wanted = (x.numpy() - np.float32([0.5, 0.25, 0])[:, None, None]) / np.float32([0.5, 1, 2])[
        :, None, None
    ]
    np.testing.assert_array_equal(made.numpy(), wanted)
    assert T.Normalize(0.5, 0.5)(x[None]).shape == (1, 3, 6, 8)
    with pytest.raises(TypeError, match="ToTensor"):
        T.Normalize(0.5, 0.5)(IMAGE)
    with pytest.raises(ValueError, match="deviation is 0"):
        T.Normalize(0.5, 0.0)


@pytest.mark.parametrize(
    "transform",
    [
        T.CenterCrop(4),
        T.CenterCrop((3, 10)),
        T.Pad(2),
        T.Pad((1, 2, 3, 4), fill=9),
        T.Pad(2, padding_mode="reflect"),
        T.RandomCrop(5, padding=2),
        T.RandomHorizontalFlip(),
        T.RandomVerticalFlip(),
        T.Resize((3, 5), interpolation="nearest"),
        T.Resize(12),
    ],
)
def test_arrays_and_tensors_are_moved_alike(transform):
    for _ in range(4):
        state = twofold.get_rng_state()
        array = transform(IMAGE)
        twofold.set_rng_state(state)
        tensor = transform(twofold.tensor(IMAGE.transpose(2, 0, 1)))
        assert array.transpose(2, 0, 1).tolist() == tensor.tolist()
        assert array.dtype == np.uint8


def test_where_crops_and_flips_come_from():
    assert T.CenterCrop(4)(IMAGE).tolist() == IMAGE[1:5, 2:6].tolist()
    small = T.CenterCrop((8, 8))(IMAGE)
    assert small[1:7].tolist() == IMAGE.tolist()
    assert not small[0].any()
    assert T.RandomHorizontalFlip(1.0)(IMAGE).tolist() == IMAGE[:, ::-1].tolist()
    assert T.RandomVerticalFlip(1.0)(IMAGE).tolist() == IMAGE[::-1].tolist()
    assert T.RandomHorizontalFlip(0.0)(IMAGE).tolist() == IMAGE.tolist()
    assert T.Pad((1, 2, 3, 4), fill=9)(IMAGE).shape == (12, 12, 3)
    turned = sum(T.RandomHorizontalFlip(0.5)(IMAGE)[0, 0, 0] == IMAGE[0, 7, 0] for _ in range(400))
    assert 140 < turned < 260
    places = {T.RandomCrop(4)(np.arange(48).reshape(6, 8))[0, 0] for _ in range(400)}
    assert places == {8 * y + x for y in range(3) for x in range(5)}
    with pytest.raises(ValueError, match="smaller than the crop"):
        T.RandomCrop(7)(IMAGE)
    assert T.RandomCrop(9, pad_if_needed=True)(IMAGE).shape == (9, 9, 3)


def test_resize_keeps_the_proportions_of_one_number():
    assert T.Resize(3)(IMAGE).shape == (3, 4, 3)
    assert T.Resize(3)(IMAGE[:, :4]).shape == (4, 3, 3)
    assert T.Resize(60, max_size=40)(IMAGE).shape == (30, 40, 3)
    flat = np.full((6, 8), 7, np.uint8)
    assert (T.Resize((3, 20))(flat) == 7).all()
    with pytest.raises(ValueError, match="interpolation"):
        T.Resize(3, interpolation="cubist")


def test_resize_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    x = RANDOM.standard_normal((3, 9, 7)).astype(np.float32)
    found = T.Resize((4, 5))(twofold.tensor(x))
    wanted = torch.nn.functional.interpolate(
        torch.tensor(x)[None], (4, 5), mode="bilinear", antialias=True
    )[0]
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-5)


class Pictures(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __getitem__(self, index):
        return self.transform(np.full((8, 8, 3), index, np.uint8) + IMAGE[0, :, :1])

    def __len__(self):
        return 20


def test_draws_do_not_depend_on_the_workers():
    transform = T.Compose(
        [T.RandomCrop(8, padding=2), T.RandomHorizontalFlip(), T.ToTensor(), T.Lambda(lambda x: x)]
    )

    def epoch(workers):
        loader = DataLoader(
            Pictures(transform), 4, num_workers=workers, generator=twofold.Generator(seed=3)
        )
        return [batch.tolist() for batch in loader]

    assert epoch(0) == epoch(2)
