"""Ready parametrizations, under PyTorch's names. Floor 10."""

from twofold.nn.utils.norms import spectral_norm, weight_norm
from twofold.nn.utils.orthogonal import orthogonal

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]
