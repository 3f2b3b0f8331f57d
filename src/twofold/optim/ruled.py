"""Optimizers that are one rule: a kernel over all parameters at the same step. Floor 11."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor
from twofold.optim.fused import Advance, update_all
from twofold.optim.optimizer import Group, Optimizer


class RuleOptimizer(Optimizer):
    """An optimizer whose update is a rule of lower/optim_rules.py.

    Subclasses are final; they name the rule, and tell a group's slots and how a state begins.
    """

    rule = ""

    def slots_of(self, group: Group) -> tuple[str, ...]:
        """The tensors of a parameter's state, in the order of the rule's slots."""
        raise TypeError(f"{type(self).__name__} does not define slots_of")

    def begin(self, group: Group) -> dict[str, Any]:
        """The numbers of a state, before its first step."""
        return {"step": 0}

    def first(self, slot: str, group: Group) -> float:
        """What a slot is filled with."""
        return 0.0

    def state_for(self, x: Tensor, group: Group) -> dict[str, Any]:
        """A parameter's state, made where there is none."""
        return self._state(x, group, self.slots_of(group))

    def _state(self, x: Tensor, group: Group, slots: tuple[str, ...]) -> dict[str, Any]:
        state = self.state.get(x)
        if state is None:
            state = self.state[x] = self.begin(group)
        for slot in slots:
            if slot not in state:
                value: complex = self.first(slot, group)
                if x.dtype.is_complex:  # each part has its own
                    value = complex(value, value)
                state[slot] = self.filled(x.array.shape, value, x.array.dtype)
        return state

    def update(self, group: Group, params: list[Tensor]) -> None:
        slots = self.slots_of(group)
        by_numbers: dict[tuple[Any, ...], list[tuple[Tensor, dict[str, Any]]]] = {}
        for x in params:
            state = self._state(x, group, slots)
            numbers = tuple([v for v in state.values() if not isinstance(v, Tensor)])
            by_numbers.setdefault(numbers, []).append((x, state))
        for alike in by_numbers.values():
            rows = [[x, x.grad, *[state[s] for s in slots]] for x, state in alike]
            update_all(self.rule, rows, Advance(group, [state for _, state in alike]))


def pair_of(op: str, name: str, pair: Any) -> tuple[float, float]:
    """The two numbers of an option such as betas. Raises ArgumentError for anything else."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ArgumentError(op, f"{name} = {pair!r}", hint=f"two numbers: {name}=(0.9, 0.999)")
    return pair[0], pair[1]
