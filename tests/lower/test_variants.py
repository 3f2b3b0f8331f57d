"""Plans say which variants they call, and what stands in for the others gives the same bits."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.lower import conv_tile, shared_tiles
from twofold.lower.tile import TILES, heights_of, kinds_for
from twofold.lower.variants import Variants

F = nn.functional
ROWS = (1, 2, 3, 5, 13, 14, 15, 29, 43, 65, 100)


def made() -> list[Variants]:
    return [*shared_tiles._shared.values(), *conv_tile._wanted.values()]


def forget(variants: Variants) -> None:
    """Let what stands in be called for every number."""
    variants.table[:] = [variants.code.address("single")] * len(variants.table)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variant has its own code yet; afterwards all is as it was."""
    before = made()
    kept = [list(variants.table) for variants in before]
    monkeypatch.setattr(shared_tiles, "_shared", {})
    monkeypatch.setattr(conv_tile, "_wanted", {})
    threads = twofold.get_num_threads()
    twofold.set_num_threads(1)
    yield
    twofold.set_num_threads(threads)
    for variants in made():  # plans of this test may live on
        forget(variants)
    for variants, table in zip(before, kept, strict=True):
        variants.table[:] = table


@pytest.fixture
def missed(fresh: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of variants that are called and were not wanted: in place of `single`."""
    numbers: list[int] = []
    record = ctypes.CFUNCTYPE(None, ctypes.c_int64)(numbers.append)
    address = ctypes.cast(record, ctypes.c_void_p).value
    fill = Variants.fill

    def empty(self: Variants) -> None:
        fill(self)
        self.table[:] = [address] * len(self.table)
        for number in self.made:
            self.put(number)

    monkeypatch.setattr(Variants, "fill", empty)
    monkeypatch.setattr(shared_tiles, "PATIENT", 0)  # every plan waits for what it wants
    yield numbers


def given(*shape: int, grad: bool = False) -> Any:
    values = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    return twofold.from_numpy(values).requires_grad_(grad)


def products() -> Iterator[Any]:
    for m in ROWS:
        for n in (2, 16, 17, 33, 48, 331):
            yield given(m, 37) @ given(37, n)
            yield given(m, 37) @ given(n, 37).t()
    yield given(3, 70, 600) @ given(3, 600, 90)
    yield given(700, 30) @ given(30, 40)


def attentions() -> Iterator[Any]:
    for queries in ROWS:
        q, k, v = (given(2, n, 19, grad=True) for n in (queries, 67, 67))
        out = F.scaled_dot_product_attention(q, k, v)
        yield out
        out.square().sum().backward()
        yield from (q.grad, k.grad, v.grad)


def sequences() -> Iterator[Any]:
    for rows in ROWS:
        for kind in (nn.LSTM, nn.GRU):
            twofold.manual_seed(0)
            net = kind(3, 35)
            x = given(2, rows, 3, grad=True)
            net(x)[0].square().sum().backward()
            yield from (x.grad, *(p.grad for p in net.parameters()))


def convolutions() -> Iterator[Any]:
    sizes = [(9, 5, 4, 1), (7, 16, 20, 1), (13, 3, 33, 1), (5, 64, 70, 1), (8, 6, 6, 6)]
    for size, channels, filters, groups in sizes:
        for batch, stride in ((1, 1), (3, 2)):
            x = given(batch, channels, size, size, grad=True)
            w = given(filters, channels // groups, 3, 3, grad=True)
            out = F.conv2d(x, w, stride=stride, padding=1, groups=groups)
            yield out
            out.square().sum().backward()
            yield from (x.grad, w.grad)


ALL = [products, attentions, sequences, convolutions]


@pytest.mark.parametrize("make", ALL)
def test_plans_want_what_they_call(make: Any, missed: list[int]) -> None:
    for _ in make():
        assert missed == []


@pytest.mark.parametrize("make", ALL)
def test_what_stands_in_gives_the_same_bits(make: Any, fresh: None) -> None:
    right = [x.detach().numpy().tobytes() for x in make()]
    for variants in made():
        forget(variants)  # what is known is not wanted again
    assert [x.detach().numpy().tobytes() for x in make()] == right


def test_kinds_are_those_of_the_last_panel_too() -> None:
    tile = TILES["float32"]
    wide, narrow = tile.columns, tile.lanes
    assert kinds_for(tile, {3}, wide) == {tile.rows + 3}
    assert kinds_for(tile, {3, 5}, wide + narrow) == {tile.rows + 3, tile.rows + 5, 3, 5}
    assert kinds_for(tile, {2}, narrow + 1) == {tile.rows + 2}
    assert kinds_for(tile, {2}, 0) == set()
    assert set(heights_of([29], 10)) == {10, 9}
    assert set(heights_of([7], 10)) == {7}
    assert set(heights_of([0], 10)) == {0}
    assert set(heights_of([30, 4], 10)) == {10, 0, 4}
