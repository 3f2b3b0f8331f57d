"""PyTorch's `utils`: data, checkpoint, dlpack. Floor 13."""

from twofold.utils import _pytree, checkpoint, data, dlpack, hooks
from twofold.utils.swapping import swap_tensors as swap_tensors
