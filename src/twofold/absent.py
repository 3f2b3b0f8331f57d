"""Element types that PyTorch has names for and Twofold no tensors of. Floor 9.

Programs compare with them (`w.dtype == float8_e4m3fn` is False) and ask for their limits; a tensor
of one cannot be made.
"""

from __future__ import annotations

from typing import final

# (bits of fraction, least exponent of a normal number, largest number), by the OCP's 8-bit formats
# (revision 1.0, 2023) and, for "fnuz", Noune et al., arXiv:2206.02915.
FLOATS = {
    "float8_e4m3fn": (3, -6, 448.0),
    "float8_e5m2": (2, -14, 57344.0),
    "float8_e4m3fnuz": (3, -7, 240.0),
    "float8_e5m2fnuz": (2, -15, 57344.0),
}
OTHERS = "float8_e8m0fnu float4_e2m1fn_x2 complex32 qint8 quint8 qint32 quint4x2"


@final
class AbsentType:
    """The name of an element type, which nothing has; `limits` are what finfo tells."""

    __slots__ = ("limits", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.limits: tuple[str, int, dict[str, float]] | None = None
        if name in FLOATS:
            fraction, least, largest = FLOATS[name]
            facts = {"eps": 2.0**-fraction, "tiny": 2.0**least, "max": largest, "resolution": 1.0}
            self.limits = name, 8, facts

    def __repr__(self) -> str:
        return f"twofold.{self.name}"


for _name in (*FLOATS, *OTHERS.split()):
    globals()[_name] = AbsentType(_name)
