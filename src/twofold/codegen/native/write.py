"""Writes in place that no tape sees, without Python, in Loops. Floor 3.

    write_operate(x, inputs, ...)   an operation on `x` and others into the memory of `x`
    write_part(x, values, ...)      values into a part of `x`
    detached(x)                     another tensor on the memory of `x`, without its history

Both mean what ops/writing.py does for a write that is not seen: the tensor is plain and up to date,
its memory may be written and nobody saved it as an output, other tensors share all of it or
nothing, and with the tape on neither they nor it are tracked. Everything else is Python's. After a
write the memory's version is counted up, and the user's line is noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twofold.codegen.native.entry import argument, entry_block, plan_word
from twofold.codegen.native.facts import GRAD
from twofold.codegen.native.objects import (
    array_field,
    decref,
    field,
    incref,
    is_null,
    not_null,
    set_field,
    type_of,
)
from twofold.codegen.native.tensor_env import MOST_INPUTS, NOT_COMMON, Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native
from twofold.runtime.entries import MOST_NUMBERS, SLOTS

EXTERNS = (
    ("plan_run_into", "ptr", ("ptr", "ptr", "ptr", "ptr")),
    ("PyList_New", "ptr", ("i64",)),
    ("PyList_Append", "i32", ("ptr", "ptr")),
    ("PyWeakref_NewRef", "ptr", ("ptr", "ptr")),
    ("PyWeakref_GetObject", "ptr", ("ptr",)),  # a borrowed reference, None for the dead
)
WRITABLE = native.ALIGNED | native.WRITEABLE
FILLED = (32, 64)  # bits of elements that are filled by vectors
SMALL = 1 << 15  # elements that are copied in the order of their axes, whatever their layout
LAYOUT = [("dims", "ptr"), ("to_strides", "ptr"), ("from_strides", "ptr"), ("nd", "i64")]


def add_writes(m: Module, slots: Slots) -> None:
    """Write the functions; `array_of` and `user_place` are there already."""
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    _may_share(m)
    _root(m, slots)
    _unseen(m, slots)
    _count_write(m, slots)
    _touched(m, slots)
    _copy(m)
    _copy_whole(m)
    _operate(m, slots)
    _part(m, slots)
    _append_reference(m)
    _detached(m, slots)


def _unknown(f: Function) -> Value:
    return f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")


def _may_share(m: Module) -> None:
    """Whether two arrays may have memory in common: by where each begins and ends."""
    f = m.function("may_share", [("a", "ptr"), ("b", "ptr")], "i1", internal=True)
    ends = []
    for array in f.args:
        low, high = f.var("i64", 0), f.var("i64", 0)
        with f.loop(0, array_field(array, "nd").cast("zext", "i64")) as i:
            size = array_field(array, "dims").at(i, "i64").load("i64")
            with f.if_(size.cmp("eq", 0)):
                f.ret(False)
            reach = array_field(array, "strides").at(i, "i64").load("i64") * (size - 1)
            low.set(low.get() + f.min(reach, 0))
            high.set(high.get() + f.max(reach, 0))
        data = array_field(array, "data").cast("ptrtoint", "i64")
        # Of other types the last element has 16 bytes at most: more may only be found to be shared.
        last, descr = f.var("i64", 16), array_field(array, "descr")
        for name, width in (("float32", 4), ("float64", 8), ("int64", 8)):
            with f.if_(descr.cmp("eq", tensor_env(f, name))):
                last.set(width)
        ends.append((data + low.get(), data + high.get() + last.get()))
    (a, a_end), (b, b_end) = ends
    f.ret(a.cmp("slt", b_end) & b.cmp("slt", a_end))


def _root(m: Module, slots: Slots) -> None:
    """The tensor that owns the memory of `x`, if a write to `x` is not seen; else null."""
    f = m.function("unseen_root", [("x", "ptr"), ("mode", "i64")], "ptr", internal=True)
    x, mode = f.args
    none, false = tensor_env(f, "None"), tensor_env(f, "False")
    array = f.call("ptr", "array_of", x)

    def leave_unless(holds: Value) -> None:
        with f.if_(~holds):
            f.ret(f.null())

    leave_unless(not_null(array))
    leave_unless(type_of(array).cmp("eq", tensor_env(f, "ndarray")))
    leave_unless((array_field(array, "flags") & WRITABLE).cmp("eq", WRITABLE))
    base = field(x, slots.tensor["base"])
    root = base.cmp("eq", none).select(x, base)
    # A node may have saved the memory as its output.
    leave_unless(field(root, slots.tensor["node"]).cmp("eq", none))
    with _aliases(f, root, slots) as other:
        leave_unless(field(other, slots.tensor["node"]).cmp("eq", none))
    with f.if_((mode & GRAD).cmp("ne", 0)):
        leave_unless(field(x, slots.tensor["tracked"]).cmp("eq", false))
        leave_unless(field(root, slots.tensor["tracked"]).cmp("eq", false))
    f.ret(root)


def _unseen(m: Module, slots: Slots) -> None:
    """Whether the tape does not see what comes of this tensor."""
    f = m.function("is_unseen", [("x", "ptr"), ("mode", "i64")], "i1", internal=True)
    x, mode = f.args
    untracked = field(x, slots.tensor["tracked"]).cmp("eq", tensor_env(f, "False"))
    f.ret(untracked | (mode & GRAD).cmp("eq", 0))


def _touched(m: Module, slots: Slots) -> None:
    """Count a write to the memory of `x`, which `root` owns; false with an error set."""
    f = m.function("touched", [("x", "ptr"), ("root", "ptr")], "i1", internal=True)
    x, root = f.args
    at = slots.tensor["version"]
    place = f.call("ptr", "user_place")
    with f.if_(is_null(place)):
        f.ret(False)
    done = f.var("i1", f.call("i1", "count_write", root, place))
    with f.if_(x.cmp("ne", root)):  # one object for both: that they are equal is seen at once
        version, own = field(root, at), field(x, at)
        incref(f, version)
        set_field(x, at, version)
        decref(f, own)
    with _aliases(f, root, slots) as other, f.if_(other.cmp("ne", root)):
        done.set(done.get() & f.call("i1", "count_write", other, place))
    decref(f, place)
    f.ret(done.get())


def _count_write(m: Module, slots: Slots) -> None:
    """Count a write from `place` in an owner of the memory; false with an error set."""
    f = m.function("count_write", [("owner", "ptr"), ("place", "ptr")], "i1", internal=True)
    owner, place = f.args
    at, written = slots.tensor["version"], slots.tensor["written"]
    old, old_place = field(owner, at), field(owner, written)
    version = f.call("ptr", "PyLong_FromLongLong", f.call("i64", "PyLong_AsLongLong", old) + 1)
    with f.if_(is_null(version)):
        f.ret(False)
    incref(f, place)
    set_field(owner, at, version)
    set_field(owner, written, place)
    decref(f, old)
    decref(f, old_place)
    f.ret(True)


@contextmanager
def _aliases(f: Function, root: Value, slots: Slots) -> Iterator[Value]:
    """A loop over the tensors that own the memory of `root`, where that is more than itself."""
    aliases = field(root, slots.tensor["aliases"])
    with f.if_(aliases.cmp("ne", tensor_env(f, "None"))):
        count, items = field(aliases, native.LIST_SIZE, "i64"), field(aliases, native.LIST_ITEMS)
        with f.loop(0, count) as i:
            other = f.call("ptr", "PyWeakref_GetObject", argument(items, i))
            with f.if_(other.cmp("ne", tensor_env(f, "None"))):
                yield other


def _copy(m: Module) -> None:
    """Elements from one layout into another; `size` are the bytes of one."""
    params = [("to", "ptr"), ("source", "ptr"), *LAYOUT, ("size", "i64")]
    f = m.function("part_copy", params, internal=True)
    to, source, dims, to_strides, from_strides, nd, size = f.args
    with f.if_(nd.cmp("eq", 0)):
        f.memcpy(to, source, size)
        f.ret()
    count, over, by = (words.load("i64") for words in (dims, to_strides, from_strides))
    with f.if_(nd.cmp("ugt", 1)):
        inner = [words.at(1, "i64") for words in (dims, to_strides, from_strides)]
        with f.loop(0, count) as i:
            places = to.at(i * over, "i8"), source.at(i * by, "i8")
            f.call("void", "part_copy", *places, *inner, nd - 1, size)
        f.ret()
    with f.if_(over.cmp("eq", size) & by.cmp("eq", size)):
        f.memcpy(to, source, count * size)
        f.ret()
    with f.if_(over.cmp("eq", size) & by.cmp("eq", 0)):
        for bits in FILLED:
            with f.if_(size.cmp("eq", bits // 8)):
                _fill(f, to, source, count, bits)
                f.ret()
    known = f.var("i1", False)
    for bits in (8, 16, 32, 64):
        with f.if_(size.cmp("eq", bits // 8)):
            known.set(True)
            with f.loop(0, count) as i:
                value = source.at(i * by, "i8").load(f"i{bits}")
                to.at(i * over, "i8").store(value)
    with f.if_(~known.get()), f.loop(0, count) as i:
        f.memcpy(to.at(i * over, "i8"), source.at(i * by, "i8"), size)


def _fill(f: Function, to: Value, source: Value, count: Value, bits: int) -> None:
    """One element into `count` places side by side."""
    kind, lanes = f"i{bits}", 256 // bits
    value = source.load(kind)
    many, whole = value.splat(lanes), count // lanes * lanes
    with f.loop(0, whole, lanes) as i:
        to.at(i, kind).store(many, align=bits // 8)
    with f.loop(whole, count) as i:
        to.at(i, kind).store(value)


def _copy_whole(m: Module) -> None:
    """The elements of an array into another that has none twice; false if they do not fit."""
    f = m.function("is_small", [("array", "ptr")], "i1", internal=True)
    (array,) = f.args
    count = f.var("i64", 1)
    with f.loop(0, array_field(array, "nd").cast("zext", "i64")) as i:
        count.set(count.get() * array_field(array, "dims").at(i, "i64").load("i64"))
        with f.if_(array_field(array, "strides").at(i, "i64").load("i64").cmp("eq", 0)):
            f.ret(False)
    f.ret(count.get().cmp("sle", SMALL))

    f = m.function("copy_whole", [("to", "ptr"), ("source", "ptr")], "i1", internal=True)
    to, source = f.args
    nd = array_field(to, "nd").cast("zext", "i64")
    fits = f.var("i1", array_field(to, "descr").cmp("eq", array_field(source, "descr")))
    fits.set(fits.get() & array_field(source, "nd").cmp("eq", array_field(to, "nd")))
    with f.if_(~fits.get()):
        f.ret(False)
    dims, others = array_field(to, "dims"), array_field(source, "dims")
    with f.loop(0, nd) as i:
        size, other = dims.at(i, "i64").load("i64"), others.at(i, "i64").load("i64")
        fits.set(fits.get() & size.cmp("eq", other))
    with f.if_(~fits.get()):
        f.ret(False)
    strides = array_field(source, "strides")  # it has axes, and lies in order
    layout = (dims, array_field(to, "strides"), strides, nd, strides.at(nd - 1, "i64").load("i64"))
    f.call("void", "part_copy", array_field(to, "data"), array_field(source, "data"), *layout)
    f.ret(True)


def _operate(m: Module, slots: Slots) -> None:
    """An operation of elements into the memory of `x`: `x` (a new reference), "ask Python", or null
    with an error set.
    """
    params = [("x", "ptr"), ("inputs", "ptr"), ("arity", "i64"), ("entry", "ptr"), ("mode", "i64")]
    f = m.function("write_operate", params, "ptr", internal=True)
    x, inputs, arity, entry, mode = f.args
    arrays, numbers = f.array("ptr", MOST_INPUTS), f.array("i64", MOST_NUMBERS)

    def leave_if(condition: Value) -> None:
        with f.if_(condition):
            f.ret(_unknown(f))

    leave_if(arity.cmp("ugt", MOST_INPUTS) | is_null(field(entry, SLOTS["block"])))
    root = f.call("ptr", "unseen_root", x, mode)
    leave_if(is_null(root))
    out = f.call("ptr", "array_of", x)
    # Where elements lie apart the result is made elsewhere, and copied.
    straight = (array_field(out, "flags") & native.C_CONTIGUOUS).cmp("ne", 0)
    leave_if(~straight & ~f.call("i1", "is_small", out))
    with f.loop(0, arity) as i:
        other = argument(inputs, i)
        array = f.call("ptr", "array_of", other)
        leave_if(is_null(array))
        leave_if(type_of(array).cmp("ne", tensor_env(f, "ndarray")))
        leave_if(~f.call("i1", "is_unseen", other, mode))
        with f.if_(straight & array.cmp("ne", out)):
            leave_if(f.call("i1", "may_share", out, array))
        arrays.at(i, "ptr").store(array)
    plan = f.call("ptr", "entry_match", entry_block(entry), arrays, arity, numbers)
    leave_if(is_null(plan))
    leave_if(plan_word(plan, "outputs").cmp("ne", 1))
    incref(f, out)
    incref(f, root)
    made = f.call("ptr", "plan_run_into", plan, arrays, numbers, straight.select(out, f.null()))
    result = f.var("ptr", f.null())
    done = f.var("i1", made.cmp("eq", out))
    with f.if_(~straight & not_null(made)):
        done.set(f.call("i1", "copy_whole", out, made))
    with f.if_(done.get()) as branch:
        with f.if_(f.call("i1", "touched", x, root)):
            incref(f, x)
            result.set(x)
        branch.otherwise()
        with f.if_(not_null(made)):  # of another type or shape: nothing is written
            result.set(_unknown(f))
    decref(f, made)
    decref(f, root)
    decref(f, out)
    f.ret(result.get())


def _part(m: Module, slots: Slots) -> None:
    """Values into a part of `x`, `offset` bytes from where it begins: as `write_operate`, but 0 for
    "ask Python", 1 when it is done and -1 with an error set.
    """
    sizes = [("offset", "i64"), ("size", "i64"), ("mode", "i64")]
    params = [("x", "ptr"), ("values", "ptr"), *LAYOUT, *sizes]
    f = m.function("write_part", params, "i64", internal=True)
    x, values, dims, to_strides, from_strides, nd, offset, size, mode = f.args

    def leave_if(condition: Value) -> None:
        with f.if_(condition):
            f.ret(0)

    root = f.call("ptr", "unseen_root", x, mode)
    leave_if(is_null(root))
    leave_if(~f.call("i1", "is_unseen", values, mode))
    source = f.call("ptr", "array_of", values)
    leave_if(is_null(source))
    array = f.call("ptr", "array_of", x)
    to, begin = array_field(array, "data").at(offset, "i8"), array_field(source, "data")
    differ = f.var("i1", to.cmp("ne", begin))
    with f.loop(0, nd) as i:
        over, by = (words.at(i, "i64").load("i64") for words in (to_strides, from_strides))
        differ.set(differ.get() | over.cmp("ne", by))
    with f.if_(differ.get()):  # else they are there already: x[0] += y writes x[0] once more
        leave_if(f.call("i1", "may_share", array, source))
        f.call("void", "part_copy", to, begin, dims, to_strides, from_strides, nd, size)
    incref(f, root)
    done = f.call("i1", "touched", x, root)
    decref(f, root)
    f.ret(done.select(f.const("i64", 1), f.const("i64", -1)))


def _append_reference(m: Module) -> None:
    """Add a weak reference to a tensor to a list, in the place of the last one if that one is dead;
    false with an error set.
    """
    f = m.function("append_reference", [("list", "ptr"), ("x", "ptr")], "i1", internal=True)
    list_, x = f.args
    reference = f.call("ptr", "PyWeakref_NewRef", x, f.null())
    with f.if_(is_null(reference)):
        f.ret(False)
    count = field(list_, native.LIST_SIZE, "i64")
    with f.if_(count.cmp("ne", 0)):
        place = field(list_, native.LIST_ITEMS).at(count - 1, "ptr")
        last = place.load("ptr")
        dead = f.call("ptr", "PyWeakref_GetObject", last).cmp("eq", tensor_env(f, "None"))
        with f.if_(dead):
            place.store(reference)
            decref(f, last)
            f.ret(True)
    failed = f.call("i32", "PyList_Append", list_, reference)
    decref(f, reference)
    f.ret(failed.cmp("eq", 0))


def _detached(m: Module, slots: Slots) -> None:
    """What `alias` of ops/writing.py gives, which drops the dead of a list now and then: Python."""
    f = m.function("detached", [("x", "ptr")], "ptr", internal=True)
    (x,) = f.args
    none, false = tensor_env(f, "None"), tensor_env(f, "False")
    array, base = f.call("ptr", "array_of", x), field(x, slots.tensor["base"])
    with f.if_(is_null(array)):
        f.ret(_unknown(f))
    root = base.cmp("eq", none).select(x, base)
    at = slots.tensor["aliases"]
    with f.if_(field(root, at).cmp("eq", none)):
        made = f.call("ptr", "PyList_New", 0)
        with f.if_(is_null(made)):
            f.ret(made)
        with f.if_(~f.call("i1", "append_reference", made, root)):
            decref(f, made)
            f.ret(f.null())
        set_field(root, at, made)
        decref(f, none)
    aliases = field(root, at)
    count = field(aliases, native.LIST_SIZE, "i64")
    last = field(aliases, native.LIST_ITEMS).at(count - 1, "ptr").load("ptr")
    lives = f.call("ptr", "PyWeakref_GetObject", last).cmp("ne", none)
    with f.if_(lives & count.cmp("ne", 1) & (count & (count + 1)).cmp("eq", 0)):
        f.ret(_unknown(f))
    for thing in (array, none, false, aliases):
        incref(f, thing)
    made = f.call("ptr", "tensor_new", array, none, false)
    with f.if_(not_null(made)):
        version = field(root, slots.tensor["version"])
        incref(f, version)
        for name, value in (("version", version), ("aliases", aliases)):
            old = field(made, slots.tensor[name])
            set_field(made, slots.tensor[name], value)
            decref(f, old)
    with f.if_(is_null(made)):
        decref(f, aliases)
        f.ret(made)
    with f.if_(~f.call("i1", "append_reference", aliases, made)):
        decref(f, made)
        f.ret(f.null())
    f.ret(made)
