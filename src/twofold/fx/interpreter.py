"""Graphs run node by node, with a method for each op to override. Floor 12."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ArgumentError
from twofold.fx.graph import Graph, attribute
from twofold.fx.graph_module import GraphModule
from twofold.fx.node import Node, map_aggregate, map_arg
from twofold.fx.proxy import GraphAppendingTracer, Proxy
from twofold.nn.module import Module

__all__ = ["Interpreter", "Transformer"]


class Interpreter:
    """Runs the graph of a module. What a node gives is let go of after its last use, unless
    `garbage_collect_values=False`.
    """

    def __init__(
        self, module: Any, garbage_collect_values: bool = True, graph: Graph | None = None
    ) -> None:
        self.module = module
        self.graph = graph if graph is not None else module.graph
        self.submodules = dict(module.named_modules())
        self.garbage_collect_values = garbage_collect_values
        self.env: dict[Node, Any] = {}
        self._given: list[Any] = []

    def run(
        self,
        *args: Any,
        initial_env: dict[Node, Any] | None = None,
        enable_io_processing: bool = True,
    ) -> Any:
        """What forward gives for these arguments."""
        self.env = dict(initial_env or {})
        self._given = list(args)
        last: dict[Node, Node] = {}
        for node in self.graph.nodes:
            last.update(dict.fromkeys(node.all_input_nodes, node))
        for node in self.graph.nodes:
            if node not in self.env:
                self.env[node] = self.run_node(node)
            if node.op == "output":
                return self.env[node]
            if self.garbage_collect_values:
                for used in node.all_input_nodes:
                    if last[used] is node:
                        del self.env[used]
        return None

    def run_node(self, n: Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    # ---- the ops ---------------------------------------------------------------------------------

    def placeholder(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target.startswith("*"):
            given, self._given = self._given, []
            return given if not target.startswith("**") else {}
        if self._given:
            return self._given.pop(0)
        if args:
            return args[0]
        raise ArgumentError("Interpreter.run", f"there is no value for {target!r}")

    def get_attr(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return target(*args, **kwargs)

    def call_method(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        owner, *rest = args
        return getattr(owner, target)(*rest, **kwargs)

    def call_module(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args[0]

    # ---- values ----------------------------------------------------------------------------------

    def fetch_attr(self, target: str) -> Any:
        try:
            return attribute(self.module, target)
        except AttributeError:
            problem = f"the graph takes {target!r}, which the module does not have"
            raise ArgumentError("Interpreter.run", problem) from None

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[Any, Any]:
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args: Any, n: Node) -> Any:
        return map_arg(args, lambda node: self.env[node])


class Transformer(Interpreter):
    """Runs a graph on stand-ins of a new one: what the methods give is the new graph."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.new_graph = Graph()
        self.tracer = _Tracer(self.new_graph)

    def placeholder(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        default = args[0] if args else ...
        return Proxy(self.new_graph.placeholder(target, default_value=default), self.tracer)

    def get_attr(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def call_method(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_method", target, args, kwargs)

    def call_module(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def transform(self) -> GraphModule:
        made = self.run(enable_io_processing=False)
        plain = map_aggregate(made, lambda one: one.node if isinstance(one, Proxy) else one)
        self.new_graph.output(plain)
        return GraphModule(self.module, self.new_graph)


class _Tracer(GraphAppendingTracer):
    """Modules are called by their names, which stay."""

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        return True
