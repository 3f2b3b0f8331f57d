"""What comes of a compiled function's results, in Loops: the part of a call after its run. Floor 3.

    front_give(front, args, arrays, outs)   what the call gives back; null: an error is set

The same as `Program.give` (frontends/program.py) does in Python, in the same order: checks, the
versions of what was written, the gradients of leaves, then what is given back (native/answer.py).
A program that does more than that to the world is given back by Python, after the checks.
"""

from __future__ import annotations

from twofold.codegen.native.answer import GIVE_PARAMS, add_answer
from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import MOST_ARGUMENTS
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
from twofold.codegen.native.tensor_env import Slots, tensor_env
from twofold.ir.build import Module
from twofold.runtime import native


def add_given(m: Module, slots: Slots) -> None:
    _tuple_of(m)
    _tell_python(m)
    _check(m)
    _written(m, slots)
    _effects(m, slots)
    add_answer(m, slots)
    _give(m)


def _tuple_of(m: Module) -> None:
    """A tuple of borrowed things: a new reference, null on failure."""
    f = m.function("tuple_of", [("things", "ptr"), ("count", "i64")], "ptr", internal=True)
    things, count = f.args
    made = f.call("ptr", "PyTuple_New", count)
    with f.if_(not_null(made)), f.loop(0, count) as i:
        incref(f, argument(things, i))
        made.at(native.ITEMS, "i8").at(i, "ptr").store(argument(things, i))
    f.ret(made)


def _tell_python(m: Module) -> None:
    """python(inputs, results, *leaves): what it gives, or null."""
    params = [("python", "ptr"), *GIVE_PARAMS]
    f = m.function("front_python", params, "ptr", internal=True, inline="never")
    python, front, args, arrays, outs = f.args
    given, count = f.array("ptr", MOST_ARGUMENTS + 2), word(front, "leaves")
    given.store(f.call("ptr", "tuple_of", arrays, table(front, "inputs")[1]))
    given.at(1, "ptr").store(f.call("ptr", "tuple_of", outs, word(front, "outputs")))
    f.memcpy(given.at(2, "ptr"), args, count << 3)
    made = f.var("ptr", f.null())
    with f.if_(not_null(given.load("ptr")) & not_null(argument(given, 1))):
        made.set(f.call("ptr", "PyObject_Vectorcall", python, given, count + 2, f.null()))
    decref(f, given.load("ptr"))
    decref(f, argument(given, 1))
    f.ret(made.get())


def _check(m: Module) -> None:
    """False, with the error set, where an index was out of its range."""
    f = m.function("front_check", GIVE_PARAMS, "i1", internal=True)
    front, _, _, outs = f.args
    rows, count = table(front, "checks")
    bad = f.var("i8", 0)
    with f.loop(0, count) as i:
        array = argument(outs, row_of(rows, "checks", i).load("i64"))
        bad.set(bad.get() | array_field(array, "data").load("i8"))
    with f.if_(bad.get().cmp("eq", 0)):
        f.ret(True)
    told = f.call("ptr", "front_python", word(front, "check", "ptr"), *f.args)
    decref(f, told)
    f.ret(not_null(told))


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


def _give(m: Module) -> None:
    f = m.function("front_give", GIVE_PARAMS, "ptr", internal=True)
    python = word(f.args[0], "give", "ptr")
    with f.if_(~f.call("i1", "front_check", *f.args)):
        f.ret(f.null())
    with f.if_(not_null(python)):
        f.ret(f.call("ptr", "front_python", python, *f.args))
    for part in ("front_written", "front_effects"):
        with f.if_(~f.call("i1", part, *f.args)):
            f.ret(f.null())
    f.ret(f.call("ptr", "front_made", *f.args))
