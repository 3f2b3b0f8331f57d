"""Write a Loops module as LLVM assembly text. Floor 3. Loops -> text, one line for each statement.

Variables become stack slots of the entry block (LLVM makes registers of them), structured control
flow becomes blocks and branches, and each operation is a row of `OPS`. What a target spells in
another way (fma on a CPU without one, the pause of a spin loop) comes from its row in target.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, final

from twofold.codegen.target import Target
from twofold.ir import loops
from twofold.ir.loops import TYPES, Do, Let, Operand, with_element

LLVM_ELEMENTS = {
    "i1": "i1",
    "i8": "i8",
    "i16": "i16",
    "i32": "i32",
    "i64": "i64",
    "i128": "i128",
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


@cache
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

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.label = "entry.0"
        self.open = True  # whether the current block still wants an end
        self.exits: list[tuple[str, str]] = []  # (continue, break) of the loops around
        self.count = 0

    def name(self, operand: Operand) -> str:
        """An operand as LLVM writes it, without its type."""
        text = operand[1]
        return text if text[0] in "%@" else constant(operand)

    def typed(self, operand: Operand) -> str:
        type, name = operand
        return f"{LLVM[type]} {name if name[0] in '%@' else constant(operand)}"

    def fresh(self, word: str) -> str:
        self.count += 1
        return f"{word}.{self.count}"

    def line(self, word: str, right: str) -> str:
        """Append `name = right` with a new name, and give the name."""
        name = f"%{self.fresh(word)}"
        self.lines.append(f"  {name} = {right}")
        return name

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
        if not w.open:  # after a return
            w.block(w.fresh("unreached"))
        if isinstance(statement, Let):
            w.lines.append(f"  {statement.result.name} = {OPS[statement.op](w, statement)}")
        elif isinstance(statement, Do):
            w.lines.append(f"  {EFFECTS[statement.op](w, statement)}")
        else:
            STATEMENTS[type(statement)](w, statement)


def _var(w: _Writer, s: loops.Var) -> None:
    w.slots.append(f"  %{s.place.name} = alloca {LLVM[s.place.type]}")
    if s.init is not None:
        w.lines.append(f"  store {w.typed(s.init)}, ptr %{s.place.name}")


def _loop(w: _Writer, s: loops.Loop) -> None:
    head, body, latch, done = (w.fresh(x) for x in ("head", "body", "latch", "done"))
    counter, before = s.counter.name, w.label
    turn, following = f"%{w.fresh('more')}", f"%{w.fresh('next')}"
    w.jump(head)
    w.block(head)
    w.lines.append(
        f"  {counter} = phi i64 [ {w.name(s.low)}, %{before} ], [ {following}, %{latch} ]"
    )
    w.lines.append(f"  {turn} = icmp slt i64 {counter}, {w.name(s.high)}")
    w.end(f"br i1 {turn}, label %{body}, label %{done}")
    w.block(body)
    w.exits.append((latch, done))
    _body(w, s.body)
    w.exits.pop()
    w.jump(latch)
    w.block(latch)
    w.lines.append(f"  {following} = add i64 {counter}, {w.name(s.step)}")
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
    numbers = [number for number, _ in s.cases]
    rows = [f"{kind} {n}, label %{label}" for n, label in zip(numbers, labels, strict=True)]
    w.end(f"switch {w.typed(s.value)}, label %{default} [ {' '.join(rows)} ]")
    bodies = [body for _, body in s.cases]
    for label, body in zip([*labels, default], [*bodies, s.default], strict=True):
        w.block(label)
        _body(w, body)
        w.jump(join)
    w.block(join)


def _return(w: _Writer, s: loops.Return) -> None:
    w.end("ret void" if s.value is None else f"ret {w.typed(s.value)}")


STATEMENTS: dict[type, Callable[[_Writer, Any], None]] = {
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

# A row gives the right-hand side of an operation; lines that it needs before go to the writer.
Row = Callable[[_Writer, Let], str]
Effect = Callable[[_Writer, Do], str]


def _all(w: _Writer, args: Iterable[Operand]) -> str:
    return ", ".join([w.typed(arg) for arg in args])


def _binary(integer: str, floating: str = "") -> Row:
    """A two-operand instruction, spelled by the kind of its operands."""

    def row(w: _Writer, s: Let) -> str:
        a, b = s.args
        op = floating if TYPES[a.type].is_float else integer
        return f"{op} {LLVM[a.type]} {w.name(a)}, {w.name(b)}"

    return row


def _plain(op: str) -> Row:
    """An instruction that is followed by its typed operands."""
    return lambda w, s: f"{op} {_all(w, s.args)}"


def _function(integer: str, floating: str = "", more: str = "") -> Row:
    """An LLVM function of the result's type: llvm.sqrt.v8f32."""

    def row(w: _Writer, s: Let) -> str:
        kind = s.result.type
        is_float = TYPES[kind].is_float
        base = floating if is_float else integer
        args = _all(w, s.args) + ("" if is_float else more)
        return f"call {LLVM[kind]} @{base}.{suffix(kind)}({args})"

    return row


def _effect(pattern: str) -> Effect:
    """A line from the typed operands {0}, {1}, ... and the attributes."""
    return lambda w, s: pattern.format(*map(w.typed, s.args), attrs=s.attrs)


def _neg(w: _Writer, s: Let) -> str:
    (x,) = s.args
    if TYPES[x.type].is_float:
        return f"fneg {w.typed(x)}"
    return f"sub {w.typed(Operand(x.type, '0'))}, {w.name(x)}"


def _fma(w: _Writer, s: Let) -> str:
    kind = s.result.type
    return f"call {LLVM[kind]} @{w.target.fma}.{suffix(kind)}({_all(w, s.args)})"


# For each float the bits of its mantissa, and the largest exponent.
FLOATS = {"f32": (23, 127), "f64": (52, 1023)}


def _scale(w: _Writer, s: Let) -> str:
    x, _ = s.args
    facts = TYPES[x.type]
    width = facts.bits * facts.lanes
    if w.target.scale and facts.is_vector and width >= 128:
        return _scale_vectors(w, s, min(width, 512))
    return _scale_by_parts(w, s)


def _scale_vectors(w: _Writer, s: Let, width: int) -> str:
    """The instruction, once for each part of so many bits, which are joined in pairs."""
    facts = TYPES[s.args[0].type]
    lanes, kind = width // facts.bits, LLVM[facts.element]
    whole, part = f"<{facts.lanes} x {kind}>", f"<{lanes} x {kind}>"
    short = {"f32": "ps", "f64": "pd"}[facts.element]
    mask = f"i{max(lanes, 8)} -1" + (", i32 4" if width == 512 else "")  # 4: round as ever

    def call(x: str, k: str) -> str:
        args = f"{part} {x}, {part} {k}, {part} zeroinitializer, {mask}"
        return f"call {part} @{w.target.scale}.{short}.{width}({args})"

    x, k = map(w.name, s.args)
    if lanes == facts.lanes:
        return call(x, k)

    def cut(value: str, first: int) -> str:
        places = ", ".join(f"i32 {first + i}" for i in range(lanes))
        right = f"shufflevector {whole} {value}, {whole} poison, <{lanes} x i32> <{places}>"
        return w.line("part", right)

    starts = range(0, facts.lanes, lanes)
    made = [w.line("scaled", call(cut(x, i), cut(k, i))) for i in starts]
    while True:
        half = f"<{lanes} x {kind}>"
        lanes *= 2
        places = ", ".join(f"i32 {i}" for i in range(lanes))
        joined = [
            f"shufflevector {half} {a}, {half} {b}, <{lanes} x i32> <{places}>"
            for a, b in zip(made[::2], made[1::2], strict=True)
        ]
        if len(joined) == 1:
            return joined[0]
        made = [w.line("joined", right) for right in joined]


def _scale_by_parts(w: _Writer, s: Let) -> str:
    """Two products with powers of two, neither of which leaves the normal numbers."""
    x, k = s.args
    facts = TYPES[x.type]
    mantissa, bias = FLOATS[facts.element]
    kind, whole = LLVM[x.type], LLVM[with_element(x.type, f"i{facts.bits}")]

    def number(value: int) -> str:
        return f"splat (i{facts.bits} {value})" if facts.is_vector else str(value)

    exponent = w.line("exponent", f"fptosi {kind} {w.name(k)} to {whole}")
    biased = w.line("biased", f"add {whole} {exponent}, {number(2 * bias)}")
    half = w.line("half", f"lshr {whole} {biased}, {number(1)}")
    rest = w.line("rest", f"sub {whole} {biased}, {half}")
    value = w.name(x)
    for part in (half, rest):
        bits = w.line("bits", f"shl {whole} {part}, {number(mantissa)}")
        power = w.line("power", f"bitcast {whole} {bits} to {kind}")
        if part is rest:
            return f"fmul {kind} {value}, {power}"
        value = w.line("scaled", f"fmul {kind} {value}, {power}")
    raise AssertionError


def _cmp(w: _Writer, s: Let) -> str:
    a, b = s.args
    op = "fcmp" if TYPES[a.type].is_float else "icmp"
    return f"{op} {s.attrs[0]} {LLVM[a.type]} {w.name(a)}, {w.name(b)}"


def _at(w: _Writer, s: Let) -> str:
    return f"getelementptr {LLVM[s.attrs[0]]}, {_all(w, s.args)}"


def _load(w: _Writer, s: Let) -> str:
    return f"load {LLVM[s.result.type]}, {w.typed(s.args[0])}, align {s.attrs[0]}"


def _cast(w: _Writer, s: Let) -> str:
    return f"{s.attrs[0]} {w.typed(s.args[0])} to {LLVM[s.result.type]}"


def _splat(w: _Writer, s: Let) -> str:
    kind, lanes = LLVM[s.result.type], TYPES[s.result.type].lanes
    one = w.line("one", f"insertelement {kind} poison, {w.typed(s.args[0])}, i64 0")
    return f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer"


def _shuffle(w: _Writer, s: Let) -> str:
    (mask,) = s.attrs
    args = _all(w, s.args)
    if len(s.args) == 1:
        args += f", {LLVM[s.args[0].type]} poison"
    lanes = ", ".join(f"i32 {i}" for i in mask)
    return f"shufflevector {args}, <{len(mask)} x i32> <{lanes}>"


def _masked_load(w: _Writer, s: Let) -> str:
    p, mask = s.args
    kind = s.result.type
    args = f"{w.typed(p)}, i32 {TYPES[kind].size}, {w.typed(mask)}, {LLVM[kind]} zeroinitializer"
    return f"call {LLVM[kind]} @llvm.masked.load.{suffix(kind)}.p0({args})"


def _masked_store(w: _Writer, s: Do) -> str:
    v, p, mask = s.args
    args = f"{w.typed(v)}, {w.typed(p)}, i32 {TYPES[v.type].size}, {w.typed(mask)}"
    return f"call void @llvm.masked.store.{suffix(v.type)}.p0({args})"


def _gather(w: _Writer, s: Let) -> str:
    facts, kind = TYPES[s.result.type], LLVM[s.result.type]
    mask = w.typed(s.args[2]) if len(s.args) > 2 else f"<{facts.lanes} x i1> splat (i1 true)"
    element = LLVM[facts.element]
    places = w.line("places", f"getelementptr {element}, {_all(w, s.args[:2])}")
    args = f"<{facts.lanes} x ptr> {places}, i32 {facts.size}, {mask}, {kind} zeroinitializer"
    return f"call {kind} @llvm.masked.gather.{suffix(facts.name)}.v{facts.lanes}p0({args})"


def _atomic_load(w: _Writer, s: Let) -> str:
    kind = s.result.type
    return f"load atomic {LLVM[kind]}, {w.typed(s.args[0])} {s.attrs[0]}, align {TYPES[kind].size}"


def _atomic_store(w: _Writer, s: Do) -> str:
    return f"store atomic {_all(w, s.args)} {s.attrs[0]}, align {TYPES[s.args[0].type].size}"


def _atomic(w: _Writer, s: Let) -> str:
    return f"atomicrmw {s.attrs[0]} {_all(w, s.args)} {s.attrs[1]}"


def _cas(w: _Writer, s: Let) -> str:
    both = w.line("both", f"cmpxchg {_all(w, s.args)} seq_cst seq_cst")
    return f"extractvalue {{ {LLVM[s.result.type]}, i1 }} {both}, 0"


def _array(w: _Writer, s: Let) -> str:
    element, count, align = s.attrs
    slot = f"%{w.fresh('array')}"
    w.slots.append(f"  {slot} = alloca [{count} x {LLVM[element]}], align {align}")
    return f"bitcast ptr {slot} to ptr"


def _get(w: _Writer, s: Let) -> str:
    (place,) = s.args
    return f"load {LLVM[place.type]}, ptr %{place.name}"


def _set(w: _Writer, s: Do) -> str:
    place, new = s.args
    return f"store {w.typed(new)}, ptr %{place.name}"


def _call_of(w: _Writer, result: str, s: Let | Do) -> str:
    callee, *args = s.args
    (fixed,) = s.attrs
    kind = LLVM[result]
    if fixed is not None:
        kind += f" ({', '.join([*(LLVM[one] for one in fixed), '...'])})"
    return f"call {kind} {w.name(callee)}({_all(w, args)})"


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
    "scale": _scale,
    "neg": _neg,
    "cmp": _cmp,
    "select": _plain("select"),
    "at": _at,
    "load": _load,
    "cast": _cast,
    "splat": _splat,
    "shuffle": _shuffle,
    "extract": _plain("extractelement"),
    "insert": _plain("insertelement"),
    "masked_load": _masked_load,
    "gather": _gather,
    "atomic_load": _atomic_load,
    "atomic": _atomic,
    "cas": _cas,
    "array": _array,
    "get": _get,
    "call": lambda w, s: _call_of(w, s.result.type, s),
}
EFFECTS: dict[str, Effect] = {
    "store": _effect("store {0}, {1}, align {attrs[0]}"),
    "masked_store": _masked_store,
    "memcpy": _effect("call void @llvm.memcpy.p0.p0.i64({0}, {1}, {2}, i1 false)"),
    "memmove": _effect("call void @llvm.memmove.p0.p0.i64({0}, {1}, {2}, i1 false)"),
    "memset": _effect("call void @llvm.memset.p0.i64({0}, {1}, {2}, i1 false)"),
    "prefetch": _effect("call void @llvm.prefetch.p0({0}, i32 {attrs[0]}, i32 {attrs[1]}, i32 1)"),
    "atomic_store": _atomic_store,
    "fence": _effect("fence seq_cst"),
    "pause": lambda w, s: f"call void @{w.target.pause}" if w.target.pause else "",
    "set": _set,
    "call": lambda w, s: _call_of(w, "void", s),
}


# ---- the module ----------------------------------------------------------------------------------

_INLINE = {"auto": "", "never": " noinline", "always": " alwaysinline"}

# A function that is called exp is ours, and not the C library's, whatever LLVM knows about that.
_ATTRIBUTES = 'nounwind "no-builtins"'


def _function_text(function: loops.Function, target: Target) -> str:
    w = _Writer(target)
    _body(w, function.body)
    w.end("unreachable")
    mark = " noalias" if function.noalias else ""
    params = ", ".join(
        f"{LLVM[p.type]}{mark if p.type == 'ptr' else ''} {p.name}" for p in function.params
    )
    linkage = "internal" if function.internal else "dso_local"
    head = f"define {linkage} {LLVM[function.result]} {symbol(function.name)}({params})"
    lines = [
        f"{head} {_ATTRIBUTES}{_INLINE[function.inline]} {{",
        "entry.0:",
        *w.slots,
        *w.lines,
        "}",
        "",
    ]
    return "\n".join(lines)


def _extern_text(extern: loops.Extern) -> str:
    params = [LLVM[p] for p in extern.params] + (["..."] if extern.variadic else [])
    return f"declare {LLVM[extern.result]} {symbol(extern.name)}({', '.join(params)}) nounwind"


def _data_text(data: loops.Data) -> str:
    kind = f"[{data.size} x {LLVM[data.type]}]"
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
