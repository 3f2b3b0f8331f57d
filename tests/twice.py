"""Run a function eagerly and as a program, and compare everything that it does, bit for bit."""

from collections.abc import Callable
from typing import Any

import numpy as np

import twofold
from twofold.base.errors import TwofoldError
from twofold.base.trees import leaves_of
from twofold.frontends.arrays import CaptureError
from twofold.ops.tensor import Tensor, wrap


def bits(x: Any) -> Any:
    """What tells results apart: type, shape, and bytes of a tensor; any NaN is one NaN."""
    if not isinstance(x, Tensor):
        return x
    array = x.array
    if array.dtype.kind == "f" and np.isnan(array).any():
        array = np.where(np.isnan(array), array.dtype.type("nan"), array)
    if array.dtype.kind == "c" and np.isnan(array).any():
        parts = array.view(array.real.dtype)
        array = np.where(np.isnan(parts), parts.dtype.type("nan"), parts)
    return str(x.dtype), x.array.shape, array.tobytes()


def fresh(array: Any, tracked: bool = False) -> Tensor:
    x = wrap(np.array(array, copy=True))
    x.tracked = tracked and x.array.dtype.kind in "fcV"
    return x


def seen(made: Any, args: Any, state: Any = ()) -> list[Any]:
    """Results, the arguments and further tensors after the call, and all gradients."""
    found = [bits(x) for x in leaves_of(made)]
    for x in (*leaves_of(args), *state):
        if isinstance(x, Tensor):
            found.append(bits(x))
            found.append(bits(x.grad))
    return found


def same(found: list[Any], wanted: list[Any], what: str = "") -> None:
    assert len(found) == len(wanted), what
    for place, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a == b:
            continue
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) == 3:
            assert a[:2] == b[:2], f"{what}: place {place}: {a[:2]} is not {b[:2]}"
            assert a == b, f"{what}: place {place}: the bits of {a[:2]} differ"
        raise AssertionError(f"{what}: place {place}: {a} is not {b}")


def compare(
    function: Callable[..., Any], calls: list[Callable[[], tuple[Any, ...]]], compiled: Any = None
) -> Any:
    """Call a function with the arguments of each call, eagerly and compiled; the compiled one.

    Where eager raises, the program must raise the same.
    """
    made = twofold.compile(function) if compiled is None else compiled
    for number, call in enumerate(calls):
        args, others = call(), call()
        twofold.manual_seed(number)
        wanted = outcome(function, args)
        twofold.manual_seed(number)
        same(outcome(made, others), wanted, f"call {number}")
    return made


def outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> list[Any]:
    try:
        return seen(function(*args), args)
    except CaptureError:
        raise
    except TwofoldError as error:
        return [type(error), str(error).splitlines()[0]]
