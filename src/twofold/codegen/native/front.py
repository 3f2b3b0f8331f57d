"""Calls of compiled functions without Python, in Loops. Floor 3.

    compiled_call(self, args, count, names)   the class's `__call__`

A compiled function keeps *fronts* in a slot, a tuple of bytes, each followed by an object that
holds what they point to. Their words (facts.py) say for which calls one of its programs answers,
where that finds its inputs, and what comes of its results. If the arguments are as they were
(native/taken.py), the modes are those of the program, and its entry knows the layouts, then the
plan runs here. What comes of it is in native/given.py. Only a program's host steps (an optimizer's
numbers, fresh random states) are Python. Every other call goes to the Python function with the same
arguments; frontends/front.py writes the words.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument, entry_block, plan_word
from twofold.codegen.native.facts import (
    COMPILED,
    FROM_ARRAY,
    FROM_GRADIENT,
    FROM_NUMBER,
    FROM_TENSOR,
    MOST_ARGUMENTS,
    MOST_SOURCES,
)
from twofold.codegen.native.given import add_given
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
from twofold.codegen.native.taken import LEAVES, STATE_WORDS, TAKEN, add_taken, told, unless
from twofold.codegen.native.tensor_env import NOT_COMMON, Slots, tensor_env
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.runtime import native
from twofold.runtime.entries import MOST_NUMBERS, MOST_RESULTS, SLOTS

WIDEST = 16  # bytes of an element
WRITTEN = native.ALIGNED | native.WRITEABLE  # flags of arrays that kernels may write
DENSE = native.C_CONTIGUOUS | native.F_CONTIGUOUS


def add_front(m: Module, slots: Slots, interpreted: int, grad: int) -> None:
    """Write the functions into the module of the Tensor tier, whose bits of a mode these are."""
    m.data("compiled_words", "ptr", len(COMPILED))
    add_taken(m, slots)
    _target(m)
    _modules_fit(m)
    _may_answer(m, interpreted, grad)
    _leaves_fit(m, slots)
    _accepts(m)
    _source(m, slots)
    _inputs(m)
    _plan(m)
    _bounds(m)
    _apart(m)
    add_given(m, slots)
    _tell(m)
    _resume(m)
    _run(m)
    _prepared_call(m)
    _answer(m)
    _front_call(m)
    _compiled_call(m)


def _target(m: Module) -> None:
    """The tensor that a target is (borrowed)."""
    f = m.function("front_target", [("args", "ptr"), ("target", "i64")], "ptr", internal=True)
    args, target = f.args
    with f.if_(target.cmp("ule", MOST_ARGUMENTS)):
        f.ret(argument(args, target))
    f.ret(target.cast("inttoptr", "ptr"))


# ---- is this a call of the kind?


def _modules_fit(m: Module) -> None:
    """Whether modules are in training as they were, and places hold what they held."""
    f = m.function("front_modules_fit", [("front", "ptr")], "i1", internal=True)
    (front,) = f.args
    rows, count = table(front, "modules")
    with f.loop(0, count) as i:
        row = row_of(rows, "modules", i)
        found = f.call("ptr", "PyDict_GetItemWithError", row.load("ptr"), argument(row, 1))
        with f.if_(is_null(found)):
            f.call("void", "PyErr_Clear")
        unless(f, found.cmp("eq", argument(row, 2)))
    rows, count = table(front, "cells")
    with f.loop(0, count) as i:
        row = row_of(rows, "cells", i)
        held = field(argument(row, 0), native.HEAD)
        unless(f, held.cmp("eq", argument(row, 1)))
    rows, count = table(front, "items")
    with f.loop(0, count) as i:
        row = row_of(rows, "items", i)
        size = field(argument(row, 0), native.LIST_SIZE, "i64")
        index = row.at(1, "i64").load("i64")
        with f.if_(index.cmp("slt", 0)):
            unless(f, size.cmp("eq", row.at(2, "i64").load("i64")))
        with f.if_(index.cmp("sge", 0)):
            unless(f, index.cmp("slt", size))
            item = argument(field(argument(row, 0), native.LIST_ITEMS), index)
            unless(f, item.cmp("eq", argument(row, 2)))
    f.ret(True)


def _may_answer(m: Module, interpreted: int, grad: int) -> None:
    """Whether what is in force is what the program was made for."""
    params = [("front", "ptr"), ("count", "i64"), ("names", "ptr")]
    f = m.function("front_may_answer", params, "i1", internal=True)
    front, count, names = f.args
    unless(f, word(front, "args").cmp("eq", count))
    unless(f, f.call("i1", "front_names_fit", word(front, "names", "ptr"), names))
    mode = f.call("i64", "thread_mode")
    unless(f, (mode & interpreted).cmp("eq", 0))
    unless(f, (mode & grad).cmp("eq", word(front, "grad")))
    items = field(word(front, "cell", "ptr"), native.LIST_ITEMS)
    unless(f, items.load("ptr").cmp("eq", word(front, "default", "ptr")))
    eager = word(front, "eager_at", "ptr").load("ptr")
    unless(f, eager.cmp("eq", word(front, "eager", "ptr")))
    f.ret(f.call("i1", "front_modules_fit", front))


def _leaves_fit(m: Module, slots: Slots) -> None:
    """Whether leaves have a gradient, or have none, as they did, and are recorded, or are not, as
    the derivative had them; and whether what gets a gradient is a leaf.
    """
    f = m.function("front_leaves_fit", [("front", "ptr"), ("args", "ptr")], "i1", internal=True)
    front, args = f.args
    rows, count = table(front, "held")
    with f.loop(0, count) as i:
        row = row_of(rows, "held", i)
        x = f.call("ptr", "front_target", args, row.load("i64"))
        none = field(x, slots.tensor["leaf_grad"]).cmp("eq", tensor_env(f, "None"))
        unless(f, none.cast("zext", "i64").cmp("ne", row.at(1, "i64").load("i64")))
    rows, count = table(front, "effects")
    with f.loop(0, count) as i:
        x = f.call("ptr", "front_target", args, row_of(rows, "effects", i).load("i64"))
        unless(f, field(x, slots.tensor["node"]).cmp("eq", tensor_env(f, "None")))
    rows, count = table(front, "behind")
    with f.loop(0, count) as i:
        row = row_of(rows, "behind", i)
        x = f.call("ptr", "front_target", args, row.load("i64"))
        unless(f, not_null(f.call("ptr", "array_of", x)))
        recorded = field(x, slots.tensor["tracked"]).cmp("eq", tensor_env(f, "True"))
        unless(f, recorded.cast("zext", "i64").cmp("eq", row.at(1, "i64").load("i64")))
    f.ret(True)


def _accepts(m: Module) -> None:
    """Whether Python accepts the numbers among the leaves, where it must be asked."""
    f = m.function("front_accepts", [("front", "ptr"), ("args", "ptr")], "i1", internal=True)
    front, args = f.args
    python, count = word(front, "accept", "ptr"), word(front, "leaves")
    with f.if_(is_null(python)):
        f.ret(True)
    answer = f.call("ptr", "PyObject_Vectorcall", python, args, count, f.null())
    with f.if_(is_null(answer)):
        f.call("void", "PyErr_Clear")
        f.ret(False)
    decref(f, answer)
    f.ret(answer.cmp("eq", tensor_env(f, "True")))


# ---- its inputs


def _source(m: Module, slots: Slots) -> None:
    """The array of one input (borrowed); null where it is not plain."""
    params = [("row", "ptr"), ("args", "ptr"), ("prepared", "ptr")]
    f = m.function("front_source", params, "ptr", internal=True)
    row, args, prepared = f.args
    kind, what = row.load("i64"), row.at(1, "i64").load("i64")
    with f.if_(kind.cmp("eq", FROM_ARRAY)):
        f.ret(what.cast("inttoptr", "ptr"))
    x = f.var("ptr", f.null())
    with f.if_(kind.cmp("ule", FROM_GRADIENT)) as branch:
        x.set(f.call("ptr", "front_target", args, what))
        with f.if_(kind.cmp("eq", FROM_GRADIENT)):
            x.set(field(x.get(), slots.tensor["leaf_grad"]))
        f.ret(f.call("ptr", "array_of", x.get()))
        branch.otherwise()
        with f.if_(is_null(prepared)):
            f.ret(argument(row, 2))
    f.ret(argument(prepared.at(native.ITEMS, "i8"), what))


def _inputs(m: Module) -> None:
    """The arrays of the inputs; templates stand for Python's until they are `prepared`."""
    params = [("front", "ptr"), ("args", "ptr"), ("prepared", "ptr"), ("arrays", "ptr")]
    f = m.function("front_inputs", params, "i1", internal=True)
    front, args, prepared, arrays = f.args
    rows, count = table(front, "inputs")
    with f.loop(0, count) as i:
        row = row_of(rows, "inputs", i)
        f.continue_if(row.load("i64").cmp("eq", FROM_NUMBER))  # which are there
        found = f.call("ptr", "front_source", row, args, prepared)
        unless(f, not_null(found))
        arrays.at(i, "ptr").store(found)
    f.ret(True)


def _plan(m: Module) -> None:
    """The plan for these arguments, whose input arrays are looked up; null where none is known."""
    params = [
        *[("front", "ptr"), ("args", "ptr"), ("prepared", "ptr"), ("arrays", "ptr")],
        ("numbers", "ptr"),
    ]
    f = m.function("front_plan", params, "ptr", internal=True)
    front, args, prepared, arrays, numbers = f.args
    with f.if_(~f.call("i1", "front_inputs", front, args, prepared, arrays)):
        f.ret(f.null())
    entry = word(front, "entry", "ptr")
    with f.if_(is_null(field(entry, SLOTS["block"]))):
        f.ret(f.null())
    count = table(front, "inputs")[1]
    plan = f.call("ptr", "entry_match", entry_block(entry), arrays, count, numbers)
    with f.if_(is_null(plan)):
        f.ret(plan)
    same = plan_word(plan, "outputs").cmp("eq", word(front, "outputs"))
    f.ret(same.select(plan, f.null()))


def _apart(m: Module) -> None:
    """Whether what the program writes can be written as it lies, and no argument lies in memory
    that it writes as another tensor's. Python looks closer where it is not sure.
    """
    params = [("front", "ptr"), ("arrays", "ptr")]
    f = m.function("front_apart", params, "i1", internal=True)
    front, arrays = f.args
    (rows, inputs), (places, written) = table(front, "inputs"), table(front, "overwritten")
    with f.loop(0, written) as k:
        place = row_of(places, "overwritten", k).load("i64")
        flags = array_field(argument(arrays, place), "flags")
        unless(f, (flags & WRITTEN).cmp("eq", WRITTEN) & (flags & DENSE).cmp("ne", 0))
    mine, other = f.array("ptr", 2), f.array("ptr", 2)
    with f.loop(0, inputs) as i:
        row = row_of(rows, "inputs", i)
        f.continue_if(row.load("i64").cmp("ne", FROM_TENSOR))
        f.continue_if(row.at(1, "i64").load("i64").cmp("ugt", MOST_ARGUMENTS))
        f.call("void", "array_bounds", argument(arrays, i), mine)
        with f.loop(0, written) as k:
            place = row_of(places, "overwritten", k).load("i64")
            f.continue_if(place.cmp("eq", i))
            f.call("void", "array_bounds", argument(arrays, place), other)
            unless(f, _beside(mine, other))
    with f.loop(0, written) as k:  # and of arguments that are written, what the function found
        place = row_of(places, "overwritten", k).load("i64")
        row = row_of(rows, "inputs", place)
        f.continue_if(row.load("i64").cmp("ne", FROM_TENSOR))
        f.continue_if(row.at(1, "i64").load("i64").cmp("ugt", MOST_ARGUMENTS))
        f.call("void", "array_bounds", argument(arrays, place), mine)
        with f.loop(0, inputs) as i:
            row = row_of(rows, "inputs", i)
            f.continue_if(row.load("i64").cmp("ne", FROM_TENSOR))
            f.continue_if(row.at(1, "i64").load("i64").cmp("ule", MOST_ARGUMENTS))
            f.call("void", "array_bounds", argument(arrays, i), other)
            unless(f, _beside(mine, other))
    f.ret(True)


def _beside(mine: Value, other: Value) -> Value:
    """Whether the one memory ends before the other begins."""
    before = argument(mine, 1).cmp("ule", other.load("ptr"))
    return before | argument(other, 1).cmp("ule", mine.load("ptr"))


def _bounds(m: Module) -> None:
    """Where the memory of an array's elements begins and ends, an end for the widest elements."""
    f = m.function("array_bounds", [("array", "ptr"), ("bounds", "ptr")], internal=True)
    array, bounds = f.args
    low, high = f.var("i64", 0), f.var("i64", WIDEST)
    dims, strides = array_field(array, "dims"), array_field(array, "strides")
    with f.loop(0, array_field(array, "nd").cast("zext", "i64")) as i:
        size = dims.at(i, "i64").load("i64")
        reach = (size - 1) * strides.at(i, "i64").load("i64")
        low.set(low.get() + f.min(reach, 0))
        high.set(high.get() + f.max(reach, 0))
    data = array_field(array, "data")
    bounds.store(data.at(low.get(), "i8"))
    bounds.at(1, "ptr").store(data.at(high.get(), "i8"))


# ---- the call


def _tell(m: Module) -> None:
    """Raise what the run left to be told: false, with the error set."""
    f = m.function("front_tell", [("front", "ptr")], "i1", internal=True)
    (front,) = f.args
    errors = word(front, "errors", "ptr")
    fault = word(front, "faults", "ptr").load("i64")
    with f.if_(field(errors, native.LIST_SIZE, "i64").cmp("eq", 0) & fault.cmp("eq", 0)):
        f.ret(True)
    box = f.array("ptr", 1)
    box.store(errors)
    done = f.call("ptr", "PyObject_Vectorcall", word(front, "tell", "ptr"), box, 1, f.null())
    with f.if_(is_null(done)):
        f.ret(False)
    decref(f, done)
    f.ret(True)


def _resume(m: Module) -> None:
    """resume(prepared, *leaves)."""
    params = [("front", "ptr"), ("args", "ptr"), ("prepared", "ptr")]
    f = m.function("front_resume", params, "ptr", internal=True, inline="never")
    front, args, prepared = f.args
    given, count = f.array("ptr", MOST_ARGUMENTS + 1), word(front, "leaves")
    given.store(prepared)
    f.memcpy(given.at(1, "ptr"), args, count << 3)
    resume = word(front, "resume", "ptr")
    f.ret(f.call("ptr", "PyObject_Vectorcall", resume, given, count + 1, f.null()))


def _run(m: Module) -> None:
    """Run the plan on the arrays, and make of its results what the call gives."""
    params = [
        *[("front", "ptr"), ("args", "ptr"), ("plan", "ptr"), ("arrays", "ptr")],
        ("numbers", "ptr"),
    ]
    f = m.function("front_run", params, "ptr", internal=True)
    front, args, plan, arrays, numbers = f.args
    inputs, outputs = table(front, "inputs")[1], word(front, "outputs")
    outs = f.array("ptr", MOST_RESULTS)
    result = f.var("ptr", f.null())
    # A Python step of the plan, or another thread, may exchange what holds them.
    with f.loop(0, inputs) as i:
        incref(f, argument(arrays, i))
    with f.if_(f.call("i1", "plan_run", plan, arrays, numbers, outs)):
        with f.if_(f.call("i1", "front_tell", front)):
            result.set(f.call("ptr", "front_give", front, args, arrays, outs))
        with f.loop(0, outputs) as i:
            decref(f, argument(outs, i))
    with f.loop(0, inputs) as i:
        decref(f, argument(arrays, i))
    f.ret(result.get())


def _prepared_call(m: Module) -> None:
    """The same after the program's Python has run."""
    params = [("front", "ptr"), ("args", "ptr"), ("arrays", "ptr"), ("numbers", "ptr")]
    f = m.function("front_prepared_call", params, "ptr", internal=True)
    front, args, arrays, numbers = f.args
    prepare, count = word(front, "prepare", "ptr"), word(front, "leaves")
    prepared = f.call("ptr", "PyObject_Vectorcall", prepare, args, count, f.null())
    with f.if_(is_null(prepared)):
        f.ret(prepared)
    plan = f.var("ptr", f.null())
    with f.if_(type_of(prepared).cmp("eq", tensor_env(f, "tuple"))):
        plan.set(f.call("ptr", "front_plan", front, args, prepared, arrays, numbers))
    result = f.var("ptr", f.null())
    with f.if_(is_null(plan.get())) as branch:
        result.set(f.call("ptr", "front_resume", front, args, prepared))
        branch.otherwise()
        result.set(f.call("ptr", "front_run", front, args, plan.get(), arrays, numbers))
    decref(f, prepared)
    f.ret(result.get())


def _answer(m: Module) -> None:
    """The same for leaves that are as they were, and arrays of those that are numbers."""
    params = [("front", "ptr"), ("args", "ptr"), ("arrays", "ptr")]
    f = m.function("front_answer", params, "ptr", internal=True)
    front, args, arrays = f.args
    numbers = f.array("i64", MOST_NUMBERS)
    unknown = f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")
    for fits in ("front_leaves_fit", "front_accepts"):
        with f.if_(~f.call("i1", fits, front, args)):
            f.ret(unknown)
    plan = f.call("ptr", "front_plan", front, args, f.null(), arrays, numbers)
    with f.if_(is_null(plan)):
        f.ret(unknown)
    with f.if_(~f.call("i1", "front_apart", front, arrays)):
        f.ret(unknown)
    with f.if_(word(front, "prepare").cmp("ne", 0)):
        f.ret(f.call("ptr", "front_prepared_call", front, args, arrays, numbers))
    f.ret(f.call("ptr", "front_run", front, args, plan, arrays, numbers))


def _front_call(m: Module) -> None:
    """The result of a call that the front answers, "ask Python", or null: an error."""
    params = [("front", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
    f = m.function("front_call", params, "ptr", internal=True)
    front, args, count, names = f.args
    leaves, arrays = f.array("ptr", MOST_ARGUMENTS), f.array("ptr", MOST_SOURCES)
    state = f.array("ptr", STATE_WORDS)
    result = f.var("ptr", f.const("i64", NOT_COMMON).cast("inttoptr", "ptr"))
    with f.if_(~f.call("i1", "front_may_answer", front, count, names)):
        f.ret(result.get())
    state.at(LEAVES, "ptr").store(leaves)
    state.at(TAKEN, "i64").store(f.const("i64", 0))
    with f.if_(f.call("i1", "front_collect", front, args, state)):
        with f.if_(f.call("i1", "front_numbers", front, leaves, arrays)):
            result.set(f.call("ptr", "front_answer", front, leaves, arrays))
        f.call("void", "front_numbers_drop", front, leaves, arrays)
    with f.loop(0, state.at(TAKEN, "i64").load("i64")) as i:
        decref(f, argument(leaves, i))
    f.ret(result.get())


def _compiled_call(m: Module) -> None:
    params = [("self", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
    f = m.function("compiled_call", params, "ptr")
    self_, args, count, names = f.args
    held = self_.at(told(f, "slot", "i64"), "i8").load("ptr")
    none = tensor_env(f, "None")
    with f.if_(not_null(held) & held.cmp("ne", none)):
        # Another thread may drop the programs while one runs; the tuple holds what they need.
        incref(f, held)
        with f.loop(0, field(held, native.TUPLE_SIZE, "i64") // 2) as i:
            front = argument(held.at(native.ITEMS, "i8"), i * 2).at(native.BYTES, "i8")
            result = f.call("ptr", "front_call", front, args, count, names)
            with f.if_(result.cast("ptrtoint", "i64").cmp("ne", NOT_COMMON)):
                decref(f, held)
                f.ret(result)
        decref(f, held)
    f.ret(f.call("ptr", "method_fallback", told(f, "python"), self_, args, count, names))
