"""A recurrence of 1,000 steps, and the gradient through all of them."""

import numpy as np

TITLE = "1,000 recurrent steps, and the gradient"
GROUP = "kernels"
CASES = {"1000": {"steps": 1000, "batch": 8, "width": 64}}
QUICK = ()
TINY = {"steps": 5, "batch": 2, "width": 3}
TOLERANCE = 2e-3


def weights(rng, steps, batch, width):
    return {"w": 0.8 * width**-0.5 * rng.standard_normal((width, width), np.float32)}


def inputs(rng, steps, batch, width):
    return (0.5 * rng.standard_normal((steps, batch, width), np.float32),)


def work(steps, batch, width):
    return {"flop": 2 * 3 * steps * batch * width * width}


def program(t, w, mode):
    """PyTorch's way, which is Twofold's: a loop of Python."""
    kept = t.from_numpy(w["w"])

    def loss_of(w, x):
        h = t.zeros_like(x[0])
        for now in x:
            h = t.tanh(h @ w + now)
        return (h * h).sum()

    loss_of = mode(loss_of)

    def step(x):
        parameter = kept.clone().requires_grad_()
        loss = loss_of(parameter, x)
        loss.backward()
        return loss, parameter.grad

    return step


def twofold(w, mode, steps, batch, width):
    import twofold

    return program(twofold, w, mode)


def torch(w, mode, steps, batch, width):
    import torch

    if mode == "compile" and steps > 100:
        return "torch.compile writes out every step of a loop: not in minutes"
    return program(torch, w, mode)


def tensorflow(w, mode, steps, batch, width):
    import tensorflow as tf

    kept = tf.constant(w["w"])

    @mode
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(kept)
            h = tf.zeros((batch, width))
            if mode == "eager":
                for now in x:
                    h = tf.tanh(h @ kept + now)
            else:  # with its length known, XLA can differentiate the loop
                for t in tf.range(steps):
                    tf.autograph.experimental.set_loop_options(maximum_iterations=steps)
                    h = tf.tanh(h @ kept + x[t])
            loss = tf.reduce_sum(h * h)
        return loss, tape.gradient(loss, kept)

    return step


def jax(w, mode, steps, batch, width):
    import jax
    import jax.numpy as jnp

    kept = jnp.asarray(w["w"])

    def loss_of(w, x):
        def cell(h, now):
            return jnp.tanh(h @ w + now), None

        h, _ = jax.lax.scan(cell, jnp.zeros((batch, width)), x)
        return (h * h).sum()

    gradient = mode(jax.value_and_grad(loss_of))
    return lambda x: gradient(kept, x)


def numpy(w, mode, steps, batch, width):
    """The gradient by hand, back through time."""
    kept = w["w"]

    def step(x):
        states = [np.zeros((batch, width), np.float32)]
        for now in x:
            states.append(np.tanh(states[-1] @ kept + now))
        loss = (states[-1] * states[-1]).sum()
        g, total = 2 * states[-1], np.zeros_like(kept)
        for number in range(steps, 0, -1):
            g = g * (1 - states[number] * states[number])
            total += states[number - 1].T @ g
            g = g @ kept.T
        return loss, total

    return step
