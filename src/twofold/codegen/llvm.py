"""All that we ask of LLVM: text -> assembly or an object, and a loader. Floor 3.

Imported only when something must be compiled, since llvmlite takes 40 to 70 ms to import.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from twofold.codegen.target import NATIVE, Style, Target

# What the code generator optimises, by style: 1 instead of 2 saves a tenth of the time. With 0 it
# takes a tenth, and writes the same code for functions that do nothing but call another.
OPTIMIZATION: dict[Style, int] = {"kernel": 2, "runtime": 2, "plain": 0}

# What runs before the code generator. Vectors are explicit and loops are written as they should
# run, so variables in registers and tidy arithmetic are all it takes: code as fast as the whole of
# -O3 gives (within 1% on gelu, softmax and matmul) in 2 ms where -O3 takes 16.
PASSES = ("always_inliner", "sroa", "instruction_combine", "simplify_cfg")

_engines: list[Any] = []  # code is never freed
_lock = threading.Lock()  # llvmlite keeps one context for all


@cache
def _machine(target: Target, optimization: int = 2) -> Any:
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
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=optimization, reloc="pic", codemodel="small"
    )


def _optimized(text: str, target: Target) -> Any:
    machine = _machine(target)
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(module, llvm.create_pass_builder(machine, options))
    return module


@contextmanager
def _generator(target: Target, style: Style) -> Iterator[Any]:
    """The code generator. Kernels go without its search for other counters of loops, a fifth of its
    time: their loops are written as they should run. Others in this process keep it.
    """
    searches = style != "kernel"
    if not searches:
        llvm.set_option("", "-disable-lsr=true")
    try:
        yield _machine(target, OPTIMIZATION[style])
    finally:
        if not searches:
            llvm.set_option("", "-disable-lsr=false")


def object_code(text: str, target: Target, style: Style = "kernel") -> bytes:
    """The object file of a module."""
    with _lock:
        module = _optimized(text, target)
        with _generator(target, style) as generator:
            return bytes(generator.emit_object(module))


def assembly(text: str, target: Target, style: Style = "kernel") -> str:
    """The machine code of a module, to be read."""
    with _lock:
        module = _optimized(text, target)
        with _generator(target, style) as generator:
            return str(generator.emit_assembly(module))


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
