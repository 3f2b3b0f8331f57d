"""Choices and loops under vmap: of all lanes at once. Floor 9.

A choice that lanes decide computes both branches, and picks. A loop turns for as long as a lane
goes on; the others keep what they have. The loop itself is one of the level below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twofold.autograd.forward import Forward
from twofold.autograd.vmap import Lanes, VMap
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.trees import flatten, unflatten
from twofold.ops.bind import interpreter, mode
from twofold.ops.compare import logical_and, where
from twofold.ops.movement import expand, transpose
from twofold.ops.rules import as_tensor
from twofold.ops.tensor import Tensor, type_of, wrap


def level_now() -> VMap | None:
    """The vmap that runs, if it is the innermost transform."""
    found = mode.interpreter
    return found if isinstance(found, VMap) else None


def looping_level() -> VMap | None:
    """The same where loops may be those of all lanes: not while a derivative is taken inside of it,
    or between it and a vmap around it, which needs to see the loop.
    """
    found = below = mode.interpreter
    while isinstance(below, VMap) and below.outer_grad is None:
        below = below.below
    return found if below is None else None


def slopes_are_taken() -> bool:
    """Whether a jvp runs."""
    level: Any = mode.interpreter
    while level is not None and not isinstance(level, Forward):
        level = getattr(level, "below", None)  # some only look on
    return level is not None


def pick(level: VMap, test: Tensor, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """yes() in the lanes where the test is true, no() in the others."""
    if not (level.owns(test) and test.array.batched) and mode.capture is None:  # type: ignore[attr-defined]
        plain: Any = level.under(test)
        with level.outside():
            flag = bool(plain)
        return yes() if flag else no()
    first, form = flatten(yes())
    second, other = flatten(no())
    if form != other:
        raise ArgumentError("cond", "the branches' results differ in structure", hint="the same")
    made = []
    for a, b in zip(first, second, strict=True):
        one, two = as_tensor(a, "cond"), as_tensor(b, "cond")
        if one.dtype is not two.dtype or tuple(one.array.shape) != tuple(two.array.shape):
            what = "the branches' results differ in type"
            raise ShapeError("cond", what, first=type_of(one), second=type_of(two))
        made.append(where(test.reshape(()).bool(), one, two))  # type: ignore[attr-defined]
    return unflatten(made, form)


def turn_all(
    level: VMap, loop: Callable[..., Any], test: Any, body: Any, carry: tuple[Any, ...]
) -> Any:
    """carry = body(*carry) in each lane for as long as the test is true there; `loop` is
    while_loop.
    """
    leaves, form = flatten(carry)

    def truth(xs: Any) -> Tensor:
        flag: Any = as_tensor(test(*unflatten(xs, form)), "while_loop")
        return flag.reshape(()).bool()  # type: ignore[no-any-return]

    def turn(going: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        with interpreter(level):
            here = _lane(level, going)
            xs = [_lane(level, x) for x in values]
            made = body(*unflatten(xs, form))
            after, found = flatten(tuple(made) if isinstance(made, tuple | list) else (made,))
            if found != form:
                what = "the body gives back another structure than it takes"
                raise ArgumentError("while_loop", what, hint="the same")
            pairs = zip(after, xs, strict=True)
            kept = [where(here, as_tensor(a, "while_loop"), x) for a, x in pairs]
            more = logical_and(here, truth(kept))
        return tuple([_all_lanes(level, x) for x in (more, *kept)])

    first = truth(leaves)
    start = [_all_lanes(level, as_tensor(x, "while_loop")) for x in (first, *leaves)]
    with level.outside():
        found = loop(lambda going, *_: going.any(), turn, start)
    return unflatten([_lane(level, x) for x in found[1:]], form)


def scan_all(
    level: VMap, loop: Callable[..., Any], f: Any, init: Any, parts: Sequence[Tensor], reverse: bool
) -> tuple[Any, Any]:
    """scan(f, init, parts), whose turns are those of all lanes; `loop` is scan."""
    first, carried = flatten(init)
    on = [level.owns(x) and x.array.batched for x in parts]  # type: ignore[attr-defined]

    def turn(carry: Any, slices: Any) -> Any:
        with interpreter(level):
            xs = [_lane(level, x) if b else x for x, b in zip(slices, on, strict=True)]
            after, y = f(unflatten([_lane(level, x) for x in carry], carried), xs)
            flat, found = flatten(after)
            if found != carried:
                raise ArgumentError("scan", "the carry changes its structure", hint="the same")
            stacked, form = flatten(y)
        given = [x if x is None else _all_lanes(level, as_tensor(x, "scan")) for x in stacked]
        return [_all_lanes(level, as_tensor(x, "scan")) for x in flat], unflatten(given, form)

    start = [_all_lanes(level, as_tensor(x, "scan")) for x in first]
    below: list[Any] = [level.under(x) for x in parts]
    with level.outside():
        turns = [transpose(x, 0, 1) if b else x for x, b in zip(below, on, strict=True)]
        last, stacks = loop(turn, start, turns, reverse=reverse)
        ys, form = flatten(stacks)
        ys = [y if y is None else transpose(y, 0, 1) for y in ys]
    made = [y if y is None else _lane(level, y) for y in ys]
    return unflatten([_lane(level, x) for x in last], carried), unflatten(made, form)


def _lane(level: VMap, x: Tensor) -> Tensor:
    """All lanes, along the first axis, as one of them."""
    made = wrap(Lanes(level, x, True))
    made.tracked = False
    return made


def _all_lanes(level: VMap, x: Tensor) -> Tensor:
    """A tensor of the level as all lanes, along the first axis."""
    below: Tensor = level.under(x)
    if level.owns(x) and x.array.batched:  # type: ignore[attr-defined]
        return below
    with level.outside():
        return expand(below, (level.size, *below.array.shape))
