"""What every pipe is: a stream or a map, with a method for each way to build upon it. Floor 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twofold.base.errors import ArgumentError
from twofold.data.dataset import Dataset, IterableDataset

__all__ = ["IterDataPipe", "MapDataPipe", "functional_datapipe"]


class _Chained:
    """Names of pipes as methods: `pipe.map(f)` is `Mapper(pipe, f)`."""

    functions: ClassVar[dict[str, Any]]

    def __getattr__(self, name: str) -> Any:
        if name not in type(self).functions:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        made = type(self).functions[name]
        return lambda *args, **options: made(self, *args, **options)

    @classmethod
    def register_datapipe_as_function(cls, name: str, made: Any, *_: Any) -> None:
        """Make `pipe.name(...)` a new `made(pipe, ...)`. Raises ArgumentError for a name that is
        taken.
        """
        if name in cls.functions:
            raise ArgumentError("datapipes", f"there is a function {name!r}", hint="another name")
        cls.functions[name] = made


class IterDataPipe(_Chained, IterableDataset):
    """A stream: subclasses define `__iter__`."""

    functions: ClassVar[dict[str, Any]] = {}

    def __repr__(self) -> str:
        return type(self).__qualname__


class MapDataPipe(_Chained, Dataset):
    """Items by key: subclasses define `__getitem__` and `__len__`."""

    functions: ClassVar[dict[str, Any]] = {}

    def __repr__(self) -> str:
        return type(self).__qualname__


def functional_datapipe(name: str, enable_df_api_tracing: bool = False) -> Callable[[Any], Any]:
    """A decorator of a pipe's class: pipes get a method of this name that builds it."""

    def register(cls: Any) -> Any:
        is_map = isinstance(cls, type) and issubclass(cls, MapDataPipe)
        kind = MapDataPipe if is_map else IterDataPipe
        kind.register_datapipe_as_function(name, cls)
        return cls

    return register
