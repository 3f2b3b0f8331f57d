"""Memory shared with other libraries by DLPack. Floor 13."""

from __future__ import annotations

from twofold.ops.convert import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
