"""Python's `if`, `while` and `for` on tensors, rewritten from source to cond, while_loop and scan.
Floor 9.

`rewritten_code(code)` is the code with its statements of control flow turned into calls of
frontends/statements.py, which look at what they are given: a Python value takes Python's own way, a
tensor of a graph the graph's. The subset:

    if, elif, else, conditional expressions    while, for over range(...) and tensors
    and, or, not, chained comparisons          break, continue, return at any place
    assert                                     list.append, .extend, .insert(0, x) in loops
    [f(x) for x in ...], sum(f(x) for x in ...)

What lies outside (try, with, yield, del, global, nonlocal, match, while-else) stays as it is, and
is refused only where a tensor decides it.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from types import CodeType
from typing import Any

from twofold.frontends.appends import appends_behind
from twofold.frontends.expressions import (
    CONVERSIONS,
    HELPERS,
    Expressions,
    helper,
    is_math,
    is_numpys,
    iterated,
    lambda_of,
    load,
    parameters,
    set_to,
    tuple_of,
)
from twofold.frontends.filtered import Filtered, filtered, reads_of
from twofold.frontends.masked_items import copies_item

VALUE = "__value"  # how names begin that hold what a loop returns


def rewritten_code(code: CodeType) -> CodeType | None:
    """Code for a function, with tensors allowed in its control flow; it closes over the same names.
    None where it has no source, or no control flow.
    """
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return None
    tree = _tree_of(code)
    if tree is None or not _has_control(tree):
        return None
    return _compiled(code, _Rewriter().function(tree))


def _tree_of(code: CodeType) -> ast.FunctionDef | None:
    """The definition of a function, with the lines of its file."""
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return _lambda_of(code)
    found = tree.body[0] if tree.body else None
    if not isinstance(found, ast.FunctionDef):
        return _lambda_of(code)
    ast.increment_lineno(found, first - 1 if first else 0)
    found.decorator_list = []
    return found


def _lambda_of(code: CodeType) -> ast.FunctionDef | None:
    """A lambda as a definition, where it is the only one of its line."""
    if code.co_name != "<lambda>":
        return None
    try:
        tree = ast.parse("".join(inspect.findsource(code)[0]))
    except (OSError, TypeError, SyntaxError):
        return None
    line = code.co_firstlineno
    lambdas = [x for x in ast.walk(tree) if isinstance(x, ast.Lambda) and x.lineno == line]
    if len(lambdas) != 1:
        return None
    (found,) = lambdas
    body = ast.copy_location(ast.Return(found.body), found.body)
    made = ast.FunctionDef(name="lambda_of", args=found.args, body=[body], decorator_list=[])
    return ast.fix_missing_locations(ast.copy_location(made, found))


def _has_control(tree: ast.FunctionDef) -> bool:
    kinds = (
        *(ast.If, ast.While, ast.For, ast.IfExp, ast.BoolOp, ast.Assert, ast.Not),
        *(ast.JoinedStr, ast.ListComp, ast.GeneratorExp),
    )
    return any(isinstance(node, kinds) or _converts(node) for node in ast.walk(tree))


def _converts(node: ast.AST) -> bool:
    """Whether it is int(x), float(x), bool(x), len(x), list(x), math.f(x) or np.f(x), or
    x[i] += y, or x[i] = y[i].
    """
    if copies_item(node):
        return True
    if isinstance(node, ast.AugAssign):
        return isinstance(node.target, ast.Subscript)
    if not isinstance(node, ast.Call):
        return False
    if is_math(node.func) or is_numpys(node.func):
        return True
    return isinstance(node.func, ast.Name) and node.func.id in CONVERSIONS


def _compiled(code: CodeType, tree: ast.FunctionDef) -> CodeType | None:
    """The code of a tree, which closes over what the original one does, in the same order."""
    free = code.co_freevars
    tree.args.defaults = [ast.Constant(None)] * len(tree.args.defaults)
    tree.args.kw_defaults = [d and ast.Constant(None) for d in tree.args.kw_defaults]
    tree.returns = None
    # every name that it closes over is read once, so that none is lost
    keep = ast.If(ast.Constant(None), [ast.Expr(load(n)) for n in free], [])
    outer = ast.FunctionDef(
        name="__outer",
        args=parameters(free),
        body=[tree, ast.Return(load(tree.name))],
        decorator_list=[],
    )
    tree.body.insert(0, ast.copy_location(keep, tree.body[0]) if free else ast.Pass())
    module = ast.fix_missing_locations(ast.Module([outer], []))
    try:
        whole = compile(module, code.co_filename, "exec")
    except SyntaxError:  # a break or a return in a place from which it cannot be taken
        return None
    made = _inner(_inner(whole, "__outer"), tree.name)
    if made is None or made.co_freevars != free:
        return None
    return _with_helpers(made).replace(co_name=code.co_name, co_qualname=code.co_qualname)


def _inner(code: CodeType | None, name: str) -> CodeType | None:
    constants = code.co_consts if code is not None else ()
    return next((c for c in constants if isinstance(c, CodeType) and c.co_name == name), None)


def _with_helpers(code: CodeType) -> CodeType:
    """Code whose constant `HELPERS` is the module that rewritten statements call."""
    constants = tuple(
        _with_helpers(c)
        if isinstance(c, CodeType)
        else statements_module()
        if isinstance(c, str) and c == HELPERS
        else c
        for c in code.co_consts
    )
    return code.replace(co_consts=constants)


_helpers: list[Any] = []


def statements_module() -> Any:
    """The functions that rewritten statements call."""
    return _helpers[0]


def install(helpers: Any) -> None:
    """Give rewritten functions what they call."""
    _helpers[:] = [helpers]


# ---- trees ---------------------------------------------------------------------------------------


SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def assigned(statements: Iterable[ast.stmt]) -> list[str]:
    """The names that the statements give a value, or take it, in the order in which they come."""
    found: dict[str, None] = {}

    def visit(node: ast.AST) -> None:
        if isinstance(node, SCOPES):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = None
            return
        if isinstance(node, COMPREHENSIONS):
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found[node.id] = None
        if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            found[node.name] = None
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("append", "extend", "insert")
            and isinstance(node.func.value, ast.Name)
        ):
            found[node.func.value.id] = None
        for child in ast.iter_child_nodes(node):
            visit(child)

    for statement in statements:
        visit(statement)
    return list(found)


def contains(statements: Iterable[ast.stmt], *kinds: type) -> bool:
    """Whether a statement of these kinds belongs to them: inner functions, and for break and
    continue inner loops, have their own.
    """
    loops = (ast.Break, ast.Continue)
    inner = SCOPES + ((ast.For, ast.While) if any(k in loops for k in kinds) else ())

    def visit(node: ast.AST) -> bool:
        if isinstance(node, kinds):
            return True
        if isinstance(node, inner):
            return False
        return any(visit(child) for child in ast.iter_child_nodes(node))

    return any(visit(s) for s in statements)


# ---- the rewriting -------------------------------------------------------------------------------


class _Rewriter:
    """Rewrites one function, from the innermost statements outwards."""

    def __init__(self, prefix: str = "") -> None:
        self.count = 0
        self.prefix = prefix  # the functions around, so that names differ from theirs

    def fresh(self, name: str) -> str:
        self.count += 1
        return f"__{name}_{self.prefix}{self.count}"

    def function(self, tree: ast.FunctionDef) -> ast.FunctionDef:
        self.reads = reads_of(tree)
        tree.body = self.block(self.returns_last(tree.body))
        return tree

    def returns_last(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Statements after an `if` that may return go into its branches, so that the `if` is last.

        Returns inside of loops become a flag and a value, and the loop breaks.
        """
        made: list[ast.stmt] = []
        for i, statement in enumerate(body):
            rest = body[i + 1 :]
            if isinstance(statement, ast.If) and contains([statement], ast.Return):
                first = self.returns_last([*statement.body, *_copies(rest, statement.body)])
                second = self.returns_last([*statement.orelse, *_copies(rest, statement.orelse)])
                new = ast.If(statement.test, first or [ast.Pass()], second or [ast.Pass()])
                return [*made, ast.copy_location(new, statement)]
            held = isinstance(statement, HELD) and _may_return(statement)
            loop = isinstance(statement, ast.While | ast.For) and contains([statement], ast.Return)
            if loop or held:
                flag, value = self.fresh("returned"), self.fresh("value")
                made += [set_to(flag, ast.Constant(False)), set_to(value, ast.Constant(None))]
                if isinstance(statement, ast.While | ast.For):
                    statement.body = _with_flags(statement.body, flag, value)
                else:
                    _in_blocks(statement, partial(_unreturned, flag=flag, value=value), flag)
                after: list[ast.stmt] = [
                    ast.If(load(flag), [ast.Return(load(value))], []),
                    *rest,
                ]
                made.append(statement)
                return made + self.returns_last(
                    [ast.fix_missing_locations(ast.copy_location(s, statement)) if j == 0 else s
                     for j, s in enumerate(after)]
                )  # fmt: skip
            made.append(statement)
            if isinstance(statement, ast.Return):
                break
        return made

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [new for statement in body for new in self.statement(statement)]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.If):
            behind = appends_behind(node, self.fresh)
            made = [*self.if_(node), *self.block(behind)]
        elif isinstance(node, ast.While) and not node.orelse:
            made = self.while_(node)
        elif isinstance(node, ast.For) and not node.orelse:
            made = self.for_(node)
        elif isinstance(node, ast.Assert):
            test, message = self.expression(node.test), node.msg or ast.Constant(None)
            made = [ast.Expr(helper("assert_", test, lambda_of(self.expression(message))))]
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
            made = [self.changed_item(node, node.target)]
        elif copies_item(node):
            made = [self.copied_item(node)]
        elif isinstance(node, ast.Delete):
            made = [_deleted(target) for target in node.targets]
        elif isinstance(node, ast.FunctionDef) and not _generates(node):
            made = [_Rewriter(self.prefix + node.name).function(node)]
        elif isinstance(node, SCOPES):
            made = [node]
        elif isinstance(node, HELD):
            _in_blocks(node, self.block)
            if isinstance(node, ast.Match):
                node.subject = self.expression(node.subject)
            made = [node]
        else:
            made = [self.expression(node)]
        return [ast.fix_missing_locations(ast.copy_location(new, node)) for new in made]

    def changed_item(self, node: ast.AugAssign, target: ast.Subscript) -> ast.Expr:
        """x[i] += y, where i may be known to a run only."""
        parts = [_key(target.slice), ast.Constant(type(node.op).__name__), node.value]
        return ast.Expr(helper("change_item", *map(self.expression, [target.value, *parts])))

    def copied_item(self, node: Any) -> ast.Expr:
        """x[key] = y[key], where key may be a mask that is known to a run only."""
        (target,) = node.targets
        parts = (target.value, target.slice, node.value.value)
        return ast.Expr(helper("copied_item", *map(self.expression, parts)))

    def expression(self, node: Any) -> Any:
        return Expressions().visit(node)

    # statements

    def branch(self, name: str, body: list[ast.stmt], names: list[str]) -> ast.FunctionDef:
        """A block as a function of the names that it may change, which gives back their values."""
        body = self.block(body)
        ends = bool(body) and isinstance(body[-1], ast.Return)
        if not ends:
            body.append(ast.Return(tuple_of(names, ast.Load)))
        return ast.FunctionDef(name=name, args=parameters(names), body=body, decorator_list=[])

    def current(self, names: list[str]) -> ast.Tuple:
        """The values of names, some of which may not have one yet."""
        return ast.Tuple([helper("value", lambda_of(load(n))) for n in names], ast.Load())

    def words(self, names: list[str]) -> ast.Tuple:
        return ast.Tuple([ast.Constant(n) for n in names], ast.Load())

    def if_(self, node: ast.If) -> list[ast.stmt]:
        test = self.expression(node.test)
        first = node.body[0]
        if isinstance(first, ast.Raise) and first.exc and not first.cause and not node.orelse:
            return [ast.Expr(helper("raise_if", test, lambda_of(self.expression(first.exc))))]
        names = assigned([*node.body, *node.orelse])
        yes, no = self.fresh("then"), self.fresh("else")
        if contains([node], ast.Return):
            # the last statement of its function: each branch gives back the function's result
            made: list[ast.stmt] = []
            for name, body in ((yes, node.body), (no, node.orelse)):
                ends = body[-1:] and isinstance(body[-1], ast.Return | ast.If)
                whole = body if ends else [*body, ast.Return(ast.Constant(None))]
                made.append(self.branch(name, whole, names))
            values = [load(yes), load(no), self.current(names)]
            return [*made, ast.Return(helper("if_return", test, *values))]
        first, second = self.branch(yes, node.body, names), self.branch(no, node.orelse, names)
        call = helper("if_", test, load(yes), load(no), self.current(names), self.words(names))
        if not names:
            return [first, second, ast.Expr(call)]
        return [first, second, ast.Assign([tuple_of(names, ast.Store)], call)]

    def loop_body(self, body: list[ast.stmt]) -> tuple[list[ast.stmt], str | None]:
        """A loop's body without break and continue: flags, and what follows under them."""
        if not contains(body, ast.Break, ast.Continue):
            return body, None
        stop = self.fresh("broken") if contains(body, ast.Break) else None
        skip = self.fresh("continued") if contains(body, ast.Continue) else None
        made = _flagged(body, stop, skip)
        start: list[ast.stmt] = [set_to(skip, ast.Constant(False))] if skip else []
        return [ast.fix_missing_locations(s) for s in [*start, *made]], stop

    def while_(self, node: ast.While) -> list[ast.stmt]:
        body, stop = self.loop_body(node.body)
        test: ast.expr = node.test
        before: list[ast.stmt] = []
        if stop:
            before = [set_to(stop, ast.Constant(False))]
            test = ast.BoolOp(ast.And(), [ast.UnaryOp(ast.Not(), load(stop)), node.test])
        if any(isinstance(x, ast.NamedExpr) for x in ast.walk(node.test)):
            # what it names is known to the turns and behind the loop: it is a statement
            go = self.fresh("going")
            again = set_to(go, node.test)
            update: ast.stmt = again
            if stop:
                update = ast.If(ast.UnaryOp(ast.Not(), load(stop)), [again], [])
            body = [*body, ast.fix_missing_locations(ast.copy_location(update, node))]
            before += self.block([ast.copy_location(copy.deepcopy(again), node)])
            test = load(go)
        names = assigned(body)
        test_name, turn = self.fresh("test"), self.fresh("turn")
        tester = ast.FunctionDef(
            name=test_name,
            args=parameters(names),
            body=[ast.Return(self.expression(test))],
            decorator_list=[],
        )
        values = [load(test_name), load(turn), self.current(names), self.words(names)]
        call = helper("while_", *values)
        return [
            *before,
            tester,
            self.branch(turn, body, names),
            ast.Assign([tuple_of(names, ast.Store)], call) if names else ast.Expr(call),
        ]

    def for_(self, node: ast.For) -> list[ast.stmt]:
        parts = filtered(node, assigned, self.reads)
        target = copy.deepcopy(node.target)
        body, stop = self.loop_body(node.body)
        item = self.fresh("item")
        first: list[ast.stmt] = [ast.Assign([node.target], load(item))]
        names = [n for n in assigned([*first, *body]) if n != item]
        turn = self.fresh("turn")
        before: list[ast.stmt] = [set_to(stop, ast.Constant(False))] if stop else []
        function = self.branch(turn, [*first, *body], names)
        function.args = parameters([item, *names])
        over = self.expression(iterated(node.iter))
        place = ast.Constant(names.index(stop) if stop else None)
        call = helper("for_", over, load(turn), self.current(names), self.words(names), place)
        made: list[ast.stmt] = [*before, function]
        if parts is not None and names:
            made += self.of_some(parts, target, item, names, call)
        return [*made, ast.Assign([tuple_of(names, ast.Store)], call)]

    def of_some(
        self, parts: Filtered, target: ast.expr, item: str, names: list[str], call: ast.Call
    ) -> list[ast.stmt]:
        """The functions by which a loop is one over some of its items (frontends/filtered.py)."""
        test, turn, last = self.fresh("test"), self.fresh("some"), self.fresh("last")

        def first() -> ast.stmt:
            return ast.Assign([copy.deepcopy(target)], load(item))

        tested = [
            first(),
            *self.block(copy.deepcopy(parts.before)),
            ast.Return(self.expression(parts.test)),
        ]
        tester = ast.FunctionDef(test, parameters([item]), tested, [])
        turns = [self.branch(turn, [first(), *parts.body], names)]
        turns.append(self.branch(last, [first()], names))
        for function in turns:
            function.args = parameters([item, *names])
        call.args += [load(test), load(turn), load(last), ast.Constant(parts.which)]
        return [tester, *turns]


def _key(node: ast.expr) -> ast.expr:
    """A subscript as an expression."""
    if isinstance(node, ast.Tuple):
        return ast.Tuple([_key(part) for part in node.elts], ast.Load())
    if not isinstance(node, ast.Slice):
        return node
    parts = [part or ast.Constant(None) for part in (node.lower, node.upper, node.step)]
    return ast.Call(load("slice"), parts, [])


def _deleted(target: ast.expr) -> ast.stmt:
    """del of one target. A name stays one that branches and turns give back, without a value."""
    if isinstance(target, ast.Name):
        return set_to(target.id, helper("deleted", load(target.id)))
    return ast.Delete([target])


def _generates(tree: ast.FunctionDef) -> bool:
    """Whether calling the function makes a generator."""
    return contains(tree.body, ast.Yield, ast.YieldFrom)


def _copies(rest: list[ast.stmt], body: list[ast.stmt]) -> list[ast.stmt]:
    """What follows an `if`, for one of its branches; nothing where the branch ends the function."""
    ends = body[-1:] and isinstance(body[-1], ast.Return | ast.Raise)
    return [] if ends else [copy.deepcopy(s) for s in rest]


def _with_flags(body: list[ast.stmt], flag: str, value: str) -> list[ast.stmt]:
    """A loop's body whose returns set a flag and a value, and break."""
    made: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Return):
            result = statement.value or ast.Constant(None)
            made += [set_to(value, result), set_to(flag, ast.Constant(True)), ast.Break()]
            continue
        if isinstance(statement, ast.If):
            statement.body = _with_flags(statement.body, flag, value)
            statement.orelse = _with_flags(statement.orelse, flag, value)
        elif isinstance(statement, ast.While | ast.For) and contains([statement], ast.Return):
            statement.body = _with_flags(statement.body, flag, value)
            made += [statement, ast.If(load(flag), [ast.Break()], [])]
            continue
        elif isinstance(statement, HELD) and contains([statement], ast.Return):
            _in_blocks(statement, lambda inner: _with_flags(inner, flag, value))
        made.append(statement)
    return [ast.fix_missing_locations(s) for s in made]


HELD = (ast.With, ast.Try, ast.Match)  # statements that stay, with blocks that are rewritten


def _in_blocks(
    node: ast.stmt, change: Callable[[list[ast.stmt]], list[ast.stmt]], *flags: str
) -> None:
    """Change the blocks of a statement that stays. What follows a `try` without an error does not
    where a flag is set.
    """
    holders: list[Any] = [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]
    for holder in holders:
        if hasattr(holder, "body"):
            holder.body = change(holder.body)
    if isinstance(node, ast.Try):
        node.finalbody = change(node.finalbody)
        node.orelse = change(node.orelse)
        if node.orelse and flags:
            node.orelse = [_unless(flags, node.orelse)]


def _unless(flags: Iterable[str], body: list[ast.stmt]) -> ast.stmt:
    """Statements for where no flag is set."""
    tests: list[ast.expr] = [ast.UnaryOp(ast.Not(), load(flag)) for flag in flags]
    test = tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)
    return ast.fix_missing_locations(ast.copy_location(ast.If(test, body, []), body[0]))


def _may_return(node: ast.stmt) -> bool:
    """Whether a statement that stays holds a return that another one decides."""
    deciding = (ast.If, ast.While, ast.For)
    inner = [x for x in ast.walk(node) if isinstance(x, deciding)]
    return any(contains([x], ast.Return) for x in inner)


def _unreturned(body: list[ast.stmt], flag: str, value: str) -> list[ast.stmt]:
    """Statements whose returns set a flag and a value; what comes after one runs if it is not
    set.
    """
    made: list[ast.stmt] = []
    for i, statement in enumerate(body):
        if isinstance(statement, ast.Return):
            result = statement.value or ast.Constant(None)
            made += [set_to(value, result), set_to(flag, ast.Constant(True))]
            break
        made.append(statement)
        if not contains([statement], ast.Return):
            continue
        if isinstance(statement, ast.If):
            statement.body = _unreturned(statement.body, flag, value) or [ast.Pass()]
            statement.orelse = _unreturned(statement.orelse, flag, value)
        elif isinstance(statement, ast.While | ast.For):
            statement.body = _with_flags(statement.body, flag, value)
        elif isinstance(statement, HELD):
            _in_blocks(statement, lambda inner: _unreturned(inner, flag, value), flag)
        rest = _unreturned(body[i + 1 :], flag, value)
        if rest:
            made.append(_unless([flag], rest))
        break
    return [ast.fix_missing_locations(s) for s in made]


def _flagged(body: list[ast.stmt], stop: str | None, skip: str | None) -> list[ast.stmt]:
    """Statements with break and continue as flags: what comes after one runs if none is set."""
    made: list[ast.stmt] = []
    for i, statement in enumerate(body):
        if isinstance(statement, ast.Break):
            return [*made, set_to(stop or "", ast.Constant(True))]
        if isinstance(statement, ast.Continue):
            return [*made, set_to(skip or "", ast.Constant(True))]
        if not contains([statement], ast.Break, ast.Continue):
            made.append(statement)
            continue
        flags = [flag for flag in (stop, skip) if flag]
        if isinstance(statement, ast.If):
            new = ast.If(
                statement.test,
                _flagged(statement.body, stop, skip),
                _flagged(statement.orelse, stop, skip),
            )
            made.append(ast.copy_location(new, statement))
        else:
            if isinstance(statement, HELD):
                _in_blocks(statement, lambda inner: _flagged(inner, stop, skip), *flags)
            made.append(statement)
        rest = _flagged(body[i + 1 :], stop, skip)
        if rest:
            made.append(ast.copy_location(_unless(flags, rest), statement))
        return made
    return made
