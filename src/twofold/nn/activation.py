"""Activations as modules: each calls the function of its name. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.creation import full
from twofold.ops.tensor import Parameter, Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]


class Activation(Module):
    """A module around one function; subclasses name it and its options."""

    function: Any
    options: tuple[tuple[str, Any], ...] = ()

    def __init__(self, *args: Any, inplace: bool = False, **kwargs: Any) -> None:
        super().__init__()
        names = [name for name, _ in self.options]
        values = dict(self.options) | dict(zip(names, args, strict=False)) | kwargs
        unknown = set(values) - set(names)
        if unknown:
            raise TypeError(
                f"{type(self).__name__}() got an unexpected keyword argument {unknown.pop()!r}"
            )
        self.inplace = inplace
        for name, value in values.items():
            setattr(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, **{name: getattr(self, name) for name, _ in self.options})  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name, _ in self.options]
        return ", ".join(shown + (["inplace=True"] if self.inplace else []))


def _activation(name: str, function: Any, **options: Any) -> type[Activation]:
    doc = f"`functional.{function.__name__}` as a module."
    body = {"function": staticmethod(function), "options": tuple(options.items()), "__doc__": doc}
    return type(name, (Activation,), body | {"__module__": __name__})


ReLU = _activation("ReLU", F.relu)
ReLU6 = _activation("ReLU6", F.relu6)
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, negative_slope=0.01)
ELU = _activation("ELU", F.elu, alpha=1.0)
SELU = _activation("SELU", F.selu)
CELU = _activation("CELU", F.celu, alpha=1.0)
GELU = _activation("GELU", F.gelu, approximate="none")
SiLU = _activation("SiLU", F.silu)
Mish = _activation("Mish", F.mish)
Softplus = _activation("Softplus", F.softplus, beta=1.0, threshold=20.0)
Softsign = _activation("Softsign", F.softsign)
Sigmoid = _activation("Sigmoid", F.sigmoid)
LogSigmoid = _activation("LogSigmoid", F.logsigmoid)
Tanh = _activation("Tanh", F.tanh)
Tanhshrink = _activation("Tanhshrink", F.tanhshrink)
Hardtanh = _activation("Hardtanh", F.hardtanh, min_val=-1.0, max_val=1.0)
Hardsigmoid = _activation("Hardsigmoid", F.hardsigmoid)
Hardswish = _activation("Hardswish", F.hardswish)
Softmax = _activation("Softmax", F.softmax, dim=None)
LogSoftmax = _activation("LogSoftmax", F.log_softmax, dim=None)
Softmin = _activation("Softmin", F.softmin, dim=None)
GLU = _activation("GLU", F.glu, dim=-1)


class PReLU(Module):
    """max(0, x) + weight * min(0, x), with trained slopes: one, or one per channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
