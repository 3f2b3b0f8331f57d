"""Distributions of angles. Floor 11."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.distributions import constraints
from twofold.distributions.continuous import size_of
from twofold.distributions.distribution import Centred, broadcast_all, lazy_property
from twofold.ops.bind import recording
from twofold.ops.compare import where
from twofold.ops.creation import zeros
from twofold.ops.more_special import i0e, i1e
from twofold.ops.random import rand
from twofold.ops.transcendental import acos


class VonMises(Centred):
    """Angles from -pi to pi around `loc`, closer where `concentration` is large; mean and variance
    are circular.
    """

    arg_constraints: ClassVar = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    _expanded = ("loc", "concentration")

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(size_of(self.loc), (), validate_args)

    @property
    def variance(self) -> Any:
        """The circular variance."""
        k = self.concentration
        return 1 - i1e(k) / i0e(k)  # type: ignore[operator]

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self.concentration
        scale: Any = i0e(k)
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - scale.log()

    @lazy_property
    def _proposal(self) -> Any:
        """r of the wrapped Cauchy density that stands above this one."""
        k = self.concentration.double()
        tau = 1 + (1 + 4 * k**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        return where(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))

    def sample(self, sample_shape: Any = ()) -> Any:
        """By rejection (Best and Fisher, 1979): new draws until all places have one."""
        with recording(False):
            shape = self._extended_shape(sample_shape)
            made = zeros(shape, dtype=self.loc.dtype)
            done: Any = zeros(shape, dtype=self.loc.dtype) > 0  # type: ignore[operator]
            k, r = self.concentration.double(), self._proposal
            while not bool(done.all()):
                u: Any = rand((3, *shape), dtype=k.dtype)
                z = (math.pi * u[0]).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                taken = (c * (2 - c) > u[1]) | ((c / u[1]).log() + 1 - c >= 0)
                angle: Any = (u[2] - 0.5).sign() * acos(f)
                made = where(done | ~taken, made, angle.to(made.dtype))
                done = done | taken
            return (made + math.pi + self.loc) % (2 * math.pi) - math.pi  # type: ignore[operator]
