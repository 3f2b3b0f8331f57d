"""From constraints to transforms that lead there from all real numbers. Floor 11.

`biject_to(c)` is one to one; `transform_to(c)` may be simpler, and is for optimisation.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, final

from twofold.distributions import constraints, transforms
from twofold.distributions.constraints import Constraint
from twofold.distributions.distribution import Missing

Rule = Callable[[Any], transforms.Transform]

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


@final
class ConstraintRegistry:
    """A table from classes of constraints to functions that make transforms."""

    def __init__(self) -> None:
        self._registry: dict[type, Rule] = {}

    def register(self, constraint: Any, factory: Rule | None = None) -> Any:
        """Enter a function of a constraint's class (or an instance's); a decorator without it."""
        if factory is None:
            return lambda function: self.register(constraint, function)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(kind, Constraint):
            raise TypeError(f"{constraint!r} is no constraint, nor a class of them")
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> transforms.Transform:
        """A transform from all real numbers to the constraint. Raises Missing without a rule."""
        rule = self._registry.get(type(constraint))
        if rule is None:
            hint = "register a function for its class"
            raise Missing("transform_to", f"{constraint!r} has no transform", hint=hint)
        return rule(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _for_both(*kinds: Any) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        for kind in kinds:
            biject_to.register(kind, rule)
            transform_to.register(kind, rule)
        return rule

    return enter


@_for_both(constraints.real)
def _real(constraint: Any) -> transforms.Transform:
    return transforms.identity_transform


@_for_both(constraints.greater_than, constraints.greater_than_eq)
def _above(constraint: Any) -> transforms.Transform:
    shift = transforms.AffineTransform(constraint.lower_bound, 1)
    return transforms.ComposeTransform([transforms.ExpTransform(), shift])


@_for_both(constraints.less_than)
def _below(constraint: Any) -> transforms.Transform:
    turn = transforms.AffineTransform(constraint.upper_bound, -1)
    return transforms.ComposeTransform([transforms.ExpTransform(), turn])


@_for_both(constraints.interval, constraints.half_open_interval)
def _between(constraint: Any) -> transforms.Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if _is(low, 0) and _is(high, 1):
        return transforms.SigmoidTransform()
    shift = transforms.AffineTransform(low, high - low)
    return transforms.ComposeTransform([transforms.SigmoidTransform(), shift])


@_for_both(constraints.corr_cholesky)
def _correlations(constraint: Any) -> transforms.Transform:
    return transforms.CorrCholeskyTransform()


def _is(bound: Any, value: float) -> bool:
    return isinstance(bound, numbers.Number) and bool(bound == value)  # type: ignore[comparison-overlap]


def _nested(registry: ConstraintRegistry) -> None:
    """Rules of constraints that are made of others, which the same table transforms."""

    def independent(constraint: Any) -> transforms.Transform:
        inner = registry(constraint.base_constraint)
        return transforms.IndependentTransform(inner, constraint.reinterpreted_batch_ndims)

    def cat(constraint: Any) -> transforms.Transform:
        parts = [registry(c) for c in constraint.cseq]
        return transforms.CatTransform(parts, constraint.dim, constraint.lengths)

    def stack(constraint: Any) -> transforms.Transform:
        return transforms.StackTransform([registry(c) for c in constraint.cseq], constraint.dim)

    registry.register(constraints.independent, independent)
    registry.register(constraints.cat, cat)
    registry.register(constraints.stack, stack)


_nested(biject_to)
_nested(transform_to)
biject_to.register(constraints.simplex, lambda c: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: transforms.SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda c: transforms.LowerCholeskyTransform())
for _kind in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_kind, lambda c: transforms.PositiveDefiniteTransform())
