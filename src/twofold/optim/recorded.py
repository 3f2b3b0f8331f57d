"""Steps that are differentiated: an optimizer's rule on tensors, recorded. Floor 11.

An optimizer that is made with differentiable=True takes part in what autograd records, as in
PyTorch: parameters are results (`p = theta.clone()`), their gradients may have a history, and
`backward()` of what is computed after the step goes through it, to `theta`, to the gradients, and
to options that are tensors (`lr=torch.tensor(0.1, requires_grad=True)`). The recipe is that of the
kernel (lower/optim_rules.py), so a step gives the same numbers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, final

from twofold.base import dtypes
from twofold.base.errors import GradientError, ShapeError
from twofold.lower.optim_rules import RULES
from twofold.ops.bind import mode
from twofold.ops.compare import where
from twofold.ops.complexes import view_as_complex, view_as_real
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.joining import clone
from twofold.ops.tensor import Tensor, type_of
from twofold.optim.optimizer import made_here, only_in_python

COMPARISONS = {
    "ogt": lambda a, b: a > b,
    "olt": lambda a, b: a < b,
    "oeq": lambda a, b: a == b,
    "uno": lambda a, b: (a != a) | (b != b),
}


@final
class Element:
    """What a recipe computes with: a tensor or a number, with the operations of the loop language
    that the recipes use.
    """

    def __init__(self, value: Any) -> None:
        self.value: Any = value.value if isinstance(value, Element) else value

    def __add__(self, other: Any) -> Element:
        return Element(self.value + Element(other).value)

    def __radd__(self, other: Any) -> Element:
        return Element(other + self.value)

    def __sub__(self, other: Any) -> Element:
        return Element(self.value - Element(other).value)

    def __rsub__(self, other: Any) -> Element:
        return Element(other - self.value)

    def __mul__(self, other: Any) -> Element:
        return Element(self.value * Element(other).value)

    def __rmul__(self, other: Any) -> Element:
        return Element(other * self.value)

    def __truediv__(self, other: Any) -> Element:
        return Element(self.value / Element(other).value)

    def __rtruediv__(self, other: Any) -> Element:
        return Element(other / self.value)

    def __pow__(self, other: Any) -> Element:
        return Element(self.value ** Element(other).value)

    def __rpow__(self, other: Any) -> Element:
        return Element(other**self.value)

    def __neg__(self) -> Element:
        return Element(-self.value)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > Element(other).value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def sqrt(self) -> Element:
        return Element(self.value**0.5 if isinstance(self.value, float) else self.value.sqrt())

    def cmp(self, how: str, other: Any) -> Element:
        """Whether a comparison of the loop language holds, element by element."""
        return Element(COMPARISONS[how](self.value, Element(other).value))

    def select(self, yes: Any, no: Any) -> Element:
        """`yes` where it holds, `no` elsewhere."""
        yes, no = Element(yes).value, Element(no).value
        if isinstance(self.value, bool):
            return Element(yes if self.value else no)
        return Element(where(self.value, yes, no))


FUNCTIONS = SimpleNamespace(sqrt=Element.sqrt, abs=lambda x: Element(abs(x.value)))


def update_recorded(rule: str, rows: list[list[Tensor]], advance: Any) -> None:
    """Update the first tensor of every row, and its state, in place and recorded. Raises
    GradientError for a leaf that requires a gradient, which nothing recorded may write, and
    ShapeError for a gradient of another shape.
    """
    if mode.capture is not None and not made_here(advance.group, rule):
        raise only_in_python(rule, "a recorded step (differentiable=True) of an optimizer outside")
    options = {key: _option(value) for key, value in advance().items()}
    record = RULES[rule]
    variant = record.variant(options)
    numbers = {name: Element(number) for name, number in record.numbers(options).items()}
    slots = record.slots_of(variant)
    for row in rows:
        if row[1].shape != row[0].shape:
            problem = "the gradient has another shape than its parameter"
            raise ShapeError(rule, problem, param=type_of(row[0]), grad=type_of(row[1]))
        if row[0].node is None and row[0].tracked:
            problem = "a recorded step cannot write a leaf that requires a gradient"
            hint = "p = theta.clone() for the optimizer, or differentiable=False"
            raise GradientError(rule, problem, hint=hint, param=type_of(row[0]))
        wide = computed_in(row[0].dtype)
        # what is read stays as it is for the gradient: what is written are the tensors themselves
        read = [Element(cast(x, wide)) for x in in_reals([clone(x) for x in row])]
        elements = dict(zip(slots, read, strict=True))
        made = record.recipe(FUNCTIONS, SimpleNamespace(**elements, **numbers), variant)  # type: ignore[arg-type]
        for slot, into in zip(slots, row, strict=True):
            if slot in made:
                new: Any = made[slot]
                into.copy_(view_as_complex(new.value) if into.dtype.is_complex else new.value)  # type: ignore[attr-defined]
    advance.keep({name: float(number) for name, number in record.after(options).items()})


def _option(value: Any) -> Any:
    """An option; as an element if it is a tensor with a gradient, or has such."""
    if isinstance(value, tuple | list):
        return type(value)(map(_option, value))
    return Element(value) if isinstance(value, Tensor) and value.tracked else value


def computed_in(dtype: dtypes.DType) -> dtypes.DType:
    """The real type that parameters of a type are updated in."""
    if dtype.is_complex:
        return dtype.to_real()
    return dtype if dtype in (dtypes.float32, dtypes.float64) else dtypes.float32


def in_reals(row: list[Tensor]) -> list[Tensor]:
    """Complex tensors as the real numbers in their memory; each part has its own moments."""
    return [view_as_real(x) for x in row] if row[0].array.dtype.kind == "c" else row


guard(globals())
