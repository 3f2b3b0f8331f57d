"""Stochastic gradient descent, with momentum. Floor 11."""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor
from twofold.optim.fused import update_all
from twofold.optim.optimizer import Group, Optimizer, check_range


@final
class SGD(Optimizer):
    """p -= lr * d, where d is the gradient plus weight decay, or its momentum average.

    buf = momentum * buf + (1 - dampening) * g; with nesterov d = g + momentum * buf (Sutskever et
    al. 2013).
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        differentiable: bool = False,
    ) -> None:
        check_range("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("SGD", "nesterov needs a momentum and no dampening")
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
        }
        super().__init__(params, options | {"nesterov": nesterov, "maximize": maximize})

    def update(self, group: Group, params: list[Tensor]) -> None:
        slots = ("momentum_buffer",) if group["momentum"] else ()
        fresh = [x for x in params if x not in self.state]
        states = [self.state_of(x, slots) for x in params]
        # The first average is the gradient itself, undamped: parameters that are new go on their
        # own.
        new = [i for i, x in enumerate(params) if any(x is f for f in fresh)] if slots else []
        old = [i for i in range(len(params)) if i not in new]
        for chosen, first in ((new, True), (old, False)):
            if chosen:
                rows = [[params[i], params[i].grad, *(states[i][s] for s in slots)] for i in chosen]
                update_all("sgd", rows, {**group, "first": first})
        for state in states:
            state["step"] += 1
