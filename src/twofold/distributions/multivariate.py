"""Distributions of vectors: the multivariate normal, and independent events taken as one.
Floor 11.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.base.errors import ArgumentError, ShapeError
from twofold.distributions import constraints
from twofold.distributions.distribution import Centred, Distribution, lazy_property
from twofold.ops.creation import eye
from twofold.ops.decompose import cholesky
from twofold.ops.random import randn
from twofold.ops.solve import solve_triangular
from twofold.ops.tensor import Size, type_of


def _through(scale: Any, x: Any) -> Any:
    """Matrices f[..., n, n] times vectors f[..., n]."""
    return (scale @ x.unsqueeze(-1)).squeeze(-1)


class MultivariateNormal(Centred):
    """Normal vectors of mean `loc` f[..., n], by a covariance, a precision, or a lower triangle
    scale_tril with scale_tril scale_tril^T = covariance.
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        kept = {name: value for name, value in given.items() if value is not None}
        if len(kept) != 1:
            problem = "one of covariance_matrix, precision_matrix and scale_tril is wanted"
            raise ArgumentError("MultivariateNormal", problem)
        ((name, matrix),) = kept.items()
        if loc.ndim < 1 or matrix.ndim < 2 or matrix.shape[-1] != loc.shape[-1]:
            facts = {"loc": type_of(loc), name: type_of(matrix)}
            raise ShapeError("MultivariateNormal", "a vector and a matrix are wanted", **facts)  # type: ignore[arg-type]
        n = loc.shape[-1]
        lead = _broadcast(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(*lead, n)
        self._given = name
        self.__dict__[name] = matrix.expand(*lead, n, n)
        super().__init__(lead, (n,), validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        n = self.event_shape[0]
        matrix = self.__dict__[self._given].expand(*batch_shape, n, n)
        loc = self.loc.expand(*batch_shape, n)
        return MultivariateNormal(loc, **{self._given: matrix}, validate_args=False)

    @lazy_property
    def scale_tril(self) -> Any:
        if self._given == "covariance_matrix":
            return cholesky(self.covariance_matrix)
        # the factor of the precision from the other end, turned round and inverted
        turned: Any = cholesky(self.precision_matrix.flip(-2, -1))
        upper = turned.flip(-2, -1).transpose(-2, -1)
        return solve_triangular(upper, eye(upper.shape[-1], dtype=upper.dtype), upper=False)

    @lazy_property
    def covariance_matrix(self) -> Any:
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Any:
        n = self.event_shape[0]
        lower: Any = solve_triangular(self.scale_tril, eye(n, dtype=self.loc.dtype), upper=False)
        return lower.mT @ lower

    @property
    def variance(self) -> Any:
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + _through(self.scale_tril, noise)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = (value - self.loc).unsqueeze(-1)
        small: Any = solve_triangular(self.scale_tril, away, upper=False)
        square = (small**2).sum((-2, -1))
        n = self.event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + square) - self._half_log_det()

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def entropy(self) -> Any:
        n = self.event_shape[0]
        return 0.5 * n * (1.0 + math.log(2 * math.pi)) + self._half_log_det()


class LowRankMultivariateNormal(Centred):
    """Normal vectors f[..., n] of covariance W W^T + diag(d), for few columns of W f[..., n, k].

    Densities and samples take the factors alone (by the identities of Woodbury and Sylvester), and
    never a matrix n x n.
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _expanded = ("loc", "cov_factor", "cov_diag")

    def __init__(
        self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None
    ) -> None:
        n = loc.shape[-1] if loc.ndim else 0
        if cov_factor.ndim < 2 or cov_factor.shape[-2] != n or tuple(cov_diag.shape[-1:]) != (n,):
            facts = {"loc": loc, "cov_factor": cov_factor, "cov_diag": cov_diag}
            problem = "vectors f[n], f[n] and a matrix f[n, k] are wanted"
            given = {name: type_of(value) for name, value in facts.items()}
            raise ShapeError("LowRankMultivariateNormal", problem, **given)  # type: ignore[arg-type]
        lead = _broadcast(cov_factor.shape[:-2], _broadcast(loc.shape[:-1], cov_diag.shape[:-1]))
        self.loc = loc.expand(*lead, n)
        self.cov_factor = cov_factor.expand(*lead, *cov_factor.shape[-2:])
        self.cov_diag = cov_diag.expand(*lead, n)
        super().__init__(lead, (n,), validate_args)

    @lazy_property
    def variance(self) -> Any:
        return (self.cov_factor**2).sum(-1) + self.cov_diag

    @lazy_property
    def covariance_matrix(self) -> Any:
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy_property
    def precision_matrix(self) -> Any:
        over = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        small: Any = solve_triangular(self._small, over, upper=False)
        return (1 / self.cov_diag).diag_embed() - small.mT @ small

    @lazy_property
    def scale_tril(self) -> Any:
        return cholesky(self.covariance_matrix)

    @lazy_property
    def _small(self) -> Any:
        """The factor of 1 + W^T diag(d)^-1 W, f[..., k, k]."""
        w = self.cov_factor
        inner = (w.mT / self.cov_diag.unsqueeze(-2)) @ w
        return cholesky(inner + eye(w.shape[-1], dtype=w.dtype))

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        few = randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        many = randn(shape, dtype=self.loc.dtype)
        return self.loc + _through(self.cov_factor, few) + self.cov_diag.sqrt() * many

    def _half_log_det(self) -> Any:
        small = self._small.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return small + 0.5 * self.cov_diag.log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = value - self.loc
        over = away / self.cov_diag
        inner: Any = _through(self.cov_factor.mT, over).unsqueeze(-1)
        small: Any = solve_triangular(self._small, inner, upper=False)
        square = (away * over).sum(-1) - (small**2).sum((-2, -1))
        n = self.event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + square) - self._half_log_det()

    def entropy(self) -> Any:
        n = self.event_shape[0]
        return 0.5 * n * (1.0 + math.log(2 * math.pi)) + self._half_log_det()


def _broadcast(a: Any, b: Any) -> Size:
    made = [1] * max(len(a), len(b))
    for shape in (a, b):
        for back, n in enumerate(reversed(tuple(shape)), 1):
            if made[-back] != 1 and n not in (1, made[-back]):
                raise ShapeError("broadcast", f"{list(a)} and {list(b)} do not broadcast")
            made[-back] = n if made[-back] == 1 else made[-back]
    return Size(made)


class Independent(Distribution):
    """The last `reinterpreted_batch_ndims` axes of a batch taken as one event."""

    arg_constraints: ClassVar = {}

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        shape = base_distribution.batch_shape
        count = reinterpreted_batch_ndims
        if count > len(shape):
            problem = f"{count} axes of a batch of shape {list(shape)}"
            raise ArgumentError("Independent", problem, hint=f"at most {len(shape)}")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, count
        whole = (*shape, *base_distribution.event_shape)
        cut = len(shape) - count
        super().__init__(whole[:cut], whole[cut:], validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:
        count = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_dist.support, count)

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def _expand(self, batch_shape: Any) -> Any:
        count = self.reinterpreted_batch_ndims
        base = self.base_dist.expand((*batch_shape, *self.event_shape[:count]))
        return Independent(base, count, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def _summed(self, x: Any) -> Any:
        count = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-count, 0))) if count else x

    def log_prob(self, value: Any) -> Any:
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Any:
        return self._summed(self.base_dist.entropy())

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
