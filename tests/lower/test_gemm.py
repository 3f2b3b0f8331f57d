"""Matrix products: each element one ascending chain of fma from +0.0, whatever the way there."""

import ctypes
import ctypes.util
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import assembly, emit_text
from twofold.codegen.native import core
from twofold.codegen.target import TARGETS, Target
from twofold.lower import attention_kernels, gemm, gemv, matmul, sequences, shared_tiles
from twofold.lower.batch import product_of
from twofold.lower.caches import Caches, read_sizes
from twofold.lower.schedule import Arg
from twofold.lower.sequences import GATES
from twofold.lower.tile import TILES, tiles_for
from twofold.runtime import program

Run = Callable[..., list[np.ndarray]]
FLOATS = ("float32", "float64")
LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
FMA = {"float32": (LIBM.fmaf, ctypes.c_float), "float64": (LIBM.fma, ctypes.c_double)}
for function, kind in FMA.values():
    function.restype = kind
    function.argtypes = (kind, kind, kind)


def chain(x: np.ndarray, y: np.ndarray) -> Any:
    """The definition (N4), one libm fma at a time."""
    fma = FMA[x.dtype.name][0]
    total = 0.0
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        total = fma(a, b, total)
    return x.dtype.type(total)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def product(run: Run) -> Callable[..., np.ndarray]:
    def make(a: np.ndarray, b: np.ndarray, threads: int = 1, **attrs: Any) -> np.ndarray:
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        kind = dtypes.of(a.dtype).name
        return run("matmul", [a, b], [(shape, kind)], threads=threads, **attrs)[0]

    return make


def check_elements(random: Any, a: np.ndarray, b: np.ndarray, c: np.ndarray, count: int) -> None:
    for _ in range(count if c.size else 0):
        i, j = random.integers(c.shape[0]), random.integers(c.shape[1])
        assert c[i, j].tobytes() == chain(a[i], b[:, j]).tobytes(), (a.shape, b.shape, i, j)


def as_laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """The same matrix in another layout."""
    if layout == "plain":
        return np.ascontiguousarray(x)
    if layout == "transposed":
        return np.ascontiguousarray(x.T).T
    rows, columns = x.shape
    if layout == "wide":
        place = np.full((rows, columns + 5), 9, x.dtype)[:, 2 : columns + 2]
    elif layout == "backwards":
        place = np.zeros_like(x)[::-1]
    else:
        place = np.full((2 * rows, 3 * columns), 9, x.dtype)[::2, ::3]
    place[...] = x
    return place


LAYOUTS = ("plain", "transposed", "wide", "backwards", "sparse")
SIZES = (0, 1, 2, 3, 5, 6, 7, 8, 13, 16, 17, 24, 31, 33, 40)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_element_is_the_chain(dtype: str, product: Any, random: Any) -> None:
    for m, n, k in itertools.product(SIZES, repeat=3):
        if (m * 7 + n * 3 + k) % 5:
            continue
        a, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
        c = product(a, b)
        check_elements(random, a, b, c, 2)
        np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(1, 70, 33), (40, 1, 33), (9, 100, 1000), (100, 64, 19), (20, 40, 300), (50, 130, 33)],
)
def test_layouts_have_the_same_bits(
    dtype: str, shape: tuple[int, int, int], product: Any, random: Any
) -> None:
    m, n, k = shape
    a, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
    plain = product(a, b)
    check_elements(random, a, b, plain, 5)
    for first, second in itertools.product(LAYOUTS, repeat=2):
        other = product(as_laid_out(a, first), as_laid_out(b, second))
        assert other.tobytes() == plain.tobytes(), (first, second)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_alone_and_columns_alone(dtype: str, product: Any, random: Any) -> None:
    a, b = (random.standard_normal(s).astype(dtype) for s in ((50, 410), (410, 37)))
    for second in LAYOUTS:
        w = as_laid_out(b, second)
        c = product(a, w)
        for i in (0, 7, 49):
            assert product(a[i : i + 1], w).tobytes() == c[i].tobytes()
        for j in (0, 20, 36):
            assert product(a, w[:, j : j + 1]).tobytes() == c[:, j].tobytes()
        assert product(a[3:9], w).tobytes() == c[3:9].tobytes()
        assert product(a, w[:, 5:21]).tobytes() == np.ascontiguousarray(c[:, 5:21]).tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(60, 70, 50), (1, 500, 300), (500, 1, 300), (300, 40, 900), (7, 900, 40), (1700, 20, 800)],
)
def test_threads_do_not_matter(dtype: str, shape: Any, product: Any, random: Any) -> None:
    m, n, k = shape
    a, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
    for first, second in itertools.product(LAYOUTS[:2], repeat=2):
        x, w = as_laid_out(a, first), as_laid_out(b, second)
        alone = product(x, w)
        check_elements(random, a, b, alone, 3)
        for threads in (2, 3, 8):
            assert product(x, w, threads=threads).tobytes() == alone.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_on_the_pool(threads: int, random: Any) -> None:
    core.start()
    a, b = (random.standard_normal(s).astype("f4") for s in ((130, 500), (500, 200)))
    kind = dtypes.float32
    args = tuple(Arg(x.shape, kind, (x.shape[1], 1)) for x in (a, b))
    outs = (Type((130, 200), kind),)
    alone = matmul.plan_matmul(args, outs, {}, 1)
    shared = matmul.plan_matmul(args, outs, {}, threads)
    expected = program.run_plan(alone, outs, [a, b])
    check_elements(random, a, b, expected, 10)
    for _ in range(20):
        assert program.run_plan(shared, outs, [a, b]).tobytes() == expected.tobytes()


BATCHES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 5, 4), (3, 4, 6)),
    ((3, 5, 4), (4, 6)),
    ((5, 4), (3, 4, 6)),
    ((2, 1, 5, 4), (7, 4, 6)),
    ((2, 3, 1, 4), (4, 6)),
    ((2, 3, 1, 4), (3, 4, 6)),
    ((2, 3, 5, 4), (3, 4, 1)),
    ((2, 1, 2, 1, 5, 4), (3, 1, 3, 4, 6)),
    ((0, 5, 4), (4, 6)),
    ((40, 9, 70), (40, 70, 20)),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("first", "second"), BATCHES)
def test_batches(first: Any, second: Any, dtype: str, product: Any, random: Any) -> None:
    a, b = (random.standard_normal(s).astype(dtype) for s in (first, second))
    c = product(a, b, threads=3)
    lead = c.shape[:-2]
    x, w = (np.broadcast_to(v, (*lead, *v.shape[-2:])) for v in (a, b))
    for index in np.ndindex(*lead):
        assert product(x[index], w[index]).tobytes() == c[index].tobytes()
    assert product(x, w).tobytes() == c.tobytes()


def test_batches_that_do_not_join(product: Any, random: Any) -> None:
    q = random.standard_normal((2, 9, 3, 8)).astype("f4")
    k = random.standard_normal((2, 11, 3, 8)).astype("f4")
    heads = product(q.transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1))
    for i, j in np.ndindex(2, 3):
        expected = product(np.ascontiguousarray(q[i, :, j]), np.ascontiguousarray(k[i, :, j].T))
        assert heads[i, j].tobytes() == expected.tobytes()


def test_what_is_folded() -> None:
    def fold(a: tuple[int, ...], b: tuple[int, ...], axes: tuple[int, ...] | None = None) -> Any:
        x = np.empty(a, "f4") if axes is None else np.empty(a, "f4").transpose(axes)
        args = (x, np.empty(b, "f4"))
        return product_of(
            *(Arg(v.shape, dtypes.float32, tuple(s // 4 for s in v.strides)) for v in args)
        )

    assert fold((2, 3, 5, 4), (4, 6)).m == 30
    assert fold((2, 3, 1, 4), (4, 6)).m == 6
    assert fold((2, 3, 5, 4), (2, 3, 4, 6)).axes == ((6, 20, 24),)
    assert fold((2, 3, 5, 4), (3, 4, 6)).axes == ((2, 60, 0), (3, 20, 24))
    assert fold((3, 2, 5, 4), (4, 6), (1, 0, 2, 3)).axes == ((2, 20, 0), (3, 40, 0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_inner_size_gives_zeros(dtype: str, product: Any, run: Run) -> None:
    for m, n in ((1, 5), (5, 1), (3, 20), (1, 1)):
        c = product(np.zeros((m, 0), dtype), np.zeros((0, n), dtype))
        assert c.tobytes() == np.zeros((m, n), dtype).tobytes()
    b = np.arange(20, dtype=dtype)
    out = ((3, 20), dtype)
    args = [np.zeros((3, 0), dtype), np.zeros((20, 0), dtype), b]
    assert (run("linear", args, [out])[0] == b).all()


def test_the_sign_of_zero(product: Any) -> None:
    a, b = np.full((2, 3), -1, "f4"), np.zeros((3, 20), "f4")
    assert not np.signbit(product(a, b)).any()  # +0.0 + -0.0


def test_nothing_leaks_from_beyond_the_edges(product: Any, random: Any) -> None:
    for m, n, k in ((5, 9, 7), (64, 50, 11), (1, 9, 7), (9, 1, 7), (7, 100, 500)):
        for first, second in itertools.product(LAYOUTS, repeat=2):
            frame_a = np.full((m + 2, k + 2), np.nan, "f4")
            frame_b = np.full((k + 2, n + 2), np.nan, "f4")
            a, b = frame_a[1:-1, 1:-1], frame_b[1:-1, 1:-1]
            a[...] = as_laid_out(random.standard_normal((m, k)).astype("f4"), first)
            b[...] = as_laid_out(random.standard_normal((k, n)).astype("f4"), second)
            c = product(a, b)
            assert np.isfinite(c).all()
            a[m // 2, 0] = np.inf
            b[0] = 0
            assert (np.isnan(product(a, b)).all(axis=1) == (np.arange(m) == m // 2)).all()


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.native import core
from twofold.lower import attention, matmul
from twofold.lower.schedule import Arg
from twofold.runtime import program

PAGE, NONE = mmap.PAGESIZE, 0
libc = ctypes.CDLL(None, use_errno=True)
kept = []

def at_the_end(shape, dtype):
    # an array whose last byte is the last one that may be read
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-max(size, 1) // PAGE)
    region = mmap.mmap(-1, (pages + 1) * PAGE)
    kept.append(region)
    start = ctypes.addressof(ctypes.c_char.from_buffer(region))
    assert libc.mprotect(ctypes.c_void_p(start + pages * PAGE), PAGE, NONE) == 0
    place = (ctypes.c_char * size).from_address(start + pages * PAGE - size)
    made = np.frombuffer(place, dtype).reshape(shape)
    made[...] = np.arange(made.size).reshape(shape) % 7
    return made

def arg(x):
    return Arg(x.shape, dtypes.of(x.dtype), tuple(s // x.itemsize for s in x.strides))

core.start()
for dtype in ("f4", "f8"):
    for m, n, k in ((1, 1, 1), (5, 9, 7), (1, 37, 21), (37, 1, 21), (7, 100, 33), (61, 50, 70)):
        for first in (0, 1):
            for second in (0, 1):
                a = at_the_end((k, m), dtype).T if first else at_the_end((m, k), dtype)
                b = at_the_end((n, k), dtype).T if second else at_the_end((k, n), dtype)
                outs = (Type((m, n), dtypes.of(a.dtype)),)
                plan = matmul.plan_matmul((arg(a), arg(b)), outs, {}, 1)
                assert (program.run_plan(plan, outs, [a, b]) == a @ b).all()
    for queries, keys, depth, width in ((1, 5, 7, 3), (9, 70, 5, 19), (70, 9, 16, 16)):
        shapes = (queries, depth), (keys, depth), (keys, width), (queries, keys)
        inputs = [at_the_end(shape, dtype) for shape in shapes]
        kind = dtypes.of(inputs[0].dtype)
        outs = (Type((queries, width), kind), Type((queries,), kind))
        attrs = {"causal": False, "scale": 0.1}
        plan = attention.plan_attention(tuple(map(arg, inputs)), outs, attrs, 1)
        out, lse = program.run_plan(plan, outs, inputs)
        given = [at_the_end((queries, width), dtype), *inputs[:3], out, lse, inputs[3]]
        outs = tuple(Type(x.shape, kind) for x in inputs[:3])
        plan = attention.plan_attention_backward(tuple(map(arg, given)), outs, attrs, 1)
        assert all(np.isfinite(x).all() for x in program.run_plan(plan, outs, given))
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages with mprotect")
def test_nothing_behind_an_operand_is_read() -> None:
    """Operands that end where memory does. In a process of its own, since a mistake ends it."""
    done = subprocess.run(
        [sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False
    )
    assert done.stdout == "done\n", (done.returncode, done.stderr)


@pytest.mark.parametrize("offset", [4, 8, 12])
def test_any_alignment_of_an_element(offset: int, product: Any, random: Any) -> None:
    def moved(x: np.ndarray) -> np.ndarray:
        place = np.zeros(x.nbytes + 64, np.uint8)[offset : offset + x.nbytes]
        place = place.view("f4").reshape(x.shape)
        place[...] = x
        return place

    for m, n, k in ((30, 40, 20), (1, 40, 20), (40, 1, 20)):
        a, b = (random.standard_normal(s).astype("f4") for s in ((m, k), (k, n)))
        assert product(moved(a), moved(b)).tobytes() == product(a, b).tobytes()


# ---- linear, epilogues ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(64, 50, 700), (1, 500, 300), (7, 1, 33), (200, 130, 40)])
def test_linear_is_matmul_then_add(
    shape: Any, dtype: str, product: Any, run: Run, random: Any
) -> None:
    m, n, k = shape
    x, w, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (n, k), n))
    plain = product(x, w.T)
    out = ((m, n), dtype)
    for threads in (1, 3):
        assert run("linear", [x, w], [out], threads=threads)[0].tobytes() == plain.tobytes()
        biased = run("linear", [x, w, b], [out], threads=threads)[0]
        assert biased.tobytes() == (plain + b).tobytes()
        squared = run("linear", [x, w, b], [out], threads=threads, activation="square")[0]
        assert squared.tobytes() == ((plain + b) * (plain + b)).tobytes()
    assert product(x, w.T, activation="abs").tobytes() == abs(plain).tobytes()
    strided = np.repeat(b, 2)[::2]
    assert run("linear", [x, w, strided], [out])[0].tobytes() == (plain + b).tobytes()


def test_linear_of_a_vector_and_of_a_batch(run: Run, random: Any) -> None:
    x, w, b = (random.standard_normal(s).astype("f4") for s in ((2, 3, 8), (5, 8), 5))
    all_rows = run("linear", [x, w, b], [((2, 3, 5), "float32")])[0]
    one = run("linear", [np.ascontiguousarray(x[1, 2]), w, b], [((5,), "float32")])[0]
    assert one.tobytes() == all_rows[1, 2].tobytes()
    spread = np.repeat(w, 3, axis=1)[:, ::3]  # neither axis contiguous: copied, then turned
    assert (
        run("linear", [x, spread, b], [((2, 3, 5), "float32")])[0].tobytes() == all_rows.tobytes()
    )


# ---- other types ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(30, 40, 50), (1, 40, 50), (40, 1, 50), (9, 9, 0)])
def test_halves_are_rounded_once(
    kind: str, shape: Any, product: Any, run: Run, random: Any
) -> None:
    m, n, k = shape
    half = dtypes.as_dtype(kind)
    a, w, bias = (random.standard_normal(s).astype("f4") for s in ((m, k), (n, k), n))
    a, w, bias = (dtypes.convert(x, half) for x in (a, w, bias))
    wide = [dtypes.convert(x, dtypes.float32) for x in (a, w, bias)]
    single = product(wide[0], wide[1].T)
    for x, y in ((a, w.T), (as_laid_out(a, "transposed"), np.ascontiguousarray(w.T))):
        c = product(x, y, threads=3)
        assert c.tobytes() == dtypes.convert(single, half).tobytes()
    c = run("linear", [a, w, bias], [((m, n), kind)])[0]
    assert c.tobytes() == dtypes.convert(single + wide[2], half).tobytes()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_halves_in_any_layout(kind: str, product: Any, random: Any) -> None:
    half = dtypes.as_dtype(kind)
    a = dtypes.convert(random.standard_normal((2, 6, 3, 8)).astype("f4"), half)
    b = dtypes.convert(random.standard_normal((8, 10)).astype("f4"), half)
    turned = a.transpose(0, 2, 1, 3)
    expected = product(np.ascontiguousarray(turned), b)
    assert product(turned, b).tobytes() == expected.tobytes()
    spread = np.broadcast_to(a[:1], a.shape)
    assert product(spread, b)[0].tobytes() == product(spread, b)[1].tobytes()
    assert product(a[:, ::2], b).tobytes() == product(np.ascontiguousarray(a[:, ::2]), b).tobytes()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_narrowing_special_values(kind: str, product: Any) -> None:
    half = dtypes.as_dtype(kind)
    values = np.array([np.inf, -np.inf, 1e30, -0.0, 65520, 65519, 1e-8, 3e38, 1.00390625], "f4")
    a = dtypes.convert(values.reshape(-1, 1), half)
    one = dtypes.convert(np.ones((1, 20), "f4"), half)
    got = dtypes.convert(product(a, one), dtypes.float32)
    widened = dtypes.convert(a, dtypes.float32) * np.ones((1, 20), "f4")
    assert (got == widened).all()
    tie = 2.0**-8 if kind == "bfloat16" else 2.0**-11  # halfway to the next number: to even
    parts = dtypes.convert(np.array([[1, tie], [1 + 2 * tie, tie]], "f4"), half)
    ones = dtypes.convert(np.ones((2, 20), "f4"), half)
    got = dtypes.convert(product(parts, ones), dtypes.float32)
    assert (got == np.array([[1], [1 + 4 * tie]])).all()
    nan = dtypes.convert(np.full((3, 1), np.nan, "f4"), half)
    assert np.isnan(dtypes.convert(product(nan, one), dtypes.float32)).all()


def test_types_without_a_kernel_have_no_plan() -> None:
    arg = Arg((2, 2), dtypes.complex64, (2, 1))
    assert matmul.plan_matmul((arg, arg), (Type((2, 2), dtypes.complex64),), {}, 1) is None


# ---- the vectors of the host -------------------------------------------------------------------

WIDTHS = ("x86-64-v3", "x86-64-v4", "wasm32")


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_width_of_vectors_changes_no_bit(
    dtype: str, product: Any, random: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every target's tile runs here: LLVM cuts vectors that this CPU does not have."""
    for m, n, k in ((1, 70, 33), (70, 1, 33), (9, 100, 900), (99, 65, 19), (20, 40, 300)):
        a, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
        made = set()
        for name in WIDTHS:
            monkeypatch.setattr(matmul, "TILES", tiles_for(TARGETS[name]))
            for first, second in itertools.product(("plain", "transposed", "sparse"), repeat=2):
                made.add(product(as_laid_out(a, first), as_laid_out(b, second)).tobytes())
        assert len(made) == 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("most", [0, 1, 2, 3, 4])
def test_rows_of_any_number_and_length_against_one_vector(
    most: int, dtype: str, product: Any, random: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of rows, lines of k, blocks of lines, rows behind others, and what is left of each."""
    monkeypatch.setattr(gemv, "_most_groups", lambda *_: most)
    for name in ("x86-64-v3", "x86-64-v4"):
        monkeypatch.setattr(matmul, "TILES", tiles_for(TARGETS[name]))
        for n in (1, 7, 8, 15, 16, 17, 32, 33, 49, 70):
            for k in (1, 3, 4, 7, 8, 15, 16, 21, 40, 64, 127, 128, 130, 256, 300):
                a, b = (random.standard_normal(s).astype(dtype) for s in ((1, k), (n, k)))
                made = product(a, b.T)
                assert made.tobytes() == product(a, np.ascontiguousarray(b.T)).tobytes(), (n, k)
                check_elements(random, a, b.T, made, 2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_few_rows_against_weights_by_rows(
    dtype: str, product: Any, random: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels for them, which other vectors have no use for; blocks, and what is left of them;
    rows that share sets of the cache; rows and weights with gaps; a row has the bits it has alone.
    """
    monkeypatch.setattr(matmul, "TILES", tiles_for(TARGETS["x86-64-v3"]))
    for n, k in ((8, 1), (9, 7), (16, 21), (33, 40), (70, 130), (37, 1024), (40, 300)):
        wide = random.standard_normal((n, k + 5)).astype(dtype)
        a = random.standard_normal((6, k + 3)).astype(dtype)[:, :k]
        for b in (np.ascontiguousarray(wide[:, :k]), wide[:, 2 : k + 2]):
            whole = product(np.ascontiguousarray(a), np.ascontiguousarray(b.T))
            for m in range(1, 7):
                made = product(a[:m], b.T)
                assert made.tobytes() == whole[:m].tobytes(), (m, n, k)
            check_elements(random, a, b.T, whole, 2)


def tile_assembly(target: Target, rows: int) -> str:
    """The machine code of the tile of so many rows in float32."""
    tile = tiles_for(target)["float32"]
    text = assembly(shared_tiles.build_kind(tile, tile.rows + rows), target)
    return text.partition("\ntile:")[2].partition(".Lfunc_end")[0]


@pytest.mark.parametrize(
    ("name", "register", "rows"), [("x86-64-v4", "zmm", 14), ("x86-64-v3", "ymm", 6)]
)
def test_tiles_fill_the_registers_of_their_target(name: str, register: str, rows: int) -> None:
    text = tile_assembly(TARGETS[name], rows)
    products = [line for line in text.split("\n") if "vfmadd" in line]
    assert len(products) == 2 * rows
    assert all(f"%{register}" in line for line in products)
    assert not [x for x in text.split("\n") if register in x and "(%rsp)" in x], "spilled"


# ---- planning ------------------------------------------------------------------------------------


def test_units_cover_c_and_feed_the_threads() -> None:
    tile = TILES["float32"]
    for m, n, k, threads in ((2048, 2048, 2048, 2), (64, 9000, 64, 8), (9000, 7, 300, 3)):
        p = product_of(Arg((m, k), dtypes.float32, (k, 1)), Arg((k, n), dtypes.float32, (n, 1)))
        rows, columns = matmul._unit(tile, p, threads, 256, 8 << 20, False)
        assert rows % tile.rows == 0 and columns % tile.columns == 0
        assert -(-m // rows) * -(-n // columns) >= threads


def test_transposed_operands_are_not_copied() -> None:
    kind = dtypes.float32
    x, w = Arg((64, 32), kind, (1, 64)), Arg((32, 48), kind, (1, 32))
    plan = matmul.plan_matmul((x, w), (Type((64, 48), kind),), {}, 2)
    assert plan is not None and plan.contiguous == ()


def test_cache_sizes_come_from_the_system(tmp_path: Any) -> None:
    facts = {"index0": ("Data", 1, "48K"), "index1": ("Instruction", 1, "64K")}
    facts |= {"index2": ("Unified", 2, "2M"), "index3": ("Unified", 4, "9K")}
    for name, (kind, level, size) in facts.items():
        (tmp_path / name).mkdir()
        for fact, value in (("type", kind), ("level", level), ("size", size)):
            (tmp_path / name / fact).write_text(f"{value}\n")
    assert read_sizes(tmp_path) == Caches(48 << 10, 2 << 20)
    assert read_sizes(tmp_path / "none") == Caches()


def test_kernels_share_the_tiles() -> None:
    """The longest code there is, which is compiled once."""
    tile = TILES["float32"]
    makers = [gemm.build_gemm, attention_kernels.build_forward, attention_kernels.build_backward]
    makers += [lambda tile, name=name: sequences.build_backward(name, tile) for name in GATES]
    for make in makers:
        text = emit_text(make(tile))
        assert "@row1" not in text
        assert "@block_" in text or "@tile_" in text
    assert "@row1" in emit_text(shared_tiles.build_tiles(tile))


@pytest.mark.parametrize(
    ("dtype", "length"),
    [("float32", 512), ("float32", 1024), ("float32", 3072), ("float64", 256), ("float64", 512)],
)
def test_rows_that_share_sets_of_the_cache(
    dtype: str, length: int, product: Any, random: Any
) -> None:
    """Parts of rows are read a segment behind each other, from block to block."""
    for n in (15, 16, 32, 33, 64, 101, 160):
        a, b = (random.standard_normal(s).astype(dtype) for s in ((1, length), (n, length)))
        b[0, 0], b[-1, -1] = np.inf, np.nan
        made = product(a, b.T)
        assert made.tobytes() == product(a, np.ascontiguousarray(b.T)).tobytes(), n
        check_elements(random, a, b[1:-1].T, made[:, 1:-1], 2)
