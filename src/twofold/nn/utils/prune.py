"""Weights set to 0 by a mask that stays. Floor 10.

A pruned parameter is kept as `weight_orig`, its mask of zeros and ones as the buffer `weight_mask`,
and `weight` is their product, computed before each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.module import Module
from twofold.ops.creation_like import ones_like
from twofold.ops.joining import cat
from twofold.ops.random import rand_like
from twofold.ops.statistics import norm
from twofold.ops.tensor import Parameter, Tensor, type_of


class _Masked:
    """A hook that computes a pruned parameter before each call."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, inputs: Any) -> None:
        original, mask = (
            module._parameters[f"{self.name}_orig"],
            module._buffers[f"{self.name}_mask"],
        )
        setattr(module, self.name, original * mask)


def _pruned(module: Module) -> dict[str, Any]:
    return module.__dict__.setdefault("_pruned", {})  # type: ignore[no-any-return]


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module or of a part of it is pruned."""
    return any(part.__dict__.get("_pruned") for part in module.modules())


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Keep a parameter where `mask` is 1, and where an earlier mask was."""
    if name not in _pruned(module):
        original: Any = module._parameters.get(name)
        if original is None:
            raise ArgumentError(type(module).__name__, f"there is no parameter {name}")
        if original.shape != mask.shape:
            facts: Any = {name: type_of(original), "mask": type_of(mask)}
            raise ShapeError("prune", "the mask has another shape", **facts)
        del module._parameters[name]
        module.register_parameter(f"{name}_orig", original)
        module.register_buffer(f"{name}_mask", ones_like(original.detach()))
        hook = _Masked(name)
        _pruned(module)[name] = module.register_forward_pre_hook(hook), hook
    buffer: Any = module._buffers[f"{name}_mask"]
    module._buffers[f"{name}_mask"] = buffer * mask.to(buffer.dtype)  # type: ignore[attr-defined]
    _pruned(module)[name][1](module, None)
    return module


def remove(module: Module, name: str) -> Module:
    """Make the pruned parameter a plain one, with its zeros."""
    found = _pruned(module).pop(name, None)
    if found is None:
        raise ArgumentError(type(module).__name__, f"{name} is not pruned")
    found[0].remove()
    original: Any = module._parameters.pop(f"{name}_orig")
    mask: Any = module._buffers.pop(f"{name}_mask")
    delattr(module, name)
    made = Parameter((original.detach() * mask), original.tracked)
    module.register_parameter(name, made)
    return module


def _state(module: Module, name: str) -> tuple[Any, Any]:
    """A parameter's full values, and its mask so far."""
    if name in _pruned(module):
        original: Any = module._parameters[f"{name}_orig"]
        return original.detach(), module._buffers[f"{name}_mask"]
    weight: Any = module._parameters.get(name)
    if weight is None:
        raise ArgumentError(type(module).__name__, f"there is no parameter {name}")
    return weight.detach(), ones_like(weight.detach())


def _count(amount: Any, size: int) -> int:
    """How many of `size`: a number of them, or a share."""
    if isinstance(amount, bool) or amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ArgumentError("prune", f"amount is {amount}", hint="0.0 to 1.0, or a whole number")
    if isinstance(amount, int) and amount > size:
        raise ArgumentError("prune", f"{amount} of {size} cannot be pruned")
    return amount if isinstance(amount, int) else round(amount * size)


def _lowest(scores: Any, mask: Any, amount: Any) -> Any:
    """The mask without the elements of the lowest scores among those that are left."""
    left = mask.flatten() != 0
    count = _count(amount, int(left.sum()))
    flat = scores.flatten().masked_fill(~left, float("inf"))
    made = mask.flatten().clone()
    if count:
        made = made.scatter(0, flat.topk(count, largest=False).indices, value=0.0)
    return made.reshape(mask.shape)


def identity(module: Module, name: str) -> Module:
    """A mask of ones."""
    return custom_from_mask(module, name, _state(module, name)[1])


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Tensor | None = None
) -> Module:
    """Prune the elements of the smallest size (or importance)."""
    return L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune elements at random."""
    return RandomUnstructured.apply(module, name, amount)


def _without_slices(
    weight: Any, mask: Any, amount: Any, dim: int, score: Callable[..., Any]
) -> Any:
    """The mask without the slices along `dim` of the lowest scores."""
    if weight.ndim < 2:
        raise ShapeError("prune", "slices need two axes", input=type_of(weight))
    axis = dim % weight.ndim
    others = tuple(i for i in range(weight.ndim) if i != axis)
    made = _lowest(score(weight, others), mask.amax(others), amount)
    shape = [1] * weight.ndim
    shape[axis] = -1
    return made.reshape(shape).expand(weight.shape)


def ln_structured(
    module: Module,
    name: str,
    amount: Any,
    n: float,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune the slices along `dim` of the smallest n-norm."""
    return LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)


def _random_scores(weight: Any, others: Any) -> Any:
    return rand_like(weight.sum(others))


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune slices along `dim` at random."""
    return RandomStructured.apply(module, name, amount, dim)


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: Any = None,
    importance_scores: Any = None,
    *,
    amount: Any,
) -> None:
    """Prune the smallest elements of several parameters taken together."""
    if pruning_method not in (None, L1Unstructured, RandomUnstructured):
        raise ArgumentError("global_unstructured", "only unstructured methods are taken")
    pairs = list(parameters)
    states = [_state(*pair) for pair in pairs]
    given = importance_scores or {}
    scores: list[Any] = [given.get(p, w) for p, (w, _) in zip(pairs, states, strict=True)]
    flat: Any = cat([s.abs().flatten() for s in scores])
    flat = rand_like(flat) if pruning_method is RandomUnstructured else flat
    mask = _lowest(flat, cat([m.flatten() for _, m in states]), amount)
    parts = mask.split([m.array.size for _, m in states])
    for pair, part, (_, before) in zip(pairs, parts, states, strict=True):
        custom_from_mask(*pair, part.reshape(before.shape))


class BasePruningMethod:
    """A way to prune of one's own: subclasses say in `compute_mask(t, default_mask)` which elements
    stay; `apply(module, name, ...)` makes one with the other arguments and prunes by it.
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for values (or importances) `t`, which were pruned by `default_mask` so far."""
        raise TypeError(f"{type(self).__name__} does not define compute_mask")

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> Module:
        """Prune a parameter of the module."""
        weight, mask = _state(module, name)
        scores = weight if importance_scores is None else importance_scores
        return custom_from_mask(module, name, cls(*args, **kwargs).compute_mask(scores, mask))


class L1Unstructured(BasePruningMethod):
    """Elements of the smallest size go."""

    def __init__(self, amount: Any) -> None:
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Tensor) -> Tensor:
        return _lowest(t.abs(), default_mask, self.amount)  # type: ignore[no-any-return]


class RandomUnstructured(BasePruningMethod):
    """Random elements go."""

    def __init__(self, amount: Any) -> None:
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Tensor) -> Tensor:
        return _lowest(rand_like(t), default_mask, self.amount)  # type: ignore[no-any-return]


class LnStructured(BasePruningMethod):
    """Slices along `dim` of the smallest n-norm go."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, n: float, dim: int = -1) -> None:
        self.amount, self.n, self.dim = amount, n, dim

    def compute_mask(self, t: Any, default_mask: Any) -> Tensor:
        return _without_slices(t, default_mask, self.amount, self.dim, self.score)  # type: ignore[no-any-return]

    def score(self, values: Any, others: Any) -> Any:
        return norm(values, self.n, others)


class RandomStructured(BasePruningMethod):
    """Random slices along `dim` go."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        self.amount, self.dim = amount, dim

    def compute_mask(self, t: Any, default_mask: Any) -> Tensor:
        return _without_slices(t, default_mask, self.amount, self.dim, _random_scores)  # type: ignore[no-any-return]
