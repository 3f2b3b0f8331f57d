"""Weights by length and direction, and weights of a given spectral norm. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ArgumentError
from twofold.nn.distance_functions import normalize
from twofold.nn.module import Module
from twofold.nn.utils.parametrize import register_parametrization
from twofold.ops.bind import recording
from twofold.ops.elementwise import mul, true_divide
from twofold.ops.random import randn
from twofold.ops.statistics import norm
from twofold.ops.tensor import Parameter, Tensor


def norm_except_dim(v: Any, pow: float = 2, dim: int | None = 0) -> Any:
    """The lengths of the slices along `dim` (all as one, if None or -1)."""
    if dim is None or dim == -1:
        return norm(v, pow)
    axis = dim % v.ndim
    return norm(v, pow, tuple(i for i in range(v.ndim) if i != axis), True)


def _weight_of(module: Module, name: str) -> Any:
    weight = module._parameters.get(name)
    if weight is None:
        raise ArgumentError(type(module).__name__, f"there is no parameter {name}")
    return weight


def _filters_of(module: Module) -> int:
    """The axis of a weight along which its filters lie."""
    return 1 if type(module).__name__.startswith("ConvTranspose") else 0


class _WeightNorm(Module):
    """g v / |v| (Salimans, Kingma 2016)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return mul(weight_v, true_divide(weight_g, norm_except_dim(weight_v, 2, self.dim)))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, 2, self.dim), weight


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which power iteration follows (Miyato et al.
    2018).
    """

    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if n_power_iterations < 1:
            raise ArgumentError("spectral_norm", f"{n_power_iterations} iterations")
        self.dim = dim if dim >= 0 else dim + weight.ndim
        self.eps, self.n_power_iterations = eps, n_power_iterations
        if weight.ndim > 1:
            with recording(False):
                matrix = self._matrix(weight.detach())
                u: Any = randn(matrix.shape[0], dtype=weight.dtype)
                v: Any = randn(matrix.shape[1], dtype=weight.dtype)
                self.register_buffer("_u", normalize(u, dim=0, eps=eps))
                self.register_buffer("_v", normalize(v, dim=0, eps=eps))
                self._follow(matrix, 15)

    def _matrix(self, weight: Any) -> Any:
        return weight.movedim(self.dim, 0).flatten(1)

    def _follow(self, matrix: Any, count: int) -> None:
        with recording(False):
            for _ in range(count):
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.t() @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._follow(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a parameter a length times a direction: parametrizations.weight.original0 and 1."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a parameter by its largest singular value, whenever it is read."""
    weight = _weight_of(module, name)
    dim = _filters_of(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


def _hold(module: Module, table: str, hook: Any) -> Module:
    """Call the hook before each forward, and remember it in a table of the module."""
    handle = module.register_forward_pre_hook(hook)
    module.__dict__.setdefault(table, {})[hook.name] = (hook, handle)
    return module


def _take_off(module: Module, table: str, what: str, name: str) -> Module:
    """Take a hook of `_hold` off, and make one parameter of the parts that it reads."""
    found = module.__dict__.get(table, {}).pop(name, None)
    if found is None:
        raise ArgumentError(type(module).__name__, f"{name} has no {what}")
    hook, handle = found
    handle.remove()
    with recording(False):
        value = hook.compute(module)
    delattr(module, name)
    for part in hook.parts:
        delattr(module, f"{name}_{part}")
    module.register_parameter(name, Parameter(value))
    return module


class _OldWeightNorm:
    """A hook that computes the weight from weight_g and weight_v before each call."""

    parts = ("g", "v")

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute(self, module: Module) -> Any:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return mul(v, true_divide(g, norm_except_dim(v, 2, self.dim)))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module))


def old_weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """PyTorch's older form: parameters weight_g and weight_v, and a hook."""
    weight = _weight_of(module, name)
    hook = _OldWeightNorm(name, dim)
    with recording(False):
        length = norm_except_dim(weight.detach(), 2, hook.dim)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(length))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, None)
    return _hold(module, "_weight_norms", hook)


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter of its present value again."""
    return _take_off(module, "_weight_norms", "weight norm", name)


class _OldSpectralNorm:
    """A hook that computes the weight from weight_orig, weight_u and weight_v before each call."""

    parts = ("orig", "u", "v")

    def __init__(self, name: str, count: int, dim: int, eps: float) -> None:
        self.name, self.count, self.dim, self.eps = name, count, dim, eps

    def compute(self, module: Module, follow: bool = False) -> Any:
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = weight.movedim(self.dim, 0).flatten(1)
        if follow:
            with recording(False):
                held = matrix.detach()
                for _ in range(self.count):
                    v.copy_(normalize(held.t() @ u, dim=0, eps=self.eps))
                    u.copy_(normalize(held @ v, dim=0, eps=self.eps))
        return weight / (u.clone() @ (matrix @ v.clone()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module, module.training))


def old_spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """PyTorch's older form: a parameter weight_orig, buffers weight_u and weight_v, and a hook."""
    weight = _weight_of(module, name)
    if n_power_iterations < 1:
        raise ArgumentError("spectral_norm", f"{n_power_iterations} iterations", hint="1 or more")
    dim = _filters_of(module) if dim is None else dim
    hook = _OldSpectralNorm(name, n_power_iterations, dim, eps)
    with recording(False):
        rows, columns = weight.movedim(dim, 0).flatten(1).shape
        u: Any = normalize(randn(rows, dtype=weight.dtype), dim=0, eps=eps)
        v: Any = normalize(randn(columns, dtype=weight.dtype), dim=0, eps=eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    return _hold(module, "_spectral_norms", hook)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter of its present value again."""
    return _take_off(module, "_spectral_norms", "spectral norm", name)
