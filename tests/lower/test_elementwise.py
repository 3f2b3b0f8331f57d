"""Elementwise kernels: the same bits in every layout, length and number of chunks."""

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.dtypes import BFLOAT16
from twofold.base.types import Type
from twofold.codegen import vmath
from twofold.lower.elementwise import elementwise_task, pattern_elementwise, plan_elementwise
from twofold.lower.schedule import Arg, Count, In, Out, Plan, Step

FILL = 0xA5
RECIPES = {  # name: (recipe, inputs); short and long, with a rare branch, from float64 within
    "add": (lambda f, x, y: x + y, 2),
    "exp": (vmath.exp, 1),
    "log": (vmath.log, 1),
    "sin": (vmath.sin, 1),
    "erfc": (vmath.erfc, 1),
    "fmod": (vmath.fmod, 2),
    "less": (lambda f, x, y: x.cmp("olt", y), 2),
}


def arg_of(array):
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Arg(array.shape, dtypes.of(array.dtype), strides)


@pytest.fixture
def apply(run_steps):
    """The outputs of a recipe on arrays, checked not to be written beyond their ends."""

    def apply(name, recipe, arrays, *outs, chunks=0, threads=2, **attrs):
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        types = tuple(Type(shape, dtypes.as_dtype(out)) for out in outs)
        args = tuple(map(arg_of, arrays))
        plan = plan_elementwise(f"test/{name}", recipe, args, types, attrs, threads)
        frames = [np.full(t.size * t.dtype.itemsize + 128, FILL, np.uint8) for t in types]
        made = [
            frame[64 : len(frame) - 64].view(t.dtype.numpy).reshape(shape)
            for frame, t in zip(frames, types, strict=True)
        ]
        run_steps(plan, arrays, made, chunks)
        for frame in frames:
            assert (frame[:64] == FILL).all() and (frame[-64:] == FILL).all(), "written outside"
        return made[0] if len(made) == 1 else made

    return apply


def numbers(shape, dtype="float32", seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal(shape) * 10.0 ** random.uniform(-3, 6, shape)
    return dtypes.convert(np.asarray(x), dtypes.by_name(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RECIPES)
def test_no_length_or_chunking_changes_an_element(apply, same_bits, name, dtype):
    recipe, count = RECIPES[name]
    out = "bool" if name == "less" else dtype
    whole = [numbers(5000, dtype, seed) for seed in range(count)]
    want = apply(name, recipe, whole, out)
    for n in (1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 1023, 1025, 4999):
        xs = [x[:n] for x in whole]
        for chunks in (1, 2, 3, 8):
            assert same_bits(apply(name, recipe, xs, out, chunks=chunks), want[:n]), (n, chunks)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RECIPES)
def test_no_layout_changes_an_element(apply, same_bits, name, dtype):
    recipe, count = RECIPES[name]
    out = "bool" if name == "less" else dtype
    x, y = numbers((6, 10, 40), dtype), numbers((6, 10, 40), dtype, 1)
    for move in MOVES:
        a, b = move(x), move(y)
        xs, dense = [a, b][:count], [np.ascontiguousarray(v) for v in (a, b)][:count]
        want = apply(name, recipe, dense, out)
        for chunks in (1, 3):
            assert same_bits(apply(name, recipe, xs, out, chunks=chunks), want)
        if count == 2:
            assert same_bits(apply(name, recipe, [a, dense[1]], out), want)
            assert same_bits(apply(name, recipe, [dense[0], b], out), want)


MOVES = (
    lambda x: x.transpose(2, 0, 1),
    lambda x: x.transpose(1, 0, 2),
    lambda x: x[::-1, :, ::-1],
    lambda x: x[:, ::2, 1::3],
    lambda x: x[:, :, :1],
    lambda x: np.broadcast_to(x[:, :1], x.shape),
    lambda x: np.broadcast_to(x[:1, :1], (3, 7, 40)),
)


@pytest.mark.parametrize("shapes", [
    ((4, 5), (5,)), ((4, 5), (4, 1)), ((4, 1), (1, 5)), ((), (7,)), ((7,), ()), ((1,), (1, 1)),
    ((3, 300), (300,)), ((3, 300), (3, 1)), ((3, 1, 300), (4, 1)), ((2, 3, 1, 5), (3, 4, 1)),
    ((600, 3), (3,)), ((600, 3), (600, 1)), ((40, 40, 3), (40, 3)), ((0, 3), (3,)),
    ((2, 0), (1, 0)), ((), ()), ((5, 1, 1, 1, 2), (1, 3, 1, 4, 1)),
])  # fmt: skip
def test_broadcast_operands_are_as_if_copied(apply, same_bits, shapes):
    recipe = RECIPES["add"][0]
    for dtype in ("float32", "float64", "float16"):
        x, y = numbers(shapes[0], dtype), numbers(shapes[1], dtype, 1)
        dense = [np.array(v) for v in np.broadcast_arrays(x, y)]
        want = apply("add", recipe, dense, dtype)
        for chunks in (1, 2, 5):
            assert same_bits(apply("add", recipe, [x, y], dtype, chunks=chunks), want)


def test_many_axes_and_many_inputs(apply, same_bits):
    # ten axes that cannot be joined; twenty inputs: more than the driver takes
    x = numbers((2,) * 20, "float32")[(slice(None), 0) * 10]
    y = numbers((2,) * 10).T
    got = apply("add", RECIPES["add"][0], [x, y], "float32")
    assert same_bits(got, x + y)
    xs = [numbers((9, 5), seed=i).T for i in range(20)]
    total = apply("total", lambda f, *xs: sum(xs[1:], xs[0]), xs, "float32")
    want = xs[0]
    for v in xs[1:]:
        want = want + v
    assert same_bits(total, want)


def test_a_large_transposed_input_is_turned_first(apply, same_bits):
    x, y = numbers((130, 257)), numbers((257, 130)).T
    args = (arg_of(x), arg_of(y))
    outs = (Type(x.shape, dtypes.float32),)
    plan = plan_elementwise("test/add", RECIPES["add"][0], args, outs, {}, 2)
    assert len(plan.steps) == 2 and plan.scratch >= x.nbytes
    for chunks in (1, 3):
        assert same_bits(apply("add", RECIPES["add"][0], [x, y], "float32", chunks=chunks), x + y)


def test_several_outputs_of_several_types(apply, same_bits):
    def recipe(f, x, y):
        return x + y, x.cmp("olt", y), (x * y).cast("fpext", x.type.replace("f32", "f64"))

    for shape in ((5,), (333,), (3, 50), (40, 400)):
        x, y = numbers(shape), numbers(shape[-1], seed=1)
        total, less, product = apply("many", recipe, [x, y], "float32", "bool", "float64")
        assert same_bits(total, x + y)
        assert (less == (x < y)).all()
        assert same_bits(product, (x * y).astype(np.float64))


def test_attributes_are_told_to_the_recipe(apply):
    x = numbers(10)
    for by in (2.0, 3.0):
        got = apply("scaled", lambda f, x, *, by: x * by, [x], "float32", by=by)
        assert (got == x * np.float32(by)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32_and_rounded_once(apply, dtype):
    storage = dtypes.by_name(dtype)
    x, y = (numbers((3, 37), dtype, seed) for seed in (0, 1))
    wide = [v.astype(np.float32) if dtype == "float16" else dtypes.to_float32(v) for v in (x, y)]
    with np.errstate(all="ignore"):
        want = dtypes.convert(wide[0] * wide[1] + wide[0], storage)
    got = apply("fused", lambda f, x, y: x * y + x, [x, y], dtype)
    assert got.tobytes() == want.tobytes()
    turned = apply("fused", lambda f, x, y: x * y + x, [x.T, y.T], dtype)
    assert turned.T.tobytes() == want.tobytes()


def test_rounding_to_bfloat16_keeps_nan(apply):
    x = np.array([0x7FC0, 0x7F80, 0xFF81, 0x3F80, 0x0001], np.uint16).view(BFLOAT16)
    got = apply("same", lambda f, x: x * 1.0, [x], "bfloat16").view(np.uint16)
    assert got[0] & 0x7FFF > 0x7F80 and got[2] & 0x7FFF > 0x7F80
    assert list(got[[1, 3, 4]]) == [0x7F80, 0x3F80, 0x0001]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64"])
def test_integers_wrap_and_compare_as_in_numpy(apply, dtype):
    info = np.iinfo(dtype)
    random = np.random.default_rng(0)
    x, y = random.integers(info.min, info.max, (2, 7, 41), dtype, endpoint=True)
    assert (apply("add", lambda f, x, y: x + y, [x, y], dtype) == x + y).all()
    assert (apply("mul", lambda f, x, y: x * y, [x, y[:, :1]], dtype) == x * y[:, :1]).all()
    assert (apply("max", lambda f, x, y: f.max(x, y), [x, y], dtype) == np.maximum(x, y)).all()
    assert (apply("ilt", lambda f, x, y: x.cmp("slt", y), [x, y.copy()], "bool") == (x < y)).all()


def test_truth_values_choose(apply, same_bits):
    c = np.random.default_rng(0).integers(0, 2, (9, 21)).astype(bool)
    x, y = numbers(c.shape), numbers((), seed=1)
    got = apply("where", lambda f, c, x, y: c.select(x, y), [c, x, y], "float32")
    assert same_bits(got, np.where(c, x, y))
    assert (apply("not", lambda f, c: c ^ 1, [c[::2, ::-1]], "bool") == ~c[::2, ::-1]).all()


def test_an_output_may_lie_where_an_input_does(run_steps, same_bits):
    x, y = numbers(1000), numbers(1000, seed=1)
    task = elementwise_task(
        "test/add", RECIPES["add"][0], (dtypes.float32,) * 2, (dtypes.float32,), {}
    )
    step = Step(task, (1000, Out(0), In(0), In(1), 0))
    for chunks in (1, 2):
        here = x.copy()
        run_steps(Plan((step,)), [here, y], [here], chunks)
        assert same_bits(here, x + y)


def test_a_pattern_serves_every_size(run_steps, same_bits):
    types = (Type((3,), dtypes.float32),) * 2
    pattern = pattern_elementwise("test/add", RECIPES["add"][0], types, types[:1], {})
    (step,) = pattern.plan.steps
    assert step.chunks == 0
    for n in (0, 1, 5, 100):
        x, y, out = numbers(n), numbers(n, seed=1), np.empty(n, np.float32)
        job = tuple(n if isinstance(word, Count) else word for word in step.job)
        run_steps(Plan((Step(step.task, job),)), [x, y], [out], 1)
        assert same_bits(out, x + y)


def test_types_without_kernels_are_refused():
    for dtype in (dtypes.uint64,):
        kind = Type((3,), dtype)
        args = (Arg((3,), dtype, (1,)),)
        assert plan_elementwise("test/neg", lambda f, x: -x, args, (kind,), {}, 1) is None
        assert pattern_elementwise("test/neg", lambda f, x: -x, (kind,), (kind,), {}) is None
