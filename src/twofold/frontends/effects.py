"""Python that runs every time, also inside of a compiled program: print, callback. Floor 9."""

from __future__ import annotations

import builtins
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, final

from twofold.base.symbols import example_of, is_symbol
from twofold.base.types import Type
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.capture import CALLBACK_OF
from twofold.frontends.kept import CALLED
from twofold.frontends.later import is_later, number_of
from twofold.ops.bind import bind, mode, recording
from twofold.ops.op import define
from twofold.ops.tensor import Size, Tensor, type_of, wrap


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


@final
class Text:
    """An f-string whose values only a run knows: texts, and (value, conversion, format)."""

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.refuse()

    def refuse(self, *_: Any) -> NoReturn:
        raise CaptureError(
            "compile",
            "values are not known while a graph is captured: a text is made of them",
            hint="print it, or make it outside of the function, of what that gives back",
        )

    __hash__ = __eq__ = refuse
    __str__ = __format__ = __add__ = __radd__ = __len__ = __iter__ = __getitem__ = refuse


@final
class Undefined:
    """A name that has no value yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.refuse()

    def refuse(self, *_: Any) -> NoReturn:
        raise UnboundLocalError("a name is used before it has a value")

    __hash__ = None  # type: ignore[assignment]
    __eq__ = __ne__ = __bool__ = __iter__ = __len__ = __getitem__ = refuse


def text(*parts: Any) -> Any:
    """An f-string of texts and (value, conversion, format). The program is made for the sizes in
    it.
    """
    values = [x for part in parts if type(part) is tuple for x in (part[0], part[2])]
    if any(map(_waits, values)):
        if any(_waits(x) for x in values if not _of_sizes(x)):
            return Text(parts)
        parts = tuple([_known(part) for part in parts])
    return _joined(parts)


def text_for(function: Any, *parts: Any) -> Any:
    """An f-string that a function is called with: what prints is told the sizes of each run, and a
    log those of the call at hand.
    """
    values = [x for part in parts if type(part) is tuple for x in (part[0], part[2])]
    if not any(map(_waits, values)):
        return _joined(parts)
    if function in (print, PLAIN):
        return Text(parts)
    logging = sys.modules.get("logging")
    logger = getattr(function, "__self__", None)
    quiet = getattr(function, "__module__", None) in ("logging", "warnings", "_warnings")
    quiet = quiet or (logging is not None and isinstance(logger, logging.Logger))
    if quiet and all(map(_of_sizes, values)):
        return _joined(tuple([_known(part, example_of) for part in parts]))
    return text(*parts)


def _of_sizes(x: Any) -> bool:
    """Whether it is a size, or a container of some, or waits for no run."""
    if isinstance(x, tuple | list):
        return all(map(_of_sizes, x))
    return is_symbol(x) or not _waits(x)


def _known(x: Any, number: Callable[[Any], Any] | None = None) -> Any:
    """Sizes in tuples and lists as numbers."""
    if is_symbol(x):
        return (number or _number)(x)
    if type(x) in (tuple, list, Size):
        return type(x)([_known(part, number) for part in x])
    return x


def _number(x: Any) -> Any:
    return int(x) if x.whole else float(x)


def _joined(parts: tuple[Any, ...]) -> str:
    return "".join([part if type(part) is str else _formatted(*part) for part in parts])


def _waits(x: Any) -> bool:
    if mode.capture is None:
        return False
    if isinstance(x, Tensor):
        return is_unknown(x.array) or mode.capture.reads_outside(x.array)
    if isinstance(x, tuple | list):
        return any(map(_waits, x))
    return is_later(x) or is_symbol(x) or type(x) is Text


def _formatted(value: Any, conversion: int, spec: str) -> str:
    if conversion >= 0:
        ways: dict[str, Any] = {"s": str, "r": repr, "a": ascii}
        value = ways[chr(conversion)](value)
    return format(value, spec)


def print(
    *values: Any,
    sep: str | None = " ",
    end: str | None = "\n",
    file: Any = None,
    flush: bool = False,
) -> None:
    """Print values, those of a compiled program at every run of it."""
    if mode.capture is None:
        PLAIN(*values, sep=sep, end=end, file=file, flush=flush)
        return
    tensors: list[Tensor] = []
    made = [_noted(value, tensors) for value in values]

    def show(*found: Tensor) -> None:
        PLAIN(*[part(found) for part in made], sep=sep, end=end, file=file, flush=flush)

    callback(show, *tensors)


def _noted(value: Any, tensors: list[Tensor]) -> Callable[[Any], Any]:
    """What gives a value when the program runs, from the tensors that are added to the list."""
    if not _waits(value):
        return lambda found: value
    place = len(tensors)
    if isinstance(value, Tensor):
        tensors.append(value)
        node = None if value.node is None else Shown(repr(value.node))
        tracked = value.tracked
        return lambda found: _recorded(found[place], node, tracked)
    if type(value) is Text:
        parts = [
            (_noted(part[0], tensors), part[1], _noted(part[2], tensors))
            if type(part) is tuple
            else part
            for part in value.parts
        ]
        return lambda found: "".join(
            [p if type(p) is str else _formatted(p[0](found), p[1], p[2](found)) for p in parts]
        )
    if isinstance(value, tuple | list):
        items = [_noted(item, tensors) for item in value]
        kind = type(value)
        return lambda found: kind([item(found) for item in items])
    tensors.append(number_of(value))
    return lambda found: found[place].item()


class Shown:
    """Stands for the node of a captured tensor where that is printed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _recorded(x: Tensor, node: Any, tracked: bool) -> Tensor:
    """A tensor that is shown as the one that it stands for."""
    x.tracked, x.node = tracked, node
    return x


CALLBACK_OF[:] = [callback]
CALLED[:] = [lambda function, likes: (CALLBACK, (Hook(function, likes),))]
PLAIN = builtins.print
_lock = threading.Lock()
_captures = 0


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """In the block, Python's print is printed at each run of the graph that is captured."""
    global _captures
    with _lock:
        _captures += 1
        builtins.print = print
    try:
        yield
    finally:
        with _lock:
            _captures -= 1
            if not _captures:
                builtins.print = PLAIN
