"""Modules as graphs that Python can rewrite: PyTorch's torch.fx. Floor 12.

    traced = fx.symbolic_trace(model)         a module whose forward is written from its graph
    for node in traced.graph.nodes: ...       look at it, change it
    traced.recompile()                        and write forward anew

A forward is run once on stand-ins (`Proxy`), which write down what is done to them. What comes is a
list of calls of functions, methods and submodules: for programs that rewrite models. To make a
model fast there is `twofold.compile`, which captures what runs, control flow and sizes included.
"""

from __future__ import annotations

from typing import Any

from twofold.base.files import also_as
from twofold.fx._symbolic_trace import Tracer as Tracer
from twofold.fx._symbolic_trace import symbolic_trace as symbolic_trace
from twofold.fx._symbolic_trace import wrap as wrap
from twofold.fx.backed import Backed as Backed
from twofold.fx.graph import Graph as Graph
from twofold.fx.graph_module import GraphModule as GraphModule
from twofold.fx.interpreter import Interpreter as Interpreter
from twofold.fx.interpreter import Transformer as Transformer
from twofold.fx.make_fx import make_fx as make_fx
from twofold.fx.node import Node as Node
from twofold.fx.node import has_side_effect as has_side_effect
from twofold.fx.node import map_arg as map_arg
from twofold.fx.proxy import Proxy as Proxy
from twofold.fx.subgraph_rewriter import replace_pattern as replace_pattern

__all__ = [
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "Tracer",
    "Transformer",
    "has_side_effect",
    "make_fx",
    "map_arg",
    "replace_pattern",
    "symbolic_trace",
    "wrap",
]


def get_proxy_mode() -> Any:
    """None: `make_fx` sees operations, and stands in for no tensors."""
    return None


also_as(__name__, "experimental experimental.proxy_tensor")
