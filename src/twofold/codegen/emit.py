"""Write a Loops module as LLVM assembly text. Floor 3. Loops -> text, one line for each statement.

Variables become stack slots of the entry block (LLVM makes registers of them), structured control
flow becomes blocks and branches, and each operation is a row of `OPS`. What a target spells in
another way (fma on a CPU without one, the pause of a spin loop) comes from its row in target.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import final

from twofold.codegen.target import Target
from twofold.ir import loops
from twofold.ir.loops import TYPES, Let, Operand

LLVM_ELEMENTS = {
    "i1": "i1",
    "i8": "i8",
    "i16": "i16",
    "i32": "i32",
    "i64": "i64",
    "f16": "half",
    "f32": "float",
    "f64": "double",
    "ptr": "ptr",
    "void": "void",
}


@final
class _LlvmTypes(dict[str, str]):
    def __missing__(self, name: str) -> str:
        facts = TYPES[name]
        self[name] = f"<{facts.lanes} x {LLVM_ELEMENTS[facts.element]}>"
        return self[name]


LLVM = _LlvmTypes(LLVM_ELEMENTS)


def suffix(type: str) -> str:
    """How an intrinsic's name spells a type: f32x8 is v8f32."""
    facts = TYPES[type]
    element = "p0" if facts.element == "ptr" else facts.element
    return f"v{facts.lanes}{element}" if facts.is_vector else element


# ---- constants -----------------------------------------------------------------------------------

_CONSTANTS: dict[Operand, str] = {}


def constant(operand: Operand) -> str:
    """A literal as LLVM writes it: floats by their bits, a number for all lanes as a splat."""
    text = _CONSTANTS.get(operand)
    if text is None:
        text = _CONSTANTS[operand] = _constant(operand.type, operand.name)
    return text


def _constant(type: str, name: str) -> str:
    facts = TYPES[type]
    if name == "null":
        return name
    element = LLVM[facts.element]
    if name[0] == "[":
        lanes = (_scalar(facts.element, word) for word in name[1:-1].split(", "))
        return "<" + ", ".join(f"{element} {lane}" for lane in lanes) + ">"
    text = _scalar(facts.element, name)
    return f"splat ({element} {text})" if facts.is_vector else text


def _scalar(element: str, name: str) -> str:
    if element == "f16":
        return f"0xH{struct.unpack('<H', struct.pack('<e', float(name)))[0]:04X}"
    if element in ("f32", "f64"):
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(name)))[0]:016X}"
    return name


def symbol(name: str) -> str:
    return f"@{name}" if name.replace("_", "a").isalnum() else f'@"{name}"'


# ---- one function --------------------------------------------------------------------------------


@final
class _Writer:
    """The lines of one function, the block that is being written, and the loops around it."""

    def __init__(self, target: Target, variadic: dict[str, loops.Extern]) -> None:
        self.target = target
        self.variadic = variadic
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.label = "entry"
        self.open = True  # whether the current block still wants an end
        self.exits: list[tuple[str, str]] = []  # (continue, break) of the loops around
        self.count = 0

    def name(self, operand: Operand) -> str:
        """An operand as LLVM writes it, without its type."""
        text = operand[1]
        return text if text[0] in "%@" else constant(operand)

    def typed(self, operand: Operand) -> str:
        return f"{LLVM[operand.type]} {self.name(operand)}"

    def fresh(self, word: str) -> str:
        self.count += 1
        return f"{word}.{self.count}"

    def block(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label
        self.open = True

    def jump(self, label: str) -> None:
        self.end(f"br label %{label}")

    def branch(self, condition: Operand, yes: str, no: str) -> None:
        self.end(f"br i1 {self.name(condition)}, label %{yes}, label %{no}")

    def end(self, line: str) -> None:
        """Close the block, unless something (a return) has closed it already."""
        if self.open:
            self.lines.append(f"  {line}")
            self.open = False


def _body(w: _Writer, body: loops.Body) -> None:
    for statement in body:
        if type(statement) is Let:
            OPS[statement[1]](w, statement)
        else:
            if not w.open:
                w.block(w.fresh("unreached"))
            STATEMENTS[type(statement)](w, statement)


def _var(w: _Writer, s: loops.Var) -> None:
    w.slots.append(f"  %{s.place.name} = alloca {LLVM[s.place.type]}")
    if s.init is not None:
        w.lines.append(f"  store {w.typed(s.init)}, ptr %{s.place.name}")


def _loop(w: _Writer, s: loops.Loop) -> None:
    head, body, latch, done = (w.fresh(x) for x in ("head", "body", "latch", "done"))
    index, before = s.index.name, w.label
    turn, following = f"%{w.fresh('more')}", f"%{w.fresh('next')}"
    w.jump(head)
    w.block(head)
    w.lines.append(f"  {index} = phi i64 [ {w.name(s.low)}, %{before} ], [ {following}, %{latch} ]")
    w.lines.append(f"  {turn} = icmp slt i64 {index}, {w.name(s.high)}")
    w.end(f"br i1 {turn}, label %{body}, label %{done}")
    w.block(body)
    w.exits.append((latch, done))
    _body(w, s.body)
    w.exits.pop()
    w.jump(latch)
    w.block(latch)
    w.lines.append(f"  {following} = add i64 {index}, {w.name(s.step)}")
    w.jump(head)
    w.block(done)


def _while(w: _Writer, s: loops.While) -> None:
    body, done = w.fresh("while"), w.fresh("done")
    w.jump(body)
    w.block(body)
    w.exits.append((body, done))
    _body(w, s.body)
    w.exits.pop()
    w.jump(body)
    w.block(done)


def _break(w: _Writer, s: loops.Break) -> None:
    stay = w.fresh("stay")
    w.branch(s.condition, w.exits[-1][1], stay)
    w.block(stay)


def _continue(w: _Writer, s: loops.Continue) -> None:
    stay = w.fresh("stay")
    w.branch(s.condition, w.exits[-1][0], stay)
    w.block(stay)


def _if(w: _Writer, s: loops.If) -> None:
    then, otherwise, join = w.fresh("then"), w.fresh("else"), w.fresh("join")
    w.branch(s.condition, then, otherwise if s.otherwise else join)
    w.block(then)
    _body(w, s.then)
    w.jump(join)
    if s.otherwise:
        w.block(otherwise)
        _body(w, s.otherwise)
        w.jump(join)
    w.block(join)


def _switch(w: _Writer, s: loops.Switch) -> None:
    join, default = w.fresh("join"), w.fresh("default")
    labels = [w.fresh("case") for _ in s.cases]
    kind = LLVM[s.value.type]
    table = " ".join(
        f"{kind} {number}, label %{label}" for (number, _), label in zip(s.cases, labels, strict=True)
    )
    w.end(f"switch {w.typed(s.value)}, label %{default} [ {table} ]")
    bodies = [body for _, body in s.cases]
    for label, body in zip([*labels, default], [*bodies, s.default], strict=True):
        w.block(label)
        _body(w, body)
        w.jump(join)
    w.block(join)


def _return(w: _Writer, s: loops.Return) -> None:
    w.end("ret void" if s.value is None else f"ret {w.typed(s.value)}")


STATEMENTS: dict[type, Callable[[_Writer, object], None]] = {
    loops.Var: _var,
    loops.Loop: _loop,
    loops.While: _while,
    loops.Break: _break,
    loops.Continue: _continue,
    loops.If: _if,
    loops.Switch: _switch,
    loops.Return: _return,
}


# ---- operations ----------------------------------------------------------------------------------

Row = Callable[[_Writer, Let], None]


def _binary(integer: str, floating: str = "") -> Row:
    """A two-operand instruction, spelled by the kind of its operands."""

    def row(w: _Writer, s: Let) -> None:
        a, b = s.args
        op = floating if TYPES[a.type].is_float else integer
        w.lines.append(f"  {s.result.name} = {op} {LLVM[a.type]} {w.name(a)}, {w.name(b)}")

    return row


def _function(integer: str, floating: str = "", more: str = "") -> Row:
    """An LLVM function of the result's type: llvm.sqrt.v8f32."""

    def row(w: _Writer, s: Let) -> None:
        base = floating if TYPES[s.result.type].is_float else integer
        args = ", ".join(map(w.typed, s.args)) + ("" if base == floating else more)
        kind = s.result.type
        w.lines.append(f"  {s.result.name} = call {LLVM[kind]} @{base}.{suffix(kind)}({args})")

    return row


def _effect(pattern: str) -> Row:
    """A line without a result, from its typed operands: {0}, {1}, ... and its attributes."""

    def row(w: _Writer, s: Let) -> None:
        w.lines.append("  " + pattern.format(*map(w.typed, s.args), attrs=s.attrs))

    return row


def _neg(w: _Writer, s: Let) -> None:
    (x,) = s.args
    op = "fneg" if TYPES[x.type].is_float else "sub"
    zero = "" if op == "fneg" else f"{constant(Operand(x.type, '0'))}, "
    w.lines.append(f"  {s.result.name} = {op} {LLVM[x.type]} {zero}{w.name(x)}")


def _fma(w: _Writer, s: Let) -> None:
    kind = s.result.type
    args = ", ".join(map(w.typed, s.args))
    w.lines.append(
        f"  {s.result.name} = call {LLVM[kind]} @{w.target.fma}.{suffix(kind)}({args})"
    )


def _cmp(w: _Writer, s: Let) -> None:
    a, b = s.args
    op = "fcmp" if TYPES[a.type].is_float else "icmp"
    w.lines.append(
        f"  {s.result.name} = {op} {s.attrs[0]} {LLVM[a.type]} {w.name(a)}, {w.name(b)}"
    )


def _select(w: _Writer, s: Let) -> None:
    w.lines.append(f"  {s.result.name} = select {', '.join(map(w.typed, s.args))}")


def _at(w: _Writer, s: Let) -> None:
    p, index = s.args
    kind = LLVM[s.attrs[0]]
    w.lines.append(
        f"  {s.result.name} = getelementptr {kind}, ptr {w.name(p)}, i64 {w.name(index)}"
    )


def _load(w: _Writer, s: Let) -> None:
    (p,) = s.args
    w.lines.append(
        f"  {s.result.name} = load {LLVM[s.result.type]}, ptr {w.name(p)}, align {s.attrs[0]}"
    )


def _cast(w: _Writer, s: Let) -> None:
    (x,) = s.args
    w.lines.append(f"  {s.result.name} = {s.attrs[0]} {w.typed(x)} to {LLVM[s.result.type]}")


def _splat(w: _Writer, s: Let) -> None:
    (x,) = s.args
    kind = LLVM[s.result.type]
    one, lanes = f"%{w.fresh('one')}", TYPES[s.result.type].lanes
    w.lines.append(f"  {one} = insertelement {kind} poison, {w.typed(x)}, i64 0")
    mask = f"<{lanes} x i32> zeroinitializer"
    w.lines.append(f"  {s.result.name} = shufflevector {kind} {one}, {kind} poison, {mask}")


def _shuffle(w: _Writer, s: Let) -> None:
    first = w.typed(s.args[0])
    second = w.typed(s.args[1]) if len(s.args) > 1 else f"{LLVM[s.args[0].type]} poison"
    (mask,) = s.attrs
    lanes = ", ".join(f"i32 {i}" for i in mask)
    w.lines.append(
        f"  {s.result.name} = shufflevector {first}, {second}, <{len(mask)} x i32> <{lanes}>"
    )


def _extract(w: _Writer, s: Let) -> None:
    w.lines.append(f"  {s.result.name} = extractelement {', '.join(map(w.typed, s.args))}")


def _insert(w: _Writer, s: Let) -> None:
    w.lines.append(f"  {s.result.name} = insertelement {', '.join(map(w.typed, s.args))}")


def _masked_load(w: _Writer, s: Let) -> None:
    p, mask = s.args
    kind, align = s.result.type, TYPES[s.result.type].size
    zero = f"{LLVM[kind]} zeroinitializer"
    args = f"{w.typed(p)}, i32 {align}, {w.typed(mask)}, {zero}"
    w.lines.append(
        f"  {s.result.name} = call {LLVM[kind]} @llvm.masked.load.{suffix(kind)}.p0({args})"
    )


def _masked_store(w: _Writer, s: Let) -> None:
    v, p, mask = s.args
    args = f"{w.typed(v)}, {w.typed(p)}, i32 {TYPES[v.type].size}, {w.typed(mask)}"
    w.lines.append(f"  call void @llvm.masked.store.{suffix(v.type)}.p0({args})")


def _gather(w: _Writer, s: Let) -> None:
    base, index = s.args[:2]
    facts = TYPES[s.result.type]
    mask = w.typed(s.args[2]) if len(s.args) > 2 else f"<{facts.lanes} x i1> splat (i1 true)"
    places, kind = f"%{w.fresh('places')}", LLVM[s.result.type]
    element = LLVM[facts.element]
    w.lines.append(f"  {places} = getelementptr {element}, {w.typed(base)}, {w.typed(index)}")
    name = f"@llvm.masked.gather.{suffix(s.result.type)}.v{facts.lanes}p0"
    args = f"<{facts.lanes} x ptr> {places}, i32 {facts.size}, {mask}, {kind} zeroinitializer"
    w.lines.append(f"  {s.result.name} = call {kind} {name}({args})")


def _atomic_load(w: _Writer, s: Let) -> None:
    (p,) = s.args
    facts = TYPES[s.result.type]
    w.lines.append(
        f"  {s.result.name} = load atomic {LLVM[facts.name]}, {w.typed(p)} {s.attrs[0]},"
        f" align {facts.size}"
    )


def _atomic_store(w: _Writer, s: Let) -> None:
    new, p = s.args
    align = TYPES[new.type].size
    w.lines.append(f"  store atomic {w.typed(new)}, {w.typed(p)} {s.attrs[0]}, align {align}")


def _atomic(w: _Writer, s: Let) -> None:
    p, new = s.args
    how, order = s.attrs
    w.lines.append(f"  {s.result.name} = atomicrmw {how} {w.typed(p)}, {w.typed(new)} {order}")


def _cas(w: _Writer, s: Let) -> None:
    both, kind = f"%{w.fresh('both')}", LLVM[s.result.type]
    args = ", ".join(map(w.typed, s.args))
    w.lines.append(f"  {both} = cmpxchg {args} seq_cst seq_cst")
    w.lines.append(f"  {s.result.name} = extractvalue {{ {kind}, i1 }} {both}, 0")


def _pause(w: _Writer, s: Let) -> None:
    if w.target.pause:
        w.lines.append(f"  call void @{w.target.pause}")


def _array(w: _Writer, s: Let) -> None:
    element, count, align = s.attrs
    w.slots.append(f"  {s.result.name} = alloca [{count} x {LLVM[element]}], align {align}")


def _get(w: _Writer, s: Let) -> None:
    (place,) = s.args
    w.lines.append(f"  {s.result.name} = load {LLVM[place.type]}, ptr %{place.name}")


def _set(w: _Writer, s: Let) -> None:
    place, new = s.args
    w.lines.append(f"  store {w.typed(new)}, ptr %{place.name}")


def _call(w: _Writer, s: Let) -> None:
    callee, *args = s.args
    (fixed,) = s.attrs
    result = "void" if s.result is None else LLVM[s.result.type]
    kind = result if fixed is None else f"{result} ({', '.join([*map(LLVM.get, fixed), '...'])})"
    given = ", ".join(map(w.typed, args))
    start = "" if s.result is None else f"{s.result.name} = "
    w.lines.append(f"  {start}call {kind} {w.name(callee)}({given})")


OPS: dict[str, Row] = {
    "add": _binary("add", "fadd"),
    "sub": _binary("sub", "fsub"),
    "mul": _binary("mul", "fmul"),
    "div": _binary("", "fdiv"),
    "udiv": _binary("udiv"),
    "urem": _binary("urem"),
    "sdiv": _binary("sdiv"),
    "srem": _binary("srem"),
    "and": _binary("and"),
    "or": _binary("or"),
    "xor": _binary("xor"),
    "shl": _binary("shl"),
    "ashr": _binary("ashr"),
    "lshr": _binary("lshr"),
    "min": _function("llvm.smin"),
    "max": _function("llvm.smax"),
    "abs": _function("llvm.abs", "llvm.fabs", ", i1 false"),
    "sqrt": _function("", "llvm.sqrt"),
    "floor": _function("", "llvm.floor"),
    "ceil": _function("", "llvm.ceil"),
    "trunc": _function("", "llvm.trunc"),
    "rint": _function("", "llvm.roundeven"),
    "copysign": _function("", "llvm.copysign"),
    "popcount": _function("llvm.ctpop"),
    "ctlz": _function("llvm.ctlz", "", ", i1 false"),
    "fma": _fma,
    "neg": _neg,
    "cmp": _cmp,
    "select": _select,
    "at": _at,
    "load": _load,
    "store": _effect("store {0}, {1}, align {attrs[0]}"),
    "cast": _cast,
    "splat": _splat,
    "shuffle": _shuffle,
    "extract": _extract,
    "insert": _insert,
    "masked_load": _masked_load,
    "masked_store": _masked_store,
    "gather": _gather,
    "memcpy": _effect("call void @llvm.memcpy.p0.p0.i64({0}, {1}, {2}, i1 false)"),
    "memmove": _effect("call void @llvm.memmove.p0.p0.i64({0}, {1}, {2}, i1 false)"),
    "memset": _effect("call void @llvm.memset.p0.i64({0}, {1}, {2}, i1 false)"),
    "prefetch": _effect("call void @llvm.prefetch.p0({0}, i32 {attrs[0]}, i32 {attrs[1]}, i32 1)"),
    "atomic_load": _atomic_load,
    "atomic_store": _atomic_store,
    "atomic": _atomic,
    "cas": _cas,
    "fence": _effect("fence seq_cst"),
    "pause": _pause,
    "array": _array,
    "get": _get,
    "set": _set,
    "call": _call,
}


# ---- the module ----------------------------------------------------------------------------------

_INLINE = {"auto": "", "never": " noinline", "always": " alwaysinline"}


def _function_text(function: loops.Function, target: Target) -> str:
    w = _Writer(target, {})
    _body(w, function.body)
    w.end("unreachable")
    mark = " noalias" if function.noalias else ""
    params = ", ".join(
        f"{LLVM[p.type]}{mark if p.type == 'ptr' else ''} {p.name}" for p in function.params
    )
    linkage = "internal" if function.internal else "dso_local"
    head = f"define {linkage} {LLVM[function.result]} {symbol(function.name)}({params})"
    lines = [f"{head} nounwind{_INLINE[function.inline]} {{", "entry:", *w.slots, *w.lines, "}", ""]
    return "\n".join(lines)


def _extern_text(extern: loops.Extern) -> str:
    params = [LLVM[p] for p in extern.params] + (["..."] if extern.variadic else [])
    return f"declare {LLVM[extern.result]} {symbol(extern.name)}({', '.join(params)}) nounwind"


def _data_text(data: loops.Data) -> str:
    kind = f"[{data.count} x {LLVM[data.type]}]"
    return f"{symbol(data.name)} = hidden global {kind} zeroinitializer, align 64"


def _table_text(table: loops.Table) -> str:
    kind = LLVM[table.type]
    values = ", ".join(f"{kind} {_constant(table.type, value)}" for value in table.values)
    size = len(table.values)
    return f"{symbol(table.name)} = internal constant [{size} x {kind}] [{values}], align 64"


def emit(module: loops.Module, target: Target) -> str:
    """The LLVM text of a module."""
    return "\n".join(
        [
            *map(_extern_text, module.externs),
            *map(_data_text, module.data),
            *map(_table_text, module.tables),
            *(_function_text(function, target) for function in module.functions),
        ]
    )
