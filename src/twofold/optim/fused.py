"""An optimizer's update of many parameters in one call. Floor 11.

`update_all(rule, rows, options)`: each row is a parameter, its gradient and its state tensors, all
of one shape.
The rules are in lower/optim.py; float16 and bfloat16 rows are computed in float32 and rounded
once, complex rows as pairs of reals.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, in_python, user_place
from twofold.base.symbols import is_symbol
from twofold.base.types import Type
from twofold.codegen.native import core
from twofold.lower.optim import update, written_slots
from twofold.lower.optim_rules import RULES
from twofold.ops.bind import bind, mode
from twofold.ops.complexes import view_as_complex
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.tensor import Array, Tensor, type_of, wrap
from twofold.ops.update import UPDATE
from twofold.ops.writing import overwrite, touched
from twofold.optim.optimizer import made_here, only_in_python
from twofold.optim.recorded import computed_in, in_reals, update_recorded

STEP = operator.itemgetter("step")

Row = list[Tensor]


class Advance:
    """How an optimizer goes one step on: `options()` as they are, and a call that counts first."""

    def __init__(self, group: dict[str, Any], states: list[dict[str, Any]], **more: Any) -> None:
        self.group = group
        self.states = states
        self.more = more

    def options(self) -> dict[str, Any]:
        state = self.states[0] if self.states else {}
        numbers = {k: v for k, v in state.items() if not isinstance(v, Tensor)}
        return {**self.group, **numbers, **self.more}

    def same(self) -> Callable[[], bool]:
        """Asks whether the states are in one step and have the tensors that they have now: who
        loads a state, or sets a part of it, puts others there.
        """
        held = [
            (state, key, x)
            for state in self.states
            for key, x in state.items()
            if isinstance(x, Tensor)
        ]
        return lambda: _in_step(self.states) and all([s.get(k) is x for s, k, x in held])

    def keep(self, numbers: Mapping[str, float]) -> None:
        """What is another number of the state after this step."""
        for state in self.states if numbers else ():
            state.update(numbers)

    def __call__(self) -> dict[str, Any]:
        for state in self.states:
            state["step"] += 1
        return self.options()

    def back(self, numbers: Mapping[str, float]) -> None:
        """Take the last step back; `numbers` are those that `keep` has changed, as they were."""
        for state in self.states:
            state["step"] -= 1
        self.keep(numbers)


def update_all(rule: str, rows: list[Row], advance: Advance) -> None:
    """Update the first tensor of every row (and its state) in place. Raises DTypeError for other
    than floats.

    advance: counts the step and gives the rule's options; in a graph it is called at each run.
    """
    if dict.get(advance.group, "differentiable"):
        update_recorded(rule, rows, advance)
        return
    if mode.capture is not None:
        _update_in_graph(rule, rows, advance)
        return
    options = advance()
    core.start()
    by_type: dict[Any, list[Row]] = {}
    for row in map(in_reals, rows):
        if not row[0].array.flags.writeable:
            raise ArgumentError(
                rule,
                "a parameter lies in read-only memory",
                hint="x.clone()",
                param=type_of(row[0]),
            )
        if row[1].array.shape != row[0].array.shape:
            raise ShapeError(
                rule,
                "the gradient has another shape than its parameter",
                hint="a gradient of the parameter's shape, as backward() gives it",
                param=type_of(row[0]),
                grad=type_of(row[1]),
            )
        by_type.setdefault(row[0].array.dtype, []).append(row)
    for storage, group in by_type.items():
        dtype = dtypes.of(storage)
        if dtype.kind != "f":
            raise DTypeError(
                rule,
                "only floating and complex parameters can be optimised",
                param=type_of(group[0][0]),
            )
        if dtype in (dtypes.float32, dtypes.float64):
            update(rule, [_arrays(row, dtype) for row in group], options)
        else:
            _update_short(rule, group, options)
    advance.keep(RULES[rule].after(options))
    place = user_place()
    for row in rows:
        touched(row[0], place)
        for x in row[2:]:
            x.version += 1


def _update_in_graph(rule: str, rows: list[Row], advance: Advance) -> None:
    """Leave the update in the graph that is captured; its numbers come anew with each run."""
    if made_here(advance.group, rule):
        options = advance()
        known = RULES[rule].numbers(_plain(options, rule))
        read = wrap(np.array([known[name] for name in RULES[rule].names], np.float64))
        _bind_update(rule, rows, RULES[rule].variant(options), read)
        advance.keep(RULES[rule].after(options))
        return
    record = RULES[rule]
    variant = record.variant(advance.options())
    _check_early(rule, advance.group)
    inside = _set_inside(advance.group)
    options = {
        k: v
        for k, v in advance.group.items()
        if k not in ("params", "lr") and k not in inside and not is_symbol(v)
    }
    capture = mode.capture
    capture.options += [(advance.group, key, value) for key, value in options.items()]
    same = advance.same()

    def holds() -> bool:
        if not same() or dict.get(advance.group, "differentiable"):
            return False
        now = advance.options()
        return all(now[k] is v for k, v in options.items()) or record.variant(now) == variant

    capture.conditions.append(holds)
    last: dict[str, float] = {}  # what the step before has changed, as it was
    checked: list[Any] = []  # the group's options that were last found to be of this variant

    def numbers() -> list[float]:
        options = advance() | {key: get() for key, get in inside.items()}
        now = [v for k, v in options.items() if k not in ("step", "params")]
        if now != checked and record.variant(options) != variant:
            raise ArgumentError(
                rule,
                "an option that the compiled program is made for has changed",
                options=f"{sorted(variant)} then, {sorted(record.variant(options))} now",
                hint="other learning rates and decays are fine, but not 0 in place of another",
            )
        checked[:] = now
        found = record.numbers(options)
        after = record.after(options)
        last.update({name: options[name] for name in after})
        advance.keep(after)
        return [found[name] for name in record.names]

    # what a file keeps of it
    numbers.plain = lambda: {  # type: ignore[attr-defined]
        "kind": "update",
        "rule": rule,
        "options": {
            k: v for k, v in advance.options().items() if k not in ("params", "param_names")
        },
    }
    like = Type((len(record.names),), dtypes.float64)
    host = mode.capture.host(numbers, rule, lambda: advance.back(last), like)
    read = wrap(mode.capture.host_value(host, None, (len(record.names),), dtypes.float64))
    _bind_update(rule, rows, variant, read)


def _check_early(op: str, group: dict[str, Any]) -> None:
    """Raise where a measure of this run has set the group's rate."""
    if id(group) in mode.capture.late:
        error = ArgumentError(
            op,
            "the rate depends on a measure of this run, which set it before this step",
            hint="step the schedule after the optimizer, as the last of the function",
        )
        in_python(error)
        raise error


def _set_inside(group: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Options that the function has set itself: they are what they are at this place of it."""
    capture = mode.capture
    return {
        key: capture.at_each_run(value)
        for key, value in group.items()
        if capture.set_inside(group, key)
    }


def _in_step(states: list[dict[str, Any]]) -> bool:
    """Whether all have the same count: some may have been left out of a step."""
    return len(set(map(STEP, states))) <= 1


def _plain(options: dict[str, Any], rule: str) -> dict[str, Any]:
    """The options of an optimizer that the function makes; numbers that only a run knows are for
    Python.
    """
    kinds = (bool, int, float, str, tuple, list, type(None))
    if not all(type(x) in kinds for x in options.values()):
        raise only_in_python(rule, "an option of an optimizer that the function makes is computed")
    return options


def _bind_update(rule: str, rows: list[Row], variant: Any, read: Tensor) -> None:
    by_type: dict[Any, list[Row]] = {}
    for row in rows:
        by_type.setdefault(row[0].dtype, []).append(row)
    for dtype, group in by_type.items():
        wide = computed_in(dtype)
        flat = [cast(x, wide) for row in group for x in in_reals(row)]
        written = written_slots(rule, variant)
        attrs = (rule, tuple(sorted(variant)), len(group[0]), written)
        made = iter(bind(UPDATE, (read, *flat), attrs))
        for row in group:
            for slot in written:
                found = next(made)
                found = view_as_complex(found) if dtype.is_complex else found
                overwrite(row[slot], found.array, rule)


def numbers_of(
    op: str, advance: Advance, count: int, found: Callable[[dict[str, Any]], list[float]]
) -> Tensor:
    """found(options) at this step as f64[count]; in a graph they come anew with each run."""
    if mode.capture is None or made_here(advance.group, op):
        return wrap(np.array(found(_plain(advance(), op)), np.float64))

    _check_early(op, advance.group)
    inside = _set_inside(advance.group)
    mode.capture.conditions.append(advance.same())

    def numbers() -> list[float]:
        return found(advance() | {key: get() for key, get in inside.items()})

    like = Type((count,), dtypes.float64)
    host = mode.capture.host(numbers, op, lambda: advance.back({}), like)
    return wrap(mode.capture.host_value(host, None, (count,), dtypes.float64))


def _arrays(row: Row, dtype: dtypes.DType) -> list[Array]:
    return [
        x.array if x.array.dtype == dtype.numpy else dtypes.convert(x.array, dtype) for x in row
    ]


def _update_short(rule: str, rows: list[Row], options: dict[str, Any]) -> None:
    wide = [[dtypes.convert(x.array, dtypes.float32) for x in row] for row in rows]
    update(rule, wide, options)
    for row, made in zip(rows, wide, strict=True):
        for place in (0, *range(2, len(row))):
            row[place].array[...] = dtypes.convert(made[place], row[place].dtype)


guard(globals())
