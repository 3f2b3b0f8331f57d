"""The seed question in every dialect: d(x^2)/dx, at 2.0 first, then at other numbers."""

import numpy as np

TITLE = "d(x^2)/dx"
GROUP = "seed"
CASES = {
    "define_by_run": {"dialect": "define_by_run"},
    "tape": {"dialect": "tape"},
    "functional": {"dialect": "functional"},
    "graph": {"dialect": "graph"},
    "session": {"dialect": "session"},
}
QUICK = ("define_by_run", "functional")
TINY = CASES
LABELS = {
    "define_by_run": "y.backward(), define-by-run",
    "tape": "a gradient tape",
    "functional": "grad(f)(x)",
    "graph": "a compiled gradient",
    "session": "placeholders and a session",
}
NO_DIALECT = "it does not speak this dialect"
EAGERLY = "this dialect has no compiled form of its own"


def inputs(rng, dialect):
    return (np.array(2.0 + rng.integers(0, 1000) / 8, np.float32),)


def square(x):
    return x * x


def torch_like(t, mode, dialect):
    if dialect == "define_by_run" and mode == "eager":

        def step(number):
            x = t.tensor(number, requires_grad=True)
            y = x * x
            y.backward()
            return x.grad

    elif dialect == "graph" and mode != "eager":

        @mode
        def step_of(x):
            y = x * x
            y.backward()
            return x.grad

        def step(number):
            return step_of(t.tensor(number, requires_grad=True))

    elif dialect == "functional" and hasattr(t, "func"):
        gradient = mode(t.func.grad(square))

        def step(number):
            return gradient(t.tensor(number))

    else:
        return NO_DIALECT if dialect in ("tape", "session") else EAGERLY
    return {"step": step, "take": lambda x: (float(x),)}


def torch(w, mode, dialect):
    import torch

    return torch_like(torch, mode, dialect)


def twofold(w, mode, dialect):
    import twofold

    if dialect == "tape" and mode == "eager" and hasattr(twofold, "GradientTape"):

        def step(number):
            x = twofold.tensor(number)
            with twofold.GradientTape() as tape:
                tape.watch(x)
                y = x * x
            return tape.gradient(y, x)

        return {"step": step, "take": lambda x: (float(x),)}
    if dialect == "session" and hasattr(twofold, "Session"):
        with twofold.Graph() as graph:
            x = twofold.placeholder("float32", [])
            dy = twofold.gradients(x * x, x)
        session = twofold.Session(graph)
        return {"step": lambda number: session.run(dy, {x: number}), "take": lambda x: (float(x),)}
    return torch_like(twofold, mode, dialect)


def tensorflow(w, mode, dialect):
    import tensorflow as tf

    if dialect == "tape" or (dialect == "graph" and mode != "eager"):

        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = x * x
            return tape.gradient(y, x)

        return mode(gradient) if dialect == "graph" else gradient
    if dialect == "session" and mode == "function":
        v1 = tf.compat.v1
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, [])
            dy = v1.gradients(x * x, x)[0]
        session = v1.Session(graph=graph)
        return {"step": lambda number: session.run(dy, {x: number}), "take": lambda x: (x,)}
    return NO_DIALECT if dialect in ("define_by_run", "functional") else EAGERLY


def jax(w, mode, dialect):
    import jax

    if dialect == "functional" or (dialect == "graph" and mode == "jit"):
        return jax.grad(square) if dialect == "functional" else mode(jax.grad(square))
    return EAGERLY if dialect == "graph" else NO_DIALECT


def tinygrad(w, mode, dialect):
    from tinygrad import Tensor

    if mode == "jit":
        return "a scalar that changes is a constant to its jit"
    if dialect == "define_by_run":

        def step(number):
            x = Tensor([number]).is_param_()
            (x * x).sum().backward()
            return x.grad.realize()

        return {"step": step, "take": lambda x: (float(x),)}
    return NO_DIALECT


def mlx(w, mode, dialect):
    import mlx.core as mx

    if dialect == "functional":
        return mx.grad(square)
    if dialect == "graph" and mode == "compile":
        return mode(mx.grad(square))
    return EAGERLY if dialect == "graph" else NO_DIALECT


def numpy(w, mode, dialect):
    """The derivative by hand: NumPy has no gradients."""
    return lambda x: np.float32(2) * x
