"""Eager training steps against eager PyTorch: the same model, written the same way.

python -m bench.train [CASE ...]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.turns import compare

CASES = ["mlp64", "mlp512", "lenet", "chargpt", "resnet18", "lstm"]


def prepare(library: str, case: str) -> Callable[[], Any]:
    t = importlib.import_module(library)
    nn = importlib.import_module(f"{library}.nn")
    functional = importlib.import_module(f"{library}.nn.functional")
    optim = importlib.import_module(f"{library}.optim")
    t.manual_seed(0)
    random = np.random.default_rng(0)
    fused = {"fused": True} if library == "torch" else {}
    if case.startswith("mlp"):
        batch = int(case[3:])
        net = nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )
        opt = optim.Adam(net.parameters(), lr=1e-3, **fused)
        x, y = random.normal(size=(batch, 784)), random.integers(0, 10, batch)
    elif case == "lenet":
        net = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(3136, 1024),
            nn.ReLU(),
            nn.Linear(1024, 10),
        )
        opt = optim.SGD(net.parameters(), lr=1e-2, momentum=0.9, **fused)
        x, y = random.normal(size=(64, 1, 28, 28)), random.integers(0, 10, 64)
    elif case == "resnet18":
        net = resnet18(nn, functional)
        opt = optim.SGD(net.parameters(), lr=1e-2, momentum=0.9, **fused)
        x, y = random.normal(size=(8, 3, 64, 64)), random.integers(0, 10, 8)
    elif case == "lstm":
        net = lstm(nn)
        opt = optim.Adam(net.parameters(), lr=1e-3, **fused)
        x, y = random.normal(size=(16, 50, 32)), random.integers(0, 10, 16)
    else:
        net = char_gpt(t, nn, functional)
        opt = optim.AdamW(net.parameters(), lr=3e-4, **fused)
        x, y = random.integers(0, 65, (12, 64)), random.integers(0, 65, 12 * 64)
    kind = np.int64 if x.dtype.kind == "i" else np.float32
    x, y = t.tensor(x.astype(kind)), t.tensor(y)

    def step() -> Any:
        opt.zero_grad()
        loss = functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def lstm(nn: Any) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(32, 256, batch_first=True)
            self.out = nn.Linear(256, 10)

        def forward(self, x: Any) -> Any:
            return self.out(self.lstm(x)[0][:, -1])

    return Net()


def char_gpt(
    t: Any, nn: Any, functional: Any, layers: int = 4, heads: int = 4, width: int = 128
) -> Any:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            b, length, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
            q, k, v = (
                z.reshape(b, length, heads, width // heads).transpose(1, 2) for z in (q, k, v)
            )
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, length, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.place = nn.Embedding(65, width), nn.Embedding(64, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 65)

        def forward(self, x: Any) -> Any:
            h = self.token(x) + self.place(t.arange(x.shape[1]))
            return self.head(self.norm(self.blocks(h))).reshape(-1, 65)

    return Net()


def resnet18(nn: Any, functional: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, inside: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
            self.short = None
            if stride != 1 or inside != out:
                self.short = nn.Sequential(
                    nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            return functional.relu(y + (x if self.short is None else self.short(x)))

    widths = (64, 128, 256, 512)
    blocks = []
    inside = 64
    for index, width in enumerate(widths):
        blocks += [Block(inside, width, 1 if index == 0 else 2), Block(width, width, 1)]
        inside = width
    stem = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


if __name__ == "__main__":
    compare("bench.train", sys.argv[1:] or CASES)
