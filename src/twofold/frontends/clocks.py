"""Clocks, what differs from call to call, and questions to the user. Floor 9.

A program would keep what `time.time()` gave while it was captured. In the block `Clocks`, the
user's functions find stand-ins under their own global names (nobody else does):

    time.time() and its kin    a number that is read anew before each run
    datetime.now(), uuid4(), os.urandom(), secrets, input()    only Python can run

Where no graph can have a clock's number (a text by "%", a logger), only Python can run that.
"""

from __future__ import annotations

import builtins
import datetime
import dis
import inspect
import operator
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, final

import numpy as np

from twofold.base.errors import USERS, in_python, owner_of
from twofold.base.types import Type
from twofold.frontends.arrays import CaptureError
from twofold.frontends.later import TYPES, Later
from twofold.ops.bind import mode
from twofold.ops.tensor import wrap

CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
KINDS = {name: float for name in CLOCKS} | {f"{name}_ns": int for name in CLOCKS}
READ: dict[Any, type] = {
    getattr(time, name): kind for name, kind in KINDS.items() if hasattr(time, name)
}
ANEW = {  # what gives another value at each call, by module
    "uuid": ("uuid1", "uuid4"),
    "os": ("urandom",),
    "secrets": ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "choice", "randbits"),
    "datetime": ("datetime", "date"),
}
NOW = ("now", "today", "utcnow")
DATES = (datetime.datetime, datetime.date)
MODULES = ("time", *ANEW)


def _only_python(what: str, why: str) -> CaptureError:
    made = CaptureError(
        "compile",
        f"the function asks {what}: {why}",
        hint="ask outside of it, and pass the answer as an argument; or twofold.callback",
    )
    in_python(made)
    return made


@final
class Clock:
    """What stands for a function that reads a clock."""

    def __init__(self, clocks: Clocks, real: Callable[[], Any]) -> None:
        self.clocks = clocks
        self.real = real
        self.kind = READ[real]

    def __call__(self) -> Any:
        capture, real, kind = mode.capture, self.real, self.kind
        if capture is None:
            return real()
        self.clocks.asked = True
        dtype = TYPES[kind]
        like = Type((), dtype)
        number = capture.host(lambda: np.array(real(), dtype.numpy), "clock", like=like)
        return Later(kind, wrap(capture.host_value(number, None, (), dtype)))


@final
class Anew:
    """What stands for a function whose answer differs from call to call."""

    def __init__(self, real: Any, name: str) -> None:
        self.real = real
        self.name = name

    def __call__(self, *args: Any, **named: Any) -> Any:
        if mode.capture is None:
            return self.real(*args, **named)
        raise _only_python(f"{self.name}()", "a program would keep what it gives")


@final
class Around:
    """What stands for a module, or for a class of dates: some of its attributes are others."""

    def __init__(self, real: Any, others: dict[str, Any]) -> None:
        self.real = real
        self.others = others

    def __getattr__(self, name: str) -> Any:
        found = self.others.get(name)
        return getattr(self.real, name) if found is None else found

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.real(*args, **named)

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, self.real)

    def __reduce__(self) -> Any:
        return operator.attrgetter("real"), (self,)


@final
class Clocks:
    """A block in which the functions that a capture has found read stand-ins.

    asked   whether a clock was read
    """

    def __init__(self, functions: Iterable[Any]) -> None:
        self.asked = False
        functions = [f for f in functions if type(f) is FunctionType and _is_theirs(f.__code__)]
        self.places = list(_named(functions))
        self.imports = any(_imports(f.__code__) for f in functions)

    def __enter__(self) -> Clocks:
        if self.imports:
            _importing.append(self)
            builtins.__import__ = _import
        self.before = [(space, name, space.get(name, self)) for space, name, _ in self.places]
        for space, name, real in self.places:
            space[name] = self.stand_in(real)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.asked and isinstance(error, CaptureError):
            in_python(error)
        if self.imports:
            _importing.remove(self)
            if not _importing:
                builtins.__import__ = PLAIN
        for space, name, was in self.before:
            if was is self:
                space.pop(name, None)
            else:
                space[name] = was

    def stand_in(self, real: Any) -> Any:
        if isinstance(real, ModuleType):
            others = {}
            for name in _asking(real):
                others[name] = self.stand_in(getattr(real, name))
            return Around(real, others)
        if real in DATES:
            name = real.__name__
            others = {n: Anew(getattr(real, n), f"{name}.{n}") for n in NOW if hasattr(real, n)}
            return Around(real, others)
        if real in READ:
            return Clock(self, real)
        return Anew(real, real.__name__)


def _asking(module: ModuleType) -> list[str]:
    """The names of a module that differ from call to call."""
    names = KINDS if module.__name__ == "time" else ANEW[module.__name__]
    return [name for name in names if hasattr(module, name)]


def _known() -> dict[int, Any]:
    """What is stood in for, by its id: modules, and what they hold."""
    found = {}
    for name in MODULES:
        module = sys.modules.get(name)
        if module is not None:
            for x in (module, *[getattr(module, n) for n in _asking(module)]):
                found[id(x)] = x
    return found


def _named(functions: Iterable[Any]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """The global names of functions that are stood in for: where they are, and what they hold."""
    known, seen = _known(), set()
    for function in functions:
        space = function.__globals__
        for name in _names(function.__code__):
            if (id(space), name) in seen:
                continue
            seen.add((id(space), name))
            x = space.get(name)
            if x is not None and id(x) in known:
                yield space, name, x
            elif x is None and name == "input":
                yield space, name, builtins.input


def _is_theirs(code: CodeType) -> bool:
    return owner_of(code.co_filename) == USERS


def _imports(code: CodeType) -> bool:
    """Whether a function imports one of the modules for itself."""
    if not set(MODULES).isdisjoint(_names(code)):
        for one in dis.get_instructions(code):
            if one.opname == "IMPORT_NAME" and one.argval in MODULES:
                return True
    return any(_imports(part) for part in code.co_consts if isinstance(part, CodeType))


PLAIN = builtins.__import__
_importing: list[Clocks] = []


def _import(name: str, *more: Any, **named: Any) -> Any:
    """What `import` in the body of a captured function gives."""
    made = PLAIN(name, *more, **named)
    if name not in MODULES or mode.capture is None or not _importing:
        return made
    code = sys._getframe(1).f_code
    within = code.co_flags & inspect.CO_NEWLOCALS and _is_theirs(code)  # not that of a module
    return _importing[-1].stand_in(made) if within else made


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)
