"""A forward that is run once on stand-ins, and the graph that comes of it. Floor 12."""

from __future__ import annotations

import builtins
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.frontends import checks
from twofold.fx.graph import PACKAGE, Graph
from twofold.fx.graph_module import GraphModule
from twofold.fx.node import map_aggregate
from twofold.fx.proxy import Proxy, TraceError, TracerBase
from twofold.nn.container import Sequential
from twofold.nn.module import Module
from twofold.nn.parameter import Parameter
from twofold.ops.tensor import Tensor

__all__ = ["Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]

LAYERS = "twofold.nn."
STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
_wrapped: dict[tuple[int, str], dict[str, Any]] = {}  # global names that are kept whole
_tracing = [0]


def is_fx_tracing() -> bool:
    """Whether a module is being traced now."""
    return bool(_tracing[0])


def wrap(fn_or_name: Any) -> Any:
    """Keep a function of this module whole: its calls become nodes instead of what it does.

    At the top of a module, with the name of a function there or of a built-in one (`wrap("len")`),
    or as a decorator. Raises ArgumentError elsewhere.
    """
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    caller = inspect.currentframe()
    frame = caller.f_back if caller is not None else None
    if frame is None or frame.f_code.co_name != "<module>":
        raise ArgumentError(
            "wrap", "it stands at the top of a module", hint=f"wrap({name!r}) there"
        )
    _wrapped[id(frame.f_globals), name] = frame.f_globals
    return fn_or_name


class Tracer(TracerBase):
    """Traces modules and functions. PyTorch's points to override are here: `is_leaf_module`,
    `call_module`, `create_arg`, `create_proxy`, `path_of_module`, `getattr`.
    """

    def __init__(
        self,
        autowrap_modules: tuple[ModuleType, ...] = (math,),
        autowrap_functions: tuple[Callable[..., Any], ...] = (),
        param_shapes_constant: bool = False,
    ) -> None:
        self.autowrap_modules, self.autowrap_functions = autowrap_modules, autowrap_functions
        self.param_shapes_constant = param_shapes_constant
        self.root: Any = None
        self.graph = Graph()
        self.tensor_attrs: dict[int, str] = {}
        self._parameters: dict[str, Proxy] = {}

    # ---- what programs override ------------------------------------------------------------------

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module is one node: those of `nn` are, but for Sequential."""
        return type(m).__module__.startswith(LAYERS) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        for name, module in self.root.named_modules():
            if module is mod:
                return str(name)
        raise TraceError(
            f"a {type(mod).__name__} is called that is not part of the module that is traced",
            "give it a name: self.layer = ... in __init__",
        )

    def call_module(
        self,
        m: Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        path = self.path_of_module(m)
        if not self.is_leaf_module(m, path):
            return forward(*args, **kwargs)
        return self.create_proxy("call_module", path, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """What a module gives for an attribute of its own."""
        if isinstance(attr_val, Parameter) and not self.param_shapes_constant:
            return self._proxy_of(attr_val, self.root.named_parameters(), parameter_proxy_cache)
        if self.proxy_buffer_attributes and isinstance(attr_val, Tensor):
            return self._proxy_of(attr_val, self.root.named_buffers(), parameter_proxy_cache)
        return attr_val

    def _proxy_of(self, value: Tensor, named: Iterator[Any], cache: dict[str, Any]) -> Any:
        for name, one in named:
            if one is value:
                if name not in cache:
                    cache[name] = self.create_proxy("get_attr", name, (), {})
                return cache[name]
        return value

    def create_arg(self, a: Any) -> Any:
        return map_aggregate(a, self._argument)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.create_node("get_attr", self._name_of(value), (), {})
        if isinstance(value, Module):
            return self.create_node("get_attr", self.path_of_module(value), (), {})
        return super().create_arg(value)

    def _name_of(self, value: Tensor) -> str:
        """The name under which the module has a tensor; one that it does not have gets one."""
        for name, one in (*self.root.named_parameters(), *self.root.named_buffers()):
            if one is value:
                return str(name)
        if id(value) not in self.tensor_attrs:
            taken = (f"_tensor_constant{number}" for number in range(sys.maxsize))
            name = next(name for name in taken if not hasattr(self.root, name))
            setattr(self.root, name, value)
            self.tensor_attrs[id(value)] = name
        return self.tensor_attrs[id(value)]

    # ---- tracing ---------------------------------------------------------------------------------

    def trace(
        self,
        root: Module | Callable[..., Any],
        concrete_args: dict[str, Any] | None = None,
    ) -> Graph:
        """The graph of a module's forward, or of a function.

        concrete_args: values of arguments that are not stood in for; the graph holds for them alone
        Raises TraceError where a value is needed.
        """
        if isinstance(root, Module):
            self.root = root
            function = getattr(type(root), self.traced_func_name)
        else:
            self.root, function = Module(), root
        self.graph = Graph(tracer_cls=type(self))
        self.tensor_attrs, self._parameters = {}, {}
        with self._stand_ins(function):
            made = self._run(function, isinstance(root, Module), concrete_args or {})
            self.create_node("output", "output", (self.create_arg(made),), {})
        return self.graph

    def _run(self, function: Callable[..., Any], bound: bool, concrete: dict[str, Any]) -> Any:
        """Call the function with stand-ins for what it takes."""
        parameters = list(inspect.signature(function).parameters.values())
        unknown = set(concrete) - {one.name for one in parameters}
        if unknown:
            raise ArgumentError("symbolic_trace", f"forward takes no {', '.join(sorted(unknown))}")
        args: list[Any] = [self.root] if bound else []
        kwargs: dict[str, Any] = {}
        starred: list[Any] = []
        for one in parameters[bound:]:
            value = self._placeholder(one, concrete)
            if one.kind in STARS:
                starred.append(value)
            elif one.kind is one.KEYWORD_ONLY:
                kwargs[one.name] = value
            else:
                args.append(value)
        if starred:  # a stand-in for all of them, where Python would unpack it
            return _without_stars(function)(*args, *kwargs.values(), *starred)
        return function(*args, **kwargs)

    def _placeholder(self, one: inspect.Parameter, concrete: dict[str, Any]) -> Any:
        star = STARS.get(one.kind, "")  # type: ignore[call-overload]
        default = () if one.default is one.empty else (one.default,)
        kind = None if star or one.annotation is one.empty else one.annotation
        kind = None if isinstance(kind, str) else kind
        value = self.create_proxy("placeholder", f"{star}{one.name}", default, {}, type_expr=kind)
        return self._only(value, one.name, concrete[one.name]) if one.name in concrete else value

    def _only(self, proxy: Proxy, name: str, value: Any) -> Any:
        """The value itself; the graph checks that it is given again."""
        if not isinstance(value, (bool, int, float, str, type(None))):
            return value
        problem = f"{name} has been specialized to have value {value} but got another value"
        check = proxy.node.graph.call_function
        same = self.create_proxy("call_function", _is_same, (proxy, value), {})
        check(checks._assert, (same.node, problem))
        return value

    @contextmanager
    def _stand_ins(self, function: Callable[..., Any]) -> Iterator[None]:
        """Modules, and functions that are kept whole, ask this tracer while the block runs."""
        call, find = Module.__call__, Module.__getattr__

        def called(module: Module, *args: Any, **kwargs: Any) -> Any:
            def forward(*args: Any, **kwargs: Any) -> Any:
                return call(module, *args, **kwargs)

            return self.call_module(module, forward, args, kwargs)

        def found(module: Module, name: str) -> Any:
            return self.getattr(name, find(module, name), self._parameters)

        with ExitStack() as stack:
            _put(stack, Module, "__call__", called)
            _put(stack, Module, "__getattr__", found)
            _keep_whole(stack, vars(sys.modules[PACKAGE]), checks._assert.__name__)
            own = getattr(inspect.unwrap(function), "__globals__", {})
            for (_, name), names in list(_wrapped.items()):
                _keep_whole(stack, names, name)
            whole = {id(one) for one in self.autowrap_functions}
            for module in self.autowrap_modules:
                functions = [n for n, f in vars(module).items() if callable(f) and n[:1] != "_"]
                whole |= {id(vars(module)[name]) for name in functions}
                for name in functions:
                    _keep_whole(stack, vars(module), name)
            for name in [name for name, value in own.items() if id(value) in whole]:
                _keep_whole(stack, own, name)
            _tracing[0] += 1
            stack.callback(lambda: _tracing.__setitem__(0, _tracing[0] - 1))
            yield


def _without_stars(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with plain arguments in the place of *args and **kwargs."""
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        raise TraceError(f"{function!r} takes *args or **kwargs", "name its arguments")
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    stars = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    plain = code.replace(
        co_argcount=count,
        co_posonlyargcount=0,
        co_kwonlyargcount=0,
        co_flags=code.co_flags & ~stars,
    )
    return FunctionType(plain, function.__globals__, function.__name__, None, function.__closure__)


def _is_same(value: Any, wanted: Any) -> bool:
    return value is wanted if wanted is None else bool(value == wanted)


def _put(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """An attribute for as long as the stack is open."""
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _keep_whole(stack: ExitStack, names: dict[str, Any], name: str) -> None:
    """Let a global name write nodes where it is called with stand-ins."""
    had = name in names
    function = names[name] if had else getattr(builtins, name, None)
    if function is None or isinstance(function, type) or hasattr(function, "kept_whole"):
        return

    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        found: list[Proxy] = []
        map_aggregate((args, kwargs), lambda a: found.append(a) if isinstance(a, Proxy) else a)
        if not found:
            return function(*args, **kwargs)
        return found[0].tracer.create_proxy("call_function", function, args, kwargs)

    asked.kept_whole = True  # type: ignore[attr-defined]
    stack.callback(names.__setitem__ if had else lambda name, _: names.pop(name), name, function)
    names[name] = asked


def symbolic_trace(
    root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
) -> GraphModule:
    """A module that does what `root` does, with a forward that is written from its graph.

    concrete_args: see `Tracer.trace`
    Raises TraceError where forward needs the value of a tensor, or a size of it.
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)
