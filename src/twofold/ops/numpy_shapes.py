"""The shapes of what NumPy's functions give, where sizes are symbols: a rule for each. Floor 4.

A rule takes what its function takes. It gives a shape, `Shapes` of several results, or None for
arguments that it has no answer for. See ops/numpy_of_sizes.py.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import ceil_div, is_symbol, maximum, same_shape, same_size
from twofold.base.types import Type
from twofold.ops.indexing import Slice, shape_at
from twofold.ops.rules import broadcast

Shape = tuple[Any, ...]
SIZES = (int, np.integer)


@final
class Shapes(tuple[Shape, ...]):
    """The shapes of several results."""

    __slots__ = ()


def _is_size(x: Any) -> bool:
    return x.whole if is_symbol(x) else type(x) is int or isinstance(x, np.integer)


def _size(x: Any) -> Any:
    return x if is_symbol(x) else int(x)


def _sizes(shape: Any) -> Shape | None:
    """A shape as a tuple, of what stands where one does."""
    given = shape if isinstance(shape, tuple | list) else (shape,)
    return tuple(map(_size, given)) if all(map(_is_size, given)) else None


def _shape_of(x: Any) -> Shape:
    """The shape of an operand; a list of plain numbers is one, too."""
    found = getattr(x, "shape", None)
    if found is None:
        found = () if is_symbol(x) else np.shape(x)
    return tuple(found)


def _common(*operands: Any) -> Shape | None:
    types = {f"operand {k}": Type(_shape_of(x), dtypes.int64) for k, x in enumerate(operands)}
    try:
        return broadcast("numpy", **types)
    except ShapeError:  # NumPy tells it
        return None


# ---- made of sizes


def _filled(shape: Any, *_: Any, **__: Any) -> Shape | None:
    return _sizes(shape)


def _arange(*args: Any, dtype: Any = None) -> Shape | None:
    if not args or len(args) > 3 or not all(map(_is_size, args)):
        return None
    start, stop, step = {1: (0, *args, 1), 2: (*args, 1)}.get(len(args), args)
    if is_symbol(step) or step == 0:
        return None
    length = stop - start if step > 0 else start - stop
    return (maximum(ceil_div(length, abs(step)), 0),)


def _linspace(start: Any, stop: Any, num: Any = 50, endpoint: Any = True, dtype: Any = None) -> Any:
    return (num,) if _is_size(num) and not np.ndim(start) and not np.ndim(stop) else None


def _eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Shape | None:
    return _sizes((N, N if M is None else M))


def _window(M: Any, *_: Any) -> Shape | None:
    return (maximum(_size(M), 0),) if _is_size(M) else None


def _array(data: Any, dtype: Any = None, copy: Any = None) -> Shape | None:
    """Of nested lists of numbers, too."""
    if not isinstance(data, list | tuple):
        return _shape_of(data)
    parts = [_array(part) for part in data]
    if not parts or any(shape != parts[0] for shape in parts) or parts[0] is None:
        return None
    return (len(parts), *parts[0])


def _meshgrid(*vectors: Any, indexing: str = "xy") -> Shapes | None:
    shapes = [_shape_of(x) for x in vectors]
    if any(len(shape) != 1 for shape in shapes):
        return None
    sizes = [shape[0] for shape in shapes]
    if indexing == "xy":
        sizes[:2] = sizes[1::-1]
    return Shapes([tuple(sizes)] * len(sizes))


# ---- of the same shape, or of a common one


def _same(x: Any, *_: Any, **__: Any) -> Shape:
    return _shape_of(x)


def UFUNC(*operands: Any, dtype: Any = None) -> Shape | None:
    """The common shape of what an operation of each element is given."""
    shape = _common(*operands)
    return shape or None  # a number is Python's


def _where(test: Any, *ways: Any) -> Shape | None:
    return (_common(test, *ways) or None) if len(ways) == 2 else None


def _running(x: Any, axis: Any = None, dtype: Any = None) -> Shape:
    shape = _shape_of(x)
    return (math.prod(shape),) if axis is None else shape


# ---- parts, and other shapes


def _item(x: Any, key: Any) -> Shape | None:
    parts = key if isinstance(key, tuple) else (key,)
    made: list[Any] = []
    indices: list[Shape] = []
    for part in parts:
        if isinstance(part, slice):
            bounds = (part.start, part.stop, part.step)
            if not all(b is None or _is_size(b) for b in bounds) or is_symbol(part.step):
                return None
            made.append(Slice(*bounds))
        elif part is None or part is Ellipsis:
            made.append(part)
        elif _is_size(part):
            made.append(_size(part))
        elif isinstance(part, np.ndarray) and part.dtype.kind in "iu" and not indices:
            indices.append(_shape_of(part))
            made.append(part)
        else:
            return None
    axes = sum(part is not None and part is not Ellipsis for part in parts)
    if axes > len(_shape_of(x)) or (indices and any(type(part) is int for part in made)):
        return None
    return shape_at(_shape_of(x), tuple(made), indices) or None


def _reshape(x: Any, *sizes: Any) -> Shape | None:
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    shape = _sizes(sizes)
    if shape is None:
        return None
    count = math.prod(_shape_of(x))
    open_ = [k for k, n in enumerate(shape) if not is_symbol(n) and n == -1]
    rest = math.prod([n for k, n in enumerate(shape) if k not in open_])
    if len(open_) == 1 and not (not is_symbol(rest) and rest == 0):
        place = open_[0]
        return (*shape[:place], count // rest, *shape[place + 1 :])
    return shape if not open_ and same_size(count, rest) else None


def _flat(x: Any, *_: Any) -> Shape:
    return (math.prod(_shape_of(x)),)


def _axis(axis: Any, rank: int) -> int | None:
    return axis % rank if type(axis) is int and -rank <= axis < rank else None


def _transpose(x: Any, *axes: Any) -> Shape | None:
    shape = _shape_of(x)
    if len(axes) == 1 and isinstance(axes[0], tuple | list):
        axes = tuple(axes[0])
    order = axes or tuple(range(len(shape)))[::-1]
    found = [_axis(axis, len(shape)) for axis in order]
    return None if None in found else tuple([shape[k] for k in found])  # type: ignore[index]


def _swapaxes(x: Any, a: int, b: int) -> Shape | None:
    shape = list(_shape_of(x))
    first, second = _axis(a, len(shape)), _axis(b, len(shape))
    if first is None or second is None:
        return None
    shape[first], shape[second] = shape[second], shape[first]
    return tuple(shape)


def _expand_dims(x: Any, axis: Any) -> Shape | None:
    shape = _shape_of(x)
    place = _axis(axis, len(shape) + 1)
    return None if place is None else (*shape[:place], 1, *shape[place:])


def _squeeze(x: Any, axis: Any = None) -> Shape | None:
    shape = _shape_of(x)
    place = _axis(axis, len(shape))
    return None if place is None else (*shape[:place], *shape[place + 1 :])


def _repeat(x: Any, repeats: Any, axis: Any = None) -> Shape | None:
    if not _is_size(repeats):
        return None
    shape = _shape_of(x)
    if axis is None:
        return (math.prod(shape) * repeats,)
    place = _axis(axis, len(shape))
    if place is None:
        return None
    return (*shape[:place], shape[place] * repeats, *shape[place + 1 :])


def _tile(x: Any, times: Any) -> Shape | None:
    found, shape = _sizes(times), _shape_of(x)
    if found is None:
        return None
    rank = max(len(found), len(shape))
    pairs = [(1,) * (rank - len(part)) + tuple(part) for part in (found, shape)]
    return tuple(map(operator.mul, *pairs))


def _concatenate(parts: Any, axis: Any = 0) -> Shape | None:
    shapes = [_shape_of(x) for x in parts]
    place = _axis(axis, len(shapes[0]))
    if place is None:
        return None
    rests = [(*s[:place], *s[place + 1 :]) for s in shapes]
    if not all(same_shape(rest, rests[0]) for rest in rests):
        return None
    whole = functools.reduce(operator.add, [s[place] for s in shapes])
    return (*shapes[0][:place], whole, *shapes[0][place + 1 :])


def _stack(parts: Any, axis: Any = 0) -> Shape | None:
    shapes = [_shape_of(x) for x in parts]
    place = _axis(axis, len(shapes[0]) + 1)
    if place is None or not all(same_shape(s, shapes[0]) for s in shapes):
        return None
    return (*shapes[0][:place], len(shapes), *shapes[0][place:])


def _reduced(x: Any, axis: Any = None, keepdims: bool = False) -> Shape | None:
    shape = _shape_of(x)
    place = _axis(axis, len(shape))
    if place is None:
        return None
    return (*shape[:place], *([1] if keepdims else []), *shape[place + 1 :]) or None


def _broadcast_to(x: Any, shape: Any) -> Shape | None:
    return _sizes(shape)


def _outer(x: Any, y: Any) -> Shape:
    return math.prod(_shape_of(x)), math.prod(_shape_of(y))


def _diag(x: Any) -> Shape | None:
    shape = _shape_of(x)
    return (shape[0], shape[0]) if len(shape) == 1 else None


BY_RULE: tuple[tuple[Callable[..., Any], str], ...] = (
    (_filled, "zeros ones empty full"),
    (_arange, "arange"),
    (_linspace, "linspace"),
    (_eye, "eye tri"),
    (_eye, "identity"),
    (_window, "hanning hamming blackman bartlett kaiser"),
    (_array, "array asarray asanyarray ascontiguousarray"),
    (_meshgrid, "meshgrid"),
    (_same, "triu tril flip fliplr flipud copy ones_like zeros_like full_like empty_like"),
    (_same, "round around clip nan_to_num sort roll ndarray.astype ndarray.copy ndarray.clip"),
    (_same, "ndarray.round"),
    (_where, "where"),
    (_running, "cumsum cumprod ndarray.cumsum"),
    (_item, "ndarray.__getitem__"),
    (_reshape, "reshape ndarray.reshape"),
    (_flat, "ravel ndarray.flatten ndarray.ravel"),
    (_transpose, "transpose ndarray.transpose"),
    (_swapaxes, "swapaxes ndarray.swapaxes"),
    (_expand_dims, "expand_dims"),
    (_squeeze, "squeeze ndarray.squeeze"),
    (_repeat, "repeat ndarray.repeat"),
    (_tile, "tile"),
    (_concatenate, "concatenate"),
    (_stack, "stack"),
    (_reduced, "sum mean max min prod any all amax amin ndarray.sum ndarray.mean ndarray.max"),
    (_reduced, "ndarray.min ndarray.prod ndarray.any ndarray.all"),
    (_broadcast_to, "broadcast_to"),
    (_outer, "outer"),
    (_diag, "diag"),
)


def _function(name: str) -> Any:
    return operator.attrgetter(name)(np)


# A function's name in a program, and its rule, by the function.
RULES: dict[Any, tuple[str, Callable[..., Any]]] = {
    _function(name): (name, rule) for rule, names in BY_RULE for name in names.split()
}


# Functions that write, and have no rule.
WRITERS = ("ndarray.__setitem__", "ndarray.fill")
NAMED = {name: function for function, (name, _) in RULES.items()}
NAMED |= {name: _function(name) for name in WRITERS}


def named_function(name: str) -> Any:
    """A function by its name in a program. Programs come from files, too: ArgumentError for any but
    those that make tables.
    """
    found = NAMED.get(name, getattr(np, name, None))
    if name not in NAMED and not isinstance(found, np.ufunc):
        raise ArgumentError("table", f"a program names numpy.{name}, which no table is made by")
    return found


def rule_of(function: Any) -> tuple[str | None, Any]:
    """A function's name in a program, and its rule; None for what has none."""
    if isinstance(function, np.ufunc):
        elementwise = function.signature is None and function.nout == 1
        known = elementwise and getattr(np, function.__name__, None) is function
        return (function.__name__, UFUNC) if known else (None, None)
    try:
        return RULES.get(function, (None, None))
    except TypeError:  # what has no hash
        return None, None


def shapes_of(rule: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """What a rule says; None where it does not take such arguments."""
    try:
        return rule(*args, **options)
    except (TypeError, IndexError, ValueError):
        return None
