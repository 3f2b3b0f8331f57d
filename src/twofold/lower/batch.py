"""The matrices of a batch: how they lie, and which of them is number i. Floor 6.

Leading axes are broadcast. What can be is folded away: an axis along which the second operand does
not move makes more rows of the first, and neighbouring axes become one. What is left goes into the
job as (size, stride of each operand), innermost first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from twofold.base.records import NamedTuple
from twofold.ir.values import Value
from twofold.lower.schedule import Arg
from twofold.lower.task import Task

Axis = tuple[int, ...]  # size, stride of each operand


class Product(NamedTuple):
    """C[m, n] = A[m, k] B[k, n], strides in elements, once for each index of the batch axes."""

    m: int
    n: int
    k: int
    a_row: int
    a_step: int
    b_step: int
    b_column: int
    axes: tuple[Axis, ...] = ()

    @property
    def batches(self) -> int:
        return prod([axis[0] for axis in self.axes])

    @property
    def turned(self) -> Product:
        """C^T = B^T A^T."""
        axes = tuple((size, b, a) for size, a, b in self.axes)
        sizes = (self.n, self.m, self.k)
        return Product(*sizes, self.b_column, self.b_step, self.a_step, self.a_row, axes)

    @property
    def work(self) -> int:
        """Multiplications."""
        return self.batches * self.m * self.n * self.k


def product_of(x: Arg, w: Arg) -> Product:
    """The product of two arguments of at least two axes, folded as far as it goes."""
    (m, k), n = x.shape[-2:], w.shape[-1]
    (a_row, a_step), (b_step, b_column) = x.strides[-2:], w.strides[-2:]
    if k <= 1:
        a_step = b_step = 1  # there is no second k to step to
    product = Product(m, n, k, a_row, a_step, b_step, b_column)
    axes = _broadcast(x, w)
    return _fold(product, axes) if axes else product


def _broadcast(x: Arg, w: Arg) -> list[Axis]:
    """The leading axes of both, those of size 1 left out."""
    count = max(len(x.shape), len(w.shape)) - 2
    axes: list[Axis] = []
    for (a_size, a), (b_size, b) in zip(_leading(x, count), _leading(w, count), strict=True):
        if a_size == b_size == 1:
            continue
        size = b_size if a_size == 1 else a_size
        axes.append((size, 0 if a_size == 1 else a, 0 if b_size == 1 else b))
    return axes


def _leading(arg: Arg, count: int) -> Sequence[tuple[int, int]]:
    given = list(zip(arg.shape[:-2], arg.strides[:-2], strict=True))
    return [(1, 0)] * (count - len(given)) + given


def _fold(product: Product, axes: list[Axis]) -> Product:
    m, a_row = product.m, product.a_row
    while axes and axes[-1][2] == 0 and (m == 1 or axes[-1][1] == m * a_row):
        size, stride, _ = axes.pop()
        a_row = stride if m == 1 else a_row
        m *= size
    return product._replace(m=m, a_row=a_row, axes=join_axes(axes))


def join_axes(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Neighbouring axes as one where the strides of all operands allow; none of size 1."""
    joined: list[Axis] = []
    for axis in axes:
        size, *strides = axis
        if size == 1:
            continue
        if joined and joined[-1][1:] == tuple(stride * size for stride in strides):
            joined[-1] = (joined[-1][0] * size, *strides)
        else:
            joined.append(axis)
    return tuple(joined)


def axis_words(axes: Sequence[Axis]) -> tuple[int, ...]:
    """The job words of batch axes."""
    return tuple(word for axis in reversed(axes) for word in axis)


def contiguous(arg: Arg) -> Arg:
    """The same argument after a copy to C order."""
    strides, step = [], 1
    for size in reversed(arg.shape):
        strides.append(step)
        step *= size
    return Arg(arg.shape, arg.dtype, tuple(reversed(strides)))


def locate(t: Task, names: Sequence[str], element: str, number: Value, first: int) -> list[Value]:
    """Where matrix `number` of each operand begins. The axes stand in the job from word `first`."""
    f, width = t.f, len(names) + 1
    rest = f.var("i64", number)
    places = [f.var("ptr", t.words[name]) for name in names]
    with f.loop(0, t.rank) as axis:
        words = [t.job.at(axis * width + (first + x), "i64") for x in range(width)]
        size, *strides = (word.load("i64") for word in words)
        index = f.var("i64", rest.get())
        with f.if_(axis.cmp("ne", t.rank - 1)):  # a division takes as long as a small matrix
            index.set(rest.get() % size)
            rest.set(rest.get() // size)
        for place, stride in zip(places, strides, strict=True):
            place.set(place.get().at(index.get() * stride, element))
    return [place.get() for place in places]
