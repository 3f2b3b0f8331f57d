"""The plans that an entry holds, in Loops: given to it, and freed. Floor 3.

entry_give(_, args, count)   give(entry, words, keep): a plan's words, as bytes
entry_free(capsule)          the destructor of an entry's capsule
"""

from __future__ import annotations

from twofold.codegen.native.entry import argument, entry_block, plan_word
from twofold.codegen.native.objects import decref, env, field, incref, is_null, not_null
from twofold.ir.build import Module
from twofold.runtime import native
from twofold.runtime.entries import FIRST_PLAN, MOST_PLANS, PLANS, WORD

BYTES_SIZE = native.TUPLE_SIZE  # of bytes, as of all objects of various lengths


def add_plans(m: Module) -> None:
    _free_plan(m)
    _give(m)
    _free(m)


def _give(m: Module) -> None:
    """Copy the words to memory of their own: the plan stands first in the entry, and the last goes
    where there are too many. `keep` lives as long as the plan.
    """
    m.extern("PyMem_RawMalloc", "ptr", ["i64"])
    params = [("self", "ptr"), ("args", "ptr"), ("count", "i64")]
    f = m.function("entry_give", params, "ptr")
    _, args, _ = f.args
    words, keep = argument(args, 1), argument(args, 2)
    size = field(words, BYTES_SIZE, "i64")
    plan = f.call("ptr", "PyMem_RawMalloc", size)
    with f.if_(is_null(plan)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    f.memcpy(plan, words.at(native.BYTES, "i8"), size)
    incref(f, keep)
    plan.at(WORD["keep"], "ptr").store(keep)
    entry = entry_block(argument(args, 0))
    count = f.var("i64", entry.at(PLANS, "i64").load("i64"))
    gone = f.var("ptr", f.null())
    with f.if_(count.get().cmp("eq", MOST_PLANS)):
        count.set(count.get() - 1)
        gone.set(argument(entry, count.get() + FIRST_PLAN))
    f.memmove(entry.at(FIRST_PLAN + 1, "i64"), entry.at(FIRST_PLAN, "i64"), count.get() << 3)
    entry.at(FIRST_PLAN, "ptr").store(plan)
    entry.at(PLANS, "i64").store(count.get() + 1)
    with f.if_(not_null(gone.get())):
        f.call("void", "plan_free", gone.get())
    incref(f, env(f, "None"))
    f.ret(env(f, "None"))


def _free_plan(m: Module) -> None:
    f = m.function("plan_free", [("plan", "ptr")], internal=True, inline="never")
    keep = plan_word(f.args[0], "keep").cast("inttoptr", "ptr")
    f.call("void", "PyMem_RawFree", f.args[0])
    decref(f, keep)


def _free(m: Module) -> None:
    f = m.function("entry_free", [("capsule", "ptr")])
    entry = field(f.args[0], native.CAPSULE)
    with f.loop(0, entry.at(PLANS, "i64").load("i64")) as i:
        f.call("void", "plan_free", argument(entry, i + FIRST_PLAN))
    f.call("void", "PyMem_RawFree", entry)
