"""Modules that are computed again for their gradients, under PyTorch's names. Floor 13."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, final

from twofold.autograd.checkpoint import checkpoint
from twofold.autograd.graph import save_on_cpu
from twofold.nn.module import Module

__all__ = [
    "CheckpointImpl", "CheckpointWrapper", "OffloadWrapper", "apply_activation_checkpointing",
    "checkpoint_wrapper", "offload_wrapper",
]  # fmt: skip

_INSIDE = "_checkpoint_wrapped_module"


class CheckpointImpl(enum.Enum):
    """PyTorch's two ways to checkpoint; both give the same here."""

    REENTRANT = 1
    NO_REENTRANT = 2


class ActivationWrapper(Module):
    """A module around another, with the other's names in its state."""

    def __init__(self, mod: Module) -> None:
        super().__init__()
        self._checkpoint_wrapped_module = mod
        self._register_state_dict_hook(_without)
        self._register_load_state_dict_pre_hook(_within)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules[_INSIDE], name)

    def __getitem__(self, key: Any) -> Any:
        inside: Any = self._checkpoint_wrapped_module
        return inside[key]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        for name, x in super().named_parameters(*args, **kwargs):
            yield name.replace(f"{_INSIDE}.", ""), x


def _without(module: Any, state: Any, prefix: str, metadata: Any) -> None:
    """The names of a state as those of the module inside."""
    _rename(state, f"{prefix}{_INSIDE}.", prefix)


def _within(state: Any, prefix: str, *_: Any) -> None:
    """Names of the module inside as this one has them."""
    _rename(state, prefix, f"{prefix}{_INSIDE}.")


def _rename(state: Any, old: str, new: str) -> None:
    for name in [name for name in state if name.startswith(old)]:
        state[new + name[len(old) :]] = state.pop(name)


@final
class CheckpointWrapper(ActivationWrapper):
    """Calls the module through `checkpoint`: its inner values are computed again for gradients."""

    def __init__(
        self,
        mod: Module,
        checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
        checkpoint_fn: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(mod)
        self.checkpoint_impl = checkpoint_impl
        self.checkpoint_fn = checkpoint if checkpoint_fn is None else checkpoint_fn
        self.options = options
        if checkpoint_fn is None:
            self.options.setdefault("use_reentrant", checkpoint_impl is CheckpointImpl.REENTRANT)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.checkpoint_fn(self._checkpoint_wrapped_module, *args, **self.options, **kwargs)


@final
class OffloadWrapper(ActivationWrapper):
    """Calls the module with what gradients need kept on the CPU, where it is."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with save_on_cpu():
            return self._checkpoint_wrapped_module(*args, **kwargs)


def checkpoint_wrapper(
    module: Module,
    checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
    checkpoint_fn: Callable[..., Any] | None = None,
    **options: Any,
) -> Module:
    """The module in a CheckpointWrapper."""
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **options)


def offload_wrapper(module: Module) -> Module:
    """The module in an OffloadWrapper."""
    return OffloadWrapper(module)


def apply_activation_checkpointing(
    model: Module,
    checkpoint_wrapper_fn: Callable[[Module], Module] = checkpoint_wrapper,
    check_fn: Callable[[Module], bool] = lambda _: True,
    auto_wrap_policy: Any = None,
) -> None:
    """Put every module below `model` for which check_fn(module) holds into a wrapper, in place."""
    for name, child in list(model.named_children()):
        apply_activation_checkpointing(child, checkpoint_wrapper_fn, check_fn)
        if check_fn(child):
            setattr(model, name, checkpoint_wrapper_fn(child))
