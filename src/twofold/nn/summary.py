"""A module as a table: layers, output shapes, parameters. Floor 10.

>>> print(summary(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), twofold.ones(2, 4)))
Sequential           [2, 3]
  0  Linear(4 -> 3)  [2, 3]   15
  1  ReLU            [2, 3]
15 parameters, 15 trained, 60 bytes
"""

from __future__ import annotations

from typing import Any, final

from twofold.base.records import NamedTuple
from twofold.nn.module import Module
from twofold.ops.bind import recording
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor


class Row(NamedTuple):
    """A module: its depth below the whole, name, class, output shapes, and own parameters."""

    depth: int
    name: str
    kind: str
    shapes: str
    parameters: int
    trained: int


@final
class Summary:
    """The rows of a module's tree, and the totals; prints as a table."""

    def __init__(self, rows: list[Row], parameters: int, trained: int, nbytes: int) -> None:
        self.rows = rows
        self.parameters = parameters
        self.trained = trained
        self.nbytes = nbytes

    def __str__(self) -> str:
        cells = [_cells(row) for row in self.rows]
        widths = [max((len(line[i]) for line in cells), default=0) for i in range(3)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in cells
        ]
        total = f"{self.parameters:,} parameters, {self.trained:,} trained, {_size(self.nbytes)}"
        return "\n".join([*lines, total])

    __repr__ = __str__


def _cells(row: Row) -> tuple[str, str, str]:
    label = f"{'  ' * row.depth}{row.name}  {row.kind}" if row.name else row.kind
    frozen = row.parameters and not row.trained
    return (
        label,
        row.shapes,
        f"{row.parameters:,}{' frozen' if frozen else ''}" * bool(row.parameters),
    )


def _size(nbytes: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.1f} {name}"
    return f"{nbytes} bytes"


def summary(module: Module, *inputs: Any, **options: Any) -> Summary:
    """The layers of a module with their own parameters; with inputs, the shapes of their outputs
    too.

    The inputs are run through the module once, in evaluation mode and without gradients.
    """
    shapes = _shapes(module, inputs, options) if inputs or options else {}
    rows = []
    for path, part in module.named_modules(remove_duplicate=False):
        depth = path.count(".") + 1 if path else 0
        own = [p for p in part._parameters.values() if p is not None]
        counts = (sum(p.array.size for p in own), sum(p.array.size for p in own if p.tracked))
        name = path.rpartition(".")[2]
        rows.append(Row(depth, name, _kind(part), shapes.get(id(part), ""), *counts))
    every = list(module.parameters())
    trained = sum(p.array.size for p in every if p.tracked)
    held: list[Any] = [*every, *module.buffers()]
    nbytes = sum(x.nbytes for x in held)
    return Summary(rows, sum(p.array.size for p in every), trained, nbytes)


SIZES: tuple[tuple[str, str], ...] = (
    ("in_features", "out_features"),
    ("in_channels", "out_channels"),
)
SIZES += (("input_size", "hidden_size"), ("num_embeddings", "embedding_dim"))


def _kind(module: Module) -> str:
    """The class, with sizes where a layer goes from one to another."""
    name = type(module).__name__
    for first, second in SIZES:
        if hasattr(module, first) and hasattr(module, second):
            return f"{name}({getattr(module, first)} -> {getattr(module, second)})"
    return name


def _shapes(module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> dict[int, str]:
    """The output shapes of each module that is called, by its id."""
    found: dict[int, str] = {}

    def look(part: Module, args: Any, result: Any) -> None:
        found[id(part)] = ", ".join(str(list(x.array.shape)) for x in _tensors(result))

    modes = [(part, part.training) for part in module.modules()]
    handles = [part.register_forward_hook(look) for part in module.modules()]
    try:
        with recording(False):
            module.eval()(*inputs, **options)
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes:
            part.training = training
    return found


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    several = isinstance(value, tuple | list | dict)
    return [x for part in parts for x in _tensors(part)] if several else []


guard(globals())
