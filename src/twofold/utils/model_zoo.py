"""`hub` by its older name. Floor 13."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, final

from twofold.hub import load_state_dict_from_url

__all__ = ["load_url", "tqdm"]

load_url = load_state_dict_from_url


@final
class tqdm:
    """How far something is, for programs that tell it: counted, and not shown."""

    def __init__(self, iterable: Iterable[Any] = (), total: float | None = None, **_: Any) -> None:
        self.iterable, self.total, self.n = iterable, total, 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.iterable:
            yield item
            self.n += 1

    def update(self, n: int) -> None:
        self.n += n

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> tqdm:
        return self

    def __exit__(self, *_: object) -> None:
        """Nor here."""
