"""CUDA's switches, for programs that set them: kept, and without effect here. Floor 13."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

matmul = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=False,
    allow_bf16_reduced_precision_reduction=False,
    fp32_precision="ieee",
)
cufft_plan_cache = SimpleNamespace(size=0, max_size=0)
_attention = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    return False


def _switch(kind: str) -> Any:
    def enable(enabled: bool) -> None:
        _attention[kind] = bool(enabled)

    enable.__doc__ = "Kept, and without effect: attention has one kernel here, with one answer."
    return enable


enable_flash_sdp = _switch("flash")
enable_mem_efficient_sdp = _switch("mem_efficient")
enable_math_sdp = _switch("math")
enable_cudnn_sdp = _switch("cudnn")


def flash_sdp_enabled() -> bool:
    return _attention["flash"]


def mem_efficient_sdp_enabled() -> bool:
    return _attention["mem_efficient"]


def math_sdp_enabled() -> bool:
    return _attention["math"]


def cudnn_sdp_enabled() -> bool:
    return _attention["cudnn"]


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """In the block, the choice is kept; attention has one kernel here, with one answer."""
    before = dict(_attention)
    _attention.update(
        flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn
    )
    try:
        yield
    finally:
        _attention.update(before)
