"""Calls that are remembered, in Loops: functions with attributes, and views. Floor 3.

`x.sum(1)`, `softmax(x, dim=-1)` or `x.T` are Python functions that look at their arguments and
then ask for one operation, or make one view. What they ask for depends on the layouts of the
tensors and on the other arguments alone, so it can be remembered (exec/recall.py writes the
records). A record is found by hash in a table of rows; it fits if the function is the same, the
tensors have the same layouts, and all other arguments are the same objects (of types that cannot
change).

    recall_call(front, args, count, names, mode)   the result, "ask Python", or null: an error
    recall_row(front, args, count, names)          the row of such a call, -1 for none

Whole numbers are compared by value; tuples and slices by what they hold.

The key of a record: for each argument either TENSOR, descriptor, rank, sizes, strides, or the
object.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.objects import (
    array_field,
    decref,
    field,
    incref,
    is_null,
    set_field,
    type_of,
)
from twofold.codegen.native.tensor_env import NOT_COMMON, Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

ROWS = 1024
MOST_ARGS = 8
TENSOR, INT, TUPLE, SLICE = 1, 2, 3, 4  # no object has these addresses
PLAN, VIEW = 0, 1

RECORD = (
    *("front", "count", "names", "kind", "info", "attrs", "entry", "inputs", "key_at", "inputs_at"),
    *("link", "shape", "inexact", "nd", "offset", "flags", "dims_at", "strides_at"),
)
PARAMS = [("front", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
EXTERNS = (("PySequence_Concat", "ptr", ("ptr", "ptr")),)
MIX = -7046029254386353131  # 2**64 / golden ratio
GRAD = 1


def add_recall(m: Module, slots: Slots) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.data("recalls", "ptr", ROWS)
    _mix(m)
    _row(m)
    _same(m)
    _fits(m)
    _view_array(m)
    _chain(m, slots)
    _view(m, slots)
    _call(m)


def word(record: Value, name: str, type: str = "i64") -> Value:
    return record.at(RECORD.index(name), "i64").load(type)


def part(record: Value, name: str) -> Value:
    return record.at(word(record, name), "i64")


def _is_tensor(f: Function, thing: Value) -> Value:
    kind = type_of(thing)
    return kind.cmp("eq", tensor_env(f, "Tensor")) | kind.cmp("eq", tensor_env(f, "Parameter"))


def _mixed(hash_: Value, value: Value) -> Value:
    mixed = (hash_ ^ value) * MIX
    return mixed ^ mixed.lshr(29)


def _whole(f: Function, thing: Value) -> tuple[Value, Value]:
    """An int's value, and whether it has 64 bits."""
    value = f.call("i64", "PyLong_AsLongLong", thing)
    failed = f.var("i1", value.cmp("eq", -1))
    with f.if_(failed.get()):
        failed.set(~is_null(f.call("ptr", "PyErr_Occurred")))
        f.call("void", "PyErr_Clear")
    return value, ~failed.get()


def _slice_part(thing: Value, index: int) -> Value:
    return field(thing, native.SLICE + 8 * index)


def _mix(m: Module) -> None:
    """Mix an argument into a hash: numbers by value, tuples and slices by their parts."""
    f = m.function("recall_mix", [("thing", "ptr"), ("hash", "i64")], "i64", internal=True)
    thing, before = f.args
    hash_ = f.var("i64", before)
    kind = type_of(thing)
    with f.if_(kind.cmp("eq", tensor_env(f, "int"))):
        value, fits = _whole(f, thing)
        f.ret(_mixed(before, fits.select(value, thing.cast("ptrtoint", "i64"))))
    with f.if_(kind.cmp("eq", tensor_env(f, "tuple"))):
        with f.loop(0, field(thing, native.TUPLE_SIZE, "i64")) as i:
            item = thing.at(native.ITEMS, "i8").at(i, "ptr").load("ptr")
            hash_.set(f.call("i64", "recall_mix", item, hash_.get()))
        f.ret(hash_.get())
    with f.if_(kind.cmp("eq", tensor_env(f, "slice"))):
        for index in range(3):
            hash_.set(f.call("i64", "recall_mix", _slice_part(thing, index), hash_.get()))
        f.ret(hash_.get())
    f.ret(_mixed(before, thing.cast("ptrtoint", "i64")))


def _same(m: Module) -> None:
    """Where a key goes on behind an argument that is as it says; null if it is not."""
    f = m.function("recall_same", [("thing", "ptr"), ("key", "ptr")], "ptr", internal=True)
    thing, begin = f.args
    kind, key = type_of(thing), f.var("ptr", begin)

    def unless(holds: Value) -> None:
        with f.if_(~holds):
            f.ret(f.null())

    def whole() -> None:
        unless(kind.cmp("eq", tensor_env(f, "int")))
        value, fits = _whole(f, thing)
        unless(fits & value.cmp("eq", begin.at(1, "i64").load("i64")))
        f.ret(begin.at(2, "i64"))

    def items() -> None:
        unless(kind.cmp("eq", tensor_env(f, "tuple")))
        size = field(thing, native.TUPLE_SIZE, "i64")
        unless(size.cmp("eq", begin.at(1, "i64").load("i64")))
        key.set(begin.at(2, "i64"))
        with f.loop(0, size) as i:
            item = thing.at(native.ITEMS, "i8").at(i, "ptr").load("ptr")
            key.set(f.call("ptr", "recall_same", item, key.get()))
            unless(~is_null(key.get()))
        f.ret(key.get())

    def bounds() -> None:
        unless(kind.cmp("eq", tensor_env(f, "slice")))
        key.set(begin.at(1, "i64"))
        for index in range(3):
            key.set(f.call("ptr", "recall_same", _slice_part(thing, index), key.get()))
            unless(~is_null(key.get()))
        f.ret(key.get())

    def object_() -> None:
        unless(begin.load("ptr").cmp("eq", thing))
        f.ret(begin.at(1, "i64"))

    f.switch(begin.load("i64"), {INT: whole, TUPLE: items, SLICE: bounds}, default=object_)
    f.ret(f.null())


def _row(m: Module) -> None:
    f = m.function("recall_row", PARAMS, "i64")
    front, args, count, names = f.args
    hash_ = f.var("i64", front.cast("ptrtoint", "i64") ^ names.cast("ptrtoint", "i64"))

    def mix(value: Value) -> None:
        hash_.set(_mixed(hash_.get(), value))

    with f.if_(count.cmp("ugt", MOST_ARGS)):
        f.ret(-1)
    with f.loop(0, count) as i:
        thing = argument(args, i)
        with f.if_(_is_tensor(f, thing)) as branch:
            array = f.call("ptr", "array_of", thing)
            with f.if_(is_null(array)):
                f.ret(-1)
            with f.if_(type_of(array).cmp("ne", tensor_env(f, "ndarray"))):
                f.ret(-1)
            nd = array_field(array, "nd").cast("zext", "i64")
            mix(array_field(array, "descr").cast("ptrtoint", "i64") + nd)
            dims, strides = array_field(array, "dims"), array_field(array, "strides")
            with f.loop(0, nd) as axis:
                mix(dims.at(axis, "i64").load("i64"))
                mix(strides.at(axis, "i64").load("i64"))
            branch.otherwise()
            hash_.set(f.call("i64", "recall_mix", thing, hash_.get()))
    f.ret(hash_.get().lshr(32) & (ROWS - 1))


def _fits(m: Module) -> None:
    """Whether a record is for this call; the arrays were looked at by recall_row."""
    f = m.function("recall_fits", [("record", "ptr"), *PARAMS], "i1", internal=True)
    record, front, args, count, names = f.args

    def unless(holds: Value) -> None:
        with f.if_(~holds):
            f.ret(False)

    unless(word(record, "front", "ptr").cmp("eq", front))
    unless(word(record, "names", "ptr").cmp("eq", names))
    unless(word(record, "count").cmp("eq", count))
    key = f.var("ptr", part(record, "key_at"))
    with f.loop(0, count) as i:
        thing, known = argument(args, i), key.get()
        with f.if_(known.load("i64").cmp("ne", TENSOR)) as branch:
            key.set(f.call("ptr", "recall_same", thing, known))
            with f.if_(is_null(key.get())):
                f.ret(False)
            branch.otherwise()
            unless(_is_tensor(f, thing))
            array = f.call("ptr", "array_of", thing)
            nd = known.at(2, "i64").load("i64")
            unless(array_field(array, "descr").cmp("eq", known.at(1, "ptr").load("ptr")))
            unless(array_field(array, "nd").cast("zext", "i64").cmp("eq", nd))
            sizes = known.at(3, "i64")
            strides = sizes.at(nd, "i64")
            differ = f.var("i64", 0)
            with f.loop(0, nd) as axis:
                here = array_field(array, "dims").at(axis, "i64").load("i64")
                differ.set(differ.get() | (here ^ sizes.at(axis, "i64").load("i64")))
                here = array_field(array, "strides").at(axis, "i64").load("i64")
                differ.set(differ.get() | (here ^ strides.at(axis, "i64").load("i64")))
            unless(differ.get().cmp("eq", 0))
            key.set(strides.at(nd, "i64"))
    f.ret(True)


def _view_array(m: Module) -> None:
    """The view of an array that a record tells: a new reference, null on failure."""
    f = m.function("view_array", [("record", "ptr"), ("array", "ptr")], "ptr", internal=True)
    record, array = f.args
    descr = array_field(array, "descr")
    incref(f, descr)
    made = f.call(
        "ptr",
        tensor_env(f, "PyArray_NewFromDescr"),
        tensor_env(f, "ndarray"),
        descr,
        word(record, "nd").cast("trunc", "i32"),
        part(record, "dims_at"),
        part(record, "strides_at"),
        array_field(array, "data").at(word(record, "offset"), "i8"),
        array_field(array, "flags") & word(record, "flags").cast("trunc", "i32"),
        f.null(),
    )
    with f.if_(is_null(made)):
        f.ret(made)
    incref(f, array)
    failed = f.call("i32", tensor_env(f, "PyArray_SetBaseObject"), made, array)
    with f.if_(failed.cmp("ne", 0)):
        decref(f, made)
        f.ret(f.null())
    f.ret(made)


def _chain(m: Module, slots: Slots) -> None:
    """A new reference to a view's chain, as `_share` makes it; null on failure."""
    params = [("record", "ptr"), ("x", "ptr"), ("mode", "i64")]
    f = m.function("view_chain", params, "ptr", internal=True)
    record, x, mode = f.args
    none = tensor_env(f, "None")
    own, chain = field(x, slots.tensor["base"]).cmp("eq", none), field(x, slots.tensor["chain"])
    recorded = (mode & GRAD).cmp("ne", 0) & (own | chain.cmp("ne", none))
    with f.if_(~recorded):
        incref(f, none)
        f.ret(none)
    link = word(record, "link", "ptr")
    with f.if_(chain.cmp("eq", none)):
        incref(f, link)
        f.ret(link)
    f.ret(f.call("ptr", "PySequence_Concat", chain, link))


def _view(m: Module, slots: Slots) -> None:
    """The view of x that a record tells, as a Tensor."""
    params = [("record", "ptr"), ("x", "ptr"), ("mode", "i64")]
    f = m.function("recall_view", params, "ptr", internal=True)
    record, x, mode = f.args
    none, info = tensor_env(f, "None"), word(record, "info", "ptr")
    array = f.call("ptr", "view_array", record, f.call("ptr", "array_of", x))
    with f.if_(is_null(array)):
        f.ret(array)
    chain = f.call("ptr", "view_chain", record, x, mode)
    with f.if_(is_null(chain)):
        decref(f, array)
        f.ret(chain)
    base = field(x, slots.tensor["base"])
    root = base.cmp("eq", none).select(x, base)
    tracked = field(x, slots.tensor["tracked"]).cmp("eq", tensor_env(f, "True"))
    taped = tracked & (mode & GRAD).cmp("ne", 0) & word(record, "inexact").cmp("ne", 0)
    node = f.var("ptr", none)
    with f.if_(taped) as branch:
        box = f.array("ptr", 1)
        box.store(x)
        shape = word(record, "shape", "ptr")
        incref(f, none)
        incref(f, shape)
        attrs = word(record, "attrs", "ptr")
        node.set(f.call("ptr", "node_new", info, attrs, box, 1, array, none, shape))
        branch.otherwise()
        incref(f, none)
    with f.if_(is_null(node.get())):
        decref(f, array)
        decref(f, chain)
        f.ret(f.null())
    flag = taped.select(tensor_env(f, "True"), tensor_env(f, "False"))
    incref(f, flag)
    made = f.call("ptr", "tensor_new", array, node.get(), flag)
    with f.if_(is_null(made)):
        decref(f, chain)
        f.ret(made)
    version = field(root, slots.tensor["version"])
    incref(f, root)
    incref(f, version)
    for name, value in (("base", root), ("version", version), ("chain", chain)):
        old = field(made, slots.tensor[name])
        set_field(made, slots.tensor[name], value)
        decref(f, old)
    f.ret(made)


def _call(m: Module) -> None:
    f = m.function("recall_call", [*PARAMS, ("mode", "i64")], "ptr", internal=True)
    front, args, count, names, mode = f.args
    unknown = f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")
    row = f.call("i64", "recall_row", front, args, count, names)
    with f.if_(row.cmp("slt", 0)):
        f.ret(unknown)
    record = argument(f.address("recalls"), row)
    with f.if_(is_null(record)):
        f.ret(unknown)
    with f.if_(~f.call("i1", "recall_fits", record, front, args, count, names)):
        f.ret(unknown)
    places = part(record, "inputs_at")
    attrs, entry = word(record, "attrs", "ptr"), word(record, "entry", "ptr")
    incref(f, attrs)
    result = f.var("ptr", f.null())
    with f.if_(word(record, "kind").cmp("eq", VIEW)) as branch:
        x = argument(args, places.load("i64"))
        result.set(f.call("ptr", "recall_view", record, x, mode))
        branch.otherwise()
        inputs = f.array("ptr", MOST_ARGS)
        with f.loop(0, word(record, "inputs")) as i:
            inputs.at(i, "ptr").store(argument(args, places.at(i, "i64").load("i64")))
        # The record may be replaced while the kernel runs.
        incref(f, entry)
        given = (word(record, "info", "ptr"), attrs, inputs, word(record, "inputs"), entry, mode)
        result.set(f.call("ptr", "operate", *given))
        decref(f, entry)
    decref(f, attrs)
    f.ret(result.get())
