"""Errors that say what failed, the facts, where in the user's file, and what to try. Floor 0.

matmul: inner sizes differ
  x = f32[32, 784]
  w = f32[128, 784]
  in  Net.block.2.fc
  at  train.py:41    logits = x @ w
  try x @ w.T
"""

from __future__ import annotations

import importlib
import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import cache
from types import CodeType, FrameType, TracebackType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
AS_USERS = tuple(  # written as users write
    os.path.join(PACKAGE, "arena", folder) + os.sep for folder in ("workloads", "behaviours")
)
LIBRARY = os.path.dirname(os.__file__) + os.sep
OURS, PYTHONS, USERS = range(3)  # whose code a file is
FEW = 12  # names that an error lists
INSTALLED = ("site-packages", "dist-packages")
NUMPY = tuple(f"{folder}{os.sep}numpy{os.sep}" for folder in INSTALLED)  # it runs on our behalf


class TwofoldError(RuntimeError):
    """The root of all our errors: the operation, the problem, facts by argument name, and a hint.

    It is a RuntimeError because that is what PyTorch programs catch; subclasses add the built-in
    that fits. Programs that raise an error anew make another of its class from one text.
    """

    def __init__(self, op: str, problem: str = "", *, hint: str = "", **facts: object) -> None:
        super().__init__(op, problem)
        self.op = op
        self.problem = problem
        self.hint = hint
        self.facts = facts
        frame = user_frame()
        # Turned into text when somebody asks: hasattr drops most errors of missing names.
        self.place: tuple[CodeType, int] | str | None = None
        if frame is not None:
            self.place = frame.f_code, frame.f_lineno
        self.path: tuple[str, ...] = ()
        self.module: object = None

    @property
    def where(self) -> str:
        """`file:line    source` of the user's line, or nothing where there is none."""
        return describe_line(*self.place) if isinstance(self.place, tuple) else self.place or ""

    @where.setter
    def where(self, text: str) -> None:
        self.place = text

    def __reduce__(self) -> tuple[object, ...]:
        kept = {**self.__dict__, "place": self.where, "module": None}
        return type(self), (self.op, self.problem), kept

    def __str__(self) -> str:
        lines = [f"{self.op}: {self.problem}" if self.problem else self.op]
        width = max((len(name) for name in self.facts), default=0)
        below = "\n" + " " * (width + 5)  # further lines of a fact stand under its first
        for name, fact in self.facts.items():
            lines.append(f"  {name:<{width}} = {str(fact).replace(chr(10), below)}")
        if self.path:
            lines.append(f"  in  {'.'.join(self.path)}")
        if self.where:
            lines.append(f"  at  {self.where}")
        if self.hint:
            lines.append(f"  try {self.hint}")
        return "\n".join(lines)


def in_python(error: BaseException, holds: bool = True) -> None:
    """Say of an error that only Python can run what it is about: a compiled function then runs as
    it is, and `explain` tells why.
    """
    error.in_python = holds  # type: ignore[attr-defined]


def only_python(error: BaseException) -> bool:
    """Whether an error was said to be of what only Python can run."""
    return getattr(error, "in_python", False)


class ShapeError(TwofoldError, ValueError):
    """Sizes or ranks that do not fit together."""


class DTypeError(TwofoldError, TypeError):
    """An element type, or a Python type, that the operation does not take."""


class ArgumentError(TwofoldError, ValueError):
    """A value outside what the operation is defined for."""


class LinAlgError(ArgumentError, RuntimeError):
    """A matrix that has no inverse, or not the factor that was asked for."""


class DivisionError(TwofoldError, ZeroDivisionError):
    """A whole number divided by zero."""


class IndexRangeError(TwofoldError, IndexError):
    """An axis or an index that does not exist."""


class EmptyError(ArgumentError, IndexRangeError):
    """An axis of size 0, where something is chosen from it."""


class NoAxisError(ShapeError, IndexRangeError):
    """An axis that is named of a tensor without any."""


class IndexTypeError(DTypeError, IndexRangeError):
    """What is no index: a float, a word, a tensor of fractions."""


class GradientError(TwofoldError):
    """A gradient that cannot be had: nothing tracked, freed, or overwritten."""


class StateError(TwofoldError, KeyError):
    """A saved state that does not fit the object it is loaded into."""

    __str__ = TwofoldError.__str__


class DeviceError(TwofoldError, ValueError):
    """A device that does not exist here."""


class LibraryError(TwofoldError, OSError):
    """Compiled code that cannot be loaded; also an OSError."""


class MissingNameError(TwofoldError, AttributeError):
    """An attribute that does not exist; the text offers the name that was probably meant.

    `known()` gives the names that exist. It is asked when the text is wanted, since hasattr asks
    for names all the time.
    """

    def __init__(
        self, owner: str, name: str, known: Callable[[], Iterable[str]] | None = None
    ) -> None:
        super().__init__(owner, f"there is no attribute {name!r}")
        self.missing = name
        self.known = known

    def __str__(self) -> str:
        if self.known is not None and not self.hint:
            known = [name for name in self.known() if name]
            near = importlib.import_module("difflib").get_close_matches(self.missing, known, 1, 0.6)
            if near:
                self.hint = f"{near[0]}, if that was meant"
            elif 0 < len(known) <= FEW:
                self.hint = f"one of {', '.join(known)}"
        return super().__str__()

    def __reduce__(self) -> tuple[object, ...]:
        kept = {**self.__dict__, "place": self.where, "module": None, "known": None}
        return type(self), (self.op, self.missing), kept


class UndefinedError(TwofoldError, NotImplementedError):
    """A method that a class of the user's should define."""


def kind_of(value: object) -> str:
    """What a value is, with its article: "a list", "an int", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def user_frame() -> FrameType | None:
    """The innermost frame that is neither ours nor of Python's own library; else the innermost
    that is not ours.
    """
    first: FrameType | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = owner_of(frame.f_code.co_filename)
        if owner == USERS:
            return frame
        if owner == PYTHONS:
            first = first or frame
        frame = frame.f_back
    return first


@cache
def owner_of(path: str) -> int:
    """Whose code a file is: ours, Python's own library's, or the user's."""
    if path.startswith(PACKAGE) and not path.startswith(AS_USERS):
        return OURS
    installed = any(folder in path for folder in INSTALLED)
    if any(folder in path for folder in NUMPY):
        return PYTHONS
    if path.startswith("<frozen ") or (path.startswith(LIBRARY) and not installed):
        return PYTHONS
    return USERS


def user_line() -> str:
    """`file:line    source` of the innermost user frame, or nothing when there is none."""
    frame = user_frame()
    return "" if frame is None else describe_line(frame.f_code, frame.f_lineno)


def describe_line(code: CodeType, line: int) -> str:
    source = linecache.getline(code.co_filename, line).strip()
    place = f"{short_path(code.co_filename)}:{line}"
    return f"{place}    {source}" if source else place


def short_path(path: str) -> str:
    """The path from the current folder where that is shorter, else as it is."""
    relative = os.path.relpath(path) if os.path.isabs(path) else path
    return relative if len(relative) < len(path) and not relative.startswith("..") else path


def line_of(where: tuple[CodeType, int] | None) -> str:
    """The source line of a (code, last instruction) pair, as nodes keep it."""
    if where is None:
        return "an unknown line"
    code, instruction = where
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return describe_line(code, line)
    return describe_line(code, code.co_firstlineno)


def user_place() -> tuple[CodeType, int] | None:
    """Where the user's program stands, cheap to keep: turned into text by `line_of` only when
    needed.
    """
    frame = user_frame()
    return None if frame is None else (frame.f_code, frame.f_lasti)


Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def trimming(hook: Hook, show_all: Callable[[], bool]) -> Hook:
    """An excepthook that leaves our frames out of the tracebacks of our errors."""

    def trimmed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> object:
        suggest(error)
        if not show_all():
            trim(error)
            trace = error.__traceback__
        return hook(kind, error, trace)

    return trimmed


def trim_tracebacks(show_all: Callable[[], bool]) -> None:
    """Trim the tracebacks that Python prints for this process and its threads."""
    sys.excepthook = trimming(sys.excepthook, show_all)
    printed = threading.excepthook

    def in_thread(args: threading.ExceptHookArgs) -> object:
        suggest(args.exc_value)
        if args.exc_value is not None and not show_all():
            trim(args.exc_value)
        return printed(args)

    threading.excepthook = in_thread


def suggest(error: BaseException | None) -> None:
    """Note what was probably meant, where Python tells a mistake in a call of ours."""
    if isinstance(error, TypeError) and not isinstance(error, TwofoldError):
        importlib.import_module(f"{__package__}.suggestions").suggest(error)


def trim(error: BaseException) -> None:
    """Leave our frames out of the traceback of an error of ours, and of those that led to it."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        at = chain.pop()
        if at is not None and id(at) not in seen:
            seen.add(id(at))
            if isinstance(at, TwofoldError):
                at.__traceback__ = without_ours(at.__traceback__)
            chain += [at.__cause__, at.__context__]


def without_ours(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our frames; all of it where there are no others."""
    kept = []
    at = trace
    while at is not None:
        if owner_of(at.tb_frame.f_code.co_filename) != OURS:
            kept.append(at)
        at = at.tb_next
    if not kept:
        return trace
    for outer, inner in zip(kept, [*kept[1:], None], strict=True):
        outer.tb_next = inner
    return kept[0]
