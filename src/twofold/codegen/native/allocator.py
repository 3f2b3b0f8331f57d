"""The caching allocator, in Loops. Floor 3. The GIL is its lock.

    block_alloc(bytes)    block_free(ptr)    block_resize(ptr, bytes)    cache_empty()
    block_scratch(bytes)  memory for one call, from any cached block that is large enough

Size classes are powers of two in four steps, so a new block is at most a quarter larger than
asked. A block lies 64 bytes behind its header (class, size, next free block). Freed blocks wait in
last-in-first-out lists, one a class: the last one is the likeliest to be in the CPU's cache. Where
a list is empty, a block of one of the next classes serves, up to twice as large.

Blocks from HUGE up are aligned to 2 MB and ask for huge pages. A block from LARGE up that is the
first of its class goes back to the system when it is freed: work that repeats asks for a second.
The cache is emptied when allocated and cached bytes together would pass the limit; when they would
pass one and a half times the most that was ever allocated at once, as then it holds sizes that do
not come again; and before the system's refusal becomes ours.
"""

from __future__ import annotations

from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.runtime.memory import ALLOCATED, CACHED, LIMIT, PEAK

HEADER = 64
CLASS, SIZE, NEXT = 0, 1, 2  # words of the header
SMALLEST = 128  # bytes of the smallest block, header included
MOST = 1 << 56  # bytes; more is refused before any arithmetic on it
CLASSES = 256
LARGER = 4  # classes above its own that serve a request: up to twice its size
ALWAYS = 64 << 20  # bytes that may be held whatever the peak
HUGE, HUGE_PAGE = 4 << 20, 2 << 20
LARGE = 32 << 20  # from here on malloc too gives back what is freed
NEAR = 8  # classes: two doublings
MADV_HUGEPAGE = 14

EXTERNS = (
    ("posix_memalign", "i32", ("ptr", "i64", "i64")),
    ("free", "void", ("ptr",)),
    ("madvise", "i32", ("ptr", "i64", "i32")),
    ("malloc_trim", "i32", ("i64",)),
)


def add_allocator(m: Module) -> None:
    """Write the allocator into a module."""
    for name, result, params in EXTERNS:
        m.extern(name, result, params)
    m.data("memory_words", "i64", 4)
    m.data("memory_lists", "ptr", CLASSES)
    m.data("memory_taken", "i64", CLASSES)  # blocks from the system so far
    _empty(m)
    _system(m)
    _miss(m)
    _alloc(m)
    _scratch(m)
    _free(m)
    _resize(m)


def _word(f: Function, index: int) -> Value:
    return f.address("memory_words").at(index, "i64")


def _add(f: Function, index: int, amount: Value) -> Value:
    total = _word(f, index).load("i64") + amount
    _word(f, index).store(total)
    return total


def _list(f: Function, class_: Value) -> Value:
    return f.address("memory_lists").at(class_, "ptr")


def _taken(f: Function, class_: Value) -> Value:
    return f.address("memory_taken").at(class_, "i64")


def _empty(m: Module) -> None:
    """Give all cached blocks back to the system."""
    f = m.function("cache_empty", [], inline="never")
    with f.loop(0, CLASSES) as i:
        block = f.var("ptr", _list(f, i).load("ptr"))
        _list(f, i).store(f.null())
        with f.while_():
            f.break_if(block.get().cmp("eq", f.null()))
            after = block.get().at(NEXT, "ptr").load("ptr")
            f.call("void", "free", block.get())
            block.set(after)
    _word(f, CACHED).store(f.const("i64", 0))
    f.call("i32", "malloc_trim", 0)


def _system(m: Module) -> None:
    """Memory of `size` bytes from the system, or null."""
    f = m.function("block_system", [("size", "i64")], "ptr", internal=True, inline="never")
    (size,) = f.args
    place = f.array("ptr", 1)
    huge = size.cmp("uge", HUGE)
    align = huge.select(f.const("i64", HUGE_PAGE), 64)
    failed = f.call("i32", "posix_memalign", place, align, size).cmp("ne", 0)
    with f.if_(failed):
        f.ret(f.null())
    block = place.load("ptr")
    with f.if_(huge):
        f.call("i32", "madvise", block, size, f.const("i32", MADV_HUGEPAGE))
    f.ret(block)


def _miss(m: Module) -> None:
    """A larger block, or a new one with its header; the cache is emptied if it is too large or
    memory is short.
    """
    params = [("class_", "i64"), ("size", "i64")]
    f = m.function("block_miss", params, "ptr", internal=True, inline="never")
    class_, size = f.args
    with f.loop(class_ + 1, class_ + 1 + LARGER) as larger:
        found = _list(f, larger).load("ptr")
        with f.if_(found.cmp("ne", f.null())):
            _list(f, larger).store(found.at(NEXT, "ptr").load("ptr"))
            _add(f, CACHED, -found.at(SIZE, "i64").load("i64"))
            f.ret(found)
    cached = _word(f, CACHED).load("i64")
    needed = _word(f, ALLOCATED).load("i64") + size
    peak = f.max(_word(f, PEAK).load("i64"), needed)
    held = f.max(peak + peak.lshr(1), f.const("i64", ALWAYS))
    most = f.min(held, _word(f, LIMIT).load("i64"))
    with f.if_((needed + cached).cmp("sgt", most) & cached.cmp("ne", 0)):
        f.call("void", "cache_empty")
    block = f.var("ptr", f.call("ptr", "block_system", size))
    with f.if_(block.get().cmp("eq", f.null())):
        f.call("void", "cache_empty")
        block.set(f.call("ptr", "block_system", size))
    new = block.get()
    with f.if_(new.cmp("eq", f.null())):
        f.ret(new)
    new.at(CLASS, "i64").store(class_)
    new.at(SIZE, "i64").store(size)
    taken = _taken(f, class_)
    taken.store(taken.load("i64") + 1)
    f.ret(new)


def _class_of(f: Function, asked: Value) -> tuple[Value, Value]:
    """The class of a block for so many bytes, and the size of its blocks."""
    last = (asked + HEADER).cmp("ugt", SMALLEST).select(asked + HEADER, SMALLEST) - 1
    # `last` has its leading 1 at bit `shift` + 2; the two bits behind it say which quarter.
    shift = 61 - f.ctlz(last)
    quarter = last.lshr(shift)
    return (shift << 2) + (quarter & 3), (quarter + 1) << shift


def _alloc(m: Module) -> None:
    f = m.function("block_alloc", [("bytes", "i64")], "ptr")
    (asked,) = f.args
    with f.if_(asked.cmp("ugt", MOST)):
        f.ret(f.null())
    class_, size = _class_of(f, asked)
    block = f.var("ptr", _list(f, class_).load("ptr"))
    with f.if_(block.get().cmp("ne", f.null())) as hit:
        _list(f, class_).store(block.get().at(NEXT, "ptr").load("ptr"))
        _add(f, CACHED, -size)
        hit.otherwise()
        block.set(f.call("ptr", "block_miss", class_, size))
        with f.if_(block.get().cmp("eq", f.null())):
            f.ret(f.null())
    used = _add(f, ALLOCATED, block.get().at(SIZE, "i64").load("i64"))
    with f.if_(used.cmp("sgt", _word(f, PEAK).load("i64"))):
        _word(f, PEAK).store(used)
    f.ret(block.get().at(HEADER, "i8"))


def _scratch(m: Module) -> None:
    """Memory for one call. Calls of many sizes share the block of the largest: a cached one of up
    to four times the size serves; where there is none, smaller ones that served go back to the
    system.
    """
    f = m.function("block_scratch", [("bytes", "i64")], "ptr")
    (asked,) = f.args
    wanted = f.var("i64", asked)
    with f.if_(asked.cmp("uge", HUGE) & asked.cmp("ule", MOST)):
        class_, _ = _class_of(f, asked)
        at = f.var("i64", class_)
        with f.while_():
            f.break_if(at.get().cmp("sgt", class_ + NEAR))
            f.break_if(_list(f, at.get()).load("ptr").cmp("ne", f.null()))
            at.set(at.get() + 1)
        with f.if_(at.get().cmp("sle", class_ + NEAR)) as found:
            wanted.set(_list(f, at.get()).load("ptr").at(SIZE, "i64").load("i64") - HEADER)
            found.otherwise()
            least, _ = _class_of(f, f.const("i64", HUGE))
            with f.loop(f.max(class_ - NEAR, least), class_) as below, f.while_():
                block = _list(f, below).load("ptr")
                f.break_if(block.cmp("eq", f.null()))
                _list(f, below).store(block.at(NEXT, "ptr").load("ptr"))
                _add(f, CACHED, -block.at(SIZE, "i64").load("i64"))
                f.call("void", "free", block)
    f.ret(f.call("ptr", "block_alloc", wanted.get()))


def _free(m: Module) -> None:
    f = m.function("block_free", [("data", "ptr")])
    block = f.args[0].at(-HEADER, "i8")
    class_, size = (block.at(word, "i64").load("i64") for word in (CLASS, SIZE))
    used = _add(f, ALLOCATED, -size)
    cached = _word(f, CACHED).load("i64") + size
    once = size.cmp("uge", LARGE) & _taken(f, class_).load("i64").cmp("eq", 1)
    with f.if_((used + cached).cmp("ugt", _word(f, LIMIT).load("i64")) | once):
        f.call("void", "free", block)
        f.ret()
    _word(f, CACHED).store(cached)
    place = _list(f, class_)
    block.at(NEXT, "ptr").store(place.load("ptr"))
    place.store(block)


def _resize(m: Module) -> None:
    """A block of another size with the same beginning; the old one stays if there is no memory."""
    f = m.function("block_resize", [("data", "ptr"), ("bytes", "i64")], "ptr")
    data, asked = f.args
    new = f.call("ptr", "block_alloc", asked)
    with f.if_(new.cmp("eq", f.null()) | data.cmp("eq", f.null())):
        f.ret(new)
    room = data.at(-HEADER, "i8").at(SIZE, "i64").load("i64") - HEADER
    f.memcpy(new, data, f.min(room, asked))
    f.call("void", "block_free", data)
    f.ret(new)
