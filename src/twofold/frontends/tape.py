"""GradientTape under TensorFlow's names: record in a block, ask for gradients after it. Floor 9.

The tape is the one that every operation is recorded on; this class says what it watches. A watched
tensor is tracked while a tape watches it, and again while that tape looks for gradients; parameters
are tracked anyway.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from twofold.autograd.jacobians import identity_rows
from twofold.autograd.levels import Level, current_level
from twofold.autograd.transforms import Back, nested, taping, zeros_for
from twofold.autograd.vmap import vmap
from twofold.base import trees
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError
from twofold.ops.bind import current, recording
from twofold.ops.creation_like import ones_like
from twofold.ops.joining import stack
from twofold.ops.movement import expand, reshape
from twofold.ops.source import EYE, made, zeros_of
from twofold.ops.splitting import unbind
from twofold.ops.tensor import Tensor, type_of, wrap

UNCONNECTED = {"none": False, "zero": True, None: False}


class Active(threading.local):
    """The tapes whose blocks this thread is in, innermost last."""

    def __init__(self) -> None:
        self.tapes: list[GradientTape] = []


active = Active()


class GradientTape:
    """Record what is computed in the block, and give gradients of it.

    persistent  whether gradients can be asked for more than once
    watch_accessed_variables  whether parameters (tensors that require a gradient) count as watched;
                otherwise only what `watch` was called with

    >>> x = tensor(3.0)
    >>> with GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> tape.gradient(y, x)
    tensor(6.)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._variables = watch_accessed_variables
        self._watched: list[Tensor] = []
        self._turned: list[Tensor] = []
        self._level: Level | None = None
        self._around = contextlib.ExitStack()
        self._shared = False
        self._used = False

    # the block

    def __enter__(self) -> GradientTape:
        if self in active.tapes:
            raise GradientError("GradientTape", "the tape is recording already")
        self._level = current_level()
        self._shared = bool(active.tapes)
        for other in active.tapes:
            other._shared = True
        active.tapes.append(self)
        self._around.enter_context(taping(self._level))
        self._used = False
        return self

    def __exit__(self, *_: object) -> None:
        self._around.close()
        active.tapes.remove(self)
        self._release()

    def _release(self) -> None:
        for x in self._turned:
            x.tracked = False
        self._turned.clear()

    def watch(self, tensor: Any) -> None:
        """Count a tensor (or the tensors of a tree) among those to differentiate by."""
        for x in trees.leaves_of(tensor):
            if not isinstance(x, Tensor) or x.array.dtype.kind not in "fcV":
                raise DTypeError(
                    "GradientTape.watch",
                    f"a {x.dtype.name if isinstance(x, Tensor) else type(x).__name__} value has no "
                    "gradient",
                    hint="a floating tensor: twofold.tensor(3.0)",
                )
            if self._level is not None and not self._level.owns(x):
                raise GradientError(
                    "GradientTape.watch",
                    f"the tensor comes from outside of the {self._level.name} around the tape",
                    hint=f"give it to the function as an argument that {self._level.name} maps",
                    tensor=type_of(x),
                )
            self._watched.append(x)
            if not current(x).tracked:
                x.tracked = True
                self._turned.append(x)

    @contextlib.contextmanager
    def stop_recording(self) -> Iterator[None]:
        """In the block, nothing is recorded."""
        if self not in active.tapes:
            raise GradientError("GradientTape.stop_recording", "the tape is not recording")
        with recording(False):
            yield

    def reset(self) -> None:
        """Watch nothing any more; gradients can be asked for anew."""
        self._release()
        self._watched.clear()
        self._used = False

    def watched_variables(self) -> tuple[Tensor, ...]:
        """What `watch` was called with."""
        return tuple(self._watched)

    # asking

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: Any = "none",
    ) -> Any:
        """The gradient of the sum of all elements of `target` by each of the sources.

        target, sources and output_gradients (weights of the target's elements) are tensors or trees
        of them; the result is nested as the sources are. A source that the target does not depend
        on gives None, or zeros with unconnected_gradients="zero".
        """
        zeros = _unconnected("GradientTape.gradient", unconnected_gradients)
        outs, xs = trees.leaves_of(target), trees.leaves_of(sources)
        _check("target", outs)
        _check("sources", xs)
        weights = _weights(outs, output_gradients)
        with self._asking("GradientTape.gradient", outs, xs) as back:
            found = back.find(weights)
        return self._like(sources, xs, found, zeros)

    def jacobian(
        self,
        target: Tensor,
        sources: Any,
        unconnected_gradients: Any = "none",
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """The Jacobian [*target, *source] for each of the sources, all rows at once.

        parallel_iterations: at most so many rows at once. experimental_use_pfor=False: one by one.
        """
        zeros = _unconnected("GradientTape.jacobian", unconnected_gradients)
        xs = trees.leaves_of(sources)
        _check("target", [target])
        _check("sources", xs)
        shape = tuple(target.array.shape)
        with self._asking("GradientTape.jacobian", [target], xs) as back:
            (rows,) = identity_rows([target])
            found = _rows(back, rows, parallel_iterations, experimental_use_pfor)
        whole = [
            None if g is None else reshape(g, (*shape, *x.array.shape))
            for g, x in zip(found, xs, strict=True)
        ]
        if zeros:
            whole = [
                zeros_of((*shape, *x.array.shape), x.array.dtype) if g is None else g
                for g, x in zip(whole, xs, strict=True)
            ]
        return self._like(sources, xs, whole, False)

    def batch_jacobian(
        self,
        target: Tensor,
        source: Tensor,
        unconnected_gradients: Any = "none",
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Tensor | None:
        """[n, *target, *source] where row i of target [n, ...] depends on row i of source alone."""
        zeros = _unconnected("GradientTape.batch_jacobian", unconnected_gradients)
        _check("target", [target])
        _check("source", [source])
        count, *inner = target.array.shape or (0,)
        if not target.array.ndim or tuple(source.array.shape[:1]) != (count,):
            raise ShapeError(
                "GradientTape.batch_jacobian",
                "target and source do not have the same first size",
                target=type_of(target),
                source=type_of(source),
            )
        size = target.array.size // max(count, 1)
        rows = reshape(wrap(made(EYE, (size, size, target.dtype))), (size, 1, *inner))
        rows = expand(rows, (size, count, *inner))
        with self._asking("GradientTape.batch_jacobian", [target], [source]) as back:
            (found,) = _rows(back, rows, parallel_iterations, experimental_use_pfor)
        rest = tuple(source.array.shape[1:])
        if found is None:
            return zeros_of((count, *inner, *rest), source.array.dtype) if zeros else None
        order = (1, 0, *range(2, 2 + len(rest)))
        return reshape(found.permute(order), (count, *inner, *rest))  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def _asking(self, op: str, outs: list[Tensor], xs: list[Tensor]) -> Iterator[Back]:
        """The way back, while what the tape watches is tracked."""
        if self._used and not self._persistent:
            raise GradientError(
                op,
                "the tape has given its gradients",
                hint="GradientTape(persistent=True) to ask more than once",
            )
        self._used = True
        others = [t for t in active.tapes if t is not self or self._persistent]
        graph = bool(others) or nested.depth > (self in active.tapes)
        turned = [x for x in self._watched if not x.tracked]
        for x in turned:
            x.tracked = True
        retain = self._persistent or self._shared
        try:
            targets = tuple(xs)
            yield Back(self._level, list(outs), targets, graph, retain)
        finally:
            for x in turned:
                x.tracked = False

    def _like(self, sources: Any, xs: list[Tensor], found: list[Any], zeros: bool) -> Any:
        watched = {id(x) for x in self._watched}
        counted = [
            g if self._variables or id(x) in watched else None
            for x, g in zip(xs, found, strict=True)
        ]
        filled = [
            zeros_for(x) if g is None and zeros else g for x, g in zip(xs, counted, strict=True)
        ]
        return trees.unflatten(filled, trees.flatten(sources)[1])


def _rows(back: Back, rows: Tensor, chunk: int | None, together: bool) -> list[Tensor | None]:
    """The walks from each row of cotangents, stacked; None for a target that none of them meets."""
    connected: list[bool] = []

    def walk(g: Tensor) -> tuple[Tensor, ...]:
        found = back.find([g])
        connected[:] = [x is not None for x in found]
        return tuple(x for x in found if x is not None)

    back.retain = True
    if together:
        some = vmap(walk, chunk_size=chunk)(rows)
    else:
        each = [walk(row) for row in unbind(rows)]
        some = tuple(map(stack, zip(*each, strict=True)))
    parts = iter(some)
    return [next(parts) if there else None for there in connected]


def _unconnected(op: str, value: Any) -> bool:
    key = getattr(value, "value", value)
    if key not in UNCONNECTED:
        raise ArgumentError(op, f"unconnected_gradients={value!r}", hint="'none' or 'zero'")
    return UNCONNECTED[key]


def _check(name: str, leaves: list[Any]) -> None:
    for x in leaves:
        if not isinstance(x, Tensor):
            raise DTypeError("GradientTape", f"{name} holds a {type(x).__name__}, not a tensor")


def _weights(outs: list[Tensor], given: Any) -> list[Any]:
    """The weights of the targets' elements: as given, or ones."""
    leaves = [None] * len(outs) if given is None else trees.leaves_of(given)
    if len(leaves) != len(outs):
        raise ArgumentError(
            "GradientTape.gradient",
            f"{len(outs)} targets and {len(leaves)} output_gradients",
            hint="one for each, or None",
        )
    for out, g in zip(outs, leaves, strict=True):
        if g is not None and tuple(g.array.shape) != tuple(out.array.shape):
            raise ShapeError(
                "GradientTape.gradient",
                "an output gradient does not have its target's shape",
                target=type_of(out),
                output_gradient=type_of(g),
            )
    with recording(False):
        return [
            (ones_like(wrap(out.array)) if out.array.dtype.kind in "fcV" else None)
            if g is None
            else g
            for out, g in zip(outs, leaves, strict=True)
        ]
