"""Names for devices of somebody's own: there is one kind of device here. Floor 13."""

from __future__ import annotations

from typing import Any, NoReturn

from twofold.base.errors import DeviceError

__all__ = ["generate_methods_for_privateuse1_backend", "rename_privateuse1_backend"]


def rename_privateuse1_backend(backend_name: str) -> NoReturn:
    """Raises DeviceError: no further devices can be added."""
    problem = f"{backend_name!r} cannot be added"
    raise DeviceError(
        "rename_privateuse1_backend", problem, hint='the devices are "cpu" and "meta"'
    )


def generate_methods_for_privateuse1_backend(*args: Any, **options: Any) -> NoReturn:
    """Raises DeviceError: no further devices can be added."""
    rename_privateuse1_backend("a device")
