"""PyTorch's `utils`: data, checkpoint, dlpack. Floor 13."""

from twofold.utils import _pytree, checkpoint, data, dlpack, hooks
