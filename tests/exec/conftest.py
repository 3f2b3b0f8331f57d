"""Each test of this floor meets machine code that has no records of calls from the tests before,
and that remembers a call when it sees it first.
"""

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from twofold.exec import tensors


def set_met(code: Any, all_: int) -> None:
    """Whether every call counts as one that was met before."""
    if code is not None:
        ctypes.c_int64.from_address(code.address("met_all")).value = all_


@pytest.fixture(autouse=True)
def no_records() -> Iterator[None]:
    def remember(code: Any) -> None:
        set_met(code, 1)

    tensors.watchers.append(remember)
    for memory in tensors._memories:
        memory.met_all.value = 1
        for row in memory.kept:
            ctypes.c_int64.from_address(memory.table + 8 * row).value = 0
        memory.kept.clear()  # from now on these rows are empty for Python, too
    yield
    tensors.watchers.remove(remember)
    for memory in tensors._memories:
        memory.met_all.value = 0
