"""vmap: a function for one example as a function for a batch of them. Floor 8.

The function runs once, on tensors that stand for all lanes of the batch: each operation is told to
the level, which runs it on all lanes at once by the record's batch rule (ops/batch_rules.py).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from twofold.autograd.levels import Level, Made
from twofold.base import trees
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.records import NamedTuple
from twofold.ops.batch_rules import rule_of
from twofold.ops.bind import bind_recorded, interpreter
from twofold.ops.elementwise import add
from twofold.ops.joining import cat, clone, stack
from twofold.ops.movement import expand
from twofold.ops.op import Op
from twofold.ops.source import zeros_of
from twofold.ops.stand_in import StandIn
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import movedim, narrow, select
from twofold.ops.writing import write

DRAWS = ("random_gamma", "random_poisson", "random_binomial")
RANDOMNESS = ("error", "different", "same")


class LaneInfo(NamedTuple):
    """What a Function's own `vmap` is told: how many lanes there are, and vmap's `randomness`."""

    batch_size: int
    randomness: str


class Lanes(StandIn):
    """One lane's shape; `value` holds all lanes, along its first axis where it is `batched`."""

    __slots__ = ("batched",)

    def __init__(self, level: VMap, value: Tensor, batched: bool) -> None:
        array = value.array
        self.level = level
        self.value = value
        self.batched = batched
        self.shape = tuple(array.shape[1:]) if batched else tuple(array.shape)
        self.dtype = array.dtype

    @property
    def single(self) -> bool:  # type: ignore[override]
        return not self.batched

    def copied(self) -> Lanes:
        with self.level.outside():
            return Lanes(self.level, clone(self.value), self.batched)

    def beside(self, x: Tensor) -> Tensor:
        with self.level.outside():
            lanes = expand(x, (self.level.size, *x.array.shape)) if self.batched else x
            made, below = clone(lanes), self.below
            made = made if below is None else below.beside(made)
            return around(Lanes(self.level, made, self.batched))

    def through(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        with self.level.outside():
            return around(Lanes(self.level, function(self.value), self.batched))

    def written(self, values: Any) -> None:
        given = values if isinstance(values, Lanes) and values.level is self.level else None
        if given is not None and given.batched and not self.batched:
            given.refuse_into(self.value)
        with self.level.outside():
            target = self.value
            source = _as_tensor(values) if given is None else given.value
            write(target, expand(source, target.array.shape), "in place")

    def __repr__(self) -> str:
        return f"Lanes({list(self.shape)}, {self.level.size} of them)"


def _as_tensor(values: Any) -> Tensor:
    made: Tensor = Tensor(0)
    made.array = values
    return made


class VMap(Level):
    """Every operation on all lanes at once."""

    name = "vmap"

    def __init__(self, size: int, randomness: str) -> None:
        super().__init__()
        self.size = size
        self.randomness = randomness
        self.tracks = False

    @property
    def differentiates(self) -> bool:
        return self.tracks or (isinstance(self.below, Level) and self.below.differentiates)

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        if op.name in DRAWS:
            inputs = self.drawing(op, inputs)
        return super().run(op, inputs, attrs)

    def drawing(self, op: Op, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The inputs of an operation that draws by place, so that lanes differ as is wanted."""
        batched = any([self.owns(x) and x.array.batched for x in inputs])  # type: ignore[attr-defined]
        if self.randomness == "error" or (self.randomness == "same" and batched):
            raise self.unsaid(op.name.removeprefix("random_"), batched)
        if self.randomness == "same" or batched:
            return inputs
        with self.outside():
            zeros = zeros_of((self.size,), inputs[1].array.dtype)
        return (inputs[0], add(inputs[1], around(Lanes(self, zeros, True))), *inputs[2:])

    def unsaid(self, what: str, batched: bool) -> ArgumentError:
        if self.randomness == "same" and batched:
            problem = f"{what} of a batched tensor differs from lane to lane"
            return ArgumentError("vmap", problem, hint="randomness='different'")
        return ArgumentError(
            "vmap",
            f"{what} draws random numbers, and it is not said whether each lane has its own",
            hint="vmap(..., randomness='different') or randomness='same'",
        )

    def lift(self, x: Tensor) -> Lanes:
        return Lanes(self, x, False)

    def apply(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Made:
        xs = tuple([x.array.value if self.owns(x) else x for x in inputs])  # type: ignore[attr-defined]
        on = tuple([self.owns(x) and x.array.batched for x in inputs])  # type: ignore[attr-defined]
        self.tracks = self.tracks or any([x.tracked for x in xs])
        if not any(on):
            made = bind_recorded(op, xs, attrs)
        else:
            rule = rule_of(op)
            made = NotImplemented if rule is None else rule(op, self.size, on, xs, attrs)
            if made is NotImplemented:
                made = lane_by_lane(op, self.size, on, xs, attrs)
        outs = made if isinstance(made, tuple) else (made,)
        return tuple([Lanes(self, out, any(on)) for out in outs])

    def by_rule(self, function: Any, args: tuple[Any, ...]) -> Any:
        """All lanes at once: vmap(info, in_dims, *args) gives results and the axes of lanes."""
        if function.vmap is None:
            return NotImplemented
        leaves, form = trees.flatten(args)
        owned = [isinstance(x, Tensor) and self.owns(x) and x.array.batched for x in leaves]  # type: ignore[attr-defined]
        in_dims = trees.unflatten([0 if batched else None for batched in owned], form)
        given = trees.unflatten(map(self.under, leaves), form)
        with self.outside():
            made, out_dims = function.vmap(LaneInfo(self.size, self.randomness), in_dims, *given)
            outs, form = trees.flatten(made)
            axes = trees.spread(out_dims, made)
            if axes is None:
                raise ArgumentError(
                    f"{function.__name__}.vmap",
                    f"out_dims={out_dims!r} is not nested as its result is",
                    hint="return result, out_dims with an int or None for each tensor",
                )
            lanes = [x if a is None else _front(x, a) for x, a in zip(outs, axes, strict=True)]
        placed = zip(lanes, axes, strict=True)
        return trees.unflatten([around(Lanes(self, x, a is not None)) for x, a in placed], form)

    def draw(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self.randomness == "error":
            raise self.unsaid(function.__name__, False)
        leaves, form = trees.flatten((args, kwargs))
        batched = [isinstance(x, Tensor) and self.owns(x) and x.array.batched for x in leaves]  # type: ignore[attr-defined]
        if self.randomness == "same":
            if any(batched):
                raise self.unsaid(function.__name__, True)
            with self.outside():
                args, kwargs = trees.unflatten(map(self.under, leaves), form)
                return function(*args, **kwargs)
        lanes = []
        with self.outside():
            for lane in range(self.size):
                parts = [
                    select(self.under(x), 0, lane) if b else self.under(x)
                    for x, b in zip(leaves, batched, strict=True)
                ]
                args, kwargs = trees.unflatten(parts, form)
                lanes.append(function(*args, **kwargs))
            made = stack(lanes)
        return around(Lanes(self, made, True))


def around(lanes: Lanes) -> Tensor:
    """The tensor that has these lanes."""
    return _as_tensor(lanes)


_warned: set[str] = set()


def lane_by_lane(op: Op, lanes: int, on: tuple[bool, ...], xs: Any, attrs: Any) -> Any:
    """An operation without a batch rule: run for each lane, and stacked."""
    if op.name not in _warned:
        _warned.add(op.name)
        warnings.warn(
            f"vmap runs {op.name} once for each of {lanes} lanes: it has no batch rule",
            stacklevel=2,
        )
    if not lanes:
        raise ShapeError("vmap", f"{op.name} has no batch rule, and the batch is empty")
    made = []
    for lane in range(lanes):
        parts = [select(x, 0, lane) if b else x for x, b in zip(xs, on, strict=True)]
        made.append(bind_recorded(op, tuple(parts), attrs))
    if isinstance(made[0], tuple):
        return tuple(stack(parts) for parts in zip(*made, strict=True))
    return stack(made)


# ---- the transform


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that runs `func` for every slice of its arguments, all at once.

    in_dims    the axis to go over, for each argument (nested as they are), or one for all; None for
               arguments that all lanes share. Keyword arguments go over their first axis.
    out_dims   where the new axis stands in each result; None for results that no lane differs in
    randomness "error", "different" or "same": what random functions inside of func do
    chunk_size at most so many lanes at once

    Raises ArgumentError or ShapeError where these do not fit the arguments.

    >>> vmap(dot)(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[1.0, 1.0], [1.0, 1.0]]))
    tensor([3., 7.])
    """
    if randomness not in RANDOMNESS:
        raise ArgumentError("vmap", f"randomness={randomness!r}", hint="error, different or same")
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError("vmap", f"chunk_size={chunk_size}", hint="1 or more, or None")

    @functools.wraps(func, updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, axes, form = _arguments(args, kwargs, in_dims)
        size = _batch_size(leaves, axes)
        fronts = [x if a is None else _front(x, a) for x, a in zip(leaves, axes, strict=True)]
        mapped = [a is not None for a in axes]
        if chunk_size is None or size <= chunk_size:
            outs, out_form = _run(func, fronts, mapped, form, size, randomness)
        else:
            chunks: list[list[Tensor]] = []
            for start in range(0, size, chunk_size):
                count = min(chunk_size, size - start)
                part = [
                    narrow(x, 0, start, count) if m else x
                    for x, m in zip(fronts, mapped, strict=True)
                ]
                found, out_form = _run(func, part, mapped, form, count, randomness)
                chunks.append([_whole(x, b, count) for x, b in found])
            outs = [(cat(parts), True) for parts in zip(*chunks, strict=True)]
        return _results(outs, out_form, out_dims, size)

    return batched


def _arguments(args: Any, kwargs: Any, in_dims: Any) -> Any:
    """The arguments' leaves, the axis of each, and their form."""
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    if not isinstance(in_dims, int | tuple | dict) or isinstance(in_dims, bool):
        raise ArgumentError("vmap", f"in_dims={in_dims!r}", hint="an int, or a tuple for arguments")
    axes = trees.spread(in_dims, args)
    if axes is None:
        raise ArgumentError(
            "vmap",
            f"in_dims={in_dims!r} is not nested as the {len(args)} positional arguments are",
            hint="one entry for each argument: an int, None, or nested as the argument is",
        )
    leaves, form = trees.flatten((args, kwargs))
    named = len(leaves) - len(axes)
    axes = [*axes, *(0 if isinstance(x, Tensor) else None for x in leaves[len(leaves) - named :])]
    for x, axis in zip(leaves, axes, strict=True):
        if axis is not None:
            _check_axis(x, axis)
    places = zip(leaves, axes, strict=True)
    return leaves, [a if a is None else a % x.array.ndim for x, a in places], form


def _check_axis(x: Any, axis: Any) -> None:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise DTypeError("vmap", f"in_dims holds {axis!r}", hint="ints and None")
    if not isinstance(x, Tensor):
        raise DTypeError(
            "vmap",
            f"an argument is a {type(x).__name__}, which has no axis {axis}",
            hint="in_dims with None for it",
        )
    if not -x.array.ndim <= axis < x.array.ndim:
        raise ShapeError(
            "vmap",
            f"in_dims {axis} is not an axis of its argument",
            hint="None for an argument that all lanes share",
            argument=type_of(x),
        )


def _batch_size(leaves: list[Any], axes: list[int | None]) -> int:
    sizes = [x.array.shape[a] for x, a in zip(leaves, axes, strict=True) if a is not None]
    if not sizes:
        raise ArgumentError(
            "vmap", "there is no argument to go over", hint="a tensor whose in_dims is not None"
        )
    # compared one by one: in a graph, sizes are symbols
    if any([n != sizes[0] for n in sizes[1:]]):
        raise ShapeError(
            "vmap",
            f"the axes to go over have the sizes {sizes}",
            hint="one size for all, and None for arguments that all lanes share",
        )
    return sizes[0]  # type: ignore[no-any-return]


def _front(x: Tensor, axis: int) -> Tensor:
    return x if axis == 0 else movedim(x, axis, 0)


def _run(
    func: Any, leaves: list[Any], mapped: list[bool], form: Any, size: int, randomness: str
) -> tuple[list[tuple[Tensor, bool]], Any]:
    """The results of all lanes, each with whether it has a batch axis in front."""
    level = VMap(size, randomness)
    inside = [
        around(Lanes(level, x, True)) if m else x for x, m in zip(leaves, mapped, strict=True)
    ]
    args, kwargs = trees.unflatten(inside, form)
    with interpreter(level):
        made = func(*args, **kwargs)
    outs, out_form = trees.flatten(made)
    results = []
    for x in outs:
        if not isinstance(x, Tensor):
            raise DTypeError(
                "vmap",
                f"the function gives a {type(x).__name__}, not tensors alone",
                hint="twofold.tensor(...) around it",
            )
        results.append((level.under(x), level.owns(x) and x.array.batched))  # type: ignore[attr-defined]
    return results, out_form


def _whole(x: Tensor, batched: bool, size: int) -> Tensor:
    return x if batched else expand(x, (size, *x.array.shape))


def _results(outs: list[tuple[Tensor, bool]], form: Any, out_dims: Any, size: int) -> Any:
    """The results with the new axis where it is wanted."""
    tree = trees.unflatten([x for x, _ in outs], form)
    given = tuple(out_dims) if isinstance(out_dims, list) else out_dims
    if isinstance(given, tuple) and len(given) == 1 and form.kind is None:
        given = given[0]
    axes = trees.spread(given, tree)
    if axes is None:
        raise ArgumentError(
            "vmap",
            f"out_dims={out_dims!r} is not nested as the function's result is",
            hint="an int for all, or one entry for each result",
        )
    made = [_placed(x, b, axis, size) for (x, b), axis in zip(outs, axes, strict=True)]
    return trees.unflatten(made, form)


def _placed(x: Tensor, batched: bool, axis: Any, size: int) -> Tensor:
    if axis is None:
        if batched:
            raise ArgumentError(
                "vmap",
                "out_dims is None for a result that differs from lane to lane",
                hint="an int: where the new axis stands",
                result=type_of(x),
            )
        return x
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise DTypeError("vmap", f"out_dims holds {axis!r}", hint="ints and None")
    whole = _whole(x, batched, size)
    if not -whole.array.ndim <= axis < whole.array.ndim:
        raise ShapeError("vmap", f"out_dims {axis} is not an axis of its result", result=type_of(x))
    return whole if axis in (0, -whole.array.ndim) else movedim(whole, 0, axis)
