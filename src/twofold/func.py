"""Functional transforms under torch.func's names: grad, vjp, jvp, vmap, Jacobians. Floor 11."""

from collections.abc import Callable
from typing import Any

from twofold.autograd.forward import jvp, linearize
from twofold.autograd.jacobians import hessian, hvp, jacfwd, jacrev
from twofold.autograd.jacobians import jacrev as jacobian
from twofold.autograd.transforms import grad, grad_and_value, value_and_grad, vjp
from twofold.autograd.vmap import vmap
from twofold.base.errors import ArgumentError
from twofold.nn.functional_call import functional_call, stack_module_state

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """The function itself: what it writes in place is functional in every graph already.

    remove: "mutations" or "mutations_and_views". Raises ArgumentError for anything else.
    """
    if remove not in ("mutations", "mutations_and_views"):
        hint = "'mutations' or 'mutations_and_views'"
        raise ArgumentError("functionalize", f"remove={remove!r} is not known", hint=hint)
    return func
