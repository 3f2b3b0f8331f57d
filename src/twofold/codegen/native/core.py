"""Start the native runtime: load its machine code and hand out the addresses. Floor 3.

`start()` is what everything that runs kernels calls first; further calls do nothing. It chooses
the tier
    1   pool, allocator and kernels in machine code; arrays are handled in Python
    2   entries in machine code, which read NumPy's arrays
    3   and Tensors (codegen/native/tensor.py, installed by the floor that knows them)
by what the probes of runtime/native.py find, and at most what `TWOFOLD_TIER` says.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base.flags import flags
from twofold.base.records import NamedTuple
from twofold.codegen import ahead
from twofold.codegen.compile import (
    Code,
    beside,
    known,
    load,
    prepare,
    register_symbol,
    together,
)
from twofold.codegen.native.facts import ENV, NUMBERED
from twofold.codegen.native.tensor_env import MOST_INPUTS, TENSOR_ENV, Slots
from twofold.codegen.target import NATIVE, Style
from twofold.runtime import entries, memory, native, program, threads

HIGHEST = 3
BUILD, TENSOR = "twofold.codegen.native.build", "twofold.codegen.native.tensor"
# What kernels may call.
SHARED = ("pool_run", "block_alloc", "block_free")
SHARED_WITH_TENSORS = ("entry_match", "plan_run", "plan_run_into")
HANDLER = ("malloc", "calloc", "realloc", "free")
AT_FIRST = "at first"  # how the key of code ends that is compiled in a hurry
SETTLED = 10.0  # seconds after which a program is not in a hurry any more


class Core(NamedTuple):
    """The native runtime of this process."""

    code: Code
    tier: int
    doubts: str


def start() -> Core:
    """Load the machine code, once a process."""
    if not _started:
        _started.append(_start())
    return _started[0]


def started() -> bool:
    """Whether `start` has come back."""
    return bool(_started)


def begin() -> None:
    """Have the machine code compiled, if it must be, while the caller goes on. Until `start` has
    come back nothing can run, but kernels can be made that call it.
    """
    if not _started:
        _code()


_started: list[Core] = []


def _builder(name: str, file: str = BUILD) -> Callable[..., Any]:
    """A function that writes a module, of a file that is imported only for that."""
    return getattr(importlib.import_module(file), name)  # type: ignore[no-any-return]


def _start() -> Core:
    doubts, tier, code = _code()
    code.ready()
    _connect_base(code)
    if tier > 1:
        _connect_arrays(code)
    return Core(code, tier, doubts)


def _code() -> tuple[str, int, Code]:
    """What stands against the higher tiers, the tier, and its code, which may be on its way."""
    doubts = native.doubts() or entries.doubts()
    tier = 1 if doubts else flags.tier or HIGHEST
    key = "native/base" if tier == 1 else f"native/arrays/{native.tag()}"
    part = "build_base" if tier == 1 else "build_arrays"
    code = _load(key, lambda: _builder(part)())
    with together():
        for name in SHARED:
            register_symbol(name, code.address(name))
    return doubts, tier, code


def _load(key: str, build: Callable[[], Any]) -> Code:
    """The code of pool, allocator and entries.

    All kernels of a first step wait for the thread that compiles it. So it is compiled without
    optimisation at first, in a fifth of the time; once the program has run for a while, with it,
    into the cache, where the next process finds it. What goes along with a program is made at once.
    """
    if flags.tier or flags.cpu != NATIVE or known(key) or not beside():
        return load(key, build, "runtime", soon=False)
    ahead.later(SETTLED, lambda: prepare(key, build, "runtime"))
    return load(f"{key}/{AT_FIRST}", build, "plain", soon=False)


def _connect_base(code: Code) -> None:
    """Tell the runtime where pool and allocator are."""
    address = code.address
    threads.connect(address("pool_resize"), address("pool_forget"))
    program.connect(address("pool_run"))
    memory.connect(
        address("memory_words"),
        address("block_alloc"),
        address("block_scratch"),
        address("block_free"),
        address("cache_empty"),
    )


def _connect_arrays(code: Code) -> None:
    """Fill `env`, and have entries and new arrays made by machine code."""
    address = code.address
    functions = {name: address(f"handler_{name}") for name in HANDLER}
    objects: dict[str, Any] = {
        "ndarray": np.ndarray,
        "float": float,
        "int": int,
        "None": None,
        "True": True,
        "False": False,
        "handler": native.new_handler(functions),
    }
    words = (ctypes.c_void_p * len(ENV)).from_address(address("env"))
    for index, name in enumerate(ENV):
        if name in native.NUMPY:
            words[index] = native.numpy_function(name)
        else:
            words[index] = id(native.forever(objects[name]))
    entries.connect(*map(address, ("entry_call", "entry_give", "entry_free", "entry_into")))
    memory.install(native.builtin("empty", address("array_empty")))
    program.install(program.Doors(entries.make_entry, entries.add_plan, entries.add_pattern))


def start_tensors(slots: Slots, objects: dict[str, Any]) -> tuple[Code, Code]:
    """Load the Tensor tier, for classes with these slots; `objects` fill its environment. Its code,
    and that of functions and methods by their numbers.
    """
    core = start()
    for name in SHARED_WITH_TENSORS:
        register_symbol(name, core.code.address(name))
    tensors, numbered = _tensor_modules(slots)
    code = load(*tensors)
    objects = objects | {f"nones {n}": (None,) * n for n in range(MOST_INPUTS + 1)}
    words = (ctypes.c_void_p * len(TENSOR_ENV)).from_address(code.address("tensor_env"))
    for index, name in enumerate(TENSOR_ENV):
        if name == "entry_call":
            words[index] = core.code.address(name)
        elif name in native.NUMPY:
            words[index] = native.numpy_function(name)
        else:
            words[index] = id(native.forever(objects[name]))
    for kind in NUMBERED:
        register_symbol(f"{kind}_call", code.address(f"{kind}_call"))
    return code, load(*numbered)


def _tensor_modules(slots: Slots) -> list[tuple[str, Callable[[], Any], Style]]:
    """What `load` is told for the modules of the Tensor tier."""
    key = f"native/tensors/{native.tag()}/{slots.key()}"
    return [
        (key, lambda: _builder("build_tensors", TENSOR)(slots), "runtime"),
        ("native/numbered", lambda: _builder("build_numbered", TENSOR)(), "plain"),
    ]


def knows_tensors(slots: Slots) -> bool:
    """Whether the Tensor tier is compiled."""
    return all(known(key) for key, _, _ in _tensor_modules(slots))


def prepare_tensors(slots: Slots) -> None:
    """Compile the Tensor tier into the cache."""
    for module in _tensor_modules(slots):
        prepare(*module)
