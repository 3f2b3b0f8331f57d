"""The runtime's own modules: valid, printable, the same in every process, loaded by tier."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.codegen.native import build, core, pool
from twofold.exec import tensors
from twofold.ir.text import parse
from twofold.runtime import native

SOURCE = Path(__file__).resolve().parents[3] / "src"


def built(name: str) -> object:
    if name == "tensors":
        slots = tensors.places()
        assert slots is not None
        return build.build_tensors(slots).finish()
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
    # The second time from the cache: llvmlite, which a first time imports, makes such a page.
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", PROGRAM],
            env=dict(os.environ, PYTHONPATH=str(SOURCE), TWOFOLD_TIER=tier),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(expected)
    assert done.stdout == f"{expected} False\n"
