"""Convolution kernels: values against float64, bits against the written order."""

import ctypes
import ctypes.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import assembly
from twofold.codegen.target import TARGETS
from twofold.lower import conv, conv_lanes, conv_product, conv_steps
from twofold.lower.conv_tables import arange, cover, grid, make_panels, tile_starts, unit_images
from twofold.lower.conv_tile import build_tile, formats_for
from twofold.lower.schedule import Arg

Run = Callable[..., list[np.ndarray]]


class Case(NamedTuple):
    """x [batch, channels, *size], w [filters, channels / groups, *kernel]."""

    batch: int
    channels: int
    size: tuple[int, ...]
    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def attrs(self) -> dict[str, Any]:
        names = ("stride", "padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names}

    @property
    def out(self) -> tuple[int, ...]:
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, self.filters, *self.out)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.channels, *self.size)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.filters, self.channels // self.groups, *self.kernel)

    def arrays(self, dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, w and the gradient by y."""
        random = np.random.default_rng(seed)
        shapes = (self.x_shape, self.w_shape, self.y_shape)
        return tuple(random.standard_normal(shape).astype(dtype) for shape in shapes)  # type: ignore[return-value]


CASES = {
    "plain": Case(2, 3, (9, 11), 17, (3, 3), padding=(1, 1)),
    "no padding": Case(2, 5, (7, 6), 7, (3, 2)),
    "stride 2": Case(4, 5, (8, 8), 64, (3, 3), (2, 2), (1, 1)),
    "stride 2, 7x7": Case(2, 3, (20, 18), 16, (7, 7), (2, 2), (3, 3)),
    "1x1": Case(2, 8, (5, 7), 24, (1, 1)),
    "1x1, stride 2": Case(2, 8, (14, 14), 24, (1, 1), (2, 2)),
    "one channel": Case(5, 1, (14, 14), 32, (5, 5), (1, 1), (2, 2)),
    "tall kernel": Case(3, 16, (5, 4), 35, (3, 2), padding=(1, 0)),
    "stride 3": Case(2, 4, (13, 17), 6, (4, 3), (3, 3), (2, 2)),
    "strides differ": Case(2, 3, (12, 9), 5, (3, 3), (2, 1), (1, 0)),
    "tiny images": Case(8, 40, (2, 2), 33, (3, 3), padding=(1, 1)),
    "one pixel": Case(3, 7, (1, 1), 9, (1, 1)),
    "kernel beyond the image": Case(2, 3, (2, 3), 4, (4, 5), padding=(2, 2)),
    "dilation": Case(2, 6, (11, 10), 8, (3, 3), (1, 1), (2, 2), (2, 2)),
    "dilation and stride": Case(2, 3, (12, 13), 5, (3, 3), (2, 2), (2, 3), (3, 2)),
    "stride skips inputs": Case(1, 2, (9, 9), 3, (2, 2), (4, 4)),
    "no window meets the input": Case(2, 3, (1, 1), 4, (1, 1), (2, 2), (1, 1)),
    "groups": Case(2, 8, (10, 9), 12, (3, 3), (1, 1), (1, 1), (1, 1), 4),
    "groups, stride 2": Case(2, 6, (9, 9), 4, (3, 3), (2, 2), (1, 1), (1, 1), 2),
    "depthwise": Case(2, 19, (8, 11), 19, (3, 3), (1, 1), (1, 1), (1, 1), 19),
    "depthwise, stride 2": Case(2, 5, (11, 20), 5, (3, 3), (2, 2), (1, 1), (1, 1), 5),
    "depthwise, wide": Case(2, 3, (9, 21), 3, (3, 5), (1, 1), (1, 2), (1, 1), 3),
    "depthwise, wide, stride 2": Case(2, 3, (11, 43), 3, (3, 3), (2, 2), (1, 1), (1, 1), 3),
    "depthwise, narrow": Case(3, 6, (7, 3), 6, (5, 3), (1, 1), (2, 1), (1, 1), 6),
    "depthwise, dilation": Case(1, 3, (12, 12), 3, (3, 3), (3, 2), (2, 2), (2, 3), 3),
    "channels": Case(2, 37, (9, 7), 37, (3, 3), (1, 1), (1, 1), (1, 1), 37),
    "channels, wide": Case(3, 8, (21, 34), 8, (3, 5), (1, 1), (1, 2), (1, 1), 8),
    "channels, stride 2": Case(2, 16, (19, 17), 16, (3, 3), (2, 2), (1, 1), (1, 1), 16),
    "channels, stride 3, dilation": Case(2, 17, (20, 22), 17, (3, 3), (3, 3), (4, 2), (2, 3), 17),
    "channels, stride skips": Case(2, 9, (11, 10), 9, (2, 2), (4, 3), (0, 0), (1, 1), 9),
    "channels, one pixel": Case(3, 20, (2, 2), 20, (7, 7), (1, 1), (3, 3), (1, 1), 20),
    "channels, multiplied": Case(2, 9, (9, 10), 27, (3, 3), (2, 1), (1, 1), (1, 1), 9),
    "channels, 1d": Case(2, 24, (70,), 24, (3,), (1,), (2,), (2,), 24),
    "pairs": Case(2, 18, (9, 7), 18, (3, 3), (1, 1), (1, 1), (1, 1), 9),
    "fours": Case(3, 20, (21, 19), 20, (3, 3), (2, 1), (1, 1), (1, 1), 5),
    "eights": Case(2, 32, (20, 22), 32, (3, 2), (1, 2), (2, 1), (2, 1), 4),
    "sixteens": Case(2, 32, (9, 8), 32, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    "multiplier": Case(2, 4, (9, 9), 12, (3, 3), (1, 1), (1, 1), (1, 1), 4),
    "many pixels": Case(2, 16, (30, 30), 20, (3, 3), padding=(1, 1)),
    "many positions": Case(3, 2, (31, 29), 3, (3, 3)),
    "1d": Case(2, 3, (15,), 6, (4,), (2,), (1,), (1,)),
    "1d, groups": Case(2, 4, (9,), 6, (3,), (1,), (2,), (2,), 2),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())

forward_only = ["plain", "many pixels", "depthwise", "channels", "sixteens", "groups"]
forward_only += ["tiny images"]


def planar(case: Case) -> Case:
    """The same with two directions."""
    if len(case.size) == 2:
        return case
    fields = {"size": 1, "kernel": 1, "stride": 1, "padding": 0, "dilation": 1}
    return case._replace(**{name: (first, *getattr(case, name)) for name, first in fields.items()})


# ---- the meaning, in NumPy -----------------------------------------------------------------------


def windows(case: Case, x: np.ndarray) -> np.ndarray:
    """x as [n, group, c, i, j, kh, kw], padding included."""
    ph, pw = case.padding
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    n, c, h, w = x.strides
    (sh, sw), (dh, dw) = case.stride, case.dilation
    shape = (*x.shape[:2], *case.out, *case.kernel)
    view = np.lib.stride_tricks.as_strided(x, shape, (n, c, sh * h, sw * w, dh * h, dw * w))
    return view.reshape(x.shape[0], case.groups, -1, *shape[2:])


def reference(case: Case, x: np.ndarray, w: np.ndarray, gy: np.ndarray) -> list[np.ndarray]:
    """y, gx and gw in float64."""
    shapes = [a.shape for a in (gy, x, w)]
    case = planar(case)
    shape = (case.x_shape, case.w_shape, case.y_shape)
    x, w, gy = (a.astype(float).reshape(s) for a, s in zip((x, w, gy), shape, strict=True))
    g, (n, o) = case.groups, gy.shape[:2]
    view = windows(case, x)
    filters = w.reshape(g, o // g, *w.shape[1:])
    grad = gy.reshape(n, g, o // g, *gy.shape[2:])
    y = np.einsum("ngcijkl,gockl->ngoij", view, filters)
    gw = np.einsum("ngcijkl,ngoij->gockl", view, grad)
    (ph, pw), (sh, sw), (dh, dw) = case.padding, case.stride, case.dilation
    h, wide = case.size
    full = np.zeros((n, x.shape[1], h + 2 * ph, wide + 2 * pw))
    for a in range(case.kernel[0]):
        for b in range(case.kernel[1]):
            part = np.einsum("ngoij,goc->ngcij", grad, filters[..., a, b])
            rows = slice(a * dh, a * dh + (case.out[0] - 1) * sh + 1, sh)
            columns = slice(b * dw, b * dw + (case.out[1] - 1) * sw + 1, sw)
            full[:, :, rows, columns] += part.reshape(n, x.shape[1], *case.out)
    gx = full[:, :, ph : ph + h, pw : pw + wide]
    return [a.reshape(s) for a, s in zip((y, gx, gw), shapes, strict=True)]


LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
LIBM.fma.restype = ctypes.c_double
LIBM.fma.argtypes = [ctypes.c_double] * 3
FMA64 = np.frompyfunc(LIBM.fma, 3, 1)


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    if c.dtype == np.float64:
        return FMA64(a, b, c).astype(float)
    # the product is exact in 64 bits of mantissa; then one rounding to float32
    return (a.astype(np.longdouble) * b + c).astype(np.float32)


def forward_order(case: Case, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One chain from +0, ascending (c, kh, kw), padding included as zeros."""
    view = windows(case, x)
    filters = w.reshape(case.groups, -1, *w.shape[1:])
    chain = np.zeros((case.batch, *filters.shape[:2], *case.out), x.dtype)
    for c, a, b in np.ndindex(*filters.shape[2:]):
        weight = filters[None, :, :, c, a, b, None, None]
        chain = fma(weight, view[:, :, c, None, :, :, a, b], chain)
    return chain.reshape(case.y_shape)


def input_order(case: Case, gy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One chain from +0, ascending (o, kh, kw), over the taps of the input's stride phase."""
    made = np.zeros(case.x_shape, gy.dtype)
    inputs, filters = case.channels // case.groups, case.filters // case.groups
    for c, i, j in np.ndindex(*case.x_shape[1:]):
        chain = np.zeros(case.batch, gy.dtype)
        group = c // inputs
        for o, a, b in np.ndindex(filters, *case.kernel):
            row = i + case.padding[0] - a * case.dilation[0]
            column = j + case.padding[1] - b * case.dilation[1]
            if row % case.stride[0] or column % case.stride[1]:
                continue
            row, column = row // case.stride[0], column // case.stride[1]
            inside = 0 <= row < case.out[0] and 0 <= column < case.out[1]
            filter = group * filters + o
            value = gy[:, filter, row, column] if inside else np.zeros(case.batch, gy.dtype)
            chain = fma(w[filter, c % inputs, a, b], value, chain)
        made[:, c, i, j] = chain
    return made


def weight_order(case: Case, x: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """Positions in blocks of 1024, a chain each; blocks joined by a binary counter."""
    view = windows(case, x)
    grad = gy.reshape(case.batch, case.groups, -1, *case.out)
    shape = (case.groups, case.filters // case.groups, *view.shape[2:3], *case.kernel)
    positions = [(n, i, j) for n, i, j in np.ndindex(case.batch, *case.out)]
    stack: list[np.ndarray] = []
    for block, start in enumerate(range(0, max(len(positions), 1), 1024)):
        chain = np.zeros(shape, x.dtype)
        for n, i, j in positions[start : start + 1024]:
            chain = fma(grad[n, :, :, i, j, None, None, None], view[n, :, None, :, i, j], chain)
        stack.append(chain)
        count = block + 1
        while count % 2 == 0:
            later = stack.pop()
            stack[-1] = stack[-1] + later
            count //= 2
    while len(stack) > 1:
        later = stack.pop()
        stack[-1] = stack[-1] + later
    return stack[0].reshape(case.w_shape)


# ---- running -------------------------------------------------------------------------------------


def three(
    run: Run, case: Case, x: np.ndarray, w: np.ndarray, gy: np.ndarray, **how: Any
) -> list[np.ndarray]:
    """y, gx and gw by the kernels."""
    name = str(x.dtype)
    (y,) = run("conv", [x, w], [(gy.shape, name)], **case.attrs, **how)
    (gx,) = run("conv_input_grad", [gy, w], [(x.shape, name)], **case.attrs, **how)
    (gw,) = run("conv_weight_grad", [x, gy], [(w.shape, name)], **case.attrs, **how)
    return [y, gx, gw]


@pytest.fixture
def always_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small work is cut into chunks too."""
    monkeypatch.setattr(conv_steps, "chunks_for", lambda work, threads: 4 * threads)


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> list[bool]:
    return [p.tobytes() == q.tobytes() for p, q in zip(a, b, strict=True)]


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(run: Run, case: Case, dtype: str) -> None:
    arrays = case.arrays(dtype)
    made = three(run, case, *arrays)
    limit = {"float32": 2e-6, "float64": 5e-15}[dtype]
    for ours, wanted in zip(made, reference(case, *arrays), strict=True):
        assert np.abs(ours - wanted).max() <= limit * np.abs(wanted).max()


@every_case
def test_bits_do_not_depend_on_the_sharing(run: Run, case: Case, always_shared: None) -> None:
    arrays = case.arrays("float32")
    one = three(run, case, *arrays, threads=1)
    for threads in (2, 3, 8):
        assert all(equal(three(run, case, *arrays, threads=threads), one))
    assert all(equal(three(run, case, *arrays, threads=2, chunks=1), one))


@every_case
def test_an_image_alone_is_the_image_in_the_batch(run: Run, case: Case) -> None:
    x, w, gy = case.arrays("float32")
    y, gx, _ = three(run, case, x, w, gy)
    alone = case._replace(batch=1)
    for n in range(case.batch):
        some = three(run, alone, x[n : n + 1], w, gy[n : n + 1])
        assert all(equal(some[:2], [y[n : n + 1], gx[n : n + 1]]))


SMALL = [
    "plain", "no padding", "stride 2", "1x1, stride 2", "stride 3", "kernel beyond the image",
    "dilation and stride", "stride skips inputs", "groups, stride 2", "depthwise",
    "depthwise, stride 2", "depthwise, wide", "depthwise, dilation", "multiplier", "many positions",
    "channels, wide", "channels, stride 2", "channels, stride skips", "channels, multiplied",
    "pairs", "fours",
]  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_bits_are_those_of_the_written_order(run: Run, name: str) -> None:
    case = CASES[name]
    x, w, gy = case.arrays("float32", seed=3)
    wanted = [forward_order(case, x, w), input_order(case, gy, w), weight_order(case, x, gy)]
    assert equal(three(run, case, x, w, gy), wanted) == [True] * 3


def test_bits_of_the_written_order_in_float64(run: Run) -> None:
    case = Case(2, 3, (5, 4), 9, (3, 2), (2, 1), (1, 1))
    x, w, gy = case.arrays("float64", seed=3)
    wanted = [forward_order(case, x, w), input_order(case, gy, w), weight_order(case, x, gy)]
    assert equal(three(run, case, x, w, gy), wanted) == [True] * 3


@pytest.mark.parametrize(("pixels", "pairs"), [(3136, 1), (12544, 1), (200, 3), (49, 1), (1, 2)])
def test_chunks_get_equally_many_blocks_of_tiles(pixels: int, pairs: int) -> None:
    """Or one thread waits for another's last."""
    fmt = conv_product.Format("f32", 8, 4)
    product = SimpleNamespace(pixels=pixels, pairs=pairs, fma=10**9)
    for threads in (2, 3):
        steps = conv_steps.Steps(threads, 4)
        blocks = conv_product._even_blocks(steps, fmt, product)
        tiles = -(-pixels // fmt.rows)
        assert -(-tiles // conv_product.TILE_BLOCK) <= blocks <= tiles
        items = pairs * blocks
        assert blocks == tiles or items % steps.chunks(items, product.fma) == 0


@pytest.mark.parametrize("name", ["plain", "one channel", "tiny images", "many pixels", "groups"])
def test_a_turned_tile_and_cache_blocks_keep_the_bits(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    arrays = case.arrays("float32")
    wanted = three(run, case, *arrays)
    for turned, blocks in ((False, 0), (True, 0), (True, 1000)):
        for depth in (7, 1000):
            monkeypatch.setattr(conv_product, "prefers_turned", lambda *_, turned=turned: turned)
            monkeypatch.setattr(conv_product, "MANY_BLOCKS", blocks)
            monkeypatch.setattr(conv_product, "DEPTH_BLOCK", depth)
            monkeypatch.setattr(conv_product, "TURNED_DEPTH_BLOCK", depth)
            monkeypatch.setattr(conv_product, "PANEL_BYTES", 64 * depth)
            assert all(equal(three(run, case, *arrays), wanted))
    monkeypatch.setattr(conv_product, "MANY_BLOCKS", 0)
    monkeypatch.setattr(conv_product, "UNIT_SHARE", 0)
    assert all(equal(three(run, case, *arrays), wanted))


@pytest.mark.parametrize("name", [name for name in CASES if "channels" in name] + ["fours"])
@pytest.mark.parametrize("share", [8000, 1 << 30])
def test_bands_of_few_rows_keep_the_bits(
    run: Run, name: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    arrays = case.arrays("float32")
    wanted = three(run, case, *arrays)
    monkeypatch.setattr(conv_lanes, "SHARE", share)
    made = three(run, case, *arrays, threads=2)
    assert all(equal(made, wanted))


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_width_of_vectors_changes_no_bit(
    run: Run, case: Case, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = case.arrays(dtype)
    made = []
    for name in ("x86-64-v3", "x86-64-v4"):
        monkeypatch.setattr(conv, "TILES", formats_for(TARGETS[name]))
        made.append(three(run, case, *arrays))
    assert all(equal(*made))


@pytest.mark.parametrize(("name", "register"), [("x86-64-v4", "zmm"), ("x86-64-v3", "ymm")])
def test_tiles_fill_the_registers_of_their_target(name: str, register: str) -> None:
    fmt = formats_for(TARGETS[name])["float32"]
    text = assembly(build_tile(fmt, fmt.rows), TARGETS[name])
    text = text.partition("\ntile:")[2].partition(".Lfunc_end")[0]
    products = [line for line in text.split("\n") if "vfmadd" in line]
    assert len(products) == fmt.vectors * fmt.rows
    assert all(f"%{register}" in line for line in products)
    assert not [x for x in text.split("\n") if register in x and "(%rsp)" in x], "spilled"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", forward_only)
def test_bias_and_relu_come_after_the_chain(
    run: Run, name: str, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv_product, "prefers_turned", lambda *_: turned)
    case = CASES[name]
    x, w, gy = case.arrays("float32")
    x[-1, 0, 0, 0] = np.nan
    bias = np.linspace(-2, 2, case.filters, dtype=np.float32)
    outs = [(gy.shape, "float32")]
    (plain,) = run("conv", [x, w], outs, **case.attrs)
    added = plain + bias[:, None, None]
    (y,) = run("conv", [x, w, bias], outs, **case.attrs)
    assert np.array_equal(y, added, equal_nan=True)
    (y,) = run("conv", [x, w, bias], outs, relu=True, **case.attrs)
    assert np.array_equal(y, np.maximum(added, 0), equal_nan=True) and np.isnan(y).any()
    (y,) = run("conv", [x, w], outs, relu=True, **case.attrs)
    assert np.array_equal(y, np.maximum(plain, 0), equal_nan=True)


def test_padding_takes_part_as_zero(run: Run) -> None:
    """An infinite weight that meets padding gives NaN, as in the definition."""
    case = Case(1, 1, (3, 3), 1, (3, 3), padding=(1, 1))
    x, w = np.ones(case.x_shape, "f"), np.ones(case.w_shape, "f")
    w[0, 0, 0, 0] = np.inf
    (y,) = run("conv", [x, w], [(case.y_shape, "float32")], **case.attrs)
    assert np.isnan(y[0, 0, 0]).all() and np.isposinf(y[0, 0, 1:, 1:]).all()


@pytest.mark.parametrize("batch", [0, 1])
def test_empty_sizes(run: Run, batch: int) -> None:
    case = Case(batch, 3, (4, 4), 2, (3, 3), padding=(1, 1))
    y, gx, gw = three(run, case, *case.arrays("float32"))
    assert y.shape == case.y_shape and gx.shape == case.x_shape
    assert (gw == 0).all() == (batch == 0)


def test_no_channels_give_the_bias(run: Run) -> None:
    case = Case(2, 0, (4, 4), 3, (3, 3), padding=(1, 1))
    x, w, gy = case.arrays("float32")
    bias = np.array([1, -2, 3], "f")
    (y,) = run("conv", [x, w, bias], [(gy.shape, "float32")], **case.attrs)
    assert np.array_equal(y, np.broadcast_to(bias[:, None, None], y.shape))


def test_strided_inputs_are_asked_to_be_copied() -> None:
    def arg(shape: tuple[int, ...], strides: tuple[int, ...]) -> Arg:
        return Arg(shape, dtypes.float32, strides)

    args = (arg((2, 3, 4, 4), (48, 16, 1, 4)), arg((5, 3, 1, 1), (3, 1, 1, 1)))
    out = Type((2, 5, 4, 4), dtypes.float32)
    plan = conv.plan_conv(args, (out,), {"stride": (1, 1), "padding": (0, 0)}, 1)
    assert plan.contiguous == (0,)
    assert plan.keep


def test_three_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="3 directions"):
        conv.geometry((1, 1, 2, 2, 2), (1, 1, 1, 1, 1), (1, 1, 2, 2, 2), {})


def test_against_pytorch(run: Run) -> None:
    torch = pytest.importorskip("torch")
    for name in ("stride 2", "dilation", "groups", "one channel"):
        case = CASES[name]
        x, w, gy = case.arrays("float32")
        settings = [list(getattr(case, field)) for field in ("stride", "padding", "dilation")]
        tx, tw, tg = map(torch.from_numpy, (x, w, gy))
        y = torch.conv2d(tx, tw, None, *settings, case.groups)
        rest = (None, *settings, False, [0, 0], case.groups, [True, True, False])
        gx, gw, _ = torch.ops.aten.convolution_backward(tg, tx, tw, *rest)
        for ours, theirs in zip(three(run, case, x, w, gy), (y, gx, gw), strict=True):
            assert np.abs(ours - theirs.numpy()).max() <= 5e-6 * theirs.abs().max()


# ---- tables --------------------------------------------------------------------------------------


def test_grid_is_a_box_with_the_last_axis_fastest() -> None:
    assert grid((2, 10), (3, 1)).tolist() == [0, 1, 2, 10, 11, 12]
    assert arange(3).tolist() == [0, 1, 2]


def test_tiles_are_of_almost_equal_height() -> None:
    assert np.diff(tile_starts(32, 6)).tolist() == [5, 5, 6, 5, 5, 6]
    assert np.diff(tile_starts(5, 6)).tolist() == [5]
    assert tile_starts(0, 6).tolist() == [0]


@pytest.mark.parametrize("step", [1, 2])
def test_runs_cover_every_lane_once_or_with_the_same(step: int) -> None:
    random = np.random.default_rng(1)
    for _ in range(50):
        jumps = random.choice([step, 7], 45, p=[0.8, 0.2])
        offsets = np.cumsum(jumps)
        rows, index = cover(offsets, step, 16, 8)
        found = np.full(48, -1)
        for panel in range(3):
            for offset, lane, power in rows[index[panel] : index[panel + 1]]:
                width = 1 << power
                place = panel * 16 + lane + np.arange(width)
                there = offset + step * np.arange(width)
                assert ((found[place] == -1) | (found[place] == there)).all()
                found[place] = there
        assert (found[:45] == offsets).all() and (found[45:] == -1).all()


def test_whole_panels_are_written_in_place() -> None:
    offsets = grid((3, 100), (14, 1))
    panels = make_panels(offsets, offsets, 1, 1, 4)
    assert panels.place.tolist() == [0, 4, 8, -1, 102, 106, 110, 200, 204, 208, -1]


def test_units_fill_their_panels() -> None:
    assert unit_images(64, 196, 16) == 2
    assert unit_images(8, 4096, 16) == 1
    assert unit_images(8, 64, 16) == 4
    assert unit_images(7, 3, 16) == 7
    assert unit_images(0, 9, 16) == 1


@pytest.mark.parametrize("groups", [1, 4, 8, 64])
def test_steps_for_no_images_have_a_chunk(groups: int) -> None:
    """A step without chunks is one whose call knows their number; these plans do not ask."""
    case = Case(0, 64, (7, 7), 64, (3, 3), padding=(1, 1), groups=groups)
    x, w, gy = case.arrays("float32")
    args = [Arg(a.shape, dtypes.of(a.dtype), tuple(s // 4 for s in a.strides)) for a in (x, gy)]
    out = Type(w.shape, dtypes.of(w.dtype))
    plan = conv.plan_weight_grad(tuple(args), (out,), case.attrs, 2)
    assert plan is not None
    assert all(step.chunks >= 1 for step in plan.steps)
