"""Write Loops programs with Python operators and `with` blocks. Floor 2.

>>> m = Module("example")
>>> f = m.function("scale", [("x", "ptr"), ("n", "i64"), ("by", "f32")])
>>> x, n, by = f.args
>>> with f.loop(0, n) as i:
...     x.at(i).store(x.at(i).load() * by)
>>> print(m)  # doctest: +ELLIPSIS
module "example"
...

`Module` and `Function` here are pens; they write the records of the same names in loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, final, overload

from twofold.ir import loops
from twofold.ir.loops import TYPES, Do, Let, LoopsError, Operand, constant, literal, vector
from twofold.ir.values import ACCEPTS, BINARY, Branch, Number, Value, Var

Lanes = Sequence[int] | Sequence[float]

new = (
    tuple.__new__
)  # of a record: half the time of its own constructor, where tens of thousands pass


@final
class Function:
    """The pen for one function. `args` are its parameters; statements go to the open block."""

    def __init__(
        self,
        module: Module,
        name: str,
        params: Sequence[tuple[str, str]],
        result: str,
        internal: bool,
        inline: str,
    ) -> None:
        if inline not in loops.INLINE:
            raise LoopsError("function", f"inline={inline!r}", name=name, known=loops.INLINE)
        for param, _ in params:
            if not loops.is_name(param):
                raise LoopsError("function", f"{param!r} is no name for a parameter", name=name)
        self.module = module
        self.name = name
        self.result = result
        self.internal = internal
        self.inline = inline
        self.noalias = False
        self.params = tuple(Operand(type, f"%{param}") for param, type in params)
        self.args = tuple(Value(self, param) for param in self.params)
        self.body: list[loops.Statement] = []
        self._count = 0

    def finish(self) -> loops.Function:
        """The record of what was written. A void function returns at its end by itself."""
        body = self.body
        if self.result == "void" and not (body and isinstance(body[-1], loops.Return)):
            body = [*body, loops.Return(None)]
        return loops.Function(
            self.name,
            self.params,
            self.result,
            tuple(body),
            self.internal,
            self.inline,
            self.noalias,
        )

    # ---- statements in general

    def let(
        self, type: str, op: str, args: tuple[Operand, ...], attrs: tuple[object, ...] = ()
    ) -> Value:
        """Append `new = op(args)` and give the new value."""
        self._count += 1
        result = new(Operand, (type, f"%v{self._count}"))
        self.body.append(new(Let, (result, op, args, attrs)))
        return Value(self, result)

    def do(self, op: str, args: tuple[Operand, ...], attrs: tuple[object, ...] = ()) -> None:
        """Append an operation that has only an effect."""
        self.body.append(new(Do, (op, args, attrs)))

    def binary(self, op: str, left: Value, right: Value | Number) -> Value:
        if not isinstance(right, Value):
            right = self.const(left.type, right)
        type = left.type
        if right.type != type:
            raise LoopsError(op, "operands of two types", left=left, right=right)
        if TYPES[type].is_float not in ACCEPTS[BINARY[op]]:
            raise LoopsError(op, f"takes {BINARY[op]} operands", left=left, right=right)
        return self.let(type, op, (left.operand, right.operand))

    def binary_reflected(self, op: str, left: Number, right: Value) -> Value:
        return self.binary(op, self.const(right.type, left), right)

    def value(self, type: str, value: Value | Number) -> Value:
        """`value` as a Value of exactly this type."""
        if not isinstance(value, Value):
            return self.const(type, value)
        if value.type != type:
            raise LoopsError("value", f"a {type} was wanted", given=value)
        return value

    def like(self, first: Value, other: Value | Number) -> Value:
        """`other` as a Value of the type of `first`."""
        return self.value(first.type, other)

    def _new(self, type: str) -> Operand:
        self._count += 1
        return Operand(type, f"%v{self._count}")

    # ---- constants and addresses

    def const(self, type: str, value: Number | Lanes) -> Value:
        """A constant; a list gives each lane its own value."""
        return Value(self, constant(type, value))

    def null(self) -> Value:
        return Value(self, Operand("ptr", "null"))

    def iota(self, type: str) -> Value:
        """The vector 0, 1, 2, ..."""
        return self.const(type, range(TYPES[type].lanes))

    def address(self, name: str) -> Value:
        """Where the data or table of this name begins."""
        return Value(self, Operand("ptr", f"@{name}"))

    def function(self, name: str) -> Value:
        """A function of this module, or an extern, as a pointer."""
        return Value(self, Operand("ptr", f"@{name}"))

    # ---- variables and stack

    def var(self, type: str, init: Value | Number | None = None) -> Var:
        start = None if init is None else self.value(type, init).operand
        self._count += 1
        place = Operand(type, f"${self._count}")
        self.body.append(loops.Var(place, start))
        return Var(self, place)

    def array(self, type: str, count: int, align: int = 32) -> Value:
        """Memory for `count` elements on the stack, alive until the function returns."""
        return self.let("ptr", "array", (), (type, count, align))

    # ---- control flow

    @contextmanager
    def block(self) -> Iterator[list[loops.Statement]]:
        """Collect what is written inside into a list of its own."""
        outer = self.body
        inner: list[loops.Statement] = []
        self.body = inner
        try:
            yield inner
        finally:
            self.body = outer

    @contextmanager
    def loop(self, low: Value | int, high: Value | int, step: Value | int = 1) -> Iterator[Value]:
        """for i from low while i < high (signed): i is an i64. The step is positive."""
        first, last, stride = (self.value("i64", x).operand for x in (low, high, step))
        index = self._new("i64")
        with self.block() as body:
            yield Value(self, index)
        self.body.append(loops.Loop(index, first, last, stride, tuple(body)))

    @contextmanager
    def while_(self) -> Iterator[None]:
        """Repeat until f.break_if or f.ret."""
        with self.block() as body:
            yield
        self.body.append(loops.While(tuple(body)))

    def break_if(self, condition: Value | bool) -> None:
        """Leave the innermost loop if the condition holds."""
        self.body.append(loops.Break(self.value("i1", condition).operand))

    def continue_if(self, condition: Value | bool) -> None:
        """Start the next turn of the innermost loop if the condition holds."""
        self.body.append(loops.Continue(self.value("i1", condition).operand))

    @contextmanager
    def if_(self, condition: Value | bool) -> Iterator[Branch]:
        test = self.value("i1", condition).operand
        outer = self.body
        self.body = []
        branch = Branch(self)
        try:
            yield branch
            last = self.body
        finally:
            self.body = outer
        then, otherwise = (last, []) if branch.then is None else (branch.then, last)
        outer.append(loops.If(test, tuple(then), tuple(otherwise)))

    def switch(
        self,
        value: Value,
        cases: Mapping[int, Callable[[], object]],
        default: Callable[[], object] | None = None,
    ) -> None:
        """Each case is a function that writes its body."""
        bodies = []
        for number, write in cases.items():
            with self.block() as body:
                write()
            bodies.append((number, tuple(body)))
        with self.block() as body:
            if default is not None:
                default()
        self.body.append(loops.Switch(value.operand, tuple(bodies), tuple(body)))

    def ret(self, value: Value | Number | None = None) -> None:
        given = None if value is None else self.value(self.result, value).operand
        self.body.append(loops.Return(given))

    # ---- calls

    @overload
    def call(  # type: ignore[overload-overlap]
        self,
        result: Literal["void"],
        callee: str | Value,
        *args: Value | Number,
        variadic: Sequence[str] | None = None,
    ) -> None: ...

    @overload
    def call(
        self,
        result: str,
        callee: str | Value,
        *args: Value | Number,
        variadic: Sequence[str] | None = None,
    ) -> Value: ...

    def call(
        self,
        result: str,
        callee: str | Value,
        *args: Value | Number,
        variadic: Sequence[str] | None = None,
    ) -> Value | None:
        """Call a function by name or by pointer.

        Python numbers take the parameter's type if the callee is known by name, else i64.
        `variadic` names the types of the fixed parameters of a variadic pointer.
        """
        known = self.module.signature(callee) if isinstance(callee, str) else None
        target = self.function(callee) if isinstance(callee, str) else callee
        if known is not None and known.result != result:
            raise LoopsError("call", f"{callee} gives {known.result}, not {result}")
        fixed = tuple(variadic) if variadic is not None else None
        if known is not None and known.variadic:
            fixed = known.params
        params = () if known is None else known.params
        operands = [target.operand]
        for place, arg in enumerate(args):
            wanted = params[place] if place < len(params) else None
            operands.append(self._argument(wanted, arg).operand)
        if known is not None and (
            len(args) < len(params) or (len(args) > len(params) and not fixed)
        ):
            raise LoopsError("call", f"{callee} takes {len(params)} arguments, {len(args)} given")
        if result == "void":
            self.do("call", tuple(operands), (fixed,))
            return None
        return self.let(result, "call", tuple(operands), (fixed,))

    def _argument(self, wanted: str | None, arg: Value | Number) -> Value:
        if wanted is not None:
            return self.value(wanted, arg)
        return arg if isinstance(arg, Value) else self.const("i64", arg)

    # ---- arithmetic beyond the operators

    def fma(self, a: Value | Number, b: Value | Number, c: Value | Number) -> Value:
        """a * b + c, rounded once."""
        typed = next((x for x in (a, b, c) if isinstance(x, Value)), None)
        if typed is None or not TYPES[typed.type].is_float:
            raise LoopsError("fma", "takes floats, one of them a Value", given=(a, b, c))
        type = typed.type
        args = (
            self.value(type, a).operand,
            self.value(type, b).operand,
            self.value(type, c).operand,
        )
        return self.let(type, "fma", args)

    def scale(self, x: Value, k: Value | Number) -> Value:
        """x * 2**k, rounded once, for whole k that are at most twice the largest exponent."""
        return self.let(x.type, "scale", (x.operand, self.value(x.type, k).operand))

    def sqrt(self, x: Value) -> Value:
        return self._float("sqrt", x)

    def abs(self, x: Value) -> Value:
        return self.let(x.type, "abs", (x.operand,))

    def floor(self, x: Value) -> Value:
        return self._float("floor", x)

    def ceil(self, x: Value) -> Value:
        return self._float("ceil", x)

    def trunc(self, x: Value) -> Value:
        return self._float("trunc", x)

    def rint(self, x: Value) -> Value:
        """To the nearest whole number, halves to the even one."""
        return self._float("rint", x)

    def copysign(self, x: Value | Number, sign: Value | Number) -> Value:
        if not isinstance(x, Value):
            x = self.like(sign, x) if isinstance(sign, Value) else self.const("f32", x)
        return self.binary("copysign", x, sign)

    def popcount(self, x: Value) -> Value:
        return self.let(x.type, "popcount", (x.operand,))

    def ctlz(self, x: Value) -> Value:
        """The number of leading zeros; all bits for 0."""
        return self.let(x.type, "ctlz", (x.operand,))

    def min(self, a: Value | Number, b: Value | Number) -> Value:
        """The smaller of two signed integers."""
        return self.binary("min", a, b) if isinstance(a, Value) else self.min(_value(b), a)

    def max(self, a: Value | Number, b: Value | Number) -> Value:
        """The larger of two signed integers."""
        return self.binary("max", a, b) if isinstance(a, Value) else self.max(_value(b), a)

    def _float(self, op: str, x: Value) -> Value:
        if not TYPES[x.type].is_float:
            raise LoopsError(op, "takes floats", given=x)
        return self.let(x.type, op, (x.operand,))

    # ---- vectors

    def shuffle(self, a: Value, b: Value | None, mask: Sequence[int]) -> Value:
        """Lanes of a (and of b, counted on after those of a) in the order of the mask."""
        args = (a.operand,) if b is None else (a.operand, self.like(a, b).operand)
        type = vector(TYPES[a.type].element, len(mask))
        return self.let(type, "shuffle", args, (tuple(mask),))

    def extract(self, v: Value, index: Value | int) -> Value:
        where = self.value("i64", index).operand
        return self.let(TYPES[v.type].element, "extract", (v.operand, where))

    def insert(self, v: Value, x: Value | Number, index: Value | int) -> Value:
        new = self.value(TYPES[v.type].element, x).operand
        where = self.value("i64", index).operand
        return self.let(v.type, "insert", (v.operand, new, where))

    def masked_load(self, p: Value, mask: Value, type: str) -> Value:
        """Lanes where the mask is true; zeros, and no access, elsewhere."""
        return self.let(type, "masked_load", (p.operand, mask.operand))

    def masked_store(self, v: Value, p: Value, mask: Value) -> None:
        self.do("masked_store", (v.operand, p.operand, mask.operand))

    def gather(self, base: Value, index: Value, type: str, mask: Value | None = None) -> Value:
        """Element base[index] of each lane; zeros, and no access, where the mask is false."""
        args = (base.operand, index.operand)
        return self.let(type, "gather", args if mask is None else (*args, mask.operand))

    # ---- memory

    def memcpy(self, to: Value, source: Value, count: Value | int) -> None:
        """Copy `count` bytes; the two ranges do not overlap."""
        self.do("memcpy", (to.operand, source.operand, self.value("i64", count).operand))

    def memmove(self, to: Value, source: Value, count: Value | int) -> None:
        """Copy `count` bytes; the two ranges may overlap."""
        self.do("memmove", (to.operand, source.operand, self.value("i64", count).operand))

    def memset(self, to: Value, byte: Value | int, count: Value | int) -> None:
        fill = self.value("i8", byte).operand
        self.do("memset", (to.operand, fill, self.value("i64", count).operand))

    def prefetch(self, p: Value, write: bool = False, locality: int = 3) -> None:
        self.do("prefetch", (p.operand,), (int(write), locality))

    # ---- atomics

    def atomic_load(self, p: Value, type: str = "i64", order: str = "acquire") -> Value:
        return self.let(type, "atomic_load", (p.operand,), (order,))

    def atomic_store(self, p: Value, value: Value | int, order: str = "release") -> None:
        new = value if isinstance(value, Value) else self.const("i64", value)
        self.do("atomic_store", (new.operand, p.operand), (order,))

    def atomic(self, how: str, p: Value, value: Value | int, order: str = "seq_cst") -> Value:
        """Change memory in one step by add, sub, xchg, and, or, xor; gives the old value."""
        if how not in loops.ATOMICS:
            raise LoopsError("atomic", f"no operation {how!r}", known=loops.ATOMICS)
        new = value if isinstance(value, Value) else self.const("i64", value)
        return self.let(new.type, "atomic", (p.operand, new.operand), (how, order))

    def cas(self, p: Value, old: Value | int, new: Value | int) -> tuple[Value, Value]:
        """Write `new` if memory holds `old`. Gives what memory held, and whether it was written."""
        typed = old if isinstance(old, Value) else new
        type = typed.type if isinstance(typed, Value) else "i64"
        before, after = self.value(type, old), self.value(type, new)
        seen = self.let(type, "cas", (p.operand, before.operand, after.operand))
        return seen, seen.cmp("eq", before)

    def fence(self) -> None:
        self.do("fence", ())

    def pause(self) -> None:
        """Tell the CPU that this is a spin loop."""
        self.do("pause", ())


def _value(x: Value | Number) -> Value:
    if not isinstance(x, Value):
        raise LoopsError("value", "two Python numbers have no type", hint="f.const")
    return x


@final
class Module:
    """The pen for a module: functions, externs, data and tables in the order of their writing."""

    def __init__(self, name: str) -> None:
        if '"' in name or not name.isprintable():
            raise LoopsError("module", f"{name!r} is no name for a module")
        self.name = name
        self.functions: list[Function] = []
        self._externs: dict[str, loops.Extern] = {}
        self._data: list[loops.Data] = []
        self._tables: list[loops.Table] = []
        self._names: set[str] = set()

    def __str__(self) -> str:
        return str(self.finish())

    def finish(self) -> loops.Module:
        """The record of what was written."""
        return loops.Module(
            self.name,
            tuple(self._externs.values()),
            tuple(self._data),
            tuple(self._tables),
            tuple(function.finish() for function in self.functions),
        )

    def function(
        self,
        name: str,
        params: Sequence[tuple[str, str]],
        result: str = "void",
        internal: bool = False,
        inline: str = "auto",
    ) -> Function:
        """Begin a function. An internal one is seen by this module alone."""
        self._claim(name)
        self.functions.append(Function(self, name, params, result, internal, inline))
        return self.functions[-1]

    def extern(self, name: str, result: str, params: Sequence[str], variadic: bool = False) -> None:
        """Say that a function is found at load. Saying the same twice is fine."""
        new = loops.Extern(name, result, tuple(params), variadic)
        if self._externs.get(name) == new:
            return
        self._claim(name)
        self._externs[name] = new

    def data(self, name: str, type: str, count: int) -> None:
        """Zeroed memory that lives as long as the process."""
        self._claim(name)
        self._data.append(loops.Data(name, type, count))

    def table(self, name: str, type: str, values: Lanes) -> None:
        """Constants in memory. Saying the same twice is fine."""
        new = loops.Table(name, type, tuple(literal(type, x) for x in values))
        if new in self._tables:
            return
        self._claim(name)
        self._tables.append(new)

    def signature(self, name: str) -> loops.Extern | None:
        """Parameter and result types of a function or extern known so far."""
        if name in self._externs:
            return self._externs[name]
        for function in self.functions:
            if function.name == name:
                params = tuple(param.type for param in function.params)
                return loops.Extern(name, function.result, params)
        return None

    def _claim(self, name: str) -> None:
        if not loops.is_name(name):
            raise LoopsError("module", f"{name!r} is no name", module=self.name)
        if name in self._names:
            raise LoopsError("module", f"the name {name!r} is taken", module=self.name)
        self._names.add(name)
