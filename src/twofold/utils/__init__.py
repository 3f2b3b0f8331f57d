"""PyTorch's `utils`: data, checkpoint, dlpack. Floor 13."""

from twofold.utils import checkpoint, data, dlpack, hooks
