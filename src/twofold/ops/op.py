"""The record of an operation, and the table of all of them. Floor 4.

Everything known of an operation stands in its record: from it come the function, the method, the
checks, the kernel, the gradient, the reference page and the tests.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, final

from twofold.base.errors import LibraryError
from twofold.base.records import NamedTuple
from twofold.base.types import Type

Rule = Callable[..., Any]

ANY = "buifc"
NUMBER = "uifc"
REAL = "buif"
INEXACT = "fc"
FLOAT = "f"
INTEGER = "ui"
INTEGRAL = "bui"


class Sample(NamedTuple):
    """One call for the generated tests: positional arguments (arrays become tensors) and keywords.

    grad    which of the tensor arguments to differentiate; None means every floating one
    smooth  whether finite differences hold here (no kink, no branch)
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = {}
    grad: tuple[int, ...] | None = None
    smooth: bool = True


class Failure(NamedTuple):
    """One wrong call and a part of the message that it must give."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    error: type[Exception]
    message: str


@final
class Op:
    """A primitive.

    infer    (types..., **attrs) -> Type, or a tuple of Types for several outputs
    ref      (arrays..., **attrs) -> array(s), in NumPy: the meaning, and the test's oracle
    vjp      (g, out, inputs..., **attrs) -> a gradient or None for each input, written in tensor
             operations
    saves    the inputs (by name, or "out", or "out0 out2" of several outputs) whose values vjp
             needs; the other inputs come as shapes and types only, the other outputs as None. "x:w"
             saves x only where the gradient by w is wanted
    jvp      (op, tangents, out, inputs, attrs) -> tangent, or None to derive it from vjp: see
             forward_rules.py
    lower    a scalar recipe (f, values..., **attrs) for elementwise operations, or the name of a
             schedule
    lower_complex   the recipe for complex numbers, on real pairs: see codegen/vmath/pairs.py
    batch    (op, lanes, which inputs are batched, inputs, attrs) -> result with the batch in front,
             or None to derive it: see batch_rules.py
    view     the output shares the input's memory: True, or a function of both arrays that tells
    writes   for an operation that works in place: (number of outputs, attrs) -> for each output the
             input in whose memory it lies; None for all others
    effect   it does something besides: a check, a print; it is kept though nobody reads its output
    residuals  arrays after the first that infer, ref and kernels give: kept for vjp as `out`, never
               seen by users;
             a rule that uses them must not do so while its own gradient is recorded (`mode.grad`)
    accepts  the kinds of element types that the operation takes
    """

    __slots__ = (
        "accepts",
        "attrs",
        "batch",
        "defaults",
        "doc",
        "effect",
        "entries",
        "errors",
        "infer",
        "inputs",
        "jvp",
        "lower",
        "lower_complex",
        "name",
        "native",
        "outputs",
        "ref",
        "residuals",
        "samples",
        "saved_inputs",
        "saved_outputs",
        "saves_out",
        "torch",
        "variadic",
        "view",
        "vjp",
        "writes",
    )

    inputs: tuple[str, ...]
    variadic: bool
    doc: str
    attrs: tuple[str, ...]
    defaults: dict[str, Any]
    accepts: str
    infer: Rule
    ref: Rule
    vjp: Rule | None
    jvp: Rule | None
    lower: Any
    lower_complex: Rule | None
    batch: Rule | None
    view: Any
    outputs: int
    residuals: int
    writes: Rule | None
    effect: bool
    samples: Callable[[Any], list[Sample]] | None
    errors: Callable[[Any], list[Failure]] | None
    torch: Any
    saved_inputs: Any
    saved_outputs: Any
    saves_out: bool

    def __init__(self, name: str, **fields: Any) -> None:
        self.name: str = name
        for field, value in fields.items():
            setattr(self, field, value)
        # attrs -> the callable that runs the kernel; filled by the executor
        self.entries: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self.native: Any = None

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def key(self, attrs: tuple[Any, ...]) -> tuple[Any, ...]:
        """What finds the entry for `attrs`: the attributes, where -0.0 is not 0.0."""
        for value in attrs:
            if value.__class__ is float and value == 0.0 and math.copysign(1.0, value) < 0:
                signs = [math.copysign(1.0, v) if v == 0.0 else 0.0 for v in attrs]
                return (attrs, *signs)
        return attrs

    def keywords(self, attrs: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self.attrs, attrs, strict=True)) if attrs else {}


# The records of the files that were imported: layers bring more of them.
OPS: dict[str, Op] = {}


def import_all() -> None:
    """Import every file of records. For those who meet operations by name: readers of graphs."""
    folder = importlib.import_module(__package__)
    for found in importlib.import_module("pkgutil").iter_modules(folder.__path__):
        importlib.import_module(f"{__package__}.{found.name}")


def op_named(name: str) -> Op:
    """The record of this name, wherever it is. Raises KeyError."""
    if name not in OPS:
        import_all()
    return OPS[name]


def define(
    name: str,
    *,
    inputs: str = "x",
    doc: str,
    infer: Rule,
    ref: Rule,
    attrs: Mapping[str, Any] | tuple[str, ...] = (),
    accepts: str = ANY,
    vjp: Rule | None = None,
    saves: str = "",
    jvp: Rule | None = None,
    lower: Rule | str | None = None,
    lower_complex: Rule | None = None,
    batch: Rule | None = None,
    view: bool | Rule = False,
    outputs: int = 1,
    residuals: int = 0,
    writes: Rule | None = None,
    effect: bool = False,
    samples: Callable[[Any], list[Sample]] | None = None,
    errors: Callable[[Any], list[Failure]] | None = None,
    torch: str | Callable[..., Any] | bool | None = None,
) -> Op:
    """Enter an operation into the table. `inputs` are names, the last may be "*xs" for any number;
    `torch` is its PyTorch twin, False if none.
    """
    names = tuple(inputs.split())
    needed = saves.split()
    op = Op(
        name,
        inputs=names,
        variadic=names != () and names[-1].startswith("*"),
        doc=doc,
        infer=infer,
        ref=ref,
        attrs=tuple(attrs),
        defaults=dict(attrs) if isinstance(attrs, Mapping) else {},
        accepts=accepts,
        vjp=vjp,
        saved_inputs=tuple(_readers(n.lstrip("*"), needed, names) for n in names),
        saves_out=any(n.startswith("out") for n in needed),
        saved_outputs=[i for i in range(outputs) if "out" in needed or f"out{i}" in needed],
        jvp=jvp,
        lower=lower,
        lower_complex=lower_complex,
        batch=batch,
        view=view,
        outputs=outputs,
        residuals=residuals,
        writes=writes,
        effect=effect,
        samples=samples,
        errors=errors,
        torch=torch,
    )
    if name in OPS:
        raise ValueError(f"the operation {name} is defined twice")
    OPS[name] = op
    return op


def _readers(name: str, saves: list[str], names: tuple[str, ...]) -> int:
    """The inputs whose gradients need this one's value, as a set of bits: 0 for none, -1 for
    all.
    """
    bits = 0
    for entry in saves:
        saved, _, reader = entry.partition(":")
        if saved == name:
            bits |= 1 << names.index(reader) if reader else -1
    return bits


def wanted(x: Any) -> bool:
    """Whether a rule's gradient by this input is wanted; a rule sees None for an input that nobody
    tracks.
    """
    return x is not None and getattr(x, "tracked", True)


def same(x: Type, **_: Any) -> Type:
    """The shape rule of operations whose output is like their only input."""
    return x


def load_library(path: Any) -> None:
    """Raises LibraryError, an OSError: operations in C++ are PyTorch's, and cannot be loaded."""
    problem = f"{path} holds operations in C++ for PyTorch"
    raise LibraryError("load_library", problem, hint="the library's plain path, if it has one")
