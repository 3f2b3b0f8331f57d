"""Kernels that go along with a program: the next process, on whatever machine, compiles nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.codegen import target

SOURCE = Path(__file__).resolve().parents[2] / "src"
PROGRAM = """
import sys
import twofold
from twofold import nn

twofold.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3))
step = twofold.compile(model)
for _ in range(int(sys.argv[1])):
    with twofold.no_grad():
        made = step(twofold.ones(2, 5)).softmax(-1) + model(twofold.ones(2, 5))
print(made.sum().item())
sys.exit()
"""
CPU = "x86-64-v3"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not set(target.V3).issubset(target.cpu_features()),
    reason=f"the kernels are for {CPU} on Linux",
)


def ran(folder, *words, **switches):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")}
    environment = kept | {"PYTHONPATH": str(SOURCE)} | switches
    call = [sys.executable, *words]
    return subprocess.run(call, capture_output=True, text=True, env=environment, cwd=folder)


def test_the_next_process_compiles_nothing(tmp_path):
    (tmp_path / "serve.py").write_text(PROGRAM)
    made = ran(
        tmp_path, "-m", "twofold", "kernels", "--cpu", CPU, "--into", "made", "serve.py", "1"
    )
    assert made.returncode == 0, made.stderr
    answer, *told = made.stdout.splitlines()
    assert "kernels" in told[0] and told[0].endswith(f"for {CPU}; they are found with")
    assert told[1] == f"TWOFOLD_CACHE={tmp_path / 'made'} TWOFOLD_CPU={CPU}"
    shutil.copytree(tmp_path / "made", tmp_path / "put", copy_function=shutil.copyfile)
    switches = {"TWOFOLD_CACHE": str(tmp_path / "put"), "TWOFOLD_CPU": CPU, "TWOFOLD_DEBUG": "2"}
    # so many calls that what only a long process needs is looked for too
    served = ran(tmp_path, "serve.py", "400", **switches)
    assert served.stdout.splitlines()[-1] == answer
    assert "from the cache" in served.stderr
    assert "compiled in" not in served.stderr, served.stderr


def test_a_program_that_fails_is_told_of_and_no_kernels_are_offered(tmp_path):
    (tmp_path / "serve.py").write_text("import sys\nsys.exit(3)\n")
    made = ran(tmp_path, "-m", "twofold", "kernels", "--cpu", CPU, "serve.py")
    assert made.returncode == 3
    assert made.stdout == ""
    made = ran(tmp_path, "-m", "twofold", "kernels", "--cpu", CPU, "nowhere.py")
    assert made.returncode == 2
    assert "nowhere.py" in made.stderr and "Traceback" not in made.stderr
