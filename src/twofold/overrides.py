"""Functions taken over by the classes of their arguments: `__torch_function__`. Floor 11.

    class Logged(twofold.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            print(func.__name__)
            return super().__torch_function__(func, types, args, kwargs)

A program that overrides nothing pays nothing: functions and methods are as they were until the
first subclass of Tensor is made, a mode is entered, or this module is imported (which is how
classes that are no tensors are told of). Then `install` puts a wrapper before each public function;
methods and operators are put on the subclasses, and on Tensor itself while a mode is in force.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.exec import tensors as tier
from twofold.nn.buffer import Buffer
from twofold.ops.methods import Asked
from twofold.ops.tensor import Parameter, Tensor, blank

__all__ = [
    "BaseTorchFunctionMode",
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "TorchFunctionMode",
    "get_overridable_functions",
    "handle_torch_function",
    "has_torch_function",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "wrap_torch_function",
]

# Modules whose public functions can be taken over, and the folder whose files call them by names
# of their own.
PUBLIC = ("", ".nn.functional", ".linalg", ".fft", ".special", ".nn.init")
LAYERS = "twofold.nn."
# What makes no tensor of one, or is about the program and not about tensors.
NOT_ASKED = """
as_torch callback compile cond debug explain export from_dlpack from_numpy get_default_device
get_default_dtype get_num_threads get_rng_state initial_seed is_grad_enabled is_storage is_tensor
iinfo finfo load load_torch manual_seed nan_watch open_graph print profile promote_types save scan
script seed set_default_device set_default_dtype set_default_tensor_type set_num_threads
set_printoptions set_rng_state typename vmap while_loop gradients placeholder can_cast result_type
is_floating_point broadcast_shapes
"""
LEFT = frozenset(NOT_ASKED.split())
OPERATORS = """
add sub mul truediv floordiv mod pow matmul and or xor lshift rshift
"""
UNTURNED = "neg pos abs invert eq ne lt le gt ge getitem setitem"
DUNDERS = frozenset(
    [f"__{side}{name}__" for name in OPERATORS.split() for side in ("", "r", "i")]
    + [f"__{name}__" for name in UNTURNED.split()]
    + ["__len__", "__bool__", "__float__", "__int__", "__contains__"]
)
# Operators that are said to be methods, those with turned operands too where that is the same.
NAMED = "add sub mul matmul pow neg abs eq ne lt le gt ge"
SAID = {f"__{name}__": name for name in NAMED.split()}
SAID |= {"__radd__": "add", "__rmul__": "mul", "__truediv__": "div", "__floordiv__": "floor_divide"}
SAID |= {"__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_"}
UNASKED = ("as_subclass",)  # a method for which no class is asked: how one gets out of a class
VIEWS = ("T", "mT", "H", "mH", "real", "imag", "data")  # properties that give tensors


class _State(threading.local):
    """What is in force in this thread."""

    modes: tuple[TorchFunctionMode, ...] = ()
    no_classes = False  # classes are not asked
    nobody = False  # nor are modes


_state = _State()


class _block:
    """A block in which some are not asked."""

    names: tuple[str, ...] = ()

    def __enter__(self) -> None:
        self.before = [getattr(_state, name) for name in self.names]
        for name in self.names:
            setattr(_state, name, True)

    def __exit__(self, *_: object) -> None:
        for name, value in zip(self.names, self.before, strict=True):
            setattr(_state, name, value)


class DisableTorchFunctionSubclass(_block):
    """In the block, no class takes a function over; modes do."""

    names = ("no_classes",)


class DisableTorchFunction(_block):
    """In the block, neither classes nor modes take a function over."""

    names = ("no_classes", "nobody")


# ---- what a class says ---------------------------------------------------------------------------


def _of_tensor(
    cls: type, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
) -> Any:
    """What Tensor does: run the function on tensors, and give tensors of the class back."""
    if not all(issubclass(cls, kind) for kind in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        made = func(*args, **(kwargs or {}))
    return made if cls is Tensor else _as_class(made, cls)


def _disabled(func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """What a class says that wants plain tensors back, as Parameter does."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


def _as_class(made: Any, cls: type) -> Any:
    """Tensors, in tuples and lists too, as instances of the class."""
    if isinstance(made, Tensor):
        return made if isinstance(made, cls) else as_subclass(made, cls)
    if isinstance(made, (tuple, list)) and type(made) in (tuple, list):
        return type(made)(_as_class(one, cls) for one in made)
    if isinstance(made, tuple) and hasattr(made, "_fields"):
        return type(made)(*(_as_class(one, cls) for one in made))
    return made


KEPT = ("array", "base", "chain", "node", "tracked", "version", "written", "aliases")


def as_subclass(input: Tensor, cls: type) -> Any:
    """The same values, memory and gradient as an instance of a subclass of Tensor.

    Raises ArgumentError for another class.
    """
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise ArgumentError("as_subclass", f"{cls!r} is no subclass of Tensor")
    source = input
    if input.node is None:  # a leaf: what has its memory, and its gradient where it wants one
        with DisableTorchFunction():
            source = Tensor.view_as(input, input)  # type: ignore[attr-defined]
    made = blank(cls)
    for name in KEPT:
        setattr(made, name, getattr(source, name))
    return made


def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:
    """An instance of the class with the memory of `data`, a leaf."""
    made = blank(cls)
    made.array, made.tracked = data.array, bool(require_grad)
    return made


# ---- who is asked --------------------------------------------------------------------------------

_PLAIN = (Tensor, Parameter, Buffer, int, float, bool, str, type(None), complex, slice, type(...))


def _asks(kind: type) -> bool:
    """Whether instances of the class take functions over."""
    found = getattr(kind, "__torch_function__", None)
    return found is not None and getattr(found, "__func__", found) is not _disabled


def _overriding(values: Iterable[Any], found: list[Any], within: bool = False) -> None:
    """Add to `found` one argument of each class that takes functions over, subclasses first."""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is tuple or kind is list:
            if not within:
                _overriding(value, found, True)
        elif _asks(kind) and not any(type(other) is kind for other in found):
            places = [i for i, other in enumerate(found) if issubclass(kind, type(other))]
            found.insert(places[0] if places else len(found), value)


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a mode is in force, or the class of an argument has a `__torch_function__`."""
    if _state.nobody:
        return False
    found: list[Any] = []
    if not _state.no_classes:
        _overriding(relevant_args, found)
    return bool(found or _state.modes)


def has_torch_function_unary(arg: Any) -> bool:
    """has_torch_function((arg,))."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args: Any) -> bool:
    """has_torch_function(args)."""
    return has_torch_function(args)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the mode in force or the arguments' classes make of public_api(*args, **kwargs).

    The mode that was entered last is asked first, then classes: subclasses before their bases,
    left before right. Raises TypeError where all of them give NotImplemented.
    """
    asked: list[Any] = []
    if not _state.no_classes:
        _overriding(relevant_args, asked)
    return _ask(public_api, asked, args, kwargs)


def _ask(function: Any, asked: list[Any], args: Any, kwargs: dict[str, Any]) -> Any:
    kinds = tuple(type(value) for value in asked)
    if _state.modes:
        *below, first = modes = _state.modes
        _state.modes = tuple(below)
        try:
            made = first.__torch_function__(function, kinds, args, kwargs)
        finally:
            _state.modes = modes
        if made is not NotImplemented:
            return made
    for value in asked:
        made = value.__torch_function__(function, kinds, args, kwargs)
        if made is not NotImplemented:
            return made
    names = [kind.__name__ for kind in kinds]
    names += [type(mode).__name__ for mode in _state.modes[-1:]]
    raise TypeError(
        f"no __torch_function__ takes {resolve_name(function)}: {', '.join(names)} gave "
        "NotImplemented"
    )


def _overridable(
    function: Callable[..., Any], public: Callable[[], Any] | None = None
) -> Callable[..., Any]:
    """A function that asks its arguments' classes first; they are given `public()`, or itself."""

    inside = [function]  # another one where machine code comes or goes

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        state = _state
        if state.nobody:
            return inside[0](*args, **kwargs)
        asked: list[Any] = []
        if not state.no_classes:
            _overriding(args, asked)
            if kwargs:
                _overriding(kwargs.values(), asked)
        if not asked and not state.modes:
            return inside[0](*args, **kwargs)
        return _ask(called if public is None else public(), asked, args, kwargs)

    called.__twofold_inside__ = inside  # type: ignore[attr-defined]
    return called


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[..., Any]:
    """A decorator for functions of one's own that can be taken over: dispatcher(*args, **kwargs)
    gives the arguments whose classes are asked.
    """

    def inner(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return inner


# ---- wrappers in place ---------------------------------------------------------------------------

_covered: dict[int, tuple[Any, Any]] = {}  # by id of a function: it, and its wrapper
_placed: list[tuple[Any, str, Any]] = []  # modules, names, and the wrapper that is there


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and "__twofold_inside__" in vars(value)


def install() -> None:
    """Put a wrapper before every public function, and before those that layers call; once."""
    if _placed:
        return
    for ending in PUBLIC:
        module = importlib.import_module("twofold" + ending)
        late = getattr(module, "_LATE_NAMES", {})
        inside = ("twofold.ops.", "twofold.nn.", "twofold.array_api.")
        for name in [name for name, file in late.items() if file.startswith(inside)]:
            getattr(module, name)
        for name, value in list(vars(module).items()):
            if not name.startswith("_") and name not in LEFT and _is_function(value):
                if id(value) not in _covered:
                    made = _overridable(value)
                    made.__module__, made.__qualname__ = module.__name__, name  # for pickle
                    _covered[id(value)] = value, made
                _place(module, name, _covered[id(value)][1])
    for file, module in list(sys.modules.items()):
        for name, value in list(vars(module).items()) if file.startswith(LAYERS) else ():
            if id(value) in _covered and _covered[id(value)][0] is value:
                _place(module, name, _covered[id(value)][1])
    _name_methods()
    Asked.functions[:] = [handle_torch_function]
    tier.watchers.append(_again)


def _name_methods() -> None:
    """Call methods as they are found, which programs print: `func.__name__`."""
    for name, value in _methods():
        if isinstance(value, types.FunctionType) and not hasattr(Tensor, value.__name__):
            value.__name__ = name


def _place(module: Any, name: str, wrapper: Any) -> None:
    setattr(module, name, wrapper)
    _placed.append((module, name, wrapper))


def _is_function(value: Any) -> bool:
    if not isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return False
    module = getattr(value, "__module__", None) or "twofold"
    return module.split(".")[0] == "twofold" and not _is_wrapper(value)


def _again(_: Any) -> None:
    """Machine code was put before functions, or taken away: the wrappers go before what is there
    now.
    """
    for module, name, wrapper in _placed:
        found = getattr(module, name)
        if found is not wrapper and _is_function(found):
            wrapper.__twofold_inside__[0] = found
            setattr(module, name, wrapper)
    _name_methods()


def _methods() -> Iterator[tuple[str, Any]]:
    """The methods, operators and properties of Tensor that can be taken over."""
    for name, value in list(vars(Tensor).items()):
        if name in UNASKED:
            continue
        if name in VIEWS and isinstance(value, property):
            yield name, value
        elif name.startswith("__"):
            if name in DUNDERS and callable(value):
                yield name, value
        elif isinstance(value, (types.FunctionType, types.BuiltinFunctionType)) or (
            type(value).__name__ in ("method_descriptor", "instancemethod")
        ):
            yield name, value


def _fronted(name: str, value: Any) -> Any:
    if isinstance(value, property):
        front = _overridable(value.fget, lambda: vars(Tensor)[name].__get__)  # type: ignore[arg-type]
        return property(front, value.fset, doc=value.__doc__)
    return _overridable(value, lambda: _method_of(name))


def _method_of(name: str) -> Any:
    """What is said to be called by a method or an operator, as PyTorch says it."""
    return getattr(Tensor, SAID.get(name, name))


def prepare(cls: type) -> None:
    """Let a subclass of Tensor take methods and operators over, unless it says that it does not."""
    keep_apart(cls)
    if not _asks(cls):
        return
    install()
    own = vars(cls).get("_twofold_fronts", {})
    for name, value in _methods():
        found = next(c for c in cls.__mro__ if name in vars(c) and not _injected(c, name))
        if found is Tensor:
            if not any(_injected(c, name) for c in cls.__mro__):
                own[name] = _fronted(name, value)
        elif found is not cls and any(_injected(c, name) for c in cls.__mro__):
            own[name] = vars(found)[name]
    for name, value in own.items():
        setattr(cls, name, value)
    cls._twofold_fronts = own  # type: ignore[attr-defined]


def _injected(cls: type, name: str) -> bool:
    return name in vars(cls).get("_twofold_fronts", ())


class Apart:
    """A class's own attribute under a name by which Tensor keeps something else of its own.

    The class's methods and its users get and set theirs; files of Twofold get and set the tensor's.
    """

    __slots__ = ("name", "ours", "theirs")

    def __init__(self, name: str, theirs: Any) -> None:
        self.name, self.ours, self.theirs = name, vars(Tensor)[name], theirs

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and _asked_by_twofold():
            return self.ours.__get__(instance, owner)
        if instance is not None and not hasattr(type(self.theirs), "__set__"):
            own = instance.__dict__
            if self.name in own:
                return own[self.name]
        bind = getattr(type(self.theirs), "__get__", None)
        return self.theirs if bind is None else bind(self.theirs, instance, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        if _asked_by_twofold():
            self.ours.__set__(instance, value)
        elif hasattr(type(self.theirs), "__set__"):
            type(self.theirs).__set__(self.theirs, instance, value)
        else:
            instance.__dict__[self.name] = value


def _asked_by_twofold() -> bool:
    """Whether the file that gets or sets an attribute is one of this package."""
    name: str = sys._getframe(2).f_globals.get("__name__", "")
    return name[:8] in ("twofold.", "twofold")


def keep_apart(cls: type) -> None:
    """Let a class have attributes under the names of Tensor's slots: `array`, `base`, `node` ..."""
    for name in Tensor.__slots__:
        found = next(vars(c)[name] for c in cls.__mro__ if name in vars(c))
        if name[0] != "_" and found is not vars(Tensor)[name] and not isinstance(found, Apart):
            setattr(cls, name, Apart(name, found))


# ---- modes ---------------------------------------------------------------------------------------


class TorchFunctionMode:
    """A block in which every function and method goes to `__torch_function__` first.

    A subclass defines __torch_function__(self, func, types, args=(), kwargs=None); while it runs
    the mode is not in force. Methods of plain tensors are slower in the block, not outside.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        problem = "a mode defines __torch_function__"
        raise ArgumentError(type(self).__name__, problem, hint="BaseTorchFunctionMode runs all")

    def __enter__(self) -> Any:
        with _turn:
            _entered[0] += 1
            if _entered[0] == 1:
                _take_tensor()
        _state.modes = (*_state.modes, self)
        return self

    def __exit__(self, *_: object) -> None:
        _state.modes = _state.modes[:-1]
        with _turn:
            _entered[0] -= 1
            if not _entered[0]:
                _give_tensor()


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that runs every function as it is."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


_turn = threading.Lock()
_entered = [0]  # modes, of all threads
_taken: dict[str, Any] = {}  # Tensor's own methods while there are modes
_had_tier = [False]


def _take_tensor() -> None:
    install()
    _had_tier[0] = tier.installed()
    if _had_tier[0]:
        tier.remove()
    _taken.update(_methods())
    for name, value in _taken.items():
        setattr(Tensor, name, _fronted(name, value))


def _give_tensor() -> None:
    for name, value in _taken.items():
        setattr(Tensor, name, value)
    _taken.clear()
    if _had_tier[0]:
        tier.install()


# ---- questions -----------------------------------------------------------------------------------


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor, or its class takes functions over."""
    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """The functions that can be taken over, by the module or class that has them."""
    install()
    found: dict[Any, list[Callable[..., Any]]] = {}
    for ending in PUBLIC:
        module = sys.modules["twofold" + ending]
        found[module] = [value for value in vars(module).values() if _is_wrapper(value)]
    found[Tensor] = [value for _, value in _methods() if not isinstance(value, property)]
    return found


def get_ignored_functions() -> set[Callable[..., Any]]:
    """Public functions that are never taken over."""
    top = sys.modules["twofold"]
    return {getattr(top, name) for name in LEFT if hasattr(top, name)}


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether a function is a method of Tensor, or reads one of its properties."""
    if getattr(func, "__name__", None) == "__get__":
        return True
    return any(func is value for _, value in _methods())


def resolve_name(f: Any) -> str | None:
    """A name for a function that can be taken over: "twofold.add", "twofold.Tensor.add"."""
    for ending in PUBLIC:
        module = sys.modules.get("twofold" + ending)
        for name, value in vars(module).items() if module else ():
            if value is f:
                return f"twofold{ending}.{name}"
    for name, value in _methods():
        if value is f or (isinstance(value, property) and value.__get__ == f):
            return f"twofold.Tensor.{name}" + (".__get__" if isinstance(value, property) else "")
    return getattr(f, "__name__", None)


@contextlib.contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """In the block, classes and modes are asked again, inside of what they do."""
    before = _state.no_classes, _state.nobody
    _state.no_classes = _state.nobody = False
    try:
        yield
    finally:
        _state.no_classes, _state.nobody = before


Tensor.__torch_function__ = classmethod(_of_tensor)  # type: ignore[attr-defined]
for _kind in (Parameter, Buffer):
    _kind.__torch_function__ = staticmethod(_disabled)  # type: ignore[union-attr]
_disabled_torch_function_impl = _disabled
Tensor._make_subclass = staticmethod(_make_subclass)  # type: ignore[attr-defined]
install()
