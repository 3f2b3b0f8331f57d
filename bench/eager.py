"""Eager operations on small tensors against PyTorch: what a call costs.

python -m bench.eager [CASE ...]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.turns import compare

CASES = [
    "add",
    "add_taped",
    "add_grad",
    "add_scalar",
    "chain10",
    "exp",
    "relu",
    "sum",
    "mean",
    "softmax",
    "max",
    "matmul4",
    "matmul64",
    "linear",
    "reshape",
    "transpose",
    "index",
    "cat",
    "stack",
    "layer_norm",
    "gelu",
    "cross_entropy",
]


def prepare(library: str, case: str) -> Callable[[], Any]:
    t = importlib.import_module(library)
    functional = importlib.import_module(f"{library}.nn.functional")
    random = np.random.default_rng(0)

    def tensor(*shape: int, grad: bool = False) -> Any:
        return t.tensor(random.normal(size=shape).astype(np.float32), requires_grad=grad)

    a, b, p = tensor(4), tensor(4), tensor(4, grad=True)
    m, n, w = tensor(4, 4), tensor(4, 4), tensor(64, 64)
    bias, labels = tensor(4), t.tensor([0, 1, 2, 3])

    def chain() -> None:
        x = p
        for _ in range(10):
            x = x * b + a
        x.sum().backward()
        p.grad = None

    def grad() -> None:
        (p + b).sum().backward()
        p.grad = None

    return {
        "add": lambda: a + b,
        "add_taped": lambda: p + b,
        "add_grad": grad,
        "add_scalar": lambda: a + 1.5,
        "chain10": chain,
        "exp": lambda: a.exp(),
        "relu": lambda: functional.relu(a),
        "sum": lambda: a.sum(),
        "mean": lambda: m.mean(1),
        "softmax": lambda: m.softmax(1),
        "max": lambda: m.amax(1),
        "matmul4": lambda: m @ n,
        "matmul64": lambda: w @ w,
        "linear": lambda: functional.linear(m, n, bias),
        "reshape": lambda: m.reshape(2, 8),
        "transpose": lambda: m.transpose(0, 1),
        "index": lambda: m[1],
        "cat": lambda: t.cat([a, b]),
        "stack": lambda: t.stack([a, b]),
        "layer_norm": lambda: functional.layer_norm(m, (4,), a, b),
        "gelu": lambda: functional.gelu(a),
        "cross_entropy": lambda: functional.cross_entropy(m, labels),
    }[case]


if __name__ == "__main__":
    compare("bench.eager", sys.argv[1:] or CASES)
