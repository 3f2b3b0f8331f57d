"""Fifty (batch, length) pairs through one attention layer, with all compilation included."""

import numpy as np

TITLE = "50 shapes, compiled from empty caches"
GROUP = "shapes"
CASES = {"50": {"count": 50, "width": 128, "heads": 4}}
QUICK = ()
TINY = {"count": 3, "width": 8, "heads": 2}
FRESH = True  # each time in a new process with empty caches
STEPS = 1


def weights(rng, count, width, heads):
    scale = np.float32(width**-0.5)
    shapes = {"qkv": 3 * width, "out": width, "up": 4 * width}
    made = {k: scale * rng.standard_normal((width, n), np.float32) for k, n in shapes.items()}
    return made | {"down": 0.5 * scale * rng.standard_normal((4 * width, width), np.float32)}


def inputs(rng, count, width, heads):
    """Shapes do not repeat, and sizes of 1 are among them."""
    pairs = [(batch, length) for batch in range(1, 11) for length in range(1, 65)]
    chosen = rng.permutation(pairs)[:count]
    return ([rng.standard_normal((int(b), int(n), width), np.float32) for b, n in chosen],)


def program(t, w, mode, heads, **options):
    functional = t.nn.functional
    w = {k: t.from_numpy(v) for k, v in w.items()}

    def layer(x):
        batch, length, width = x.shape
        q, k, v = (x @ w["qkv"]).chunk(3, -1)
        q, k, v = (z.reshape(batch, length, heads, -1).transpose(1, 2) for z in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + mixed.transpose(1, 2).reshape(batch, length, width) @ w["out"]
        return x + functional.gelu(x @ w["up"], approximate="tanh") @ w["down"]

    layer = mode(layer, **options)

    def step(xs):
        with t.no_grad():
            return [layer(x) for x in xs]

    return step


def twofold(w, mode, count, width, heads):
    import twofold

    return program(twofold, w, mode, heads)


def torch(w, mode, count, width, heads):
    import torch

    return program(torch, w, mode, heads, dynamic=True)


def tensorflow(w, mode, count, width, heads):
    import tensorflow as tf

    w = {k: tf.constant(v) for k, v in w.items()}
    each = width // heads

    def layer(x):
        shape = tf.shape(x)
        parts = tf.split(tf.matmul(x, w["qkv"]), 3, -1)
        split = (shape[0], shape[1], heads, each)
        q, k, v = (tf.transpose(tf.reshape(z, split), (0, 2, 1, 3)) for z in parts)
        mixed = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * each**-0.5), v)
        mixed = tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), shape)
        x = x + tf.matmul(mixed, w["out"])
        return x + tf.matmul(tf.nn.gelu(tf.matmul(x, w["up"]), approximate=True), w["down"])

    if mode == "function":
        layer = mode(layer, input_signature=[tf.TensorSpec((None, None, width))])
    else:
        layer = mode(layer)
    return lambda xs: [layer(x) for x in xs]


def jax(w, mode, count, width, heads):
    import jax
    import jax.numpy as jnp

    w = {k: jnp.asarray(v) for k, v in w.items()}

    @mode
    def layer(x):
        parts = jnp.split(x @ w["qkv"], 3, -1)
        q, k, v = (z.reshape(*x.shape[:2], heads, width // heads) for z in parts)
        x = x + jax.nn.dot_product_attention(q, k, v).reshape(x.shape) @ w["out"]
        return x + jax.nn.gelu(x @ w["up"], approximate=True) @ w["down"]

    return lambda xs: [layer(x) for x in xs]
