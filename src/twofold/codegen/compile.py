"""From a Loops module to callable code. Floor 3. `load(key, build)` -> Code.

Code comes from the memo of this process, else from the cache on disk, else `build()` writes the
module, which is verified and compiled. A process that finds all in the cache never imports
llvmlite.

    code = load("ew/exp/f32", build)
    address = code.address("exp")

Inside of `together()` other threads compile (codegen/jobs.py) while the caller goes on: addresses
of functions are there at once, the functions at the end of the block.

    with together():
        task = load("ew/exp/f32", build).address("exp")
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
from typing import TYPE_CHECKING, Any, final

from twofold.base.errors import TwofoldError
from twofold.base.flags import flags
from twofold.codegen import cache
from twofold.codegen.target import Style, Target, host

if host().loader == "elf":  # it needs the system calls of Linux
    from twofold.codegen import elf

if TYPE_CHECKING:  # a warm process compiles nothing, and needs none of these at run time
    from types import ModuleType

    from twofold.codegen import jobs
    from twofold.ir import loops
    from twofold.ir.build import Module

# What is needed for code that is not in the cache.
EMIT, VERIFY, BUILD = "twofold.codegen.emit", "twofold.ir.verify", "twofold.ir.build"
JOBS = "twofold.codegen.jobs"
LIBRARY = "twofold.codegen.library"

_loaded: dict[str, Code] = {}
_symbols: dict[str, int] = {}
_lock = threading.RLock()  # a build may itself load what it needs


class CompileError(TwofoldError, RuntimeError):
    """A module that cannot become code: always a fault of ours, never of the user's program."""


@final
class Code:
    """Machine code in this process. It is never freed: other code may hold its addresses."""

    __slots__ = ("find", "job", "key")

    def __init__(self, key: str, find: Callable[[str], int | None]) -> None:
        self.key = key
        self.find = find
        self.job: jobs.Job | None = None  # while it is compiled

    def __repr__(self) -> str:
        return f"Code({self.key!r})"

    def address(self, symbol: str) -> int:
        """Where a function, or data, of the module lies. Waits until it is there; in `together()`
        only for data.
        """
        if self.job is not None:
            address = self.job.address(symbol) if _here.open else None
            if address is not None:
                return address
            self.ready()
        address = self.find(symbol)
        if not address:
            raise CompileError("address", f"{self.key} has no symbol {symbol!r}")
        return address

    def ready(self) -> None:
        """Wait until it is there. Raises what its compilation has raised."""
        job = self.job
        if job is not None:
            job.wait()

    @property
    def failed(self) -> bool:
        """Whether it could not be compiled. Who asks for its key again tries again."""
        return self.job is not None and self.job.error is not None

    def then(self, call: Callable[[], None]) -> None:
        """Call this once it is there: now, or by the thread that compiles it."""
        job = self.job
        if job is None:
            call()
        else:
            job.then(call)


class _Here(threading.local):
    """How many blocks of `together` this thread is in."""

    open = 0


_here = _Here()


@final
class together:
    """A block at whose end all code is there that was loaded in it. Raises at the end what a
    compilation has raised meanwhile.
    """

    __slots__ = ("failed",)

    def __enter__(self) -> None:
        _here.open += 1
        jobs = sys.modules.get(JOBS)
        self.failed = 0 if jobs is None else len(jobs.failures)

    def __exit__(self, kind: Any, error: Any, where: Any) -> None:
        _here.open -= 1
        jobs = sys.modules.get(JOBS)
        if jobs is None:
            return
        jobs.finish()
        if kind is None and len(jobs.failures) > self.failed:
            raise jobs.failures[self.failed]


def load(
    key: str,
    build: Callable[[], Module | loops.Module],
    style: Style = "kernel",
    soon: bool = True,
) -> Code:
    """The code of this key, which must name everything that the module depends on.

    style: how the code generator treats it, see codegen/target.py
    soon: `together` waits for it; code for which nobody waits is compiled last
    """
    code = _loaded.get(key)
    if code is not None:
        return code
    with _lock:
        code = _loaded.get(key)
        if code is None:
            code = _load(key, build, style, soon)
        return code


def known(key: str) -> bool:
    """Whether `load` would find this code, here or in the cache."""
    return key in _loaded or cache.has(key)


def prepare(key: str, build: Callable[[], Module | loops.Module], style: Style = "kernel") -> None:
    """Compile into the cache, for another process; a folder that has gone is not made again."""
    if cache.has(key):
        return
    with no_collector():
        data = object_code(build(), style=style, verified=_verifies())
    cache.write(key, data, create=False)


def _verifies() -> bool:
    """Whether kernels are checked before LLVM checks them, for a twentieth of a first run's time:
    in the tests, and where `TWOFOLD_CHECK` asks for it.
    """
    return verifies or flags.check >= 1


verifies = False


def _load(
    key: str, build: Callable[[], Module | loops.Module], style: Style, soon: bool = True
) -> Code:
    start = time.perf_counter()
    data = cache.read(key)
    known = data is not None
    if data is None:
        if (_here.open or not soon) and beside():
            return _submit(key, build, style, soon)
        with no_collector():
            data = object_code(build(), style=style, verified=_verifies())
        cache.write(key, data)
        if JOBS in sys.modules:
            sys.modules[JOBS].stir()
    if flags.debug >= 2:
        _tell(key, known, len(data), time.perf_counter() - start, build)
    code = _loaded[key] = Code(key, _place(data))
    if JOBS in sys.modules:
        sys.modules[JOBS].mend(key, code.find)
    return code


def beside() -> bool:
    """Whether other threads compile: with a second CPU, where we place code ourselves, and
    where nobody wants to be told of each module in turn.
    """
    if host().loader != "elf" or flags.debug >= 2:
        return False
    return bool(importlib.import_module(JOBS).helpers())


def _submit(key: str, build: Callable[[], Module | loops.Module], style: Style, soon: bool) -> Code:
    """Write a module's text, and leave the rest to whoever has time first."""
    with no_collector():
        module = _record(build())
        if _verifies():
            importlib.import_module(VERIFY).verify(module)
        text = _emit(module, host())
    made: list[bytes] = []

    def make() -> Callable[[str], int | None]:
        try:
            made.append(_compiled(module, text, host(), style))
            return _place(made[0])
        except Exception:
            _loaded.pop(key, None)  # who asks again tries again
            raise

    code = Code(key, lambda symbol: None)
    jobs = importlib.import_module(JOBS)
    names = frozenset([f.name for f in module.functions if not f.internal])
    code.job = jobs.Job(code, names, make, lambda: cache.write(key, made[0]))
    _loaded[key] = code
    jobs.submit(code.job, jobs.NOW if soon else jobs.LATER)
    return code


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
def no_collector() -> Iterator[None]:
    """To look for cycles among so many new records, which have none and stay, doubles the time to
    make them.
    """
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
    """llvmlite, which takes 40 to 70 ms to import: only for what the library alone does not do."""
    from twofold.codegen import llvm  # when a process compiles what the library alone does not do

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
    return _compiled(module, _emit(module, target), target, style)


def _compiled(module: loops.Module, text: str, target: Target, style: Style) -> bytes:
    """The object file of a module's text."""
    try:
        made = importlib.import_module(LIBRARY).object_code(text, target, style)
        code: bytes = made or _llvm().object_code(text, target, style)
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
