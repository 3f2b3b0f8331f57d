"""Learning-rate schedules. Floor 11. Each computes a group's rate from the number of steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.guarding import guard
from twofold.optim.lr_base import LRScheduler, check_between, for_each_group
from twofold.optim.lr_combined import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from twofold.optim.lr_cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from twofold.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
_LRScheduler = LRScheduler  # its older name


@final
class LambdaLR(LRScheduler):
    """base * lr_lambda(step): one function, or one for each group."""

    by_group = "lr_lambda"

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas: list[Callable[[int], float]] = (
            list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * count
        )
        if len(self.lr_lambdas) != count:
            what = f"{len(self.lr_lambdas)} functions for {count} groups"
            raise ArgumentError("LambdaLR", what, hint="one function, or one for each group")
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return base * self.lr_lambdas[group](step)

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        return self.rate(base, step, group)


@final
class StepLR(LRScheduler):
    """base * gamma ^ (step // step_size)."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return float(base * self.gamma ** (step // self.step_size))


@final
class MultiStepLR(LRScheduler):
    """base * gamma ^ (milestones passed)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return float(base * self.gamma ** bisect_right(self.milestones, step))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """PyTorch's milestones, which are counted, are taken too."""
        saved = dict(state_dict)
        steps = saved.get("milestones")
        if isinstance(steps, Mapping):
            saved["milestones"] = sorted(int(k) for k, n in steps.items() for _ in range(int(n)))
        super().load_state_dict(saved)


@final
class ExponentialLR(LRScheduler):
    """base * gamma ^ step."""

    resumes = True

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return float(base * self.gamma**step)


@final
class CosineAnnealingLR(LRScheduler):
    """From base down to eta_min in T_max steps along half a cosine (Loshchilov, Hutter 2016), and
    up again.
    """

    resumes = True

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return (
            self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2
        )

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        here = self.rate(base, step, group)
        before = self.rate(base, step - 1, group) if step > 0 else base
        if now == before:
            return here
        above = before - self.eta_min
        if abs(above) < 1e-12 * max(abs(base), abs(self.eta_min)):
            return now + here - before
        return self.eta_min + (now - self.eta_min) * (here - self.eta_min) / above


@final
class LinearLR(LRScheduler):
    """A warm-up: base times a factor that goes from start_factor to end_factor in total_iters
    steps.
    """

    resumes = True

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_between("LinearLR", 0, 1, start_factor=start_factor, end_factor=end_factor)
        if not start_factor:
            raise ArgumentError("LinearLR", "start_factor = 0", hint="above 0")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        done = min(step, self.total_iters) / self.total_iters if self.total_iters else 0.0
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


@final
class ConstantLR(LRScheduler):
    """base * factor for total_iters steps, then base."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_between("ConstantLR", 0, 1, factor=factor)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        # without steps nothing ends, as in PyTorch
        return base * (self.factor if step < self.total_iters or not self.total_iters else 1.0)


@final
class MultiplicativeLR(LRScheduler):
    """The rate times lr_lambda(step), at every step but the first: one function, or one a group."""

    resumes = True
    by_group = "lr_lambda"

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = for_each_group("MultiplicativeLR", "lr_lambda", lr_lambda, count)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        now = self.optimizer.param_groups[group]["lr"]
        return float(now * self.lr_lambdas[group](step))  # where it begins after another, too

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        return now * float(self.lr_lambdas[group](step)) if step > 0 else now


@final
class PolynomialLR(LRScheduler):
    """base * (1 - step / total_iters) ^ power, then 0."""

    resumes = True

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        left = 1.0 - min(step, self.total_iters) / self.total_iters if self.total_iters else 1.0
        return float(base * left**self.power)


guard(globals())
