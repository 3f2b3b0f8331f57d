"""PyTorch's operations on lists of tensors (`_foreach_add_`), with which optimizers and averages of
weights are written. Floor 4. Each does to every tensor what the method of its name does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor

# fmt: off
BOTH = [  # that give new tensors, and that write with `_`
    "abs", "acos", "add", "addcdiv", "addcmul", "asin", "atan", "ceil", "clamp_max", "clamp_min",
    "cos", "cosh", "div", "erf", "erfc", "exp", "expm1", "floor", "frac", "lerp", "lgamma", "log",
    "log10", "log1p", "log2", "maximum", "minimum", "mul", "neg", "pow", "reciprocal", "round",
    "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "sub", "tan", "tanh", "trunc",
]
# fmt: on
THREE = ("addcdiv", "addcmul", "lerp")
PARTS = ["clone", "copy_", "max", "norm", "zero_", *BOTH, *(f"{name}_" for name in BOTH)]
NAMES = {f"_foreach_{part}" for part in PARTS}


def _each(op: str, tensors: Any, given: Any) -> list[Any]:
    """What each tensor is given: one for all, or as many as there are tensors."""
    if not isinstance(given, list | tuple):
        return [given] * len(tensors)
    if len(given) != len(tensors):
        raise ArgumentError(
            op, "the lists differ in length", tensors=len(tensors), others=len(given)
        )
    return list(given)


def _made(op: str, name: str, x: Any, others: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if not isinstance(x, Tensor):  # a number to the power of tensors
        return getattr(others[0], f"__r{name}__")(x)
    method = getattr(x, name, None)
    if method is None:  # one that has no form of its own that writes
        return x.copy_(getattr(x, name.removesuffix("_"))(*others, **options))  # type: ignore[attr-defined]
    return method(*others, **options)


def named(op: str) -> Callable[..., Any]:
    """The function of the name `op`, `_foreach_` before a method's. Its arguments are those of the
    method: lists, or what counts for all.
    """
    name = op.removeprefix("_foreach_")
    third = "weight" if name.startswith("lerp") else "value"

    def function(self: Any, *others: Any, **options: Any) -> Any:
        count = len(self if isinstance(self, list | tuple) else others[0])
        if not count:
            raise ArgumentError(op, "there are no tensors in the list", hint="if tensors: ...")
        if name.removesuffix("_") in THREE and len(others) == 3:
            *others, options[third] = others  # type: ignore[assignment]
        for word in ("other", "exponent", "exponents", "scalars", "src", "tensors1"):
            if word in options and name.removesuffix("_") not in THREE:
                others = (*others, options.pop(word))
        if "scalars" in options:
            options[third] = options.pop("scalars")
        columns = [_each(op, [None] * count, given) for given in (self, *others)]
        named = {word: _each(op, [None] * count, given) for word, given in options.items()}
        made = [
            _made(op, name, x, tuple(rest), {word: values[i] for word, values in named.items()})
            for i, (x, *rest) in enumerate(zip(*columns, strict=True))
        ]
        return made

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"`{name}` of every tensor of a list."
    return function


def __getattr__(op: str) -> Any:
    if op not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {op!r}")
    found = globals()[op] = named(op)
    return found
