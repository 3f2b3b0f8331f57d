"""What a compiled function gives back, in Loops: its leaves, their nodes, their form. Floor 3.

    front_made(front, args, arrays, outs)   the result of the call; null: an error is set

The rows of `made` (facts.py) are the leaves, each made once however often it is given back; those
of `form` put them into tuples, lists and dicts, as on a stack. Behind the results that are
differentiated outside stands one node of the tape.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    FORM_CALL,
    FORM_DICT,
    FORM_LIST,
    FORM_MADE,
    FORM_TUPLE,
    GIVE_ARGUMENT,
    GIVE_DETACHED,
    GIVE_LEAF,
    GIVE_OBJECT,
    GIVE_PYTHON,
    GIVE_TRACKED,
    GIVE_WALKED,
    MOST_LEAVES,
)
from twofold.codegen.native.objects import (
    array_field,
    decref,
    field,
    incref,
    is_null,
    not_null,
    set_field,
)
from twofold.codegen.native.tables import row_of, table, word
from twofold.codegen.native.taken import told
from twofold.codegen.native.tensor_env import Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value, Var
from twofold.runtime import native

EXTERNS = (
    ("PyDict_New", "ptr", ()),
    ("PyDict_SetItem", "i32", ("ptr", "ptr", "ptr")),
    ("PyList_New", "ptr", ("i64",)),
)
GIVE_PARAMS = [("front", "ptr"), ("args", "ptr"), ("arrays", "ptr"), ("outs", "ptr")]


def add_answer(m: Module, slots: Slots) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    _context(m)
    _node(m, slots)
    _item_node(m, slots)
    _walked_node(m, slots)
    _recorded(m)
    _leaf(m)
    _filled(m)
    _form(m)
    _made(m)


# ---- nodes


def _context(m: Module) -> None:
    """What a node keeps for its rule, a list: the leaves, their versions, inputs, results, and
    numbers.
    """
    f = m.function("front_context", GIVE_PARAMS, "ptr", internal=True)
    front, args, arrays, outs = f.args
    (rows, leaves), (kept, results) = table(front, "behind"), table(front, "kept")
    inputs, (numbers, told_) = table(front, "inputs")[1], table(front, "told")
    made = f.call("ptr", "PyList_New", leaves * 2 + inputs + results + told_)
    with f.if_(is_null(made)):
        f.ret(made)
    items = field(made, native.LIST_ITEMS)

    def put(place: Value, thing: Value) -> None:
        incref(f, thing)
        items.at(place, "ptr").store(thing)

    with f.loop(0, leaves) as i:
        x = f.call("ptr", "front_target", args, row_of(rows, "behind", i).load("i64"))
        put(i, x)
        put(leaves + i, f.call("ptr", "root_version", x))
    with f.loop(0, inputs) as i:
        put(leaves * 2 + i, argument(arrays, i))
    with f.loop(0, results) as i:
        number = row_of(kept, "kept", i).load("i64")
        put(leaves * 2 + inputs + i, argument(outs, number))
    with f.loop(0, told_) as i:
        number = row_of(numbers, "told", i).load("i64")
        put(leaves * 2 + inputs + results + i, argument(args, number))
    f.ret(made)


def _node_with(f: Function, slots: Slots, values: dict[str, Value]) -> Value:
    """A new node of these fields, whose references are taken if all are there; else null."""
    values = {**values, "number": f.call("ptr", "node_number")}
    good = f.var("i1", True)
    for value in values.values():
        good.set(good.get() & not_null(value))
    made = f.var("ptr", f.null())
    with f.if_(good.get()):
        made.set(f.call("ptr", "PyType_GenericAlloc", tensor_env(f, "Node"), 0))
    with f.if_(is_null(made.get())) as failed:
        for value in values.values():
            decref(f, value)
        failed.otherwise()
        for name, value in values.items():
            set_field(made.get(), slots.node[name], value)
    return made.get()


def _node(m: Module, slots: Slots) -> None:
    """The node behind what is differentiated: of one result, or without a type, of several."""
    f = m.function("front_node", GIVE_PARAMS, "ptr", internal=True)
    front, args, _, outs = f.args
    place = f.call("ptr", "user_place")
    context = f.call("ptr", "front_context", *f.args)
    rows, count = table(front, "behind")
    inputs = f.call("ptr", "PyTuple_New", count)
    with f.if_(not_null(inputs)), f.loop(0, count) as i:
        x = f.call("ptr", "front_target", args, row_of(rows, "behind", i).load("i64"))
        edge = f.call("ptr", "edge_of", x, 0)
        inputs.at(native.ITEMS, "i8").at(i, "ptr").store(edge)
    none, empty = tensor_env(f, "None"), tensor_env(f, "empty tuple")
    shape, storage = f.var("ptr", word(front, "several", "ptr")), f.var("ptr", none)
    with f.if_(is_null(shape.get())) as one:
        array = argument(outs, word(front, "differentiated"))
        shape.set(f.call("ptr", "shape_of", array))
        storage.set(array_field(array, "descr"))
        one.otherwise()
        incref(f, shape.get())
    op, nones = word(front, "op", "ptr"), word(front, "nones")
    versions = nones.cast("inttoptr", "ptr")
    for thing in (op, empty, versions, storage.get(), none):
        incref(f, thing)
    values = {"op": op, "attrs": empty, "inputs": inputs, "versions": versions, "out": context}
    values |= {"shape": shape.get(), "storage": storage.get(), "where": place, "hooks": none}
    f.ret(_node_with(f, slots, values))


def _item_node(m: Module, slots: Slots) -> None:
    """The node of one of several results, with the tuple of its number as attributes."""
    params = [("front", "ptr"), ("node", "ptr"), ("array", "ptr"), ("number", "ptr")]
    f = m.function("front_item_node", params, "ptr", internal=True)
    front, node, array, number = f.args
    inputs = f.call("ptr", "PyTuple_New", 1)
    with f.if_(not_null(inputs)):
        incref(f, node)
        inputs.at(native.ITEMS, "i8").store(node)
    op, none, versions = word(front, "item", "ptr"), tensor_env(f, "None"), tensor_env(f, "nones 1")
    shape, descr = f.call("ptr", "shape_of", array), array_field(array, "descr")
    where = field(node, slots.node["where"])
    for thing in (op, number, versions, none, none, descr, where):
        incref(f, thing)
    values = {"op": op, "attrs": number, "inputs": inputs, "versions": versions, "out": none}
    values |= {"shape": shape, "storage": descr, "where": where, "hooks": none}
    f.ret(_node_with(f, slots, values))


def _walked_node(m: Module, slots: Slots) -> None:
    """A node whose values are gone."""
    params = [("front", "ptr"), ("array", "ptr"), ("where", "ptr")]
    f = m.function("front_walked", params, "ptr", internal=True)
    front, array, where = f.args
    op, none, attrs = (
        word(front, "clone", "ptr"),
        tensor_env(f, "None"),
        tensor_env(f, "empty tuple"),
    )
    shape, descr = f.call("ptr", "shape_of", array), array_field(array, "descr")
    for thing in (op, attrs, none, none, none, none, descr, where):
        incref(f, thing)
    values = {"op": op, "attrs": attrs, "inputs": none, "versions": none, "out": none}
    values |= {"shape": shape, "storage": descr, "where": where, "hooks": none}
    f.ret(_node_with(f, slots, values))


# ---- leaves


def _recorded(m: Module) -> None:
    """A tensor around a result, recorded where it is not a plain one; null on failure."""
    params = [("front", "ptr"), ("node", "ptr"), ("outs", "ptr"), ("row", "ptr")]
    f = m.function("front_result", params, "ptr", internal=True)
    front, known, outs, row = f.args
    kind, array = row.load("i64"), argument(outs, row.at(1, "i64").load("i64"))
    node, tracked = f.var("ptr", tensor_env(f, "None")), f.var("ptr", tensor_env(f, "True"))
    other = row.at(2, "i64").load("ptr")
    with f.if_(kind.cmp("eq", GIVE_TRACKED)) as branch:
        with f.if_(is_null(other)) as alone:
            incref(f, known)
            node.set(known)
            alone.otherwise()
            node.set(f.call("ptr", "front_item_node", front, known, array, other))
        branch.otherwise()
        with f.if_(kind.cmp("eq", GIVE_WALKED)) as walked:
            node.set(f.call("ptr", "front_walked", front, array, other))
            walked.otherwise()
            incref(f, node.get())
            with f.if_(kind.cmp("ne", GIVE_LEAF)):
                tracked.set(tensor_env(f, "False"))
    with f.if_(is_null(node.get())):
        f.ret(f.null())
    incref(f, array)
    incref(f, tracked.get())
    f.ret(f.call("ptr", "tensor_new", array, node.get(), tracked.get()))


def _leaf(m: Module) -> None:
    """One thing that the call gives back: a new reference, null on failure."""
    params = [
        *[("front", "ptr"), ("args", "ptr"), ("outs", "ptr"), ("node", "ptr")],
        *[("row", "ptr"), ("made", "ptr")],
    ]
    f = m.function("front_leaf", params, "ptr", internal=True)
    front, args, outs, node, row, made = f.args
    kind, what = row.load("i64"), row.at(1, "i64").load("i64")
    with f.if_(kind.cmp("ule", GIVE_LEAF)):
        f.ret(f.call("ptr", "front_result", front, node, outs, row))
    found, box = f.var("ptr", f.null()), f.array("ptr", 1)
    with f.if_(kind.cmp("uge", GIVE_ARGUMENT)):
        with f.if_(kind.cmp("eq", GIVE_OBJECT)) as branch:
            found.set(what.cast("inttoptr", "ptr"))
            branch.otherwise()
            found.set(argument(args, what))
        incref(f, found.get())
        f.ret(found.get())
    with f.if_(kind.cmp("eq", GIVE_PYTHON)):
        python, count = what.cast("inttoptr", "ptr"), word(front, "leaves")
        f.ret(f.call("ptr", "PyObject_Vectorcall", python, args, count, f.null()))
    with f.if_(kind.cmp("eq", GIVE_DETACHED)) as branch:
        box.store(argument(made, what))
        found.set(told(f, "detach"))
        branch.otherwise()
        box.store(argument(outs, what))
        found.set(told(f, "number"))
    f.ret(f.call("ptr", "PyObject_Vectorcall", found.get(), box, 1, f.null()))


# ---- their form


def _filled(m: Module) -> None:
    """A container of things, whose references it takes; null on failure."""
    params = [("row", "ptr"), ("things", "ptr"), ("count", "i64")]
    f = m.function("front_filled", params, "ptr", internal=True)
    row, things, count = f.args
    kind, what = row.load("i64"), row.at(1, "i64").load("ptr")
    made = f.var("ptr", f.null())
    f.switch(
        kind,
        {
            FORM_TUPLE: lambda: made.set(f.call("ptr", "PyTuple_New", count)),
            FORM_LIST: lambda: made.set(f.call("ptr", "PyList_New", count)),
            FORM_DICT: lambda: made.set(f.call("ptr", "PyDict_New")),
            FORM_CALL: lambda: made.set(
                f.call("ptr", "PyObject_Vectorcall", what, things, count, f.null())
            ),
        },
    )
    with f.if_(not_null(made.get()) & kind.cmp("ule", FORM_LIST)):
        items = f.var("ptr", made.get().at(native.ITEMS, "i8"))
        with f.if_(kind.cmp("eq", FORM_LIST) & count.cmp("ne", 0)):
            items.set(field(made.get(), native.LIST_ITEMS))
        f.memcpy(items.get(), things, count << 3)
        f.ret(made.get())
    with f.if_(not_null(made.get()) & kind.cmp("eq", FORM_DICT)):
        _fill_dict(f, made, what, things, count)
    with f.loop(0, count) as i:
        decref(f, argument(things, i))
    f.ret(made.get())


def _fill_dict(f: Function, made: Var, keys: Value, things: Value, count: Value) -> None:
    with f.loop(0, count) as i:
        key = argument(keys.at(native.ITEMS, "i8"), i)
        failed = f.call("i32", "PyDict_SetItem", made.get(), key, argument(things, i))
        with f.if_(failed.cmp("ne", 0)):
            decref(f, made.get())
            made.set(f.null())
            f.break_if(f.const("i1", True))


def _form(m: Module) -> None:
    """The leaves that were made, put together: a new reference, null on failure."""
    f = m.function("front_form", [("front", "ptr"), ("made", "ptr")], "ptr", internal=True)
    front, made = f.args
    stack, depth = f.array("ptr", MOST_LEAVES), f.var("i64", 0)
    rows, count = table(front, "form")
    with f.loop(0, count) as i:
        row = row_of(rows, "form", i)
        with f.if_(row.load("i64").cmp("eq", FORM_MADE)) as branch:
            thing = argument(made, row.at(1, "i64").load("i64"))
            incref(f, thing)
            stack.at(depth.get(), "ptr").store(thing)
            branch.otherwise()
            size = row.at(2, "i64").load("i64")
            depth.set(depth.get() - size)
            things = stack.at(depth.get(), "ptr")
            built = f.call("ptr", "front_filled", row, things, size)
            with f.if_(is_null(built)):
                with f.loop(0, depth.get()) as k:
                    decref(f, argument(stack, k))
                f.ret(built)
            stack.at(depth.get(), "ptr").store(built)
        depth.set(depth.get() + 1)
    f.ret(stack.load("ptr"))


def _made(m: Module) -> None:
    f = m.function("front_made", GIVE_PARAMS, "ptr", internal=True)
    front, args, _, outs = f.args
    made, done, node = f.array("ptr", MOST_LEAVES), f.var("i64", 0), f.var("ptr", f.null())
    result = f.var("ptr", f.null())
    rows, count = table(front, "made")
    recorded = word(front, "op").cmp("ne", 0)
    with f.if_(recorded):
        node.set(f.call("ptr", "front_node", *f.args))
    with f.if_(~recorded | not_null(node.get())):
        with f.loop(0, count) as i:
            row = row_of(rows, "made", i)
            leaf = f.call("ptr", "front_leaf", front, args, outs, node.get(), row, made)
            f.break_if(is_null(leaf))
            made.at(i, "ptr").store(leaf)
            done.set(i + 1)
        with f.if_(done.get().cmp("eq", count)):
            result.set(f.call("ptr", "front_form", front, made))
    with f.loop(0, done.get()) as i:
        decref(f, argument(made, i))
    decref(f, node.get())
    f.ret(result.get())
