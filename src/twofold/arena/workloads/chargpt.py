"""A training step of a character-level GPT with AdamW, small and large."""

import numpy as np

TITLE = "char-GPT, AdamW, a training step"
GROUP = "training"
CASES = {
    "small": {"layers": 4, "heads": 4, "width": 128, "length": 64, "batch": 12},
    "large": {"layers": 6, "heads": 6, "width": 384, "length": 256, "batch": 4},
}
QUICK = ("small",)
TINY = {"layers": 2, "heads": 2, "width": 8, "length": 5, "batch": 2}
LABELS = {
    "small": "char-GPT, 4 layers of 128, 12x64 tokens",
    "large": "char-GPT, 6 layers of 384, 4x256 tokens",
}
TOLERANCE = 2e-3
MOVES = 0.4  # the keys' bias has no gradient but rounding, which Adam makes as large as any
RATE, DECAY, WORDS = 3e-4, 0.01, 65


def weights(rng, layers, heads, width, length, batch):
    made = {"token": (WORDS, width), "place": (length, width)}
    for number in range(layers):
        shapes = {
            "norm1": None,
            "qkv": (3 * width, width),
            "out": (width, width),
            "norm2": None,
            "up": (4 * width, width),
            "down": (width, 4 * width),
        }
        made |= {f"{number}.{name}": shape for name, shape in shapes.items()}
    made |= {"norm": None, "head": (WORDS, width)}
    values = {}
    for name, shape in made.items():
        if shape is None:
            values[name + ".weight"] = rng.uniform(0.8, 1.2, width).astype(np.float32)
            values[name + ".bias"] = rng.uniform(-0.1, 0.1, width).astype(np.float32)
            continue
        scale = 0.1 if name in ("token", "place") else shape[1] ** -0.5
        values[name + ".weight"] = scale * rng.standard_normal(shape, np.float32)
        if name not in ("token", "place"):
            values[name + ".bias"] = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
    return values


def inputs(rng, layers, heads, width, length, batch):
    return rng.integers(0, WORDS, (batch, length)), rng.integers(0, WORDS, batch * length)


def work(layers, heads, width, length, batch):
    rows = batch * length
    products = layers * (12 * rows * width * width + rows * length * width) + rows * width * WORDS
    values = layers * 12 * width * width + (2 * WORDS + length) * width
    return {"flop": 2 * 3 * products, "bytes": 7 * 4 * values}


def program(t, w, mode, layers, heads, width, length, **adam):
    """PyTorch's way, which is Twofold's."""
    nn, functional = t.nn, t.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)

        def forward(self, x):
            batch, length, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
            q, k, v = (z.reshape(batch, length, heads, -1).transpose(1, 2) for z in (q, k, v))
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(WORDS, width)
            self.place = nn.Embedding(length, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, WORDS)

        def forward(self, x):
            h = self.token(x) + self.place(t.arange(x.shape[1]))
            return self.head(self.norm(self.blocks(h))).reshape(-1, WORDS)

    model = GPT()
    with t.no_grad():
        for parameter, value in zip(model.parameters(), w.values(), strict=True):
            parameter.copy_(t.from_numpy(value))
    optimizer = t.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, **adam)

    @mode
    def step(x, y):
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return {"step": step, "weights": lambda: list(model.parameters())}


def twofold(w, mode, layers, heads, width, length, batch):
    import twofold

    return program(twofold, w, mode, layers, heads, width, length)


def torch(w, mode, layers, heads, width, length, batch):
    import torch

    return program(torch, w, mode, layers, heads, width, length, fused=True)


def turned(w):
    """The same weights with matrices as (in, out); embeddings stay."""
    keep = ("token", "place")
    return {k: v.T if v.ndim == 2 and not k.startswith(keep) else v for k, v in w.items()}


def tensorflow(w, mode, layers, heads, width, length, batch):
    import keras
    import tensorflow as tf

    p = {k: tf.Variable(v) for k, v in turned(w).items()}
    variables = list(p.values())
    optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY, epsilon=1e-8)
    optimizer.build(variables)

    def linear(name, x):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    def norm(name, x):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        shift, scale = p[name + ".bias"], p[name + ".weight"]
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)

    def attention(q, k, v):
        scores = tf.matmul(q, k, transpose_b=True) * (width // heads) ** -0.5
        mask = tf.linalg.band_part(tf.ones((length, length), tf.bool), -1, 0)
        return tf.matmul(tf.nn.softmax(tf.where(mask, scores, -1e9)), v)

    def forward(x):
        h = tf.gather(p["token.weight"], x) + p["place.weight"][:length]
        for n in range(layers):
            parts = tf.split(linear(f"{n}.qkv", norm(f"{n}.norm1", h)), 3, -1)
            shape = (batch, length, heads, width // heads)
            q, k, v = (tf.transpose(tf.reshape(z, shape), (0, 2, 1, 3)) for z in parts)
            mixed = tf.transpose(attention(q, k, v), (0, 2, 1, 3))
            h += linear(f"{n}.out", tf.reshape(mixed, (batch, length, width)))
            up = tf.nn.gelu(linear(f"{n}.up", norm(f"{n}.norm2", h)), approximate=True)
            h += linear(f"{n}.down", up)
        return tf.reshape(linear("head", norm("norm", h)), (-1, WORDS))

    @mode
    def step(x, y):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, forward(x))
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return {"step": step, "weights": lambda: [v.numpy() for v in variables]}


def jax(w, mode, layers, heads, width, length, batch):
    import jax
    import jax.numpy as jnp

    params = {k: jnp.asarray(v) for k, v in turned(w).items()}
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = {"now": (params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))}

    def linear(p, name, x):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    def norm(p, name, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        scale = jax.lax.rsqrt(variance + 1e-5) * p[name + ".weight"]
        return (x - mean) * scale + p[name + ".bias"]

    def forward(p, x):
        h = p["token.weight"][x] + p["place.weight"][:length]
        for n in range(layers):
            parts = jnp.split(linear(p, f"{n}.qkv", norm(p, f"{n}.norm1", h)), 3, -1)
            q, k, v = (z.reshape(batch, length, heads, width // heads) for z in parts)
            mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            h += linear(p, f"{n}.out", mixed.reshape(batch, length, width))
            up = jax.nn.gelu(linear(p, f"{n}.up", norm(p, f"{n}.norm2", h)), approximate=True)
            h += linear(p, f"{n}.down", up)
        return linear(p, "head", norm(p, "norm", h)).reshape(-1, WORDS)

    def loss_of(p, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(forward(p, x)), y[:, None], 1).mean()

    def update(p, m, v, t, x, y):
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, root = RATE / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)

        def moved(p, m, v):
            return p * (1 - RATE * DECAY) - rate * m / (jnp.sqrt(v) / root + 1e-8)

        return loss, (jax.tree.map(moved, p, m, v), m, v, t)

    update = mode(update, donate_argnums=(0, 1, 2, 3))

    def step(x, y):
        loss, state["now"] = update(*state["now"], x, y)
        jax.block_until_ready(state["now"])
        return loss

    return {"step": step, "weights": lambda: [state["now"][0][k] for k in w]}
