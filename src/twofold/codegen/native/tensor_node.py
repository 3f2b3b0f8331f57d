"""Tensors, and the Nodes that remember what they were made from, without Python, in Loops.
Floor 3.

A node is that of `make_node` in ops/bind.py: edges to the inputs' nodes, the arrays that the
gradient wants, and the versions that they have now. An operation with several outputs has one, and
each of its outputs one that picks it (`item_node` there).
"""

from __future__ import annotations

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    INFO,
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
from twofold.codegen.native.tensor_env import (
    TENSOR_ENV,
    Slots,
    tensor_env,
)
from twofold.codegen.native.tensor_type import (
    new_object,
    track,
)
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.runtime import native


def add_nodes(m: Module, slots: Slots) -> None:
    """Functions that make tensors and nodes; all are internal to the module."""
    _new_tensor(m, slots)
    _edge(m, slots)
    _root_version(m, slots)
    _saved_inputs(m, slots)
    _node_number(m)
    _new_node(m, slots)
    _saved_out(m)
    _shape_of(m)
    _finish(m, slots)
    _recorded(m)
    _item_node(m, slots)
    _saved_outs(m)
    _several(m)


def info_word(info: Value, name: str, type: str = "i64") -> Value:
    return info.at(INFO.index(name), "i64").load(type)


def _new_tensor(m: Module, slots: Slots) -> None:
    """A Tensor around an array. Takes the references to all three; null on failure."""
    params = [("array", "ptr"), ("node", "ptr"), ("tracked", "ptr")]
    f = m.function("tensor_new", params, "ptr", internal=True)
    array, node, tracked = f.args
    made, kept = new_object(f)
    with f.if_(is_null(made)):
        for thing in f.args:
            decref(f, thing)
        f.ret(made)
    zero, none = tensor_env(f, "zero"), tensor_env(f, "None")
    given = {"array": array, "node": node, "tracked": tracked, "version": zero}
    for name, at in slots.tensor.items():
        value = given.get(name, none)
        if name in ("version", *(slots.tensor.keys() - given.keys())):
            incref(f, value)
        set_field(made, at, value)
    track(f, made, kept)
    f.ret(made)


def _edge(m: Module, slots: Slots) -> None:
    """A new reference to what a node keeps of an input: the tensor, its node, or None."""
    f = m.function("edge_of", [("x", "ptr"), ("saved", "i64")], "ptr", internal=True)
    x, saved = f.args
    kept = f.var("ptr", x)
    with f.if_(saved.cmp("eq", 0)):
        tracked = field(x, slots.tensor["tracked"]).cmp("eq", tensor_env(f, "True"))
        node, none = field(x, slots.tensor["node"]), tensor_env(f, "None")
        with f.if_(tracked) as branch:
            with f.if_(node.cmp("ne", none)):
                kept.set(node)
            branch.otherwise()
            kept.set(none)
    incref(f, kept.get())
    f.ret(kept.get())


def _root_version(m: Module, slots: Slots) -> None:
    """A borrowed reference to the version of the memory behind a tensor."""
    f = m.function("root_version", [("x", "ptr")], "ptr", internal=True)
    (x,) = f.args
    base = field(x, slots.tensor["base"])
    root = base.cmp("eq", tensor_env(f, "None")).select(x, base)
    f.ret(field(root, slots.tensor["version"]))


class Use(NamedTuple):
    """One use of an operation on tensors."""

    info: Value
    attrs: Value
    inputs: Value
    arity: Value


USE_PARAMS = [("info", "ptr"), ("attrs", "ptr"), ("inputs", "ptr"), ("arity", "i64")]


def _saved_inputs(m: Module, slots: Slots) -> None:
    """The inputs whose values a node keeps, as bits: what gradients by tracked ones need."""
    f = m.function("saved_inputs", USE_PARAMS, "i64", internal=True)
    use = Use(*f.args)
    readers = info_word(use.info, "readers")
    tracked, saved = f.var("i64", 0), f.var("i64", 0)
    with f.if_(readers.cmp("eq", 0)):
        f.ret(0)
    with f.loop(0, use.arity) as i:
        here = field(argument(use.inputs, i), slots.tensor["tracked"])
        bit = here.cmp("eq", tensor_env(f, "True")).cast("zext", "i64")
        tracked.set(tracked.get() | bit << i)
    with f.loop(0, use.arity) as i:
        needed = readers.lshr(i << 3) & tracked.get() & 255
        saved.set(saved.get() | needed.cmp("ne", 0).cast("zext", "i64") << i)
    f.ret(saved.get())


def _node_number(m: Module) -> None:
    """The number of a new node: a new reference, or null."""
    m.data("node_count", "i64", 1)
    f = m.function("node_number", [], "ptr", internal=True)
    count = f.address("node_count")
    count.store(count.load("i64") + 1)
    f.ret(f.call("ptr", "PyLong_FromLongLong", count.load("i64")))


def _new_node(m: Module, slots: Slots) -> None:
    """The tape's entry, as `make_node` makes it. Takes `out` and `shape`; null on failure.

    `storage` is the output's element type; None for several outputs, whose types are the `shape`.
    """
    params = [*USE_PARAMS, ("storage", "ptr"), ("out", "ptr"), ("shape", "ptr")]
    f = m.function("node_new", params, "ptr", internal=True)
    use, (storage, out, shape) = Use(*f.args[:4]), f.args[4:]
    saved = f.call("i64", "saved_inputs", *use)
    place = f.call("ptr", "user_place")
    inputs = f.var("ptr", f.null())
    versions = f.var("ptr", f.null())
    with f.if_(not_null(place)):
        inputs.set(f.call("ptr", "PyTuple_New", use.arity))
    with f.if_(not_null(inputs.get())), f.if_(saved.cmp("eq", 0)) as none_saved:
        nones = f.address("tensor_env").at(TENSOR_ENV.index("nones 0"), "ptr")
        versions.set(nones.at(use.arity, "ptr").load("ptr"))
        incref(f, versions.get())
        none_saved.otherwise()
        versions.set(f.call("ptr", "PyTuple_New", use.arity))
    number = f.var("ptr", f.null())
    made = f.var("ptr", f.null())
    with f.if_(not_null(versions.get())):
        number.set(f.call("ptr", "node_number"))
    with f.if_(not_null(number.get())):
        made.set(f.call("ptr", "PyType_GenericAlloc", tensor_env(f, "Node"), 0))
    with f.if_(is_null(made.get())):
        for thing in (place, inputs.get(), versions.get(), number.get(), out, shape):
            decref(f, thing)
        f.ret(f.null())
    # Nothing runs from here on but stores and counts.
    with f.loop(0, use.arity) as i:
        x, keep = argument(use.inputs, i), saved.lshr(i) & 1
        edge = f.call("ptr", "edge_of", x, keep)
        inputs.get().at(native.ITEMS, "i8").at(i, "ptr").store(edge)
        with f.if_(saved.cmp("ne", 0)):
            none = tensor_env(f, "None")
            version = keep.cmp("ne", 0).select(f.call("ptr", "root_version", x), none)
            incref(f, version)
            versions.get().at(native.ITEMS, "i8").at(i, "ptr").store(version)
    op, none = info_word(use.info, "op", "ptr"), tensor_env(f, "None")
    for thing in (op, use.attrs, storage, none):
        incref(f, thing)
    values = {
        "op": op,
        "attrs": use.attrs,
        "inputs": inputs.get(),
        "versions": versions.get(),
        "number": number.get(),
        "out": out,
        "shape": shape,
        "storage": storage,
        "where": place,
        "hooks": none,
    }
    for name, value in values.items():
        set_field(made.get(), slots.node[name], value)
    f.ret(made.get())


def _saved_out(m: Module) -> None:
    """A new reference to what the rule sees as `out`: array, residuals or None; null fails."""
    f = m.function("saved_out", [("info", "ptr"), ("outs", "ptr")], "ptr", internal=True)
    info, outs = f.args
    residuals, with_out = info_word(info, "residuals"), info_word(info, "saves_out")
    with f.if_(residuals.cmp("ne", 0)):
        count = residuals + with_out
        kept = f.call("ptr", "PyTuple_New", count)
        with f.if_(not_null(kept)), f.loop(0, count) as i:
            array = argument(outs, i + 1 - with_out)
            incref(f, array)
            kept.at(native.ITEMS, "i8").at(i, "ptr").store(array)
        f.ret(kept)
    saves = info_word(info, "saves_out").cmp("ne", 0)
    kept = saves.select(outs.load("ptr"), tensor_env(f, "None"))
    incref(f, kept)
    f.ret(kept)


def _shape_of(m: Module) -> None:
    """A new reference to an array's shape as a tuple; null on failure."""
    f = m.function("shape_of", [("array", "ptr")], "ptr", internal=True)
    (array,) = f.args
    nd, dims = array_field(array, "nd").cast("zext", "i64"), array_field(array, "dims")
    shape = f.call("ptr", "PyTuple_New", nd)
    with f.if_(not_null(shape)), f.loop(0, nd) as i:
        size = f.call("ptr", "PyLong_FromLongLong", dims.at(i, "i64").load("i64"))
        with f.if_(is_null(size)):
            decref(f, shape)
            f.ret(size)
        shape.at(native.ITEMS, "i8").at(i, "ptr").store(size)
    f.ret(shape)


def _finish(m: Module, slots: Slots) -> None:
    """From output arrays to the result Tensor, with its node if `taped`. Takes the arrays."""
    params = [*USE_PARAMS, ("outs", "ptr"), ("shape", "ptr"), ("taped", "i1")]
    f = m.function("operate_finish", params, "ptr", internal=True)
    use, (outs, known, taped) = Use(*f.args[:4]), f.args[4:]
    array, none = outs.load("ptr"), tensor_env(f, "None")
    node, tracked = f.var("ptr", none), f.var("ptr", tensor_env(f, "False"))
    with f.if_(taped) as branch:
        out = f.call("ptr", "saved_out", use.info, outs)
        shape = f.var("ptr", f.null())
        with f.if_(not_null(out)):
            shape.set(known)
            with f.if_(is_null(known)) as unknown:
                shape.set(f.call("ptr", "shape_of", array))
                unknown.otherwise()
                incref(f, known)
        node.set(f.null())
        with f.if_(not_null(shape.get())) as possible:
            storage = array_field(array, "descr")
            node.set(f.call("ptr", "node_new", *use, storage, out, shape.get()))
            possible.otherwise()
            decref(f, out)
        tracked.set(tensor_env(f, "True"))
        branch.otherwise()
        incref(f, none)
    with f.loop(0, info_word(use.info, "residuals")) as i:
        decref(f, argument(outs, i + 1))
    with f.if_(is_null(node.get())):
        decref(f, array)
        f.ret(f.null())
    incref(f, tracked.get())
    f.ret(f.call("ptr", "tensor_new", array, node.get(), tracked.get()))


def _recorded(m: Module) -> None:
    """recorded(op, inputs, attrs, array, out) as METH_FASTCALL: a Tensor with the node of a user's
    operation, which saves no input; the rule sees `out`.
    """
    f = m.function("tensor_recorded", [("self", "ptr"), ("args", "ptr"), ("count", "i64")], "ptr")
    op, inputs, attrs, array, out = (argument(f.args[1], i) for i in range(5))
    info = f.array("i64", len(INFO))
    for name in INFO:
        info.at(INFO.index(name), "i64").store(f.const("i64", 0))
    info.at(INFO.index("op"), "ptr").store(op)
    shape, true = f.call("ptr", "shape_of", array), tensor_env(f, "True")
    with f.if_(is_null(shape)):
        f.ret(shape)
    use = info, attrs, inputs.at(native.ITEMS, "i8"), field(inputs, native.TUPLE_SIZE, "i64")
    incref(f, out)
    node = f.call("ptr", "node_new", *use, array_field(array, "descr"), out, shape)
    with f.if_(is_null(node)):
        f.ret(node)
    incref(f, array)
    incref(f, true)
    f.ret(f.call("ptr", "tensor_new", array, node, true))


# ---- several outputs


def _item_node(m: Module, slots: Slots) -> None:
    """The node of one of the outputs of a node, whose shape is their types: a new reference, or
    null.
    """
    params = [("parent", "ptr"), ("index", "i64"), ("array", "ptr")]
    f = m.function("item_node", params, "ptr", internal=True)
    parent, index, array = f.args
    type_ = argument(field(parent, slots.node["shape"]).at(native.ITEMS, "i8"), index)
    shape = argument(type_.at(native.ITEMS, "i8"), Type._fields.index("shape"))
    place, attrs = f.call("ptr", "PyLong_FromLongLong", index), f.call("ptr", "PyTuple_New", 1)
    inputs, number = f.call("ptr", "PyTuple_New", 1), f.call("ptr", "node_number")
    parts = (place, attrs, inputs, number)
    whole, made = f.var("i1", True), f.var("ptr", f.null())
    for thing in parts:
        whole.set(whole.get() & not_null(thing))
    with f.if_(whole.get()):
        made.set(f.call("ptr", "PyType_GenericAlloc", tensor_env(f, "Node"), 0))
    with f.if_(is_null(made.get())):
        for thing in parts:
            decref(f, thing)
        f.ret(f.null())
    attrs.at(native.ITEMS, "i8").store(place)
    inputs.at(native.ITEMS, "i8").store(parent)
    nones = f.address("tensor_env").at(TENSOR_ENV.index("nones 0"), "ptr")
    none, item = tensor_env(f, "None"), tensor_env(f, "item")
    versions, where = nones.at(1, "ptr").load("ptr"), field(parent, slots.node["where"])
    storage = array_field(array, "descr")
    for thing in (parent, item, versions, where, shape, storage, none, none):
        incref(f, thing)
    values = {
        "op": item,
        "attrs": attrs,
        "inputs": inputs,
        "versions": versions,
        "number": number,
        "out": none,
        "shape": shape,
        "storage": storage,
        "where": where,
        "hooks": none,
    }
    for name, value in values.items():
        set_field(made.get(), slots.node[name], value)
    f.ret(made.get())


def _saved_outs(m: Module) -> None:
    """What the rule of several outputs sees as `out`: those that it needs in a tuple, or None."""
    params = [("info", "ptr"), ("outs", "ptr"), ("count", "i64")]
    f = m.function("saved_outs", params, "ptr", internal=True)
    info, outs, count = f.args
    none = tensor_env(f, "None")
    with f.if_(info_word(info, "saves_out").cmp("eq", 0)):
        incref(f, none)
        f.ret(none)
    kept, needed = f.call("ptr", "PyTuple_New", count), info_word(info, "saved_outputs")
    with f.if_(not_null(kept)), f.loop(0, count) as i:
        saves = (needed.lshr(i) & 1).cmp("ne", 0)
        one = saves.select(argument(outs, i), none)
        incref(f, one)
        kept.at(native.ITEMS, "i8").at(i, "ptr").store(one)
    f.ret(kept)


def _several(m: Module) -> None:
    """From several output arrays to a tuple of Tensors. Takes the arrays.

    `taped` are those with a node, as bits; `known` are all types, or null.
    """
    params = [*USE_PARAMS, ("outs", "ptr"), ("count", "i64"), ("taped", "i64"), ("known", "ptr")]
    f = m.function("several_finish", params, "ptr", internal=True)
    use, (outs, count, taped, known) = Use(*f.args[:4]), f.args[4:]
    types, parent = f.var("ptr", known), f.var("ptr", f.null())
    with f.if_(taped.cmp("ne", 0)):
        with f.if_(is_null(known)) as unknown:
            ask = ("PyObject_Vectorcall", tensor_env(f, "types"), outs, count, f.null())
            types.set(f.call("ptr", *ask))
            unknown.otherwise()
            incref(f, known)
        saved = f.var("ptr", f.null())
        with f.if_(not_null(types.get())):
            saved.set(f.call("ptr", "saved_outs", use.info, outs, count))
        with f.if_(not_null(saved.get())) as whole:
            # It takes both, but `types` stay with the parent.
            given = (tensor_env(f, "None"), saved.get(), types.get())
            parent.set(f.call("ptr", "node_new", *use, *given))
            whole.otherwise()
            decref(f, types.get())
    several, bad = f.var("ptr", f.null()), f.var("i1", taped.cmp("ne", 0) & is_null(parent.get()))
    with f.if_(~bad.get()):
        several.set(f.call("ptr", "PyTuple_New", count))
        bad.set(is_null(several.get()))
    with f.loop(0, count) as i:
        array, node = argument(outs, i), f.var("ptr", f.null())
        here = (taped.lshr(i) & 1).cmp("ne", 0)
        with f.if_(~bad.get() & here):
            node.set(f.call("ptr", "item_node", parent.get(), i, array))
            bad.set(is_null(node.get()))
        with f.if_(bad.get()):
            decref(f, array)
        f.continue_if(bad.get())
        flag = here.select(tensor_env(f, "True"), tensor_env(f, "False"))
        incref(f, flag)
        with f.if_(~here):
            node.set(tensor_env(f, "None"))
            incref(f, node.get())
        one = f.call("ptr", "tensor_new", array, node.get(), flag)
        bad.set(is_null(one))
        several.get().at(native.ITEMS, "i8").at(i, "ptr").store(one)
    decref(f, parent.get())
    with f.if_(bad.get()):
        decref(f, several.get())
        f.ret(f.null())
    f.ret(several.get())
