"""How this package was built, as PyTorch's `__config__` tells it. Floor 13."""

from __future__ import annotations

from twofold import version
from twofold.runtime.threads import get_num_threads

__all__ = ["parallel_info", "show"]


def show() -> str:
    """What kernels are made of and run on."""
    lines = [
        "Twofold built with:",
        f"  - Twofold {version.__version__}",
        "  - kernels compiled by LLVM (llvmlite) for this CPU, when they are first wanted",
        "  - no BLAS, no OpenMP, no CUDA",
    ]
    return "\n".join([*lines, ""])


def parallel_info() -> str:
    """How many threads kernels use."""
    return f"Twofold's own pool of threads\n\tget_num_threads() : {get_num_threads()}\n"
