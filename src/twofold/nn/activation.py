"""Activations as modules: each calls the function of its name. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import DTypeError
from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.creation import full
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

REQUIRED: Any = object()


class Activation(Module):
    """A module around one function; subclasses name it, its options, and whether it may write in
    place.

    function  its name in nn.functional
    written   `inplace` is the last option
    bare      the repr shows the options' values without their names
    """

    function: str
    options: tuple[tuple[str, Any], ...] = ()
    written = False
    bare = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        names = [name for name, _ in self.options] + ["inplace"] * self.written
        values = dict(self.options) | {"inplace": False} | dict(zip(names, args, strict=False))
        values |= kwargs
        unknown = set(kwargs) - set(names)
        lacking = [name for name in names if values[name] is REQUIRED]
        name = type(self).__name__
        if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            hint = f"{name}()(input), or functional.{self.function}(input)"
            raise DTypeError(name, "a tensor is not an option of the layer", hint=hint)
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown.pop()!r}")
        if len(args) > len(names):
            raise TypeError(f"{name}() takes {len(names)} arguments but {len(args)} were given")
        if lacking:
            raise TypeError(f"{name}() needs the argument {lacking[0]!r}")
        for option in names:
            setattr(self, option, values[option])

    def forward(self, input: Tensor) -> Tensor:
        function = getattr(F, self.function)  # by its name: machine code may have taken its place
        written = self.written and self.inplace
        if not (self.options or written):  # the commonest call
            return function(input)  # type: ignore[no-any-return]
        options = {name: getattr(self, name) for name, _ in self.options}
        if written:
            options["inplace"] = True
        return function(input, **options)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        values = [(name, getattr(self, name)) for name, _ in self.options]
        shown = [repr(value) if self.bare else f"{name}={value!r}" for name, value in values]
        return ", ".join(shown + ["inplace=True"] * (self.written and self.inplace))


def _described(function: Any, options: dict[str, Any]) -> str:
    """The docstring of a module around one function: what it computes, and its options."""
    shown = [n if v is REQUIRED else f"{n}={v!r}" for n, v in options.items()]
    taken = f" Options: {', '.join(shown)}." if shown else ""
    what = "\n".join(line.strip() for line in (function.__doc__ or "").strip().splitlines())
    return f"{what}\n\n`functional.{function.__name__}` as a module, for any shape.{taken}"


def _activation(
    name: str, function: Any, *, written: bool = False, bare: bool = False, **options: Any
) -> type[Activation]:
    body = {
        "function": function.__name__,
        "options": tuple(options.items()),
        "written": written,
        "bare": bare,
        "__doc__": _described(function, options | ({"inplace": False} if written else {})),
        "__module__": __name__,
    }
    return type(name, (Activation,), body)


ReLU = _activation("ReLU", F.relu, written=True)
ReLU6 = _activation("ReLU6", F.relu6, written=True)
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, written=True, negative_slope=0.01)
ELU = _activation("ELU", F.elu, written=True, alpha=1.0)
SELU = _activation("SELU", F.selu, written=True)
CELU = _activation("CELU", F.celu, written=True, alpha=1.0)
GELU = _activation("GELU", F.gelu, approximate="none")
SiLU = _activation("SiLU", F.silu, written=True)
Mish = _activation("Mish", F.mish, written=True)
Softplus = _activation("Softplus", F.softplus, beta=1.0, threshold=20.0)
Softsign = _activation("Softsign", F.softsign)
Sigmoid = _activation("Sigmoid", F.sigmoid)
LogSigmoid = _activation("LogSigmoid", F.logsigmoid)
Tanh = _activation("Tanh", F.tanh)
Tanhshrink = _activation("Tanhshrink", F.tanhshrink)
Hardtanh = _activation("Hardtanh", F.hardtanh, written=True, min_val=-1.0, max_val=1.0)
Hardsigmoid = _activation("Hardsigmoid", F.hardsigmoid, written=True)
Hardswish = _activation("Hardswish", F.hardswish, written=True)
Hardshrink = _activation("Hardshrink", F.hardshrink, bare=True, lambd=0.5)
Softshrink = _activation("Softshrink", F.softshrink, bare=True, lambd=0.5)
Threshold = _activation("Threshold", F.threshold, written=True, threshold=REQUIRED, value=REQUIRED)
Softmax = _activation("Softmax", F.softmax, dim=None)
LogSoftmax = _activation("LogSoftmax", F.log_softmax, dim=None)
Softmin = _activation("Softmin", F.softmin, dim=None)
GLU = _activation("GLU", F.glu, dim=-1)


class Softmax2d(Activation):
    """Softmax over the channels of f[N, C, H, W] or f[C, H, W], for each place."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, -3)


class RReLU(Activation):
    """`functional.rrelu` as a module: random slopes while training."""

    options = (("lower", 1.0 / 8), ("upper", 1.0 / 3))
    written = True

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """max(0, x) + weight * min(0, x), with trained slopes: one, or one per channel."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full((num_parameters,), float(init), dtype=dtype, device=device))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


guard(globals())
