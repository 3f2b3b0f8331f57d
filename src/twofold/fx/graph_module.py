"""A module whose forward is written from a graph. Floor 12."""

from __future__ import annotations

import copy
import itertools
import linecache
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.fx.graph import Graph, attribute
from twofold.nn.module import Module
from twofold.ops.tensor import Parameter, Tensor

__all__ = ["GraphModule"]

_numbers = itertools.count()
_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"


class GraphModule(Module):
    """A graph as a module: its parameters and submodules are those that the graph names.

    root: the module that has them, or a dict of them by their dotted names
    Writing `graph`, or `recompile()` after a change of it, writes forward anew; `code` is its text.
    """

    _code: str

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        """Each has a class of its own, as forward is a method of it."""
        kind = type(
            kwargs.get("class_name") or cls.__name__, (cls,), {"__module__": cls.__module__}
        )
        return super().__new__(kind)

    def __init__(
        self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"
    ) -> None:
        super().__init__()
        type(self).__name__ = type(self).__qualname__ = class_name
        self.meta: dict[str, Any] = {}
        targets = [n.target for n in graph.nodes if n.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = root.training
            self.meta.update(root.__dict__.get("meta", {}))
            for target in targets:
                _copy_attr(root, self, target)
        else:
            missing = [target for target in targets if target not in root]
            if missing:
                raise ArgumentError("GraphModule", f"the graph takes {missing[0]!r}, root lacks it")
            for target in sorted(dict.fromkeys(targets), key=lambda name: name.count(".")):
                _assign_attr(root[target], self, target)
        self.graph = graph

    @property
    def graph(self) -> Graph:
        return self.__dict__["_graph"]  # type: ignore[no-any-return]

    @graph.setter
    def graph(self, graph: Graph) -> None:
        self.__dict__["_graph"] = graph
        graph.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        return self._code

    def recompile(self) -> Any:
        """Write forward from the graph as it is now."""
        made = self.graph.python_code("self")
        self.__dict__["_code"] = made.src
        # under a file name of its own, so that tracebacks and inspect show its lines
        file = f"<graph {next(_numbers)} of {type(self).__name__}>"
        linecache.cache[file] = (len(made.src), None, made.src.splitlines(keepends=True), file)
        names = dict(made.globals)
        exec(compile(made.src, file, "exec"), names)
        type(self).forward = names["forward"]  # type: ignore[method-assign]
        return made

    def add_submodule(self, target: str, m: Module) -> bool:
        """Put a module under a dotted name; the modules on the way are made where they lack."""
        *path, name = target.split(".")
        owner: Any = self
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, Module())
            owner = getattr(owner, part)
            if not isinstance(owner, Module):
                return False
        owner.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Take a module out. Whether it was there."""
        path, _, name = target.rpartition(".")
        try:
            owner = attribute(self, path) if path else self
            found = isinstance(getattr(owner, name), Module)
        except AttributeError:
            return False
        if found:
            delattr(owner, name)
        return found

    def delete_all_unused_submodules(self) -> None:
        """Take out the modules that no node calls or reads."""
        used: set[str] = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                parts = node.target.split(".")
                used |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
                if node.op == "call_module":
                    below = self.get_submodule(node.target).named_modules()
                    used |= {f"{node.target}.{name}" for name, _ in below}
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    def print_readable(self, print_output: bool = True, **_: Any) -> str:
        """The class that this module would be, as text."""
        body = self._code.strip().replace("\n", "\n    ")
        text = f"class {type(self).__name__}(nn.Module):\n    {body}\n"
        if print_output:
            print(text)
        return text

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        root = _CodeOnlyModule(copy.deepcopy(_state(self), memo))
        made = GraphModule(root, copy.deepcopy(self.graph), type(self).__name__)
        made.__dict__.update({**root.__dict__, "_graph": made.graph, "_code": made._code})
        return made

    def __copy__(self) -> GraphModule:
        return GraphModule(self, self.graph, type(self).__name__)

    def __str__(self) -> str:
        return f"{super().__str__()}\n\n{self._code}"


class _CodeOnlyModule(Module):
    """What a graph's module holds, without its graph."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__.update(body)


def _state(module: Module) -> dict[str, Any]:
    own = ("_graph", "_code", "forward")
    return {key: value for key, value in module.__dict__.items() if key not in own}


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Let a module have what another has under a dotted name."""
    try:
        value = attribute(from_module, target)
    except AttributeError:
        raise ArgumentError("GraphModule", f"the graph takes {target!r}, root lacks it") from None
    _assign_attr(value, to_module, target)


def _assign_attr(value: Any, to_module: Module, target: str) -> None:
    """Put a value under a dotted name; the modules on the way are made where they lack."""
    *path, name = target.split(".")
    for part in path:
        if not hasattr(to_module, part):
            to_module.add_module(part, Module())
        to_module = getattr(to_module, part)
    if hasattr(to_module, name) and getattr(to_module, name) is value:
        return
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(name, value)
    else:
        setattr(to_module, name, value)
