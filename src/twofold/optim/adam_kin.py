"""Adamax, NAdam and RAdam: Adam with another second moment, momentum or start. Floor 11."""

from __future__ import annotations

from typing import Any, final

from twofold.ops.guarding import guard
from twofold.optim.optimizer import Group, check_range
from twofold.optim.ruled import RuleOptimizer, pair_of


@final
class Adamax(RuleOptimizer):
    """Adam by the largest gradient so far, which decays, in place of the second moment (Kingma, Ba
    2014).
    """

    rule = "adamax"

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        beta1, beta2 = pair_of("Adamax", "betas", betas)
        check_range("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("Adamax", beta1=beta1, beta2=beta2)
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")


@final
class NAdam(RuleOptimizer):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    rule = "nadam"

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        beta1, beta2 = pair_of("NAdam", "betas", betas)
        check_range("NAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("NAdam", beta1=beta1, beta2=beta2)
        check_range("NAdam", momentum_decay=momentum_decay)
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def begin(self, group: Group) -> dict[str, Any]:
        return {"step": 0, "mu_product": 1.0}


@final
class RAdam(RuleOptimizer):
    """Adam whose first steps have a rate as sure as the second moment is (Liu et al. 2019)."""

    rule = "radam"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        beta1, beta2 = pair_of("RAdam", "betas", betas)
        check_range("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("RAdam", beta1=beta1, beta2=beta2)
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")


guard(globals())
