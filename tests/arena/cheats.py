"""A workload of nine numbers, with two honest contestants and, by `fault`, one that cheats."""

import numpy as np

TITLE = "A cheat among honest people"
GROUP = "test"
CASES = {
    name: {"fault": name}
    for name in (
        "honest",
        "reuses_its_output",
        "wrong_numbers",
        "returns_early",
        "caches_its_answer",
        "caches_after_the_check",
        "wrong_after_the_check",
        "faster_than_possible",
        "skips_the_update",
        "stops_updating_after_the_check",
    )
}
TRAINING = ("skips_the_update", "stops_updating_after_the_check")


def inputs(rng, fault):
    return (rng.standard_normal(9, np.float32),)


def weights(rng, fault):
    return {"w": np.ones(9, np.float32)} if fault in TRAINING else {}


def work(fault):
    return {"flop": 1e12} if fault == "faster_than_possible" else {}


def square(x):
    return x * x


def numpy(w, mode, fault):
    """Honest."""
    return trained(w, lambda calls: True) if fault in TRAINING else square


def jax(w, mode, fault):
    """Honest; it stands in for a second framework, and needs no JAX."""
    return numpy(w, mode, fault)


def trained(w, updates):
    state = {"w": w["w"].copy(), "calls": 0}

    def step(x):
        loss = np.float32((state["w"] * x).sum())
        state["calls"] += 1
        if updates(state["calls"]):
            state["w"] -= 0.1 * x
        return loss

    return {"step": step, "weights": lambda: [state["w"]]}


def torch(w, mode, fault):
    """The cheat."""
    if fault == "skips_the_update":
        return trained(w, lambda calls: False)
    if fault == "stops_updating_after_the_check":
        return trained(w, lambda calls: calls <= 3)
    kept, calls, output = [], [0], np.empty(9, np.float32)

    def step(x):
        calls[0] += 1
        checked = calls[0] > 3
        if fault == "reuses_its_output":  # no cheat: tinygrad's jit does
            return np.multiply(x, x, out=output)
        if fault == "wrong_numbers":
            return x * x * np.float32(1.01)
        if fault == "returns_early":
            y = np.zeros_like(x)
            y[:5] = x[:5] * x[:5]  # the rest would have come later
            return y
        if fault == "caches_its_answer" or (fault == "caches_after_the_check" and checked):
            kept.append(x * x) if not kept else None
            return kept[0]
        if fault == "wrong_after_the_check" and checked:
            return x
        return x * x

    return step
