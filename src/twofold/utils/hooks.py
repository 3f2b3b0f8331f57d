"""What is given back where a hook is registered, under PyTorch's name. Floor 13."""

from twofold.autograd.api import HookHandle as RemovableHandle

__all__ = ["RemovableHandle"]
