"""Modules that other threads compile: same code, addresses before there is code, errors, forks."""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from twofold.base.flags import flags
from twofold.codegen import ahead, jobs, library, llvm
from twofold.codegen import compile as compiler
from twofold.codegen.compile import CompileError, load, object_code, together
from twofold.codegen.target import Style, host
from twofold.ir.build import Module

from ..ir.programs import everything

pytestmark = pytest.mark.skipif(host().loader != "elf", reason="others load in turn")


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing loaded, an empty cache, two CPUs."""
    monkeypatch.setattr(compiler, "_loaded", {})
    monkeypatch.setattr(compiler, "_symbols", {})
    monkeypatch.setattr(jobs, "_cpus", lambda: 2)
    with flags.override(cache=str(tmp_path / "cache")):
        yield
        jobs.finish(jobs.LATER)


def times(number: int) -> Callable[[], Module]:
    """f(x) = x * number, and a word of data that holds nothing."""

    def build() -> Module:
        m = Module(f"times{number}")
        m.data("word", "i64", 1)
        f = m.function("f", [("x", "i64")], "i64")
        f.ret(f.args[0] * number)
        return m

    return build


def call(address: int, *args: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(args))(address)(*args)


def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have LLVM wait until this is set."""
    go, inside = threading.Event(), compiler._compiled

    def waits(*args: object) -> bytes:
        assert go.wait(60)
        return inside(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compiler, "_compiled", waits)
    return go


def test_what_is_loaded_together_is_there_at_the_end_and_in_the_cache() -> None:
    with together():
        found = [load(f"times{n}", times(n)).address("f") for n in range(12)]
    assert [call(address, 7) for address in found] == [7 * n for n in range(12)]
    jobs.finish(jobs.LATER)
    for thread in list(jobs._threads):
        thread.join()
    compiler._loaded.clear()

    def forbidden() -> Module:
        raise AssertionError("it should have been in the cache")

    assert call(load("times5", forbidden).address("f"), 2) == 10


def test_an_address_is_told_before_there_is_code(monkeypatch: pytest.MonkeyPatch) -> None:
    go = held(monkeypatch)
    with together():
        code = load("times3", times(3))
        address = code.address("f")
        assert code.job is not None
        assert code.address("f") == address
        go.set()
    assert code.job is None
    assert code.address("f") == address, "plans that name it are equal before and after"
    assert call(address, 5) == 15


def test_data_and_who_stands_outside_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with together():
        code = load("times3", times(3))
        assert ctypes.c_int64.from_address(code.address("word")).value == 0
        with pytest.raises(CompileError, match="no symbol 'g'"):
            code.address("g")
    late = load("times4", times(4), soon=False)
    assert call(late.address("f"), 2) == 8


def test_modules_call_each_other_before_they_are_compiled() -> None:
    def calling() -> Module:
        m = Module("calling")
        m.extern("inner", "i64", ["i64"])
        f = m.function("f", [("x", "i64")], "i64")
        f.ret(f.call("i64", "inner", f.args[0]) + 1)
        return m

    with together():
        compiler.register_symbol("inner", load("times9", times(9)).address("f"))
        address = load("calling", calling).address("f")
    assert call(address, 3) == 28


def test_nobody_waits_for_what_is_not_wanted_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    go, told = held(monkeypatch), threading.Event()
    with together():
        code = load("times6", times(6), soon=False)
        code.then(told.set)
    assert code.job is not None
    assert not told.is_set()
    go.set()
    jobs.finish(jobs.LATER)
    assert told.is_set()
    assert call(code.address("f"), 4) == 24


def test_the_library_alone_writes_what_llvmlite_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = compiler.emit_text(everything())
    styles: tuple[Style, ...] = ("kernel", "runtime", "plain")
    found = [library.object_code(text, host(), style) for style in styles]
    if library.calls() is None:
        assert found == [None] * 3
        pytest.skip("another llvmlite, whose functions may be others")
    assert found == [llvm.object_code(text, host(), style) for style in styles]
    assert library.object_code("define nonsense", host()) is None
    assert library.object_code(text, host()._replace(cpu="x86-64-v3")) is None
    monkeypatch.setattr(library, "VERSIONS", ("0.1",))
    assert library._path() is None


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_the_same_objects_by_any_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, wanted = everything().finish(), object_code(everything())
    monkeypatch.setattr(jobs, "_cpus", lambda: threads + 1)
    made: list[bytes] = []
    place = compiler._place
    monkeypatch.setattr(compiler, "_place", lambda data: made.append(data) or place(data))
    with together():
        for n in range(6):
            load(f"everything{n}", lambda: module)
    assert made == [wanted] * 6


def test_without_llvmlites_names_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = object_code(everything())
    monkeypatch.setattr(library, "calls", lambda: None)
    assert object_code(everything()) == wanted
    assert llvm._library() is not None
    monkeypatch.setattr(llvm, "BRIEF", (*llvm.BRIEF, "NoSuchFunction"))
    llvm._library.cache_clear()
    try:
        assert llvm._library() is None
        assert object_code(everything()) == wanted
        with together():
            found = [load(f"times{n}", times(n)).address("f") for n in range(4)]
        assert [call(address, 2) for address in found] == [0, 2, 4, 6]
    finally:
        monkeypatch.undo()
        llvm._library.cache_clear()


def test_without_a_thread_to_be_had_who_waits_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    jobs.finish(jobs.LATER)
    for thread in list(jobs._threads):
        thread.join()
    monkeypatch.setattr(threading.Thread, "start", refuses)
    with together():
        address = load("times3", times(3)).address("f")
        late = load("times4", times(4), soon=False)
    assert call(address, 2) == 6
    assert call(late.address("f"), 2) == 8
    assert not jobs._threads


def faulty() -> Module:
    m = Module("faulty")
    f = m.function("f", [("x", "i64")], "i64")
    f.ret(f.args[0])
    m.extern("nobody_has_this", "i64", ["i64"])
    g = m.function("g", [("x", "i64")], "i64")
    g.ret(g.call("i64", "nobody_has_this", g.args[0]))
    return m


def test_errors_are_raised_at_the_end_and_the_next_try_is_a_new_one() -> None:
    def attempt() -> None:
        with together():
            assert load("faulty", faulty).address("f")
            load("times3", times(3))

    for _ in range(2):
        with pytest.raises(RuntimeError, match="nobody_has_this"):
            attempt()
    with together():  # others are not told of it
        address = load("times3", times(3)).address("f")
    assert call(address, 3) == 9
    compiler.register_symbol("nobody_has_this", address)
    with together():
        address = load("faulty", faulty).address("g")
    assert call(address, 4) == 12


@pytest.mark.parametrize("beside", [False, True])
def test_jumps_to_what_failed_lead_there_once_it_can_be_compiled(
    beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, kept = held(monkeypatch), []
    with pytest.raises(RuntimeError, match="nobody_has_this"), together():
        code = load("faulty", faulty)
        kept.append(code.address("g"))
        go.set()
    assert code.failed
    compiler.register_symbol("nobody_has_this", load("times3", times(3)).address("f"))
    if beside:
        with together():
            load("faulty", faulty)
    else:
        load("faulty", faulty)
    assert call(kept[0], 4) == 12


def test_what_was_interrupted_is_done_by_the_next_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "_start_threads", lambda: None)  # it hits the thread that waits
    inside, hits = compiler._compiled, iter([True])

    def interrupted(*args: object) -> bytes:
        if next(hits, False):
            raise KeyboardInterrupt
        return inside(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compiler, "_compiled", interrupted)
    kept: list[int] = []
    with pytest.raises(KeyboardInterrupt), together():
        kept.append(load("times3", times(3)).address("f"))
        kept.append(load("times4", times(4)).address("f"))
    with together():
        kept.append(load("times3", times(3)).address("f"))
    assert [call(address, 2) for address in kept] == [6, 8, 6]


def test_the_errors_of_the_block_itself_come_first() -> None:
    with pytest.raises(KeyError, match="mine"), together():
        load("faulty", faulty)
        raise KeyError("mine")
    with together():
        pass


def test_several_threads_of_python_at_once() -> None:
    found: dict[int, list[int]] = {}

    def run(number: int) -> None:
        with together():
            places = [load(f"times{n}", times(n)).address("f") for n in range(10)]
        found[number] = [call(place, number) for place in places]

    threads = [threading.Thread(target=run, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {k: [k * n for n in range(10)] for k in range(6)}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_in_the_middle() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    with together():
        early = load("times3", times(3)).address("f")
        late = load("times4", times(4), soon=False)
        child = os.fork()
        if child == 0:
            here = load("times5", times(5)).address("f")
            jobs.finish()
            right = (call(early, 2), call(late.address("f"), 2), call(here, 2)) == (6, 8, 10)
            os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (call(early, 2), call(late.address("f"), 2)) == (6, 8)


def test_a_program_ends_and_keeps_what_was_begun(tmp_path: Path) -> None:
    code = (
        "from twofold.codegen import jobs\n"
        "from twofold.codegen.compile import load\n"
        "from tests.codegen.test_jobs import times\n"
        "jobs._cpus = lambda: 2\n"
        "for n in range(5): load(f'times{n}', times(n), soon=False)\n"
    )
    environment = os.environ | {"TWOFOLD_CACHE": str(tmp_path / "kept")}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=True, timeout=120)
    assert len(list((tmp_path / "kept").glob("*/times*"))) == 5


def test_what_is_last_waits_until_the_program_is_past_its_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: clock.now))
    ran = threading.Event()
    load("times1", times(1))  # so that there is a folder
    jobs.stir()
    work = ahead.start(ran.set)
    assert work is not None
    for n in (3, 5):
        with together():
            found = load(f"times{n}", times(n)).address("f")
        assert call(found, 2) == 2 * n
        clock.now += jobs.QUIET * 0.9
        assert not ran.is_set() and not work.done()
    load("times7", times(7))  # compiled by the caller
    clock.now += jobs.QUIET * 0.9
    assert not ran.wait(5 * jobs.LOOK)
    clock.now += jobs.QUIET
    assert ran.wait(60)
