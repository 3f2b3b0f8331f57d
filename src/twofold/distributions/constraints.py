"""What values parameters and samples may have. Floor 11."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ArgumentError
from twofold.base.limits import finfo
from twofold.ops.decompose import eigvalsh
from twofold.ops.tensor import Tensor


class Constraint:
    """A region; `check` tells for each value (each event) whether it lies inside."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not define check")

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}()"


class _Check(Constraint):
    """A region given by a function of values."""

    def __init__(
        self, name: str, function: Any, event_dim: int = 0, discrete: bool = False
    ) -> None:
        self.name, self.function = name, function
        self.event_dim, self.is_discrete = event_dim, discrete

    def check(self, value: Any) -> Tensor:
        return self.function(value)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return self.name


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
    return isinstance(constraint, _Dependent)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """lower <= value <= upper."""
    name = f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return _Check(name, lambda x: (x >= lower_bound) & (x <= upper_bound))


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """lower <= value < upper."""
    name = f"HalfOpenInterval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return _Check(name, lambda x: (x >= lower_bound) & (x < upper_bound))


def greater_than(lower_bound: Any) -> Constraint:
    name = f"GreaterThan(lower_bound={lower_bound})"
    return _Check(name, lambda x: x > lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    name = f"GreaterThanEq(lower_bound={lower_bound})"
    return _Check(name, lambda x: x >= lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    return _Check(f"LessThan(upper_bound={upper_bound})", lambda x: x < upper_bound)


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers, lower <= value <= upper."""
    name = f"IntegerInterval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return _Check(
        name,
        lambda x: (x % 1 == 0) & (x >= lower_bound) & (x <= upper_bound),
        discrete=True,
    )


def multinomial(upper_bound: int) -> Constraint:
    """Vectors of whole numbers that sum to `upper_bound` at most."""
    return _Check(
        f"Multinomial(upper_bound={upper_bound})",
        lambda x: (x >= 0).all(-1) & (x.sum(-1) <= upper_bound),
        1,
        True,
    )


class _Independent(Constraint):
    """A constraint that each of an event's values must meet."""

    def __init__(self, base: Constraint, count: int) -> None:
        self.base, self.count = base, count
        self.event_dim, self.is_discrete = base.event_dim + count, base.is_discrete

    def check(self, value: Any) -> Tensor:
        made: Any = self.base.check(value)
        return made.flatten(-self.count).all(-1) if self.count else made  # type: ignore[no-any-return]


def independent(base_constraint: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    return _Independent(base_constraint, reinterpreted_batch_ndims)


def _on_simplex(x: Any) -> Any:
    return (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6)


def _is_one_hot(x: Any) -> Any:
    return ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1)


def _is_lower(x: Any) -> Any:
    return (x.tril() == x).flatten(-2).all(-1)


def _is_lower_cholesky(x: Any) -> Any:
    return _is_lower(x) & (x.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


def _is_symmetric(x: Any) -> Any:
    return ((x - x.mT).abs() < 1e-6).flatten(-2).all(-1)


def _is_positive_definite(x: Any) -> Any:
    eigenvalues: Any = eigvalsh(x.detach())
    return _is_symmetric(x) & (eigenvalues > 0).all(-1)


def _is_positive_semidefinite(x: Any) -> Any:
    eigenvalues: Any = eigvalsh(x.detach())
    return _is_symmetric(x) & (eigenvalues >= 0).all(-1)


def _is_corr_cholesky(x: Any) -> Any:
    lengths = x.square().sum(-1).sqrt()
    tolerance = finfo(x.dtype).eps * x.shape[-1] * 10
    return _is_lower_cholesky(x) & ((lengths - 1).abs() < tolerance).all(-1)


dependent = _Dependent()
real = _Check("Real()", lambda x: x == x)
real_vector = independent(real, 1)
boolean = _Check("Boolean()", lambda x: (x == 0) | (x == 1), discrete=True)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
nonnegative_integer = _Check(
    "IntegerGreaterThan(lower_bound=0)", lambda x: (x % 1 == 0) & (x >= 0), discrete=True
)
positive_integer = _Check(
    "IntegerGreaterThan(lower_bound=1)", lambda x: (x % 1 == 0) & (x >= 1), discrete=True
)
simplex = _Check("Simplex()", _on_simplex, 1)
one_hot = _Check("OneHot()", _is_one_hot, 1, True)
lower_triangular = _Check("LowerTriangular()", _is_lower, 2)
lower_cholesky = _Check("LowerCholesky()", _is_lower_cholesky, 2)
positive_definite = _Check("PositiveDefinite()", _is_positive_definite, 2)
positive_semidefinite = _Check("PositiveSemidefinite()", _is_positive_semidefinite, 2)
symmetric = _Check("Symmetric()", _is_symmetric, 2)
corr_cholesky = _Check("CorrCholesky()", _is_corr_cholesky, 2)
