"""The records of Loops: types, literals, equality, and the canonical text."""

import math

import pytest

from twofold.ir import loops
from twofold.ir.build import Module
from twofold.ir.loops import TYPES, LoopsError, Operand, constant, literal, vector, with_element


def test_a_type_word_says_element_lanes_and_sizes() -> None:
    assert TYPES["f32x8"] == ("f32x8", "f32", 8, True, True, 32, 4)
    assert TYPES["i1"] == ("i1", "i1", 1, False, False, 1, 1)
    assert TYPES["ptr"].size == 8
    assert not TYPES["f64"].is_vector and TYPES["f64x1"].is_vector


@pytest.mark.parametrize("word", ["", "f", "f32x", "f32x0", "f32x-1", "f32x8x2", "ptrx4", "x8", 3])
def test_no_other_word_is_a_type(word: object) -> None:
    with pytest.raises(LoopsError, match="is no type"):
        TYPES[word]  # type: ignore[index]


def test_types_are_made_of_types() -> None:
    assert vector("i16", 4) == "i16x4"
    assert with_element("f32x8", "i1") == "i1x8"
    assert with_element("f64", "i64") == "i64"


@pytest.mark.parametrize(
    ("type", "value", "text"),
    [
        ("f32", 1, "1.0"),
        ("f32", 0.1, "0.10000000149011612"),
        ("f64", 0.1, "0.1"),
        ("f16", 0.1, "0.0999755859375"),
        ("f32", -0.0, "-0.0"),
        ("f32", 1e300, "inf"),
        ("f16", -70000.0, "-inf"),
        ("f64", math.inf, "inf"),
        ("f32x4", math.nan, "nan"),
        ("i8", 255, "-1"),
        ("i64", 2**64 - 1, "-1"),
        ("i64", -(2**63), "-9223372036854775808"),
        ("i1", True, "true"),
        ("i1", 0, "false"),
        ("f32x2", [1, -2], "[1.0, -2.0]"),
        ("i32x3", range(3), "[0, 1, 2]"),
    ],
)
def test_a_literal_is_rounded_to_its_type(type: str, value: object, text: str) -> None:
    assert literal(type, value) == text
    assert constant(type, value) == Operand(type, text)
    assert constant(type, value) == Operand(type, text), "the second time it is remembered"


def test_remembered_constants_keep_kinds_and_signs_apart() -> None:
    assert constant("f32", 0.0).name == "0.0"
    assert constant("f32", -0.0).name == "-0.0"
    assert constant("i64", 1).name == "1"
    with pytest.raises(LoopsError):
        constant("i64", 1.0)


@pytest.mark.parametrize(
    ("type", "value", "problem"),
    [
        ("i8", 256, "does not fit"),
        ("i8", -129, "does not fit"),
        ("i32", 1.0, "no whole number"),
        ("i1", 2, "no truth value"),
        ("ptr", 0, "no pointer"),
        ("f32x4", [1, 2], "2 values for one f32x4"),
        ("f32", [1.0], "1 values for one f32"),
    ],
)
def test_what_does_not_fit_a_type_is_refused(type: str, value: object, problem: str) -> None:
    with pytest.raises(LoopsError, match=problem):
        literal(type, value)


def test_equality_sees_the_class_of_a_record() -> None:
    condition = Operand("i1", "%v1")
    assert loops.Break(condition) == loops.Break(condition)
    assert loops.Break(condition) != loops.Continue(condition)
    assert (loops.If(condition, (), ()) == loops.Switch(condition, (), ())) is False
    assert len({loops.Break(condition), loops.Break(condition)}) == 1


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        loops.Break(Operand("i1", "%v1")).condition = Operand("i1", "%v2")  # type: ignore[misc]


def test_the_canonical_text() -> None:
    m = Module("scale")
    m.extern("printf", "i32", ["ptr"], variadic=True)
    m.data("heads", "ptr", 256)
    m.table("halves", "f32", [0.5, 0.25])
    f = m.function("scale", [("x", "ptr"), ("n", "i64")], "i32", internal=True, inline="never")
    f.noalias = True
    x, n = f.args
    total = f.var("f32", 0.0)
    with f.loop(0, n, 2) as i:
        with f.if_(i.cmp("eq", 3)) as branch:
            total.set(total.get() * 2.0)
            branch.otherwise()
            x.at(i).store(f.const("f32x8", 1.5), align=32)
        f.break_if(True)
    f.switch(n, {7: f.fence}, default=f.pause)
    with f.while_():
        f.ret(f.call("i32", "printf", f.address("halves"), n))
    assert str(m) == TEXT


TEXT = """\
module "scale"
extern printf(ptr, ...) -> i32
data heads: ptr[256]
table halves: f32 = [0.5, 0.25]

function scale(%x: ptr, %n: i64) -> i32 internal inline=never noalias {
  var $1: f32 = f32 0.0
  loop %v2 from i64 0 to %n step i64 2 {
    %v3: i1 = cmp %v2, i64 3 predicate=eq
    if %v3 {
      %v4: f32 = get $1
      %v5: f32 = mul %v4, f32 2.0
      set $1, %v5
    }
    else {
      %v6: ptr = at %x, %v2 element=f32
      store f32x8 1.5, %v6 align=32
    }
    break i1 true
  }
  switch %n {
    case 7 {
      fence
    }
    default {
      pause
    }
  }
  while {
    %v7: i32 = call @printf, @halves, %n fixed=[ptr]
    return %v7
  }
}
"""
