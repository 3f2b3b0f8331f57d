"""Datasets, samplers, and the loader that makes batches of them on threads. Floor 11."""

import importlib as _importlib

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

# What reads files, and what is done to images, is imported when it is first asked for.
_LATE = {
    **dict.fromkeys(
        ("CIFAR10", "CIFAR100", "ImageFolder", "MNIST", "read_csv", "read_idx", "read_image"),
        "files",
    ),
    "transforms": "",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _importlib.import_module(f"{__name__}.{_LATE[name] or name}")
    return getattr(module, name) if _LATE[name] else module
