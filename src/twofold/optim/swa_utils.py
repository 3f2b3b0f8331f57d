"""Averages of a model over its training: of all weights (SWA), or moving ones. Floor 11.

average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
...; optimizer.step(); average.update_parameters(model)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, final

from twofold.autograd.modes import no_grad
from twofold.base.dtypes import int64
from twofold.base.errors import ArgumentError
from twofold.nn.module import Module
from twofold.nn.norm import BatchNorm
from twofold.ops.bind import mode
from twofold.ops.compare import where
from twofold.ops.creation import tensor
from twofold.ops.guarding import guard
from twofold.ops.methods import detach
from twofold.optim.lr_base import LRScheduler
from twofold.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], Any]:
    """average * decay + new * (1 - decay)."""
    check_decay(decay)
    return lambda average, new, count: average * decay + new * (1 - decay)


def get_swa_avg_fn() -> Callable[[Any, Any, Any], Any]:
    """The mean of all that came."""
    return lambda average, new, count: average + (new - average) / (count + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], None]:
    """`get_ema_avg_fn` for lists of tensors, in place."""
    return _each(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[Any, Any, Any], None]:
    """`get_swa_avg_fn` for lists of tensors, in place."""
    return _each(get_swa_avg_fn())


def check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError("get_ema_avg_fn", f"decay = {decay}", hint="0 <= decay <= 1")


def _each(rule: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], None]:
    def update(averages: list[Any], news: list[Any], count: Any) -> None:
        for average, new in zip(averages, news, strict=True):
            if average.is_floating_point():
                average.copy_(rule(average, new, count))
            else:
                average.copy_(new)

    return update


@final
class AveragedModel(Module):
    """A copy of a model whose parameters are averages; `update_parameters(model)` takes in more.

    With `use_buffers` the buffers are averaged too, otherwise they are copied. `n_averaged` counts.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Any, Any, Any], Any] | None = None,
        multi_avg_fn: Callable[[Any, Any, Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            what = "avg_fn and multi_avg_fn say the same"
            raise ArgumentError("AveragedModel", what, hint="one of them")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", tensor(0, dtype=int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take in the parameters of `model` as they are now."""
        ours, theirs = self._tensors(self.module), self._tensors(model)
        update = self.multi_avg_fn or _each(self.avg_fn or get_swa_avg_fn())
        with no_grad():
            if mode.capture is not None:  # a run knows whether they are the first
                first = self.n_averaged == 0
                averages = [average.clone() for average in ours]
                update(averages, theirs, self.n_averaged)
                for average, new, later in zip(ours, theirs, averages, strict=True):
                    average.copy_(where(first, new, later))
            elif int(self.n_averaged) == 0:
                for average, new in zip(ours, theirs, strict=True):
                    average.copy_(new)
            else:
                update(ours, theirs, self.n_averaged)
            if not self.use_buffers:
                kept: Any
                for kept, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                    kept.copy_(buffer)
            self.n_averaged += 1

    def _tensors(self, model: Module) -> list[Any]:
        buffers = list(model.buffers()) if self.use_buffers else []
        return [detach(x) for x in (*model.parameters(), *buffers)]


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Measure the running moments of all batch normalisations anew, over all batches of `loader`.

    A batch may be a tensor, or a list or tuple whose first item is the input.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, BatchNorm)]
    if not layers:
        return
    training = model.training
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
    model.train()
    try:
        with no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, list | tuple) else batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(training)


@final
class SWALR(LRScheduler):
    """Goes from the rate at which it starts to swa_lr in anneal_epochs steps, and stays."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            what = f"anneal_strategy = {anneal_strategy!r}"
            raise ArgumentError("SWALR", what, hint="'cos' or 'linear'")
        count = len(optimizer.param_groups)
        rates = list(swa_lr) if isinstance(swa_lr, list | tuple) else [swa_lr] * count
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError("SWALR", f"anneal_epochs = {anneal_epochs!r}", hint="0 or more")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, step: int, group: int) -> float:
        return self.follow(self.optimizer.param_groups[group]["lr"], base, step, group)

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        goal = self.optimizer.param_groups[group]["swa_lr"]
        last, here = (self._share(at) for at in (max(0, step - 1), step))
        if self.anneal_epochs == 0 or last >= 1:
            return float(goal)
        start = (now - last * goal) / (1 - last)  # the rate may have been changed since
        return float(goal * here + start * (1 - here))

    def _share(self, step: int) -> float:
        done = min(1.0, step / max(1, self.anneal_epochs))
        return (1 - math.cos(math.pi * done)) / 2 if self._anneal_strategy == "cos" else done


guard(globals())
