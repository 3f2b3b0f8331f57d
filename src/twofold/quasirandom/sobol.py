"""Sobol sequences: points in a cube whose first 2 ** m fill it evenly (Sobol 1967). Floor 9.

Number i of a sequence is the exclusive or of those direction numbers whose bit is set in i's Gray
code, so that each point is one exclusive or away from the one before (Antonov, Saleev 1979).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError
from twofold.ops.elementwise import cast, mul
from twofold.ops.generators import Generator
from twofold.ops.random import randint
from twofold.ops.rules import deliver
from twofold.ops.tensor import Tensor, wrap

BITS = 30
DIMENSIONS = 1111


def directions(dimension: int) -> Any:
    """The direction numbers i64[dimension, BITS], as fractions of 2 ** BITS.

    The first dimension is van der Corput's sequence; the others follow their recurrences from the
    numbers of Joe and Kuo (2008), which stand in directions.txt.
    """
    made = np.ones((dimension, BITS), np.int64)
    with open(Path(__file__).parent / "directions.txt") as lines:
        rows = [line for line in lines if line[0] != "#"]
    for place in range(1, dimension):
        _, degree, inner, *first = map(int, rows[place - 1].split())
        row = made[place]
        row[:degree] = first
        for j in range(degree, BITS):
            row[j] = row[j - degree] ^ (row[j - degree] << degree)
            for k in range(1, degree):
                if inner >> (degree - 1 - k) & 1:
                    row[j] ^= row[j - k] << k
    return made << np.arange(BITS - 1, -1, -1)


@final
class SobolEngine:
    """Draws the points of a Sobol sequence one after the other, each f[dimension] in [0, 1).

    `scramble` multiplies their binary digits by random triangular matrices and shifts them
    (Matousek 1998), by `seed` or else by the random numbers of the program. Raises ArgumentError
    for more dimensions than MAXDIM.

    >>> SobolEngine(2).draw(3)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500]])
    """

    MAXBIT = BITS
    MAXDIM = DIMENSIONS

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if not 1 <= dimension <= self.MAXDIM:
            hint = f"1 to {self.MAXDIM} dimensions"
            raise ArgumentError("SobolEngine", f"{dimension} dimensions", hint=hint)
        self.seed, self.scramble, self.dimension = seed, scramble, dimension
        numbers = directions(dimension)
        shift = np.zeros(dimension, np.int64)
        if scramble:
            numbers, shift = _scrambled(numbers, seed)
        self.sobolstate, self.shift = wrap(numbers), wrap(shift)
        self.reset()

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """The next n points, f[n, dimension]. Raises ArgumentError behind the last one."""
        wanted = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
        if not wanted.is_floating_point:
            raise DTypeError("draw", f"points are not {wanted.name}", hint="float32, float64")
        wide = dtypes.float64 if wanted is dtypes.float64 else dtypes.float32
        made = cast(mul(cast(wrap(self._next(n)), wide), 2.0**-BITS), wanted)
        return made if out is None else deliver(made, out, "draw")

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """The next 2 ** m points, after which as many as a power of 2 must have been drawn."""
        total = self.num_generated + 2**m
        if total & (total - 1):
            problem = f"{self.num_generated} points and 2 ** {m} are not a power of 2 together"
            raise ArgumentError("draw_base2", problem, hint="draw(n)")
        return self.draw(2**m, out, dtype)

    def reset(self) -> SobolEngine:
        """Back to the first point."""
        self.quasi = wrap(self.shift.array.copy())
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave out the next n points."""
        self._check(n)
        if n:
            last = self.num_generated + n - 1
            gray = last ^ (last >> 1)
            chosen = [bit for bit in range(BITS) if gray >> bit & 1]
            steps = np.bitwise_xor.reduce(self.sobolstate.array[:, chosen], 1)
            self.quasi = wrap(self.shift.array ^ steps)
        self.num_generated += n
        return self

    def _next(self, n: int) -> Any:
        """The next n points as fractions of 2 ** BITS, i64[n, dimension]."""
        self._check(n)
        first = self.num_generated
        places = np.arange(first, first + n)
        steps = self.sobolstate.array.T[_zeros(places)]
        if n and not first:
            steps[0] = 0
        if n:
            steps[0] ^= self.quasi.array
            np.bitwise_xor.accumulate(steps, 0, out=steps)
            self.quasi = wrap(steps[-1].copy())
        self.num_generated += n
        return steps

    def _check(self, n: int) -> None:
        last = self.num_generated + n
        if n < 0 or last > 2**BITS:
            hint = f"0 to {2**BITS - self.num_generated} points, or reset()"
            raise ArgumentError("SobolEngine", f"{n} points are not there", hint=hint)

    def __repr__(self) -> str:
        facts = [f"dimension={self.dimension}"]
        facts += ["scramble=True"] if self.scramble else []
        facts += [f"seed={self.seed}"] if self.seed is not None else []
        return f"SobolEngine({', '.join(facts)})"


def _zeros(places: Any) -> Any:
    """How many zeros each number ends in; 0 for 0."""
    powers = places & -places
    return np.frexp(np.maximum(powers, 1).astype(np.float64))[1] - 1


def _scrambled(numbers: Any, seed: int | None) -> tuple[Any, Any]:
    """Direction numbers whose digits went through triangular matrices, and a shift."""
    dimension = len(numbers)
    generator = None if seed is None else Generator().manual_seed(seed)
    shift = randint(2, (dimension, BITS), generator=generator).array
    matrices = np.tril(randint(2, (dimension, BITS, BITS), generator=generator).array, -1)
    matrices += np.eye(BITS, dtype=matrices.dtype)
    weights = 1 << np.arange(BITS - 1, -1, -1)  # the first digit is the highest
    digits = (numbers[:, :, None] // weights) & 1
    scrambled = (digits @ matrices.transpose(0, 2, 1)) & 1
    return scrambled @ weights, shift @ weights
