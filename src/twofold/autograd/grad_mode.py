"""Whether operations are recorded, where PyTorch's `autograd.grad_mode` has it. Floor 8."""

from twofold.autograd.modes import Switch as _Switch
from twofold.autograd.modes import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "enable_grad",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]


class set_multithreading_enabled(_Switch):
    """Changes nothing: the walk back is one thread, and its kernels use all."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def enter(self) -> None:
        """Nothing."""

    def leave(self, before: None) -> None:
        """Nothing."""

    def again(self) -> "set_multithreading_enabled":
        return set_multithreading_enabled(self.mode)
