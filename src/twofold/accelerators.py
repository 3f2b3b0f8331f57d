"""Accelerators under PyTorch's names: `accelerator`, `mps`, `mtia`, `xpu`, all absent. Floor 13."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn, final

from twofold.base.errors import DeviceError


@final
class Accelerator(ModuleType):
    """A kind of device that is not here: its questions have answers, its seeds nothing to seed.

    It is a module: programs import it by its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"twofold.{name}", "A kind of device that is not here.")
        self.__package__ = self.__name__
        self.name = name

    def is_available(self) -> bool:
        return False

    is_initialized = is_built = is_tf32_supported = is_current_stream_capturing = is_available

    def init(self) -> None:
        """Nothing is there to start."""

    def device_count(self) -> int:
        return 0

    def current_accelerator(self, check_available: bool = False) -> None:
        """None: programs then take the CPU."""

    def manual_seed(self, seed: int) -> None:
        """Seed no device; `twofold.manual_seed` seeds the CPU."""

    manual_seed_all = manual_seed

    def seed(self) -> None:
        """Seed no device."""

    seed_all = seed

    def empty_cache(self) -> None:
        """No memory is kept for a device."""

    empty_host_cache = reset_peak_memory_stats = reset_accumulated_memory_stats = empty_cache

    def memory_stats(self, *_: Any) -> dict[str, Any]:
        return {}

    memory_stats_as_nested_dict = memory_stats

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return False

    def get_rng_state_all(self) -> list[Any]:
        return []

    get_arch_list = memory_snapshot = get_rng_state_all

    def set_rng_state_all(self, new_states: Any) -> None:
        """Take the empty list that get_rng_state_all gave. Raises DeviceError for more."""
        if list(new_states):
            self.refuse()

    def get_gencode_flags(self) -> str:
        return ""

    @contextlib.contextmanager
    def device_index(self, device: Any) -> Iterator[None]:
        """Raises DeviceError, but for None, with which the block is one like any other."""
        if device is not None:
            self.refuse()
        yield

    def memory_allocated(self, *_: Any) -> int:
        return 0

    current_allocated_memory = driver_allocated_memory = memory_allocated
    max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated
    recommended_max_memory = initial_seed = memory_allocated

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Raises DeviceError: this needs a device."""
        hint = f"if twofold.{self.name}.is_available(): ..."
        raise DeviceError(self.name, "there is no such device here", hint=hint)

    synchronize = set_device = set_device_index = set_device_idx = current_device = refuse
    current_device_index = current_device_idx = current_stream = set_stream = refuse
    get_device_name = get_device_properties = Event = Stream = refuse
    get_device_capability = get_memory_info = mem_get_info = get_rng_state = set_rng_state = refuse
    set_per_process_memory_fraction = stream = device = default_stream = refuse
    can_device_access_peer = clock_rate = device_memory_used = get_stream_from_external = refuse
    compile_shader = load_metallib = graph = make_graphed_callables = memory_usage = refuse
    Graph = MTIAGraph = XPUGraph = StreamContext = device_of = power_draw = refuse


accelerator = Accelerator("accelerator")
mps = Accelerator("mps")
mtia = Accelerator("mtia")
xpu = Accelerator("xpu")


class Stream:
    """Raises DeviceError when it is made: work is queued on accelerators only."""

    def __init__(self, *_: Any, **__: Any) -> None:
        accelerator.refuse()


@final
class Event(Stream):
    """Raises DeviceError when it is made, as a Stream does."""


def get_device_module(device: Any = None) -> Any:
    """The module of a kind of device: `cpu`, `cuda` or one of these. Raises DeviceError for others.

    Without a device: `cpu`, as there is no accelerator.
    """
    kind = "cpu" if device is None else str(getattr(device, "type", device)).partition(":")[0]
    if kind not in ("cpu", "cuda", "mps", "mtia", "xpu"):
        hint = "cpu, cuda, mps, mtia or xpu"
        raise DeviceError("get_device_module", f"there is no kind {kind!r}", hint=hint)
    return getattr(sys.modules["twofold"], kind)
