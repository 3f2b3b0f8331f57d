"""Entries in Loops: from arrays to the plan that fits them, and its run. Floor 3.

    entry_call(self, args, count)   the METH_FASTCALL function of every entry
    entry_into(self, args, count)   into(entry, out, *arrays): the same, into memory that is there

The words of plans are told in runtime/entries.py. A plan with a signature fits arrays of exactly
these descriptors (by identity), sizes and strides, aligned; a pattern fits C-contiguous arrays of
one shape. The plan that was used last stands first. Where none fits, the entry's `miss` is
called.

Everything a run needs is copied out of the plan before the GIL may be given up, since another
Python thread may throw the plan away meanwhile.
"""

from __future__ import annotations

from twofold.base.records import NamedTuple
from twofold.codegen.native.objects import (
    array_field,
    decref,
    env,
    field,
    incref,
    is_null,
    not_null,
    type_of,
)
from twofold.codegen.native.pool import threads
from twofold.ir.build import Function, Module
from twofold.ir.values import Value, Var
from twofold.runtime import native
from twofold.runtime.entries import (
    FIRST_PLAN,
    MOST_NUMBERS,
    MOST_RESULTS,
    NUMBERS,
    OUT_NUMBER,
    PATCH_WORDS,
    PATTERN_OUT_WORDS,
    SINGLE,
    SLOTS,
    STEP_WORDS,
    WORD,
)
from twofold.runtime.program import BASES, COUNT, SCRATCH

STACK_WORDS = 160  # a run with more words takes them from the allocator
READY = native.C_CONTIGUOUS | native.ALIGNED
WRITABLE = READY | native.WRITEABLE


def add_entry(m: Module) -> None:
    """Write the entries' functions into a module that has pool, allocator and objects."""
    _number(m)
    _pattern_fits(m)
    _plan_fits(m)
    _match(m)
    _patch(m)
    _chunks(m)
    _run_steps(m)
    m.data("entry_given", "ptr", 1)
    _given_fits(m)
    _make_outputs(m)
    _copy_inputs(m)
    _run(m)
    _results(m)
    _miss(m)
    _call(m)
    _run_into(m)
    _into(m)


def plan_word(plan: Value, name: str) -> Value:
    return plan.at(WORD[name], "i64").load("i64")


def plan_part(plan: Value, name: str) -> Value:
    """Where a part of the plan begins."""
    return plan.at(plan_word(plan, name), "i64")


def argument(args: Value, index: Value | int) -> Value:
    return args.at(index, "ptr").load("ptr")


# ---- does a plan fit?


def _number(m: Module) -> None:
    """Convert a Python number to the type of a pattern's input; false if it cannot be."""
    params = [("thing", "ptr"), ("kind", "i64"), ("place", "ptr")]
    f = m.function("number_fits", params, "i1", internal=True)
    thing, kind, place = f.args
    value = f.var("f64", 0.0)
    whole = f.var("i64", 0)
    with f.if_(type_of(thing).cmp("eq", env(f, "float"))) as branch:
        with f.if_(kind.cmp("eq", NUMBERS["i8"])):
            f.ret(False)
        value.set(field(thing, native.FLOAT, "f64"))
        branch.otherwise()
        with f.if_(type_of(thing).cmp("ne", env(f, "int"))):
            f.ret(False)
        whole.set(f.call("i64", "PyLong_AsLongLong", thing))
        with f.if_(whole.get().cmp("eq", -1) & not_null(f.call("ptr", "PyErr_Occurred"))):
            f.call("void", "PyErr_Clear")
            f.ret(False)
        value.set(whole.get().cast("sitofp", "f64"))
    stores = {
        NUMBERS["f4"]: lambda: place.store(value.get().cast("fptrunc", "f32")),
        NUMBERS["f8"]: lambda: place.store(value.get()),
        NUMBERS["i8"]: lambda: place.store(whole.get()),
    }
    f.switch(kind, stores)
    f.ret(True)


def _pattern_fits(m: Module) -> None:
    """Whether the arguments are what a pattern takes. Its numbers are converted into `numbers`."""
    params = [("plan", "ptr"), ("args", "ptr"), ("count", "i64"), ("numbers", "ptr")]
    f = m.function("pattern_fits", params, "i1", internal=True)
    plan, args, count, numbers = f.args
    wanted = plan_part(plan, "in_at")
    first = f.var("ptr", f.null())
    with f.loop(0, count) as i:
        thing = argument(args, i)
        descr = wanted.at(i * 2, "ptr").load("ptr")
        with f.if_(is_null(descr)) as branch:
            kind = wanted.at(i * 2 + 1, "i64").load("i64")
            fits = f.call("i1", "number_fits", thing, kind, numbers.at(i, "i64"))
            _leave_unless(f, fits)
            branch.otherwise()
            _leave_unless(f, type_of(thing).cmp("eq", env(f, "ndarray")))
            _leave_unless(f, array_field(thing, "descr").cmp("eq", descr))
            _leave_unless(f, (array_field(thing, "flags") & READY).cmp("eq", READY))
            with f.if_(wanted.at(i * 2 + 1, "i64").load("i64").cmp("eq", SINGLE)):
                _leave_unless(f, array_field(thing, "nd").cmp("eq", 0))
                f.continue_if(True)
            with f.if_(is_null(first.get())) as one:
                first.set(thing)
                one.otherwise()
                _leave_unless(f, _same_shape(f, thing, first.get()))
    f.ret(not_null(first.get()))


def _leave_unless(f: Function, holds: Value) -> None:
    with f.if_(~holds):
        f.ret(False)


def _same_shape(f: Function, a: Value, b: Value) -> Value:
    _leave_unless(f, array_field(a, "nd").cmp("eq", array_field(b, "nd")))
    nd = array_field(a, "nd").cast("zext", "i64")
    return _same_words(f, array_field(a, "dims"), array_field(b, "dims"), nd)


def _same_words(f: Function, a: Value, b: Value, count: Value) -> Value:
    difference = f.var("i64", 0)
    with f.loop(0, count) as i:
        x, y = a.at(i, "i64").load("i64"), b.at(i, "i64").load("i64")
        difference.set(difference.get() | (x ^ y))
    return difference.get().cmp("eq", 0)


def _plan_fits(m: Module) -> None:
    """Whether the arguments have the layouts of a plan with a signature."""
    params = [("plan", "ptr"), ("args", "ptr"), ("count", "i64")]
    f = m.function("plan_fits", params, "i1", internal=True)
    plan, args, count = f.args
    wanted = f.var("ptr", plan_part(plan, "in_at"))
    with f.loop(0, count) as i:
        array, layout = argument(args, i), wanted.get()
        _leave_unless(f, type_of(array).cmp("eq", env(f, "ndarray")))
        _leave_unless(f, array_field(array, "descr").cmp("eq", layout.load("ptr")))
        nd = layout.at(1, "i64").load("i64")
        _leave_unless(f, array_field(array, "nd").cast("zext", "i64").cmp("eq", nd))
        _leave_unless(f, (array_field(array, "flags") & native.ALIGNED).cmp("ne", 0))
        sizes = layout.at(2, "i64")
        strides = sizes.at(nd, "i64")
        _leave_unless(f, _same_words(f, array_field(array, "dims"), sizes, nd))
        _leave_unless(f, _same_words(f, array_field(array, "strides"), strides, nd))
        wanted.set(strides.at(nd, "i64"))
    f.ret(True)


def _match(m: Module) -> None:
    """The entry's plan that fits the arguments, moved to the front; null if there is none."""
    params = [("plans", "ptr"), ("args", "ptr"), ("count", "i64"), ("numbers", "ptr")]
    f = m.function("entry_match", params, "ptr")
    entry, args, count, numbers = f.args
    fits = f.var("i1", False)
    with f.loop(0, entry.load("i64")) as i:
        plan = argument(entry, i + FIRST_PLAN)
        f.continue_if(plan_word(plan, "inputs").cmp("ne", count))
        f.continue_if(plan_word(plan, "threads").cmp("ne", threads(f)))
        with f.if_(plan_word(plan, "pattern").cmp("ne", 0)) as branch:
            fits.set(f.call("i1", "pattern_fits", plan, args, count, numbers))
            branch.otherwise()
            fits.set(f.call("i1", "plan_fits", plan, args, count))
        with f.if_(fits.get()):
            with f.if_(i.cmp("ne", 0)):
                f.memmove(entry.at(FIRST_PLAN + 1, "i64"), entry.at(FIRST_PLAN, "i64"), i * 8)
                entry.at(FIRST_PLAN, "i64").store(plan)
            f.ret(plan)
    f.ret(f.null())


# ---- running a plan


class Run(NamedTuple):
    """What is known while a plan runs."""

    plan: Value
    args: Value
    bases: Value
    elements: Value
    outs: Value
    copies: Value


RUN_PARAMS = [(name, "i64" if name == "elements" else "ptr") for name in Run._fields]


def _run_function(m: Module, name: str, result: str = "void") -> tuple[Function, Run]:
    f = m.function(name, RUN_PARAMS, result, internal=True)
    return f, Run(*f.args)


def _given_fits(m: Module) -> None:
    """The array that `entry_into` was given, if it may be this output; it is asked for once."""
    params = [("descr", "ptr"), ("nd", "i64"), ("dims", "ptr")]
    f = m.function("given_output", params, "ptr", internal=True)
    descr, nd, dims = f.args
    place = f.address("entry_given")
    array = place.load("ptr")
    place.store(f.null())

    def leave_unless(holds: Value) -> None:
        with f.if_(~holds):
            f.ret(f.null())

    leave_unless(not_null(array))
    leave_unless(array_field(array, "descr").cmp("eq", descr))
    leave_unless((array_field(array, "flags") & WRITABLE).cmp("eq", WRITABLE))
    leave_unless(array_field(array, "nd").cast("zext", "i64").cmp("eq", nd))
    leave_unless(_same_words(f, array_field(array, "dims"), dims, nd))
    incref(f, array)
    f.ret(array)


def _make_outputs(m: Module) -> None:
    """Make the output arrays and put their addresses among the bases; false if memory is short.

    A pattern's outputs have the shape of its first array.
    """
    f, run = _run_function(m, "plan_outputs", "i1")
    inputs = plan_word(run.plan, "inputs")
    pattern = plan_word(run.plan, "pattern").cmp("ne", 0)
    wanted = f.var("ptr", plan_part(run.plan, "out_at"))
    with f.loop(0, plan_word(run.plan, "outputs")) as i:
        descr = wanted.get().load("ptr")
        number = wanted.get().at(OUT_NUMBER, "i64").load("i64")  # rank, or bytes of an element
        made = f.var("ptr")
        with f.if_(pattern) as branch:
            model = _first_array(f, run)
            nd, dims = array_field(model, "nd").cast("zext", "i64"), array_field(model, "dims")
            made.set(f.call("ptr", "given_output", descr, nd, dims))
            with f.if_(is_null(made.get())):
                made.set(f.call("ptr", "array_new", descr, nd, dims, run.elements * number))
            wanted.set(wanted.get().at(PATTERN_OUT_WORDS, "i64"))
            branch.otherwise()
            size, dims = wanted.get().at(4, "i64").load("i64"), wanted.get().at(5, "i64")
            made.set(f.call("ptr", "given_output", descr, number, dims))
            with f.if_(is_null(made.get())):
                made.set(f.call("ptr", "array_new", descr, number, dims, size))
            wanted.set(dims.at(number, "i64"))
        with f.if_(is_null(made.get())):
            f.ret(False)
        run.outs.at(i, "ptr").store(made.get())
        run.bases.at(inputs + (BASES + i), "ptr").store(array_field(made.get(), "data"))
    f.ret(True)


def _first_array(f: Function, run: Run) -> Value:
    """The first argument of a pattern that is neither a number nor one element for all."""
    wanted = plan_part(run.plan, "in_at")
    index = f.var("i64", 0)
    with f.while_():
        f.break_if(wanted.at(index.get() * 2 + 1, "i64").load("i64").cmp("eq", 0))
        index.set(index.get() + 1)
    return argument(run.args, index.get())


def _copy_inputs(m: Module) -> None:
    """Copy the inputs that the plan wants in C order; false if memory is short."""
    f, run = _run_function(m, "plan_copies", "i1")
    indices = plan_part(run.plan, "copy_at")
    with f.loop(0, plan_word(run.plan, "copies")) as i:
        index = indices.at(i, "i64").load("i64")
        new_copy = env(f, "PyArray_NewCopy")
        copy = f.call("ptr", new_copy, argument(run.args, index), f.const("i32", 0))
        with f.if_(is_null(copy)):
            f.ret(False)
        run.copies.at(i, "ptr").store(copy)
        run.bases.at(index + BASES, "ptr").store(array_field(copy, "data"))
    f.ret(True)


def _patch(m: Module) -> None:
    """Copy the plan's program to `program` and put the bases into it."""
    params = [("plan", "ptr"), ("program", "ptr"), ("bases", "ptr")]
    f = m.function("plan_patch", params, internal=True)
    plan, program, bases = f.args
    source = plan_part(plan, "program_at")
    with f.loop(0, plan_word(plan, "words")) as i:
        program.at(i, "i64").store(source.at(i, "i64").load("i64"))
    patch = plan_part(plan, "patch_at")
    with f.loop(0, plan_word(plan, "patches")) as i:
        place, base, offset = (
            patch.at(i * PATCH_WORDS + k, "i64").load("i64") for k in range(PATCH_WORDS)
        )
        program.at(place, "i64").store(bases.at(base, "i64").load("i64") + offset)


def _chunks(m: Module) -> None:
    """Into how many chunks a pattern splits `count` elements: program.chunks_for in Loops."""
    f = m.function("chunks_for", [("count", "i64"), ("small", "i64")], "i64", internal=True)
    count, small = f.args
    with f.if_(threads(f).cmp("sle", 1) | count.cmp("slt", small)):
        f.ret(1)
    f.ret(f.min(threads(f) * 4, count * 2 // f.max(small, 1)))


def _run_steps(m: Module) -> None:
    """Run the steps of a patched program."""
    params = [("program", "ptr"), ("steps", "i64"), ("count", "i64"), ("small", "i64")]
    f = m.function("program_run", params, internal=True)
    program, steps, count, small = f.args
    with f.loop(0, steps) as i:
        step = program.at(i * STEP_WORDS, "i64")
        task, job = step.load("ptr"), program.at(step.at(1, "i64").load("i64"), "i64")
        chunks = f.var("i64", step.at(2, "i64").load("i64"))
        with f.if_(chunks.get().cmp("eq", 0)):
            chunks.set(f.call("i64", "chunks_for", count, small))
        with f.if_(chunks.get().cmp("slt", 0)):  # bytes that end the plan where they are set
            stopped = f.var("i8", 0)
            with f.loop(0, -chunks.get()) as k:
                stopped.set(stopped.get() | job.at(k, "ptr").load("ptr").load("i8"))
            with f.if_(stopped.get().cmp("ne", 0)):
                f.ret()
            f.continue_if(True)
        with f.if_(chunks.get().cmp("eq", 1)) as branch:
            f.call("void", task, job, 0, 1)
            branch.otherwise()
            f.call("void", "pool_run", task, job, chunks.get())


def _run(m: Module) -> None:
    """Run a plan on arguments that fit it: the outputs go to `outs`; false with an error set."""
    params = [("plan", "ptr"), ("args", "ptr"), ("numbers", "ptr"), ("outs", "ptr")]
    f = m.function("plan_run", params, "i1")
    plan, args, numbers, outs = f.args
    inputs, outputs = plan_word(plan, "inputs"), plan_word(plan, "outputs")
    words, copies = plan_word(plan, "words"), plan_word(plan, "copies")
    with f.loop(0, outputs) as i:
        outs.at(i, "ptr").store(f.null())

    # One block for the scratch memory and, where the stack is too small, for the words.
    needed = words + (inputs + outputs + copies + BASES)
    scratch, large = plan_word(plan, "scratch"), needed.cmp("sgt", STACK_WORDS)
    more = large.select(needed << 3, 0)
    memory = f.var("ptr", f.null())
    with f.if_((scratch + more).cmp("ne", 0)):
        memory.set(f.call("ptr", "block_scratch", scratch + more))
        with f.if_(is_null(memory.get())):
            f.call("ptr", "PyErr_NoMemory")
            f.ret(False)
    program = large.select(memory.get().at(scratch, "i8"), f.array("i64", STACK_WORDS))
    bases = program.at(words, "i64")
    made = bases.at(inputs + outputs + BASES, "i64")
    with f.loop(0, copies) as i:
        made.at(i, "ptr").store(f.null())

    count = f.var("i64", 0)
    with f.if_(plan_word(plan, "pattern").cmp("ne", 0)), f.loop(0, inputs) as i:
        bases.at(i + BASES, "ptr").store(numbers.at(i, "i64"))
    _input_bases(f, plan, args, bases, count)
    bases.at(SCRATCH, "ptr").store(memory.get())
    bases.at(COUNT, "i64").store(count.get())

    given = (plan, args, bases, count.get(), outs, made)
    ready = f.var("i1", f.call("i1", "plan_copies", *given))
    with f.if_(ready.get()):
        ready.set(f.call("i1", "plan_outputs", *given))
    with f.if_(ready.get()):
        f.call("void", "plan_patch", plan, program, bases)
        steps, small = plan_word(plan, "steps"), plan_word(plan, "small")
        _run_maybe_without_gil(f, plan, args, program, steps, count.get(), small)
        with f.if_(plan_word(plan, "release").cmp("eq", 0)):  # signals may have been looked for
            ready.set(is_null(f.call("ptr", "PyErr_Occurred")))
    _clean(f, copies, made, memory.get(), ready.get(), outputs, outs)
    f.ret(ready.get())


def _input_bases(f: Function, plan: Value, args: Value, bases: Value, count: Var) -> None:
    """The addresses of the input arrays; in a pattern, also the number of elements."""
    pattern = plan_word(plan, "pattern").cmp("ne", 0)
    wanted = plan_part(plan, "in_at")
    with f.loop(0, plan_word(plan, "inputs")) as i:
        array = argument(args, i)
        with f.if_(pattern):
            f.continue_if(is_null(wanted.at(i * 2, "ptr").load("ptr")))
            with f.if_(wanted.at(i * 2 + 1, "i64").load("i64").cmp("eq", 0)):
                count.set(_elements(f, array))
        bases.at(i + BASES, "ptr").store(array_field(array, "data"))


def _elements(f: Function, array: Value) -> Value:
    total = f.var("i64", 1)
    dims = array_field(array, "dims")
    with f.loop(0, array_field(array, "nd").cast("zext", "i64")) as i:
        total.set(total.get() * dims.at(i, "i64").load("i64"))
    return total.get()


def _run_maybe_without_gil(
    f: Function,
    plan: Value,
    args: Value,
    program: Value,
    steps: Value,
    count: Value,
    small: Value,
) -> None:
    with f.if_(count.cmp("slt", plan_word(plan, "release"))) as branch:
        f.call("void", "program_run", program, steps, count, small)
        branch.otherwise()
        keep = plan_word(plan, "keep").cast("inttoptr", "ptr")
        inputs = plan_word(plan, "inputs")
        # Meanwhile another thread may drop the plan, or what holds the arrays.
        incref(f, keep)
        with f.loop(0, inputs) as i:
            incref(f, argument(args, i))
        thread = f.call("ptr", "PyEval_SaveThread")
        f.call("void", "program_run", program, steps, count, small)
        f.call("void", "PyEval_RestoreThread", thread)
        with f.loop(0, inputs) as i:
            decref(f, argument(args, i))
        decref(f, keep)


def _clean(
    f: Function,
    copies: Value,
    made: Value,
    memory: Value,
    ready: Value,
    outputs: Value,
    outs: Value,
) -> None:
    """Drop the copies, the scratch memory, and after a failure the outputs."""
    with f.loop(0, copies) as i:
        decref(f, argument(made, i))
    with f.if_(not_null(memory)):
        f.call("void", "block_free", memory)
    with f.if_(~ready), f.loop(0, outputs) as i:
        decref(f, argument(outs, i))


# ---- the entry


def _results(m: Module) -> None:
    """What a call gives back: None, the array, or a tuple of arrays. Takes the references."""
    f = m.function("plan_results", [("outs", "ptr"), ("count", "i64")], "ptr", internal=True)
    outs, count = f.args
    with f.if_(count.cmp("eq", 1)):
        f.ret(outs.load("ptr"))
    with f.if_(count.cmp("eq", 0)):
        incref(f, env(f, "None"))
        f.ret(env(f, "None"))
    result = f.call("ptr", "PyTuple_New", count)
    with f.if_(is_null(result)):
        with f.loop(0, count) as i:
            decref(f, argument(outs, i))
        f.ret(result)
    with f.loop(0, count) as i:
        result.at(native.ITEMS, "i8").at(i, "ptr").store(argument(outs, i))
    f.ret(result)


def _miss(m: Module) -> None:
    """miss(entry, *args): the Python function that plans."""
    params = [("self", "ptr"), ("args", "ptr"), ("count", "i64")]
    f = m.function("entry_miss", params, "ptr", internal=True, inline="never")
    self_, args, count = f.args
    miss = field(self_, SLOTS["miss"])
    with f.if_(is_null(miss)):  # the collector has cleared the entry
        f.call("void", "PyErr_BadInternalCall")
        f.ret(f.null())
    given = f.call("ptr", "block_alloc", (count + 1) << 3)
    with f.if_(is_null(given)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    given.store(self_)
    f.memcpy(given.at(1, "ptr"), args, count << 3)
    incref(f, miss)
    result = f.call("ptr", "PyObject_Vectorcall", miss, given, count + 1, f.null())
    decref(f, miss)
    f.call("void", "block_free", given)
    f.ret(result)


def entry_block(entry: Value) -> Value:
    """The words of an entry, from the NativeEntry that holds their capsule."""
    return field(field(entry, SLOTS["block"]), native.CAPSULE)


def _call(m: Module) -> None:
    params = [("self", "ptr"), ("args", "ptr"), ("count", "i64")]
    f = m.function("entry_call", params, "ptr")
    self_, args, count = f.args
    numbers, outs = f.array("i64", MOST_NUMBERS), f.array("ptr", MOST_RESULTS)
    plan = f.var("ptr", f.null())
    with f.if_(not_null(field(self_, SLOTS["block"]))):
        plan.set(f.call("ptr", "entry_match", entry_block(self_), args, count, numbers))
    with f.if_(is_null(plan.get())):
        f.ret(f.call("ptr", "entry_miss", self_, args, count))
    outputs = plan_word(plan.get(), "outputs")
    done = f.call("i1", "plan_run", plan.get(), args, numbers, outs)
    with f.if_(~done):
        f.ret(f.null())
    f.ret(f.call("ptr", "plan_results", outs, outputs))


def _into(m: Module) -> None:
    """into(entry, out, *arrays): the array that the plan wrote, `out` if that could be its output;
    None where no plan fits.
    """
    params = [("self", "ptr"), ("args", "ptr"), ("count", "i64")]
    f = m.function("entry_into", params, "ptr")
    _, args, count = f.args
    numbers = f.array("i64", MOST_NUMBERS)
    bound = field(argument(args, 0), native.BUILTIN["bound"])
    plan = f.var("ptr", f.null())
    arrays = args.at(2, "ptr")
    with f.if_(not_null(field(bound, SLOTS["block"]))):
        plan.set(f.call("ptr", "entry_match", entry_block(bound), arrays, count - 2, numbers))
    fits = f.var("i1", False)
    with f.if_(not_null(plan.get())):
        fits.set(plan_word(plan.get(), "outputs").cmp("eq", 1))
    with f.if_(~fits.get()):
        incref(f, env(f, "None"))
        f.ret(env(f, "None"))
    f.ret(f.call("ptr", "plan_run_into", plan.get(), arrays, numbers, argument(args, 1)))


def _run_into(m: Module) -> None:
    """Run a plan of one output into an array: that, a new one where it does not fit, or null."""
    params = [("plan", "ptr"), ("args", "ptr"), ("numbers", "ptr"), ("out", "ptr")]
    f = m.function("plan_run_into", params, "ptr")
    plan, args, numbers, out = f.args
    outs = f.array("ptr", 1)
    f.address("entry_given").store(out)
    done = f.call("i1", "plan_run", plan, args, numbers, outs)
    f.address("entry_given").store(f.null())
    f.ret(done.select(outs.load("ptr"), f.null()))
