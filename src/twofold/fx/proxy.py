"""Stand-ins for tensors, which write down what is done to them. Floor 12."""

from __future__ import annotations

import dis
import enum
import operator
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import twofold.overrides  # noqa: F401  from now on functions ask the classes of their arguments
from twofold.base.devices import Device
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError
from twofold.base.layouts import Layout, MemoryFormat
from twofold.fx.graph import PLAIN, Graph
from twofold.fx.node import Node, map_aggregate
from twofold.ops.tensor import Tensor

__all__ = ["Attribute", "GraphAppendingTracer", "Proxy", "TraceError", "TracerBase"]

LEAVES: tuple[type, ...] = (*PLAIN, DType, Device, Layout, MemoryFormat, enum.Enum, type)
LEAVES += (types.FunctionType, types.BuiltinFunctionType)


class TraceError(ArgumentError, ValueError):
    """A stand-in was used where only a value will do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__("symbolic_trace", problem, hint=hint)


class TracerBase:
    """Writes nodes into a graph; `Tracer` knows modules too."""

    graph: Graph
    proxy_buffer_attributes = False
    traced_func_name = "forward"

    def create_node(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node: Node) -> Proxy:
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Proxy:
        """Write a node, and give its stand-in."""
        args = tuple(self.create_arg(arg) for arg in args)
        kwargs = {key: self.create_arg(value) for key, value in kwargs.items()}
        node = self.create_node(kind, target, args, kwargs, name, type_expr)
        return (proxy_factory_fn or self.proxy)(node)

    def create_arg(self, a: Any) -> Any:
        """What stands for a value among the arguments of a node."""
        return map_aggregate(a, self._leaf)

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, Proxy):
            return value.node
        if isinstance(value, (Node, *LEAVES)):
            return value
        name = type(value).__name__
        raise TraceError(
            f"a {name} cannot be an argument of a node", "tensors, containers, numbers"
        )

    def to_bool(self, obj: Proxy) -> bool:
        raise TraceError(
            f"{obj.node} decides what runs, and has no value while a module is traced",
            "twofold.compile, which captures control flow; or a leaf module around it",
        )

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """Unpacking into a known number of names, and nothing else."""
        count = _unpacked(sys._getframe(2))
        if count is None:
            raise TraceError(f"{obj.node} is iterated, and its length is not known", "index it")
        return (obj[index] for index in range(count))

    def keys(self, obj: Proxy) -> Any:
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """Stand-ins for the nodes of a graph that is there already."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph


def _unpacked(frame: types.FrameType) -> int | None:
    """How many names the instruction that runs in a frame unpacks into; None if it is another."""
    for one in dis.get_instructions(frame.f_code):
        if one.offset == frame.f_lasti:
            return one.argval if one.opname == "UNPACK_SEQUENCE" else None
    return None


class Proxy:
    """Stands for a value: what is done to it becomes nodes of its graph."""

    def __init__(self, node: Node, tracer: TracerBase | None = None) -> None:
        self.tracer = tracer or GraphAppendingTracer(node.graph)
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        return self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __getitem__(self, index: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.getitem, (self, index), {})

    def __index__(self) -> int:
        self._value("an index")

    def __int__(self) -> int:
        self._value("int()")

    def __float__(self) -> float:
        self._value("float()")

    def __len__(self) -> int:
        self._value("len()", "fx.wrap('len') at the top of the module, which traces it")

    def _value(
        self, wanted: str, hint: str = "the size of an example, or a leaf module"
    ) -> NoReturn:
        raise TraceError(f"{wanted} takes a value, and {self.node} has none yet", hint)

    def __contains__(self, item: Any) -> bool:
        self._value("in")

    def keys(self) -> Any:
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tracers: list[TracerBase] = []

        def look(value: Any) -> Any:
            if isinstance(value, Proxy):
                tracers.append(value.tracer)
            return value

        map_aggregate((args, kwargs), look)
        name = getattr(func, "__name__", "")
        if name == "einsum" and len(args) == 2 and isinstance(args[1], (list, tuple)):
            args = (args[0], *args[1])  # PyTorch's own second call of it
        if getattr(Tensor, name, None) is func:
            return tracers[0].create_proxy("call_method", name, args, kwargs)
        return tracers[0].create_proxy("call_function", func, args, kwargs)


class Attribute(Proxy):
    """An attribute of a stand-in: a method where it is called, a node where it is not."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            made = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {})
            self._node = made.node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _operator(name: str, turned: bool) -> Callable[..., Proxy]:
    """The method of an operator, with the stand-in on its left or, turned, on its right."""
    function = getattr(operator, name)

    def method(self: Proxy, *rest: Any) -> Proxy:
        args = (*rest, self) if turned else (self, *rest)
        return self.tracer.create_proxy("call_function", function, args, {})

    return method


BOTH = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"]
BOTH += ["lshift", "rshift", "and_", "or_", "xor"]
ONE = ["neg", "pos", "invert", "abs", "eq", "ne", "lt", "le", "gt", "ge", "getitem", "setitem"]
for _name in BOTH:
    _plain = _name.rstrip("_")
    setattr(Proxy, f"__{_plain}__", _operator(_name, False))
    setattr(Proxy, f"__r{_plain}__", _operator(_name, True))
for _name in ONE:
    setattr(Proxy, f"__{_name}__", _operator(_name, False))
Proxy.__hash__ = object.__hash__  # type: ignore[method-assign]
