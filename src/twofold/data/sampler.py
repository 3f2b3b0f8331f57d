"""Samplers: in which order the items of a dataset come, and how they are grouped. Floor 11.

A sampler that shuffles draws one seed when a pass begins; the order is a function of that seed. Its
`state_dict` holds the seed, so that a pass can be taken up again where it stopped.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, final

import numpy as np

from twofold.base.errors import ArgumentError
from twofold.data import order
from twofold.data.order import Indices
from twofold.data.seeds import draw_seed, load_state, state_of
from twofold.ops.tensor import Tensor

CHUNK = 4096  # indices turned into Python numbers at a time, so that memory stays flat


class Sampler(ABC):
    """Gives indices (or lists of them) when iterated, as often as it is iterated."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    def __class_getitem__(cls, item: Any) -> type:
        return cls


@final
class SequentialSampler(Sampler):
    """0, 1, 2, ... to the end of the data."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class SeededSampler(Sampler):
    """A sampler whose every pass is a function of one seed."""

    generator: Any
    seed: int | None = None  # of the pass that began last
    replay: int | None = None  # of the pass to take up again

    @abstractmethod
    def passed(self, seed: int) -> Indices:
        """All indices of the pass with that seed."""

    def __iter__(self) -> Iterator[int]:
        self.seed = draw_seed(self.generator) if self.replay is None else self.replay
        self.replay = None
        return in_chunks(self.passed(self.seed))

    def state_dict(self) -> dict[str, Any]:
        """The seed of the pass that began last, and the generator's state where there is one."""
        return {"seed": self.seed, "generator": state_of(self.generator)}

    def finish_pass(self) -> None:
        """The pass is over: a state saved from now on holds no seed to repeat."""
        self.seed = None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass repeats the saved one; those after it follow as they would have."""
        self.seed = self.replay = state["seed"]
        load_state(self.generator, state["generator"])


def in_chunks(indices: Indices) -> Iterator[int]:
    for start in range(0, len(indices), CHUNK):
        yield from indices[start : start + CHUNK].tolist()


@final
class RandomSampler(SeededSampler):
    """All indices shuffled; or, with `replacement`, `num_samples` drawn one by one."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        check_count("RandomSampler", num_samples)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def passed(self, seed: int) -> Indices:
        size, count = len(self.data_source), self.num_samples
        if size == 0 and count:
            raise ArgumentError("RandomSampler", "the dataset is empty", num_samples=count)
        if self.replacement:
            return order.draws(seed, count, below=size)
        rounds = -(-count // size) if size else 0
        seeds = [seed, *(order.derive(seed, turn) for turn in range(1, rounds))]
        parts = [order.permutation(each, size) for each in seeds[:rounds]]
        return np.concatenate(parts)[:count] if parts else np.empty(0, np.int64)

    def __len__(self) -> int:
        return self.num_samples


@final
class SubsetRandomSampler(SeededSampler):
    """The given indices, shuffled."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def passed(self, seed: int) -> Indices:
        return np.asarray(self.indices, np.int64)[order.permutation(seed, len(self.indices))]

    def __len__(self) -> int:
        return len(self.indices)


@final
class WeightedRandomSampler(SeededSampler):
    """`num_samples` indices, each as likely as its weight; without `replacement` no index twice."""

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        check_count("WeightedRandomSampler", num_samples)
        self.weights = as_weights(weights)
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator
        possible = np.count_nonzero(self.weights)
        if num_samples and not possible:
            raise ArgumentError("WeightedRandomSampler", "every weight is zero")
        if not replacement and num_samples > possible:
            raise ArgumentError(
                "WeightedRandomSampler",
                "more samples than indices of positive weight",
                num_samples=num_samples,
                positive=int(possible),
                hint="replacement=True",
            )

    def passed(self, seed: int) -> Indices:
        if not self.num_samples:
            return np.empty(0, np.int64)
        draw = order.weighted if self.replacement else order.weighted_once
        return draw(seed, self.num_samples, self.weights)

    def __len__(self) -> int:
        return self.num_samples


@final
class DistributedSampler(Sampler):
    """The share of one of `num_replicas` processes: every num_replicas-th index from `rank` on.

    All processes see the same order, of `seed` and the epoch that `set_epoch` told. Shares are of
    one size: without `drop_last` the first indices come twice to fill them up.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.dataset, self.shuffle, self.seed = dataset, shuffle, seed
        self.num_replicas = 1 if num_replicas is None else num_replicas
        self.rank = 0 if rank is None else rank
        self.drop_last = drop_last
        self.epoch = 0
        if not 0 <= self.rank < self.num_replicas:
            problem = f"rank {self.rank} of {self.num_replicas} processes"
            raise ArgumentError("DistributedSampler", problem, hint="0 <= rank < num_replicas")

    def set_epoch(self, epoch: int) -> None:
        """Another order for each epoch; without it, all are alike."""
        self.epoch = epoch

    def __len__(self) -> int:
        size = len(self.dataset)
        return size // self.num_replicas if self.drop_last else -(-size // self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        size, total = len(self.dataset), len(self) * self.num_replicas
        if self.shuffle:
            indices = order.permutation(order.derive(self.seed, self.epoch), size)
        else:
            indices = np.arange(size)
        return in_chunks(np.resize(indices, total)[self.rank :: self.num_replicas])


def check_count(sampler: str, count: Any) -> None:
    if count is not None and (type(count) is not int or count < 0):
        raise ArgumentError(sampler, "num_samples is no count", num_samples=repr(count))


def as_weights(weights: Sequence[float] | Tensor) -> Any:
    array = weights.array if isinstance(weights, Tensor) else weights
    made = np.array(array, np.float64)
    if made.ndim != 1:
        raise ArgumentError("WeightedRandomSampler", "weights are not a row", shape=made.shape)
    if not np.all(np.isfinite(made)) or np.any(made < 0):
        raise ArgumentError("WeightedRandomSampler", "a weight is negative or not finite")
    return made


@final
class BatchSampler(Sampler):
    """Lists of `batch_size` indices; a shorter last one unless `drop_last`."""

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        if type(batch_size) is not int or batch_size < 1:
            raise ArgumentError(
                "BatchSampler", "batch_size is no positive number", batch_size=repr(batch_size)
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        return self.grouped(iter(self.sampler))  # the sampler draws its seed now

    def grouped(self, indices: Iterator[Any]) -> Iterator[list[Any]]:
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The state of the sampler inside, where it has one."""
        return self.sampler.state_dict() if hasattr(self.sampler, "state_dict") else {}

    def finish_pass(self) -> None:
        if hasattr(self.sampler, "finish_pass"):
            self.sampler.finish_pass()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self.sampler.load_state_dict(state)  # type: ignore[attr-defined]
