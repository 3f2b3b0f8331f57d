"""Ready parametrizations, under PyTorch's names. Floor 10."""

from twofold.nn.utils.norms import spectral_norm, weight_norm

__all__ = ["spectral_norm", "weight_norm"]
