"""Whether a program still fits what stands around it when it is called. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from twofold.frontends.answers import Answer
from twofold.frontends.capture import Capture
from twofold.frontends.captured import met
from twofold.frontends.places import Place, watch
from twofold.ir.graph import Graph
from twofold.ops.tensor import Exchanged, Leaves, Tensor


@final
class Fit:
    """What a function looked at besides the values of its arguments, and what it saw.

    outside     what Python holds: attributes, names, items
    grads       leaves, or numbers of arguments, and whether they had a gradient
    modules     and whether each was in training
    conditions  what else must hold, as functions of nothing
    options     groups of optimizers, keys in them, and what stood there
    absent      attributes of modules that did not exist
    training    whether any module was in training
    """

    def __init__(
        self, capture: Capture, graph: Graph, answer: Answer, places: Sequence[Place]
    ) -> None:
        self.outside = list(places)
        self._outside_holds = watch(self.outside)
        self.grads = [
            (capture.places.get(id(g.leaf), g.leaf), g.before is not None)
            for g in capture.grads.values()
            if g.matters
        ]
        # the arguments that get a gradient, which only leaves have
        self._leaves = [
            leaf for leaf, made in answer.effects if type(leaf) is int and made is not None
        ]
        known = {id(place.holder) for place in self.outside if place.key == "training"}
        modules = capture.modules.values()
        self.training = any(training for _, training in modules)
        self.modules = [(m, training) for m, training in modules if id(m.__dict__) not in known]
        self.conditions = capture.conditions
        self.options = capture.options
        self.absent = [(a.module, a.name) for a in capture.assigned if a.before is None]
        # the tensors that it has found: whether each requires a gradient, and its hooks
        flags = {key: before for key, (_, before) in capture.flags.items()}
        leaves = [
            x for x in capture.tensors.values() if x.node is None and id(x) not in capture.own
        ]
        self._found = [(x, flags.get(id(x), x.tracked), _hooks_of(x)) for x in leaves]
        # those that no argument may be, but where it was
        self.others = frozenset(met(capture))
        self.themselves = capture.themselves
        self.table = np.array([len(self.others), *sorted(self.others)], np.int64)
        Leaves.known.update(id(x) for x in leaves)
        self._types = [
            (source.key, given.value.type)
            for given, source in zip(graph.inputs, capture.sources, strict=True)
            if source.kind == "state" and isinstance(source.key, Tensor)
        ]
        self.in_order = [key for key in capture.in_order if type(key) is int]
        self._in_order = [key for key in capture.in_order if type(key) is not int]
        self._exchanged = Exchanged.times
        self._leaves_now = Leaves.state["now"]

    def holds(self, leaves: Sequence[Any]) -> bool:
        """Whether all is as it was, for these arguments."""
        if not self._outside_holds():
            return False
        if not self.others.isdisjoint(map(id, leaves)) and self._meets(leaves):
            return False
        for leaf, held in self.grads:
            x: Any = leaves[leaf] if type(leaf) is int else leaf
            if (x.leaf_grad is not None) is not held:
                return False
        if not all([leaves[number].array.flags.c_contiguous for number in self.in_order]):
            return False
        if any(leaves[number].node is not None for number in self._leaves):
            return False
        if any(getattr(module, name, None) is not None for module, name in self.absent):
            return False
        if self._exchanged != Exchanged.times:
            if not self._same_types():
                return False
            self._exchanged = Exchanged.times
        if self._leaves_now is not Leaves.state["now"]:
            if any(x.tracked is not on or _hooks_of(x) != hooks for x, on, hooks in self._found):
                return False
            self._leaves_now = Leaves.state["now"]
        if self.conditions and not self.conditions_hold():
            return False
        modules = self.modules
        return not modules or all(module.training is training for module, training in modules)

    def _meets(self, leaves: Sequence[Any]) -> bool:
        """Whether an argument is one of the tensors that it found."""
        places = range(len(leaves))
        return any(id(leaves[n]) in self.others for n in places if n not in self.themselves)

    def conditions_hold(self) -> bool:
        return all([holds() for holds in self.conditions])

    def changed(self) -> list[Place]:
        """The places whose numbers are others than when the program was made."""
        return [
            p
            for p in self.outside
            if p.kind != "size" and not p.holds() and _is_number(p.before, p.read())
        ]

    def _same_types(self) -> bool:
        """Whether the tensors that it found have the types and shapes that they had."""
        same = all(
            x.array.dtype == type_.dtype.numpy and x.array.shape == type_.shape
            for x, type_ in self._types
        )
        return same and all(x.array.flags.c_contiguous for x in self._in_order)


def _hooks_of(x: Tensor) -> tuple[Any, ...]:
    return tuple(x.hooks.values()) if x.hooks else ()


def _is_number(*values: Any) -> bool:
    return all(type(x) in (int, float) for x in values)
