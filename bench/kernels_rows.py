"""Row kernels and reductions against PyTorch, NumPy and ONNX Runtime, interleaved.

    python bench/kernels_rows.py [sum softmax layer_norm ...]

Outputs are preallocated on every side that can. Each case runs round by round through all
libraries; the figure is the median over rounds, and in brackets how much longer the peer takes.
PyTorch's layer_norm and cross_entropy are its ordinary calls, faster than its `out=` variants.
THREADS=1 measures the kernels alone, by the thread's own time; BEST=1 shows the fastest round, for
a machine that is shared.
"""

import ctypes
import os
import statistics
import sys
import time
from functools import partial

THREADS = int(os.environ.get("THREADS", "2"))
for variable in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{variable}_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402

import twofold.ops.loss  # noqa: E402
import twofold.ops.norms  # noqa: E402, F401
from twofold.base import dtypes  # noqa: E402
from twofold.base.types import Type  # noqa: E402
from twofold.codegen.native import core  # noqa: E402
from twofold.exec.planners import planner  # noqa: E402
from twofold.lower import grad_norm, optim  # noqa: E402
from twofold.lower.schedule import Arg, In, Out, Scratch  # noqa: E402
from twofold.ops.op import OPS  # noqa: E402
from twofold.runtime import threads  # noqa: E402

RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
ROUNDS = int(os.environ.get("ROUNDS", "9"))
# on a machine that others use as well, BEST=1 shows the fastest round instead of the median
PICK = min if os.environ.get("BEST") else statistics.median
CLOCK = time.thread_time if THREADS == 1 else time.perf_counter


def prepared(name, arrays, outs, **attrs):
    """A call of our kernels with arguments and outputs frozen, as a captured program makes them."""
    pool_run = RUN(core.start().code.address("pool_run"))
    args = tuple(
        Arg(a.shape, dtypes.of(a.dtype), tuple(s // a.itemsize for s in a.strides)) for a in arrays
    )
    types = tuple(Type(tuple(out.shape), dtypes.of(out.dtype)) for out in outs)
    plan = planner(OPS[name])(args, types, attrs, THREADS)
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
        start = CLOCK()
        call()
        repeats[name] = max(1, int(0.004 / max(CLOCK() - start, 1e-7)))
    times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            start = CLOCK()
            for _ in range(repeats[name]):
                call()
            times[name].append((CLOCK() - start) / repeats[name])
    return {name: PICK(values) for name, values in times.items()}


def report(case, calls):
    found = measure(calls)
    ours = found.pop("ours")
    others = "  ".join(f"{k} {v * 1e6:9.1f} ({v / ours:4.2f}x)" for k, v in found.items())
    print(f"{case:38s} ours {ours * 1e6:9.1f} us   {others}", flush=True)


def rows(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def name_of(op, shape, *more):
    return " ".join([op, "x".join(map(str, shape)), *map(str, more)])


SIZES = ((100, 1000), (1000, 1000), (10_000, 1000), (200, 50_000), (12_288, 64), (100_000, 10))


# ---- ONNX Runtime --------------------------------------------------------------------------------


def session(op, weights, columns):
    """An ONNX Runtime session of one node over rows."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    inputs = {"Softmax": ["x"], "LayerNormalization": ["x", "w", "b"]}[op]
    attrs = {"epsilon": 1e-5} if op != "Softmax" else {}
    node = helper.make_node(op, inputs, ["y"], axis=-1, **attrs)
    shape = [None, columns]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    constants = [numpy_helper.from_array(w, n) for w, n in zip(weights, "wb", strict=False)]
    graph = helper.make_graph([node], "g", given, made, constants)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # spinning workers of one library slow the others down in one process
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


# ---- cases ---------------------------------------------------------------------------------------


def reduction(torch, op, shape, dim):
    x = rows(shape)
    y = np.empty([s for axis, s in enumerate(shape) if axis not in dim], np.float32)
    a, b, flat = torch.from_numpy(x), torch.from_numpy(y.copy()), y.copy()
    theirs = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "var": torch.var}[op]
    numpys = {"sum": np.sum, "mean": np.mean, "max": np.max, "var": np.var}[op]
    calls = {
        "ours": prepared(op, [x], [y], dim=dim),
        "torch": lambda: theirs(a, dim=dim, out=b),
        "numpy": lambda: numpys(x, axis=dim, out=flat),
    }
    report(name_of(op, shape, "over", dim), calls)


def bench_maths(torch):
    """Functions of one element, from cache and from memory."""
    functions = {"exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    functions |= {"erf": torch.erf, "sin": torch.sin, "gelu": torch.ops.aten.gelu}
    functions["gelu_tanh"] = partial(torch.ops.aten.gelu, approximate="tanh")
    for size in (100_000, 1_000_000, 10_000_000):
        for name, theirs in functions.items():
            x = np.abs(rows((size,))) + np.float32(1e-6) if name == "log" else rows((size,))
            y = np.empty_like(x)
            a, b = torch.from_numpy(x), torch.from_numpy(y.copy())
            calls = {"ours": prepared(name, [x], [y]), "torch": partial(theirs, a, out=b)}
            report(name_of(name, (size,)), calls)
            assert abs(y - b.numpy()).max() < 1e-5, name


def bench_sum(torch):
    for shape in ((1_000_000,), (10_000_000,)):
        reduction(torch, "sum", shape, (0,))
    for shape in (
        (1000, 1000),
        (10000, 1000),
        (100, 100_000),
        (64, 256),
        (4096, 64),
        (100_000, 10),
    ):
        reduction(torch, "sum", shape, (1,))
        reduction(torch, "sum", shape, (0,))
    for shape in ((32, 64, 56, 56), (64, 128, 7, 7)):
        reduction(torch, "sum", shape, (0, 2, 3))


def bench_reductions(torch):
    for op in ("mean", "max", "var"):
        for shape in ((64, 256), (1000, 1000), (10_000, 1000)):
            reduction(torch, op, shape, (1,))
            reduction(torch, op, shape, (0,))


def bench_places(torch):
    for shape in ((64, 10), (1000, 1000), (100_000, 10)):
        x = rows(shape)
        for dim in (0, 1):
            y = np.empty(shape[1 - dim], np.int64)
            a = torch.from_numpy(x)
            calls = {
                "ours": prepared("argmax", [x], [y], dim=(dim,)),
                "torch": lambda a=a, dim=dim: torch.argmax(a, dim),
                "numpy": lambda x=x, dim=dim: np.argmax(x, dim),
            }
            report(name_of("argmax", shape, "over", dim), calls)


def bench_scan(torch):
    for shape in ((1_000_000,), (1000, 1000)):
        x, y = rows(shape), np.empty(shape, np.float32)
        a = torch.from_numpy(x)
        for dim in range(len(shape)):
            calls = {
                "ours": prepared("cumsum", [x], [y], dim=dim),
                "torch": lambda a=a, dim=dim: torch.cumsum(a, dim),
                "numpy": lambda x=x, y=y, dim=dim: np.cumsum(x, dim, out=y),
            }
            report(name_of("cumsum", shape, "along", dim), calls)


def softmax_case(torch, shape):
    x = rows(shape)
    y, other = np.empty_like(x), np.empty_like(x)
    a, b = torch.from_numpy(x), torch.from_numpy(other)
    out = torch.ops.aten._softmax.out
    calls = {
        "ours": prepared("softmax", [x], [y], dim=1),
        "torch": lambda: out(a, -1, False, out=b),
    }
    report(name_of("softmax", shape), with_onnx(calls, "Softmax", x, other.copy()))
    assert abs(y - other).max() < 1e-6


def bench_softmax(torch):
    for shape in SIZES:
        softmax_case(torch, shape)


def log_softmax_case(torch, shape):
    x, g = rows(shape), rows(shape, 1)
    y, dx = np.empty_like(x), np.empty_like(x)
    a, b, c = map(torch.from_numpy, (x, y, g))
    backward = torch.ops.aten._log_softmax_backward_data
    ours = prepared("log_softmax", [x], [y], dim=1)
    calls = {"ours": ours, "torch": lambda: torch.log_softmax(a, 1)}
    report(name_of("log_softmax", shape), calls)
    ours = prepared("log_softmax_backward", [g, y], [dx], dim=1)
    calls = {"ours": ours, "torch": lambda: backward(c, b, 1, torch.float32)}
    report(name_of("log_softmax backward", shape), calls)


def bench_log_softmax(torch):
    for shape in SIZES:
        log_softmax_case(torch, shape)


def layer_norm_case(torch, shape):
    x, g, w, b = rows(shape), rows(shape, 1), rows(shape[1], 2), rows(shape[1], 3)
    y, dx, gw, gb = np.empty_like(x), np.empty_like(x), np.empty_like(w), np.empty_like(b)
    mean, rstd = np.empty(shape[0], np.float32), np.empty(shape[0], np.float32)
    tx, tg, tw, tb = map(torch.from_numpy, (x, g, w, b))
    n, mask, aten = [shape[1]], [True, True, True], torch.ops.aten
    calls = {
        "ours": prepared("layer_norm", [x, w, b], [y, mean, rstd], rank=1, eps=1e-5),
        "torch": lambda: torch.nn.functional.layer_norm(tx, n, tw, tb, 1e-5),
    }
    named = name_of("layer_norm", shape)
    report(named, with_onnx(calls, "LayerNormalization", x, y.copy(), (w, b)))
    _, tm, tr = aten.native_layer_norm(tx, n, tw, tb, 1e-5)
    first = prepared("layer_norm_backward", [g, x, mean, rstd, w], [dx], rank=1)
    second = prepared("layer_norm_affine_backward", [g, x, mean, rstd], [gw, gb], rank=1)
    calls = {
        "ours": lambda: (first(), second()),
        "torch": lambda: aten.native_layer_norm_backward(tg, tx, n, tm, tr, tw, tb, mask),
    }
    report(name_of("layer_norm backward", shape), calls)


def bench_layer_norm(torch):
    for shape in SIZES:
        layer_norm_case(torch, shape)


def cross_entropy_case(torch, shape):
    x, dx = rows(shape), np.empty(shape, np.float32)
    labels = np.random.default_rng(1).integers(0, shape[1], shape[0])
    loss, lse = np.empty(shape[0], np.float32), np.empty(shape[0], np.float32)
    g = np.full(shape[0], 1 / shape[0], np.float32)
    forward = prepared("cross_entropy", [x, labels], [loss, lse])
    backward = prepared("cross_entropy_backward", [g, x, labels, lse], [dx])
    a, b = torch.from_numpy(x), torch.from_numpy(labels)
    wanted = torch.from_numpy(x.copy()).requires_grad_()

    def both():
        with torch.enable_grad():
            torch.autograd.grad(torch.nn.functional.cross_entropy(wanted, b), wanted)

    calls = {"ours": forward, "torch": lambda: torch.nn.functional.cross_entropy(a, b)}
    report(name_of("cross_entropy", shape), calls)
    calls = {"ours": lambda: (forward(), backward()), "torch": both}
    report(name_of("cross_entropy and backward", shape), calls)


def bench_cross_entropy(torch):
    for shape in ((64, 10), *SIZES):
        cross_entropy_case(torch, shape)


def batch_norm_case(torch, shape):
    c = shape[1]
    x, g, w, b = rows(shape), rows(shape, 1), rows(c, 2), rows(c, 3)
    y, dx = np.empty_like(x), np.empty_like(x)
    mean, var, gw, gb = (np.empty(c, np.float32) for _ in range(4))
    tx, tg, tw, tb = map(torch.from_numpy, (x, g, w, b))
    aten = torch.ops.aten
    calls = {
        "ours": prepared("batch_norm", [x, w, b], [y, mean, var], eps=1e-5),
        "torch": lambda: aten.native_batch_norm(tx, tw, tb, None, None, True, 0.1, 1e-5),
    }
    report(name_of("batch_norm", shape), calls)
    _, tm, tr = aten.native_batch_norm(tx, tw, tb, None, None, True, 0.1, 1e-5)
    arguments = (tg, tx, tw, None, None, tm, tr, True, 1e-5, [True, True, True])
    calls = {
        "ours": prepared("batch_norm_backward", [g, x, w, mean, var], [dx, gw, gb], eps=1e-5),
        "torch": lambda: aten.native_batch_norm_backward(*arguments),
    }
    report(name_of("batch_norm backward", shape), calls)


def bench_batch_norm(torch):
    for shape in ((64, 256), (64, 32, 28, 28), (32, 64, 56, 56), (64, 128, 7, 7)):
        batch_norm_case(torch, shape)


def adam_case(torch, shapes):
    options = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "step": 3}
    params, grads = [rows(s) for s in shapes], [rows(s, 1) for s in shapes]
    table = [(p, g, np.zeros_like(p), np.zeros_like(p)) for p, g in zip(params, grads, strict=True)]
    theirs = [torch.from_numpy(p.copy()).requires_grad_() for p in params]
    for p, g in zip(theirs, grads, strict=True):
        p.grad = torch.from_numpy(g)
    fused = torch.optim.AdamW(theirs, lr=1e-3, fused=True)
    calls = {"ours": lambda: optim.update("adamw", table, options), "torch fused": fused.step}
    report(f"adamw {len(shapes)} of {shapes[0]}", calls)
    calls = {
        "ours": lambda: grad_norm.total_norm(grads),
        "torch": lambda: torch.nn.utils.get_total_norm([p.grad for p in theirs]),
    }
    report(f"norm of {len(shapes)} of {shapes[0]}", calls)


def bench_optim(torch):
    perceptron = [(784, 256), (256,), (256, 128), (128,), (128, 10), (10,)]
    for shapes in (perceptron, [(64,)] * 100, [(1000, 1000)] * 10):
        adam_case(torch, shapes)


BENCHES = {
    "maths": bench_maths,
    "sum": bench_sum,
    "reductions": bench_reductions,
    "places": bench_places,
    "scan": bench_scan,
    "softmax": bench_softmax,
    "log_softmax": bench_log_softmax,
    "layer_norm": bench_layer_norm,
    "cross_entropy": bench_cross_entropy,
    "batch_norm": bench_batch_norm,
    "optim": bench_optim,
}


def main(chosen):
    import torch

    threads.set_num_threads(THREADS)
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    for name in chosen or BENCHES:
        BENCHES[name](torch)


if __name__ == "__main__":
    main(sys.argv[1:])
