"""load: compiled once, found again, in this process and in the next, without llvmlite."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.base.flags import flags
from twofold.codegen import compile as compiler
from twofold.codegen import llvm
from twofold.codegen.compile import CompileError, assembly, emit_text, load, object_code
from twofold.codegen.target import TARGETS, host
from twofold.ir.build import Module
from twofold.ir.loops import LoopsError, Operand

from ..ir.programs import everything


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has loaded nothing, and an empty cache."""
    monkeypatch.setattr(compiler, "_loaded", {})
    monkeypatch.setattr(compiler, "_symbols", {})
    with flags.override(cache=str(tmp_path / "cache")):
        yield


def triple() -> Module:
    m = Module("triple")
    f = m.function("triple", [("x", "i64")], "i64")
    f.ret(f.args[0] * 3)
    return m


def forbidden() -> Module:
    raise AssertionError("it should have been in the cache")


def call(address: int, *args: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(args))(address)(*args)


def test_a_module_is_built_once() -> None:
    code = load("triple", triple)
    assert call(code.address("triple"), 7) == 21
    assert load("triple", forbidden) is code
    compiler._loaded.clear()
    assert call(load("triple", forbidden).address("triple"), 8) == 24


def test_a_name_that_the_code_does_not_have() -> None:
    with pytest.raises(CompileError, match="triple has no symbol 'double'"):
        load("triple", triple).address("double")


def test_a_build_that_fails_leaves_nothing_behind() -> None:
    with pytest.raises(AssertionError):
        load("triple", forbidden)
    assert gc.isenabled()
    assert call(load("triple", triple).address("triple"), 1) == 3


def test_a_damaged_entry_is_compiled_again(tmp_path: Path) -> None:
    load("triple", triple)
    compiler._loaded.clear()
    (file,) = [path for path in (tmp_path / "cache").rglob("triple*") if path.is_file()]
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    built = []
    load("triple", lambda: built.append(1) or triple())
    assert built == [1]
    assert file.exists()


def calling(name: str) -> Module:
    m = Module("calling")
    m.extern(name, "i64", ["i64"])
    f = m.function("f", [("x", "i64")], "i64")
    f.ret(f.call("i64", name, f.args[0]) + 1)
    return m


def test_open_names_are_registered_ones_first_then_the_process() -> None:
    inner = load("triple", triple).address("triple")
    compiler.register_symbol("labs", inner)
    compiler.register_symbol("twofold_inner", inner)
    assert call(load("a", lambda: calling("twofold_inner")).address("f"), 5) == 16
    assert call(load("b", lambda: calling("labs")).address("f"), -5) == -14
    compiler._symbols.clear()
    assert call(load("c", lambda: calling("labs")).address("f"), -5) == 6
    with pytest.raises(RuntimeError, match="twofold_nobody"):
        load("d", lambda: calling("twofold_nobody"))


def test_a_build_may_load_what_it_needs() -> None:
    def outer() -> Module:
        compiler.register_symbol("inner", load("triple", triple).address("triple"))
        return calling("inner")

    assert call(load("outer", outer).address("f"), 2) == 7


def test_several_threads_get_one_code() -> None:
    built: list[int] = []
    found: list[object] = []

    def build() -> Module:
        built.append(1)
        return triple()

    threads = [threading.Thread(target=lambda: found.append(load("k", build))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]
    assert len(set(found)) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_can_compile_while_another_thread_did() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    inside, leave = threading.Event(), threading.Event()

    def slow() -> Module:
        inside.set()
        leave.wait(20)
        return triple()

    thread = threading.Thread(target=lambda: load("slow", slow))
    thread.start()
    inside.wait(20)
    child = os.fork()
    if child == 0:
        os._exit(call(load("other", triple).address("triple"), 5) - 15)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_faulty_module_is_refused_before_llvm_sees_it() -> None:
    m = Module("faulty")
    m.function("f", [("x", "i64")], "i64")
    with pytest.raises(LoopsError, match="a path gives no i64"):
        object_code(m)


def test_what_llvm_finds_is_told_as_our_own_check_says_it() -> None:
    m = Module("faulty")
    m.function("f", [("x", "i64")], "i64")
    f = m.function("g", [("x", "i64")], "i64")
    f.do("set", (Operand("i64", "nothing"), f.args[0].operand))
    f.ret(0)
    with pytest.raises(LoopsError):
        object_code(m, verified=False)


def test_kernels_are_verified_here_and_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert compiler._verifies()
    monkeypatch.setattr(compiler, "verifies", False)
    assert not compiler._verifies()
    with flags.override(check=1):
        assert compiler._verifies()


def test_what_llvm_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_emit", lambda module, target: "define nothing")
    with pytest.raises(CompileError, match="LLVM refuses triple"):
        object_code(triple())


WARM = """
import ctypes, sys
from twofold.codegen.compile import load
def build():
    from twofold.ir.build import Module
    print("built")
    m = Module("triple")
    f = m.function("triple", [("x", "i64")], "i64")
    f.ret(f.args[0] * 3)
    return m
address = load("triple", build).address("triple")
print(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(4))
print("twofold.codegen.library" in sys.modules or "llvmlite" in sys.modules)
"""


@pytest.mark.skipif(host().loader != "elf", reason="other hosts load with llvmlite")
def test_the_second_process_neither_builds_nor_imports_llvmlite(tmp_path: Path) -> None:
    environment = {**os.environ, "TWOFOLD_CACHE": str(tmp_path / "own")}
    runs = [
        subprocess.run(
            [sys.executable, "-c", WARM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert runs == [["built", "12", "True"], ["12", "False"]]


def test_the_loader_of_other_hosts_gives_the_same() -> None:
    compiler.register_symbol("inner", load("triple", triple).address("triple"))
    m = calling("inner")
    m.data("numbers", "i64", 4)
    m.extern("labs", "i64", ["i64"])
    f = m.function("magnitude", [("x", "i64")], "i64")
    f.address("numbers").at(1, "i64").store(f.args[0])
    f.ret(f.call("i64", "labs", f.address("numbers").at(1, "i64").load("i64")))
    find = llvm.place(object_code(m), compiler._symbols)
    assert call(find("f"), 5) == 16
    assert call(find("magnitude"), -9) == 9
    assert find("nobody") == 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_module_compiles_for_other_machines(name: str) -> None:
    magic = {"wasm32": b"\0asm"}.get(name, b"\x7fELF")
    assert object_code(everything(), TARGETS[name])[:4] == magic


def test_the_host_compiles_everything() -> None:
    assert object_code(everything())
    assert object_code(everything().finish()) == object_code(everything()), "always the same bytes"


def test_texts_for_eyes() -> None:
    assert "mul i64 %x, 3" in emit_text(triple())
    assert "triple:" in assembly(triple())
    assert "fmadd" in assembly(everything(), TARGETS["aarch64"])
    assert "f32x4." in assembly(everything(), TARGETS["wasm32"])
