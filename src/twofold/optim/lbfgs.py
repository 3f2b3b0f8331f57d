"""L-BFGS: steps along an estimate of Newton's direction, with a line search. Floor 11.

The estimate is made of the last steps and of how the gradient changed along them (Nocedal 1980);
the search is for a step that fulfils the strong Wolfe conditions (Nocedal, Wright 2006, 3.5 and
3.6, with cubic interpolation). The closure is called as often as that takes, so it cannot be
compiled into one program: a compiled function that takes such a step runs as Python (`explain` says
so), and what the closure calls can be compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, final

from twofold.base.errors import ArgumentError, StateError, in_python
from twofold.base.records import NamedTuple
from twofold.ops.bind import mode, set_grad
from twofold.ops.complexes import view_as_real
from twofold.ops.guarding import guard
from twofold.ops.joining import cat, clone
from twofold.ops.tensor import Tensor
from twofold.optim.optimizer import Optimizer, check_range

ARMIJO, CURVATURE = 1e-4, 0.9
SHORTEST = 1e-9  # of a bracket
FLAT = 1e-10  # of the curvature along a step: below it the step teaches nothing


class Point(NamedTuple):
    """A place on the line: how far, the loss, the gradient, and the slope along the line."""

    t: float
    loss: float
    grad: Any
    slope: float


@final
class LBFGS(Optimizer):
    """Newton's method by memory: for smooth losses of all the data. `step` takes a closure.

    All parameters are one group, and the state is the first one's, as PyTorch has it.
    """

    unshaped = ("d", "prev_flat_grad", "old_dirs", "old_stps")

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_range("LBFGS", lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            what = f"line_search_fn = {line_search_fn!r}"
            raise ArgumentError("LBFGS", what, hint="'strong_wolfe', or None for steps of lr")
        options = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, options)
        if len(self.param_groups) != 1:
            raise ArgumentError("LBFGS", "the parameters are one group", hint="model.parameters()")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to `max_iter` steps; the loss before the first one is given back."""
        if closure is None:
            raise ArgumentError("LBFGS.step", "there is no closure", hint="step(lambda: loss)")
        if mode.capture is not None:
            what = "how often the closure runs is known at run time only"
            error = StateError(
                "LBFGS.step",
                what,
                hint="optimizer.step(twofold.compile(closure)) in a plain function",
            )
            in_python(error)
            raise error
        before = set_grad(False)
        try:
            return self._descend(closure)
        finally:
            set_grad(before)

    def _descend(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state.setdefault(self._all()[0], {"func_evals": 0, "n_iter": 0})
        first = self._evaluate(closure)
        loss, grad = float(first), self._flat_grad()
        evaluations = 1
        state["func_evals"] += 1
        if _largest(grad) <= group["tolerance_grad"]:
            return first
        for turn in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._direction(state, grad, group["history_size"])
            d = state["d"]
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            lr = float(group["lr"])
            t = lr * min(1.0, 1.0 / float(grad.abs().sum())) if state["n_iter"] == 1 else lr
            slope = float(grad.dot(d))
            state["t"] = t
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                line = _Line(self, closure, d, Point(0.0, loss, grad, slope))
                found = line.search(t, group["max_eval"] - evaluations)
                t, loss, grad, used = found.t, found.loss, found.grad, line.evaluations
                state["t"] = t
            else:
                self._move(t, d)
                if turn != group["max_iter"]:
                    loss, grad, used = float(self._evaluate(closure)), self._flat_grad(), 1
            evaluations += used
            state["func_evals"] += used
            if evaluations >= group["max_eval"] or self._settled(group, state, grad, loss):
                break
        return first

    def _settled(self, group: Any, state: Any, grad: Any, loss: float) -> bool:
        """Whether the gradient, the step or the change of the loss is below its tolerance."""
        change = group["tolerance_change"]
        if _largest(grad) <= group["tolerance_grad"] or abs(loss - state["prev_loss"]) < change:
            return True
        return bool(_largest(state["d"] * state["t"]) <= change)

    def _direction(self, state: dict[str, Any], grad: Any, history: int) -> None:
        """Learn from the last step, and turn the gradient by the inverse Hessian's estimate."""
        if state["n_iter"] == 1:
            state.update(d=-grad, old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return
        changes, steps, weights = state["old_dirs"], state["old_stps"], state["ro"]
        change, step = grad - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(change.dot(step))
        if curvature > FLAT:
            for kept in (changes, steps, weights):
                del kept[: max(0, len(kept) + 1 - history)]
            changes.append(change)
            steps.append(step)
            weights.append(1.0 / curvature)
            state["H_diag"] = curvature / float(change.dot(change))
        d = -grad
        shares = []
        for change, step, weight in reversed(list(zip(changes, steps, weights, strict=True))):
            shares.append(float(step.dot(d)) * weight)
            d = d - change * shares[-1]
        d = d * state["H_diag"]
        for change, step, weight in zip(changes, steps, weights, strict=True):
            d = d + step * (shares.pop() - float(change.dot(d)) * weight)
        state["d"] = d

    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        before = set_grad(True)
        try:
            return closure()
        finally:
            set_grad(before)

    def _flat_grad(self) -> Any:
        parts: list[Any] = []
        for x in self._all():
            grad: Any = x.grad
            grad = x.detach() * 0 if grad is None else grad  # type: ignore[attr-defined]
            parts.append(_reals(grad).reshape(-1))
        return cat(parts).clone()  # type: ignore[attr-defined]

    def _move(self, t: float, d: Any) -> None:
        """All parameters by t along d."""
        at = 0
        for x in self._all():
            reals = _reals(x)
            count = reals.array.size
            reals.add_(d[at : at + count].reshape(reals.array.shape), alpha=t)
            at += count


def _reals(x: Tensor) -> Any:
    """A tensor's real numbers, in its memory: two for each complex one."""
    return view_as_real(x) if x.dtype.is_complex else x


def _largest(x: Any) -> float:
    return float(x.abs().max())


@final
class _Line:
    """The loss along a direction, and the search for a step on it. The parameters end there."""

    def __init__(self, owner: LBFGS, closure: Any, d: Any, start: Point) -> None:
        self.owner = owner
        self.closure = closure
        self.d = d
        self.start = start
        self.evaluations = 0
        self.places = [clone(x) for x in owner._all()]

    def at(self, t: float) -> Point:
        """The loss and its gradient at t; the parameters come back."""
        self.owner._move(t, self.d)
        loss = float(self.owner._evaluate(self.closure))
        grad = self.owner._flat_grad()
        self.back()
        self.evaluations += 1
        return Point(t, loss, grad, float(grad.dot(self.d)))

    def back(self) -> None:
        xs: list[Any] = self.owner._all()
        for x, place in zip(xs, self.places, strict=True):
            x.copy_(place)

    def search(self, t: float, most: int) -> Point:
        """A step that fulfils the conditions, or the best that was found."""
        found = self._zoom(*self._bracket(t, most))
        self.owner._move(found.t, self.d)
        return found

    def low_enough(self, point: Point) -> bool:
        return point.loss <= self.start.loss + ARMIJO * point.t * self.start.slope

    def flat_enough(self, point: Point) -> bool:
        return abs(point.slope) <= -CURVATURE * self.start.slope

    def _bracket(self, t: float, most: int) -> tuple[list[Point], int]:
        """Go on until a step is good, or one lies between the last two; and how many are left."""
        before, here = self.start, self.at(t)
        for turn in range(most):
            if not self.low_enough(here) or (turn > 1 and here.loss >= before.loss):
                return [before, here], most - turn
            if self.flat_enough(here):
                return [here], 0
            if here.slope >= 0:
                return [before, here], most - turn
            least, largest = here.t + 0.01 * (here.t - before.t), here.t * 10
            before, here = here, self.at(_valley(before, here, least, largest))
        return [self.start, here], 0

    def _zoom(self, bracket: list[Point], left: int) -> Point:
        """Halve, or better, the bracket until a step in it is good."""
        if len(bracket) == 1:
            return bracket[0]
        first, second = bracket
        # the lower end, and the other
        low, high = (first, second) if first.loss <= second.loss else (second, first)
        # by which end came first, as ties are told by it
        order = [first, second]
        size, slow = _largest(self.d), False
        for _ in range(left):
            ends = sorted(point.t for point in order)
            if (ends[1] - ends[0]) * size < SHORTEST:
                break
            t = _valley(order[0], order[1], *ends)
            t, slow = _apart(t, ends, slow)
            here = self.at(t)
            if not self.low_enough(here) or here.loss >= low.loss:
                order = [here if point is high else point for point in order]
                low, high = order if order[0].loss <= order[1].loss else order[::-1]
                continue
            done = self.flat_enough(here)
            other = low if not done and here.slope * (high.t - low.t) >= 0 else high
            order = [other if point is high else here for point in order]
            low, high = here, other
            if done:
                break
        return low


def _apart(t: float, ends: list[float], slow: bool) -> tuple[float, bool]:
    """A step that is not too near to an end for the second time; whether it is near."""
    margin = 0.1 * (ends[1] - ends[0])
    if min(ends[1] - t, t - ends[0]) >= margin:
        return t, False
    if not slow and ends[0] < t < ends[1]:
        return t, True
    return (ends[1] - margin if abs(t - ends[1]) < abs(t - ends[0]) else ends[0] + margin), False


def _valley(a: Point, b: Point, least: float, largest: float) -> float:
    """Where the cubic through two points with their slopes is lowest, within bounds."""
    mean = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = mean * mean - a.slope * b.slope
    if not square >= 0:
        return (least + largest) / 2
    left, right = (a, b) if a.t <= b.t else (b, a)
    root = math.sqrt(square)
    share = (right.slope + root - mean) / (right.slope - left.slope + 2 * root)
    return min(max(right.t - (right.t - left.t) * share, least), largest)


guard(globals())
