"""Graphs of models that are only run: normalizations in convolutions, no dropout. Floor 12.

It is the module `fx.experimental.optimization` of PyTorch.
"""

from __future__ import annotations

import copy
from typing import Any

from twofold import nn
from twofold.fx._symbolic_trace import symbolic_trace
from twofold.fx.graph_module import GraphModule
from twofold.fx.node import Node
from twofold.nn.module import Module
from twofold.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fuse", "remove_dropout"]

PAIRS = (
    (nn.Conv1d, nn.BatchNorm1d),
    (nn.Conv2d, nn.BatchNorm2d),
    (nn.Conv3d, nn.BatchNorm3d),
)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def fuse(model: Module, inplace: bool = False, no_trace: bool = False) -> GraphModule:
    """The model as a graph in which each convolution does what the normalization after it would.

    model: in eval mode; a copy is changed, unless `inplace`. `no_trace`: it is a graph already.
    Raises ArgumentError for a pair in training mode.
    """
    model = model if inplace else copy.deepcopy(model)
    made = model if no_trace and isinstance(model, GraphModule) else symbolic_trace(model)
    for node in list(made.graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        conv, norm = made.get_submodule(before.target), made.get_submodule(node.target)
        if (type(conv), type(norm)) in PAIRS and norm.track_running_stats:
            made.add_submodule(before.target, fuse_conv_bn_eval(conv, norm))
            _leave_out(made, node, before)
    return _finished(made)


def remove_dropout(model: Module) -> GraphModule:
    """The model as a graph without its layers of dropout."""
    made = symbolic_trace(copy.deepcopy(model))
    for node in list(made.graph.nodes):
        if node.op == "call_module" and isinstance(made.get_submodule(node.target), DROPOUTS):
            _leave_out(made, node, node.args[0])
    return _finished(made)


def _leave_out(made: GraphModule, node: Node, instead: Any) -> None:
    node.replace_all_uses_with(instead)
    made.graph.erase_node(node)


def _finished(made: GraphModule) -> GraphModule:
    made.delete_all_unused_submodules()
    made.recompile()
    return made
