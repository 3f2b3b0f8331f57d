"""One module under the names of several files, for programs that import by them. Floor 0."""

from __future__ import annotations

import sys


def also_as(module: str, names: str) -> None:
    """Make `module.name` another name of this module, for each of `names` (split by spaces)."""
    here = sys.modules[module]
    for name in names.split():
        sys.modules[f"{module}.{name}"] = here
        setattr(here, name.rpartition(".")[2], here)
