"""Programs for the tests of Loops and of code generation: one that uses everything."""

from twofold.ir.build import Function, Module


def everything() -> Module:
    """A module with each statement and each operation of the language."""
    m = Module("everything")
    m.extern("getpid", "i32", [])
    m.extern("syscall", "i64", ["i64"], variadic=True)
    m.data("state", "i64", 4)
    m.table("coefficients", "f32", [1, 2.5, -0.0, float("inf"), float("nan")])
    _helper(m)
    _integers(m)
    _floats(m)
    _vectors(m)
    _memory(m)
    _control(m)
    return m


def _helper(m: Module) -> None:
    f = m.function("helper", [("x", "i64")], "i64", internal=True, inline="always")
    f.ret(f.args[0] + 1)


def _integers(m: Module) -> None:
    f = m.function("integers", [("x", "i64"), ("y", "i64")], "i64", inline="never")
    x, y = f.args
    parts = [x + y, x - 1, 2 * x, x // 3, x % 5, x & y, x | 8, x ^ y, x << 2, -x, ~y]
    parts += [x.ashr(1), y.lshr(2), x.sdiv(7), y.srem(3), f.min(x, y), f.max(3, x), f.abs(x)]
    parts += [
        f.popcount(x),
        f.ctlz(y),
        f.call("i64", "helper", x),
        x.cast("trunc", "i8").cast("sext", "i64"),
    ]
    parts += [x.cmp("ult", y).select(x, 4), x.cast("inttoptr", "ptr").cast("ptrtoint", "i64")]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    f.ret(total)


def _floats(m: Module) -> None:
    f = m.function("floats", [("x", "f64"), ("k", "i32")], "f32")
    x, k = f.args
    parts = [
        x + 1,
        x - x,
        0.5 * x,
        1 / x,
        -x,
        f.fma(x, 2.0, x),
        f.scale(x, 2),
        f.sqrt(x),
        f.abs(x),
        f.floor(x),
    ]
    parts += [f.ceil(x), f.trunc(x), f.rint(x), f.copysign(x, -1.0), k.cast("sitofp", "f64")]
    parts += [k.cast("uitofp", "f64"), x.cast("fptosi", "i32").cast("sitofp", "f64")]
    parts += [x.cast("fptoui", "i64").cast("bitcast", "f64"), x.cmp("une", 0.0).select(x, 1.0)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    f.ret(total.cast("fptrunc", "f32").cast("fpext", "f64").cast("fptrunc", "f32"))


def _vectors(m: Module) -> None:
    f = m.function("vectors", [("p", "ptr"), ("k", "i64")])
    p, k = f.args
    x = p.load("f32x8")
    mask = x.cmp("ogt", 0.0)
    f.masked_store(f.masked_load(p, mask, "f32x8") * 2.0, p, mask)
    some = f.gather(p, f.iota("i32x8"), "f32x8", mask)
    every = f.gather(p, f.iota("i64x8") + k.splat(8), "f32x8")
    low = f.shuffle(some, None, range(4))
    mixed = f.shuffle(some, every, [0, 8, 1, 9, 2, 10, 3, 11])
    first = f.extract(low, 0) + f.extract(mixed, k % 8)
    p.store(f.insert(mixed, first, 7) + f.const("f32x8", range(8)))
    p.at(8, "f32").store(mask.cast("zext", "i32x8"))


def _memory(m: Module) -> None:
    f = m.function("memory", [("p", "ptr")], "i64", internal=False)
    (p,) = f.args
    own = f.array("f32", 8, align=64)
    f.memset(own, 0, 32)
    f.memcpy(own, p, 32)
    f.memmove(own, own.at(1), 16)
    f.prefetch(p)
    f.prefetch(p, write=True, locality=0)
    state = f.address("state")
    f.atomic_store(state, 3)
    old = f.atomic_load(state) + f.atomic("add", state, 1) + f.atomic("xchg", state, 2)
    seen, written = f.cas(state, 2, 9)
    f.fence()
    f.pause()
    weight = f.address("coefficients").at(1).load() * own.load()
    f.ret(old + seen + written.cast("zext", "i64") + weight.cast("fptosi", "i64"))


def _control(m: Module) -> None:
    f = m.function("control", [("n", "i64"), ("callee", "ptr")], "i64")
    n, callee = f.args
    total = f.var("i64", 0)
    unset = f.var("f32x4")
    with f.loop(1, n, 3) as i:
        f.continue_if(i.cmp("eq", 4))
        with f.while_():
            total.set(total.get() + i)
            f.break_if(total.get().cmp("sgt", 10))
        with f.if_(i.cmp("sgt", 100)) as branch:
            f.ret(total.get())
            branch.otherwise()
            unset.set(1.0)
    _answers(f)
    f.ret(f.call("i64", callee, n) + f.call("i64", "syscall", 39))


def _answers(f: Function) -> None:
    n, callee = f.args
    f.switch(
        n,
        {
            0: lambda: f.ret(f.call("i32", "getpid").cast("sext", "i64")),
            -1: lambda: f.call("void", callee, n, f.null()),
            2: lambda: f.ret(f.call("i64", f.function("helper"), n)),
        },
        default=lambda: f.fence(),
    )
