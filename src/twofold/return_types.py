"""The classes of what functions give that have several results: `return_types.max`. Floor 9.

A result is a tuple with names, of a class of its own for each function.
"""

from __future__ import annotations

from typing import Any

from twofold.ops import (
    checked,
    counting,
    decompose,
    histograms,
    ldl,
    lu_packed,
    matrix,
    older,
    quantiles,
    reflections,
    solve,
    sorting,
    statistics,
)

_MODULES = (
    checked, counting, decompose, histograms, ldl, lu_packed, matrix, older, quantiles,
    reflections, solve, sorting, statistics,
)  # fmt: skip
all_return_types: list[Any] = []


def _gather(kind: Any) -> None:
    if isinstance(kind, type) and kind.__module__ == __name__:
        globals()[kind.__name__] = kind
        all_return_types.append(kind)


for _module in _MODULES:
    for _kind in list(vars(_module).values()):
        _gather(_kind)
for _kind in statistics._KINDS.values():
    _gather(_kind)

# Two functions that give what another one gives.
qr = decompose._QR
slogdet = solve._SlogdetResult
