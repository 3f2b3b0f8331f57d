"""Schedules that come again, and the one-cycle policy. Floor 11."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.guarding import guard
from twofold.optim.lr_base import (
    LRScheduler,
    by_beta,
    check_between,
    for_each_group,
    set_momenta,
)
from twofold.optim.optimizer import Optimizer


@final
class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from base to eta_min in T_0 steps, again and again, each T_mult times as long
    (Loshchilov, Hutter 2016). `step(epoch)` takes fractions.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if value < 1 or not isinstance(value, int):
                what = f"{name} = {value!r}"
                raise ArgumentError("CosineAnnealingWarmRestarts", what, hint="a whole number >= 1")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: float, group: int) -> float:
        length, done = self.T_0, step
        if self.T_mult == 1:
            done = step % self.T_0
        else:
            while done >= length:
                done -= length
                length *= self.T_mult
        self.T_cur, self.T_i = done, length
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * done / length)) / 2

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        return self.rate(base, step, group)

    def step(self, epoch: float | None = None) -> None:
        """Go on by one, or to `epoch`, which may lie between two steps."""
        if epoch is not None and epoch < 0:
            what = f"epoch = {epoch}"
            raise ArgumentError("CosineAnnealingWarmRestarts.step", what, hint="0 or more")
        super().step(epoch)  # type: ignore[arg-type]

    def _go_on(self, epoch: Any) -> None:
        part = self.T_cur % 1  # how far behind a whole step it stands
        if epoch is None and part:
            epoch = self.last_epoch + 1 + part
        super()._go_on(epoch)
        self.last_epoch = math.floor(self.last_epoch)


SCALES: dict[str, Callable[[float, float], float]] = {
    "triangular": lambda at, gamma: 1.0,
    "triangular2": lambda at, gamma: 1 / 2.0 ** (at - 1),
    "exp_range": lambda at, gamma: gamma**at,
}


@final
class CyclicLR(LRScheduler):
    """Up from base_lr to max_lr in straight lines and down again (Smith 2015), momentum the other
    way.

    mode: `triangular`; `triangular2`, half as high each time; `exp_range`, by gamma ^ step.
    """

    by_group = "max_lr"

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if mode not in SCALES and scale_fn is None:
            raise ArgumentError("CyclicLR", f"mode = {mode!r}", hint=f"one of {tuple(SCALES)}")
        count = len(optimizer.param_groups)
        first = for_each_group("CyclicLR", "base_lr", base_lr, count)
        self.max_lrs = for_each_group("CyclicLR", "max_lr", max_lr, count)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn = mode, gamma, scale_fn
        self.scale_mode = "iterations" if scale_fn is None and mode == "exp_range" else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = by_beta(optimizer, "CyclicLR")
            self.base_momentums = for_each_group("CyclicLR", "base_momentum", base_momentum, count)
            self.max_momentums = for_each_group("CyclicLR", "max_momentum", max_momentum, count)
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (least, most) in zip(optimizer.param_groups, pairs, strict=True):
                group.update(base_momentum=least, max_momentum=most)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, first, strict=True):
                group["lr"] = rate
        self.base_lrs = first
        super().__init__(optimizer, last_epoch)

    def bases(self) -> list[float]:
        return self.base_lrs

    def height(self, step: int) -> tuple[float, float]:
        """How far up the line of this cycle, and how high the cycle is."""
        cycle = math.floor(1 + step / self.total_size)
        done = 1 + step / self.total_size - cycle
        up = done <= self.step_ratio
        share = done / self.step_ratio if up else (done - 1) / (self.step_ratio - 1)
        at = cycle if self.scale_mode == "cycle" else step
        scale = self._scale_fn(at) if self._scale_fn else SCALES[self.mode](at, self.gamma)
        return share, scale

    def rate(self, base: float, step: int, group: int) -> float:
        share, scale = self.height(step)
        most: float = self.max_lrs[group]
        return base + (most - base) * share * scale

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        return self.rate(base, step, group)

    def also(self) -> None:
        if self.cycle_momentum:
            share, scale = self.height(self.last_epoch)
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            values = [most - (most - least) * share * scale for least, most in pairs]
            set_momenta(self.optimizer, self.use_beta1, values)


@final
class OneCycleLR(LRScheduler):
    """Once up to max_lr and down to nearly nothing (Smith, Topin 2017), momentum the other way.

    The rate begins at max_lr / div_factor, is highest after pct_start of total_steps, and ends at
    the first rate / final_div_factor; with three_phase it comes back to the first rate before.
    """

    by_group = "max_lr"

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            hint = "total_steps, or epochs and steps_per_epoch"
            raise ArgumentError("OneCycleLR", "the number of steps is not known", hint=hint)
        if anneal_strategy not in ("cos", "linear"):
            what = f"anneal_strategy = {anneal_strategy!r}"
            raise ArgumentError("OneCycleLR", what, hint="'cos' or 'linear'")
        check_between("OneCycleLR", 0, 1, pct_start=pct_start)
        product = (epochs or 0) * (steps_per_epoch or 0)
        self.total_steps = product if total_steps is None else total_steps
        self._anneal_func_type, self.cycle_momentum = anneal_strategy, cycle_momentum
        up = float(pct_start * self.total_steps) - 1
        last = float(self.total_steps - 1)
        # where a phase ends, and between which values of a group it goes
        rates = (("initial_lr", "max_lr"), ("max_lr", "min_lr"))
        ends = (up, last)
        if three_phase:
            rates = (*rates[:1], ("max_lr", "initial_lr"), ("initial_lr", "min_lr"))  # type: ignore[assignment]
            ends = (up, float(2 * pct_start * self.total_steps) - 2, last)  # type: ignore[assignment]
        self._schedule_phases = [_phase(*phase) for phase in zip(ends, rates, strict=True)]
        count = len(optimizer.param_groups)
        most = for_each_group("OneCycleLR", "max_lr", max_lr, count)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, most, strict=True):
                first = rate / div_factor
                group.update(initial_lr=first, max_lr=rate, min_lr=first / final_div_factor)
        if cycle_momentum:
            self.use_beta1 = by_beta(optimizer, "OneCycleLR")
            low = for_each_group("OneCycleLR", "base_momentum", base_momentum, count)
            high = for_each_group("OneCycleLR", "max_momentum", max_momentum, count)
            for group, least, largest in zip(optimizer.param_groups, low, high, strict=True):
                group.update(base_momentum=least, max_momentum=largest)
        super().__init__(optimizer, last_epoch)

    def phase(self, step: int) -> tuple[Any, float]:
        """The phase that a step lies in, and how far it is."""
        if step > self.total_steps - 1 + 1:
            what = f"step {step} of {self.total_steps}"
            raise ArgumentError("OneCycleLR", what, hint="as many steps as total_steps says")
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if step <= end or phase is self._schedule_phases[-1]:
                return phase, (step - start) / (end - start)
            start = end
        raise ArgumentError("OneCycleLR", "there is no phase", hint="total_steps > 0")

    def between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (1 + math.cos(math.pi * share))

    def rate(self, base: float, step: int, group: int) -> float:
        phase, share = self.phase(step)
        options = self.optimizer.param_groups[group]
        return self.between(options[phase["start_lr"]], options[phase["end_lr"]], share)

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        return self.rate(base, step, group)

    def also(self) -> None:
        if not self.cycle_momentum:
            return
        phase, share = self.phase(self.last_epoch)
        start, end = phase["start_momentum"], phase["end_momentum"]
        groups = self.optimizer.param_groups
        values = [self.between(group[start], group[end], share) for group in groups]
        set_momenta(self.optimizer, self.use_beta1, values)


def _phase(end: float, rates: tuple[str, str]) -> dict[str, Any]:
    """Until which step a phase lasts, and between which of a group's options it goes; the momentum
    is lowest where the rate is highest.
    """
    low, high = "base_momentum", "max_momentum"
    momenta = [low if name == "max_lr" else high for name in rates]
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return dict(zip(names, (end, *rates, *momenta), strict=True))


guard(globals())
