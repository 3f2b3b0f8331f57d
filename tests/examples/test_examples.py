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


# Programs as PyTorch's users write them, with few steps: they run, and learn a little.
SHORT = {
    "vae": ({"epochs": 1}, lambda loss: loss < 40),
    "gan": ({"steps": 20}, lambda made: 0 < made[0] < 3),
    "reinforce": ({"episodes": 4}, lambda steps: 5 < steps < 200),
    "flow": ({"steps": 30}, lambda loss: loss < 2.6),
    "pinn": ({"steps": 50, "refine": 1}, lambda error: error < 1.5),
    "tagger": ({"epochs": 1, "most": 150}, lambda accuracy: accuracy > 0.2),
    "unet": ({"epochs": 1, "count": 64}, lambda score: 0 < score < 1),
    "vit": ({"epochs": 1}, lambda accuracy: accuracy > 0.05),
    "gpt": ({"steps": 20, "batch_size": 4, "size": 30_000}, lambda loss: loss < 4.3),
    "ode": ({"niters": 10}, lambda distance: distance < 3),
    "diffusion": ({"epochs": 1}, lambda loss: loss < 0.6),
}


@pytest.mark.parametrize("name", SHORT)
def test_programs_in_the_words_of_pytorch_run(example, name, capsys):
    if name in ("vae", "flow", "vit", "diffusion"):
        pytest.importorskip("sklearn")
    steps, good = SHORT[name]
    assert good(example(name).main(**steps))
