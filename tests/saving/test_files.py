"""save and load: everything comes back, nothing damaged does, and a file is whole or absent."""

import io
import json
import os
import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twofold
from twofold.base import dtypes
from twofold.base.errors import ArgumentError, TwofoldError
from twofold.ops.tensor import Parameter, Tensor, wrap
from twofold.saving import DamagedFileError, load, save
from twofold.saving.container import lay_out
from twofold.saving.files import VERSION, checked_header, write_all


def round_trip(value, **options):
    file = io.BytesIO()
    save(value, file)
    return load(io.BytesIO(file.getvalue()), **options)


def same(a, b):
    """Equal in value, type and bits, all the way down."""
    if isinstance(a, Tensor):
        return type(b) is Tensor and a.tracked == b.tracked and same(a.array, b.array)
    if isinstance(a, np.ndarray | np.generic):
        kinds = type(b) is type(a) and a.dtype == b.dtype and a.shape == b.shape
        return kinds and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return type(b) is dict and same(list(a.items()), list(b.items()))
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float | complex):
        return type(a) is type(b) and str(a) == str(b)  # nan is nan, and -0.0 is not 0.0
    return type(a) is type(b) and a == b


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.safetensors"


def test_plain_values_come_back():
    value = {
        "none": None,
        "flags": [True, False],
        "ints": (0, -1, 2**53, 2**53 + 1, -(2**70), 10**5000),
        "floats": [0.1, -0.0, 1e-310, 1e308, float("inf"), float("-inf"), float("nan")],
        "text": 'ä\n"quoted" \\ \ud800 \0',
        "bytes": b"\x00\xff",
        "complex": complex(float("nan"), -0.0),
        "nested": [[], {}, (), ({"a": ({},)},)],
        "dtype": dtypes.bfloat16,
        3: "a number as key",
        (1, "a"): None,
        None: 0,
        True: 1.5,
        b"k": "",
    }
    assert same(value, round_trip(value))


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (7,), (2, 3)], ids=str)
@pytest.mark.parametrize("mmap", [False, True])
def test_every_dtype_and_shape(dtype, shape, mmap, path):
    values = dtypes.convert(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype)
    tensor = wrap(values)
    save([tensor, values], path)
    assert same([tensor, values], load(path, mmap=mmap))


def test_numpy_numbers_keep_their_type():
    value = [np.float64(1.5), np.float32(0.1), np.int8(-3), np.bool_(True), np.complex64(1 + 2j)]
    assert same(value, round_trip(value))


def test_the_tensor_alone():
    tensor = wrap(np.array(3, np.float32))
    assert same(tensor, round_trip(tensor))


def test_non_contiguous_tensors():
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    views = [base.T, base[:, ::2, ::-1], np.broadcast_to(base[:1], (5, 3, 4)), base[..., 1]]
    for view, again in zip(views, round_trip([wrap(v) for v in views]), strict=True):
        assert again.array.flags.c_contiguous and np.array_equal(view, again.array)


def test_shared_tensors_are_stored_once_and_stay_shared():
    x = wrap(np.zeros(10_000, np.float32))
    alias = wrap(x.array)
    file = io.BytesIO()
    save({"a": x, "b": [x, alias]}, file)
    assert len(file.getvalue()) < 1.5 * x.array.nbytes
    again = load(io.BytesIO(file.getvalue()))
    assert again["a"] is again["b"][0] is again["b"][1]


def test_empty_tensors_stay_apart():
    again = round_trip([wrap(np.zeros(0, np.float32)), wrap(np.zeros(0, np.float32))])
    assert again[0] is not again[1]


def test_parameters_and_gradients():
    again = round_trip([Parameter(wrap(np.ones(2, np.float32)))])[0]
    assert type(again) is Parameter and again.tracked and again.node is None


def test_a_flat_dict_keeps_its_names(path):
    save({"fc.weight": wrap(np.ones((2, 3))), "__metadata__": wrap(np.zeros(1))}, path)
    names = json.loads(path.read_bytes()[8:].split(b"  ")[0].split(b"\0")[0]).keys()
    assert "fc.weight" in names
    assert load(path).keys() == {"fc.weight", "__metadata__"}


def test_names_that_collide():
    x, y = wrap(np.zeros(1)), wrap(np.ones(1))
    value = {"a.b": x, "a": {"b": y}}
    assert same(value, round_trip(value))


def test_loaded_tensors_can_be_written(path):
    save(wrap(np.zeros(3)), path)
    before = path.read_bytes()
    for mmap in (False, True):
        loaded = load(path, mmap=mmap)
        loaded.array += 1
        assert path.read_bytes() == before


def test_a_mapped_file_may_be_replaced(path):
    save(wrap(np.zeros(100_000)), path)
    mapped = load(path, mmap=True)
    save(wrap(np.ones(100_000)), path)
    assert not mapped.array.any() and load(path).array.all()


class Odd:
    pass


class Subclass(int):
    pass


ITSELF = [1]
ITSELF.append(ITSELF)
DEEP = []
for _ in range(1000):
    DEEP = [DEEP]

REFUSED = {
    "object": ({"model": [1, Odd()]}, r"Odd at obj\['model'\]\[1\]"),
    "frozen set": (frozenset({1, 2}), "frozenset at obj"),
    "subclass": ([Subclass(3)], "only plain int"),
    "object array": (np.array([object()]), "object is not saved"),
    "text array": (np.array(["a"]), "is not saved"),
    "itself": (ITSELF, "contains itself"),
    "deep": (DEEP, "nested more than"),
    "key": ({Odd(): 1}, "key is not saved"),
    "tensor in key": ({(wrap(np.zeros(1)),): 1}, "part of a key"),
    "function": ([len], "not saved"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, path):
    value, problem = REFUSED[name]
    with pytest.raises(TypeError, match=problem):
        save(value, path)
    assert not os.listdir(path.parent)


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    save({"x": 1}, path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save({"x": 2}, path)
    assert load(path) == {"x": 1}
    assert os.listdir(path.parent) == [path.name]


def test_the_file_has_the_umask_s_mode(path):
    save(1, path)
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_link_is_followed_and_a_folder_refused(path):
    link = path.with_name("link")
    link.symlink_to(path)
    save(1, link)
    assert link.is_symlink() and load(path) == 1
    with pytest.raises(IsADirectoryError):
        save(1, path.parent)


def test_no_such_file_and_not_a_regular_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(ArgumentError, match="not a regular file"):
        load("/dev/zero")


def test_many_threads_save_to_one_place(path):
    threads = [
        threading.Thread(target=save, args=({"x": wrap(np.full(1000, i))}, path)) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(load(path)["x"].array)) == 1
    assert os.listdir(path.parent) == [path.name]


# Files from elsewhere


def test_plain_safetensors_files_load_as_a_dict(path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"w": np.ones((2, 3), np.float16), "b": np.zeros(0, np.int64)}, path)
    for mmap in (False, True):
        loaded = load(path, mmap=mmap)
        assert loaded["w"].array.dtype == np.float16 and loaded["b"].array.shape == (0,)


def test_pytorch_reads_ours_and_we_read_pytorch_s(path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    state = {k: v.to(torch.bfloat16) for k, v in torch.nn.Linear(3, 2).state_dict().items()}
    library.save_file(state, path, metadata={"format": "pt"})
    ours = load(path)
    save(ours, path)
    again = library.load_file(path)
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


# Damage


def everything():
    return {
        "model": {
            "w": wrap(np.arange(40, dtype=np.float32).reshape(8, 5)),
            "n": wrap(np.arange(3)),
        },
        "half": wrap(dtypes.to_bfloat16(np.arange(5, dtype=np.float32))),
        "lr": 0.1,
        "step": 12,
        "name": "adam",
        "pairs": {0: (1, 2.5), 1: b"abc"},
    }


@pytest.fixture(scope="module")
def good():
    file = io.BytesIO()
    save(everything(), file)
    return file.getvalue()


def right_or_refused(data, folder):
    """Whatever the damage: the right value or one of our errors, read and mapped."""
    (folder / "f").write_bytes(data)
    for mmap in (False, True):
        try:
            loaded = load(folder / "f", mmap=mmap)
        except TwofoldError:
            continue
        assert mmap or same(everything(), loaded)


def test_every_truncation(good, tmp_path):
    for size in range(len(good)):
        with pytest.raises(DamagedFileError):
            load(io.BytesIO(good[:size]))


def test_every_single_bit_of_the_header_and_data(good):
    for position in range(len(good) * 8):
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        try:
            loaded = load(io.BytesIO(bytes(data)))
        except TwofoldError:
            continue
        assert same(everything(), loaded), f"bit {position} changed what was loaded"


def test_random_damage(good, tmp_path):
    rng = random.Random(0)
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.choice([1, 2, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            cut = rng.randrange(len(data))
            del data[cut : cut + rng.randrange(1, 40)]
        right_or_refused(bytes(data), tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data):
    with pytest.raises(TwofoldError):
        load(io.BytesIO(data))


HOSTILE_TREES = [
    '{"tensor": "none"}',
    '{"tensor": 3}',
    '{"tensor": ["x"]}',
    '{"tensor": {}}',
    '{"tensor": "x", "complex": true}',
    '{"tensor": "x", "more": 1}',
    '{"tensor": "x", "requires_grad": 1.5}',
    '{"tensor": "x", "requires_grad": true}',
    '{"tensor": "x", "self": 1}',
    '{"tensor": "x", "name": "x"}',
    '{"pairs": [[[], 1]]}',
    '{"pairs": [[1]]}',
    '{"pairs": 3}',
    '{"dict": []}',
    '{"tuple": 3}',
    '{"int": "zz"}',
    '{"int": 3}',
    '{"float": "x"}',
    '{"float": []}',
    '{"bytes": "?"}',
    '{"bytes": 1}',
    '{"dtype": "object"}',
    '{"dtype": []}',
    '{"complex": [1]}',
    '{"complex": [{"tensor": "x"}, 1]}',
    '{"exec": "import os"}',
    "{}",
    "[" * 3000 + "]" * 3000,
    "nonsense",
    "",
]


@pytest.mark.parametrize("tree", HOSTILE_TREES, ids=lambda tree: tree[:30])
def test_hostile_trees_with_right_checksums(tree):
    arrays = {"x": np.arange(3)}
    entries = lay_out(arrays)
    file = io.BytesIO()
    write_all(file, checked_header(tree, entries, arrays), entries, arrays)
    with pytest.raises(DamagedFileError):
        load(io.BytesIO(file.getvalue()))


def test_another_version_is_named(monkeypatch):
    monkeypatch.setattr("twofold.saving.files.VERSION", 7)
    file = io.BytesIO()
    save(1, file)
    monkeypatch.undo()
    with pytest.raises(DamagedFileError, match="another version") as caught:
        load(io.BytesIO(file.getvalue()))
    assert f"known = {VERSION}" in str(caught.value)


def test_files_of_version_1_load_for_ever():
    folder = os.path.join(os.path.dirname(__file__), "released")
    loaded = load(os.path.join(folder, "version-1.safetensors"))
    assert same(everything(), loaded)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(lambda n: wrap(np.arange(n, dtype=np.float32)), st.integers(0, 5)),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(values)
def test_whatever_is_nested_comes_back(value):
    assert same(value, round_trip(value))


def test_devices_and_sets():
    value = {"device": twofold.device("cpu"), "far": twofold.device("cuda:1"), "seen": {1, "a"}}
    again = round_trip(value)
    assert again == value and again["far"].index == 1
