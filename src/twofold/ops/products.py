"""Products of matrices, vectors and tensors under PyTorch's names. Floor 4.

All are composites around `matmul`, so that each element is one ascending chain of fma over k
(DESIGN.md, N4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import example_of
from twofold.ops.elementwise import add, conj, mul, sub
from twofold.ops.guarding import guard
from twofold.ops.joining import roll
from twofold.ops.linalg import Factor, matmul
from twofold.ops.movement import expand, permute, reshape
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import as_tensor, axis_there, axis_too, broadcast, operands, with_out
from twofold.ops.tensor import Tensor, type_of

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "cross", "dot"]
__all__ += ["ger", "inner", "kron", "mm", "mv", "outer", "tensordot", "vdot"]

Out = Tensor | None


def check_rank(op: str, rank: int, **tensors: Any) -> None:
    """Refuse arguments that do not have exactly so many axes."""
    words = ("a number", "a vector", "a matrix", "a batch of matrices")
    for name, x in tensors.items():
        given = as_tensor(x, op, name)
        if given.array.ndim != rank:
            facts = {k: type_of(as_tensor(v, op, k)) for k, v in tensors.items()}
            raise ShapeError(op, f"{name} is not {words[rank]}", hint="twofold.matmul", **facts)


def mm(input: Tensor, mat2: Tensor, *, out: Out = None) -> Tensor:
    """The product of two matrices f[n, k] and f[k, m]. Raises ShapeError for other ranks."""
    if not isinstance(input, Factor):
        check_rank("mm", 2, input=input, mat2=mat2)
    return with_out(matmul(input, mat2), out, "mm")


def bmm(input: Tensor, mat2: Tensor, *, out: Out = None) -> Tensor:
    """The products of matrices f[b, n, k] and f[b, k, m], one by one. Raises ShapeError."""
    check_rank("bmm", 3, input=input, mat2=mat2)
    _same_batch("bmm", input, mat2)
    return with_out(matmul(input, mat2), out, "bmm")


def _same_batch(op: str, x: Tensor, w: Tensor) -> None:
    if x.array.shape[0] != w.array.shape[0]:
        raise ShapeError(
            op, "the batches differ", hint="twofold.matmul", x=type_of(x), w=type_of(w)
        )


def mv(input: Tensor, vec: Tensor, *, out: Out = None) -> Tensor:
    """The product of a matrix f[n, k] and a vector f[k]."""
    check_rank("mv", 2, input=input)
    check_rank("mv", 1, vec=vec)
    return with_out(matmul(input, vec), out, "mv")


def dot(input: Tensor, tensor: Tensor, *, out: Out = None) -> Tensor:
    """The sum of the products of two vectors of one size. Raises ShapeError."""
    check_rank("dot", 1, input=input, tensor=tensor)
    return with_out(matmul(input, tensor), out, "dot")


def vdot(input: Tensor, other: Tensor, *, out: Out = None) -> Tensor:
    """dot with the conjugate of the first vector."""
    check_rank("vdot", 1, input=input, other=other)
    return with_out(matmul(conj(input), other), out, "vdot")


def inner(input: Tensor, other: Tensor, *, out: Out = None) -> Tensor:
    """Sums of products over the last axis of both; for numbers their product."""
    x, y = operands("inner", input, other)
    if not (x.array.ndim and y.array.ndim):
        return with_out(mul(x, y), out, "inner")
    if x.array.shape[-1] != y.array.shape[-1]:
        raise ShapeError("inner", "the last sizes differ", input=type_of(x), other=type_of(y))
    return with_out(tensordot(x, y, ([-1], [-1])), out, "inner")


def outer(input: Tensor, vec2: Tensor, *, out: Out = None) -> Tensor:
    """Every product of an element of one vector with one of the other: f[n], f[m] -> f[n, m]."""
    check_rank("outer", 1, input=input, vec2=vec2)
    return with_out(mul(reshape(input, (-1, 1)), vec2), out, "outer")


ger = outer


def _scaled(op: str, x: Tensor, factor: Any) -> Tensor:
    if type(factor) in (int, float) and factor == 1:
        return x
    kind = dtypes.scalar_dtype(factor) if not isinstance(factor, Tensor) else factor.dtype
    if dtypes.CATEGORY[kind.kind] > dtypes.CATEGORY[x.dtype.kind]:
        raise DTypeError(op, f"a {kind.name} factor does not fit {x.dtype.name} operands")
    return mul(x, factor)


def _plus(op: str, input: Tensor, product: Tensor, beta: Any, alpha: Any, out: Out) -> Tensor:
    """beta * input + alpha * product; a beta of 0 leaves the input out, its NaN too."""
    x, made = operands(op, input, product)
    made = _scaled(op, made, alpha)
    shape = broadcast(op, input=type_of(x), product=type_of(made))
    if shape != made.array.shape:
        raise ShapeError(
            op,
            "the input does not expand to the product",
            input=type_of(x),
            product=type_of(made),
        )
    if type(beta) in (int, float) and beta == 0:
        return with_out(made, out, op)
    return with_out(add(_scaled(op, x, beta), made), out, op)


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Out = None
) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2), for matrices."""
    check_rank("addmm", 2, mat1=mat1, mat2=mat2)
    return _plus("addmm", input, matmul(mat1, mat2), beta, alpha, out)


def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Out = None
) -> Tensor:
    """beta * input + alpha * (mat @ vec), for a matrix and a vector."""
    check_rank("addmv", 2, mat=mat)
    check_rank("addmv", 1, vec=vec)
    return _plus("addmv", input, matmul(mat, vec), beta, alpha, out)


def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Out = None
) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    check_rank("addr", 1, vec1=vec1, vec2=vec2)
    return _plus("addr", input, mul(reshape(vec1, (-1, 1)), vec2), beta, alpha, out)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Out = None
) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2)."""
    check_rank("baddbmm", 3, batch1=batch1, batch2=batch2)
    _same_batch("baddbmm", batch1, batch2)
    return _plus("baddbmm", input, matmul(batch1, batch2), beta, alpha, out)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Out = None
) -> Tensor:
    """beta * input + alpha times the sum of the products of a batch."""
    check_rank("addbmm", 3, batch1=batch1, batch2=batch2)
    _same_batch("addbmm", batch1, batch2)
    made = sum_(matmul(batch1, batch2), 0, dtype=batch1.dtype)
    return _plus("addbmm", input, made, beta, alpha, out)


def chain_matmul(*matrices: Tensor, out: Out = None) -> Tensor:
    """The product of several matrices, multiplied in the order that takes the fewest steps."""
    if not matrices:
        raise ArgumentError("chain_matmul", "at least one matrix is wanted")
    check_rank("chain_matmul", 2, **{f"matrix {i}": x for i, x in enumerate(matrices)})
    return with_out(in_best_order(matrices), out, "chain_matmul")


def in_best_order(matrices: Sequence[Tensor]) -> Tensor:
    """The product of matrices by the cheapest bracketing (Cormen et al., "Matrix-chain
    multiplication").
    """
    sizes = [matrices[0].array.shape[0], *(x.array.shape[1] for x in matrices)]
    count = len(matrices)
    cost = {(i, i): (0, i) for i in range(count)}
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            ways = [
                (cost[i, k][0] + cost[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j] = min(ways)

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return matrices[i]
        k = cost[i, j][1]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, count - 1)


@axis_too
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, *, out: Out = None) -> Tensor:
    """Sums of products over pairs of axes: the last `dims` of a with the first of b, or two lists.

    An axis of size 1 goes with one of any size. Raises ShapeError where the sizes of a pair differ.
    """
    x, y = operands("tensordot", a, b)
    if isinstance(dims, Tensor):
        dims = dims.array.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(x.array.ndim, y.array.ndim):
            raise ArgumentError(
                "tensordot", f"dims is {dims}", hint="0 to the smaller rank", a=type_of(x)
            )
        left = list(range(x.array.ndim - dims, x.array.ndim))
        right = list(range(dims))
    else:
        left, right = _axes(dims[0], x), _axes(dims[1], y)
    if len(left) == len(right):
        pairs = [(x.array.shape[i], y.array.shape[j]) for i, j in zip(left, right, strict=True)]
        shorter = [i for i, (n, m) in zip(left, pairs, strict=True) if _meets_one(n, m)]
        y = _added(y, [j for j, (n, m) in zip(right, pairs, strict=True) if _meets_one(m, n)])
        x = _added(x, shorter)
    shapes = x.array.shape, y.array.shape
    if [shapes[0][i] for i in left] != [shapes[1][i] for i in right]:
        raise ShapeError(
            "tensordot",
            f"sizes differ along {dims}",
            hint="dims=([axes of a], [axes of b]) of equal sizes",
            a=type_of(x),
            b=type_of(y),
        )
    kept = [i for i in range(x.array.ndim) if i not in left]
    other = [i for i in range(y.array.ndim) if i not in right]
    inside = math.prod(shapes[0][i] for i in left)
    rows, columns = [shapes[0][i] for i in kept], [shapes[1][i] for i in other]
    flat_x = reshape(permute(x, (*kept, *left)), (math.prod(rows), inside))
    flat_y = reshape(permute(y, (*right, *other)), (inside, math.prod(columns)))
    return with_out(reshape(matmul(flat_x, flat_y), (*rows, *columns)), out, "tensordot")


def _meets_one(size: Any, other: Any) -> bool:
    """Whether an axis meets one of size 1, in whose stead it would be repeated."""
    return example_of(other) == 1 != example_of(size) and bool(other == 1)


def _added(x: Tensor, axes: list[int]) -> Tensor:
    """x added up along axes that meet single elements."""
    return sum_(x, axes, True, dtype=x.dtype) if axes else x


def _axes(dims: Any, x: Tensor) -> list[int]:
    listed = (dims,) if isinstance(dims, int) else dims
    axes = [axis_there("tensordot", d, x) for d in listed]
    if len(set(axes)) != len(axes):
        raise ArgumentError("tensordot", f"dims {listed} name an axis twice", input=type_of(x))
    return axes


def kron(input: Tensor, other: Tensor, *, out: Out = None) -> Tensor:
    """The Kronecker product: every element of `input` times all of `other`, as blocks."""
    x, y = operands("kron", input, other)
    rank = max(x.array.ndim, y.array.ndim)
    a = (1,) * (rank - x.array.ndim) + x.array.shape
    b = (1,) * (rank - y.array.ndim) + y.array.shape
    blocks = mul(
        reshape(x, tuple(n for size in a for n in (size, 1))),
        reshape(y, tuple(n for size in b for n in (1, size))),
    )
    return with_out(reshape(blocks, tuple(n * m for n, m in zip(a, b, strict=True))), out, "kron")


@axis_too
def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Out = None) -> Tensor:
    """The vector product along an axis of size 3: `dim`, or the first such axis."""
    x, y = operands("cross", input, other)
    if x.array.ndim != y.array.ndim:
        raise ShapeError("cross", "the ranks differ", input=type_of(x), other=type_of(y))
    shape = broadcast("cross", input=type_of(x), other=type_of(y))
    x, y = expand(x, shape), expand(y, shape)
    if dim is None:
        if 3 not in shape:
            raise ShapeError("cross", "no axis has size 3", input=type_of(x), other=type_of(y))
        dim = shape.index(3)
    axis = axis_there("cross", dim, x)
    sides: Any = {
        "input": type_of(as_tensor(input, "cross")),
        "other": type_of(as_tensor(other, "cross")),
    }
    if any(side.shape[axis] != 3 for side in sides.values()):
        raise ShapeError("cross", f"axis {axis} does not have size 3", **sides)
    turned = sub(mul(x, roll(y, -1, axis)), mul(roll(x, -1, axis), y))
    return with_out(roll(turned, -1, axis), out, "cross")


guard(globals())
