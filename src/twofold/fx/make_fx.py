"""What a function does to tensors as a graph of operations: PyTorch's `make_fx`. Floor 12.

    traced = make_fx(f)(x)       a GraphModule of what f does to x, gradients that it takes included

The graph is for the sizes of its arguments; one for all sizes is what `twofold.compile` runs and
`twofold.export` writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.base.trees import flatten, unflatten
from twofold.frontends.compiled import Compiled
from twofold.frontends.program import Program
from twofold.fx.graph_module import GraphModule
from twofold.fx.of_program import graph_of
from twofold.ops.joining import clone
from twofold.ops.tensor import Tensor, wrap

__all__ = ["make_fx"]


def make_fx(
    f: Callable[..., Any],
    decomposition_table: Any = None,
    tracing_mode: str = "real",
    **options: Any,
) -> Callable[..., GraphModule]:
    """A function that captures f for its arguments and gives the graph.

    The tensors among the arguments are the graph's inputs; others that f finds are attributes of
    it. Raises ArgumentError where f does more than a graph of values tells: where it writes into
    tensors, draws random numbers, or where values decide.
    """

    def traced(*args: Any) -> GraphModule:
        leaves, form = flatten(args)
        names = [f"arg{number}_1" for number in range(len(leaves))]
        places = [number for number, x in enumerate(leaves) if isinstance(x, Tensor)]

        def on_tensors(*tensors: Tensor) -> Any:
            given = list(leaves)
            for place, x in zip(places, tensors, strict=True):
                given[place] = x
            return f(*unflatten(given, form))

        tensors = _apart([leaves[place] for place in places])
        program, _ = Compiled(on_tensors, passes=(), whole=True).program(tuple(tensors), {})
        return _graph_module(program, tensors, [names[place] for place in places], names)

    return traced


def _apart(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, each a different one: the graph is for any."""
    made: list[Any] = []
    for x in tensors:
        twice = any(x is y for y in made)
        made.append(clone(x).detach().requires_grad_(x.tracked) if twice else x)  # type: ignore[attr-defined]
    return made


def _graph_module(
    program: Program, tensors: list[Tensor], own: list[str], names: list[str]
) -> GraphModule:
    source, answer = program.source, program.answer
    _check(program)
    state: dict[Any, str] = {}
    given: dict[Any, str] = {}
    constants: dict[str, Tensor] = {}
    for taken, where in zip(source.inputs, program.sources, strict=True):
        if where.kind == "argument":
            given[taken.value] = own[where.key]
            continue
        found = where.key if isinstance(where.key, Tensor) else wrap(where.key)
        kind = "_param_constant" if found.tracked else "_tensor_constant"
        state[taken.value] = f"{kind}{len(state)}"
        constants[state[taken.value]] = found
    graph = graph_of(source, state, given, program.values(tensors), names)
    nodes = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    output = next(node for node in graph.nodes if node.op == "output")
    parts = output.args[0]
    made = []
    for leaf in answer.leaves:
        if leaf.kind == "argument":
            made.append(nodes[own[leaf.what]])
        elif leaf.kind == "view":
            made.append(parts[leaf.what.result])
        elif leaf.kind in ("result", "detached"):
            made.append(parts[leaf.what])
        else:
            made.append(leaf.what)
    output.args = (unflatten(made, answer.form),)
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and not node.users:
            graph.erase_node(node)
    return GraphModule(constants, graph)


def _check(program: Program) -> None:
    """Raise ArgumentError for what the graph does not tell."""
    answer = program.answer
    kinds = {leaf.kind for leaf in answer.leaves}
    problem = ""
    if program.source.updates or answer.effects or answer.sets or answer.attributes:
        problem = "the function writes into what was there before"
    elif answer.streams or any(x.kind not in ("argument", "state") for x in program.sources):
        problem = "the function draws random numbers, or Python computes some of it"
    elif program.asked or answer.checks or not kinds <= KINDS:
        problem = "values decide what the function does, or its result"
    if problem:
        raise ArgumentError("make_fx", problem, hint="twofold.compile, which takes such functions")


KINDS = {"argument", "view", "result", "detached", "object"}
