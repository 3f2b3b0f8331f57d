"""From a Loops module to callable code. Floor 3. `load(key, build)` -> Code.

Code comes from the memo of this process, else from the cache on disk, else `build()` writes the
module, which is verified and compiled. A process that finds all in the cache never imports
llvmlite.

    code = load("ew/exp/f32", build)
    address = code.address("exp")
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from twofold.base.errors import TwofoldError
from twofold.base.flags import flags
from twofold.codegen import cache
from twofold.codegen.target import Style, Target, host

if host().loader == "elf":  # it needs the system calls of Linux
    from twofold.codegen import elf

if TYPE_CHECKING:  # a warm process compiles nothing, and needs neither at run time
    from types import ModuleType

    from twofold.ir import loops
    from twofold.ir.build import Module

# What is needed for code that is not in the cache.
EMIT, VERIFY, BUILD = "twofold.codegen.emit", "twofold.ir.verify", "twofold.ir.build"

_loaded: dict[str, Code] = {}
_symbols: dict[str, int] = {}
_lock = threading.RLock()  # a build may itself load what it needs


class CompileError(TwofoldError, RuntimeError):
    """A module that cannot become code: always a fault of ours, never of the user's program."""


@final
class Code:
    """Machine code in this process. It is never freed: other code may hold its addresses."""

    __slots__ = ("_find", "key")

    def __init__(self, key: str, find: Callable[[str], int | None]) -> None:
        self.key = key
        self._find = find

    def __repr__(self) -> str:
        return f"Code({self.key!r})"

    def address(self, symbol: str) -> int:
        """Where a function, or data, of the module lies."""
        address = self._find(symbol)
        if not address:
            raise CompileError("address", f"{self.key} has no symbol {symbol!r}")
        return address


def load(key: str, build: Callable[[], Module | loops.Module], style: Style = "kernel") -> Code:
    """The code of this key, which must name everything that the module depends on.

    style: how the code generator treats it, see codegen/target.py.
    """
    code = _loaded.get(key)
    if code is not None:
        return code
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(key, build, style)
        return _loaded[key]


def known(key: str) -> bool:
    """Whether `load` would find this code, here or in the cache."""
    return key in _loaded or cache.has(key)


def prepare(key: str, build: Callable[[], Module | loops.Module], style: Style = "kernel") -> None:
    """Compile into the cache, for another process; a folder that has gone is not made again."""
    if cache.has(key):
        return
    with _no_collector():
        data = object_code(build(), style=style, verified=_verifies())
    cache.write(key, data, create=False)


def _verifies() -> bool:
    """Whether kernels are checked before LLVM checks them, for a twentieth of a first run's time:
    in the tests, and where `TWOFOLD_CHECK` asks for it.
    """
    return verifies or flags.check >= 1


verifies = False


def _load(key: str, build: Callable[[], Module | loops.Module], style: Style) -> Code:
    start = time.perf_counter()
    data = cache.read(key)
    known = data is not None
    if data is None:
        with _no_collector():
            data = object_code(build(), style=style, verified=_verifies())
        cache.write(key, data)
    if flags.debug >= 2:
        _tell(key, known, len(data), time.perf_counter() - start, build)
    return Code(key, _place(data))


def _tell(
    key: str, known: bool, size: int, seconds: float, build: Callable[[], Module | loops.Module]
) -> None:
    """Print where code came from, and with TWOFOLD_DEBUG=4 and more what it is."""
    source = "from the cache" if known else "compiled"
    print(f"{source} in {seconds * 1e3:.1f} ms, {size} bytes: {key}", file=sys.stderr)
    if flags.debug >= 4:
        module = _record(build())
        print(module, file=sys.stderr)
        if flags.debug >= 5:
            print(emit_text(module), file=sys.stderr)
        if flags.debug >= 6:
            print(assembly(module), file=sys.stderr)


@contextmanager
def _no_collector() -> Iterator[None]:
    """To look for cycles among so many new records, which have none, doubles the time to build."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def register_symbol(name: str, address: int) -> None:
    """Give an address to a name that modules leave open. It comes before the process's own."""
    _symbols[name] = address


def _resolve(name: str) -> int | None:
    return _symbols.get(name) or elf.process_symbol(name)


def _place(data: bytes) -> Callable[[str], int | None]:
    if host().loader == "elf":
        return elf.load(data, _resolve).get
    found: Callable[[str], int | None] = _llvm().place(data, _symbols)
    return found


def _llvm() -> ModuleType:
    """llvmlite, which takes 40 to 70 ms to import: only when something must be compiled."""
    from twofold.codegen import llvm

    return llvm


def _record(module: Module | loops.Module) -> loops.Module:
    if isinstance(module, importlib.import_module(BUILD).Module):
        return module.finish()  # type: ignore[no-any-return]
    return module  # type: ignore[return-value]


# ---- what the compiler makes, for eyes and for shipping ------------------------------------------


def emit_text(module: Module | loops.Module, target: Target | None = None) -> str:
    """The LLVM text of a module, before LLVM sees it."""
    return _emit(_record(module), target or host())


def _emit(module: loops.Module, target: Target) -> str:
    text: str = importlib.import_module(EMIT).emit(module, target)
    return text


def assembly(module: Module | loops.Module, target: Target | None = None) -> str:
    """The machine code of a module, as text."""
    target = target or host()
    text: str = _llvm().assembly(emit_text(module, target), target)
    return text


def object_code(
    module: Module | loops.Module,
    target: Target | None = None,
    style: Style = "kernel",
    verified: bool = True,
) -> bytes:
    """The object file of a module, for this machine or for another.

    verified: our own check of the module comes first. Without it there is LLVM's, and ours only
    where LLVM finds a fault.
    """
    target = target or host()
    module = _record(module)
    if verified:
        importlib.import_module(VERIFY).verify(module)
    try:
        code: bytes = _llvm().object_code(_emit(module, target), target, style)
    except RuntimeError as error:
        importlib.import_module(VERIFY).verify(module)
        raise CompileError("compile", f"LLVM refuses {module.name}", reason=str(error)) from error
    return code


def _new_lock() -> None:
    """After a fork the child has only the thread that forked: nobody holds the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
