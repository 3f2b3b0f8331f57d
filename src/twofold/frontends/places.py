"""Where a function finds and leaves Python's values besides its arguments. Floor 9.

A function reads attributes, global names, what it closes over, and what lies in lists and dicts; a
program is made for what was there. A `Place` is one of these: where it is, and what was in it. The
walk goes from the function's code by the names in it, through functions, objects and containers of
the user's, and modules; it does not go into other objects of ours, and into libraries without
tensors (frontends/libraries.py) only as far as the user's code names what is there.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import gc
import operator
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, final

from twofold.base.errors import OURS, PYTHONS, USERS, owner_of
from twofold.base.trees import LEAF, Form, flatten
from twofold.frontends.left_to_python import catches, codes_of
from twofold.frontends.libraries import Libraries
from twofold.ops.tensor import Tensor, type_of

OPTIONS = (
    *("params", "param_names", "lr", "initial_lr", "swa_lr", "max_lr", "min_lr"),
    *("base_momentum", "max_momentum"),
)  # of every optimizer's groups, or put there by schedules
MOST_ITEMS = 256  # of a container that is looked into
PLAIN = (int, float, str, bool, bytes, complex, type(None))
NAMESPACES = {
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
}  # whose attributes are the user's
ABOUT_MODULES = {"_modules", "_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks"}


class Missing:
    """What a place holds that is not there."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()
ENVIRONMENT: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]


@final
class Place:
    """One value that lies outside of a function.

    kind     "dict": `holder[key]`, of a dict, an object's attributes or global names; "item" of a
             list; "size" of a list or a dict, whose key is -1; "cell"; "values" of a tensor
    before   what was there when a program was made
    name     what a report calls it
    """

    __slots__ = ("after", "before", "grows", "holder", "key", "kind", "name", "owner")

    def __init__(self, kind: str, holder: Any, key: Any, name: str, owner: Any = None) -> None:
        self.kind = kind
        self.holder = holder
        self.key = key
        self.name = name
        self.owner = owner  # a class, whose attributes are set by setattr
        self.grows = False  # whether the list in it is appended to
        self.before = self.read()
        self.after = self.before  # what the program leaves there, if it holds the same

    def read(self) -> Any:
        if self.kind == "dict":
            return dict.get(self.holder, self.key, MISSING)  # a subclass may have another get
        if self.kind == "cell":
            try:
                return self.holder.cell_contents
            except ValueError:
                return MISSING
        if self.kind == "size":
            return len(self.holder)
        if self.kind == "values":
            array = self.holder.array
            return array.dtype, array.shape, array.tobytes()
        return self.holder[self.key] if self.key < len(self.holder) else MISSING

    def flat_now(self) -> tuple[list[Any], Form]:
        """What a call finds in it, as leaves and their form; a list that grows is one leaf."""
        now = self.read()
        return ([now], LEAF) if self.grows else flatten(now)

    def write(self, value: Any) -> None:
        if self.kind == "cell":
            self.holder.cell_contents = value
        elif self.owner is not None:
            setattr(self.owner, self.key, value)
        elif value is not MISSING:
            self.holder[self.key] = value
        elif self.kind == "dict":
            self.holder.pop(self.key, None)

    def holds(self) -> bool:
        """Whether there is what was there."""
        now, before = self.read(), self.before
        if now is before or (self.kind == "values" and now == before):
            return True
        if now is self.after:
            return copies(now, before)
        return type(now) is type(before) and isinstance(now, PLAIN) and now == before

    def same(self, other: Place) -> bool:
        return self.holder is other.holder and self.key == other.key


def watch(places: Sequence[Place]) -> Callable[[], bool]:
    """A function that tells whether places hold what they held. Most are entries and sizes, which
    are compared here; the place is asked where another object lies there.
    """
    entries = [(p.holder, p.key, p.before, p) for p in places if p.kind == "dict"]
    sizes = [(p.holder, p.before) for p in places if p.kind == "size"]
    cells = [(p.holder, p.before, p) for p in places if p.kind == "cell"]
    others = [p for p in places if p.kind not in ("dict", "size", "cell")]
    get = dict.get

    def hold() -> bool:
        for holder, key, before, place in entries:
            if get(holder, key, MISSING) is not before and not place.holds():
                return False
        for holder, size in sizes:
            if len(holder) != size:
                return False
        for cell, before, place in cells:
            try:
                if cell.cell_contents is before:
                    continue
            except ValueError:
                pass
            if not place.holds():
                return False
        return all([place.holds() for place in others])

    return hold


def copies(x: Any, y: Any) -> bool:
    """Whether one object has the attributes of another: the same ones, or containers of the same,
    as that of a registry has that is never changed but replaced.
    """
    if type(x) is not type(y) or not vars_of(y) or vars_of(x).keys() != vars_of(y).keys():
        return False
    return all(_holds_same(value, vars_of(y)[name]) for name, value in vars_of(x).items())


def vars_of(x: Any) -> dict[str, Any]:
    """The attributes of an object of a class of Python's; none of modules, functions, classes."""
    if isinstance(x, type | FunctionType | ModuleType | Tensor) or not hasattr(x, "__dict__"):
        return {}
    return x.__dict__  # type: ignore[no-any-return]


def _holds_same(x: Any, y: Any) -> bool:
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, PLAIN):
        return bool(x == y)
    if type(x) is dict:
        return list(x) == list(y) and all(x[key] is y[key] for key in x)
    if type(x) in (set, frozenset):
        return len(x) == len(y) and {id(item) for item in x} == {id(item) for item in y}
    return type(x) in (list, tuple, deque) and _same_items(x, y)


def _same_items(x: Any, y: Any) -> bool:
    return len(x) == len(y) and all(map(operator.is_, x, y))


@final
class Places:
    """The places that a function's code names, as they are now.

    lists    the lists among what they hold, with their items, and the place that each was found at
    dicts    the dicts and attributes of objects that were looked into, with their keys
    names    the attributes that the code names, a library's too; `asked`: those that others name
    stored   those that the user's code sets; `inspects`: whether it looks at objects' dicts
    catches  whether it may catch an error
    inside   the global names of the library that is looked into, if one is
    """

    def __init__(self, function: Any, others: Iterable[Any] = ()) -> None:
        self.found: dict[tuple[int, Any], Place] = {}
        self.lists: dict[int, tuple[list[Any], list[Any], Place | None]] = {}
        self.dicts: dict[int, tuple[Any, dict[Any, Any], str]] = {}
        self.others: list[tuple[Any, list[Any], str]] = []  # sets and deques, with their items
        self.seen: dict[int, Any] = {}
        # Options of groups, by the group's id: Python finds them for itself before each run.
        self.free: set[tuple[int, Any]] = set()
        self.objects: list[tuple[Any, str]] = []
        self.bare: list[tuple[Tensor, str]] = []  # tensors without attributes of the user's
        self.functions: set[int] = set()
        self.names: set[str] = set()
        self.asked: set[str] = set()
        self.mentions: set[str] = set()  # words in the user's code, as hasattr has
        self.stored: set[str] = set()
        self.inspects = False
        self.typed: dict[int, dict[str, Any]] = {}  # the global names of code that calls `type`
        self.catches = False
        self.libraries = Libraries()
        self.inside: dict[str, Any] | None = None
        self.passed: dict[tuple[int, Any], Any] = {}  # places in libraries not looked into so far
        self.value(function, getattr(function, "__name__", "function"))
        for other in others:
            self.value(other, type(other).__name__)
        before = -1
        while before != len(self.names) + len(self.asked) + len(self.objects):
            before = len(self.names) + len(self.asked) + len(self.objects)
            for thing, name in list(self.objects):
                self.attributes(thing, name)
        self.functions.clear()

    def __iter__(self) -> Iterator[Place]:
        return iter(self.found.values())

    # ---- the walk

    def place(self, kind: str, holder: Any, key: Any, name: str, owner: Any = None) -> None:
        at = id(holder), key
        made = self.found.get(at)
        if made is None:
            made = self.found[at] = Place(kind, holder, key, name, owner)
        elif self.inside is not None or at not in self.passed:
            return
        if self.inside is not None:
            self.passed[at] = holder
        else:
            self.passed.pop(at, None)
        self.value(made.before, name, made)

    @contextlib.contextmanager
    def within(self, home: dict[str, Any] | None) -> Iterator[None]:
        """Look into a library, or into what is none."""
        before, self.inside = self.inside, home
        try:
            yield
        finally:
            self.inside = before

    def is_behind(self, x: Any) -> bool:
        """Whether a value found inside a library leads further into libraries; functions beside
        each other are one.
        """
        home = self.libraries.home(x)
        return home is not None and not (isinstance(x, FunctionType) and home is self.inside)

    def value(self, x: Any, name: str, at: Place | None = None) -> None:
        """Look at a value, and into it."""
        if isinstance(x, PLAIN) or id(x) in self.seen:
            return
        if isinstance(x, Tensor):
            self.tensor(x, name)
            return
        if self.inside is not None and self.is_behind(x):
            return
        if isinstance(x, FunctionType):
            self.function(x)
            return
        self.seen[id(x)] = x
        kind = type(x)
        if isinstance(x, type):
            if _is_users(x):
                self.objects.append((x, name))
                self.operators(x)
        elif isinstance(x, MethodType):
            self.value(x.__func__, name)
            self.value(x.__self__, "self")
        elif kind is functools.partial:
            for part in (x.func, *x.args, *x.keywords.values()):
                self.value(part, name)
        elif kind is tuple:
            for part in x[:MOST_ITEMS]:
                self.value(part, name)
        elif kind is list:
            self.items(x, name, at)
        elif isinstance(x, dict):
            self.entries(x, name)
        elif kind in (set, deque):
            self.others.append((x, list(x), name))
        elif isinstance(x, ModuleType):
            if owner_of(getattr(x, "__file__", None) or "<frozen >") == USERS:
                self.objects.append((x, name))
        elif hasattr(x, "_parameters") and hasattr(x, "forward"):
            self.objects.append((x, name))
            self.names.add("training")
            self.method(kind, "forward")
            self.operators(kind)
            for key in ABOUT_MODULES & x.__dict__.keys():
                self.entries(x.__dict__[key], f"{name}.{key}" if key.endswith("hooks") else name)
        elif hasattr(x, "param_groups") and not _is_users(kind):
            self.place("size", x.param_groups, -1, f"len({name}.param_groups)")
            state = Place("dict", x.__dict__, "state", f"{name}.state")  # not what is in it
            self.found.setdefault((id(x.__dict__), "state"), state)
            for group in x.param_groups:
                self.free |= {(id(group), key) for key in (-1, *OPTIONS, *x.defaults)}
                self.entries(group, f"{name}.param_groups")
                self.place("size", group["params"], -1, f"len({name}'s parameters)")
        elif type(getattr(x, "__dict__", None)) is dict and _is_users(kind):  # not list[int]
            self.objects.append((x, name))
            self.operators(kind)
        elif hasattr(x, "programs") and hasattr(x, "function"):  # another compiled function
            self.value(x.function, name)

    def tensor(self, x: Tensor, name: str) -> None:
        """Look at what users have given a tensor: attributes, and hooks."""
        self.seen[id(x)] = x
        if x.__dict__:
            self.objects.append((x, name))
        else:
            self.bare.append((x, name))
        for hook in (x.hooks or {}).values():
            self.value(hook, "hook")

    def items(self, x: list[Any], name: str, at: Place | None) -> None:
        self.lists[id(x)] = (x, list(x), at)
        if len(x) <= MOST_ITEMS:
            self.place("size", x, -1, f"len({name})")
            for index in range(len(x)):
                self.place("item", x, index, f"{name}[{index}]")

    def entries(self, x: dict[Any, Any], name: str) -> None:
        if len(x) <= MOST_ITEMS:
            self.dicts[id(x)] = (x, dict(x), name)
            self.place("size", x, -1, f"len({name})")
            for key in x:
                self.place("dict", x, key, f"{name}[{brief(key)}]")

    def function(self, function: FunctionType) -> None:
        """What a function's code names: attributes anywhere, global names, and cells."""
        inner = getattr(function, "__wrapped__", None)
        if isinstance(inner, FunctionType):
            self.function(inner)
        if id(function) in self.functions or owner_of(function.__code__.co_filename) == PYTHONS:
            return
        self.functions.add(id(function))
        self.seen[id(function)] = function
        if function.__dict__:
            self.objects.append((function, function.__name__))
        with self.within(self.libraries.home(function)):
            self.code(function)

    def code(self, function: FunctionType) -> None:
        globals_ = function.__globals__
        ours = owner_of(function.__code__.co_filename) == OURS
        self.catches = self.catches or (not ours and catches(function.__code__))
        for code in codes_of(function.__code__):
            attributes, names = _names(code)
            self.names |= attributes
            if self.inside is None:
                self.asked |= attributes
            if not ours:
                self.mentions |= {x for x in code.co_consts if type(x) is str and x.isidentifier()}
                self.stored |= _stored(code)
                self.inspects = self.inspects or "__dict__" in attributes or "vars" in names
            if "type" in names and not ours and "type" not in globals_:
                self.typed[id(globals_)] = globals_
            for name in () if ours else names:
                if name in globals_ and _may_change(globals_[name]):
                    self.place("dict", globals_, name, name)
        if ours:
            return
        for one in codes_of(function.__code__):
            for key in _asked_of_environment(one):
                self.place("dict", ENVIRONMENT, os.fsencode(key), f"os.environ[{key!r}]")
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            self.place("cell", cell, None, name)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.value(default, "default")

    def method(self, kind: type, name: str) -> None:
        for base in kind.__mro__[:-1]:
            found = base.__dict__.get(name)
            found = getattr(found, "__func__", getattr(found, "fget", found))
            if isinstance(found, FunctionType):
                self.function(found)
                return

    def operators(self, kind: type) -> None:
        """The methods of users' classes that operators and statements call without their names."""
        for base in kind.__mro__[:-1]:
            if owner_of(getattr(sys.modules.get(base.__module__), "__file__", None) or "") == USERS:
                for name, found in list(vars(base).items()):
                    if name[:2] == "__" and isinstance(found, FunctionType):
                        self.function(found)

    def attributes(self, x: Any, name: str) -> None:
        """The attributes of an object that the code names, and the methods behind them."""
        if isinstance(x, type):
            self.class_attributes(x, None, name)
            return
        own = x.__dict__
        if id(own) not in self.dicts:
            self.dicts[id(own)] = (own, dict(own), name)
        home = self.libraries.home(x)
        for key in self.names & own.keys():
            if key not in ABOUT_MODULES:
                with self.within(None if key in self.asked else home):
                    self.place("dict", own, key, f"{name}.{key}")
        if not isinstance(x, ModuleType | FunctionType | Tensor):
            self.class_attributes(type(x), own, name)

    def class_attributes(self, kind: type, own: dict[str, Any] | None, name: str) -> None:
        """What the code names of a class, and of an object of it that has not set it for itself."""
        for base in kind.__mro__[:-1]:
            if base.__module__ == "twofold.nn.module" or base.__module__ == "builtins":
                continue
            held = gc.get_referents(base.__dict__)[0]
            home = self.libraries.home(base)
            for key in self.names & held.keys():
                with self.within(None if key in self.asked else home):
                    if not isinstance(held[key], (*PLAIN, Tensor, list, dict)):
                        self.method(base, key)
                        continue
                    self.place("dict", held, key, f"{base.__name__}.{key}", base)
                    if own is not None:
                        self.place("dict", own, key, f"{name}.{key}")


def part_name(name: str, key: Any) -> str:
    """What a report calls an attribute of `name`, or its entry of a key that is no text."""
    return f"{name}.{key}" if isinstance(key, str) else f"{name}[{brief(key)}]"


def brief(key: Any) -> str:
    """A key in one line: of a tensor (a parameter in an optimizer's state) its type alone."""
    return f"{type(key).__name__} {type_of(key)}" if isinstance(key, Tensor) else repr(key)


def _is_users(kind: type) -> bool:
    """Whether a class is the user's, and not ours or of a library; or one for users' options."""
    if any(base.__name__ == "LRScheduler" for base in kind.__mro__):
        return False  # it steps before each run
    if any((base.__module__, base.__name__) in NAMESPACES for base in kind.__mro__):
        return True
    made = next((f for f in vars(kind).values() if isinstance(f, FunctionType)), None)
    if made is not None and made.__code__.co_filename.startswith("<"):
        made = None  # of a dataclass
    if made is not None:
        return owner_of(made.__code__.co_filename) == USERS
    module = kind.__module__
    if module == "__main__":
        return True
    return module not in ("builtins", "collections") and not module.startswith(
        ("twofold", "numpy", "types", "_")
    )


def _may_change(x: Any) -> bool:
    """Whether a global name is looked at: functions and modules of libraries are not."""
    if isinstance(x, ModuleType):
        return owner_of(getattr(x, "__file__", None) or "<frozen >") == USERS
    if isinstance(x, FunctionType):
        return owner_of(x.__code__.co_filename) == USERS
    return not isinstance(x, type) or _is_users(x)


@functools.cache
def _names(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The attributes that a code names, and its global names."""
    attributes, names = set(), set()
    for one in dis.get_instructions(code):
        if one.opname in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "LOAD_SUPER_ATTR"):
            attributes.add(one.argval)
        elif one.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"):
            names.add(one.argval)
    return frozenset(attributes), frozenset(names)


@functools.cache
def _stored(code: CodeType) -> frozenset[str]:
    """The attributes that a code sets."""
    instructions = dis.get_instructions(code)
    return frozenset(one.argval for one in instructions if one.opname == "STORE_ATTR")


def _asked_of_environment(code: CodeType) -> list[str]:
    """The variables of the environment that a code may name, if it asks for any."""
    if "environ" not in code.co_names and "getenv" not in code.co_names:
        return []
    return [x for x in code.co_consts if isinstance(x, str) and x.isidentifier()]
