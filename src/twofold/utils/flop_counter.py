"""How many floating-point operations a block takes, as torch.utils.flop_counter counts. Floor 13.

Products, convolutions and attention are counted, a multiplication and an addition as two; what goes
element by element is not. Operations are seen by an interpreter, those of gradients too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, final

from twofold.nn.module import Module
from twofold.ops.bind import bind, interpreter, mode
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor

__all__ = ["FlopCounterMode"]

Shapes = Sequence[tuple[int, ...]]


def _product(shapes: Shapes, out: tuple[int, ...]) -> int:
    return 2 * math.prod(out) * shapes[0][-1]


def _convolution(shapes: Shapes, out: tuple[int, ...]) -> int:
    return 2 * math.prod(out) * math.prod(shapes[1][1:])


def _input_gradient(shapes: Shapes, out: tuple[int, ...]) -> int:
    return 2 * math.prod(shapes[0]) * math.prod(shapes[1][1:])


def _weight_gradient(shapes: Shapes, out: tuple[int, ...]) -> int:
    return 2 * math.prod(shapes[1]) * math.prod(out[1:])


def _attention(shapes: Shapes, out: tuple[int, ...]) -> int:
    queries, keys = shapes[0], shapes[1]
    return 2 * math.prod(queries[:-1]) * keys[-2] * (queries[-1] + out[-1])


def _attention_gradient(shapes: Shapes, out: tuple[int, ...]) -> int:
    queries, keys, values = shapes[1], shapes[2], shapes[3]
    return 2 * math.prod(queries[:-1]) * keys[-2] * (3 * queries[-1] + 2 * values[-1])


def _sequence(shapes: Shapes, out: tuple[int, ...]) -> int:
    """The products of the state at all steps: f[T, N, 4 H] (or 3 H), weight f[4 H, H]."""
    return 2 * math.prod(shapes[0]) * shapes[1][-1]


COUNTS: dict[str, Callable[[Shapes, tuple[int, ...]], int]] = {
    "matmul": _product,
    "linear": _product,
    "conv": _convolution,
    "conv_input_grad": _input_gradient,
    "conv_weight_grad": _weight_gradient,
    "attention": _attention,
    "attention_backward": _attention_gradient,
    "lstm_sequence": _sequence,
    "gru_sequence": _sequence,
}


@final
class FlopCounterMode:
    """Count what a block takes in this thread.

    mods    a module, or several: what they take is told by their names, too ("Net.fc")
    depth   how many levels of modules the table shows
    display print the table when the block ends

    >>> with FlopCounterMode(display=False) as counter:
    ...     net(x).sum().backward()
    >>> counter.get_total_flops()
    """

    def __init__(
        self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: Any = None
    ) -> None:
        self.modules = [mods] if isinstance(mods, Module) else list(mods or ())
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.within = ["Global"]
        self.hooks: list[Any] = []

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        for top in self.modules:
            for path, module in top.named_modules():
                name = ".".join(filter(None, (type(top).__name__, path)))
                self.hooks += self.watched(module, name)
        self.below = mode.interpreter
        self.block = interpreter(self)
        self.block.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.block.__exit__(None, None, None)
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.within = [], ["Global"]
        if self.display:
            print(self.get_table())

    def watched(self, module: Module, name: str) -> list[Any]:
        def enter(*_: Any) -> None:
            self.within.append(name)

        def leave(*_: Any) -> None:
            self.within.pop()

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        """The interpreter: the operation as below, and its count."""
        with interpreter(self.below):
            made = bind(op, inputs, attrs)
        count = COUNTS.get(op.name)
        if count is not None:
            first = made[0] if isinstance(made, tuple) else made
            number = count([x.array.shape for x in inputs], first.array.shape)
            for name in dict.fromkeys(self.within):
                self.flop_counts[name][op.name] += number
        return made

    def get_total_flops(self) -> int:
        """All that was counted."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """By module ("Global" is all of it), then by operation."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """A line for each module down to `depth`, with its part of the whole."""
        deepest = self.depth if depth is None else depth
        total = self.get_total_flops()
        rows = [("module", "flops", "% of all")]
        for name, counts in self.flop_counts.items():
            if name.count(".") < deepest:
                number = sum(counts.values())
                rows.append((name, f"{number:,}", f"{100 * number / max(total, 1):.2f}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        return "\n".join(line.rstrip() for line in lines)
