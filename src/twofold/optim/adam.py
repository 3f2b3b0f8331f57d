"""Adam and AdamW. Floor 11."""

from __future__ import annotations

from typing import Any, final

from twofold.ops.guarding import guard
from twofold.optim.optimizer import Group, check_range
from twofold.optim.ruled import RuleOptimizer, pair_of


@final
class Adam(RuleOptimizer):
    """p -= lr * m_hat / (sqrt(v_hat) + eps) with bias-corrected moments (Kingma, Ba 2014); weight
    decay is L2.

    betas: how much of the averages m of gradients and v of their squares is kept at a step.
    amsgrad: by the largest v so far. params, maximize and errors as in SGD.
    """

    rule = "adam"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        beta1, beta2 = pair_of("Adam", "betas", betas)
        check_range("Adam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("Adam", beta1=beta1, beta2=beta2)
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, options)
        self.rule = "adamw" if decoupled_weight_decay else "adam"

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return (
            "exp_avg",
            "exp_avg_sq",
            *(("max_exp_avg_sq",) if group["amsgrad"] else ()),
        )


@final
class AdamW(RuleOptimizer):
    """Adam whose weight decay shrinks the parameter directly, p *= 1 - lr * weight_decay, and not
    by way of the gradient (Loshchilov, Hutter 2017). Options as Adam's.
    """

    rule = "adamw"

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
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        beta1, beta2 = pair_of("AdamW", "betas", betas)
        check_range("AdamW", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("AdamW", beta1=beta1, beta2=beta2)
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": True,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return (
            "exp_avg",
            "exp_avg_sq",
            *(("max_exp_avg_sq",) if group["amsgrad"] else ()),
        )


guard(globals())
