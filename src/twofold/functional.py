"""Functions of tensors where PyTorch's `functional` has them. Floor 11."""

from twofold.nn import functional as F
from twofold.ops.counting import unique, unique_consecutive, unravel_index
from twofold.ops.distances import cdist
from twofold.ops.einsum import einsum
from twofold.ops.joining import atleast_1d, atleast_2d, atleast_3d, cartesian_prod, meshgrid
from twofold.ops.older import lu
from twofold.ops.products import chain_matmul, tensordot
from twofold.ops.replacing import broadcast_shapes
from twofold.ops.spectral import istft, stft
from twofold.ops.splitting import split
from twofold.ops.statistics import norm
from twofold.ops.triangles import block_diag
from twofold.ops.views import broadcast_tensors

__all__ = ["F", "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes"]
__all__ += ["broadcast_tensors", "cartesian_prod", "cdist", "chain_matmul", "einsum", "istft"]
__all__ += ["lu", "meshgrid", "norm", "split", "stft", "tensordot", "unique"]
__all__ += ["unique_consecutive", "unravel_index"]
