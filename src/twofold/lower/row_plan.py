"""Plans for row programs: which task, which strides, which inputs to copy. Floor 6."""

from collections.abc import Mapping, Sequence
from math import prod

from twofold.base.records import NamedTuple
from twofold.lower.layout import group_axes
from twofold.lower.order import WIDTH
from twofold.lower.row_kernels import ABREAST, NARROW, load_rows
from twofold.lower.rows import Reduce, RowProgram
from twofold.lower.schedule import Arg, In, Out, Plan, Step, Word, chunks_for, float_word
from twofold.lower.task import arrange


def row_axes(attrs: Mapping[str, object], ndim: int) -> tuple[int, ...]:
    """The axes that make up a row: the attribute `dim`, or the last `rank` axes."""
    if "rank" in attrs:
        return tuple(range(ndim - int(str(attrs["rank"])), ndim))
    dim = attrs["dim"]
    axes = (dim,) if isinstance(dim, int) else tuple(dim)  # type: ignore[arg-type]
    return tuple(sorted(axis % max(ndim, 1) for axis in axes))


def split_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, int, int]:
    """(outer, n, inner) around neighbouring axes."""
    first, last = (axes[0], axes[-1]) if axes else (len(shape), len(shape) - 1)
    if list(axes) != list(range(first, last + 1)):
        raise ValueError(f"the axes {tuple(axes)} of a row are not neighbours")
    return prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :])


def row_stride(arg: Arg, axes: Sequence[int]) -> int | None:
    """The stride from row to row if the rows are contiguous and evenly spaced, else None."""
    if arg.size == 0:
        return 0
    groups = group_axes(arg.shape, arg.strides, axes)
    kept = [group for group in groups if not group.reduced]
    rows = [group for group in groups if group.reduced]
    if len(kept) > 1 or len(rows) > 1 or (rows and rows[0].stride != 1):
        return None
    return kept[0].stride if kept else 0


class Sizes(NamedTuple):
    """`outer` rows of `n` elements, or `outer * inner` rows that are strided by `inner`."""

    outer: int
    n: int
    inner: int = 1
    period: int = 1


def row_step(
    program: RowProgram,
    sizes: Sizes,
    places: Mapping[str, Word],
    threads: int,
    numbers: Mapping[str, float] | None = None,
    strides: Mapping[str, int] | None = None,
) -> list[Step]:
    """The step (none if there is no row) of a program whose inputs and outputs lie at `places`.

    `strides` are from row to row, for inputs that are not contiguous.
    """
    rows = sizes.outer * sizes.inner
    if rows == 0:
        return []
    words: dict[str, Word] = {"outer": sizes.outer, "n": sizes.n, "inner": sizes.inner, **places}
    if program.cyclic:
        words["period"] = sizes.period
    values = row_words(program, words, numbers or {}, strides or {})
    kind, units = _choose(program, sizes)
    chunks = min(units, chunks_for(rows * sizes.n, threads))
    return [Step(load_rows(program, kind), arrange(program.words(), values), chunks)]


def row_words(
    program: RowProgram,
    words: Mapping[str, Word],
    numbers: Mapping[str, float],
    strides: Mapping[str, int],
) -> dict[str, Word]:
    """All job words of a program, from sizes and places; rows follow each other without gaps
    where `strides` does not say otherwise.
    """
    values = dict(words)
    for name in program.rows:
        values[f"{name}_row"] = strides.get(name, words["n"])
    for name, number in numbers.items():
        values[name] = float_word(number) if program.numbers[name] == "f64" else whole(number)
    return values


def whole(number: float) -> Word:
    """A number as a word: whole ones may be traced."""
    return int(number) if isinstance(number, float) else number


def _choose(program: RowProgram, sizes: Sizes) -> tuple[str, int]:
    """The task that fits, and into how many parts it can be split."""
    if sizes.inner > 1:
        return "across", sizes.outer * -(-sizes.inner // WIDTH)
    if sizes.n <= NARROW and sizes.outer >= WIDTH and not program.cyclic:
        return "narrow", -(-sizes.outer // WIDTH)
    sums = sum(len(phase.names) for phase in program.phases if isinstance(phase, Reduce))
    if sizes.n <= ABREAST and sizes.outer > 1 and sums > 1:
        return "abreast", -(-sizes.outer // 2)
    return "along", sizes.outer


def plan_rows(
    program: RowProgram,
    args: Mapping[str, Arg],
    axes: Sequence[int],
    threads: int,
    numbers: Mapping[str, float] | None = None,
) -> Plan:
    """The plan of a program. `args` are its inputs by name, in the order of the operation's."""
    shape = args[next(iter(program.rows))].shape
    sizes = Sizes(*split_shape(shape, axes))
    strides: dict[str, int] = {}
    copies: list[int] = []
    for place, (name, arg) in enumerate(args.items()):
        stride = row_stride(arg, axes) if sizes.inner == 1 and name in program.rows else None
        if stride is not None:
            strides[name] = stride
        elif not arg.contiguous:
            copies.append(place)
    places: dict[str, Word] = {name: In(place) for place, name in enumerate(args)}
    places |= {name: Out(i) for i, name in enumerate((*program.outs, *program.saves))}
    steps = row_step(program, sizes, places, threads, numbers, strides)
    return Plan(tuple(steps), contiguous=tuple(copies))
