"""Optimizers, schedules and checkpoints as TensorFlow 1 writes them. Floor 13.

An optimizer's step is assignments in the graph, with TensorFlow's formulas: Adam's epsilon stands
beside the corrected root, Adagrad's sums begin at 0.1, RMSProp's epsilon is under the root.
What an optimizer remembers are variables: initialise them after `minimize`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from twofold.autograd.modes import no_grad
from twofold.base.dtypes import float32, int64
from twofold.base.errors import ArgumentError, StateError
from twofold.frontends import session
from twofold.frontends.session import Operation, group, trainable_variables
from twofold.ops import compare, creation, elementwise
from twofold.ops.tensor import Tensor
from twofold.saving.files import load, save
from twofold.v1.arrays import cast
from twofold.v1.decays import (
    cosine_decay,
    exponential_decay,
    inverse_time_decay,
    natural_exp_decay,
    piecewise_constant,
    piecewise_constant_decay,
    polynomial_decay,
)
from twofold.v1.state import Variable, names

__all__ = [
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "ExponentialMovingAverage",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "Optimizer",
    "RMSPropOptimizer",
    "Saver",
    "cosine_decay",
    "exponential_decay",
    "get_global_step",
    "get_or_create_global_step",
    "global_step",
    "inverse_time_decay",
    "latest_checkpoint",
    "natural_exp_decay",
    "piecewise_constant",
    "piecewise_constant_decay",
    "polynomial_decay",
]
GLOBAL_STEP = "global_step"


class Optimizer(ABC):
    """Steps down a gradient: `minimize` is `compute_gradients` and then `apply_gradients`."""

    def __init__(self, learning_rate: Any, name: str) -> None:
        self.learning_rate = learning_rate
        self.name = name
        self.slots: dict[tuple[int, str], session.Variable] = {}

    def minimize(
        self,
        loss: Tensor,
        global_step: Any = None,
        var_list: Any = None,
        name: str | None = None,
        **_: Any,
    ) -> Operation:
        """The operation of one step. `global_step` grows by one."""
        return self.apply_gradients(self.compute_gradients(loss, var_list), global_step)

    def compute_gradients(
        self, loss: Tensor, var_list: Any = None, **_: Any
    ) -> list[tuple[Tensor | None, Any]]:
        """(gradient, variable) for each variable; None where the loss does not depend on it."""
        wanted = trainable_variables() if var_list is None else list(var_list)
        if not wanted:
            raise ArgumentError(self.name, "there are no variables to train")
        return list(zip(session.gradients(loss, wanted), wanted, strict=True))

    def apply_gradients(
        self, grads_and_vars: Any, global_step: Any = None, name: str | None = None
    ) -> Operation:
        """The operation that moves the variables."""
        pairs = [(g, v) for g, v in grads_and_vars if g is not None]
        if not pairs:
            raise ArgumentError(self.name, "no variable has a gradient")
        with no_grad():
            moves = [*self.before()]
            for gradient, variable in pairs:
                moves += self.moves(gradient, variable)
            moves += self.after()
            if global_step is not None:
                moves.append(session.assign(global_step, global_step + 1))
        return group(*moves, name=name or self.name)

    def rate(self, like: Tensor) -> Any:
        rate = self.learning_rate() if callable(self.learning_rate) else self.learning_rate
        return rate.to(like.dtype) if isinstance(rate, Tensor) else rate

    def slot(self, variable: Any, name: str, start: float) -> session.Variable:
        """What is remembered for a variable."""
        found = self.slots.get((id(variable), name))
        if found is None:
            value = creation.full(tuple(variable.shape), start, dtype=variable.dtype)
            label = names().unique(f"{variable.name}/{self.name}/{name}")
            found = self.slots[id(variable), name] = session.Variable(value, False, label)
        return found

    def get_slot(self, var: Any, name: str) -> Any:
        return self.slots.get((id(var), name))

    def before(self) -> Sequence[Operation]:
        """What happens once for each step."""
        return ()

    def after(self) -> Sequence[Operation]:
        return ()

    @abstractmethod
    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        """The assignments of one variable."""


@final
class GradientDescentOptimizer(Optimizer):
    """v - rate * g"""

    def __init__(
        self, learning_rate: Any, use_locking: bool = False, name: str = "GradientDescent"
    ) -> None:
        super().__init__(learning_rate, name)

    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        return [session.assign(variable, variable - gradient * self.rate(variable))]


@final
class MomentumOptimizer(Optimizer):
    """m = momentum * m + g; v - rate * m, or with Nesterov v - rate * (g + momentum * m)"""

    def __init__(
        self,
        learning_rate: Any,
        momentum: Any,
        use_locking: bool = False,
        name: str = "Momentum",
        use_nesterov: bool = False,
    ) -> None:
        super().__init__(learning_rate, name)
        self.momentum = momentum
        self.nesterov = use_nesterov

    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        slot = self.slot(variable, "momentum", 0.0)
        speed = slot * self.momentum + gradient
        down = gradient + speed * self.momentum if self.nesterov else speed
        moved = variable - down * self.rate(variable)
        return [session.assign(slot, speed), session.assign(variable, moved)]


@final
class AdagradOptimizer(Optimizer):
    """s = s + g * g; v - rate * g / sqrt(s)   (Duchi et al. 2011)"""

    def __init__(
        self,
        learning_rate: Any,
        initial_accumulator_value: float = 0.1,
        use_locking: bool = False,
        name: str = "Adagrad",
    ) -> None:
        super().__init__(learning_rate, name)
        self.start = initial_accumulator_value

    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        slot = self.slot(variable, "accumulator", self.start)
        total = slot + gradient * gradient
        moved = variable - gradient * self.rate(variable) / elementwise.sqrt(total)
        return [session.assign(slot, total), session.assign(variable, moved)]


@final
class RMSPropOptimizer(Optimizer):
    """s = decay * s + (1 - decay) * g * g; m = momentum * m + rate * g / sqrt(s + epsilon); v - m

    With `centered` the mean of the gradients is taken from s, squared.
    """

    def __init__(
        self,
        learning_rate: Any,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        use_locking: bool = False,
        centered: bool = False,
        name: str = "RMSProp",
    ) -> None:
        super().__init__(learning_rate, name)
        self.decay, self.momentum, self.epsilon = decay, momentum, epsilon
        self.centered = centered

    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        squares = self.slot(variable, "rms", 1.0)
        slot = self.slot(variable, "momentum", 0.0)
        total = squares * self.decay + gradient * gradient * (1 - self.decay)
        made, spread = [session.assign(squares, total)], total
        if self.centered:
            mean = self.slot(variable, "mg", 0.0)
            center = mean * self.decay + gradient * (1 - self.decay)
            made.append(session.assign(mean, center))
            spread = total - center * center
        step = gradient * self.rate(variable) / elementwise.sqrt(spread + self.epsilon)
        speed = slot * self.momentum + step
        return [*made, session.assign(slot, speed), session.assign(variable, variable - speed)]


@final
class AdamOptimizer(Optimizer):
    """Kingma, Ba 2015, in the form of its section 2: v - rate_t * m / (sqrt(s) + epsilon), where
    rate_t = rate * sqrt(1 - beta2 ** t) / (1 - beta1 ** t).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        use_locking: bool = False,
        name: str = "Adam",
    ) -> None:
        super().__init__(learning_rate, name)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.powers: tuple[Any, Any] | None = None

    def before(self) -> Sequence[Operation]:
        if self.powers is None:
            self.powers = (
                Variable(self.beta1, False, name=f"{self.name}/beta1_power", dtype=float32),
                Variable(self.beta2, False, name=f"{self.name}/beta2_power", dtype=float32),
            )
        return ()

    def after(self) -> Sequence[Operation]:
        assert self.powers is not None
        first, second = self.powers
        return [
            session.assign(first, first * self.beta1),
            session.assign(second, second * self.beta2),
        ]

    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        assert self.powers is not None
        first, second = (cast(power, variable.dtype) for power in self.powers)
        mean = self.slot(variable, "m", 0.0)
        squares = self.slot(variable, "v", 0.0)
        rate = elementwise.sqrt(1 - second) / (1 - first) * self.rate(variable)
        m = mean * self.beta1 + gradient * (1 - self.beta1)
        s = squares * self.beta2 + gradient * gradient * (1 - self.beta2)
        moved = variable - m * rate / (elementwise.sqrt(s) + self.epsilon)
        return [
            session.assign(mean, m),
            session.assign(squares, s),
            session.assign(variable, moved),
        ]


@final
class AdadeltaOptimizer(Optimizer):
    """s = rho * s + (1 - rho) * g * g; d = g * sqrt(u + epsilon) / sqrt(s + epsilon);
    u = rho * u + (1 - rho) * d * d; v - rate * d   (Zeiler 2012, arXiv:1212.5701)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-8,
        use_locking: bool = False,
        name: str = "Adadelta",
    ) -> None:
        super().__init__(learning_rate, name)
        self.rho, self.epsilon = rho, epsilon

    def moves(self, gradient: Tensor, variable: Any) -> Sequence[Operation]:
        squares = self.slot(variable, "accum", 0.0)
        moved = self.slot(variable, "accum_update", 0.0)
        total = squares * self.rho + gradient * gradient * (1 - self.rho)
        root = elementwise.sqrt(moved + self.epsilon) / elementwise.sqrt(total + self.epsilon)
        step = gradient * root
        return [
            session.assign(squares, total),
            session.assign(moved, moved * self.rho + step * step * (1 - self.rho)),
            session.assign(variable, variable - step * self.rate(variable)),
        ]


# ---- the step -----------------------------------------------------------------------------------


def get_or_create_global_step(graph: Any = None) -> Any:
    """The variable that counts steps."""
    graph = session.current_graph("get_or_create_global_step")
    found = graph.get_collection(GLOBAL_STEP)
    if not found:
        made = Variable(creation.zeros((), dtype=int64), False, name=GLOBAL_STEP)
        graph.add_to_collection(GLOBAL_STEP, made)
        found = [made]
    return found[0]


global_step = get_or_create_global_step


def get_global_step(graph: Any = None) -> Any:
    """The variable that counts steps; None where there is none."""
    found = session.current_graph("get_global_step").get_collection(GLOBAL_STEP)
    return found[0] if found else None


@final
class ExponentialMovingAverage:
    """Shadows of variables, which at each run of `apply` become
    decay * shadow + (1 - decay) * variable.

    num_updates: a count of steps n, for which decay is (1 + n) / (10 + n) as long as that is less.
    """

    def __init__(
        self,
        decay: float,
        num_updates: Any = None,
        zero_debias: bool = False,
        name: str = "ExponentialMovingAverage",
    ) -> None:
        self.decay, self.num_updates, self.name = decay, num_updates, name
        self.shadows: dict[int, session.Variable] = {}

    def apply(self, var_list: Any = None) -> Operation:
        """The operation that moves the shadows, which it makes."""
        wanted = trainable_variables() if var_list is None else list(var_list)
        decay: Any = self.decay
        if self.num_updates is not None:
            count = cast(self.num_updates, float32)
            decay = compare.minimum((count + 1) / (count + 10), creation.tensor(decay))
        moves = []
        with no_grad():
            for variable in wanted:
                shadow = self.shadow(variable)
                moved = shadow - (shadow - variable) * (1 - decay)
                moves.append(session.assign(shadow, moved))
        return group(*moves, name=self.name)

    def shadow(self, variable: Any) -> session.Variable:
        found = self.shadows.get(id(variable))
        if found is None:
            label = self.average_name(variable)
            found = session.Variable(variable.initial_value, False, label)
            self.shadows[id(variable)] = found
        return found

    def average(self, var: Any) -> Any:
        """The shadow of a variable; None where it has none."""
        return self.shadows.get(id(var))

    def average_name(self, var: Any) -> str:
        return f"{var.name}/{self.name}"

    def variables_to_restore(self, moving_avg_variables: Any = None) -> dict[str, Any]:
        """Variables under the names of their shadows, for a Saver."""
        wanted = session.global_variables()
        shadows = set(map(id, self.shadows.values()))
        return {
            self.average_name(v) if id(v) in self.shadows else v.name: v
            for v in wanted
            if id(v) not in shadows
        }


# ---- checkpoints ---------------------------------------------------------------------------------


@final
class Saver:
    """Saves variables under their names, and loads them again: safetensors files, no pickle.

    var_list: variables, or a dict of them by name; all without it.
    """

    def __init__(self, var_list: Any = None, max_to_keep: int = 5, **_: Any) -> None:
        wanted = session.global_variables() if var_list is None else var_list
        if isinstance(wanted, dict):
            self.variables = dict(wanted)
        else:
            self.variables = {v.name: v for v in wanted}
        self.max_to_keep = max_to_keep
        self.saved: list[str] = []

    def save(
        self, sess: Any, save_path: str | os.PathLike[str], global_step: Any = None, **_: Any
    ) -> str:
        """The path of the file that was written: `save_path`, with the step behind it if given."""
        step = sess.run(global_step) if isinstance(global_step, Tensor) else global_step
        path = os.fspath(save_path) if step is None else f"{os.fspath(save_path)}-{int(step)}"
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save({name: np.array(v.array) for name, v in self.variables.items()}, Path(path))
        self.saved = [p for p in self.saved if p != path] + [path]
        while self.max_to_keep and len(self.saved) > self.max_to_keep:
            Path(self.saved.pop(0)).unlink(missing_ok=True)
        return path

    def restore(self, sess: Any, save_path: str | os.PathLike[str]) -> None:
        """Give the variables the values of a file. Raises StateError, and changes nothing, where
        one is missing or has another shape.
        """
        found = load(Path(save_path))
        for name, variable in self.variables.items():
            if name not in found:
                raise StateError("restore", f"the file has no {name!r}", path=save_path)
            if np.shape(found[name]) != tuple(variable.shape):
                raise StateError(
                    "restore",
                    f"{name!r} has another shape",
                    saved=list(np.shape(found[name])),
                    variable=list(variable.shape),
                )
        for name, variable in self.variables.items():
            variable.load(np.asarray(found[name]), sess)


def latest_checkpoint(checkpoint_dir: str, latest_filename: str | None = None) -> str | None:
    """The newest file of a folder."""
    files = [p for p in Path(checkpoint_dir).glob("*") if p.is_file()]
    return str(max(files, key=lambda p: p.stat().st_mtime)) if files else None
