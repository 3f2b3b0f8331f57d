"""Datasets: what has a length and gives items by index, and how they combine. Floor 11."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, final

import numpy as np

from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
    UndefinedError,
)
from twofold.data.order import permutation
from twofold.data.seeds import draw_seed
from twofold.ops.tensor import Tensor, type_of, wrap


class Dataset:
    """Anything with `__getitem__` and `__len__`; deriving from this class adds `+`.

    A dataset may have `__getitems__(indices)`, which gives a list of items at once, and
    `get_batch(indices)`, which gives them already put together as the default collate would.
    """

    def __getitem__(self, index: int) -> Any:
        name = type(self).__name__
        hint = f"def __getitem__(self, index): in class {name}"
        raise UndefinedError(name, "the dataset does not define __getitem__", hint=hint)

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])

    def __class_getitem__(cls, item: Any) -> type:
        return cls  # Dataset[int] in an annotation is Dataset


class IterableDataset(Dataset):
    """A stream: anything with `__iter__`. A length is welcome and not needed."""

    def __iter__(self) -> Iterator[Any]:
        name = type(self).__name__
        hint = f"def __iter__(self): in class {name}"
        raise UndefinedError(name, "the stream does not define __iter__", hint=hint)


@final
class TensorDataset(Dataset):
    """The rows of tensors that have equally many: item i is `(x[i], y[i], ...)`.

    >>> data = TensorDataset(images, labels)
    >>> image, label = data[0]
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ArgumentError("TensorDataset", "no tensors given")
        for position, tensor in enumerate(tensors):
            check_rows(position, tensor, tensors[0])
        self.tensors: tuple[Any, ...] = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def get_batch(self, indices: Sequence[int]) -> list[Tensor]:
        """The rows at those places, taken out of each tensor in one step."""
        if any(tensor.tracked for tensor in self.tensors):
            return [tensor[indices] for tensor in self.tensors]
        places = np.asarray(indices, np.int64)
        return [wrap(tensor.array.take(places, axis=0)) for tensor in self.tensors]


def check_rows(position: int, tensor: Any, first: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        kind = type(tensor).__name__
        raise DTypeError(
            "TensorDataset",
            f"argument {position} is no tensor",
            got=kind,
            hint="twofold.as_tensor(...)",
        )
    if tensor.ndim == 0 or tensor.shape[0] != first.shape[0]:
        raise ShapeError(
            "TensorDataset",
            "the tensors do not have equally many rows",
            hint="one row of each tensor for every item",
            first=type_of(first),
            **{f"argument_{position}": type_of(tensor)},
        )


@final
class Subset(Dataset):
    """Some items of a dataset, in the order of `indices`."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        inner = [self.indices[index] for index in indices]
        if hasattr(self.dataset, "__getitems__"):
            return list(self.dataset.__getitems__(inner))
        return [self.dataset[index] for index in inner]

    @property
    def get_batch(self) -> Any:
        """Present only where the dataset underneath has it."""
        whole = self.dataset.get_batch
        return functools.partial(batch_of_part, whole, self.indices)


def batch_of_part(whole: Any, indices: Sequence[int], places: Sequence[int]) -> Any:
    """A batch of a dataset by places in a list of indices."""
    return whole([indices[place] for place in places])


@final
class ConcatDataset(Dataset):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset", "no datasets given")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise ArgumentError(
                "ConcatDataset", "a stream has no places to count", hint="itertools.chain"
            )
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexRangeError(
                "ConcatDataset", "index out of range", index=index, size=len(self)
            )
        which = bisect.bisect_right(self.cumulative_sizes, place)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][place - before]


@final
class ChainDataset(IterableDataset):
    """Streams one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for position, dataset in enumerate(self.datasets):
            if not isinstance(dataset, IterableDataset):
                raise DTypeError(
                    "ChainDataset",
                    f"dataset {position} is no IterableDataset",
                    got=type(dataset).__name__,
                    hint="ConcatDataset, for datasets with a length",
                )

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


@final
class StackDataset(Dataset):
    """Datasets side by side: item i is the tuple, or with names the dict, of their items i.

    >>> data = StackDataset(image=images, text=texts)
    >>> data[0]["image"]
    """

    def __init__(self, *datasets: Any, **named: Any) -> None:
        if bool(datasets) == bool(named):
            raise ArgumentError(
                "StackDataset",
                "datasets are all named, or none of them is",
                hint="StackDataset(images, labels)",
            )
        self.datasets = named or datasets
        sizes = [len(dataset) for dataset in self._parts()]
        if len(set(sizes)) > 1:
            raise ShapeError("StackDataset", "the datasets differ in length", lengths=sizes)
        self.size = sizes[0]

    def _parts(self) -> Iterable[Any]:
        return self.datasets.values() if isinstance(self.datasets, dict) else self.datasets

    def _together(self, items: Iterable[Any]) -> Any:
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, items, strict=True))
        return tuple(items)

    def __getitem__(self, index: int) -> Any:
        return self._together(dataset[index] for dataset in self._parts())

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        columns = [
            dataset.__getitems__(indices)
            if hasattr(dataset, "__getitems__")
            else [dataset[index] for index in indices]
            for dataset in self._parts()
        ]
        return [self._together(row) for row in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self.size


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Any = None
) -> list[Subset]:
    """Split a dataset at random into parts of those lengths, or fractions that add up to 1.

    With fractions, what rounding leaves over goes to the first parts, one item each.

    >>> train, test = random_split(data, [0.8, 0.2])
    """
    sizes = split_sizes(lengths, len(dataset))
    order = permutation(draw_seed(generator), len(dataset)).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def split_sizes(lengths: Sequence[int | float], count: int) -> list[int]:
    total = sum(lengths)
    if any(length < 0 for length in lengths):
        raise ArgumentError("random_split", "a length is negative", lengths=list(lengths))
    if all(isinstance(length, int | np.integer) for length in lengths) and total == count:
        return [int(length) for length in lengths]
    if abs(total - 1) > 1e-9:
        raise ArgumentError(
            "random_split",
            "the lengths add up neither to the dataset's length nor, as fractions, to 1",
            hint="whole numbers, or fractions such as [0.9, 0.1]",
            lengths=list(lengths),
            dataset=count,
        )
    sizes = [int(count * length) for length in lengths]
    for part in range(count - sum(sizes)):
        sizes[part % len(sizes)] += 1
    return sizes
