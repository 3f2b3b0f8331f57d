"""NumPy's arrays that a captured function makes of sizes. Floor 4.

`np.ones((n, n))` of a size that is a symbol gives an `OfSizes`: it knows its shape, whose sizes are
symbols, and how it was made. What NumPy's functions make of one is another, and is noted in a list
of steps, writes among them. As a tensor it is a `table` (ops/tables.py): the steps that lead to it
are run by NumPy when the program is planned for sizes.

Each step is run for the sizes at hand, too. What has no rule for its shape, or asks for elements,
gets these numbers, and the program is made for the sizes: `fix`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, in_python
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol, is_symbol
from twofold.ops.bind import mode
from twofold.ops.numpy_shapes import RULES, Shapes, named_function, rule_of, shapes_of
from twofold.ops.source import made
from twofold.ops.tables import MAKERS, TABLE
from twofold.ops.tensor import Tensor

MOST_ELEMENTS = 4096  # of an array that is a part of a program
MOST_STEPS = 256  # of one table


class Step(NamedTuple):
    """A call of NumPy's.

    outs      the numbers of what it gives
    written   the number of the array that it writes, or None
    name      the function: "ones", "ndarray.astype"
    args      its arguments, coded: plain values, symbols, and tagged tuples
    options   its named ones, as pairs
    """

    outs: tuple[int, ...]
    written: int | None
    name: str
    args: tuple[Any, ...]
    options: tuple[Any, ...]


class _Unknown(Exception):
    """There is no rule for this call: NumPy gets numbers."""


@final
class Log:
    """The steps of a capture, and what each has made for the sizes at hand.

    fixed   whether the program is made for these sizes, so that arrays are no more than that
    given   the arrays whose memory a tensor has, and that tensor's
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.found: list[Any] = []
        self.symbols: dict[Any, Symbol] = {}
        self.given: list[tuple[Any, Any, int]] = []
        self.fixed = False

    def code(self, x: Any) -> Any:
        """A value as a part of a program."""
        if x is None or type(x) in (int, str):
            return x
        if is_symbol(x):
            self.symbols[x.expr] = x
            return x
        if type(x) is OfSizes:
            return ("of", x.number)
        if type(x) is float:
            return ("float", x.hex())
        if type(x) is bool:
            return ("bool", int(x))
        if type(x) is slice:
            return ("slice", self.code(x.start), self.code(x.stop), self.code(x.step))
        if x is Ellipsis:
            return ("dots",)
        if type(x) in (list, tuple):
            return (type(x).__name__, *[self.code(part) for part in x])
        number = isinstance(x, type) and issubclass(x, np.generic | bool | int | float | complex)
        if number or isinstance(x, np.dtype):
            return ("dtype", np.dtype(x).str)
        if type(x) is np.ndarray or isinstance(x, np.generic):
            if x.dtype.kind not in "biuf" or x.size > MOST_ELEMENTS:
                raise _Unknown
            return ("array", x.dtype.str, isinstance(x, np.generic), x.shape, x.tobytes().hex())
        raise _Unknown

    def taken(self, x: Any) -> Any:
        """A value with what was made for the sizes at hand in place of what stands for it."""
        if type(x) is OfSizes:
            return self.found[x.number]
        if is_symbol(x):
            return x.example
        if type(x) in (list, tuple):
            return type(x)([self.taken(part) for part in x])
        return slice(*map(self.taken, (x.start, x.stop, x.step))) if type(x) is slice else x

    def leading(self, number: int) -> tuple[Step, ...]:
        """The steps that lead to an array, with the writes to it and to what it was made of."""
        needed, roots, kept = {number}, {_root(self.found[number])}, []
        for step in reversed(self.steps):
            writes = step.written is not None and _root(self.found[step.written]) in roots
            if not writes and needed.isdisjoint(step.outs):
                continue
            kept.append(step)
            for other in _numbers_in((step.args, step.options)):
                needed.add(other)
                roots.add(_root(self.found[other]))
        if len(kept) > MOST_STEPS:
            raise _Unknown
        return tuple(reversed(kept))


def _root(array: Any) -> int:
    while getattr(array, "base", None) is not None:
        array = array.base
    return id(array)


def _numbers_in(coded: Any) -> Iterator[int]:
    if type(coded) is tuple:
        if len(coded) == 2 and coded[0] == "of":
            yield coded[1]
            return
        for part in coded:
            yield from _numbers_in(part)


def _decoded(x: Any, found: dict[int, Any]) -> Any:
    if type(x) is not tuple:
        return x
    kind, *rest = x
    if kind == "of":
        return found[rest[0]]
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind]([_decoded(part, found) for part in rest])
    if kind == "slice":
        return slice(*[_decoded(part, found) for part in rest])
    if kind == "array":
        dtype, single, shape, text = rest
        array = np.frombuffer(bytes.fromhex(text), dtype).reshape(shape).copy()
        return array[()] if single else array
    return DECODE[kind](*rest)


DECODE: dict[str, Callable[..., Any]] = {
    "float": float.fromhex,
    "bool": bool,
    "dots": lambda: Ellipsis,
    "dtype": np.dtype,
}


def replayed(steps: tuple[tuple[Any, ...], ...], number: int) -> Any:
    """What the steps make: array number `number`."""
    found: dict[int, Any] = {}
    for outs, _, name, args, options in steps:
        named = {word: _decoded(value, found) for word, value in options}
        given = [_decoded(value, found) for value in args]
        result = named_function(name)(*given, **named)
        if len(outs) == 1:
            found[outs[0]] = result
        elif outs:
            found.update(zip(outs, result, strict=False))
    return np.ascontiguousarray(found[number]).reshape(np.shape(found[number]))


MAKERS["numpy"] = replayed


def log_of(table: Any) -> Log:
    if table.arrays is None:
        table.arrays = Log()
    return table.arrays  # type: ignore[no-any-return]


def _stand_ins(x: Any) -> Iterator[Any]:
    """The symbols and arrays of sizes in arguments."""
    if type(x) is OfSizes or is_symbol(x):
        yield x
    elif type(x) in (list, tuple):
        for part in x:
            yield from _stand_ins(part)
    elif type(x) is slice:
        yield from _stand_ins((x.start, x.stop, x.step))
    elif type(x) is dict:
        yield from _stand_ins(tuple(x.values()))


def call(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A function of NumPy's of arguments among which there are sizes, or arrays of them."""
    if mode.capture is None or next(_stand_ins((args, options)), None) is None:
        return function(*args, **options)
    log = log_of(mode.capture.table)
    if not log.fixed:
        name, rule = rule_of(function)
        if name is not None:
            try:
                return _noted(log, name, function, rule, args, options)
            except _Unknown:
                pass
    return function(*fix(args), **fix(options))


def _noted(
    log: Log, name: str, function: Any, rule: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Run a step, and note it."""
    for x in _stand_ins((args, options)):
        if type(x) is OfSizes:
            x.check_read()
    shapes = shapes_of(rule, args, options)
    if shapes is None:
        raise _Unknown
    coded = log.code(tuple(args))[1:]
    words = tuple([(word, log.code(value)) for word, value in options.items()])
    given = log.taken(tuple(args))
    result = function(*given, **{word: log.taken(value) for word, value in options.items()})
    several = isinstance(shapes, Shapes)
    results = list(result) if several else [result]
    for array in results:
        plain = type(array) is np.ndarray and array.dtype.kind in "biufc"
        if not plain or any(type(x) is np.ndarray and _meet(array, x) for x in args):
            raise _Unknown
    made = []
    for array, shape in zip(results, shapes if several else [shapes], strict=True):
        made.append(OfSizes(log, len(log.found), tuple(shape)))
        log.found.append(array)
    log.steps.append(Step(tuple([x.number for x in made]), None, name, coded, words))
    return tuple(made) if several else made[0]


def _meet(x: Any, y: Any) -> bool:
    return bool(np.may_share_memory(x, y))


def write(
    name: str, function: Any, target: OfSizes, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Run a call that writes an array, and note it."""
    log = target.log
    if not log.fixed and target.home != here():
        raise _refused("a loop or a branch of a graph writes an array of NumPy's")
    root = _root(target.example)
    if any(_root(array) == root for array, *_ in log.given):
        raise _refused("an array of NumPy's is written whose memory a tensor has")
    try:
        if log.fixed:
            raise _Unknown
        coded = log.code(args)[1:]
        words = tuple([(word, log.code(value)) for word, value in options.items()])
    except _Unknown:
        function(*fix(args), **fix(options))
        return
    function(*log.taken(args), **{word: log.taken(value) for word, value in options.items()})
    log.steps.append(Step((), target.number, name, coded, words))


def _refused(problem: str) -> ArgumentError:
    error = ArgumentError("compile", problem, hint="tensor(array), once it is as it should be")
    in_python(error)
    return error


def here() -> tuple[int, int]:
    """Which capture runs now, and whether what it does is thrown away."""
    return id(mode.capture), int(mode.capture.probing) if mode.capture is not None else 0


def fix(x: Any) -> Any:
    """Arguments with numbers and plain arrays: the program is made for the sizes in them, and of
    all arrays of sizes.
    """
    if type(x) is OfSizes:
        log = x.log
        for symbol in log.symbols.values():
            if symbol.whole:
                operator.index(symbol)
            else:
                float(symbol)
        log.fixed = True
        return log.found[x.number]
    if type(x) in (list, tuple):
        return type(x)([fix(part) for part in x])
    if type(x) is dict:
        return {key: fix(part) for key, part in x.items()}
    return x


@final
class OfSizes:
    """An array of NumPy's that was made of sizes: its shape, and which one it is."""

    __slots__ = ("home", "log", "number", "shape")
    of_sizes = True

    def __init__(self, log: Log, number: int, shape: tuple[Any, ...]) -> None:
        self.log = log
        self.number = number
        self.shape = shape
        self.home = here()

    @property  # type: ignore[misc]  # isinstance(x, np.ndarray) holds
    def __class__(self) -> type:
        return np.ndarray

    @property
    def example(self) -> Any:
        return self.log.found[self.number]

    @property
    def dtype(self) -> Any:
        return self.example.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Any:
        return functools.reduce(operator.mul, self.shape, 1)

    @property
    def T(self) -> Any:
        return call(np.transpose, (self,), {})

    def __len__(self) -> int:
        return operator.index(self.shape[0])

    def check_read(self) -> None:
        """Raise where a tensor has written its memory."""
        for array, storage, writes in self.log.given:
            if storage.writes != writes and _root(array) == _root(self.example):
                raise _refused("an array of NumPy's is read that a tensor has written")

    def as_array(self, shares: bool = False) -> Any:
        """The array of a tensor of its elements; shares: which has its memory, as from_numpy."""
        self.check_read()
        if self.log.fixed:
            return self.example if shares else self.example.copy()
        try:
            steps = self.log.leading(self.number)
        except _Unknown:
            return fix(self)
        dtype = dtypes.of(self.dtype)
        steps = tuple([tuple(step) for step in steps])  # type: ignore[misc]
        found = made(TABLE, ("numpy", (steps, self.number), self.shape, dtype))
        if shares:
            self.log.given.append((self.example, found.storage, found.storage.writes))  # type: ignore[attr-defined]
        return found

    def __array__(self, *args: Any, **options: Any) -> Any:
        return np.asarray(fix(self), *args)

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
        if any(isinstance(x, Tensor) for x in given):
            return NotImplemented
        out = options.get("out", ())
        if method == "__call__" and len(out) == 1 and type(out[0]) is OfSizes:
            write(ufunc.__name__, ufunc, out[0], given, {**options, "out": out[0]})
            return out[0]
        if method != "__call__" or out:
            return getattr(ufunc, method)(*fix(given), **fix(options))
        return call(ufunc, given, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return call(function, tuple(args), options)

    def __getitem__(self, key: Any) -> Any:
        return call(np.ndarray.__getitem__, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        write("ndarray.__setitem__", np.ndarray.__setitem__, self, (self, key, value), {})

    def fill(self, value: Any) -> None:
        write("ndarray.fill", np.ndarray.fill, self, (self, value), {})

    def __iter__(self) -> Any:
        return iter(fix(self))

    def __bool__(self) -> bool:
        return bool(fix(self))

    def __int__(self) -> int:
        return int(fix(self))

    def __float__(self) -> float:
        return float(fix(self))

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return functools.partial(_method, METHODS[name], self)
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        return getattr(fix(self), name)

    __hash__ = None  # type: ignore[assignment]


def _method(function: Any, x: OfSizes, *args: Any, **options: Any) -> Any:
    return call(function, (x, *args), options)


METHODS: dict[str, Any] = {
    name.removeprefix("ndarray."): function
    for function, (name, _) in RULES.items()
    if name.startswith("ndarray.") and "__" not in name
}


def _operator(name: str, turned: bool) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        return function(other, self) if turned else function(self, other)

    return method


def _alone(self: Any, function: Any) -> Any:
    return function(self)


def _in_place(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    return lambda self, other: function(self, other, out=(self,))


OPERATORS = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"},
    **{"floordiv": "floor_divide", "mod": "remainder", "pow": "power", "matmul": "matmul"},
    **{"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"},
}
COMPARED = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
COMPARED |= {"gt": "greater", "ge": "greater_equal"}
for _name, _ufunc in OPERATORS.items():
    setattr(OfSizes, f"__{_name}__", _operator(_ufunc, False))
    setattr(OfSizes, f"__r{_name}__", _operator(_ufunc, True))
    setattr(OfSizes, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in COMPARED.items():
    setattr(OfSizes, f"__{_name}__", _operator(_ufunc, False))
for _name, _ufunc in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(OfSizes, f"__{_name}__", functools.partialmethod(_alone, getattr(np, _ufunc)))
