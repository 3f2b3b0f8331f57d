"""What every learning-rate schedule is: the rates of an optimizer's groups, step by step. Floor 11.

A schedule sets `group["lr"]`; the first rate is kept as `group["initial_lr"]`, as PyTorch has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any

from twofold.base.dtypes import float64, int64
from twofold.base.errors import ArgumentError, DTypeError, MissingNameError, StateError, kind_of
from twofold.base.types import Type
from twofold.ops.bind import mode
from twofold.ops.guarding import guard
from twofold.ops.tensor import wrap
from twofold.optim.optimizer import MISSING, Optimizer, only_in_python


class LRScheduler:
    """Sets the rates when made and at every `step()`; subclasses are final and give the rate at a
    step: by `rate`, or all of them by `get_lr`.
    """

    # Whether the rate that an optimizer was loaded with is already that of the step to go on from.
    resumes = False
    by_group = ""  # what was given for each group, where rates need more than the first ones

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(
                type(self).__name__,
                f"{kind_of(optimizer)} is not an optimizer",
                hint="the optimizer first, then the schedule's own arguments",
            )
        if mode.capture is not None:
            raise only_in_python(type(self).__name__, "the function makes a schedule of its own")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            if last_epoch != -1 and "initial_lr" not in group:
                raise StateError(
                    type(self).__name__,
                    f"last_epoch = {last_epoch}, but the optimizer had no schedule yet",
                    hint="optimizer.load_state_dict(...) first, or last_epoch=-1",
                )
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs = self.bases()
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    @property
    def last_epoch(self) -> int:
        """How many steps were taken; in a graph, a number of the run."""
        capture, found = mode.capture, self.__dict__.get("last_epoch", MISSING)
        if found is MISSING:
            raise MissingNameError(type(self).__name__, "last_epoch")
        if capture is None or type(found) is not int:
            return found  # type: ignore[no-any-return]
        host = capture.host(lambda: self.__dict__["last_epoch"], "steps", like=Type((), int64))
        return wrap(capture.host_value(host, None, (), int64)).item()  # type: ignore[attr-defined, no-any-return]

    @last_epoch.setter
    def last_epoch(self, steps: int) -> None:
        self.__dict__["last_epoch"] = steps

    def bases(self) -> list[float]:
        """The rates that the schedule begins with, by group."""
        return [group["initial_lr"] for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The rates at this step, by group. PyTorch's users define it in schedules of their own,
        from `base_lrs`, `last_epoch` and the optimizer's groups.
        """
        return [self.rate(base, self.last_epoch, i) for i, base in enumerate(self.base_lrs)]

    def rate(self, base: float, step: int, group: int) -> float:
        """The rate of group number `group`, whose first rate is `base`, after `step` steps."""
        raise TypeError(f"{type(self).__name__} defines neither get_lr() nor rate()")

    def follow(self, now: float, base: float, step: int, group: int) -> float:
        """The rate that comes after `now`, which others may have changed: it goes on in proportion.

        So several schedules of one optimizer multiply.
        """
        here = self.rate(base, step, group)
        before = self.rate(base, step - 1, group) if step > 0 else base
        if now == before or before == 0.0:
            return here
        return now if here == before else now * here / before

    def also(self) -> None:
        """What else is set with the rates."""

    def step(self, epoch: int | None = None) -> None:
        """Go on by one (or to `epoch`) and set the rates; in a graph, at each of its runs."""
        if mode.capture is not None:
            groups = self.optimizer.param_groups
            if any(mode.capture.set_inside(group, "lr") for group in groups):
                what = "the function sets a rate before a schedule goes on from it"
                raise only_in_python(type(self).__name__, what)
            before: list[Any] = []

            def run() -> None:
                numbers = [{k: v for k, v in g.items() if k != "params"} for g in groups]
                before[:] = [states_of(self), numbers]
                self._go_on(epoch)

            def undo() -> None:
                for schedule, state in before[0]:
                    schedule.load_state_dict(state)
                for group, numbers in zip(groups, before[1], strict=True):
                    group.update(numbers)

            mode.capture.host(run, type(self).__name__, undo)
            return
        self._go_on(epoch)

    def _go_on(self, epoch: int | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._step_count += 1
        if self.resumes and self._step_count == 1 and self.last_epoch > 0:
            self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
            return
        self._take_new_groups()
        own = self.get_lr() if type(self).get_lr is not LRScheduler.get_lr else None
        for index, (group, base) in enumerate(
            zip(self.optimizer.param_groups, self.base_lrs, strict=True)
        ):
            if own is not None:
                group["lr"] = own[index]
            elif epoch is None:
                group["lr"] = self.follow(float(group["lr"]), base, self.last_epoch, index)
            else:
                group["lr"] = self.rate(base, self.last_epoch, index)
        self.also()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _take_new_groups(self) -> None:
        """Groups that joined the optimizer later begin with the rate that they came with."""
        groups = self.optimizer.param_groups
        if self.by_group and len(groups) > len(self.base_lrs):
            what = f"{len(groups)} groups, and {self.by_group} for {len(self.base_lrs)} of them"
            hint = "add_param_group(...) first, then the schedule"
            raise ArgumentError(type(self).__name__, what, hint=hint)
        for group in groups[len(self.base_lrs) :]:
            self.base_lrs = [*self.base_lrs, group.setdefault("initial_lr", float(group["lr"]))]

    def get_last_lr(self) -> list[float]:
        """The rates in force, by group; in a graph, numbers of the run."""
        capture, rates = mode.capture, self._last_lr
        if capture is None:
            return list(rates)
        host = capture.host(lambda: self._last_lr, "rates", like=Type((len(rates),), float64))
        found = wrap(capture.host_value(host, None, (len(rates),), float64))
        return [x.item() for x in found.unbind()]  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """Every value of the schedule that is not a function or the optimizer. Of callable objects
        in a list their own values are kept; None stands for functions.
        """
        return {
            k: [_values(f) for f in v] if _functions(v) else v
            for k, v in self.__dict__.items()
            if k != "optimizer" and not callable(v)
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave. Raises StateError for the state of another schedule."""
        check_names(self, state_dict)
        for name, value in state_dict.items():
            own = self.__dict__.get(name)
            if not _functions(own):
                self.__dict__[name] = value
                continue
            for function, saved in zip(own, value, strict=True):  # type: ignore[arg-type]
                if saved is not None:
                    vars(function).update(saved)


def check_names(schedule: LRScheduler, saved: dict[str, Any]) -> None:
    """Raise StateError where a saved state lacks what a schedule goes by."""
    inner = "_schedulers"
    own = {n for n in schedule.state_dict() if not n.startswith("_") or n == inner}
    if lost := sorted(own - saved.keys()):
        raise StateError(
            f"{type(schedule).__name__}.load_state_dict",
            f"the saved state is of another schedule: it has no {', '.join(lost)}",
            saved=", ".join(sorted(saved)),
            hint="the same class as when it was saved",
        )


def states_of(schedule: LRScheduler) -> list[tuple[LRScheduler, dict[str, Any]]]:
    """The state of a schedule, and of those that it is made of."""
    found = [(schedule, schedule.state_dict())]
    for value in schedule.__dict__.values():
        for inner in value if isinstance(value, list | tuple) else ():
            if isinstance(inner, LRScheduler):
                found += states_of(inner)
    return found


def _functions(value: Any) -> bool:
    return isinstance(value, list) and any(map(callable, value))


def _values(function: Any) -> dict[str, Any] | None:
    return None if isinstance(function, FunctionType) else dict(getattr(function, "__dict__", {}))


def for_each_group(op: str, name: str, value: Any, count: int) -> list[Any]:
    """One value for all groups, or one for each, as a list. Raises ArgumentError."""
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        what = f"{len(value)} values of {name} for {count} groups"
        raise ArgumentError(op, what, hint="one value, or one for each group")
    return list(value)


def by_beta(optimizer: Optimizer, op: str) -> bool:
    """Whether a schedule of momenta changes the first of `betas`, not `momentum`. Raises
    ArgumentError where there is neither.
    """
    if "momentum" in optimizer.defaults or "betas" in optimizer.defaults:
        return "momentum" not in optimizer.defaults
    what = f"{type(optimizer).__name__} has no momentum"
    raise ArgumentError(op, what, hint="cycle_momentum=False")


def set_momenta(optimizer: Optimizer, beta: bool, values: Sequence[float]) -> None:
    """Set the momentum of each group, which is the first of `betas` or an option of its own."""
    for group, value in zip(optimizer.param_groups, values, strict=True):
        if beta:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


def check_between(op: str, least: float, most: float, **options: float) -> None:
    """Raise ArgumentError for the first option that is not a number from `least` to `most`."""
    for name, value in options.items():
        if not isinstance(value, int | float) or not least <= value <= most:
            hint = f"{least:g} to {most:g}"
            raise ArgumentError(op, f"{name} = {value!r}", hint=hint)


guard(globals())
