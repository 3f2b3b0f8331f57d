"""What values parameters and samples may have. Floor 11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.base.limits import finfo
from twofold.ops.decompose import eigvalsh
from twofold.ops.joining import cat as join
from twofold.ops.joining import stack as pile
from twofold.ops.movement import expand
from twofold.ops.tensor import Tensor

__all__ = ["Constraint", "MixtureSameFamilyConstraint", "boolean", "cat", "corr_cholesky"]
__all__ += ["dependent", "dependent_property", "greater_than", "greater_than_eq"]
__all__ += ["half_open_interval", "independent", "integer_interval", "interval", "is_dependent"]
__all__ += ["less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative"]
__all__ += ["nonnegative_integer", "one_hot", "positive", "positive_definite"]
__all__ += ["positive_integer", "positive_semidefinite", "real", "real_vector", "simplex"]
__all__ += ["square", "stack", "symmetric", "unit_interval"]


class Constraint:
    """A region; `check` tells for each value (each event) whether it lies inside."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not define check")

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}()"

    def in_words(self, name: str) -> str:
        """The constraint on a value of this name, as a hint says it: "scale > 0.0"."""
        words = (type(self).__doc__ or repr(self)).partition("\n")[0].rstrip(".")
        for bound in ("lower", "upper"):
            words = words.replace(bound, str(getattr(self, f"{bound}_bound", bound)))
        return words.replace("value", name) if "value" in words else f"{name}: {words}"


class _Between(Constraint):
    """Values with a bound below, above, or both, which are shown."""

    lower_bound: Any = None
    upper_bound: Any = None

    def __repr__(self) -> str:
        bounds = [(n, getattr(self, n)) for n in ("lower_bound", "upper_bound")]
        shown = ", ".join(f"{name}={bound}" for name, bound in bounds if bound is not None)
        return f"{type(self).__name__.lstrip('_')}({shown})"


class _Above(_Between):
    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound


class _Below(_Between):
    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound


class _Both(_Between):
    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound


class _Interval(_Both):
    """lower <= value <= upper."""

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class _HalfOpenInterval(_Both):
    """lower <= value < upper."""

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class _IntegerInterval(_Both):
    """Whole numbers, lower <= value <= upper."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound) & (value <= self.upper_bound)


class _GreaterThan(_Above):
    """lower < value."""

    def check(self, value: Any) -> Any:
        return value > self.lower_bound


class _GreaterThanEq(_Above):
    """lower <= value."""

    def check(self, value: Any) -> Any:
        return value >= self.lower_bound


class _IntegerGreaterThan(_Above):
    """Whole numbers, lower <= value."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound)


class _LessThan(_Below):
    """value < upper."""

    def check(self, value: Any) -> Any:
        return value < self.upper_bound


class _Multinomial(Constraint):
    """Vectors of whole numbers that sum to `upper_bound` at most."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _IndependentConstraint(Constraint):
    """A constraint that each of an event's values must meet."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete

    def check(self, value: Any) -> Any:
        made: Any = self.base_constraint.check(value)
        count = self.reinterpreted_batch_ndims
        return made.flatten(-count).all(-1) if count else made

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """What a mixture's components may give; a value is looked at once for each of them."""

    def __init__(self, base_constraint: Constraint) -> None:
        self.base_constraint = base_constraint
        self.event_dim, self.is_discrete = base_constraint.event_dim, base_constraint.is_discrete

    def check(self, value: Any) -> Any:
        found: Any = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return found.all(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint})"


class _Real(Constraint):
    """Numbers, which NaN is not."""

    def check(self, value: Any) -> Any:
        return value == value


class _Boolean(Constraint):
    """0 or 1."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _Simplex(Constraint):
    """Vectors of numbers >= 0 that sum to 1."""

    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _OneHot(Constraint):
    """Vectors with one 1, and 0 elsewhere."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _LowerTriangular(Constraint):
    """Matrices with 0 above the diagonal."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        return (value.tril() == value).flatten(-2).all(-1)


class _LowerCholesky(_LowerTriangular):
    """Lower triangles with a positive diagonal."""

    def check(self, value: Any) -> Any:
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    """Those whose rows have length 1: factors of correlation matrices."""

    def check(self, value: Any) -> Any:
        near = finfo(value.dtype).eps * value.shape[-1] * 10
        lengths = (value * value).sum(-1).sqrt()
        return super().check(value) & ((lengths - 1).abs() < near).all(-1)


class _Square(Constraint):
    """Square matrices."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        lead = value.shape[:-2]
        return expand((value.new_zeros(()) == 0) == (value.shape[-2] == value.shape[-1]), lead)


class _Symmetric(_Square):
    """Symmetric matrices."""

    def check(self, value: Any) -> Any:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return ((value - value.mT).abs() < 1e-6).flatten(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    """Symmetric matrices whose eigenvalues are >= 0."""

    def check(self, value: Any) -> Any:
        eigenvalues: Any = eigvalsh(value.detach())
        return super().check(value) & (eigenvalues >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    """Symmetric matrices whose eigenvalues are > 0."""

    def check(self, value: Any) -> Any:
        eigenvalues: Any = eigvalsh(value.detach())
        return super().check(value) & (eigenvalues > 0).all(-1)


class _Cat(Constraint):
    """Constraints of parts of given lengths along an axis."""

    def __init__(
        self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
    ) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def check(self, value: Any) -> Any:
        parts = value.split(self.lengths, self.dim)
        return join([c.check(part) for c, part in zip(self.cseq, parts, strict=True)], self.dim)


class _Stack(Constraint):
    """A constraint for each place of an axis."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        inner = max(c.event_dim for c in self.cseq)
        self.event_dim = inner + 1 if inner + dim < 0 else inner

    def check(self, value: Any) -> Any:
        parts = value.unbind(self.dim)
        return pile([c.check(part) for c, part in zip(self.cseq, parts, strict=True)], self.dim)


class _Dependent(Constraint):
    """A region that depends on the distribution's parameters, and is told by its properties."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def check(self, value: Any) -> Tensor:
        raise ArgumentError("constraint", "it depends on parameters, which are not known here")

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> _Dependent:
        return _Dependent(is_discrete=is_discrete, event_dim=event_dim)


class dependent_property(property, _Dependent):
    """A property of a distribution's class that gives a region; a decorator, with or without
    options.
    """

    def __init__(self, fn: Any = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        super().__init__(fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn: Any) -> dependent_property:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on other parameters."""
    return isinstance(constraint, _Dependent)


interval, half_open_interval, integer_interval = _Interval, _HalfOpenInterval, _IntegerInterval
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
multinomial, independent, cat, stack = _Multinomial, _IndependentConstraint, _Cat, _Stack
dependent = _Dependent()
real = _Real()
real_vector = independent(real, 1)
boolean = _Boolean()
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
nonnegative_integer = _IntegerGreaterThan(0)
positive_integer = _IntegerGreaterThan(1)
simplex = _Simplex()
one_hot = _OneHot()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
