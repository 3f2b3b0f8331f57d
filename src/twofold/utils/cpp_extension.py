"""Operations in C++ or CUDA, under PyTorch's names: nothing here can build or load them. Floor 13.

It can be imported, as packages' setup files and libraries with an optional kernel do. What builds
raises when it is called; most libraries then take their plain path.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from typing import Any, NoReturn

from twofold.base.errors import ArgumentError

__all__ = [
    "BuildExtension", "CUDAExtension", "CppExtension", "SyclExtension", "include_paths",
    "is_ninja_available", "library_paths", "load", "load_inline", "verify_ninja_availability",
]  # fmt: skip

CUDA_HOME = ROCM_HOME = SYCL_HOME = CUDNN_HOME = None
IS_WINDOWS = sys.platform == "win32"
IS_HIP_EXTENSION = False


def load(name: str, *args: Any, **options: Any) -> NoReturn:
    """Raises ArgumentError: kernels here are made of Twofold's own operations."""
    hint = (
        "write it in operations on tensors and twofold.compile it, which fuses them; "
        "twofold.library.custom_op gives it a name and a gradient"
    )
    problem = f"{name!r} cannot be built: PyTorch's C++ interface is not here"
    raise ArgumentError("cpp_extension", problem, hint=hint)


load_inline = load


def CppExtension(name: str, sources: Any, *args: Any, **options: Any) -> NoReturn:
    """Raises ArgumentError, as `load` does."""
    load(name)


CUDAExtension = SyclExtension = CppExtension


class BuildExtension:
    """The command of a setup file that would build extensions. Raises ArgumentError when made."""

    def __init__(self, *args: Any, **options: Any) -> None:
        load("an extension")

    @classmethod
    def with_options(cls, **options: Any) -> type[BuildExtension]:
        return cls


def include_paths(device_type: str = "cpu", torch_include_dirs: bool = True) -> list[str]:
    """None: there are no headers."""
    return []


library_paths = include_paths


def is_ninja_available() -> bool:
    return shutil.which("ninja") is not None


def verify_ninja_availability() -> None:
    """Raises ArgumentError where there is no ninja."""
    if not is_ninja_available():
        raise ArgumentError("cpp_extension", "there is no ninja", hint="nothing is built here")


def get_cxx_compiler() -> str:
    """The name of the C++ compiler that would be asked: CXX, or c++."""
    return os.environ.get("CXX", "c++")


def check_compiler_ok_for_platform(compiler: str) -> bool:
    return shutil.which(compiler) is not None


def check_compiler_is_gcc(compiler: str) -> bool:
    return "g++" in compiler or "gcc" in compiler


def get_default_build_root() -> str:
    """Where extensions would be built."""
    return os.path.join(tempfile.gettempdir(), "torch_extensions")
