"""Programs under PyTorch's names: jit.trace and jit.script. Floor 11."""

from twofold.frontends.compiled import script, trace

__all__ = ["script", "trace"]
