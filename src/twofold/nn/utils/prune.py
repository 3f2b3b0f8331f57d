"""Weights set to 0 by a mask that stays. Floor 10.

A pruned parameter is kept as `weight_orig`, its mask of zeros and ones as the buffer `weight_mask`,
and `weight` is their product, computed before each call by the method that pruned it, a hook.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
    UndefinedError,
    kind_of,
)
from twofold.nn.module import Module
from twofold.ops.creation_like import ones_like, zeros_like
from twofold.ops.joining import cat
from twofold.ops.random import rand_like
from twofold.ops.statistics import norm
from twofold.ops.tensor import Tensor, type_of


class BasePruningMethod:
    """A way to prune: subclasses say in `compute_mask(t, default_mask)` which elements stay;
    `apply(module, name, ...)` makes one with the other arguments, and prunes a parameter by it.

    PRUNING_TYPE: "unstructured" (compute_mask is given the elements that are left, in one row),
    "structured" (the slices along `self.dim` that are left) or "global" (everything).
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for values (or importances) `t`, which were pruned by `default_mask` so far."""
        name = type(self).__name__
        hint = "def compute_mask(self, t, default_mask)"
        raise UndefinedError(name, "the method does not define compute_mask", hint=hint)

    def apply_mask(self, module: Module) -> Any:
        """The parameter that this has pruned, with its zeros."""
        name = self._tensor_name
        original, mask = module._parameters[f"{name}_orig"], module._buffers[f"{name}_mask"]
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune a parameter of the module: -> the method, or a PruningContainer of all methods that
        have pruned it. Raises ArgumentError where there is no such parameter.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        key, before = _method_of(module, name)
        weight: Any = module._parameters.get(name if before is None else f"{name}_orig")
        if weight is None:
            raise ArgumentError(type(module).__name__, f"there is no parameter {name}")
        scores: Any = importance_scores
        if scores is None:
            scores = getattr(module, name).detach()
        elif scores.shape != weight.shape:
            facts: Any = {name: type_of(weight), "importance_scores": type_of(scores)}
            raise ShapeError("prune", "the importances have another shape", **facts)
        made: BasePruningMethod = method
        if before is None:
            mask = method.compute_mask(scores, ones_like(weight.detach()))
            _check_mask(mask, name, weight)
            del module._parameters[name]
            module.register_parameter(f"{name}_orig", weight)
        else:
            made = before if isinstance(before, PruningContainer) else PruningContainer(before)
            made.add_pruning_method(method)
            held: Any = module._buffers[f"{name}_mask"]
            mask = made.compute_mask(scores, held.detach().clone())
            del module._forward_pre_hooks[key]
        module.register_buffer(f"{name}_mask", mask)
        made(module, None)
        module.register_forward_pre_hook(made)
        return made

    def prune(
        self, t: Any, default_mask: Any = None, importance_scores: Tensor | None = None
    ) -> Any:
        """A tensor with its pruned elements at 0; its own values are the importances if there are
        none.
        """
        scores = t if importance_scores is None else importance_scores
        mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, mask)

    def remove(self, module: Module) -> None:
        """Make the parameter that this has pruned a plain one, with its zeros."""
        name = self._tensor_name
        original: Any = module._parameters[f"{name}_orig"]
        value = self.apply_mask(module).detach()
        delattr(module, name)
        del module._parameters[f"{name}_orig"]
        del module._buffers[f"{name}_mask"]
        original.data = value
        module.register_parameter(name, original)


class PruningContainer(BasePruningMethod):
    """Methods that have pruned one parameter, in turn; the last one is given what those before it
    have left.
    """

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Add one at the end. Raises DTypeError for what is none, ArgumentError for a method of
        another parameter.
        """
        if not isinstance(method, BasePruningMethod):
            what = f"{kind_of(method)} is no method of pruning"
            raise DTypeError("PruningContainer", what, hint="a BasePruningMethod")
        if not self._pruning_methods and not hasattr(self, "_tensor_name"):
            self._tensor_name = method._tensor_name
        elif method._tensor_name != self._tensor_name:
            what = f"the method has pruned {method._tensor_name}, the others {self._tensor_name}"
            raise ArgumentError("PruningContainer", what)
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask of the last method, within what `default_mask` has left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        part = _left(method, mask)
        made = mask.clone()
        made[part] = method.compute_mask(t[part], mask[part]).to(made.dtype)  # type: ignore[attr-defined]
        return made


def _left(method: Any, mask: Any) -> Any:
    """The index of what a method is given: what has not been pruned."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return ()
    if method.PRUNING_TYPE != "structured":
        what = f"PRUNING_TYPE = {method.PRUNING_TYPE!r}"
        hint = '"unstructured", "structured" or "global"'
        raise ArgumentError(type(method).__name__, what, hint=hint)
    axis = _axis(method.dim, mask)
    kept = mask.sum(_others(axis, mask)) != 0
    return (slice(None),) * axis + (kept,)


def _axis(dim: int, t: Any) -> int:
    if not -t.ndim <= dim < t.ndim:
        what, hint = f"dim = {dim} is out of range", f"{-t.ndim} to {t.ndim - 1}"
        raise IndexRangeError("prune", what, hint=hint, input=type_of(t))
    return dim % t.ndim  # type: ignore[no-any-return]


def _others(axis: int, t: Any) -> tuple[int, ...]:
    return tuple(i for i in range(t.ndim) if i != axis)


def _method_of(module: Module, name: str) -> tuple[int, BasePruningMethod | None]:
    """The hook that prunes a parameter, by its number; None where there is none."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return -1, None


def _check_mask(mask: Any, name: str, weight: Any) -> None:
    if mask.shape != weight.shape:
        facts: Any = {name: type_of(weight), "mask": type_of(mask)}
        raise ShapeError("prune", "the mask has another shape", **facts)


class _ByAmount(BasePruningMethod):
    """Methods that are told how much goes: a share (float), or how many (int)."""

    def __init__(self, amount: Any) -> None:
        if not isinstance(amount, int | float) or isinstance(amount, bool):
            hint = "0.0 to 1.0, or a whole number"
            raise DTypeError("prune", f"amount is {kind_of(amount)}", hint=hint)
        if amount < 0 or (isinstance(amount, float) and amount > 1):
            hint = "0.0 to 1.0, or a whole number"
            raise ArgumentError("prune", f"amount is {amount}", hint=hint)
        self.amount = amount

    def _count(self, size: int) -> int:
        """How many of `size` go."""
        if isinstance(self.amount, int) and self.amount > size:
            raise ArgumentError("prune", f"{self.amount} of {size} cannot be pruned")
        return self.amount if isinstance(self.amount, int) else round(self.amount * size)


class _Elements(_ByAmount):
    """Single elements go, those of the lowest scores."""

    def scores(self, t: Any) -> Any:
        raise TypeError(f"{type(self).__name__} does not define scores")

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = self._count(int(t.numel()))
        if not count:
            return default_mask.clone()
        going = self.scores(t).flatten().topk(count, largest=False).indices
        return default_mask.flatten().scatter(0, going, 0).reshape(default_mask.shape)


class L1Unstructured(_Elements):
    """Elements of the smallest size go."""

    def scores(self, t: Any) -> Any:
        return t.abs()


class RandomUnstructured(_Elements):
    """Random elements go."""

    def scores(self, t: Any) -> Any:
        return rand_like(t)


class _Slices(_ByAmount):
    """Slices along `dim` go, those of the lowest scores."""

    PRUNING_TYPE = "structured"
    dim: int

    def scores(self, t: Any, others: tuple[int, ...]) -> Any:
        raise TypeError(f"{type(self).__name__} does not define scores")

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if t.ndim < 2:
            raise ShapeError("prune", "slices need two axes", input=type_of(t))
        axis = _axis(self.dim, t)
        size = int(t.shape[axis])
        count = self._count(size)
        if not count:
            return default_mask
        staying = self.scores(t, _others(axis, t)).topk(size - count).indices
        shape = [1] * t.ndim
        shape[axis] = size
        zeros: Any = zeros_like(default_mask)
        kept = zeros.sum(_others(axis, t))
        return default_mask * kept.scatter(0, staying, 1).reshape(shape)


class LnStructured(_Slices):
    """Slices along `dim` of the smallest n-norm go."""

    def __init__(self, amount: Any, n: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.n, self.dim = n, dim

    def scores(self, t: Any, others: tuple[int, ...]) -> Any:
        return norm(t, self.n, others)


class RandomStructured(_Slices):
    """Random slices along `dim` go."""

    def __init__(self, amount: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def scores(self, t: Any, others: tuple[int, ...]) -> Any:
        return rand_like(t.sum(others))


class Identity(BasePruningMethod):
    """Nothing goes: a mask of ones."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


class CustomFromMask(BasePruningMethod):
    """What a mask of zeros and ones says goes."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        _check_mask(self.mask, "parameter", default_mask)
        return default_mask * self.mask.to(default_mask.dtype)


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module or of a part of it is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for part in module.modules()
        for hook in part._forward_pre_hooks.values()
    )


def remove(module: Module, name: str) -> Module:
    """Make the pruned parameter a plain one, with its zeros."""
    key, method = _method_of(module, name)
    if method is None:
        raise ArgumentError(type(module).__name__, f"{name} is not pruned")
    method.remove(module)
    del module._forward_pre_hooks[key]
    return module


def identity(module: Module, name: str) -> Module:
    """A mask of ones."""
    Identity.apply(module, name)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Keep a parameter where `mask` is 1, and where an earlier mask was."""
    CustomFromMask.apply(module, name, mask)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Tensor | None = None
) -> Module:
    """Prune the elements of the smallest size (or importance)."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune elements at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: Any,
    n: float,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune the slices along `dim` of the smallest n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune slices along `dim` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def global_unstructured(
    parameters: Any,
    pruning_method: Any = L1Unstructured,
    importance_scores: Any = None,
    **kwargs: Any,
) -> None:
    """Prune elements of several parameters taken together, by a method of elements that is made
    with the other arguments (`amount=`).

    importance_scores: {(module, name): importances} for those whose values do not tell them.
    """
    if not isinstance(parameters, Iterable):
        what = f"{kind_of(parameters)} is no list of (module, name)"
        raise DTypeError("global_unstructured", what)
    pairs = list(parameters)
    scores: list[Any] = []
    masks: list[Any] = []
    for module, name in pairs:
        value: Any = getattr(module, name).detach()
        scores.append((importance_scores or {}).get((module, name), value))
        mask = module._buffers.get(f"{name}_mask")
        masks.append(ones_like(value) if mask is None else mask)
    together = PruningContainer()
    together._tensor_name = "together"
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise DTypeError("global_unstructured", "only unstructured methods are taken")
    method._tensor_name = "together"
    together.add_pruning_method(method)
    flat: Any = cat([s.flatten() for s in scores])
    found = together.compute_mask(flat, cat([m.flatten() for m in masks]))
    parts = found.split([m.array.size for m in masks])
    for (module, name), part, mask in zip(pairs, parts, masks, strict=True):
        custom_from_mask(module, name, part.reshape(mask.shape))


__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]
