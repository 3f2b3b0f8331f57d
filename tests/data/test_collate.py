"""Items are put together as PyTorch puts them together."""

from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.data import default_collate, default_convert
from twofold.ops.tensor import Tensor, wrap

Point = namedtuple("Point", "x y")


def plain(value):
    """Tensors as (dtype name, nested lists), containers as they are."""
    if isinstance(value, Tensor) or hasattr(value, "numpy"):
        array = value.array if isinstance(value, Tensor) else value.numpy()
        return array.dtype.name, array.tolist()
    if isinstance(value, dict):
        return type(value), {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [plain(item) for item in value]
    return value


CASES = {
    "floats": [1.5, 2.5],
    "ints": [1, 2],
    "booleans": [True, False],
    "texts": ["a", "b"],
    "bytes": [b"a", b"b"],
    "arrays": [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)],
    "numpy numbers": [np.float32(1), np.float32(2)],
    "pairs": [(1, 2.0), (3, 4.0)],
    "dicts": [{"a": 1, "b": [1.0]}, {"a": 2, "b": [2.0]}],
    "ordered": [OrderedDict(a=1), OrderedDict(a=2)],
    "default": [defaultdict(list, a=1), defaultdict(list, a=2)],
    "named": [Point(1, "u"), Point(2, "v")],
    "nested": [{"a": (1, [2.0, "x"])}, {"a": (3, [4.0, "y"])}],
}


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name):
    torch_data = pytest.importorskip("torch.utils.data")
    expected = torch_data.default_collate(CASES[name])
    assert plain(default_collate(CASES[name])) == plain(expected)


def test_tensors_are_stacked():
    batch = default_collate([(wrap(np.ones(3)), 1), (wrap(np.zeros(3)), 2)])
    assert type(batch) is list and batch[0].shape == (2, 3) and batch[1].array.dtype == np.int64


def test_refuses():
    with pytest.raises(ShapeError, match=r"(?s)differ in shape.*f64\[2\].*f64\[3\].*pad"):
        default_collate([wrap(np.ones(2)), wrap(np.ones(3))])
    with pytest.raises(ShapeError, match="differ in length"):
        default_collate([[1, 2], [1]])
    with pytest.raises(ShapeError, match="keys"):
        default_collate([{"a": 1}, {"b": 1}])
    with pytest.raises(DTypeError, match="cannot put object together"):
        default_collate([object()])
    for batch, kinds in (([1, "a"], "int and str"), ([wrap(np.ones(1)), 1], "Tensor and int")):
        with pytest.raises(DTypeError, match=f"{kinds} in one batch"):
            default_collate(batch)
    with pytest.raises(ArgumentError, match="does not fit int64"):
        default_collate([2**63, 1])


@pytest.mark.parametrize(
    ("batch", "dtype"),
    [
        ([1, 2.5], "float64"),
        ([True, 2.5], "float64"),
        ([True, 2], "int64"),
        ([2, np.float32(2.5)], "float64"),
        ([1, np.int64(3)], "int64"),
        ([np.True_, False], "bool"),
        ([wrap(np.ones(2, np.int64)), wrap(np.full(2, 0.5, np.float32))], "float32"),
    ],
)
def test_numbers_of_several_kinds_lose_nothing(batch, dtype):
    made = default_collate(batch)
    assert made.dtype.name == dtype
    wanted = [x.tolist() if isinstance(x, Tensor) else x for x in batch]
    assert made.tolist() == wanted


def test_convert():
    made = default_convert({"a": [np.zeros(2), "x"], "b": (1, np.array("text"))})
    assert type(made["a"][0]) is Tensor and made["a"][1] == "x" and type(made["b"][1]) is np.ndarray


def test_outside_of_a_batch_a_tuple_becomes_a_list():
    assert default_convert((1, [2.0])) == [1, [2.0]]
