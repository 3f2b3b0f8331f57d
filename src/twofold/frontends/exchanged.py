"""Tensors that a captured function makes on memory from outside, or gives other memory. Floor 9.

`x.detach()` and `x.data` of a tensor from outside are further names of its memory (`alias`), made
at each run anew. `x.data = y` and `x.squeeze_()` give a tensor another array, which a program does
as a write where nobody can tell: all else of that, done to a tensor from outside, is Python's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from twofold.base.errors import in_python
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.ops.tensor import Parameter, Tensor

if TYPE_CHECKING:  # a capture asks: an import that runs would be a ring
    from twofold.frontends.capture import Capture


def python_only(what: str, hint: str) -> NoReturn:
    """Raise the error of what no graph holds, and Python does."""
    error = CaptureError("compile", what, hint=hint)
    in_python(error)
    raise error


def is_made_here(capture: Capture, x: Tensor) -> bool:
    """Whether the function itself has made a tensor (not its memory)."""
    if is_unknown(x.array):
        return id(x) not in capture.places and x.array.capture is capture  # type: ignore[attr-defined]
    return id(x) in capture.aliases


def refuse_layout(capture: Capture, x: Tensor, op: str) -> None:
    """Raise CaptureError where a tensor from outside gets another shape or other memory."""
    if not is_made_here(capture, x):
        python_only(
            f"{op} gives a tensor from outside another shape or other memory",
            f"x = x.{op.removesuffix('_')}(...), or copy_ of values of its own shape",
        )


def takes_over(capture: Capture, x: Tensor, value: Tensor) -> bool:
    """Whether `x.data = value` exchanges the array of a tensor that the function has made; False
    where it is a write into one from outside. Raises CaptureError where it is neither.
    """
    if is_made_here(capture, x) or value.array is x.array:  # as after x.data -= y
        return True
    made: Any = value.array
    fresh = is_unknown(made) and not made.chain and capture.place_of(made.storage) is None
    alone = x.base is None and getattr(x.array, "base", None) is None
    if not (fresh and alone) or made.dtype != x.array.dtype or made.shape != tuple(x.array.shape):
        refuse_layout(capture, x, "data")
    return False


def owner_of_memory(capture: Capture, x: Tensor) -> Tensor | None:
    """The tensor from outside whose memory x has got a further name of; None for that itself."""
    known = capture.aliases.get(id(x))
    return None if known is None or known[0] is not x else known[1]


def named(capture: Capture, x: Tensor) -> Tensor:
    """The tensor from outside whose memory x has got a further name of, or x itself."""
    owner = owner_of_memory(capture, x)
    return x if owner is None else owner


def check_leaf(capture: Capture, x: Tensor) -> None:
    """Raise CaptureError for what no run could give back: a leaf of the function's own that has a
    gradient, or is a parameter.
    """
    if x.__dict__:
        python_only(
            "the function gives back a tensor with attributes of your own",
            "give back what they hold beside it",
        )
    if x.leaf_grad is not None:
        python_only(
            "the function gives back a leaf that it has made, with its gradient",
            "give the gradient back, too: x.grad",
        )
    if isinstance(x, Parameter):
        python_only(
            "the function makes a parameter, and leaves it outside",
            "make parameters outside of the function, and write into them: p.copy_(...)",
        )


def check_arguments(symbolic: Sequence[Any]) -> None:
    """Raise CaptureError where what stands for an argument was given a history by a write, or an
    attribute.
    """
    if any(isinstance(x, Tensor) and is_unknown(x.array) and x.__dict__ for x in symbolic):
        python_only("an argument is given an attribute", "give it back beside the result")
    if any(isinstance(x, Tensor) and x.node is not None for x in symbolic):
        python_only(
            "an argument is given a history by a write in place",
            "x = x.clone(), and a write into that",
        )


def check_frozen(capture: Capture) -> None:
    """Raise CaptureError where results have a history that was made before a leaf was frozen."""
    if any(before and not x.tracked for x, before in capture.flags.values()):
        python_only(
            "the function gives back what was computed before it froze a tensor",
            "requires_grad_(False) before what is computed, or outside",
        )


def lie_in_order(capture: Capture, given: Sequence[Any], found: Sequence[Any]) -> list[Any]:
    """The inputs, by leaf or as tensors, that must lie in order: views of them were made as if they
    did, and are written or given back, where eager may have copied. `found`: what is given back.
    """
    parts = [leaf.what.part if leaf.kind == "seen" else leaf.what for leaf in found]
    views = {id(part.input) for part in parts if hasattr(part, "chain") and hasattr(part, "input")}
    same = {leaf.what for leaf in found if leaf.kind == "argument"}
    keys = []
    for storage, (kind, key) in zip(capture.given, capture.sources, strict=True):
        seen = id(storage.origin) in views or storage.value is not storage.origin
        seen = seen or (kind == "argument" and key in same)
        if not storage.asked and not (storage.assumed and seen):
            continue
        array = given[key].array if kind == "argument" else storage.real
        if array is None:
            continue
        if not array.flags.c_contiguous:
            python_only(
                "a tensor that does not lie in order is written, given back through a view, or "
                "asked how it lies",
                "x.contiguous() outside",
            )
        if kind == "argument" or isinstance(key, Tensor):
            keys.append(key)
    return keys


@contextlib.contextmanager
def writing_nothing(capture: Capture) -> Iterator[None]:
    """Raise CaptureError where the block writes an input: the walk back through a checkpoint runs
    what it holds again, which a program does when its results are walked.
    """
    before = [storage.value for storage in capture.given]
    yield
    after = [storage.value for storage in capture.given]
    before += [storage.origin or storage.value for storage in capture.given[len(before) :]]
    if any(x is not y for x, y in zip(before, after, strict=True)):
        python_only(
            "the function gives back what goes through a checkpoint around what writes state",
            "backward() in the function, too",
        )
