"""Checkpoints of several processes by PyTorch's names, for one: a file in a folder. Floor 13."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from twofold.base.errors import ArgumentError, StateError
from twofold.distributed.checkpoint import state_dict as state_dict
from twofold.ops.tensor import Tensor
from twofold.saving import files

__all__ = ["FileSystemReader", "FileSystemWriter", "load", "save"]

NAME = "state.safetensors"


class FileSystemWriter:
    """The folder that a checkpoint is written to."""

    def __init__(self, path: Any, *_: Any, **__: Any) -> None:
        self.path = path


class FileSystemReader(FileSystemWriter):
    """The folder that a checkpoint is read from."""


def _file(checkpoint_id: Any, storage: Any) -> str:
    folder = getattr(storage, "path", None) if checkpoint_id is None else checkpoint_id
    if folder is None:
        raise ArgumentError("checkpoint", "no folder is named", hint="checkpoint_id=folder")
    return os.path.join(folder, NAME)


def _plain(state: Any) -> Any:
    """The state of what has one, in its place."""
    if isinstance(state, Mapping):
        return {name: _plain(value) for name, value in state.items()}
    return state.state_dict() if hasattr(state, "load_state_dict") else state


def save(
    state_dict: Mapping[str, Any],
    *,
    checkpoint_id: Any = None,
    storage_writer: Any = None,
    **_: Any,
) -> None:
    """Write a state, nested in dicts, to a folder, which is made. Raises as `twofold.save` does."""
    path = _file(checkpoint_id, storage_writer)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.save(_plain(state_dict), path)


def load(
    state_dict: dict[str, Any], *, checkpoint_id: Any = None, storage_reader: Any = None, **_: Any
) -> None:
    """Read a state into the tensors, modules and places of `state_dict`.

    Raises StateError for a name that the checkpoint does not have.
    """
    _take(state_dict, files.load(_file(checkpoint_id, storage_reader)))


def _take(into: dict[str, Any], saved: Mapping[str, Any]) -> None:
    for name, value in into.items():
        if name not in saved:
            hint = f"it has {', '.join(map(str, saved))}"
            raise StateError("checkpoint.load", f"the checkpoint has no {name!r}", hint=hint)
        if hasattr(value, "load_state_dict"):
            value.load_state_dict(saved[name])
        elif isinstance(value, dict):
            _take(value, saved[name])
        elif isinstance(value, Tensor):
            value.detach().copy_(saved[name])  # type: ignore[attr-defined]
        else:
            into[name] = saved[name]
