"""A module as a function of its parameters and buffers. Floor 10."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.nn.module import Module
from twofold.ops.joining import stack
from twofold.ops.tensor import Tensor

State = Mapping[str, Tensor]
Place = tuple[dict[str, Any], str]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: State | Sequence[State],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with other tensors for its parameters and buffers, by their names.

    The module is left as it was; what it writes in place (running statistics) goes into the tensors
    that were given. tie_weights: a tensor that has several names is replaced under all of them.
    strict: every name must be given. Raises ArgumentError for names that it does not have.

    >>> functional_call(model, dict(model.named_parameters()), (x,))
    """
    given = _merged(parameter_and_buffer_dicts)
    inputs = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*inputs, **(kwargs or {}))


def _merged(states: State | Sequence[State]) -> dict[str, Tensor]:
    if isinstance(states, Mapping):
        return dict(states)
    if not isinstance(states, tuple | list) or not all(isinstance(s, Mapping) for s in states):
        raise DTypeError(
            "functional_call",
            f"the state is a {type(states).__name__}",
            hint="a dict of tensors by name, or a tuple of such dicts",
        )
    made: dict[str, Tensor] = {}
    for state in states:
        twice = made.keys() & state.keys()
        if twice:
            raise ArgumentError("functional_call", f"{min(twice)} stands in several dicts")
        made |= state
    return made


def places_of(module: Module) -> dict[str, Place]:
    """The table and the key behind each name of a parameter or buffer, shared ones too."""
    found: dict[str, Place] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        start = f"{path}." if path else ""
        for table in (part._parameters, part._buffers):
            found |= {start + name: (table, name) for name, x in table.items() if x is not None}
    return found


@contextlib.contextmanager
def _replaced(module: Module, given: dict[str, Tensor], tie: bool, strict: bool) -> Iterator[None]:
    places = places_of(module)
    _check_names(module, places, given, strict)
    if tie:
        given = _tied(places, given)
    before = [(table, name, table[name]) for table, name in (places[key] for key in given)]
    for (table, name, _), value in zip(before, given.values(), strict=True):
        table[name] = value
    try:
        yield
    finally:
        for table, name, value in before:
            table[name] = value


def _check_names(module: Module, places: Any, given: dict[str, Tensor], strict: bool) -> None:
    name = type(module).__name__
    unknown = sorted(given.keys() - places.keys())
    if unknown:
        raise ArgumentError(
            "functional_call",
            f"{name} has no parameter or buffer {unknown[0]}",
            hint=f"one of {', '.join(list(places)[:6])}",
        )
    missing = sorted(places.keys() - given.keys())
    if strict and missing:
        raise ArgumentError("functional_call", f"{missing[0]} of {name} is not given (strict)")
    for key, value in given.items():
        if not isinstance(value, Tensor):
            raise DTypeError("functional_call", f"{key} is a {type(value).__name__}, not a tensor")


def _tied(places: dict[str, Place], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values for the other names of the tensors that are replaced."""
    values: dict[int, Tensor] = {}
    for key, value in given.items():
        table, name = places[key]
        other = values.setdefault(id(table[name]), value)
        if other is not value:
            raise ArgumentError(
                "functional_call",
                f"{key} is given another value than a tensor that it is tied to",
                hint="one value for both, or tie_weights=False",
            )
    every = {key: values.get(id(table[name])) for key, (table, name) in places.items()}
    return {key: value for key, value in every.items() if value is not None}


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of models of one kind, each stacked along a new first axis.

    The parameters are new leaves that require a gradient as the first model's do. For an ensemble:
    vmap(lambda p, b, x: functional_call(base, (p, b), (x,)), (0, 0, None)).
    """
    if not models:
        raise ArgumentError("stack_module_state", "there are no models")
    kinds = {type(m) for m in models}
    if len(kinds) != 1:
        raise ArgumentError(
            "stack_module_state", f"models of {len(kinds)} classes", hint="models of one class"
        )
    if len({m.training for m in models}) != 1:
        raise ArgumentError("stack_module_state", "some models train and some evaluate")
    parameters = _stacked([dict(m.named_parameters()) for m in models])
    buffers = _stacked([dict(m.named_buffers()) for m in models])
    return parameters, buffers


def _stacked(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    made = {}
    for key, first in states[0].items():
        values = [state[key] for state in states]
        if len({tuple(x.array.shape) for x in values}) != 1:
            raise ShapeError("stack_module_state", f"{key} differs in shape between the models")
        whole = stack([x.detach() for x in values])  # type: ignore[attr-defined]
        whole.tracked = first.tracked
        made[key] = whole
    return made
