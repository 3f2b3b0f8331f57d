"""Operations of a user's own, registered by name, as torch.library's. Floor 11.

    @custom_op("mylib::twice", mutates_args=())
    def twice(x: Tensor) -> Tensor:
        return x * 2

    twice.register_autograd(lambda ctx, g: g * 2)

An operation is a Python function: eagerly it runs as it is, and a compiled function captures what
it does. It is also found as `twofold.ops.mylib.twice`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, final

from twofold.autograd.function import Function
from twofold.autograd.modes import no_grad
from twofold.base.errors import ArgumentError
from twofold.ops.bind import mode
from twofold.ops.tensor import Tensor

__all__ = ["CustomOpDef", "custom_op", "register_autograd", "register_fake", "register_kernel"]

Decorator = Callable[[Callable[..., Any]], Any]


@final
class CustomOpDef:
    """A registered operation: call it as the function that it is made of."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.signature = inspect.signature(function)
        self.record: Any = None
        self.__name__ = name.rpartition("::")[2]
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or self.record is not None:
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        tracked = mode.grad and any(isinstance(x, Tensor) and x.tracked for x in args)
        if self.record is None or not tracked:
            return self.function(*args)
        return self.record.apply(*args)

    default = property(lambda self: self)

    def register_autograd(
        self, backward: Callable[..., Any], *, setup_context: Callable[..., None] | None = None
    ) -> None:
        """Give it a gradient: backward(ctx, *gradients of its results) is those of its arguments;
        setup_context(ctx, inputs, output) keeps what that needs.
        """
        function = self.function

        def forward(*args: Any) -> Any:
            with no_grad():
                return function(*args)

        def keep(ctx: Any, inputs: Any, output: Any) -> None:
            if setup_context is not None:
                setup_context(ctx, inputs, output)

        body = {"forward": forward, "setup_context": keep, "backward": backward}
        self.record = type(
            self.__name__, (Function,), {k: staticmethod(f) for k, f in body.items()}
        )

    def register_fake(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Shapes and types are found by capturing the function itself."""
        return fn

    register_vmap = register_fake

    def register_kernel(self, device_types: Any, fn: Callable[..., Any] | None = None) -> Any:
        """What runs on a kind of device; only the CPU's is used."""

        def take(function: Callable[..., Any]) -> Callable[..., Any]:
            kinds = (device_types,) if isinstance(device_types, str | None) else device_types
            if None in kinds or "cpu" in kinds:
                self.function = function
            return function

        return take if fn is None else take(fn)


_registered: dict[str, CustomOpDef] = {}


def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: Any = (),
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Register an operation "namespace::name". Raises ArgumentError for another form of name."""
    space, mark, own = name.partition("::")
    if not (space.isidentifier() and mark and own.isidentifier()):
        raise ArgumentError("custom_op", f"{name!r} is not a name", hint='"mylib::twice"')

    def take(function: Callable[..., Any]) -> CustomOpDef:
        made = _registered[name] = CustomOpDef(name, function)
        ops: Any = sys.modules["twofold.ops"]
        if not hasattr(ops, space):
            setattr(ops, space, SimpleNamespace())
        if isinstance(getattr(ops, space), SimpleNamespace):
            setattr(getattr(ops, space), own, made)
        return made

    return take if fn is None else take(fn)


def _found(op: Any) -> CustomOpDef:
    found = op if isinstance(op, CustomOpDef) else _registered.get(op)
    if found is None:
        known = ", ".join(_registered) or "none"
        raise ArgumentError("library", f"there is no operation {op!r}", hint=f"there are: {known}")
    return found


def register_autograd(op: Any, backward: Callable[..., Any], /, **options: Any) -> None:
    """CustomOpDef.register_autograd of an operation, or of its name."""
    options.pop("lib", None)
    _found(op).register_autograd(backward, **options)


def register_fake(op: Any, fn: Callable[..., Any] | None = None, /, **_: Any) -> Any:
    """CustomOpDef.register_fake of an operation, or of its name; also as a decorator.

    As a decorator it is told of operations in C++ too, which are not there (`ops.load_library`).
    """
    if fn is None and isinstance(op, str) and op not in _registered:
        return lambda function: function
    found = _found(op)
    return found.register_fake if fn is None else found.register_fake(fn)


def register_kernel(
    op: Any, device_types: Any, fn: Callable[..., Any] | None = None, /, **_: Any
) -> Any:
    """CustomOpDef.register_kernel of an operation, or of its name."""
    return _found(op).register_kernel(device_types, fn)
