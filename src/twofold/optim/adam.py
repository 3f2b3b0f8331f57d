"""Adam and AdamW. Floor 11."""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor
from twofold.optim.fused import Advance, update_all
from twofold.optim.optimizer import Group, Optimizer, check_range


class AdamFamily(Optimizer):
    """What Adam and AdamW share: both moments, the bias correction, and AMSGrad."""

    decoupled: bool

    def __init__(self, params: Any, defaults: Group) -> None:
        name = type(self).__name__
        betas = defaults["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ArgumentError(name, f"betas = {betas!r}", hint="two numbers: betas=(0.9, 0.999)")
        check_range(
            name, lr=defaults["lr"], eps=defaults["eps"], weight_decay=defaults["weight_decay"]
        )
        check_range(name, beta1=betas[0], beta2=betas[1])
        super().__init__(params, defaults)

    def update(self, group: Group, params: list[Tensor]) -> None:
        slots = ("exp_avg", "exp_avg_sq") + (("max_exp_avg_sq",) if group["amsgrad"] else ())
        by_step: dict[int, list[tuple[Tensor, Group]]] = {}
        for x in params:
            state = self.state_of(x, slots)
            by_step.setdefault(state["step"], []).append((x, state))
        for alike in by_step.values():
            rows = [[x, x.grad, *(state[s] for s in slots)] for x, state in alike]
            advance = Advance(group, [state for _, state in alike])
            update_all("adamw" if self.decoupled else "adam", rows, advance)


@final
class Adam(AdamFamily):
    """p -= lr * m_hat / (sqrt(v_hat) + eps) with bias-corrected moments (Kingma, Ba 2014); weight
    decay is L2.
    """

    decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, options | {"amsgrad": amsgrad, "maximize": maximize})


@final
class AdamW(AdamFamily):
    """Adam whose weight decay shrinks the parameter directly (Loshchilov, Hutter 2017)."""

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, options | {"amsgrad": amsgrad, "maximize": maximize})
