"""PyTorch's questions about CUDA, answered for a machine that computes on its CPU. Floor 13.

Questions have answers (there is no device), seeds and clean-ups have nothing to do, and whatever
needs a device raises DeviceError with the line that also works here.
"""

from __future__ import annotations

from typing import Any, NoReturn

from twofold.base.errors import DeviceError, MissingNameError
from twofold.base.files import also_as
from twofold.cuda import amp, comm, nvtx

__all__ = [
    "amp", "comm", "device_count", "empty_cache", "is_available", "manual_seed", "nvtx",
]  # fmt: skip

has_half = has_magma = False
_initialized = False  # as is_initialized() says
CHOICE = 'device = "cuda" if twofold.cuda.is_available() else "cpu"'


def is_available() -> bool:
    """False: there is no CUDA device here."""
    return False


def is_initialized() -> bool:
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return False


def device_count() -> int:
    return 0


def get_arch_list() -> list[str]:
    return []


def init() -> None:
    """Nothing is there to start."""


def manual_seed(seed: int) -> None:
    """Seed no device; `twofold.manual_seed` seeds the CPU."""


def manual_seed_all(seed: int) -> None:
    """Seed no device; `twofold.manual_seed` seeds the CPU."""


def seed() -> None:
    """Seed no device."""


def seed_all() -> None:
    """Seed no device."""


def get_rng_state_all() -> list[Any]:
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Take the empty list that get_rng_state_all gave. Raises DeviceError for more."""
    if list(new_states):
        refuse("set_rng_state_all")


def empty_cache() -> None:
    """No memory is kept for a device."""


def ipc_collect() -> None:
    """No memory is shared with a device."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """No memory of a device is counted."""


def reset_max_memory_allocated(device: Any = None) -> None:
    """No memory of a device is counted."""


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """No memory of a device is counted."""


reset_max_memory_cached = reset_peak_host_memory_stats = reset_max_memory_allocated
reset_accumulated_host_memory_stats = reset_max_memory_allocated


def memory_allocated(device: Any = None) -> int:
    """0 bytes; `twofold.memory` knows those of the CPU."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated
memory_cached = max_memory_cached = memory_allocated


def memory_stats(device: Any = None) -> dict[str, Any]:
    return {}


memory_stats_as_nested_dict = host_memory_stats = memory_stats
host_memory_stats_as_nested_dict = memory_stats


def memory_snapshot(mempool_id: Any = None) -> list[Any]:
    return []


def initial_seed() -> int:
    return 0


def is_tf32_supported() -> bool:
    return False


def is_current_stream_capturing() -> bool:
    return False


def get_sync_debug_mode() -> int:
    return 0


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Nothing is waited for."""


def get_gencode_flags() -> str:
    return ""


def get_allocator_backend() -> str:
    return "native"


default_generators: tuple[Any, ...] = ()


def refuse(name: str) -> NoReturn:
    raise DeviceError(f"cuda.{name}", "there is no CUDA device here", hint=CHOICE)


def _needs_device(name: str) -> Any:
    def refused(*args: Any, **options: Any) -> NoReturn:
        refuse(name)

    doc = "Raises DeviceError: there is no CUDA device here."
    if name[0].isupper():  # programs write it in annotations too
        return type(name, (), {"__init__": refused, "__doc__": doc})
    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = doc
    return refused


# What only makes sense where a device is.
NEEDS_DEVICE = (
    "BFloat16Storage", "BFloat16Tensor", "BoolStorage", "BoolTensor", "ByteStorage",
    "ByteTensor", "CUDAGraph", "CUDAPluggableAllocator", "CharStorage", "CharTensor",
    "ComplexDoubleStorage", "ComplexFloatStorage", "DoubleStorage", "DoubleTensor", "Event",
    "ExternalStream", "FloatStorage", "FloatTensor", "GreenContext", "HalfStorage",
    "HalfTensor", "IntStorage", "IntTensor", "LongStorage", "LongTensor", "MemPool",
    "ShortStorage", "ShortTensor", "Stream", "StreamContext", "caching_allocator_alloc",
    "caching_allocator_delete", "caching_allocator_enable", "can_device_access_peer",
    "change_current_allocator", "check_error", "clock_rate", "cudart", "current_blas_handle",
    "current_device", "current_stream", "default_stream", "device", "device_memory_used",
    "device_of", "get_device_capability", "get_device_name", "get_device_properties",
    "get_per_process_memory_fraction", "get_rng_state", "get_stream_from_external", "graph",
    "graph_pool_handle", "list_gpu_processes", "make_graphed_callables", "mem_get_info",
    "memory_summary", "memory_usage", "power_draw", "set_device",
    "set_per_process_memory_fraction", "set_rng_state", "set_stream", "stream", "synchronize",
    "temperature", "use_mem_pool", "utilization",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in NEEDS_DEVICE:
        return _needs_device(name)
    raise MissingNameError("twofold.cuda", name, lambda: [*globals(), *NEEDS_DEVICE])


# The files that programs import these from.
also_as(__name__, "graphs memory random streams")
