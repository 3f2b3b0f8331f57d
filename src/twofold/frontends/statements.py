"""What rewritten statements call: Python's way for Python values, a graph's for its tensors.
Floor 9. See frontends/syntax.py, and frontends/loops.py for loops.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base.dtypes import float64, int64
from twofold.base.symbols import is_symbol, rounded
from twofold.frontends import syntax
from twofold.frontends.arrays import CaptureError, Unknown, is_unknown
from twofold.frontends.containers import unchanging
from twofold.frontends.control import cond
from twofold.frontends.effects import Undefined, text, text_for
from twofold.frontends.either import check_identity
from twofold.frontends.given_arrays import GivenArray
from twofold.frontends.later import (
    Later,
    is_later,
    number_kind,
    number_of,
    of_math,
    type_of_number,
)
from twofold.frontends.masked_items import changed_as_whole, copy_item
from twofold.frontends.noted import Again
from twofold.ops.bind import mode, recording
from twofold.ops.compare import logical_and, logical_not, logical_or
from twofold.ops.elementwise import cast
from twofold.ops.joining import Stacked
from twofold.ops.rounding import trunc
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor


def value(get: Callable[[], Any]) -> Any:
    """The value of a name, or Undefined."""
    try:
        return get()
    except (NameError, UnboundLocalError):
        return Undefined()


def deleted(_: Any) -> Undefined:
    """What a name is after `del`; that it was read tells whether it had a value."""
    return Undefined()


def undefined(x: Any) -> bool:
    return type(x) is Undefined


def truth(x: Any) -> Any:
    """What a test decides by; of what a loop counts the answer, if it is one in all turns."""
    return bool_(x) if is_later(x) and x.line is not None else x


def decides(x: Any) -> bool:
    """Whether a value is a tensor of the graph that is captured, or a number of it; or a tensor
    from outside, whose values may change.
    """
    if mode.capture is None:
        return False
    if not isinstance(x, Tensor):
        return is_later(x)
    return is_unknown(x.array) or mode.capture.reads_outside(x.array)


def tested(x: Any) -> Any:
    """What decides, as a tensor."""
    return x.tensor if is_later(x) else x


def carried(x: Any) -> bool:
    """Whether a value can be carried through a graph: a tensor or a number."""
    return isinstance(x, Tensor | bool | int | float) and not undefined(x)


def refuse(what: str, name: str, hint: str) -> CaptureError:
    return CaptureError("compile", f"{what}: {name!r}", hint=hint)


# ---- if ------------------------------------------------------------------------------------------


def if_(test: Any, yes: Any, no: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    """One of two blocks; the values of the names that they change."""
    test = truth(test)
    if not decides(test):
        return (yes if test else no)(*values)
    first, second = unchanging(yes, values), unchanging(no, values)
    return _chosen(
        test,
        lambda: _if_in_graph(tested(test), first, second, values, names),
        lambda flag: (yes if flag else no)(*values),
    )


def _chosen(test: Any, in_graph: Callable[[], Any], in_python: Callable[[bool], Any]) -> Any:
    """A choice by a tensor: in the graph; where its branches cannot be there, by its value, which
    is computed before each run.
    """
    frame, capture = sys._getframe(2), mode.capture
    here = frame.f_code.co_filename, frame.f_lineno
    if here in capture.decided.by_asking and capture.outer is None and not capture.probing:
        flag = bool_(test)
        return in_python(bool(flag))
    try:
        return in_graph()
    except Exception as error:
        array: Any = tested(test).array
        asks = capture.outer is None and capture.found_now is not None and not capture.probing
        if not asks or not isinstance(array, Unknown | np.ndarray) or capture.mendable(error):
            raise
        raise Again("by_asking", here) from error


def _if_in_graph(
    test: Tensor, yes: Any, no: Any, values: tuple[Any, ...], names: tuple[str, ...]
) -> Any:
    made = []
    kinds: list[list[Any]] = []

    def branch(block: Any) -> Callable[[], Any]:
        def run() -> Any:
            results = block(*values)
            made.append(results)
            kinds.append([carried(x) for x in results])
            return [x for x, before in zip(results, values, strict=True) if _goes_on(x, before)]

        return run

    places = _both(branch(yes), branch(no), test, values, names, made)
    found = cond(test, *(_only(block, values, places, names, made) for block in (yes, no)))
    results = list(made[0])
    for place, x in zip(places, found, strict=True):
        results[place] = x
    return tuple(
        x if place in places or not undefined(x) else Undefined() for place, x in enumerate(results)
    )


def _goes_on(x: Any, before: Any) -> bool:
    return carried(x) and x is not before


def _both(
    yes: Any, no: Any, test: Any, values: Any, names: tuple[str, ...], made: list[Any]
) -> list[int]:
    """The places of names that a branch gives a new tensor or number. Raises CaptureError for a
    name that only one branch gives a value of another kind.
    """
    probe = Probe()
    with probe:
        yes()
        no()
    places = []
    for place, (a, b, before) in enumerate(zip(*made, values, strict=True)):
        if a is before and b is before:
            continue
        if undefined(a) or undefined(b):
            continue  # a name of one branch alone has no value after it
        if (carried(a) and carried(b)) or _is_result(names[place], a, b):
            places.append(place)
        elif a is not b and a != b:
            raise refuse(
                "a branch on a tensor changes a name that is no tensor or number",
                names[place],
                "tensors and numbers in both branches, or a test that Python knows",
            )
    return places


def _is_result(name: str, a: Any, b: Any) -> bool:
    """Whether a name holds what a loop returns: a tensor in one branch, nothing in the other."""
    return name.startswith(syntax.VALUE) and (carried(a) or carried(b))


class Probe:
    """Run branches to see what they change, and leave nothing of it in the graph."""

    def __enter__(self) -> None:
        capture = mode.capture
        self.calls = len(capture.calls)
        self.checks = len(capture.checks)
        self.streams, self.probing = dict(capture.streams), capture.probing
        capture.probing = True
        self.written, capture.written = capture.written, []
        self.histories, capture.histories = capture.histories, []

    def __exit__(self, *_: object) -> None:
        capture = mode.capture
        del capture.calls[self.calls :]
        del capture.checks[self.checks :]
        capture.streams, capture.probing = self.streams, self.probing
        for storage, before in reversed(capture.written):
            storage.write(before)
        capture.written = self.written
        for x, (node, tracked, version) in reversed(capture.histories):
            x.node, x.tracked, x.version = node, tracked, version
        capture.histories = self.histories


def _only(
    block: Any, values: Any, places: list[int], names: tuple[str, ...], made: list[Any]
) -> Callable[[], Any]:
    def run() -> list[Any]:
        results = list(block(*values))
        for place in places:
            if results[place] is None:  # nothing is returned here
                results[place] = nothing_like(next(r[place] for r in made if r[place] is not None))
        return [results[place] for place in places]

    return run


def nothing_like(x: Any) -> Any:
    """Zeros that stand where a loop has returned nothing; a number for a number."""
    if not isinstance(x, Tensor):
        return type_of_number(x)(0)
    return zeros_of(x.array.shape, x.array.dtype)


def if_return(test: Any, yes: Any, no: Any, values: tuple[Any, ...]) -> Any:
    """The function's result from one of two blocks that end it."""
    test = truth(test)
    if not decides(test):
        return (yes if test else no)(*values)
    return _chosen(
        test,
        lambda: cond(
            tested(test),
            lambda: unchanging(yes, values)(*values),
            lambda: unchanging(no, values)(*values),
        ),
        lambda flag: (yes if flag else no)(*values),
    )


def choose(test: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """A conditional expression."""
    test = truth(test)
    if not decides(test):
        return yes() if test else no()
    ways = unchanging(yes, ()), unchanging(no, ())
    return _chosen(test, lambda: cond(tested(test), *ways), lambda flag: (yes if flag else no)())


# ---- truth ---------------------------------------------------------------------------------------


def int_(x: Any = 0, *more: Any) -> Any:
    """int(x)."""
    if is_symbol(x) and not more:
        return rounded("trunc", x)
    if more or not decides(x):
        return int(x, *more)
    x = x if is_later(x) else x.item()
    if x.kind is float:
        with recording(False):
            return Later(int, cast(trunc(x.tensor), int64), x.outside)
    return Later(int, number_of(x), x.outside) if x.kind is bool else x


def float_(x: Any = 0.0) -> Any:
    """float(x)."""
    if is_symbol(x):
        return x * 1.0 if x.whole else x
    if not decides(x):
        return float(x)
    x = x if is_later(x) else x.item()
    return x if x.kind is float else Later(float, cast(x.tensor, float64), x.outside)


def bool_(x: Any = False) -> Any:
    """bool(x)."""
    if not decides(x):
        return bool(x)
    x = x if is_later(x) else x.item()
    if x.kind is bool:
        return x
    made = x != 0
    if is_later(made):
        made.outside = x.outside
    return made


def len_(x: Any) -> Any:
    """len(x)."""
    if isinstance(x, Stacked):
        return x.whole.array.shape[0] + len(x.rest)
    if type(x) is GivenArray:
        return x.shape[0] if x.ndim else len(x)
    return x.array.shape[0] if decides(x) and x.array.ndim else len(x)


def is_(x: Any, y: Any) -> bool:
    """x is y. Raises CaptureError where a choice or a loop decides that."""
    if x is not y and isinstance(x, Tensor) and isinstance(y, Tensor):
        check_identity(x, y)
    return x is y


def not_(x: Any) -> Any:
    x = truth(x)
    return Later(bool, logical_not(_flag(x))) if decides(x) else not x


def _flag(x: Any) -> Tensor:
    """The truth of what decides, which has one element."""
    with recording(False):
        return tested(bool_(x))  # type: ignore[no-any-return]


def and_(x: Any, more: Callable[[], Any]) -> Any:
    """x and more(); both are computed where a tensor of the graph decides."""
    x = truth(x)
    if not decides(x):
        if not x:
            return x
        return more()
    return _joined(logical_and, x, more(), "and")


def or_(x: Any, more: Callable[[], Any]) -> Any:
    x = truth(x)
    if not decides(x):
        if x:
            return x
        return more()
    return _joined(logical_or, x, more(), "or")


def _joined(function: Any, x: Any, y: Any, name: str) -> Any:
    """x and y, or x or y, of which a run knows the first. Of two bools of Python's it is one."""
    made = function(tested(x), as_tensor(tested(y), name))
    return Later(bool, made) if number_kind(x) is bool and number_kind(y) is bool else made


def raise_if(test: Any, error: Callable[[], Any]) -> None:
    """if test: raise error(); where a tensor of the graph decides, it is looked at in each run."""
    if not decides(test):
        if test:
            raise error()
        return
    made = error()
    mode.capture.demand(logical_not(tested(test)), lambda: made)


def assert_(test: Any, message: Callable[[], Any]) -> None:
    """An assertion; one on a tensor of the graph is checked at each run."""
    if decides(test):
        text = message()
        mode.capture.demand(
            tested(test), lambda: AssertionError(text) if text else AssertionError()
        )
    elif not test:
        text = message()
        raise AssertionError(text) if text is not None else AssertionError()


IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.iadd,
    "Sub": operator.isub,
    "Mult": operator.imul,
    "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod,
    "Pow": operator.ipow,
    "MatMult": operator.imatmul,
    "BitAnd": operator.iand,
    "BitOr": operator.ior,
    "BitXor": operator.ixor,
    "LShift": operator.ilshift,
    "RShift": operator.irshift,
}


def _moves(part: Any) -> bool:
    """Whether a part of a key is a slice of which a run knows where it lies."""
    return isinstance(part, slice) and (decides(part.start) or is_symbol(part.start))


def change_item(x: Any, key: Any, name: str, other: Any) -> None:
    """x[key] += other, and the like."""
    if changed_as_whole(x, key, name, other):
        return
    item = x[key]
    parts = key if isinstance(key, tuple) else (key,)
    if isinstance(x, Tensor) and any(decides(part) or _moves(part) for part in parts):
        item = item.clone()
    x[key] = IN_PLACE[name](item, other)


def numpy_(function: Any, *args: Any, **options: Any) -> Any:
    """A function of NumPy's, of sizes too."""
    if mode.capture is None:
        return function(*args, **options)
    return importlib.import_module(OF_SIZES).call(function, args, options)


OF_SIZES = "twofold.ops.numpy_of_sizes"  # imported when a captured function calls NumPy


copied_item = copy_item  # what x[key] = y[key] calls
f_string = text  # what rewritten f-strings call
f_string_for = text_for  # where they are an argument
math_ = of_math  # and functions of math
