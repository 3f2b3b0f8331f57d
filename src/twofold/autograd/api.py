"""What users call for gradients: backward, grad, the modes, hooks. Floor 8."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

from twofold.autograd.walk import Anomaly, start_gradient, target_of, walk
from twofold.base.errors import ArgumentError, GradientError
from twofold.ops.bind import mode, set_grad
from twofold.ops.elementwise import add
from twofold.ops.methods import attach
from twofold.ops.tensor import Tensor, type_of, wrap

Tensors = Tensor | Sequence[Tensor]


def _sequence(value: Any) -> tuple[Any, ...]:
    if value is None or isinstance(value, Tensor):
        return (value,)
    return tuple(value)


def _roots(tensors: Tensors, gradients: Any, op: str) -> list[tuple[Tensor, Tensor]]:
    outputs = _sequence(tensors)
    given = (None,) * len(outputs) if gradients is None else _sequence(gradients)
    if len(given) != len(outputs):
        raise ArgumentError(op, f"{len(outputs)} outputs and {len(given)} gradients")
    return [(x, start_gradient(x, g, op)) for x, g in zip(outputs, given, strict=True)]


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
    roots = _roots(tensors, grad_tensors, "backward")
    retain = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else _sequence(inputs)
    wanted = None if targets is None else list(map(target_of, targets))
    found = walk(roots, wanted, create_graph=create_graph, retain_graph=retain)
    for x in found.leaves if targets is None else targets:
        accumulate(x, found.of(x), create_graph)


def accumulate(x: Tensor, g: Tensor | None, create_graph: bool) -> None:
    """x.grad += g, as a new tensor: nobody's alias of the old gradient changes."""
    if g is None:
        return
    if x.grad is not None:
        before = set_grad(create_graph)
        g = add(x.grad, g)
        set_grad(before)
    elif not create_graph:
        g = wrap(g.array)
    x.grad = g


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` by `inputs`, as a tuple; `.grad` is left alone.

    Raises GradientError for an input that the outputs do not depend on, unless allow_unused.
    """
    roots = _roots(outputs, grad_outputs, "grad")
    targets = _sequence(inputs)
    for x in targets:
        if not x.tracked:
            raise GradientError(
                "grad",
                "an input does not require a gradient",
                input=type_of(x),
                hint="x.requires_grad_() before the outputs are computed",
            )
    retain = create_graph if retain_graph is None else retain_graph
    found = walk(roots, list(map(target_of, targets)), create_graph=create_graph, retain_graph=retain)
    made = tuple(map(found.of, targets))
    if materialize_grads:
        return tuple(wrap(x.array * 0) if g is None else g for x, g in zip(targets, made, strict=True))
    missing = [i for i, g in enumerate(made) if g is None]
    if missing and not allow_unused:
        raise GradientError(
            "grad",
            f"the outputs do not depend on input {missing[0]}",
            hint="allow_unused=True gives None for it",
        )
    return made


class _Switch(contextlib.ContextDecorator):
    """A mode as a context manager and as a decorator."""

    enabled = True

    def __enter__(self) -> None:
        self.before = set_grad(self.enabled)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)

    def _recreate_cm(self) -> _Switch:
        return type(self)()

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        made = super().__new__(cls)
        return made(function) if callable(function) else made


class no_grad(_Switch):  # noqa: N801 (PyTorch's name)
    """Nothing in the block (or the decorated function) is recorded for gradients."""

    enabled = False


class enable_grad(_Switch):  # noqa: N801
    """Recording inside a no_grad block."""

    enabled = True


class inference_mode(_Switch):  # noqa: N801
    """no_grad, under PyTorch's name for serving code; `inference_mode(False)` changes nothing."""

    enabled = False

    def __new__(cls, argument: Any = None) -> Any:
        made = super().__new__(cls, argument if callable(argument) else None)
        if argument is False:
            made.enabled = mode.grad
        return made

    def __init__(self, argument: Any = None) -> None:
        pass


class set_grad_enabled(contextlib.ContextDecorator):  # noqa: N801
    """Switch recording on or off: at once, and back again if used as a context manager."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = bool(enabled)
        self.before = set_grad(self.enabled)

    def __enter__(self) -> None:
        set_grad(self.enabled)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded now."""
    return mode.grad


class detect_anomaly(contextlib.ContextDecorator):  # noqa: N801
    """In the block, a gradient that is NaN raises an error naming the forward line that it belongs to."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def __enter__(self) -> None:
        self.before, Anomaly.enabled = Anomaly.enabled, self.check_nan

    def __exit__(self, *_: object) -> None:
        Anomaly.enabled = self.before


class set_detect_anomaly(detect_anomaly):  # noqa: N801
    """The same, at once."""

    def __init__(self, enabled: bool, check_nan: bool = True) -> None:
        super().__init__(enabled and check_nan)
        self.__enter__()


class HookHandle:
    """`remove()` takes a hook away."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self.remove = remove

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Call `hook(gradient)` when this tensor's gradient is known; what it returns replaces the gradient."""
    if not self.tracked:
        raise GradientError("register_hook", "this tensor does not require a gradient", input=type_of(self))
    if self.node is not None:
        self.node.hooks = self.node.hooks or []
        hooks = self.node.hooks
        hooks.append(hook)
        return HookHandle(functools.partial(_discard, hooks, hook))
    self.hooks = self.hooks or {}
    key = max(self.hooks, default=0) + 1
    self.hooks[key] = hook
    return HookHandle(functools.partial(self.hooks.pop, key, None))


def _discard(hooks: list[Any], hook: Any) -> None:
    if hook in hooks:
        hooks.remove(hook)


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is not a leaf in its `.grad` too."""
    if self.node is None:
        if not self.tracked:
            raise GradientError("retain_grad", "this tensor does not require a gradient", input=type_of(self))
        return
    register_hook(self, functools.partial(_keep, self))


def _keep(x: Tensor, g: Tensor) -> None:
    x.grad = g if x.grad is None else add(x.grad, g)


def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of this tensor to `.grad` of the leaves. See `autograd.backward`."""
    backward(self, gradient, retain_graph, create_graph, inputs)


attach("backward", tensor_backward)
attach("register_hook", register_hook)
attach("retain_grad", retain_grad)