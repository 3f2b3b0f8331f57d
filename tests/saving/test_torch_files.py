"""Files of torch.save's come back as what was saved, and damaged or hostile ones never run."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twofold
from twofold.base.errors import ArgumentError, DeviceError
from twofold.saving import DamagedFileError
from twofold.saving.pickles import PLAIN_NAMES, Machine

torch = pytest.importorskip("torch")

TYPES = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
    "uint16",
    "uint32",
    "uint64",
]


def written(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def read(data):
    return twofold.load(io.BytesIO(data))


def same(found, wanted):
    if isinstance(wanted, torch.Tensor):
        assert isinstance(found, twofold.Tensor)
        assert str(found.dtype).split(".")[1] == str(wanted.dtype).split(".")[1]
        assert tuple(found.shape) == tuple(wanted.shape)
        assert found.stride() == wanted.stride()
        assert found.requires_grad == wanted.requires_grad
        assert found.tolist() == wanted.tolist()
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key, value in wanted.items():
            same(found[key], value)
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for x, y in zip(found, wanted, strict=True):
            same(x, y)
    else:
        assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize("name", TYPES)
def test_every_type_comes_back(name):
    values = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, name))
    same(read(written({"x": values, "turned": values.t(), "part": values[1:, ::2]})), {
        "x": values, "turned": values.t(), "part": values[1:, ::2],
    })  # fmt: skip


def test_plain_values_and_containers_come_back():
    value = {
        "a": [1, -(2**70), 2.5, True, None, "text", b"bytes", 1j, float("inf")],
        (1, "b"): ({}, [], (), {3}),
        "ordered": OrderedDict(x=torch.ones(2), y=OrderedDict()),
        "empty": torch.ones(0, 3),
        "scalar": torch.tensor(3.5),
        "wide": torch.ones(1, 3).expand(4, 3),
        "leaf": torch.ones(2, requires_grad=True),
    }
    same(read(written(value)), value)


def test_pytorchs_own_kinds_come_back_as_ours():
    found = read(
        written(
            {
                "dtype": torch.float16,
                "size": torch.Size([1, 2]),
                "device": torch.device("cpu"),
                "parameter": torch.nn.Parameter(torch.ones(2)),
            }
        )
    )
    assert found["dtype"] is twofold.float16
    assert found["size"] == twofold.Size([1, 2])
    assert found["device"] == twofold.device("cpu")
    assert isinstance(found["parameter"], twofold.nn.Parameter)
    assert found["parameter"].requires_grad


def test_a_checkpoint_goes_on_in_twofold(tmp_path):
    def model(T):
        return T.nn.Sequential(
            T.nn.Linear(4, 8), T.nn.BatchNorm1d(8), T.nn.ReLU(), T.nn.Linear(8, 2)
        )

    there = model(torch)
    optimizer = torch.optim.Adam(there.parameters())
    there(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": there.state_dict(), "optimizer": optimizer.state_dict()}, path)

    here = model(twofold)
    saved = twofold.load(path, map_location="cpu", weights_only=True)
    here.load_state_dict(saved["model"])
    ours = twofold.optim.Adam(here.parameters())
    ours.load_state_dict(saved["optimizer"])
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    there.eval(), here.eval()
    np.testing.assert_allclose(
        here(twofold.tensor(x)).detach().numpy(),
        there(torch.tensor(x)).detach().numpy(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_tensors_that_share_a_storage_share_it():
    x = torch.zeros(4)
    found = read(written({"x": x, "again": x, "part": x[2:]}))
    assert found["x"] is found["again"]
    found["x"][3] = 5.0
    assert found["part"].tolist() == [0.0, 5.0]


def test_files_of_big_endian_machines_are_turned():
    found = read(repacked(written(torch.tensor([1.0, 2.0])), byteorder=b"big", swap=True))
    assert found.tolist() == [1.0, 2.0]


def test_options_of_pytorchs(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.ones(2), path)
    assert twofold.load(path, map_location=lambda storage, location: storage).tolist() == [1, 1]
    with pytest.raises(DeviceError):
        twofold.load(path, map_location="cuda")
    with pytest.raises(ArgumentError, match="mapped"):
        twofold.load(path, mmap=True)


# ---- what is refused -----------------------------------------------------------------------------


def repacked(data, compression=zipfile.ZIP_STORED, swap=False, **records):
    """The archive with some of its records replaced, by their last name."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", compression) as new:
        for entry in old.infolist():
            last = entry.filename.split("/", 1)[1]
            content = records.get(last.replace(".", "_"), old.read(entry))
            if swap and last.startswith("data/"):
                content = np.frombuffer(content, ">f4").astype("<f4").tobytes()
            new.writestr(entry.filename, content)
    return made.getvalue()


class Bomb:
    def __reduce__(self):
        return os.system, ("echo executed > /tmp/twofold-was-here",)


def test_nothing_in_a_file_is_run():
    for protocol in range(2, 6):
        data = repacked(written(torch.ones(2)), data_pkl=pickle.dumps(Bomb(), protocol))
        with pytest.raises(DamagedFileError, match="not loaded"):
            read(data)
    assert not os.path.exists("/tmp/twofold-was-here")


@pytest.mark.parametrize("value", [torch.nn.Linear(2, 2), np.ones(3), OSError])
def test_other_classes_are_refused_with_what_to_save(value):
    with pytest.raises(DamagedFileError, match="state_dict"):
        read(written({"model": value}))


def test_other_archives_are_refused():
    file = io.BytesIO()
    np.savez(file, x=np.ones(3))
    with pytest.raises(DamagedFileError, match=r"numpy\.load"):
        read(file.getvalue())
    with pytest.raises(DamagedFileError, match="compressed"):
        read(repacked(written(torch.zeros(1000)), zipfile.ZIP_DEFLATED))
    with pytest.raises(DamagedFileError, match="conjugate"):
        read(written(torch.ones(2, dtype=torch.complex64).conj()))


def test_a_tensor_cannot_reach_beyond_its_storage():
    whole = written(torch.ones(4))
    with pytest.raises(DamagedFileError):
        read(repacked(whole, **{"data/0": b"\0" * 12}))
    with pytest.raises(DamagedFileError):
        read(repacked(whole, **{"data/0": b"\0" * 13}))
    with pytest.raises(DamagedFileError, match="boolean"):
        read(repacked(written(torch.ones(4, dtype=torch.bool)), **{"data/0": b"\0\1\2\3"}))


SAMPLE = written(
    {"w": torch.arange(6.0).reshape(2, 3), "n": [1, (2.0, "x")], "o": OrderedDict(a=1)}
)
PICKLE = zipfile.ZipFile(io.BytesIO(SAMPLE)).read("archive/data.pkl")


def survives(data):
    """The reader gives a value or says that the file is damaged; it raises nothing else."""
    try:
        read(data)
    except DamagedFileError:
        return


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255))
def test_a_changed_byte_of_the_archive(place, byte):
    survives(SAMPLE[:place] + bytes([byte]) + SAMPLE[place + 1 :])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(PICKLE) - 1), st.binary(max_size=4), st.integers(0, 4))
def test_changed_bytes_of_the_pickle(place, put, drop):
    survives(repacked(SAMPLE, data_pkl=PICKLE[:place] + put + PICKLE[place + drop :]))


@pytest.mark.parametrize("end", range(0, len(SAMPLE), 37))
def test_an_archive_that_is_cut_off(end):
    with pytest.raises(DamagedFileError):
        read(SAMPLE[:end])


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80))
def test_random_bytes_as_a_pickle(data):
    try:
        Machine(data + b".", PLAIN_NAMES).run()
    except DamagedFileError:
        return


CODES = st.sampled_from(
    [bytes([c]) for c in b"(012N\x88\x89]ae)t\x85\x86\x87}dsu\x8f\x90\x91\x94Rb"]
)
SCALAR_CODES = st.sampled_from(
    [b"K\x01", b"U\x01a", b"q\x00", b"h\x00", b"ccollections\nOrderedDict\n"]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(CODES | SCALAR_CODES, max_size=40))
def test_random_programs_of_the_stack_machine(codes):
    try:
        Machine(b"".join(codes) + b".", PLAIN_NAMES).run()
    except DamagedFileError:
        return


def test_pickles_that_would_take_for_ever():
    doubled = b"K\x01" + b"2\x86" * 60  # (x, x) of (x, x) of ...: 2 ** 60 leaves
    assert Machine(doubled + b".", {}).run()
    with pytest.raises(DamagedFileError, match="plain value"):
        Machine(b"}" + doubled + b"K\x01s.", {}).run()
    with pytest.raises(DamagedFileError, match="nested"):
        Machine(b"(" * 20_000 + b".", {}).run()
    with pytest.raises(DamagedFileError, match="too long"):
        Machine(b"\x8b" + (2**30).to_bytes(4, "little") + b".", {}).run()


def test_plain_pickles_of_all_protocols_are_read():
    value = {"a": [1, 2.5, (True, None)], "b": b"xyz", "c": {1, 2}, (1, 2): "text" * 100}
    for protocol in range(2, 6):
        assert Machine(pickle.dumps(value, protocol), PLAIN_NAMES).run() == value
