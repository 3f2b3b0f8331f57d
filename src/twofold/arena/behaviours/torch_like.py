"""Behaviours of PyTorch, and of Twofold by the same calls: what was done and what came of it."""

import tempfile
import zipfile
from pathlib import Path

import numpy as np


def library(framework):
    return getattr(framework, "torch", None) or framework.twofold


def compiled(framework, function, **options):
    if not hasattr(library(framework), "compile"):
        return None
    return framework.compiled(framework.MODES[1], function, **options)


NO_COMPILE = {"good": None, "evidence": "it has no compile"}


def sample(t, *shape):
    return t.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


def difference(a, b):
    a, b = np.asarray(a), np.asarray(b)
    apart = int((a.view(np.int32) != b.view(np.int32)).sum())
    if not apart:
        return {"good": True, "evidence": f"all {a.size} results have the same bits"}
    worst = float(np.abs(a - b).max())
    return {"good": False, "evidence": f"{apart} of {a.size} results differ, by up to {worst:.1e}"}


def eager_equals_compiled(framework, mode):
    t = library(framework)
    x, w = sample(t, 64, 96), sample(t, 96, 96)

    def f(x):
        return t.nn.functional.layer_norm(t.nn.functional.gelu(x @ w), (96,)).softmax(-1)

    g = compiled(framework, f)
    return NO_COMPILE if g is None else difference(f(x), g(x))


def one_thread_equals_two(framework, mode):
    t = library(framework)
    x, w = sample(t, 2000, 500), sample(t, 500, 400)
    results = []
    before = t.get_num_threads()
    for count in (1, 2):
        t.set_num_threads(count)
        y = x @ w
        results.append(np.concatenate([y.sum(0).numpy(), y.reshape(-1).sum().reshape(1).numpy()]))
    t.set_num_threads(before)
    return difference(*results)


def row_alone_equals_row_in_batch(framework, mode):
    t = library(framework)
    x, w = sample(t, 33, 300), sample(t, 300, 200)
    return difference((x @ w)[:1].contiguous().numpy(), (x[:1] @ w).numpy())


def compiles_for_50_shapes(framework, mode):
    t = library(framework)
    traced = []

    def f(x):
        return (x * 2 + 1).relu().sum()

    def backend(graph, inputs):  # PyTorch hands every graph that it captures to its backend
        traced.append(graph)
        return graph.forward

    options = {"backend": backend} if t.__name__ == "torch" else {}
    g = compiled(framework, f, **options)
    if g is None:
        return NO_COMPILE
    for rows in range(1, 51):
        g(sample(t, rows, 51 - rows))
    count = len(traced) if t.__name__ == "torch" else t.explain(g).compiles
    return {"good": count == 1, "evidence": f"traced {count} times"}


def second_derivative_under_compile(framework, mode):
    t = library(framework)

    def f(x):
        (first,) = t.autograd.grad((x**3).sum(), x, create_graph=True)
        (second,) = t.autograd.grad(first.sum(), x)
        return second

    g = compiled(framework, f)
    if g is None:
        return NO_COMPILE
    x = t.tensor([2.0], requires_grad=True)
    value = float(g(x))
    return {"good": value == 12, "evidence": f"d2(x^3)/dx2 at 2 is {value:g}"}


def out_of_range_index(framework, mode):
    t = library(framework)
    try:
        value = t.arange(3)[t.tensor([5])]
    except IndexError as error:
        return {"good": True, "evidence": f"IndexError: {first_line(error)}"}
    return {"good": False, "evidence": f"arange(3)[[5]] is {value}"}


def loss_shape_mismatch(framework, mode):
    t = library(framework)
    prediction, target = t.tensor([[1.0], [2.0], [3.0]]), t.tensor([1.0, 2.0, 3.0])
    try:
        value = float(t.nn.functional.mse_loss(prediction, target))
    except (ValueError, RuntimeError) as error:
        return {"good": True, "evidence": f"{type(error).__name__}: {first_line(error)}"}
    return {"good": False, "evidence": f"(3, 1) against (3,): {value:.3g}, where 0 is right"}


def float64_kept(framework, mode):
    t = library(framework)
    kind = (t.from_numpy(np.ones(3)) * 2).dtype
    return {"good": "64" in str(kind), "evidence": f"float64 data times 2 is {kind}"}


def values_inside_compiled_code(framework, mode):
    t = library(framework)
    seen = []

    def f(x):
        y = x * 2
        seen.append(float(y.sum()))
        return y + 1

    g = compiled(framework, f)
    if g is None:
        return NO_COMPILE
    g(t.tensor([1.0, 2.0]))
    g(t.tensor([2.0, 3.0]))
    right = seen[-2:] == [6.0, 10.0]
    return {"good": right, "evidence": f"a line inside saw {seen}, 6 and 10 are right"}


def wrong_shape_error(framework, mode):
    t = library(framework)
    x, w = t.ones(32, 784), t.ones(128, 784)
    try:
        x @ w
    except Exception as error:
        text = str(error)
        named = all(word in text for word in ("32, 784", "128, 784"))
        return {"good": named and "try" in text, "evidence": text}
    return {"good": False, "evidence": "no error"}


def checkpoint_without_pickle(framework, mode):
    t = library(framework)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        t.save(t.nn.Linear(3, 2).state_dict(), str(path))
        if zipfile.is_zipfile(path):
            names = [name for name in zipfile.ZipFile(path).namelist() if name.endswith(".pkl")]
            return {"good": not names, "evidence": f"save writes an archive with {names}"}
        start = path.read_bytes()[8:80]
    return {"good": start.startswith(b"{"), "evidence": f"the file begins {start.decode()!r}"}


def first_line(error):
    return str(error).strip().splitlines()[0]
