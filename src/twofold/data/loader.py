"""DataLoader: batches of a dataset, made ahead, in order, resumable at any batch. Floor 11."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, final

from twofold.base.errors import ArgumentError, DTypeError, StateError, UndefinedError
from twofold.data.collate import default_collate, default_convert
from twofold.data.dataset import IterableDataset
from twofold.data.processes import Asking, Processes, WorkerExitError, context_of
from twofold.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from twofold.data.seeds import Seeded, draw_seed, load_state, state_of
from twofold.data.workers import END, Prefetcher, WorkerInfo, WorkerTimeoutError

AHEAD = 2  # batches prepared ahead by each worker


@final
class DataLoader:
    """Iterate over a dataset in batches.

    dataset         anything with `__getitem__` and `__len__`, or an IterableDataset
    batch_size      items in a batch; None gives the items one by one
    shuffle         a new order each pass
    sampler         an order of its own instead of `shuffle`
    batch_sampler   groups of indices of its own instead of all these and `drop_last`
    num_workers     threads that prepare batches ahead; 0 prepares each when it is asked for
    collate_fn      makes a batch of a list of items; `default_collate` unless given
    drop_last       leave out a shorter last batch
    timeout         seconds to wait for a batch of a worker; 0 waits for ever
    worker_init_fn  called with its number in each worker before its first batch
    generator       where seeds are drawn from; the default generator unless given
    prefetch_factor batches prepared ahead by each worker: 2 unless given

    multiprocessing_context
                    "spawn", "forkserver", "fork" or a context: each worker has a process of its
                    own, for datasets whose items take much pure Python

    persistent_workers
                    keep these processes, and the dataset as they have it, from pass to pass

    `pin_memory` is taken and changes nothing: there is no device to copy to. `state_dict()` in
    mid-pass and `load_state_dict()` make the next pass go on at the very next batch. What the
    dataset draws at random by Twofold's own functions depends on the batch alone, not on the
    workers.

    >>> for images, labels in DataLoader(data, batch_size=64, shuffle=True, num_workers=2):
    ...     train_step(images, labels)
    """

    def __class_getitem__(cls, item: Any) -> type:
        """The class itself: what it loads is said in annotations only."""
        return cls

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Sequence[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,  # batches come in order anyway
    ) -> None:
        check_numbers(batch_size, num_workers, prefetch_factor, timeout)
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler or drop_last):
            raise exclusive("batch_sampler", "batch_size, shuffle, sampler and drop_last")
        if sampler is not None and shuffle:
            raise exclusive("sampler", "shuffle")
        streaming = isinstance(dataset, IterableDataset)
        if not streaming and not hasattr(dataset, "__len__"):
            name = type(dataset).__name__
            hint = f"def __len__(self): in class {name}, or an IterableDataset"
            raise UndefinedError("DataLoader", f"{name} does not define __len__", hint=hint)
        if streaming and (shuffle or sampler is not None or batch_sampler is not None):
            raise exclusive("a stream", "shuffle, sampler and batch_sampler")
        if streaming and multiprocessing_context is not None:
            raise exclusive("a stream", "multiprocessing_context: it is read by one reader")
        if multiprocessing_context is not None and not num_workers:
            raise ArgumentError(
                "DataLoader", "multiprocessing_context needs workers", hint="num_workers=2"
            )
        if persistent_workers and not num_workers:
            raise ArgumentError(
                "DataLoader", "persistent_workers needs workers", hint="num_workers=2"
            )
        if batch_size is None and drop_last:
            raise exclusive("batch_size=None", "drop_last")
        self.dataset = dataset
        self.multiprocessing_context = multiprocessing_context
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = batch_size if batch_sampler is None else None
        self.pin_memory = pin_memory
        self.persistent_workers = persistent_workers
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if not streaming:
            self.choose_samplers(bool(shuffle))
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self.current = Pass()
        self.resume: dict[str, Any] | None = None
        self.epoch = 0
        self.kept: tuple[Processes, tuple[Any, ...], int] | None = None

    def choose_samplers(self, shuffle: bool) -> None:
        """Make the samplers that were not given."""
        if self.batch_sampler is not None:
            return
        if self.sampler is None and shuffle:
            self.sampler = RandomSampler(self.dataset, generator=self.generator)
        elif self.sampler is None:
            self.sampler = SequentialSampler(self.dataset)
        if self.batch_size is not None:
            self.batch_sampler = BatchSampler(self.sampler, self.batch_size, self.drop_last)

    @property
    def tasks(self) -> Any:
        """What one pass goes through: the batch sampler, the sampler, or nothing for a stream."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        """The number of batches of a pass. Raises TypeError for a stream without a length."""
        if self.tasks is not None:
            return len(self.tasks)
        items = len(self.dataset)
        if self.batch_size is None:
            return items
        return items // self.batch_size if self.drop_last else -(-items // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        # Seeds are drawn here and not at the first batch: a state saved in between must have them.
        state, self.resume = self.resume, None
        running = state is not None and state["running"]
        seed = state["seed"] if state and running else draw_seed(self.generator)
        given = state["batch"] if state else 0
        self.current = Pass(given, seed, running=True)
        if self.tasks is None:
            source: Any = Stream(self, given)
            numbered: Iterator[tuple[int, Any]] = ((n, None) for n in itertools.count(given))
        else:
            source = Items(self)
            numbered = itertools.islice(enumerate(iter(self.tasks)), given, None)
        return self.go_through(self.current, source, numbered)

    def go_through(
        self, current: Pass, source: Any, numbered: Iterator[tuple[int, Any]]
    ) -> Iterator[Any]:
        """The batches of one pass, keeping count of those given out."""
        batches: Any = (
            self.made_ahead(source, current.seed, numbered)
            if self.num_workers
            else at_once(Seeded(source, current.seed), numbered)
        )
        try:
            for batch in batches:
                current.given += 1
                yield batch
                del batch
        finally:
            batches.close()
        current.given, current.running = 0, False
        if current is self.current:
            self.epoch += 1
            finish = getattr(self.tasks, "finish_pass", None)
            if finish is not None:
                finish()

    def made_ahead(self, source: Any, seed: int, numbered: Iterator[tuple[int, Any]]) -> Any:
        ahead = self.num_workers * (self.prefetch_factor or AHEAD)
        shared = self.tasks is None
        infos = [
            WorkerInfo(0 if shared else n, 1 if shared else self.num_workers, self.dataset)
            for n in range(self.num_workers)
        ]
        if self.multiprocessing_context is None:
            seeded = Seeded(source, seed)
            return Prefetcher(seeded, numbered, infos, ahead, self.timeout, self.worker_init_fn)
        processes = self.processes_for(source, infos)
        asking = Asking(source, seed, processes)
        batches = Prefetcher(asking, numbered, infos, ahead, self.timeout, processes.start)
        return until_closed(batches, processes, self.persistent_workers)

    def processes_for(self, source: Any, infos: list[WorkerInfo]) -> Processes:
        """Processes for a pass: those of the last one where they are kept and still fit."""
        asked = (self.dataset, self.collate_fn, self.worker_init_fn, self.multiprocessing_context)
        kept = self.kept
        if kept is not None and kept[0].close.alive and len(infos) == kept[2]:
            if all(one is other for one, other in zip(asked, kept[1], strict=True)):
                return kept[0]
            kept[0].close()
        context = context_of(self.multiprocessing_context)
        processes = Processes(source, infos, context, self.worker_init_fn)
        if self.persistent_workers:
            self.kept = (processes, asked, len(infos))
        return processes

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: what `load_state_dict` needs to go on at the next batch.

        A loader with the default generator draws the later passes' seeds from there; save that
        generator's state too.
        """
        sampler = self.tasks
        return {
            "epoch": self.epoch,
            "batch": self.current.given,
            "running": self.current.running,
            "seed": self.current.seed,
            "sampler": sampler.state_dict() if hasattr(sampler, "state_dict") else {},
            "generator": state_of(self.generator),
            "shape": self.shape(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved pass: the next iteration gives the batches that were still to come.

        Raises StateError (a KeyError) when the saved loader was over other data or batches.
        """
        if not isinstance(state, dict) or state.keys() != self.state_dict().keys():
            raise StateError("DataLoader", "this is not the state of a DataLoader")
        if state["shape"] != self.shape():
            raise StateError(
                "DataLoader",
                "the saved state is of other data or batches",
                saved=state["shape"],
                here=self.shape(),
            )
        if state["sampler"]:
            self.tasks.load_state_dict(state["sampler"])
        load_state(self.generator, state["generator"])
        self.epoch = state["epoch"]
        self.resume = dict(state)
        self.current = Pass(state["batch"], state["seed"], state["running"])

    def shape(self) -> dict[str, Any]:
        """What must be the same for a state to fit."""
        items = len(self.dataset) if hasattr(self.dataset, "__len__") else None
        return {"items": items, "batch_size": self.batch_size, "drop_last": self.drop_last}


@final
class Pass:
    """How far one pass has come: the batches given out, and the seed of what is drawn in it."""

    def __init__(self, given: int = 0, seed: int = 0, running: bool = False) -> None:
        self.given = given
        self.seed = seed
        self.running = running


@final
class Items:
    """Makes batches of a dataset that is asked by index."""

    def __init__(self, loader: DataLoader) -> None:
        self.dataset = loader.dataset
        self.collate = loader.collate_fn
        self.batched = loader.batch_sampler is not None
        whole = self.batched and self.collate is default_collate
        self.whole = getattr(self.dataset, "get_batch", None) if whole else None
        self.several = getattr(self.dataset, "__getitems__", None)

    def claim(self, number: int, task: Any) -> Any:
        return task

    def finish(self, number: int, task: Any) -> Any:
        if not self.batched:
            return self.collate(self.item(task))
        if self.whole is not None:
            return self.whole(task)
        if self.several is not None:
            return self.collate(self.several(task))
        return self.collate([self.item(index) for index in task])

    def item(self, index: Any) -> Any:
        """An item; where it cannot be had, the error says which it was."""
        try:
            return self.dataset[index]
        except Exception as error:
            error.add_note(f"raised by item {index!r} of {type(self.dataset).__name__}")
            raise


@final
class Stream:
    """Makes batches of a dataset that is read from its beginning, after skipping some."""

    def __init__(self, loader: DataLoader, given: int) -> None:
        self.size = loader.batch_size
        self.drop_last = loader.drop_last
        self.collate = loader.collate_fn
        self.dataset = loader.dataset
        self.skip = given * (1 if self.size is None else self.size)
        self.items: Iterator[Any] | None = None

    def claim(self, number: int, task: Any) -> Any:
        """The next items; fewer at the end, none after it."""
        if self.items is None:  # made by the thread that reads first, so that it sees its worker
            self.items = itertools.islice(iter(self.dataset), self.skip, None)
        return list(itertools.islice(self.items, 1 if self.size is None else self.size))

    def finish(self, number: int, items: Any) -> Any:
        if not items or (self.drop_last and len(items) < self.size):  # type: ignore[operator]
            return END
        return self.collate(items[0] if self.size is None else items)


def at_once(source: Any, numbered: Iterator[tuple[int, Any]]) -> Iterator[Any]:
    """Each batch when it is asked for, without workers."""
    for number, task in numbered:
        batch = source.finish(number, source.claim(number, task))
        if batch is END:
            return
        yield batch
        del batch


def until_closed(batches: Prefetcher, processes: Processes, kept: bool) -> Iterator[Any]:
    """The batches; then, or when nobody wants more, the end of processes that are not kept."""
    try:
        yield from batches
    except (WorkerExitError, WorkerTimeoutError):
        kept = False
        raise
    finally:
        if not kept:
            processes.close()
        batches.close()


def check_numbers(batch_size: Any, num_workers: Any, prefetch_factor: Any, timeout: Any) -> None:
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise ArgumentError(
            "DataLoader",
            "batch_size is no positive number",
            hint="batch_size=32, or None for single items",
            batch_size=repr(batch_size),
        )
    if type(num_workers) is not int or num_workers < 0:
        raise ArgumentError(
            "DataLoader",
            "num_workers is no count",
            hint="0 to fetch in this thread",
            num_workers=repr(num_workers),
        )
    if prefetch_factor is not None and (type(prefetch_factor) is not int or prefetch_factor < 1):
        raise ArgumentError(
            "DataLoader", "prefetch_factor is no positive number", prefetch_factor=prefetch_factor
        )
    if prefetch_factor is not None and num_workers == 0:
        raise ArgumentError(
            "DataLoader", "prefetch_factor needs workers to fetch ahead", hint="num_workers=2"
        )
    if not isinstance(timeout, int | float):
        raise DTypeError("DataLoader", "timeout is no number of seconds", timeout=repr(timeout))
    if timeout < 0:
        raise ArgumentError("DataLoader", "timeout is negative", timeout=timeout)


def exclusive(given: str, others: str) -> ArgumentError:
    return ArgumentError("DataLoader", f"{given} excludes {others}", hint="one or the other")
