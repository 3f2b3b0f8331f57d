"""Errors that say what failed, the facts, where in the user's file, and what to try. Floor 0.

matmul: inner sizes differ
  x = f32[32, 784]
  w = f32[128, 784]
  in  Net.block.2.fc
  at  train.py:41    logits = x @ w
  try x @ w.T
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class TwofoldError(RuntimeError):
    """The root of all our errors: the operation, the problem, facts by argument name, and a hint.

    It is a RuntimeError because that is what PyTorch programs catch; subclasses add the built-in
    that fits.
    """

    def __init__(self, op: str, problem: str, *, hint: str = "", **facts: object) -> None:
        super().__init__(op, problem)
        self.op = op
        self.problem = problem
        self.hint = hint
        self.facts = facts
        self.where = user_line()
        self.path: tuple[str, ...] = ()
        self.module: object = None

    def __str__(self) -> str:
        lines = [f"{self.op}: {self.problem}"]
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


class ShapeError(TwofoldError, ValueError):
    """Sizes or ranks that do not fit together."""


class DTypeError(TwofoldError, TypeError):
    """An element type, or a Python type, that the operation does not take."""


class ArgumentError(TwofoldError, ValueError):
    """A value outside what the operation is defined for."""


class DivisionError(TwofoldError, ZeroDivisionError):
    """A whole number divided by zero."""


class IndexRangeError(TwofoldError, IndexError):
    """An axis or an index that does not exist."""


class GradientError(TwofoldError):
    """A gradient that cannot be had: nothing tracked, freed, or overwritten."""


class StateError(TwofoldError, KeyError):
    """A saved state that does not fit the object it is loaded into."""

    __str__ = TwofoldError.__str__


class DeviceError(TwofoldError, ValueError):
    """A device that does not exist here."""


def user_frame() -> FrameType | None:
    """The innermost frame that is not ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


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
    """An excepthook whose tracebacks of our errors end at the user's frame."""

    def trimmed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> object:
        if isinstance(error, TwofoldError) and not show_all():
            cut_below_user(trace)
        return hook(kind, error, trace)

    return trimmed


def cut_below_user(trace: TracebackType | None) -> None:
    last = None
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None
