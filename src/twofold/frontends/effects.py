"""Python that runs every time, also inside of a compiled program: print, callback. Floor 9."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, final

from twofold.base.types import Type
from twofold.ops.bind import bind, mode, recording
from twofold.ops.op import define
from twofold.ops.tensor import Tensor, type_of, wrap


@final
class Hook:
    """A Python function that an operation calls with its operands."""

    __slots__ = ("function", "likes")

    def __init__(self, function: Callable[..., Any], likes: tuple[Type, ...]) -> None:
        self.function = function
        self.likes = likes

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", "function")


def _run(*arrays: Any, hook: Hook) -> Any:
    with recording(False):
        made = hook.function(*[wrap(a.copy()) for a in arrays])
    if not hook.likes:
        return ()
    several = made if isinstance(made, tuple | list) else (made,)
    return tuple(x.array if isinstance(x, Tensor) else x for x in several)


CALLBACK = define(
    "callback",
    inputs="*operands",
    attrs=("hook",),
    doc="A Python function of the operands, called at each run.",
    infer=lambda *types, hook: hook.likes,
    ref=_run,
    outputs=-1,
    effect=True,
    torch=False,
    samples=lambda r: [],
)


def callback(function: Callable[..., Any], *tensors: Tensor, like: Any = None) -> Any:
    """Call `function(*tensors)` now and at every run of the compiled program it is in.

    The function gets tensors with values. `like`: a tensor, or a tuple of them, of the shapes and
    types of what it gives back; without it the result is thrown away. Not differentiable. Callbacks
    run in the order of the program.

    >>> twofold.callback(lambda loss: history.append(loss.item()), loss)
    """
    likes = () if like is None else like if isinstance(like, tuple | list) else (like,)
    if mode.capture is None:
        made = function(*[x.detach() for x in tensors])  # type: ignore[attr-defined]
        return made if likes else None
    types = tuple(type_of(x) for x in likes)
    made = bind(CALLBACK, tuple(tensors), (Hook(function, types),))
    return None if not likes else made if isinstance(like, tuple | list) else made[0]


def print(*values: Any, sep: str = " ", end: str = "\n") -> None:
    """Print values, the tensors of a compiled program at every run of it."""
    if mode.capture is None:
        builtins.print(*values, sep=sep, end=end)
        return
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor)]

    def show(*tensors: Tensor) -> None:
        shown = list(values)
        for place, x in zip(places, tensors, strict=True):
            shown[place] = x
        builtins.print(*shown, sep=sep, end=end)

    callback(show, *[values[i] for i in places])
