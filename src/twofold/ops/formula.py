"""Scalar formulas, written once: read as NumPy, as a kernel, and as their own derivative. Floor 4.

A formula is a function of `m`, the mathematics to use, and of values; `m.name` is the record of
that name:

    SILU = pointwise("silu", lambda m, x: x * m.sigmoid(x), ...)

From it come the record's reference and kernel, and its gradient to any order: the derivative of a
formula is a formula, computed with dual numbers, and runs as one kernel too.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.op import FLOAT, OPS, Op, Sample, define, op_named, same
from twofold.ops.rules import broadcast, constant
from twofold.ops.tensor import Tensor

Body = Callable[..., Any]


class Formula(NamedTuple):
    """How a record is computed, and its slopes.

    body    (m, values..., **attrs) -> value; None for a primitive, which has slopes
    slopes  for each input (m, g, saved values..., **attrs) -> g times the derivative; None where
            it is zero; an empty tuple derives all of them from the body
    saves   which inputs, and whether "out", the slopes are given
    """

    body: Body | None
    slopes: tuple[Body | None, ...]
    saves: tuple[str, ...]


FORMULAS: dict[str, Formula] = {}
_derivatives: dict[tuple[str, int], Op] = {}


@final
class Arrays:
    """Formulas on NumPy arrays: the meaning of each record."""

    def __getattr__(self, name: str) -> Body:
        return OPS[name].ref


@final
class Kernel:
    """Formulas on values of the loop language, scalars and vectors alike."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def __getattr__(self, name: str) -> Body:
        recipe: Any = OPS[name].lower
        return lambda *values, **attrs: recipe(self.f, *values, **attrs)


@final
class Tensors:
    """Formulas on tensors, an operation for each step: what complex gradients are made of."""

    def __getattr__(self, name: str) -> Body:
        op = OPS[name]

        def function(*values: Any, **attrs: Any) -> Any:
            dtype = next(v.dtype for v in values if isinstance(v, Tensor))
            inputs = [v if isinstance(v, Tensor) else constant(v, dtype) for v in values]
            return bind(op, tuple(inputs), tuple(attrs[a] for a in op.attrs))

        return function


@final
class Dual:
    """A value and its slope in one direction; a slope of None is zero."""

    __slots__ = ("slope", "value")
    __array_ufunc__ = None  # NumPy leaves `array * dual` to us

    def __init__(self, value: Any, slope: Any) -> None:
        self.value = value
        self.slope = slope

    def __add__(self, other: Any) -> Dual:
        other = _dual(other)
        return Dual(self.value + other.value, _sum(self.slope, other.slope))

    __radd__ = __add__

    def __neg__(self) -> Dual:
        return Dual(-self.value, _negative(self.slope))

    def __sub__(self, other: Any) -> Dual:
        other = _dual(other)
        return Dual(self.value - other.value, _difference(self.slope, other.slope))

    def __rsub__(self, other: Any) -> Dual:
        return Dual(other - self.value, _negative(self.slope))

    def __mul__(self, other: Any) -> Dual:
        other = _dual(other)
        slope = _sum(_times(self.slope, other.value), _times(other.slope, self.value))
        return Dual(self.value * other.value, slope)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        other = _dual(other)
        ratio = self.value / other.value
        slope = _difference(self.slope, _times(other.slope, ratio))
        return Dual(ratio, None if slope is None else slope / other.value)

    def __rtruediv__(self, other: Any) -> Dual:
        ratio = other / self.value
        return Dual(ratio, _negative(_times(self.slope, ratio / self.value)))


@final
class Probe:
    """Mathematics and value in one, that remembers which operations were asked for."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def __getattr__(self, name: str) -> Body:
        self.names.add(name)
        return lambda *values, **attrs: self

    def __add__(self, other: Any) -> Probe:
        return self

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__

    def __neg__(self) -> Probe:
        return self


def _dual(x: Any) -> Dual:
    return x if isinstance(x, Dual) else Dual(x, None)


def _sum(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _negative(a: Any) -> Any:
    return None if a is None else -a


def _difference(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return _negative(b) if a is None else a
    return a - b


def _times(slope: Any, factor: Any) -> Any:
    return None if slope is None else slope * factor


@final
class Duals:
    """Formulas on dual numbers over another mathematics: slopes by the chain rule."""

    def __init__(self, m: Any) -> None:
        self.m = m

    def where(self, condition: Dual, yes: Any, no: Any) -> Dual:
        m, a, b = self.m, _dual(yes), _dual(no)
        value = m.where(condition.value, a.value, b.value)
        if a.slope is None and b.slope is None:
            return Dual(value, None)
        slopes = [0.0 if s is None else s for s in (a.slope, b.slope)]
        return Dual(value, m.where(condition.value, *slopes))

    def __getattr__(self, name: str) -> Body:
        return lambda *values, **attrs: self.apply(name, values, attrs)

    def apply(self, name: str, values: tuple[Any, ...], attrs: Mapping[str, Any]) -> Dual:
        m = self.m
        duals = [_dual(v) for v in values]
        plain = [d.value for d in duals]
        out = getattr(m, name)(*plain, **attrs)
        formula = FORMULAS.get(name)
        if formula is None or all(d.slope is None for d in duals):
            return Dual(out, None)
        if not formula.slopes:
            return formula.body(self, *duals, **attrs)  # type: ignore[misc, no-any-return]
        known = dict(zip((*OPS[name].inputs, "out"), (*plain, out), strict=True))
        saved = [known[s] for s in formula.saves]
        total = None
        for dual, slope in zip(duals, formula.slopes, strict=True):
            if dual.slope is not None and slope is not None:
                total = _sum(total, slope(m, dual.slope, *saved, **attrs))
        return Dual(out, total)


ARRAYS = Arrays()
TENSORS = Tensors()


def pointwise(
    name: str,
    body: Body,
    *,
    doc: str,
    samples: Callable[[Any], list[Sample]],
    inputs: str = "input",
    accepts: str = FLOAT,
    saves: str = "",
    slopes: tuple[Body | None, ...] = (),
    **fields: Any,
) -> Op:
    """Define an elementwise record from a formula, with a gradient.

    Without slopes (and what they save) the gradient is derived from the body.
    """
    names = tuple(inputs.split())
    formula = Formula(body, slopes, tuple(saves.split()) if slopes else names)
    fields = {"ref": _reference(body), "lower": _recipe(body)} | fields
    return _enter(name, names, formula, doc=doc, samples=samples, accepts=accepts, **fields)


def primitive(
    name: str,
    *,
    ref: Callable[..., Any],
    lower: Callable[..., Any] | None,
    doc: str,
    samples: Callable[[Any], list[Sample]],
    inputs: str = "input",
    accepts: str = FLOAT,
    saves: str = "",
    slopes: tuple[Body | None, ...] = (),
    **fields: Any,
) -> Op:
    """Define an elementwise record from a NumPy function and a kernel's recipe.

    Without slopes it has no gradient.
    """
    names = tuple(inputs.split())
    formula = Formula(None, slopes, tuple(saves.split()))
    fields |= {"ref": ref, "lower": lower}
    return _enter(name, names, formula, doc=doc, samples=samples, accepts=accepts, **fields)


def _enter(name: str, names: tuple[str, ...], formula: Formula, **fields: Any) -> Op:
    smooth = formula.body is not None or any(formula.slopes)
    if smooth:
        FORMULAS[name] = formula
        given = {"vjp": _gradient_rule(name, names, formula), "saves": " ".join(formula.saves)}
        fields = given | fields
    infer = same if len(names) == 1 else _type_rule(name, names)
    return define(name, inputs=" ".join(names), **({"infer": infer} | fields))


def _type_rule(name: str, names: tuple[str, ...]) -> Callable[..., Type]:
    def infer(*types: Type, **_: Any) -> Type:
        return Type(broadcast(name, **dict(zip(names, types, strict=True))), types[0].dtype)

    return infer


def _reference(body: Body) -> Callable[..., Any]:
    def ref(*arrays: Any, **attrs: Any) -> Any:
        # float16 is computed in float32 and rounded once, as the kernels do
        wide = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
        return np.asarray(body(ARRAYS, *wide, **attrs)).astype(arrays[0].dtype, copy=False)

    return ref


# Its files are imported when a first kernel is built: most programs find theirs in the cache.
VMATH, WHOLE = "twofold.codegen.vmath", "twofold.codegen.vmath.whole"
PAIRS = "twofold.codegen.vmath.pairs"


def vector(name: str, home: str = VMATH) -> Callable[..., Any]:
    """The kernel recipe of that name in codegen/vmath; `home=WHOLE` for whole numbers, PAIRS for
    complex ones.
    """

    def recipe(f: Any, *values: Any, **attrs: Any) -> Any:
        return getattr(importlib.import_module(home), name)(f, *values, **attrs)

    return recipe


def _recipe(body: Body) -> Callable[..., Any]:
    return lambda f, *values, **attrs: body(Kernel(f), *values, **attrs)


def _gradient_rule(name: str, names: tuple[str, ...], formula: Formula) -> Callable[..., Any]:
    wanted = tuple(names.index(s) if s in names else -1 for s in formula.saves)

    def vjp(g: Tensor, out: Any, *xs: Any, **attrs: Any) -> Any:
        saved = tuple([out if place < 0 else xs[place] for place in wanted])
        return [_gradient(name, formula, index, g, x, saved, attrs) for index, x in enumerate(xs)]

    return vjp


def _gradient(
    name: str,
    formula: Formula,
    index: int,
    g: Tensor,
    x: Any,
    saved: tuple[Tensor, ...],
    attrs: Mapping[str, Any],
) -> Tensor | None:
    """The gradient by one input; None where it is zero or not wanted."""
    if x is None or (isinstance(x, Tensor) and not x.tracked):
        return None
    if formula.slopes and formula.slopes[index] is None:
        return None
    if g.array.dtype.kind == "c":
        return _complex_gradient(formula, index, g, saved, attrs)
    op = OPS[name]
    by = derivative(op, index)
    rest = saved[1:] if by is op else saved
    return bind(by, (g, *rest), tuple(attrs.values()))  # type: ignore[no-any-return]


def _complex_gradient(
    formula: Formula, index: int, g: Tensor, saved: tuple[Tensor, ...], attrs: Mapping[str, Any]
) -> Tensor:
    """g times the conjugate of the derivative, which is the real formula at conjugate values.

    This is PyTorch's convention: the gradient points to where a real loss grows.
    """
    conjugates = tuple(bind(OPS["conj"], (x,)) for x in saved)
    slope = formula.slopes[index] if formula.slopes else _dual_slope(formula.body, index)
    return slope(TENSORS, g, *conjugates, **attrs)  # type: ignore[misc, no-any-return]


def derivative(op: Op, index: int) -> Op:
    """The record of g times the derivative of a pointwise record by one of its inputs.

    It is named `<op>_by_<input>`, made when first asked for, and is pointwise itself. It is linear
    in g, so that its own derivative by g is itself.
    """
    if index == 0 and op in _linear:
        return op
    found = _derivatives.get((op.name, index))
    return _derived(op, index) if found is None else found


def _derived(op: Op, index: int) -> Op:
    with _deriving:  # two threads may be the first to ask
        found = _derivatives.get((op.name, index))
        if found is None:
            found = _derive(op, index)
            _linear.add(found)
            _derivatives[op.name, index] = found
        return found


_linear: set[Op] = set()
_deriving = threading.RLock()


def record(name: str) -> Op:
    """The record of a name, derivatives that nobody has asked for yet included. Raises KeyError."""
    source, _, by = name.rpartition("_by_")
    if name in OPS or not source:
        return op_named(name)
    op = record(source)
    return derivative(op, op.inputs.index(by))


def _derive(op: Op, index: int) -> Op:
    formula = FORMULAS[op.name]
    slope: Any = formula.slopes[index] if formula.slopes else _dual_slope(formula.body, index)
    inputs = ["g", *map(_renamed, formula.saves)]
    return pointwise(
        f"{op.name}_by_{op.inputs[index]}",
        slope,
        inputs=" ".join(inputs),
        attrs=op.defaults or op.attrs,
        lower=_recipe(slope) if _has_kernel(slope, len(inputs), op.attrs) else None,
        doc=f"g times the derivative of {op.name} by {op.inputs[index]}.",
        samples=_derivative_samples(op, formula),
    )


def _has_kernel(body: Body, inputs: int, attrs: tuple[str, ...]) -> bool:
    """Whether every operation that a formula uses has a recipe."""
    names: set[str] = set()
    probe = Probe(names)
    body(probe, *[probe] * inputs, **dict.fromkeys(attrs, 1.0))
    return all(OPS[name].lower is not None for name in names)


def _renamed(name: str) -> str:
    """The g of a derivative, as the second derivative calls it: g, g1, g2, ..."""
    if name[0] != "g" or not (name[1:].isdigit() or name == "g"):
        return name
    return f"g{int(name[1:] or 0) + 1}"


def _dual_slope(body: Any, index: int) -> Body:
    def slope(m: Any, g: Any, *xs: Any, **attrs: Any) -> Any:
        values = [Dual(x, g if i == index else None) for i, x in enumerate(xs)]
        found = body(Duals(m), *values, **attrs).slope
        return g * 0.0 if found is None else found

    return slope


def _derivative_samples(op: Op, formula: Formula) -> Callable[[Any], list[Sample]]:
    """The operation's own samples: a g, and what the slopes save."""

    def samples(random: Any) -> list[Sample]:
        given = op.samples(random) if op.samples else []
        return [_derivative_sample(op, formula, s, random) for s in given]

    return samples


def _derivative_sample(op: Op, formula: Formula, sample: Sample, random: Any) -> Sample:
    count = len(op.inputs)
    arrays = [np.asarray(a) for a in sample.args[:count]]
    attrs = sample.args[count:]
    with np.errstate(all="ignore"):
        out = np.asarray(op.ref(*arrays, **op.keywords(attrs)))
    known = dict(zip((*op.inputs, "out"), (*arrays, out), strict=True))
    g = random.normal(size=out.shape)
    # a result of 0 may stand on a kink (relu)
    smooth = sample.smooth and not ("out" in formula.saves and (out == 0).any())
    return Sample((g, *[known[s] for s in formula.saves], *attrs), smooth=smooth)
