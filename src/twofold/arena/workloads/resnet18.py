"""ResNet-18: a training step on eight 64x64 images, and inference at 224x224."""

import numpy as np

TITLE = "ResNet-18"
GROUP = "training"
CASES = {
    "train": {"batch": 8, "size": 64, "training": True},
    "b1": {"batch": 1, "size": 224, "training": False},
    "b8": {"batch": 8, "size": 224, "training": False},
}
GROUPS = {"train": "training", "b1": "inference", "b8": "inference"}
QUICK = ("b1",)
TINY = {
    "train": {"batch": 4, "size": 64, "training": True},
    "b1": {"batch": 1, "size": 32, "training": False},
    "b8": {"batch": 2, "size": 32, "training": False},
}
LABELS = {
    "train": "ResNet-18, 8 images of 64x64, SGD",
    "b1": "ResNet-18, one image of 224x224",
    "b8": "ResNet-18, 8 images of 224x224",
}
TOLERANCE = 3e-3
RATE, MOMENTUM, CLASSES = 1e-3, 0.9, 10
# stage, block, channels in, channels out, stride
BLOCKS = [
    (stage, block, width // 2 if stage > 1 and block == 0 else width, width, stride)
    for stage, width in ((1, 64), (2, 128), (3, 256), (4, 512))
    for block, stride in ((0, 1 if stage == 1 else 2), (1, 1))
]


def convolutions():
    """(name of the filters, name of the norm behind them, shape, stride, padding), in order."""
    yield "conv1", "bn1", (64, 3, 7, 7), 2, 3
    for stage, block, inside, out, stride in BLOCKS:
        at = f"layer{stage}.{block}."
        yield at + "conv1", at + "bn1", (out, inside, 3, 3), stride, 1
        yield at + "conv2", at + "bn2", (out, out, 3, 3), 1, 1
        if stride != 1:
            yield at + "downsample.0", at + "downsample.1", (out, inside, 1, 1), stride, 0


def weights(rng, **sizes):
    """Under the names that PyTorch's own ResNet-18 has."""
    made = {}
    for conv, norm, shape, _, _ in convolutions():
        bound = (3 / np.prod(shape[1:])) ** 0.5
        made[conv + ".weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        made[norm + ".weight"] = rng.uniform(0.8, 1.2, shape[0]).astype(np.float32)
        made[norm + ".bias"] = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
        made[norm + ".running_mean"] = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
        made[norm + ".running_var"] = rng.uniform(0.5, 1.5, shape[0]).astype(np.float32)
    made["fc.weight"] = rng.uniform(-0.04, 0.04, (CLASSES, 512)).astype(np.float32)
    made["fc.bias"] = np.zeros(CLASSES, np.float32)
    return made


def learned(w):
    return [name for name in w if "running" not in name]


def inputs(rng, batch, size, training):
    x = rng.standard_normal((batch, 3, size, size), np.float32)
    return (x, rng.integers(0, CLASSES, batch)) if training else (x,)


def work(batch, size, training):
    total, first, values = 0, 0, 0
    for conv, _, (out, inside, kernel, _), _, _ in convolutions():
        stage = int(conv[5]) if conv.startswith("layer") else 0
        side = size // 2 if not stage else size // 2 ** (stage + 1)
        products = side * side * out * inside * kernel * kernel
        total, values = total + products, values + out * inside * kernel * kernel
        first = first or products
    if training:
        return {"flop": 2 * batch * (3 * total - first), "bytes": 5 * 4 * values}
    return {"flop": 2 * batch * total, "bytes": 4 * values}


def model_of(t, w):
    """PyTorch's way, which is Twofold's."""
    nn, functional = t.nn, t.nn.functional

    class Block(nn.Module):
        def __init__(self, inside, out, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.downsample = None
            if stride != 1:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return functional.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            for stage in (1, 2, 3, 4):
                made = [Block(*sizes) for number, _, *sizes in BLOCKS if number == stage]
                setattr(self, f"layer{stage}", nn.Sequential(*made))
            self.fc = nn.Linear(512, CLASSES)

        def forward(self, x):
            x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    model = ResNet()
    state = model.state_dict()
    with t.no_grad():
        for name, value in w.items():
            state[name].copy_(t.from_numpy(value))
    return model


def program(t, w, mode, training, serving, **sgd):
    model = model_of(t, w)
    if not training:
        model.eval()
        forward = mode(model, **serving)

        def infer(x):
            with t.no_grad():
                return forward(x)

        return infer
    optimizer = t.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, **sgd)

    @mode
    def step(x, y):
        loss = t.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    state = model.state_dict()
    return {"step": step, "weights": lambda: [state[name] for name in learned(w)]}


def twofold(w, mode, batch, size, training):
    import twofold

    # as a session of ONNX Runtime, it keeps what it makes of the weights
    return program(twofold, w, mode, training, {"freeze": True})


def torch(w, mode, batch, size, training):
    import torch

    return program(torch, w, mode, training, {"options": {"freezing": True}}, fused=True)


def network(p, x, conv, norm, relu):
    """The blocks, for frameworks that write a network as a function of its parameters."""
    for stage, block, _, _, stride in BLOCKS:
        at = f"layer{stage}.{block}."
        y = relu(norm(p, at + "bn1", conv(x, p[at + "conv1.weight"], stride, 1)))
        y = norm(p, at + "bn2", conv(y, p[at + "conv2.weight"], 1, 1))
        if stride != 1:
            x = norm(p, at + "downsample.1", conv(x, p[at + "downsample.0.weight"], stride, 0))
        x = relu(x + y)
    return x


def channels_last(w):
    """The same weights for images whose channels come last: filters and columns are turned."""
    turned = {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for k, v in w.items()}
    return turned | {"fc.weight": w["fc.weight"].T}


def last(x, *y):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)), *y


def tensorflow(w, mode, batch, size, training):
    import keras
    import tensorflow as tf

    params = {k: tf.Variable(v) for k, v in channels_last(w).items()}
    variables = [params[name] for name in learned(w)]

    def conv(x, filters, stride, padding):
        around = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
        return tf.nn.conv2d(x, filters, stride, around)

    def norm(p, name, x):
        mean, variance = p[name + ".running_mean"], p[name + ".running_var"]
        if training:
            mean, variance = tf.nn.moments(x, (0, 1, 2))
        shift, scale = p[name + ".bias"], p[name + ".weight"]
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)

    def forward(x):
        x = tf.nn.relu(norm(params, "bn1", conv(x, params["conv1.weight"], 2, 3)))
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])  # nothing is below 0 here
        x = network(params, tf.nn.max_pool2d(x, 3, 2, "VALID"), conv, norm, tf.nn.relu)
        return tf.reduce_mean(x, (1, 2)) @ params["fc.weight"] + params["fc.bias"]

    def take(x, *y):
        return tuple(map(tf.constant, last(x, *y)))

    if not training:
        return {"step": mode(forward), "take": take}
    optimizer = keras.optimizers.SGD(RATE, MOMENTUM)
    optimizer.build(variables)

    @mode
    def step(x, y):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, forward(x))
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return {"step": step, "weights": lambda: [v.numpy() for v in variables], "take": take}


def jax(w, mode, batch, size, training):
    import jax
    import jax.numpy as jnp
    from jax import lax

    params = {k: jnp.asarray(v) for k, v in channels_last(w).items()}

    def conv(x, filters, stride, padding):
        around, numbers = [(padding, padding)] * 2, ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, filters, (stride, stride), around, dimension_numbers=numbers
        )

    def norm(p, name, x):
        mean, variance = p[name + ".running_mean"], p[name + ".running_var"]
        if training:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * (lax.rsqrt(variance + 1e-5) * p[name + ".weight"]) + p[name + ".bias"]

    def forward(p, x):
        x = jax.nn.relu(norm(p, "bn1", conv(x, p["conv1.weight"], 2, 3)))
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around)
        x = network(p, x, conv, norm, jax.nn.relu)
        return x.mean((1, 2)) @ p["fc.weight"] + p["fc.bias"]

    def take(x, *y):
        return tuple(map(jnp.asarray, last(x, *y)))

    if not training:
        forward = mode(forward)
        return {"step": lambda x: forward(params, x), "take": take}

    state = {"now": (params, jax.tree.map(jnp.zeros_like, params))}

    def loss_of(p, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(forward(p, x)), y[:, None], 1).mean()

    def update(p, m, x, y):
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        m = jax.tree.map(lambda m, g: MOMENTUM * m + g, m, g)
        return loss, (jax.tree.map(lambda p, m: p - RATE * m, p, m), m)

    update = mode(update, donate_argnums=(0, 1))

    def step(x, y):
        loss, state["now"] = update(*state["now"], x, y)
        jax.block_until_ready(state["now"])
        return loss

    return {"step": step, "weights": lambda: [state["now"][0][k] for k in learned(w)], "take": take}


def tinygrad(w, mode, batch, size, training):
    from tinygrad import Tensor

    if training:
        return "its kernels for this step take many minutes to compile"
    params = {k: Tensor(v).realize() for k, v in w.items()}

    def conv(x, filters, stride, padding):
        return x.conv2d(filters, stride=stride, padding=padding)

    def norm(p, name, x):
        scale, shift = p[name + ".weight"], p[name + ".bias"]
        invstd = (p[name + ".running_var"] + 1e-5).rsqrt()
        return x.batchnorm(scale, shift, p[name + ".running_mean"], invstd)

    @mode
    def forward(x):
        x = norm(params, "bn1", conv(x, params["conv1.weight"], 2, 3)).relu()
        x = x.pad((1, 1, 1, 1)).max_pool2d(3, 2)
        x = network(params, x, conv, norm, lambda x: x.relu()).mean((2, 3))
        return x.linear(params["fc.weight"].T, params["fc.bias"]).realize()

    return forward


def onnxruntime(w, mode, batch, size, training):
    from onnx import TensorProto, helper, numpy_helper

    if training:
        return "it does not train"
    nodes = []

    class Name(str):
        """The name of a value; `+` adds a node that adds."""

        def __add__(self, other):
            return node("Add", [self, other])

    def node(op, names, **attributes):
        out = Name(f"v{len(nodes)}")
        nodes.append(helper.make_node(op, names, [out], **attributes))
        return out

    def conv(x, filters, stride, padding):
        return node("Conv", [x, filters], strides=[stride] * 2, pads=[padding] * 4)

    def norm(p, name, x):
        parts = ("weight", "bias", "running_mean", "running_var")
        return node("BatchNormalization", [x, *(f"{name}.{part}" for part in parts)])

    names = {k: k for k in w}
    x = node("Relu", [norm(names, "bn1", conv("x", "conv1.weight", 2, 3))])
    x = node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = network(names, x, conv, norm, lambda x: node("Relu", [x]))
    x = node("Flatten", [node("GlobalAveragePool", [x])])
    x = node("Gemm", [x, "fc.weight", "fc.bias"], transB=1)
    graph = helper.make_graph(
        nodes,
        "resnet18",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in w.items()],
    )
    return mode(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
