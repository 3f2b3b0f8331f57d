"""Forward mode by hand, under torch.autograd.forward_ad's names: dual tensors in a block. Floor 8.

>>> with dual_level():
...     x = make_dual(primal, tangent)
...     slope = unpack_dual(x * x).tangent
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from twofold.autograd.forward import Forward, Pair, check_tangents
from twofold.autograd.levels import current_level
from twofold.base.errors import GradientError
from twofold.base.records import NamedTuple
from twofold.ops.bind import interpreter
from twofold.ops.tensor import Tensor, wrap


class UnpackedDualTensor(NamedTuple):
    """A value, and its tangent or None."""

    primal: Tensor
    tangent: Tensor | None


@contextlib.contextmanager
def dual_level() -> Iterator[Forward]:
    """In the block, tensors may be duals; what is computed from duals is dual."""
    level = Forward()
    with interpreter(level):
        yield level


_entered: list[Any] = []


def enter_dual_level() -> Forward:
    """Begin what `dual_level` is a block of; `exit_dual_level` ends it."""
    block = dual_level()
    level = block.__enter__()
    _entered.append((level, block))
    return level


def exit_dual_level(*, level: Forward | None = None) -> None:
    """End the level that was entered last. Raises GradientError for another one."""
    if not _entered or level not in (None, _entered[-1][0]):
        problem = "this is not the level that was entered last"
        raise GradientError("exit_dual_level", problem, hint="with dual_level(): ...")
    _entered.pop()[1].__exit__(None, None, None)


def _level(op: str, level: Any) -> Forward:
    found = current_level() if level is None else level
    if not isinstance(found, Forward):
        raise GradientError(op, "there is no dual level", hint="with dual_level(): ...")
    return found


def make_dual(tensor: Tensor, tangent: Tensor, *, level: Forward | None = None) -> Tensor:
    """The tensor with a tangent of its shape and type."""
    check_tangents("make_dual", [tensor], [tangent])
    return wrap(Pair(_level("make_dual", level), tensor, tangent))


def unpack_dual(tensor: Tensor, *, level: Forward | None = None) -> UnpackedDualTensor:
    """The value and the tangent of a tensor, None if it has none, as outside of every level."""
    if level is None and not isinstance(current_level(), Forward):
        return UnpackedDualTensor(tensor, None)
    found = _level("unpack_dual", level)
    return UnpackedDualTensor(found.value_of(tensor), found.tangent_of(tensor))
