"""Run a Python function once with arrays that have no values, and keep what it did. Floor 9.

Tensors, tape and gradients work as always: only the arrays under them are `Unknown`, and what would
run a kernel leaves a Call behind (`execute`). NumPy arrays that the function finds (parameters,
buffers, an optimizer's averages) become inputs of the program by reference; what it writes into
them becomes an update. So forward, `loss.backward()` and `optimizer.step()` are one graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import user_line, user_place
from twofold.base.guards import Guard
from twofold.base.polynomials import evaluate, only_sizes
from twofold.base.symbols import Symbol, fixed, is_symbol
from twofold.base.types import Type
from twofold.frontends import asked as asking
from twofold.frontends import draws, exchanged, ran, windows
from twofold.frontends import kept as memory
from twofold.frontends.arrays import CaptureError, Chain, Storage, Unknown, is_unknown
from twofold.frontends.captured import Captured
from twofold.frontends.either import check_write
from twofold.frontends.noted import (
    Attribute,
    Check,
    Found,
    Grad,
    Held,
    Host,
    Kept,
    NeedsKept,
    NeedsPlain,
    Source,
    Stream,
)
from twofold.ir.graph import TEXT, Call, Graph, Input, Value
from twofold.ir.graph_text import as_text
from twofold.ops.bind import ITEM, bind, current, mode
from twofold.ops.compare import logical_not
from twofold.ops.elementwise import CAST
from twofold.ops.movement import DETACH, EXPAND, RESHAPE
from twofold.ops.op import Op
from twofold.ops.ranges import CHECK
from twofold.ops.rules import known_size
from twofold.ops.source import FULL
from twofold.ops.tensor import Tensor, wrap
from twofold.ops.writing import VIEW_SCATTER

TEXT[:] = [as_text]  # how graphs print
# What frontends/later.py gives: the class of numbers that a run knows, and what makes one.
LATER: set[type] = set()
CALLBACK_OF: list[Callable[..., Any]] = []  # what frontends/effects.py gives
ITEM_OF: list[Callable[[Any], Any]] = []
LARGER = 7  # times its example is a size that stands for all


def _sized(attr: Any) -> Any:
    """An attribute with symbols for the numbers that only a run knows; a float stays as it is."""
    if type(attr) is tuple:
        return tuple([_sized(part) for part in attr])
    return known_size(attr) if type(attr) in LATER else attr


@final
class Capture(Captured):
    """One run of a function: what it does becomes calls of a graph."""

    outer: Capture | None

    # ---- inputs

    def input(self, type_: Type, kind: str, name: str, source: Source, real: Any = None) -> Storage:
        value = Value(type_.shape, type_.dtype)
        self.inputs.append(Input(value, kind, name))
        self.sources.append(source)
        storage = Storage(value, value, real)
        self.given.append(storage)
        return storage

    def argument(self, array: Any, name: str, key: Any) -> Unknown:
        """The array of a tensor argument: each size becomes a symbol."""
        shape: Any = tuple(
            self.symbol(f"{name}_{axis}", n, (key, axis)) for axis, n in enumerate(array.shape)
        )
        storage = self.input(
            Type(shape, dtypes.of(array.dtype)), "argument", name, Source("argument", key)
        )
        return Unknown(self, storage, storage.value)

    def gradient(self, x: Tensor, grad: Tensor, name: str, number: int) -> None:
        """Give what stands for an argument the gradient that it came with."""
        type_ = Type(x.array.shape, dtypes.of(grad.array.dtype))
        storage = self.input(type_, "argument", f"{name}_grad", Source("grad", number))
        x.leaf_grad = wrap(Unknown(self, storage, storage.value))
        self.begun[id(x)] = Held(x, x.leaf_grad)

    def symbol(
        self, name: str, example: Any, place: tuple[Any, int | None], as_size: bool = False
    ) -> Symbol:
        """A symbol for a size of an argument, or for an argument that is a number, which may be
        taken for a size: of a negative one the program is another.
        """
        chosen = as_size and type(example) is int and example >= 0
        kind = "size" if place[1] is not None or chosen else type(example).__name__
        self.symbols.append(place)
        made = self.table.new(name, example, kind)
        if chosen:
            self.table.note(Guard(made.expr, "<", (), False, user_line()))
        return made

    def lift(self, array: Any) -> Storage:
        """The storage of an array that the function found."""
        found = self.storages.get(id(array))
        if found is not None:
            return found
        if is_unknown(array):  # a body that was thrown away has left it somewhere
            raise _captured_before()
        type_ = Type(array.shape, dtypes.of(array.dtype))
        made = self.input(type_, "state", f"s{len(self.storages)}", self.source(array), array)
        self.storages[id(array)] = made
        self.lifted.add(array)
        return made

    def source(self, array: Any) -> Source:
        """Where an array that the function found will be found at each call."""
        held = (h for h in self.begun.values() if h.grad is not None and h.grad.array is array)
        owner = next(held, None)
        if owner is not None:
            self.grads.setdefault(id(owner.leaf), Grad(*owner, True))
            return Source("grad", owner.leaf)
        lies = self.outside.get(id(array))
        if lies is not None and lies.array is array:
            self.remember(lies)
        found = self.by_array.get(id(array))
        if found is not None and found.array is not array:  # it has taken another one since
            found = next((x for x in self.tensors.values() if x.array is array), None)
        return Source("state", array if found is None else found)

    def remember(self, x: Tensor) -> None:
        """Keep a real tensor that is used; of one that was made here, whose memory it has."""
        if is_unknown(x.array):
            return
        x = exchanged.named(self, x)
        self.tensors[id(x)] = x
        self.by_array.setdefault(id(x.array), x)

    def note_alias(self, made: Tensor, x: Tensor) -> None:
        """A tensor was made on the memory of x."""
        if not is_unknown(x.array):
            known = self.aliases.get(id(x))
            self.aliases[id(made)] = made, x if known is None else known[1]
            self.note_own(made)

    def takes_over(self, x: Tensor, value: Tensor) -> bool:
        """Whether `x.data = value` exchanges an array; else it is a write."""
        return exchanged.takes_over(self, x, value)

    def refuse_layout(self, x: Tensor, op: str) -> None:
        """x itself is about to get another shape."""
        exchanged.refuse_layout(self, x, op)

    def use(self, tensors: Any) -> Any:
        """The operands of an operation. Real tensors are remembered; in a branch or a body, those
        from outside are exchanged for inputs of its graph.
        """
        if self.outer is not None:
            return tuple([x if self.owns(x.array) else self.local(x) for x in tensors])
        for x in tensors:
            if type(x.array) is np.ndarray:
                self.remember(x)
        return tensors

    def owns(self, array: Any) -> bool:
        return is_unknown(array) and array.capture is self

    def local(self, x: Tensor) -> Tensor:
        """What stands for a tensor from outside in the graph of a branch or a body."""
        made = self.locals.get(id(x))
        if made is None and (kept := self.kept_array(x.array)) is not None:
            if x.tracked and mode.grad:
                raise CaptureError(
                    "compile",
                    "a loop or a branch writes and reads a tensor that requires a gradient",
                    hint="carry the tensor: give its new value back from the body",
                )
            made = self.locals[id(x)] = wrap(kept)
            self.alive.append(x)
        if made is None:
            current(x)
            stand_in = self.leaf(Type(tuple(x.array.shape), x.dtype))
            made = self.locals[id(x)] = wrap(stand_in)
            made.tracked = x.tracked
            self.found.append(Found(x, made, stand_in.value))
        return made

    def leaf(self, type_: Type) -> Unknown:
        """One more input of the graph of a branch or a body."""
        name = f"a{len(self.inputs)}"
        storage = self.input(type_, "argument", name, Source("argument", len(self.inputs)))
        return Unknown(self, storage, storage.value)

    def number(self, symbol: Symbol, dtype: DType) -> Unknown:
        """A 0-d array for a number that is computed at each call."""
        if self.outer is not None:
            return self.from_outside(self.outer.number(symbol, dtype))
        key = (symbol.expr, dtype)
        found = self.numbers.get(key)
        if found is None:
            storage = self.input(Type((), dtype), "number", str(symbol), Source("number", key))
            found = self.numbers[key] = self.unknown(storage.value)
        return found

    # ---- Python at each call

    def host(
        self,
        run: Callable[[], Any],
        what: str,
        undo: Callable[[], None] = lambda: None,
        like: Type | None = None,
    ) -> int:
        """Have Python run before each run of the program; its number, for `host_value`. In a body
        it runs at each turn, and gives numbers of the type `like`, or nothing.
        """
        if self.probing:
            return -1
        if self.outer is not None or self.inside:
            return self.host_inside(run, what, undo, like)
        self.hosts.append(Host(run, what, undo))
        return len(self.hosts) - 1

    def call(self, function: Callable[..., Any], *operands: Tensor, like: Any = None) -> Any:
        """Have Python run where the program stands (`callback`)."""
        return CALLBACK_OF[0](function, *operands, like=like)

    def host_inside(
        self, run: Callable[[], Any], what: str, undo: Callable[[], None], like: Type | None
    ) -> int:
        """Python at each turn, or where a branch is taken."""
        return memory.host_inside(self, run, what, undo, like)

    def item(self, array: Unknown, outside: Tensor | None = None) -> Any:
        """What x.item() gives: a number that a run of the program knows; of a tensor from outside
        that nobody has written, Python may have it, too.
        """
        made = ITEM_OF[0](array)
        if outside is not None and self.unwritten(outside.array):
            made.outside = outside
        return made

    def unwritten(self, array: Any) -> bool:
        """Whether a real array is as it was before the function."""
        return asking.unwritten(self, array)

    def values_now(self, x: Tensor) -> Any:
        """The values of a tensor from outside, which the program is then made for."""
        return asking.values_now(self, x)

    def places_of(self, mask: Unknown, what: str, hint: str) -> tuple[Unknown, ...]:
        """The places of a mask's true elements, one i64[n] for each axis."""
        if not is_unknown(mask):
            mask = self.unknown(self.value_of(mask))
        return asking.places_of(mask.capture, mask, what, hint)

    def reads_outside(self, array: Any) -> bool:
        """Whether a real array belongs to what lies outside of the function: its values may change
        from run to run.
        """
        root = self
        while root.outer is not None:
            root = root.outer
        return id(array) in root.outside

    def at_each_run(self, number: Any) -> Callable[[], Any]:
        """What gives a number of the function to Python that runs before each run."""
        if not is_symbol(number):
            return lambda: number
        if self.now is None:
            self.now = []
        now, expr = self.now, number.expr
        return lambda: evaluate(expr, now)

    def host_value(
        self, number: int, place: int | None, shape: tuple[int, ...], dtype: DType
    ) -> Unknown:
        """An array of what a host step gives: all of it, or the number at a place."""
        if self.probing:
            return self.filled(shape, 0, dtype)
        if number < -1:
            return self.given_inside[-2 - number]  # type: ignore[return-value]
        name = f"{self.hosts[number].what}{'' if place is None else place}"
        source = Source("host", (number, place, dtype))
        return self.unknown(self.input(Type(shape, dtype), "number", name, source).value)

    # ---- operations

    def unknown(self, value: Value) -> Unknown:
        """Fresh memory that holds a value."""
        return Unknown(self, Storage(value), value)

    def value_of(self, array: Any) -> Value:
        if self.outer is not None and not self.owns(array):
            return self.from_outside(array).value
        if is_unknown(array):
            if array.capture is not self:
                raise _captured_before()
            return array.value  # type: ignore[no-any-return]
        return self.lift(array).value

    def place_of(self, storage: Storage) -> int | None:
        """The number of the input whose memory this is: of an argument, or of a tensor found."""
        place = next((i for i, given in enumerate(self.given) if given is storage), None)
        if place is None:
            return None
        kind, key = self.sources[place]
        return place if kind == "argument" or isinstance(key, Tensor) else None

    def from_outside(self, array: Any) -> Unknown:
        """What stands for an array from outside."""
        known = next((f for f in self.found if f.tensor.array is array), None)
        return (self.local(wrap(array)) if known is None else known.local).array  # type: ignore[return-value]

    def emit(self, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...]) -> tuple[Value, ...]:
        """Leave a call behind; its outputs."""
        attrs = fixed(_sized(attrs))
        for attr in attrs:
            if type(attr) in LATER:
                raise CaptureError(
                    "compile",
                    f"{op.name} is told a number that only a run knows",
                    hint="a tensor in its place",
                )
        made = op.infer(*[v.type for v in inputs], **op.keywords(attrs))
        types = (made,) if isinstance(made, Type) else tuple(made)
        outs = tuple(Value(t.shape, t.dtype) for t in types)
        self.calls.append(Call(op, inputs, attrs, outs, user_place(), tuple(self.path)))
        return outs

    def execute(self, op: Op, arrays: list[Any], attrs: tuple[Any, ...]) -> Any:
        """What Eager's execute is to real arrays."""
        inputs = tuple([self.value_of(a) for a in arrays])
        outs = self.emit(op, inputs, attrs)
        if op is RESHAPE and is_unknown(arrays[0]) and not arrays[0].viewable(attrs[0]):
            return self.unknown(outs[0])
        if op.view and op.outputs == 1:
            return self.part(arrays[0], op, attrs, outs[0])
        if op.view:
            return tuple(
                self.part(arrays[0], op, attrs, value, index) for index, value in enumerate(outs)
            )
        made = tuple(map(self.unknown, outs))
        return made if op.outputs != 1 or op.residuals else made[0]

    @property
    def larger(self) -> list[Any]:
        """Values for the symbols, of which no size is 1: multiples of the examples."""
        return [max(n, 1) * LARGER if type(n) is int else n for n in self.table.examples]

    def part(
        self, source: Any, op: Op, attrs: tuple[Any, ...], value: Value, index: int | None = None
    ) -> Unknown:
        """A view of an array: of an operation with several outputs, number `index`."""
        if is_unknown(source):
            storage, chain = source.storage, source.chain
        else:
            storage, chain = self.lift(source), ()
        item = () if index is None else ((ITEM, (index,)),)
        return Unknown(self, storage, value, (*chain, (op, attrs), *item))

    def view(self, value: Value, chain: Chain) -> Value:
        """The part of a value that a chain of views names."""
        made: Any = value
        for op, attrs in chain:
            if op is ITEM:
                made = made[attrs[0]]
            else:
                outs = self.emit(op, (made,), attrs)
                made = outs[0] if op.outputs == 1 else outs
        return made  # type: ignore[no-any-return]

    def scatter(self, part: Unknown, value: Value) -> Value:
        """The value of a whole storage after a part of it was written."""
        if any(op is DETACH for op, _ in part.chain):
            raise CaptureError(
                "detach",
                "what was detached is written in place in a loop or a branch inside of jvp",
                hint="x.detach().clone(), and a write into that",
            )
        return self.emit(VIEW_SCATTER, (part.storage.value, value), (part.chain,))[0]

    # ---- writes

    def store(self, array: Any, values: Any) -> None:
        """`array[...] = values`."""
        if is_unknown(array) and array.capture is self:
            array.set(self.fitted(values, array))
            return
        if self.outer is not None:
            kept = self.kept_array(array)
            if kept is None:
                raise self.needs_kept(array)
            kept.set(self.fitted(values, kept))
            return
        storage = self.lift(array)
        if self.lifted.meets_another(array):
            raise CaptureError(
                "compile",
                "a tensor is written whose memory another one shares, both made outside",
                hint="make the view inside of the compiled function",
            )
        self.admit_write(storage)
        storage.write(self.fitted(values, array))

    def storage_of(self, array: Any) -> Storage | None:
        """The memory of an array in this graph; None where it lies outside and is not kept."""
        return memory.storage_of(self, array)

    def kept_array(self, array: Any) -> Unknown | None:
        """What stands for an array from outside whose memory this graph writes."""
        return memory.kept_array(self, array)

    def took(self, x: Tensor) -> None:
        """x is a part of a tensor at an index that a run knows, or a copy of that."""
        if is_unknown(x.array):
            x.array.storage.taken = True  # type: ignore[attr-defined]

    def without_windows(self, x: Tensor, key: Any) -> tuple[Tensor, Any]:
        """The same part of x without slices that move."""
        return windows.taken(x, key)

    def listed(self, count: Any) -> bool:
        """Whether a list of as many things as a size may stay one of the graph."""
        known = not is_symbol(count) or not only_sizes(count.expr) or self.table.lists is None
        return not known and self.table.lists(count)  # type: ignore[misc]

    def with_positions(self, x: Tensor, key: Any) -> Any:
        """A key to be written, with positions for a slice that moves."""
        return windows.positions(x, key)

    def needs_kept(self, array: Any) -> NeedsKept:
        """What is raised where this graph writes memory from outside that it was not given."""
        return memory.needs_kept(self, array)

    def admit_write(self, storage: Storage) -> None:
        """Memory of this graph is about to be written."""
        check_write(storage)
        if self.probing:
            self.written.append((storage, storage.value))
        for found in self.found:
            if found.local.array.storage is storage:  # type: ignore[attr-defined]
                raise self.needs_kept(found.tensor.array)

    def admit_history(self, root: Tensor, x: Tensor) -> None:
        """A write in place, of x, is about to give a tensor a history."""
        if self.probing:
            self.histories += [(y, (y.node, y.tracked, y.version)) for y in (root, x)]
        if self.outer is not None and not self.owns(root.array):
            raise NeedsPlain

    def admit_leaf(self, root: Tensor) -> None:
        """A leaf that requires a gradient is about to be written in place: what stands for what a
        body carries is one only where that has a history.
        """
        if self.outer is not None and self.owns(root.array) and not self.plain_here():
            raise NeedsPlain

    def plain_here(self) -> bool:
        return self.outer is not None and self.outer.plain > 0

    def put_back(self, kept: Kept, x: Tensor) -> None:
        """Write what a body has made of memory of this graph."""
        memory.put_back(self, kept, x)

    def fitted(self, values: Any, array: Any) -> Value:
        """Values in the shape and type of an array."""
        dtype = dtypes.of(array.dtype)
        if isinstance(values, Unknown | np.ndarray):
            value = self.value_of(values)
        else:
            value = self.constant(values, dtype).value
        if value.dtype is not dtype:
            (value,) = self.emit(CAST, (value,), (dtype,))
        if value.shape != tuple(array.shape):
            (value,) = self.emit(EXPAND, (value,), (tuple(array.shape),))
        return value

    # ---- what operations ask for

    def constant(self, number: Any, dtype: DType) -> Unknown:
        """A 0-d array that holds a number."""
        if is_symbol(number):
            return self.number(number, dtype)
        if type(number) in LATER:
            made: Unknown = bind(CAST, (number.tensor,), (dtype,)).array
            return made
        return self.filled((), number, dtype)

    def filled(self, shape: tuple[Any, ...], number: Any, dtype: DType) -> Unknown:
        """One number everywhere."""
        if is_symbol(number) or type(number) in LATER:
            (value,) = self.emit(EXPAND, (self.constant(number, dtype).value,), (shape,))
            return self.unknown(value)
        if dtype.kind in "bui":
            number = np.full((), number, dtype.numpy).item()
        return self.unknown(self.emit(FULL, (), (shape, number, dtype))[0])

    def in_range(
        self, index: Tensor, low: Any, high: Any, error: Callable[[Any], Exception], skip: Any
    ) -> Tensor:
        """The index, checked when the program runs."""
        low, high = [known_size(bound) if type(bound) in LATER else bound for bound in (low, high)]
        checked, bad = bind(CHECK, (index,), (low, high, skip))
        values = self.value_of(bad.array), self.value_of(index.array)
        self.checks.append(Check(*values, low, high, skip, error, user_line()))
        return checked  # type: ignore[no-any-return]

    def demand(self, test: Tensor, error: Callable[[], Exception]) -> None:
        """Raise the error after each run in which the test is not true."""
        bad = self.value_of(logical_not(test).array)
        self.checks.append(Check(bad, bad, 0, 0, None, lambda _: error(), user_line()))

    def draw(self, generator: Any, fresh: Callable[[], Any]) -> Unknown:
        """The state of a fresh draw of random numbers, taken at each call: u64[3]."""
        return draws.draw(self, generator, fresh)

    def reseed(self, generator: Any, state: tuple[int, int, int]) -> None:
        """A generator starts again from a state (seed, stream, draw), at each call."""
        draws.reseed(self, generator, state)

    def noting_draws(self) -> Any:
        """A block whose draws are kept, for `repeating_draws`."""
        return draws.noting(self)

    def repeating_draws(self, again: Any) -> Any:
        """A block that draws what another one drew."""
        return draws.repeating(self, again)

    def stream(self, stream: Stream) -> Tensor:
        """The state of a stream so far: u64[3]. From its first use in a branch or a body on, the
        program counts its draws, as how many there are depends on values.
        """
        return draws.state_of(self, stream)

    def attributes(self) -> list[Attribute]:
        """The tensors of this graph that modules were given."""
        return ran.attributes(self)

    def read_attributes(self, attributes: list[Attribute]) -> None:
        """What is replaced at each run is found by its name."""
        ran.read_attributes(self, attributes)

    def within(self, module: Any) -> contextlib.AbstractContextManager[None]:
        """In the block the module's forward runs."""
        return ran.within(self, module)

    # ---- the graph

    def finish(self, results: tuple[Value, ...]) -> Graph:
        """The graph of everything that was left behind."""
        self.drop_unread(results)
        updates = [
            (s.origin, s.value) for s in self.given if s.origin is not None and s.value != s.origin
        ]
        return Graph(
            self.name, tuple(self.inputs), tuple(self.calls), results, tuple(updates), self.table
        )

    def drop_unread(self, results: tuple[Value, ...]) -> None:
        """Forget the arguments' gradients that nobody read or wrote."""
        read = {value for call in self.calls for value in call.inputs} | set(results)
        for leaf, grad in self.begun.values():
            array: Any = None if grad is None else grad.array
            storage = array.storage if is_unknown(array) else None
            if storage is None:
                continue
            if storage.origin in read or storage.value is not storage.origin:
                self.grads[id(leaf)] = Grad(leaf, grad, True)
                continue
            place = self.given.index(storage)
            del self.inputs[place], self.sources[place], self.given[place]


def _captured_before() -> CaptureError:
    return CaptureError(
        "compile",
        "this tensor belongs to a graph that was captured before",
        hint="give tensors back from the compiled function instead of keeping them",
    )
