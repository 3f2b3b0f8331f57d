"""Start the native runtime: load its machine code and hand out the addresses. Floor 3.

`start()` is what everything that runs kernels calls first; further calls do nothing.
"""

from __future__ import annotations

from twofold.codegen.compile import Code, load, register_symbol
from twofold.codegen.native.allocator import add_allocator
from twofold.codegen.native.pool import add_pool
from twofold.ir.build import Module
from twofold.runtime import memory, program, threads

# What kernels may call.
SHARED = ("pool_run", "block_alloc", "block_free")


def start() -> Code:
    """Load pool and allocator, once a process."""
    if not _started:
        _started.append(_start())
    return _started[0]


_started: list[Code] = []


def build_base() -> Module:
    """Pool and allocator: what every tier needs."""
    m = Module("native")
    add_pool(m)
    add_allocator(m)
    return m


def _start() -> Code:
    code = load("native/base", build_base)
    for name in SHARED:
        register_symbol(name, code.address(name))
    connect_base(code)
    return code


def connect_base(code: Code) -> None:
    """Tell the runtime where pool and allocator are."""
    address = code.address
    threads.connect(address("pool_resize"), address("pool_forget"))
    program.connect(address("pool_run"))
    memory.connect(
        address("memory_words"),
        address("block_alloc"),
        address("block_free"),
        address("cache_empty"),
    )
