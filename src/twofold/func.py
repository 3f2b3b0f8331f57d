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
from twofold.nn.module import Module
from twofold.nn.norm import BatchNorm

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
    "replace_all_batch_norm_modules_",
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


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """All batch normalisations of the model without running statistics, so that each lane of `vmap`
    has those of its batch; the model itself is given back.
    """
    for layer in root.modules():
        if isinstance(layer, BatchNorm):
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            layer.track_running_stats = False
    return root
