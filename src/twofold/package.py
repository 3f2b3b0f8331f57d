"""Archives of code with its data (PyTorch's torch.package): there are none here. Floor 13.

Such an archive is read by unpickling what is in it, and Twofold unpickles nothing.
"""

from __future__ import annotations

from typing import Any, NoReturn

from twofold.base.errors import ArgumentError, TwofoldError

__all__ = [
    "EmptyMatchError", "PackageExporter", "PackageImporter", "PackagingError", "is_from_package",
]  # fmt: skip

HINT = (
    "save a state_dict() and keep the code beside it, or twofold.export(model, example, path=...)"
)


class PackagingError(TwofoldError):
    """PyTorch's error of an archive that cannot be written."""


class EmptyMatchError(TwofoldError):
    """PyTorch's error of a pattern that no module fits."""


class PackageExporter:
    """Raises ArgumentError when it is made: code is not put into archives."""

    def __init__(self, f: Any, *args: Any, **options: Any) -> None:
        _refuse("PackageExporter", "code and objects are not written to archives")


class PackageImporter:
    """Raises ArgumentError when it is made: nothing is unpickled."""

    def __init__(self, f: Any, *args: Any, **options: Any) -> None:
        _refuse("PackageImporter", "code and objects are not read from archives")


def _refuse(name: str, problem: str) -> NoReturn:
    raise ArgumentError(name, problem, hint=HINT)


def is_from_package(obj: Any) -> bool:
    """False: nothing was read from one."""
    return False
