"""Functional transforms under torch.func's names: grad, vjp, jvp, vmap, Jacobians. Floor 11."""

from twofold.autograd.forward import jvp, linearize
from twofold.autograd.jacobians import hessian, hvp, jacfwd, jacrev
from twofold.autograd.jacobians import jacrev as jacobian
from twofold.autograd.transforms import grad, grad_and_value, value_and_grad, vjp
from twofold.autograd.vmap import vmap
from twofold.nn.functional_call import functional_call, stack_module_state

__all__ = [
    "functional_call",
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
