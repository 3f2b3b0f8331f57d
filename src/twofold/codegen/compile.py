"""From a Loops module to callable code. Floor 3. `load(key, build)` -> Code, compiled once.

>>> code = load("ew/exp/f32", build)             # doctest: +SKIP
>>> code.address("exp")                          # doctest: +SKIP
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import final

from twofold.codegen.emit import emit
from twofold.codegen.target import Target, host
from twofold.ir import loops
from twofold.ir.build import Module

_loaded: dict[str, Code] = {}
_lock = threading.Lock()
_symbols: dict[str, int] = {}


@final
class Code:
    """Machine code in this process. It is never freed: other code may hold its addresses."""

    def __init__(self, lookup: Callable[[str], int], keep: object) -> None:
        self._lookup = lookup
        self._keep = keep

    def address(self, symbol: str) -> int:
        """Where a function or data of the module lies."""
        return self._lookup(symbol)


def register_symbol(name: str, address: int) -> None:
    """Give an address to a name that compiled modules leave open."""
    _symbols[name] = address


def load(key: str, build: Callable[[], Module | loops.Module]) -> Code:
    """The code of this key, which must name everything that the module depends on."""
    code = _loaded.get(key)
    if code is None:
        with _lock:
            code = _loaded.get(key) or _compile(build())
            _loaded[key] = code
    return code


def _record(module: Module | loops.Module) -> loops.Module:
    return module.finish() if isinstance(module, Module) else module


def emit_text(module: Module | loops.Module, target: Target | None = None) -> str:
    """The LLVM text of a module."""
    return emit(_record(module), target or host())


def _compile(module: Module | loops.Module) -> Code:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = host()
    parsed = llvm.parse_assembly(emit_text(module, target))
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2
    )
    parsed.triple = target.triple
    parsed.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    for name, address in _symbols.items():
        llvm.add_symbol(name, address)
    for extern in _record(module).externs:
        if extern.name not in _symbols:
            found = ctypes.cast(getattr(ctypes.CDLL(None), extern.name), ctypes.c_void_p).value
            llvm.add_symbol(extern.name, found)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return Code(engine.get_function_address, engine)
