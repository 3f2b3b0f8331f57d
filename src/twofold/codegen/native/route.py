"""The way of a walk, in Loops: which nodes and leaves there are, and in which order. Floor 3.

A walk is a few words and one block of memory, which grows: targets (nodes and leaves, in the order
in which they are found, each held), the gradient that has arrived at each, the nodes inputs before
users, the leaves, a stack, and a hash table of the targets' addresses.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import HELPERS
from twofold.codegen.native.objects import (
    decref,
    field,
    incref,
    is_null,
    not_null,
    type_of,
)
from twofold.codegen.native.tensor_env import NOT_COMMON, Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

# The words of a walk, and of each of its parts per node or leaf that it has room for.
WALK = ("room", "count", "memory", "ordered", "leaves", "depth")
PARTS = {"targets": 1, "grads": 1, "order": 1, "leaf": 1, "stack": 2, "table": 2}
FIRST_ROOM = 128

FOUND, STRANGE, FAILED = 0, 1, 2


def add_route(m: Module, slots: Slots) -> None:
    """Write the functions into the module of the Tensor tier."""
    _find(m)
    _fill_table(m)
    _grow(m)
    _insert(m)
    _edge(m, slots)
    _reach(m)
    _sort(m, slots)
    _route(m, slots)


def word(w: Value, name: str) -> Value:
    return w.at(WALK.index(name), "i64").load("i64")


def set_word(w: Value, name: str, value: Value | int) -> None:
    f = w.function
    w.at(WALK.index(name), "i64").store(f.value("i64", value))


def part_of(f: Function, w: Value, name: str) -> Value:
    """Where a part begins."""
    names = list(PARTS)
    before = sum(PARTS[part] for part in names[: names.index(name)])
    return memory_of(w).at(word(w, "room") * before, "i64")


def memory_of(w: Value) -> Value:
    return w.at(WALK.index("memory"), "i64").load("ptr")


def helper(f: Function, helpers: Value, name: str) -> Value:
    return argument(helpers.at(native.ITEMS, "i8"), HELPERS.index(name))


def ask(f: Function, helpers: Value, name: str, *args: Value) -> Value:
    """Call a helper: a new reference, or null."""
    box = f.array("ptr", len(args))
    for index, arg in enumerate(args):
        box.at(index, "ptr").store(arg)
    call = ("PyObject_Vectorcall", helper(f, helpers, name), box, len(args), f.null())
    return f.call("ptr", *call)


# ---- the table of what was found


def _slot(f: Function, w: Value, target: Value) -> Value:
    mixed = target.cast("ptrtoint", "i64").lshr(4) * -7046029254386353131  # 2**64 / golden ratio
    return mixed.lshr(20) & (word(w, "room") * 2 - 1)


def _find(m: Module) -> None:
    """The number of a node or leaf; -1 if it was not found."""
    f = m.function("walk_find", [("w", "ptr"), ("target", "ptr")], "i64", internal=True)
    w, target = f.args
    table, targets = part_of(f, w, "table"), part_of(f, w, "targets")
    slot, last = f.var("i64", _slot(f, w, target)), word(w, "room") * 2 - 1
    with f.while_():
        number = table.at(slot.get(), "i64").load("i64") - 1
        with f.if_(number.cmp("slt", 0)):
            f.ret(-1)
        with f.if_(argument(targets, number).cmp("eq", target)):
            f.ret(number)
        slot.set((slot.get() + 1) & last)


def _fill_table(m: Module) -> None:
    """Enter the target of this number."""
    f = m.function("walk_enter", [("w", "ptr"), ("number", "i64")], internal=True)
    w, number = f.args
    table, target = part_of(f, w, "table"), argument(part_of(f, w, "targets"), number)
    slot, last = f.var("i64", _slot(f, w, target)), word(w, "room") * 2 - 1
    with f.while_():
        place = table.at(slot.get(), "i64")
        f.break_if(place.load("i64").cmp("eq", 0))
        slot.set((slot.get() + 1) & last)
    table.at(slot.get(), "i64").store(number + 1)


def _grow(m: Module) -> None:
    """Make room for twice as many, or for the first; false if memory is short."""
    f = m.function("walk_grow", [("w", "ptr")], "i1", internal=True, inline="never")
    (w,) = f.args
    old, before = word(w, "room"), memory_of(w)
    room = f.max(old * 2, FIRST_ROOM)
    width = sum(PARTS.values())
    memory = f.call("ptr", "block_alloc", room * (8 * width))
    with f.if_(is_null(memory)):
        f.call("ptr", "PyErr_NoMemory")
        f.ret(False)
    at = 0
    for name, size in PARTS.items():
        here = memory.at(room * at, "i64")
        if name == "table":
            f.memset(here, 0, room * (8 * size))
        else:
            with f.if_(old.cmp("ne", 0)):
                f.memcpy(here, before.at(old * at, "i64"), old * (8 * size))
        at += size
    with f.if_(old.cmp("ne", 0)):
        f.call("void", "block_free", before)
    set_word(w, "room", room)
    w.at(WALK.index("memory"), "i64").store(memory)
    with f.loop(0, word(w, "count")) as number:
        f.call("void", "walk_enter", w, number)
    f.ret(True)


def _insert(m: Module) -> None:
    """Hold a new target; its number, or -1 if memory is short."""
    f = m.function("walk_insert", [("w", "ptr"), ("target", "ptr")], "i64", internal=True)
    w, target = f.args
    number = word(w, "count")
    with f.if_(number.cmp("eq", word(w, "room"))), f.if_(~f.call("i1", "walk_grow", w)):
        f.ret(-1)
    incref(f, target)
    part_of(f, w, "targets").at(number, "ptr").store(target)
    part_of(f, w, "grads").at(number, "ptr").store(f.null())
    f.call("void", "walk_enter", w, number)
    set_word(w, "count", number + 1)
    f.ret(number)


# ---- the route


def _edge(m: Module, slots: Slots) -> None:
    """Where the gradient of a node's input goes (borrowed): null where nowhere; else not plain.

    With an error set, if a refresh gave one.
    """
    f = m.function("walk_edge", [("helpers", "ptr"), ("x", "ptr")], "ptr", internal=True)
    helpers, x = f.args
    none, strange = tensor_env(f, "None"), f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")
    kind = type_of(x)
    with f.if_(kind.cmp("eq", tensor_env(f, "Node"))):
        f.ret(x)
    with f.if_(x.cmp("eq", none)):
        f.ret(f.null())
    plain = kind.cmp("eq", tensor_env(f, "Tensor")) | kind.cmp("eq", tensor_env(f, "Parameter"))
    with f.if_(~plain):
        f.ret(strange)
    with f.if_(field(x, slots.tensor["tracked"]).cmp("ne", tensor_env(f, "True"))):
        f.ret(f.null())
    base = field(x, slots.tensor["base"])
    with f.if_(base.cmp("ne", none)):
        version = slots.tensor["version"]
        with f.if_(field(x, version).cmp("ne", field(base, version))):
            target = ask(f, helpers, "target", x)
            with f.if_(is_null(target)):
                f.ret(strange)
            decref(f, target)  # x holds it
            f.ret(target)
    node = field(x, slots.tensor["node"])
    f.ret(node.cmp("eq", none).select(x, node))


def _reach(m: Module) -> None:
    """A target that was not found before: onto the stack if it is a node, else among the leaves.

    1 for a node, 0 for a leaf, -1 if memory is short.
    """
    f = m.function("walk_reach", [("w", "ptr"), ("target", "ptr")], "i64", internal=True)
    w, target = f.args
    number = f.call("i64", "walk_insert", w, target)
    with f.if_(number.cmp("slt", 0)):
        f.ret(-1)
    with f.if_(type_of(target).cmp("eq", tensor_env(f, "Node"))):
        depth = word(w, "depth")
        entry = part_of(f, w, "stack").at(depth * 2, "i64")
        entry.store(number)
        entry.at(1, "i64").store(f.const("i64", 0))
        set_word(w, "depth", depth + 1)
        f.ret(1)
    leaves = word(w, "leaves")
    part_of(f, w, "leaf").at(leaves, "i64").store(number)
    set_word(w, "leaves", leaves + 1)
    f.ret(0)


def _sort(m: Module, slots: Slots) -> None:
    """Sort the nodes by their numbers, as they mostly are (Shell, 1959)."""
    f = m.function("walk_sort", [("w", "ptr")], internal=True)
    (w,) = f.args
    count, order = word(w, "ordered"), part_of(f, w, "order")
    keys, targets = part_of(f, w, "stack"), part_of(f, w, "targets")  # the stack is empty now
    before, sorted_ = f.var("i64", 0), f.var("i1", True)
    with f.loop(0, count) as i:
        node = order.at(i, "i64").load("i64")
        number = field(argument(targets, node), slots.node["number"])
        made = f.call("i64", "PyLong_AsLongLong", number)
        keys.at(node, "i64").store(made)
        sorted_.set(sorted_.get() & made.cmp("sge", before.get()))
        before.set(made)
    with f.if_(sorted_.get()):
        f.ret()
    gap = f.var("i64", count)
    with f.while_():
        f.break_if(gap.get().cmp("sle", 1))
        gap.set(gap.get().cmp("eq", 2).select(f.const("i64", 1), gap.get() * 5 // 11))
        with f.loop(gap.get(), count) as i:
            node = order.at(i, "i64").load("i64")
            key, place = keys.at(node, "i64").load("i64"), f.var("i64", i)
            with f.while_():
                f.break_if(place.get().cmp("slt", gap.get()))
                other = order.at(place.get() - gap.get(), "i64").load("i64")
                f.break_if(keys.at(other, "i64").load("i64").cmp("sle", key))
                order.at(place.get(), "i64").store(other)
                place.set(place.get() - gap.get())
            order.at(place.get(), "i64").store(node)


def _route(m: Module, slots: Slots) -> None:
    """Find the nodes and leaves behind a target, first made first: find_route in Loops."""
    params = [("w", "ptr"), ("helpers", "ptr"), ("start", "ptr")]
    f = m.function("walk_route", params, "i64", internal=True)
    w, helpers, start = f.args
    with f.if_(f.call("i64", "walk_reach", w, start).cmp("slt", 0)):
        f.ret(FAILED)
    with f.while_():
        depth = word(w, "depth")
        f.break_if(depth.cmp("eq", 0))
        top = (depth - 1) * 2
        number = part_of(f, w, "stack").at(top, "i64").load("i64")
        node = argument(part_of(f, w, "targets"), number)
        deeper = f.var("i64", 0)
        with f.while_():
            inputs = field(node, slots.node["inputs"])
            with f.if_(type_of(inputs).cmp("ne", tensor_env(f, "tuple"))):
                f.ret(STRANGE)  # walked before
            entry = part_of(f, w, "stack").at(top, "i64").at(1, "i64")
            place = entry.load("i64")
            f.break_if(place.cmp("sge", field(inputs, native.TUPLE_SIZE, "i64")))
            entry.store(place + 1)
            x = argument(inputs.at(native.ITEMS, "i8"), place)
            target = f.call("ptr", "walk_edge", helpers, x)
            f.continue_if(is_null(target))
            with f.if_(target.cast("ptrtoint", "i64").cmp("eq", NOT_COMMON)):
                failed = not_null(f.call("ptr", "PyErr_Occurred"))
                f.ret(failed.select(f.const("i64", FAILED), f.const("i64", STRANGE)))
            f.continue_if(f.call("i64", "walk_find", w, target).cmp("sge", 0))
            deeper.set(f.call("i64", "walk_reach", w, target))
            with f.if_(deeper.get().cmp("slt", 0)):
                f.ret(FAILED)
            f.break_if(deeper.get().cmp("eq", 1))
        f.continue_if(deeper.get().cmp("eq", 1))
        ordered = word(w, "ordered")
        part_of(f, w, "order").at(ordered, "i64").store(number)
        set_word(w, "ordered", ordered + 1)
        set_word(w, "depth", word(w, "depth") - 1)
    f.call("void", "walk_sort", w)
    f.ret(FOUND)
