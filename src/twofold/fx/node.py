"""One step of a graph: what is called, with what, and who uses what comes of it. Floor 12."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, final

from twofold.base.errors import ArgumentError

if TYPE_CHECKING:  # a graph makes nodes: an import that runs would be a circle
    from twofold.fx.graph import Graph

__all__ = ["Argument", "Node", "Target", "has_side_effect", "map_aggregate", "map_arg"]

Target = Callable[..., Any] | str
Argument = Any

OPS = ("placeholder", "get_attr", "call_function", "call_method", "call_module", "output", "root")
# Functions that are called for what they do: their steps stay though nobody uses the result.
IMPURE: set[Any] = set()


def has_side_effect(function: Any) -> Any:
    """Keep the calls of this function where unused steps are removed; a decorator."""
    IMPURE.add(function)
    return function


def map_aggregate(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same tuples, lists, dicts and slices, with every leaf changed."""
    if isinstance(value, tuple):
        parts = [map_aggregate(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [map_aggregate(part, change) for part in value]
    if isinstance(value, dict):
        return {key: map_aggregate(part, change) for key, part in value.items()}
    if isinstance(value, slice):
        ends = (value.start, value.stop, value.step)
        return slice(*(map_aggregate(end, change) for end in ends))
    return change(value)


def map_arg(value: Any, change: Callable[[Node], Any]) -> Any:
    """The same arguments, with every node changed and all else as it is."""
    return map_aggregate(value, lambda leaf: change(leaf) if isinstance(leaf, Node) else leaf)


@final
class Node:
    """A step. `op` says how to read `target`:

    placeholder    an argument of forward, by name; args may hold its default
    get_attr       an attribute of the module, by its dotted name
    call_function  a function, called with args and kwargs
    call_method    a method by name, of args[0]
    call_module    a submodule by its dotted name
    output         what forward returns: args[0]
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        op: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        return_type: Any = None,
    ) -> None:
        if op not in OPS:
            raise ArgumentError("Node", f"there is no op {op!r}", hint=", ".join(OPS[:-1]))
        if op == "call_function" and not callable(target):
            raise ArgumentError("Node", f"call_function of {target!r}, which cannot be called")
        if op in ("get_attr", "call_method", "call_module") and not isinstance(target, str):
            raise ArgumentError("Node", f"the target of {op} is a name, not {target!r}")
        self.graph, self.name, self.op, self.target = graph, name, op, target
        self.type = return_type
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._input_nodes: dict[Node, None] = {}
        self._erased = False
        self._prev = self._next = self
        self._set(args, kwargs)

    # ---- arguments -------------------------------------------------------------------------------

    @property
    def args(self) -> tuple[Any, ...]:
        return self._args

    @args.setter
    def args(self, args: tuple[Any, ...]) -> None:
        self._set(tuple(args), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Any]) -> None:
        self._set(self._args, dict(kwargs))

    def _set(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for before in self._input_nodes:
            before.users.pop(self, None)
        self._input_nodes = {}
        self._args, self._kwargs = args, kwargs
        map_arg((args, kwargs), self._use)

    def _use(self, node: Node) -> Node:
        self._input_nodes[node] = None
        node.users[self] = None
        return node

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes that this one uses, once each, in order."""
        return list(self._input_nodes)

    def update_arg(self, index: int, value: Any) -> None:
        args = list(self._args)
        args[index] = value
        self.args = tuple(args)

    def insert_arg(self, index: int, value: Any) -> None:
        self.args = (*self._args[:index], value, *self._args[index:])

    def update_kwarg(self, key: str, value: Any) -> None:
        self.kwargs = {**self._kwargs, key: value}

    def replace_input_with(self, old: Node, new: Node) -> None:
        change = lambda node: new if node is old else node  # noqa: E731
        self._set(map_arg(self._args, change), map_arg(self._kwargs, change))

    def replace_all_uses_with(
        self,
        new: Node,
        delete_user_cb: Callable[[Node], bool] = lambda user: True,
        *,
        propagate_meta: bool = False,
    ) -> list[Node]:
        """Let the users of this node use another. Gives those that were changed."""
        if propagate_meta:
            new.meta.update(self.meta)
        changed = [user for user in self.users if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, new)
        return changed

    # ---- place -----------------------------------------------------------------------------------

    @property
    def next(self) -> Node:
        return self._next

    @property
    def prev(self) -> Node:
        return self._prev

    def prepend(self, node: Node) -> None:
        """Move a node to right before this one."""
        if node.graph is not self.graph:
            raise ArgumentError("prepend", f"{node} is of another graph")
        if node is self:
            return
        node._unlink()
        before = self._prev
        before._next, node._prev = node, before
        node._next, self._prev = self, node

    def append(self, node: Node) -> None:
        """Move a node to right behind this one."""
        self._next.prepend(node)

    def _unlink(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    # ---- looks -----------------------------------------------------------------------------------

    @property
    def stack_trace(self) -> str | None:
        return self.meta.get("stack_trace")

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it stays though nobody uses it."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_method":
            name = str(self.target)
            return name.endswith("_") and not name.endswith("__")
        if self.op == "call_function":
            name = getattr(self.target, "__name__", "")
            writes = name.endswith("_") and not name.startswith("_")
            return self.target in IMPURE or writes or name in ("setitem", "_assert")
        if self.op == "call_module" and self.graph.owning_module is not None:
            module = self.graph.owning_module.get_submodule(self.target)
            return bool(getattr(module, "_is_impure", False))
        return False

    def format_node(self) -> str:
        """A line of the graph's text."""
        head = f"%{self.name} : [num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            default = f"(default={self._args[0]!r})" if self._args else ""
            return f"{head}[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"{head}[target={self.target}]"
        if self.op == "output":
            return f"return {self._args[0]}"
        target = self.target if isinstance(self.target, str) else _told(self.target)
        kwargs = ", ".join(f"{key}: {_shown(value)}" for key, value in self._kwargs.items())
        return f"{head}[target={target}](args = {_shown(self._args)}, kwargs = {{{kwargs}}})"

    def __repr__(self) -> str:
        return self.name


def _shown(value: Any) -> str:
    """Arguments in the graph's text: nodes with a % before their names."""
    if isinstance(value, Node):
        return f"%{value.name}"
    if isinstance(value, tuple):
        parts = ", ".join(map(_shown, value))
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, slice):
        ends = (value.start, value.stop, value.step)
        return f"slice({', '.join(map(_shown, ends))})"
    return str(value)


def _told(function: Any) -> str:
    """The name of a function in the graph's text, its module before it."""
    name = qualified_name(function)
    return name.removeprefix("_") if "." in name else f"builtins.{name}"


def qualified_name(function: Any) -> str:
    """The name under which code finds a function: `twofold.relu`, `_operator.add`, `getattr`."""
    name = function.__name__
    if getattr(builtins, name, None) is function:
        return str(name)
    if getattr(operator, name, None) is function:
        return f"_operator.{name}"
    module = getattr(function, "__module__", None)
    if isinstance(module, ModuleType):
        module = module.__name__
    return f"{module}.{name}" if module else str(name)
