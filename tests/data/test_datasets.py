"""The digits and the library's text are what they say."""

import sys

import numpy as np
import pytest

from twofold.base.errors import ArgumentError
from twofold.data import TensorDataset, datasets
from twofold.ops.tensor import wrap


def test_digits():
    pytest.importorskip("sklearn")
    train, test = datasets.digits()
    images, labels = (t.array for t in train.tensors)
    assert type(train) is TensorDataset and (len(train), len(test)) == (1438, 359)
    assert images.shape == (1438, 1, 8, 8) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1 and labels.dtype == np.int64
    assert np.bincount(labels).min() > 120


def test_digits_are_scikit_learn_s():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    expected, classes = sklearn_datasets.load_digits(return_X_y=True)
    train, test = datasets.digits(0.5)
    images = np.concatenate([d.tensors[0].array for d in (train, test)]).reshape(-1, 64)
    labels = np.concatenate([d.tensors[1].array for d in (train, test)])
    rows = sorted(np.column_stack([images * 16, labels]).tolist())
    assert rows == sorted(np.column_stack([expected, classes]).tolist())


def test_digits_do_not_import_scikit_learn():
    import subprocess

    pytest.importorskip("sklearn")
    program = "import sys; from twofold.data.datasets import digits; digits()"
    program += "; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(("test", "sizes"), [(0, (1797, 0)), (1, (0, 1797))])
def test_all_or_none_for_testing(test, sizes):
    pytest.importorskip("sklearn")
    assert tuple(map(len, datasets.digits(test))) == sizes


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"(?s)not installed.*twofold\[examples\]"):
        datasets.digits()


def test_digits_refuse():
    with pytest.raises(ArgumentError, match="no fraction"):
        datasets.digits(5)


def test_stdlib_text():
    text = datasets.stdlib_text(50_000)
    assert len(text) == len(text.text) == 50_000
    assert set(text.text) <= set(text.vocabulary) and len(text.vocabulary) == 96
    assert "def " in text.text and "import " in text.text
    assert text.ids.array.dtype == np.int64 and text.decode(text.ids) == text.text


def test_encode_and_decode():
    text = datasets.Text("")
    assert text.encode("\n !~").array.tolist() == [0, 1, 2, 95]
    assert text.decode(text.encode("a\tb é\r\n\0.")) == "a   b ?\n."
    assert text.decode([0, 1]) == "\n " and text.decode(wrap(np.array([], np.int64))) == ""
    with pytest.raises(IndexError):
        text.decode([96])


def test_blocks():
    text = datasets.Text("import a\n\n\nclass A:\n\n    def f():\n        pass\n\n\n\nx = 1\n")
    assert text.blocks() == ["import a\n", "class A:\n", "def f():\n    pass\n", "x = 1\n"]
    assert text.blocks(longest=10) == ["import a\n", "class A:\n", "x = 1\n"]
    blocks = datasets.stdlib_text(200_000).blocks(50, 400)
    assert len(blocks) > 100 and all(50 <= len(block) <= 400 for block in blocks)


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_stdlib_text_refuses(size):
    with pytest.raises(ArgumentError):
        datasets.stdlib_text(size)
