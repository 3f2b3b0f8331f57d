"""Expressions of a function as calls: what `and`, `not`, `int(...)` or a comprehension become where
tensors may stand. Floor 9. See frontends/syntax.py.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from typing import Any

HELPERS = "__twofold__"
CONVERSIONS = ("int", "float", "bool", "len", "list", "reversed")
EXTREMES = ("max", "min")
TRUTHS = ("any", "all")
NUMPY = ("np", "numpy", "onp")
MATH = {name for name, value in vars(math).items() if callable(value) and name != "pow"}


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def parameters(names: Iterable[str]) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(n) for n in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )


def helper(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Constant(HELPERS), name, ast.Load()), list(args), [])


def lambda_of(body: ast.expr) -> ast.Lambda:
    return ast.Lambda(parameters([]), body)


def tuple_of(names: Iterable[str], context: Any) -> ast.Tuple:
    return ast.Tuple([ast.Name(n, context()) for n in names], context())


def set_to(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([store(name)], value)


def is_numpys(node: ast.expr) -> bool:
    """Whether it is np.f, as far as names tell."""
    while isinstance(node, ast.Attribute):
        node = node.value
        if isinstance(node, ast.Name):
            return node.id in NUMPY
    return False


def is_math(node: ast.expr) -> bool:
    """Whether it is math.f, or f by its name alone, as far as names tell."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id == "math" and hasattr(math, node.attr)
    return isinstance(node, ast.Name) and node.id in MATH


class Expressions(ast.NodeTransformer):
    """and, or, not, conditional expressions, chained comparisons, conversions, as calls."""

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        return node

    visit_FunctionDef: Any = visit_Lambda
    visit_SetComp: Any = visit_Lambda
    visit_DictComp: Any = visit_Lambda

    def visit_ListComp(self, node: ast.ListComp | ast.GeneratorExp) -> Any:
        """[f(x) for x in over if g(x)]; a generator alone stays one."""
        if isinstance(node, ast.GeneratorExp) or not _is_plain(node):
            return node
        made = helper("listed", *self.parts_of(node))
        for part in reversed(node.generators[:-1]):
            made = helper("nested", self.over_of(part), _unpacking(part.target, made))
        return made

    visit_GeneratorExp: Any = visit_ListComp

    def parts_of(self, node: ast.ListComp | ast.GeneratorExp) -> tuple[ast.expr, ast.Lambda]:
        """What a comprehension goes over at last, and what it makes of an item."""
        part = node.generators[-1]
        return self.over_of(part), _unpacking(part.target, self.visit(node.elt))

    def over_of(self, part: ast.comprehension) -> ast.expr:
        """What one `for` of a comprehension goes over, without what its `if` leaves out."""
        over: ast.expr = self.visit(iterated(part.iter))
        for test in part.ifs:
            over = helper("picked", over, _unpacking(part.target, self.visit(test)))
        return over

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        if _names_inside(node.values[1:]):
            return self.generic_visit(node)
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        made = self.visit(node.values[-1])
        for value in reversed(node.values[:-1]):
            made = helper(name, self.visit(value), lambda_of(made))
        return made

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return helper("not_", self.visit(node.operand))
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        if _names_inside([node.body, node.orelse]):
            return self.generic_visit(node)
        parts = [lambda_of(self.visit(node.body)), lambda_of(self.visit(node.orelse))]
        return helper("choose", self.visit(node.test), *parts)

    def visit_Compare(self, node: ast.Compare) -> Any:
        node = self.generic_visit(node)  # type: ignore[assignment]
        kept = any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
        sides = (node.left, node.comparators[0])
        if kept and len(node.ops) == 1 and not any(isinstance(x, ast.Constant) for x in sides):
            same = helper("is_", *sides)
            is_not = isinstance(node.ops[0], ast.IsNot)
            return ast.UnaryOp(ast.Not(), same) if is_not else same
        if len(node.ops) == 1 or kept or _names_inside(node.comparators):
            return node
        # each link in the middle is computed once, and named by a lambda
        middle, (first, *ops) = node.comparators[0], node.ops
        link = f"__link_{node.lineno}_{node.col_offset}_{len(ops)}"
        rest = self.visit_Compare(
            ast.Compare(
                load(link),
                ops,
                node.comparators[1:],
                lineno=node.lineno,
                col_offset=node.col_offset,
            )
        )
        test = helper("and_", ast.Compare(node.left, [first], [load(link)]), lambda_of(rest))
        return ast.Call(ast.Lambda(parameters([link]), test), [middle], [])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        return helper("f_string", *self.parts_of_text(node))

    def parts_of_text(self, node: ast.JoinedStr) -> list[ast.expr]:
        parts: list[ast.expr] = []
        for part in node.values:
            if not isinstance(part, ast.FormattedValue):
                parts.append(part)
                continue
            spec = ast.Constant("") if part.format_spec is None else self.visit(part.format_spec)
            value = [self.visit(part.value), ast.Constant(part.conversion), spec]
            parts.append(ast.Tuple(value, ast.Load()))
        return parts

    def visit_Call(self, node: ast.Call) -> Any:
        taken = _generator_of(node)
        if taken is not None and isinstance(node.func, ast.Name):
            over, each = self.parts_of(taken)
            more = map(self.visit, node.args[1:])
            if node.func.id in EXTREMES:
                return helper("extreme_of", node.func, over, each, *more)
            if node.func.id in TRUTHS:
                return helper("all_of", node.func, over, each, *more)
            return helper(f"{node.func.id}_of", node.func, over, each, *more)
        mapping = _map_of(node)
        if mapping is not None:
            function, source = mapping.args
            given = [node.func, mapping.func, self.visit(function), self.visit(iterated(source))]
            return helper("mapped", *given)
        for place, x in enumerate(node.args):
            if isinstance(x, ast.JoinedStr) and _is_path(node.func):
                node.args[place] = helper("f_string_for", node.func, *self.parts_of_text(x))
        node = self.generic_visit(node)  # type: ignore[assignment]
        function = node.func
        if isinstance(function, ast.Name) and function.id in CONVERSIONS and not node.keywords:
            args = map(iterated, node.args) if function.id == "list" else node.args
            return helper(f"{function.id}_", *args)
        if isinstance(function, ast.Name) and function.id == "sum" and not node.keywords:
            return helper("summed", function, *node.args)
        if isinstance(function, ast.Name) and function.id in EXTREMES and not node.keywords:
            return helper("extreme", function, *node.args)
        if is_numpys(function):
            made = helper("numpy_", function, *node.args)
            made.keywords = node.keywords
            return made
        if is_math(function) and not node.keywords:
            return helper("math_", function, *node.args)
        return node


def _is_path(node: ast.expr) -> bool:
    """Whether it is a name, or an attribute of one: what may be looked up twice."""
    while isinstance(node, ast.Attribute):
        node = node.value
    logger = isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger"
    return logger or isinstance(node, ast.Name)


def _names_inside(nodes: Iterable[ast.expr]) -> bool:
    """Whether `x := y` is among the expressions: a lambda would keep the name to itself."""
    return any(isinstance(x, ast.NamedExpr) for node in nodes for x in ast.walk(node))


def _is_plain(node: ast.ListComp | ast.GeneratorExp) -> bool:
    """Whether a comprehension names nothing that stays; a generator has one `for`."""
    named = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
    parts = [node.elt, *[test for part in node.generators for test in part.ifs]]
    plain = all(not part.is_async and unpacks(part.target) for part in node.generators)
    several = len(node.generators) > 1 and isinstance(node, ast.GeneratorExp)
    named_inside = any(isinstance(x, named) for part in parts for x in ast.walk(part))
    return plain and not several and not named_inside


def unpacks(target: ast.expr) -> bool:
    """Whether a target is a name, or tuples of names."""
    return isinstance(target, ast.Name) or (
        isinstance(target, ast.Tuple) and all(map(unpacks, target.elts))
    )


def _unpacking(target: ast.expr, body: ast.expr) -> ast.Lambda:
    """lambda target: body, where the target may be tuples of names."""
    if isinstance(target, ast.Name):
        return ast.Lambda(parameters([target.id]), body)
    assert isinstance(target, ast.Tuple)
    item = f"__item_{target.lineno}_{target.col_offset}"
    names = [
        part.id if isinstance(part, ast.Name) else f"{item}_{i}"
        for i, part in enumerate(target.elts)
    ]
    for name, part in zip(names, target.elts, strict=True):
        if not isinstance(part, ast.Name):
            body = ast.Call(_unpacking(part, body), [load(name)], [])
    inner = ast.Lambda(parameters(names), body)
    unpacked = ast.Call(inner, [ast.Starred(load(item), ast.Load())], [])
    return ast.Lambda(parameters([item]), unpacked)


TAKERS = ("sum", "list", "tuple", *EXTREMES, *TRUTHS)


def _map_of(node: ast.Call) -> ast.Call | None:
    """map(f, x) in list(map(f, x)), or in tuple(...)."""
    takes = isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple")
    first = node.args[0] if takes and len(node.args) == 1 and not node.keywords else None
    if not isinstance(first, ast.Call) or first.keywords or len(first.args) != 2:
        return None
    return first if isinstance(first.func, ast.Name) and first.func.id == "map" else None


def _generator_of(node: ast.Call) -> ast.GeneratorExp | None:
    """The generator that sum(...), list(...), tuple(...), max(...) or min(...) takes at once."""
    first = node.args[0] if node.args else None
    known = isinstance(node.func, ast.Name) and node.func.id in TAKERS
    if not known or node.keywords or not isinstance(first, ast.GeneratorExp):
        return None
    return first if _is_plain(first) else None


ITERATORS = ("range", "enumerate", "zip", "reversed")


def iterated(node: Any) -> Any:
    """What a `for` goes over, where tensors and sizes may stand."""
    if not isinstance(node, ast.Call):
        return node
    function = node.func
    if isinstance(function, ast.Name) and function.id in ITERATORS:
        made = helper(f"{function.id}_", *map(iterated, node.args))
    elif isinstance(function, ast.Name) and function.id in ("list", "tuple") and _wraps(node):
        made = helper("items_", *map(iterated, node.args))
    elif isinstance(function, ast.Attribute) and function.attr in ("unbind", "split", "chunk"):
        made = helper(f"{function.attr}_", function.value, *node.args)
    else:
        return node
    made.keywords = node.keywords
    return made


def _wraps(node: ast.Call) -> bool:
    """Whether it is list(range(n)), or of another of these."""
    first = node.args[0] if len(node.args) == 1 and not node.keywords else None
    if not isinstance(first, ast.Call) or not isinstance(first.func, ast.Name):
        return False
    return first.func.id in ITERATORS
