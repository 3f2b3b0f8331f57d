"""What comes of a compiled function's results, in Loops: the part of a call after its run. Floor 3.

    front_give(front, args, arrays, outs)   what the call gives back; null: an error is set

The same as `Program.give` (frontends/program.py) does in Python, in the same order: checks, the
versions of what was written, the gradients of leaves, then the leaves of the answer, with a node of
the tape behind the one that is differentiated outside.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    FRONT,
    FRONT_TABLES,
    GIVE_ARGUMENT,
    GIVE_OBJECT,
    GIVE_TRACKED,
    GIVE_WALKED,
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
from twofold.codegen.native.tensor_env import Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

EXTERNS = (("PyList_New", "ptr", ("i64",)),)


def word(front: Value, name: str, type: str = "i64") -> Value:
    return front.at(FRONT.index(name), "i64").load(type)


def table(front: Value, name: str) -> tuple[Value, Value]:
    """Where a table begins, and how many rows it has."""
    at = front.at(len(FRONT) + 2 * list(FRONT_TABLES).index(name), "i64")
    return front.at(at.load("i64"), "i64"), at.at(1, "i64").load("i64")


def row_of(rows: Value, name: str, index: Value) -> Value:
    return rows.at(index * FRONT_TABLES[name], "i64")


def add_given(m: Module, slots: Slots) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    _tuple_of(m)
    _check(m)
    _written(m, slots)
    _effects(m, slots)
    _context(m)
    _node(m, slots)
    _leaf(m)
    _leaves(m)
    _give(m)


GIVE_PARAMS = [("front", "ptr"), ("args", "ptr"), ("arrays", "ptr"), ("outs", "ptr")]


def _tuple_of(m: Module) -> None:
    """A tuple of borrowed things: a new reference, null on failure."""
    f = m.function("tuple_of", [("things", "ptr"), ("count", "i64")], "ptr", internal=True)
    things, count = f.args
    made = f.call("ptr", "PyTuple_New", count)
    with f.if_(not_null(made)), f.loop(0, count) as i:
        incref(f, argument(things, i))
        made.at(native.ITEMS, "i8").at(i, "ptr").store(argument(things, i))
    f.ret(made)


def _check(m: Module) -> None:
    """False, with the error set, where an index was out of its range."""
    f = m.function("front_check", GIVE_PARAMS, "i1", internal=True)
    front, _, arrays, outs = f.args
    rows, count = table(front, "checks")
    bad = f.var("i8", 0)
    with f.loop(0, count) as i:
        array = argument(outs, row_of(rows, "checks", i).load("i64"))
        bad.set(bad.get() | array_field(array, "data").load("i8"))
    with f.if_(bad.get().cmp("eq", 0)):
        f.ret(True)
    pair = f.array("ptr", 2)
    pair.store(f.call("ptr", "tuple_of", arrays, table(front, "inputs")[1]))
    pair.at(1, "ptr").store(f.call("ptr", "tuple_of", outs, word(front, "outputs")))
    told = f.var("ptr", f.null())
    with f.if_(not_null(pair.load("ptr")) & not_null(argument(pair, 1))):
        check = word(front, "check", "ptr")
        told.set(f.call("ptr", "PyObject_Vectorcall", check, pair, 2, f.null()))
    for thing in (pair.load("ptr"), argument(pair, 1), told.get()):
        decref(f, thing)
    f.ret(not_null(told.get()))


def _written(m: Module, slots: Slots) -> None:
    """Count the writes into tensors."""
    f = m.function("front_written", GIVE_PARAMS, "i1", internal=True)
    front, args, _, _ = f.args
    rows, count = table(front, "written")
    with f.loop(0, count) as i:
        x = f.call("ptr", "front_target", args, row_of(rows, "written", i).load("i64"))
        base = field(x, slots.tensor["base"])
        root = base.cmp("eq", tensor_env(f, "None")).select(x, base)
        old = field(root, slots.tensor["version"])
        number = f.call("i64", "PyLong_AsLongLong", old) + 1
        version = f.call("ptr", "PyLong_FromLongLong", number)
        with f.if_(is_null(version)):
            f.ret(False)
        set_field(root, slots.tensor["version"], version)
        decref(f, old)
    f.ret(True)


def _effects(m: Module, slots: Slots) -> None:
    """Give leaves their gradients."""
    f = m.function("front_effects", GIVE_PARAMS, "i1", internal=True)
    front, args, _, outs = f.args
    rows, count = table(front, "effects")
    none = tensor_env(f, "None")
    with f.loop(0, count) as i:
        row = row_of(rows, "effects", i)
        number = row.at(1, "i64").load("i64")
        grad = f.var("ptr", none)
        incref(f, none)
        with f.if_(number.cmp("sge", 0)):
            incref(f, argument(outs, number))
            false = tensor_env(f, "False")
            incref(f, false)
            grad.set(f.call("ptr", "tensor_new", argument(outs, number), none, false))
            with f.if_(is_null(grad.get())):
                f.ret(False)
        x = f.call("ptr", "front_target", args, row.load("i64"))
        old = field(x, slots.tensor["leaf_grad"])
        set_field(x, slots.tensor["leaf_grad"], grad.get())
        decref(f, old)
    f.ret(True)


# ---- nodes


def _context(m: Module) -> None:
    """What a node keeps for its rule, a list: the leaves, their versions, inputs, and results."""
    f = m.function("front_context", GIVE_PARAMS, "ptr", internal=True)
    front, args, arrays, outs = f.args
    (rows, leaves), (kept, results) = table(front, "behind"), table(front, "kept")
    inputs = table(front, "inputs")[1]
    made = f.call("ptr", "PyList_New", leaves * 2 + inputs + results)
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
    """The node behind the result that is differentiated; and one whose values are gone."""
    f = m.function("front_node", GIVE_PARAMS, "ptr", internal=True)
    front, args, _, outs = f.args
    array = argument(outs, word(front, "differentiated"))
    place = f.call("ptr", "user_place")
    context = f.call("ptr", "front_context", *f.args)
    shape = f.call("ptr", "shape_of", array)
    rows, count = table(front, "behind")
    inputs = f.call("ptr", "PyTuple_New", count)
    with f.if_(not_null(inputs)), f.loop(0, count) as i:
        x = f.call("ptr", "front_target", args, row_of(rows, "behind", i).load("i64"))
        edge = f.call("ptr", "edge_of", x, 0)
        inputs.at(native.ITEMS, "i8").at(i, "ptr").store(edge)
    op, attrs, nones = word(front, "op", "ptr"), tensor_env(f, "empty tuple"), word(front, "nones")
    versions, descr = nones.cast("inttoptr", "ptr"), array_field(array, "descr")
    none = tensor_env(f, "None")
    for thing in (op, attrs, versions, descr, none):
        incref(f, thing)
    values = {"op": op, "attrs": attrs, "inputs": inputs, "versions": versions, "out": context}
    values |= {"shape": shape, "storage": descr, "where": place, "hooks": none}
    f.ret(_node_with(f, slots, values))

    f = m.function(
        "front_walked", [("front", "ptr"), ("array", "ptr"), ("where", "ptr")], "ptr", internal=True
    )
    front, array, where = f.args
    op, attrs, none = (
        word(front, "clone", "ptr"),
        tensor_env(f, "empty tuple"),
        tensor_env(f, "None"),
    )
    shape, descr = f.call("ptr", "shape_of", array), array_field(array, "descr")
    for thing in (op, attrs, none, none, none, none, descr, where):
        incref(f, thing)
    values = {"op": op, "attrs": attrs, "inputs": none, "versions": none, "out": none}
    values |= {"shape": shape, "storage": descr, "where": where, "hooks": none}
    f.ret(_node_with(f, slots, values))


# ---- the answer


def _leaf(m: Module) -> None:
    """One thing that the call gives back: a new reference, null on failure."""
    f = m.function("front_leaf", [*GIVE_PARAMS, ("row", "ptr")], "ptr", internal=True)
    front, args, arrays, outs, row = f.args
    kind, what = row.load("i64"), row.at(1, "i64").load("i64")
    with f.if_(kind.cmp("uge", GIVE_ARGUMENT)):
        found = f.var("ptr", f.null())
        with f.if_(kind.cmp("eq", GIVE_OBJECT)) as branch:
            found.set(what.cast("inttoptr", "ptr"))
            branch.otherwise()
            found.set(argument(args, what))
        incref(f, found.get())
        f.ret(found.get())
    array, none = argument(outs, what), tensor_env(f, "None")
    node, tracked = f.var("ptr", none), f.var("ptr", tensor_env(f, "True"))
    with f.if_(kind.cmp("eq", GIVE_TRACKED)) as branch:
        node.set(f.call("ptr", "front_node", front, args, arrays, outs))
        branch.otherwise()
        with f.if_(kind.cmp("eq", GIVE_WALKED)) as walked:
            node.set(f.call("ptr", "front_walked", front, array, argument(row, 2)))
            walked.otherwise()
            incref(f, none)
            tracked.set(tensor_env(f, "False"))
    with f.if_(is_null(node.get())):
        f.ret(f.null())
    incref(f, array)
    incref(f, tracked.get())
    f.ret(f.call("ptr", "tensor_new", array, node.get(), tracked.get()))


def _leaves(m: Module) -> None:
    """The leaf, or a tuple of the leaves."""
    f = m.function("front_leaves", GIVE_PARAMS, "ptr", internal=True)
    front, args, arrays, outs = f.args
    rows, count = table(front, "leaves")
    with f.if_(word(front, "single").cmp("ne", 0)):
        f.ret(f.call("ptr", "front_leaf", front, args, arrays, outs, rows))
    made = f.call("ptr", "PyTuple_New", count)
    with f.if_(not_null(made)), f.loop(0, count) as i:
        row = row_of(rows, "leaves", i)
        leaf = f.call("ptr", "front_leaf", front, args, arrays, outs, row)
        with f.if_(is_null(leaf)):
            decref(f, made)
            f.ret(leaf)
        made.at(native.ITEMS, "i8").at(i, "ptr").store(leaf)
    f.ret(made)


def _give(m: Module) -> None:
    f = m.function("front_give", GIVE_PARAMS, "ptr", internal=True)
    for part in ("front_check", "front_written", "front_effects"):
        with f.if_(~f.call("i1", part, *f.args)):
            f.ret(f.null())
    f.ret(f.call("ptr", "front_leaves", *f.args))
