"""Tensors that may lie in the memory of others: what a choice or a loop gives back that one of its
branches, or no turn, leaves as it was. Floor 9.

`y = x if x.sum() > 0 else x * 2` is x, or is new: a graph has one value of it. A write into either
name is for Python then, as only that knows whether the other sees it.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator, Sequence
from types import CellType, FrameType
from typing import TYPE_CHECKING, Any

from twofold.base.errors import USERS, owner_of
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.exchanged import python_only
from twofold.ops.tensor import Tensor

if TYPE_CHECKING:  # a capture asks: an import that runs would be a ring
    from twofold.frontends.bodies import Traced


def note_either(
    made: Sequence[Tensor], traced: Sequence[Traced], leaves: Sequence[Tensor], turns: bool = False
) -> None:
    """Note for each of these outputs the tensors in whose memory it may lie. leaves: what the first
    leaves of the bodies stand for; turns: whether an output is its leaf if there is no turn.
    """
    for place, out in enumerate(made):
        found = [(x, False) for body in traced for x in _sources(body, place, leaves)]
        if turns and place < len(leaves):
            found.append((leaves[place], True))
        storage = _storage(out)
        for x, unturned in found:
            own = _storage(x)
            if storage is None or storage is own:
                continue
            if not any(x is y for y in storage.either):
                storage.either.append(x)
            if own is not None:
                own.followers.append((weakref.ref(out), unturned))


def _sources(body: Traced, place: int, leaves: Sequence[Tensor]) -> list[Tensor]:
    """The tensors from outside in whose memory a body's result may lie."""
    result = _storage(body.results[place])
    if result is None:
        return []
    storages = [result, *[_storage(x) for x in result.either]]
    pairs = [*zip(body.leaves, leaves, strict=False), *[(f.local, f.tensor) for f in body.found]]
    return [outer for inner, outer in pairs if _storage(inner) in storages]


def _storage(x: Tensor) -> Any:
    return x.array.storage if is_unknown(x.array) else None  # type: ignore[attr-defined]


def check_write(storage: Any) -> None:
    """Raise CaptureError where a write into memory may be one into that of another tensor."""
    if storage.taken:
        raise CaptureError(
            "compile",
            "a part of a tensor, at an index that a run knows, is written under another name",
            hint="x[i] = ..., or x[i] += ...",
        )
    followed = any(one() is not None for one, _ in storage.followers)
    if followed or any(not is_unknown(x.array) or _is_seen(x) for x in storage.either):
        python_only(
            "a tensor is written that a choice or a loop may have left in the memory of another",
            "y = y + 1, which makes a new one",
        )


@contextlib.contextmanager
def written_back(x: Tensor) -> Iterator[None]:
    """While a loop writes what it carried back into x: a name that is x where no turn was made sees
    nothing new then.
    """
    storage = _storage(x)
    if storage is None:
        yield
        return
    followers = storage.followers
    storage.followers = [one for one in followers if not one[1]]
    try:
        yield
    finally:
        storage.followers = followers


def check_identity(x: Tensor, y: Tensor) -> None:
    """Raise CaptureError where a choice or a loop decides whether two names are of one tensor."""
    for one, other in ((x, y), (y, x)):
        storage = _storage(one)
        if storage is not None and any(z is other for z in storage.either):
            python_only("a choice or a loop decides whether two names are of one tensor", "a flag")


def _is_seen(x: Tensor) -> bool:
    """Whether the user's code has a tensor still: by a name, or in a container."""
    if _storage(x).origin is not None:
        return True
    for holder in gc.get_referrers(x):
        if isinstance(holder, FrameType):
            if owner_of(holder.f_code.co_filename) == USERS:
                return True
        elif isinstance(holder, dict | CellType) or (
            isinstance(holder, list) and holder is not _storage(x).either
        ):
            return True
    return False
