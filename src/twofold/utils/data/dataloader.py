"""The loader and what puts items together, where PyTorch has them. Floor 13."""

from twofold.data.collate import default_collate, default_convert
from twofold.data.loader import DataLoader

__all__ = ["DataLoader", "default_collate", "default_convert"]
