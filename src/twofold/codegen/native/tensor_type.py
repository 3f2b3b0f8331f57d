"""What the class Tensor does in machine code: operators, and the life of its objects. Floor 3.

    operator_<k>(a, b)     a binary operator as the class's number slot, without a look-up by name
    tensor_dealloc(self)   drops what the slots hold and keeps the object for the next Tensor

These are put into the type object (exec/tensors.py), on versions of Python where that was tried.
Kept objects are a stack; they are not tracked by the collector, hold nothing, and keep their
reference to the class.
"""

from __future__ import annotations

import functools
import operator

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import FUNCTION, OPERATOR_SLOTS
from twofold.codegen.native.objects import (
    decref,
    field,
    not_null,
    set_field,
    type_of,
)
from twofold.codegen.native.tensor_env import Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

KEPT = 128  # objects
FALLBACK = FUNCTION.index("fallback")

EXTERNS = (
    ("PyObject_ClearWeakRefs", "void", ("ptr",)),
    ("PyObject_GC_Del", "void", ("ptr",)),
    ("PyObject_GC_Track", "void", ("ptr",)),
    ("PyObject_GC_UnTrack", "void", ("ptr",)),
    ("PyType_GenericAlloc", "ptr", ("ptr", "i64")),
)


def declare_type(m: Module) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.data("operators", "ptr", len(OPERATOR_SLOTS))
    # The number of kept objects (-1: objects are made and freed by Python), then the objects.
    m.data("kept", "ptr", 1 + KEPT)
    # Python's own tp_dealloc, for objects that were given attributes of the user's.
    m.data("python_dealloc", "ptr", 1)


def add_operators(m: Module, not_common: int, learning: int, backward: int) -> None:
    """The operators. `learning` says where a description tells that calls are remembered,
    `backward` where it has the Python method of a right operand.
    """
    params = [("number", "i64"), ("a", "ptr"), ("b", "ptr")]
    f = m.function("operator_call", params, "ptr", internal=True)
    number, a, b = f.args
    function = f.address("operators").at(number, "ptr").load("ptr")
    result = f.call("ptr", "call_function", function, a, b, 2)
    with f.if_(result.cast("ptrtoint", "i64").cmp("ne", not_common)):
        f.ret(result)
    # Python's own order: the left operand's class was asked first, unless it is ours.
    own = type_of(a).cmp("eq", tensor_env(f, "Tensor"))
    pair = f.array("ptr", 2)
    pair.store(own.select(a, b))
    pair.at(1, "ptr").store(own.select(b, a))
    with f.if_(own & not_null(argument(function, learning))):
        f.ret(f.call("ptr", "remembered_call", function, pair, 2, f.null()))
    python = own.select(argument(function, FALLBACK), argument(function, backward))
    f.ret(f.call("ptr", "PyObject_Vectorcall", python, pair, 2, f.null()))
    for index in range(len(OPERATOR_SLOTS)):
        f = m.function(f"operator_{index}", [("a", "ptr"), ("b", "ptr")], "ptr")
        f.ret(f.call("ptr", "operator_call", index, *f.args))


def new_object(f: Function) -> tuple[Value, Value]:
    """A Tensor with one reference and nothing in its slots (or null: an error), and whether it was
    kept: such a one is not yet tracked by the collector, `track` it when the slots are filled."""
    count = f.address("kept").load("i64")
    made = f.var("ptr", f.null())
    with f.if_(count.cmp("sgt", 0)) as branch:
        made.set(argument(f.address("kept"), count))
        f.address("kept").store(count - 1)
        made.get().store(f.const("i64", 1))
        branch.otherwise()
        made.set(f.call("ptr", "PyType_GenericAlloc", tensor_env(f, "Tensor"), 0))
    return made.get(), count.cmp("sgt", 0)


def track(f: Function, made: Value, kept: Value) -> None:
    """Show an object whose slots are filled to the collector."""
    with f.if_(kept):
        f.call("void", "PyObject_GC_Track", made)


def decref_often(f: Function, thing: Value, usual: Value) -> None:
    """Count a reference down that is often to `usual`, an object that never dies."""
    way = native.references()
    if way == "call":
        decref(f, thing)
        return
    with f.if_(thing.cmp("ne", usual)) as branch:
        decref(f, thing)
        if way == "add":  # such objects are immortal where counts saturate, and not counted
            branch.otherwise()
            usual.store(usual.load("i64") - 1)


def _attributes(f: Function, thing: Value, slots: Slots) -> tuple[Value, Value]:
    """Whether an object has attributes of its own, and whether it is as one that never had any."""
    words, values = slots.attributes
    taken = functools.reduce(operator.or_, [field(thing, at, "i64") for at in words])
    given = taken.cmp("ne", 0)
    if values is None:
        return given, ~given
    told = field(thing, values, "i64")
    here = (told & native.VALUES_HERE).cmp("ne", 0)
    given = given | (here & (told & native.VALUES_COUNT).cmp("ne", 0))
    return given, here & ~given


def add_lives(m: Module, slots: Slots) -> None:
    """The class's tp_dealloc: also called for a subclass's objects, when its own part is gone."""
    f = m.function("tensor_dealloc", [("self", "ptr")])
    (self_,) = f.args
    # Python's way of it drops the attributes, and comes back here for the rest.
    given, clean = _attributes(f, self_, slots)
    with f.if_(given):
        f.call("void", f.address("python_dealloc").load("ptr"), self_)
        f.ret()
    f.call("void", "PyObject_GC_UnTrack", self_)
    with f.if_(not_null(field(self_, slots.weakrefs))):
        f.call("void", "PyObject_ClearWeakRefs", self_)
    none = tensor_env(f, "None")
    for at in slots.tensor.values():
        value = field(self_, at)
        set_field(self_, at, f.null())
        decref_often(f, value, none)
    kind = type_of(self_)
    count = f.address("kept").load("i64")
    room = clean & count.cmp("sge", 0) & count.cmp("slt", KEPT)
    with f.if_(room & kind.cmp("eq", tensor_env(f, "Tensor"))):
        f.address("kept").store(count + 1)
        f.address("kept").at(count + 1, "ptr").store(self_)
        f.ret()
    f.call("void", "PyObject_GC_Del", self_)
    decref(f, kind)
