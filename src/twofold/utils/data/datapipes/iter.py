"""Streams built upon streams. Floor 13."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twofold.data.collate import default_collate
from twofold.utils.data.datapipes.datapipe import IterDataPipe, functional_datapipe

__all__ = [
    "Batcher", "Collator", "Concater", "Demultiplexer", "Filter", "Forker", "Grouper",
    "IterableWrapper", "Mapper", "Multiplexer", "Sampler", "ShardingFilter", "Shuffler",
    "UnBatcher", "Zipper",
]  # fmt: skip


class IterableWrapper(IterDataPipe):
    """What can be walked through, as a pipe; a copy for each walk unless `deepcopy` is False."""

    def __init__(self, iterable: Iterable[Any], deepcopy: bool = True) -> None:
        self.iterable, self.deepcopy = iterable, deepcopy

    def __iter__(self) -> Iterator[Any]:
        return iter(copy.deepcopy(self.iterable) if self.deepcopy else self.iterable)

    def __len__(self) -> int:
        return len(self.iterable)  # type: ignore[arg-type]


class _On(IterDataPipe):
    """A pipe upon another one, of its length."""

    def __init__(self, datapipe: Any) -> None:
        self.datapipe = datapipe

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("map")
class Mapper(_On):
    """fn(item) for each item; of the columns `input_col`, into the columns `output_col`."""

    def __init__(
        self, datapipe: Any, fn: Callable[..., Any], input_col: Any = None, output_col: Any = None
    ) -> None:
        super().__init__(datapipe)
        self.fn, self.input_col, self.output_col = fn, input_col, output_col

    def _apply(self, item: Any) -> Any:
        if self.input_col is None:
            return self.fn(item)
        several = isinstance(self.input_col, list | tuple)
        columns = self.input_col if several else [self.input_col]
        made = self.fn(*[item[column] for column in columns])
        place = columns[0] if self.output_col is None else self.output_col
        row = dict(item) if isinstance(item, dict) else list(item)
        if place == -1 and isinstance(row, list):
            row.append(made)
        else:
            row[place] = made
        return tuple(row) if isinstance(item, tuple) else row

    def __iter__(self) -> Iterator[Any]:
        return map(self._apply, self.datapipe)


@functional_datapipe("collate")
class Collator(Mapper):
    """Batches put together: `default_collate`, or a function."""

    def __init__(self, datapipe: Any, conversion: Any = None, collate_fn: Any = None) -> None:
        super().__init__(datapipe, collate_fn or conversion or default_collate)


@functional_datapipe("filter")
class Filter(_On):
    """The items for which filter_fn(item) holds."""

    def __init__(
        self, datapipe: Any, filter_fn: Callable[..., bool], input_col: Any = None
    ) -> None:
        super().__init__(datapipe)
        self.filter_fn, self.input_col = filter_fn, input_col

    def __iter__(self) -> Iterator[Any]:
        column = self.input_col
        for item in self.datapipe:
            if self.filter_fn(item if column is None else item[column]):
                yield item

    def __len__(self) -> int:
        raise TypeError("nobody knows how many items a filter lets through")


@functional_datapipe("batch")
class Batcher(_On):
    """Lists of `batch_size` items; the last may be shorter, unless `drop_last`."""

    def __init__(
        self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = list
    ) -> None:
        super().__init__(datapipe)
        self.batch_size, self.drop_last, self.wrapper = batch_size, drop_last, wrapper_class

    def __iter__(self) -> Iterator[Any]:
        walk = iter(self.datapipe)
        while batch := list(itertools.islice(walk, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.wrapper(batch)

    def __len__(self) -> int:
        count = len(self.datapipe)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


@functional_datapipe("unbatch")
class UnBatcher(_On):
    """The items of lists, `unbatch_level` levels down; -1: all levels."""

    def __init__(self, datapipe: Any, unbatch_level: int = 1) -> None:
        super().__init__(datapipe)
        self.level = unbatch_level

    def _items(self, item: Any, level: int) -> Iterator[Any]:
        if level == 0 or not isinstance(item, list):
            yield item
            return
        for part in item:
            yield from self._items(part, level - 1)

    def __iter__(self) -> Iterator[Any]:
        for item in self.datapipe:
            yield from self._items(item, self.level)


@functional_datapipe("shuffle")
class Shuffler(_On):
    """The items in another order: each is drawn from the next `buffer_size`."""

    def __init__(self, datapipe: Any, *, buffer_size: int = 10000, unbatch_level: int = 0) -> None:
        super().__init__(datapipe.unbatch(unbatch_level) if unbatch_level else datapipe)
        self.size, self.enabled, self.seed = buffer_size, True, None

    def set_shuffle(self, shuffle: bool = True) -> Shuffler:
        """Whether the order changes at all."""
        self.enabled = shuffle
        return self

    def set_seed(self, seed: int) -> Shuffler:
        """The seed of the next walk."""
        self.seed = seed  # type: ignore[assignment]
        return self

    def __iter__(self) -> Iterator[Any]:
        if not self.enabled:
            yield from self.datapipe
            return
        draws = random.Random(self.seed)
        self.seed = None
        kept: list[Any] = []
        for item in self.datapipe:
            if len(kept) < self.size:
                kept.append(item)
                continue
            place = draws.randrange(len(kept))
            yield kept[place]
            kept[place] = item
        draws.shuffle(kept)
        yield from kept


@functional_datapipe("sharding_filter")
class ShardingFilter(_On):
    """Every n-th item: a stream has one reader here, which reads all until it is told otherwise."""

    number, count = 0, 1

    def apply_sharding(self, num_of_instances: int, instance_id: int, *_: Any) -> None:
        """Only items instance_id, instance_id + num_of_instances, ..."""
        self.count, self.number = num_of_instances, instance_id

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(self.datapipe, self.number, None, self.count)

    def __len__(self) -> int:
        return len(range(self.number, len(self.datapipe), self.count))


@functional_datapipe("sampler")
class Sampler(_On):
    """The items in the order of a sampler made for the pipe."""

    def __init__(self, datapipe: Any, sampler: Any, sampler_args: Any = (), **options: Any) -> None:
        super().__init__(datapipe)
        self.sampler = sampler(datapipe, *sampler_args, **options)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.sampler)


class _OnSeveral(IterDataPipe):
    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = datapipes


@functional_datapipe("concat")
class Concater(_OnSeveral):
    """One pipe after the other."""

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain(*self.datapipes)

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class Zipper(_OnSeveral):
    """Tuples of an item of each, as long as all have one."""

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))


@functional_datapipe("mux")
class Multiplexer(Zipper):
    """An item of each in turns, as long as all have one."""

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(zip(*self.datapipes, strict=False))

    def __len__(self) -> int:
        return super().__len__() * len(self.datapipes)


@functional_datapipe("groupby")
class Grouper(_On):
    """Lists of items of one key, of `group_size` or what is there at the end."""

    def __init__(
        self,
        datapipe: Any,
        group_key_fn: Callable[[Any], Any],
        *,
        group_size: int | None = None,
        drop_remaining: bool = False,
        **_: Any,
    ) -> None:
        super().__init__(datapipe)
        self.key, self.size, self.drop = group_key_fn, group_size, drop_remaining

    def __iter__(self) -> Iterator[Any]:
        groups: dict[Any, list[Any]] = {}
        for item in self.datapipe:
            group = groups.setdefault(key := self.key(item), [])
            group.append(item)
            if len(group) == self.size:
                yield groups.pop(key)
        if not (self.drop and self.size):
            yield from groups.values()


class _Branch(_On):
    """One of several pipes that are made of one."""

    def __init__(self, datapipe: Any, wanted: Callable[[Any], bool]) -> None:
        super().__init__(datapipe)
        self.wanted = wanted

    def __iter__(self) -> Iterator[Any]:
        return filter(self.wanted, self.datapipe)


@functional_datapipe("fork")
def Forker(datapipe: Any, num_instances: int, **_: Any) -> list[Any]:
    """As many pipes of the same items; the source is read once for each."""
    return [_Branch(datapipe, lambda _: True) for _ in range(num_instances)]


@functional_datapipe("demux")
def Demultiplexer(
    datapipe: Any, num_instances: int, classifier_fn: Callable[[Any], Any], **_: Any
) -> list[Any]:
    """A pipe for each number that the function gives; the source is read once for each."""
    return [
        _Branch(datapipe, lambda item, i=i: classifier_fn(item) == i) for i in range(num_instances)
    ]
