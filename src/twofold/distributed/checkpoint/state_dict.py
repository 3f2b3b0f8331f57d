"""States of modules and optimizers, whatever is wrapped around them. Floor 13."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from twofold.nn.parallel import DistributedDataParallel

__all__ = [
    "StateDictOptions", "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict",
    "set_model_state_dict", "set_optimizer_state_dict", "set_state_dict",
]  # fmt: skip


class StateDictOptions(NamedTuple):
    """How states are gathered from processes: there is one. `strict` is that of loading."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    strict: bool = True


def _inside(model: Any) -> Any:
    return model.module if isinstance(model, DistributedDataParallel) else model


def get_model_state_dict(model: Any, **_: Any) -> dict[str, Any]:
    """The state by the names of the module itself."""
    found: dict[str, Any] = _inside(model).state_dict()
    return found


def get_optimizer_state_dict(model: Any, optimizers: Any, **_: Any) -> dict[str, Any]:
    """The optimizer's state."""
    found: dict[str, Any] = optimizers.state_dict()
    return found


def get_state_dict(model: Any, optimizers: Any, **_: Any) -> tuple[Any, Any]:
    """Both."""
    return get_model_state_dict(model), get_optimizer_state_dict(model, optimizers)


def set_model_state_dict(
    model: Any, model_state_dict: Mapping[str, Any], *, options: Any = None
) -> Any:
    """Load a state by the names of the module itself; -> what could not be matched."""
    strict = True if options is None else options.strict
    return _inside(model).load_state_dict(model_state_dict, strict=strict)


def set_optimizer_state_dict(model: Any, optimizers: Any, optim_state_dict: Any, **_: Any) -> None:
    """Load the optimizer's state."""
    optimizers.load_state_dict(optim_state_dict)


def set_state_dict(
    model: Any,
    optimizers: Any,
    *,
    model_state_dict: Any,
    optim_state_dict: Any,
    options: Any = None,
) -> Any:
    """Both; -> what could not be matched in the module."""
    optimizers.load_state_dict(optim_state_dict)
    return set_model_state_dict(model, model_state_dict, options=options)
