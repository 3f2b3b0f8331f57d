"""Settings of PyTorch's code generator, which programs write: none of them is read. Floor 12."""

from __future__ import annotations

from typing import Any

from twofold.base.settings import Settings
from twofold.frontends.backends import MODES

__all__ = ["config"]


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """What PyTorch's modes set, by their names, or one of them; they change nothing here."""
    return {name: dict(values) for name, values in MODES.items() if mode in (None, name)}


def list_options() -> list[str]:
    """The names that were set."""
    return list(vars(config))


config: Any = Settings(f"{__name__}.config")
config.triton = Settings(f"{__name__}.config.triton", cudagraphs=False, unique_kernel_names=False)
config.cpp = Settings(f"{__name__}.config.cpp", threads=-1)
