"""Data sets from local files: what is there comes back, and damaged files say so."""

import gzip
import os
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twofold
from twofold.data import CIFAR10, CIFAR100, MNIST, ImageFolder, files, read_csv, read_idx
from twofold.saving import DamagedFileError

RANDOM = np.random.default_rng(0)


def idx(array):
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    head = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_files_of_every_type(tmp_path, kind):
    array = (RANDOM.standard_normal((3, 4)) * 50).astype(kind)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(idx(array)))
    for name in ("plain", "packed.gz"):
        found = read_idx(tmp_path / name)
        assert found.array.dtype == array.dtype
        assert found.tolist() == array.tolist()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_no_idx_file(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(data)
    with pytest.raises(DamagedFileError):
        read_idx(path)


def test_cut_off_files_are_refused(tmp_path):
    whole = idx(np.zeros((3, 4), np.uint8))
    for name, data in (("a", whole[:-1]), ("b", whole[:6]), ("c.gz", gzip.compress(whole)[:-9])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DamagedFileError):
            read_idx(tmp_path / name)


def mnist(folder, count=5):
    images = RANDOM.integers(0, 256, (count, 28, 28)).astype(np.uint8)
    labels = RANDOM.integers(0, 10, count).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    return images, labels


@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw"])
def test_mnist(tmp_path, folder):
    images, labels = mnist(tmp_path / folder)
    data = MNIST(tmp_path, train=True, target_transform=lambda label: label + 100)
    assert len(data) == 5
    assert data[2][0].tolist() == images[2].tolist()
    assert [data[i][1] for i in range(5)] == [int(label) + 100 for label in labels]
    assert data.targets.tolist() == labels.tolist()
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        MNIST(tmp_path, train=False)


def test_mnist_that_does_not_fit_together(tmp_path):
    mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DamagedFileError, match="as many"):
        MNIST(tmp_path)


def cifar(count):
    rows = RANDOM.integers(0, 256, (count, 3072)).astype(np.uint8)
    return rows, RANDOM.integers(0, 10, count).tolist()


@pytest.mark.parametrize("form", ["python", "binary"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar(tmp_path, form, protocol):
    parts = [cifar(3) for _ in range(5)]
    for number, (rows, labels) in enumerate(parts, 1):
        if form == "python":
            value = {b"data": rows, b"labels": labels, b"batch_label": b"part"}
            (tmp_path / f"data_batch_{number}").write_bytes(pickle.dumps(value, protocol))
        else:
            table = np.concatenate([np.array(labels, np.uint8)[:, None], rows], 1)
            (tmp_path / f"data_batch_{number}.bin").write_bytes(table.tobytes())
    data = CIFAR10(tmp_path)
    assert len(data) == 15
    image, label = data[4]
    assert image.shape == (32, 32, 3)
    assert image[1, 2, 0] == parts[1][0][1].reshape(3, 32, 32)[0, 1, 2]
    assert label == parts[1][1][1]


@pytest.mark.parametrize("form", ["python", "binary"])
def test_cifar100(tmp_path, form):
    rows, labels = cifar(4)
    if form == "python":
        value = {b"data": rows, b"fine_labels": labels, b"coarse_labels": [0] * 4}
        (tmp_path / "test").write_bytes(pickle.dumps(value, 2))
    else:
        two = np.array([[0] * 4, labels], np.uint8).T
        (tmp_path / "test.bin").write_bytes(np.concatenate([two, rows], 1).tobytes())
    assert CIFAR100(tmp_path, train=False).targets.tolist() == labels


class Bomb:
    def __reduce__(self):
        return os.system, ("echo executed > /tmp/twofold-was-here",)


@pytest.mark.parametrize(
    "value",
    [
        Bomb(),
        {b"data": Bomb(), b"labels": [1]},
        {b"data": np.zeros((2, 3072)), b"labels": [1, 2]},
        {b"data": np.zeros((2, 10), np.uint8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": ["a", "b"]},
        [1],
    ],
)
def test_other_pickles_are_refused(tmp_path, value):
    (tmp_path / "test_batch").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(DamagedFileError):
        CIFAR10(tmp_path, train=False)
    assert not os.path.exists("/tmp/twofold-was-here")


def test_a_binary_that_is_cut_off(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(b"\0" * 3072)
    with pytest.raises(DamagedFileError, match="cut off"):
        CIFAR10(tmp_path, train=False)


# ---- tables --------------------------------------------------------------------------------------


def test_tables(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('size,price,name\n1,2.5,"a, b"\n2,,c\n\n')
    table = read_csv(path)
    assert table["size"].tolist() == [1, 2]
    assert table["size"].dtype is twofold.int64
    assert table["price"].dtype is twofold.float32
    assert table["price"].isnan().tolist() == [False, True]
    assert table["name"] == ["a, b", "c"]
    path.write_text("1;2\n3;4\n")
    assert read_csv(path, delimiter=";")["1"].tolist() == [2, 4]
    path.write_text("1,2\n3,4\n")
    assert read_csv(path, header=True)["2"].tolist() == [4]
    path.write_text("")
    assert read_csv(path) == {}


@pytest.mark.parametrize("text", ["a,b\n1\n", "a,a\n1,2\n"])
def test_tables_that_are_none(tmp_path, text):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(DamagedFileError):
        read_csv(tmp_path / "table.csv")


# ---- folders of images ---------------------------------------------------------------------------


def test_image_folders(tmp_path):
    for name in ("b/2.png", "a/1.PNG", "b/deep/3.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    data = ImageFolder(tmp_path, loader=os.path.basename, transform=str.upper)
    assert data.classes == ["a", "b"]
    assert [data[i] for i in range(len(data))] == [("1.PNG", 0), ("2.PNG", 1), ("3.JPG", 1)]
    with pytest.raises(ValueError, match="sub-folders"):
        ImageFolder(tmp_path / "a")


def test_images_are_read_by_pillow(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="the images extra is not installed")
    pixels = RANDOM.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    (tmp_path / "a").mkdir()
    image.fromarray(pixels).save(tmp_path / "a" / "x.png")
    assert ImageFolder(tmp_path)[0][0].tolist() == pixels.tolist()


def test_without_pillow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"twofold\[images\]"):
        files.read_image("x.png")
