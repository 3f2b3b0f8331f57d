"""Devices: there is one, the CPU, and programs may say so. Floor 0."""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import DeviceError


@final
class Device:
    """`device("cpu")`, or `device("cpu", 0)`. Raises DeviceError for any other kind."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, Device):
            type, index = type.type, type.index
        kind, _, number = str(type).partition(":")
        if kind != "cpu":
            raise DeviceError(
                "device", f"there is no device {str(type)!r} here", hint=_instead(kind)
            )
        self.type = kind
        self.index = int(number) if number else index

    def __enter__(self) -> Device:
        """In the block, tensors are made on this device, as they are outside."""
        return self

    def __exit__(self, *_: object) -> None:
        """There is no other device to go back to."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) or (
            isinstance(other, str) and other.split(":")[0] == "cpu"
        )

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return (
            f"device(type={self.type!r})"
            if self.index is None
            else f"device(type={self.type!r}, index={self.index})"
        )


def _instead(kind: str) -> str:
    """What to write instead of a device that is not here."""
    if kind in ("cuda", "xpu"):
        return f'device("{kind}" if twofold.{kind}.is_available() else "cpu")'
    if kind == "mps":
        return 'device("mps" if twofold.backends.mps.is_available() else "cpu")'
    return 'device("cpu")'


CPU = Device("cpu")


def check_device(device: Any) -> None:
    """Raise DeviceError unless device is None or the CPU."""
    if device is not None and device is not CPU:
        Device(device)
