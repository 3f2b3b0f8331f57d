"""Calls that take several operations, in Loops. Floor 3.

`x[i, j]`, `index_add_` or `rand` check the numbers that they are given, draw, and ask for more than
one operation. Which ones depends on layouts and plain arguments alone, so the record of such a call
has a record for each of its steps (exec/recalled_steps.py writes them); what numbers must be is
looked at in each call. Only the last step writes. Where one cannot be done, what the others made is
given up, the draws are taken back, and Python does it all.

    recall_steps(record, args, mode)   the result, "ask Python", or null: an error
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    DRAW,
    DRAWS,
    GRAD,
    HOLDS,
    INFO,
    ITEM,
    MADE_IN_PLACE,
    MOST_STEPS,
    NOTHING,
    PART,
    RANGE,
    RECORD,
    RUN,
    SEVERAL,
    TOGETHER,
)
from twofold.codegen.native.objects import array_field, decref, field, incref, is_null, not_null
from twofold.codegen.native.tensor_env import (
    NEVER_COMMON,
    NOT_COMMON,
    Slots,
    tensor_env,
)
from twofold.codegen.vmath.core import any_lane
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.runtime import native

LANES = 8  # positions that are looked at together
LAYOUT = [("data", "ptr"), ("dims", "ptr"), ("strides", "ptr"), ("nd", "i64")]


def add_steps(m: Module, slots: Slots) -> None:
    """Write the functions; `recall_one` and `recall_part` are there already."""
    _in_range(m)
    _all_hold(m)
    _draw(m)
    _tracked(m, slots)
    _python(m)
    _step(m)
    _run(m)
    _together(m)
    _fit(m)
    _steps(m)


def word(record: Value, name: str, type: str = "i64") -> Value:
    """A word of a record."""
    return record.at(RECORD.index(name), "i64").load(type)


def part(record: Value, name: str) -> Value:
    """A list of a record."""
    return record.at(word(record, name), "i64")


def _answer(f: Function, number: int) -> Value:
    return f.const("i64", number).cast("inttoptr", "ptr")


def _in_range(m: Module) -> None:
    """Whether all numbers i64 of a layout lie in [low, high)."""
    params = [*LAYOUT, ("low", "i64"), ("high", "i64")]
    f = m.function("all_in_range", params, "i1", internal=True)
    data, dims, strides, nd, low, high = f.args
    with f.if_(nd.cmp("eq", 0)):
        number = data.load("i64")
        f.ret(number.cmp("sge", low) & number.cmp("slt", high))
    count, by = dims.load("i64"), strides.load("i64")
    with f.if_(nd.cmp("eq", 1)):
        good, kind = f.var("i1", True), vector("i64", LANES)
        begin = by.cmp("eq", 8).select(count // LANES * LANES, 0)
        wrong, least, span = f.var(kind, 0), low.splat(LANES), (high - low).splat(LANES)
        with f.loop(0, begin, LANES) as i:
            outside = (data.at(i, "i64").load(kind) - least).cmp("uge", span)
            wrong.set(wrong.get() | outside.cast("zext", kind))
        with f.if_(any_lane(f, wrong.get().cmp("ne", 0))):
            f.ret(False)
        with f.loop(begin, count) as i:
            number = data.at(i * by, "i8").load("i64")
            good.set(good.get() & number.cmp("sge", low) & number.cmp("slt", high))
        f.ret(good.get())
    with f.loop(0, count) as i:
        inner = data.at(i * by, "i8"), dims.at(1, "i64"), strides.at(1, "i64"), nd - 1
        with f.if_(~f.call("i1", "all_in_range", *inner, low, high)):
            f.ret(False)
    f.ret(True)


def _all_hold(m: Module) -> None:
    """Whether a truth value, or none, is there and holds."""
    f = m.function("it_holds", [("array", "ptr")], "i1", internal=True)
    f.ret(array_field(f.args[0], "data").load("i8").cmp("ne", 0))


def _draw(m: Module) -> None:
    """The state of a fresh draw of a stream, as `fresh_state` in ops/generators.py."""
    f = m.function("draw_state", [("record", "ptr")], "ptr", internal=True)
    (record,) = f.args
    words = word(record, "offset", "ptr")
    with f.if_(words.at(DRAWS - 1, "i64").load("i64").cmp("ne", 0)):
        f.ret(_answer(f, NEVER_COMMON))
    copy = tensor_env(f, "PyArray_NewCopy")
    array = f.call("ptr", copy, word(record, "entry", "ptr"), f.const("i32", 0))
    with f.if_(is_null(array)):
        f.ret(array)
    f.memcpy(array_field(array, "data"), words, 8 * (DRAWS - 1))
    count = words.at(DRAWS - 2, "i64")
    count.store(count.load("i64") + 1)
    incref(f, tensor_env(f, "None"))
    incref(f, tensor_env(f, "False"))
    f.ret(f.call("ptr", "tensor_new", array, tensor_env(f, "None"), tensor_env(f, "False")))


def _tracked(m: Module, slots: Slots) -> None:
    """Which tensors among the arguments are tracked, as bits; none while the tape is off."""
    params = [("record", "ptr"), ("args", "ptr"), ("mode", "i64")]
    f = m.function("tracked_inputs", params, "i64", internal=True)
    record, args, mode = f.args
    bits = f.var("i64", 0)
    with f.if_((mode & GRAD).cmp("eq", 0)):
        f.ret(0)
    with f.loop(0, word(record, "inputs")) as i:
        place = part(record, "inputs_at").at(i, "i64").load("i64")
        x = f.call("ptr", "recall_input", place, args, f.null())
        tracked = field(x, slots.tensor["tracked"]).cmp("ne", tensor_env(f, "False"))
        bits.set(bits.get() | tracked.cast("zext", "i64") << i)
    f.ret(bits.get())


def _python(m: Module) -> None:
    """run(op, inputs, attrs) in Python, for an operation without a kernel."""
    params = [("record", "ptr"), ("args", "ptr"), ("made", "ptr")]
    f = m.function("python_run", params, "ptr", internal=True, inline="never")
    record, args, made = f.args
    count, box = word(record, "inputs"), f.array("ptr", 3)
    inputs = f.call("ptr", "PyTuple_New", count)
    with f.if_(is_null(inputs)):
        f.ret(inputs)
    with f.loop(0, count) as i:
        x = f.call(
            "ptr", "recall_input", part(record, "inputs_at").at(i, "i64").load("i64"), args, made
        )
        incref(f, x)
        inputs.at(native.ITEMS, "i8").at(i, "ptr").store(x)
    box.store(word(record, "info", "ptr").at(INFO.index("op"), "i64").load("ptr"))
    box.at(1, "ptr").store(inputs)
    box.at(2, "ptr").store(word(record, "attrs", "ptr"))
    result = f.call("ptr", "PyObject_Vectorcall", tensor_env(f, "run"), box, 3, f.null())
    decref(f, inputs)
    f.ret(result)


def _together(m: Module) -> None:
    """What some steps made, in a tuple, or in an object of a class that takes them."""
    f = m.function("put_together", [("record", "ptr"), ("made", "ptr")], "ptr", internal=True)
    record, made = f.args
    count, cls = word(record, "nd"), word(record, "entry", "ptr")
    items = f.array("ptr", MOST_STEPS)
    with f.loop(0, count) as i:
        step = part(record, "dims_at").at(i, "i64").load("i64")
        items.at(i, "ptr").store(argument(made, step))
    with f.if_(cls.cmp("ne", tensor_env(f, "tuple"))):
        f.ret(f.call("ptr", "PyObject_Vectorcall", cls, items, count, f.null()))
    several = f.call("ptr", "PyTuple_New", count)
    with f.if_(not_null(several)), f.loop(0, count) as i:
        one = argument(items, i)
        incref(f, one)
        several.at(native.ITEMS, "i8").at(i, "ptr").store(one)
    f.ret(several)


def _step(m: Module) -> None:
    """What one step gives: a new reference, "ask Python", or null with an error set."""
    params = [("record", "ptr"), ("args", "ptr"), ("made", "ptr"), ("mode", "i64")]
    f = m.function("recall_step", params, "ptr", internal=True)
    record, args, made, given = f.args
    kind = word(record, "kind")
    mode = word(record, "untaped").cmp("ne", 0).select(given & ~GRAD, given)
    with f.if_(kind.cmp("eq", DRAW)):
        f.ret(f.call("ptr", "draw_state", record))
    with f.if_(kind.cmp("eq", PART)):
        f.ret(f.call("ptr", "recall_part", record, args, made, mode))
    with f.if_(kind.cmp("eq", SEVERAL)):
        x = f.call("ptr", "recall_input", part(record, "inputs_at").load("i64"), args, made)
        f.ret(f.call("ptr", "recall_views", record, x, mode))
    with f.if_(kind.cmp("eq", ITEM)):
        several = f.call("ptr", "recall_input", part(record, "inputs_at").load("i64"), args, made)
        one = argument(several.at(native.ITEMS, "i8"), word(record, "result"))
        incref(f, one)
        f.ret(one)
    with f.if_(kind.cmp("eq", RUN)):
        f.ret(f.call("ptr", "python_run", record, args, made))
    with f.if_(kind.cmp("ult", DRAW)):
        f.ret(f.call("ptr", "recall_one", record, args, made, mode))
    x = f.call("ptr", "recall_input", part(record, "inputs_at").load("i64"), args, made)
    array = f.call("ptr", "array_of", x)
    with f.if_(is_null(array)):
        f.ret(_answer(f, NOT_COMMON))
    good = f.var("i1", False)
    with f.if_(kind.cmp("eq", RANGE)) as branch:
        layout = [array_field(array, name) for name in ("data", "dims", "strides")]
        nd = array_field(array, "nd").cast("zext", "i64")
        bounds = word(record, "low"), word(record, "high")
        good.set(f.call("i1", "all_in_range", *layout, nd, *bounds))
        branch.otherwise()
        good.set(kind.cmp("eq", HOLDS) & f.call("i1", "it_holds", array))
    with f.if_(~good.get()):
        f.ret(_answer(f, NEVER_COMMON))
    incref(f, x)
    f.ret(x)


def _run(m: Module) -> None:
    """All steps, one after the other, into `made`: how many were done, and the last answer."""
    params = [("record", "ptr"), ("args", "ptr"), ("made", "ptr"), ("mode", "i64")]
    f = m.function("run_steps", params, "i64", internal=True)
    record, args, made, mode = f.args
    done = f.var("i64", 0)
    with f.loop(0, word(record, "size")) as i:
        step = argument(part(record, "parts_at"), i)
        one = f.call("ptr", "recall_step", step, args, made, mode)
        made.at(i, "ptr").store(one)
        f.break_if(one.cmp("ule", _answer(f, NEVER_COMMON)))
        done.set(i + 1)
    f.ret(done.get())


def _fit(m: Module) -> None:
    """Whether steps are those of a call with these tensors on the tape, and this default dtype."""
    params = [("record", "ptr"), ("args", "ptr"), ("mode", "i64")]
    f = m.function("steps_fit", params, "i1", internal=True)
    record, args, mode = f.args
    default = argument(field(tensor_env(f, "default dtype"), native.LIST_ITEMS), 0)
    bits = f.call("i64", "tracked_inputs", record, args, mode)
    same = default.cmp("eq", word(record, "default", "ptr"))
    f.ret(same & bits.cmp("eq", word(record, "taped")))


def _steps(m: Module) -> None:
    params = [("record", "ptr"), ("args", "ptr"), ("mode", "i64")]
    f = m.function("recall_steps", params, "ptr", internal=True)
    record, args, mode = f.args
    hold, count = word(record, "attrs", "ptr"), word(record, "size")  # the records of all steps
    incref(f, hold)
    made, result = f.array("ptr", MOST_STEPS), f.var("ptr", f.null())
    done = f.call("i64", "run_steps", record, args, made, mode)
    with f.if_(done.cmp("eq", count)) as branch:
        given = word(record, "given")
        with f.if_(given.cmp("eq", TOGETHER)) as several:
            result.set(f.call("ptr", "put_together", record, made))
            several.otherwise()
            result.set(argument(made, word(record, "result")))
            with f.if_(given.cmp("eq", MADE_IN_PLACE)):
                result.set(argument(args, 0))
            with f.if_(given.cmp("eq", NOTHING)):
                result.set(tensor_env(f, "None"))
            incref(f, result.get())
        branch.otherwise()
        result.set(argument(made, done))
        with f.loop(0, done) as i:
            step = argument(part(record, "parts_at"), i)
            with f.if_(word(step, "kind").cmp("eq", DRAW)):
                drawn = word(step, "offset", "ptr").at(DRAWS - 2, "i64")
                drawn.store(drawn.load("i64") - 1)
    with f.loop(0, done) as i:
        decref(f, argument(made, i))
    decref(f, hold)
    f.ret(result.get())
