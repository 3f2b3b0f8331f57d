"""The pens: what they write, and what they refuse at once."""

import doctest

import pytest

from twofold.ir import build, loops
from twofold.ir.build import Function, Module, Value
from twofold.ir.loops import LoopsError


@pytest.fixture
def f() -> Function:
    params = [("p", "ptr"), ("n", "i64"), ("x", "f32"), ("v", "f32x8")]
    return Module("test").function("test", params)


def written(f: Function) -> str:
    """The statements so far, without the function's own lines."""
    return "\n".join(line.strip() for line in str(f.module).splitlines()[3:-2])


def test_the_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(build).failed == 0


def test_a_void_function_returns_at_its_end_by_itself(f: Function) -> None:
    assert f.finish().body == (loops.Return(None),)
    f.ret()
    assert f.finish().body == (loops.Return(None),)


def test_values_are_numbered_in_the_order_of_the_text(f: Function) -> None:
    _, n, _, _ = f.args
    with f.loop(0, n) as i:
        i + 1
    n * 2
    assert written(f).splitlines() == [
        "loop %v1 from i64 0 to %n step i64 1 {",
        "%v2: i64 = add %v1, i64 1",
        "}",
        "%v3: i64 = mul %n, i64 2",
    ]


def test_numbers_take_the_type_of_the_place_they_go_to(f: Function) -> None:
    p, n, x, v = f.args
    f.fma(2, v, 1)
    f.max(7, n)
    f.copysign(1, x)
    f.memset(p, 0, 16)
    f.var("i8", 3).set(4)
    assert written(f).splitlines() == [
        "%v1: f32x8 = fma f32x8 2.0, %v, f32x8 1.0",
        "%v2: i64 = max %n, i64 7",
        "%v3: f32 = copysign f32 1.0, %x",
        "memset %p, i8 0, i64 16",
        "var $4: i8 = i8 3",
        "set $4, i8 4",
    ]


def test_both_sides_of_an_if(f: Function) -> None:
    with f.if_(True) as branch:
        f.fence()
        branch.otherwise()
        f.pause()
    assert written(f) == "if i1 true {\nfence\n}\nelse {\npause\n}"
    with pytest.raises(LoopsError, match="already"), f.if_(True) as branch:
        branch.otherwise()
        branch.otherwise()


def test_an_error_inside_a_block_leaves_the_function_as_it_was(f: Function) -> None:
    blocks = [f.loop(0, 3), f.while_(), f.if_(True)]
    for block in blocks:
        with pytest.raises(KeyError), block:
            f.fence()
            raise KeyError
    f.pause()
    assert written(f) == "pause"


def test_calls_are_typed_by_what_is_known(f: Function) -> None:
    p, n, x, _ = f.args
    m = f.module
    m.extern("printf", "i32", ["ptr"], variadic=True)
    m.function("half", [("x", "f32")], "f32")
    f.call("f32", "half", 3)
    f.call("i32", "printf", p, 3)
    f.call("void", p, 5)
    f.call("i32", p, n, x, variadic=["i64"])
    f.call("void", "later", 1)
    assert [loops.show_statement(statement) for statement in f.body] == [
        "%v1: f32 = call @half, f32 3.0",
        "%v2: i32 = call @printf, %p, i64 3 fixed=[ptr]",
        "call %p, i64 5",
        "%v3: i32 = call %p, %n, %x fixed=[i64]",
        "call @later, i64 1",
    ]


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda f: f.call("f64", "half", 3), "half gives f32"),
        (lambda f: f.call("f32", "half"), "takes 1 arguments, 0 given"),
        (lambda f: f.call("f32", "half", 1, 2), "takes 1 arguments, 2 given"),
        (lambda f: f.call("f32", "half", f.args[1]), "a f32 was wanted"),
        (lambda f: f.loop(0, 1.5).__enter__(), "no whole number"),
        (lambda f: f.loop(0, f.args[2]).__enter__(), "a i64 was wanted"),
        (lambda f: f.if_(f.args[1]).__enter__(), "a i1 was wanted"),
        (lambda f: f.break_if(f.args[2]), "a i1 was wanted"),
        (lambda f: f.sqrt(f.args[1]), "takes floats"),
        (lambda f: f.fma(1, 2, 3), "one of them a Value"),
        (lambda f: f.fma(f.args[1], 2, 3), "takes floats"),
        (lambda f: f.min(f.args[2], 3), "takes int operands"),
        (lambda f: f.min(2, 3), "two Python numbers"),
        (lambda f: f.const("f33", 1), "is no type"),
        (lambda f: f.atomic("mul", f.args[0], 1), "no operation 'mul'"),
        (lambda f: f.module.function("half", []), "'half' is taken"),
        (lambda f: f.module.data("a b", "i8", 1), "'a b' is no name"),
        (lambda f: f.module.function("g", [("v1", "i8")]), "no name for a parameter"),
        (lambda f: f.module.function("g", [], inline="perhaps"), "inline='perhaps'"),
        (lambda f: Module('a "b"'), "no name for a module"),
    ],
)
def test_what_means_nothing_is_refused_at_once(f: Function, write: object, problem: str) -> None:
    f.module.function("half", [("x", "f32")], "f32")
    with pytest.raises(LoopsError, match=problem):
        write(f)  # type: ignore[operator]


def test_an_extern_may_be_said_twice_but_not_in_two_ways() -> None:
    m = Module("test")
    m.extern("free", "void", ["ptr"])
    m.extern("free", "void", ["ptr"])
    assert len(m.finish().externs) == 1
    with pytest.raises(LoopsError, match="'free' is taken"):
        m.extern("free", "i32", ["ptr"])


def test_cas_gives_what_was_seen_and_whether_it_wrote(f: Function) -> None:
    seen, written_ = f.cas(f.args[0], f.const("i32", 1), 2)
    assert (seen.type, written_.type) == ("i32", "i1")
    assert isinstance(seen, Value)
