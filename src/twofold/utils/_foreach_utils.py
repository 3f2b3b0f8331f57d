"""Lists of tensors sorted by type, as optimizers of PyTorch's libraries want them. Floor 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.base.errors import ShapeError

__all__ = ["_group_tensors_by_device_and_dtype"]

Lists = Sequence[Sequence[Any]]


def _group_tensors_by_device_and_dtype(
    tensorlistlist: Lists, with_indices: bool = False
) -> dict[Any, tuple[list[list[Any]], list[int]]]:
    """Lists of equal length, cut into those of each (device, dtype) of the first list's tensors.

    The lists may be empty, and all but the first may hold None. With `with_indices`, each group
    tells at which places its tensors stood. Raises ShapeError for lists of other lengths.
    """
    first, lengths = tensorlistlist[0], [len(one) for one in tensorlistlist]
    if any([length not in (0, len(first)) for length in lengths]):
        raise ShapeError("group_tensors", f"lists of {lengths} tensors", hint="equal lengths")
    places: dict[Any, list[int]] = {}
    for place, x in enumerate(first):
        places.setdefault((x.device, x.dtype), []).append(place)
    groups = {}
    for key, found in places.items():
        parts = [[one[i] for i in found] if one else [] for one in tensorlistlist]
        groups[key] = (parts, found if with_indices else [])
    return groups


def _get_foreach_kernels_supported_devices() -> list[str]:
    """The devices on which lists are worth it, besides the CPU: there are none."""
    return []


def _get_fused_kernels_supported_devices() -> list[str]:
    """The devices whose optimizers take one step over all parameters."""
    return ["cpu"]
