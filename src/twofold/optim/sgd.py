"""Stochastic gradient descent, with momentum. Floor 11."""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor
from twofold.optim.fused import Advance, update_all
from twofold.optim.optimizer import Group, Optimizer, check_range


@final
class SGD(Optimizer):
    """p -= lr * d, where d is the gradient plus weight decay, or its momentum average.

    buf = momentum * buf + (1 - dampening) * g; with nesterov d = g + momentum * buf (Sutskever et
    al. 2013). params: an iterable of tensors, of (name, tensor), or of dicts, each a group with
    options of its own. maximize: uphill. Raises ArgumentError for options out of range and for no
    parameters.
    """

    saves_step = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_range("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError(
                "SGD", "nesterov needs a momentum and no dampening", hint="momentum=0.9"
            )
        options: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
        }
        options |= {"nesterov": nesterov, "maximize": maximize, "foreach": foreach}
        super().__init__(params, options | {"differentiable": differentiable, "fused": fused})

    def update(self, group: Group, params: list[Tensor]) -> None:
        slots = ("momentum_buffer",) if dict.get(group, "momentum") else ()
        # The first average is the gradient itself, undamped: rows at their first step go on their
        # own. A state that was loaded from elsewhere may have no count, and is not at its first.
        by_first: dict[bool, list[tuple[Tensor, dict[str, Any]]]] = {}
        for x in params:
            known = x in self.state and all(slot in self.state[x] for slot in slots)
            count = self.state[x].get("step", 1) if known else 0
            state = self.state_of(x, slots)
            state["step"] = count
            by_first.setdefault(state["step"] == 0, []).append((x, state))
        for alike in by_first.values():
            rows = [[x, x.grad, *(state[s] for s in slots)] for x, state in alike]
            update_all("sgd", rows, Advance(group, [state for _, state in alike]))


guard(globals())
