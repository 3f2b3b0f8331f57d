"""How a reduction lies in memory: shape, strides and axes become one of three loops. Floor 6.

    rows      (outer, n)          the reduced axis is contiguous
    columns   (outer, n, inner)   the reduced axis is strided, `inner` is contiguous
    segments  (outer, n)          n is several contiguous pieces of `length`, e.g. N and H*W of NCHW

Several reduced axes count as one, in row-major order. What fits none of these is first copied into
the first shape (copy.py); the bits are the same in all of them.
"""

from collections.abc import Iterable, Sequence
from math import prod

from twofold.base.records import NamedTuple


class Layout(NamedTuple):
    """`steps` are the strides, in elements: (outer, -), (outer, row) or (outer, segment)."""

    kind: str
    outer: int
    n: int
    inner: int = 1
    length: int = 1
    steps: tuple[int, int] = (0, 0)


class Group(NamedTuple):
    """Neighbouring axes that are walked as one."""

    size: int
    stride: int
    reduced: bool


def group_axes(shape: Sequence[int], strides: Sequence[int], axes: Iterable[int]) -> list[Group]:
    """The axes without those of size 1; neighbours of one kind are joined where strides allow."""
    wanted = set(axes)
    groups: list[Group] = []
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        if size == 1:
            continue
        new = Group(size, stride, axis in wanted)
        last = groups[-1] if groups else None
        if last and last.reduced == new.reduced and last.stride == size * stride:
            groups[-1] = Group(last.size * size, stride, new.reduced)
        else:
            groups.append(new)
    return groups


def find_layout(shape: Sequence[int], strides: Sequence[int], axes: Iterable[int]) -> Layout | None:
    """The shape of the loops over an input as it lies, or None if it must be copied."""
    groups = group_axes(shape, strides, axes)
    reduced = [group for group in groups if group.reduced]
    kept = [group for group in groups if not group.reduced]
    if len(reduced) > 2 or len(kept) > 2:
        return None
    extent = reduced or [Group(1, 1, True)]
    last = extent[-1]
    if len(kept) <= 1 and last.stride == 1:
        outer = kept[0] if kept else Group(1, 0, False)
        if len(extent) == 1:
            return Layout("rows", outer.size, last.size, steps=(outer.stride, 0))
        n = extent[0].size * last.size
        steps = (outer.stride, extent[0].stride)
        return Layout("segments", outer.size, n, length=last.size, steps=steps)
    kept = kept or [Group(1, 1, False)]
    if len(extent) == 1 and kept[-1].stride == 1:
        outer = kept[0] if len(kept) == 2 else Group(1, 0, False)
        steps = (outer.stride, last.stride)
        return Layout("columns", outer.size, last.size, kept[-1].size, steps=steps)
    return None


def copied_layout(shape: Sequence[int], axes: Iterable[int]) -> Layout:
    """The layout after a copy that moves the reduced axes last."""
    wanted = set(axes)
    n = prod(size for axis, size in enumerate(shape) if axis in wanted)
    outer = prod(size for axis, size in enumerate(shape) if axis not in wanted)
    return Layout("rows", outer, n, steps=(n, 0))
