"""Schedules made of schedules, and one that looks at how training goes. Floor 11."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.bind import mode
from twofold.ops.guarding import guard
from twofold.ops.rules import as_tensor
from twofold.ops.tensor import Tensor
from twofold.optim.lr_base import LRScheduler, check_names, for_each_group
from twofold.optim.optimizer import Optimizer


class Combined(LRScheduler):
    """What schedules made of others share."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise ArgumentError(name, "there is no schedule", hint="at least one")
        self.optimizer = optimizer or self._schedulers[0].optimizer
        if any(one.optimizer is not self.optimizer for one in self._schedulers):
            raise ArgumentError(name, "the schedules have several optimizers", hint="one for all")

    def note(self) -> None:
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        return state | {"_schedulers": [one.state_dict() for one in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        check_names(self, state_dict)
        state = dict(state_dict)
        for one, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            one.load_state_dict(saved)
        self.__dict__.update(state)


@final
class ChainedScheduler(Combined):
    """All of them step at once: their factors multiply."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        super().__init__(schedulers, optimizer)
        self.note()

    def _go_on(self, epoch: int | None) -> None:
        for one in self._schedulers:
            one._go_on(None)
        self.note()


@final
class SequentialLR(Combined):
    """One after the other: the next begins, from its own step 0, at its milestone."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        super().__init__(schedulers, optimizer)
        if len(milestones) != len(self._schedulers) - 1:
            what = f"{len(milestones)} milestones for {len(self._schedulers)} schedules"
            raise ArgumentError("SequentialLR", what, hint="one between each two")
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for one in self._schedulers:
            one.last_epoch -= 1
        self._schedulers[0]._go_on(None)
        self.note()

    def _go_on(self, epoch: int | None) -> None:
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        begins = index > 0 and self._milestones[index - 1] == self.last_epoch
        self._schedulers[index]._go_on(0 if begins else None)
        self.note()


@final
class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a measure has not become better for more than `patience` steps.

    Better is by more than `threshold`, relative (`rel`) or absolute (`abs`); then `cooldown` steps
    do not count. `step(metrics)` takes the measure.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        if factor >= 1.0:
            raise ArgumentError(name, f"factor = {factor}", hint="factor < 1")
        for option, value, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise ArgumentError(name, f"{option} = {value!r}", hint=f"one of {known}")
        self.optimizer = optimizer
        self.min_lrs = for_each_group(name, "min_lr", min_lr, len(optimizer.param_groups))
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at a measure of how training goes, a number or a tensor of one."""
        if mode.capture is not None:
            self._in_graph(metrics, epoch)
            return
        measure = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(measure):
            self.best, self.num_bad_epochs = measure, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _in_graph(self, metrics: Any, epoch: int | None) -> None:
        """Step where the program has computed the measure, at each of its runs."""
        capture, groups = mode.capture, self.optimizer.param_groups
        before: list[Any] = []

        def begin() -> None:
            before[:] = [self.state_dict(), [dict.__getitem__(g, "lr") for g in groups]]

        def undo() -> None:
            self.load_state_dict(before[0])
            for group, rate in zip(groups, before[1], strict=True):
                group["lr"] = rate

        capture.host(begin, "ReduceLROnPlateau", undo)
        capture.late.update(map(id, groups))
        measure = metrics if isinstance(metrics, Tensor) else as_tensor(metrics, "step", "metrics")
        capture.call(lambda x: self.step(x, epoch), measure.detach())  # type: ignore[attr-defined]

    @property
    def in_cooldown(self) -> bool:
        """Whether steps do not count now."""
        return self.cooldown_counter > 0

    def is_better(self, measure: float) -> bool:
        """Whether a measure is better than the best so far, by more than the threshold."""
        lower = self.mode == "min"
        if self.threshold_mode == "abs":
            goal = self.best - self.threshold if lower else self.best + self.threshold
        else:
            goal = self.best * (1.0 - self.threshold if lower else 1.0 + self.threshold)
        return measure < goal if lower else measure > goal

    def _reduce(self) -> None:
        more = len(self.optimizer.param_groups) - len(self.min_lrs)
        if more > 0 and len(set(self.min_lrs)) > 1:
            what = f"{more} groups joined the optimizer, and have no min_lr"
            raise ArgumentError("ReduceLROnPlateau", what, hint="one min_lr for all groups")
        self.min_lrs += self.min_lrs[:1] * more
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            new = max(group["lr"] * self.factor, least)
            if group["lr"] - new > self.eps:
                group["lr"] = new


guard(globals())
