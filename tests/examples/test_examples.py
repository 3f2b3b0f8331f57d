"""The examples run, learn, and leave a model that loads."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

import twofold

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Loads an example as a module, as if it were run from its folder."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("progress", None)


def test_digits_learns_within_two_passes(example, tmp_path, capsys):
    pytest.importorskip("sklearn")
    share = example("digits").main(epochs=2, folder=tmp_path)
    assert share > 0.95
    shown = capsys.readouterr().out
    assert "test accuracy" in shown and "samples/s" in shown and f"{tmp_path}/digits" in shown
    assert "the same" in shown and shown.count("sha256") == 2
    assert "a step of 32 images: eager" in shown
    assert f"loaded again it gets {share:.2%}" in shown
    assert twofold.load(tmp_path / "digits.safetensors")["out.weight"].shape == (10, 64)


def test_a_program_of_tensorflow_1_learns(example, capsys):
    pytest.importorskip("sklearn")
    assert example("tf1_digits").main(steps=150) > 0.93
    assert "step 100, training accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_digits_reaches_98_percent(example, tmp_path):
    pytest.importorskip("sklearn")
    assert example("digits").main(folder=tmp_path) >= 0.98


def test_stdlib_text_learns_and_writes(example, tmp_path, capsys):
    loss = example("stdlib_text").main(epochs=6, folder=tmp_path, size=30_000)
    assert loss < math.log(96) - 0.5
    shown = capsys.readouterr().out
    assert "the model writes" in shown and "def " in shown
    assert (tmp_path / "stdlib_text.safetensors").exists()
