"""Kernels that memory decides: gelu and softmax of rows of 1000, and layer_norm."""

import numpy as np

TITLE = "Rows of 1000 elements"
GROUP = "kernels"
CASES = {
    f"{what}_1e{power}": {"what": what, "rows": 10 ** (power - 3)}
    for what in ("gelu_softmax", "layer_norm")
    for power in (5, 6, 7)
}
QUICK = ("gelu_softmax_1e6", "layer_norm_1e6")
TINY = {name: sizes | {"rows": 3} for name, sizes in CASES.items()}
LABELS = {
    name: f"{sizes['what'].replace('_', ' then ', 1) if 'gelu' in name else 'layer_norm'}, "
    f"{sizes['rows'] * 1000:,} elements"
    for name, sizes in CASES.items()
}
WIDTH = 1000


def weights(rng, what, rows):
    return {name: rng.standard_normal(WIDTH, np.float32) for name in ("scale", "shift")}


def inputs(rng, what, rows):
    return (rng.standard_normal((rows, WIDTH), np.float32),)


def work(what, rows):
    return {"copied": 2 * 4 * rows * WIDTH}


def program(t, w, mode, what):
    functional = t.nn.functional
    scale, shift = t.from_numpy(w["scale"]), t.from_numpy(w["shift"])

    def gelu_softmax(x):
        return functional.softmax(functional.gelu(x, approximate="tanh"), -1)

    def layer_norm(x):
        return functional.layer_norm(x, (WIDTH,), scale, shift)

    step = mode({"gelu_softmax": gelu_softmax, "layer_norm": layer_norm}[what])

    def without_gradients(x):
        with t.no_grad():
            return step(x)

    return without_gradients


def twofold(w, mode, what, rows):
    import twofold

    return program(twofold, w, mode, what)


def torch(w, mode, what, rows):
    import torch

    return program(torch, w, mode, what)


def tensorflow(w, mode, what, rows):
    import tensorflow as tf

    scale, shift = tf.constant(w["scale"]), tf.constant(w["shift"])

    def gelu_softmax(x):
        return tf.nn.softmax(tf.nn.gelu(x, approximate=True))

    def layer_norm(x):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)

    return mode({"gelu_softmax": gelu_softmax, "layer_norm": layer_norm}[what])


def jax(w, mode, what, rows):
    import jax
    import jax.numpy as jnp

    scale, shift = jnp.asarray(w["scale"]), jnp.asarray(w["shift"])

    def gelu_softmax(x):
        return jax.nn.softmax(jax.nn.gelu(x, approximate=True))

    def layer_norm(x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + shift

    return mode({"gelu_softmax": gelu_softmax, "layer_norm": layer_norm}[what])


def tinygrad(w, mode, what, rows):
    from tinygrad import Tensor

    scale, shift = Tensor(w["scale"]).realize(), Tensor(w["shift"]).realize()

    def gelu_softmax(x):
        return x.gelu().softmax().realize()

    def layer_norm(x):
        return (x.layernorm() * scale + shift).realize()

    return mode({"gelu_softmax": gelu_softmax, "layer_norm": layer_norm}[what])


def mlx(w, mode, what, rows):
    import mlx.core as mx
    import mlx.nn as nn

    scale, shift = mx.array(w["scale"]), mx.array(w["shift"])

    def gelu_softmax(x):
        return mx.softmax(nn.gelu_approx(x), -1)

    def layer_norm(x):
        return mx.fast.layer_norm(x, scale, shift, 1e-5)

    return mode({"gelu_softmax": gelu_softmax, "layer_norm": layer_norm}[what])


def onnxruntime(w, mode, what, rows):
    from onnx import TensorProto, helper, numpy_helper

    if what == "gelu_softmax":
        nodes = [
            helper.make_node("Gelu", ["x"], ["g"], approximate="tanh"),
            helper.make_node("Softmax", ["g"], ["y"], axis=-1),
        ]
    else:
        nodes = [helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["y"], axis=-1)]
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, WIDTH])],
        [numpy_helper.from_array(w[name], name) for name in ("scale", "shift")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return mode(model)


def numpy(w, mode, what, rows):
    def gelu_softmax(x):
        x = 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
        x = np.exp(x - x.max(-1, keepdims=True))
        return x / x.sum(-1, keepdims=True)

    def layer_norm(x):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w["scale"] + w["shift"]

    return {"gelu_softmax": gelu_softmax, "layer_norm": layer_norm}[what]
