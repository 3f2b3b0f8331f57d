"""Parameters and buffers, where PyTorch has them. Floor 10."""

from twofold.nn.buffer import Buffer
from twofold.nn.lazy import UninitializedParameter
from twofold.ops.tensor import Parameter

__all__ = ["Buffer", "Parameter", "UninitializedParameter"]
