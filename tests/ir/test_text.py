"""Text and back: str and parse are inverse; what is no Loops is refused with its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.ir.build import Function, Module
from twofold.ir.loops import LoopsError
from twofold.ir.text import parse
from twofold.ir.verify import verify

from .programs import everything


def test_everything_prints_and_parses_back() -> None:
    module = everything().finish()
    text = str(module)
    assert parse(text) == module
    assert str(parse(text)) == text


def test_blank_lines_and_margins_do_not_matter() -> None:
    text = str(everything())
    assert parse("\n\n" + text.replace("\n", "  \n\n").replace("  ", "\t")) == parse(text)


FLOATS = st.floats(width=32) | st.floats()
WHOLE = st.integers(-(2**63), 2**63 - 1)


@st.composite
def modules(draw: st.DrawFn) -> Module:
    """Any module: random statements in random blocks, on values that are known there."""
    m = Module(draw(st.sampled_from(["a", "ew/exp/f32", "x = 1, y"])))
    m.table("table", "f32", draw(st.lists(FLOATS, max_size=3)))
    m.table("bytes", "i8", draw(st.lists(st.integers(-128, 255), max_size=3)))
    m.extern("outside", "i64", ["i64"], variadic=draw(st.booleans()))
    f = m.function(
        "random",
        [("p", "ptr"), ("n", "i64"), ("x", "f32x8")],
        internal=draw(st.booleans()),
        inline=draw(st.sampled_from(["auto", "never", "always"])),
    )
    f.noalias = draw(st.booleans())
    body(draw, f, list(f.args[1:2]), list(f.args[2:]), depth=3)
    return m


def body(draw: st.DrawFn, f: Function, whole: list, floats: list, depth: int) -> None:
    for _ in range(draw(st.integers(0, 4))):
        statement(draw, f, whole, floats, depth)


def statement(draw: st.DrawFn, f: Function, whole: list, floats: list, depth: int) -> None:
    a, b = draw(st.sampled_from(whole)), draw(st.sampled_from(whole) | WHOLE)
    x, y = draw(st.sampled_from(floats)), draw(st.sampled_from(floats) | FLOATS)
    condition = draw(st.sampled_from([a.cmp("eq", b), True]))

    def inside() -> None:
        body(draw, f, list(whole), list(floats), depth - 1)

    kind = draw(st.integers(0, 12 if depth else 6))
    if kind == 0:
        whole.append(draw(st.sampled_from([a + b, a * b, a ^ b])))
    elif kind == 1:
        floats.append(draw(st.sampled_from([x + y, x / y, f.fma(x, y, x), -x])))
    elif kind == 2:
        f.args[0].at(a, "f32").store(f.extract(x, 3))
    elif kind == 3:
        v = f.var("f32x8", y)
        v.set(x)
        floats.append(v.get())
    elif kind == 4:
        lanes = draw(st.lists(st.integers(0, 7), min_size=1, max_size=9))
        f.extract(f.shuffle(x, None, lanes), 0)
    elif kind == 5:
        whole.append(f.call("i64", "outside", a))
    elif kind == 6:
        floats.append(x.cmp("olt", y).select(x, f.const("f32x8", draw(st.just([0.5] * 8)))))
    elif kind == 7:
        with f.loop(a, b, draw(st.integers(1, 9))):
            f.continue_if(condition)
            inside()
    elif kind == 8:
        with f.while_():
            inside()
            f.break_if(condition)
    elif kind in (9, 10):
        with f.if_(condition) as branch:
            inside()
            if kind == 10:
                branch.otherwise()
                inside()
    elif kind == 11:
        f.switch(a, dict.fromkeys(draw(st.sets(st.integers(-5, 5))), inside), default=inside)
    else:
        with f.if_(condition):
            f.ret()


@settings(max_examples=150, deadline=None)
@given(modules())
def test_any_module_prints_parses_and_prints_the_same(m: Module) -> None:
    module = m.finish()
    verify(module)
    text = str(module)
    assert parse(text) == module
    assert str(parse(text)) == text


HEAD = 'module "m"\nfunction f(%n: i64) -> void {\n'


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 0, "ends in the middle"),
        ("function f() -> void {", 1, "expected module"),
        ('module "m"\nfunktion f() -> void {', 2, "found funktion"),
        (HEAD, 0, "ends in the middle"),
        (HEAD + "  fence\n", 0, "ends in the middle"),
        (HEAD + "  break %x\n}", 3, "%x is not defined before"),
        (HEAD + "  var $1: i64 = %n, i64 1\n}", 3, "nothing should follow"),
        (HEAD + "  %v1: i64 = add %n, i64\n}", 3, "found the end of the line"),
        (HEAD + "  %v1: i64 add %n, %n\n}", 3, "expected ="),
        (HEAD + "  %n: i64 = add %n, %n\n}", 3, "%n is defined twice"),
        (HEAD + "  %v1: i64 = load %n alein=4\n}", 3, "load has no attribute alein"),
        (HEAD + "  loop %v1 from i64 0 until %n step i64 1 {\n  }\n}", 3, "expected to"),
        (HEAD + "  switch %n {\n    case x {\n", 4, "x is no whole number"),
        (HEAD + "  switch %n {\n    return\n", 4, "expected default"),
        (HEAD + "  fence ; pause\n}", 3, "no word begins with ';'"),
        (HEAD + "  if %n {\n  } else {\n  }\n}", 4, "nothing should follow"),
        ('module "m"\ndata x: i8[big]', 2, "big is no whole number"),
    ],
)
def test_what_is_no_loops_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(LoopsError) as caught:
        parse(text)
    assert problem in str(caught.value)
    assert caught.value.facts.get("line", 0) == line
