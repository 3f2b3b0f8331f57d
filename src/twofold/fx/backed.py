"""`compile(backend=function)`: a function's graph is given to a function of the user's. Floor 12.

As in PyTorch, the backend is called at the first call with arguments of a kind, with a GraphModule
and the tensors of that call, and gives a function of the graph's tensors that runs from then on.
The graph is fx's: functions, methods and layers, in the order in which Python calls them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, final

from twofold.autograd.modes import is_grad_enabled
from twofold.base.errors import ArgumentError
from twofold.base.trees import flatten, unflatten
from twofold.fx._symbolic_trace import Tracer
from twofold.fx.graph_module import GraphModule
from twofold.fx.proxy import TraceError
from twofold.nn.module import Module
from twofold.ops.bind import mode
from twofold.ops.tensor import Tensor

__all__ = ["Backed", "BackendCompilerFailed", "traced"]


class BackendCompilerFailed(ArgumentError):
    """A backend has raised, or has given nothing that can be called."""


@final
class Backed:
    """A function whose graphs a backend runs: one for each kind of arguments."""

    def __init__(self, function: Callable[..., Any], backend: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function, self.backend = function, backend
        self.known: dict[Any, tuple[Callable[..., Any], Any]] = {}

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method."""
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if mode.capture is not None:
            return self.function(*args, **kwargs)
        leaves, form = flatten((args, kwargs))
        key = (form, is_grad_enabled(), *_state(self.function), *map(_kind, leaves))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if key not in self.known:
            self.known[key] = self.make(leaves, form, tensors)
        run, results = self.known[key]
        made = run(*tensors)
        parts = list(made) if isinstance(made, (tuple, list)) else [made]
        return unflatten(parts, results)

    def make(
        self, leaves: list[Any], form: Any, tensors: list[Tensor]
    ) -> tuple[Callable[..., Any], Any]:
        """What the backend makes of the graph for such arguments, and the form of its results.

        Raises TraceError where values decide what is done, BackendCompilerFailed.
        """
        module, results = traced(self.function, leaves, form)
        name = getattr(self.backend, "__name__", type(self.backend).__name__)
        try:
            run = self.backend(module, tensors)
        except Exception as error:
            raise BackendCompilerFailed("compile", f"backend {name!r} raised: {error}") from error
        if not callable(run):
            problem = f"backend {name!r} gave {type(run).__name__}, which cannot be called"
            raise BackendCompilerFailed("compile", problem, hint="return gm.forward")
        return run, results


def traced(function: Callable[..., Any], leaves: list[Any], form: Any) -> tuple[GraphModule, Any]:
    """The graph of a call, whose inputs are the tensors among the leaves of its arguments and whose
    result is a tuple; and the form of what the function gives.

    Raises TraceError where values decide what is done.
    """
    owner = _owner(function)
    tracer = _Tracer(owner, function, leaves, form)
    try:
        graph = tracer.trace(owner)
    except TraceError as error:
        hint = "without `backend`, Twofold's own compiler takes such functions"
        problem = f"a backend of one's own needs a graph: {error}"
        raise TraceError(problem, hint) from error
    return GraphModule(tracer.root, graph), tracer.form


@final
class _Tracer(Tracer):
    """Traces a call with the arguments at hand: its tensors are stood in for, the rest is fixed."""

    def __init__(self, owner: Module, function: Any, leaves: list[Any], form: Any) -> None:
        super().__init__()
        self.function, self.leaves, self.arguments = function, leaves, form
        self.form: Any = None

    def _run(self, function: Any, bound: bool, concrete: dict[str, Any]) -> Any:
        stood = [
            self.create_proxy("placeholder", f"arg{number}", (), {})
            if isinstance(leaf, Tensor)
            else leaf
            for number, leaf in enumerate(self.leaves)
        ]
        args, kwargs = unflatten(stood, self.arguments)
        made, self.form = flatten(self.function(*args, **kwargs))
        return tuple(made)

    def path_of_module(self, mod: Module) -> str:
        """The name of a layer; one from outside, which a function finds, gets one."""
        for name, module in self.root.named_modules():
            if module is mod:
                return str(name)
        name = f"module{len(self.root._modules)}"
        setattr(self.root, name, mod)
        return name


def _owner(function: Any) -> Module:
    """The module whose layers a function calls, or an empty one."""
    while isinstance(function, functools.partial):
        function = function.args[0] if function.args else function.func
    found = getattr(function, "__self__", function)
    return found if isinstance(found, Module) else Module()


def _state(function: Any) -> tuple[Any, ...]:
    """What of a module a graph depends on: how its parts run, and which tensors it has."""
    owner = _owner(function)
    trained = [module.training for module in owner.modules()]
    return (*trained, *map(id, owner.parameters()), *map(id, owner.buffers()))


def _kind(leaf: Any) -> Any:
    """What of an argument a graph depends on."""
    if isinstance(leaf, Tensor):
        return leaf.dtype, leaf.ndim, leaf.tracked
    return type(leaf), leaf
