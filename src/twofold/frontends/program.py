"""A captured graph that can be called. Floor 9.

A `Program` finds its inputs (the arguments, the tensors that the function used, fresh numbers from
Python), runs one native plan, and puts the results where the function would have: returned tensors,
`.grad` of leaves, memory written in place. The plan for inputs of known sizes is made once, and
found again by machine code. Its `Fit` and its guards tell whether it may be called.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

from twofold.base.errors import LinAlgError, TwofoldError
from twofold.base.guards import Guard, guards_hold
from twofold.base.polynomials import evaluate, symbols_of
from twofold.base.symbols import is_symbol, value_of
from twofold.base.trees import LEAF, unflatten
from twofold.exec.runner import GuardBroken, Runner
from twofold.frontends.answers import Answer, Leaf, Part, Seen, View
from twofold.frontends.asked import ASKED, host_array, number_array
from twofold.frontends.capture import Capture
from twofold.frontends.derivative import Derivative
from twofold.frontends.effects import CALLBACK
from twofold.frontends.fit import Fit
from twofold.frontends.frozen import Frozen
from twofold.frontends.inputs import ARRAY, Getters, size_of, sizes_of
from twofold.frontends.left_to_python import Failed
from twofold.frontends.overwritten import Overwritten
from twofold.frontends.peak import Peak, peak_of
from twofold.frontends.places import Place
from twofold.frontends.world import ADDED, FILLED
from twofold.ir.graph import Call, Graph
from twofold.ops.bind import ITEM, bind, mode, recording
from twofold.ops.movement import CLONE
from twofold.ops.tensor import (
    Node,
    Size,
    Tensor,
    leaf_changed,
    next_number,
    root_of,
    wrap,
)
from twofold.runtime import faults

MOST_ACCEPTED = 4096
PYTHON = ("host", "number")  # sources whose arrays Python makes at each call
NEEDING_SIZES = ("number", "shape", "view", "part", "seen")  # what of an answer they make
OF_MATRICES = {"cholesky", "solve_triangular"}  # what cannot take any matrix


@final
class Program:
    """A graph with its sources and its answer; `source` is the graph as it was captured."""

    def __init__(
        self,
        capture: Capture,
        graph: Graph,
        answer: Answer,
        places: Sequence[Place] = (),
        derivative: Derivative | None = None,
        source: Graph | None = None,
        freeze: bool = False,
    ) -> None:
        self.graph = graph
        self.answer = answer
        self.fit = Fit(capture, graph, answer, places)
        self.sources = capture.sources
        given = [one.value for one in graph.inputs]
        self.source_of = dict(zip(given, self.sources, strict=True))
        self.hosts = capture.hosts
        self.now = capture.now  # where hosts find the symbols' values; None where they need none
        self.checks = capture.checks
        self.symbols = capture.symbols
        self.asked = capture.asked
        self.flags = capture.flags_after
        # Whether Python runs a call anew that ends at an error: the function may catch it.
        self.catches = capture.catches and not any(call.op is CALLBACK for call in graph.calls)
        told = [*answer.leaves, *[leaf for one in answer.sets for leaf in one.leaves]]
        self.told_numbers = [leaf.what for leaf in told if leaf.kind == "number"]
        self.derivative = derivative
        self.front: Any = None  # for machine code (frontends/front.py); False where there is none
        self.seconds: list[tuple[Call, float]] = []  # of each kernel in the last `profile`
        self.source = graph if source is None else source
        self.overwritten = Overwritten(graph, self.sources)
        self.guards = graph.guards
        self.accepted: set[tuple[Any, ...]] = set()  # sizes and numbers that the guards hold for
        sizes = sizes_of(self.symbols, self.sources)
        # Nobody asks for the symbols' values but the planner, which finds them in the inputs. (A
        # host counts steps: the guards are looked at before it is called.)
        self.lazy = (
            sizes is not None
            and not (graph.guards and self.hosts)
            and all(source.kind != "number" for source in self.sources)
            and all(leaf.kind not in NEEDING_SIZES for leaf in answer.leaves)
            and not answer.sets
            and capture.now is None
            and not capture.asked
        )
        self.frozen = Frozen(graph, self.sources) if freeze else None
        numbers = self.frozen.numbers if self.frozen is not None else frozenset()
        self.runner = Runner(graph, sizes, answer.checks, numbers)
        if derivative is not None:
            derivative.find_values(self.symbols, self.sources)
        self.getters = Getters(self.sources)
        made = {value: call.where for call in graph.calls for value in call.outs}
        self.places = [made.get(value) for value in graph.results]
        kinds = {leaf.kind for leaf in answer.leaves}
        self.plain = derivative is None and answer.form == LEAF and kinds == {"result"}
        self.plain = self.plain and not answer.sets
        self.plain = self.plain and not any(isinstance(one.result, Leaf) for one in answer.effects)

    # ---- does it fit?

    def by_value(self) -> str:
        """Where it was made for the value of a tensor, or of a number of the graph; "" if not."""
        fixed = next((place.name for place in self.fit.outside if place.kind == "values"), "")
        questions = [(guard.left, guard.right) for guard in self.guards]
        numbers = [asked for asked in self.asked if not asked.places]
        found = (asked.where for asked in numbers if _names(questions, asked.symbol))
        return next(found, fixed)

    def sizes_wanted(self, leaves: Sequence[Any]) -> set[int]:
        """The numbers among the arguments that stood where sizes do, and are others now."""
        guard = self.broken(leaves) if self.fit.holds(leaves) else None
        if guard is None or guard.key() not in self.graph.table.wanted:
            return set()
        found = symbols_of(guard.left) | symbols_of(guard.right)
        places = {self.symbols[number][0] for kind, number in found if kind == "int"}
        return places - {ASKED}

    # ---- a call

    def called(self, leaves: Sequence[Any]) -> Any:
        values: list[Any] = []
        if not self.lazy:
            values = [size_of(leaves, symbol) for symbol in self.symbols]
            if self.guards and not self.asked:
                self.accept(values)
        arrays = self.arrays(leaves, values)
        if self.catches:
            try:
                for expr in self.told_numbers:
                    evaluate(expr, values)
            except Exception as error:
                self.undo_hosts(error)
                raise
        return self.finish(leaves, values, arrays)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """What the program gives for these arguments. Raises Failed where it ended before it did
        anything, and Python may not, or may catch the error.
        """
        if not self.catches:
            return self.called(leaves)
        try:
            return self.called(leaves)
        except GuardBroken:
            raise
        except Exception as error:
            if not hasattr(error, "undone"):
                raise
            failed = Failed(error)
        raise failed

    def finish(self, leaves: Sequence[Any], values: list[Any], arrays: list[Any]) -> Any:
        """The call's answer, from the arrays of its inputs."""
        if self.overwritten.places:
            failed = None
            try:
                self.overwritten.check(leaves, arrays)
            except Exception as error:
                self.undo_hosts()
                failed = Failed(error)
            if failed is not None:
                raise failed
        try:
            with self.settled(arrays):
                made = self.runner.run(arrays, values)
        except LinAlgError as error:
            self.undo_hosts(error)
            raise
        if self.checks:
            self.check(arrays, made, values)
        return self.give(leaves, values, arrays, made)

    def settled(self, arrays: list[Any]) -> AbstractContextManager[None]:
        """Within, what is kept of frozen tensors is of these."""
        if self.frozen is None:
            return nullcontext()
        return self.frozen.settled(arrays, self.runner.thaw)

    def resume(self, places: Sequence[int], prepared: tuple[Any, ...], *leaves: Any) -> Any:
        """The rest of a call whose Python has run: it gave these arrays for the inputs there."""
        values = self.values(leaves)
        given = dict(zip(places, prepared, strict=True))
        arrays = [
            given[place] if place in given else self.find(source, leaves, values, [])
            for place, source in enumerate(self.sources)
        ]
        try:
            return self.finish(leaves, values, arrays)
        except Failed as failed:
            error = failed.error
        raise error

    def arrays(self, leaves: Sequence[Any], values: list[Any]) -> list[Any]:
        """The inputs of one run, after its Python has run."""
        if self.asked:
            return self.prepared(leaves, values)
        getters = self.getters
        found = [leaves[key].array for key in getters.arguments]
        found += map(ARRAY, getters.states)
        if self.now is not None:
            self.now[:] = values
        hosted = self.hosted() if self.hosts else []
        if getters.others:
            try:
                found += [self.find(source, leaves, values, hosted) for source in getters.others]
            except BaseException as error:
                self.undo_hosts(error)
                raise
        return found if getters.order is None else getters.order(found)

    def prepared(self, leaves: Sequence[Any], values: list[Any]) -> list[Any]:
        """The same where values decide on sizes: these are computed first, and noted in `values`.

        Raises GuardBroken, after Python was taken back.
        """
        if self.now is not None:
            self.now[:] = values
        hosted = self.hosted()
        found: dict[Any, Any] = {}

        def look(value: Any) -> None:
            if value not in found:
                found[value] = self.find(self.source_of[value], leaves, values, hosted)

        try:
            for asked in self.asked:
                for value in asked.needs:
                    look(value)
                asked.answer(found, values)
            if self.guards:
                self.accept(values)
        except BaseException as error:
            self.undo_hosts(error)
            raise
        for value in self.source_of:
            look(value)
        return [found[given.value] for given in self.graph.inputs]

    def hosted(self) -> list[Any]:
        """What the Python that runs before each run gives."""
        made: list[Any] = []
        try:
            for host in self.hosts:
                made.append(host.run())
        except BaseException as error:
            for host in reversed(self.hosts[: len(made)]):
                host.undo()
            error.undone = True  # type: ignore[attr-defined]
            raise
        return made

    def undo_hosts(self, error: Any = None) -> None:
        """Take back what Python did before a run, which ended at an error."""
        for host in reversed(self.hosts):
            host.undo()
        if error is not None:
            error.undone = True

    def accept(self, values: list[Any]) -> None:
        """Raise GuardBroken unless the program holds for these sizes and numbers."""
        key = tuple(values)
        if key in self.accepted:
            return
        broken = guards_hold(self.guards, values)
        if broken is not None:
            raise GuardBroken(broken)
        if len(self.accepted) >= MOST_ACCEPTED:
            self.accepted.clear()
        self.accepted.add(key)

    def broken(self, leaves: Sequence[Any]) -> Guard | None:
        """The first guard that does not hold for these arguments."""
        try:
            return guards_hold(self.guards, self.values(leaves))
        except GuardBroken as broken:
            return broken.guard

    def check(self, arrays: list[Any], made: tuple[Any, ...], values: Sequence[Any] = ()) -> None:
        """Raise the error of the first index that was out of its range. `values`: the symbols', if
        they are known.
        """
        for check, result in zip(self.checks, self.answer.checks, strict=True):
            if made[result]:
                error = self.told(check, arrays, values)
                if self.unwritten(self.graph.results[result]):
                    self.undo_hosts(error)
                error.where = check.line or error.where
                raise error

    def told(self, check: Any, arrays: list[Any], values: Sequence[Any]) -> Any:
        """The error of a check, with the sizes of this run."""
        table = self.graph.table
        if not values and self.runner.sizes is not None:
            values = [arrays[place].shape[axis] for place, axis in self.runner.sizes]
        known = values if len(values) == len(table.names) else None
        found = self.first_outside(check, arrays, known)
        table.shown = known
        try:
            error: Any = check.error(found)
        finally:
            shown, table.shown = table.shown, None
        if shown is not None and isinstance(error, TwofoldError):
            error.facts = {name: value_of(fact, shown) for name, fact in error.facts.items()}
        return error

    def unwritten(self, bad: Any) -> bool:
        """Whether the program has written nothing where this check fails."""
        guard = self.runner.structure.guard
        return not self.graph.updates if guard is None else bad in guard.flags

    def first_outside(self, check: Any, arrays: list[Any], known: Any = None) -> Any:
        """The first index out of range, where the indices are an input."""
        for given, array in zip(self.graph.inputs, arrays, strict=True):
            if given.value is check.index:
                bounds = check.low, check.high
                low, high = value_of(bounds, known) if known else self.sizes_in(arrays, bounds)
                wrong = (array < low) | (array >= high)
                wrong &= array != check.skip
                return int(array[wrong].flat[0])
        return "(computed)"

    def sizes_in(self, arrays: list[Any], bounds: tuple[Any, ...]) -> Any:
        """Bounds with the sizes that inputs have for symbols."""
        values: Any = dict.fromkeys(range(len(self.symbols)), 0)
        for given, array in zip(self.graph.inputs, arrays, strict=True):
            for n, size in zip(given.value.shape, array.shape, strict=True):
                alone = symbols_of(n.expr) if is_symbol(n) else ()
                values |= {atom[1]: size for atom in alone if n.expr == (((atom,), 1),)}
        return value_of(bounds, values)

    def find(self, source: Any, leaves: Sequence[Any], values: list[Any], hosted: list[Any]) -> Any:
        """The array of one input."""
        kind, key = source
        if kind == "argument":
            return leaves[key].array
        if kind == "state":
            return key.array if isinstance(key, Tensor) else key
        if kind == "grad":
            return (leaves[key] if type(key) is int else key).leaf_grad.array
        if kind == "attribute":
            return getattr(*key).array
        if kind == "number":
            expr, dtype = key
            return number_array(evaluate(expr, values), dtype)
        return host_array(hosted, key)

    def values(self, leaves: Sequence[Any]) -> list[Any]:
        """The values of the symbols for these arguments."""
        values = [size_of(leaves, symbol) for symbol in self.symbols]
        if self.asked:
            self.prepared(leaves, values)
            self.undo_hosts()
        return values

    @property
    def may_fail(self) -> bool:
        """Whether a call may end at an error that the function itself may catch."""
        names = {call.op.name for call in self.graph.calls}
        made = {source.kind for source in self.sources}
        fails = bool(self.checks or self.hosts or made & {*PYTHON} or names & OF_MATRICES)
        return self.catches and fails

    @property
    def plain_graph(self) -> Graph:
        """The graph before any pass; its results are those of the program, in the same order."""
        return self.source if self.derivative is None else self.derivative.graph

    def profile(self, leaves: Sequence[Any]) -> list[tuple[Call, float]]:
        """Call the program once, and tell the seconds of each of its kernels."""
        values = self.values(leaves)
        arrays = self.arrays(leaves, values)
        with self.settled(arrays):
            made, self.seconds = self.runner.timed(arrays, values)
        if self.checks:
            self.check(arrays, made)
        self.give(leaves, values, arrays, made)
        return self.seconds

    def peak(self, leaves: Sequence[Any]) -> Peak:
        """What a call with these arguments needs, known before it runs."""
        values = self.values(leaves)
        if self.asked:
            arrays = self.prepared(leaves, values)
            self.undo_hosts()
            return peak_of(self.runner.plan(arrays, values))
        hosted: Any = [[0] * 16] * len(self.hosts)
        arrays = [self.find(source, leaves, values, hosted) for source in self.sources]
        return peak_of(self.runner.plan(arrays, values))

    # ---- the answer

    def give(
        self, leaves: Sequence[Any], values: list[Any], arrays: list[Any], made: tuple[Any, ...]
    ) -> Any:
        self.overwritten.count(leaves)
        for module, name, result in self.answer.attributes:
            setattr(module, name, wrap(made[result]))
        for leaf, on in self.flags:
            x = leaf if isinstance(leaf, Tensor) else leaves[leaf]
            if x.tracked is not on:
                x.tracked = on
                leaf_changed(x)
        for generator, result in self.answer.streams:
            generator[0].go_on(*map(int, made[result]))
        tensors: dict[Any, Tensor] = {}
        if self.derivative is not None:
            tensors = self.derivative.record(leaves, values, arrays, made)
        for leaf, after in self.answer.effects:
            x = leaf if isinstance(leaf, Tensor) else leaves[leaf]
            if isinstance(after, Leaf):
                x.leaf_grad = self.leaf(after, leaves, values, made, tensors)
            else:
                x.leaf_grad = wrap(made[after]) if isinstance(after, int) else after
        if self.plain:
            return wrap(made[self.answer.leaves[0].what])
        for place, form, parts, how in self.answer.sets:
            left = [self.leaf(one, leaves, values, made, tensors) for one in parts]
            value = unflatten(left, form)
            if how == ADDED:
                place.read().extend(value)
            elif how == FILLED:
                place.read()[:] = value
            else:
                place.write(value)
        given = [self.leaf(one, leaves, values, made, tensors) for one in self.answer.leaves]
        return given[0] if self.answer.form is LEAF else unflatten(given, self.answer.form)

    # ---- what machine code asks before and after it runs the plan (frontends/front.py)

    def accepts(self, *leaves: Any) -> bool:
        """Whether the guards hold for the numbers among these leaves, and what else must."""
        if not self.fit.conditions_hold():
            return False
        try:
            if self.guards and not self.lazy:
                self.accept(self.values(leaves))
        except GuardBroken:
            return False
        return True

    def tell(self, errors: list[BaseException]) -> None:
        """Raise what a run left to be told; where nothing was written, Python is taken back."""
        if errors:
            raise errors.pop()
        if faults.is_of_matrix():
            self.undo_hosts()
        faults.check()

    def check_after(self, arrays: tuple[Any, ...], made: tuple[Any, ...], *leaves: Any) -> None:
        self.check(list(arrays), made, () if self.lazy else self.values(leaves))

    def give_after(self, arrays: tuple[Any, ...], made: tuple[Any, ...], *leaves: Any) -> Any:
        return self.give(leaves, self.values(leaves), list(arrays), made)

    def leaf_after(self, one: Leaf, *leaves: Any) -> Any:
        return self.leaf(one, leaves, self.values(leaves), (), {})

    def leaf(
        self, one: Leaf, leaves: Sequence[Any], values: list[Any], made: Any, tensors: Any
    ) -> Any:
        if one.kind in ("result", "walked", "leaf"):
            if one.what not in tensors:
                tensors[one.what] = wrap(made[one.what])
            x = tensors[one.what]
            if one.kind == "leaf":
                x.tracked = True
            if one.kind == "walked" and x.node is None:
                _walk_before(x, self.places[one.what])
            return x
        if one.kind == "detached":
            key = one.kind, one.what
            if key not in tensors:
                whole = self.leaf(Leaf("result", one.what), leaves, values, made, tensors)
                tensors[key] = whole.detach()
            return tensors[key]
        if one.kind == "argument":
            return leaves[one.what]
        if one.kind == "part":
            return self.part(one.what, leaves, values, made, tensors)
        if one.kind == "seen":
            return self.seen(one.what, leaves, values, made, tensors)
        if one.kind == "item":
            return made[one.what].item()
        if one.kind == "view":
            key = one.kind, id(one.what)
            if key not in tensors:
                tensors[key] = self.view(one.what, leaves, values, made)
            return tensors[key]
        if one.kind == "shape":
            return Size(value_of(tuple(one.what), values))
        return evaluate(one.what, values) if one.kind == "number" else one.what

    def view(self, view: View, leaves: Sequence[Any], values: list[Any], made: Any) -> Tensor:
        """A view of an input, which shares its memory as it does without a program."""
        kind, key = self.source_of[view.input]
        if kind not in ("argument", "state"):
            return wrap(made[view.result])
        x = leaves[key] if kind == "argument" else key
        return _seen_through(view.chain, x, values)

    def seen(
        self, seen: Seen, leaves: Sequence[Any], values: list[Any], made: Any, tensors: Any
    ) -> Tensor:
        """A result with a history that shares the memory of an input, or of another result."""
        x: Tensor = self.leaf(Leaf("result", seen.result), leaves, values, made, tensors)
        if x.base is not None or x.node is None:
            return x
        if isinstance(seen.part, View):
            kind, key = self.source_of[seen.part.input]
            if kind not in ("argument", "state") or (
                kind == "state" and not isinstance(key, Tensor)
            ):
                return x
            source = leaves[key] if kind == "argument" else key
        else:
            source = self.leaf(Leaf("result", seen.part.result), leaves, values, made, tensors)
        x.array = _seen_through(seen.part.chain, source, values).array
        x.base = root_of(source)
        x.version = x.base.version
        if source.base is None or source.chain is not None:
            chain = [(op, value_of(attrs, values)) for op, attrs in seen.part.chain]
            x.chain = (*(source.chain or ()), *chain)
        return x

    def part(
        self, part: Part, leaves: Sequence[Any], values: list[Any], made: Any, tensors: Any
    ) -> Tensor:
        """A part of what is given back, in the same memory."""
        key = "part", id(part)
        if key not in tensors:
            whole = self.leaf(Leaf("result", part.result), leaves, values, made, tensors)
            tensors[key] = _seen_through(part.chain, whole, values)
        return tensors[key]  # type: ignore[no-any-return]


def _seen_through(chain: Any, x: Tensor, values: list[Any]) -> Tensor:
    """The part of a tensor that a chain of views names, without a history."""
    part: Any = x.detach()  # type: ignore[attr-defined]
    with recording(False):
        for op, attrs in chain:
            part = part[attrs[0]] if op is ITEM else bind(op, (part,), value_of(attrs, values))
    return part  # type: ignore[no-any-return]


def _names(expr: Any, number: int) -> bool:
    """Whether the symbol of this number is a part of an expression."""
    if not isinstance(expr, tuple | list):
        return False
    return expr in (("size", number), ("int", number)) or any(_names(x, number) for x in expr)


def _walk_before(x: Tensor, where: Any) -> None:
    """Give a result the node of a graph whose values are gone."""
    node = Node()
    node.number = next_number()
    node.op, node.attrs, node.inputs, node.versions = CLONE, (), None, ()
    node.out = node.hooks = None
    node.where = where
    node.shape, node.storage = x.array.shape, x.array.dtype
    if mode.made is not None:
        mode.made.append(node)
    x.node, x.tracked = node, True
