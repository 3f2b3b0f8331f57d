"""Read pickles without the pickle module: values and containers, and a table of names. Floor 8.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program
names. This one knows no way to import or call anything: a name is looked up in the reader's table,
and what is not there ends the reading. (The opcodes: Lib/pickletools.py of CPython.)
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

from twofold.base.errors import TwofoldError
from twofold.saving.container import damaged

DEEPEST = 10_000  # marks that may be open at once
LONGEST_INT = 64  # bytes of a whole number
SCALARS = (str, int, float, bytes, type(None))


class Constructor(NamedTuple):
    """A name of the table that takes arguments."""

    name: str
    make: Callable[..., Any]


@final
class Machine:
    """Runs one pickle.

    names       (module, name) to the value that a pickle may name, or to a Constructor
    persistent  what a persistent reference stands for
    build       gives an object its state; the default refuses
    """

    def __init__(
        self,
        data: bytes,
        names: Mapping[tuple[str, str], Any],
        persistent: Callable[[Any], Any] | None = None,
        build: Callable[[Any, Any], None] | None = None,
    ) -> None:
        self.data = data
        self.at = 0
        self.names = names
        self.persistent = persistent
        self.build = build
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value of the pickle. Raises DamagedFileError for everything that is not plain."""
        while True:
            code = self.take(1)
            if code == b".":
                break
            step = STEPS.get(code[0])
            if step is None:
                raise damaged("the pickle holds an unknown opcode", opcode=code, at=self.at - 1)
            try:
                step(self)
            except TwofoldError:
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"[:200]
                raise damaged("the pickle is malformed", at=self.at, reason=reason) from None
        if len(self.stack) != 1 or self.marks:
            raise damaged("the pickle ends with something left over")
        check_plain(self.stack[0])
        return self.stack[0]

    # reading

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise damaged("the pickle is cut off", at=self.at)
        self.at += count
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise damaged("the pickle is cut off", at=self.at)
        piece = self.data[self.at : end]
        self.at = end + 1
        return piece.decode("utf-8")

    # the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise damaged("the pickle takes what is not there", at=self.at)
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def mark(self) -> None:
        if len(self.marks) >= DEEPEST:
            raise damaged("the pickle is nested too deeply")
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    # names and what is made of them

    def name(self, module: Any, name: Any) -> None:
        key = (module, name)
        if not isinstance(module, str) or not isinstance(name, str) or key not in self.names:
            raise damaged(
                "the file names something that is not loaded",
                hint="save tensors in dicts and lists, such as model.state_dict()",
                name=f"{module}.{name}"[:200],
            )
        self.push(self.names[key])

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Constructor) or not isinstance(arguments, tuple):
            raise damaged("the pickle calls what cannot be called", at=self.at)
        self.push(function.make(*arguments))

    def set_state(self) -> None:
        state, value = self.pop(), self.top()
        if type(value) is OrderedDict:
            versions = state.get("_metadata") if isinstance(state, dict) else None
            if isinstance(versions, dict):
                value._metadata = versions  # type: ignore[attr-defined]  # of a state_dict's modules
            return
        if self.build is None:
            raise damaged("the pickle gives a state to what has none", at=self.at)
        self.build(value, state)

    def reference(self) -> None:
        if self.persistent is None:
            raise damaged("the pickle refers to something outside", at=self.at)
        self.push(self.persistent(self.pop()))

    # containers

    def append(self) -> None:
        value = self.pop()
        of(list, self.top()).append(value)

    def extend(self) -> None:
        items = self.since_mark()
        of(list, self.top()).extend(items)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        of(dict, self.top())[plain_key(key)] = value

    def set_items(self) -> None:
        items = self.since_mark()
        target = of(dict, self.top())
        for key, value in pairs(items):
            target[plain_key(key)] = value

    def add_items(self) -> None:
        items = self.since_mark()
        of(set, self.top()).update(map(plain_key, items))

    def make_dict(self) -> None:
        self.push({plain_key(key): value for key, value in pairs(self.since_mark())})

    def make_tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(items[::-1]))

    # numbers and texts

    def whole(self, length: int) -> None:
        if not 0 <= length <= LONGEST_INT:
            raise damaged("a whole number is too long", bytes=length)
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def text(self, form: str) -> None:
        self.push(self.take(self.length(form)).decode("utf-8", "surrogatepass"))

    def raw(self, form: str) -> None:
        self.push(self.take(self.length(form)))

    def length(self, form: str) -> int:
        length: int = self.number(form)
        if not 0 <= length <= len(self.data):
            raise damaged("the pickle is cut off", at=self.at)
        return length

    # what was seen before

    def put(self, place: int) -> None:
        self.memo[place] = self.top()

    def get(self, place: int) -> None:
        if place not in self.memo:
            raise damaged("the pickle repeats what was not there", at=self.at)
        self.push(self.memo[place])


def of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise damaged("the pickle fills what is no container", kind=type(value).__name__)
    return value


def pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    if len(items) % 2:
        raise damaged("a dict of the pickle has a key without a value")
    return list(zip(items[::2], items[1::2], strict=True))


def plain_key(key: Any) -> Any:
    """Keys are scalars or flat tuples of them: hashing others may take for ever."""
    parts = key if type(key) is tuple else (key,)
    if not all(isinstance(part, SCALARS) for part in parts):
        raise damaged("a key of the pickle is no plain value", kind=type(key).__name__)
    return key


def check_plain(value: Any) -> None:
    """Raise DamagedFileError where a bare name is left in the value. Each part is seen once."""
    todo, seen = [value], {id(value)}
    while todo:
        at = todo.pop()
        if isinstance(at, Constructor):
            raise damaged("the file holds a class or a function", name=at.name)
        inside = at.values() if isinstance(at, dict) else at if type(at) in (list, tuple) else ()
        for part in inside:
            if id(part) not in seen:
                seen.add(id(part))
                todo.append(part)


STEPS: dict[int, Callable[[Machine], Any]] = {
    ord(code): step
    for code, step in {
        "\x80": lambda m: m.take(1),
        "\x95": lambda m: m.take(8),
        "(": Machine.mark,
        "0": Machine.pop,
        "1": Machine.since_mark,
        "2": lambda m: m.push(m.top()),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "G": lambda m: m.push(m.number(">d")),
        "\x8a": lambda m: m.whole(m.number("<B")),
        "\x8b": lambda m: m.whole(m.number("<i")),
        "X": lambda m: m.text("<I"),
        "\x8c": lambda m: m.text("<B"),
        "\x8d": lambda m: m.text("<Q"),
        "T": lambda m: m.raw("<i"),
        "U": lambda m: m.raw("<B"),
        "B": lambda m: m.raw("<I"),
        "C": lambda m: m.raw("<B"),
        "\x8e": lambda m: m.raw("<Q"),
        "]": lambda m: m.push([]),
        "l": lambda m: m.push(m.since_mark()),
        "a": Machine.append,
        "e": Machine.extend,
        ")": lambda m: m.push(()),
        "t": lambda m: m.push(tuple(m.since_mark())),
        "\x85": lambda m: m.make_tuple(1),
        "\x86": lambda m: m.make_tuple(2),
        "\x87": lambda m: m.make_tuple(3),
        "}": lambda m: m.push({}),
        "d": Machine.make_dict,
        "s": Machine.set_item,
        "u": Machine.set_items,
        "\x8f": lambda m: m.push(set()),
        "\x90": Machine.add_items,
        "\x91": lambda m: m.push(frozenset(map(plain_key, m.since_mark()))),
        "q": lambda m: m.put(m.number("<B")),
        "r": lambda m: m.put(m.number("<I")),
        "\x94": lambda m: m.put(len(m.memo)),
        "h": lambda m: m.get(m.number("<B")),
        "j": lambda m: m.get(m.number("<I")),
        "c": lambda m: m.name(m.line(), m.line()),
        "\x93": Machine.stack_global,
        "R": Machine.reduce,
        "b": Machine.set_state,
        "Q": Machine.reference,
    }.items()
}


def make_set(items: Any = ()) -> set[Any]:
    return set(map(plain_key, of((list, tuple), items)))


def make_complex(real: Any, imaginary: Any) -> complex:
    return complex(float(real), float(imaginary))


def make_ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict()
    for key, value in items:
        made[plain_key(key)] = value
    return made


def make_bytes(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes: as a text of Latin-1, and its encoding."""
    if not isinstance(text, str) or encoding != "latin1":
        raise damaged("the pickle encodes a text in another way than bytes are written")
    return text.encode("latin1")


# Python's own classes that pickles of plain values name.
PLAIN_NAMES: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): Constructor("encode", make_bytes),
    ("collections", "OrderedDict"): Constructor("OrderedDict", make_ordered),
    **{
        (module, name): Constructor(name, make)
        for module in ("builtins", "__builtin__")
        for name, make in (("set", make_set), ("complex", make_complex))
    },
}
