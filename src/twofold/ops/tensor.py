"""The tensor and the node that made it. Floor 4.

A Tensor is a NumPy array (its storage, or a view of it) with what the gradient needs. A Node is at
once the tape's entry and the graph's: the operation, its inputs and attributes. Both are plain
classes with slots, which the native tier reads by offset; methods are attached by `ops.methods` and
`autograd.api`.
"""

from __future__ import annotations

import importlib
import math
import sys
from types import CodeType
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import DTypeError
from twofold.base.symbols import is_symbol
from twofold.base.types import Type

Array = npt.NDArray[Any]
NAMES = "twofold.ops.node_names"  # imported when a node is asked for its name


class Size(tuple[int, ...]):
    """A shape: a tuple that also answers `numel()`, as its parts and sums do."""

    __slots__ = ()

    def numel(self) -> int:
        return math.prod(self)

    def __getitem__(self, place: Any) -> Any:
        made = tuple.__getitem__(self, place)
        return Size(made) if type(place) is slice else made

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple.__add__(tuple(other), self))

    def __mul__(self, count: Any) -> Size:
        return Size(tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        frame = sys._getframe(1)
        told = [n.told(frame) if is_symbol(n) else repr(n) for n in self]  # type: ignore[attr-defined]
        return f"{dtypes.package[0]}.Size([{', '.join(told)}])"


R = TypeVar("R")


def returned(record: type[R], name: str) -> type[R]:
    """The record as a class of its own, for what one function gives: `return_types.name`, which is
    printed as PyTorch prints it.
    """
    body = {"__slots__": (), "__module__": "twofold.return_types", "__repr__": _represent_returned}
    return type(name, (record,), body | {"__doc__": record.__doc__})


def _represent_returned(self: Any) -> str:
    shown = ",\n".join(f"{field}={x!r}" for field, x in zip(self._fields, self, strict=True))
    return f"{dtypes.package[0]}.return_types.{type(self).__name__}(\n{shown})"


class Exchanged:
    """How often a tensor was given another array (`module.to`, `x.data = y`): programs look
    again.
    """

    times = 0


class Leaves:
    """The tensors that programs have found, by their ids: of these a change of `requires_grad` or
    of hooks is told, by another `state["now"]`.
    """

    known: ClassVar[set[int]] = set()
    state: ClassVar[dict[str, object]] = {"now": object()}


def leaf_changed(x: Any) -> None:
    """A leaf requires a gradient or no longer, or has other hooks: programs look again."""
    if id(x) in Leaves.known:
        Leaves.state["now"] = object()


class Given:
    """How often the memory of a tensor that programs have found was given to what may write it
    without telling its version: `x.data`, NumPy, DLPack, an address.
    """

    times = 0


def memory_given(x: Tensor) -> None:
    """Somebody gets the memory of a tensor: programs that have frozen it look again."""
    if id(x) in Leaves.known or id(root_of(x)) in Leaves.known:
        Given.times += 1


# How many nodes were made: a word that machine code counts up, too, once it is there.
made_nodes: list[Any] = [[0]]


def next_number() -> int:
    """The number of a new node."""
    word = made_nodes[0]
    word[0] += 1
    return word[0]  # type: ignore[no-any-return]


class Node:
    """One use of an operation.

    inputs   for each input: the Tensor itself where it is a leaf that wants a gradient or where the
             rule needs its value, its producer Node where only the edge is needed, None where
             neither is
    versions the version of each saved input when it was used, None for the others
    out      the array that the operation made, where its rule needs it (several outputs: a tuple of
             arrays)
    shape, storage   the output's shape and NumPy type (several outputs: a tuple of Types and None)
    where    the user's (code, instruction), as `errors.line_of` reads it
    number   tells which of two nodes was made first
    hooks    functions to call on the gradient of the output, or None
    """

    __slots__ = (
        "__weakref__",
        "attrs",
        "hooks",
        "inputs",
        "number",
        "op",
        "out",
        "shape",
        "storage",
        "versions",
        "where",
    )

    number: int
    op: Any
    inputs: tuple[Tensor | Node | None, ...] | None
    versions: tuple[int | None, ...]
    attrs: tuple[Any, ...]
    out: Any
    shape: Any
    storage: Any
    where: tuple[CodeType, int] | None
    hooks: list[Any] | None

    @property
    def dtype(self) -> DType:
        return dtypes.of(self.storage)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def name(self) -> str:
        """PyTorch's name for `grad_fn.name()`; one that the user has defined has no number."""
        return str(importlib.import_module(NAMES).name_of(self))

    def __repr__(self) -> str:
        return f"<{self.name()}>"


# Called with each class that is made of Tensor.
subclassed: list[Any] = []

# Give the arrays of `Tensor(2, 3)` and of `Tensor([2, 3])`, which may be those of a graph.
constructors: list[Any] = []


class Tensor:
    """A multi-dimensional array of one element type that knows where it came from.

    Made by `twofold.tensor`, `zeros`, `randn` ... and by operations. See docs/guide/tensor.md.

    array    the values: a NumPy array, shared with every view; None while a graph is captured
    leaf_grad  what `grad` shows, which a graph that is captured is told of (autograd/api.py)
    base     for a view, the tensor that owns the memory; None otherwise
    chain    for a view, the chain of (op, attrs) that makes it from `base`
    tracked  requires_grad
    version  how often the memory was written; for a view, the base's version when `node` was last
             right
    written  the place of the last write in place, for the error that names it
    aliases  weak references to the roots that share its memory (x and x.detach()), one list for
             all; or None
    """

    __slots__ = (
        "__dict__",  # attributes of the user's: made when the first one is set
        "__weakref__",
        "aliases",
        "array",
        "base",
        "chain",
        "hooks",
        "leaf_grad",
        "node",
        "tracked",
        "version",
        "written",
    )
    __array_priority__ = 1000

    array: Array
    base: Tensor | None
    grad: Tensor | None
    leaf_grad: Tensor | None
    hooks: dict[int, Any] | None
    node: Node | None
    tracked: bool
    version: int
    chain: tuple[Any, ...] | None
    written: tuple[CodeType, int] | None
    aliases: list[Any] | None

    def __new__(cls, *values: Any, **options: Any) -> Tensor:
        # `Tensor(data)` is the old PyTorch constructor: default dtype, or an empty tensor of given
        # sizes.
        made: Tensor = blank(cls)
        data = values[0] if len(values) == 1 else values
        if isinstance(data, Tensor):
            made.array = data.array
            return made
        if isinstance(data, Size):
            made.array = constructors[0](tuple(data))
        elif values and all(isinstance(v, int) for v in values):
            made.array = constructors[0](values)
        else:
            made.array = constructors[1](data if values else [])
        return made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hear in subclassed:
            hear(cls)

    @property
    def dtype(self) -> DType:
        return dtypes.of(self.array.dtype)

    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def type_(self) -> Type:
        return type_of(self)


class Parameter(Tensor):
    """A tensor that a Module lists among its parameters; it requires a gradient unless told
    otherwise. Raises DTypeError for one of whole numbers or bools, which has none.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        made: Parameter = blank(cls)
        made.array = np.zeros((0,), dtypes.default_dtype().numpy) if data is None else data.array
        if requires_grad and made.array.dtype.kind not in "fcV":
            raise DTypeError(
                "Parameter",
                "only floating and complex tensors have gradients",
                hint="data.float(), or requires_grad=False",
                data=made.type_,
            )
        made.tracked = requires_grad
        return made


_new = object.__new__


def blank(cls: Any = Tensor) -> Any:
    """A tensor of the class with every slot set and no array yet."""
    made = _new(cls)
    made.array = None
    made.base = None
    made.leaf_grad = None
    made.hooks = None
    made.node = None
    made.tracked = False
    made.version = 0
    made.chain = None
    made.written = None
    made.aliases = None
    return made


def is_of_sizes(x: Any) -> bool:
    """Whether it stands for an array of NumPy's that is made of sizes (ops/numpy_of_sizes.py)."""
    return getattr(type(x), "of_sizes", False)


def wrap(array: Any) -> Tensor:
    """A tensor around an array (or what stands for one in a graph), which it shares."""
    made: Tensor = _new(Tensor)
    made.array = array
    made.base = None
    made.leaf_grad = None
    made.hooks = None
    made.node = None
    made.tracked = False
    made.version = 0
    made.chain = None
    made.written = None
    made.aliases = None
    return made


class OtherLayout:
    """What is no Tensor and holds its numbers in one: sparse and nested tensors (on_values.py)."""

    __slots__ = ()
    shape: Any
    _numbers: Any

    def _take(self, numbers: Tensor) -> None:
        """Hold other numbers at the same places."""
        object.__setattr__(self, "_numbers", numbers)


def type_of(x: Tensor | Node) -> Type:
    if isinstance(x, Tensor):
        return Type(x.array.shape, dtypes.of(x.array.dtype))
    return Type(x.shape, dtypes.of(x.storage))


def root_of(x: Tensor) -> Tensor:
    return x if x.base is None else x.base
