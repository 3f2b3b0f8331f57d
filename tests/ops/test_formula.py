"""Formulas: their derivatives are records that are made when first asked for."""

import time
from concurrent.futures import ThreadPoolExecutor

from twofold.ops import formula
from twofold.ops.op import OPS


def test_threads_that_ask_first_share_one_derivative(monkeypatch):
    asked = []

    def derive(op, index):
        asked.append(op.name)
        time.sleep(0.05)
        return object()

    monkeypatch.setattr(formula, "_derivatives", {})
    monkeypatch.setattr(formula, "_linear", set())
    monkeypatch.setattr(formula, "_derive", derive)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: formula.derivative(OPS["tanh"], 0), range(4)))
    assert (len(found), asked) == (1, ["tanh"])
