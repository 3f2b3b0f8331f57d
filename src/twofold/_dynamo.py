"""What programs tell and ask the inside of PyTorch's compiler: marks, settings, backends. Floor 13.

Every size is symbolic from the first call and nothing is fixed, so that marks change nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from twofold.base.errors import TwofoldError
from twofold.base.files import also_as
from twofold.base.records import NamedTuple
from twofold.base.settings import Settings
from twofold.compiler import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    list_backends,
    reset,
    set_stance,
)
from twofold.frontends.arrays import CaptureError
from twofold.frontends.backends import InvalidBackend, own_backend, register_backend
from twofold.frontends.compiled import compiled_in
from twofold.frontends.decorator import compile
from twofold.frontends.explain import explain as explained
from twofold.fx.backed import BackendCompilerFailed
from twofold.nn.module import Module

TorchDynamoException = TwofoldError
Unsupported = UserError = CaptureError

__all__ = [
    "BackendCompilerFailed",
    "InvalidBackend",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "explain",
    "graph_break",
    "is_compiling",
    "list_backends",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "optimize",
    "register_backend",
    "reset",
    "set_stance",
]

# Settings that programs write; none of them is read.
config: Any = Settings(
    f"{__name__}.config",
    suppress_errors=False,
    cache_size_limit=8,
    recompile_limit=8,
    accumulated_cache_size_limit=256,
    capture_scalar_outputs=True,
    capture_dynamic_output_shape_ops=True,
    assume_static_by_default=False,
    automatic_dynamic_shapes=True,
    dynamic_shapes=True,
    optimize_ddp=True,
    guard_nn_modules=True,
    verbose=False,
)


def mark_dynamic(t: Any, index: Any, *, min: int | None = None, max: int | None = None) -> None:
    """Every size may change anyway."""


maybe_mark_dynamic = mark_dynamic


def mark_static(t: Any, index: Any = None) -> None:
    """A program serves every size; it is no faster for one."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """A program takes addresses anew at each call."""


class _Compiled(type(Module)):
    def __instancecheck__(cls, instance: Any) -> bool:
        return hasattr(type(instance), "_orig_mod")


class OptimizedModule(Module, metaclass=_Compiled):
    """What torch.compile makes of a module, by name: those are its instances that
    `twofold.compile` has made, which are of a class made from the module's own.
    """


class ExplainOutput(NamedTuple):
    """What became of a call: `graph_count` programs, and why it ran as Python, if it did.

    graphs        the programs' graphs
    op_count      their operations
    ops_per_graph for each their names
    break_reasons why there is no program; then `graph_break_count` is not 0
    """

    graphs: list[Any]
    graph_count: int
    graph_break_count: int
    break_reasons: list[str]
    op_count: int
    ops_per_graph: list[list[str]]
    out_guards: list[Any]
    compile_times: str = ""

    def __str__(self) -> str:
        rows = [
            f"Graph Count: {self.graph_count}",
            f"Graph Break Count: {self.graph_break_count}",
            f"Op Count: {self.op_count}",
            "Break Reasons:",
            *[f"  {reason}" for reason in self.break_reasons],
            "Ops per Graph:",
        ]
        for number, names in enumerate(self.ops_per_graph, 1):
            rows += [f"  Ops {number}:", *[f"    {name}" for name in names]]
        return "\n".join([*rows, "Out Guards:", *[f"  {guard}" for guard in self.out_guards]])


def explain(f: Any, *args: Any, **kwargs: Any) -> Any:
    """`explain(f)(*args)`: compile a function or a module, call it, and tell what came of it.

    `twofold.explain` tells more.
    """

    def told(*args: Any, **kwargs: Any) -> ExplainOutput:
        compiled = compile(f)
        compiled(*args, **kwargs)
        known = explained(compiled)
        graphs = [program.graph for program in compiled_in(compiled).all_programs()]  # type: ignore[union-attr]
        names = [[call.op.name for call in graph.calls] for graph in graphs]
        breaks = list(known.as_python)
        count = sum(map(len, names))
        return ExplainOutput(
            graphs, len(graphs), len(breaks), breaks, count, names, list(known.guards)
        )

    return told(*args, **kwargs) if args or kwargs else told


def optimize(backend: Any = "inductor", *, nopython: bool = False, **options: Any) -> Any:
    """The older name of `compile`: a decorator."""
    known = {name: options[name] for name in ("dynamic", "disable") if name in options}
    return lambda given: compile(given, backend=backend, fullgraph=nopython, **known)


def optimize_assert(backend: Any = "inductor", **options: Any) -> Any:
    return optimize(backend, nopython=True, **options)


def graph_break(msg: str = "") -> None:
    """A function is one program: there is no place where it would be cut."""


def is_dynamo_supported() -> bool:
    return True


is_inductor_supported = is_dynamo_supported


def lookup_backend(compiler_fn: Any) -> Any:
    """The function that a backend is. Raises InvalidBackend for an unknown name."""
    return own_backend({"backend": compiler_fn}) or compile


class CompileCounter:
    """A backend that counts the graphs that it is given, and their operations."""

    def __init__(self) -> None:
        self.clear()

    def __call__(self, gm: Any, example_inputs: Any) -> Any:
        self.frame_count += 1
        self.graphs.append(gm)
        self.op_count += sum("call" in node.op for node in gm.graph.nodes)
        return gm.forward

    def clear(self) -> None:
        self.frame_count, self.op_count, self.graphs = 0, 0, []  # type: ignore[var-annotated]


EagerAndRecordGraphs = CompileCounter
counters: defaultdict[str, Counter[str]] = defaultdict(Counter)  # nobody counts


class TransformGetItemToIndex:
    """In the block, tensors index tensors within vmap, as they do outside of it."""

    def __enter__(self) -> None:
        """There is nothing to change."""

    def __exit__(self, *_: object) -> None:
        """Nor to change back."""


def is_compile_supported(device_type: Any) -> bool:
    """Whether functions on tensors of a device are compiled: those of the CPU."""
    return str(device_type) == "cpu"


also_as(
    __name__,
    "_trace_wrapped_higher_order_op backends backends.registry backends.debugging "
    "decorators eval_frame exc testing utils",
)
