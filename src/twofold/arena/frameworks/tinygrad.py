"""tinygrad, lazily (each result realised) and under TinyJit. It compiles kernels with clang."""

import os
import shutil

TITLE = "tinygrad"
DISTRIBUTION = "tinygrad"
MODES = ("eager", "jit")
QUICK = ("jit",)


def start(mode, threads):
    global Tensor, TinyJit
    os.environ.setdefault("DEV", "CPU")
    os.environ.setdefault("NUM_CPU_THREADS", str(threads))
    if shutil.which("clang") is None:
        return "it compiles its kernels with clang, which is not on the path"
    from tinygrad import Tensor, TinyJit


def tensor(array):
    return Tensor(array).realize()


def array(value):
    return value.numpy() if hasattr(value, "numpy") else value


def wait(result):
    """Contestants realise their results; reading them is what waits."""
    for leaf in result if isinstance(result, tuple | list) else [result]:
        if hasattr(leaf, "realize"):
            leaf.realize()


def compiled(mode, function, **options):
    return TinyJit(function) if mode == "jit" else function
