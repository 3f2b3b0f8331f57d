"""A training step of an LSTM over sequences whose lengths change with every batch."""

import numpy as np

TITLE = "LSTM of 256, 8 batches of new lengths"
GROUP = "training"
CASES = {"var": {"batch": 16, "features": 32, "hidden": 256, "shortest": 20, "longest": 100}}
QUICK = ()
TINY = {"batch": 2, "features": 3, "hidden": 4, "shortest": 2, "longest": 6}
TOLERANCE = 2e-3
RATE, CLASSES, BATCHES = 1e-3, 10, 8


def weights(rng, batch, features, hidden, shortest, longest):
    bound = hidden**-0.5
    shapes = {
        "w_input": (4 * hidden, features),
        "w_state": (4 * hidden, hidden),
        "b_input": (4 * hidden,),
        "b_state": (4 * hidden,),
        "out": (CLASSES, hidden),
        "out_bias": (CLASSES,),
    }
    return {k: rng.uniform(-bound, bound, shape).astype(np.float32) for k, shape in shapes.items()}


def inputs(rng, batch, features, hidden, shortest, longest):
    """Lengths come in pairs with one sum, so that every call has as much work as the next."""
    half = rng.integers(shortest, longest + 1, BATCHES // 2)
    lengths = rng.permutation(np.concatenate([half, shortest + longest - half]))
    xs = [rng.standard_normal((batch, int(n), features), np.float32) for n in lengths]
    return xs, [rng.integers(0, CLASSES, batch) for _ in lengths]


def work(batch, features, hidden, shortest, longest):
    steps = BATCHES * (shortest + longest) / 2
    products = steps * batch * 4 * hidden * (2 * features + 3 * hidden)
    return {"flop": 2 * products}


def program(t, w, mode, features, hidden, **adam):
    """PyTorch's way, which is Twofold's."""
    nn = t.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, batch_first=True)
            self.out = nn.Linear(hidden, CLASSES)

        def forward(self, x):
            return self.out(self.lstm(x)[0][:, -1])

    model = Net()
    with t.no_grad():
        for parameter, value in zip(model.parameters(), w.values(), strict=True):
            parameter.copy_(t.from_numpy(value))
    optimizer = t.optim.Adam(model.parameters(), lr=RATE, **adam)

    @mode
    def step(x, y):
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def several(xs, ys):
        return [step(x, y) for x, y in zip(xs, ys, strict=True)]

    return {"step": several, "weights": lambda: list(model.parameters())}


def twofold(w, mode, batch, features, hidden, shortest, longest):
    import twofold

    return program(twofold, w, mode, features, hidden)


def torch(w, mode, batch, features, hidden, shortest, longest):
    import torch

    return program(torch, w, mode, features, hidden, fused=True)


def tensorflow(w, mode, batch, features, hidden, shortest, longest):
    import keras
    import tensorflow as tf

    if mode == "xla":
        return "XLA compiles again for every length"
    variables = [tf.Variable(v.T if v.ndim == 2 else v) for v in w.values()]
    optimizer = keras.optimizers.Adam(RATE, epsilon=1e-8)
    optimizer.build(variables)

    def last_state(x):
        w_input, w_state, b_input, b_state, _, _ = variables
        ahead = tf.transpose(x @ w_input + (b_input + b_state), (1, 0, 2))
        h, c = tf.zeros((batch, hidden)), tf.zeros((batch, hidden))
        for now in ahead:  # a tf.function turns this into a while loop
            i, f, g, o = tf.split(now + h @ w_state, 4, -1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
        return h

    def step(x, y):
        with tf.GradientTape() as tape:
            logits = last_state(x) @ variables[4] + variables[5]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    if mode == "function":
        x, y = tf.TensorSpec((batch, None, features)), tf.TensorSpec((batch,), tf.int64)
        step = mode(step, input_signature=[x, y])

    def several(xs, ys):
        return [step(x, y) for x, y in zip(xs, ys, strict=True)]

    return {"step": several, "weights": lambda: [v.numpy() for v in variables]}


def jax(w, mode, batch, features, hidden, shortest, longest):
    """Padded to the longest, and masked: a new length would compile again."""
    import jax
    import jax.numpy as jnp

    params = {k: jnp.asarray(v.T if v.ndim == 2 else v) for k, v in w.items()}
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = {"now": (params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))}

    def loss_of(p, x, length, y):
        ahead = (x @ p["w_input"] + p["b_input"] + p["b_state"]).transpose(1, 0, 2)

        def cell(carry, given):
            now, t = given
            h, c = carry
            i, f, g, o = jnp.split(now + h @ p["w_state"], 4, -1)
            next_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            next_h = jax.nn.sigmoid(o) * jnp.tanh(next_c)
            within = t < length
            return (jnp.where(within, next_h, h), jnp.where(within, next_c, c)), None

        start = (jnp.zeros((batch, hidden)), jnp.zeros((batch, hidden)))
        (h, _), _ = jax.lax.scan(cell, start, (ahead, jnp.arange(longest)))
        logits = jax.nn.log_softmax(h @ p["out"] + p["out_bias"])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def update(p, m, v, t, x, length, y):
        loss, g = jax.value_and_grad(loss_of)(p, x, length, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, root = RATE / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
        return loss, (p, m, v, t)

    update = mode(update, donate_argnums=(0, 1, 2, 3))

    def step(x, y):
        padded = np.zeros((batch, longest, features), np.float32)
        padded[:, : x.shape[1]] = x
        loss, state["now"] = update(*state["now"], padded, x.shape[1], y)
        return loss

    def several(xs, ys):
        losses = [step(x, y) for x, y in zip(xs, ys, strict=True)]
        jax.block_until_ready(state["now"])
        return losses

    return {"step": several, "weights": lambda: [state["now"][0][k] for k in w]}
