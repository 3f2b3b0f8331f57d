"""Arguments of calls as keys, in Loops: their hash, and whether they fit a pattern. Floor 3.

    things_hash(things, count, hash, depth)  the hash of some arguments, 0 if they are never a key
    things_fit(things, count, words)         the words after the patterns, null where one differs

Tensors count by their layout, numbers and tuples and slices by what they hold, other objects by
who they are. A pattern is words (exec/keys.py writes them); nothing here runs Python code.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    AGAIN,
    COMPLEX,
    DEEPEST,
    FLOATING,
    ITEMS,
    LIST,
    SAME,
    TENSOR,
)
from twofold.codegen.native.objects import (
    array_field,
    field,
    is_null,
    not_null,
    type_of,
)
from twofold.codegen.native.tensor_env import tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value, Var
from twofold.runtime import native

MIX = -7046029254386353131  # 2**64 / golden ratio


def add_keys(m: Module) -> None:
    """Write the functions; `array_of` is there already."""
    _whole(m)
    _tensor_hash(m)
    _things_hash(m)
    _tensor_fits(m)
    _number_fits(m)
    _things_fit(m)


def mixed(hash_: Value, value: Value) -> Value:
    """A hash that also depends on a value."""
    more = (hash_ ^ value) * MIX
    return more ^ more.lshr(29)


def _is_tensor(f: Function, kind: Value) -> Value:
    return kind.cmp("eq", tensor_env(f, "Tensor")) | kind.cmp("eq", tensor_env(f, "Parameter"))


def _word(words: Value, index: int, type: str = "i64") -> Value:
    return words.at(index, "i64").load(type)


def _whole(m: Module) -> None:
    """The number that an int is; false if it is too large for a word."""
    f = m.function("whole_number", [("x", "ptr"), ("place", "ptr")], "i1", internal=True)
    x, place = f.args
    found = f.call("i64", "PyLong_AsLongLong", x)
    place.store(found)
    with f.if_(found.cmp("eq", -1) & not_null(f.call("ptr", "PyErr_Occurred"))):
        f.call("void", "PyErr_Clear")
        f.ret(False)
    f.ret(True)


# ---- hashes


def _tensor_hash(m: Module) -> None:
    """0 for a tensor that machine code does not take."""
    f = m.function("tensor_hash", [("x", "ptr"), ("hash", "i64")], "i64", internal=True)
    x, hash_ = f.args
    array = f.call("ptr", "array_of", x)
    with f.if_(is_null(array)):
        f.ret(0)
    with f.if_(type_of(array).cmp("ne", tensor_env(f, "ndarray"))):
        f.ret(0)
    nd = array_field(array, "nd").cast("zext", "i64")
    made = f.var("i64", mixed(hash_, array_field(array, "descr").cast("ptrtoint", "i64") + nd))
    dims, strides = array_field(array, "dims"), array_field(array, "strides")
    with f.loop(0, nd) as axis:
        made.set(mixed(made.get(), dims.at(axis, "i64").load("i64")))
        made.set(mixed(made.get(), strides.at(axis, "i64").load("i64")))
    f.ret(made.get())


def _things_hash(m: Module) -> None:
    params = [("things", "ptr"), ("count", "i64"), ("hash", "i64"), ("depth", "i64")]
    f = m.function("things_hash", params, "i64", internal=True)
    things, count, hash_, depth = f.args
    with f.if_(depth.cmp("sgt", DEEPEST)):
        f.ret(0)
    made, place = f.var("i64", hash_), f.array("i64", 1)
    with f.loop(0, count) as i:
        thing = argument(things, i)
        kind = type_of(thing)
        with f.if_(_is_tensor(f, kind)):
            made.set(f.call("i64", "tensor_hash", thing, made.get()))
            with f.if_(made.get().cmp("eq", 0)):
                f.ret(0)
            f.continue_if(f.const("i1", True))
        _hash_constant(f, thing, kind, made, place, depth + 1)
    f.ret(made.get())


def _hash_constant(
    f: Function, thing: Value, kind: Value, made: Var, place: Value, depth: Value
) -> None:
    place.store(thing.cast("ptrtoint", "i64"))
    with f.if_(kind.cmp("eq", tensor_env(f, "int"))):
        f.call("i1", "whole_number", thing, place)
    with f.if_(kind.cmp("eq", tensor_env(f, "float"))):
        place.store(field(thing, native.FLOAT, "i64"))
    with f.if_(kind.cmp("eq", tensor_env(f, "complex"))):
        parts = [field(thing, native.FLOAT + 8 * k, "i64") for k in range(2)]
        place.store(mixed(*parts))
    items = kind.cmp("eq", tensor_env(f, "tuple")) | kind.cmp("eq", tensor_env(f, "Size"))
    with f.if_(items):
        size = field(thing, native.TUPLE_SIZE, "i64")
        within = thing.at(native.ITEMS, "i8")
        place.store(f.call("i64", "things_hash", within, size, made.get() + 1, depth))
        with f.if_(place.load("i64").cmp("eq", 0)):
            f.ret(0)
    with f.if_(kind.cmp("eq", tensor_env(f, "list"))):
        size, within = field(thing, native.LIST_SIZE, "i64"), field(thing, native.LIST_ITEMS)
        place.store(f.call("i64", "things_hash", within, size, made.get() + 3, depth))
        with f.if_(place.load("i64").cmp("eq", 0)):
            f.ret(0)
    with f.if_(kind.cmp("eq", tensor_env(f, "slice"))):
        within = thing.at(native.SLICE, "i8")
        place.store(f.call("i64", "things_hash", within, 3, made.get() + 2, depth))
        with f.if_(place.load("i64").cmp("eq", 0)):
            f.ret(0)
    made.set(mixed(made.get(), place.load("i64")))


# ---- patterns


def _null_unless(f: Function, condition: Value) -> None:
    with f.if_(~condition):
        f.ret(f.null())


def _tensor_fits(m: Module) -> None:
    f = m.function("tensor_fits", [("x", "ptr"), ("words", "ptr")], "ptr", internal=True)
    x, words = f.args
    _null_unless(f, _is_tensor(f, type_of(x)))
    array = f.call("ptr", "array_of", x)
    _null_unless(f, not_null(array))
    _null_unless(f, type_of(array).cmp("eq", tensor_env(f, "ndarray")))
    nd = _word(words, 2)
    _null_unless(f, array_field(array, "descr").cmp("eq", _word(words, 1, "ptr")))
    _null_unless(f, array_field(array, "nd").cast("zext", "i64").cmp("eq", nd))
    sizes = words.at(3, "i64")
    strides = sizes.at(nd, "i64")
    differ = f.var("i64", 0)
    with f.loop(0, nd) as axis:
        here = array_field(array, "dims").at(axis, "i64").load("i64")
        differ.set(differ.get() | (here ^ sizes.at(axis, "i64").load("i64")))
        here = array_field(array, "strides").at(axis, "i64").load("i64")
        differ.set(differ.get() | (here ^ strides.at(axis, "i64").load("i64")))
    _null_unless(f, differ.get().cmp("eq", 0))
    f.ret(strides.at(nd, "i64"))


def _number_fits(m: Module) -> None:
    f = m.function("number_fits", [("x", "ptr"), ("words", "ptr")], "ptr", internal=True)
    x, words = f.args
    place = f.array("i64", 1)
    with f.if_(_word(words, 0).cmp("eq", FLOATING)) as branch:
        _null_unless(f, type_of(x).cmp("eq", tensor_env(f, "float")))
        place.store(field(x, native.FLOAT, "i64"))
        branch.otherwise()
        _null_unless(f, type_of(x).cmp("eq", tensor_env(f, "int")))
        _null_unless(f, f.call("i1", "whole_number", x, place))
    _null_unless(f, place.load("i64").cmp("eq", _word(words, 1)))
    f.ret(words.at(2, "i64"))


def _things_fit(m: Module) -> None:
    params = [("things", "ptr"), ("count", "i64"), ("words", "ptr")]
    f = m.function("things_fit", params, "ptr", internal=True)
    things, count, words = f.args
    at = f.var("ptr", words)
    with f.loop(0, count) as i:
        thing, here = argument(things, i), at.get()
        tag = _word(here, 0)
        with f.if_(tag.cmp("eq", SAME)):
            _null_unless(f, thing.cmp("eq", _word(here, 1, "ptr")))
            at.set(here.at(2, "i64"))
            f.continue_if(f.const("i1", True))
        with f.if_(tag.cmp("eq", AGAIN)):
            _null_unless(f, thing.cmp("eq", argument(things, _word(here, 1))))
            at.set(here.at(2, "i64"))
            f.continue_if(f.const("i1", True))
        with f.if_(tag.cmp("eq", COMPLEX)):
            _null_unless(f, type_of(thing).cmp("eq", tensor_env(f, "complex")))
            for k in range(2):
                bits = field(thing, native.FLOAT + 8 * k, "i64")
                _null_unless(f, bits.cmp("eq", _word(here, 1 + k)))
            at.set(here.at(3, "i64"))
            f.continue_if(f.const("i1", True))
        with f.if_(tag.cmp("eq", TENSOR)) as branch:
            at.set(f.call("ptr", "tensor_fits", thing, here))
            branch.otherwise()
            with f.if_(tag.cmp("ule", FLOATING)) as number:
                at.set(f.call("ptr", "number_fits", thing, here))
                number.otherwise()
                _null_unless(f, type_of(thing).cmp("eq", _word(here, 1, "ptr")))
                size, within = _word(here, 2), f.var("ptr", thing.at(native.SLICE, "i8"))
                with f.if_(tag.cmp("eq", ITEMS)):
                    _null_unless(f, field(thing, native.TUPLE_SIZE, "i64").cmp("eq", size))
                    within.set(thing.at(native.ITEMS, "i8"))
                with f.if_(tag.cmp("eq", LIST)):
                    _null_unless(f, field(thing, native.LIST_SIZE, "i64").cmp("eq", size))
                    within.set(field(thing, native.LIST_ITEMS))
                at.set(f.call("ptr", "things_fit", within.get(), size, here.at(3, "i64")))
        _null_unless(f, not_null(at.get()))
    f.ret(at.get())
