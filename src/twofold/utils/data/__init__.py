"""`twofold.data` under PyTorch's name. Floor 13."""

from twofold.data import *
from twofold.data.sampler import DistributedSampler
from twofold.data.workers import get_worker_info
from twofold.utils.data import dataloader, dataset, sampler
