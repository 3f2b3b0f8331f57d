"""A module's state, and loading one: all of it or nothing. Floor 10."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, StateError
from twofold.base.records import NamedTuple
from twofold.ops.tensor import Exchanged, Tensor, type_of
from twofold.ops.writing import overwrite, touched

EXTRA = "_extra_state"
SHOWN = 12  # names of a kind in an error


class LoadResult(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"LoadResult(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


def own_state(module: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a module's own parameters and persistent buffers."""
    for name, value in module._parameters.items():
        if value is not None:
            yield name, value
    for name, value in module._buffers.items():
        if value is not None and name not in module._non_persistent_buffers_set:
            yield name, value


def targets_of(module: Any) -> dict[str, Tensor]:
    """Every tensor of the state, by dotted name; shared ones under each of their names."""
    made = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for name, value in own_state(part):
            made[f"{path}.{name}" if path else name] = value
    return made


def load_state(module: Any, state: Mapping[str, Any], strict: bool, assign: bool) -> LoadResult:
    """What Module.load_state_dict does."""
    op = f"{type(module).__name__}.load_state_dict"
    if not isinstance(state, Mapping):
        what = f"a {type(state).__name__} is not a state"
        raise DTypeError(op, what, hint="a dictionary of tensors by name")
    own = targets_of(module)
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own and not name.endswith(EXTRA)]
    wrong = [
        f"{name}: saved {_type(state[name])}, here {type_of(target)}"
        for name, target in own.items()
        if name in state and _shape(state[name]) != target.array.shape
    ]
    if wrong or (strict and (missing or unexpected)):
        raise _mismatch(op, missing, unexpected, wrong)
    for name, target in own.items():
        if name in state:
            _load_into(target, state[name], assign)
    _load_extra(module, state)
    return LoadResult(missing, unexpected)


def _load_extra(module: Any, state: Mapping[str, Any]) -> None:
    for path, part in module.named_modules():
        key = f"{path}.{EXTRA}" if path else EXTRA
        if key in state and hasattr(part, "set_extra_state"):
            part.set_extra_state(state[key])


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.array.shape
    return tuple(np.shape(value)) if hasattr(value, "shape") else None


def _type(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(type_of(value))
    shape = _shape(value)
    return type(value).__name__ if shape is None else f"{type(value).__name__}{list(shape)}"


def _load_into(target: Tensor, value: Any, assign: bool) -> None:
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    if assign:
        target.array = array
        Exchanged.times += 1
        touched(target)
    else:
        overwrite(target, dtypes.convert(array, target.dtype), "load_state_dict")


def _mismatch(op: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> StateError:
    facts: dict[str, object] = {}
    for label, rows in (("missing", missing), ("unexpected", unexpected), ("different", wrong)):
        if rows:
            more = [f"... and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
            facts[label] = "\n".join(rows[:SHOWN] + more)
    return StateError(
        op,
        "the saved state does not fit this module",
        hint="the same architecture, or strict=False to load what fits by name",
        **facts,
    )
