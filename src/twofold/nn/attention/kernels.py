"""PyTorch's choice of a kernel for attention: taken, and without effect. Floor 10.

There is one kernel here, with one answer.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator

from twofold.base.errors import DTypeError


class SDPBackend(enum.IntEnum):
    """PyTorch's kernels by their names."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(
    backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False
) -> Iterator[None]:
    """A block in which PyTorch would use these kernels; also a decorator. The result is the same.

    Raises DTypeError for what is no SDPBackend.
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    for one in chosen:
        if not isinstance(one, SDPBackend):
            raise DTypeError(
                "sdpa_kernel", f"{one!r} is not an SDPBackend", hint="SDPBackend.MATH, or a list"
            )
    yield
