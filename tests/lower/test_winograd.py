"""Convolutions by Winograd's sums: values against float64, and what they do not depend on."""

from typing import NamedTuple

import numpy as np
import pytest

from twofold.codegen.target import TARGETS
from twofold.lower import conv, winograd
from twofold.lower.conv import geometry
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tile import TILES, formats_for


class Case(NamedTuple):
    batch: int
    channels: int
    size: tuple[int, int]
    filters: int
    padding: tuple[int, int] = (1, 1)

    @property
    def out(self):
        return tuple(n + 2 * p - 2 for n, p in zip(self.size, self.padding, strict=True))

    @property
    def attrs(self):
        return {"stride": (1, 1), "padding": self.padding, "dilation": (1, 1), "groups": 1}

    @property
    def shapes(self):
        """Of x, the filters, and the result."""
        x, w = (self.batch, self.channels, *self.size), (self.filters, self.channels, 3, 3)
        return x, w, (self.batch, self.filters, *self.out)

    def arrays(self):
        random = np.random.default_rng(0)
        return [random.standard_normal(shape).astype(np.float32) for shape in self.shapes]


CASES = {
    "even": Case(2, 32, (28, 28), 32),
    "odd, and panels that are not full": Case(3, 33, (27, 45), 35),
    "no padding": Case(2, 40, (31, 26), 29, (0, 0)),
    "padding differs": Case(2, 32, (21, 24), 48, (2, 0)),
    "narrow": Case(24, 48, (16, 7), 40),
    "more depth than is added at a time": Case(12, 300, (14, 14), 40),
    "blocks that cross images": Case(30, 64, (10, 10), 70),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def reference(case, x, w):
    """The convolution in float64."""
    x = np.pad(x.astype(float), ((0, 0), (0, 0), *((p, p) for p in case.padding)))
    h, wide = case.out
    taps = [(i, j) for i in range(3) for j in range(3)]
    parts = [
        np.einsum("nchw,oc->nohw", x[:, :, i : i + h, j : j + wide], w[..., i, j]) for i, j in taps
    ]
    return sum(parts)


def input_reference(case, gy, w):
    """Its gradient by the input: the convolution with the filters turned round."""
    turned = w.transpose(1, 0, 2, 3)[..., ::-1, ::-1]
    other = case._replace(size=case.out, padding=tuple(2 - p for p in case.padding))
    return reference(other, gy, turned)


def close(found, right):
    return np.abs(found - right).max() < 3e-6 * np.abs(right).max()


@every_case
def test_every_case_takes_this_way(case):
    x, w, y = case.shapes
    assert winograd.of_forward(TILES["float32"], geometry(x, w, y, case.attrs)) is not None


@every_case
def test_values(run, case):
    x, w, gy = case.arrays()
    (y,) = run("conv_fast", [x, w], [(gy.shape, "float32")], **case.attrs)
    assert close(y, reference(case, x, w))
    (gx,) = run("conv_input_grad_fast", [gy, w], [(x.shape, "float32")], **case.attrs)
    assert close(gx, input_reference(case, gy, w))


@every_case
def test_bits_depend_on_neither_threads_nor_the_batch(run, case):
    x, w, gy = case.arrays()
    outs = [(gy.shape, "float32")]
    (y,) = run("conv_fast", [x, w], outs, threads=1, **case.attrs)
    for threads in (2, 3, 8):
        (other,) = run("conv_fast", [x, w], outs, threads=threads, **case.attrs)
        assert other.tobytes() == y.tobytes()
    more = np.concatenate([x, x[::-1]])
    (twice,) = run("conv_fast", [more, w], [((2 * len(x), *gy.shape[1:]), "float32")], **case.attrs)
    assert twice[: len(x)].tobytes() == y.tobytes()
    assert twice[len(x) :].tobytes() == y[::-1].tobytes()


def test_threads_share_many_filters_rather_than_few_patches(run, monkeypatch):
    """Each would read all of the filters, which come from far away."""
    many = Case(1, 256, (14, 14), 256)
    found = winograd.of_forward(TILES["float32"], geometry(*many.shapes, many.attrs), frozen=True)
    assert winograd.block_lines(Steps(2, 4), TILES["float32"], found) == found.lines == 7
    for case in (CASES["even"], CASES["odd, and panels that are not full"]):
        x, w, gy = case.arrays()
        made = set()
        for size in (0, 1 << 40):
            monkeypatch.setattr(winograd, "SHARED_BYTES", size)
            for threads in (1, 2, 3):
                outs = [(gy.shape, "float32")]
                (y,) = run("conv_fast", [x, w], outs, threads=threads, **case.attrs)
                made.add(y.tobytes())
        assert len(made) == 1


def test_narrower_vectors_give_the_same_bits(run, monkeypatch):
    case = CASES["odd, and panels that are not full"]
    x, w, gy = case.arrays()
    calls = [
        ("conv_fast", [x, w], [(gy.shape, "float32")]),
        ("conv_input_grad_fast", [gy, w], [(x.shape, "float32")]),
    ]
    here = [run(*call, **case.attrs)[0].tobytes() for call in calls]
    monkeypatch.setattr(conv, "TILES", formats_for(TARGETS["x86-64-v3"]))
    assert [run(*call, **case.attrs)[0].tobytes() for call in calls] == here


def test_bias_and_relu(run):
    case = CASES["odd, and panels that are not full"]
    x, w, gy = case.arrays()
    bias = np.linspace(-3, 3, case.filters, dtype=np.float32)
    outs = [(gy.shape, "float32")]
    (plain,) = run("conv_fast", [x, w], outs, **case.attrs)
    (found,) = run("conv_fast", [x, w, bias], outs, relu=True, **case.attrs)
    right = np.maximum(plain + bias[:, None, None], 0)
    assert found.tobytes() == right.tobytes()


@pytest.mark.parametrize(
    ("changed", "dtype"),
    [
        ({"stride": (2, 2)}, "float32"),
        ({"dilation": (2, 2)}, "float32"),
        ({"groups": 2}, "float32"),
        ({}, "float64"),
    ],
)
def test_other_convolutions_keep_the_common_way(run, changed, dtype):
    case = Case(2, 64, (24, 24), 64)
    attrs = case.attrs | changed
    x, w, _ = case.arrays()
    w = w[:, : 64 // attrs["groups"]].copy()
    reach = attrs["dilation"][0] * 2 + 1
    size = (24 + 2 - reach) // attrs["stride"][0] + 1
    given = [x.astype(dtype), w.astype(dtype)]
    outs = [((2, 64, size, size), dtype)]
    (fast,), (common,) = (run(name, given, outs, **attrs) for name in ("conv_fast", "conv"))
    assert fast.tobytes() == common.tobytes()


def test_few_pixels_keep_the_common_way(run):
    case = Case(1, 256, (4, 4), 256)
    x, w, gy = case.arrays()
    outs = [(gy.shape, "float32")]
    (fast,), (common,) = (run(name, [x, w], outs, **case.attrs) for name in ("conv_fast", "conv"))
    assert fast.tobytes() == common.tobytes()
