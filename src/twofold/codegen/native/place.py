"""Where the user's program stands, for nodes of the tape, in Loops. Floor 3.

    user_place() -> a new reference to (code, last instruction), or to None

The innermost Python frame that is not ours counts, as in base.errors.user_place. Whether a code
object is ours is asked once (of the Python function `is_ours`) and kept by the code's address; so
are the pairs that were made, since a loop asks for the same ones again. Both tables hold
references, so that no address in them can come to mean something else.
"""

from __future__ import annotations

from twofold.codegen.native.objects import decref, incref, is_null, not_null
from twofold.codegen.native.tensor_env import tensor_env
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime import native

EXTERNS = (
    ("PyEval_GetFrame", "ptr", ()),
    ("PyFrame_GetBack", "ptr", ("ptr",)),
    ("PyFrame_GetCode", "ptr", ("ptr",)),
    ("PyFrame_GetLasti", "i32", ("ptr",)),
    ("PyLong_FromLongLong", "ptr", ("i64",)),
    ("PyObject_IsTrue", "i32", ("ptr",)),
)
CODES, CODE_WORDS = 512, 2  # code, whether it is ours
PLACES, PLACE_WORDS = 1024, 3  # code, instruction, the pair


def add_place(m: Module) -> None:
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.data("place_codes", "ptr", CODES * CODE_WORDS)
    m.data("place_pairs", "ptr", PLACES * PLACE_WORDS)
    _ours(m)
    _pair(m)
    _user_place(m)


def _row(f: Function, table: str, hash_: Value, rows: int, words: int) -> Value:
    return f.address(table).at((hash_ & (rows - 1)) * words, "ptr")


def _ours(m: Module) -> None:
    """1 if the code object is one of ours, 0 if not, -1 with an error set."""
    f = m.function("code_is_ours", [("code", "ptr")], "i64", internal=True)
    (code,) = f.args
    row = _row(f, "place_codes", code.cast("ptrtoint", "i64").lshr(5), CODES, CODE_WORDS)
    with f.if_(row.load("ptr").cmp("eq", code)):
        f.ret(row.at(1, "i64").load("i64"))
    box = f.array("ptr", 1)
    box.store(code)
    answer = f.call("ptr", "PyObject_Vectorcall", tensor_env(f, "is_ours"), box, 1, f.null())
    with f.if_(is_null(answer)):
        f.ret(-1)
    ours = f.call("i32", "PyObject_IsTrue", answer).cast("sext", "i64")
    decref(f, answer)
    old = row.load("ptr")
    incref(f, code)
    row.store(code)
    row.at(1, "i64").store(ours)
    decref(f, old)
    f.ret(ours)


def _pair(m: Module) -> None:
    """A new reference to (code, instruction), or null."""
    params = [("code", "ptr"), ("instruction", "i64")]
    f = m.function("place_pair", params, "ptr", internal=True)
    code, instruction = f.args
    hash_ = code.cast("ptrtoint", "i64").lshr(5) * 31 + instruction.lshr(1)
    row = _row(f, "place_pairs", hash_, PLACES, PLACE_WORDS)
    same = row.load("ptr").cmp("eq", code)
    with f.if_(same & row.at(1, "i64").load("i64").cmp("eq", instruction)):
        incref(f, row.at(2, "ptr").load("ptr"))
        f.ret(row.at(2, "ptr").load("ptr"))
    number = f.call("ptr", "PyLong_FromLongLong", instruction)
    with f.if_(is_null(number)):
        f.ret(number)
    pair = f.call("ptr", "PyTuple_New", 2)
    with f.if_(is_null(pair)):
        decref(f, number)
        f.ret(pair)
    incref(f, code)
    items = pair.at(native.ITEMS, "i8")
    items.store(code)
    items.at(1, "ptr").store(number)
    old = row.at(2, "ptr").load("ptr")
    incref(f, pair)
    # The pair holds the code.
    row.store(code)
    row.at(1, "i64").store(instruction)
    row.at(2, "ptr").store(pair)
    decref(f, old)
    f.ret(pair)


def _user_place(m: Module) -> None:
    f = m.function("user_place", [], "ptr", internal=True)
    frame = f.var("ptr", f.call("ptr", "PyEval_GetFrame"))
    with f.if_(not_null(frame.get())):
        incref(f, frame.get())
    with f.while_():
        f.break_if(is_null(frame.get()))
        here = frame.get()
        code = f.call("ptr", "PyFrame_GetCode", here)
        ours = f.call("i64", "code_is_ours", code)
        with f.if_(ours.cmp("eq", 0)):
            instruction = f.call("i32", "PyFrame_GetLasti", here).cast("sext", "i64")
            pair = f.call("ptr", "place_pair", code, instruction)
            decref(f, code)
            decref(f, here)
            f.ret(pair)
        decref(f, code)
        with f.if_(ours.cmp("slt", 0)):
            decref(f, here)
            f.ret(f.null())
        frame.set(f.call("ptr", "PyFrame_GetBack", here))
        decref(f, here)
    incref(f, tensor_env(f, "None"))
    f.ret(tensor_env(f, "None"))
