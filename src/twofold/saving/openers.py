"""What gives another object than nested values when a file is loaded. Floor 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

# By a key of the outermost dict, the function that makes the object.
OPENERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {}

# Readers of files of other kinds, by their first four bytes.
READERS: dict[bytes, Callable[[IO[bytes]], Any]] = {}
