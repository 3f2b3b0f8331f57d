"""Dictionaries that forget their keys when nobody else has them, under PyTorch's names. Floor 13.

Keys are told apart by what they are, since tensors are not equal as other values are.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, MutableMapping
from typing import Any

__all__ = ["WeakIdKeyDictionary", "WeakTensorKeyDictionary"]


class WeakIdKeyDictionary(MutableMapping[Any, Any]):
    """A dictionary by the identity of its keys, each of which leaves when its last holder does."""

    def __init__(self, dict: Any = None) -> None:
        self._held: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self.update(dict or {})

    def __getitem__(self, key: Any) -> Any:
        found = self._held.get(id(key))
        if found is None or found[0]() is not key:
            raise KeyError(key)
        return found[1]

    def __setitem__(self, key: Any, value: Any) -> None:
        place, held = id(key), self._held
        gone = weakref.ref(key, lambda _: held.pop(place, None))
        held[place] = (gone, value)

    def __delitem__(self, key: Any) -> None:
        _ = self[key]
        del self._held[id(key)]

    def __iter__(self) -> Iterator[Any]:
        for gone, _ in list(self._held.values()):
            key = gone()
            if key is not None:
                yield key

    def __len__(self) -> int:
        return len(self._held)


WeakTensorKeyDictionary = WeakIdKeyDictionary
