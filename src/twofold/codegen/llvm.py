"""What we ask of LLVM through llvmlite: text -> assembly or an object, and a loader. Floor 3.

Imported only for other machines, for texts for eyes, for messages of errors, and where the library
cannot be called without it (codegen/library.py): llvmlite takes 40 to 70 ms to import.

LLVM compiles on several threads at once where each has a context and a target machine of its own;
llvmlite lets one thread in at a time. So the library's functions are called without llvmlite's
lock, with the types that llvmlite says they have. Where that cannot be done, threads take turns.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, final

import llvmlite.binding as llvm

from twofold.codegen.library import OPTIMIZATION, compiled, left_out, passes_for
from twofold.codegen.target import NATIVE, Style, Target

_engines: list[Any] = []  # code is never freed
_lock = threading.RLock()  # for what llvmlite does, with one context for all


@final
class Kit:
    """LLVM's objects for a target, of which each thread that compiles needs its own.

    header: the first lines of its modules
    """

    __slots__ = ("builder", "header", "machine", "passes")

    def __init__(self, target: Target, optimization: int) -> None:
        self.machine = _machine(target, optimization)
        layout = self.machine.target_data
        self.header = f'target triple = "{self.machine.triple}"\ntarget datalayout = "{layout}"\n'
        self.passes = llvm.create_new_module_pass_manager()
        for name in passes_for(optimization):
            getattr(self.passes, f"add_{name}_pass")()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        self.builder = llvm.create_pass_builder(self.machine, options)


_kits: dict[tuple[Target, int], list[Kit]] = {}  # those that nobody uses now


@contextmanager
def _kit(target: Target, style: Style) -> Iterator[Kit]:
    """Objects for this thread alone, while LLVM goes without what is left out."""
    key = target, OPTIMIZATION[style]
    with _lock, left_out():
        free = _kits.setdefault(key, [])
        kit = free.pop() if free else Kit(*key)
    try:
        with left_out():
            yield kit
    finally:
        with _lock:
            free.append(kit)


def _machine(target: Target, optimization: int) -> Any:
    """LLVM's object for a target. Position-independent code, since it lands anywhere."""
    triple, cpu, features = target.triple, target.cpu, target.features
    if triple == NATIVE:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        triple = llvm.get_process_triple()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    if cpu == NATIVE:
        cpu, features = _host_cpu()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=optimization, reloc="pic", codemodel="small"
    )


@cache
def _host_cpu() -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def object_code(text: str, target: Target, style: Style = "kernel") -> bytes:
    """The object file of a module. Raises RuntimeError where LLVM refuses the text."""
    with _kit(target, style) as kit:
        code = _object_beside(text, kit)
        if code is None:
            with _lock:
                code = bytes(kit.machine.emit_object(_optimized(text, kit)))
        return code


def assembly(text: str, target: Target, style: Style = "kernel") -> str:
    """The machine code of a module, to be read."""
    with _kit(target, style) as kit, _lock:
        return str(kit.machine.emit_assembly(_optimized(text, kit)))


def _optimized(text: str, kit: Kit) -> Any:
    module = llvm.parse_assembly(kit.header + text)
    module.verify()
    kit.passes.run(module, kit.builder)
    return module


# ---- beside other threads ------------------------------------------------------------------------

# What other threads of Python may run beside; and what is over sooner than they could begin.
LONG = ("ParseAssembly", "RunNewModulePassManager", "TargetMachineEmitToMemory")
BRIEF: tuple[str, ...] = ("ContextCreate", "ContextDispose", "DisposeModule", "VerifyModule")
BRIEF += ("GetBufferStart", "GetBufferSize", "DisposeMemoryBuffer")


@cache
def _library() -> dict[str, Any] | None:
    """Functions of llvmlite's library without llvmlite's lock, with the types that it gives them;
    None where this llvmlite has others.
    """
    found: dict[str, Any] = {}
    try:
        from llvmlite.binding import ffi  # which no version promises

        for names, kind in ((LONG, ctypes.CDLL), (BRIEF, ctypes.PyDLL)):
            library = kind(ffi.lib._name)
            for name in names:
                known = getattr(ffi.lib, f"LLVMPY_{name}")
                call = found[name] = getattr(library, f"LLVMPY_{name}")
                call.argtypes, call.restype = known.argtypes, known.restype
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    counts = {name: len(call.argtypes or ()) for name, call in found.items()}
    return found if all(counts[name] == count for name, count in ARGUMENTS.items()) else None


# How many arguments they take: other ones mean that they have changed.
ARGUMENTS = dict.fromkeys((*LONG, *BRIEF), 1)
ARGUMENTS |= {"ParseAssembly": 3, "RunNewModulePassManager": 3, "TargetMachineEmitToMemory": 4}
ARGUMENTS |= {"ContextCreate": 0, "VerifyModule": 2}


def _object_beside(text: str, kit: Kit) -> bytes | None:
    """The object file of a module, in a context of its own; None where LLVM refuses it, or where
    this cannot be done.
    """
    calls = _library()
    return None if calls is None else compiled(calls, kit, text)


# ---- LLVM's own loader ---------------------------------------------------------------------------


def place(code: bytes, symbols: dict[str, int]) -> Any:
    """Load an object with LLVM's own loader; gives the function from names to addresses."""
    with _lock:
        machine = _machine_of_process()
        for name, address in symbols.items():
            llvm.add_symbol(name, address)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        return engine.get_function_address


def _machine_of_process() -> Any:
    """A new machine: an engine takes the one that it is given."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine()
