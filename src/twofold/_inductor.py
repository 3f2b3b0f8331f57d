"""Settings of PyTorch's code generator, which programs write: none of them is read. Floor 12."""

from __future__ import annotations

from typing import Any

from twofold.base.settings import Settings

__all__ = ["config"]


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """None: a mode of `twofold.compile` changes nothing."""
    return {}


def list_options() -> list[str]:
    """The names that were set."""
    return list(vars(config))


config: Any = Settings(f"{__name__}.config")
config.triton = Settings(f"{__name__}.config.triton", cudagraphs=False, unique_kernel_names=False)
config.cpp = Settings(f"{__name__}.config.cpp", threads=-1)
