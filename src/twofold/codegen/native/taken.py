"""The arguments of compiled calls, taken apart to their leaves, in Loops. Floor 3.

    front_collect(front, args, count, names, state)   whether they are as the program had them
    front_numbers(front, leaves, arrays)              arrays for leaves that are numbers

The rows of `taken` (facts.py) say what stands where, from the outside to the leaves; a keyword is
found by its place among the names of the call. What only Python can take apart (a dataclass, an
ordered dict) it gives as a tuple. The leaves are new references: a container may change while the
program runs.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    COMPILED,
    FRONT_TABLES,
    TAKE_AGAIN,
    TAKE_ARRAY,
    TAKE_DICT,
    TAKE_EXACT,
    TAKE_LIST,
    TAKE_PARTS,
    TAKE_SAME,
    TAKE_TENSOR,
    TAKE_TUPLE,
)
from twofold.codegen.native.objects import (
    array_field,
    decref,
    field,
    incref,
    is_null,
    not_null,
    type_of,
)
from twofold.codegen.native.tables import row_of, table, word
from twofold.codegen.native.tensor_env import Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native
from twofold.runtime.entries import NUMBERS

EXTERNS = (
    ("PyDict_Next", "i32", ("ptr", "ptr", "ptr", "ptr")),
    ("PyDict_Size", "i64", ("ptr",)),
)
# The words of the state: the next row, where the leaves go, how many there are.
ROW, LEAVES, TAKEN, STATE_WORDS = range(4)
TAKE_PARAMS = [("thing", "ptr"), ("state", "ptr")]


def add_taken(m: Module, slots: Slots) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    _names_fit(m)
    _leaf(m, slots)
    _keep(m)
    _take(m)
    _collect(m)
    _number(m)
    _numbers(m)


def told(f: Function, name: str, type: str = "ptr") -> Value:
    """What the code was told when it was loaded."""
    return f.address("compiled_words").at(COMPILED.index(name), "ptr").load(type)


def unless(f: Function, holds: Value) -> None:
    """Return false where something does not hold."""
    with f.if_(~holds):
        f.ret(False)


def next_row(state: Value) -> Value:
    """The row that it is the turn of."""
    row = state.load("ptr")
    state.store(row.at(FRONT_TABLES["taken"], "i64"))
    return row


def _names_fit(m: Module) -> None:
    """Whether the keywords of a call are those of a front, in the same order."""
    f = m.function("front_names_fit", [("known", "ptr"), ("names", "ptr")], "i1", internal=True)
    known, names = f.args
    with f.if_(known.cmp("eq", names)):
        f.ret(True)
    count, given = f.var("i64", 0), f.var("i64", 0)
    for tuple_, size in ((known, count), (names, given)):
        with f.if_(not_null(tuple_)):
            size.set(field(tuple_, native.TUPLE_SIZE, "i64"))
    unless(f, count.get().cmp("eq", given.get()))
    with f.loop(0, count.get()) as i:
        own = argument(known.at(native.ITEMS, "i8"), i)
        unless(f, own.cmp("eq", argument(names.at(native.ITEMS, "i8"), i)))
    f.ret(True)


# ---- leaves


def _leaf(m: Module, slots: Slots) -> None:
    """Whether a leaf is as a row says."""
    params = [("thing", "ptr"), ("row", "ptr"), ("state", "ptr")]
    f = m.function("front_leaf_fits", params, "i1", internal=True)
    thing, row, state = f.args
    tag, what = row.load("i64"), row.at(1, "i64")
    leaves, taken = state.at(LEAVES, "ptr").load("ptr"), state.at(TAKEN, "i64").load("i64")
    with f.if_(tag.cmp("eq", TAKE_TENSOR)):
        unless(f, not_null(f.call("ptr", "array_of", thing)))
        flag = what.load("i64").cmp("ne", 0)
        wanted = flag.select(tensor_env(f, "True"), tensor_env(f, "False"))
        unless(f, field(thing, slots.tensor["tracked"]).cmp("eq", wanted))
        with f.loop(0, taken) as j:
            unless(f, argument(leaves, j).cmp("ne", thing))
        others = row.at(2, "i64").load("ptr")
        with f.if_(not_null(others)), f.loop(0, others.load("i64")) as j:
            unless(f, argument(others.at(1, "i64"), j).cmp("ne", thing))
        f.ret(True)
    with f.if_(tag.cmp("eq", TAKE_AGAIN)):
        f.ret(thing.cmp("eq", argument(leaves, what.load("i64"))))
    with f.if_(tag.cmp("eq", TAKE_SAME)):
        f.ret(thing.cmp("eq", what.load("ptr")))
    with f.if_(tag.cmp("eq", TAKE_EXACT)):
        f.ret(not_null(f.call("ptr", "number_fits", thing, what)))
    f.ret(type_of(thing).cmp("eq", what.load("ptr")))  # a number, or an array


def _keep(m: Module) -> None:
    """Keep a leaf that is as the row says."""
    params = [("thing", "ptr"), ("row", "ptr"), ("state", "ptr")]
    f = m.function("front_keep", params, "i1", internal=True)
    thing, row, state = f.args
    unless(f, f.call("i1", "front_leaf_fits", thing, row, state))
    count = state.at(TAKEN, "i64")
    taken, kept = count.load("i64"), f.var("ptr", thing)
    incref(f, thing)
    with f.if_(row.load("i64").cmp("eq", TAKE_ARRAY)):
        none, false = tensor_env(f, "None"), tensor_env(f, "False")
        incref(f, none)
        incref(f, false)
        kept.set(f.call("ptr", "tensor_new", thing, none, false))
        with f.if_(is_null(kept.get())):
            f.call("void", "PyErr_Clear")
            f.ret(False)
    state.at(LEAVES, "ptr").load("ptr").at(taken, "ptr").store(kept.get())
    count.store(taken + 1)
    f.ret(True)


# ---- what holds them


def _take(m: Module) -> None:
    f = m.function("front_take", TAKE_PARAMS, "i1", internal=True)
    thing, state = f.args
    row = next_row(state)
    tag, what, size = row.load("i64"), row.at(1, "i64").load("ptr"), row.at(2, "i64").load("i64")
    with f.if_(tag.cmp("ule", TAKE_ARRAY)):
        f.ret(f.call("i1", "front_keep", thing, row, state))
    with f.if_(tag.cmp("eq", TAKE_PARTS)):
        f.ret(_take_parts(f, thing, state, what))
    unless(f, type_of(thing).cmp("eq", what))
    with f.if_(tag.cmp("eq", TAKE_DICT)):
        _take_dict(f, thing, state, size)
    with f.if_(tag.cmp("eq", TAKE_LIST)):
        unless(f, field(thing, native.LIST_SIZE, "i64").cmp("eq", size))
        with f.loop(0, size) as i:
            unless(f, i.cmp("slt", field(thing, native.LIST_SIZE, "i64")))  # Python may have run
            item = argument(field(thing, native.LIST_ITEMS), i)
            unless(f, f.call("i1", "front_take", item, state))
        f.ret(True)
    unless(f, tag.cmp("eq", TAKE_TUPLE))
    unless(f, field(thing, native.TUPLE_SIZE, "i64").cmp("eq", size))
    with f.loop(0, size) as i:
        item = argument(thing.at(native.ITEMS, "i8"), i)
        unless(f, f.call("i1", "front_take", item, state))
    f.ret(True)


def _take_parts(f: Function, thing: Value, state: Value, how: Value) -> Value:
    """parts(thing, how) -> the tuple of what it holds, or None where it is of another kind."""
    pair = f.array("ptr", 2)
    pair.store(thing)
    pair.at(1, "ptr").store(how)
    parts = f.call("ptr", "PyObject_Vectorcall", told(f, "parts"), pair, 2, f.null())
    with f.if_(is_null(parts)):
        f.call("void", "PyErr_Clear")
        f.ret(False)
    taken = f.call("i1", "front_take", parts, state)
    decref(f, parts)
    return taken


def _take_dict(f: Function, thing: Value, state: Value, size: Value) -> None:
    """The values of a dict that has the keys of the rows, in their order."""
    unless(f, f.call("i64", "PyDict_Size", thing).cmp("eq", size))
    at, pair = f.array("i64", 1), f.array("ptr", 2)
    at.store(f.const("i64", 0))
    with f.loop(0, size):
        found = f.call("i32", "PyDict_Next", thing, at, pair, pair.at(1, "ptr"))
        unless(f, found.cmp("ne", 0))
        key = next_row(state).at(1, "i64").load("ptr")
        unless(f, pair.load("ptr").cmp("eq", key))
        unless(f, f.call("i1", "front_take", argument(pair, 1), state))
    f.ret(True)


def _collect(m: Module) -> None:
    params = [("front", "ptr"), ("args", "ptr"), ("state", "ptr")]
    f = m.function("front_collect", params, "i1", internal=True)
    front, args, state = f.args
    state.store(table(front, "taken")[0])
    with f.loop(0, word(front, "roots")):
        thing = argument(args, next_row(state).at(1, "i64").load("i64"))
        unless(f, f.call("i1", "front_take", thing, state))
    moved = word(front, "moved", "ptr")
    with f.if_(not_null(moved)):
        found = f.call("ptr", "PyObject_Vectorcall", moved, args, 0, f.null())
        with f.if_(is_null(found)):
            f.call("void", "PyErr_Clear")
            f.ret(False)
        taken = f.call("i1", "front_take", found, state)
        decref(f, found)
        unless(f, taken)
    f.ret(True)


# ---- numbers


def _number(m: Module) -> None:
    """A new array of a number, or null with or without an error set."""
    params = [("thing", "ptr"), ("kind", "i64"), ("descr", "ptr")]
    f = m.function("front_number", params, "ptr", internal=True)
    thing, kind, descr = f.args
    value, whole = f.var("f64", 0.0), f.array("i64", 1)
    with f.if_(type_of(thing).cmp("eq", tensor_env(f, "float"))) as branch:
        value.set(field(thing, native.FLOAT, "f64"))
        branch.otherwise()
        with f.if_(~f.call("i1", "whole_number", thing, whole)):
            f.ret(f.null())
        value.set(whole.load("i64").cast("sitofp", "f64"))
    null = f.null()
    incref(f, descr)
    new = tensor_env(f, "PyArray_NewFromDescr")
    zero = f.const("i32", 0)
    given = (tensor_env(f, "ndarray"), descr, zero, null, null, null, zero, null)
    made = f.call("ptr", new, *given)
    with f.if_(is_null(made)):
        f.ret(made)
    data = array_field(made, "data")
    stores = {
        NUMBERS["f4"]: lambda: data.store(value.get().cast("fptrunc", "f32")),
        NUMBERS["f8"]: lambda: data.store(value.get()),
        NUMBERS["i8"]: lambda: data.store(whole.load("i64")),
    }
    f.switch(kind, stores)
    f.ret(made)


def _numbers(m: Module) -> None:
    """Fill in the inputs that are made of leaves that are numbers; null where there is no more."""
    params = [("front", "ptr"), ("leaves", "ptr"), ("arrays", "ptr")]
    f = m.function("front_numbers", params, "i1", internal=True)
    front, leaves, arrays = f.args
    rows, count = table(front, "numbers")
    with f.loop(0, count) as i:
        row = row_of(rows, "numbers", i)
        arrays.at(row.load("i64"), "ptr").store(f.null())
    with f.loop(0, count) as i:
        row = row_of(rows, "numbers", i)
        thing = argument(leaves, row.at(1, "i64").load("i64"))
        kind, descr = row.at(2, "i64").load("i64"), row.at(3, "i64").load("ptr")
        made = f.call("ptr", "front_number", thing, kind, descr)
        with f.if_(is_null(made)):
            f.call("void", "PyErr_Clear")
            f.ret(False)
        arrays.at(row.load("i64"), "ptr").store(made)
    f.ret(True)

    f = m.function("front_numbers_drop", params, internal=True)
    front, leaves, arrays = f.args
    rows, count = table(front, "numbers")
    with f.loop(0, count) as i:
        decref(f, argument(arrays, row_of(rows, "numbers", i).load("i64")))
