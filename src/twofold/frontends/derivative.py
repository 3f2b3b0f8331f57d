"""Compiled functions whose results are differentiated outside of them. Floor 9.

The walk back from the results is captured with the function; then the graph is cut in two. The
first part also gives what the second needs (its residuals). The results get one node on the tape,
whose rule runs the second part.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twofold.autograd.walk import find_route, target_of, walk
from twofold.base.errors import GradientError, in_python, line_of
from twofold.base.records import NamedTuple
from twofold.base.symbols import value_of
from twofold.base.trees import leaves_of
from twofold.exec.runner import Runner
from twofold.frontends.arrays import is_unknown
from twofold.frontends.exchanged import python_only
from twofold.frontends.replay import replay
from twofold.frontends.retaped import Tape, noted
from twofold.ir.graph import Call, Graph, Input, Value
from twofold.ops.bind import current, item_node, make_node, mode, recording
from twofold.ops.control import bodies
from twofold.ops.op import ANY, Op
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, root_of, type_of, wrap
from twofold.passes.manager import Pass, optimize

if TYPE_CHECKING:  # for annotations alone
    from twofold.frontends.capture import Capture
    from twofold.frontends.noted import Check


class Joint(NamedTuple):
    """A function and the walk back through it, as one graph.

    first     how many calls are the function's own
    results   the values of the results that are differentiated
    tangents  the inputs that hold their gradients
    leaves    what is differentiated by: the number of an argument, or a tensor
    grads     the leaves' gradients; None where there is none
    calls     those of the walk, where they were taken out of the capture
    checks    of indices that the walk reads: those of a user's own backward
    tape      what the function would have left eagerly, for gradients of gradients; None where it
              cannot be kept
    """

    first: int
    results: tuple[Value, ...]
    tangents: tuple[Input, ...]
    leaves: tuple[Any, ...]
    grads: tuple[Value | None, ...]
    calls: tuple[Call, ...] = ()
    checks: tuple[Check, ...] = ()
    tape: Tape | None = None


def tracked(result: Any) -> list[Tensor]:
    """The tensors of a captured result that have a history."""
    tensors = {id(x): x for x in leaves_of(result) if isinstance(x, Tensor)}
    found = [x for x in tensors.values() if is_unknown(x.array) and current(x).tracked]
    return [x for x in found if x.node is not None]


def walked(x: Tensor) -> bool:
    """Whether the graph behind a tensor was walked before, so that its values are gone."""
    try:
        find_route([target_of(x)], None)
    except GradientError:
        return True
    return False


def capture_walk(
    capture: Capture,
    tensors: Sequence[Tensor],
    places: dict[int, int],
    kept: Container[int] | None = None,
) -> Joint:
    """Walk back from the results, while the capture is in force. `kept`: all that is given back, by
    ids, where other leaves of the function's own are not seen.
    """
    tape = noted(capture, tensors, places)
    first, checked = len(capture.calls), len(capture.checks)
    roots = []
    tangents = []
    for number, x in enumerate(tensors):
        value = Value(tuple(x.array.shape), x.dtype)
        tangents.append(Input(value, "argument", f"g{number}"))
        roots.append((x, wrap(capture.unknown(value))))
    found = walk(roots, None, retain_graph=True, hooks=False)
    leaves, grads = [], []
    hidden = False
    for leaf in found.leaves:
        g = found.of(leaf)
        if kept is not None and is_unknown(leaf.array) and id(leaf) not in places:
            if id(leaf) in kept:
                python_only(
                    "the function gives back a leaf that it has made, and what is computed of it",
                    "one of them",
                )
            hidden = True  # nobody sees its gradient
            continue
        leaves.append(places.get(id(leaf), leaf))
        grads.append(None if g is None else capture.value_of(g.array))
    if hidden and not leaves:
        leaves, grads = [_hidden_leaf()], [None]
    results = tuple(capture.value_of(x.array) for x in tensors)
    checks = tuple(capture.checks[checked:])
    del capture.checks[checked:]  # the function's own program makes nothing of the walk
    return Joint(
        first, results, tuple(tangents), tuple(leaves), tuple(grads), checks=checks, tape=tape
    )


def _hidden_leaf() -> Tensor:
    """A leaf in place of those of the function's own that nobody sees: the results require a
    gradient, and nobody gets one.
    """
    leaf = wrap(np.zeros(0, np.float32))
    leaf.tracked = True
    return leaf


def residuals(joint: Joint, graph: Graph) -> tuple[Value, ...]:
    """What the walk reads of what the function was given or made."""
    made = {value for call in graph.calls[joint.first :] for value in call.outs}
    made |= {tangent.value for tangent in joint.tangents}
    read = [value for call in graph.calls[joint.first :] for value in call.inputs]
    read += [g for g in joint.grads if g is not None]
    return tuple(dict.fromkeys(v for v in read if v not in made))


def looked_at(joint: Joint, needed: Sequence[Value], sources: Mapping[Value, Any]) -> Joint:
    """The walk with the tensors whose values it needs among its leaves, without a gradient: who
    writes them before the walk is told so, as eagerly. `sources` are those of inputs that the
    function leaves as they are.
    """
    known = {leaf if type(leaf) is int else id(leaf) for leaf in joint.leaves}
    more = []
    for kind, key in (sources[value] for value in needed if value in sources):
        held = key if kind == "argument" else id(key)
        if kind == "argument" or (kind == "state" and isinstance(key, Tensor)):
            more += [key] if held not in known else []
            known.add(held)
    return joint._replace(
        leaves=(*joint.leaves, *more), grads=(*joint.grads, *[None for _ in more])
    )


@final
class Derivative:
    """How results of a program are recorded, and what their gradient is.

    graph     the function's part, whose results are followed by the residuals that it makes
    made      the residuals that it makes, as numbers of its results
    kept      each residual: the number of an input, or its place in `made`
    whole     the graph of both parts, for gradients of gradients
    """

    def __init__(
        self,
        joint: Joint,
        whole: Graph,
        sources: Sequence[Any],
        passes: Sequence[Pass],
        numbers: dict[Value, int],
    ) -> None:
        self.whole = whole
        self.outputs = [numbers[v] for v in joint.results]
        # Where the symbols' values are: input and axis of a size, or which of the `numbers` among
        # the leaves; None where a run must tell.
        self.sizes: list[tuple[int | None, int]] | None = None
        self.numbers: tuple[int, ...] = ()
        needed = residuals(joint, whole)
        given = {i.value: place for place, i in enumerate(whole.inputs)}
        overwritten = {into for into, _ in whole.updates}
        found = {i.value: source for i, source in zip(whole.inputs, sources, strict=True)}
        kept = {value: source for value, source in found.items() if value not in overwritten}
        self.joint = joint = looked_at(joint, needed, kept)
        # a residual is an input of the function, or one more of its results
        made = [v for v in needed if v not in given or v in overwritten]
        results = tuple(dict.fromkeys((*whole.results, *made)))
        self.made = [results.index(v) for v in made]
        self.kept: list[tuple[Any, Any]]
        self.kept = [(None, made.index(v)) if v in made else (given[v], None) for v in needed]
        self.graph = whole._replace(calls=whole.calls[: joint.first], results=results)
        inputs = [Input(v, "argument", f"r{i}") for i, v in enumerate(needed)]
        back = Graph(
            f"{whole.name}_backward",
            (*joint.tangents, *inputs),
            whole.calls[joint.first :],
            (*[g for g in joint.grads if g is not None], *[check.bad for check in joint.checks]),
            (),
            whole.table,
        )
        self.backward = optimize(back, passes)
        self.runner = Runner(self.backward)
        self.op = Op(
            whole.name,
            attrs=(),
            accepts=ANY,
            vjp=self.rule,
            saved_inputs=(0,),
            saves_out=True,
            residuals=0,
            variadic=True,
            outputs=len(joint.results),
        )

    def find_values(self, symbols: Sequence[Any], sources: Sequence[Any]) -> None:
        """Note where the values of a program's symbols are."""
        inputs = {source.key: i for i, source in enumerate(sources) if source.kind == "argument"}
        numbers = [key for key, axis in symbols if axis is None]
        if any(axis is not None and key not in inputs for key, axis in symbols):
            return
        self.numbers = tuple(dict.fromkeys(numbers))
        self.sizes = [
            (None, self.numbers.index(key)) if axis is None else (inputs[key], axis)
            for key, axis in symbols
        ]

    def record(
        self, leaves: Sequence[Any], values: Sequence[Any], arrays: Sequence[Any], made: Any
    ) -> dict[int, Tensor]:
        """The differentiable results, by their number, with a node behind them."""
        inputs = tuple(
            leaf if isinstance(leaf, Tensor) else leaves[leaf] for leaf in self.joint.leaves
        )
        outs = [made[number] for number in self.outputs]
        tensors = [wrap(array) for array in outs]
        if mode.grad and any(current(x).tracked for x in inputs):
            versions = [root_of(x).version for x in inputs]
            kept = [made[number] for number in self.made]
            rest = [list(values)] if self.sizes is None else [leaves[k] for k in self.numbers]
            context = [*inputs, *versions, *arrays, *kept, *rest]
            several = len(outs) > 1
            node = make_node(self.op, inputs, (), tuple(outs) if several else outs[0], context)
            for index, x in enumerate(tensors):
                x.node = item_node(node, index, outs[index]) if several else node
                x.tracked = True
        return dict(zip(self.outputs, tensors, strict=True))

    def rule(self, g: Any, context: list[Any], *_: Any) -> tuple[Tensor | None, ...]:
        """The gradient of the node. The context is what a call keeps, one after the other: the
        leaves, their versions, the arrays of the inputs, and those of the results in `made`; then
        the numbers among the arguments, or the symbols' values where these do not tell them.
        """
        leaves, given = len(self.joint.leaves), len(self.whole.inputs)
        inputs, versions = context[:leaves], context[leaves : 2 * leaves]
        arrays, rest = context[2 * leaves : 2 * leaves + given], context[2 * leaves + given :]
        if mode.capture is not None:
            raise _in_a_graph(self.op.name)
        if self.sizes is None:
            values = rest[-1]
        else:
            numbers = rest[len(self.made) :]
            values = [
                numbers[axis] if index is None else arrays[index].shape[axis]
                for index, axis in self.sizes
            ]
        tangents = [g]
        if isinstance(g, list):
            tangents = [
                zeros_of(value_of(v.shape, values), v.dtype.numpy) if x is None else x
                for x, v in zip(g, self.joint.results, strict=True)
            ]
        for x, version in zip(inputs, versions, strict=True):
            if root_of(x).version != version:
                raise GradientError(
                    "backward",
                    f"{self.op.name} needs a value that was overwritten in place",
                    value=type_of(x),
                    overwritten=line_of(root_of(x).written),
                    hint="write into a copy: x = x.clone()",
                )
        if mode.grad:
            return self.again(inputs, arrays, values, tangents)
        kept = [arrays[given] if given is not None else rest[place] for given, place in self.kept]
        made = self.runner.run([*[t.array for t in tangents], *kept], values)
        found = iter(made)
        self.look(made[len(made) - len(self.joint.checks) :])
        return tuple(None if v is None else wrap(next(found)) for v in self.joint.grads)

    def again(
        self, inputs: Any, arrays: Any, values: Any, tangents: list[Tensor]
    ) -> tuple[Tensor | None, ...]:
        """The same in single operations, which can be differentiated in turn."""
        looping = next((call for call in self.whole.calls if bodies(call)), None)
        if looping is not None:
            raise GradientError(
                self.op.name,
                f"{looping.op.name} in a compiled function has no second derivative outside of it",
                loop=line_of(looping.where),
                hint="take the inner gradient inside of the compiled function, too",
            )
        tape = self.joint.tape
        if tape is None:
            raise GradientError(
                self.op.name,
                "a compiled function with a checkpoint, or a rule of its own, has no second "
                "derivative outside of it",
                hint="take the inner gradient inside of the compiled function, too",
            )
        known = {
            given.value: wrap(array) for given, array in zip(self.whole.inputs, arrays, strict=True)
        }
        with recording(False):
            replay(self.whole.calls[: self.joint.first], known, values)
        pairs = zip(self.joint.leaves, inputs, strict=True)
        leaves = {leaf: x for leaf, x in pairs if type(leaf) is int}
        results = tape.again(known, leaves, values)
        roots = [(x, g) for x, g in zip(results, tangents, strict=True) if x.tracked]
        wanted = [x for x, v in zip(inputs, self.joint.grads, strict=True) if v is not None]
        targets = [target_of(x) for x in wanted if x.tracked]
        found = walk(roots, targets, create_graph=True, retain_graph=True, hooks=False)
        both = zip(inputs, self.joint.grads, strict=True)
        return tuple(None if v is None else found.of(x) for x, v in both)

    def look(self, bad: Sequence[Any]) -> None:
        """Raise the error of the first check of the walk that fails."""
        for check, failed in zip(self.joint.checks, bad, strict=True):
            if failed:
                error: Any = check.error("(computed)")
                error.where = check.line or error.where
                raise error


def _in_a_graph(name: str) -> GradientError:
    """The refusal to differentiate in a graph what an earlier run has computed: each run would
    find another one.
    """
    error = GradientError(
        "backward",
        f"what {name} has given back before has a history, which a program cannot walk",
        hint="detach() where it is kept for the next call",
    )
    in_python(error)
    return error
