"""What `import twofold` brings along, and what only comes when it is used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
MOST_MODULES = 128  # of ours: each takes a quarter of a millisecond
# Ours that a program may not need, and the standard library's that NumPy does not import itself.
LATE = {
    "llvmlite", "dataclasses", "json", "difflib", "base64", "copy", "heapq", "bisect", "asyncio",
    "logging", "subprocess", "socket", "hashlib", "tempfile", "multiprocessing", "unittest",
    "twofold.nn", "twofold.optim", "twofold.data", "twofold.distributions", "twofold.frontends",
    "twofold.arena", "twofold.passes", "twofold.saving.files", "twofold.linalg", "twofold.fft",
    "twofold.codegen.emit", "twofold.codegen.native.build", "twofold.codegen.native.entry",
    "twofold.codegen.native.tensor", "twofold.codegen.vmath", "twofold.ir.verify",
    "twofold.lower.optim", "twofold.lower.elementwise", "twofold.lower.rows",
}  # fmt: skip


def run(code: str) -> object:
    """What a new process prints as JSON."""
    program = f"import sys, json\nsys.path.insert(0, {str(SOURCE)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def imported(code: str) -> list[str]:
    """The modules that a new process has after `code` and not before."""
    before = "import numpy; before = set(sys.modules)"  # json is there: it prints
    before = f"del sys.modules['json']; {before}"
    shown = "found = sorted(set(sys.modules) - before); import json; print(json.dumps(found))"
    return run(f"{before}\n{code}\n{shown}")


@pytest.fixture(scope="module")
def ours() -> list[str]:
    return imported("import twofold")


def test_what_a_program_may_not_need_is_not_imported(ours):
    parents = {name.split(".")[0] for name in ours} | set(ours)
    assert not parents & LATE


def test_the_number_of_modules_is_small(ours):
    assert sum(name.startswith("twofold") for name in ours) <= MOST_MODULES


def test_a_kernel_of_the_cache_needs_no_compiler():
    add = "import twofold; x = twofold.ones(3) + twofold.ones(3)"
    imported(add)  # fills the cache
    found = imported(add)
    assert "twofold.lower.elementwise" in found
    assert not [name for name in found if name.startswith("llvmlite")]
    assert "twofold.codegen.emit" not in found
    assert not [name for name in found if name.startswith("twofold.codegen.vmath")]


@pytest.mark.parametrize(
    "name", ["nn", "optim", "data", "linalg", "fft", "save", "load", "compile"]
)
def test_a_late_name_comes_when_it_is_asked_for(name):
    assert run(f"import twofold; print(json.dumps(twofold.{name}.__name__))").endswith(name)
    assert run(f"from twofold import {name}; print(json.dumps({name}.__name__))").endswith(name)


def test_the_collector_is_left_as_it_was():
    for switch in ("enable", "disable"):
        code = f"import gc; gc.{switch}(); import twofold; print(json.dumps(gc.isenabled()))"
        assert run(code) is (switch == "enable")
    assert run("import gc, twofold; print(json.dumps(gc.get_freeze_count()))") == 0


def test_functions_that_come_late_are_behind_machine_code_too():
    code = """
import twofold
from twofold.exec import tensors
there = tensors.install()
function = type(twofold.nn.functional.linear).__name__
tensors.remove()
print(json.dumps([there, function, type(twofold.nn.functional.linear).__name__]))
"""
    there, function, after = run(code)
    assert function == ("builtin_function_or_method" if there else "function")
    assert after == "function"


def test_a_graph_in_a_file_opens_in_a_new_process(tmp_path):
    path = str(tmp_path / "graph.safetensors")
    written = f"twofold.export(lambda x: x * 2, twofold.ones(3), path={path!r})"
    run(f"import twofold; {written}; print(1)")
    opened = f"twofold.load({path!r})(twofold.ones(3)).tolist()"
    assert run(f"import twofold; print(json.dumps({opened}))") == [2.0, 2.0, 2.0]
