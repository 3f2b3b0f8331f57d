"""Mixed precision under older names: `cuda.amp.autocast()` is `amp.autocast("cuda")`. Floor 13."""

from __future__ import annotations

import functools
from typing import Any

from twofold import amp
from twofold.base.files import also_as

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

custom_fwd = functools.partial(amp.custom_fwd, device_type="cuda")
custom_bwd = functools.partial(amp.custom_bwd, device_type="cuda")


def autocast(enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> amp.autocast:
    """`amp.autocast("cuda", ...)`, which warns and changes nothing without such a device."""
    return amp.autocast("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


def GradScaler(*args: Any, **options: Any) -> amp.GradScaler:
    """`amp.GradScaler("cuda", ...)`, which warns and is off where there is no such device."""
    return amp.GradScaler("cuda", *args, **options)


def amp_definitely_not_available() -> bool:
    """True: there is no such device."""
    return True


also_as(__name__, "autocast_mode grad_scaler common")
