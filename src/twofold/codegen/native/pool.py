"""The thread pool, in Loops. Floor 3.

    pool_run(task, job, chunks)   runs task(job, c, chunks) for each c, on caller and workers

A region's chunks are taken from one word, the ticket: generation << 32 | first << 16 | chunks left.
Who takes one swaps the ticket for the next. The caller and every other worker take the first of
those that are left, the rest the last: so each finds in its cache what it wrote in the region
before, which was cut the same way. Two virtual CPUs may be far apart (here 47 or 175 ns for a line
of one to reach the other, as the host moves them between two third-level caches), and then a
convolution whose halves changed hands took 1.35 times as long.

Who holds a chunk keeps the region open (`PENDING` cannot reach 0), so TASK, JOB and CHUNKS stand
still while they are read; a worker that comes late finds no chunk left and costs the caller
nothing.

Idle workers spin, then sleep in a futex on the generation. Who sleeps is woken only when it is
worth the system call: the caller runs the first chunk, and if the others would take it longer
than WAKE_AFTER it wakes the workers. Regions that follow each other before a worker would have
fallen asleep are added up, so that a chain of small kernels wakes it once and then finds it awake.
A region with no more chunks than threads was split for a reason: it wakes them at once.

A kernel that packs tasks may put a new or a woken worker on the caller's CPU, or the caller on a
worker's, where one waits for the other to stop. So the workers are barred from the CPU that the
caller is on (a system call only when the caller has moved). Measured without this: 0.55 ms for an
empty region, with it 0.03 ms.

The pool serves one region at a time. A call that finds it busy (a second Python thread, or a task
that calls pool_run itself) runs its chunks alone on its own thread; the bits are the same.
"""

from __future__ import annotations

from twofold.ir.build import Function, Module
from twofold.ir.values import Value

# Words of the state; those that different threads write stand on lines of their own (64 bytes).
TICKET, PENDING, ASLEEP, BUSY = 0, 8, 16, 24
TASK, JOB, CHUNKS = 32, 33, 34
THREADS, STARTED, SPIN, AVOIDED = 40, 41, 42, 43
ALONE, SINCE = 48, 49  # nanoseconds of work that others could have done, and when it was last so
STATE_WORDS = 56

MOST = 1024  # threads
AVOID_UP_TO = 16  # workers: beyond, barring each of them costs more than it gives
WAKE_AFTER = 40_000  # nanoseconds of work left
CHAIN = 100_000  # nanoseconds between the regions of a chain, at most
YIELD_AFTER = 4000  # turns that the caller spins for the last chunk before it yields its CPU
LEFT = 0xFFFF  # the ticket's lowest part, and the most chunks of a region
FIRST = 16  # the bits below the number of the first chunk left

# Linux
SYS_FUTEX, WAIT_PRIVATE, WAKE_PRIVATE = 202, 128, 129
SIG_SETMASK, SIGNAL_SET = 2, 128
CPU_SET = 128  # bytes: 1024 CPUs
CLOCK_MONOTONIC = 1

EXTERNS = (
    ("pthread_create", "i32", ("ptr", "ptr", "ptr", "ptr")),
    ("pthread_join", "i32", ("i64", "ptr")),
    ("pthread_sigmask", "i32", ("i32", "ptr", "ptr")),
    ("pthread_setaffinity_np", "i32", ("i64", "i64", "ptr")),
    ("sched_getaffinity", "i32", ("i32", "i64", "ptr")),
    ("sched_getcpu", "i32", ()),
    ("sched_yield", "i32", ()),
    ("clock_gettime", "i32", ("i32", "ptr")),
    ("fesetenv", "i32", ("ptr",)),
)


def add_pool(m: Module) -> None:
    """Write the pool into a module: pool_run, pool_resize, pool_forget."""
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.extern("syscall", "i64", ("i64",), variadic=True)
    m.data("pool_state", "i64", STATE_WORDS)
    m.data("pool_handles", "i64", MOST)
    _take(m)
    _worker(m)
    _avoid(m)
    _now(m)
    _wake(m)
    _grow(m)
    _region(m)
    _run(m)
    _resize(m)
    _forget(m)


def word(f: Function, index: int) -> Value:
    """The address of a word of the state."""
    return f.address("pool_state").at(index, "i64")


def threads(f: Function) -> Value:
    """The number of threads in force."""
    return f.atomic_load(word(f, THREADS), order="monotonic")


def _take(m: Module) -> None:
    """Run the first (`last`: 0) or the last (1) chunk that is left; false if none was."""
    f = m.function("pool_take", [("last", "i64")], "i1", internal=True, inline="never")
    (last,) = f.args
    ticket = word(f, TICKET)
    is_last = last.cmp("ne", 0)
    step = is_last.select(f.const("i64", -1), (1 << FIRST) - 1)
    chunk = f.var("i64", 0)
    with f.while_():
        seen = f.atomic_load(ticket)
        left = seen & LEFT
        with f.if_(left.cmp("eq", 0)):
            f.ret(False)
        first = seen.lshr(FIRST) & LEFT
        chunk.set(is_last.select(first + left - 1, first))
        _, taken = f.cas(ticket, seen, seen + step)
        f.break_if(taken)
    task, job = word(f, TASK).load("ptr"), word(f, JOB).load("ptr")
    chunks = word(f, CHUNKS).load("i64")
    f.call("void", task, job, chunk.get(), chunks)
    f.atomic("sub", word(f, PENDING), 1)
    f.ret(True)


def _worker(m: Module) -> None:
    """A worker's life. Its argument is its number; it ends when the pool is too small for it."""
    f = m.function("pool_worker", [("number", "ptr")], "ptr", internal=True)
    number = f.args[0].cast("ptrtoint", "i64")
    turns = f.var("i64", 0)
    # The default environment: no flush to zero, whatever the thread that started this one had.
    f.call("i32", "fesetenv", f.const("i64", -1).cast("inttoptr", "ptr"))
    with f.while_():
        f.break_if((number + 1).cmp("sge", f.atomic_load(word(f, THREADS))))
        seen = f.atomic_load(word(f, TICKET))
        took = f.call("i1", "pool_take", (number + 1) & 1)
        turns.set(took.select(f.const("i64", 0), turns.get() + 1))
        f.continue_if(took)
        f.pause()
        f.continue_if(turns.get().cmp("slt", f.atomic_load(word(f, SPIN), order="monotonic")))
        f.continue_if((seen & LEFT).cmp("ne", 0))
        f.atomic("add", word(f, ASLEEP), 1)
        _futex(f, WAIT_PRIVATE, seen.lshr(32).cast("trunc", "i32"))
        f.atomic("sub", word(f, ASLEEP), 1)
        turns.set(0)
    f.ret(f.null())


def _futex(f: Function, operation: int, value: Value) -> None:
    """A futex call on the generation, the upper half of the ticket."""
    generation = f.address("pool_state").at(2 * TICKET + 1, "i32")
    null = f.null()
    how = f.const("i64", operation)
    f.call("i64", "syscall", SYS_FUTEX, generation, how, value, null, null, f.const("i64", 0))


def _avoid(m: Module) -> None:
    """Bar the workers from the CPU that the caller is on, if it has moved there."""
    f = m.function("pool_avoid", [], internal=True, inline="never")
    started = word(f, STARTED).load("i64")
    cpu = f.call("i32", "sched_getcpu").cast("sext", "i64")
    same = cpu.cmp("eq", word(f, AVOIDED).load("i64"))
    with f.if_(same | started.cmp("sgt", AVOID_UP_TO) | cpu.cmp("slt", 0)):
        f.ret()
    word(f, AVOIDED).store(cpu)
    allowed = f.array("i64", CPU_SET // 8)
    f.memset(allowed, 0, CPU_SET)
    got = f.call("i32", "sched_getaffinity", f.const("i32", 0), f.const("i64", CPU_SET), allowed)
    with f.if_(got.cmp("slt", 0) | cpu.cmp("sge", 8 * CPU_SET)):
        f.ret()
    part = allowed.at(cpu.lshr(6), "i64")
    part.store(part.load("i64") & ~(f.const("i64", 1) << (cpu & 63)))
    rest = f.var("i64", 0)
    with f.loop(0, CPU_SET // 8) as i:
        rest.set(rest.get() | allowed.at(i, "i64").load("i64"))
    with f.if_(rest.get().cmp("eq", 0)):
        f.ret()
    with f.loop(0, started) as i:
        handle = f.address("pool_handles").at(i, "i64").load("i64")
        f.call("i32", "pthread_setaffinity_np", handle, f.const("i64", CPU_SET), allowed)


def _now(m: Module) -> None:
    """Nanoseconds of a clock that only goes on."""
    f = m.function("pool_now", [], "i64", internal=True)
    time = f.array("i64", 2)
    f.call("i32", "clock_gettime", f.const("i32", CLOCK_MONOTONIC), time)
    f.ret(time.load("i64") * 1_000_000_000 + time.at(1, "i64").load("i64"))


def _wake(m: Module) -> None:
    """Wake up to `chunks` workers, if what is left after a first chunk is worth it."""
    f = m.function("pool_wake", [("chunks", "i64")], internal=True, inline="never")
    (chunks,) = f.args
    with f.if_(chunks.cmp("sgt", threads(f))):
        begun = f.call("i64", "pool_now")
        f.call("i1", "pool_take", 0)
        spent = f.call("i64", "pool_now") - begun
        left = f.atomic_load(word(f, TICKET)) & LEFT
        chain = (begun - word(f, SINCE).load("i64")).cmp("slt", CHAIN)
        before = chain.select(word(f, ALONE).load("i64"), 0)
        alone = before + spent * left
        word(f, ALONE).store(alone)
        word(f, SINCE).store(begun)
        with f.if_(alone.cmp("slt", WAKE_AFTER)):
            f.ret()
        word(f, ALONE).store(f.const("i64", 0))
    _futex(f, WAKE_PRIVATE, f.min(chunks, 0x7FFFFFFF).cast("trunc", "i32"))


def _grow(m: Module) -> None:
    """Start the workers that are missing, deaf to signals; fewer if the system refuses."""
    f = m.function("pool_grow", [], internal=True, inline="never")
    all_signals, before = f.array("i64", SIGNAL_SET // 8), f.array("i64", SIGNAL_SET // 8)
    f.memset(all_signals, -1, SIGNAL_SET)
    f.call("i32", "pthread_sigmask", f.const("i32", SIG_SETMASK), all_signals, before)
    number = f.var("i64", word(f, STARTED).load("i64"))
    with f.while_():
        f.break_if((number.get() + 1).cmp("sge", threads(f)))
        handle = f.address("pool_handles").at(number.get(), "i64")
        argument = number.get().cast("inttoptr", "ptr")
        worker = f.function("pool_worker")
        failed = f.call("i32", "pthread_create", handle, f.null(), worker, argument)
        with f.if_(failed.cmp("ne", 0)):
            f.atomic_store(word(f, THREADS), number.get() + 1)
        f.break_if(failed.cmp("ne", 0))
        number.set(number.get() + 1)
    word(f, STARTED).store(number.get())
    word(f, AVOIDED).store(f.const("i64", -1))
    f.call("i32", "pthread_sigmask", f.const("i32", SIG_SETMASK), before, f.null())


def _region(m: Module) -> None:
    """Run a region; BUSY is ours."""
    args = [("task", "ptr"), ("job", "ptr"), ("chunks", "i64")]
    f = m.function("pool_region", args, internal=True, inline="never")
    task, job, chunks = f.args
    with f.if_((word(f, STARTED).load("i64") + 1).cmp("slt", threads(f))):
        f.call("void", "pool_grow")
    f.call("void", "pool_avoid")
    word(f, TASK).store(task)
    word(f, JOB).store(job)
    word(f, CHUNKS).store(chunks)
    f.atomic_store(word(f, PENDING), chunks)
    generation = (f.atomic_load(word(f, TICKET)).lshr(32) + 1) << 32
    f.atomic_store(word(f, TICKET), generation | chunks, "seq_cst")
    with f.if_(f.atomic_load(word(f, ASLEEP), order="seq_cst").cmp("ne", 0)):
        f.call("void", "pool_wake", chunks)
    with f.while_():
        f.break_if(~f.call("i1", "pool_take", 0))
    turns = f.var("i64", 0)
    with f.while_():
        f.break_if(f.atomic_load(word(f, PENDING)).cmp("eq", 0))
        f.pause()
        turns.set(turns.get() + 1)
        with f.if_(turns.get().cmp("sgt", YIELD_AFTER)):
            f.call("i32", "sched_yield")


def _run(m: Module) -> None:
    f = m.function("pool_run", [("task", "ptr"), ("job", "ptr"), ("chunks", "i64")])
    task, job, chunks = f.args
    with f.if_(chunks.cmp("sgt", 1) & chunks.cmp("sle", LEFT) & threads(f).cmp("sgt", 1)):
        _, ours = f.cas(word(f, BUSY), 0, 1)
        with f.if_(ours):
            f.call("void", "pool_region", task, job, chunks)
            f.atomic_store(word(f, BUSY), 0)
            f.ret()
    with f.loop(0, chunks) as chunk:
        f.call("void", task, job, chunk, chunks)


def _resize(m: Module) -> None:
    """Set the number of threads and the spin; workers that are too many end before this returns."""
    f = m.function("pool_resize", [("threads", "i64"), ("spin", "i64")])
    wanted, spin = f.args
    with f.while_():
        _, ours = f.cas(word(f, BUSY), 0, 1)
        f.break_if(ours)
        f.call("i32", "sched_yield")
    f.atomic_store(word(f, SPIN), spin)
    f.atomic_store(word(f, THREADS), wanted)
    started = word(f, STARTED).load("i64")
    with f.if_(wanted.cmp("sle", started)):
        f.atomic("add", word(f, TICKET), f.const("i64", 1 << 32))
        _futex(f, WAKE_PRIVATE, f.const("i32", 0x7FFFFFFF))
        with f.loop(wanted - 1, started) as i:
            handle = f.address("pool_handles").at(i, "i64").load("i64")
            f.call("i32", "pthread_join", handle, f.null())
        word(f, STARTED).store(wanted - 1)
    f.atomic_store(word(f, BUSY), 0)


def _forget(m: Module) -> None:
    """In a forked child: there are no workers, nobody sleeps, no region is open."""
    f = m.function("pool_forget", [])
    for index in (TICKET, PENDING, ASLEEP, BUSY, STARTED):
        f.atomic_store(word(f, index), 0)
