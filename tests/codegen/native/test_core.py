"""The runtime's own modules: valid, printable, the same in every process, loaded by tier."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.codegen.native import build, core, pool, tensor
from twofold.exec import tensors
from twofold.ir.text import parse
from twofold.runtime import native

SOURCE = Path(__file__).resolve().parents[3] / "src"


def built(name: str) -> object:
    if name == "tensors":
        slots = tensors.places()
        assert slots is not None
        return tensor.build_tensors(slots).finish()
    return {"base": build.build_base, "arrays": build.build_arrays}[name]().finish()


@pytest.mark.parametrize("name", ["base", "arrays", "tensors"])
def test_modules_are_canonical_loops(name: str) -> None:
    module = built(name)
    text = str(module)
    assert parse(text) == module
    assert str(built(name)) == text
    assert hex(id(None))[2:] not in text, "code holds no address of this process"


def test_start_loads_once() -> None:
    first = core.start()
    assert core.start() is first
    for symbol in ("pool_run", "block_alloc", "block_free"):
        assert first.code.address(symbol) > 0


def test_the_state_of_the_pool_stands_on_lines_of_its_own() -> None:
    assert core.start().code.address("pool_state") % 64 == 0
    written = [pool.TICKET, pool.PENDING, pool.ASLEEP, pool.BUSY, pool.TASK, pool.THREADS]
    assert len({word // 8 for word in written}) == len(written)


PROGRAM = """
import sys
import twofold
from twofold.codegen.native import core
from twofold.exec import tensors
x = twofold.tensor([1.0, 2.0])
for _ in range(150):
    y = (x + x * 2.0).sum(0)
print(core.start().tier, tensors.installed(), y.item(), "rwx" in open("/proc/self/maps").read())
"""


@pytest.mark.parametrize(
    ("tier", "expected"),
    [("0", "3 True 9.0"), ("1", "1 False 9.0"), ("2", "2 False 9.0"), ("3", "3 True 9.0")],
)
def test_tiers_and_no_page_to_write_and_run(tier: str, expected: str) -> None:
    if native.doubts():
        pytest.skip(native.doubts())
    # The last time from the cache: llvmlite, which a first time imports, makes such a page, and
    # Tensors have machine code after 100 operations only where it is there already.
    for asked in ("3", tier) if tier == "0" else (tier, tier):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", PROGRAM],
            env=dict(os.environ, PYTHONPATH=str(SOURCE), TWOFOLD_TIER=asked),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert asked != tier or done.stdout.startswith(expected)
    assert done.stdout == f"{expected} False\n"


HURRY = """
import os, sys, time
import twofold
from twofold.codegen import cache, jobs
from twofold.codegen.native import core
from twofold.runtime import native

jobs._cpus = lambda: int(sys.argv[1])
core.SETTLED = float(sys.argv[2])
x = twofold.arange(8.0, requires_grad=True)
g = twofold.autograd.grad((x * 0.3).tanh().sum(), x)[0]
key = f"native/arrays/{native.tag()}"
end = time.monotonic() + 100
while core.SETTLED == 0 and not cache.has(key) and time.monotonic() < end:
    time.sleep(0.01)
print(core.start().code.key.endswith(core.AT_FIRST), cache.has(key), g.numpy().tobytes().hex())
"""


@pytest.mark.skipif(core.start().tier < 2, reason="no entries in machine code here")
def test_entries_are_compiled_in_a_hurry_at_first_then_as_they_should_be(tmp_path: Path) -> None:
    def run(folder: str, cpus: str, seconds: str, **more: str) -> list[str]:
        more |= {"PYTHONPATH": str(SOURCE), "TWOFOLD_CACHE": str(tmp_path / folder)}
        command = [sys.executable, "-c", HURRY, cpus, seconds]
        done = subprocess.run(
            command, env=os.environ | more, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    first, good, bits = run("cache", "2", "1000")
    assert (first, good) == ("True", "False")  # the next process needs no compiler
    assert run("cache", "2", "0") == ["True", "True", bits]  # where this one had time, the next
    assert run("cache", "2", "0") == ["False", "True", bits]  # finds what it should be
    assert run("alone", "1", "1000") == ["False", "True", bits]
    assert run("asked", "2", "1000", TWOFOLD_TIER="2") == ["False", "True", bits]
