"""PyTorch's global switches: what they ask for holds already, or cannot be had. Floor 11."""

from __future__ import annotations

import sys
from typing import Any

from twofold.base import dtypes
from twofold.base.devices import CPU, Device, home, known_device, moved
from twofold.base.errors import ArgumentError
from twofold.ops.storage import TypedStorage, UntypedStorage
from twofold.ops.typed import TensorKind

_kept: dict[str, Any] = {"deterministic": False, "warn_only": False, "precision": "highest"}
PRECISIONS = ("highest", "high", "medium")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Kept for `are_deterministic_algorithms_enabled`; every algorithm here is, in either mode."""
    _kept.update(deterministic=bool(mode), warn_only=bool(warn_only))


def are_deterministic_algorithms_enabled() -> bool:
    return _kept["deterministic"]  # type: ignore[no-any-return]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    return _kept["warn_only"]  # type: ignore[no-any-return]


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 "default", 1 "warn" or 2 "error": kept."""
    modes = {"default": 0, "warn": 1, "error": 2, 0: 0, 1: 1, 2: 2}
    if debug_mode not in modes:
        hint = '"default", "warn" or "error"'
        raise ArgumentError("set_deterministic_debug_mode", f"no mode {debug_mode!r}", hint=hint)
    use_deterministic_algorithms(modes[debug_mode] > 0, warn_only=modes[debug_mode] == 1)


def get_deterministic_debug_mode() -> int:
    return 0 if not _kept["deterministic"] else 1 if _kept["warn_only"] else 2


def set_float32_matmul_precision(precision: str) -> None:
    """Kept; products of float32 are computed in float32 whatever is chosen."""
    if precision not in PRECISIONS:
        problem = f"no precision {precision!r}"
        raise ArgumentError("set_float32_matmul_precision", problem, hint=", ".join(PRECISIONS))
    _kept["precision"] = precision


def get_float32_matmul_precision() -> str:
    return _kept["precision"]  # type: ignore[no-any-return]


def set_flush_denormal(mode: bool) -> bool:
    """Whether that could be done: smallest numbers are always kept, so only False can."""
    return not mode


def set_default_device(device: Any) -> None:
    """Where this thread makes tensors that are not told: the CPU, or "meta". Raises DeviceError for
    another.
    """
    home.device = known_device(device)
    moved()


def get_default_device() -> Device:
    return home.device or CPU


def set_default_tensor_type(t: Any) -> None:
    """The older way to call set_default_dtype: `FloatTensor` or `"torch.DoubleTensor"`."""
    kind = t if isinstance(t, TensorKind) else TensorKind.named(str(t), "set_default_tensor_type")
    dtypes.set_default_dtype(kind.dtype)


def set_num_interop_threads(threads: int) -> None:
    """Operations run one after the other, so there is one such thread. Raises for less than 1."""
    if threads < 1:
        raise ArgumentError("set_num_interop_threads", "there is one thread at least", got=threads)


def get_num_interop_threads() -> int:
    return 1


def set_warn_always(mode: bool) -> None:
    """Warnings are Python's: `warnings.simplefilter("always")`."""


def is_warn_always_enabled() -> bool:
    return False


def compiled_with_cxx11_abi() -> bool:
    """False: no C++ was compiled."""
    return False


def typename(obj: Any) -> str:
    """The full name of an object's type; the older name of a tensor's."""
    kind = getattr(obj, "type", None)
    if callable(kind) and hasattr(obj, "array"):
        return str(kind())
    found = obj if isinstance(obj, type) else type(obj)
    module = found.__module__
    return found.__qualname__ if module in ("builtins", "") else f"{module}.{found.__qualname__}"


def is_storage(obj: Any) -> bool:
    """Whether it is the memory of a tensor: `x.storage()`, `x.untyped_storage()`."""
    return isinstance(obj, TypedStorage | UntypedStorage)


def show_config() -> str:
    """What this build is made of, as text."""
    return f"Twofold on Python {sys.version.split()[0]}, its own kernels, CPU only"
