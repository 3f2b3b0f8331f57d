"""Public functions that say which argument is of a wrong kind. Floor 4.

    twofold.argsort([3, 1, 2])      # argsort: input is a list, not a tensor

A function trusts its annotations, and trips over what is something else. Looking at each argument
of each call would cost every program; here the annotations are read only after a call has failed.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from twofold.base.errors import DTypeError, TwofoldError, kind_of
from twofold.base.symbols import is_symbol
from twofold.ops.tensor import Tensor

# What Python raises by itself where a value is not what the code takes it for.
TRIPPED: tuple[type[Exception], ...] = (
    AttributeError, TypeError, ValueError, IndexError, KeyError, AssertionError, ArithmeticError,
)  # fmt: skip
MAKE_ONE = "twofold.as_tensor(...)"
GUARDED = "__guarded__"
Given = ParamSpec("Given")
Made = TypeVar("Made")


class KindError(DTypeError):
    """An argument of another Python type than the function takes, as the outermost one says it."""


def guard(module: dict[str, Any], *methods: str) -> None:
    """Guard the public functions that a module defines, those that are methods only, and how its
    classes are made: `guard(globals())` is its last line.
    """
    made: dict[Any, Any] = {}
    public = {*module.get("__all__", () if methods else module), *methods}
    for name, value in list(module.items()):
        if name[0] == "_" or getattr(value, "__module__", "") != module["__name__"]:
            continue
        if isinstance(value, type):
            if type(vars(value).get("__init__")) is FunctionType:
                value.__init__ = guarded(value.__init__)  # type: ignore[misc]
        elif name in public and _trusts(value):
            if value not in made:
                made[value] = guarded(value)
            module[name] = made[value]


def _trusts(value: Any) -> bool:
    """Whether it is a function that does not look at its operand itself, and is not guarded."""
    if type(value) is not FunctionType:
        return False
    return not hasattr(value, "op") and GUARDED not in vars(value)


def guarded(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """The function, whose failure over an argument of a wrong kind is a KindError."""

    @functools.wraps(function)
    def call(*args: Given.args, **options: Given.kwargs) -> Made:
        try:
            return function(*args, **options)
        except TRIPPED as error:
            if isinstance(error, TwofoldError) and not isinstance(error, KindError):
                raise
            wrong = wrong_argument(function, args, options)
            if wrong is None:
                raise
            raise wrong from None

    vars(call)[GUARDED] = True
    return call


def wrong_argument(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> KindError | None:
    """The error of the first argument that is not what its annotation says."""
    inspect = importlib.import_module("inspect")  # takes 10 ms, and is needed here alone
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **options).arguments
    except TypeError:
        return None  # Python's own error says which name is missing or unknown
    for name, value in given.items():
        parameter = signature.parameters[name]
        values = value if parameter.kind is parameter.VAR_POSITIONAL else (value,)
        for one in values if parameter.kind is not parameter.VAR_KEYWORD else ():
            wanted = str(parameter.annotation)
            if not _fits(one, wanted):
                op = _called(function, args)
                what = " or ".join(_said(part) for part in wanted.split(" | "))
                hint = MAKE_ONE if "Tensor" in wanted else what
                return KindError(op, f"{name} is {kind_of(one)}, not {what}", hint=hint)
    return None


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """The name that a program calls it by: of its class, where it makes or calls one."""
    name = function.__name__
    return type(args[0]).__name__ if name in ("__init__", "forward") else name


def _whole(value: Any) -> bool:
    known_later = is_symbol(value) or hasattr(type(value), "known")  # a size, or a tensor's number
    single = hasattr(value, "__index__") and not _several(value)
    return known_later or single or isinstance(value, Tensor)


def _several(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0


def _tensors(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(x, Tensor) for x in value)


def _number(value: Any) -> bool:
    return _whole(value) or (hasattr(value, "__float__") and not _several(value))


# By annotation: how an error calls it, and whether a value is one.
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "Tensor": ("a tensor", lambda value: isinstance(value, Tensor)),
    "Sequence[Tensor]": ("a sequence of tensors", _tensors),
    "list[Tensor]": ("a list of tensors", _tensors),
    "tuple[Tensor, ...]": ("a tuple of tensors", _tensors),
    "int": ("a whole number", _whole),
    "float": ("a number", _number),
    "bool": ("a bool", _number),
    "str": ("a text", lambda value: isinstance(value, str)),
    "None": ("None", lambda value: value is None),
}


def _said(annotation: str) -> str:
    return KINDS[annotation][0]


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value is what an annotation says; also where the annotation says nothing known."""
    parts = annotation.split(" | ")
    if any(part not in KINDS for part in parts):
        return True
    return any(KINDS[part][1](value) for part in parts)
