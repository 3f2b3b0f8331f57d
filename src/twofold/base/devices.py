"""Devices: there is one, the CPU, and programs may say so. Floor 0."""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import DeviceError

# Those that PyTorch has names for.
KINDS = {"cpu", "cuda", "mps", "xpu", "meta", "mtia", "hpu", "xla", "ipu", "ve", "vulkan", "opengl"}
KINDS |= {"opencl", "ideep", "hip", "fpga", "maia", "lazy", "privateuseone", "mkldnn"}


@final
class Device:
    """`device("cpu")`, or `device("cuda", 0)`: a name. Raises DeviceError for a kind that nobody
    has. That a device is not here is said when something is to be put there.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, Device):
            type, index = type.type, type.index
        kind, _, number = str(type).partition(":")
        if kind not in KINDS or (number and not number.isdecimal()):
            raise DeviceError(
                "device", f"there is no device {str(type)!r} here", hint=_instead(kind)
            )
        self.type = kind
        self.index = int(number) if number else index

    def __enter__(self) -> Device:
        """In the block, tensors are made on this device: the CPU, as they are outside."""
        check_device(self)
        return self

    def __exit__(self, *_: object) -> None:
        """There is no other device to go back to."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            kind, _, number = other.partition(":")
            other_index = int(number) if number.isdecimal() else None
        elif isinstance(other, Device):
            kind, other_index = other.type, other.index
        else:
            return NotImplemented
        return self.type == kind and (kind == "cpu" or self.index == other_index)

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
    if device is None or device is CPU:
        return
    wanted = Device(device)
    if wanted.type != "cpu":
        raise DeviceError(
            "device", f"there is no device {str(wanted)!r} here", hint=_instead(wanted.type)
        )
