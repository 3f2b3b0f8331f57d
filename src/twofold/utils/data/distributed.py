"""DistributedSampler, where PyTorch has it. Floor 13."""

from twofold.data.sampler import DistributedSampler

__all__ = ["DistributedSampler"]
