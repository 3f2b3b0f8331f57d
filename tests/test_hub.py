"""Weights by an address: fetched once, checked, read from a folder."""

import hashlib

import pytest

import twofold
from twofold import hub
from twofold.base.errors import ArgumentError


@pytest.fixture
def served(tmp_path):
    twofold.save({"w": twofold.arange(3)}, tmp_path / "w.pt")
    digest = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
    named = tmp_path / f"w-{digest[:8]}.pt"
    (tmp_path / "w.pt").rename(named)
    hub.set_dir(tmp_path / "hub")
    yield named
    hub._folder.clear()


def test_a_file_is_fetched_once(served, tmp_path):
    url = served.as_uri()
    first = hub.load_state_dict_from_url(url, check_hash=True)
    served.unlink()
    again = hub.load_state_dict_from_url(url, map_location="cpu")
    assert first["w"].tolist() == again["w"].tolist() == [0, 1, 2]
    assert (tmp_path / "hub" / "checkpoints" / served.name).is_file()


def test_a_changed_file_is_refused_and_not_kept(served, tmp_path):
    served.write_bytes(served.read_bytes() + b"x")
    with pytest.raises(ArgumentError, match="SHA-256"):
        hub.load_state_dict_from_url(served.as_uri(), check_hash=True)
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


def test_a_model_of_a_folder(tmp_path):
    (tmp_path / "hubconf.py").write_text("def net(n, bias=True):\n    return n, bias\n")
    assert hub.load(str(tmp_path), "net", 3, source="local", bias=False) == (3, False)
    with pytest.raises(ArgumentError, match="local"):
        hub.load("owner/repository", "net")


def test_the_folder_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert hub.get_dir() == str(tmp_path / "hub")


def test_what_a_folder_offers(tmp_path):
    text = 'dependencies = ["torch"]\n\ndef net(n):\n    "A net."\n\ndef _hidden(): ...\n'
    (tmp_path / "hubconf.py").write_text(text)
    assert hub.list(str(tmp_path), source="local") == ["net"]
    assert hub.help(str(tmp_path), "net", source="local") == "A net."
    with pytest.raises(ArgumentError, match=r"no function 'none'[\s\S]*one of net"):
        hub.load(str(tmp_path), "none", source="local")
    (tmp_path / "hubconf.py").write_text('dependencies = ["there_is_no_such_module"]\n')
    with pytest.raises(ArgumentError, match="needs there_is_no_such_module"):
        hub.list(str(tmp_path), source="local")
