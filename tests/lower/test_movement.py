"""Copies, views, joins, turns and paddings: NumPy's elements in every layout and element type."""

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.exec.planners import planner
from twofold.lower.schedule import Arg
from twofold.ops.indexing import Slice
from twofold.ops.op import OPS

FILL = 0xA5
KINDS = ["bool", "uint8", "bfloat16", "int32", "float64", "complex64", "complex128"]
LAYOUTS = (
    lambda x: x,
    lambda x: np.asfortranarray(x),
    lambda x: x[::-1, :, ::-1],
    lambda x: np.repeat(x, 2, 1)[:, ::2],
    lambda x: np.broadcast_to(x[:1], x.shape),
)
CALLS = [
    ("clone", ()),
    ("reshape", ((-1,),)),
    ("flip", ((0, 2),)),
    ("flip", ((),)),
    ("roll", ((1, -2), (0, 2))),
    ("roll", ((5, 3), (1, 1))),
    ("pad", (((1, 0), (0, 2), (3, 1)), 1.0)),
    ("pad", (((-1, 0), (1, -2), (0, -1)), 0.0)),
    ("tril", (0,)),
    ("tril", (-2,)),
    ("triu", (1,)),
    ("triu", (9,)),
    ("diag_embed", ((3, 5, 6, 6), 0, 2, 3)),
    ("diag_embed", ((8, 3, 5, 8), -2, 0, 3)),
    ("permute", ((2, 0, 1),)),
    ("index", ((Slice(None, None, 2), 3, None, Ellipsis, Slice(-1, 0, -2)),)),
    ("unbind", (1,)),
    ("diagonal", (1, 2, 0)),
    ("unfold", (2, 3, 2)),
]


def arg_of(array):
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Arg(array.shape, dtypes.of(array.dtype), strides)


@pytest.fixture
def call(run_steps):
    """The outputs of an operation's plan in some chunks, framed against writes outside."""

    def call(name, arrays, attrs, chunks=0):
        op = OPS[name]
        types = [Type(a.shape, dtypes.of(a.dtype)) for a in arrays]
        keywords = dict(zip(op.attrs, attrs, strict=True))
        outs = op.infer(*types, **keywords)
        outs = outs if type(outs) is tuple else (outs,)
        plan = planner(op)(tuple(map(arg_of, arrays)), outs, keywords, 2)
        frames = [np.full(t.size * t.dtype.itemsize + 128, FILL, np.uint8) for t in outs]
        made = [
            frame[64 : len(frame) - 64].view(t.dtype.numpy).reshape(t.shape)
            for frame, t in zip(frames, outs, strict=True)
        ]
        ready = [
            np.array(a, order="C") if i in plan.contiguous else a for i, a in enumerate(arrays)
        ]
        run_steps(plan, ready, made, chunks)
        for frame in frames:
            assert (frame[:64] == FILL).all() and (frame[-64:] == FILL).all(), "written outside"
        return made

    return call


def numbers(shape, kind, seed=0):
    x = np.random.default_rng(seed).integers(0, 100, shape).astype(np.float64)
    if kind == "bool":
        x = x % 2
    dtype = dtypes.by_name(kind)
    return (x + 1j * x[::-1]).astype(dtype.numpy) if dtype.is_complex else dtypes.convert(x, dtype)


def same(got, want):
    assert got.shape == want.shape
    assert got.tobytes() == np.ascontiguousarray(want).tobytes()


def wanted(name, arrays, attrs):
    op = OPS[name]
    made = op.ref(*arrays, **dict(zip(op.attrs, attrs, strict=True)))
    return made if isinstance(made, tuple) else (made,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "attrs"), CALLS)
def test_no_layout_or_chunking_changes_what_is_moved(call, name, attrs, kind):
    if kind == "bfloat16" and name in ("tril", "triu", "pad"):
        kind = "float16"  # NumPy knows no arithmetic of bfloat16, on which its own are made
    base = numbers((3, 5, 6), kind)
    for layout in LAYOUTS:
        x = layout(base)
        want = wanted(name, [x], attrs)
        for chunks in (0, 1, 3):
            for got, right in zip(call(name, [x], attrs, chunks), want, strict=True):
                same(got, right)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_joins(call, kind, dim):
    shapes = [[3, 5, 6] for _ in range(4)]
    for shape, size in zip(shapes, (2, 0, 1, 7), strict=True):
        shape[dim] = size
    xs = [numbers(shape, kind, seed) for seed, shape in enumerate(shapes)]
    attrs = (dim, (2, 0, 1, 7))
    for layout in LAYOUTS[:4]:
        moved = [layout(x) for x in xs]
        for chunks in (0, 1, 3):
            same(call("cat", moved, attrs, chunks)[0], np.concatenate(moved, dim))


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_replaced(call, kind):
    key = (Slice(None, None, -2), 1, Slice(1, 5, 3))
    x, part = numbers((3, 5, 6), kind), numbers((2, 2), kind, 1)
    for layout in LAYOUTS:
        moved = layout(x)
        for given in (part, part.T, part[:1], part[0, 0]):
            given = np.asarray(given)
            want = np.array(moved, order="C")
            want[::-2, 1, 1:5:3] = given
            for chunks in (0, 1, 3):
                same(call("slice_scatter", [moved, given], (key,), chunks)[0], want)


@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "float64"])
def test_windows_are_added_up_in_order(call, kind):
    x = numbers((2, 4, 3), kind)
    attrs = ((2, 9), 1, 3, 2)
    for given in (x, np.asfortranarray(x), x[::-1]):
        for chunks in (0, 1, 3):
            same(
                call("fold_windows", [given], attrs, chunks)[0],
                wanted("fold_windows", [given], attrs)[0],
            )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 7), (300, 1), (130, 257)])
def test_sizes_of_none_one_and_many(call, shape):
    x = numbers(shape, "float32")
    for name, attrs in (
        ("clone", ()),
        ("flip", ((0, 1),)),
        ("roll", ((1,), (0,))),
        ("pad", (((2, 0), (0, 1)), 2.5)),
        ("triu", (0,)),
        ("permute", ((1, 0),)),
        ("cat", (1, (shape[1],))),
    ):
        same(call(name, [x], attrs)[0], wanted(name, [x], attrs)[0])
