"""Who needs memory when a program needs most of it. Floor 9."""

from __future__ import annotations

from twofold.base.errors import line_of
from twofold.base.records import NamedTuple
from twofold.exec.planned import Planned
from twofold.ir.graph import Call


class Need(NamedTuple):
    """A value that is alive when most memory is needed: its bytes, what makes it, and where."""

    bytes: int
    name: str
    where: str

    def __str__(self) -> str:
        return f"{self.bytes:>12d} {self.name:<32} {self.where}"


class Peak(NamedTuple):
    """The bytes of intermediate values, and who needs them, the largest first."""

    bytes: int
    owners: tuple[Need, ...]

    def __int__(self) -> int:
        return self.bytes

    def __str__(self) -> str:
        return "\n".join([f"{self.bytes} bytes at the peak", *map(str, self.owners)])


def peak_of(planned: Planned) -> Peak:
    """The report of a plan."""
    owners = [Need(o.size, name_of(o.call), line_of(o.call.where)) for o in planned.owners]
    return Peak(planned.arena, tuple(owners))


def name_of(call: Call) -> str:
    """An operation by the module that it is in: `Net.block.2: linear`."""
    path = ".".join(call.module)
    return f"{path}: {call.op.name}" if path else str(call.op.name)
