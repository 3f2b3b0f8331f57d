"""Rules that many operations share: operands, promotion, broadcasting, axes. Floor 4.

Each is said once, here, and every check raises an error in the form of DESIGN.md, section 7.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import CATEGORY, DType
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError, kind_of
from twofold.base.symbols import example_of, is_one, is_symbol, taken_equal
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.op import INTEGRAL, Op
from twofold.ops.tensor import Parameter, Size, Tensor, is_of_sizes, type_of, wrap
from twofold.ops.writing import overwrite

NUMBERS = (int, float, complex, np.number, np.bool_)
Given = ParamSpec("Given")
Made = TypeVar("Made")
KINDS = {"b": "bool", "u": "unsigned", "i": "integer", "f": "floating", "c": "complex"}
_constants: dict[tuple[Any, DType], Tensor] = {}


def as_tensor(value: Any, op: str, name: str = "input") -> Tensor:
    """A tensor from a tensor, a number or a NumPy array. Raises DTypeError for anything else."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, NUMBERS):
        return constant(value, dtypes.scalar_dtype(value))
    if isinstance(value, np.ndarray):
        if is_of_sizes(value):
            return wrap(value.as_array(shares=True))  # type: ignore[attr-defined]
        dtypes.of(value.dtype)
        native = value.dtype.isnative
        return wrap(value if native else value.astype(value.dtype.newbyteorder("=")))
    problem = f"{name} is {kind_of(value)}, not a tensor or a number"
    raise DTypeError(op, problem, hint=_instead_of(value, name))


def _instead_of(value: Any, name: str) -> str:
    """What to give instead of a value that is no tensor."""
    if value is None:
        return "a tensor; a function without `return` gives None"
    if hasattr(type(value), "__torch_function__"):  # which we ask once somebody wants it
        return f"import twofold.overrides first: then {type(value).__name__} is asked"
    if not isinstance(value, list | tuple):
        return "a tensor"
    if any(isinstance(part, Tensor) for part in value):
        return f"one of its tensors, such as {name}[0]; or twofold.stack({name})"
    return f"twofold.tensor(...) around {name}"


def constant(value: Any, dtype: DType) -> Tensor:
    """A 0-d tensor for a Python number, shared by all who ask: never to be written."""
    if mode.capture is not None:
        return wrap(mode.capture.constant(value, dtype))
    if value == 0 or value != value or isinstance(value, complex):
        return wrap(_scalar_array(value, dtype))
    found = _constants.get((value, dtype))
    if found is None:
        if len(_constants) > 4096:
            _constants.clear()
        found = _constants[value, dtype] = wrap(_scalar_array(value, dtype))
    return found


def _scalar_array(value: Any, dtype: DType) -> Any:
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16(np.array(value, np.float32))
    if isinstance(value, int) and dtype.is_integer:
        limits = np.iinfo(dtype.numpy)
        if not limits.min <= value <= limits.max:
            raise ArgumentError("number", f"{value} does not fit {dtype.name}", hint="a wider type")
    with np.errstate(over="ignore"):
        return np.array(value, dtype.numpy)


def result_dtype(*values: Any) -> DType:
    """PyTorch's promotion: tensors with axes decide, then 0-d tensors, then Python numbers, by
    category only. Types promote among themselves.
    """
    if any(isinstance(value, DType) for value in values):
        return _with_types(values)
    groups: list[DType | None] = [None, None, None]
    for value in values:
        tensor = isinstance(value, Tensor)
        dtype = value.dtype if tensor else dtypes.scalar_dtype(value)
        rank = (0 if value.array.ndim else 1) if tensor else 2
        before = groups[rank]
        groups[rank] = dtype if before is None else dtypes.promote(before, dtype)
    result: DType | None = None
    for dtype in groups:
        if dtype is None:
            continue
        if result is None:
            result = dtype
        elif CATEGORY[dtype.kind] > CATEGORY[result.kind]:
            result = _raise_category(result, dtype)
    assert result is not None
    return result


def _with_types(values: Sequence[Any]) -> DType:
    """The common type of types, tensors (0-d ones too) and Python numbers."""
    strong = [
        v if isinstance(v, DType) else v.dtype for v in values if isinstance(v, DType | Tensor)
    ]
    found = functools.reduce(dtypes.promote, strong)
    return functools.reduce(dtypes.weak, (v for v in values if isinstance(v, NUMBERS)), found)


def _raise_category(result: DType, dtype: DType) -> DType:
    return result.to_complex() if dtype.is_complex and result.is_floating_point else dtype


def operands(op: str, *values: Any, dtype: DType | None = None) -> tuple[Tensor, ...]:
    """The values as tensors of their common type."""
    first = values[0]
    if dtype is None and all(type(v) in EXACT for v in values):
        storage = first.array.dtype
        if all(v.array.dtype == storage for v in values):
            return values
    for place, value in enumerate(values):
        if not isinstance(value, (Tensor, *NUMBERS)):
            as_tensor(value, op, ("input", "other")[place] if place < 2 else f"argument {place}")
    wanted = dtype or result_dtype(
        *(v if isinstance(v, (Tensor, *NUMBERS)) else wrap(v) for v in values)
    )
    return tuple(_to(v, wanted) for v in values)


def comparable(op: str, x: Any, y: Any) -> tuple[Tensor, ...]:
    """Both in a type in which they compare as the numbers they are.

    Whole numbers in a 0-d tensor would lose their upper bits in the type of the other tensor.
    """
    whole = [v.dtype for v in (x, y) if isinstance(v, Tensor) and v.dtype.is_integer]
    wide = dtypes.promote(*whole) if len(whole) == 2 and whole[0] is not whole[1] else None
    return operands(op, x, y, dtype=wide)


EXACT = (Tensor, Parameter)
_cast: list[Callable[[Tensor, DType], Tensor]] = []


def _to(value: Any, dtype: DType) -> Tensor:
    if isinstance(value, Tensor):
        return value if value.array.dtype == dtype.numpy else cast_to(value, dtype)
    if isinstance(value, np.ndarray):
        return cast_to(as_tensor(value, "operand"), dtype)
    return constant(value, dtype)


def cast_to(x: Tensor, dtype: DType) -> Tensor:
    return _cast[0](x, dtype)


def install_cast(cast: Callable[[Tensor, DType], Tensor]) -> None:
    """Give promotion the cast operation, which is a record like any other."""
    _cast[:] = [cast]


def admit(op: Op, x: Tensor, *, to_float: bool = False) -> Tensor:
    """x if the operation takes its element type; integers become floating where that is so."""
    kind = x.dtype.kind
    if kind in op.accepts:
        return x
    if to_float and kind in "bui":
        return cast_to(x, dtypes.default_dtype())
    wanted = ", ".join(KINDS[k] for k in op.accepts)
    hint = f"x.to(twofold.{dtypes.default_dtype().name})" if kind in "bui" else ""
    if op.accepts == INTEGRAL:
        hint = "x.bool() for a mask, x.long() for whole numbers"
    elif kind == "c":
        hint = "x.abs() or x.real"
    raise DTypeError(
        op.name, f"{x.dtype.name} is not taken; it takes {wanted}", hint=hint, input=type_of(x)
    )


def broadcast(op: str, **types: Any) -> tuple[int, ...]:
    """The common shape of the arguments, by NumPy's rule. Raises ShapeError naming them and the
    axis.
    """
    result: list[int] = []
    for x in types.values():
        shape = x.shape
        if len(shape) > len(result):
            result[:0] = [1] * (len(shape) - len(result))
        for back, size in enumerate(reversed(shape), 1):
            if is_one(result[-back]):
                result[-back] = size
            elif not is_one(size) and not meet(result, back, size):
                raise ShapeError(
                    op,
                    f"sizes {result[-back]} and {size} do not broadcast (axis -{back})",
                    hint=_broadcast_hint(types),
                    **types,
                )
    return tuple(result)


def broadcasts(given: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether a shape can be repeated to another one."""
    if len(given) > len(wanted):
        return False
    pairs = zip(reversed(given), reversed(wanted), strict=False)
    return all(is_one(n) or _repeats(n, m) for n, m in pairs)


def _repeats(n: Any, m: Any) -> bool:
    if is_symbol(n) and example_of(n) == 1 != example_of(m):
        return bool(n == 1)
    return bool(n == m)


def meet(result: list[int], back: int, size: Any) -> bool:
    """Whether a size and result[-back], which are not known to be 1, broadcast: they are equal, or
    one is 1 after all; result[-back] is the other one then.
    """
    before = result[-back]
    a, b = example_of(before), example_of(size)
    if a != b and a == 1 and is_symbol(before):
        result[-back] = size
        return bool(before == 1)
    if a != b and b == 1 and is_symbol(size):
        return bool(size == 1)
    if a != b and (is_symbol(before) or is_symbol(size)) and taken_equal(before, size):
        result[-back] = size if is_symbol(before) else before
        return True
    return bool(before == size)


def _broadcast_hint(types: dict[str, Any]) -> str:
    """What to do where sizes do not meet from the last axis on but would from the first."""
    if len(types) == 2:
        (a, x), (b, y) = types.items()
        name, short, long = (a, x, y) if len(x.shape) < len(y.shape) else (b, y, x)
        missing = len(long.shape) - len(short.shape)
        pairs = zip(short.shape, long.shape, strict=False)
        if missing and short.shape and all(n == m or 1 in (n, m) for n, m in pairs):
            return f"{name}.reshape({', '.join(map(str, (*short.shape, *(1,) * missing)))})"
    return "equal sizes, or 1, on every axis counted from the last"


def axis_of(op: str, dim: Any, x: Any, *, extra: int = 0) -> int:
    """A valid axis, counted from the front. `extra` allows axes just past the end (unsqueeze,
    stack).
    """
    rank = max(len(x.shape) + extra, 1)
    if isinstance(dim, bool) or not isinstance(dim, int | np.integer):
        raise DTypeError(
            op, f"dim is {dim!r}, not an integer", hint="a whole number", input=_type(x)
        )
    if not -rank <= dim < rank:
        raise IndexRangeError(
            op, f"dim {dim} does not exist", hint=f"dim from {-rank} to {rank - 1}", input=_type(x)
        )
    return int(dim) % rank


def axis_there(op: str, dim: Any, x: Any) -> int:
    """As `axis_of`, where a 0-d tensor has no axis at all: Raises IndexRangeError."""
    if not len(x.shape):
        problem = "a 0-d tensor has no axis"
        raise IndexRangeError(op, problem, hint="x.reshape(1)", input=_type(x))
    return axis_of(op, dim, x)


def axes_of(op: str, dim: Any, x: Any) -> tuple[int, ...]:
    """Valid, different axes in ascending order; None and () mean all."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(len(x.shape)))
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    axes = [axis_of(op, d, x) for d in dims]
    if len(set(axes)) != len(axes):
        raise ArgumentError(
            op,
            f"dim {tuple(dims)} names an axis twice",
            hint="each axis once; negative ones count from the last",
            input=_type(x),
        )
    if not x.shape:
        return ()
    return tuple(sorted(axes))


NUMPY_NAMES = (("axis", "dim"), ("axes", "dim"), ("keepdims", "keepdim"))
DIMS_NAMES = (("axis", "dims"), ("axes", "dims"))


def axis_too(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """The function, which takes NumPy's `axis`, `axes`, `keepdims` beside PyTorch's names."""

    code = getattr(function, "__wrapped__", function).__code__
    spellings = DIMS_NAMES if "dims" in code.co_varnames else NUMPY_NAMES

    @functools.wraps(function)
    def renamed(*args: Any, **options: Any) -> Made:
        if options:
            for numpy_name, ours in spellings:
                if numpy_name in options:
                    options[ours] = options.pop(numpy_name)
        return function(*args, **options)

    return renamed


def also_named(**ours: str) -> Callable[[Callable[Given, Made]], Callable[Given, Made]]:
    """A function that takes arguments by other names too: `@also_named(values="other")`."""

    def decorate(function: Callable[Given, Made]) -> Callable[Given, Made]:
        @functools.wraps(function)
        def renamed(*args: Any, **options: Any) -> Made:
            if options:
                for name in ours.keys() & options.keys():
                    options[ours[name]] = options.pop(name)
            return function(*args, **options)

        return renamed

    return decorate


def reduced(shape: Sequence[int], axes: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape that is left when axes are reduced."""
    if keepdim:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def sizes_of(op: str, sizes: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """`f(2, 3)`, `f((2, 3))` and `f([2, 3])` all mean (2, 3), as does `named`, given by keyword."""
    if named is not None:
        sizes = (named,)
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list | Size):
        sizes = tuple(sizes[0])
    return tuple([n if type(n) is int else size_of(op, n) for n in sizes])


def known_size(n: Any) -> Any:
    """A number that only a run knows as a symbol, computed before it; others as they are."""
    return n.size() if hasattr(type(n), "known") else n


def size_of(op: str, size: Any) -> int:
    """A whole number, or a symbol. Raises DTypeError for any other."""
    size = known_size(size)
    if is_symbol(size) and size.whole:
        return size  # type: ignore[no-any-return]
    whole = size.array if isinstance(size, Tensor) and size.array.dtype.kind in "ui" else size
    try:
        return operator.index(whole)
    except TypeError:
        raise DTypeError(
            op,
            f"the size {size!r} is not an integer",
            hint="whole numbers, as f(2, 3) or f((2, 3))",
        ) from None


def check_sizes(op: str, shape: Sequence[int]) -> None:
    """Refuse negative sizes."""
    if any([n < 0 for n in shape]):
        raise ShapeError(op, f"sizes {list(shape)} are not a shape", hint="sizes of 0 or more")


def filled(shape: Sequence[int], size: int, op: str, x: Any) -> tuple[int, ...]:
    """A target shape with its one -1 replaced. Raises ShapeError when the sizes do not multiply to
    `size`.
    """
    given = [n for n in shape if n != -1]
    known, unknown = math.prod(given), len(shape) - len(given)
    if unknown > 1 or any([n < 0 for n in given]):
        raise ShapeError(
            op, f"shape {list(shape)} is not a shape", hint="one -1 at most", input=_type(x)
        )
    if unknown:
        if known == 0 or size % known:
            raise ShapeError(
                op,
                f"{size} elements do not fill {list(shape)}",
                hint=f"known sizes that multiply to a divisor of {size}",
                input=_type(x),
            )
        return tuple(size // known if n == -1 else n for n in shape)
    if known != size:
        raise ShapeError(
            op,
            f"{size} elements do not fill {list(shape)}",
            hint=f"sizes that multiply to {size}",
            input=_type(x),
        )
    return tuple(shape)


def _type(x: Any) -> Type:
    return x if isinstance(x, Type) else type_of(x)


def unary(op: Op, *, to_float: bool = True) -> Callable[..., Tensor]:
    """The public function of an elementwise operation with one operand."""

    def function(input: Any, *, out: Tensor | None = None) -> Tensor:
        x = input if type(input) in EXACT else as_tensor(input, op.name)
        if x.dtype.kind not in op.accepts:
            x = admit(op, x, to_float=to_float)
        made = bind(op, (x,))
        return made if out is None else deliver(made, out, op.name)

    return named(function, op)


def binary(op: Op, *, to_float: bool = False) -> Callable[..., Tensor]:
    """The public function of an elementwise operation with two operands, promoted and broadcast."""

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        x, y = operands(op.name, input, other)
        if x.dtype.kind not in op.accepts:
            x, y = admit(op, x, to_float=to_float), admit(op, y, to_float=to_float)
        made = bind(op, (x, y))
        return made if out is None else deliver(made, out, op.name)

    return named(function, op)


def named(function: Callable[..., Any], op: Op) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.doc
    function.op = op  # type: ignore[attr-defined]
    return function


def deliver(made: Tensor, out: Tensor, op: str) -> Tensor:
    """Put a result into the `out=` tensor, converting as NumPy's same-kind rule allows."""
    if made.tracked:
        raise ArgumentError(op, "out= does not carry gradients", hint="with twofold.no_grad(): ...")
    if CATEGORY[made.dtype.kind] > CATEGORY[out.dtype.kind]:
        raise DTypeError(
            op,
            f"a {made.dtype.name} result does not fit out, a {out.dtype.name}",
            hint=f"out=twofold.empty(..., dtype=twofold.{made.dtype.name})",
            out=type_of(out),
        )
    if made.array.shape != out.array.shape:
        out.array = np.empty(made.array.shape, out.array.dtype)
    return overwrite(out, dtypes.convert(made.array, out.dtype), op)


def stored(op: str, values: Tensor, x: Tensor) -> Tensor:
    """The values as x's type, to be put among its elements: digits may be lost, but no more. Raises
    DTypeError for fractions in whole numbers, numbers in bools, and complex numbers in real ones.
    """
    if CATEGORY[values.dtype.kind] > CATEGORY[x.dtype.kind]:
        kind, wide = x.dtype.name, values.dtype.name
        raise DTypeError(
            op,
            f"{wide} values would be cut to {kind}",
            hint=f"values.to(twofold.{kind}), or input.to(twofold.{wide})",
            input=type_of(x),
            values=type_of(values),
        )
    return cast_to(values, x.dtype)


def with_out(made: Tensor, out: Tensor | None, op: str) -> Tensor:
    """The result, put into `out` where one is given. Raises DTypeError for whole numbers, most of
    them places and products, that a narrower `out` would wrap around, and what `deliver` raises.
    """
    if out is None:
        return made
    whole = made.dtype.kind in "iu" and out.dtype.kind in "iu"
    if whole and not np.can_cast(made.dtype.numpy, out.dtype.numpy):
        raise DTypeError(
            op,
            f"{out.dtype.name} does not hold every number of an {made.dtype.name} result",
            hint=f"out=twofold.empty(..., dtype=twofold.{made.dtype.name})",
            out=type_of(out),
        )
    return deliver(made, out, op)


def elementwise_type(op: str) -> Callable[..., Type]:
    """The shape rule of elementwise operations with several operands: broadcast, type of the
    first.
    """

    def infer(*types: Type, **_: Any) -> Type:
        return Type(broadcast(op, **_names(types)), types[0].dtype)

    return infer


def comparison_type(op: str) -> Callable[..., Type]:
    def infer(*types: Type, **_: Any) -> Type:
        return Type(broadcast(op, **_names(types)), dtypes.bool_)

    return infer


def _names(types: tuple[Type, ...]) -> dict[str, Type]:
    if len(types) == 2:
        return {"input": types[0], "other": types[1]}
    return {f"argument{i}": t for i, t in enumerate(types)}
