"""Operations of the user's own, with a gradient of the user's own. Floor 8."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twofold.autograd.levels import by_rule, differentiated
from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    ShapeError,
    line_of,
)
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import Code
from twofold.codegen.native.tensor_env import MOST_INPUTS
from twofold.exec import tensors
from twofold.ops.bind import current, item_node, make_node, mode, recording, set_grad
from twofold.ops.elementwise import cast
from twofold.ops.op import ANY, Op
from twofold.ops.tensor import Node, OtherLayout, Tensor, root_of, type_of, wrap
from twofold.ops.writing import adopt
from twofold.runtime import native


class Output(NamedTuple):
    """A saved output: kept by number, since the output's node keeps the context."""

    place: int
    array: Any
    tensor: weakref.ref[Tensor]


Saved = Tensor | OtherLayout | Output | None


class Context:
    """What `forward` leaves for `backward`: saved tensors, and any attribute that is set on it."""

    _materialize = True
    _not_differentiable: tuple[Tensor, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _saved: tuple[Saved, ...] = ()
    _versions: tuple[int, ...] = ()
    _types: tuple[Type | None, ...] = ()
    _node_at: weakref.ref[Node] | None = None

    def __init__(self, name: str, needs_input_grad: tuple[bool, ...]) -> None:
        self._name = name
        self.needs_input_grad = needs_input_grad

    def _node(self) -> Node | None:
        return None if self._node_at is None else self._node_at()

    def save_for_backward(self, *tensors: Tensor | OtherLayout | None) -> None:
        """Keep inputs or outputs, dense or sparse; backward reads them as `ctx.saved_tensors`."""
        self._versions = tuple(map(self._version, tensors))
        self._saved = tensors

    def _version(self, x: Tensor | OtherLayout | None) -> int:
        """The version of what is saved. Raises DTypeError for what is no tensor."""
        if isinstance(x, Tensor):
            return x.version if x.base is None else x.base.version
        if x is None:
            return 0
        if not isinstance(x, OtherLayout):
            raise DTypeError(
                f"{self._name}.save_for_backward",
                f"a {type(x).__name__} is not a tensor",
                hint="ctx.name = value for anything else",
            )
        return _memory(x).version

    def save_for_forward(self, *tensors: Tensor | OtherLayout | None) -> None:
        """Keep what forward mode needs, where nothing is kept for backward already."""
        if not self._saved:
            self.save_for_backward(*tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved. Raises GradientError for a tensor that was written in place since."""
        return tuple(map(self._restored, self._saved, self._versions))

    def _restored(self, saved: Saved, version: int) -> Tensor | OtherLayout | None:
        written = saved.tensor() if isinstance(saved, Output) else saved
        node = self._node()
        if written is not None and _memory(written).version != version:
            raise GradientError(
                f"{self._name}.backward",
                "a tensor kept by save_for_backward was overwritten in place",
                value=type_of(_numbers(written)),
                saved=line_of(None if node is None else node.where),
                overwritten=line_of(_memory(written).written),
                hint="x.clone() before the write",
            )
        if not isinstance(saved, Output):
            return saved
        made = wrap(saved.array)
        if node is not None:
            made.node = item_node(node, saved.place, saved.array) if node.storage is None else node
            made.tracked = True
        return made

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Name outputs that have no gradient."""
        self._not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Name inputs that forward wrote in place; they must be returned."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Gradients of unused outputs arrive as zeros (the default) or, with False, as None."""
        self._materialize = value

    def slopes(self, args: Sequence[Any], found: Sequence[Any]) -> list[Any]:
        """What jvp is given for slopes: zeros, or None, for tensors that do not change."""
        if not self._materialize:
            return list(found)
        return [
            _zeros(type_of(x))
            if t is None and isinstance(x, Tensor) and type_of(x).dtype.kind in "fc"
            else t
            for x, t in zip(args, found, strict=True)
        ]

    def _settle(self, node: Node, made: tuple[Any, ...], outs: tuple[Any, ...]) -> None:
        """Take the outputs as they are given out, and the node behind them."""
        self._node_at = weakref.ref(node)
        if len(outs) > 1:
            self._types = tuple([type_of(x) if isinstance(x, Tensor) else None for x in outs])
        if any([x is out for x in self._saved for out in made]):
            self._saved = tuple([_by_number(x, made, outs) for x in self._saved])
            self._versions = tuple(map(_settled_version, self._saved, self._versions))
        self._not_differentiable = self._dirty = ()

    def _gradients(self, g: Any) -> list[Any]:
        """A gradient for each output, zeros or None where an output was not used."""
        if not isinstance(g, list):
            return [g]
        if not self._materialize:
            return g
        return [
            _zeros(t) if x is None and t is not None else x
            for x, t in zip(g, self._types, strict=True)
        ]


def _numbers(x: Tensor | OtherLayout) -> Tensor:
    """The tensor that holds a tensor's numbers: those of a sparse one are its values."""
    return x._numbers if isinstance(x, OtherLayout) else x


def _memory(x: Tensor | OtherLayout) -> Tensor:
    return root_of(_numbers(x))


def _zeros(t: Type) -> Tensor:
    return wrap(np.zeros(t.shape, t.dtype.numpy))


def _by_number(saved: Any, made: tuple[Any, ...], outs: tuple[Any, ...]) -> Any:
    for index, (x, out) in enumerate(zip(made, outs, strict=True)):
        if saved is x and saved is not None:
            return Output(index, out.array, weakref.ref(out))
    return saved


def _settled_version(saved: Any, version: int) -> int:
    out = saved.tensor() if isinstance(saved, Output) else None
    return version if out is None else root_of(out).version


class Function:
    """Subclass with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; call `apply`.

    >>> class Double(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * 2

    `forward(*args)` with `setup_context(ctx, inputs, output)` is understood too. backward gives one
    gradient (or None) for each argument of forward; written in tensor operations, it can be
    differentiated again.
    """

    forward: Any
    backward: Any
    setup_context: Any = None
    vmap: Any = None  # vmap(info, in_dims, *args): results for all lanes, and their out_dims
    jvp: Any = None  # jvp(ctx, *slopes of the arguments): slopes of the results
    operation: Op

    def __init_subclass__(cls) -> None:
        cls.operation = Op(
            cls.__name__,
            attrs=("places", "count"),
            accepts=ANY,
            vjp=functools.partial(_gradients, cls),
            saved_inputs=(0,),
            saves_out=True,
            residuals=0,
            variadic=True,
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward without recording, and record the function itself. Inside of vmap and jvp the
        rules of these names are asked, where there are any.

        Raises GradientError inside of vmap or jvp where what they run is differentiated, and there
        is no rule: that would pass by `backward`.
        """
        return cls.applied(args)[1]

    @classmethod
    def applied(cls, args: tuple[Any, ...]) -> tuple[Context, Any]:
        """The context that forward left, and its results."""
        made = NotImplemented if mode.interpreter is None else by_rule(cls, args)
        ruled = made is not NotImplemented
        if not ruled and any([isinstance(a, Tensor) and differentiated(a) for a in args]):
            raise GradientError(
                cls.__name__,
                "a function with its own backward is differentiated from outside of a transform",
                hint="tensor operations instead of the Function; jacrev(jacrev(f)) for a Hessian, "
                "vmap outermost: vmap(grad(f)); or a rule of its own (vmap, jvp)",
            )
        if mode.capture is not None:  # in a branch or a body, what stands there for outer tensors
            args = tuple([mode.capture.use((a,))[0] if isinstance(a, Tensor) else a for a in args])
        needs = tuple([isinstance(a, Tensor) and current(a).tracked for a in args])
        context = Context(cls.__name__, needs)
        before = set_grad(False)
        try:
            if cls.setup_context is not None:
                made = made if ruled else cls.forward(*args)
                cls.setup_context(context, args, made)
            elif not ruled:
                made = cls.forward(context, *args)
        finally:
            set_grad(before)
        if not (before and True in needs):
            return context, made
        if ruled and cls.setup_context is None:
            raise GradientError(
                cls.__name__,
                "a function with rules for vmap or jvp is differentiated, and only its forward "
                "knows what backward needs",
                hint="forward(*args), and setup_context(ctx, inputs, output) that saves it",
            )
        if isinstance(made, tuple | list):
            return context, _record(cls, context, args, tuple(made))
        return context, _record(cls, context, args, (made,))[0]


def _gradients(
    cls: type[Function], g: Any, context: Context, *inputs: Any, places: tuple[int, ...], count: int
) -> tuple[Tensor | None, ...]:
    """The rule of a function's node: what the user's backward gives, checked."""
    made = cls.backward(context, *context._gradients(g))
    made = made if isinstance(made, tuple) else (made,)
    name = f"{cls.__name__}.backward"
    if len(made) < count or any(x is not None for x in made[count:]):
        raise ArgumentError(
            name,
            f"{len(made)} gradients for {count} arguments of forward",
            hint="one for each argument, None where there is none",
        )
    found = (made[place] for place in places)
    return tuple(
        gx if gx is None or x is None else _fitting(name, place, gx, x)
        for place, x, gx in zip(places, inputs, found, strict=True)
    )


def _fitting(name: str, place: int, g: Any, x: Any) -> Tensor:
    """The gradient, checked, in its argument's floating type."""
    if not isinstance(g, Tensor):
        raise DTypeError(name, f"gradient {place} is a {type(g).__name__}, not a tensor or None")
    given, wanted = g.array.shape, tuple(x.shape)
    extra = len(given) - len(wanted)
    if extra < 0 or any(n not in (1, m) for n, m in zip(wanted, given[extra:], strict=True)):
        raise ShapeError(
            name,
            f"gradient {place} does not have its argument's shape",
            hint="a gradient of the argument's shape, from backward",
            gradient=type_of(g),
            argument=type_of(x),
        )
    dtype = type_of(x).dtype
    return cast(g, dtype) if g.dtype.kind == dtype.kind == "f" else g


def _record(
    cls: type[Function], context: Context, args: tuple[Any, ...], made: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The outputs with the function's node behind them."""
    places = tuple([i for i, a in enumerate(args) if isinstance(a, Tensor)])
    inputs = args if len(places) == len(args) else tuple([args[i] for i in places])
    if _recorded and _is_plain(context, inputs, made):
        given = (cls.operation, inputs, (places, len(args)), made[0].array, context)
        taped: Any = _recorded[0](*given)
        context._settle(taped.node, made, (taped,))
        return (taped,)
    excluded = [id(x) for x in context._not_differentiable]
    dirty = [id(x) for x in context._dirty]
    outs = tuple([_output(x, inputs, id(x) in dirty) for x in made])
    several = len(outs) > 1
    arrays = tuple([x.array if isinstance(x, Tensor) else np.empty(0) for x in outs])
    out = arrays if several else arrays[0]
    node = make_node(cls.operation, inputs, (places, len(args)), out, context)
    for index, (x, out) in enumerate(zip(made, outs, strict=True)):
        if isinstance(out, Tensor) and id(x) not in excluded and out.array.dtype.kind in "fcV":
            adopt(
                out, item_node(node, index, out.array) if several else node, written=id(x) in dirty
            )
    context._settle(node, made, outs)
    return outs


def _is_plain(context: Context, inputs: tuple[Tensor, ...], made: tuple[Any, ...]) -> bool:
    """Whether machine code may record what forward made: one tensor of its own, and nothing said
    of it.
    """
    x = made[0]
    return (
        len(made) == 1
        and isinstance(x, Tensor)
        and type(x.array) is np.ndarray
        and x.base is None
        and x.array.dtype.kind in "fcV"
        and not (context._dirty or context._not_differentiable)
        and len(inputs) <= MOST_INPUTS
        and mode.made is None
        and not any([x is a for a in inputs])
    )


# recorded(op, inputs, attrs, array, context): the tensor with its node, from machine code.
_recorded: list[Callable[..., Tensor]] = []


def _connect(code: Code | None) -> None:
    _recorded.clear()
    if code is not None:
        _recorded.append(native.builtin("recorded", code.address("tensor_recorded")))


tensors.watchers.append(_connect)


def _output(x: Any, inputs: tuple[Tensor, ...], dirty: bool) -> Any:
    """A tensor to give out: the one that forward made; another one where it made a view, or returns
    an input.
    """
    if not isinstance(x, Tensor) or dirty:
        return x
    shared = x.base is not None or any([x is a for a in inputs])
    out = wrap(x.array)
    if shared:
        out.base = root_of(x)
        out.version = out.base.version
    return out


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a backward that is not written in tensor operations: its gradients have no
    gradients.
    """

    @functools.wraps(backward)
    def once(context: Context, *grads: Any) -> Any:
        with recording(False):
            made = backward(context, *grads)
        if not mode.grad:
            return made
        return tuple(map(_only_once, made if isinstance(made, tuple) else (made,)))

    return once


def _only_once(g: Tensor | None) -> Tensor | None:
    if g is None:
        return None
    source = wrap(g.array)
    source.tracked = True
    return _Once.apply(source)  # type: ignore[no-any-return]


class _Once(Function):
    """A value that depends on others in a way that is not known."""

    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        raise GradientError(
            "backward",
            "a function marked with once_differentiable is differentiated twice",
            hint="write its backward in tensor operations, without the mark",
        )


FunctionCtx = Context
