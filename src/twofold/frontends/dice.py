"""What a compiled function draws from Python's or NumPy's generators, or from iterators. Floor 9.

A program would keep what was drawn while it was captured. What `twofold` draws is a part of the
program, and other at each run; a function that draws otherwise runs as Python.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, final

from twofold.base.errors import in_python
from twofold.base.records import NamedTuple
from twofold.frontends.arrays import CaptureError

FRESH = 624  # the place of NumPy's global generator before its first number


class Source(NamedTuple):
    """A generator: its state as text, and as it can be put back."""

    name: str
    text: str
    state: Any
    holder: Any


@final
class Dice:
    """A block in which nobody may draw; afterwards the generators are as they were before.

    objects   what the function sees, generators among it
    """

    def __init__(self, objects: Iterable[Any]) -> None:
        objects = list(objects)
        self.holders = [x for x in objects if _draws(x)]
        self.iterators = [x for x in objects if isinstance(x, Iterator) and not _is_file(x)]

    def __enter__(self) -> Dice:
        """Raise CaptureError where an iterator is found: it would give its first item for good."""
        for x in self.iterators:
            raise _refused(
                f"the function finds a {type(x).__name__}: a program would keep what it gives",
                "take the next item outside of it, and pass that as an argument",
            )
        self.before = {id(source.holder): source for source in map(_look, self.all())}
        return self

    def all(self) -> list[Any]:
        modules = [sys.modules.get(name) for name in ("random", "numpy.random")]
        return [*filter(None, modules), *self.holders]

    def __exit__(self, kind: type | None, error: Any, trace: Any) -> None:
        """Raise CaptureError, of what only Python can run, if somebody has drawn; what was wrong
        besides may come of that.
        """
        drawn = []
        for now in map(_look, self.all()):
            then = self.before.get(id(now.holder))
            if then is None:  # NumPy imports its own when it is first asked for
                if now.state[2] != FRESH:
                    drawn.append(now.name)
            elif now.text != then.text:
                drawn.append(now.name)
                _put_back(then)
        if drawn and (kind is None or issubclass(kind, Exception)):
            raise _refused(
                f"the function draws from {' and '.join(drawn)}: a program would keep the number",
                "twofold.rand and its like, which a program draws at each run; or draw outside of "
                "it, and pass the number as an argument",
            ) from error


def _refused(problem: str, hint: str) -> CaptureError:
    found = CaptureError("compile", problem, hint=hint)
    in_python(found)
    return found


def _is_file(x: Any) -> bool:
    return isinstance(x, io.IOBase)


def _draws(x: Any) -> bool:
    """Whether it is a generator of NumPy's or of Python's."""
    kind = type(x)
    if kind.__module__.startswith("numpy.random"):
        return hasattr(x, "bit_generator") or hasattr(x, "get_state")
    return (kind.__module__, kind.__name__) == ("random", "Random")


def _look(holder: Any) -> Source:
    if hasattr(holder, "get_state"):
        state = holder.get_state(legacy=True)
        return Source("numpy.random", repr((state[1].tobytes(), *state[2:])), state, holder)
    if hasattr(holder, "getstate"):
        state = holder.getstate()
        name = "Python's random" if isinstance(holder, ModuleType) else "a random.Random"
    else:
        state = holder.bit_generator.state
        name = "a generator of NumPy's"
    return Source(name, repr(state), state, holder)


def _put_back(source: Source) -> None:
    holder = source.holder
    if hasattr(holder, "set_state"):
        holder.set_state(source.state)
    elif hasattr(holder, "setstate"):
        holder.setstate(source.state)
    else:
        holder.bit_generator.state = source.state
