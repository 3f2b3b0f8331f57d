"""GPT-2 small: a forward pass of 128 tokens, and greedy decoding of 32 with a cache."""

import numpy as np

TITLE = "GPT-2 small"
GROUP = "inference"
SIZES = {"layers": 12, "heads": 12, "width": 768, "words": 50257}
CASES = {
    "forward": {"length": 128, "decode": 0} | SIZES,
    "decode": {"length": 16, "decode": 32} | SIZES,
}
QUICK = ()
SMALL = {"layers": 2, "heads": 2, "width": 16, "words": 50}
TINY = {"forward": {"length": 6, "decode": 0} | SMALL, "decode": {"length": 4, "decode": 5} | SMALL}
LABELS = {
    "forward": "GPT-2 small, 128 tokens read",
    "decode": "GPT-2 small, 32 tokens decoded",
}
TOLERANCE = 2e-3


def weights(rng, length, decode, layers, heads, width, words):
    """Matrices are (in, out), as GPT-2's own."""
    shapes = {"token": (words, width), "place": (1024, width), "norm": None}
    for n in range(layers):
        shapes |= {
            f"{n}.norm1": None,
            f"{n}.qkv": (width, 3 * width),
            f"{n}.out": (width, width),
            f"{n}.norm2": None,
            f"{n}.up": (width, 4 * width),
            f"{n}.down": (4 * width, width),
        }
    made = {}
    for name, shape in shapes.items():
        if shape is None:
            made[name + ".weight"] = rng.uniform(0.8, 1.2, width).astype(np.float32)
            made[name + ".bias"] = rng.uniform(-0.1, 0.1, width).astype(np.float32)
            continue
        scale = 0.3 if name in ("token", "place") else shape[0] ** -0.5
        made[name + ".weight"] = np.float32(scale) * rng.standard_normal(shape, np.float32)
        if name not in ("token", "place"):
            made[name + ".bias"] = np.zeros(shape[1], np.float32)
    return made


def inputs(rng, length, decode, layers, heads, width, words):
    return (rng.integers(0, words, (1, length)),)


def work(length, decode, layers, heads, width, words):
    values = 12 * layers * width * width + words * width
    products = length * 12 * layers * width * width + length * length * width * layers
    head = length * words * width  # decoding takes the logits of the last position only
    if not decode:
        return {"flop": 2 * (products + head), "bytes": 4 * values}
    each = values + (length + decode / 2) * 2 * width * layers
    flop = 2 * (products + decode * each + words * width)
    return {"flop": flop, "bytes": 4 * values * (decode + 1)}


def model_of(t, w, layers, heads, width, words):
    """PyTorch's way, which is Twofold's: tokens, their places and a cache of two tensors a layer
    (or none) to logits and the longer cache."""
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

        def forward(self, x, cache):
            length = x.shape[1]
            q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
            q, k, v = (z.reshape(1, length, heads, -1).transpose(1, 2) for z in (q, k, v))
            if cache is not None:
                k, v = t.cat([cache[0], k], 2), t.cat([cache[1], v], 2)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
            x = x + self.out(mixed.transpose(1, 2).reshape(1, length, width))
            x = x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))
            return x, (k, v)

    class GPT2(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(words, width)
            self.place = nn.Embedding(1024, width)
            self.norm = nn.LayerNorm(width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])

        def forward(self, x, places, caches=None, last=False):
            h, longer = self.token(x) + self.place(places), []
            for number, block in enumerate(self.blocks):
                h, cache = block(h, None if caches is None else caches[number])
                longer.append(cache)
            h = h[:, -1:] if last else h
            return functional.linear(self.norm(h), self.token.weight), longer

    model = GPT2()
    with t.no_grad():
        for name, parameter in model.named_parameters():
            value = w[name.removeprefix("blocks.")]
            linear = value.ndim == 2 and not name.startswith(("token", "place"))
            parameter.copy_(t.from_numpy(np.ascontiguousarray(value.T) if linear else value))
    return model.eval()


def program(t, w, mode, length, decode, layers, heads, width, words, options=None):
    model = model_of(t, w, layers, heads, width, words)
    step = mode(model, **(options or {}))

    def read(x):
        with t.no_grad():
            return step(x, t.arange(length))[0]

    def write(x):
        with t.no_grad():
            written = []
            logits, caches = step(x, t.arange(length), None, True)
            for position in range(length, length + decode):
                token = logits[:, -1].argmax(-1, keepdim=True)
                written.append(token)
                logits, caches = step(token, t.arange(position, position + 1), caches, True)
            return t.cat(written, 1), logits

    return write if decode else read


def twofold(w, mode, **sizes):
    import twofold

    # as a session of ONNX Runtime, it keeps what it makes of the weights
    return program(twofold, w, mode, **sizes, options={"freeze": True})


def torch(w, mode, **sizes):
    import torch

    if sizes["decode"] and mode != "eager":
        return "its cache grows with every token: a graph for each length"
    return program(torch, w, mode, **sizes)


def tensorflow(w, mode, length, decode, layers, heads, width, words):
    import tensorflow as tf

    p = {k: tf.constant(v) for k, v in w.items()}
    each = width // heads

    def linear(name, x):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    def norm(name, x):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        shift, scale = p[name + ".bias"], p[name + ".weight"]
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)

    def forward(x, caches, start):
        """`caches` are two tensors a layer, of all tokens so far; they come back longer."""
        count = tf.shape(x)[1]
        h = tf.gather(p["token.weight"], x) + p["place.weight"][start : start + count]
        longer = []
        for n in range(layers):
            parts = tf.split(linear(f"{n}.qkv", norm(f"{n}.norm1", h)), 3, -1)
            q, k, v = (
                tf.transpose(tf.reshape(z, (1, -1, heads, each)), (0, 2, 1, 3)) for z in parts
            )
            k, v = tf.concat([caches[2 * n], k], 2), tf.concat([caches[2 * n + 1], v], 2)
            longer += [k, v]
            scores = tf.matmul(q, k, transpose_b=True) * each**-0.5
            total = start + count
            mask = tf.range(total)[None, :] <= tf.range(start, total)[:, None]
            mixed = tf.matmul(tf.nn.softmax(tf.where(mask, scores, -1e9)), v)
            mixed = tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (1, -1, width))
            h += linear(f"{n}.out", mixed)
            up = tf.nn.gelu(linear(f"{n}.up", norm(f"{n}.norm2", h)), approximate=True)
            h += linear(f"{n}.down", up)
        return h, longer

    def logits_of(h):
        return tf.matmul(norm("norm", h), p["token.weight"], transpose_b=True)

    empty = [tf.zeros((1, heads, 0, each))] * (2 * layers)
    if not decode:
        return mode(lambda x: logits_of(forward(x, empty, 0)[0]))
    if mode == "xla":
        return "its cache grows with every token: a compilation for each length"

    def last(x, caches, start):
        h, caches = forward(x, caches, start)
        return logits_of(h[:, -1:]), caches

    cache = tf.TensorSpec((1, heads, None, each))
    if mode == "function":
        signature = [tf.TensorSpec((1, None), tf.int64), [cache] * (2 * layers)]
        signature.append(tf.TensorSpec((), tf.int32))
        last = mode(last, input_signature=signature)

    def write(x):
        logits, caches = last(x, empty, tf.constant(0))
        written = []
        for position in range(length, length + decode):
            token = tf.argmax(logits[:, -1], -1)[:, None]
            written.append(token)
            logits, caches = last(token, caches, tf.constant(position))
        return tf.concat(written, 1), logits

    return write


def jax(w, mode, length, decode, layers, heads, width, words):
    import jax
    import jax.numpy as jnp

    params = {k: jnp.asarray(v) for k, v in w.items()}
    each, most = width // heads, length + decode

    def linear(p, name, x):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    def norm(p, name, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        scale = jax.lax.rsqrt(variance + 1e-5) * p[name + ".weight"]
        return (x - mean) * scale + p[name + ".bias"]

    def forward(p, x, caches, start):
        """`caches` has room for all tokens, so that every step has the same shapes."""
        count = x.shape[1]
        h = p["token.weight"][x]
        h += jax.lax.dynamic_slice_in_dim(p["place.weight"], start, count)
        mask = jnp.arange(most)[None, :] <= start + jnp.arange(count)[:, None]
        filled = []
        for n in range(layers):
            parts = jnp.split(linear(p, f"{n}.qkv", norm(p, f"{n}.norm1", h)), 3, -1)
            q, *kv = (z.reshape(1, count, heads, each) for z in parts)
            k, v = (
                jax.lax.dynamic_update_slice_in_dim(old, new, start, 1)
                for old, new in zip(caches[n], kv, strict=True)
            )
            filled.append((k, v))
            mixed = jax.nn.dot_product_attention(q, k, v, mask=mask[None, None])
            h += linear(p, f"{n}.out", mixed.reshape(1, count, width))
            up = jax.nn.gelu(linear(p, f"{n}.up", norm(p, f"{n}.norm2", h)), approximate=True)
            h += linear(p, f"{n}.down", up)
        return h, filled

    def logits_of(p, h):
        return norm(p, "norm", h) @ p["token.weight"].T

    def empty():
        return [tuple(jnp.zeros((1, most, heads, each)) for _ in "kv") for _ in range(layers)]

    def read(p, x):
        return logits_of(p, forward(p, x, empty(), 0)[0])

    def write(p, x):
        h, caches = forward(p, x, empty(), 0)

        def next_token(carry, position):
            logits, caches = carry
            token = jnp.argmax(logits[:, -1], -1)[:, None]
            h, caches = forward(p, token, caches, position)
            return (logits_of(p, h), caches), token[0, 0]

        start = (logits_of(p, h[:, -1:]), caches)
        (logits, _), written = jax.lax.scan(next_token, start, jnp.arange(length, most))
        return written[None], logits

    step = mode(write if decode else read)
    return lambda x: step(params, x)


def onnxruntime(w, mode, length, decode, layers, heads, width, words):
    from onnx import TensorProto, helper, numpy_helper

    if decode:
        return "a cache needs a graph of its own: the forward pass is compared"
    nodes, constants = [], dict(w)

    def node(op, names, count=1, **attributes):
        out = [f"v{len(nodes)}_{number}" for number in range(count)]
        nodes.append(helper.make_node(op, names, out, **attributes))
        return out[0] if count == 1 else out

    def constant(name, value):
        constants[name] = np.asarray(value)
        return name

    def linear(name, x):
        return node("Add", [node("MatMul", [x, name + ".weight"]), name + ".bias"])

    def norm(name, x):
        return node("LayerNormalization", [x, name + ".weight", name + ".bias"], axis=-1)

    constant("split", np.array([1, -1, heads, width // heads]))
    constant("join", np.array([1, -1, width]))
    constant("scale", np.float32((width // heads) ** -0.5))
    constant("mask", np.triu(np.full((length, length), -1e9, np.float32), 1))
    constants["place.weight"] = w["place.weight"][:length]
    constants["head"] = np.ascontiguousarray(w["token.weight"].T)
    h = node("Add", [node("Gather", ["token.weight", "x"]), "place.weight"])
    for n in range(layers):
        qkv = linear(f"{n}.qkv", norm(f"{n}.norm1", h))
        q, k, v = (node("Reshape", [z, "split"]) for z in node(
            "Split", [qkv], 3, axis=-1, num_outputs=3))  # fmt: skip
        q, v = (node("Transpose", [z], perm=[0, 2, 1, 3]) for z in (q, v))
        k = node("Transpose", [k], perm=[0, 2, 3, 1])
        scores = node("Mul", [node("MatMul", [q, k]), "scale"])
        mixed = node("MatMul", [node("Softmax", [node("Add", [scores, "mask"])], axis=-1), v])
        mixed = node("Reshape", [node("Transpose", [mixed], perm=[0, 2, 1, 3]), "join"])
        h = node("Add", [h, linear(f"{n}.out", mixed)])
        up = node("Gelu", [linear(f"{n}.up", norm(f"{n}.norm2", h))], approximate="tanh")
        h = node("Add", [h, linear(f"{n}.down", up)])
    logits = node("MatMul", [norm("norm", h), "head"])
    graph = helper.make_graph(
        nodes,
        "gpt2",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1, length])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [1, length, words])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return mode(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
