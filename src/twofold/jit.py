"""Programs under PyTorch's names: jit.trace and jit.script. Floor 11. (`twofold.trace` is a sum.)"""

from twofold.frontends.compiled import script, trace

__all__ = ["script", "trace"]
