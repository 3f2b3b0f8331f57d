"""CPython's and NumPy's objects as machine code sees them, and builtins of machine code. Floor 1.

Machine code reads objects at fixed offsets. They all stand here, follow from
`object.__basicsize__`, and are compared with live objects by `doubts` before any code that uses
them runs; when something differs, or on an interpreter without a GIL, the ctypes tier does the
same work. What depends on the Python version is in one table, REFERENCES.

Whatever machine code may still read is kept for ever (`forever`): arrays outlive modules, even at
exit.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from twofold.base.records import NamedTuple

T = TypeVar("T")
api = ctypes.pythonapi
POINTER = ctypes.c_void_p

DEBUG = hasattr(sys, "gettotalrefcount") or hasattr(sys, "getobjects")
FREE_THREADED = "t" in getattr(sys, "abiflags", "")

HEAD = object.__basicsize__
DICT = -24  # where attributes are, before the collector's two words
TYPE = HEAD - 8  # ob_type is the last word of the head in every build
_FIELDS = "data nd dims strides base descr flags weakrefs buffer_info mem_handler"
ARRAY = {name: HEAD + 8 * i for i, name in enumerate(_FIELDS.split())}  # PyArrayObject_fields
TUPLE_SIZE = HEAD  # a tuple's length
ITEMS = tuple.__basicsize__  # where a tuple's items begin
LIST_SIZE, LIST_ITEMS = HEAD, HEAD + 8  # a list's length, and the address of its items
CAPSULE = HEAD  # a capsule's pointer
SLICE = HEAD  # where a slice keeps start, stop, step
BYTES = bytes.__basicsize__ - 1  # where the content of bytes begins
FLOAT = HEAD  # a float's value
BUILTIN = {"definition": HEAD, "bound": HEAD + 8}  # PyCFunctionObject

# NumPy's flags.
C_CONTIGUOUS, F_CONTIGUOUS, OWNDATA, ALIGNED, WRITEABLE = 1, 2, 4, 0x100, 0x400
FASTCALL, KEYWORDS = 0x80, 0x2  # METH_FASTCALL, METH_KEYWORDS

# How a reference is counted up by inline code; any version that is not here calls Py_IncRef.
#   add       the first word is the count
#   saturate  its low 32 bits are, and stay where an immortal object has them: all set
#   bounded   its low 32 bits are, and stay from IMMORTAL on
REFERENCES = {
    (3, 11): "add",
    (3, 12): "saturate",
    (3, 13): "saturate",
    (3, 14): "bounded",
    (3, 15): "bounded",
}
IMMORTAL = 3 << 30

# Whether objects with slots keep values of their `__dict__` in themselves.
VALUES_WITHIN = sys.version_info >= (3, 14)

# Versions whose type objects may be given our functions; others keep Python's.
PATCHED = set(REFERENCES)

# Indices into NumPy's C interface, which only ever grows.
NUMPY = {"PyArray_NewCopy": 85, "PyArray_NewFromDescr": 94, "PyArray_SetBaseObject": 282}


def references() -> str:
    """How inline code counts a reference up here: a word of REFERENCES, or "call"."""
    if DEBUG or FREE_THREADED:
        return "call"
    return REFERENCES.get(sys.version_info[:2], "call")


def tag() -> str:
    """Names everything that code which reads objects depends on: a part of its cache key."""
    python = sys.implementation.cache_tag
    return f"{python}-{references()}-{HEAD}-{ITEMS}-numpy{np.__version__}-{sys.platform}"


def word(address: int) -> int:
    """The 8 bytes at an address."""
    return ctypes.c_int64.from_address(address).value


def forever(thing: T) -> T:
    """Never freed, not even at exit."""
    api.Py_IncRef(ctypes.py_object(thing))
    return thing


def doubts() -> str:
    """Why machine code should not read this interpreter's objects; empty when it may."""
    if sys.implementation.name != "cpython":
        return f"the interpreter is {sys.implementation.name}"
    if FREE_THREADED:
        return "the interpreter has no GIL, which is the lock of all this"
    failed = [name for name, holds in _expectations() if not holds]
    return f"unexpected layout: {', '.join(failed)}" if failed else ""


def _expectations() -> Iterator[tuple[str, bool]]:
    array = np.ones((2, 3), np.float32)

    def at(name: str) -> int:
        return word(id(array) + ARRAY[name])

    yield "type", word(id(array) + TYPE) == id(np.ndarray)
    yield "count", _is_counted(array)
    yield "data", at("data") == array.ctypes.data
    yield "descriptor", at("descr") == id(array.dtype)
    yield "rank", at("nd") & 0xFFFFFFFF == 2
    yield "sizes", [word(at("dims") + 8 * i) for i in range(2)] == [2, 3]
    yield "strides", [word(at("strides") + 8 * i) for i in range(2)] == [12, 4]
    yield "flags", at("flags") & 0xFFFFFFFF == C_CONTIGUOUS | OWNDATA | ALIGNED | WRITEABLE
    row = array[0]
    yield "base", word(id(row) + ARRAY["base"]) == id(array) and at("base") == 0
    yield "row's flags", not word(id(row) + ARRAY["flags"]) & OWNDATA
    yield "handler", _is_handler(at("mem_handler"), array)
    pair = (array, row)
    yield "tuple", [word(id(pair) + ITEMS + 8 * i) for i in range(2)] == [id(array), id(row)]
    yield "tuple's size", word(id(pair) + TUPLE_SIZE) == 2
    items = [array, row]
    yield "list's size", word(id(items) + LIST_SIZE) == 2
    within = word(id(items) + LIST_ITEMS)
    yield "list", [word(within + 8 * i) for i in range(2)] == [id(array), id(row)]
    capsule = new_capsule(4096)
    yield "capsule", word(id(capsule) + CAPSULE) == 4096
    part = slice(array, row, pair)
    parts = [word(id(part) + SLICE + 8 * i) for i in range(3)]
    yield "slice", parts == [id(array), id(row), id(pair)]
    made = builtin("probe", 4096, array)
    yield "builtin", word(id(made) + BUILTIN["bound"]) == id(array)
    definition = word(id(made) + BUILTIN["definition"])
    yield "definition", word(definition + MethodDef.function.offset) == 4096
    text = b"eight   and more"
    yield "bytes", ctypes.string_at(id(text) + BYTES, len(text)) == text
    yield "float", ctypes.c_double.from_address(id(1.5) + FLOAT).value == 1.5


def _is_counted(thing: Any) -> bool:
    """Whether the low half of an object's first word counts the references to it."""
    before = word(id(thing))
    held = [thing] * 3
    return len(held) == word(id(thing)) - before and 0 < before & 0xFFFFFFFF < 9


def _is_handler(address: int, array: Any) -> bool:
    """Whether a word is the capsule with which NumPy allocated the array's memory."""
    capsule = type(new_capsule(4096))
    known = address != 0 and word(address + TYPE) == id(capsule)
    return known and get_handler_name(array) == handler_name(address)


def get_handler_name(array: Any) -> str:
    """NumPy's own answer to who owns an array's memory."""
    name: str = np._core.multiarray.get_handler_name(array)  # type: ignore[attr-defined]
    return name


def slot_doubts(cls: type, slots: dict[str, int]) -> str:
    """Why machine code should not read objects of a class with these slots; empty when it may."""
    made: object = object.__new__(cls)
    marks = {name: object() for name in slots}
    for name, mark in marks.items():
        setattr(made, name, mark)
    wrong = [name for name, at in slots.items() if word(id(made) + at) != id(marks[name])]
    return f"unexpected place of {cls.__name__}.{wrong[0]}" if wrong else ""


def slot_places(cls: type) -> dict[str, int]:
    """Where an object of a class keeps its slots, found with markers.

    The fixed part of an object is searched, word by word; a slot that is not found is missing.
    """
    names = [name for one in cls.__mro__ for name in one.__dict__.get("__slots__", ())]
    names = [name for name in names if not name.startswith("__")]
    made: object = object.__new__(cls)
    marks = {name: object() for name in names}
    for name, mark in marks.items():
        setattr(made, name, mark)
    found = {word(id(made) + at): at for at in range(HEAD, cls.__basicsize__, 8)}
    return {name: found[id(mark)] for name, mark in marks.items() if id(mark) in found}


class Attributes(NamedTuple):
    """Where an object of a class with `__dict__` shows that it was given attributes."""

    words: tuple[int, ...]  # words before the object that are zero until then
    values: int | None  # the word in front of values that lie in the object, where they do


# Of that word: how many values there are, and whether they are (still) there: not when a `__dict__`
# has taken them over (`_dictvalues` of CPython's pycore_dict.h).
VALUES_COUNT, VALUES_HERE = 0xFF00, 0xFF000000


def attribute_places(cls: type) -> Attributes | None:
    """Where objects of a class show their attributes; None where that is not as expected.

    The words before an object are the dict, or (Python 3.12, marked by a lowest bit) the values
    without one, which have a word of their own in Python 3.11. From 3.14 on the values lie behind
    the object's fixed part.
    """
    made: Any = object.__new__(cls)
    words = tuple(at for at in (DICT - 8, DICT) if at != getattr(cls, "__weakrefoffset__"))  # noqa: B009
    within = cls.__basicsize__ if VALUES_WITHIN else None
    before = _values(made, within)
    made.attribute = 1
    given = any(word(id(made) + at) for at in words)
    if within is None:
        held = word(id(made) + DICT)
        known = given and (held in (0, id(made.__dict__)) or bool(held & 1))
    else:
        known = not given and (before, _values(made, within)) == ((0, 1), (1, 1))
    return Attributes(words, within) if known else None


def _values(thing: object, at: int | None) -> tuple[int, int]:
    """How many values an object has in itself, and whether they are there."""
    told = word(id(thing) + at) if at else 0
    return (told & VALUES_COUNT) >> 8, (told & VALUES_HERE) >> 24


def function(name: str, result: Any, *args: Any) -> Callable[..., Any]:
    """A function of the Python C interface."""
    return ctypes.PYFUNCTYPE(result, *args)((name, api))


NUMBER_TABLE, DEALLOC = HEAD + 80, HEAD + 32  # in a type object
_get_slot = function("PyType_GetSlot", POINTER, ctypes.py_object, ctypes.c_int)
PY_TP_DEALLOC = 52
TYPE_SIZE = int(getattr(type, "__basicsize__"))  # noqa: B009 (mypy sees a method)


def type_places(operators: tuple[str, ...]) -> dict[str, int] | None:
    """Where the type objects of Python classes keep a number slot, relative to their number table.

    Found with classes that have one operator each; None where type objects are not as expected.
    """
    if DEBUG or FREE_THREADED or sys.version_info[:2] not in PATCHED:
        return None
    found = {}
    for name in operators:
        made = type("Probe", (), {f"__{name}__": lambda self, other: self})
        table = word(id(made) + NUMBER_TABLE) - id(made)
        if not 0 < table < TYPE_SIZE - 36 * 8:
            return None
        filled = [i for i in range(36) if word(id(made) + table + 8 * i)]
        if len(filled) != 1 or word(id(made) + DEALLOC) != _get_slot(made, PY_TP_DEALLOC):
            return None
        found[name] = 8 * filled[0]
    return found


class Handler(ctypes.Structure):
    """PyDataMem_Handler (NEP 49)."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", POINTER),
        ("malloc", POINTER),
        ("calloc", POINTER),
        ("realloc", POINTER),
        ("free", POINTER),
    )


def handler_name(capsule: int) -> str:
    name: bytes = Handler.from_address(word(capsule + CAPSULE)).name
    return name.decode()


class MethodDef(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", POINTER),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_new_capsule = function("PyCapsule_New", ctypes.py_object, POINTER, POINTER, POINTER)
_get_pointer = function("PyCapsule_GetPointer", POINTER, ctypes.py_object, ctypes.c_char_p)
_new_function = function("PyCFunction_NewEx", ctypes.py_object, POINTER, ctypes.py_object, POINTER)
_new_public = function("PyCFunction_NewEx", ctypes.py_object, POINTER, POINTER, ctypes.py_object)
_new_method = function("PyDescr_NewMethod", ctypes.py_object, ctypes.py_object, POINTER)


def new_capsule(pointer: int, destructor: int = 0, name: int = 0) -> Any:
    return _new_capsule(pointer, name or None, destructor or None)


def new_handler(functions: dict[str, int]) -> Any:
    """A capsule that tells NumPy how an array's memory is freed: one of `functions` per field."""
    handler = forever(Handler(name=b"twofold", version=1, **functions))
    name = forever(ctypes.create_string_buffer(b"mem_handler"))
    return forever(new_capsule(ctypes.addressof(handler), name=ctypes.addressof(name)))


def numpy_function(name: str) -> int:
    """The address of a function of NumPy's C interface."""
    table = _get_pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return word(table + 8 * NUMPY[name])


def builtin(
    name: str, address: int, bound: object = None, flags: int = FASTCALL, doc: str = ""
) -> Any:
    """A builtin function of machine code f(bound, arguments, count), as METH_FASTCALL has it."""
    return _new_function(_method_def(name, address, flags, doc), bound, None)


def public_function(name: str, address: int, module: str, flags: int, doc: str) -> Any:
    """A builtin function that belongs to a module, by whose name it is pickled."""
    return _new_public(_method_def(name, address, flags, doc), None, module)


def method(cls: type, name: str, address: int, flags: int = FASTCALL, doc: str = "") -> Any:
    """A method descriptor of machine code for a class: binds `self` without a Python frame."""
    return _new_method(cls, _method_def(name, address, flags, doc))


_defs: dict[tuple[str, int, int, str], Any] = {}


def _method_def(name: str, address: int, flags: int, doc: str) -> int:
    key = name, address, flags, doc
    if key not in _defs:
        text = doc.encode() or None
        _defs[key] = forever(MethodDef(name.encode(), address, flags, text))
    return ctypes.addressof(_defs[key])
