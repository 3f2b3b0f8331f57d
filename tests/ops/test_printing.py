"""Tensors print as PyTorch prints them, but for the name of the framework in a dtype."""

import numpy as np
import pytest
from twins import evaluate, torch

import twofold

VALUES = """
T.tensor([1., 2.])  T.tensor([1, 2])  T.tensor(3)  T.tensor(3.5)  T.tensor(2.)  T.tensor(True)
T.tensor([])  T.tensor([[1., 2.], [3., 4.]])  T.tensor([True, False])
T.tensor([1.5, nan, inf, -inf])  T.tensor([nan])  T.tensor([inf, 1.])  T.tensor([1e-5, 1.])
T.tensor([1e5, 1.])  T.tensor([1e8, 1.])  T.tensor([1e9])  T.tensor([1e9, 1.])  T.tensor([1e-4])
T.tensor([1e-5])  T.tensor([0.001, 1.])  T.tensor([0.0001, 0.11])  T.tensor([1e10, 2e10])
T.tensor([123456.789])  T.tensor([0.1, 100.25])  T.tensor([-1., 2.])  T.tensor([-0.5, 10.])
T.tensor([1000., 0.5])  T.tensor([1e-3, 1.0])  T.tensor([1., 1001.5])  T.tensor([0.])
T.tensor([-0.])  T.tensor([100000000.])  T.tensor([99999999.5])  T.tensor(1e-8)  T.tensor(1e20)
T.tensor(-1.25)  T.tensor(nan)  T.tensor(-inf)  T.tensor([1, -200, 30])  T.tensor([[1], [200]])
T.tensor([1], dtype=T.int32)  T.tensor([1.], dtype=T.float64)  T.tensor([1.5], dtype=T.float16)
T.tensor([1.5], dtype=T.bfloat16)  T.tensor([1], dtype=T.uint8)  T.tensor([], dtype=T.int64)
T.tensor([], dtype=T.float64)  T.zeros(0, 3)  T.zeros(2, 0, dtype=T.int32)  T.zeros(2, 0)
T.zeros((), dtype=T.float64)  T.zeros(3, 4)  T.ones(2, 2, 2)  T.arange(5)  T.arange(100)
T.arange(1000)  T.arange(1001)  T.arange(5000).reshape(50, 100)  T.arange(5000.).reshape(50, 100)
T.arange(2000).reshape(10, 10, 20)  T.zeros(1001)  T.arange(24.).reshape(2, 3, 4)
T.arange(60).reshape(3, 20)  T.linspace(0, 1, 30)  T.linspace(0, 1, 3000)
T.linspace(-1, 1, 40).reshape(4, 10)  T.ones(2, 600)  T.arange(3000).reshape(3, 1000) * 1.5
T.arange(1200).reshape(2, 3, 4, 50)  f  d  i  b  u  h  bf  z  x  o  e  s  n  w  f * 1e6  f * 1e-6
f * 1e10  f[:1]  f.T  f > 0  i.T  z[:1]  z * 1e-5  z.double() if 0 else z  T.tensor([1 + 2j])
T.tensor([1.5 - 2.25j, -3j])  T.tensor(1j)  T.tensor([complex(nan, 1)])  T.tensor([1e10 + 1j])
T.tensor([1., 2.], requires_grad=True)  T.tensor(1., requires_grad=True)
T.tensor([1.], dtype=T.float64, requires_grad=True)  T.tensor([1.], requires_grad=True) * 2
T.tensor([1., 2.], requires_grad=True).sum()  T.tensor([2.], requires_grad=True).exp()
T.tensor([[1., 2.]], requires_grad=True).T  T.tensor([1., 2.], requires_grad=True).mean()
T.zeros(3, requires_grad=True).detach()  T.nn.Parameter(T.zeros(2))  T.nn.Parameter(T.ones(2, 3))
T.nn.Parameter(T.zeros(2), requires_grad=False)  T.Size([2, 3])  T.zeros(2, 3).shape  T.float32
T.tensor([1.]).dtype  T.tensor(123456789)  T.tensor([2**40])  T.tensor([1.0, 2.0, 3.0]) / 3
T.tensor([1/3])  T.tensor([12345.678, 0.001])  T.tensor([99999.5])  T.tensor([0.99999])
T.tensor([1e-38])  T.tensor([3.4e38])  T.tensor([5e-324], dtype=T.float64)
T.tensor([1e300], dtype=T.float64)
"""
TEXTS = [part for line in VALUES.splitlines() for part in line.split("  ") if part.strip()]
# x.T and x.t() are one operation here.
NODES = {"<PermuteBackward0>": "<TBackward0>"}


def ours(text: str) -> str:
    text = text.replace("torch.", "twofold.")
    for theirs, here in NODES.items():
        text = text.replace(theirs, here)
    return text


def check(text):
    wanted, _ = evaluate(text, True)
    found, _ = evaluate(text, False)
    assert not isinstance(wanted, Exception), wanted
    if not isinstance(found, str):
        assert str(found) == repr(found)
    assert repr(found) == ours(repr(wanted)), f"\n{found!r}\n{wanted!r}"


@pytest.mark.parametrize("text", TEXTS)
def test_as_pytorch(text):
    check(text)


OPTIONS = [
    {"precision": 2},
    {"precision": 7},
    {"threshold": 5},
    {"threshold": 5, "edgeitems": 1},
    {"linewidth": 40},
    {"linewidth": 200},
    {"sci_mode": True},
    {"sci_mode": False},
    {"profile": "short"},
    {"profile": "full"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    try:
        torch.set_printoptions(**options)
        twofold.set_printoptions(**options)
        for text in ("f", "x", "i", "T.arange(40.)", "T.arange(1500)", "f * 1e6", "z", "o", "b"):
            check(text)
    finally:
        torch.set_printoptions(profile="default", sci_mode=None)
        twofold.set_printoptions(profile="default", sci_mode=None)


@pytest.mark.parametrize("spec", [".2f", "", ">8.3f", "e", "g", "08.3f"])
def test_format(spec):
    assert format(twofold.tensor(3.14159), spec) == format(torch.tensor(3.14159), spec)
    assert f"{twofold.tensor(7):d}" == "7"
    with pytest.raises(TypeError):
        format(twofold.tensor([1.0, 2.0]), ".2f")


def test_printing_does_not_change_what_is_printed():
    x = twofold.from_numpy(np.arange(6.0).reshape(2, 3))
    before = x.clone()
    repr(x)
    assert twofold.equal(x, before)
