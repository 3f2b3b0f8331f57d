"""What branches and bodies do to what lies around them: memory that they write, Python that runs at
each turn. Floor 9.

Memory of a graph around that a body writes is carried: it goes in, what stands for it inside is
written, and it is given back (`Kept`). All names and views of it are found by their memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.base.types import Type
from twofold.frontends.arrays import Storage, Unknown, is_unknown
from twofold.frontends.noted import Host, Kept, NeedsKept
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor

if TYPE_CHECKING:  # a capture calls these: an import that runs would be a ring
    from twofold.frontends.capture import Capture

# What frontends/effects.py gives: the operation that calls Python, and its attributes.
CALLED: list[Callable[[Any, Any], tuple[Op, tuple[Any, ...]]]] = []


def host_inside(
    capture: Capture, run: Callable[[], Any], what: str, undo: Callable[[], None], like: Type | None
) -> int:
    """Python at each turn, or where a branch is taken."""
    turns = [0]

    def begin() -> None:
        turns[0] = 0

    def back() -> None:
        for _ in range(turns[0]):
            undo()

    def turn() -> Any:
        turns[0] += 1
        made = run()
        return None if like is None else np.array(made, like.dtype.numpy)

    root = capture
    while root.outer is not None:
        root = root.outer
    root.hosts.append(Host(begin, what, back))
    root.inside = True
    op, attrs = CALLED[0](turn, () if like is None else (like,))
    outs = capture.emit(op, (), attrs)
    capture.given_inside.append(capture.unknown(outs[0]) if outs else None)
    return -1 - len(capture.given_inside)


def storage_of(capture: Capture, array: Any) -> Storage | None:
    """The memory of an array in this graph; None where it lies outside and is not kept."""
    if capture.owns(array):
        return array.storage  # type: ignore[no-any-return]
    if capture.outer is None:
        return capture.lift(array)
    around = capture.outer.storage_of(array)
    return None if around is None else capture.kept.get(id(around))


def kept_array(capture: Capture, array: Any) -> Unknown | None:
    """What stands for an array from outside whose memory this graph writes."""
    storage = capture.storage_of(array) if capture.kept else None
    if storage is None:
        return None
    chain = array.chain if is_unknown(array) else ()
    return Unknown(capture, storage, capture.view(storage.value, chain), chain)


def needs_kept(capture: Capture, array: Any) -> NeedsKept:
    """What is raised where this graph writes memory from outside that it was not given."""
    owner = capture.outer
    while owner is not None and (storage := owner.storage_of(array)) is None:
        owner = owner.outer
    assert storage is not None, "the outermost graph has what was not given"
    return NeedsKept(Kept(storage), owner)


def put_back(capture: Capture, kept: Kept, x: Tensor) -> None:
    """Write what a body has made of memory of this graph."""
    storage = kept.storage
    if storage.real is not None:
        capture.store(storage.real, x.array)
    else:
        capture.admit_write(storage)
        storage.write(capture.value_of(x.array))
