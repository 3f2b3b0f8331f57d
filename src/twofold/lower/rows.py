"""Row programs: what a row goes through, as data. Floor 6.

A row is what lies along one axis. A program is a list of phases:

    Reduce(names, combines, values, keep)   results over the row, in the order of order.py;
                                            the first of the values may be kept as an output row
    Let(name, value)                        a number for each row, from numbers that are known
    Store(out, value)                       an output row
    Save(out, value)                        a number for each row, as an output

Each expression is a recipe `(f, v) -> Value` where v has, by name: the input rows, the outputs
stored so far, one number for each place of the row (`places`), the numbers of the row, the job's
numbers, `n` and `length` (the row's, as a float and as i64), `index` (the place in the row, i32).

The kernels (row_kernels.py) lay vectors along a row or across eight rows; the bits agree.

    SOFTMAX = RowProgram("softmax", "f32", {"x": "f32"}, outs=("y",), phases=(
        Reduce(("top",), (PEAK,), lambda f, v: (v.x,)),
        Reduce(("total",), (SUM,), lambda f, v: (exp(f, v.x - v.top),), keep="y"),
        Let("scale", lambda f, v: 1.0 / v.total),
        Store("y", lambda f, v: v.y * v.scale),
    ))
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, final

from twofold.base.records import NamedTuple
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.order import Combine


@final
class Names:
    """What a recipe sees: values by name, computed when first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Value]]) -> None:
        self.__dict__["_makers"] = makers

    def __getattr__(self, name: str) -> Value:
        try:
            maker = self.__dict__["_makers"][name]
        except KeyError:
            raise AttributeError(f"the row program has no {name!r} here") from None
        value: Value = maker()
        self.__dict__[name] = value
        return value


One = Callable[[Function, Any], Value]
Several = Callable[[Function, Any], Sequence[Value]]


class Reduce(NamedTuple):
    names: tuple[str, ...]
    combines: tuple[Combine, ...]
    values: Several
    keep: str | None = None


class Let(NamedTuple):
    name: str
    value: One


class Pick(NamedTuple):
    """A number of the row: the element of `source` at a place of the row; 0 if the row is empty."""

    name: str
    source: str
    place: One


class Store(NamedTuple):
    out: str
    value: One


class Save(NamedTuple):
    out: str
    value: One


Phase = Reduce | Let | Pick | Store | Save
NOTHING: Mapping[str, str] = {}


class RowProgram(NamedTuple):
    """A row program. All mappings are name: element type; `lane` is the type it computes in.

    rows     inputs of the rows' shape          places   one number for each place of the row
    each     one number for each row            cyclic   row r has number r mod `period` (channels)
    numbers  of the job: i64, or f64 that become `lane`
    outs     outputs of the rows' shape         saves    outputs of one number for each row
    """

    name: str
    lane: str
    rows: Mapping[str, str]
    phases: tuple[Phase, ...]
    places: Mapping[str, str] = NOTHING
    each: Mapping[str, str] = NOTHING
    cyclic: Mapping[str, str] = NOTHING
    numbers: Mapping[str, str] = NOTHING
    outs: tuple[str, ...] = ()
    saves: tuple[str, ...] = ()

    def words(self) -> str:
        """The job words of both tasks. `x_row` is the stride from row to row, for `along`."""
        pointers = (*self.places, *self.each, *self.cyclic, *self.outs, *self.saves)
        words = ["outer n inner", "period" if self.cyclic else ""]
        words += [f"{name}:ptr {name}_row" for name in self.rows]
        words += [f"{name}:ptr" for name in pointers]
        words += [f"{name}:{kind}" for name, kind in self.numbers.items()]
        return " ".join(words)


class Kernel(Protocol):
    """One of the two ways to write a program down."""

    def reduce(self, phase: Reduce) -> None: ...
    def let(self, phase: Let) -> None: ...
    def pick(self, phase: Pick) -> None: ...
    def store(self, phase: Store) -> None: ...
    def save(self, phase: Save) -> None: ...


WRITE: dict[type, Callable[[Any, Any], None]] = {
    Reduce: lambda kernel, phase: kernel.reduce(phase),
    Let: lambda kernel, phase: kernel.let(phase),
    Pick: lambda kernel, phase: kernel.pick(phase),
    Store: lambda kernel, phase: kernel.store(phase),
    Save: lambda kernel, phase: kernel.save(phase),
}


def run_phases(program: RowProgram, kernel: Kernel) -> None:
    for phase in program.phases:
        WRITE[type(phase)](kernel, phase)
