"""Connectionist temporal classification (Graves et al. 2006), in logarithms. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.tensor import Tensor

LOW = -np.inf


def _states(targets: Any, blank: int) -> Any:
    """Each target with blanks around its labels, and where a label may be reached from the one
    before it without the blank between.
    """
    count, size = targets.shape
    states = np.full((count, 2 * size + 1), blank, np.int64)
    states[:, 1::2] = targets
    skip = np.zeros(states.shape, np.bool_)
    skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return states, skip


def _add(*terms: Any) -> Any:
    """The logarithm of a sum, from logarithms; -inf is 0."""
    top = np.maximum.reduce(terms)
    safe = np.where(np.isinf(top), 0, top)
    with np.errstate(divide="ignore"):
        return np.log(sum(np.exp(t - safe) for t in terms)) + safe


def _forward(x: Any, targets: Any, lengths: Any, sizes: Any, blank: int) -> Any:
    """alpha[t, n, s]: the paths through state s at step t; and log-probabilities of the states."""
    states, skip = _states(targets, blank)
    steps, count, _ = x.shape
    scores = np.take_along_axis(x, np.broadcast_to(states, (steps, *states.shape)), 2)
    inside = np.arange(states.shape[1]) < (2 * sizes + 1)[:, None]
    scores = np.where(inside, scores, LOW)
    alpha = np.full(scores.shape, LOW)
    if steps:
        alpha[0, :, :2] = scores[0, :, :2]
    for t in range(1, steps):
        before = alpha[t - 1]
        one = np.concatenate([np.full((count, 1), LOW), before[:, :-1]], 1)
        two = np.concatenate([np.full((count, 2), LOW), before[:, :-2]], 1)[:, : states.shape[1]]
        alpha[t] = _add(before, one, np.where(skip, two, LOW)) + scores[t]
    return alpha, scores, states, skip


def _likelihood(alpha: Any, lengths: Any, sizes: Any) -> Any:
    """The logarithm of the probability of each target: paths that end in its last two states."""
    rows = np.arange(len(lengths))
    empty = lengths == 0
    last = (
        alpha[np.maximum(lengths - 1, 0), rows] if alpha.shape[0] else np.full(alpha.shape[1:], LOW)
    )
    end = last[rows, 2 * sizes]
    label = np.where(sizes > 0, last[rows, np.maximum(2 * sizes - 1, 0)], LOW)
    found = _add(end, label)
    return np.where(empty, np.where(sizes > 0, LOW, 0.0), found)


def _ctc(x: Any, targets: Any, lengths: Any, sizes: Any, *, blank: int) -> Any:
    alpha, *_ = _forward(x.astype(np.float64), targets, lengths, sizes, blank)
    return (-_likelihood(alpha, lengths, sizes)).astype(x.dtype)


def _backward(g: Any, x: Any, targets: Any, lengths: Any, sizes: Any, *, blank: int) -> Any:
    """-g times the probability that a path passes each class at each step, given the target."""
    wide = x.astype(np.float64)
    alpha, scores, states, skip = _forward(wide, targets, lengths, sizes, blank)
    total = _likelihood(alpha, lengths, sizes)
    steps, count, width = scores.shape
    rows = np.arange(count)
    beta = np.full(scores.shape, LOW)
    for t in range(steps - 1, -1, -1):
        if t + 1 < steps:
            after = beta[t + 1] + scores[t + 1]
            one = np.concatenate([after[:, 1:], np.full((count, 1), LOW)], 1)
            two = np.concatenate([after[:, 2:], np.full((count, 2), LOW)], 1)[:, :width]
            jump = np.concatenate([skip[:, 2:], np.zeros((count, 2), np.bool_)], 1)[:, :width]
            beta[t] = _add(after, one, np.where(jump, two, LOW))
        start = lengths - 1 == t
        ends = np.full((count, width), LOW)
        ends[rows, 2 * sizes] = 0
        some = sizes > 0
        ends[rows[some], 2 * sizes[some] - 1] = 0
        beta[t] = np.where(start[:, None], ends, np.where(t < lengths[:, None], beta[t], LOW))
    with np.errstate(invalid="ignore"):
        share = np.exp(alpha + beta - total[:, None])
    made = np.zeros(x.shape)
    places = np.broadcast_to(states, scores.shape)
    grid = np.ix_(np.arange(steps), np.arange(count), np.arange(width))
    np.add.at(made, (grid[0], grid[1], places), np.where(np.isneginf(alpha + beta), 0, share))
    impossible = np.isneginf(total)
    inside = np.arange(steps)[:, None] < lengths
    made[inside & impossible] = np.nan
    return np.where(g[:, None] == 0, 0, -made * g[:, None]).astype(x.dtype)


def _log_probabilities(random: Any, *shape: int) -> Any:
    x = random.normal(size=shape)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _targets(random: Any) -> Any:
    return random.integers(1, 4, (2, 3)), np.array([6, 5]), np.array([3, 2])


CTC_BACKWARD = define(
    "ctc_loss_backward",
    inputs="g x targets lengths sizes",
    attrs=("blank",),
    doc="The gradient of ctc_loss by its log-probabilities.",
    accepts=FLOAT,
    infer=lambda g, x, targets, lengths, sizes, *, blank: x,
    ref=_backward,
    lower="ctc_loss_backward",
    samples=lambda r: [Sample((r.normal(size=2), _log_probabilities(r, 6, 2, 4), *_targets(r), 0))],
    torch=False,
)


def _vjp(
    g: Tensor, out: Any, x: Tensor, targets: Any, lengths: Any, sizes: Any, *, blank: int
) -> Any:
    made = bind(CTC_BACKWARD, (g, x, targets, lengths, sizes), (blank,))
    return made, None, None, None


CTC = define(
    "ctc_loss",
    inputs="x targets lengths sizes",
    attrs=("blank",),
    doc="Minus the log-probability of each target, over all its alignments to the steps of x.",
    accepts=FLOAT,
    infer=lambda x, targets, lengths, sizes, *, blank: Type((x.shape[1],), x.dtype),
    ref=_ctc,
    lower="ctc_loss",
    vjp=_vjp,
    saves="x targets lengths sizes",
    samples=lambda r: [
        Sample((_log_probabilities(r, 6, 2, 4), *_targets(r), 0), smooth=False),
        Sample(
            (
                _log_probabilities(r, 5, 2, 4),
                *_targets(r)[:1],
                np.array([5, 4]),
                np.array([0, 1]),
                0,
            ),
            smooth=False,
        ),
    ],
    torch=False,
)
