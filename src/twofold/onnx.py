"""PyTorch's ONNX exporter by name: libraries tell it about their operations when they are imported.

Nothing is exported to ONNX here; `twofold.export` writes programs. Floor 12.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

from twofold.base.errors import ArgumentError
from twofold.base.files import also_as

__all__ = ["export", "is_in_onnx_export", "parse_args", "register_custom_op_symbolic"]

symbolic_opset9 = symbolic_opset11 = SimpleNamespace()  # operations of ONNX, which nobody asks for


def export(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises ArgumentError: there is no exporter to ONNX."""
    hint = "twofold.export(f, *args) writes a program that twofold.load gives back"
    raise ArgumentError("onnx.export", "programs are not written as ONNX", hint=hint)


def is_in_onnx_export() -> bool:
    """False: nothing is exported."""
    return False


def parse_args(*kinds: str) -> Callable[[Any], Any]:
    """A decorator of what tells the exporter about an operation: the function itself."""
    return lambda function: function


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Nobody will ask for it."""


also_as(__name__, "symbolic_helper")
