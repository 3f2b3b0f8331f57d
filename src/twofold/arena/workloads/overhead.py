"""What one operation costs, apart from its arithmetic: vectors of 4 elements."""

import numpy as np

TITLE = "The price of a call: 4 elements"
GROUP = "overhead"
CASES = {
    "add": {"what": "add", "loops": 1000},
    "add_taped": {"what": "add_taped", "loops": 1000},
    "chain10": {"what": "chain10", "loops": 50},
    "call": {"what": "call", "loops": 1000},
}
QUICK = ("add", "chain10")
TINY = {name: sizes | {"loops": 3} for name, sizes in CASES.items()}
LABELS = {
    "add": "x + b",
    "add_taped": "x + b, recorded for gradients",
    "chain10": "ten times x * b + a, and the gradient",
    "call": "a compiled call: x + b",
}
NO_TAPE = "it has no gradients"
NOT_COMPILED = "this row is about compiled functions"


def inputs(rng, what, loops):
    return tuple(rng.standard_normal(4, np.float32) for _ in range(3))


def repeats(what, loops):
    """A call of a contestant does the work this often: the time given is that of one."""
    return loops


def program(t, mode, what, loops, backward_inside):
    """PyTorch's way. Twofold compiles the walk back with the function; PyTorch's compiler takes it
    from the function's result.
    """

    def add(x, b):
        return x + b

    def chain(x, a, b):
        for _ in range(10):
            x = x * b + a
        return x.sum()

    def step(x, a, b):
        chain(x, a, b).backward()

    if what == "call" and mode == "eager":
        return NOT_COMPILED
    add = mode(add)
    if backward_inside:
        step = mode(step)
    else:
        chain = mode(chain)

    def run_add(x, a, b):
        for _ in range(loops):
            x = add(x, b)
        return x

    def run_add_taped(x, a, b):
        x.requires_grad_()
        for _ in range(loops):
            y = add(x, b)
        return y

    def run_chain(x, a, b):
        x.requires_grad_()
        for _ in range(loops):
            x.grad = None
            step(x, a, b)
        return x.grad

    return {"add": run_add, "call": run_add, "add_taped": run_add_taped, "chain10": run_chain}[what]


def twofold(w, mode, what, loops):
    import twofold

    return program(twofold, mode, what, loops, backward_inside=True)


def torch(w, mode, what, loops):
    import torch

    return program(torch, mode, what, loops, backward_inside=False)


def tensorflow(w, mode, what, loops):
    import tensorflow as tf

    def add(x, b):
        return x + b

    def add_taped(x, b):
        with tf.GradientTape() as tape:
            tape.watch(x)
            return x + b

    def gradient(x, a, b):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(10):
                y = y * b + a
            total = tf.reduce_sum(y)
        return tape.gradient(total, x)

    if what == "call" and mode == "eager":
        return NOT_COMPILED
    add, add_taped, gradient = mode(add), mode(add_taped), mode(gradient)

    def run_add(x, a, b):
        for _ in range(loops):
            x = add(x, b)
        return x

    def run_add_taped(x, a, b):
        for _ in range(loops):
            y = add_taped(x, b)
        return y

    def run_chain(x, a, b):
        for _ in range(loops):
            g = gradient(x, a, b)
        return g

    return {"add": run_add, "call": run_add, "add_taped": run_add_taped, "chain10": run_chain}[what]


def jax(w, mode, what, loops):
    import jax

    def add(x, b):
        return x + b

    def chain(x, a, b):
        for _ in range(10):
            x = x * b + a
        return x.sum()

    if what == "call" and mode == "eager":
        return NOT_COMPILED
    if what == "add_taped" and mode == "jit":
        return "a compiled function returns no tape"
    add, gradient = mode(add), mode(jax.grad(chain))

    def run_add(x, a, b):
        for _ in range(loops):
            x = add(x, b)
        return x

    def run_add_taped(x, a, b):
        for _ in range(loops):
            y, _ = jax.vjp(lambda x: x + b, x)
        return y

    def run_chain(x, a, b):
        for _ in range(loops):
            g = gradient(x, a, b)
        return g

    return {"add": run_add, "call": run_add, "add_taped": run_add_taped, "chain10": run_chain}[what]


def tinygrad(w, mode, what, loops):
    def add(x, b):
        return (x + b).realize()

    def gradient(x, a, b):
        y = x
        for _ in range(10):
            y = y * b + a
        return y.sum().gradient(x)[0].realize()

    if what == "call" and mode == "eager":
        return NOT_COMPILED
    if what == "add_taped":
        return "its graph is recorded in any case: the same as the row above"
    step = mode({"add": add, "call": add, "chain10": gradient}[what])

    def run_add(x, a, b):
        for _ in range(loops):
            x = step(x.clone().realize() if mode == "jit" else x, b)  # jit reuses its output
        return x

    def run_chain(x, a, b):
        for _ in range(loops):
            g = step(x, a, b)
        return g

    return run_chain if what == "chain10" else run_add


def mlx(w, mode, what, loops):
    import mlx.core as mx

    def add(x, b):
        return x + b

    def chain(x, a, b):
        for _ in range(10):
            x = x * b + a
        return x.sum()

    if what == "call" and mode == "eager":
        return NOT_COMPILED
    if what == "add_taped" and mode == "compile":
        return "a compiled function returns no tape"
    add, gradient = mode(add), mode(mx.grad(chain))

    def run_add(x, a, b):
        for _ in range(loops):
            x = add(x, b)
            mx.eval(x)
        return x

    def run_add_taped(x, a, b):
        for _ in range(loops):
            y, _ = mx.vjp(lambda x: x + b, [x], [b])
            mx.eval(y)
        return y[0]

    def run_chain(x, a, b):
        for _ in range(loops):
            g = gradient(x, a, b)
            mx.eval(g)
        return g

    return {"add": run_add, "call": run_add, "add_taped": run_add_taped, "chain10": run_chain}[what]


def numpy(w, mode, what, loops):
    if what == "call":
        return NOT_COMPILED

    def run_add(x, a, b):
        for _ in range(loops):
            x = x + b
        return x

    def run_chain(x, a, b):
        # the gradient is the product of ten factors b, whatever x is
        for _ in range(loops):
            y = x
            for _ in range(10):
                y = y * b + a
            g = np.ones_like(x)
            for _ in range(10):
                g = g * b
        return g

    return {"add": run_add, "add_taped": NO_TAPE, "chain10": run_chain}[what]
