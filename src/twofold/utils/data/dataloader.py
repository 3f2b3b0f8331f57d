"""The loader and what puts items together, where PyTorch has them. Floor 13."""

import itertools
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, TypeAlias, final

from twofold.data.collate import default_collate, default_convert
from twofold.data.loader import DataLoader

__all__ = ["DataLoader", "default_collate", "default_convert"]

_collate_fn_t: TypeAlias = Callable[[list[Any]], Any]
_worker_init_fn_t: TypeAlias = Callable[[int], None]


class _Generators(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, GeneratorType)


class _BaseDataLoaderIter(metaclass=_Generators):
    """What goes through a loader is a generator, whose end ends its workers."""


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """A pass over what has a loader's attributes, as libraries with loaders of their own make it:
    `dataset`, `_dataset_kind`, `_index_sampler`, `_auto_collation`, `collate_fn`, `drop_last`.
    """

    def __new__(cls, loader: Any) -> Any:
        return _passing(loader)


class _DatasetKind:
    """How a dataset is read: by index, or from its beginning."""

    Map = 0
    Iterable = 1


@final
class _MultiProcessingDataLoaderIter:
    """What PyTorch has for a loader with workers; nothing here is one."""


def _passing(loader: Any) -> Iterator[Any]:
    """The items, or lists of as many as the sampler gives places for, through `collate_fn`."""
    in_order = iter(loader.dataset) if loader._dataset_kind == _DatasetKind.Iterable else None
    for places in loader._index_sampler:
        several = places if loader._auto_collation else (places,)
        if in_order is None:
            items = [loader.dataset[place] for place in several]
        else:
            items = list(itertools.islice(in_order, len(several)))
        if not items or (loader.drop_last and len(items) < len(several)):
            return
        yield loader.collate_fn(items if loader._auto_collation else items[0])
