"""Sums of products by index letters (Einstein's convention). Floor 4.

Operands are joined from left to right, two at a time; each joining is one `matmul` over the letters
that end there, or one broadcast product where none does.
"""

from __future__ import annotations

import math
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.symbols import alike, is_one
from twofold.ops.elementwise import mul
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, permute, reshape
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import as_tensor, meet, operands
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import diagonal

__all__ = ["einsum"]

Letter = str | int  # a letter of the equation, or the number of an axis under an ellipsis


class Term(NamedTuple):
    """An operand and what its axes are called; no name occurs twice."""

    x: Tensor
    names: tuple[Letter, ...]


def einsum(equation: str | Tensor, *operands: Any) -> Tensor:
    """Sums of products: `einsum("bij,bjk->bik", x, y)` is a batch of matrix products.

    A letter names an axis; letters missing after `->` are summed over; a letter twice in one
    operand takes its diagonal; `...` stands for axes that broadcast. Without `->` the letters that
    occur once are kept, in alphabetical order. Operands with lists of axis numbers in place of an
    equation are taken too. Raises ArgumentError and ShapeError.
    """
    if isinstance(equation, Tensor):
        equation, operands = _from_lists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    xs = _common(operands)
    inputs, output, wide = _parse(equation.replace(" ", ""), xs)
    terms = [_term(equation, x, names) for x, names in zip(xs, inputs, strict=True)]
    terms = _with_sizes(equation, terms)
    kept = _numbered(output, wide) if output is not None else _implied(inputs, terms, wide)
    return _contract(equation, terms, kept)


def _common(values: tuple[Any, ...]) -> tuple[Tensor, ...]:
    if not values:
        raise ArgumentError("einsum", "at least one operand is wanted")
    return operands(
        "einsum", *(as_tensor(v, "einsum", f"operand {i}") for i, v in enumerate(values))
    )


def _from_lists(parts: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """`einsum(x, [0, 1], y, [1, 2], [0, 2])` as an equation and operands."""
    xs = parts[0 : len(parts) - len(parts) % 2 : 2]
    lists = parts[1::2]
    left = ",".join(map(_letters, lists))
    return left + (f"->{_letters(parts[-1])}" if len(parts) % 2 else ""), xs


def _letters(numbers: Any) -> str:
    made = []
    for n in numbers:
        if n is not Ellipsis and not 0 <= n < 52:
            raise ArgumentError("einsum", f"{n} is no axis name", hint="0 to 51, or ...")
        made.append("..." if n is Ellipsis else chr(ord("A") + n if n < 26 else ord("a") + n - 26))
    return "".join(made)


def _parse(equation: str, xs: tuple[Tensor, ...]) -> tuple[list[str], str | None, int]:
    """The names of each operand and of the result, and how many axes the widest ellipsis has."""
    left, arrow, right = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(xs):
        problem = f"{len(inputs)} terms in {equation!r} for {len(xs)} operands"
        raise ArgumentError("einsum", problem, hint="a term for each tensor, with commas between")
    for part in [*inputs, right]:
        plain = part.replace("...", "", 1)
        if not (plain.isascii() and plain.isalpha()) and plain:
            raise ArgumentError("einsum", f"{part!r} is no term", hint="letters, and ... once")
    if arrow:
        known = set("".join(inputs))
        for letter in right.replace("...", ""):
            if letter not in known or right.count(letter) > 1:
                problem = f"{letter!r} after -> is not one letter of the operands"
                raise ArgumentError("einsum", problem, equation=equation)
    wide = 0
    for number, (x, part) in enumerate(zip(xs, inputs, strict=True)):
        extra = x.array.ndim - len(part.replace("...", ""))
        if extra < 0 or (extra and "..." not in part):
            raise ShapeError(
                "einsum",
                f"{part!r} does not name the axes of operand {number}",
                hint="a letter for each axis, or ...",
                operand=type_of(x),
            )
        wide = max(wide, extra)
    return inputs, right if arrow else None, wide


def _numbered(part: str, count: int) -> tuple[Letter, ...]:
    """The names of a term whose ellipsis has `count` axes; those are numbered from the last, -1."""
    before, dots, after = part.partition("...")
    return (*before, *(range(-count, 0) if dots else ()), *after)


def _term(equation: str, x: Tensor, part: str) -> Term:
    """An operand with its names; repeated letters become a diagonal."""
    names = list(_numbered(part, x.array.ndim - len(part.replace("...", ""))))
    place = 0
    while place < len(names):
        name = names[place]
        if name not in names[place + 1 :]:
            place += 1
            continue
        other = names.index(name, place + 1)
        if x.array.shape[place] != x.array.shape[other]:
            problem = f"{name!r} names axes of different sizes in {equation!r}"
            raise ShapeError("einsum", problem, operand=type_of(x))
        x = diagonal(x, 0, place, other)
        names = [n for i, n in enumerate(names) if i not in (place, other)] + [name]
    return Term(x, tuple(names))


def _with_sizes(equation: str, terms: list[Term]) -> list[Term]:
    """The terms, where a size that is 1 after all is known to be. Raises ShapeError."""
    sizes: dict[Letter, int] = {}
    for x, names in terms:
        for name, size in zip(names, x.array.shape, strict=True):
            before = sizes.setdefault(name, size)
            together = [before]
            if is_one(size) or is_one(before):
                sizes[name] = before if is_one(size) else size
            elif meet(together, 1, size):
                sizes[name] = together[0]
            else:
                facts: dict[str, Any] = {f"operand {i}": type_of(t.x) for i, t in enumerate(terms)}
                what = f"{name!r}" if isinstance(name, str) else f"axis {name} of the ellipsis"
                problem = f"{what} has sizes {sizes[name]} and {size} in {equation!r}"
                raise ShapeError("einsum", problem, hint="one size for each letter", **facts)
    return [_with_ones(term, sizes) for term in terms]


def _with_ones(term: Term, sizes: dict[Letter, int]) -> Term:
    """The term with a size of 1 where a symbol met another size."""
    shape = term.x.array.shape
    made = tuple(
        n if alike(n, sizes[name]) else 1 for n, name in zip(shape, term.names, strict=True)
    )
    same = all(n is m for n, m in zip(made, shape, strict=True))
    return term if same else Term(reshape(term.x, made), term.names)


def _implied(inputs: list[str], terms: list[Term], wide: int) -> tuple[Letter, ...]:
    """The result's names where there is no arrow: the ellipsis, then letters that occur once."""
    together = "".join(inputs).replace(".", "")
    once = sorted(c for c in set(together) if together.count(c) == 1)
    dots = any("..." in part for part in inputs)
    return (*(range(-wide, 0) if dots else ()), *once)


def _contract(equation: str, terms: list[Term], kept: tuple[Letter, ...]) -> Tensor:
    made = terms[0]
    for number, other in enumerate(terms[1:], 1):
        later = {name for term in terms[number + 1 :] for name in term.names}
        made = _join(made, other, {*kept, *later})
    made = _summed(made, set(kept))
    missing = [name for name in kept if name not in made.names]
    if missing:
        raise ArgumentError("einsum", f"the result has ... and no operand has, in {equation!r}")
    return permute(made.x, tuple(made.names.index(name) for name in kept))


def _summed(term: Term, wanted: set[Letter]) -> Term:
    """The term without the axes that nobody wants any more; integers sum in int64."""
    axes = tuple(i for i, name in enumerate(term.names) if name not in wanted)
    if not axes:
        return term
    names = tuple(n for n in term.names if n in wanted)
    return Term(sum_(term.x, axes), names)


def _join(a: Term, b: Term, wanted: set[Letter]) -> Term:
    """The product of two terms, summed over the names that are not wanted."""
    a = _summed(a, wanted | set(b.names))
    b = _summed(b, wanted | set(a.names))
    a, b = _alike(a, b), _alike(b, a)
    both = [n for n in a.names if n in b.names]
    batch = [n for n in both if n in wanted]
    inside = [n for n in both if n not in wanted]
    left = [n for n in a.names if n not in b.names]
    right = [n for n in b.names if n not in a.names]
    names = (*batch, *left, *right)
    if not inside:
        x = _ordered(a, (*batch, *left), len(right), last=True)
        y = _ordered(b, (*batch, *right), len(left), at=len(batch))
        return Term(mul(x, y), names)
    size = dict(zip(a.names, a.x.array.shape, strict=True))
    size |= dict(zip(b.names, b.x.array.shape, strict=True))
    lead = tuple(size[n] for n in batch)
    k = math.prod(size[n] for n in inside)
    x = reshape(_ordered(a, (*batch, *left, *inside)), (*lead, math.prod(size[n] for n in left), k))
    y = reshape(
        _ordered(b, (*batch, *inside, *right)), (*lead, k, math.prod(size[n] for n in right))
    )
    return Term(reshape(matmul(x, y), tuple(size[n] for n in names)), names)


def _alike(a: Term, b: Term) -> Term:
    """a with axes of size 1 expanded where b has the same name at a larger size."""
    size = dict(zip(b.names, b.x.array.shape, strict=True))
    shape = tuple(
        size.get(n, m) if is_one(m) else m for n, m in zip(a.names, a.x.array.shape, strict=True)
    )
    return a if alike(shape, a.x.array.shape) else Term(expand(a.x, shape), a.names)


def _ordered(
    term: Term, names: tuple[Letter, ...], ones: int = 0, *, at: int = 0, last: bool = False
) -> Tensor:
    """The axes in the order of `names`, with `ones` axes of size 1 added at a place."""
    x = permute(term.x, tuple(term.names.index(n) for n in names))
    if not ones:
        return x
    place = len(names) if last else at
    shape = x.array.shape
    return reshape(x, (*shape[:place], *(1,) * ones, *shape[place:]))


guard(globals())
