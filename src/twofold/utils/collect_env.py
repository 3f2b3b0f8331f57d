"""What a program runs on, for reports: `python -m twofold.utils.collect_env`. Floor 13."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any, NamedTuple

from twofold import version
from twofold.runtime.threads import get_num_threads

__all__ = ["SystemEnv", "get_env_info", "get_pretty_env_info", "main"]

PACKAGES = ("numpy", "llvmlite", "scipy", "torchvision", "torchmetrics", "transformers", "onnx")


class SystemEnv(NamedTuple):
    """The facts, by PyTorch's names; None for what is not there."""

    torch_version: str
    is_debug_build: str
    cuda_compiled_version: str | None
    gcc_version: str | None
    clang_version: str | None
    cmake_version: str | None
    os: str
    libc_version: str
    python_version: str
    python_platform: str
    is_cuda_available: str
    cuda_runtime_version: str | None
    nvidia_driver_version: str | None
    nvidia_gpu_models: str | None
    cudnn_version: str | None
    pip_version: str
    pip_packages: str
    conda_packages: str | None
    hip_compiled_version: str
    caching_allocator_config: str
    is_xnnpack_available: str
    cpu_info: str


def _packages() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"[pip3] {name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return "\n".join(found)


def _cpu() -> str:
    model = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = (line for line in file if line.startswith("model name"))
            model = next(names, f"x:{model}").partition(":")[2].strip()
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} CPUs, {get_num_threads()} threads in use"


def get_env_info() -> SystemEnv:
    """The facts about this machine and this installation."""
    return SystemEnv(
        torch_version=f"twofold {version.__version__}",
        is_debug_build="False",
        cuda_compiled_version=None,
        gcc_version=None,
        clang_version=None,
        cmake_version=None,
        os=f"{platform.system()} {platform.release()} ({platform.machine()})",
        libc_version="-".join(platform.libc_ver()),
        python_version=f"{sys.version.partition(chr(10))[0]} ({sys.maxsize.bit_length() + 1}-bit)",
        python_platform=platform.platform(),
        is_cuda_available="False",
        cuda_runtime_version=None,
        nvidia_driver_version=None,
        nvidia_gpu_models=None,
        cudnn_version=None,
        pip_version="pip3",
        pip_packages=_packages(),
        conda_packages=None,
        hip_compiled_version="N/A",
        caching_allocator_config="N/A",
        is_xnnpack_available="False",
        cpu_info=_cpu(),
    )


def pretty_str(envinfo: Any) -> str:
    """The facts as text."""
    plain = envinfo._asdict()
    packages = plain.pop("pip_packages")
    named = {name.replace("_", " "): value for name, value in plain.items()}
    lines = [f"{name}: {'N/A' if value is None else value}" for name, value in named.items()]
    return "\n".join([*lines, "", "Versions of relevant libraries:", packages])


def get_pretty_env_info() -> str:
    """The facts about this machine and this installation, as text."""
    return pretty_str(get_env_info())


def main() -> None:
    """Print them."""
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
