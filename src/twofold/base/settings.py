"""Modules of settings that programs write under PyTorch's names, and nobody reads. Floor 0."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, final


@final
class Settings(ModuleType):
    """A module, for `import package.config`, whose attributes are set and kept."""

    def __init__(self, name: str, **values: Any) -> None:
        super().__init__(name, "Settings that are kept, and without effect here.")
        self.__package__ = name.rpartition(".")[0]
        self.__dict__.update(values)
        sys.modules[name] = self

    @contextlib.contextmanager
    def patch(self, *changes: Any, **values: Any) -> Iterator[None]:
        """In the block, settings have other values: patch(name=1), patch("name", 1)."""
        new = dict(changes[0]) if changes and not isinstance(changes[0], str) else {}
        if len(changes) == 2:
            new = {changes[0]: changes[1]}
        before = dict(self.__dict__)
        self.__dict__.update(new | values)
        try:
            yield
        finally:
            self.__dict__.clear()
            self.__dict__.update(before)
