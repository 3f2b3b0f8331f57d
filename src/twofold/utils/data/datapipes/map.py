"""Maps built upon maps. Floor 13."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from twofold.utils.data.datapipes.datapipe import MapDataPipe, functional_datapipe
from twofold.utils.data.datapipes.iter import IterableWrapper

__all__ = ["Batcher", "Concater", "Mapper", "SequenceWrapper", "Shuffler", "Zipper"]


class SequenceWrapper(MapDataPipe):
    """A list or a dict as a pipe."""

    def __init__(self, sequence: Any, deepcopy: bool = True) -> None:
        self.sequence = sequence

    def __getitem__(self, index: Any) -> Any:
        return self.sequence[index]

    def __len__(self) -> int:
        return len(self.sequence)


class _On(MapDataPipe):
    def __init__(self, datapipe: Any) -> None:
        self.datapipe = datapipe

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("map")
class Mapper(_On):
    """fn(item) for each item."""

    def __init__(self, datapipe: Any, fn: Callable[[Any], Any]) -> None:
        super().__init__(datapipe)
        self.fn = fn

    def __getitem__(self, index: Any) -> Any:
        return self.fn(self.datapipe[index])


@functional_datapipe("batch")
class Batcher(_On):
    """Lists of `batch_size` items."""

    def __init__(
        self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = list
    ) -> None:
        super().__init__(datapipe)
        self.size, self.drop, self.wrapper = batch_size, drop_last, wrapper_class

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no batch {index}")
        stop = min((index + 1) * self.size, len(self.datapipe))
        return self.wrapper([self.datapipe[i] for i in range(index * self.size, stop)])

    def __len__(self) -> int:
        count = len(self.datapipe)
        return count // self.size if self.drop else -(-count // self.size)


class Shuffler(IterableWrapper):
    """The items in another order, as a stream."""

    def __init__(self, datapipe: Any, *, indices: Any = None) -> None:
        self.datapipe = datapipe
        self.indices = list(range(len(datapipe)) if indices is None else indices)
        self.seed: int | None = None

    def set_seed(self, seed: int) -> Shuffler:
        """The seed of the next walk."""
        self.seed = seed
        return self

    def __iter__(self) -> Iterator[Any]:
        order = list(self.indices)
        random.Random(self.seed).shuffle(order)
        self.seed = None
        return (self.datapipe[i] for i in order)

    def __len__(self) -> int:
        return len(self.indices)


MapDataPipe.register_datapipe_as_function("shuffle", Shuffler)


@functional_datapipe("concat")
class Concater(MapDataPipe):
    """One after the other."""

    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = datapipes

    def __getitem__(self, index: int) -> Any:
        for pipe in self.datapipes:
            if index < len(pipe):
                return pipe[index]
            index -= len(pipe)
        raise IndexError(f"there is no item {index}")

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class Zipper(MapDataPipe):
    """Tuples of an item of each."""

    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = datapipes

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(pipe[index] for pipe in self.datapipes)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))
