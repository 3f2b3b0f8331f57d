"""Twofold under PyTorch's name, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
PROGRAM = """
import sys
import importlib.metadata
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from torch.nn.modules.batchnorm import _BatchNorm
import torch.jit.annotations
import twofold

assert torch.__version__.startswith("2.")
assert importlib.metadata.version("torch") == torch.__version__
assert torch.nn is twofold.nn and torch.Tensor is twofold.Tensor and F is twofold.nn.functional
assert nn.__spec__.name == "twofold.nn" and torch.torch is torch
assert torch.Future is torch.futures.Future and not torch.is_inference_mode_enabled()
x = torch.randn(8, 3)
loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)
net = nn.Linear(3, 1)
step = optim.SGD(net.parameters(), lr=0.1)
for a, b in loader:
    step.zero_grad()
    F.mse_loss(net(a), b).backward()
    step.step()
try:
    import torch.no_such_module
except ModuleNotFoundError as error:
    print("refused", error.name)
print(sys.argv[1:], __name__, torch.is_tensor(x))
"""


def python(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        env=dict(os.environ, PYTHONPATH=str(SOURCE)),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_a_program_runs_as_it_is(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    said = python("-m", "twofold", "run", "train.py", "--epochs", "3", cwd=tmp_path)
    assert said == "refused torch.no_such_module\n['--epochs', '3'] __main__ True\n"


def test_types_have_the_name_that_programs_cut_off(tmp_path):
    (tmp_path / "train.py").write_text("import torch; print(torch.ones(2).dtype, [torch.int8])")
    assert (
        python("-m", "twofold", "run", "train.py", cwd=tmp_path) == "torch.float32 [torch.int8]\n"
    )


def test_a_module_runs_by_its_name(tmp_path):
    (tmp_path / "train.py").write_text("import torch; print(torch.ones(2).sum().item(), __name__)")
    assert python("-m", "twofold", "run", "-m", "train", cwd=tmp_path) == "2.0 __main__\n"


def test_a_library_finds_twofold_from_inside_a_program(tmp_path):
    (tmp_path / "library.py").write_text("import torch.nn as nn\nLayer = nn.Linear\n")
    line = "import twofold; twofold.as_torch(); twofold.as_torch(); import library"
    assert (
        python("-c", f"{line}; print(library.Layer)", cwd=tmp_path)
        == "<class 'twofold.nn.layers.Linear'>\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "twofold", "run"), "there is no program"),
        (("-m", "twofold", "run", "nowhere.py"), "there is no file nowhere.py"),
        (
            (
                "-c",
                "import sys, twofold; sys.modules['torch'] = sys; twofold.as_torch()",
            ),
            "imported already",
        ),
    ],
)
def test_what_cannot_be_run_is_said(words, said, tmp_path):
    assert said in python(*words, cwd=tmp_path)
