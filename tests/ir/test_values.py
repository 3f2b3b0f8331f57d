"""Operators on values: the operation that each writes, and the kinds that it takes."""

from collections.abc import Callable
from typing import Any

import pytest

from twofold.ir import loops
from twofold.ir.build import Function, Module, Value
from twofold.ir.loops import LoopsError


@pytest.fixture
def f() -> Function:
    params = [("p", "ptr"), ("n", "i64"), ("x", "f32"), ("v", "f32x8")]
    return Module("test").function("test", params)


INT_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "udiv": lambda a, b: a // b,
    "urem": lambda a, b: a % b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
}
METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "ashr": lambda a, b: a.ashr(b),
    "lshr": lambda a, b: a.lshr(b),
    "sdiv": lambda a, b: a.sdiv(b),
    "srem": lambda a, b: a.srem(b),
}


@pytest.mark.parametrize("op", [*INT_OPERATORS, *METHODS])
def test_an_operator_on_integers(f: Function, op: str) -> None:
    n = f.args[1]
    result = (INT_OPERATORS | METHODS)[op](n, 3)
    assert f.body == [loops.Let(result.operand, op, (n.operand, loops.Operand("i64", "3")))]


@pytest.mark.parametrize("op", INT_OPERATORS)
def test_a_number_on_the_left_stays_on_the_left_unless_it_does_not_matter(
    f: Function, op: str
) -> None:
    n, three = f.args[1].operand, loops.Operand("i64", "3")
    INT_OPERATORS[op](3, f.args[1])
    args = f.body[0].args  # type: ignore[union-attr]
    assert args == (three, n) or (op in ("and", "or", "xor") and args == (n, three))


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_an_operator_on_floats(f: Function, op: str) -> None:
    v = f.args[3]
    result = INT_OPERATORS[op](v, v)
    assert f.body == [loops.Let(result.operand, op, (v.operand, v.operand))]
    assert (v / 2).type == (2 / v).type == "f32x8"


@pytest.mark.parametrize("op", ["udiv", "urem", "and", "or", "xor", "shl"])
def test_whole_number_operators_refuse_floats(f: Function, op: str) -> None:
    with pytest.raises(LoopsError, match="takes int operands"):
        INT_OPERATORS[op](f.args[2], f.args[2])


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda p, n, x, v: n / 2, "takes float operands"),
        (lambda p, n, x, v: x + v, "operands of two types"),
        (lambda p, n, x, v: n + 1.5, "no whole number"),
        (lambda p, n, x, v: p + 8, "no pointer"),
        (lambda p, n, x, v: x.cmp("slt", 0), "no predicate 'slt' for f32"),
        (lambda p, n, x, v: n.cmp("olt", 0), "no predicate 'olt' for i64"),
        (lambda p, n, x, v: n.cmp("eq", x), "a i64 was wanted"),
        (lambda p, n, x, v: n.cmp("eq", 0).select(1, 2), "two Python numbers"),
        (lambda p, n, x, v: n.cmp("eq", 0).select(x, v), "a f32 was wanted"),
        (lambda p, n, x, v: p.at(x), "a i64 was wanted"),
        (lambda p, n, x, v: p.store(1.0), "has no type"),
        (lambda p, n, x, v: n.cast("float", "f32"), "no cast 'float'"),
        (lambda p, n, x, v: bool(n), "exists only when the kernel runs"),
    ],
)
def test_what_means_nothing_is_refused(
    f: Function, write: Callable[..., object], problem: str
) -> None:
    with pytest.raises(LoopsError, match=problem):
        write(*f.args)


def test_comparisons_give_a_truth_value_for_each_lane(f: Function) -> None:
    _, n, _, v = f.args
    assert n.cmp("ult", 3).type == "i1"
    assert v.cmp("uno", v).type == "i1x8"
    assert v.cmp("olt", 0).select(v, 0.0).type == "f32x8"
    assert v.cmp("olt", 0).select(0.0, v).type == "f32x8"


def test_memory_is_reached_by_elements_with_an_elements_alignment(f: Function) -> None:
    p = f.args[0]
    assert p.at(3, "f64").load("f64x4").type == "f64x4"
    p.load("f32x8", align=32)
    p.store(f.const("i16", 1))
    lets = [s for s in f.body if not isinstance(s, loops.Do)]
    assert [s.attrs for s in lets] == [("f64",), (8,), (32,)]  # type: ignore[union-attr]
    assert f.body[-1].attrs == (2,)  # type: ignore[union-attr]


def test_inversion_of_bits_and_of_truth(f: Function) -> None:
    n = f.args[1]
    assert (~n).type == "i64"
    assert (~n.cmp("eq", 0)).type == "i1"
    last = [s.args[1].name for s in f.body if s.op == "xor"]  # type: ignore[union-attr]
    assert last == ["-1", "true"]


def test_a_variable_keeps_its_type(f: Function) -> None:
    total = f.var("f32x8", 0.0)
    total.set(total.get() + f.args[3])
    assert isinstance(total.get(), Value)
    with pytest.raises(LoopsError, match="a f32x8 was wanted"):
        total.set(f.args[2])
