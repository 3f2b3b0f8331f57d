"""The loader and what puts items together, where PyTorch has them. Floor 13."""

from collections.abc import Callable
from types import GeneratorType
from typing import Any, TypeAlias, final

from twofold.data.collate import default_collate, default_convert
from twofold.data.loader import DataLoader

__all__ = ["DataLoader", "default_collate", "default_convert"]

_collate_fn_t: TypeAlias = Callable[[list[Any]], Any]
_worker_init_fn_t: TypeAlias = Callable[[int], None]

# What goes through a loader is a generator, whose end ends its workers.
_BaseDataLoaderIter = _SingleProcessDataLoaderIter = GeneratorType


class _DatasetKind:
    """How a dataset is read: by index, or from its beginning."""

    Map = 0
    Iterable = 1


@final
class _MultiProcessingDataLoaderIter:
    """What PyTorch has for a loader with workers; nothing here is one."""
