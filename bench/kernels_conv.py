"""Convolution and pooling kernels against PyTorch: python bench/kernels_conv.py [lenet].

Each library runs in a process of its own, as the spinning threads of one disturb the other, and
they take turns round by round. A ratio is PyTorch's time over ours: the median over the rounds. A
net's ratio is that of the sums over its layers, each as often as the net has it; the gradient by
the input of a net's first layer is not needed and not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], Any]
SECONDS = 0.02  # of work a turn
OPS = ("y", "gx", "gw")


class Layer(NamedTuple):
    """x [batch, channels, size, size], kernel x kernel taps; `times` in its net."""

    times: int
    batch: int
    channels: int
    size: int
    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def out(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def flops(self) -> int:
        depth = self.channels // self.groups * self.kernel**2
        return 2 * self.batch * self.filters * self.out**2 * depth

    def arrays(self) -> list[np.ndarray]:
        """x, w and the gradient by y."""
        random = np.random.default_rng(0)
        x = (self.batch, self.channels, self.size, self.size)
        w = (self.filters, self.channels // self.groups, self.kernel, self.kernel)
        y = (self.batch, self.filters, self.out, self.out)
        return [random.standard_normal(shape, dtype=np.float32) for shape in (x, w, y)]


CONVOLUTIONS = {
    "lenet 1>32 5x5 @28": Layer(1, 64, 1, 28, 32, 5, 1, 2),
    "lenet 32>64 5x5 @14": Layer(1, 64, 32, 14, 64, 5, 1, 2),
    "resnet 3>64 7x7/2 @64": Layer(1, 8, 3, 64, 64, 7, 2, 3),
    "resnet 64>64 3x3 @16": Layer(4, 8, 64, 16, 64, 3, 1, 1),
    "resnet 64>128 3x3/2 @16": Layer(1, 8, 64, 16, 128, 3, 2, 1),
    "resnet 128>128 3x3 @8": Layer(3, 8, 128, 8, 128, 3, 1, 1),
    "resnet 64>128 1x1/2 @16": Layer(1, 8, 64, 16, 128, 1, 2, 0),
    "resnet 128>256 3x3/2 @8": Layer(1, 8, 128, 8, 256, 3, 2, 1),
    "resnet 256>256 3x3 @4": Layer(3, 8, 256, 4, 256, 3, 1, 1),
    "resnet 128>256 1x1/2 @8": Layer(1, 8, 128, 8, 256, 1, 2, 0),
    "resnet 256>512 3x3/2 @4": Layer(1, 8, 256, 4, 512, 3, 2, 1),
    "resnet 512>512 3x3 @2": Layer(3, 8, 512, 2, 512, 3, 1, 1),
    "resnet 256>512 1x1/2 @4": Layer(1, 8, 256, 4, 512, 1, 2, 0),
    "other 64>64 1x1 @56": Layer(1, 8, 64, 56, 64, 1),
    "other 64>64 3x3 @56, one image": Layer(1, 1, 64, 56, 64, 3, 1, 1),
    "other 64>64 3x3 @32, 4 groups": Layer(1, 8, 64, 32, 64, 3, 1, 1, 4),
    "other 64 depthwise 3x3 @56": Layer(1, 8, 64, 56, 64, 3, 1, 1, 64),
    "other 64 depthwise 3x3/2 @56": Layer(1, 8, 64, 56, 64, 3, 2, 1, 64),
    "mobile 32 dw3 @112": Layer(1, 8, 32, 112, 32, 3, 1, 1, 32),
    "mobile 96 dw3/2 @112": Layer(1, 8, 96, 112, 96, 3, 2, 1, 96),
    "mobile 144 dw3 @56": Layer(1, 8, 144, 56, 144, 3, 1, 1, 144),
    "mobile 144 dw3/2 @56": Layer(1, 8, 144, 56, 144, 3, 2, 1, 144),
    "mobile 192 dw3 @28": Layer(2, 8, 192, 28, 192, 3, 1, 1, 192),
    "mobile 192 dw3/2 @28": Layer(1, 8, 192, 28, 192, 3, 2, 1, 192),
    "mobile 384 dw3 @14": Layer(4, 8, 384, 14, 384, 3, 1, 1, 384),
    "mobile 576 dw3/2 @14": Layer(1, 8, 576, 14, 576, 3, 2, 1, 576),
    "mobile 960 dw3 @7": Layer(3, 8, 960, 7, 960, 3, 1, 1, 960),
    "efficient 144 dw5/2 @56": Layer(1, 8, 144, 56, 144, 5, 2, 2, 144),
    "efficient 240 dw5 @28": Layer(1, 8, 240, 28, 240, 5, 1, 2, 240),
    "efficient 672 dw5 @14": Layer(2, 8, 672, 14, 672, 5, 1, 2, 672),
    "efficient 1152 dw5 @7": Layer(3, 8, 1152, 7, 1152, 5, 1, 2, 1152),
    "convnext 96 dw7 @56": Layer(3, 8, 96, 56, 96, 7, 1, 3, 96),
    "convnext 192 dw7 @28": Layer(3, 8, 192, 28, 192, 7, 1, 3, 192),
    "convnext 384 dw7 @14": Layer(9, 8, 384, 14, 384, 7, 1, 3, 384),
    "convnext 768 dw7 @7": Layer(3, 8, 768, 7, 768, 7, 1, 3, 768),
    "resnext 128 3x3 @56, 32 groups": Layer(3, 8, 128, 56, 128, 3, 1, 1, 32),
    "resnext 256 3x3/2 @56, 32 groups": Layer(1, 8, 256, 56, 256, 3, 2, 1, 32),
    "resnext 256 3x3 @28, 32 groups": Layer(3, 8, 256, 28, 256, 3, 1, 1, 32),
    "resnext 512 3x3 @14, 32 groups": Layer(5, 8, 512, 14, 512, 3, 1, 1, 32),
    "resnext 1024 3x3 @7, 32 groups": Layer(2, 8, 1024, 7, 1024, 3, 1, 1, 32),
}
FIRST = ("lenet 1>32 5x5 @28", "resnet 3>64 7x7/2 @64")


class Pool(NamedTuple):
    """Pooling of x [batch, channels, size, size]."""

    kind: str
    batch: int
    channels: int
    size: int
    kernel: int
    stride: int
    padding: int = 0

    @property
    def out(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def attrs(self) -> dict[str, Any]:
        pairs = {name: (getattr(self, name),) * 2 for name in ("kernel", "stride", "padding")}
        rest = {"dilation": (1, 1)} if self.kind == "max" else {"count_include_pad": True}
        return pairs | rest | {"ceil_mode": False}


POOLS = {
    "pool max 2x2/2 @28": Pool("max", 64, 32, 28, 2, 2),
    "pool max 2x2/2 @14": Pool("max", 64, 64, 14, 2, 2),
    "pool max 3x3/2 @32": Pool("max", 8, 64, 32, 3, 2, 1),
    "pool avg 2x2/2 @28": Pool("avg", 64, 32, 28, 2, 2),
    "pool avg 3x3/1 @16": Pool("avg", 8, 64, 16, 3, 1, 1),
}


# ---- one library -------------------------------------------------------------------------------


def planned(name: str, arrays: list[np.ndarray], outs: list[np.ndarray], **attrs: Any) -> Call:
    """Our kernels with arguments and outputs frozen, as a captured program makes them."""
    from twofold.base import dtypes
    from twofold.base.types import Type
    from twofold.codegen.native import core
    from twofold.lower import conv, pool  # noqa: F401
    from twofold.lower.schedule import Arg, In, Out, Scratch, find_planner

    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    pool_run = run(core.start().code.address("pool_run"))
    args = [
        Arg(a.shape, dtypes.of(a.dtype), tuple(s // a.itemsize for s in a.strides)) for a in arrays
    ]
    types = tuple(Type(out.shape, dtypes.of(out.dtype)) for out in outs)
    plan = find_planner(name)(tuple(args), types, attrs, THREADS[0])
    scratch = np.zeros(plan.scratch + 64, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % 64
    bases = {In: arrays, Out: outs}

    def word(value: Any) -> int:
        if isinstance(value, Scratch):
            return start + value.offset
        if isinstance(value, In | Out):
            return int(bases[type(value)][value.index].ctypes.data + value.offset)
        return int(value)

    jobs = [(ctypes.c_int64 * len(step.job))(*map(word, step.job)) for step in plan.steps]
    calls = [
        (step.task, ctypes.addressof(job), step.chunks)
        for step, job in zip(plan.steps, jobs, strict=True)
    ]

    def call(keep: Any = (plan, arrays, outs, scratch, jobs)) -> None:
        for task, job, chunks in calls:
            pool_run(task, job, chunks)

    return call


THREADS = [2]


def prepare_ours(case: str) -> Call:
    name, _, op = case.rpartition(" ")
    if name in POOLS:
        return prepare_our_pool(POOLS[name], op)
    layer = CONVOLUTIONS[name]
    x, w, gy = layer.arrays()
    pairs = {"stride": layer.stride, "padding": layer.padding, "dilation": 1}
    attrs = {key: (value, value) for key, value in pairs.items()} | {"groups": layer.groups}
    calls = {
        "y": ("conv", [x, w], gy),
        "gx": ("conv_input_grad", [gy, w], x),
        "gw": ("conv_weight_grad", [x, gy], w),
    }
    planner, arrays, out = calls[op]
    return planned(planner, arrays, [np.empty_like(out)], **attrs)


def prepare_our_pool(pool: Pool, op: str) -> Call:
    x = np.random.default_rng(0).standard_normal(
        (pool.batch, pool.channels, pool.size, pool.size), dtype=np.float32
    )
    y = np.empty((*x.shape[:2], pool.out, pool.out), np.float32)
    outs = [y, np.empty(y.shape, np.int64)] if pool.kind == "max" else [y]
    forward = planned(f"{pool.kind}_pool", [x], outs, **pool.attrs)
    if op == "y":
        return forward
    forward()
    attrs: dict[str, Any] = {"size": (pool.size, pool.size)}
    if pool.kind == "avg":
        attrs |= pool.attrs
    inputs = outs if pool.kind == "max" else [y]
    return planned(f"{pool.kind}_pool_backward", inputs, [np.empty_like(x)], **attrs)


def prepare_torch(case: str) -> Call:
    import torch

    torch.set_num_threads(THREADS[0])
    torch.set_grad_enabled(False)
    name, _, op = case.rpartition(" ")
    if name in POOLS:
        return prepare_torch_pool(POOLS[name], op)
    layer = CONVOLUTIONS[name]
    x, w, gy = map(torch.from_numpy, layer.arrays())
    if op == "y":
        return lambda: torch.conv2d(x, w, None, layer.stride, layer.padding, 1, layer.groups)
    pairs = ([layer.stride] * 2, [layer.padding] * 2, [1, 1], False, [0, 0], layer.groups)
    mask = [op == "gx", op == "gw", False]
    return lambda: torch.ops.aten.convolution_backward(gy, x, w, None, *pairs, mask)


def prepare_torch_pool(pool: Pool, op: str) -> Call:
    import torch

    x = torch.from_numpy(
        np.random.default_rng(0).standard_normal(
            (pool.batch, pool.channels, pool.size, pool.size), dtype=np.float32
        )
    )
    pairs = [[value] * 2 for value in (pool.kernel, pool.stride, pool.padding)]
    aten = torch.ops.aten
    if pool.kind == "avg":
        y = torch.nn.functional.avg_pool2d(x, *pairs)
        if op == "y":
            return lambda: torch.nn.functional.avg_pool2d(x, *pairs)
        return lambda: aten.avg_pool2d_backward(y, x, *pairs, False, True, None)
    y, index = aten.max_pool2d_with_indices(x, *pairs)
    if op == "y":
        return lambda: aten.max_pool2d_with_indices(x, *pairs)
    return lambda: aten.max_pool2d_with_indices_backward(y, x, *pairs, [1, 1], False, index)


PREPARE = {"ours": prepare_ours, "torch": prepare_torch}


def serve(library: str) -> None:
    """Answer lines: a case makes it ready, an empty line runs it for a turn; prints seconds."""
    call: Call = lambda: None  # noqa: E731
    for line in sys.stdin:
        if line.strip():
            call = PREPARE[library](line.strip())
            call()
        print(measure(call), flush=True)


def measure(call: Call) -> float:
    """Seconds of the fastest call in a turn."""
    call()
    start = time.perf_counter()
    call()
    count = max(2, int(SECONDS / (time.perf_counter() - start)))
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


# ---- both of them ------------------------------------------------------------------------------


class Library:
    """A process that runs one library."""

    def __init__(self, name: str, threads: int) -> None:
        limits = {f"{x}_NUM_THREADS": str(threads) for x in ("OMP", "MKL")}
        command = [sys.executable, __file__, "--serve", name, "--threads", str(threads)]
        pipe = subprocess.PIPE
        environment = os.environ | limits | {"TWOFOLD_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def ask(self, line: str = "") -> float:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def compare(cases: list[str], threads: int, rounds: int) -> None:
    libraries = {name: Library(name, threads) for name in ("ours", "torch")}
    totals: dict[str, dict[str, list[float]]] = {}
    print(f"{threads} thread(s)                     op      ours     torch  ratio   least most")
    for case in cases:
        for library in libraries.values():
            library.ask(case)
        turns = [{name: one.ask() for name, one in libraries.items()} for _ in range(rounds)]
        each = sorted(turn["torch"] / turn["ours"] for turn in turns)
        ours, torch = (statistics.median(turn[n] for turn in turns) for n in ("ours", "torch"))
        name, _, op = case.rpartition(" ")
        spread = f"{each[len(each) // 4]:6.2f} {each[-1 - len(each) // 4]:4.2f}"
        rate = f"{CONVOLUTIONS[name].flops / ours / 1e9:7.1f}" if name in CONVOLUTIONS else ""
        ratio = statistics.median(each)
        times = f"{ours * 1e6:8.0f}us {torch * 1e6:8.0f}us {ratio:6.2f}"
        print(f"{name:32} {op:3} {times}  {spread} {rate}", flush=True)
        if name in CONVOLUTIONS and not (op == "gx" and name in FIRST):
            sums = totals.setdefault(name.split()[0], {}).setdefault(op, [0.0, 0.0])
            sums[0] += ours * CONVOLUTIONS[name].times
            sums[1] += torch * CONVOLUTIONS[name].times
    for net, ops in totals.items():
        ratios = [f"{op} {torch / ours:.2f}" for op, (ours, torch) in ops.items()]
        ours, torch = (sum(pair[i] for pair in ops.values()) for i in (0, 1))
        print(f"{net}: {', '.join(ratios)}; together {torch / ours:.2f} ({ours * 1e3:.2f} ms)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="of the names of cases (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", choices=PREPARE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    THREADS[0] = given.threads
    if given.serve:
        serve(given.serve)
        return
    names = [f"{name} {op}" for name in CONVOLUTIONS for op in OPS]
    names += [f"{name} {op}" for name in POOLS for op in OPS[:2]]
    chosen = [name for name in names if all(word in name for word in given.words)]
    compare(chosen, given.threads, given.rounds)


if __name__ == "__main__":
    main()
