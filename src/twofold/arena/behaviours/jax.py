"""Behaviours of JAX: what was done and what came of it."""

import jax
import jax.numpy as jnp
import numpy as np


def sample(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


def difference(a, b):
    a, b = np.asarray(a), np.asarray(b)
    apart = int((a.view(np.int32) != b.view(np.int32)).sum())
    if not apart:
        return {"good": True, "evidence": f"all {a.size} results have the same bits"}
    worst = float(np.abs(a - b).max())
    return {"good": False, "evidence": f"{apart} of {a.size} results differ, by up to {worst:.1e}"}


def eager_equals_compiled(framework, mode):
    x, w = sample(64, 96), sample(96, 96)

    def f(x):
        y = jax.nn.gelu(x @ w, approximate=False)
        return jax.nn.softmax((y - y.mean(-1, keepdims=True)) / jnp.sqrt(y.var(-1, keepdims=True)))

    return difference(f(x), jax.jit(f)(x))


def row_alone_equals_row_in_batch(framework, mode):
    x, w = sample(33, 300), sample(300, 200)
    return difference((x @ w)[:1], x[:1] @ w)


def compiles_for_50_shapes(framework, mode):
    traced = []

    @jax.jit
    def f(x):
        traced.append(x.shape)
        return jax.nn.relu(x * 2 + 1).sum()

    for rows in range(1, 51):
        f(sample(rows, 51 - rows))
    return {"good": len(traced) == 1, "evidence": f"traced {len(traced)} times"}


def second_derivative_under_compile(framework, mode):
    value = float(jax.jit(jax.grad(jax.grad(lambda x: x**3)))(2.0))
    return {"good": value == 12, "evidence": f"d2(x^3)/dx2 at 2 is {value:g}"}


def out_of_range_index(framework, mode):
    value = jnp.arange(3)[jnp.asarray([5])]
    return {"good": False, "evidence": f"arange(3)[[5]] is {value}, without an error"}


def loss_shape_mismatch(framework, mode):
    prediction, target = jnp.asarray([[1.0], [2.0], [3.0]]), jnp.asarray([1.0, 2.0, 3.0])
    value = float(((prediction - target) ** 2).mean())
    return {"good": False, "evidence": f"(3, 1) against (3,): {value:.3g}, where 0 is right"}


def float64_kept(framework, mode):
    kind = (jnp.asarray(np.ones(3)) * 2).dtype
    return {"good": kind == np.float64, "evidence": f"float64 data times 2 is {kind}"}


def values_inside_compiled_code(framework, mode):
    seen = []

    @jax.jit
    def f(x):
        y = x * 2
        seen.append(float(y.sum()))
        return y + 1

    try:
        f(jnp.asarray([1.0, 2.0]))
    except Exception as error:
        text = str(error).strip().splitlines()[0]
        return {"good": False, "evidence": f"{type(error).__name__}: {text}"}
    return {"good": seen == [6.0], "evidence": f"a line inside saw {seen}"}


def wrong_shape_error(framework, mode):
    try:
        jnp.ones((32, 784)) @ jnp.ones((128, 784))
    except Exception as error:
        text = str(error)
        named = all(word in text for word in ("32, 784", "128, 784"))
        return {"good": named and "try" in text, "evidence": text}
    return {"good": False, "evidence": "no error"}
