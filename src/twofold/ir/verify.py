"""Check that a Loops module means something. Floor 2. `verify(module)` raises or is silent.

Types fit, names are defined before they are used and in a block around the use, every path of a
function with a result returns one. The error quotes the function and the statement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from twofold.ir import loops
from twofold.ir.loops import TYPES, Do, Let, LoopsError, Operand, literal, with_element


def verify(module: loops.Module) -> None:
    """Raise LoopsError where the module breaks a rule of the language."""
    symbols = _symbols(module)
    for table in module.tables:
        for value in table.values:
            _literal(Operand(table.type, value))
    for data in module.data:
        _require(TYPES[data.type].name and data.size >= 0, "data of no size", data=data.name)
    for function in module.functions:
        _Checker(function, symbols).check()


def _symbols(module: loops.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in (module.externs, module.data, module.tables, module.functions):
        for item in part:
            _require(item.name not in found, f"the name {item.name!r} is taken", module=module.name)
            _require(loops.is_name(item.name), f"{item.name!r} is no name", module=module.name)
            found[item.name] = item
    return found


def _require(truth: object, problem: str, **facts: str) -> None:
    if not truth:
        raise LoopsError("verify", problem, **facts)


def _literal(operand: Operand) -> None:
    """Raise unless the text is how `literal` writes a constant of this type."""
    type, name = operand
    facts = TYPES[type]
    if type == "ptr":
        _require(name == "null", f"{name} is no pointer")
        return
    try:
        if name[0] == "[":
            value: Any = [_number(facts, word) for word in name[1:-1].split(", ")]
        else:
            value = _number(facts, name)
        same = literal(type, value) == name
    except (ValueError, TypeError):
        same = False
    _require(same, f"{name} is no literal of {type}")


def _number(facts: loops.TypeFacts, word: str) -> int | float:
    if facts.is_float:
        return float(word)
    if facts.bits == 1:
        return {"true": 1, "false": 0}.get(word, 2)
    return int(word)


# ---- what operations ask of their operands -------------------------------------------------------

# A rule gets the statement, the types of its operands and of its result ("" for an effect), and
# gives what is wrong, or nothing.
Rule = Callable[[Let | Do, list[str], str], str]


def _kind(type: str) -> str:
    facts = TYPES[type]
    return "float" if facts.is_float else "pointer" if facts.element == "ptr" else "int"


def _uniform(count: int, *kinds: str) -> Rule:
    """`count` operands of one type, which is the result's too, of one of these kinds."""

    def rule(s: Let | Do, args: list[str], result: str) -> str:
        if len(args) != count:
            return f"takes {count} operands"
        if any(arg != result for arg in args):
            return f"operands of {', '.join(args)} and a result of {result} should be of one type"
        return "" if _kind(result) in kinds else f"takes {' or '.join(kinds)} operands"

    return rule


def _exact(result: str, *wanted: str) -> Rule:
    """Operands of exactly these types; "" stands for any."""

    def rule(s: Let | Do, args: list[str], given: str) -> str:
        if len(args) != len(wanted):
            return f"takes {len(wanted)} operands"
        for place, (arg, want) in enumerate(zip(args, wanted, strict=True)):
            if want not in ("", arg):
                return f"operand {place} is {arg}, not {want}"
        return "" if result in ("*", given) else f"the result is {result}, not {given}"

    return rule


def _cmp(s: Let | Do, args: list[str], result: str) -> str:
    if len(args) != 2 or args[0] != args[1]:
        return "takes two operands of one type"
    known = loops.FLOAT_PREDICATES if _kind(args[0]) == "float" else loops.INT_PREDICATES
    if s.attrs[0] not in known:
        return f"no predicate {s.attrs[0]} for {args[0]}"
    return "" if result == with_element(args[0], "i1") else f"the result is no {result}"


def _select(s: Let | Do, args: list[str], result: str) -> str:
    if len(args) != 3 or args[1:] != [result, result]:
        return "takes a condition and two operands of the result's type"
    good = args[0] in ("i1", with_element(result, "i1"))
    return "" if good else f"the condition is {args[0]}"


def _memory(type: str) -> str:
    facts = TYPES[type]
    return f"{type} has no form in memory" if facts.bits == 1 else ""


def _load(s: Let | Do, args: list[str], result: str) -> str:
    return _exact("*", "ptr")(s, args, result) or _memory(result) or _align(s.attrs[0])


def _store(s: Let | Do, args: list[str], result: str) -> str:
    return _exact("", "", "ptr")(s, args, result) or _memory(args[0]) or _align(s.attrs[0])


def _align(align: object) -> str:
    good = isinstance(align, int) and align > 0 and align & (align - 1) == 0
    return "" if good else f"align={align} is no power of two"


# How: kinds from and to, and how the bits compare.
_CASTS: dict[str, tuple[str, str, str]] = {
    "zext": ("int", "int", "<"),
    "sext": ("int", "int", "<"),
    "trunc": ("int", "int", ">"),
    "fpext": ("float", "float", "<"),
    "fptrunc": ("float", "float", ">"),
    "sitofp": ("int", "float", ""),
    "uitofp": ("int", "float", ""),
    "fptosi": ("float", "int", ""),
    "fptoui": ("float", "int", ""),
    "ptrtoint": ("pointer", "int", ""),
    "inttoptr": ("int", "pointer", ""),
}


def _cast(s: Let | Do, args: list[str], result: str) -> str:
    if len(args) != 1:
        return "takes one operand"
    how = s.attrs[0]
    before, after = TYPES[args[0]], TYPES[result]
    problem = f"{how} does not go from {args[0]} to {result}"
    if how == "bitcast":
        same = before.bits * before.lanes == after.bits * after.lanes
        return "" if same and "ptr" not in (args[0], result) else problem
    if how not in _CASTS:
        return f"no cast {how}"
    source, target, order = _CASTS[how]
    good = (_kind(args[0]), _kind(result)) == (source, target)
    good = good and (before.is_vector, before.lanes) == (after.is_vector, after.lanes)
    sizes = {"<": before.bits < after.bits, ">": before.bits > after.bits, "": True}
    return "" if good and sizes[order] else problem


def _splat(s: Let | Do, args: list[str], result: str) -> str:
    good = len(args) == 1 and TYPES[result].is_vector and args[0] == TYPES[result].element
    return "" if good else f"does not make {result} of {', '.join(args)}"


def _shuffle(s: Let | Do, args: list[str], result: str) -> str:
    mask = s.attrs[0]
    if len(args) not in (1, 2) or len(set(args)) != 1 or not TYPES[args[0]].is_vector:
        return "takes one vector, or two of one type"
    lanes = TYPES[args[0]].lanes * len(args)
    if not all(0 <= lane < lanes for lane in mask):
        return f"the mask names a lane outside 0..{lanes - 1}"
    wanted = loops.vector(TYPES[args[0]].element, len(mask))
    return "" if result == wanted else f"the result is {wanted}, not {result}"


def _extract(s: Let | Do, args: list[str], result: str) -> str:
    good = len(args) == 2 and TYPES[args[0]].is_vector and args[1] == "i64"
    good = good and result == TYPES[args[0]].element
    return "" if good else "takes a vector and an i64, and gives an element"


def _insert(s: Let | Do, args: list[str], result: str) -> str:
    facts = TYPES[result]
    good = facts.is_vector and args == [result, facts.element, "i64"]
    return "" if good else "takes a vector, an element and an i64"


def _masked_load(s: Let | Do, args: list[str], result: str) -> str:
    good = TYPES[result].is_vector and args == ["ptr", with_element(result, "i1")]
    return _memory(result) if good else "takes a ptr and a mask of as many lanes"


def _masked_store(s: Let | Do, args: list[str], result: str) -> str:
    good = len(args) == 3 and TYPES[args[0]].is_vector
    good = good and args[1:] == ["ptr", with_element(args[0], "i1")]
    return _memory(args[0]) if good else "takes a vector, a ptr and a mask of as many lanes"


def _gather(s: Let | Do, args: list[str], result: str) -> str:
    indices = [with_element(result, element) for element in ("i32", "i64")]
    good = TYPES[result].is_vector and len(args) in (2, 3)
    good = good and args[0] == "ptr" and args[1] in indices
    good = good and args[2:] in ([], [with_element(result, "i1")])
    return _memory(result) if good else "takes a ptr, i32 or i64 indices, and perhaps a mask"


def _word(type: str) -> str:
    good = type in ("i8", "i16", "i32", "i64", "ptr")
    return "" if good else f"{type} cannot be changed in one step"


def _order(order: object, *excluded: str) -> str:
    good = order in loops.ORDERS and order not in excluded
    return "" if good else f"no order {order} here"


def _atomic_load(s: Let | Do, args: list[str], result: str) -> str:
    problem = _exact("*", "ptr")(s, args, result) or _word(result)
    return problem or _order(s.attrs[0], "release", "acq_rel")


def _atomic_store(s: Let | Do, args: list[str], result: str) -> str:
    problem = _exact("", "", "ptr")(s, args, result) or _word(args[0])
    return problem or _order(s.attrs[0], "acquire", "acq_rel")


def _atomic(s: Let | Do, args: list[str], result: str) -> str:
    problem = _exact("*", "ptr", result)(s, args, result) or _word(result)
    how, order = s.attrs
    if how not in loops.ATOMICS or (result == "ptr" and how != "xchg"):
        return f"no operation {how} on {result}"
    return problem or _order(order)


def _cas(s: Let | Do, args: list[str], result: str) -> str:
    return _exact("*", "ptr", result, result)(s, args, result) or _word(result)


def _at(s: Let | Do, args: list[str], result: str) -> str:
    return _exact("ptr", "ptr", "i64")(s, args, result) or _memory(s.attrs[0])


def _array(s: Let | Do, args: list[str], result: str) -> str:
    element, count, align = s.attrs
    if not isinstance(count, int) or count < 1:
        return f"count={count} is no size"
    return _exact("ptr")(s, args, result) or _memory(element) or _align(align)


def _get(s: Let | Do, args: list[str], result: str) -> str:
    good = len(args) == 1 and s.args[0].name[0] == "$" and args[0] == result
    return "" if good else "takes a variable of the result's type"


def _set(s: Let | Do, args: list[str], result: str) -> str:
    good = len(args) == 2 and s.args[0].name[0] == "$" and args[0] == args[1]
    return "" if good else "takes a variable and a value of its type"


def _prefetch(s: Let | Do, args: list[str], result: str) -> str:
    good = s.attrs[0] in (0, 1) and s.attrs[1] in (0, 1, 2, 3)
    return _exact("", "ptr")(s, args, result) if good else "write is 0 or 1, locality 0 to 3"


RULES: dict[str, Rule] = {
    **dict.fromkeys(("add", "sub", "mul"), _uniform(2, "int", "float")),
    **dict.fromkeys(("udiv", "urem", "sdiv", "srem", "and", "or", "xor"), _uniform(2, "int")),
    **dict.fromkeys(("shl", "ashr", "lshr", "min", "max"), _uniform(2, "int")),
    **dict.fromkeys(("div", "copysign"), _uniform(2, "float")),
    **dict.fromkeys(("neg", "abs"), _uniform(1, "int", "float")),
    **dict.fromkeys(("sqrt", "floor", "ceil", "trunc", "rint"), _uniform(1, "float")),
    **dict.fromkeys(("popcount", "ctlz"), _uniform(1, "int")),
    "fma": _uniform(3, "float"),
    "scale": _uniform(2, "float"),
    "cmp": _cmp,
    "select": _select,
    "at": _at,
    "load": _load,
    "cast": _cast,
    "splat": _splat,
    "shuffle": _shuffle,
    "extract": _extract,
    "insert": _insert,
    "masked_load": _masked_load,
    "gather": _gather,
    "atomic_load": _atomic_load,
    "atomic": _atomic,
    "cas": _cas,
    "array": _array,
    "get": _get,
}
EFFECT_RULES: dict[str, Rule] = {
    "store": _store,
    "masked_store": _masked_store,
    "memcpy": _exact("", "ptr", "ptr", "i64"),
    "memmove": _exact("", "ptr", "ptr", "i64"),
    "memset": _exact("", "ptr", "i8", "i64"),
    "prefetch": _prefetch,
    "atomic_store": _atomic_store,
    "fence": _exact(""),
    "pause": _exact(""),
    "set": _set,
}


# ---- functions -----------------------------------------------------------------------------------


@final
class _Checker:
    """One function: what is defined here, and how many loops are around."""

    def __init__(self, function: loops.Function, symbols: dict[str, Any]) -> None:
        self.function = function
        self.symbols = symbols
        self.statement: loops.Statement | None = None
        self.defined: dict[str, str] = {}  # names that may be used here, and their types
        self.gone: set[str] = set()  # names of blocks that have ended
        self.literals: set[Operand] = set()  # those found good
        self.loops = 0

    def fail(self, problem: str) -> LoopsError:
        facts = {"function": self.function.name}
        if self.statement is not None:
            facts["statement"] = loops.show_statement(self.statement)
        return LoopsError("verify", problem, **facts)

    def require(self, truth: object, problem: str) -> None:
        if not truth:
            raise self.fail(problem)

    def check(self) -> None:
        function = self.function
        for param in function.params:
            self.require(loops.is_name(param.name[1:]), f"{param.name} is no name")
        self.require(function.inline in loops.INLINE, f"inline={function.inline}")
        for param in function.params:
            self.define(param, "%")
        if function.result != "void":
            self.facts(function.result)
        ends = self.block(function.body)
        self.statement = None
        self.require(ends, f"a path gives no {function.result}")

    def facts(self, type: str) -> loops.TypeFacts:
        try:
            return TYPES[type]
        except LoopsError:
            raise self.fail(f"{type} is no type") from None

    def define(self, operand: Operand, first: str) -> None:
        type, name = operand
        self.facts(type)
        if name[0] != first:
            raise self.fail(f"{name} is no name for this")
        if name in self.defined or name in self.gone:
            raise self.fail(f"{name} is defined twice")
        self.defined[name] = type

    def use(self, operand: Operand, wanted: str = "") -> str:
        """The type of an operand that may be used here."""
        type, name = operand
        known = self.defined.get(name)
        if known != type:
            self.not_a_name(operand, known)
        if wanted and type != wanted:
            raise self.fail(f"{name} is {type}, not {wanted}")
        return type

    def not_a_name(self, operand: Operand, known: str | None) -> None:
        """Accept a symbol or a literal; refuse a name that is unknown or has another type."""
        type, name = operand
        if name[0] in "%$":
            problem = f"{name} is {known}, not {type}" if known else f"{name} is not defined here"
            raise self.fail(problem)
        if name[0] == "@":
            self.require(name[1:] in self.symbols, f"the module has no {name[1:]}")
            self.require(type == "ptr", f"{name} is a ptr, not {type}")
        elif operand not in self.literals:
            self.facts(type)
            try:
                _literal(operand)
            except LoopsError as error:
                raise self.fail(error.problem) from None
            self.literals.add(operand)

    # ---- statements; each says whether it always leaves the block by a return

    def block(self, body: loops.Body) -> bool:
        """Names defined in a block are known to the end of the block."""
        outside = len(self.defined)
        ends = False
        for statement in body:
            self.statement = statement
            if ends and not isinstance(statement, loops.Return):
                raise self.fail("nothing gets here")
            ends = CHECKS[type(statement)](self, statement) or ends
        self.forget(outside)
        return ends

    def forget(self, outside: int) -> None:
        """Hide the names defined since there were only so many."""
        while len(self.defined) > outside:
            self.gone.add(self.defined.popitem()[0])

    def let(self, s: Let) -> bool:
        args = [self.use(arg) for arg in s.args]
        self.facts(s.result.type)
        if s.op == "call":
            self.call(s, args, s.result.type)
        else:
            self.operation(RULES, s, args, s.result.type)
        self.define(s.result, "%")
        return False

    def do(self, s: Do) -> bool:
        args = [self.use(arg) for arg in s.args]
        if s.op == "call":
            self.call(s, args, "void")
        else:
            self.operation(EFFECT_RULES, s, args, "")
        return False

    def operation(self, rules: dict[str, Rule], s: Let | Do, args: list[str], result: str) -> None:
        rule = rules.get(s.op)
        names = loops.ATTRS.get(s.op, ())
        if rule is None:
            raise self.fail(f"no operation {s.op}")
        if len(s.attrs) != len(names):
            raise self.fail(f"{s.op} has the attributes {', '.join(names)}")
        for operand in s.args[1:] if s.op in ("get", "set") else s.args:
            if operand.name[0] == "$":
                raise self.fail(f"{operand.name} is a variable: get it first")
        try:
            problem = rule(s, args, result)
        except LoopsError as error:  # an attribute that is no type
            problem = error.problem
        if problem:
            raise self.fail(f"{s.op}: {problem}")

    def call(self, s: Let | Do, args: list[str], result: str) -> None:
        self.require(args and args[0] == "ptr", "call: takes a function and its arguments")
        name = s.args[0].name
        given = args[1:]
        fixed = s.attrs[0]
        if name[0] != "@":
            self.require(fixed is None or given[: len(fixed)] == list(fixed), "call: wrong types")
            return
        callee = self.symbols[name[1:]]
        if isinstance(callee, loops.Function):
            params: tuple[str, ...] = tuple(param.type for param in callee.params)
            variadic = False
        else:
            self.require(isinstance(callee, loops.Extern), f"call: {name} is no function")
            params, variadic = callee.params, callee.variadic
        if variadic:
            self.require(fixed == params, f"call: {name} is variadic, fixed={params}")
            given = given[: len(params)]
        shown = f"{name}({', '.join(params)}) -> {callee.result}"
        self.require(given == list(params) and result == callee.result, f"call: this is {shown}")

    def var(self, s: loops.Var) -> bool:
        if s.init is not None:
            self.use(s.init, s.place.type)
        self.define(s.place, "$")
        return False

    def loop(self, s: loops.Loop) -> bool:
        for operand in (s.low, s.high, s.step):
            self.use(operand, "i64")
        self.require(s.counter.type == "i64", "the counter of a loop is an i64")
        self.require(s.step.name[0] in "%123456789", "the step of a loop is positive")
        outside = len(self.defined)
        self.define(s.counter, "%")
        self.loops += 1
        self.block(s.body)
        self.loops -= 1
        self.forget(outside)
        return False

    def while_(self, s: loops.While) -> bool:
        self.loops += 1
        self.block(s.body)
        self.loops -= 1
        return not _breaks(s.body)

    def jump(self, s: loops.Break | loops.Continue) -> bool:
        self.require(self.loops, "this stands in no loop")
        self.use(s.condition, "i1")
        return False

    def if_(self, s: loops.If) -> bool:
        self.use(s.condition, "i1")
        then = self.block(s.then)
        return self.block(s.otherwise) and then

    def switch(self, s: loops.Switch) -> bool:
        facts = self.facts(self.use(s.value))
        whole = not facts.is_float and not facts.is_vector and facts.element != "ptr"
        self.require(whole, f"a switch looks at one whole number, not at {facts.name}")
        numbers = [number for number, _ in s.cases]
        self.require(len(set(numbers)) == len(numbers), "two cases have one number")
        ends = [self.block(body) for body in (*(body for _, body in s.cases), s.default)]
        return all(ends)

    def return_(self, s: loops.Return) -> bool:
        if s.value is None:
            self.require(self.function.result == "void", f"returns no {self.function.result}")
        else:
            self.use(s.value, self.function.result)
        return True


def _breaks(body: loops.Body) -> bool:
    """Whether something in the body leaves the loop around it by a break."""
    for statement in body:
        match statement:
            case loops.Break():
                return True
            case loops.If(_, then, otherwise) if _breaks(then) or _breaks(otherwise):
                return True
            case loops.Switch(_, cases, default) if _breaks(default) or any(
                _breaks(case) for _, case in cases
            ):
                return True
    return False


CHECKS: dict[type, Callable[[_Checker, Any], bool]] = {
    Let: _Checker.let,
    Do: _Checker.do,
    loops.Var: _Checker.var,
    loops.Loop: _Checker.loop,
    loops.While: _Checker.while_,
    loops.Break: _Checker.jump,
    loops.Continue: _Checker.jump,
    loops.If: _Checker.if_,
    loops.Switch: _Checker.switch,
    loops.Return: _Checker.return_,
}
