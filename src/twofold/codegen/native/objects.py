"""Python's and NumPy's objects in Loops: reading fields, counting references, new arrays. Floor 3.

The offsets and what depends on the version of Python come from runtime/native.py. Objects whose
addresses the code needs stand in the words of `env`, filled at the start, so that the code itself
holds no address of this process and can be cached.
"""

from __future__ import annotations

from twofold.codegen.native.facts import ENV
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

EXTERNS = (
    ("Py_IncRef", "void", ("ptr",)),
    ("Py_DecRef", "void", ("ptr",)),
    ("PyCapsule_GetPointer", "ptr", ("ptr", "ptr")),
    ("PyErr_BadInternalCall", "void", ()),
    ("PyErr_Clear", "void", ()),
    ("PyErr_NoMemory", "ptr", ()),
    ("PyErr_Occurred", "ptr", ()),
    ("PyEval_RestoreThread", "void", ("ptr",)),
    ("PyEval_SaveThread", "ptr", ()),
    ("PyLong_AsLongLong", "i64", ("ptr",)),
    ("PyMem_RawFree", "void", ("ptr",)),
    ("PyObject_Vectorcall", "ptr", ("ptr", "ptr", "i64", "ptr")),
    ("PyTuple_New", "ptr", ("i64",)),
)

MOST_DIMS = 64
NEW_FLAGS = native.C_CONTIGUOUS | native.ALIGNED | native.WRITEABLE


def add_objects(m: Module) -> None:
    """Write what the other parts of the module need: `env` and `array_new`, and NumPy's handler."""
    declare_python(m)
    m.data("env", "ptr", len(ENV))
    _array_new(m)
    _handler(m)
    _empty(m)


def declare_python(m: Module) -> None:
    """Name the functions of Python that are called."""
    for name, result, params in EXTERNS:
        m.extern(name, result, params)


def env(f: Function, name: str) -> Value:
    """The object or the function's address of this name."""
    return f.address("env").at(ENV.index(name), "ptr").load("ptr")


def field(thing: Value, offset: int, type: str = "ptr") -> Value:
    """What stands `offset` bytes into an object."""
    return thing.at(offset, "i8").load(type)


def set_field(thing: Value, offset: int, value: Value) -> None:
    thing.at(offset, "i8").store(value)


def array_field(array: Value, name: str) -> Value:
    """A field of an ndarray; rank and flags are i32, all others pointers."""
    type = "i32" if name in ("nd", "flags") else "ptr"
    return field(array, native.ARRAY[name], type)


def type_of(thing: Value) -> Value:
    return field(thing, native.TYPE)


def is_null(thing: Value) -> Value:
    return thing.cmp("eq", thing.function.null())


def not_null(thing: Value) -> Value:
    return thing.cmp("ne", thing.function.null())


def incref(f: Function, thing: Value) -> None:
    """Count a reference up, in the way of this version of Python."""
    INCREF[native.references()](f, thing)


def _incref_add(f: Function, thing: Value) -> None:
    thing.store(thing.load("i64") + 1)


def _incref_saturate(f: Function, thing: Value) -> None:
    count = thing.load("i32")
    more = count + 1
    thing.store(more.cmp("eq", 0).select(count, more))


def _incref_bounded(f: Function, thing: Value) -> None:
    count = thing.load("i32")
    thing.store(count.cmp("uge", native.IMMORTAL).select(count, count + 1))


def _incref_call(f: Function, thing: Value) -> None:
    f.call("void", "Py_IncRef", thing)


INCREF = {
    "add": _incref_add,
    "saturate": _incref_saturate,
    "bounded": _incref_bounded,
    "call": _incref_call,
}


def decref(f: Function, thing: Value) -> None:
    """Count a reference down; null is allowed. For cold paths: it may run any Python code."""
    f.call("void", "Py_DecRef", thing)


def _array_new(m: Module) -> None:
    """A new array in a block of ours, or null with MemoryError set.

    NumPy makes the array around the block; then the array is told that it owns its memory, and by
    which handler it was allocated, so that NumPy gives the block back to us and not to `free`.
    """
    params = [("descr", "ptr"), ("nd", "i64"), ("dims", "ptr"), ("bytes", "i64")]
    f = m.function("array_new", params, "ptr", internal=True)
    descr, nd, dims, size = f.args
    data = f.call("ptr", "block_alloc", size)
    with f.if_(is_null(data)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    incref(f, descr)
    null = f.null()
    made = f.call(
        "ptr",
        env(f, "PyArray_NewFromDescr"),
        env(f, "ndarray"),
        descr,
        nd.cast("trunc", "i32"),
        dims,
        null,
        data,
        f.const("i32", NEW_FLAGS),
        null,
    )
    with f.if_(is_null(made)):
        f.call("void", "block_free", data)
        f.ret(made)
    handler = env(f, "handler")
    incref(f, handler)
    set_field(made, native.ARRAY["mem_handler"], handler)
    flags = array_field(made, "flags") | native.OWNDATA
    set_field(made, native.ARRAY["flags"], flags)
    f.ret(made)


def _empty(m: Module) -> None:
    """empty(shape, dtype, bytes): a new array, for a tuple of numbers that Python has checked."""
    f = m.function("array_empty", [("self", "ptr"), ("args", "ptr"), ("count", "i64")], "ptr")
    _, args, count = f.args
    shape = args.load("ptr")
    nd = field(shape, native.TUPLE_SIZE, "i64")
    with f.if_(count.cmp("ne", 3) | nd.cmp("ugt", MOST_DIMS)):
        f.call("void", "PyErr_BadInternalCall")
        f.ret(f.null())
    dims = f.array("i64", MOST_DIMS)
    with f.loop(0, nd) as i:
        item = shape.at(native.ITEMS, "i8").at(i, "ptr").load("ptr")
        dims.at(i, "i64").store(f.call("i64", "PyLong_AsLongLong", item))
    size = f.call("i64", "PyLong_AsLongLong", args.at(2, "ptr").load("ptr"))
    with f.if_(not_null(f.call("ptr", "PyErr_Occurred"))):
        f.ret(f.null())
    f.ret(f.call("ptr", "array_new", args.at(1, "ptr").load("ptr"), nd, dims, size))


def _handler(m: Module) -> None:
    """The functions of a NumPy memory handler (NEP 49) over our blocks."""
    f = m.function("handler_malloc", [("context", "ptr"), ("bytes", "i64")], "ptr")
    f.ret(f.call("ptr", "block_alloc", f.args[1]))

    f = m.function("handler_free", [("context", "ptr"), ("data", "ptr"), ("bytes", "i64")])
    with f.if_(not_null(f.args[1])):
        f.call("void", "block_free", f.args[1])

    params = [("context", "ptr"), ("count", "i64"), ("bytes", "i64")]
    f = m.function("handler_calloc", params, "ptr")
    size = f.args[1] * f.args[2]
    data = f.call("ptr", "block_alloc", size)
    with f.if_(not_null(data)):
        f.memset(data, 0, size)
    f.ret(data)

    params = [("context", "ptr"), ("data", "ptr"), ("bytes", "i64")]
    f = m.function("handler_realloc", params, "ptr")
    f.ret(f.call("ptr", "block_resize", f.args[1], f.args[2]))
