"""Operations on Tensors without Python, in Loops. Floor 3.

    tensor_run(self, args, count)         run(op, inputs, attrs): what `bind` does when eager
    function_call(k, null, args, ...)     the public function of an operation without attributes
    method_call(k, self, args, ...)       the same as a method descriptor of Tensor

All three end in `operate`: it reads the arrays out of the tensors, runs the plan that the
operation's entry has for them, makes the result Tensor, and a Node when the tape is on and an
input is tracked; that is `run_eager` and `make_node` of ops/bind.py for the common case. Whatever
is not common (a subclass, a view that must be refreshed, an array that is not there, an
interpreter in force, a layout without a plan) goes to the Python function, with the same arguments.

Everything that can run Python code (the collector, when objects are made) comes after the kernel,
and the result's slots are filled when nothing more can run.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument, entry_block, plan_part, plan_word
from twofold.codegen.native.facts import (
    FUNCTION,
    GRAD,
    INTERPRETED,
    MODE_ROWS,
    MOST_FUNCTIONS,
    NUMBERED,
    USUAL,
)
from twofold.codegen.native.front import add_front
from twofold.codegen.native.objects import (
    array_field,
    declare_python,
    decref,
    field,
    incref,
    is_null,
    not_null,
    set_field,
    type_of,
)
from twofold.codegen.native.place import add_place
from twofold.codegen.native.recall import add_recall
from twofold.codegen.native.tensor_env import (
    MOST_INPUTS,
    MOST_READ,
    NEVER_COMMON,
    NOT_COMMON,
    TENSOR_ENV,
    Slots,
    tensor_env,
)
from twofold.codegen.native.tensor_node import USE_PARAMS, Use, add_nodes, info_word
from twofold.codegen.native.tensor_type import (
    add_lives,
    add_operators,
    declare_type,
)
from twofold.codegen.native.walk import add_walk
from twofold.codegen.native.write import add_writes
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native
from twofold.runtime.entries import (
    MOST_NUMBERS,
    MOST_OUTPUTS,
    OUT_INEXACT,
    OUT_NUMBER,
    OUT_SHAPE,
    OUT_WORDS,
    PATTERN_OUT_WORDS,
    SLOTS,
)

MOST_ARGS = 8  # of a call that falls back through `method_fallback`

MINUS_ZERO = -(2**63)  # the bits of the float

# Numbers that were operands, as 0-d tensors: rows of (bits, kind, descriptor, tensor).
CONSTANTS, CONSTANT_WORDS = 256, 4
FLOATING, WHOLE = 1, 2

EXTERNS = (
    ("block_alloc", "ptr", ("i64",)),
    ("block_free", "void", ("ptr",)),
    ("entry_match", "ptr", ("ptr", "ptr", "i64", "ptr")),
    ("plan_run", "i1", ("ptr", "ptr", "ptr", "ptr")),
    ("PyDict_GetItemWithError", "ptr", ("ptr", "ptr")),
    ("PyThread_get_thread_ident", "i64", ()),
)
METHOD_PARAMS = [("self", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]


def build_tensors(slots: Slots) -> Module:
    """A module with the Tensor tier; it calls the module that has pool, allocator and entries."""
    m = Module("tensors")
    declare_python(m)
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.data("tensor_env", "ptr", len(TENSOR_ENV))
    m.data("modes", "i64", 1 + 2 * MODE_ROWS)
    m.data("constants", "i64", CONSTANTS * CONSTANT_WORDS)
    m.data("functions", "ptr", MOST_FUNCTIONS)
    m.data("methods", "ptr", MOST_FUNCTIONS)
    declare_type(m)
    add_place(m)
    _mode(m)
    _constant(m)
    add_nodes(m, slots)
    _array_of(m, slots)
    _operate_several(m)
    _operate(m, slots)
    _entry_of(m, slots)
    _run_known(m, slots)
    _tensor_run(m)
    _operand(m)
    add_writes(m, slots)
    _call(m)
    add_recall(m, slots)
    _fallback(m)
    _learn(m)
    _remembered(m)
    _function_call(m)
    _method_call(m)
    add_operators(m, NOT_COMMON, *(FUNCTION.index(w) for w in ("learning", "backward")))
    add_lives(m, slots)
    add_walk(m, slots, INTERPRETED)
    add_front(m, slots, INTERPRETED, GRAD)
    return m


def build_numbered() -> Module:
    """Functions and methods have nothing bound to them: the k-th of a kind is code of its own,
    which calls that of all with its number.
    """
    m = Module("numbered")
    for kind in NUMBERED:
        m.extern(f"{kind}_call", "ptr", ("i64", "ptr", "ptr", "i64", "ptr"))
        for index in range(MOST_FUNCTIONS):
            f = m.function(f"{kind}_{index}", METHOD_PARAMS, "ptr")
            f.ret(f.call("ptr", f"{kind}_call", index, *f.args))
    return m


def function_word(function: Value, name: str, type: str = "i64") -> Value:
    return function.at(FUNCTION.index(name), "i64").load(type)


def _not_common(f: Function) -> Value:
    """What internal functions give back for "ask Python": neither an object nor null."""
    return f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")


def _leave_if(f: Function, condition: Value) -> None:
    with f.if_(condition):
        f.ret(_not_common(f))


# ---- modes and numbers


def _mode(m: Module) -> None:
    """The mode of this thread: GRAD, INTERPRETED."""
    f = m.function("thread_mode", [], "i64", internal=True)
    modes = f.address("modes")
    with f.if_(modes.load("i64").cmp("eq", 0)):
        f.ret(USUAL)
    thread = f.call("i64", "PyThread_get_thread_ident")
    with f.loop(0, modes.load("i64")) as i:
        row = modes.at(i * 2 + 1, "i64")
        with f.if_(row.load("i64").cmp("eq", thread)):
            f.ret(row.at(1, "i64").load("i64"))
    f.ret(USUAL)


def _constant(m: Module) -> None:
    """The 0-d tensor for a number beside an array (borrowed), "ask Python", or null: an error."""
    f = m.function("constant_of", [("number", "ptr"), ("array", "ptr")], "ptr", internal=True)
    number, array = f.args
    descr = array_field(array, "descr")
    floating = descr.cmp("eq", tensor_env(f, "float32")) | descr.cmp("eq", tensor_env(f, "float64"))
    bits, kind = f.var("i64", 0), f.var("i64", WHOLE)
    with f.if_(type_of(number).cmp("eq", tensor_env(f, "float"))) as branch:
        _leave_if(f, ~floating)
        bits.set(field(number, native.FLOAT, "i64"))
        kind.set(FLOATING)
        branch.otherwise()
        _leave_if(f, type_of(number).cmp("ne", tensor_env(f, "int")))
        _leave_if(f, ~(floating | descr.cmp("eq", tensor_env(f, "int64"))))
        bits.set(f.call("i64", "PyLong_AsLongLong", number))
        with f.if_(bits.get().cmp("eq", -1) & not_null(f.call("ptr", "PyErr_Occurred"))):
            f.call("void", "PyErr_Clear")
            f.ret(_not_common(f))
    mixed = bits.get() * -7046029254386353131  # 2**64 / golden ratio
    slot = (mixed.lshr(40) ^ kind.get() ^ descr.cast("ptrtoint", "i64").lshr(5)) % CONSTANTS
    row = f.address("constants").at(slot * CONSTANT_WORDS, "i64")
    other = f.address("constants").at((slot ^ 1) * CONSTANT_WORDS, "i64")
    for place in (row, other):
        same = place.load("i64").cmp("eq", bits.get())
        same = same & place.at(1, "i64").load("i64").cmp("eq", kind.get())
        with f.if_(same & place.at(2, "ptr").load("ptr").cmp("eq", descr)):
            f.ret(place.at(3, "ptr").load("ptr"))
    box = f.array("ptr", 2)
    box.store(number)
    box.at(1, "ptr").store(array)
    made = f.call("ptr", "PyObject_Vectorcall", tensor_env(f, "constant"), box, 2, f.null())
    with f.if_(is_null(made)):
        f.ret(made)
    old = other.at(3, "ptr").load("ptr")
    f.memcpy(other, row, 8 * CONSTANT_WORDS)  # the number that was here before moves over
    row.store(bits.get())
    row.at(1, "i64").store(kind.get())
    row.at(2, "ptr").store(descr)
    row.at(3, "ptr").store(made)
    decref(f, old)
    f.ret(made)


# ---- one operation


def _array_of(m: Module, slots: Slots) -> None:
    """The array of a plain tensor whose memory nobody wrote behind its back; else null."""
    f = m.function("array_of", [("x", "ptr")], "ptr", internal=True)
    (x,) = f.args
    kind = type_of(x)
    plain = kind.cmp("eq", tensor_env(f, "Tensor")) | kind.cmp("eq", tensor_env(f, "Parameter"))
    with f.if_(~plain):
        f.ret(f.null())
    base = field(x, slots.tensor["base"])
    with f.if_(is_null(base)):
        f.ret(base)
    with f.if_(base.cmp("ne", tensor_env(f, "None"))):
        # Equal versions are one object where `_share` and `write` made them; else Python compares,
        # but for a view without a history, which `refresh` gives no other one.
        at = slots.tensor["version"]
        own, now = field(x, at), field(base, at)
        with f.if_(own.cmp("ne", now)):
            tracked = field(base, slots.tensor["tracked"]).cmp("ne", tensor_env(f, "False"))
            with f.if_(tracked | is_null(own) | is_null(now)):
                f.ret(f.null())
            incref(f, now)
            set_field(x, at, now)
            decref(f, own)
    f.ret(field(x, slots.tensor["array"]))


def _operate_several(m: Module) -> None:
    """The plan of an operation with several outputs: a tuple of tensors, or as `operate`."""
    params = [*USE_PARAMS, ("plan", "ptr"), ("arrays", "ptr"), ("numbers", "ptr"), ("taped", "i1")]
    f = m.function("operate_several", params, "ptr", internal=True)
    use, (plan, arrays, numbers, taped) = Use(*f.args[:4]), f.args[4:]
    count, pattern = plan_word(plan, "outputs"), plan_word(plan, "pattern").cmp("ne", 0)
    _leave_if(f, count.cmp("ugt", MOST_OUTPUTS))
    # The plan may be gone when it has run; what it points to is held.
    bits, made = f.var("i64", 0), f.var("ptr", plan_part(plan, "out_at"))
    with f.if_(taped), f.loop(0, count) as i:
        bits.set(bits.get() | made.get().at(OUT_INEXACT, "i64").load("i64") << i)
        rank = made.get().at(OUT_NUMBER, "i64").load("i64")
        words = pattern.select(f.const("i64", PATTERN_OUT_WORDS), rank + OUT_WORDS)
        made.set(made.get().at(words, "i64"))
    types = plan_word(plan, "types").cast("inttoptr", "ptr")
    keep = plan_word(plan, "keep").cast("inttoptr", "ptr")
    incref(f, keep)
    outs, result = f.array("ptr", MOST_OUTPUTS), f.var("ptr", f.null())
    with f.if_(f.call("i1", "plan_run", plan, arrays, numbers, outs)):
        result.set(f.call("ptr", "several_finish", *use, outs, count, bits.get(), types))
    decref(f, keep)
    f.ret(result.get())


def _operate(m: Module, slots: Slots) -> None:
    """The operation on tensors: a new reference, "ask Python", or null with an error set."""
    params = [*USE_PARAMS, ("entry", "ptr"), ("mode", "i64")]
    f = m.function("operate", params, "ptr", internal=True)
    use, (entry, mode) = Use(*f.args[:4]), f.args[4:]
    arrays, numbers = f.array("ptr", MOST_INPUTS), f.array("i64", MOST_NUMBERS)
    outs = f.array("ptr", MOST_OUTPUTS)
    tracked = f.var("i1", False)
    _leave_if(f, use.arity.cmp("ugt", MOST_INPUTS))
    reads = info_word(use.info, "readers").cmp("ne", 0)
    _leave_if(f, use.arity.cmp("ugt", MOST_READ) & reads)
    with f.loop(0, use.arity) as i:
        x = argument(use.inputs, i)
        array = f.call("ptr", "array_of", x)
        _leave_if(f, is_null(array))
        arrays.at(i, "ptr").store(array)
        here = field(x, slots.tensor["tracked"]).cmp("eq", tensor_env(f, "True"))
        tracked.set(tracked.get() | here)
    block = field(entry, SLOTS["block"])
    _leave_if(f, is_null(block))
    plan = f.call("ptr", "entry_match", entry_block(entry), arrays, use.arity, numbers)
    _leave_if(f, is_null(plan))
    outputs = plan_word(plan, "outputs")
    taped = tracked.get() & info_word(use.info, "differentiable").cmp("ne", 0)
    taped = taped & (mode & GRAD).cmp("ne", 0)
    with f.if_(info_word(use.info, "several").cmp("ne", 0)):
        f.ret(f.call("ptr", "operate_several", *use, plan, arrays, numbers, taped))
    _leave_if(f, outputs.cmp("ne", info_word(use.info, "residuals") + 1))
    made = plan_part(plan, "out_at")
    taped = taped & made.at(OUT_INEXACT, "i64").load("i64").cmp("ne", 0)
    shape = made.at(OUT_SHAPE, "ptr").load("ptr")
    keep = plan_word(plan, "keep").cast("inttoptr", "ptr")
    incref(f, keep)  # the shape is the plan's
    done = f.call("i1", "plan_run", plan, arrays, numbers, outs)
    result = f.var("ptr", f.null())
    with f.if_(done):
        result.set(f.call("ptr", "operate_finish", *use, outs, shape, taped))
    decref(f, keep)
    f.ret(result.get())


# ---- run(op, inputs, attrs)


def _entry_of(m: Module, slots: Slots) -> None:
    """The NativeEntry for these attributes (borrowed); null if there is none, or on an error."""
    f = m.function("entry_of", [("info", "ptr"), ("attrs", "ptr")], "ptr", internal=True)
    info, attrs = f.args
    with f.if_(type_of(attrs).cmp("ne", tensor_env(f, "tuple"))):
        f.ret(f.null())
    _leave_if_minus_zero(f, attrs)
    entries = info_word(info, "entries", "ptr")
    found = f.call("ptr", "PyDict_GetItemWithError", entries, attrs)
    with f.if_(is_null(found)):
        f.ret(found)
    with f.if_(type_of(found).cmp("ne", tensor_env(f, "builtin"))):
        f.ret(f.null())
    definition = field(found, slots.builtin["definition"])
    function = definition.at(1, "ptr").load("ptr")  # PyMethodDef.ml_meth
    with f.if_(function.cmp("ne", tensor_env(f, "entry_call"))):
        f.ret(f.null())
    f.ret(field(found, slots.builtin["bound"]))


def _leave_if_minus_zero(f: Function, attrs: Value) -> None:
    """Null where an attribute is -0.0, which a dict takes for 0.0 (`Op.key` tells them apart)."""
    items = attrs.at(native.ITEMS, "i8")
    with f.loop(0, field(attrs, native.TUPLE_SIZE, "i64")) as i:
        thing = argument(items, i)
        is_float = type_of(thing).cmp("eq", tensor_env(f, "float"))
        with f.if_(is_float), f.if_(field(thing, native.FLOAT, "i64").cmp("eq", MINUS_ZERO)):
            f.ret(f.null())


def _run_known(m: Module, slots: Slots) -> None:
    """The same for arguments that are an Op, a tuple, and anything: or "ask Python"."""
    f = m.function(
        "run_known", [("op", "ptr"), ("inputs", "ptr"), ("attrs", "ptr")], "ptr", internal=True
    )
    op, inputs, attrs = f.args
    capsule = field(op, slots.op["native"])
    _leave_if(f, is_null(capsule) | capsule.cmp("eq", tensor_env(f, "None")))
    info = field(capsule, native.CAPSULE)
    entry = f.var("ptr", info_word(info, "entry", "ptr"))
    with f.if_(attrs.cmp("ne", tensor_env(f, "empty tuple")) | is_null(entry.get())):
        entry.set(f.call("ptr", "entry_of", info, attrs))
    with f.if_(is_null(entry.get())):
        with f.if_(not_null(f.call("ptr", "PyErr_Occurred"))):
            f.ret(f.null())
        f.ret(_not_common(f))
    length = field(inputs, native.TUPLE_SIZE, "i64")
    items = inputs.at(native.ITEMS, "i8")
    mode = f.call("i64", "thread_mode")
    _leave_if(f, (mode & INTERPRETED).cmp("ne", 0))
    incref(f, entry.get())
    result = f.call("ptr", "operate", info, attrs, items, length, entry.get(), mode)
    decref(f, entry.get())
    f.ret(result)


def _tensor_run(m: Module) -> None:
    """run(op, inputs, attrs) as METH_FASTCALL; what it does not take goes to Python's `run`."""
    f = m.function("tensor_run", [("self", "ptr"), ("args", "ptr"), ("count", "i64")], "ptr")
    _, args, count = f.args
    result = f.var("ptr", _not_common(f))
    with f.if_(count.cmp("eq", 3)):
        op, inputs, attrs = (argument(args, i) for i in range(3))
        known = type_of(op).cmp("eq", tensor_env(f, "Op"))
        known = known & type_of(inputs).cmp("eq", tensor_env(f, "tuple"))
        with f.if_(known):
            result.set(f.call("ptr", "run_known", op, inputs, attrs))
    with f.if_(result.get().cmp("ne", _not_common(f))):
        f.ret(result.get())
    f.ret(f.call("ptr", "PyObject_Vectorcall", tensor_env(f, "run"), args, count, f.null()))


# ---- functions and methods


def _operand(m: Module) -> None:
    """An operand as a tensor: itself, or a number beside the tensor `other`. As `constant_of`."""
    f = m.function("operand_of", [("x", "ptr"), ("other", "ptr")], "ptr", internal=True)
    x, other = f.args
    kind = type_of(x)
    with f.if_(kind.cmp("eq", tensor_env(f, "Tensor"))):
        f.ret(x)
    with f.if_(kind.cmp("eq", tensor_env(f, "Parameter"))):
        f.ret(x)
    array = f.call("ptr", "array_of", other)
    _leave_if(f, is_null(array))
    _leave_if(f, type_of(array).cmp("ne", tensor_env(f, "ndarray")))
    f.ret(f.call("ptr", "constant_of", x, array))


def _call(m: Module) -> None:
    """A function of this description on operands: a new reference, "ask Python", or null."""
    params = [("function", "ptr"), ("first", "ptr"), ("second", "ptr"), ("count", "i64")]
    f = m.function("call_function", params, "ptr", internal=True)
    function, first, second, count = f.args

    _leave_if(f, count.cmp("ne", function_word(function, "operands")))
    mode = f.call("i64", "thread_mode")
    _leave_if(f, (mode & INTERPRETED).cmp("ne", 0))
    info = function_word(function, "info", "ptr")
    entry = info_word(info, "entry", "ptr")
    _leave_if(f, is_null(entry))
    pair = f.array("ptr", 2)
    pair.store(first)
    held = f.var("ptr", f.null())
    with f.if_(count.cmp("eq", 2)):
        turned = function_word(function, "reflected").cmp("ne", 0)
        other = f.call("ptr", "operand_of", second, first)
        own = f.call("ptr", "operand_of", first, second)
        with f.if_(is_null(other) | is_null(own)):
            f.ret(f.null())
        _leave_if(f, other.cmp("eq", _not_common(f)) | own.cmp("eq", _not_common(f)))
        incref(f, other)  # a number's tensor may leave the table while the kernel runs
        incref(f, own)
        held.set(own)
        pair.store(turned.select(other, own))
        pair.at(1, "ptr").store(turned.select(own, other))
    attrs, result = tensor_env(f, "empty tuple"), f.var("ptr")
    with f.if_(function_word(function, "written").cmp("ne", 0)) as branch:
        result.set(f.call("ptr", "write_operate", first, pair, count, entry, mode))
        branch.otherwise()
        result.set(f.call("ptr", "operate", info, attrs, pair, count, entry, mode))
    with f.if_(not_null(held.get())):
        decref(f, pair.load("ptr"))
        decref(f, pair.at(1, "ptr").load("ptr"))
    f.ret(result.get())


def _fallback(m: Module) -> None:
    """The Python function on `self` and the arguments, with keywords."""
    params = [("python", "ptr"), *METHOD_PARAMS]
    f = m.function("method_fallback", params, "ptr", internal=True, inline="never")
    python, self_, args, count, names = f.args
    total = f.var("i64", count)
    with f.if_(not_null(names)):
        total.set(count + field(names, native.TUPLE_SIZE, "i64"))
    given = f.call("ptr", "block_alloc", (total.get() + 1) << 3)
    with f.if_(is_null(given)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    given.store(self_)
    f.memcpy(given.at(1, "ptr"), args, total.get() << 3)
    result = f.call("ptr", "PyObject_Vectorcall", python, given, count + 1, names)
    f.call("void", "block_free", given)
    f.ret(result)


def _learn(m: Module) -> None:
    """learn(python, names, *args): Python's answer, remembered if it can be."""
    params = [("function", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
    f = m.function("remembered_miss", params, "ptr", internal=True, inline="never")
    function, args, count, names = f.args
    python = function_word(function, "fallback", "ptr")
    total = f.var("i64", count)
    with f.if_(not_null(names)):
        total.set(count + field(names, native.TUPLE_SIZE, "i64"))
    usual = (f.call("i64", "thread_mode") & INTERPRETED).cmp("eq", 0)
    # To look at a call and write its record takes as long as Python does some calls, and sizes may
    # never come again.
    with f.if_(usual):
        met = f.call("i64", "recall_met", python, args, total.get(), names)
        with f.if_(met.cmp("slt", function_word(function, "meetings"))):
            f.ret(f.call("ptr", "PyObject_Vectorcall", python, args, count, names))
    left = function_word(function, "learning")
    next_left = left - 1
    function.at(FUNCTION.index("learning"), "i64").store(
        next_left.cmp("eq", 0).select(f.const("i64", -1), next_left)
    )
    # With its patience gone it looks at every eighth call: a loop may come that repeats one.
    look = left.cmp("sgt", 1) | (left & 7).cmp("eq", 0)
    with f.if_(~look | total.get().cmp("ugt", MOST_ARGS) | ~usual):
        f.ret(f.call("ptr", "PyObject_Vectorcall", python, args, count, names))
    given = f.array("ptr", MOST_ARGS + 2)
    given.store(python)
    given.at(1, "ptr").store(is_null(names).select(tensor_env(f, "None"), names))
    with f.loop(0, total.get()) as i:
        given.at(i + 2, "ptr").store(argument(args, i))
    learn = tensor_env(f, "learn")
    f.ret(f.call("ptr", "PyObject_Vectorcall", learn, given, total.get() + 2, f.null()))


def _remembered(m: Module) -> None:
    """A call of a function whose calls are remembered."""
    params = [("function", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
    f = m.function("remembered_call", params, "ptr", internal=True)
    function, args, count, names = f.args
    total = f.var("i64", count)
    with f.if_(not_null(names)):
        total.set(count + field(names, native.TUPLE_SIZE, "i64"))
    mode = f.call("i64", "thread_mode")
    with f.if_((mode & INTERPRETED).cmp("eq", 0)):
        front = function_word(function, "fallback", "ptr")
        result = f.call("ptr", "recall_call", front, args, total.get(), names, mode)
        with f.if_(result.cmp("eq", f.const("i64", NEVER_COMMON).cast("inttoptr", "ptr"))):
            f.ret(f.call("ptr", "PyObject_Vectorcall", front, args, count, names))
        with f.if_(result.cmp("ne", _not_common(f))):
            f.ret(result)
    f.ret(f.call("ptr", "remembered_miss", *f.args))


def _function_call(m: Module) -> None:
    """What every public function does."""
    params = [("number", "i64"), *METHOD_PARAMS]
    f = m.function("function_call", params, "ptr")
    number, _, args, count, names = f.args
    function = f.address("functions").at(number, "ptr").load("ptr")
    known = not_null(function_word(function, "info", "ptr"))
    with f.if_(known & is_null(names) & count.cmp("ugt", 0) & count.cmp("ule", 2)):
        second = f.var("ptr", f.null())
        with f.if_(count.cmp("eq", 2)):
            second.set(argument(args, 1))
        result = f.call("ptr", "call_function", function, args.load("ptr"), second.get(), count)
        with f.if_(result.cmp("ne", _not_common(f))):
            f.ret(result)
    with f.if_(function_word(function, "learning").cmp("ne", 0)):
        f.ret(f.call("ptr", "remembered_call", function, args, count, names))
    python = function_word(function, "fallback", "ptr")
    f.ret(f.call("ptr", "PyObject_Vectorcall", python, args, count, names))


def _method_call(m: Module) -> None:
    """What every method does."""
    params = [("number", "i64"), *METHOD_PARAMS]
    f = m.function("method_call", params, "ptr")
    number, self_, args, count, names = f.args
    function = f.address("methods").at(number, "ptr").load("ptr")
    known = not_null(function_word(function, "info", "ptr"))
    with f.if_(is_null(names) & count.cmp("ule", 1) & known):
        second = f.var("ptr", f.null())
        with f.if_(count.cmp("eq", 1)):
            second.set(args.load("ptr"))
        result = f.call("ptr", "call_function", function, self_, second.get(), count + 1)
        with f.if_(result.cmp("ne", _not_common(f))):
            f.ret(result)
    remembered = function_word(function, "learning").cmp("ne", 0)
    total = f.var("i64", count)
    with f.if_(not_null(names)):
        total.set(count + field(names, native.TUPLE_SIZE, "i64"))
    with f.if_(remembered & total.get().cmp("ult", MOST_ARGS)):
        given = f.array("ptr", MOST_ARGS)
        given.store(self_)
        with f.loop(0, total.get()) as i:
            given.at(i + 1, "ptr").store(argument(args, i))
        f.ret(f.call("ptr", "remembered_call", function, given, count + 1, names))
    python = function_word(function, "fallback", "ptr")
    f.ret(f.call("ptr", "method_fallback", python, self_, args, count, names))
