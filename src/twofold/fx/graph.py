"""Graphs: steps in order, made, moved and taken out, and written as Python. Floor 12."""

from __future__ import annotations

import builtins
import keyword
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, final

from twofold.base.errors import ArgumentError
from twofold.fx.node import Node, map_arg, qualified_name

__all__ = ["Graph", "PythonCode"]

PACKAGE = "twofold"
INFIX = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "matmul": "@", "lshift": "<<", "rshift": ">>", "and_": "&", "or_": "|", "xor": "^",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
PREFIX = {"neg": "-", "pos": "+", "invert": "~", "not_": "not "}
PLAIN = (str, int, float, complex, bool, bytes, type(None), type(Ellipsis), range)


class PythonCode(NamedTuple):
    """The text of forward, and what its global names stand for."""

    src: str
    globals: dict[str, Any]


@final
class _Names:
    """Names that were not given yet."""

    def __init__(self) -> None:
        self.taken = {PACKAGE, "torch", "self", "inf", "nan", *keyword.kwlist, *dir(builtins)}
        self.counts: dict[str, int] = {}

    def new(self, wanted: str) -> str:
        base = re.sub(r"\W", "_", wanted) or "value"
        base = f"_{base}" if base[0].isdigit() else base
        if base not in self.taken:
            self.taken.add(base)
            return base
        numbered = re.fullmatch(r"(.*)_(\d+)", base)
        if numbered is not None:
            base = numbered[1]
        number = self.counts.get(base, 0) + 1
        while f"{base}_{number}" in self.taken:
            number += 1
        self.counts[base] = number
        self.taken.add(f"{base}_{number}")
        return f"{base}_{number}"


@final
class _Nodes:
    """The nodes of a graph in order; nodes may be taken out and put in while they are walked."""

    def __init__(self, graph: Graph, backwards: bool = False) -> None:
        self.graph, self.backwards = graph, backwards

    def __iter__(self) -> Iterator[Node]:
        root = self.graph._root
        node = root._prev if self.backwards else root._next
        while node is not root:
            if not node._erased:
                yield node
            node = node._prev if self.backwards else node._next

    def __reversed__(self) -> _Nodes:
        return _Nodes(self.graph, not self.backwards)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@final
class _Inserting:
    """A block in which new nodes are put somewhere else than at the end."""

    def __init__(self, graph: Graph, put: Callable[[Node], None]) -> None:
        self.graph, self.before = graph, graph._put
        graph._put = put

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.graph._put = self.before


class Graph:
    """Steps in the order in which they run. Nodes of a fresh graph are added at its end."""

    def __init__(self, owning_module: Any = None, tracer_cls: Any = None) -> None:
        self._root = Node(self, "", "root", "", (), {})
        self._names = _Names()
        self._put: Callable[[Node], None] = self._root.prepend
        self.owning_module, self._tracer_cls = owning_module, tracer_cls

    @property
    def nodes(self) -> _Nodes:
        return _Nodes(self)

    def output_node(self) -> Node:
        return next(node for node in reversed(self.nodes) if node.op == "output")

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """The nodes of this op, and of this target where one is given."""
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    # ---- making ----------------------------------------------------------------------------------

    def create_node(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        wanted = name or (target if isinstance(target, str) else target.__name__)
        if wanted.startswith("__") and wanted.endswith("__"):
            wanted = wanted[2:-2]
        new = self._names.new(wanted if name else _snake_case(wanted))
        node = Node(self, new, op, target, tuple(args or ()), dict(kwargs or {}), type_expr)
        self._put(node)
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        args = () if default_value is ... else (default_value,)
        return self.create_node("placeholder", name, args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_function(
        self,
        the_function: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        type_expr: Any = None,
        name: str | None = None,
    ) -> Node:
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def call_method(
        self,
        method_name: str,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        type_expr: Any = None,
    ) -> Node:
        return self.create_node("call_method", method_name, args, kwargs, None, type_expr)

    def call_module(
        self,
        module_name: str,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        type_expr: Any = None,
    ) -> Node:
        return self.create_node("call_module", module_name, args, kwargs, None, type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        return self.create_node("output", "output", (result,), None, None, type_expr)

    def node_copy(
        self, node: Node, arg_transform: Callable[[Node], Any] = lambda node: node
    ) -> Node:
        """A node of this graph like one of another; `arg_transform` gives its arguments here."""
        args = map_arg(node.args, arg_transform)
        kwargs = map_arg(node.kwargs, arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = dict(node.meta)
        return made

    def graph_copy(
        self, g: Graph, val_map: dict[Node, Any], return_output_node: bool = False
    ) -> Any:
        """Put the nodes of another graph here, but for those that `val_map` holds already.

        Gives what its output is here, with the output node itself where that is asked for.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                made = map_arg(node.args[0], lambda old: val_map[old])
                return (made, node) if return_output_node else made
            val_map[node] = self.node_copy(node, lambda old: val_map[old])
        return None

    # ---- changing --------------------------------------------------------------------------------

    def inserting_before(self, n: Node | None = None) -> _Inserting:
        """`with` it, or from now on: new nodes come before this one, or before all."""
        if n is None:
            return self.inserting_after(self._root)
        return _Inserting(self, self._mine(n).prepend)

    def inserting_after(self, n: Node | None = None) -> _Inserting:
        """`with` it, or from now on: new nodes come behind this one, or behind all."""
        if n is None:
            return self.inserting_before(self._root)
        place = [self._mine(n)]

        def put(node: Node) -> None:
            place[0].append(node)
            place[0] = node

        return _Inserting(self, put)

    def _mine(self, node: Node) -> Node:
        if node.graph is not self:
            raise ArgumentError("inserting", f"{node} is of another graph")
        return node

    def erase_node(self, to_erase: Node) -> None:
        """Raises ArgumentError where other nodes use it."""
        if to_erase.users:
            users = ", ".join(map(str, to_erase.users))
            hint = "node.replace_all_uses_with(another), then erase it"
            raise ArgumentError("erase_node", f"{to_erase} is used by {users}", hint=hint)
        if to_erase._erased:
            return
        self._mine(to_erase)._unlink()
        to_erase._erased = True
        to_erase._set((), {})

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Take out what nobody uses and what writes nowhere. Whether there was any."""
        impure = is_impure_node or Node.is_impure
        dead = [0]
        for node in reversed(self.nodes):
            if not node.users and not impure(node):
                self.erase_node(node)
                dead[0] += 1
        return bool(dead[0])

    def lint(self) -> None:
        """Raises ArgumentError where a name stands twice, a node is used before it is there, or the
        module lacks what is called."""
        seen: dict[str, Node] = {}
        for node in self.nodes:
            for used in node.all_input_nodes:
                if seen.get(used.name) is not used:
                    raise ArgumentError("lint", f"{node} uses {used}, which comes later or is gone")
            if node.name in seen:
                raise ArgumentError("lint", f"there are two nodes {node.name}")
            seen[node.name] = node
            if node.op in ("get_attr", "call_module") and self.owning_module is not None:
                try:
                    attribute(self.owning_module, node.target)
                except AttributeError:
                    problem = f"{node} is of {node.target!r}, which the module does not have"
                    raise ArgumentError("lint", problem) from None

    # ---- text ------------------------------------------------------------------------------------

    def python_code(self, root_module: str = "self", **_: Any) -> PythonCode:
        """The text of a function `forward` that does the same."""
        return _Writer(self, root_module).code()

    def print_tabular(self) -> None:
        """A table of op, name, target, args and kwargs, a line a node."""
        rows: list[tuple[str, ...]] = [("opcode", "name", "target", "args", "kwargs")]
        rows += [tuple(map(str, (n.op, n.name, n.target, n.args, n.kwargs))) for n in self.nodes]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        for row in rows:
            print("  ".join(map(str.ljust, row, widths)).rstrip())

    def __str__(self) -> str:
        return "\n    ".join(["graph():", *(node.format_node() for node in self.nodes)])

    def __deepcopy__(self, memo: Any = None) -> Graph:
        made = Graph(tracer_cls=self._tracer_cls)
        moved: dict[Node, Any] = {}
        copied = made.graph_copy(self, moved, return_output_node=True)
        if copied is not None:
            value, old = copied
            made.output(value, old.type).meta = dict(old.meta)
        return made


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def attribute(module: Any, path: str) -> Any:
    """What a dotted name is in a module. Raises AttributeError."""
    for name in path.split("."):
        module = getattr(module, name)
    return module


@final
class _Writer:
    """The code of a graph. A value is let go of behind its last use, as the graph's memory would
    else be that of all its values."""

    def __init__(self, graph: Graph, root: str) -> None:
        self.graph, self.root = graph, root
        self.globals: dict[str, Any] = {}
        self.names = _Names()
        self.names.taken |= {node.name for node in graph.nodes}
        self.last: dict[Node, list[Node]] = {}
        seen: set[Node] = set()
        for node in reversed(graph.nodes):
            for used in node.all_input_nodes:
                if used not in seen:
                    seen.add(used)
                    self.last.setdefault(node, []).append(used)

    def code(self) -> PythonCode:
        heads, lines = [], []
        for node in self.graph.nodes:
            if node.op == "placeholder":
                heads.append(self.head(node))
                line = self.renamed(node)
            else:
                line = self.line(node)
            if line:
                lines.append(line + self.gone(node))
        returned = [node.type for node in self.graph.nodes if node.op == "output"]
        arrow = f" -> {self.shown(returned[0])}" if returned and returned[0] is not None else ""
        body = "\n".join(f"    {line}" for line in lines or ["pass"])
        src = f"def forward({', '.join([self.root, *heads])}){arrow}:\n{body}\n"
        return PythonCode(src, self.globals)

    def head(self, node: Node) -> str:
        name = str(node.target)
        kind = f" : {self.shown(node.type)}" if node.type is not None else ""
        return f"{name}{kind} = {self.shown(node.args[0])}" if node.args else f"{name}{kind}"

    def renamed(self, node: Node) -> str:
        given = str(node.target).lstrip("*")
        return f"{node.name} = {given}" if node.name != given else ""

    def gone(self, node: Node) -> str:
        if node.op in ("placeholder", "output"):
            return ""
        done = self.last.get(node, [])
        done = [*done, node] if not node.users else done
        return f";  {' = '.join(used.name for used in done)} = None" if done else ""

    def line(self, node: Node) -> str:
        if node.op == "output":
            return f"return {self.shown(node.args[0])}"
        if node.op == "get_attr":
            return f"{node.name} = {self.path(node.target)}"
        if node.op == "call_module":
            return f"{node.name} = {self.path(node.target)}({self.arguments(node.args, node)})"
        if node.op == "call_method":
            owner, *rest = node.args
            return (
                f"{node.name} = {self.operand(owner)}.{node.target}({self.arguments(rest, node)})"
            )
        return self.call(node)

    def call(self, node: Node) -> str:
        """The call of a function, as an operator where it is one."""
        function, args = node.target, node.args
        name = getattr(function, "__name__", "")
        if getattr(function, "__module__", "") == "_operator" and not node.kwargs:
            if len(args) == 2 and name in INFIX:
                one, two = map(self.operand, args)
                return f"{node.name} = {one} {INFIX[name]} {two}"
            if len(args) == 2 and name[:1] == "i" and (sign := _in_place(name)):
                one, two = map(self.operand, args)
                return f"{one} {sign}= {two};  {node.name} = {one}"
            if len(args) == 1 and name in PREFIX:
                return f"{node.name} = {PREFIX[name]}{self.operand(args[0])}"
            if name == "getitem":
                return f"{node.name} = {self.operand(args[0])}[{self.shown(args[1])}]"
        if function is getattr and len(args) == 2 and str(args[1]).isidentifier():
            return f"{node.name} = {self.operand(args[0])}.{args[1]}"
        return f"{node.name} = {self.named(function)}({self.arguments(args, node)})"

    def arguments(self, args: Any, node: Node) -> str:
        named = (f"{key} = {self.shown(value)}" for key, value in node.kwargs.items())
        return ", ".join([*map(self.shown, args), *named])

    def operand(self, value: Any) -> str:
        text = self.shown(value)
        return f"({text})" if text.startswith("-") else text

    def path(self, target: str) -> str:
        """An attribute of the module: getattr where a name is a number, as in Sequential."""
        text = self.root
        for name in target.split("."):
            plain = name.isidentifier() and not keyword.iskeyword(name)
            text = f"{text}.{name}" if plain else f'getattr({text}, "{name}")'
        return text

    def shown(self, value: Any) -> str:
        """A value as Python writes it; what has no such text becomes a global name."""
        if isinstance(value, Node):
            return value.name
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self.named(type(value))}({', '.join(map(self.shown, value))})"
        if isinstance(value, tuple):
            return f"({', '.join(map(self.shown, value))}{',' if len(value) == 1 else ''})"
        if isinstance(value, list):
            return f"[{', '.join(map(self.shown, value))}]"
        if isinstance(value, dict):
            parts = (f"{self.shown(key)}: {self.shown(part)}" for key, part in value.items())
            return f"{{{', '.join(parts)}}}"
        if isinstance(value, slice):
            ends = (value.start, value.stop, value.step)
            return f"slice({', '.join(map(self.shown, ends))})"
        if type(value) is float and not math.isfinite(value):
            return f"float('{value}')"
        return repr(value) if type(value) in PLAIN else self.named(value)

    def named(self, value: Any) -> str:
        """A name that stands for a thing in the code: its own where it has one."""
        if hasattr(value, "__name__"):
            name = qualified_name(value)
            package = name.partition(".")[0]
            if package == "_operator" or getattr(builtins, name, None) is value:
                if package == "_operator":
                    self.globals.setdefault("_operator", sys.modules["_operator"])
                return name
            if _found(name) is value:
                self.globals.setdefault(package, sys.modules[package])
                return name
        else:
            name = type(value).__name__
        for known, held in self.globals.items():
            if held is value:
                return known
        new = self.names.new(name.replace("<lambda>", "function"))
        self.globals[new] = value
        return new


def _in_place(name: str) -> str:
    """The sign of an operator in place, such as that of `iadd`; nothing where it is none."""
    plain = name[1:]
    plain = f"{plain}_" if plain in ("and", "or") else plain
    comparison = plain in ("eq", "ne", "lt", "le", "gt", "ge")
    return "" if comparison else INFIX.get(plain, "")


def _found(name: str) -> Any:
    """What a dotted name leads to, from a module that is loaded; None where nothing is there."""
    package, *rest = name.split(".")
    found = sys.modules.get(package)
    for part in rest:
        found = getattr(found, part, None)
    return found
