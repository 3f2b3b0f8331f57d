"""Where the elements of a view lie, by arithmetic: bytes are never looked at. Floor 6."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

from twofold.lower.schedule import Arg, larger, smaller
from twofold.ops.indexing import Slice

Lies = tuple[int, tuple[int, ...], tuple[int, ...]]  # elements further, shape, strides


def _permuted(arg: Arg, dims: tuple[int, ...]) -> list[Lies]:
    return [(0, tuple([arg.shape[d] for d in dims]), tuple([arg.strides[d] for d in dims]))]


def _expanded(arg: Arg, shape: tuple[int, ...]) -> list[Lies] | None:
    fresh = len(shape) - len(arg.shape)
    if 0 in shape:
        return None
    axes = zip(arg.shape, shape[fresh:], arg.strides, strict=True)
    strides = [0 if old == 1 != new else stride for old, new, stride in axes]
    return [(0, tuple(shape), (*(0,) * fresh, *strides))]


def _split(arg: Arg, dim: int, sizes: tuple[int, ...]) -> list[Lies] | None:
    if 0 in sizes or sum(sizes) > arg.shape[dim]:
        return None
    found, begin = [], 0
    for size in sizes:
        shape = (*arg.shape[:dim], size, *arg.shape[dim + 1 :])
        found.append((begin * arg.strides[dim], shape, arg.strides))
        begin += size
    return found


def _reshaped(arg: Arg, shape: tuple[int, ...]) -> list[Lies] | None:
    """Axes are taken from both shapes until they have as many elements; those of the old shape must
    be walked as one then. An axis of one element has the stride that NumPy gives it.
    """
    if arg.contiguous or -1 in shape:
        return None
    if tuple(shape) == arg.shape:
        return [(0, arg.shape, arg.strides)]
    old = [axis for axis in zip(arg.shape, arg.strides, strict=True) if axis[0] != 1]
    strides: list[int] = []
    taken = 0
    while len(strides) < len(shape) and taken < len(old):
        begin, first = len(strides), taken
        end, wanted, there = begin + 1, shape[begin], old[first][0]
        taken += 1
        while wanted != there:
            if wanted < there and end < len(shape):
                wanted, end = wanted * shape[end], end + 1
            elif wanted > there and taken < len(old):
                there, taken = there * old[taken][0], taken + 1
            else:
                return None
        for (_, above), (size, below) in pairwise(old[first:taken]):
            if above != size * below:
                return None
        step, group = old[taken - 1][1], []
        for size in reversed(shape[begin:end]):
            group.append(step)
            step *= size
        strides += reversed(group)
    rest = len(shape) - len(strides)
    return [(0, tuple(shape), (*strides, *(strides[-1:] or [1]) * rest))]


def _bounds(part: Slice, size: int) -> tuple[int, int, int]:
    """`slice.indices` for a step forwards."""
    start, stop, step = part
    begin = 0 if start is None else _within(start, size)
    end = size if stop is None else _within(stop, size)
    return begin, end, 1 if step is None else step


def _within(at: int, size: int) -> int:
    return larger(at + size, 0) if at < 0 else smaller(at, size)


def indexed(arg: Arg, key: tuple[Any, ...]) -> list[Lies] | None:
    """A key of numbers, None, `...` and slices that leave something, and step forwards."""
    moved, shape, strides = 0, [], []
    taken = sum([part is not None and part is not Ellipsis for part in key])
    if taken > len(arg.shape):
        return None
    axes = zip(arg.shape, arg.strides, strict=True)
    for part in key:
        if part is Ellipsis:
            for size, stride in islice(axes, len(arg.shape) - taken):
                shape.append(size)
                strides.append(stride)
            continue
        if part is None:
            shape.append(1)
            strides.append(0)
            continue
        size, stride = next(axes)
        if type(part) is int:
            if not -size <= part < size:
                return None
            moved += (part % size) * stride
        elif type(part) is Slice:
            start, stop, step = _bounds(part, size)
            if step < 1 or start >= stop:
                return None
            moved += start * stride
            shape.append(-(-(stop - start) // step))
            strides.append(stride * step)
        else:
            return None
    rest = [*axes]
    shape += [size for size, _ in rest]
    strides += [stride for _, stride in rest]
    return [(moved, tuple(shape), tuple(strides))]


# Views whose layout is known by arithmetic, which takes a tenth of the time; None: NumPy is asked.
RULES: dict[str, Any] = {"permute": _permuted, "expand": _expanded, "index": indexed}
RULES |= {"split": _split, "reshape": _reshaped}
