"""Row kernels and reductions against PyTorch, NumPy and ONNX Runtime, interleaved, 2 threads.

    python bench/kernels_rows.py [sum softmax layer_norm ...]

Outputs are preallocated on every side that can. Each case runs round by round through all
libraries; the figure is the median over rounds. PyTorch's layer_norm and cross_entropy are its
ordinary calls, which are faster than its `out=` variants.
"""

import ctypes
import os
import statistics
import sys
import time

THREADS = int(os.environ.get("THREADS", "2"))
for variable in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{variable}_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402

from twofold.base import dtypes  # noqa: E402
from twofold.base.types import Type  # noqa: E402
from twofold.codegen.native import core  # noqa: E402
from twofold.lower import batch_norm, cross_entropy, norms, reduce, softmax  # noqa: E402, F401
from twofold.lower.schedule import Arg, In, Out, Scratch, find_planner  # noqa: E402
from twofold.runtime import threads  # noqa: E402

RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
ROUNDS = int(os.environ.get("ROUNDS", "9"))
# on a machine that others use as well, BEST=1 shows the fastest round instead of the median
PICK = min if os.environ.get("BEST") else statistics.median


def prepared(name, arrays, outs, **attrs):
    """A call of our kernels with arguments and outputs frozen, as a captured program makes them."""
    pool_run = RUN(core.start().address("pool_run"))
    args = tuple(
        Arg(a.shape, dtypes.of(a.dtype), tuple(s // a.itemsize for s in a.strides)) for a in arrays
    )
    types = tuple(Type(tuple(out.shape), dtypes.of(out.dtype)) for out in outs)
    plan = find_planner(name)(args, types, attrs, THREADS)
    assert not plan.contiguous
    scratch = np.zeros(plan.scratch + 64, np.uint8)
    bases = {In: arrays, Out: outs}

    def word(value):
        if isinstance(value, Scratch):
            return scratch.ctypes.data + value.offset
        if isinstance(value, In | Out):
            return bases[type(value)][value.index].ctypes.data + value.offset
        return value

    calls = []
    for step in plan.steps:
        job = (ctypes.c_int64 * len(step.job))(*map(word, step.job))
        calls.append((step.task, ctypes.addressof(job), step.chunks, job))

    def call():
        for task, job, chunks, _ in calls:
            pool_run(task, job, chunks)

    call.keep = (arrays, outs, scratch, calls)
    return call


def measure(calls):
    """Median seconds of each callable, interleaved."""
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(0.004 / max(time.perf_counter() - start, 1e-7)))
    times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: PICK(values) for name, values in times.items()}


def report(case, calls):
    found = measure(calls)
    ours = found.pop("ours")
    others = "  ".join(f"{k} {v * 1e6:9.1f} ({v / ours:4.2f}x)" for k, v in found.items())
    print(f"{case:38s} ours {ours * 1e6:9.1f} us   {others}", flush=True)


def load_torch():
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    return torch


def bench_sum():
    torch = load_torch()
    cases = [((1_000_000,), 0), ((10_000_000,), 0)]
    for shape in (
        (1000, 1000),
        (10000, 1000),
        (100, 100_000),
        (64, 256),
        (4096, 64),
        (100_000, 10),
    ):
        cases += [(shape, 1), (shape, 0)]
    cases += [((32, 64, 56, 56), (0, 2, 3)), ((64, 128, 7, 7), (0, 2, 3))]
    for shape, axis in cases:
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        y = x.sum(axis)
        y = np.array(y, np.float32)
        a, b = torch.from_numpy(x), torch.from_numpy(y.copy())
        flat = y.copy()
        dim = axis if isinstance(axis, tuple) else (axis,)
        report(
            f"sum {'x'.join(map(str, shape))} axis {axis}",
            {
                "ours": prepared("sum", [x], [y], dim=dim),
                "torch": lambda a=a, b=b, d=dim: torch.sum(a, dim=d, out=b),
                "numpy": lambda x=x, d=dim, o=flat: np.sum(x, axis=d, out=o),
            },
        )


SIZES = ((100, 1000), (1000, 1000), (10_000, 1000), (200, 50_000), (12_288, 64), (100_000, 10))


def session(op, weights, columns):
    """An ONNX Runtime session of one node over rows."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    named = {"Softmax": ["x"], "LayerNormalization": ["x", "w", "b"]}[op]
    attrs = {"epsilon": 1e-5} if op != "Softmax" else {}
    node = helper.make_node(op, named, ["y"], axis=-1, **attrs)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, columns])]
    constants = [numpy_helper.from_array(w, name) for w, name in zip(weights, "wb")]
    graph = helper.make_graph([node], "g", inputs, outputs, constants)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def onnx_call(op, x, y, weights=()):
    made = session(op, weights, x.shape[1])
    binding = made.io_binding()
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    return lambda keep=(x, y): made.run_with_iobinding(binding)


def with_onnx(calls, *args):
    try:
        calls["onnxruntime"] = onnx_call(*args)
    except ImportError:
        print("(onnx or onnxruntime is not installed)")
    return calls


def bench_softmax():
    torch = load_torch()
    softmax_out = torch.ops.aten._softmax.out
    for shape in SIZES:
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        y, other = np.empty_like(x), np.empty_like(x)
        a, b = torch.from_numpy(x), torch.from_numpy(other)
        calls = {
            "ours": prepared("softmax", [x], [y], dim=1),
            "torch": lambda a=a, b=b: softmax_out(a, -1, False, out=b),
        }
        report(f"softmax {shape[0]}x{shape[1]}", with_onnx(calls, "Softmax", x, other.copy()))
        assert abs(y - other).max() < 1e-6


def rows(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def bench_log_softmax():
    torch = load_torch()
    for shape in SIZES:
        x, g = rows(shape), rows(shape, 1)
        y, dx = np.empty_like(x), np.empty_like(x)
        a, b, c = map(torch.from_numpy, (x, y, g))
        backward = torch.ops.aten._log_softmax_backward_data
        calls = {
            "ours": prepared("log_softmax", [x], [y], dim=1),
            "torch": lambda a=a: torch.log_softmax(a, 1),
        }
        report(f"log_softmax {shape[0]}x{shape[1]}", calls)
        calls = {
            "ours": prepared("log_softmax_backward", [g, y], [dx], dim=1),
            "torch": lambda b=b, c=c: backward(c, b, 1, torch.float32),
        }
        report(f"log_softmax backward {shape[0]}x{shape[1]}", calls)


def bench_layer_norm():
    torch = load_torch()
    aten = torch.ops.aten
    for shape in SIZES:
        x, g = rows(shape), rows(shape, 1)
        w, b = rows(shape[1], 2), rows(shape[1], 3)
        y, dx = np.empty_like(x), np.empty_like(x)
        mean, rstd = np.empty(shape[0], np.float32), np.empty(shape[0], np.float32)
        gw, gb = np.empty_like(w), np.empty_like(b)
        tx, tg, tw, tb = map(torch.from_numpy, (x, g, w, b))
        n = [shape[1]]
        calls = {
            "ours": prepared("layer_norm", [x, w, b], [y, mean, rstd], rank=1, eps=1e-5),
            "torch": lambda: torch.nn.functional.layer_norm(tx, n, tw, tb, 1e-5),
        }
        name = f"{shape[0]}x{shape[1]}"
        report(f"layer_norm {name}", with_onnx(calls, "LayerNormalization", x, y.copy(), (w, b)))
        _, tm, tr = aten.native_layer_norm(tx, n, tw, tb, 1e-5)
        mask = [True, True, True]
        first = prepared("layer_norm_backward", [g, x, mean, rstd, w], [dx], rank=1)
        second = prepared("layer_norm_affine_backward", [g, x, mean, rstd], [gw, gb], rank=1)
        calls = {
            "ours": lambda: (first(), second()),
            "torch": lambda: aten.native_layer_norm_backward(tg, tx, n, tm, tr, tw, tb, mask),
        }
        report(f"layer_norm backward {name}", calls)


def bench_cross_entropy():
    torch = load_torch()
    for shape in SIZES:
        x, dx = rows(shape), np.empty(shape, np.float32)
        labels = np.random.default_rng(1).integers(0, shape[1], shape[0])
        loss, lse = np.empty(shape[0], np.float32), np.empty(shape[0], np.float32)
        g = np.full(shape[0], 1 / shape[0], np.float32)
        forward = prepared("cross_entropy", [x, labels], [loss, lse])
        backward = prepared("cross_entropy_backward", [g, x, labels, lse], [dx])
        with torch.enable_grad():
            a = torch.from_numpy(x).requires_grad_()
        b = torch.from_numpy(labels)

        def both(a=a, b=b):
            with torch.enable_grad():
                torch.autograd.grad(torch.nn.functional.cross_entropy(a, b), a)

        def only(a=a, b=b):
            torch.nn.functional.cross_entropy(a, b)

        name = f"{shape[0]}x{shape[1]}"
        report(f"cross_entropy {name}", {"ours": forward, "torch": only})
        both_ours = {"ours": lambda: (forward(), backward()), "torch": both}  # noqa: B023
        report(f"cross_entropy and backward {name}", both_ours)


def bench_batch_norm():
    torch = load_torch()
    for shape in ((64, 256), (64, 32, 28, 28), (32, 64, 56, 56), (64, 128, 7, 7)):
        x, g = rows(shape), rows(shape, 1)
        c = shape[1]
        w, b = rows(c, 2), rows(c, 3)
        y, dx = np.empty_like(x), np.empty_like(x)
        mean, var, gw, gb = (np.empty(c, np.float32) for _ in range(4))
        tx, tg, tw, tb = map(torch.from_numpy, (x, g, w, b))
        aten = torch.ops.aten
        forward = prepared("batch_norm", [x, w, b], [y, mean, var], eps=1e-5)
        calls = {
            "ours": forward,
            "torch": lambda: aten.native_batch_norm(tx, tw, tb, None, None, True, 0.1, 1e-5),
        }
        name = "x".join(map(str, shape))
        report(f"batch_norm {name}", calls)
        _, tm, tr = aten.native_batch_norm(tx, tw, tb, None, None, True, 0.1, 1e-5)
        mask = [True, True, True]
        arguments = (tg, tx, tw, None, None, tm, tr, True, 1e-5, mask)
        calls = {
            "ours": prepared("batch_norm_backward", [g, x, w, mean, var], [dx, gw, gb], eps=1e-5),
            "torch": lambda: aten.native_batch_norm_backward(*arguments),
        }
        report(f"batch_norm backward {name}", calls)


BENCHES = {
    "sum": bench_sum,
    "softmax": bench_softmax,
    "log_softmax": bench_log_softmax,
    "layer_norm": bench_layer_norm,
    "cross_entropy": bench_cross_entropy,
    "batch_norm": bench_batch_norm,
}

if __name__ == "__main__":
    threads.set_num_threads(THREADS)
    for chosen in sys.argv[1:] or BENCHES:
        BENCHES[chosen]()
