"""Distributions of matrices: Wishart, and factors of correlation matrices. Floor 11."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from twofold.base.errors import ArgumentError, ShapeError
from twofold.distributions import constraints
from twofold.distributions.distribution import (
    Distribution,
    ExponentialFamily,
    broadcast_all,
    lazy_property,
)
from twofold.distributions.gamma import Beta, Chi2
from twofold.distributions.multivariate import MultivariateNormal
from twofold.ops.bind import recording
from twofold.ops.compare import where
from twofold.ops.creation import arange
from twofold.ops.more_special import multigammaln
from twofold.ops.random import randn
from twofold.ops.solve import slogdet, solve_triangular
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import digamma

GIVEN = ("covariance_matrix", "precision_matrix", "scale_tril")


class LKJCholesky(Distribution):
    """Cholesky factors f[dim, dim] of correlation matrices, whose density is in proportion to
    det ^ (concentration - 1) (Lewandowski, Kurowicka, Joe 2009); concentration 1 is uniform.
    """

    arg_constraints: ClassVar = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ArgumentError("LKJCholesky", f"dim = {dim}", hint="2 or more")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        wide = self.concentration.expand(*batch_shape)
        return LKJCholesky(self.dim, wide, validate_args=False)

    @lazy_property
    def _squares(self) -> Beta:
        """How much of each row's length lies before the diagonal (the onion method, 3.2)."""
        before: Any = (arange(self.dim, dtype=self.concentration.dtype) - 1).clamp(min=0)  # type: ignore[operator, attr-defined]
        rest = (self.concentration + 0.5 * (self.dim - 2)).unsqueeze(-1) - 0.5 * before
        return Beta((0.5 * before + 0.5).expand(*rest.shape), rest, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        with recording(False):
            square: Any = self._squares.sample(sample_shape).unsqueeze(-1)
            noise: Any = randn(self._extended_shape(sample_shape), dtype=square.dtype)
            noise = noise.tril(-1)
            length = (noise * noise).sum(-1, keepdim=True).sqrt()
            rows = square.sqrt() * noise / where(length > 0, length, 1.0)
            tiny = 1e-38 if rows.dtype.itemsize < 8 else 1e-300
            last = (1 - (rows * rows).sum(-1)).clamp(min=tiny).sqrt()
            return rows + last.diag_embed()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        c, n = self.concentration, self.dim
        order: Any = arange(2, n + 1, dtype=c.dtype)
        powers = 2 * (c - 1).unsqueeze(-1) + n - order
        density = (powers * value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()).sum(-1)
        alpha = c + 0.5 * (n - 1)
        scale = multigammaln(alpha - 0.5, n - 1) - alpha.lgamma() * (n - 1)
        return density - (0.5 * (n - 1) * math.log(math.pi) + scale)


class Wishart(ExponentialFamily):
    """Positive definite matrices f[n, n]: sums of x x^T over df normal vectors x of a covariance.

    df > n - 1, and one of covariance_matrix, precision_matrix and scale_tril. Samples are by
    Bartlett's decomposition.
    """

    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        named = zip(GIVEN, (covariance_matrix, precision_matrix, scale_tril), strict=True)
        given = {name: value for name, value in named if value is not None}
        if len(given) != 1:
            hint = " or ".join(GIVEN)
            raise ArgumentError("Wishart", f"{len(given)} matrices are given", hint=hint)
        (matrix,) = given.values()
        if matrix.ndim < 2:
            raise ShapeError("Wishart", "a matrix is wanted", matrix=type_of(matrix))
        n = matrix.shape[-1]
        df = df if isinstance(df, Tensor) else matrix.new_full((), df)
        if bool((df <= n - 1).any()):
            raise ArgumentError("Wishart", f"df = {df}", hint=f"df > {n - 1}")
        if bool((df < n).any()):
            message = f"Wishart: samples are singular where df is below {n}"
            warnings.warn(message, stacklevel=2)
        # The matrix is given as a normal distribution takes it.
        zero = matrix.new_zeros(n)
        self._normal = MultivariateNormal(zero, **given, validate_args=validate_args)
        (self._given,) = given
        lead = (self._normal.loc[..., 0] + df).shape
        self._normal = self._normal.expand(lead)
        self.df = df.expand(*lead)
        super().__init__(lead, (n, n), validate_args)

    @property
    def arg_constraints(self) -> Any:  # type: ignore[override]
        least = constraints.greater_than(self.event_shape[-1] - 1)
        matrices = dict.fromkeys(GIVEN[:2], constraints.positive_definite)
        return {**matrices, "scale_tril": constraints.lower_cholesky, "df": least}

    def _expand(self, batch_shape: Any) -> Any:
        matrix = getattr(self, self._given).expand(*batch_shape, *self.event_shape)
        df = self.df.expand(*batch_shape)
        return Wishart(df, **{self._given: matrix}, validate_args=False)

    @property
    def scale_tril(self) -> Any:
        return self._normal.scale_tril

    @property
    def covariance_matrix(self) -> Any:
        return self._normal.covariance_matrix

    @property
    def precision_matrix(self) -> Any:
        return self._normal.precision_matrix

    @property
    def mean(self) -> Any:
        return self._over(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self.event_shape[-1] - 1
        return self._over(where(factor > 0, factor, math.nan)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self._over(self.df) * (v**2 + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _over(self, x: Any) -> Any:
        return x.unsqueeze(-1).unsqueeze(-1)

    def rsample(self, sample_shape: Any = ()) -> Any:
        n = self.event_shape[-1]
        freedom = self.df.unsqueeze(-1) - arange(n, dtype=self.df.dtype)
        lengths: Any = Chi2(freedom, validate_args=False).rsample(sample_shape)
        noise: Any = randn(self._extended_shape(sample_shape), dtype=self.df.dtype)
        tiny = 1e-38 if self.df.dtype.itemsize < 8 else 1e-300
        lower = noise.tril(-1) + lengths.clamp(min=tiny).sqrt().diag_embed()
        made = self.scale_tril @ lower
        return made @ made.mT

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        nu, n = self.df, self.event_shape[-1]
        det: Any = slogdet(value)[1]
        half: Any = solve_triangular(self.scale_tril, value, upper=False)
        square: Any = solve_triangular(self.scale_tril, half.mT, upper=False)
        trace = square.diagonal(dim1=-2, dim2=-1).sum(-1)
        scale = nu * (0.5 * n * math.log(2.0) + self._half_log_det()) + multigammaln(nu / 2, n)
        return 0.5 * (nu - n - 1) * det - 0.5 * trace - scale

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def entropy(self) -> Any:
        nu, n = self.df, self.event_shape[-1]
        size = (n + 1) * (0.5 * n * math.log(2.0) + self._half_log_det())
        away = 0.5 * (nu - n - 1) * digammas(nu / 2, n)
        return size + multigammaln(nu / 2, n) - away + 0.5 * nu * n


def digammas(x: Any, n: int) -> Any:
    """The slope of multigammaln(x, n)."""
    shifted: Any = x.unsqueeze(-1) - 0.5 * arange(n, dtype=x.dtype)  # type: ignore[operator]
    made: Any = digamma(shifted)
    return made.sum(-1)


def kl_wisharts(p: Any, q: Any) -> Any:
    """The divergence of one Wishart distribution from another of the same size."""
    n = p.event_shape[-1]
    half: Any = solve_triangular(q.scale_tril, p.scale_tril, upper=False)
    trace = (half**2).sum((-2, -1))
    dets = q._half_log_det() - p._half_log_det()
    scales = multigammaln(q.df / 2, n) - multigammaln(p.df / 2, n)  # type: ignore[operator]
    away = 0.5 * (p.df - q.df) * digammas(p.df / 2, n)
    return q.df * dets + 0.5 * p.df * (trace - n) + scales + away
