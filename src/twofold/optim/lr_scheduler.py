"""Learning-rate schedules. Floor 11. Each computes a group's rate from the number of steps, in
closed form.

A schedule sets `group["lr"]`; the first rate is kept as `group["initial_lr"]`, as PyTorch has it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, final

from twofold.base.errors import ArgumentError, DTypeError
from twofold.ops.bind import mode
from twofold.optim.optimizer import Optimizer


class LRScheduler:
    """Sets the rates when made and at every `step()`; subclasses are final and give the rate at a
    step.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(
                type(self).__name__,
                f"a {type(optimizer).__name__} is not an optimizer",
                hint="the optimizer first, then the schedule's own arguments",
            )
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, base: float, step: int, group: int) -> float:
        """The rate of group number `group`, whose first rate is `base`, after `step` steps."""
        raise TypeError(f"{type(self).__name__} does not define rate")

    def step(self, epoch: int | None = None) -> None:
        """Go on by one (or to `epoch`) and set the rates; in a graph, at each of its runs."""
        if mode.capture is not None:
            mode.capture.host(lambda: self._go_on(epoch), type(self).__name__)
            return
        self._go_on(epoch)

    def _go_on(self, epoch: int | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for index, (group, base) in enumerate(
            zip(self.optimizer.param_groups, self.base_lrs, strict=True)
        ):
            group["lr"] = self.rate(base, self.last_epoch, index)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates in force, by group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Every value of the schedule that is not a function or the optimizer."""
        return {
            k: v
            for k, v in self.__dict__.items()
            if k != "optimizer" and not callable(v) and not _functions(v)
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)


def _functions(value: Any) -> bool:
    return isinstance(value, list) and any(map(callable, value))


@final
class LambdaLR(LRScheduler):
    """base * lr_lambda(step): one function, or one for each group."""

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


@final
class ExponentialLR(LRScheduler):
    """base * gamma ^ step."""

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

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return (
            self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2
        )


@final
class LinearLR(LRScheduler):
    """A warm-up: base times a factor that goes from start_factor to end_factor in total_iters
    steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        done = min(step, self.total_iters) / self.total_iters
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
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return base * (self.factor if step < self.total_iters else 1.0)
