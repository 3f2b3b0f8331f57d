"""A training step of a network that solves Burgers' equation: second derivatives, then Adam."""

import itertools

import numpy as np

TITLE = "PINN of Burgers' equation, 1,000 points"
GROUP = "training"
CASES = {"b1000": {"points": 1000, "width": 50}}
QUICK = ()
TINY = {"points": 8, "width": 5}
TOLERANCE = 2e-3
RATE, VISCOSITY, HIDDEN = 1e-3, 0.01 / np.pi, 4


def widths(width):
    return [2, *[width] * HIDDEN, 1]


def weights(rng, points, width):
    made = {}
    for number, (inside, out) in enumerate(itertools.pairwise(widths(width))):
        bound = (3 / inside) ** 0.5
        made[f"w{number}"] = rng.uniform(-bound, bound, (out, inside)).astype(np.float32)
        made[f"b{number}"] = rng.uniform(-0.1, 0.1, out).astype(np.float32)
    return made


def inputs(rng, points, width):
    x = rng.uniform(-1, 1, (points, 1)).astype(np.float32)
    return x, rng.uniform(0, 1, (points, 1)).astype(np.float32)


def program(t, w, mode, width, **adam):
    """PyTorch's way, which is Twofold's."""
    nn, grad = t.nn, t.autograd.grad
    layers = []
    for inside, out in itertools.pairwise(widths(width)):
        layers += [nn.Linear(inside, out), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    with t.no_grad():
        for parameter, value in zip(model.parameters(), w.values(), strict=True):
            parameter.copy_(t.from_numpy(value))
    optimizer = t.optim.Adam(model.parameters(), lr=RATE, **adam)

    @mode
    def step(x, when):
        x.requires_grad_()
        when.requires_grad_()
        u = model(t.cat([x, when], 1))
        u_x, u_t = grad(u.sum(), (x, when), create_graph=True)
        (u_xx,) = grad(u_x.sum(), x, create_graph=True)
        loss = ((u_t + u * u_x - VISCOSITY * u_xx) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return {"step": step, "weights": lambda: list(model.parameters())}


def twofold(w, mode, points, width):
    import twofold

    return program(twofold, w, mode, width)


def torch(w, mode, points, width):
    import torch

    if mode == "compile":
        return "torch.compile does not differentiate twice (double backward)"
    return program(torch, w, mode, width, fused=True)


def tensorflow(w, mode, points, width):
    import keras
    import tensorflow as tf

    variables = [tf.Variable(v.T if v.ndim == 2 else v) for v in w.values()]
    optimizer = keras.optimizers.Adam(RATE, epsilon=1e-8)
    optimizer.build(variables)

    def solution(x, when):
        h = tf.concat([x, when], 1)
        for number in range(HIDDEN):
            h = tf.tanh(h @ variables[2 * number] + variables[2 * number + 1])
        return h @ variables[-2] + variables[-1]

    @mode
    def step(x, when):
        with tf.GradientTape() as tape:
            with tf.GradientTape() as second:
                second.watch(x)
                with tf.GradientTape() as first:
                    first.watch((x, when))
                    u = solution(x, when)
                u_x, u_t = first.gradient(u, (x, when))
            u_xx = second.gradient(u_x, x)
            loss = tf.reduce_mean((u_t + u * u_x - VISCOSITY * u_xx) ** 2)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    return {"step": step, "weights": lambda: [v.numpy() for v in variables]}


def jax(w, mode, points, width):
    import jax
    import jax.numpy as jnp

    params = {k: jnp.asarray(v.T if v.ndim == 2 else v) for k, v in w.items()}
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = {"now": (params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))}

    def solution(p, x, when):
        h = jnp.stack([x, when])
        for number in range(HIDDEN):
            h = jnp.tanh(h @ p[f"w{number}"] + p[f"b{number}"])
        return (h @ p[f"w{HIDDEN}"] + p[f"b{HIDDEN}"])[0]

    def residual(p, x, when):
        u, (u_x, u_t) = jax.value_and_grad(solution, (1, 2))(p, x, when)
        u_xx = jax.grad(jax.grad(solution, 1), 1)(p, x, when)
        return u_t + u * u_x - VISCOSITY * u_xx

    def loss_of(p, x, when):
        return (jax.vmap(residual, (None, 0, 0))(p, x[:, 0], when[:, 0]) ** 2).mean()

    def update(p, m, v, t, x, when):
        loss, g = jax.value_and_grad(loss_of)(p, x, when)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, root = RATE / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
        return loss, (p, m, v, t)

    update = mode(update, donate_argnums=(0, 1, 2, 3))

    def step(x, when):
        loss, state["now"] = update(*state["now"], x, when)
        jax.block_until_ready(state["now"])
        return loss

    return {"step": step, "weights": lambda: [state["now"][0][k] for k in w]}
