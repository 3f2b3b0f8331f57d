"""What users call for gradients: backward, grad, hooks. Floor 8."""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from twofold.autograd.fast import walk_to_leaves
from twofold.autograd.vmap import vmap
from twofold.autograd.walk import start_gradient, target_of, walk
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError
from twofold.base.symbols import alike
from twofold.ops.bind import current, mode, recording
from twofold.ops.creation_like import zeros_like
from twofold.ops.elementwise import add
from twofold.ops.joining import clone
from twofold.ops.methods import attach
from twofold.ops.tensor import OtherLayout, Tensor, leaf_changed, type_of, wrap

Tensors = Tensor | Sequence[Tensor]
GRAD_FN = "twofold.autograd.grad_fn"  # imported when somebody asks for a node
NOT_A_LEAF = (
    "the .grad of a tensor that is not a leaf is None: gradients are kept in leaves only; call "
    "retain_grad() on it before backward() to have it kept there too"
)


def _sequence(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _roots(tensors: Tensors, gradients: Any, op: str) -> list[tuple[Tensor, Tensor]]:
    outputs = _sequence(tensors if isinstance(tensors, Tensor) else list(tensors))
    given = (None,) * len(outputs) if gradients is None else _sequence(gradients)
    if len(given) != len(outputs):
        raise ArgumentError(
            op, f"{len(outputs)} outputs and {len(given)} gradients", hint="one for each, or None"
        )
    return [(x, start_gradient(x, g, op)) for x, g in zip(outputs, given, strict=True)]


def _is_edge(x: Any) -> bool:
    return isinstance(x, tuple) and hasattr(x, "ownership_token")


def _end(edge: Any) -> Tensor:
    """The tensor, or one that stands for it, whose gradient arrives at an edge of the graph."""
    return importlib.import_module(GRAD_FN).tensor_at(edge)  # type: ignore[no-any-return]


def _targets(inputs: Tensors, op: str) -> tuple[Tensor, ...]:
    """The inputs to differentiate by. Raises GradientError for one that is not tracked."""
    given: Any = (inputs,) if isinstance(inputs, Tensor) or _is_edge(inputs) else inputs
    targets = tuple(given)
    if not targets:
        raise ArgumentError(op, "inputs is empty", hint="leave it out for all leaves")
    targets = tuple([_end(x) if _is_edge(x) else x for x in targets])
    for place, x in enumerate(targets):
        if not current(x).tracked:
            raise GradientError(
                op,
                f"input {place} does not require a gradient",
                input=type_of(x),
                hint="x.requires_grad_() before the outputs are computed",
            )
    return targets


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of `tensors` to `.grad` of the leaves they were made from (or of `inputs`).

    grad_tensors: for each output a gradient of its shape; not needed for outputs of one element.
    Raises GradientError when nothing requires a gradient, or the graph was walked before.
    """
    targets = None if inputs is None else _targets(inputs, "backward")
    roots = _roots(tensors, grad_tensors, "backward")
    retain = create_graph if retain_graph is None else retain_graph
    wanted = None if targets is None else list(map(target_of, targets))
    found = walk(roots, wanted, create_graph=create_graph, retain_graph=retain)
    del roots
    for x in found.leaves if targets is None else targets:
        accumulate(x, found.take(x), create_graph)
        if _After.there:
            _call_after(x)


def grad_of(x: Tensor) -> Tensor | None:
    """The leaf's gradient; a graph that is captured is told that it matters. Warns where it is
    asked of a tensor that is no leaf, which has none.
    """
    if x.node is not None and x.leaf_grad is None and mode.capture is None and not retains_grad(x):
        warnings.warn(NOT_A_LEAF, stacklevel=2)
    return _kept(x)


def _kept(x: Tensor) -> Tensor | None:
    """The gradient, of a leaf or of what retains it."""
    if mode.capture is not None:
        mode.capture.note_grad(x)
    return x.leaf_grad


def set_grad(x: Tensor, grad: Tensor | None) -> None:
    """Give the leaf another gradient; a graph that is captured is told that the old one is gone."""
    if mode.capture is not None:
        mode.capture.clear_grad(x)
    x.leaf_grad = grad


def assign_grad(x: Tensor, grad: Any) -> None:
    """`x.grad = grad`. Raises DTypeError for what is no tensor of x's type, ShapeError for another
    shape, GradientError for x itself.
    """
    if isinstance(grad, Tensor):
        if grad is x:
            raise GradientError("grad", "a tensor cannot be its own gradient", input=type_of(x))
        if not alike(grad.array.shape, x.array.shape):
            facts = {"gradient": type_of(grad), "input": type_of(x)}
            hint = "a gradient of the tensor's own shape, one number for each of its elements"
            raise ShapeError(
                "grad", "the gradient has another shape than the tensor", hint=hint, **facts
            )
        if grad.array.dtype != x.array.dtype:
            facts = {"gradient": type_of(grad), "input": type_of(x)}
            hint = f"gradient.to({x.dtype})"
            raise DTypeError("grad", "the gradient has another type", hint=hint, **facts)
    elif grad is not None and not isinstance(grad, OtherLayout):
        raise DTypeError(
            "grad", f"a {type(grad).__name__} is no gradient", hint="a tensor, or None"
        )
    set_grad(x, grad)


def forget_grad(x: Tensor, set_to_none: bool = True) -> None:
    """Forget the leaf's gradient, or set it to zero."""
    kept = None if set_to_none else x.grad
    if kept is None:
        set_grad(x, None)
    elif isinstance(kept, Tensor) and kept.base is not None and kept.node is None:
        kept.zero_()  # type: ignore[attr-defined]
    else:
        set_grad(x, zeros_like(kept))


def accumulate(x: Tensor, held: list[Tensor], create_graph: bool) -> None:
    """x.grad += the gradient in `held`, as a tensor that shares memory with nobody.

    The old gradient is left as it is: who holds it does not see it change. One that is a view, of
    all gradients in one vector, is written there.
    """
    if not held:
        return
    if mode.capture is not None:
        mode.capture.admit_grad(x)
    kept = x.leaf_grad
    if kept is not None and not create_graph and isinstance(kept, Tensor) and kept.base is not None:
        with recording(False):
            kept.add_(held[0])  # type: ignore[attr-defined]
    elif _kept(x) is not None:
        with recording(create_graph):
            set_grad(x, add(_kept(x), held[0]))
    elif create_graph:
        set_grad(x, clone(held[0]) if _shared(held) else held[0])
    else:
        copied = _shared(held) or held[0].array.base is not None
        set_grad(x, wrap(held[0].array.copy() if copied else held[0].array))


def _references(held: list[Tensor]) -> tuple[int, int]:
    return sys.getrefcount(held[0]), sys.getrefcount(held[0].array)


# What these counts are for a tensor that nobody else holds, in this version of Python.
_ALONE = _references([wrap(np.zeros(1))])


def _shared(held: list[Tensor]) -> bool:
    """Whether anybody else holds this gradient: another leaf, a hook, the caller's own tensor, a
    saved value.
    """
    tensor, array = _references(held)
    return tensor > _ALONE[0] or array > _ALONE[1]


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` by `inputs`, as a tuple; `.grad` is left alone.

    `is_grads_batched` takes many `grad_outputs` in front, and gives as many gradients.

    Raises GradientError for an input that the outputs do not depend on, unless allow_unused.
    """
    if is_grads_batched:
        options = (retain_graph, create_graph, only_inputs, allow_unused, False, materialize_grads)
        return vmap(lambda many: grad(outputs, inputs, many, *options))(grad_outputs)  # type: ignore[no-any-return]
    targets = _targets(inputs, "grad")
    roots = _roots(outputs, grad_outputs, "grad")
    if mode.capture is not None:
        targets = mode.capture.targets_here(roots, targets)
    retain = create_graph if retain_graph is None else retain_graph
    found = walk(
        roots, list(map(target_of, targets)), create_graph=create_graph, retain_graph=retain
    )
    made = tuple(map(found.of, targets))
    if materialize_grads:
        if allow_unused is False:
            raise ArgumentError(
                "grad", "materialize_grads=True with allow_unused=False", hint="leave that out"
            )
        return tuple(zeros_like(x) if g is None else g for x, g in zip(targets, made, strict=True))
    missing = [i for i, g in enumerate(made) if g is None]
    if missing and not allow_unused:
        raise GradientError(
            "grad",
            f"the outputs do not depend on input {missing[0]}",
            input=type_of(targets[missing[0]]),
            hint="allow_unused=True gives None for it",
        )
    return made


_handles = itertools.count()


class HookHandle:
    """`remove()` takes a hook away."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self.remove = remove
        self.id = next(_handles)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _unhook(leaf: Tensor, key: int) -> None:
    if leaf.hooks is not None:
        leaf.hooks.pop(key, None)
    leaf_changed(leaf)


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Call `hook(gradient)` when this tensor's gradient is known; what it returns replaces the
    gradient.

    Hooks run in the order of registration, before the gradient goes on (or, for a leaf, into
    `.grad`).
    """
    if not current(self).tracked:
        raise GradientError(
            "register_hook",
            "this tensor does not require a gradient",
            input=type_of(self),
            hint="x.requires_grad_(), or a tensor computed from one that does",
        )
    if self.node is None:
        self.hooks = self.hooks or {}
        key = max(self.hooks, default=0) + 1
        self.hooks[key] = hook
        leaf_changed(self)
        return HookHandle(functools.partial(_unhook, self, key))
    hooks = self.node.hooks = self.node.hooks or []
    own = _Hook(hook)
    kept = sum(isinstance(h, _Keep) for h in hooks)
    hooks.insert(len(hooks) - kept, own)
    return HookHandle(functools.partial(_discard, hooks, own))


def _discard(hooks: list[Any], hook: Any) -> None:
    if hook in hooks:
        hooks.remove(hook)


class _After:
    """A leaf's hook that waits until the gradient is in `.grad`."""

    there: ClassVar[int] = 0  # how many were not taken away: the walk in machine code knows none

    def __init__(self, function: Callable[[Tensor], None]) -> None:
        self.function = function

    def __call__(self, g: Tensor) -> None:
        """The gradient goes on as it is."""


def _call_after(leaf: Tensor) -> None:
    for hook in list((leaf.hooks or {}).values()):
        if isinstance(hook, _After):
            hook.function(leaf)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Call `hook(leaf)` when `backward` has added to the leaf's `.grad`: the place for an
    optimizer's step that frees each gradient at once. Raises GradientError for what is no leaf.
    """
    if not self.tracked or self.node is not None:
        raise GradientError(
            "register_post_accumulate_grad_hook",
            "only leaves that require a gradient accumulate it",
            input=type_of(self),
            hint="register_hook for a tensor that was computed",
        )
    handle = register_hook(self, _After(hook))
    _After.there += 1
    left = [handle.remove]

    def take_away() -> None:
        while left:
            left.pop()()
            _After.there -= 1

    return HookHandle(take_away)


class _Hook:
    """One registration of a function, so that the same function can be registered twice."""

    def __init__(self, function: Callable[[Tensor], Tensor | None]) -> None:
        self.function = function

    def __call__(self, g: Tensor) -> Tensor | None:
        return self.function(g)


class _Keep:
    """The hook of `retain_grad`: it comes after all others, and does not keep its tensor alive."""

    def __init__(self, x: Tensor) -> None:
        self.x = weakref.ref(x)

    def __call__(self, g: Tensor) -> None:
        x = self.x()
        if x is not None:
            kept = clone(g) if mode.grad else wrap(g.array.copy())
            set_grad(x, kept if x.leaf_grad is None else add(_kept(x), kept))


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is not a leaf in its `.grad` too."""
    if not current(self).tracked:
        raise GradientError(
            "retain_grad",
            "this tensor does not require a gradient",
            input=type_of(self),
            hint="x.requires_grad_()",
        )
    if self.node is not None and not retains_grad(self):
        self.node.hooks = self.node.hooks or []
        self.node.hooks.append(_Keep(self))


def retains_grad(self: Tensor) -> bool:
    """Whether retain_grad was called on this tensor."""
    hooks = (self.node.hooks if self.node is not None else None) or ()
    return any(isinstance(h, _Keep) and h.x() is self for h in hooks)


def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of this tensor to `.grad` of the leaves. See `autograd.backward`."""
    if inputs is None and not create_graph and not _After.there:
        gradient = start_gradient(self, gradient, "backward")
        if walk_to_leaves(self, gradient, retain_graph is True):
            return
    backward(self, gradient, retain_graph, create_graph, inputs)


def grad_fn(self: Tensor) -> Any:
    """The node that made the tensor, as programs see it; None for a leaf."""
    if current(self).node is None:
        return None
    return importlib.import_module(GRAD_FN).grad_fn_of(self)


attach("grad_fn", property(grad_fn))
attach(
    "grad", property(grad_of, assign_grad, doc="The gradient of a leaf; None before backward().")
)
attach("backward", tensor_backward)
attach("register_hook", register_hook)
attach("register_post_accumulate_grad_hook", register_post_accumulate_grad_hook)
attach("retain_grad", retain_grad)
attach("retains_grad", property(retains_grad))
