"""Datasets, samplers, and the loader that makes batches of them on threads. Floor 11."""

from twofold.data import datasets
from twofold.data.collate import default_collate, default_convert
from twofold.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from twofold.data.loader import DataLoader
from twofold.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from twofold.data.workers import get_worker_info
