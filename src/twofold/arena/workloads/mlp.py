"""A training step of a multi-layer perceptron 784-256-128-10 with Adam."""

import itertools

import numpy as np

TITLE = "MLP 784-256-128-10, Adam, a training step"
GROUP = "training"
CASES = {"b64": {"batch": 64}, "b512": {"batch": 512}}
QUICK = ("b64",)
TINY = {"batch": 4}
LABELS = {
    "b64": "MLP 784-256-128-10, batch 64, Adam",
    "b512": "MLP 784-256-128-10, batch 512, Adam",
}
SIZES = (784, 256, 128, 10)
RATE = 1e-3


def weights(rng, batch):
    made = {}
    for number, (inside, out) in enumerate(itertools.pairwise(SIZES)):
        bound = inside**-0.5
        made[f"w{number}"] = rng.uniform(-bound, bound, (out, inside)).astype(np.float32)
        made[f"b{number}"] = rng.uniform(-bound, bound, out).astype(np.float32)
    return made


def inputs(rng, batch):
    return rng.standard_normal((batch, 784), np.float32), rng.integers(0, 10, batch)


def work(batch):
    products = sum(a * b for a, b in itertools.pairwise(SIZES))
    forward_and_back = 3 * products - SIZES[0] * SIZES[1]  # no gradient of the input
    # Adam reads weight, gradient and two moments, and writes three of them
    return {"flop": 2 * batch * forward_and_back, "bytes": 7 * 4 * products}


def program(t, w, mode, **adam):
    """PyTorch's way, which is Twofold's."""
    nn, functional = t.nn, t.nn.functional
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    with t.no_grad():
        for parameter, value in zip(model.parameters(), w.values(), strict=True):
            parameter.copy_(t.from_numpy(value))
    optimizer = t.optim.Adam(model.parameters(), lr=RATE, **adam)

    @mode
    def step(x, y):
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return {"step": step, "weights": lambda: list(model.parameters())}


def twofold(w, mode, batch):
    import twofold

    return program(twofold, w, mode)


def torch(w, mode, batch):
    import torch

    return program(torch, w, mode, fused=True)


def tensorflow(w, mode, batch):
    import keras
    import tensorflow as tf

    variables = [tf.Variable(v.T if v.ndim == 2 else v) for v in w.values()]
    optimizer = keras.optimizers.Adam(RATE, epsilon=1e-8)
    optimizer.build(variables)

    @mode
    def step(x, y):
        with tf.GradientTape() as tape:
            w0, b0, w1, b1, w2, b2 = variables
            h = tf.nn.relu(x @ w0 + b0)
            h = tf.nn.relu(h @ w1 + b1)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, h @ w2 + b2)
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return {"step": step, "weights": lambda: [v.numpy() for v in variables]}


def keras(w, mode, batch):
    import keras

    relu = {"activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(256, **relu),
            keras.layers.Dense(128, **relu),
            keras.layers.Dense(10),
        ]
    )
    model.set_weights([v.T if v.ndim == 2 else v for v in w.values()])
    model.compile(
        keras.optimizers.Adam(RATE, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def step(x, y):
        model.reset_metrics()  # else train_on_batch gives the mean of all losses so far
        return model.train_on_batch(x, y)

    return {"step": step, "weights": model.get_weights, "take": lambda x, y: (x, y)}


def jax(w, mode, batch):
    import jax
    import jax.numpy as jnp

    params = {k: jnp.asarray(v.T if v.ndim == 2 else v) for k, v in w.items()}
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = {"now": (params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))}

    def loss_of(p, x, y):
        h = jax.nn.relu(x @ p["w0"] + p["b0"])
        h = jax.nn.relu(h @ p["w1"] + p["b1"])
        logits = jax.nn.log_softmax(h @ p["w2"] + p["b2"])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def update(p, m, v, t, x, y):
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, root = RATE / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
        return loss, (p, m, v, t)

    update = mode(update, donate_argnums=(0, 1, 2, 3))

    def step(x, y):
        loss, state["now"] = update(*state["now"], x, y)
        jax.block_until_ready(state["now"])
        return loss

    return {"step": step, "weights": lambda: [state["now"][0][k] for k in w]}


def tinygrad(w, mode, batch):
    from tinygrad import Context, Tensor
    from tinygrad.nn.optim import Adam

    params = [Tensor(v).realize().is_param_() for v in w.values()]
    optimizer = Adam(params, lr=RATE)

    @mode
    def run(x, y):
        w0, b0, w1, b1, w2, b2 = params
        h = x.linear(w0.T, b0).relu().linear(w1.T, b1).relu().linear(w2.T, b2)
        loss = h.sparse_categorical_crossentropy(y)
        optimizer.zero_grad()
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def step(x, y):
        with Context(TRAINING=1):
            return run(x, y).clone()

    return {"step": step, "weights": lambda: params}


def mlx(w, mode, batch):
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    for number in range(3):
        layer = model.layers[2 * number]
        layer.weight, layer.bias = mx.array(w[f"w{number}"]), mx.array(w[f"b{number}"])
    optimizer = optim.Adam(RATE, eps=1e-8, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    state = [model.state, optimizer.state]
    gradient = nn.value_and_grad(
        model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean")
    )

    def update(x, y):
        loss, grads = gradient(x, y)
        optimizer.update(model, grads)
        return loss

    update = mode(update, inputs=state, outputs=state)

    def step(x, y):
        loss = update(x, y)
        mx.eval(loss, state)
        return loss

    layers = [model.layers[number] for number in (0, 2, 4)]
    return {"step": step, "weights": lambda: [p for a in layers for p in (a.weight, a.bias)]}


def numpy(w, mode, batch):
    params = {k: v.copy() for k, v in w.items()}
    m, v = ({k: np.zeros_like(p) for k, p in params.items()} for _ in range(2))
    count = {"t": 0}

    def step(x, y):
        a = [x]
        for number in range(3):
            z = a[-1] @ params[f"w{number}"].T + params[f"b{number}"]
            a.append(np.maximum(z, 0) if number < 2 else z)
        shifted = a[3] - a[3].max(1, keepdims=True)
        exps = np.exp(shifted)
        sums = exps.sum(1, keepdims=True)
        loss = (np.log(sums[:, 0]) - shifted[np.arange(len(y)), y]).mean()
        g = exps / sums
        g[np.arange(len(y)), y] -= 1
        g /= len(y)
        count["t"] += 1
        t = count["t"]
        for number in (2, 1, 0):
            grads = {f"w{number}": g.T @ a[number], f"b{number}": g.sum(0)}
            if number:
                g = (g @ params[f"w{number}"]) * (a[number] > 0)
            for k, d in grads.items():
                m[k] += 0.1 * (d - m[k])
                v[k] += 0.001 * (d * d - v[k])
                root = np.sqrt(v[k] / (1 - 0.999**t)) + 1e-8
                params[k] -= (RATE / (1 - 0.9**t)) * m[k] / root
        return np.float32(loss)

    return {"step": step, "weights": lambda: params}
