"""Devices: there is one with data, the CPU, and programs may say so; "meta" has none. Floor 0."""

from __future__ import annotations

import threading
from collections.abc import Callable
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

    __slots__ = ("before", "index", "type")

    type: str
    index: int | None
    before: Any

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
        """In the block, tensors are made on this device unless told otherwise."""
        before = elsewhere(known_device(self))
        before.__enter__()
        self.before = [*getattr(self, "before", ()), before]
        return self

    def __exit__(self, *_: object) -> None:
        self.before.pop().__exit__()

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
META = Device("meta")


class _Home(threading.local):
    """Where this thread makes tensors that are not told: META, or None for the CPU."""

    device: Device | None = None


home = _Home()


@final
class elsewhere:
    """In the block, tensors are made on META, or on the CPU (None), unless they are told where."""

    __slots__ = ("before", "device")

    def __init__(self, device: Device | None) -> None:
        self.device = device

    def __enter__(self) -> None:
        self.before, home.device = home.device, self.device
        moved()

    def __exit__(self, *_: object) -> None:
        home.device = self.before
        moved()


# Called when a thread makes its tensors somewhere else from now on; machine code wants to know.
listeners: list[Callable[[], None]] = []


def moved() -> None:
    for listener in listeners:
        listener()


def known_device(device: Any) -> Device | None:
    """META, or None for the CPU (and for None). Raises DeviceError for any other."""
    if device is None or device is CPU:
        return None
    wanted = Device(device)
    if wanted.type == "meta":
        return META
    if wanted.type != "cpu":
        raise DeviceError(
            "device", f"there is no device {str(wanted)!r} here", hint=_instead(wanted.type)
        )
    return None


def check_device(device: Any) -> None:
    """Raise DeviceError unless device is None or the CPU."""
    if known_device(device) is META:
        problem = 'nothing can be put on the "meta" device here'
        raise DeviceError("device", problem, hint='x.to("meta"), or device("cpu")')
