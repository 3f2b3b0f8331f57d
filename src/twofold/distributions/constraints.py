"""What values parameters and samples may have. Floor 11."""

from __future__ import annotations

from typing import Any

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


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """lower <= value <= upper."""
    name = f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return _Check(name, lambda x: (x >= lower_bound) & (x <= upper_bound))


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


def _is_positive_definite(x: Any) -> Any:
    alike = ((x - x.mT).abs() < 1e-6).flatten(-2).all(-1)
    eigenvalues: Any = eigvalsh(x.detach())
    return alike & (eigenvalues > 0).all(-1)


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
