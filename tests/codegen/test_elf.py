"""Our loader of object files: relocations, rights of pages, forks, and files that are none."""

import ctypes
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest

from twofold.codegen import elf, llvm
from twofold.codegen.elf import LoadError
from twofold.codegen.target import host

pytestmark = pytest.mark.skipif(host().loader != "elf", reason="for x86-64 Linux")

INT = ctypes.c_int64


def place(text: str, resolve: elf.Resolve = elf.process_symbol) -> dict[str, int]:
    return elf.load(llvm.object_code(text, host()), resolve)


def function(address: int, *types: type) -> Callable[..., int]:
    return ctypes.CFUNCTYPE(INT, *types)(address)


def test_code_runs_and_only_what_is_exported_is_named() -> None:
    names = place(
        "define internal i64 @hidden(i64 %x) noinline { %y = mul i64 %x, 3 \n ret i64 %y }\n"
        "define i64 @shown(i64 %x) { %y = call i64 @hidden(i64 %x) \n ret i64 %y }\n"
    )
    assert function(names["shown"], INT)(5) == 15
    assert set(names) == {"shown"}


def test_a_jump_table_has_its_own_relocations_in_the_constants() -> None:
    cases = [f"i64 {n}, label %case{n}" for n in range(8)]
    bodies = [f"case{n}:\n ret i64 {n * n * n + 7}" for n in range(8)]
    names = place(
        "define i64 @choose(i64 %x, ptr %p) {\n"
        f"switch i64 %x, label %other [ {' '.join(cases)} ]\n"
        "other:\n ret i64 -1\n" + "\n".join(bodies) + "\n}"
    )
    choose = function(names["choose"], INT, INT)
    assert [choose(n, 0) for n in range(9)] == [*(n**3 + 7 for n in range(8)), -1]


def test_addresses_in_data_and_addresses_of_outsiders() -> None:
    names = place(
        "declare i32 @getpid()\n"
        "define internal i64 @one() { ret i64 1 }\n"
        "define internal i64 @two() { ret i64 2 }\n"
        "@table = constant [2 x ptr] [ptr @one, ptr @two]\n"
        "@outside = global ptr @getpid\n"
        "define ptr @entry(i64 %i) {\n"
        " %p = getelementptr ptr, ptr @table, i64 %i\n %f = load ptr, ptr %p\n ret ptr %f }\n"
        "define ptr @address() { ret ptr @getpid }\n"
        "define i64 @call() { %x = call i32 @getpid() \n %y = zext i32 %x to i64 \n ret i64 %y }\n"
    )
    entry = function(names["entry"], INT)
    assert [function(entry(i))() for i in (0, 1)] == [1, 2]
    getpid = elf.process_symbol("getpid")
    assert function(names["address"])() == getpid
    assert INT.from_address(names["outside"]).value == getpid
    assert function(names["call"])() == os.getpid()


def test_names_are_resolved_by_the_caller_however_far() -> None:
    asked = []

    @ctypes.CFUNCTYPE(INT, INT)
    def mine(x: int) -> int:
        return x + 1000

    def resolve(name: str) -> int | None:
        asked.append(name)
        return ctypes.cast(mine, ctypes.c_void_p).value

    names = place(
        "declare i64 @mine(i64)\n"
        "define i64 @twice(i64 %x) {\n"
        " %y = call i64 @mine(i64 %x)\n %z = call i64 @mine(i64 %y)\n ret i64 %z }",
        resolve,
    )
    assert function(names["twice"], INT)(1) == 2001
    assert asked == ["mine"]


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(LoadError, match="'no_such_function'"):
        place(
            "declare void @no_such_function()\n"
            "define void @f() { call void @no_such_function()\n ret void }"
        )


DATA = (
    "@numbers = hidden global [4 x i64] zeroinitializer, align 64\n"
    "@constants = constant [4 x i64] [i64 1, i64 2, i64 3, i64 4]\n"
    "define i64 @bump() {\n %x = load i64, ptr @numbers\n %y = add i64 %x, 1\n"
    " store i64 %y, ptr @numbers\n ret i64 %y }"
)


def rights(address: int) -> str:
    """What the process may do with the page at an address: "r-xp"."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            found = re.match(r"(\w+)-(\w+) (\S+)", line)
            if found and int(found[1], 16) <= address < int(found[2], 16):
                return found[3]
    raise AssertionError("not mapped")


def test_no_page_is_both_writable_and_executable() -> None:
    names = place(DATA)
    assert rights(names["bump"]) == "r-xp"
    assert rights(names["constants"]) == "r--p"
    assert rights(names["numbers"]) == "rw-p"
    assert names["numbers"] % 64 == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_each_load_and_each_process_has_its_own_data() -> None:
    first, second = (function(place(DATA)["bump"]) for _ in range(2))
    assert [first(), first(), second()] == [1, 2, 1]
    child = os.fork()
    if child == 0:
        os._exit(first() - 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert first() == 3, "the child's writing must not be seen here"


def test_code_may_be_called_at_exit() -> None:
    """The pages outlive every Python object, those of this module too."""
    script = (
        "import ctypes\n"
        "from twofold.codegen import elf, llvm\n"
        "from twofold.codegen.target import host\n"
        "code = llvm.object_code('define i64 @f() { ret i64 7 }', host())\n"
        "class Last:\n"
        "    f = ctypes.CFUNCTYPE(ctypes.c_int64)(elf.load(code)['f'])\n"
        "    def __del__(self): print(self.f())\n"
        "import builtins; builtins.last = Last()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "7\n")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: b"", "cut off"),
        (lambda data: data[:63], "cut off"),
        (lambda data: data[:200], "cut off"),
        (lambda data: b"\x7fELG" + data[4:], "no relocatable x86-64 object"),
        (lambda data: data[:18] + struct.pack("<H", 183) + data[20:], "no relocatable x86-64"),
        (lambda data: data[:16] + struct.pack("<H", 3) + data[18:], "no relocatable x86-64"),
    ],
)
def test_what_is_no_object_is_refused(change: Callable[[bytes], bytes], problem: str) -> None:
    data = llvm.object_code("define i64 @f() { ret i64 1 }", host())
    with pytest.raises(LoadError, match=problem):
        elf.load(change(data))


def test_relocations_that_we_do_not_know_are_refused() -> None:
    with pytest.raises(LoadError, match=r"relocation that we do not|thread-local"):
        place("@x = thread_local global i64 1\ndefine ptr @f() { ret ptr @x }")


def test_a_refusal_of_the_system_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "_protect", lambda *args: -1)
    with pytest.raises(LoadError, match="refused executable memory"):
        place("define i64 @f() { ret i64 1 }")
