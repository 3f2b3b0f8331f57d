"""The command `twofold`: what it says when it is used well, and when not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import twofold
from twofold import cli

SOURCE = Path(__file__).resolve().parent.parent / "src"


def command(*words, folder):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    call = [sys.executable, "-m", "twofold", *words]
    return subprocess.run(call, capture_output=True, text=True, env=environment, cwd=folder)


def test_without_a_command_it_lists_them(capsys):
    assert cli.main([]) == 2
    text = capsys.readouterr().err
    assert all(f"    {name} " in text for name in ("arena", "run", "kernels", "flags"))


def test_it_tells_its_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"twofold {twofold.__version__}\n"


@pytest.mark.parametrize("words", [["run"], ["run", "nowhere.py"], ["run", "-m", "no.where"]])
def test_what_cannot_be_run_is_refused_with_what_to_try(words, tmp_path):
    ran = command(*words, folder=tmp_path)
    assert ran.returncode == 2
    assert "there is no" in ran.stderr and "\n  try twofold run " in ran.stderr
    assert "Traceback" not in ran.stderr and "  at  " not in ran.stderr


def test_a_program_fails_as_it_does_under_python(tmp_path):
    (tmp_path / "train.py").write_text("import torch\n\ntorch.zeros(2) @ torch.zeros(3)\n")
    ran = command("run", "train.py", folder=tmp_path)
    assert ran.returncode == 1
    lines = ran.stderr.splitlines()
    assert lines[:2] == ["Traceback (most recent call last):", lines[1]]
    assert 'train.py", line 3' in lines[1]
    assert sum(line.startswith("  File ") for line in lines) == 1
    assert any("matmul: inner sizes differ" in line for line in lines)


def test_a_module_of_a_package_that_imports_torch(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("import torch\n")
    (tmp_path / "package" / "train.py").write_text(
        "import sys\nimport torch\nprint(torch.ones(2).sum().item(), sys.argv[1:])\n"
    )
    ran = command("run", "-m", "package.train", "--epochs", "3", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "2.0 ['--epochs', '3']\n"), ran.stderr


def test_flags_are_listed_with_what_they_do(capsys):
    assert cli.main(["flags"]) == 0
    assert "TWOFOLD_THREADS" in capsys.readouterr().out
