"""Which methods and functions get machine code before them, and of which operation. Floor 7.

Those that are one operation when they are called with tensors alone, those whose calls are
remembered (recall.py), and those that write (ops/writers.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from twofold.codegen.native.tensor_env import MOST_INPUTS
from twofold.exec import recall
from twofold.ops.op import OPS, Op
from twofold.ops.tensor import Tensor
from twofold.ops.writers import WRITERS

# Operators by the operation that they are; `r` before a name turns the operands.
OPERATORS = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "matmul": "matmul"}
COMPARISONS = {"lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne"}
FORWARD = OPERATORS | COMPARISONS | {"neg": "neg", "abs": "abs"}
# Functions and methods that say more than their operation (alpha=, vectors), but are just it when
# called plainly.
PLAIN = {"add": "add", "sub": "sub", "matmul": "matmul"}
# Modules whose functions are put behind machine code: users', and those that gradient rules call.
PUBLIC = ("twofold", "twofold.nn.functional", "twofold.fft", "twofold.linalg")
INSIDE: tuple[str, ...] = (
    "twofold.ops.",
    "twofold.nn.",
    "twofold.autograd.",
    "twofold.distributions.",
)
INSIDE += ("twofold.data.", "twofold.optim.", "twofold.special", "twofold.functional")
ARITIES = (1, 2)


def is_simple(op: Op) -> bool:
    """Whether machine code may run an operation on tensors."""
    several = op.outputs != 1 and (op.residuals or op.writes is not None or op.effect)
    return not op.view and not several and len(op.inputs) <= MOST_INPUTS


def is_plain(op: Op) -> bool:
    return (
        is_simple(op)
        and op.outputs == 1
        and not op.variadic
        and not op.attrs
        and len(op.inputs) in ARITIES
    )


def op_of(name: str, python: Any) -> Op | None:
    """The operation that a function is when it is called with tensors alone."""
    op = getattr(python, "op", None) or OPS.get(PLAIN.get(name, ""))
    return op if isinstance(op, Op) and is_plain(op) else None


def _operator(name: str, python: Any) -> tuple[Op | None, bool]:
    """The operation of a method, and whether its operands are turned."""
    if python in WRITERS:
        op = WRITERS[python]
        return op if op is None or is_plain(op) else None, False
    if not name.startswith("__"):
        return op_of(name, python), False
    word = name.strip("_")
    if word in FORWARD:
        return OPS.get(FORWARD[word]), False
    return OPS.get(OPERATORS.get(word[1:], "")) if word[:1] == "r" else None, True


def _inside(function: Any) -> Any:
    """The function behind a wrapper of overrides.py, which puts itself before machine code."""
    found = vars(function).get("__twofold_inside__") if type(function) is FunctionType else None
    return function if found is None else found[0]


def fronts() -> set[Any]:
    """The Python functions whose calls are remembered, whatever they are called elsewhere."""
    spaces = [vars(Tensor), *(vars(sys.modules[name]) for name in PUBLIC if name in sys.modules)]
    found = [space.get(name) for space in spaces for name in recall.NAMES]
    found += [vars(sys.modules[module])[name] for module, name in recall.INNER]
    return {_inside(python) for python in found if isinstance(python, FunctionType)}


def methods() -> Iterator[tuple[str, Op | None, bool, Any]]:
    """Name, operation, whether turned, and Python function of the methods to put code before."""
    known = fronts()
    # Operators first: there is machine code for so many and no more.
    for name, python in sorted(vars(Tensor).items(), key=lambda item: item[0][:2] != "__"):
        if isinstance(python, FunctionType):
            op, reflected = _operator(name, python)
            if op is not None or python in known or python in WRITERS:
                yield name, op, reflected, python


def public_functions() -> Iterator[tuple[Any, str, Op | None, Any]]:
    known = fronts()
    covered: dict[Any, Any] = {}  # function -> its operation or None, False for one that stays
    loaded = sys.modules.copy()  # other threads import meanwhile
    for module in [m for n, m in loaded.items() if n in PUBLIC or n.startswith(INSIDE)]:
        for name, found in list(vars(module).items()):
            if type(found) is not FunctionType:
                continue
            python = _inside(found)
            if python not in covered:
                covered[python] = _covered(python, known)
            op = covered[python]
            if op is not False:
                yield module, name, op, python
        yield from _of_classes(module, known)


def _covered(python: Any, known: set[Any]) -> Any:
    """The operation of a function that gets machine code before it, or None; else False."""
    if not isinstance(python, FunctionType):
        return False
    if python in WRITERS:
        return _operator(python.__name__, python)[0]
    op = op_of(python.__name__, python)
    return op if op is not None or python in known else False


def _of_classes(module: Any, known: set[Any]) -> Iterator[tuple[Any, str, Op | None, Any]]:
    """The functions that classes of a module are made around: `nn.Dropout.function`."""
    for cls in list(vars(module).values()):
        if isinstance(cls, type) and cls.__module__ == module.__name__:
            python = getattr(vars(cls).get("function"), "__func__", None)
            if isinstance(python, FunctionType) and python in known:
                yield cls, "function", op_of(python.__name__, python), python
