"""Launching processes, under PyTorch's names: what scripts for it import. Floor 13."""

from twofold.distributed.elastic import multiprocessing
