"""A training step of a small convolutional network on 28x28 images, SGD with momentum."""

import numpy as np

TITLE = "LeNet-like convnet, batch 64, SGD"
GROUP = "training"
CASES = {"b64": {"batch": 64}}
QUICK = ("b64",)
TINY = {"batch": 2}
RATE, MOMENTUM = 0.01, 0.9
SHAPES = {
    "c0": (32, 1, 5, 5),
    "c1": (64, 32, 5, 5),
    "w0": (1024, 3136),
    "w1": (10, 1024),
}


def weights(rng, batch):
    made = {}
    for name, shape in SHAPES.items():
        bound = np.prod(shape[1:]) ** -0.5
        made[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        made[name + "_bias"] = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
    return made


def inputs(rng, batch):
    return rng.standard_normal((batch, 1, 28, 28), np.float32), rng.integers(0, 10, batch)


def work(batch):
    first, second = 28 * 28 * 32 * 25, 14 * 14 * 64 * 32 * 25
    full = 3136 * 1024 + 1024 * 10
    values = sum(int(np.prod(shape)) for shape in SHAPES.values())
    # forward and two gradients of all but the first, whose input needs none; SGD: 3 reads, 2 writes
    return {
        "flop": 2 * batch * (2 * first + 3 * second + 3 * full),
        "bytes": 5 * 4 * values,
    }


def program(t, w, mode, **sgd):
    """PyTorch's way, which is Twofold's."""
    nn, functional = t.nn, t.nn.functional
    model = nn.Sequential(
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
    with t.no_grad():
        for parameter, value in zip(model.parameters(), w.values(), strict=True):
            parameter.copy_(t.from_numpy(value))
    optimizer = t.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, **sgd)

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


def channels_last(w):
    """The same weights for images whose channels come last: filters and columns are turned."""
    turned = dict(w)
    for name in ("c0", "c1"):
        turned[name] = w[name].transpose(2, 3, 1, 0)
    turned["w0"] = w["w0"].reshape(1024, 64, 7, 7).transpose(2, 3, 1, 0).reshape(3136, 1024)
    turned["w1"] = w["w1"].T
    return turned


def last(x, y):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)), y


def tensorflow(w, mode, batch):
    import keras
    import tensorflow as tf

    variables = [tf.Variable(v) for v in channels_last(w).values()]
    optimizer = keras.optimizers.SGD(RATE, MOMENTUM)
    optimizer.build(variables)

    @mode
    def step(x, y):
        c0, d0, c1, d1, w0, b0, w1, b1 = variables
        with tf.GradientTape() as tape:
            h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, c0, 1, "SAME") + d0), 2, 2, "VALID")
            h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(h, c1, 1, "SAME") + d1), 2, 2, "VALID")
            h = tf.nn.relu(tf.reshape(h, (-1, 3136)) @ w0 + b0)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, h @ w1 + b1)
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def take(x, y):
        return tuple(map(tf.constant, last(x, y)))

    return {"step": step, "weights": lambda: [v.numpy() for v in variables], "take": take}


def keras(w, mode, batch):
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.set_weights(list(channels_last(w).values()))
    model.compile(
        keras.optimizers.SGD(RATE, MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def step(x, y):
        model.reset_metrics()  # else train_on_batch gives the mean of all losses so far
        return model.train_on_batch(x, y)

    return {"step": step, "weights": model.get_weights, "take": last}


def jax(w, mode, batch):
    import jax
    import jax.numpy as jnp

    params = {k: jnp.asarray(v) for k, v in channels_last(w).items()}
    state = {"now": (params, jax.tree.map(jnp.zeros_like, params))}

    def layer(x, filters, bias):
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, filters, (1, 1), "SAME", dimension_numbers=numbers)
        y = jax.nn.relu(y + bias)
        return jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def loss_of(p, x, y):
        h = layer(layer(x, p["c0"], p["c0_bias"]), p["c1"], p["c1_bias"]).reshape(-1, 3136)
        h = jax.nn.relu(h @ p["w0"] + p["w0_bias"])
        logits = jax.nn.log_softmax(h @ p["w1"] + p["w1_bias"])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def update(p, m, x, y):
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        m = jax.tree.map(lambda m, g: MOMENTUM * m + g, m, g)
        return loss, (jax.tree.map(lambda p, m: p - RATE * m, p, m), m)

    update = mode(update, donate_argnums=(0, 1))

    def step(x, y):
        loss, state["now"] = update(*state["now"], x, y)
        jax.block_until_ready(state["now"])
        return loss

    def take(x, y):
        return tuple(map(jnp.asarray, last(x, y)))

    return {"step": step, "weights": lambda: [state["now"][0][k] for k in w], "take": take}


def tinygrad(w, mode, batch):
    from tinygrad import Context, Tensor
    from tinygrad.nn.optim import SGD

    params = [Tensor(v).realize().is_param_() for v in w.values()]
    optimizer = SGD(params, lr=RATE, momentum=MOMENTUM)

    @mode
    def run(x, y):
        c0, d0, c1, d1, w0, b0, w1, b1 = params
        h = x.conv2d(c0, d0, padding=2).relu().max_pool2d(2)
        h = h.conv2d(c1, d1, padding=2).relu().max_pool2d(2).flatten(1)
        loss = h.linear(w0.T, b0).relu().linear(w1.T, b1).sparse_categorical_crossentropy(y)
        optimizer.zero_grad()
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def step(x, y):
        with Context(TRAINING=1):
            return run(x, y).clone()

    return {"step": step, "weights": lambda: params}
