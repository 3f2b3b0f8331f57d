"""Attention under torch.nn.attention's names: which kernel, and scores of the user's own."""

from twofold.nn.attention.kernels import SDPBackend as SDPBackend
from twofold.nn.attention.kernels import sdpa_kernel as sdpa_kernel
