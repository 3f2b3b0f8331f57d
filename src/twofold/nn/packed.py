"""Sequences of different lengths as one tensor without padding. Floor 10.

A PackedSequence holds the first steps of all sequences, then the second steps, and so on, the
longest sequences first; `batch_sizes` tells how many have each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError, in_python
from twofold.base.records import NamedTuple
from twofold.ops.bind import mode
from twofold.ops.creation import full
from twofold.ops.joining import cat, stack
from twofold.ops.tensor import Tensor, type_of, wrap

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence"]
__all__ += ["pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence"]


class PackedSequence(NamedTuple):
    """data f[steps of all, ...], batch_sizes i64[longest], and the orders of the sequences: how
    they were sorted, and the way back (None: they came sorted).
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        return self._replace(data=self.data.to(*args, **kwargs))  # type: ignore[attr-defined]

    def cpu(self) -> PackedSequence:
        return self

    def double(self) -> PackedSequence:
        return self._replace(data=self.data.double())  # type: ignore[attr-defined]

    def float(self) -> PackedSequence:
        return self._replace(data=self.data.float())  # type: ignore[attr-defined]

    @property
    def is_cuda(self) -> bool:
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The order that undoes an order."""
    return None if permutation is None else wrap(np.argsort(permutation.array).astype(np.int64))


def known_lengths(op: str, lengths: Tensor) -> Any:
    """The values of a tensor of lengths. They decide which steps run together: in a compiled
    function that only a run knows them in, Python packs.
    """
    array: Any = lengths.array
    if mode.capture is not None and (
        type(array) is not np.ndarray or mode.capture.reads_outside(array)
    ):
        error = ArgumentError(
            op,
            "how sequences lie packed is decided by their lengths, which only a run knows",
            hint="a list of lengths, for each of which a program is made; or padded sequences",
            lengths=type_of(lengths),
        )
        in_python(error)
        raise error
    return array


def _lengths(op: str, lengths: Any) -> Any:
    values = known_lengths(op, lengths) if isinstance(lengths, Tensor) else np.asarray(lengths)
    made = values.astype(np.int64)
    if made.ndim != 1 or not made.size or made.min() < 1:
        raise ArgumentError(
            op, f"lengths are {made.tolist()}", hint="one above 0 for each sequence"
        )
    return made


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences f[T, N, ...] (batch_first: f[N, T, ...]) packed, by their lengths.

    enforce_sorted: the lengths must descend already.
    """
    op = "pack_padded_sequence"
    x: Any = input
    sizes = _lengths(op, lengths)
    x = x.transpose(0, 1) if batch_first else x
    if sizes.size != x.shape[1] or sizes.max() > x.shape[0]:
        raise ShapeError(op, f"lengths {sizes.tolist()} do not fit", input=type_of(input))
    order = None
    if enforce_sorted:
        if (np.diff(sizes) > 0).any():
            hint = "enforce_sorted=False"
            raise ArgumentError(op, "the lengths do not descend", hint=hint)
    else:
        places = np.argsort(-sizes, kind="stable").astype(np.int64)
        order, sizes = wrap(places), sizes[places]
        x = x.index_select(1, order)
    counts = (sizes[:, None] > np.arange(sizes[0])).sum(0)
    data = cat([x[step, :count] for step, count in enumerate(counts.tolist())])
    return PackedSequence(data, wrap(counts.astype(np.int64)), order, invert_permutation(order))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(f[T, N, ...], lengths i64[N]) of a packed sequence; T is total_length, or the longest."""
    counts = known_lengths("pad_packed_sequence", sequence.batch_sizes).tolist()
    data: Any = sequence.data
    steps = len(counts) if total_length is None else total_length
    if steps < len(counts):
        problem = f"total_length = {total_length} is below the longest, {len(counts)}"
        raise ArgumentError("pad_packed_sequence", problem)
    rest = tuple(data.shape[1:])
    rows = []
    for part, count in zip(data.split(counts), counts, strict=True):
        short = full((counts[0] - count, *rest), padding_value, dtype=data.dtype)
        rows.append(cat([part, short]) if count < counts[0] else part)
    rows += [full((counts[0], *rest), padding_value, dtype=data.dtype)] * (steps - len(counts))
    made: Any = stack(rows)
    lengths: Any = wrap((np.asarray(counts)[:, None] > np.arange(counts[0])).sum(0))
    if sequence.unsorted_indices is not None:
        made = made.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    return made.transpose(0, 1) if batch_first else made, lengths


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors f[length, ...] padded to the longest: f[T, N, ...]."""
    if padding_side not in ("right", "left"):
        raise ArgumentError(
            "pad_sequence", f"padding_side is {padding_side!r}", hint="right or left"
        )
    xs: list[Any] = list(sequences)
    if not xs:
        raise ArgumentError("pad_sequence", "at least one sequence is wanted")
    for place, x in enumerate(xs):
        if x.array.shape[1:] != xs[0].array.shape[1:]:
            facts: Any = {"sequences[0]": type_of(xs[0]), f"sequences[{place}]": type_of(x)}
            hint = "one shape behind the first axis, which alone is padded"
            raise ShapeError("pad_sequence", "shapes differ", hint=hint, **facts)
    longest = max(x.shape[0] for x in xs)
    rows = []
    for x in xs:
        short = full((longest - x.shape[0], *x.shape[1:]), padding_value, dtype=x.dtype)
        rows.append(cat([x, short] if padding_side == "right" else [short, x]))
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """The sequences without their padding."""
    x: Any = padded_sequences
    x = x if batch_first else x.transpose(0, 1)
    known = isinstance(lengths, Tensor)
    sizes = known_lengths("unpad_sequence", lengths) if known else np.asarray(lengths)
    return [row[:size] for row, size in zip(x, sizes.tolist(), strict=True)]


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors f[length, ...] packed."""
    xs = list(sequences)
    lengths = [x.array.shape[0] for x in xs]
    return pack_padded_sequence(pad_sequence(xs), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The tensors that a packed sequence holds."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


# ---- recurrent layers on packed sequences


def each(function: Any, *states: Any) -> Any:
    """A function of each part of a state: a tensor, or a tuple of them."""
    if isinstance(states[0], tuple):
        return tuple(function(*parts) for parts in zip(*states, strict=True))
    return function(*states)


def run_packed(
    sequence: Any, projected: Any, start: Any, recurrent: Any, sizes: list[int], reverse: bool
) -> tuple[Tensor, Any]:
    """(outputs, last states) of a layer's `sequence` over batches of these sizes.

    Forwards the batches shrink, as sequences end; backwards they grow, as sequences begin. Steps of
    one size run together.
    """
    runs = [(size, len(list(group))) for size, group in itertools.groupby(sizes)]
    parts = projected.split([size * steps for size, steps in runs])
    work = list(zip(runs, parts, strict=True))
    outs: list[Any] = []
    ended: list[Any] = []
    count, state = 0, None
    for (size, steps), part in reversed(work) if reverse else work:
        if state is None:
            state = each(lambda x, n=size: x[:n], start)
        elif size > count:
            more = each(lambda x, a=count, b=size: x[a:b], start)
            state = each(lambda x, y: cat([x, y]), state, more)
        else:
            ended.append(each(lambda x, n=size: x[n:], state))
            state = each(lambda x, n=size: x[:n], state)
        count = size
        made, state = sequence(part.reshape(steps, size, -1), state, recurrent, reverse)
        outs.append(made.reshape(steps * size, -1))
    for part in reversed(ended):
        state = each(lambda x, y: cat([x, y]), state, part)
    return cat(outs[::-1] if reverse else outs), state
