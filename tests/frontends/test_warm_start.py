"""A compiled training step in a process whose kernels are in the cache: nothing is compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.codegen.target import host

STEP = """
import sys
import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.codegen import compile as compiler
from twofold.codegen import jobs

compiled = []
emit = compiler._emit

def counted(module, target):
    compiled.append(1)
    return emit(module, target)

compiler._emit = counted

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(self.norm(x)).split(width, dim=2)
        q, k, v = [p.view(batch, length, 2, width // 2).transpose(1, 2) for p in parts]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + y.transpose(1, 2).reshape(batch, length, width)
        return x + self.down(F.gelu(self.up(x)))

jobs.QUIET = 1e9  # what is compiled after all else is not looked at
twofold.manual_seed(0)
model = nn.Sequential(nn.Embedding(11, 8), Block(8), nn.Dropout(0.1), Block(8), nn.Linear(8, 11))
optimizer = optim.AdamW(model.parameters(), lr=0.01)

@twofold.compile
def step(x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x).reshape(-1, 11), y.reshape(-1))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss

for n in (3, 3, 5):
    x = twofold.randint(0, 11, (2, n))
    loss = step(x, x).item()
print(loss.hex(), len(compiled), compiler.LIBRARY in sys.modules)
"""


def run(cache: Path, **more: str) -> list[str]:
    environment = os.environ | {"TWOFOLD_CACHE": str(cache)} | more
    done = subprocess.run(
        [sys.executable, "-c", STEP], env=environment, capture_output=True, text=True, check=True
    )
    assert not done.stderr  # LLVM has nothing to say
    return done.stdout.split()


@pytest.mark.skipif(host().loader != "elf", reason="other hosts load with llvmlite")
def test_a_warm_step_compiles_nothing_and_imports_no_compiler(tmp_path: Path) -> None:
    loss, compiled, library = run(tmp_path / "cache")
    assert int(compiled) > 10
    assert library == "True"
    assert run(tmp_path / "cache") == [loss, "0", "False"]
    # an entry that was damaged is made again, and nothing else
    (entry,) = (tmp_path / "cache").glob("*/gemm_f32*")
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    assert run(tmp_path / "cache") == [loss, "1", "True"]
    assert run(tmp_path / "cache", TWOFOLD_EAGER="1")[0] == loss
