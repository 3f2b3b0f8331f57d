"""The memory behind tensors, where PyTorch's `storage` has its classes. Floor 9."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import MissingNameError
from twofold.ops.storage import STORAGE_NAMES, TypedStorage, UntypedStorage, storage_of

__all__ = ["TypedStorage", "UntypedStorage"]


def __getattr__(name: str) -> Any:
    if name in STORAGE_NAMES.values():
        made = globals()[name] = storage_of(name)
        return made
    raise MissingNameError("twofold.storage", name, lambda: [*globals(), *STORAGE_NAMES.values()])
