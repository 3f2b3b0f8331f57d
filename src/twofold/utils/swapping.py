"""Two tensors that change places, wherever they are held. Floor 13."""

from __future__ import annotations

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor, type_of

__all__ = ["swap_tensors"]


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """What t1 is and what t2 is change places: values, types, attributes, gradients.

    Raises ArgumentError for tensors of two classes, and for views, which belong to their base.
    """
    if type(t1) is not type(t2):
        problem = f"a {type(t1).__name__} and a {type(t2).__name__} cannot change places"
        raise ArgumentError("swap_tensors", problem, hint="tensors of one class")
    for x in (t1, t2):
        if x.base is not None or x.node is not None:
            hint = "x.detach().clone()"
            raise ArgumentError("swap_tensors", "one is no leaf", hint=hint, tensor=type_of(x))
    first, second = t1.data, t2.data  # type: ignore[attr-defined]
    grads, flags = (t1.grad, t2.grad), (t1.requires_grad, t2.requires_grad)
    t1.grad = t2.grad = None
    t1.data, t2.data = second, first  # type: ignore[attr-defined]
    t1.requires_grad, t2.requires_grad = flags[1], flags[0]
    t1.grad, t2.grad = grads[1], grads[0]
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
