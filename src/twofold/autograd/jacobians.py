"""Jacobians and Hessians, and products with them: vmap over rows of an identity. Floor 8."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from twofold.autograd.forward import jvp
from twofold.autograd.transforms import Argnums, Split, grad, pullback, split
from twofold.autograd.vmap import vmap
from twofold.base import trees
from twofold.ops.movement import reshape
from twofold.ops.source import EYE, made
from twofold.ops.tensor import Tensor, wrap
from twofold.ops.views import narrow

Function = Callable[..., Any]


def identity_rows(xs: list[Tensor]) -> list[Tensor]:
    """For tensors of n elements in all: the n directions, each [n, *shape], 1 at one element."""
    sizes = [x.array.size for x in xs]
    total, at, rows = sum(sizes), 0, []
    for x, size in zip(xs, sizes, strict=True):
        whole = wrap(made(EYE, (total, total, x.dtype)))
        rows.append(reshape(narrow(whole, 1, at, size), (total, *x.array.shape)))
        at += size
    return rows


def _cut(x: Tensor, likes: list[Tensor]) -> list[Tensor]:
    """[n, ...] -> [*shape, ...] for each of the tensors whose elements the n rows are."""
    parts, at = [], 0
    for like in likes:
        size = like.array.size
        part = narrow(x, 0, at, size)
        parts.append(reshape(part, (*like.array.shape, *x.array.shape[1:])))
        at += size
    return parts


def jacrev(
    func: Function,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Function:
    """The function that gives the Jacobian of `func`, row by row: best for few results.

    For a result of shape s and an argument of shape t the Jacobian has the shape s + t; trees of
    results hold trees of arguments. chunk_size: at most so many rows at once.
    """

    @functools.wraps(func, updated=())
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        parts = split("jacrev", args, argnums)
        found = pullback(
            "jacrev", func, parts.leaves, lambda xs: func(*parts.filled(xs), **kwargs), has_aux
        )
        outs = found.back.outs
        rows = vmap(lambda *gs: tuple(found.back(list(gs))), chunk_size=chunk_size)(
            *identity_rows(outs)
        )
        blocks = [_cut(x, outs) for x in rows]  # by argument, then by result
        blocked = [parts.result([row[k] for row in blocks], argnums) for k in range(len(outs))]
        tree = trees.unflatten(blocked, found.form)
        return (tree, found.aux) if has_aux else tree

    return jacobian


def jacfwd(
    func: Function,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Function:
    """The same Jacobian, column by column: best for few arguments."""

    @functools.wraps(func, updated=())
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        parts = split("jacfwd", args, argnums)
        seen: list[Any] = []

        def direction(*ts: Tensor) -> Any:
            slopes, aux = _derivative(func, parts, kwargs, ts, has_aux)
            further, form = trees.flatten(aux)
            seen[:] = further, form
            return slopes, [x for x in further if isinstance(x, Tensor)]

        mapped = vmap(direction, out_dims=(0, None), randomness=randomness, chunk_size=chunk_size)
        columns, tensors = mapped(*identity_rows(parts.leaves))
        tree = trees.map_leaves(lambda x: _turned(x, parts, argnums), columns)
        if not has_aux:
            return tree
        given = iter(tensors)
        rest = [next(given) if isinstance(x, Tensor) else x for x in seen[0]]
        return tree, trees.unflatten(rest, seen[1])

    return jacobian


def _derivative(func: Function, parts: Split, kwargs: Any, ts: Any, has_aux: bool) -> Any:
    """(tangents of the result, further data) in one direction."""

    def flat(*xs: Tensor) -> Any:
        return func(*parts.filled(xs), **kwargs)

    made = jvp(flat, tuple(parts.leaves), ts, has_aux=has_aux)
    return made[1], made[2] if has_aux else None


def _turned(columns: Tensor, parts: Split, argnums: Argnums) -> Any:
    """[n, *result] -> [*result, *argument] for each argument."""
    shape = columns.array.shape[1:]
    made = []
    for block, x in zip(_cut(columns, parts.leaves), parts.leaves, strict=True):
        rank = x.array.ndim
        order = (*range(rank, rank + len(shape)), *range(rank))
        made.append(block.permute(order) if rank and shape else block)  # type: ignore[attr-defined]
    return parts.result(made, argnums)


def hessian(func: Function, argnums: Argnums = 0) -> Function:
    """The function that gives the second derivatives of `func`: jacfwd of jacrev."""
    return jacfwd(jacrev(func, argnums), argnums)


def hvp(func: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """(gradient, Hessian times tangents) of a function with one number for a result.

    For one primal each is a tree like it, for several a tuple; one run forward over one back.
    """
    numbers = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(func, numbers), primals, tangents)
