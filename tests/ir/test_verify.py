"""The verifier accepts all that the language has; each planted fault is found and quoted."""

import pytest

from twofold.ir import loops
from twofold.ir.build import Module
from twofold.ir.loops import Let, LoopsError, Operand
from twofold.ir.text import parse
from twofold.ir.verify import EFFECT_RULES, RULES, verify

from .programs import everything


def test_everything_is_accepted() -> None:
    verify(everything().finish())


def test_the_program_with_everything_has_every_operation() -> None:
    text = str(everything())
    missing = [op for op in (*RULES, *EFFECT_RULES, "call") if f" {op}" not in text]
    assert missing == []


HEAD = """
module "m"
extern outside(i64, f32) -> i64
extern printf(ptr, ...) -> i32
data state: i64[4]
function other(%x: f32) -> f32 {
  return %x
}
function f(%p: ptr, %n: i64, %x: f32, %v: f32x8, %c: i1) -> i64 {
"""

# A faulty statement, and words of the complaint. The statement stands first in the function.
FAULTS = [
    ("%v1: i64 = add %n, %x", "operands of i64, f32 and a result of i64"),
    ("%v1: f32 = add %n, %n", "should be of one type"),
    ("%v1: ptr = add %p, %p", "takes int or float operands"),
    ("%v1: i64 = add %n", "takes 2 operands"),
    ("%v1: i64 = div %n, %n", "takes float operands"),
    ("%v1: f32 = xor %x, %x", "takes int operands"),
    ("%v1: i64 = sqrt %n", "takes float operands"),
    ("%v1: f32 = ctlz %x", "takes int operands"),
    ("%v1: i64 = fly %n", "no operation fly"),
    ("fly %n", "no operation fly"),
    ("load %p align=4", "no operation load"),
    ("%v1: i64 = store %n, %p align=8", "no operation store"),
    ("%v1: f33 = add %x, %x", "f33 is no type"),
    ("%v1: i1 = cmp %n, %n predicate=olt", "no predicate olt for i64"),
    ("%v1: i64 = cmp %n, %n predicate=eq", "the result is no i64"),
    ("%v1: i1 = cmp %n, %x predicate=eq", "takes two operands of one type"),
    ("%v1: i64 = select %n, %n, %n", "the condition is i64"),
    ("%v1: i64 = select %c, %n, %x", "two operands of the result's type"),
    ("%v1: ptr = at %p, %x element=f32", "operand 1 is f32, not i64"),
    ("%v1: ptr = at %p, %n element=f3", "is no type"),
    ("%v1: f32 = load %n align=4", "operand 0 is i64, not ptr"),
    ("%v1: i1 = load %p align=1", "i1 has no form in memory"),
    ("%v1: f32 = load %p align=3", "align=3 is no power of two"),
    ("%v1: f32 = load %p", "align=None"),
    ("store %p, %n align=8", "operand 1 is i64, not ptr"),
    ("%v1: f32 = cast %n how=trunc", "trunc does not go from i64 to f32"),
    ("%v1: i64 = cast %n how=zext", "zext does not go from i64 to i64"),
    ("%v1: f32x8 = cast %n how=sitofp", "sitofp does not go from i64 to f32x8"),
    ("%v1: f32 = cast %n how=bitcast", "bitcast does not go from i64 to f32"),
    ("%v1: f32x8 = splat %n", "does not make f32x8 of i64"),
    ("%v1: f32x2 = shuffle %v mask=[0, 8]", "a lane outside 0..7"),
    ("%v1: f32x8 = shuffle %v mask=[0, 1]", "the result is f32x2"),
    ("%v1: f32 = extract %v, i32 0", "takes a vector and an i64"),
    ("%v1: f32x8 = insert %v, %n, i64 0", "takes a vector, an element"),
    ("%v1: f32x8 = masked_load %p, %c", "a mask of as many lanes"),
    ("masked_store %v, %p, %c", "a mask of as many lanes"),
    ("%v1: f32x8 = gather %p, %n", "takes a ptr, i32 or i64 indices"),
    ("%v1: f32 = atomic_load %p order=acquire", "f32 cannot be changed in one step"),
    ("%v1: i64 = atomic_load %p order=release", "no order release here"),
    ("atomic_store %n, %p order=acquire", "no order acquire here"),
    ("%v1: i64 = atomic %p, %n how=mul order=seq_cst", "no operation mul on i64"),
    ("%v1: i64 = cas %p, %n, %x", "operand 2 is f32, not i64"),
    ("%v1: ptr = array element=f32 count=0 align=8", "count=0 is no size"),
    ("memcpy %p, %n, %n", "operand 1 is i64, not ptr"),
    ("memset %p, %n, %n", "operand 1 is i64, not i8"),
    ("prefetch %p write=2 locality=3", "write is 0 or 1"),
    ("%v1: i64 = get %n", "takes a variable"),
    ("%v1: i64 = call %p, %n fixed=[f32]", "call: wrong types"),
    ("%v1: i64 = call @outside, %x, %n", "this is @outside(i64, f32) -> i64"),
    ("%v1: f32 = call @outside, %n, %x", "this is @outside(i64, f32) -> i64"),
    ("call @other, %x", "this is @other(f32) -> f32"),
    ("%v1: i32 = call @printf, %p", "@printf is variadic"),
    ("%v1: i64 = call @state, %n", "@state is no function"),
    ("%v1: i64 = call @nobody, %n", "the module has no nobody"),
    ("%v1: i64 = call %n, %n", "takes a function"),
    ("%v1: i64 = add %n, i64 1.0", "1.0 is no literal of i64"),
    ("%v1: f32 = add %x, f32 0.1", "0.1 is no literal of f32"),
    ("%v1: i64 = add %n, i64 9223372036854775808", "is no literal of i64"),
    ("%v1: i1 = xor %c, i1 1", "1 is no literal of i1"),
    ("store ptr 8, %p align=8", "8 is no pointer"),
    ("store f32x2 [1.0], %p align=4", "is no literal of f32x2"),
    ("break %c", "this stands in no loop"),
    ("continue %c", "this stands in no loop"),
    ("while {\n break %n\n}", "%n is i64, not i1"),
    ("if %n {\n}", "%n is i64, not i1"),
    ("loop %v1 from i64 0 to %x step i64 1 {\n}", "%x is f32, not i64"),
    ("loop %v1 from i64 0 to %n step i64 0 {\n}", "the step of a loop is positive"),
    ("loop %v1 from i64 0 to %n step i64 -1 {\n}", "the step of a loop is positive"),
    ("switch %x {\n default {\n }\n}", "a switch looks at one whole number"),
    ("switch %n {\n case 1 {\n }\n case 1 {\n }\n default {\n }\n}", "two cases have one"),
    ("var $1: i64 = %x", "%x is f32, not i64"),
    ("var $1: i64\n%v2: i64 = add $1, $1", "$1 is a variable: get it first"),
    ("var $1: i64\nset $1, %x", "takes a variable and a value of its type"),
    ("return %x", "%x is f32, not i64"),
    ("return", "returns no i64"),
    ("return %n\nfence", "nothing gets here"),
    ("if %c {\n return %n\n}\nelse {\n return %n\n}\npause", "nothing gets here"),
    ("while {\n}\npause", "nothing gets here"),
    ("if %c {\n %v1: i64 = add %n, %n\n}\nstore %v1, %p align=8", "%v1 is not defined here"),
    ("loop %v1 from i64 0 to %n step i64 1 {\n}\nstore %v1, %p align=8", "%v1 is not defined"),
    ("if %c {\n var $1: i64\n}\n%v2: i64 = get $1", "$1 is not defined here"),
]


@pytest.mark.parametrize(("statement", "problem"), FAULTS)
def test_a_planted_fault_is_found(statement: str, problem: str) -> None:
    end = "" if "nothing gets" in problem or statement.startswith("return") else "return %n\n"
    module = parse(f"{HEAD}{statement}\n{end}}}")
    with pytest.raises(LoopsError) as caught:
        verify(module)
    assert problem in str(caught.value)
    assert caught.value.facts["function"] == "f"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "if %c {\n return %n\n}",
        "if %c {\n}\nelse {\n return %n\n}",
        "loop %v1 from i64 0 to %n step i64 1 {\n return %n\n}",
        "while {\n return %n\n break %c\n}",
        "switch %n {\n case 1 {\n return %n\n }\n default {\n }\n}",
    ],
)
def test_a_path_without_a_result_is_found(body: str) -> None:
    with pytest.raises(LoopsError, match=r"a path gives no i64|nothing gets here"):
        verify(parse(f"{HEAD}{body}\n}}"))


@pytest.mark.parametrize(
    "body",
    [
        "if %c {\n return %n\n}\nelse {\n return %n\n}",
        "while {\n if %c {\n return %n\n }\n}",
        "while {\n while {\n break %c\n }\n}",
        "switch %n {\n case 1 {\n return %n\n }\n default {\n return %n\n }\n}",
        "while {\n break %c\n}\nreturn %n",
        "var $1: i64\nloop %v2 from i64 0 to %n step %n {\n set $1, %v2\n}\nreturn %n",
    ],
)
def test_a_function_whose_paths_all_return_is_accepted(body: str) -> None:
    verify(parse(f"{HEAD}{body}\n}}"))


def test_the_complaint_quotes_the_statement() -> None:
    module = parse(HEAD + "fence\n%v1: i64 = add %n, %x\nreturn %n\n}")
    with pytest.raises(LoopsError) as caught:
        verify(module)
    assert caught.value.facts["statement"] == "%v1: i64 = add %n, %x"


def test_a_name_is_defined_once() -> None:
    twice = Let(Operand("i64", "%n"), "add", (Operand("i64", "%n"),) * 2)
    function = loops.Function("f", (Operand("i64", "%n"),), "void", (twice,))
    with pytest.raises(LoopsError, match="%n is defined twice"):
        verify(loops.Module("m", (), (), (), (function,)))


def test_a_name_has_one_type() -> None:
    wrong = Let(Operand("i32", "%v1"), "neg", (Operand("i32", "%n"),))
    function = loops.Function("f", (Operand("i64", "%n"),), "void", (wrong,))
    with pytest.raises(LoopsError, match="%n is i64, not i32"):
        verify(loops.Module("m", (), (), (), (function,)))


def test_symbols_are_unique_and_tables_hold_literals() -> None:
    data = loops.Data("x", "i8", 1)
    with pytest.raises(LoopsError, match="'x' is taken"):
        verify(loops.Module("m", (), (data, data), (), ()))
    with pytest.raises(LoopsError, match="300 is no literal of i8"):
        verify(loops.Module("m", (), (), (loops.Table("t", "i8", ("300",)),), ()))


def test_what_the_builder_cannot_know_is_found_here() -> None:
    m = Module("m")
    f = m.function("f", [("n", "i64")])
    f.call("i32", "later", f.args[0])
    m.function("later", [("n", "i64")], "i64").ret(1)
    with pytest.raises(LoopsError, match="this is @later"):
        verify(m.finish())
