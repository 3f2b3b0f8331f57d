"""Calls of compiled functions without Python, in Loops. Floor 3.

    compiled_call(self, args, count, names)   the class's `__call__`

A compiled function keeps a *front* in a slot: bytes, whose words (FRONT) say for which calls its
last program answers, and where that finds its inputs. If the arguments are plain tensors without a
history, all different, the modes are those of the program, and its entry knows their layouts, then
the plan runs and the results become tensors here. Everything else goes to the Python function with
the same arguments; frontends/front.py writes the words.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument, entry_block, plan_word
from twofold.codegen.native.objects import decref, field, incref, is_null, not_null, type_of
from twofold.codegen.native.tensor_env import NOT_COMMON, Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native
from twofold.runtime.entries import MOST_NUMBERS, SLOTS

MOST_INPUTS = 64  # of a program, arguments and tensors that the function found
MOST_OUTPUTS = 16

# grad       the tape's mode; `cell` is the list that holds the default element type, `default`
# eager      the object that the flag at `eager_at` must be
# single     whether the one result is given back as it is, and not in a tuple
# errors     the list of what Python steps raised; `faults` the word that kernels write to
# inputs     for each input the number of an argument, or the address of a tensor or array
# modules    dict, key and the value that it must have
FRONT = (
    *("entry", "args", "grad", "cell", "default", "eager_at", "eager", "outputs", "single"),
    *("errors", "faults", "inputs", "modules", "inputs_at", "modules_at"),
)
MODULE_WORDS = 3
# What the code is told when it is loaded: where the slot is, the Python function, and the function
# that raises what a run left to be told.
COMPILED = ("slot", "python", "tell")


def add_front(m: Module, slots: Slots, interpreted: int, grad: int) -> None:
    """Write the functions into the module of the Tensor tier, whose bits of a mode these are."""
    m.data("compiled_words", "ptr", len(COMPILED))
    _modules_fit(m)
    _may_answer(m, interpreted, grad)
    _inputs(m, slots)
    _results(m)
    _tell(m)
    _front_call(m)
    _compiled_call(m)


def word(front: Value, name: str, type: str = "i64") -> Value:
    return front.at(FRONT.index(name), "i64").load(type)


def _told(f: Function, name: str, type: str = "ptr") -> Value:
    return f.address("compiled_words").at(COMPILED.index(name), "ptr").load(type)


def _unless(f: Function, holds: Value) -> None:
    with f.if_(~holds):
        f.ret(False)


def _modules_fit(m: Module) -> None:
    """Whether each module is in training as it was."""
    f = m.function("front_modules_fit", [("front", "ptr")], "i1", internal=True)
    (front,) = f.args
    rows = front.at(word(front, "modules_at"), "i64")
    with f.loop(0, word(front, "modules")) as i:
        row = rows.at(i * MODULE_WORDS, "i64")
        found = f.call("ptr", "PyDict_GetItemWithError", row.load("ptr"), argument(row, 1))
        with f.if_(is_null(found)):
            f.call("void", "PyErr_Clear")
        _unless(f, found.cmp("eq", argument(row, 2)))
    f.ret(True)


def _may_answer(m: Module, interpreted: int, grad: int) -> None:
    """Whether what is in force is what the program was made for."""
    f = m.function("front_may_answer", [("front", "ptr"), ("count", "i64")], "i1", internal=True)
    front, count = f.args
    _unless(f, word(front, "args").cmp("eq", count))
    mode = f.call("i64", "thread_mode")
    _unless(f, (mode & interpreted).cmp("eq", 0))
    _unless(f, (mode & grad).cmp("eq", word(front, "grad")))
    items = field(word(front, "cell", "ptr"), native.LIST_ITEMS)
    _unless(f, items.load("ptr").cmp("eq", word(front, "default", "ptr")))
    eager = word(front, "eager_at", "ptr").load("ptr")
    _unless(f, eager.cmp("eq", word(front, "eager", "ptr")))
    f.ret(f.call("i1", "front_modules_fit", front))


def _inputs(m: Module, slots: Slots) -> None:
    """The arrays of the inputs; false where one is not plain."""
    params = [("front", "ptr"), ("args", "ptr"), ("arrays", "ptr")]
    f = m.function("front_inputs", params, "i1", internal=True)
    front, args, arrays = f.args
    words, count = front.at(word(front, "inputs_at"), "i64"), word(front, "args")
    with f.loop(0, word(front, "inputs")) as i:
        place = words.at(i, "i64").load("i64")
        x = f.var("ptr", place.cast("inttoptr", "ptr"))
        with f.if_(place.cmp("ult", MOST_INPUTS)):
            x.set(argument(args, place))
        with f.if_(type_of(x.get()).cmp("eq", tensor_env(f, "ndarray"))) as branch:
            _unless(f, place.cmp("uge", MOST_INPUTS))
            arrays.at(i, "ptr").store(x.get())
            branch.otherwise()
            array = f.call("ptr", "array_of", x.get())
            _unless(f, not_null(array))
            arrays.at(i, "ptr").store(array)
    with f.loop(0, count) as i:
        given = argument(args, i)
        tracked = field(given, slots.tensor["tracked"])
        _unless(f, tracked.cmp("eq", tensor_env(f, "False")))
        with f.loop(0, i) as j:
            _unless(f, argument(args, j).cmp("ne", given))
    f.ret(True)


def _results(m: Module) -> None:
    """The arrays as a tensor, or as a tuple of tensors. Takes the references; null on failure."""
    params = [("outs", "ptr"), ("count", "i64"), ("single", "i64")]
    f = m.function("front_results", params, "ptr", internal=True)
    outs, count, single = f.args
    none, untracked = tensor_env(f, "None"), tensor_env(f, "False")
    with f.if_(single.cmp("ne", 0)):
        incref(f, none)
        incref(f, untracked)
        f.ret(f.call("ptr", "tensor_new", outs.load("ptr"), none, untracked))
    result = f.var("ptr", f.call("ptr", "PyTuple_New", count))
    with f.loop(0, count) as i:
        array = argument(outs, i)
        with f.if_(is_null(result.get())) as branch:
            decref(f, array)
            branch.otherwise()
            incref(f, none)
            incref(f, untracked)
            made = f.call("ptr", "tensor_new", array, none, untracked)
            result.get().at(native.ITEMS, "i8").at(i, "ptr").store(made)
            with f.if_(is_null(made)):
                decref(f, result.get())
                result.set(f.null())
    f.ret(result.get())


def _tell(m: Module) -> None:
    """Raise what the run left to be told: false, with the error set."""
    params = [("front", "ptr"), ("errors", "ptr")]
    f = m.function("front_tell", params, "i1", internal=True)
    front, errors = f.args
    fault = word(front, "faults", "ptr").load("i64")
    with f.if_(field(errors, native.LIST_SIZE, "i64").cmp("eq", 0) & fault.cmp("eq", 0)):
        f.ret(True)
    box = f.array("ptr", 1)
    box.store(errors)
    told = f.call("ptr", "PyObject_Vectorcall", _told(f, "tell"), box, 1, f.null())
    with f.if_(is_null(told)):
        f.ret(False)
    decref(f, told)
    f.ret(True)


def _front_call(m: Module) -> None:
    """The result of a call that the front answers, "ask Python", or null: an error."""
    params = [("front", "ptr"), ("args", "ptr"), ("count", "i64")]
    f = m.function("front_call", params, "ptr", internal=True)
    front, args, count = f.args
    unknown = f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")
    arrays, outs = f.array("ptr", MOST_INPUTS), f.array("ptr", MOST_OUTPUTS)
    numbers = f.array("i64", MOST_NUMBERS)
    with f.if_(~f.call("i1", "front_may_answer", front, count)):
        f.ret(unknown)
    with f.if_(~f.call("i1", "front_inputs", front, args, arrays)):
        f.ret(unknown)
    entry = word(front, "entry", "ptr")
    with f.if_(is_null(field(entry, SLOTS["block"]))):
        f.ret(unknown)
    inputs, outputs = word(front, "inputs"), word(front, "outputs")
    plan = f.call("ptr", "entry_match", entry_block(entry), arrays, inputs, numbers)
    with f.if_(is_null(plan)):
        f.ret(unknown)
    with f.if_(plan_word(plan, "outputs").cmp("ne", outputs)):
        f.ret(unknown)
    # Another thread may drop the program while the plan runs.
    errors, single = word(front, "errors", "ptr"), word(front, "single")
    incref(f, errors)
    result = f.var("ptr", f.null())
    done = f.call("i1", "plan_run", plan, arrays, numbers, outs)
    with f.if_(done), f.if_(f.call("i1", "front_tell", front, errors)) as fine:
        result.set(f.call("ptr", "front_results", outs, outputs, single))
        fine.otherwise()
        with f.loop(0, outputs) as i:
            decref(f, argument(outs, i))
    decref(f, errors)
    f.ret(result.get())


def _compiled_call(m: Module) -> None:
    params = [("self", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
    f = m.function("compiled_call", params, "ptr")
    self_, args, count, names = f.args
    held = self_.at(_told(f, "slot", "i64"), "i8").load("ptr")
    none = tensor_env(f, "None")
    with f.if_(is_null(names) & not_null(held) & held.cmp("ne", none)):
        incref(f, held)
        result = f.call("ptr", "front_call", held.at(native.BYTES, "i8"), args, count)
        decref(f, held)
        with f.if_(result.cast("ptrtoint", "i64").cmp("ne", NOT_COMMON)):
            f.ret(result)
    f.ret(f.call("ptr", "method_fallback", _told(f, "python"), self_, args, count, names))
