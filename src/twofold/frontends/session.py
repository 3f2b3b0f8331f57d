"""Graph and Session: first say what is to be computed, then run parts of it. Floor 9.

    with Graph() as g:
        x = placeholder(twofold.float32, shape=())
        y = x * x
        dy = gradients(y, x)
    with Session(g) as s:
        s.run(dy, {x: 2.0})          # 4.0

A thin front over the same capture that `compile` uses: in the block of a Graph, operations on
tensors leave calls behind. `Session.run` takes what its fetches need, and runs it as one program.
An Operation is what writes: an assignment, or the step of an optimizer; it happens when it is
fetched.
(Abadi et al., "TensorFlow: A system for large-scale machine learning", OSDI 2016.)
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np

from twofold.autograd.walk import target_of, walk
from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError, TwofoldError
from twofold.base.polynomials import evaluate
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol, is_symbol
from twofold.base.trees import flatten, unflatten
from twofold.base.types import Type
from twofold.exec.runner import GuardBroken, Runner
from twofold.frontends.arrays import is_unknown
from twofold.frontends.asked import number_array
from twofold.frontends.capture import Capture
from twofold.frontends.follow import Equality, follow
from twofold.frontends.noted import Source
from twofold.ir.graph import Call, Input, Value, producers
from twofold.ir.graph import Graph as Program
from twofold.ir.graph_text import as_text
from twofold.ops.bind import mode, tell
from twofold.ops.creation import tensor
from twofold.ops.source import ones_of, zeros_of
from twofold.ops.tensor import Parameter, Tensor, type_of, wrap
from twofold.passes.cleanup import prune
from twofold.passes.manager import Pass, optimize

PRUNE = Pass("prune", prune)
GLOBAL_VARIABLES, TRAINABLE_VARIABLES = "variables", "trainable_variables"


class Dependence(NamedTuple):
    """Calls (from `first` on, before `last`) that come after operations."""

    first: int
    last: int
    operations: tuple[Operation, ...]


@final
class Operation:
    """Something that writes: run it by fetching it.

    updates   (the input that is written, its new value)
    hosts     the numbers of the Python steps that belong to it
    """

    def __init__(
        self, name: str, updates: tuple[tuple[Value, Value], ...], hosts: tuple[int, ...] = ()
    ) -> None:
        self.name = name
        self.updates = updates
        self.hosts = hosts

    def run(self, feed_dict: Any = None, session: Session | None = None) -> None:
        """Run it in a session, or in the one whose block this is."""
        (session or default_session()).run(self, feed_dict)

    def __repr__(self) -> str:
        return f"<Operation {self.name!r}>"


@final
class Graph:
    """What is to be computed. Operations in its block become part of it."""

    def __init__(self) -> None:
        self.capture = Capture("graph")
        self.capture.keeps_streams = False
        self.capture.table.open = True
        self.collections: dict[str, list[Any]] = {}
        self.placeholders: dict[int, Tensor] = {}
        self.dependences: list[Dependence] = []
        self._before: list[Any] = []

    def __enter__(self) -> Graph:
        _graphs[id(self.capture)] = self
        self._before.append((mode.capture, mode.interpreter))
        mode.capture, mode.interpreter = self.capture, None
        tell()
        return self

    def __exit__(self, *_: object) -> None:
        mode.capture, mode.interpreter = self._before.pop()
        tell()

    def as_default(self) -> Graph:
        return self

    def as_text(self, *, lines: bool = False) -> str:
        """All calls, in the canonical form of graphs."""
        return as_text(self.capture.finish(()), lines=lines)

    def get_operations(self) -> list[Call]:
        return list(self.capture.calls)

    def add_to_collection(self, name: str, value: Any) -> None:
        self.collections.setdefault(name, []).append(value)

    def get_collection(self, name: str) -> list[Any]:
        return list(self.collections.get(name, ()))

    def operation(self, name: str, function: Callable[[], Any]) -> Operation:
        """What the function writes, as an operation: nothing is written before it is fetched."""
        capture = self.capture
        hosts = len(capture.hosts)
        before = {id(s): s.value for s in capture.given}
        function()
        updates = []
        for storage in capture.given:
            old = before.get(id(storage), storage.origin)
            if storage.value is not old:
                updates.append((storage.origin, storage.value))
                storage.value = old  # type: ignore[assignment]
                storage.writes += 1
        return Operation(name, tuple(updates), tuple(range(hosts, len(capture.hosts))))  # type: ignore[arg-type]


class _Defaults(threading.local):
    """What is in force in this thread without being named."""

    graph: Graph | None = None
    session: Session | None = None


_defaults = _Defaults()


def current_graph(op: str) -> Graph:
    """The graph whose block this is, also in a branch or a loop of it; else the thread's default
    graph, which is entered.
    """
    capture = mode.capture
    while capture is not None:
        found = _graphs.get(id(capture))
        if found is not None:
            return found
        capture = getattr(capture, "outer", None)
    if mode.capture is not None:
        raise TwofoldError(op, "there is no Graph here", hint="with Graph() as g: ...")
    if _defaults.graph is None:
        _defaults.graph = Graph()
    _defaults.graph.__enter__()
    return _defaults.graph


@contextlib.contextmanager
def around(graph: Graph) -> Iterator[None]:
    """In the block, operations go to the graph itself, not to the branch or loop that is open."""
    before, mode.capture = mode.capture, graph.capture
    try:
        yield
    finally:
        mode.capture = before


_graphs: weakref.WeakValueDictionary[int, Graph] = weakref.WeakValueDictionary()


def get_default_graph() -> Graph:
    """The graph that operations go to here."""
    return current_graph("get_default_graph")


def reset_default_graph() -> None:
    """Leave the default graph and forget it."""
    if _defaults.graph is not None and mode.capture is _defaults.graph.capture:
        _defaults.graph.__exit__()
    _defaults.graph = None


def default_session() -> Session:
    if _defaults.session is None:
        raise TwofoldError("run", "there is no session here", hint="with Session() as s: ...")
    return _defaults.session


# ---- building ------------------------------------------------------------------------------------


# What a size that may differ is taken for where the graph asks: windows fit and halves are whole in
# so many, and hardly a size of a layer is the same.
EXAMPLE = 1184


def placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor that is given when the graph runs.

    shape: sizes; None for one that may differ from run to run. Raises ArgumentError without a
    shape: the rank is a part of the program.
    """
    graph = current_graph("placeholder")
    if shape is None:
        raise ArgumentError("placeholder", "no shape", hint="shape=(None, 784), None for any size")
    capture = graph.capture
    key = len(graph.placeholders)
    label = name or f"placeholder{key}"
    sizes: Any = tuple(
        capture.symbol(f"{label}_{axis}", EXAMPLE, (key, axis)) if size is None else int(size)
        for axis, size in enumerate(shape)
    )
    type_ = Type(sizes, dtypes.as_dtype(dtype))
    storage = capture.input(type_, "argument", label, Source("argument", key))
    made = wrap(capture.unknown(storage.value))
    made.tracked = type_.dtype.kind in "fc"
    graph.placeholders[key] = made
    return made


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor of given values."""
    made: Any = tensor(value, dtype=dtype)
    return made if shape is None else made.expand(shape)  # type: ignore[no-any-return]


class Variable(Parameter):
    """A tensor that lives between runs. It has its value once its `initializer` was run.

    initial_value: a tensor, an array, numbers, or a function of nothing that gives one.
    """

    __slots__ = ("initial_value", "initializer", "name")

    initial_value: Tensor
    initializer: Operation
    name: str

    def __new__(
        cls, initial_value: Any, trainable: bool = True, name: str | None = None, dtype: Any = None
    ) -> Variable:
        graph = current_graph("Variable")
        value = initial_value() if callable(initial_value) else initial_value
        value = value if isinstance(value, Tensor) else tensor(value, dtype=dtype)
        if any(type(n) is Symbol for n in value.array.shape):
            raise ShapeError("Variable", "its sizes are not known", initial_value=type_of(value))
        storage = np.zeros(tuple(value.array.shape), value.array.dtype)
        made: Any = super().__new__(cls, wrap(storage), trainable and value.dtype.kind in "fc")
        made.name = name or f"variable{len(graph.get_collection(GLOBAL_VARIABLES))}"
        graph.capture.remember(made)
        graph.capture.lift(made.array)
        made.initial_value = value
        made.initializer = assign(made, value)
        graph.add_to_collection(GLOBAL_VARIABLES, made)
        if trainable:
            graph.add_to_collection(TRAINABLE_VARIABLES, made)
        return made  # type: ignore[no-any-return]

    def assign(self, value: Any) -> Operation:
        return assign(self, value)

    def assign_add(self, delta: Any) -> Operation:
        return assign(self, self + delta)

    def assign_sub(self, delta: Any) -> Operation:
        return assign(self, self - delta)

    def eval(self, session: Session | None = None) -> Any:
        return (session or default_session()).run(self)

    def load(self, value: Any, session: Session | None = None) -> None:
        """Give it a value now."""
        self.array[...] = np.asarray(value, self.array.dtype)

    def __hash__(self) -> int:
        return id(self)


def assign(variable: Tensor, value: Any) -> Operation:
    """The operation that gives a variable a value."""
    graph = current_graph("assign")
    new = value if isinstance(value, Tensor) else tensor(value, dtype=variable.dtype)
    if tuple(new.array.shape) != tuple(variable.array.shape):
        raise ShapeError(
            "assign", "the value has another shape", variable=type_of(variable), value=type_of(new)
        )
    return graph.operation("assign", lambda: graph.capture.store(variable.array, new.array))


def group(*operations: Operation, name: str = "group") -> Operation:
    """Several operations as one."""
    updates = tuple(update for op in operations for update in op.updates)
    return Operation(name, updates, tuple(host for op in operations for host in op.hosts))


def global_variables() -> list[Any]:
    return get_default_graph().get_collection(GLOBAL_VARIABLES)


def trainable_variables() -> list[Any]:
    return get_default_graph().get_collection(TRAINABLE_VARIABLES)


def global_variables_initializer() -> Operation:
    """The operation that gives every variable its initial value."""
    return group(*(v.initializer for v in global_variables()), name="init")


def gradients(ys: Any, xs: Any, grad_ys: Any = None) -> Any:
    """d sum(ys) / d x for each of `xs`; None where they do not depend on it. Differentiable."""
    return _gradients(ys, xs, grad_ys, again=True)


def _gradients(ys: Any, xs: Any, grad_ys: Any, *, again: bool) -> Any:
    outs = list(ys) if isinstance(ys, list | tuple) else [ys]
    several = isinstance(xs, list | tuple)
    targets = list(xs) if several else [xs]
    given = list(grad_ys) if isinstance(grad_ys, list | tuple) else [grad_ys] * len(outs)
    roots = [
        (y, ones_of(y.array.shape, y.array.dtype) if g is None else g)
        for y, g in zip(outs, given, strict=True)
    ]
    found = walk(roots, [target_of(x) for x in targets], create_graph=again, retain_graph=True)
    made = [found.of(x) for x in targets]
    return made if several else made[0]


@contextlib.contextmanager
def control_dependencies(operations: Sequence[Operation]) -> Iterator[None]:
    """What is computed in the block sees what these operations have written, and runs them."""
    graph = current_graph("control_dependencies")
    capture = graph.capture
    wanted = tuple(op for op in operations if isinstance(op, Operation))
    new = {into: value for op in wanted for into, value in op.updates}
    changed = [s for s in capture.given if s.origin in new]
    before = [s.value for s in changed]
    for storage in changed:
        storage.write(new[storage.origin])  # type: ignore[index]
    first = len(capture.calls)
    try:
        yield
    finally:
        for storage, value in zip(changed, before, strict=True):
            storage.write(value)
        graph.dependences.append(Dependence(first, len(capture.calls), wanted))


def minimize(optimizer: Any, loss: Tensor, var_list: Any = None) -> Operation:
    """One step of an optimizer of `twofold.optim` down the loss's gradient, as an operation."""
    params = [x for group_ in optimizer.param_groups for x in group_["params"]]
    wanted = params if var_list is None else list(var_list)
    slopes = _gradients(loss, wanted, None, again=False)
    graph = current_graph("minimize")

    def step() -> None:
        for x, g in zip(wanted, slopes, strict=True):
            x.grad = zeros_of(x.array.shape, x.array.dtype) if g is None else g
        optimizer.step()
        for x in wanted:
            x.grad = None

    return graph.operation(type(optimizer).__name__, step)


# ---- running -------------------------------------------------------------------------------------


class Part(NamedTuple):
    """The program of one set of fetches."""

    runner: Runner
    places: tuple[int, ...]  # of its inputs, among the graph's; -1 for a tensor that is fed
    wanted: tuple[Any, ...]  # kept alive, since parts are found by the ids of what they give


@final
class Session:
    """Runs parts of a graph. Variables keep their values between runs, and between sessions."""

    def __init__(self, graph: Graph | None = None, **_: Any) -> None:
        self.graph = graph if graph is not None else get_default_graph()
        self.parts: dict[Any, Part] = {}
        self.equal: list[Equality] = []
        self.looked = 0
        self._before: list[Session | None] = []

    def __enter__(self) -> Session:
        self._before.append(_defaults.session)
        _defaults.session = self
        return self

    def __exit__(self, *_: object) -> None:
        if self._before:
            _defaults.session = self._before.pop()

    def close(self) -> None:
        """Forget its programs, and be nobody's default any more."""
        self.parts.clear()
        if _defaults.session is self:
            self.__exit__()

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """The values of the fetches, as NumPy arrays, in the structure they are given in.

        fetches: tensors, variables and operations (whose value is None), in any containers.
        feed_dict: a value for each placeholder that is needed; other tensors may be fed too.
        Raises ArgumentError for a placeholder without a value, ShapeError for a value that does not
        fit.
        """
        wanted, form = flatten(fetches)
        fed = {self.value_of(x): np.asarray(v) for x, v in (feed_dict or {}).items()}
        key = (tuple(map(id, wanted)), tuple(sorted(v.number for v in fed)))
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = self.part(wanted, tuple(fed))
        return unflatten(self.results(part, wanted, fed), form)

    def value_of(self, x: Any) -> Value:
        if not isinstance(x, Tensor):
            raise ArgumentError("run", f"a {type(x).__name__} is not a tensor of the graph")
        capture = self.graph.capture
        if is_unknown(x.array):
            return capture.value_of(x.array)
        capture.remember(x)
        return capture.lift(x.array).value

    def part(self, wanted: list[Any], fed: tuple[Value, ...]) -> Part:
        """The graph of what is wanted, without what nobody needs, as a program."""
        capture = self.graph.capture
        operations = [x for x in wanted if isinstance(x, Operation)]
        values = tuple(self.value_of(x) for x in wanted if not isinstance(x, Operation))
        updates = dict(update for op in operations for update in op.updates)
        hidden = [Input(v, "argument", f"fed{i}") for i, v in enumerate(fed)]
        known = {i.value for i in capture.inputs}
        inputs = [*capture.inputs, *(i for i in hidden if i.value not in known)]
        calls = [c for c in capture.calls if not any(v in fed for v in c.outs)]
        while True:
            whole = Program(
                "run", tuple(inputs), tuple(calls), values, tuple(updates.items()), capture.table
            )
            more = self.dependent(optimize(whole, ()), whole) - updates.keys()
            if not more:
                break
            updates |= {into: self.updates_of(into) for into in more}
        graph = optimize(self.checked(whole))
        read = {v for c in graph.calls for v in c.inputs} | set(graph.needed())
        read |= {into for into, _ in graph.updates}
        places = [i for i, given in enumerate(inputs) if given.value in read]
        kept = tuple(inputs[i] for i in places)
        numbers = tuple(i if i < len(capture.inputs) else -1 for i in places)
        checks = range(len(whole.results), len(graph.results))
        return Part(Runner(graph._replace(inputs=kept), checks=checks), numbers, tuple(wanted))

    def checked(self, graph: Program) -> Program:
        """The graph that also gives back whether the indices that it reads are in their ranges."""
        read = {v for call in optimize(graph, (PRUNE,)).calls for v in call.outs}
        checks = [check for check in self.graph.capture.checks if check.bad in read]
        return graph._replace(results=(*graph.results, *[check.bad for check in checks]))

    def raise_checks(self, made: Sequence[Any], results: Sequence[Value]) -> None:
        """Raise the error of an index that was out of its range."""
        by_value = {check.bad: check for check in self.graph.capture.checks}
        for array, value in zip(made, results, strict=True):
            if value in by_value and array:
                raise by_value[value].error("(computed)")

    def dependent(self, graph: Program, whole: Program) -> set[Value]:
        """The inputs that operations write on which the needed calls depend."""
        made = producers(whole)
        needed: set[int] = set()
        stack = list(graph.needed())
        while stack:
            call = made.get(stack.pop())
            if call is not None and id(call) not in needed:
                needed.add(id(call))
                stack += call.inputs
        found: set[Value] = set()
        for first, last, operations in self.graph.dependences:
            if any(id(c) in needed for c in self.graph.capture.calls[first:last]):
                found |= {into for op in operations for into, _ in op.updates}
        return found

    def updates_of(self, into: Value) -> Value:
        return next(
            new
            for dependence in self.graph.dependences
            for op in dependence.operations
            for target, new in op.updates
            if target is into
        )

    def results(self, part: Part, wanted: list[Any], fed: dict[Value, Any]) -> list[Any]:
        capture = self.graph.capture
        given = part.runner.graph.inputs
        hosted: dict[int, Any] = {}
        values = self.sizes(fed)
        arrays = []
        for input_, place in zip(given, part.places, strict=True):
            if input_.value in fed:
                arrays.append(self.fitted(input_, fed[input_.value]))
            else:
                arrays.append(self.found(capture.sources[place], input_, values, hosted))
        try:
            made = part.runner.run(arrays, values)
        except GuardBroken as broken:
            table = capture.table
            guard = broken.guard
            raise ShapeError(
                "run",
                f"the graph needs {table.text(guard.left)} {guard.test} {table.text(guard.right)}"
                f" to be {guard.holds}",
                hint="feeds of sizes that fit each other",
                asked=guard.where,
            ) from None
        count = len([x for x in wanted if not isinstance(x, Operation)])
        self.raise_checks(made[count:], part.runner.graph.results[count:])
        tensors = iter(made[:count])
        return [None if isinstance(x, Operation) else _value(next(tensors)) for x in wanted]

    def found(
        self, source: Source, given: Input, values: Sequence[Any], hosted: dict[int, Any]
    ) -> Any:
        """The value of an input that is not fed."""
        if source.kind == "argument":
            raise ArgumentError(
                "run", f"{given.name} has no value", hint="feed_dict={x: value}", x=given.value.type
            )
        if source.kind == "state":
            return source.key.array if isinstance(source.key, Tensor) else source.key
        if source.kind == "number":
            expr, dtype = source.key
            return number_array(evaluate(expr, values), dtype)
        number, place, dtype = source.key
        if number not in hosted:
            hosted[number] = self.graph.capture.hosts[number].run()
        return number_array(hosted[number] if place is None else hosted[number][place], dtype)

    @staticmethod
    def fitted(given: Input, array: Any) -> Any:
        """A fed value in the placeholder's type. Raises ShapeError where its shape does not fit."""
        type_ = given.value.type
        fits = array.ndim == len(type_.shape) and all(
            is_symbol(n) or n == m for n, m in zip(type_.shape, array.shape, strict=True)
        )
        if not fits:
            raise ShapeError(
                "run",
                f"the value of {given.name} has another shape",
                placeholder=type_,
                value=f"{array.dtype}{list(array.shape)}",
                hint="" if type_.shape else "placeholder(dtype, [None]) for more than one number",
            )
        return np.ascontiguousarray(dtypes.convert(array, type_.dtype)).reshape(array.shape)

    def sizes(self, fed: Mapping[Value, Any]) -> list[Any]:
        """The values of the symbols. The size of a placeholder that is not fed is the one that the
        graph demands for it, or its example.
        """
        table = self.graph.capture.table
        known: dict[int, int] = {}
        for value, array in fed.items():
            for n, size in zip(value.shape, array.shape, strict=False):
                place = _size_alone(n.expr) if type(n) is Symbol else None
                if place is not None:
                    known[place] = size
        follow(known, self.equalities())
        return [known.get(place, example) for place, example in enumerate(table.examples)]

    def equalities(self) -> list[Equality]:
        """What the graph demands to be equal."""
        guards = self.graph.capture.table.guards
        if len(guards) != self.looked:
            self.looked = len(guards)
            found = [g for g in guards.values() if g.test == "==" and g.holds]
            self.equal = [Equality(g.left, g.right) for g in found]
        return self.equal


def _size_alone(expr: Any) -> int | None:
    """The number of the symbol that an expression is, or None for others."""
    if not isinstance(expr, tuple) or len(expr) != 1 or expr[0][1] != 1 or len(expr[0][0]) != 1:
        return None
    (atom,) = expr[0][0]
    return atom[1] if atom[0] == "size" else None


def _value(array: Any) -> Any:
    return array if array.ndim else array[()]
