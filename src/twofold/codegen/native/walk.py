"""The walk of one tensor's backward without Python, in Loops. Floor 3.

    walk_run(helpers, (root, gradient, retain))  -> True, or False: "let Python walk"

This is `backward` of autograd/ for the common case: from one root to every leaf, with nothing
recorded. The same nodes are visited in the same order as by autograd/walk.py, each rule is called
with the same arguments, and gradients are added in the same order, so that the bits are the same.
Rules, hooks, and whatever is not plain (HELPERS) are Python; what is here is the order, the
look-ups, and what stands between two rules.

False is given before anything was done. Nodes are found by a hash table of their addresses, which
are held until the end; a gradient that has arrived stands beside its node or leaf.
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument
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
from twofold.codegen.native.route import (
    FAILED,
    FOUND,
    WALK,
    add_route,
    ask,
    helper,
    memory_of,
    part_of,
    set_word,
    word,
)
from twofold.codegen.native.tensor_env import NOT_COMMON, Slots, tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

MOST_RULE = 24  # arguments of a rule that is called from here


def add_walk(m: Module, slots: Slots, interpreted: int) -> None:
    """Write the functions into the module of the Tensor tier.

    interpreted: the bit of a thread's mode that says that Python must see every operation.
    """
    add_route(m, slots)
    _same_shape(m)
    _fits(m, slots)
    _collect(m, slots)
    _current(m, slots)
    _out(m, slots)
    _call_rule(m, slots)
    _spread(m, slots)
    _release(m, slots)
    _visit_item(m, slots)
    _visit(m, slots)
    _nodes(m, slots)
    _accumulate(m, slots)
    _leaves(m, slots)
    _forget(m)
    _run(m, interpreted)


# ---- gradients arrive


def _same_shape(m: Module) -> None:
    """Whether an array has the shape that a tuple tells."""
    f = m.function("walk_same_shape", [("array", "ptr"), ("shape", "ptr")], "i1", internal=True)
    array, shape = f.args
    nd, dims = array_field(array, "nd").cast("zext", "i64"), array_field(array, "dims")
    with f.if_(field(shape, native.TUPLE_SIZE, "i64").cmp("ne", nd)):
        f.ret(False)
    items = shape.at(native.ITEMS, "i8")
    with f.loop(0, nd) as i:
        size = f.call("i64", "PyLong_AsLongLong", argument(items, i))
        with f.if_(size.cmp("ne", dims.at(i, "i64").load("i64"))):
            f.ret(False)
    f.ret(True)


def _fits(m: Module, slots: Slots) -> None:
    """Whether a gradient has the shape of the node's input x, as far as can be told here."""
    f = m.function("walk_fits", [("g", "ptr"), ("x", "ptr")], "i1", internal=True)
    g, x = f.args
    with f.if_(type_of(g).cmp("ne", tensor_env(f, "Tensor"))):
        f.ret(False)
    array, ndarray = field(g, slots.tensor["array"]), tensor_env(f, "ndarray")
    with f.if_(type_of(array).cmp("ne", ndarray)):
        f.ret(False)
    with f.if_(type_of(x).cmp("eq", tensor_env(f, "Node"))):
        shape = field(x, slots.node["shape"])
        with f.if_(type_of(shape).cmp("ne", tensor_env(f, "tuple"))):
            f.ret(False)
        f.ret(f.call("i1", "walk_same_shape", array, shape))
    own = field(x, slots.tensor["array"])
    with f.if_(type_of(own).cmp("ne", ndarray)):
        f.ret(False)
    nd = array_field(array, "nd")
    with f.if_(nd.cmp("ne", array_field(own, "nd"))):
        f.ret(False)
    with f.loop(0, nd.cast("zext", "i64")) as i:
        a = array_field(array, "dims").at(i, "i64").load("i64")
        with f.if_(a.cmp("ne", array_field(own, "dims").at(i, "i64").load("i64"))):
            f.ret(False)
    f.ret(True)


def _collect(m: Module, slots: Slots) -> None:
    """Add a gradient (whose reference is taken) to what arrived at a target; false: an error."""
    params = [("w", "ptr"), ("helpers", "ptr"), ("target", "ptr"), ("g", "ptr")]
    f = m.function("walk_collect", params, "i1", internal=True)
    w, helpers, target, g = f.args
    number = f.call("i64", "walk_find", w, target)
    with f.if_(number.cmp("slt", 0)):
        decref(f, g)  # a view was written meanwhile: nobody asks there
        f.ret(True)
    place = part_of(f, w, "grads").at(number, "ptr")
    before = place.load("ptr")
    with f.if_(is_null(before)):
        place.store(g)
        f.ret(True)
    total = ask(f, helpers, "add", before, g)
    decref(f, g)
    with f.if_(is_null(total)):
        f.ret(False)
    place.store(total)
    decref(f, before)
    f.ret(True)


# ---- one node


def _current(m: Module, slots: Slots) -> None:
    """Whether the saved inputs are as they were; false with an error set."""
    params = [("helpers", "ptr"), ("node", "ptr"), ("inputs", "ptr")]
    f = m.function("walk_current", params, "i1", internal=True)
    helpers, node, inputs = f.args
    versions = field(node, slots.node["versions"])
    count = field(inputs, native.TUPLE_SIZE, "i64")
    good = f.var("i1", type_of(versions).cmp("eq", tensor_env(f, "tuple")))
    with f.if_(good.get()):
        good.set(field(versions, native.TUPLE_SIZE, "i64").cmp("eq", count))
    with f.if_(good.get()), f.loop(0, count) as i:
        version = argument(versions.at(native.ITEMS, "i8"), i)
        f.continue_if(version.cmp("eq", tensor_env(f, "None")))
        x = argument(inputs.at(native.ITEMS, "i8"), i)
        same = f.var("i1", type_of(x).cmp("ne", tensor_env(f, "Node")))
        with f.if_(same.get()):
            same.set(f.call("ptr", "root_version", x).cmp("eq", version))
        good.set(good.get() & same.get())
    with f.if_(good.get()):
        f.ret(True)
    answer = ask(f, helpers, "check", node, inputs)
    decref(f, answer)
    f.ret(not_null(answer))


def _out(m: Module, slots: Slots) -> None:
    """A new reference to what the rule sees as `out`; null: an error."""
    f = m.function("walk_out", [("helpers", "ptr"), ("node", "ptr")], "ptr", internal=True)
    helpers, node = f.args
    out, none = field(node, slots.node["out"]), tensor_env(f, "None")
    with f.if_(out.cmp("eq", none)):
        incref(f, node)
        f.ret(node)
    with f.if_(type_of(out).cmp("eq", tensor_env(f, "ndarray"))):
        false = tensor_env(f, "False")
        for thing in (out, none, false):
            incref(f, thing)
        f.ret(f.call("ptr", "tensor_new", out, none, false))
    f.ret(ask(f, helpers, "out", node))


def _call_rule(m: Module, slots: Slots) -> None:
    """What the rule gives, a tuple as long as the inputs: a new reference, or null."""
    params = [("helpers", "ptr"), ("node", "ptr"), ("g", "ptr"), ("inputs", "ptr"), ("out", "ptr")]
    f = m.function("walk_rule", params, "ptr", internal=True)
    helpers, node, g, inputs, out = f.args
    op, attrs = field(node, slots.node["op"]), field(node, slots.node["attrs"])
    count = field(inputs, native.TUPLE_SIZE, "i64")
    simple = type_of(op).cmp("eq", tensor_env(f, "Op"))
    simple = simple & type_of(attrs).cmp("eq", tensor_env(f, "tuple"))
    with f.if_(simple):
        names, given = field(op, slots.op["attrs"]), field(attrs, native.TUPLE_SIZE, "i64")
        few = (count + given + 2).cmp("ule", MOST_RULE)
        few = few & type_of(names).cmp("eq", tensor_env(f, "tuple"))
        with f.if_(few & field(names, native.TUPLE_SIZE, "i64").cmp("eq", given)):
            args = f.array("ptr", MOST_RULE)
            args.store(g)
            args.at(1, "ptr").store(out)
            with f.loop(0, count) as i:
                args.at(i + 2, "ptr").store(argument(inputs.at(native.ITEMS, "i8"), i))
            with f.loop(0, given) as i:
                args.at(i + 2 + count, "ptr").store(argument(attrs.at(native.ITEMS, "i8"), i))
            keywords = given.cmp("eq", 0).select(f.null(), names)
            rule = field(op, slots.op["vjp"])
            made = f.call("ptr", "PyObject_Vectorcall", rule, args, count + 2, keywords)
            with f.if_(is_null(made)):
                f.ret(made)
            right = type_of(made).cmp("eq", tensor_env(f, "tuple"))
            with f.if_(right), f.if_(field(made, native.TUPLE_SIZE, "i64").cmp("eq", count)):
                f.ret(made)
            fitting = ask(f, helpers, "fitting", inputs, made)
            decref(f, made)
            f.ret(fitting)
    f.ret(ask(f, helpers, "rule", node, g, inputs, out))


def _spread(m: Module, slots: Slots) -> None:
    """Send what a rule gave to where the inputs came from; false with an error set."""
    params = [("w", "ptr"), ("helpers", "ptr"), ("inputs", "ptr"), ("made", "ptr")]
    f = m.function("walk_spread", params, "i1", internal=True)
    w, helpers, inputs, made = f.args
    none = tensor_env(f, "None")
    with f.loop(0, field(inputs, native.TUPLE_SIZE, "i64")) as i:
        x = argument(inputs.at(native.ITEMS, "i8"), i)
        g = f.var("ptr", argument(made.at(native.ITEMS, "i8"), i))
        f.continue_if(g.get().cmp("eq", none))
        target = f.call("ptr", "walk_edge", helpers, x)
        f.continue_if(is_null(target))
        with f.if_(target.cast("ptrtoint", "i64").cmp("eq", NOT_COMMON)):
            # Not from a refresh: only plain inputs were let into the route.
            with f.if_(is_null(f.call("ptr", "PyErr_Occurred"))):
                f.call("void", "PyErr_BadInternalCall")
            f.ret(False)
        with f.if_(f.call("i1", "walk_fits", g.get(), x)) as branch:
            incref(f, g.get())
            branch.otherwise()
            g.set(ask(f, helpers, "fit", g.get(), x))
            with f.if_(is_null(g.get())):
                f.ret(False)
        with f.if_(~f.call("i1", "walk_collect", w, helpers, target, g.get())):
            f.ret(False)
    f.ret(True)


def _release(m: Module, slots: Slots) -> None:
    """Let go of what a node saved, unless it saved nothing: `release` in Loops."""
    f = m.function("walk_release", [("node", "ptr")], internal=True)
    (node,) = f.args
    none, out = tensor_env(f, "None"), field(node, slots.node["out"])
    saved = f.var("i1", out.cmp("ne", none))
    versions = field(node, slots.node["versions"])
    with f.if_(~saved.get()), f.loop(0, field(versions, native.TUPLE_SIZE, "i64")) as i:
        saved.set(saved.get() | argument(versions.at(native.ITEMS, "i8"), i).cmp("ne", none))
    with f.if_(saved.get()):
        inputs = field(node, slots.node["inputs"])
        for name, old in (("inputs", inputs), ("out", out)):
            incref(f, none)
            set_field(node, slots.node[name], none)
            decref(f, old)


def _visit_item(m: Module, slots: Slots) -> None:
    """One of several outputs: its gradient goes into the list of their node."""
    params = [("w", "ptr"), ("helpers", "ptr"), ("node", "ptr"), ("g", "ptr"), ("inputs", "ptr")]
    f = m.function("walk_item", params, "i1", internal=True)
    w, helpers, node, g, inputs = f.args
    parent = argument(inputs.at(native.ITEMS, "i8"), 0)
    number = f.call("i64", "walk_find", w, parent)
    with f.if_(number.cmp("slt", 0)):
        f.ret(True)
    place = part_of(f, w, "grads").at(number, "ptr")
    before = place.load("ptr")
    given = is_null(before).select(tensor_env(f, "None"), before)
    slots_ = ask(f, helpers, "slots", given, node, g)
    with f.if_(is_null(slots_)):
        f.ret(False)
    place.store(slots_)
    decref(f, before)
    f.ret(True)


def _visit(m: Module, slots: Slots) -> None:
    """Turn the gradient of a node's output into gradients of its inputs; false: an error."""
    params = [("w", "ptr"), ("helpers", "ptr"), ("node", "ptr"), ("g", "ptr")]
    f = m.function("walk_visit", params, "i1", internal=True)
    w, helpers, node, g = f.args
    inputs = field(node, slots.node["inputs"])
    with f.if_(type_of(inputs).cmp("ne", tensor_env(f, "tuple"))):
        # A walk within this one was here: Python says what is wrong.
        answer = ask(f, helpers, "check", node, tensor_env(f, "None"))
        decref(f, answer)
        f.ret(False)
    incref(f, inputs)
    done = f.var("i1", False)
    item = helper(f, helpers, "item")
    with f.if_(field(node, slots.node["op"]).cmp("eq", item)) as branch:
        done.set(f.call("i1", "walk_item", w, helpers, node, g, inputs))
        branch.otherwise()
        out = f.var("ptr", f.null())
        with f.if_(f.call("i1", "walk_current", helpers, node, inputs)):
            out.set(f.call("ptr", "walk_out", helpers, node))
        with f.if_(not_null(out.get())):
            made = f.call("ptr", "walk_rule", helpers, node, g, inputs, out.get())
            decref(f, out.get())
            with f.if_(not_null(made)):
                done.set(f.call("i1", "walk_spread", w, helpers, inputs, made))
                decref(f, made)
    decref(f, inputs)
    f.ret(done.get())


def _nodes(m: Module, slots: Slots) -> None:
    """Visit the nodes, users before what they use; false with an error set."""
    params = [("w", "ptr"), ("helpers", "ptr"), ("retain", "i1")]
    f = m.function("walk_nodes", params, "i1", internal=True)
    w, helpers, retain = f.args
    none = tensor_env(f, "None")
    count = word(w, "ordered")
    with f.loop(0, count) as i:
        number = part_of(f, w, "order").at(count - i - 1, "i64").load("i64")
        node, place = (
            argument(part_of(f, w, "targets"), number),
            part_of(f, w, "grads").at(number, "ptr"),
        )
        g = f.var("ptr", place.load("ptr"))
        f.continue_if(is_null(g.get()))
        place.store(f.null())
        with f.if_(field(node, slots.node["hooks"]).cmp("ne", none)):
            changed = ask(f, helpers, "hooked", node, g.get())
            decref(f, g.get())
            with f.if_(is_null(changed)):
                f.ret(False)
            g.set(changed)
        done = f.call("i1", "walk_visit", w, helpers, node, g.get())
        decref(f, g.get())
        with f.if_(~done):
            f.ret(False)
        with f.if_(~retain):
            f.call("void", "walk_release", node)
    f.ret(True)


# ---- the leaves


def references_of(f: Function, thing: Value) -> Value:
    """How many references there are to an object; many where that cannot be told."""
    how = native.references()
    if how == "add":
        return thing.load("i64")
    return f.const("i64", 9) if how == "call" else thing.load("i32").cast("zext", "i64")


def _leaves(m: Module, slots: Slots) -> None:
    """Hooks of the leaves, then their `.grad`; false with an error set."""
    f = m.function("walk_leaves", [("w", "ptr"), ("helpers", "ptr")], "i1", internal=True)
    w, helpers = f.args
    none = tensor_env(f, "None")
    for part in ("hooks", "grad"):
        with f.loop(0, word(w, "leaves")) as i:
            number = part_of(f, w, "leaf").at(i, "i64").load("i64")
            leaf = argument(part_of(f, w, "targets"), number)
            place = part_of(f, w, "grads").at(number, "ptr")
            g = place.load("ptr")
            f.continue_if(is_null(g))
            if part == "hooks":
                f.continue_if(field(leaf, slots.tensor["hooks"]).cmp("eq", none))
                changed = ask(f, helpers, "leaf_hooks", leaf, g)
                with f.if_(is_null(changed)):
                    f.ret(False)
                place.store(changed)
                decref(f, g)
            else:
                place.store(f.null())
                done = f.call("i1", "walk_accumulate", helpers, leaf, g)
                with f.if_(~done):
                    f.ret(False)
    f.ret(True)


def _accumulate(m: Module, slots: Slots) -> None:
    """leaf.grad += g, whose reference is taken: `accumulate` in Loops; false: an error."""
    params = [("helpers", "ptr"), ("leaf", "ptr"), ("g", "ptr")]
    f = m.function("walk_accumulate", params, "i1", internal=True)
    helpers, leaf, g = f.args
    none, false = tensor_env(f, "None"), tensor_env(f, "False")
    old = field(leaf, slots.tensor["leaf_grad"])
    made = f.var("ptr", f.null())
    with f.if_(old.cmp("ne", none)) as branch:
        # one that is a view is written where it lies
        apart = f.var("i1", type_of(old).cmp("ne", tensor_env(f, "Tensor")))
        with f.if_(~apart.get()):
            apart.set(field(old, slots.tensor["base"]).cmp("eq", none))
        with f.if_(apart.get()):
            incref(f, old)
            made.set(ask(f, helpers, "add", old, g))
            decref(f, old)
        branch.otherwise()
        array = field(g, slots.tensor["array"])
        alone = type_of(g).cmp("eq", tensor_env(f, "Tensor"))
        alone = alone & type_of(array).cmp("eq", tensor_env(f, "ndarray"))
        alone = alone & references_of(f, g).cmp("eq", 1)
        with f.if_(alone):
            own = references_of(f, array).cmp("eq", 1) & is_null(array_field(array, "base"))
            with f.if_(own):
                for thing in (array, none, false):
                    incref(f, thing)
                made.set(f.call("ptr", "tensor_new", array, none, false))
                with f.if_(is_null(made.get())):
                    decref(f, g)
                    f.ret(False)
    with f.if_(is_null(made.get())):
        with f.if_(not_null(f.call("ptr", "PyErr_Occurred"))):
            decref(f, g)
            f.ret(False)
        answer = ask(f, helpers, "accumulate", leaf, g)
        decref(f, g)
        decref(f, answer)
        f.ret(not_null(answer))
    before = field(leaf, slots.tensor["leaf_grad"])
    set_field(leaf, slots.tensor["leaf_grad"], made.get())
    decref(f, before)
    decref(f, g)
    f.ret(True)


# ---- all of it


def _forget(m: Module) -> None:
    """Let go of everything."""
    f = m.function("walk_forget", [("w", "ptr")], internal=True)
    (w,) = f.args
    # Users first: what a node holds is then still held here, and no chain falls down at once.
    with f.loop(0, word(w, "count")) as i:
        decref(f, argument(part_of(f, w, "grads"), i))
        decref(f, argument(part_of(f, w, "targets"), i))
    with f.if_(word(w, "room").cmp("ne", 0)):
        f.call("void", "block_free", memory_of(w))


def _run(m: Module, interpreted: int) -> None:
    f = m.function("walk_run", [("self", "ptr"), ("args", "ptr"), ("count", "i64")], "ptr")
    helpers, args, count = f.args
    with f.if_(count.cmp("ne", 3)):
        f.call("void", "PyErr_BadInternalCall")
        f.ret(f.null())
    true, false = tensor_env(f, "True"), tensor_env(f, "False")
    usual = (f.call("i64", "thread_mode") & interpreted).cmp("eq", 0)
    root, g = argument(args, 0), argument(args, 1)
    retain = argument(args, 2).cmp("eq", true)
    start = f.var("ptr", f.null())
    with f.if_(usual):
        start.set(f.call("ptr", "walk_edge", helpers, root))
    strange = start.get().cast("ptrtoint", "i64").cmp("ule", NOT_COMMON)
    with f.if_(strange):
        with f.if_(not_null(f.call("ptr", "PyErr_Occurred"))):
            f.ret(f.null())
        incref(f, false)
        f.ret(false)
    w = f.array("i64", len(WALK))
    for name in WALK:
        set_word(w, name, 0)
    found = f.var("i64", f.call("i64", "walk_route", w, helpers, start.get()))
    with f.if_(found.get().cmp("eq", FOUND)):
        incref(f, g)
        done = f.var("i1", f.call("i1", "walk_collect", w, helpers, start.get(), g))
        with f.if_(done.get()):
            done.set(f.call("i1", "walk_nodes", w, helpers, retain))
        with f.if_(done.get()):
            done.set(f.call("i1", "walk_leaves", w, helpers))
        with f.if_(~done.get()):
            found.set(FAILED)
    f.call("void", "walk_forget", w)
    with f.if_(found.get().cmp("eq", FAILED)):
        f.ret(f.null())
    answer = found.get().cmp("eq", FOUND).select(true, false)
    incref(f, answer)
    f.ret(answer)
