"""Calls that are remembered, in Loops: functions with attributes, and views. Floor 3.

`x.sum(1)`, `softmax(x, dim=-1)` or `x.T` are Python functions that look at their arguments and
then ask for one operation, or make one view. What they ask for depends on the layouts of the
tensors and on the other arguments alone, so it can be remembered (exec/recall.py writes the
records). A record is found by hash in a table of rows; it fits if the function is the same, the
tensors have the same layouts, and all other arguments mean the same (codegen/native/keys.py). It
may stand in one of several rows: calls whose hashes meet would otherwise push each other out.

    recall_call(front, args, count, names, mode)   the result, "ask Python", or null: an error
    recall_row(front, args, count, names)          the first row of such a call, -1 for none
    recall_met(front, args, count, names)          how often it came before, at most MOST_MEETINGS
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
from twofold.codegen.native.facts import (
    ARGUMENT,
    AS_BOOL,
    AS_FLOAT,
    CONSTANTS,
    DETACHED,
    GRAD,
    MOST_MEETINGS,
    MOST_RECALLED,
    NEW,
    NUMBER,
    NUMBER_TYPES,
    PART,
    PYTHON,
    RECALL_ROWS,
    RECALL_WAYS,
    SEVERAL,
    STEP,
    STEPS,
    VIEW,
    WRITE,
)
from twofold.codegen.native.keys import add_keys, mixed
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
from twofold.codegen.native.steps import add_steps, part, word
from twofold.codegen.native.tensor_env import (
    MOST_INPUTS,
    NEVER_COMMON,
    NOT_COMMON,
    Slots,
    tensor_env,
)
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

PARAMS = [("front", "ptr"), ("args", "ptr"), ("count", "i64"), ("names", "ptr")]
# A record, the arguments of the call, what its steps made, the thread's mode.
PLACED = [("record", "ptr"), ("args", "ptr"), ("made", "ptr"), ("mode", "i64")]
EXTERNS = (
    ("PySequence_Concat", "ptr", ("ptr", "ptr")),
    ("PyFloat_FromDouble", "ptr", ("f64",)),
)


def add_recall(m: Module, slots: Slots) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.data("recalls", "ptr", RECALL_ROWS)
    add_keys(m)
    _hash(m)
    _row(m)
    _met(m)
    _fits(m)
    _view_array(m)
    _chain(m, slots)
    _view(m, slots)
    _views(m, slots)
    _new(m)
    _input(m)
    _part(m)
    _number(m)
    _one(m)
    add_steps(m, slots)
    _call(m)


def _hash(m: Module) -> None:
    """The hash of a call; 0 if it is never a key."""
    f = m.function("recall_hash", PARAMS, "i64", internal=True)
    front, args, count, names = f.args
    with f.if_(count.cmp("ugt", MOST_RECALLED)):
        f.ret(0)
    hash_ = f.var("i64", front.cast("ptrtoint", "i64"))
    with f.if_(not_null(names)), f.loop(0, field(names, native.TUPLE_SIZE, "i64")) as i:
        name = argument(names.at(native.ITEMS, "i8"), i)
        hash_.set(mixed(hash_.get(), name.cast("ptrtoint", "i64")))
    f.ret(f.call("i64", "things_hash", args, count, hash_.get(), 0))


def _row(m: Module) -> None:
    f = m.function("recall_row", PARAMS, "i64")
    found = f.call("i64", "recall_hash", *f.args)
    with f.if_(found.cmp("eq", 0)):
        f.ret(-1)
    f.ret(found.lshr(32) & (RECALL_ROWS - RECALL_WAYS))


def _met(m: Module) -> None:
    """The hashes of the last calls that had no record stand in rows of RECALL_WAYS words; their low
    bits count.
    """
    m.data("met", "i64", RECALL_ROWS)
    m.data("met_all", "i64", 1)  # set where every call is to count as met
    f = m.function("recall_met", PARAMS, "i64", internal=True)
    hash_ = f.call("i64", "recall_hash", *f.args)
    with f.if_(hash_.cmp("eq", 0) | f.address("met_all").load("i64").cmp("ne", 0)):
        f.ret(MOST_MEETINGS)
    row = f.address("met").at(hash_.lshr(32) & (RECALL_ROWS - RECALL_WAYS), "i64")
    own = hash_ & ~MOST_MEETINGS
    new, count = f.var("i64", own), f.var("i64", 0)
    with f.loop(0, RECALL_WAYS) as i:
        place = row.at(i, "i64")
        known = place.load("i64")
        place.store(new.get())
        new.set(known)
        with f.if_((known & ~MOST_MEETINGS).cmp("eq", own)):
            count.set(f.min((known & MOST_MEETINGS) + 1, MOST_MEETINGS))
            f.break_if(True)
    row.store(own | count.get())
    f.ret(count.get())


def _fits(m: Module) -> None:
    """Whether a record is for this call."""
    f = m.function("recall_fits", [("record", "ptr"), *PARAMS], "i1", internal=True)
    record, front, args, count, names = f.args

    def unless(holds: Value) -> None:
        with f.if_(~holds):
            f.ret(False)

    unless(word(record, "front", "ptr").cmp("eq", front))
    unless(word(record, "count").cmp("eq", count))
    known, keywords = word(record, "names", "ptr"), f.var("i64", 0)
    with f.if_(not_null(names)):
        keywords.set(field(names, native.TUPLE_SIZE, "i64"))
    with f.if_(known.cmp("ne", names)):
        unless(not_null(known) & not_null(names))
        unless(field(known, native.TUPLE_SIZE, "i64").cmp("eq", keywords.get()))
        with f.loop(0, keywords.get()) as i:
            own = argument(known.at(native.ITEMS, "i8"), i)
            unless(own.cmp("eq", argument(names.at(native.ITEMS, "i8"), i)))
    f.ret(not_null(f.call("ptr", "things_fit", args, count, part(record, "key_at"))))


def _view_array(m: Module) -> None:
    """The view of an array that a record tells: a new reference, null on failure."""
    f = m.function("view_array", [("record", "ptr"), ("array", "ptr")], "ptr", internal=True)
    record, array = f.args
    known = word(record, "descr", "ptr")
    descr = is_null(known).select(array_field(array, "descr"), known)
    incref(f, descr)
    made = f.call(
        "ptr",
        tensor_env(f, "PyArray_NewFromDescr"),
        tensor_env(f, "ndarray"),
        descr,
        word(record, "nd").cast("trunc", "i32"),
        part(record, "dims_at"),
        part(record, "strides_at"),
        array_field(array, "data").at(word(record, "offset"), "i8"),
        array_field(array, "flags") & word(record, "flags").cast("trunc", "i32"),
        f.null(),
    )
    with f.if_(is_null(made)):
        f.ret(made)
    incref(f, array)
    failed = f.call("i32", tensor_env(f, "PyArray_SetBaseObject"), made, array)
    with f.if_(failed.cmp("ne", 0)):
        decref(f, made)
        f.ret(f.null())
    f.ret(made)


def _chain(m: Module, slots: Slots) -> None:
    """A new reference to a view's chain, as `_share` makes it; null on failure."""
    params = [("record", "ptr"), ("x", "ptr"), ("mode", "i64")]
    f = m.function("view_chain", params, "ptr", internal=True)
    record, x, mode = f.args
    none = tensor_env(f, "None")
    own, chain = field(x, slots.tensor["base"]).cmp("eq", none), field(x, slots.tensor["chain"])
    recorded = (mode & GRAD).cmp("ne", 0) & (own | chain.cmp("ne", none))
    with f.if_(~recorded):
        incref(f, none)
        f.ret(none)
    link = word(record, "link", "ptr")
    with f.if_(chain.cmp("eq", none)):
        incref(f, link)
        f.ret(link)
    f.ret(f.call("ptr", "PySequence_Concat", chain, link))


def _view(m: Module, slots: Slots) -> None:
    """The view of x that a record tells, as a Tensor."""
    params = [("record", "ptr"), ("x", "ptr"), ("mode", "i64")]
    f = m.function("recall_view", params, "ptr", internal=True)
    record, x, mode = f.args
    none, info = tensor_env(f, "None"), word(record, "info", "ptr")
    array = f.call("ptr", "view_array", record, f.call("ptr", "array_of", x))
    with f.if_(is_null(array)):
        f.ret(array)
    chain = f.call("ptr", "view_chain", record, x, mode)
    with f.if_(is_null(chain)):
        decref(f, array)
        f.ret(chain)
    base = field(x, slots.tensor["base"])
    root = base.cmp("eq", none).select(x, base)
    tracked = field(x, slots.tensor["tracked"]).cmp("eq", tensor_env(f, "True"))
    taped = tracked & (mode & GRAD).cmp("ne", 0) & word(record, "inexact").cmp("ne", 0)
    node = f.var("ptr", none)
    with f.if_(taped) as branch:
        box = f.array("ptr", 1)
        box.store(x)
        shape = word(record, "shape", "ptr")
        incref(f, none)
        incref(f, shape)
        attrs = word(record, "attrs", "ptr")
        storage = array_field(array, "descr")
        node.set(f.call("ptr", "node_new", info, attrs, box, 1, storage, none, shape))
        branch.otherwise()
        incref(f, none)
    with f.if_(is_null(node.get())):
        decref(f, array)
        decref(f, chain)
        f.ret(f.null())
    flag = taped.select(tensor_env(f, "True"), tensor_env(f, "False"))
    incref(f, flag)
    made = f.call("ptr", "tensor_new", array, node.get(), flag)
    with f.if_(is_null(made)):
        decref(f, chain)
        f.ret(made)
    version = field(root, slots.tensor["version"])
    incref(f, root)
    incref(f, version)
    for name, value in (("base", root), ("version", version), ("chain", chain)):
        old = field(made, slots.tensor[name])
        set_field(made, slots.tensor[name], value)
        decref(f, old)
    f.ret(made)


def _views_node(m: Module) -> None:
    """The node of an operation that gave several views of x: a new reference, or null."""
    f = m.function("views_node", [("record", "ptr"), ("x", "ptr")], "ptr", internal=True)
    record, x = f.args
    first = argument(part(record, "parts_at"), 0)
    none, types, box = tensor_env(f, "None"), word(record, "shape", "ptr"), f.array("ptr", 1)
    box.store(x)
    incref(f, none)
    incref(f, types)
    info, attrs = word(first, "info", "ptr"), word(first, "attrs", "ptr")
    f.ret(f.call("ptr", "node_new", info, attrs, box, 1, none, none, types))


def _tape_view(m: Module, slots: Slots) -> None:
    """Give a view, one of several, its node; false on failure."""
    params = [("view", "ptr"), ("parent", "ptr"), ("index", "i64")]
    f = m.function("tape_view", params, "i1", internal=True)
    view, parent, index = f.args
    array, true = field(view, slots.tensor["array"]), tensor_env(f, "True")
    node = f.call("ptr", "item_node", parent, index, array)
    with f.if_(is_null(node)):
        f.ret(False)
    incref(f, true)
    for name, value in (("node", node), ("tracked", true)):
        old = field(view, slots.tensor[name])
        set_field(view, slots.tensor[name], value)
        decref(f, old)
    f.ret(True)


def _views(m: Module, slots: Slots) -> None:
    """The views that a record tells, in a tuple, with their nodes where x is on the tape."""
    _views_node(m)
    _tape_view(m, slots)
    params = [("record", "ptr"), ("x", "ptr"), ("mode", "i64")]
    f = m.function("recall_views", params, "ptr", internal=True)
    record, x, mode = f.args
    hold, count = word(record, "attrs", "ptr"), word(record, "size")
    taped = field(x, slots.tensor["tracked"]).cmp("ne", tensor_env(f, "False"))
    taped = taped & (mode & GRAD).cmp("ne", 0) & word(record, "inexact").cmp("ne", 0)
    taped = taped & count.cmp("ne", 0)
    incref(f, hold)  # the records of all parts
    parent, made = f.var("ptr", f.null()), f.var("ptr", f.null())
    with f.if_(taped):
        parent.set(f.call("ptr", "views_node", record, x))
    with f.if_(~taped | not_null(parent.get())):
        made.set(f.call("ptr", "PyTuple_New", count))
    good = f.var("i1", not_null(made.get()))
    with f.if_(good.get()), f.loop(0, count) as i:
        view = f.call("ptr", "recall_view", argument(part(record, "parts_at"), i), x, mode)
        made.get().at(native.ITEMS, "i8").at(i, "ptr").store(view)
        good.set(not_null(view))
        with f.if_(good.get() & taped):
            good.set(f.call("i1", "tape_view", view, parent.get(), i))
        f.break_if(~good.get())
    decref(f, parent.get())
    decref(f, hold)
    with f.if_(~good.get()):
        decref(f, made.get())
        f.ret(f.null())
    f.ret(made.get())


def _new(m: Module) -> None:
    """A tensor with the elements of the record's array, unless the default type is another."""
    f = m.function("recall_new", [("record", "ptr")], "ptr", internal=True)
    (record,) = f.args
    default = argument(field(tensor_env(f, "default dtype"), native.LIST_ITEMS), 0)
    with f.if_(default.cmp("ne", word(record, "default", "ptr"))):
        f.ret(f.const("i64", NOT_COMMON).cast("inttoptr", "ptr"))
    flag = f.var("ptr", tensor_env(f, "False"))
    with f.if_(word(record, "given").cmp("ne", 0)):
        flag.set(tensor_env(f, "True"))
    copy = tensor_env(f, "PyArray_NewCopy")
    array = f.call("ptr", copy, word(record, "entry", "ptr"), f.const("i32", 0))
    with f.if_(is_null(array)):
        f.ret(array)
    incref(f, tensor_env(f, "None"))
    incref(f, flag.get())
    f.ret(f.call("ptr", "tensor_new", array, tensor_env(f, "None"), flag.get()))


def _input(m: Module) -> None:
    """What stands at a place among the arguments and the steps made: a borrowed reference."""
    params = [("place", "i64"), ("args", "ptr"), ("made", "ptr")]
    f = m.function("recall_input", params, "ptr", internal=True)
    place, args, made = f.args
    with f.if_(place.cmp("uge", CONSTANTS)):
        f.ret(place.cast("inttoptr", "ptr"))  # a number's tensor
    with f.if_(place.cmp("uge", STEP)):
        f.ret(argument(made, place - STEP))
    found = argument(args, place % MOST_RECALLED)
    with f.if_(place.cmp("ult", MOST_RECALLED)):
        f.ret(found)
    items = f.var("ptr", found.at(native.ITEMS, "i8"))
    with f.if_(type_of(found).cmp("eq", tensor_env(f, "list"))):
        items.set(field(found, native.LIST_ITEMS))
    f.ret(argument(items.get(), place // MOST_RECALLED - 1))


def _part(m: Module) -> None:
    """Values into the part of the first argument that a record tells."""
    f = m.function("recall_part", PLACED, "ptr", internal=True)
    record, args, made, mode = f.args
    x = argument(args, 0)
    values = f.call("ptr", "recall_input", part(record, "inputs_at").load("i64"), args, made)
    layout = [part(record, name) for name in ("dims_at", "strides_at", "from_at")]
    facts = [word(record, name) for name in ("nd", "offset", "size")]
    result = f.var("ptr", tensor_env(f, "None"))
    with f.if_(word(record, "given").cmp("ne", 0)):
        result.set(x)
    done = f.call("i64", "write_part", x, values, *layout, *facts, mode)
    with f.if_(done.cmp("eq", 0)):
        f.ret(f.const("i64", NOT_COMMON).cast("inttoptr", "ptr"))
    with f.if_(done.cmp("slt", 0)):
        f.ret(f.null())
    incref(f, result.get())
    f.ret(result.get())


def _number(m: Module) -> None:
    """The one number in a tensor, as Python's: a new reference."""
    params = [("record", "ptr"), ("x", "ptr")]
    f = m.function("recall_number", params, "ptr", internal=True)
    record, x = f.args
    array = f.call("ptr", "array_of", x)
    with f.if_(is_null(array)):
        f.ret(f.const("i64", NOT_COMMON).cast("inttoptr", "ptr"))
    data, kind, wanted = array_field(array, "data"), word(record, "low"), word(record, "high")
    real, whole, true = f.var("f64", 0.0), f.var("i64", 0), f.var("i1", False)
    with f.if_(kind.cmp("eq", NUMBER_TYPES.index("float32"))):
        real.set(data.load("f32", align=1).cast("fpext", "f64"))
    with f.if_(kind.cmp("eq", NUMBER_TYPES.index("float64"))):
        real.set(data.load("f64", align=1))
    with f.if_(kind.cmp("eq", NUMBER_TYPES.index("int64"))):
        whole.set(data.load("i64", align=1))
    with f.if_(kind.cmp("eq", NUMBER_TYPES.index("bool"))):
        whole.set(data.load("i8").cmp("ne", 0).cast("zext", "i64"))
    with f.if_(kind.cmp("uge", NUMBER_TYPES.index("int64"))) as branch:
        real.set(whole.get().cast("sitofp", "f64"))
        true.set(whole.get().cmp("ne", 0))
        branch.otherwise()
        true.set(real.get().cmp("une", 0.0))
    with f.if_(wanted.cmp("eq", AS_FLOAT)):
        f.ret(f.call("ptr", "PyFloat_FromDouble", real.get()))
    with f.if_(wanted.cmp("eq", AS_BOOL)):
        made = true.get().select(tensor_env(f, "True"), tensor_env(f, "False"))
        incref(f, made)
        f.ret(made)
    f.ret(f.call("ptr", "PyLong_FromLongLong", whole.get()))


def _one(m: Module) -> None:
    """One operation, or one view, or one operation into the memory of the first argument."""
    f = m.function("recall_one", PLACED, "ptr", internal=True)
    record, args, made, mode = f.args
    places, kind = part(record, "inputs_at"), word(record, "kind")
    attrs, entry = word(record, "attrs", "ptr"), word(record, "entry", "ptr")
    incref(f, attrs)
    result = f.var("ptr", f.null())
    with f.if_(kind.cmp("eq", VIEW)) as branch:
        x = f.call("ptr", "recall_input", places.load("i64"), args, made)
        result.set(f.call("ptr", "recall_view", record, x, mode))
        branch.otherwise()
        inputs, count = f.array("ptr", MOST_INPUTS), word(record, "inputs")
        with f.loop(0, count) as i:
            place = places.at(i, "i64").load("i64")
            found = f.call("ptr", "recall_input", place, args, made)
            incref(f, found)  # a list may change while the kernel runs
            inputs.at(i, "ptr").store(found)
        # And the record may be replaced.
        incref(f, entry)
        faults = word(record, "faults", "ptr")
        with f.if_(kind.cmp("eq", WRITE)) as written:
            x, free = argument(args, 0), f.var("i1", True)
            with f.if_(word(record, "alone").cmp("ne", 0)), f.loop(1, count) as i:
                other = f.call("ptr", "array_of", argument(inputs, i))
                free.set(free.get() & other.cmp("ne", f.call("ptr", "array_of", x)))
            result.set(f.const("i64", NOT_COMMON).cast("inttoptr", "ptr"))
            with f.if_(free.get()):
                result.set(f.call("ptr", "write_operate", x, inputs, count, entry, mode))
            written.otherwise()
            given = (word(record, "info", "ptr"), attrs, inputs, count, entry, mode)
            result.set(f.call("ptr", "operate", *given))
        with f.if_(not_null(faults)), f.if_(faults.load("i64").cmp("ne", 0)):
            with f.if_(
                result.get().cmp("ugt", f.const("i64", NEVER_COMMON).cast("inttoptr", "ptr"))
            ):
                decref(f, result.get())
                result.set(f.const("i64", NEVER_COMMON).cast("inttoptr", "ptr"))
            faults.store(f.const("i64", 0))
        decref(f, entry)
        with f.loop(0, count) as i:
            decref(f, argument(inputs, i))
    decref(f, attrs)
    f.ret(result.get())


def _found(f: Function, row: Value, args: Value, mode: Value, *call: Value) -> Value:
    """The record of a call among the rows from this one on; null if there is none."""
    found = f.var("ptr", f.null())
    with f.loop(0, RECALL_WAYS) as i:
        record = argument(f.address("recalls"), row + i)
        f.break_if(is_null(record))
        with f.if_(f.call("i1", "recall_fits", record, *call)):
            found.set(record)
            with f.if_(word(record, "kind").cmp("eq", STEPS)):
                taped = f.call("i1", "steps_fit", record, args, mode)
                found.set(taped.select(record, f.null()))
        f.break_if(not_null(found.get()))
    return found.get()


def _call(m: Module) -> None:
    f = m.function("recall_call", [*PARAMS, ("mode", "i64")], "ptr", internal=True)
    front, args, count, names, mode = f.args
    unknown = f.const("i64", NOT_COMMON).cast("inttoptr", "ptr")
    row = f.call("i64", "recall_row", front, args, count, names)
    with f.if_(row.cmp("slt", 0)):
        f.ret(unknown)
    record = _found(f, row, args, mode, front, args, count, names)
    with f.if_(is_null(record)):
        f.ret(unknown)
    places = part(record, "inputs_at")
    kind = word(record, "kind")
    with f.if_(kind.cmp("uge", ARGUMENT)):
        made = f.var("ptr", word(record, "entry", "ptr"))
        with f.if_(kind.cmp("eq", ARGUMENT)):
            made.set(argument(args, places.load("i64")))
        incref(f, made.get())
        f.ret(made.get())
    with f.if_(kind.cmp("eq", PYTHON)):
        f.ret(f.const("i64", NEVER_COMMON).cast("inttoptr", "ptr"))
    with f.if_(kind.cmp("eq", PART)):
        f.ret(f.call("ptr", "recall_part", record, args, f.null(), mode))
    with f.if_(kind.cmp("eq", NEW)):
        f.ret(f.call("ptr", "recall_new", record))
    with f.if_(kind.cmp("eq", SEVERAL)):
        f.ret(f.call("ptr", "recall_views", record, argument(args, places.load("i64")), mode))
    with f.if_(kind.cmp("eq", DETACHED)):
        f.ret(f.call("ptr", "detached", argument(args, places.load("i64"))))
    with f.if_(kind.cmp("eq", NUMBER)):
        f.ret(f.call("ptr", "recall_number", record, argument(args, places.load("i64"))))
    with f.if_(kind.cmp("eq", STEPS)):
        f.ret(f.call("ptr", "recall_steps", record, args, mode))
    f.ret(f.call("ptr", "recall_one", record, args, f.null(), mode))
