"""Points that fill a cube evenly, under PyTorch's name: `quasirandom.SobolEngine`. Floor 9."""

from twofold.quasirandom.sobol import SobolEngine

__all__ = ["SobolEngine"]
