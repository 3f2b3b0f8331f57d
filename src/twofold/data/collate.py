"""Put items together into a batch. Floor 11.

Tensors, arrays and numbers are stacked along a new first axis; texts and bytes stay as they are;
dicts, named tuples, tuples and lists are put together part by part.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops import joining
from twofold.ops.tensor import Tensor, type_of, wrap

FEW = 64  # tensors that machine code joins
# NumPy's letters for types of texts and objects, which no tensor holds: PyTorch's name for them.
np_str_obj_array_pattern = re.compile(r"[SaUO]")


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from a list of items that are built alike.

    Raises ShapeError where tensors differ in shape or lists in length, TypeError for other kinds.

    >>> default_collate([(image, 3), (image, 5)])  # [images, tensor([3, 5])]
    """
    first = batch[0]
    alike = len(set(map(type, batch))) == 1
    for kind, collate in COLLATORS:
        if isinstance(first, kind):
            if not (alike or collate is keep or all([isinstance(item, kind) for item in batch])):
                return collate_unlike(batch)
            return collate(batch)
    raise DTypeError(
        "default_collate",
        f"cannot put {type(first).__name__} together",
        hint="a collate_fn for the DataLoader, or let the dataset give tensors, arrays or numbers",
    )


def collate_unlike(batch: Sequence[Any]) -> Tensor:
    """Numbers of several kinds, in a type that holds them all. Raises DTypeError for more."""
    if all(isinstance(item, float | int | np.number | np.bool_) for item in batch):
        return wrap(np.array(batch))
    first = type(batch[0])
    other = next(type(item) for item in batch if not isinstance(item, first))
    raise DTypeError(
        "default_collate",
        f"{first.__name__} and {other.__name__} in one batch",
        hint="items of one kind, or a collate_fn",
    )


def collate_tensors(batch: Sequence[Tensor]) -> Tensor:
    arrays = [item.array for item in batch]
    if len({array.shape for array in arrays}) > 1:
        other = next(item for item in batch if item.shape != batch[0].shape)
        raise ShapeError(
            "default_collate",
            "the items differ in shape",
            first=type_of(batch[0]),
            other=type_of(other),
            hint="a collate_fn that pads them, such as one with nn.utils.rnn.pad_sequence",
        )
    if len({array.dtype for array in arrays}) > 1:  # by our table, not by NumPy's
        return joining.stack(list(map(wrap, arrays)))
    plain = all([type(item.array) is np.ndarray and not item.tracked for item in batch])
    if plain and len(batch) <= FEW and arrays[0].ndim:
        return joining.stack(list(batch))  # in machine code
    if plain and not arrays[0].ndim and arrays[0].dtype.kind in "biuf":
        return wrap(np.array(arrays))  # numbers, in a tenth of the time
    return wrap(np.stack(arrays))


def collate_arrays(batch: Sequence[Any]) -> Tensor:
    return collate_tensors([wrap(np.asarray(item)) for item in batch])


def collate_floats(batch: Sequence[float]) -> Tensor:
    return wrap(np.array(batch, np.float64))


def collate_integers(batch: Sequence[int]) -> Tensor:
    booleans = all(isinstance(item, bool) for item in batch)
    try:
        return wrap(np.array(batch, np.bool_ if booleans else np.int64))
    except OverflowError:
        raise ArgumentError(
            "default_collate", "a whole number does not fit int64", hint="NumPy's uint64, or float"
        ) from None


def collate_mappings(batch: Sequence[Mapping[Any, Any]]) -> Any:
    first = batch[0]
    if any(item.keys() != first.keys() for item in batch):
        other = next(item for item in batch if item.keys() != first.keys())
        raise ShapeError(
            "default_collate",
            "the items differ in their keys",
            hint="the same keys in every item, or a collate_fn",
            first=list(first),
            other=list(other),
        )
    parts = {key: default_collate([item[key] for item in batch]) for key in first}
    if type(first) is dict or not isinstance(first, dict):
        return parts
    made = copy.copy(first)  # a class made from dict may take other arguments
    made.update(parts)
    return made


def collate_sequences(batch: Sequence[Sequence[Any]]) -> Any:
    first = batch[0]
    sizes = sorted({len(item) for item in batch})
    if len(sizes) > 1:
        raise ShapeError(
            "default_collate",
            "the items differ in length",
            hint="a collate_fn that pads or cuts them",
            lengths=sizes,
        )
    parts = [default_collate(part) for part in zip(*batch, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else parts


def keep(batch: Sequence[Any]) -> Sequence[Any]:
    return batch


COLLATORS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Tensor, collate_tensors),
    ((str, bytes), keep),
    ((np.ndarray, np.generic), collate_arrays),
    (float, collate_floats),
    (int, collate_integers),
    (Mapping, collate_mappings),
    (Sequence, collate_sequences),
)


def default_convert(item: Any) -> Any:
    """An item outside of a batch: its NumPy arrays become tensors, the rest stays."""
    if isinstance(item, np.ndarray) and item.dtype.kind not in "SUO":
        return wrap(item)
    if type(item) in (list, tuple):  # a list of both, as in PyTorch
        return [default_convert(part) for part in item]
    if type(item) is dict:
        return {key: default_convert(part) for key, part in item.items()}
    return item
