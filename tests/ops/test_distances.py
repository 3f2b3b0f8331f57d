"""Distances, covariances, areas, parts replaced: values and gradients, against PyTorch."""

import pytest
from twins import cases, compare_all, compare_all_gradients

TEXT = """
T.cdist(f, g)  T.cdist(f, g, p=1)  T.cdist(f, g, 3.5)  T.cdist(f, g, inf)  T.cdist(f, g, 0)
T.cdist(x, f)  T.cdist(x, x)  T.cdist(f, f)  T.cdist(f.repeat(9, 1), g.repeat(9, 1) + 1)
T.cdist(f, g, compute_mode='use_mm_for_euclid_dist')  T.cdist(f, q[:, :3])  T.cdist(v, f)
T.cdist(f, g, -1)  T.cdist(e, f)  T.cdist(f, g, compute_mode='no')  T.cdist(d, d * 2, 1.5)
T.pdist(f)  T.pdist(f, 1)  T.pdist(v)  F.pdist(f, 3)  T.dist(f, g)  f.dist(g, 1)  T.dist(f, v, inf)
T.cov(f)  f.cov()  T.cov(v)  T.cov(f, correction=0)  T.cov(f, fweights=k[0])
T.cov(f, aweights=g[0])  T.cov(f, fweights=k[0], aweights=g[0], correction=0)  T.cov(z)  T.cov(i)
T.corrcoef(f)  f.corrcoef()  T.corrcoef(v)  T.renorm(f, 2, 0, 1.0)  f.renorm(1, 1, 2.0)
T.trapezoid(f)  T.trapezoid(f, dx=0.5, dim=0)  T.trapezoid(f, v)  T.trapz(f, g)  T.trapezoid(i)
T.cumulative_trapezoid(f)  T.cumulative_trapezoid(f, v[:3], dim=0)  f.clone().renorm_(2, 0, 1.0)
T.fill(f, 2)  T.fill(f, s)  T.fill(i, 3)  T.fill(f, v)  T.take(f, k)  f.take(T.tensor([0, 11, -1]))
T.take(f, T.tensor([12]))  f.put(T.tensor([1, 5]), v[:2])  f.put(T.tensor([1, 1]), v[:2], True)
T.put(i, T.tensor([[0, 3]]), k[:1, :2])  T.select_scatter(f, v, 0, 1)
f.select_scatter(v[:3], 1, -1)
T.slice_scatter(f, g[:2], 0, 1)  f.slice_scatter(g[:, :2], 1, 0, 4, 2)  T.slice_scatter(f, g, 0)
T.slice_scatter(f, g, 0, 1)  T.diagonal_scatter(f, v[:3])  f.diagonal_scatter(v[:2], -1)
T.diagonal_scatter(f, v)  T.msort(f)  f.msort()  T.mode(i // 3)  (i // 3).mode(0, True)
T.mode(f)  T.mode(s)  T.broadcast_shapes((2, 1), (3,))  T.broadcast_shapes((2,), (3,))
T.broadcast_shapes(4, (1, 1))  T._softmax_backward_data(f, g.softmax(1), 1, T.float32)
T._softmax_backward_data(f, g.softmax(0), -2, T.float32)  f.clone().put_(T.tensor([2]), v[:1])
"""
LINES = [line for line in TEXT.splitlines() if line]
EXCEPT = {}


@pytest.mark.parametrize("line", LINES)
def test_values(line):
    compare_all([text for text in cases(line) if text not in EXCEPT])


@pytest.mark.parametrize("line", LINES)
def test_gradients(line):
    compare_all_gradients([text for text in cases(line) if text not in EXCEPT])
