"""The loader and what puts items together, where PyTorch has them. Floor 13."""

from types import GeneratorType
from typing import final

from twofold.data.collate import default_collate, default_convert
from twofold.data.loader import DataLoader

__all__ = ["DataLoader", "default_collate", "default_convert"]

# What goes through a loader is a generator, whose end ends its workers.
_BaseDataLoaderIter = _SingleProcessDataLoaderIter = GeneratorType


class _DatasetKind:
    """How a dataset is read: by index, or from its beginning."""

    Map = 0
    Iterable = 1


@final
class _MultiProcessingDataLoaderIter:
    """What PyTorch has for a loader with workers; nothing here is one."""
