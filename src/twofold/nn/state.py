"""A module's state, and loading one: all of it or nothing. Floor 10."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from twofold.autograd.api import HookHandle
from twofold.base import dtypes
from twofold.base.devices import META
from twofold.base.errors import DTypeError, StateError, UndefinedError, kind_of
from twofold.base.records import NamedTuple
from twofold.ops.bind import mode
from twofold.ops.elementwise import cast
from twofold.ops.stand_in import device_of
from twofold.ops.tensor import Exchanged, OtherLayout, Tensor, type_of
from twofold.ops.writing import overwrite, touched

EXTRA = "_extra_state"
SHOWN = 12  # names of a kind in an error
_numbers = itertools.count()


class LoadResult(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )

    def __str__(self) -> str:
        return repr(self)


def own_state(module: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a module's own parameters and persistent buffers."""
    for name, value in module._parameters.items():
        if value is not None:
            yield name, value
    for name, value in module._buffers.items():
        if value is not None and name not in module._non_persistent_buffers_set:
            yield name, value


class Loading(NamedTuple):
    """What was found while a state is loaded, before anything is written."""

    found: list[tuple[Tensor, Any]]
    known: set[str]  # names that a module has looked for
    own_ways: list[tuple[str, Any]]  # modules that did not look for theirs as others do
    assign: bool


_loading: list[Loading] = []


def load_state(module: Any, state: Any, strict: bool, assign: bool) -> LoadResult:
    """What Module.load_state_dict does."""
    op = f"{type(module).__name__}.load_state_dict"
    if not isinstance(state, Mapping):
        what = f"{kind_of(state)} is not a state"
        raise DTypeError(op, what, hint="a dictionary of tensors by name")
    loading = Loading([], set(), [], assign)
    missing: list[str] = []
    unexpected: list[str] = []
    wrong: list[str] = []
    metadata = getattr(state, "_metadata", None)
    state = OrderedDict(state)  # hooks may rename what is in it
    state._metadata = metadata
    _loading.append(loading)
    try:
        visited = _look(module, state, "", strict, (missing, unexpected, wrong))
    finally:
        _loading.pop()
    unexpected += [name for name in state if _is_unexpected(name, loading)]
    result = LoadResult(missing, unexpected)
    for part in reversed(visited):
        for hook in part.__dict__.get(LOADED, {}).values():
            hook(part, result)
    if wrong or (strict and (missing or unexpected)):
        raise _mismatch(op, missing, unexpected, wrong)
    _check_memory(op, loading)
    for target, value in loading.found:
        _load_into(target, value, assign)
    _load_extra(module, state)
    return result


def _look(module: Any, state: Any, prefix: str, strict: bool, notes: Any) -> list[Any]:
    """Let a module and those below it look for what is theirs: -> all of them."""
    before = len(_loading[-1].known)
    versions = state._metadata
    known = {"version": module._version} if versions is None else versions.get(prefix[:-1], {})
    version = {**known, "assign_to_params_buffers": _loading[-1].assign}
    for hook in list(module.__dict__.get(LOAD, {}).values()):
        hook(state, prefix, version, strict, *notes)
    module._load_from_state_dict(state, prefix, version, strict, *notes)
    if len(_loading[-1].known) == before:
        _loading[-1].own_ways.append((prefix, module))
    visited = [module]
    for name, part in module._modules.items():
        if part is not None:
            visited += _look(part, state, f"{prefix}{name}.", strict, notes)
    return visited


def load_own(
    self: Any,
    state_dict: Mapping[str, Any],
    prefix: str,
    local_metadata: Mapping[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Look for this module's own parameters and buffers under `prefix`; subclasses that rename what
    older files hold do so and call this. What is found is written when all modules have looked.
    """
    loading = _loading[-1] if _loading else Loading([], set(), [], False)
    for name, target in own_state(self):
        key = prefix + name
        loading.known.add(key)
        if key not in state_dict:
            missing_keys.append(key)
        elif _is_open(state_dict[key]) and _is_open(target):
            continue  # neither has values
        elif not _is_open(target) and not _fits(state_dict[key], target):
            error_msgs.append(f"{key}: saved {_type(state_dict[key])}, here {_type(target)}")
        else:
            loading.found.append((target, state_dict[key]))
    extra = prefix + EXTRA
    loading.known.add(extra)
    if _takes_extra(self) != (extra in state_dict):
        (missing_keys if _takes_extra(self) else unexpected_keys).append(extra)
    if not _loading:
        for target, value in loading.found:
            _load_into(target, value, False)


def _is_unexpected(name: str, loading: Loading) -> bool:
    if name in loading.known:
        return False
    for prefix, module in loading.own_ways:
        if name.startswith(prefix):
            child, below, _ = name[len(prefix) :].partition(".")
            if not (below and child in module._modules):
                return False
    return True


# Hooks: tables that a module has once there is one of their kind.
LOAD, LOADED, SAVE, SAVED = "_on_load", "_on_loaded", "_on_save", "_on_saved"


def _hook(self: Any, table: str, hook: Any) -> HookHandle:
    hooks = self.__dict__.setdefault(table, OrderedDict())
    key = next(_numbers)
    hooks[key] = hook
    return HookHandle(lambda: hooks.pop(key, None))


def on_load(self: Any, hook: Any, with_module: bool = False) -> HookHandle:
    """Call hook(state, prefix, metadata, strict, missing, unexpected, errors), which may change the
    state, before this module looks for what is its own in it; with the module first, if
    `with_module`.
    """
    return _hook(self, LOAD, functools.partial(hook, self) if with_module else hook)


def on_load_with_module(self: Any, hook: Any) -> HookHandle:
    """Call hook(module, state, prefix, metadata, strict, missing, unexpected, errors), which may
    change the state, before this module looks for what is its own in it.
    """
    return on_load(self, hook, with_module=True)


def on_loaded(self: Any, hook: Any) -> HookHandle:
    """Call hook(module, result) when the whole state has been looked at: it may take names out of
    result.missing_keys and result.unexpected_keys.
    """
    return _hook(self, LOADED, hook)


def on_save(self: Any, hook: Any) -> HookHandle:
    """Call hook(module, prefix, keep_vars) before this module's state is taken."""
    return _hook(self, SAVE, hook)


def on_saved(self: Any, hook: Any) -> HookHandle:
    """Call hook(module, state, prefix, metadata) when this module's state and that of all below it
    is in `state`; a dictionary that it returns takes its place.
    """
    return _hook(self, SAVED, hook)


def save_own(self: Any, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Put this module's own parameters, buffers and extra state into `destination`."""
    for name, value in own_state(self):
        whole = keep_vars or _is_open(value)
        destination[prefix + name] = value if whole else value.detach()  # type: ignore[attr-defined]
    if type(self).get_extra_state is not no_extra_state:
        destination[prefix + EXTRA] = self.get_extra_state()


def no_extra_state(self: Any) -> Any:
    """What is part of the module's state besides tensors, for `state_dict`. Modules that have such
    define this and `set_extra_state`.
    """
    raise _undefined(self, "get_extra_state")


def takes_no_extra_state(self: Any, state: Any) -> None:
    """Take what `get_extra_state` gave, from `load_state_dict`."""
    raise _undefined(self, "set_extra_state")


def _undefined(module: Any, name: str) -> UndefinedError:
    owner = type(module).__name__
    return UndefinedError(owner, f"the module does not define {name}", hint=f"def {name}")


def _takes_extra(module: Any) -> bool:
    return type(module).set_extra_state is not takes_no_extra_state


def state_of(module: Any, result: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """What Module.state_dict does. `result._metadata` gets the module's version, if it is there."""
    version = {"version": module._version}
    if hasattr(result, "_metadata"):
        result._metadata[prefix[:-1]] = version
    for hook in list(module.__dict__.get(SAVE, {}).values()):
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(result, prefix, keep_vars)
    for name, part in module._modules.items():
        if part is not None:
            part.state_dict(destination=result, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in list(module.__dict__.get(SAVED, {}).values()):
        made = hook(module, result, prefix, version)
        result = result if made is None else made
    return result


def _load_extra(module: Any, state: Mapping[str, Any]) -> None:
    for path, part in module.named_modules():
        key = f"{path}.{EXTRA}" if path else EXTRA
        if key in state and _takes_extra(part):
            part.set_extra_state(state[key])


def _is_open(value: Any) -> bool:
    """Whether a parameter or a buffer waits for its shape (nn/lazy.py)."""
    return hasattr(value, "materialize")


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.array.shape
    return tuple(np.shape(value)) if hasattr(value, "shape") else None


def _fits(value: Any, target: Any) -> bool:
    """Whether a value has the target's sizes, and its layout."""
    layout = type(target) if isinstance(target, OtherLayout) else None
    if layout is not None or isinstance(value, OtherLayout):
        return type(value) is layout and tuple(value.shape) == tuple(target.shape)
    return bool(_shape(value) == target.array.shape)


def _type(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(type_of(value))
    shape = _shape(value)
    return type(value).__name__ if shape is None else f"{type(value).__name__}{list(shape)}"


def _check_memory(op: str, loading: Loading) -> None:
    """Refuse to copy values into tensors that have no memory for them."""
    targets = [target for target, _ in loading.found if isinstance(target, Tensor)]
    if any(device_of(target) is META for target in targets) and not loading.assign:
        raise StateError(
            op,
            'the module is on the "meta" device and has no memory for values',
            hint='load_state_dict(state, assign=True), or module.to_empty(device="cpu") before it',
        )


def _load_into(target: Any, value: Any, assign: bool) -> None:
    if isinstance(target, OtherLayout):
        target.copy_(value)  # type: ignore[attr-defined]
        return
    if mode.capture is not None and isinstance(value, Tensor) and not assign:
        value = cast(value.detach(), target.dtype)  # type: ignore[attr-defined]
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    if _is_open(target):
        target.materialize(array.shape)
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
    hint = _prefix_hint(missing, unexpected)
    return StateError(
        op,
        "the saved state does not fit this module",
        hint=hint or "the same architecture, or strict=False to load what fits by name",
        **facts,
    )


def _prefix_hint(missing: list[str], unexpected: list[str]) -> str:
    """What to do where the names differ by a prefix alone, as those of wrapped modules do."""
    if not missing or len(missing) != len(unexpected):
        return ""
    saved, here = min(unexpected, key=len), min(missing, key=len)
    if saved.endswith(here):
        prefix = saved.removesuffix(here)
        if {prefix + name for name in missing} == set(unexpected):
            return f"{{name.removeprefix({prefix!r}): value for name, value in state.items()}}"
    if here.endswith(saved):
        prefix = here.removesuffix(saved)
        if {prefix + name for name in unexpected} == set(missing):
            return f"{{{prefix!r} + name: value for name, value in state.items()}}"
    return ""
