"""Distributions with samples, log-probabilities, entropies and divergences. Floor 11."""

from twofold.base.files import also_as as _also_as
from twofold.distributions import constraints as constraints
from twofold.distributions import transforms as transforms
from twofold.distributions import utils as utils
from twofold.distributions.circular import VonMises as VonMises
from twofold.distributions.constraint_registry import biject_to as biject_to
from twofold.distributions.constraint_registry import transform_to as transform_to
from twofold.distributions.continuous import Cauchy as Cauchy
from twofold.distributions.continuous import Exponential as Exponential
from twofold.distributions.continuous import Gumbel as Gumbel
from twofold.distributions.continuous import HalfCauchy as HalfCauchy
from twofold.distributions.continuous import HalfNormal as HalfNormal
from twofold.distributions.continuous import Laplace as Laplace
from twofold.distributions.continuous import Normal as Normal
from twofold.distributions.continuous import Uniform as Uniform
from twofold.distributions.discrete import Bernoulli as Bernoulli
from twofold.distributions.discrete import Binomial as Binomial
from twofold.distributions.discrete import Categorical as Categorical
from twofold.distributions.discrete import Geometric as Geometric
from twofold.distributions.discrete import Multinomial as Multinomial
from twofold.distributions.discrete import NegativeBinomial as NegativeBinomial
from twofold.distributions.discrete import OneHotCategorical as OneHotCategorical
from twofold.distributions.discrete import (
    OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough,
)
from twofold.distributions.discrete import Poisson as Poisson
from twofold.distributions.distribution import Distribution as Distribution
from twofold.distributions.distribution import ExponentialFamily as ExponentialFamily
from twofold.distributions.gamma import Beta as Beta
from twofold.distributions.gamma import Chi2 as Chi2
from twofold.distributions.gamma import Dirichlet as Dirichlet
from twofold.distributions.gamma import FisherSnedecor as FisherSnedecor
from twofold.distributions.gamma import Gamma as Gamma
from twofold.distributions.gamma import StudentT as StudentT
from twofold.distributions.kl import kl_divergence as kl_divergence
from twofold.distributions.kl import register_kl as register_kl
from twofold.distributions.matrices import LKJCholesky as LKJCholesky
from twofold.distributions.matrices import Wishart as Wishart
from twofold.distributions.mixture import MixtureSameFamily as MixtureSameFamily
from twofold.distributions.multivariate import Independent as Independent
from twofold.distributions.multivariate import (
    LowRankMultivariateNormal as LowRankMultivariateNormal,
)
from twofold.distributions.multivariate import MultivariateNormal as MultivariateNormal
from twofold.distributions.pareto import GeneralizedPareto as GeneralizedPareto
from twofold.distributions.relaxed import ContinuousBernoulli as ContinuousBernoulli
from twofold.distributions.relaxed import RelaxedBernoulli as RelaxedBernoulli
from twofold.distributions.relaxed import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from twofold.distributions.transformed import InverseGamma as InverseGamma
from twofold.distributions.transformed import Kumaraswamy as Kumaraswamy
from twofold.distributions.transformed import LogisticNormal as LogisticNormal
from twofold.distributions.transformed import LogNormal as LogNormal
from twofold.distributions.transformed import Pareto as Pareto
from twofold.distributions.transformed import TransformedDistribution as TransformedDistribution
from twofold.distributions.transformed import Weibull as Weibull
from twofold.distributions.transforms import *
from twofold.exec import tensors as _tensors

# The files in which PyTorch has them, for programs that import by their names.
_also_as(
    __name__,
    "bernoulli beta binomial categorical cauchy chi2 continuous_bernoulli dirichlet exp_family "
    "exponential fishersnedecor geometric gumbel half_cauchy half_normal independent inverse_gamma "
    "generalized_pareto kumaraswamy laplace lkj_cholesky wishart "
    "log_normal logistic_normal lowrank_multivariate_normal "
    "mixture_same_family multivariate_normal negative_binomial normal one_hot_categorical pareto "
    "poisson relaxed_bernoulli relaxed_categorical studentT transformed_distribution uniform "
    "von_mises weibull",
)

_tensors.cover()
