"""Loops and branches as kernels: tasks whose job holds programs, which they run. Floor 6.

A program inside of a job is what a plan is outside (runtime/entries.py): steps (task, place of the
job, chunks), and the words of their jobs. So a loop is one step of the program around it, loops
stand in loops, and nothing is called but kernels.

    branch   runs one of two programs
    turns    runs a program again and again, and before each turn, if there is one, its test

Between turns words of the programs change:

    moves    (place, amount): the word at that place grows by it; slices of what is scanned
    flips    (place, one, other): from one address to the other and back; what is carried is read
             from one buffer and written to the other
    kept     (place): what is carried lies in a record that grows by a row a turn, so that the turns
             can be gone through backwards

After the last turn the words are what they were before the first: the program around may run the
loop again.
"""

from __future__ import annotations

from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.values import Value, Var
from twofold.lower.task import Task
from twofold.runtime import faults

STEP_WORDS = 3  # task, place of the job, chunks
MOVE, FLIP, FINAL, GIVEN = 2, 3, 4, 3  # words of an entry

BRANCH = "pred:ptr yes_at yes_steps no_at no_steps checks_at checks"
TURNS = (
    # how often: a number, or UNTIL the test is false, or as often as the RECORD has rows
    "turns test_at test_steps flag:ptr body_at body_steps"
    # (see above; finals: buffer after an even and an odd number of turns, target, bytes)
    " moves_at moves flips_at flips finals_at finals"
    # checks: bytes that end the loop when they are set, and are cleared at its begin;
    # stop: one that ends all loops, set where Python has raised, or the user interrupts
    " checks_at checks stop:ptr"
    # record: words (address, rows), or 0; row: its bytes; given: (source, place in row, bytes)
    " record:ptr row kept_at kept given_at given fault:ptr"
)
UNTIL, RECORD = -1, -2
FIRST_ROWS = 1 << 16  # bytes that a record begins with

# How often signals are looked for: every so many nanoseconds, and every so many turns the time.
LOOK, GLANCE = 50_000_000, 16
CLOCK_MONOTONIC = 1


def address_of(task: str) -> int:
    """Where a task of this file lies."""
    return load("turns", build_turns).address(task)


def build_turns() -> Module:
    """The tasks `branch` and `turns`."""
    m = Module("turns")
    m.extern("pool_run", "void", ("ptr", "ptr", "i64"))
    m.extern("realloc", "ptr", ("ptr", "i64"))
    m.extern("free", "void", ("ptr",))
    m.extern("clock_gettime", "i32", ("i32", "ptr"))
    m.extern("PyGILState_Ensure", "i32", ())
    m.extern("PyGILState_Release", "void", ("i32",))
    m.extern("PyErr_CheckSignals", "i32", ())
    _now(m)
    _program(m)
    _branch(m)
    _turns(m)
    return m


def _program(m: Module) -> None:
    f = m.function("program", [("program", "ptr"), ("steps", "i64")], internal=True, inline="never")
    program, steps = f.args
    with f.loop(0, steps) as i:
        step = program.at(i * STEP_WORDS, "i64")
        task, job = step.load("ptr"), program.at(step.at(1, "i64").load("i64"), "i64")
        chunks = step.at(2, "i64").load("i64")
        with f.if_(chunks.cmp("slt", 0)):  # a byte that ends the program where it is set
            with f.if_(job.load("ptr").load("i8").cmp("ne", 0)):
                f.ret()
            f.continue_if(True)
        with f.if_(chunks.cmp("eq", 1)) as branch:
            f.call("void", task, job, 0, 1)
            branch.otherwise()
            f.call("void", "pool_run", task, job, chunks)


def _now(m: Module) -> None:
    """Nanoseconds of a clock that only goes on."""
    f = m.function("now", [], "i64", internal=True, inline="never")
    time = f.array("i64", 2)
    f.call("i32", "clock_gettime", f.const("i32", CLOCK_MONOTONIC), time)
    f.ret(time.load("i64") * 1_000_000_000 + time.at(1, "i64").load("i64"))


def _clear(t: Task) -> None:
    with t.f.loop(0, t.checks) as i:
        check = t.job.at(t.checks_at + i, "ptr").load("ptr")
        check.store(t.f.const("i8", 0))


def _branch(m: Module) -> None:
    t = Task(m, "branch", BRANCH)
    f = t.f
    _clear(t)
    with f.if_(t.pred.load("i8").cmp("ne", 0)) as branch:
        f.call("void", "program", t.job.at(t.yes_at, "i64"), t.yes_steps)
        branch.otherwise()
        f.call("void", "program", t.job.at(t.no_at, "i64"), t.no_steps)


def _turns(m: Module) -> None:
    t = Task(m, "turns", TURNS)
    f = t.f
    turn = f.var("i64", 0)
    base = f.var("ptr", f.null())
    room = f.var("i64", 0)  # rows that the record has memory for
    recorded = t.record.cmp("ne", f.null())
    back = t.turns.cmp("eq", RECORD)
    end = f.var("i64", t.turns)
    looked = f.var("i64", f.call("i64", "now"))
    _clear(t)

    with f.if_(recorded):
        _open_record(t, back, base, room, end)

    with f.while_():
        f.break_if(turn.get().cmp("eq", end.get()))
        with f.if_(t.test_steps.cmp("ne", 0)):
            f.call("void", "program", t.job.at(t.test_at, "i64"), t.test_steps)
        with f.if_(t.turns.cmp("eq", UNTIL)):
            f.break_if(t.flag.load("i8").cmp("eq", 0))
        f.call("void", "program", t.job.at(t.body_at, "i64"), t.body_steps)
        _flip(t, (turn.get() & 1).cmp("eq", 0))
        turn.set(turn.get() + 1)
        _move(t, f.const("i64", 1))
        with f.if_(recorded):
            _shift(t, back.select(-t.row, t.row))
            # the next turn writes one row more
            with f.if_(~back & (turn.get() + 1).cmp("eq", room.get())):
                more = f.call("ptr", "realloc", base.get(), room.get() * t.row * 2)
                with f.if_(more.cmp("eq", f.null())) as memory:
                    _short_of_memory(t)
                    end.set(turn.get())
                    memory.otherwise()
                    moved = more.cast("ptrtoint", "i64") - base.get().cast("ptrtoint", "i64")
                    _shift(t, moved)
                    base.set(more)
                    room.set(room.get() * 2)
        with f.if_((turn.get() & (GLANCE - 1)).cmp("eq", 0)):
            now = f.call("i64", "now")
            with f.if_((now - looked.get()).cmp("sgt", LOOK)):
                looked.set(now)
                _look_for_signals(t)
        f.break_if(_stopped(t))

    odd = (turn.get() & 1).cmp("ne", 0)
    with f.if_(odd):
        _flip(t, f.const("i1", False))
    _move(t, -turn.get())
    with f.loop(0, t.finals) as i:
        entry = t.job.at(t.finals_at + i * FINAL, "i64")
        even, other, into = (entry.at(k, "i64").load("ptr") for k in range(3))
        last = odd.select(other, even)
        with f.if_(last.cmp("ne", into)):
            f.memcpy(into, last, entry.at(3, "i64").load("i64"))
    with f.if_(recorded):
        first = base.get().cast("ptrtoint", "i64")
        with f.if_(back) as one:
            _shift(t, t.row - first)
            f.call("void", "free", base.get())
            one.otherwise()
            _shift(t, -(first + turn.get() * t.row))
            t.record.store(base.get())
            t.record.at(1, "i64").store(turn.get())


def _open_record(t: Task, back: Value, base: Var, room: Var, end: Var) -> None:
    """Begin a record with what the loop begins with; or begin at the last row of one."""
    f = t.f
    with f.if_(back) as which:
        base.set(t.record.load("ptr"))
        end.set(t.record.at(1, "i64").load("i64"))
        _shift(t, base.get().cast("ptrtoint", "i64") + (end.get() - 1) * t.row)
        which.otherwise()
        room.set(f.max(f.const("i64", FIRST_ROWS) // t.row, 2))
        base.set(f.call("ptr", "realloc", f.null(), room.get() * t.row))
        with f.if_(base.get().cmp("eq", f.null())) as memory:
            _short_of_memory(t)
            end.set(0)
            memory.otherwise()
            with f.loop(0, t.given) as i:
                entry = t.job.at(t.given_at + i * GIVEN, "i64")
                place, size = entry.at(1, "i64").load("i64"), entry.at(2, "i64").load("i64")
                f.memcpy(base.get().at(place, "i8"), entry.load("ptr"), size)
        _shift(t, base.get().cast("ptrtoint", "i64"))


def _move(t: Task, times: Value) -> None:
    f = t.f
    with f.loop(0, t.moves) as i:
        entry = t.job.at(t.moves_at + i * MOVE, "i64")
        word = t.job.at(entry.load("i64"), "i64")
        word.store(word.load("i64") + entry.at(1, "i64").load("i64") * times)


def _flip(t: Task, there: Value) -> None:
    """Exchange the buffers of what is carried: from one to the other, or back."""
    f = t.f
    with f.loop(0, t.flips) as i:
        entry = t.job.at(t.flips_at + i * FLIP, "i64")
        word = t.job.at(entry.load("i64"), "i64")
        way = entry.at(2, "i64").load("i64") - entry.at(1, "i64").load("i64")
        word.store(word.load("i64") + there.select(way, -way))


def _shift(t: Task, by: Value) -> None:
    """Move every word that tells of the record."""
    f = t.f
    with f.loop(0, t.kept) as i:
        word = t.job.at(t.job.at(t.kept_at + i, "i64").load("i64"), "i64")
        word.store(word.load("i64") + by)


def _stopped(t: Task) -> Value:
    f = t.f
    stopped = f.var("i1", t.stop.load("i8").cmp("ne", 0))
    with f.loop(0, t.checks) as i:
        check = t.job.at(t.checks_at + i, "ptr").load("ptr")
        stopped.set(stopped.get() | check.load("i8").cmp("ne", 0))
    return stopped.get()


def _look_for_signals(t: Task) -> None:
    """Let Python handle what has come; an error that it raises stays set, and ends the loops."""
    f = t.f
    held = f.call("i32", "PyGILState_Ensure")
    with f.if_(f.call("i32", "PyErr_CheckSignals").cmp("ne", 0)):
        t.stop.store(f.const("i8", 1))
    f.call("void", "PyGILState_Release", held)


def _short_of_memory(t: Task) -> None:
    t.fault.store(t.f.const("i64", faults.MEMORY))
