"""Behaviours of TensorFlow: what was done and what came of it."""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf


def sample(*shape):
    return tf.constant(np.random.default_rng(0).standard_normal(shape, np.float32))


def difference(a, b):
    a, b = np.asarray(a), np.asarray(b)
    apart = int((a.view(np.int32) != b.view(np.int32)).sum())
    if not apart:
        return {"good": True, "evidence": f"all {a.size} results have the same bits"}
    worst = float(np.abs(a - b).max())
    return {"good": False, "evidence": f"{apart} of {a.size} results differ, by up to {worst:.1e}"}


def eager_equals_compiled(framework, mode):
    """Compiled by XLA."""

    x, w = sample(64, 96), sample(96, 96)

    def f(x):
        y = tf.nn.gelu(x @ w)
        mean, variance = tf.nn.moments(y, -1, keepdims=True)
        return tf.nn.softmax((y - mean) / tf.sqrt(variance + 1e-5))

    return difference(f(x), tf.function(f, jit_compile=True)(x))


def row_alone_equals_row_in_batch(framework, mode):
    x, w = sample(33, 300), sample(300, 200)
    return difference((x @ w)[:1], x[:1] @ w)


def compiles_for_50_shapes(framework, mode):
    traced = []

    @tf.function
    def f(x):
        traced.append(x.shape)
        return tf.reduce_sum(tf.nn.relu(x * 2 + 1))

    for rows in range(1, 51):
        f(sample(rows, 51 - rows))
    return {"good": len(traced) == 1, "evidence": f"traced {len(traced)} times"}


def second_derivative_under_compile(framework, mode):
    @tf.function(jit_compile=True)
    def f(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = x**3
            first = inner.gradient(y, x)
        return outer.gradient(first, x)

    value = float(f(tf.constant(2.0)))
    return {"good": value == 12, "evidence": f"d2(x^3)/dx2 at 2 is {value:g}"}


def out_of_range_index(framework, mode):
    """In a compiled function: eagerly it raises."""

    @tf.function(jit_compile=True)
    def f(x, i):
        return tf.gather(x, i)

    try:
        value = f(tf.range(3), tf.constant([5]))
    except (tf.errors.InvalidArgumentError, IndexError) as error:
        text = str(error).strip().splitlines()[0]
        return {"good": True, "evidence": f"{type(error).__name__}: {text}"}
    return {"good": False, "evidence": f"compiled, gather(range(3), [5]) is {value.numpy()}"}


def loss_shape_mismatch(framework, mode):
    prediction, target = tf.constant([[1.0], [2.0], [3.0]]), tf.constant([1.0, 2.0, 3.0])
    try:
        value = float(tf.reduce_mean(tf.math.squared_difference(prediction, target)))
    except Exception as error:
        return {"good": True, "evidence": str(error).strip().splitlines()[0]}
    return {"good": False, "evidence": f"(3, 1) against (3,): {value:.3g}, where 0 is right"}


def float64_kept(framework, mode):
    kind = (tf.constant(np.ones(3)) * 2).dtype
    return {"good": kind == tf.float64, "evidence": f"float64 data times 2 is {kind.name}"}


def values_inside_compiled_code(framework, mode):
    seen = []

    @tf.function
    def f(x):
        y = x * 2
        seen.append(float(tf.reduce_sum(y)))
        return y + 1

    try:
        f(tf.constant([1.0, 2.0]))
        right = seen == [6.0]  # an error where it saw a symbol
    except Exception as error:
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        return {"good": False, "evidence": f"{type(error).__name__}: {lines[-1]}"}
    return {"good": right, "evidence": f"a line inside saw {seen}"}


def wrong_shape_error(framework, mode):
    try:
        tf.ones((32, 784)) @ tf.ones((128, 784))
    except Exception as error:
        text = str(error)
        named = all(word in text for word in ("32,784", "128,784"))
        return {"good": named and "try" in text, "evidence": text}
    return {"good": False, "evidence": "no error"}


def checkpoint_without_pickle(framework, mode):
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(w=tf.Variable(1.0)).save(str(Path(folder) / "state"))
        names = sorted(each.name for each in Path(path).parent.iterdir())
    return {"good": True, "evidence": f"tables of its own: {', '.join(names)}"}
