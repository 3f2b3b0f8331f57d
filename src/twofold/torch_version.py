"""PyTorch's version as text that is compared as a version. Floor 13."""

from __future__ import annotations

import re
from typing import Any, final

__all__ = ["TorchVersion"]


def _parts(version: Any) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu", of (2, 13), or of anything whose text is like that."""
    if isinstance(version, tuple | list):
        version = ".".join(map(str, version))
    numbers = re.match(r"\d+(\.\d+)*", str(version))
    found = [int(n) for n in numbers[0].split(".")] if numbers else [0]
    while len(found) > 1 and not found[-1]:
        found.pop()
    return tuple(found)


@final
class TorchVersion(str):
    """A version: `torch.__version__ >= (2, 1)` and `> "2.1"` hold as for versions."""

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        return _parts(self) < _parts(other)

    def __le__(self, other: Any) -> bool:
        return _parts(self) <= _parts(other)

    def __gt__(self, other: Any) -> bool:
        return _parts(self) > _parts(other)

    def __ge__(self, other: Any) -> bool:
        return _parts(self) >= _parts(other)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | tuple | list):
            return _parts(self) == _parts(other)
        return NotImplemented

    __hash__ = str.__hash__
