"""Kernels for the tests of the runtime, and programs run in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twofold.codegen.compile import Code, load
from twofold.codegen.native import core
from twofold.ir.build import Function, Module, Value
from twofold.runtime import program, threads
from twofold.runtime.program import PlainEntry

SOURCE = Path(__file__).resolve().parent.parent.parent / "src"


MAKERS = {"plain": PlainEntry, "native": program.make_entry}


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    tier = core.start().tier
    if request.param == "native" and tier == 1:
        pytest.skip(f"tier 1: {core.start().doubts or 'asked for'}")
    return MAKERS[request.param]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def kernel(m: Module, name: str) -> Function:
    return m.function(name, [("job", "ptr"), ("chunk", "i64"), ("chunks", "i64")])


def part(f: Function, count: Value) -> tuple[Value, Value]:
    """Where this chunk's elements begin and end."""
    _, chunk, chunks = f.args
    return chunk * count // chunks, (chunk + 1) * count // chunks


def build() -> Module:
    m = Module("test-kernels")
    m.extern("pool_run", "void", ["ptr", "ptr", "i64"])
    m.extern("usleep", "i32", ["i32"])
    m.extern("pthread_self", "i64", [])
    _count_up(m)
    _sign(m)
    _slowly(m)
    _nested(m)
    _spin(m)
    for width, type in ((4, "f32"), (8, "f64")):
        _arithmetic(m, f"add{width}", type, lambda x, y: x + y)
        _arithmetic(m, f"mul{width}", type, lambda x, y: x * y)
        _scale(m, f"scale{width}", type)
    _split(m)
    _words(m)
    return m


def _count_up(m: Module) -> None:
    """job: array, n. Adds 1 to each element; only its own chunk's elements."""
    f = kernel(m, "count_up")
    array, count = f.args[0].load("ptr"), f.args[0].at(1, "i64").load("i64")
    low, high = part(f, count)
    with f.loop(low, high) as i:
        place = array.at(i, "i64")
        place.store(place.load("i64") + 1)


def _slowly(m: Module) -> None:
    """job: counter, microseconds. Each chunk sleeps, then counts itself."""
    f = kernel(m, "slowly")
    f.call("i32", "usleep", f.args[0].at(1, "i64").load("i64").cast("trunc", "i32"))
    f.atomic("add", f.args[0].load("ptr"), 1)


def _sign(m: Module) -> None:
    """job: array, microseconds. Each chunk sleeps, and writes by which thread at its place."""
    f = kernel(m, "sign")
    job, chunk, _ = f.args
    f.call("i32", "usleep", job.at(1, "i64").load("i64").cast("trunc", "i32"))
    job.load("ptr").at(chunk, "i64").store(f.call("i64", "pthread_self"))


def _nested(m: Module) -> None:
    """job: task, job, chunks. Runs another region from inside each chunk."""
    f = kernel(m, "nested")
    job = f.args[0]
    inner, chunks = job.at(1, "i64").load("ptr"), job.at(2, "i64").load("i64")
    f.call("void", "pool_run", job.load("ptr"), inner, chunks)


def _spin(m: Module) -> None:
    """job: counter, turns. Each chunk works without a system call, then counts itself."""
    f = kernel(m, "spin")
    place = f.array("i64", 1)
    place.store(f.const("i64", 0))
    with f.loop(0, f.args[0].at(1, "i64").load("i64")):
        f.atomic("add", place, 1)
    f.atomic("add", f.args[0].load("ptr"), 1)


def _arithmetic(m: Module, name: str, type: str, combine: Callable[[Value, Value], Value]) -> None:
    """job: out, a, b, n."""
    f = kernel(m, name)
    out, a, b = (f.args[0].at(i, "ptr").load("ptr") for i in range(3))
    low, high = part(f, f.args[0].at(3, "i64").load("i64"))
    with f.loop(low, high) as i:
        out.at(i, type).store(combine(a.at(i, type).load(type), b.at(i, type).load(type)))


def _scale(m: Module, name: str, type: str) -> None:
    """job: out, a, number's address, n."""
    f = kernel(m, name)
    out, a, by = (f.args[0].at(i, "ptr").load("ptr") for i in range(3))
    factor = by.load(type)
    low, high = part(f, f.args[0].at(3, "i64").load("i64"))
    with f.loop(low, high) as i:
        out.at(i, type).store(a.at(i, type).load(type) * factor)


def _split(m: Module) -> None:
    """job: sums, differences, a, b, n (f32): two outputs."""
    f = kernel(m, "split")
    sums, differences, a, b = (f.args[0].at(i, "ptr").load("ptr") for i in range(4))
    low, high = part(f, f.args[0].at(4, "i64").load("i64"))
    with f.loop(low, high) as i:
        x, y = a.at(i).load(), b.at(i).load()
        sums.at(i).store(x + y)
        differences.at(i).store(x - y)


def _words(m: Module) -> None:
    """copy_word: out, ignored, number's address.   gated: the address of a counter's address and of
    a gate: each chunk counts itself, and waits for the gate to open, half a minute at most.
    """
    f = kernel(m, "copy_word")
    f.args[0].load("ptr").store(f.args[0].at(2, "ptr").load("ptr").load("i64"))
    f = kernel(m, "gated")
    words = f.args[0].load("ptr")
    f.atomic("add", words.load("ptr"), 1)
    with f.loop(0, 30_000):
        f.break_if(words.at(1, "i64").load("i64").cmp("ne", 0))
        f.call("i32", "usleep", f.const("i32", 1000))


@pytest.fixture(scope="session")
def kernels() -> Code:
    core.start()
    return load("tests/runtime/3", build)


# The lower floors alone, without what `import twofold` gathers: quicker, and nothing else can fail.
BARE = f"""
import sys, types
package = sys.modules["twofold"] = types.ModuleType("twofold")
package.__path__ = [{str(SOURCE / "twofold")!r}]
"""


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., str]:
    """Run a program in a process of its own: its output. It must end well."""

    def run(program: str, **environment: str) -> str:
        script = tmp_path / "program.py"
        script.write_text(BARE + program, encoding="utf-8")
        path = os.pathsep.join([str(SOURCE), str(Path(__file__).parent)])
        env = dict(os.environ, PYTHONPATH=path, **environment)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", str(script)],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
