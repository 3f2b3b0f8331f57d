"""Operations of a user's own, registered by name, as torch.library's. Floor 11.

    @custom_op("mylib::twice", mutates_args=())
    def twice(x: Tensor) -> Tensor:
        return x * 2

    twice.register_autograd(lambda ctx, g: g * 2)

An operation is a Python function: eagerly it runs as it is, and a compiled function captures what
it does. It is also found as `twofold.ops.mylib.twice`.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, final

from twofold.autograd.function import Function
from twofold.autograd.levels import by_rule
from twofold.autograd.modes import no_grad
from twofold.base.errors import ArgumentError, StateError
from twofold.frontends.effects import callback
from twofold.ops.bind import mode
from twofold.ops.tensor import Tensor, type_of

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "opcheck", "register_autograd",
    "register_fake", "register_kernel",
]  # fmt: skip

Decorator = Callable[[Callable[..., Any]], Any]


@final
class CustomOpDef:
    """A registered operation: call it as the function that it is made of."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.signature = inspect.signature(function)
        self.record: Any = None
        self.fake: Callable[..., Any] | None = None
        self.vmap: Callable[..., Any] | None = None
        self.jvp = None
        self.__name__ = name.rpartition("::")[2]
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or self.record is not None:
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        made = NotImplemented if self.vmap is None else by_rule(self, args)
        if made is not NotImplemented:
            return made
        tracked = mode.grad and any(isinstance(x, Tensor) and x.tracked for x in args)
        if self.record is None or not tracked:
            return self._run(*args)
        return self.record.apply(*args)

    def _run(self, *args: Any) -> Any:
        """The function; in a graph what it does, or, where that needs values, a call of it at each
        run, with results as the fake's.
        """
        if mode.capture is None or self.fake is None:
            return self.function(*args)
        try:
            return self.function(*args)
        except Exception:
            tensors = tuple(x for x in args if isinstance(x, Tensor))

            def run(*values: Tensor) -> Any:
                rest = iter(values)
                return self.function(*[next(rest) if isinstance(x, Tensor) else x for x in args])

            run.__name__ = self.__name__
            return callback(run, *tensors, like=self.fake(*args))

    default = property(lambda self: self)

    def register_autograd(
        self, backward: Callable[..., Any], *, setup_context: Callable[..., None] | None = None
    ) -> None:
        """Give it a gradient: backward(ctx, *gradients of its results) is those of its arguments;
        setup_context(ctx, inputs, output) keeps what that needs.
        """
        run = self._run

        def forward(*args: Any) -> Any:
            with no_grad():
                return run(*args)

        def keep(ctx: Any, inputs: Any, output: Any) -> None:
            if setup_context is not None:
                setup_context(ctx, inputs, output)

        body = {"forward": forward, "setup_context": keep, "backward": backward}
        self.record = type(
            self.__name__, (Function,), {k: staticmethod(f) for k, f in body.items()}
        )

    def register_fake(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """What gives tensors of the shapes and types of its results: for graphs, where the function
        itself needs values.
        """
        self.fake = fn
        return fn

    def register_vmap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """What it does with all lanes at once: fn(info, in_dims, *args) gives its results, and
        where their lanes stand. Without it, lanes are those of what the function does.
        """
        self.vmap = fn
        return fn

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


# ---- by schemas ----------------------------------------------------------------------------------

_defaults: dict[str, dict[str, Any]] = {}  # of operations that were defined by a schema
HERE = ("", "CPU", "cpu", "default", "CompositeExplicitAutograd", "CompositeImplicitAutograd")
PLAIN_WORDS = {"None": None, "True": True, "False": False}


def _signature(schema: str) -> tuple[str, dict[str, Any]]:
    """("f", {"x": ..., "k": 2}) of "f(Tensor x, int k=2) -> Tensor"; ... stands for no default."""
    name, mark, rest = schema.partition("(")
    if not mark or "->" not in rest:
        hint = '"twice(Tensor x, int k=2) -> Tensor"'
        raise ArgumentError("library.define", f"{schema!r} is no schema", hint=hint)
    found: dict[str, Any] = {}
    for part in rest.rpartition("->")[0].strip().rstrip(")").split(","):
        words, equals, default = part.strip().partition("=")
        if words in ("", "*"):
            continue
        text = default.strip()
        value = PLAIN_WORDS.get(text)
        if equals and text not in PLAIN_WORDS:
            value = ast.literal_eval(text)
        found[words.split()[-1]] = value if equals else ...
    return name.strip(), found


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Say that there is an operation "namespace::name" with a schema, "(Tensor x) -> Tensor"."""
    _defaults[qualname] = _signature(f"{qualname}{schema}")[1]


def impl(qualname: str, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """Give a defined operation its function, for a kind of device or a dispatch key; those of other
    devices are not kept. Raises StateError for one that was not defined.
    """
    if qualname not in _defaults:
        hint = f'library.define("{qualname}", "(Tensor x) -> Tensor")'
        raise StateError("library.impl", f"{qualname!r} is not defined", hint=hint)

    def take(function: Callable[..., Any]) -> Callable[..., Any]:
        kinds = (types,) if isinstance(types, str) else tuple(types)
        if "Meta" in kinds:
            _kept_fakes[qualname] = function
            if qualname in _registered:
                _registered[qualname].register_fake(function)
        elif any(kind in HERE or kind.startswith("Autograd") for kind in kinds):
            made = custom_op(qualname, _with_defaults(function, _defaults[qualname]))
            made.fake = _kept_fakes.get(qualname)
        return function

    return take if func is None else take(func)


_kept_fakes: dict[str, Callable[..., Any]] = {}


def _with_defaults(function: Callable[..., Any], known: dict[str, Any]) -> Callable[..., Any]:
    """The function with the schema's names and defaults."""

    values = list(known.values())

    def call(*args: Any) -> Any:
        return function(*args, *values[len(args) :])

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, kind, default=inspect.Parameter.empty if v is ... else v)
            for name, v in known.items()
        ]
    )
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


@final
class Library:
    """Operations of a namespace, by schemas: `lib.define("f(Tensor x) -> Tensor")`, then
    `lib.impl("f", function, "CPU")`.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ArgumentError("Library", f"kind {kind!r}", hint='"DEF", "IMPL" or "FRAGMENT"')
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Say that there is this operation; -> its name."""
        name, arguments = _signature(schema)
        _defaults[f"{self.ns}::{name}"] = arguments
        return name

    def impl(
        self, op_name: Any, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False
    ) -> None:
        """Give it its function."""
        name = str(getattr(op_name, "name", op_name)).partition("::")
        impl(f"{self.ns}::{name[2] or name[0]}", dispatch_key or self.dispatch_key, fn)


def opcheck(op: Any, args: tuple[Any, ...], kwargs: Any = None, **_: Any) -> dict[str, str]:
    """Call an operation, and compare its fake's shapes and types with what it gives; -> what was
    looked at. Raises ArgumentError where they differ.
    """
    found, options = _found(op), dict(kwargs or {})
    made = found(*args, **options)
    if found.fake is not None:
        bound = found.signature.bind(*args, **options)
        bound.apply_defaults()
        told = found.fake(*bound.args)
        several = (made, told) if isinstance(made, tuple | list) else ((made,), (told,))
        for real, fake in zip(*several, strict=True):
            if (real.shape, real.dtype) != (fake.shape, fake.dtype):
                problem = f"{found.name} gives {type_of(real)}, its fake {type_of(fake)}"
                raise ArgumentError("opcheck", problem, hint="a fake with the operation's types")
    return dict.fromkeys(
        ("test_schema", "test_autograd_registration", "test_faketensor"), "SUCCESS"
    )


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
    if isinstance(op, str) and op not in _registered and (fn is None or op in _defaults):

        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            _kept_fakes[op] = function
            return function

        return keep if fn is None else keep(fn)
    found = _found(op)
    return found.register_fake if fn is None else found.register_fake(fn)


def register_kernel(
    op: Any, device_types: Any, fn: Callable[..., Any] | None = None, /, **_: Any
) -> Any:
    """CustomOpDef.register_kernel of an operation, or of its name."""
    return _found(op).register_kernel(device_types, fn)


impl_abstract = register_fake  # PyTorch's older name


def register_vmap(op: Any, func: Callable[..., Any] | None = None, /, **_: Any) -> Any:
    """CustomOpDef.register_vmap of an operation, or of its name."""
    found = _found(op)
    return found.register_vmap if func is None else found.register_vmap(func)
