"""The library that llvmlite brings, without llvmlite's Python. Floor 3.

    object_code(text, target, style)    None where it cannot be done this way

To import llvmlite takes 30 modules more and four fifths of the time in which the library itself is
loaded; Python's other threads wait for it, among them the one that captures the first step. So for
versions of llvmlite whose functions are known, and for this machine, these are called as they are.
LLVM compiles on several threads at once where each has a context and a target machine of its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.machinery import PathFinder
from typing import Any, final

from twofold.codegen.target import NATIVE, Style, Target

VERSIONS = ("0.50",)  # of llvmlite, whose functions take these arguments

# What the code generator optimises, by style. With 0 it takes a tenth of the time, and writes the
# same code for functions that do nothing but call another.
OPTIMIZATION: dict[Style, int] = {"kernel": 2, "runtime": 2, "plain": 0}

# What runs before the code generator. Vectors are explicit and loops are written as they should
# run, so variables in registers and tidy arithmetic are all it takes: code as fast as the whole of
# -O3 gives (within 1% on gelu, softmax and matmul) in 2 ms where -O3 takes 16.
PASSES = {
    "always_inliner": "AlwaysInliner",
    "sroa": "SROA",
    "instruction_combine": "InstCombine",
    "simplify_cfg": "SimplifyCFG",
}
NOT_PLAIN = ("instruction_combine", "simplify_cfg")  # what gains nothing where nothing is optimised


def passes_for(optimization: int) -> list[str]:
    """The names of the passes that run before the code generator."""
    return [name for name in PASSES if optimization or name not in NOT_PLAIN]


# What the code generator does not do, as what we write gains nothing by it: kernels take the time
# that they took (0.99 to 1.01, the geometric mean of 144 cases), and are there sooner.
LEFT_OUT = {
    "disable-lsr": ("true", "false"),  # other counters for loops: a fifth of its time
    "disable-cgp": ("true", "false"),  # addresses moved to where they are used: a twelfth
    "post-RA-scheduler": ("false", "true"),  # another order of finished code: a fifteenth
}

P, S, OUT, I = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int
# What other threads of Python may run beside, and what is over sooner than they could begin: what
# each function gives, and takes.
LONG: Mapping[str, tuple[Any, ...]] = {
    "ParseAssembly": (P, P, S, OUT),
    "RunNewModulePassManager": (None, P, P, P),
    "TargetMachineEmitToMemory": (P, P, P, I, OUT),
}
BRIEF: Mapping[str, tuple[Any, ...]] = {
    "ContextCreate": (P,),
    "ContextDispose": (None, P),
    "CopyStringRepOfTargetData": (None, P, OUT),
    "CreateNewModulePassManager": (P,),
    "CreatePassBuilder": (P, P, P),
    "CreatePipelineTuningOptions": (P,),
    "CreateTargetMachine": (P, P, S, S, S, I, S, S, I, I, S),
    "CreateTargetMachineData": (P, P),
    "DisposeMemoryBuffer": (None, P),
    "DisposeModule": (None, P),
    "DisposeTargetData": (None, P),
    "GetBufferSize": (ctypes.c_size_t, P),
    "GetBufferStart": (P, P),
    "GetHostCPUFeatures": (I, OUT),
    "GetHostCPUName": (None, OUT),
    "GetProcessTriple": (None, OUT),
    "GetTargetFromTriple": (P, S, OUT),
    "GetTargetMachineTriple": (None, P, OUT),
    "InitializeNativeAsmPrinter": (None,),
    "InitializeNativeTarget": (None,),
    "SetCommandLine": (None, S, S),
    "VerifyModule": (ctypes.c_bool, P, OUT),
    **{f"module_Add{name}Pass": (None, P) for name in PASSES.values()},
}

_lock = threading.RLock()
_kits: dict[int, list[Kit]] = {}  # by optimization, those that nobody uses now
_busy = [0]  # how many threads compile now


@cache
def calls() -> dict[str, Any] | None:
    """The library's functions; None where this llvmlite has others."""
    path = _path()
    if path is None:
        return None
    found: dict[str, Any] = {}
    try:
        for table, kind in ((LONG, ctypes.CDLL), (BRIEF, ctypes.PyDLL)):
            library = kind(path)
            for name, (gives, *takes) in table.items():
                call = found[name] = getattr(library, f"LLVMPY_{name}")
                call.restype, call.argtypes = gives, takes
    except (AttributeError, OSError):
        return None
    found["InitializeNativeTarget"]()
    found["InitializeNativeAsmPrinter"]()
    return found


def _path() -> str | None:
    """Where the library lies, if it is of a version that is known."""
    with suppress(ImportError, OSError, ValueError):
        spec = PathFinder.find_spec("llvmlite")
        if spec is None or spec.origin is None or not sys.platform.startswith("linux"):
            return None
        folder = os.path.dirname(spec.origin)
        with open(os.path.join(folder, "_version.py"), encoding="utf-8") as file:
            version = re.search(r"version_version = '(\d+\.\d+)\.", file.read())
        if version is not None and version[1] in VERSIONS:
            return os.path.join(folder, "binding", "libllvmlite.so")
    return None


@final
class Kit:
    """LLVM's objects for this machine, of which each thread that compiles needs its own.

    header: the first lines of its modules
    """

    __slots__ = ("builder", "header", "machine", "passes")

    def __init__(self, optimization: int) -> None:
        call = calls()
        assert call is not None
        host, cpu, features = _host()
        target = call["GetTargetFromTriple"](host, ctypes.byref(ctypes.c_char_p()))
        words = (host, cpu, features, optimization, b"pic", b"small", 0, 0, b"")
        self.machine = call["CreateTargetMachine"](target, *words)
        layout = call["CreateTargetMachineData"](self.machine)
        described = _text("CopyStringRepOfTargetData", layout).decode()
        call["DisposeTargetData"](layout)
        triple = _text("GetTargetMachineTriple", self.machine).decode()
        self.header = f'target triple = "{triple}"\ntarget datalayout = "{described}"\n'
        self.passes = call["CreateNewModulePassManager"]()
        for name in passes_for(optimization):
            call[f"module_Add{PASSES[name]}Pass"](self.passes)
        options = call["CreatePipelineTuningOptions"]()
        self.builder = call["CreatePassBuilder"](self.machine, options)


def _text(name: str, *given: Any) -> bytes:
    """What a function writes into its last argument."""
    call = calls()
    assert call is not None
    out = ctypes.c_char_p()
    call[name](*given, ctypes.byref(out))
    return out.value or b""


@cache
def _host() -> tuple[bytes, bytes, bytes]:
    """LLVM's words for this machine: triple, CPU, features."""
    features = sorted(_text("GetHostCPUFeatures").split(b","), key=lambda word: word[1:])
    return _text("GetProcessTriple"), _text("GetHostCPUName"), b",".join(filter(None, features))


@contextmanager
def left_out() -> Iterator[None]:
    """A block in which LLVM goes without what is left out. Its options hold for all of the process,
    where others may use llvmlite too: they are as they know them whenever we do not compile.
    """
    with _lock:
        _count(1)
    try:
        yield
    finally:
        with _lock:
            _count(-1)


def _count(more: int) -> None:
    before = _busy[0]
    _busy[0] += more
    if 0 in (before, _busy[0]):
        for name, (ours, theirs) in LEFT_OUT.items():
            _set(f"-{name}={theirs if before else ours}")


def _set(option: str) -> None:
    """By llvmlite, and so under its lock, where others have imported it."""
    call, binding = calls(), sys.modules.get("llvmlite.binding")
    if binding is not None:
        binding.set_option("", option)
    elif call is not None:
        call["SetCommandLine"](b"", option.encode())


def object_code(text: str, target: Target, style: Style = "kernel") -> bytes | None:
    """The object file of a module, in a context of its own; None where LLVM refuses it, or where
    this cannot be done.
    """
    call = calls()
    if call is None or (target.triple, target.cpu) != (NATIVE, NATIVE):
        return None
    optimization = OPTIMIZATION[style]
    with left_out():
        with _lock:
            free = _kits.setdefault(optimization, [])
            kit = free.pop() if free else Kit(optimization)
        try:
            return compiled(call, kit, text)
        finally:
            with _lock:
                free.append(kit)


def compiled(call: Mapping[str, Any], kit: Any, text: str) -> bytes | None:
    """The object file of a module, by these functions and a thread's objects."""
    refusal = ctypes.c_char_p()
    told = ctypes.byref(refusal)
    context = call["ContextCreate"]()
    module = call["ParseAssembly"](context, kit.header.encode() + text.encode(), told)
    try:
        if not module or refusal or call["VerifyModule"](module, None):
            return None
        call["RunNewModulePassManager"](kit.passes, module, kit.builder)
        buffer = call["TargetMachineEmitToMemory"](kit.machine, module, 1, told)
        if not buffer:
            return None
        code = ctypes.string_at(call["GetBufferStart"](buffer), call["GetBufferSize"](buffer))
        call["DisposeMemoryBuffer"](buffer)
        return code
    finally:
        if module:
            call["DisposeModule"](module)
        call["ContextDispose"](context)
