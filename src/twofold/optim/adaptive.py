"""Rates by element: Adagrad, Adadelta, RMSprop, Rprop, ASGD and Lion. Floor 11."""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.guarding import guard
from twofold.optim.optimizer import Group, check_range
from twofold.optim.ruled import RuleOptimizer, pair_of


@final
class Adagrad(RuleOptimizer):
    """Rates by the sum of all squared gradients (Duchi et al. 2011)."""

    rule = "adagrad"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_range("Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
        check_range("Adagrad", initial_accumulator_value=initial_accumulator_value)
        options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, options)
        for group in self.param_groups:
            for x in group["params"]:
                self.state_for(x, group)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def first(self, slot: str, group: Group) -> float:
        return float(group["initial_accumulator_value"])


@final
class Adadelta(RuleOptimizer):
    """Steps as large as earlier steps were, by their root mean squares (Zeiler 2012)."""

    rule = "adadelta"

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_range("Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("Adadelta", beta=rho)
        options = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "capturable": capturable,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")


@final
class RMSprop(RuleOptimizer):
    """Rates by a running average of squared gradients (Tieleman, Hinton 2012), `centered` by their
    variance (Graves 2013).
    """

    rule = "rmsprop"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_range("RMSprop", lr=lr, eps=eps, weight_decay=weight_decay)
        check_range("RMSprop", momentum=momentum, alpha=alpha)
        options = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return (
            "square_avg",
            *(("momentum_buffer",) if dict.get(group, "momentum") else ()),
            *(("grad_avg",) if group["centered"] else ()),
        )


@final
class Rprop(RuleOptimizer):
    """Steps that grow while the sign of the gradient stays, and shrink where it turns (Riedmiller,
    Braun 1993). For gradients of all the data.
    """

    rule = "rprop"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        less, more = pair_of("Rprop", "etas", etas)
        pair_of("Rprop", "step_sizes", step_sizes)
        check_range("Rprop", lr=lr)
        if not 0.0 < less < 1.0 < more:
            raise ArgumentError("Rprop", f"etas = {etas!r}", hint="0 < etas[0] < 1 < etas[1]")
        options = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("prev", "step_size")

    def first(self, slot: str, group: Group) -> float:
        return float(dict.__getitem__(group, "lr")) if slot == "step_size" else 0.0


@final
class ASGD(RuleOptimizer):
    """Descent whose rate falls, and in `state[p]["ax"]` the average of where it has been (Polyak,
    Juditsky 1992).
    """

    rule = "asgd"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_range("ASGD", lr=lr, weight_decay=weight_decay)
        options = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("ax",)

    def begin(self, group: Group) -> dict[str, Any]:
        return {"step": 0, "eta": float(dict.__getitem__(group, "lr")), "mu": 1.0}


@final
class Lion(RuleOptimizer):
    """Steps of one size: the sign of an average of gradients (Chen et al. 2023)."""

    rule = "lion"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        beta1, beta2 = pair_of("Lion", "betas", betas)
        check_range("Lion", lr=lr, weight_decay=weight_decay)
        check_range("Lion", beta1=beta1, beta2=beta2)
        options = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def slots_of(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg",)


guard(globals())
