"""A softmax over many classes, frequent ones first: AdaptiveLogSoftmaxWithLoss. Floor 10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from twofold.base.errors import ArgumentError, IndexRangeError, ShapeError
from twofold.base.records import NamedTuple
from twofold.nn.container import ModuleList, Sequential
from twofold.nn.layers import Linear
from twofold.nn.module import Module
from twofold.ops.compare import ge, le, logical_and, lt, where
from twofold.ops.elementwise import add, neg, sub
from twofold.ops.gather import gather
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.normalize import log_softmax
from twofold.ops.ranges import require
from twofold.ops.reduce import all as all_of
from twofold.ops.reduce import argmax, mean
from twofold.ops.selecting import index_copy, index_select, nonzero
from twofold.ops.tensor import Tensor, type_of

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class Scored(NamedTuple):
    """The log-probability of each target, f[N], and minus their mean."""

    output: Tensor
    loss: Tensor


@final
class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax whose rare classes stand in clusters behind a smaller one (Grave et al. 2017).

    The head knows the classes below `cutoffs[0]` and one word for each cluster; cluster i has the
    classes from cutoffs[i] to cutoffs[i + 1] behind in_features / div_value ** (i + 1) features.
    Input f[N, in_features] (or f[in_features]), target i64[N] -> (output f[N], loss).

    Raises ArgumentError for cutoffs that do not rise from 1 to n_classes - 1.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        marks = list(cutoffs)
        rising = marks == sorted(set(marks)) and marks and all(int(m) == m for m in marks)
        if not rising or marks[0] < 1 or marks[-1] > n_classes - 1:
            raise ArgumentError(
                "AdaptiveLogSoftmaxWithLoss",
                f"cutoffs {marks} do not rise within the classes",
                hint=f"unique whole numbers from 1 to {n_classes - 1}, sorted",
            )
        self.in_features, self.n_classes, self.div_value = in_features, n_classes, div_value
        self.head_bias = head_bias
        self.cutoffs = [*marks, n_classes]
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        options = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            first = Linear(in_features, hidden, bias=False, **options)
            self.tail.append(Sequential(first, Linear(hidden, size, bias=False, **options)))

    def reset_parameters(self) -> None:
        self.head.reset_parameters()
        tail: Any = self.tail
        for first, second in tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> Scored:
        single = input.array.ndim == 1
        x = input.reshape(1, -1) if single else input  # type: ignore[attr-defined]
        y = target.reshape(-1) if single else target  # type: ignore[attr-defined]
        if x.array.ndim != 2 or x.array.shape[0] != y.array.shape[0]:
            raise ShapeError(
                "AdaptiveLogSoftmaxWithLoss",
                "input and target do not have one row for each example",
                hint="input f[N, in_features] and target i64[N], or both without N",
                input=type_of(input),
                target=type_of(target),
            )
        self._check(y)
        scores = log_softmax(self.head(x), 1)
        words = where(lt(y, self.shortlist_size), y, self.shortlist_size)
        for i in range(1, self.n_clusters):
            words = where(ge(y, self.cutoffs[i]), self.shortlist_size + i, words)
        output = gather(scores, 1, words.reshape(-1, 1)).reshape(-1)  # type: ignore[attr-defined]
        for i, cluster in enumerate(self.tail):
            low, high = self.cutoffs[i : i + 2]
            rows = nonzero(logical_and(ge(y, low), lt(y, high))).reshape(-1)
            if not rows.array.size:
                continue
            inside = log_softmax(cluster(index_select(x, 0, rows)), 1)
            places = sub(index_select(y, 0, rows), low).reshape(-1, 1)  # type: ignore[attr-defined]
            found = gather(inside, 1, places).reshape(-1)  # type: ignore[attr-defined]
            output = index_copy(output, 0, rows, add(index_select(output, 0, rows), found))
        loss = neg(mean(output))
        return Scored(output.reshape(()) if single else output, loss)

    def _check(self, target: Tensor) -> None:
        inside = all_of(logical_and(ge(target, 0), le(target, self.n_classes - 1)))
        require(
            inside,
            lambda: IndexRangeError(
                "AdaptiveLogSoftmaxWithLoss",
                "a target is no class",
                hint=f"0 to {self.n_classes - 1}",
                target=type_of(target),
            ),
        )

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probability of every class, f[N, n_classes]."""
        head = log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]  # type: ignore[index]
        for i, cluster in enumerate(self.tail):
            word = head[:, self.shortlist_size + i].reshape(-1, 1)  # type: ignore[index]
            parts.append(add(log_softmax(cluster(input), 1), word))
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, i64[N]."""
        return argmax(self.log_prob(input), 1)


guard(globals())
