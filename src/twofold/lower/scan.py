"""Running results along an axis: cumsum, cumprod, cummax, cummin, logcumsumexp, and recurrences.
Floor 6.

Each is one ascending chain: y[0] = x[0], y[i] = y[i-1] + x[i]. Nothing else is possible without
other bits, so the speed comes from the rows: where the axis is strided, vectors lie across eight
chains; where it is contiguous, several rows are walked side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import Code, load
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.logarithm import log1p
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector, with_element
from twofold.ir.values import Value
from twofold.lower.order import WIDTH
from twofold.lower.row_plan import split_shape
from twofold.lower.schedule import Arg, In, Out, Plan, Step, chunks_for, schedule
from twofold.lower.task import Task

WORDS = "outer n inner x:ptr y:ptr places:ptr factors:ptr"
ABREAST = 4  # contiguous rows that are walked side by side

# (f, so far, new, place or factor) -> so far; `so far` and the result hold one value, or a value
# and a place
State = Sequence[Value]
Chain = Callable[[Function, State, Value, Value], State]


class Scan(NamedTuple):
    """A chain over an element type; with `places` a second output says where the value stood, with
    `factors` a second input goes along.
    """

    name: str
    element: str
    chain: Chain
    places: bool = False
    factors: bool = False


# ---- chains --------------------------------------------------------------------------------------


def _sum(f: Function, state: State, x: Value, place: Value) -> State:
    return (state[0] + x,)


def _product(f: Function, state: State, x: Value, place: Value) -> State:
    return (state[0] * x,)


def _recurrence(f: Function, state: State, x: Value, factor: Value) -> State:
    return (x + factor * state[0],)


def _extreme(
    f: Function, state: State, x: Value, place: Value, float_test: str, whole_test: str
) -> State:
    """The last of equal extremes; the last NaN once there is one."""
    best, at = state
    if TYPES[x.type].is_float:
        # x is taken if it is not worse, or if it is NaN; a NaN gives way to NaN alone
        take = x.cmp("uno", x) | x.cmp(float_test, best)
    else:
        take = x.cmp(whole_test, best)
    return take.select(x, best), take.select(place, at)


def _log_add(f: Function, state: State, x: Value, place: Value) -> State:
    """log(exp(a) + exp(b)) = larger + log1p(exp(smaller - larger)); equal infinities stay."""
    so_far = state[0]
    swap = x.cmp("ogt", so_far)
    larger, smaller = swap.select(x, so_far), swap.select(so_far, x)
    same = larger.cmp("oeq", smaller) & f.abs(larger).cmp("oeq", float("inf"))
    total = larger + log1p(f, exp(f, smaller - larger))
    total = same.select(larger, total)
    # larger and smaller lose a NaN on one side: give it back
    return (x.cmp("uno", so_far).select(x + so_far, total),)


@cache
def scan_for(name: str, dtype: DType) -> Scan:
    """The chain of an operation over an element type."""
    kind = dtype.loops
    sign = "s" if dtype.is_signed else "u"
    if name == "cummax":
        test = partial(_extreme, float_test="oge", whole_test=f"{sign}ge")
        return Scan(f"{name}/{dtype.name}", kind, test, places=True)
    if name == "cummin":
        test = partial(_extreme, float_test="ole", whole_test=f"{sign}le")
        return Scan(f"{name}/{dtype.name}", kind, test, places=True)
    if name == "recurrence":
        return Scan(f"{name}/{dtype.name}", kind, _recurrence, factors=True)
    chains = {"cumsum": _sum, "cumprod": _product, "logcumsumexp": _log_add}
    return Scan(f"{name}/{dtype.name}", kind, chains[name])


# ---- kernels -------------------------------------------------------------------------------------


def build_scan(scan: Scan) -> Module:
    m = Module(scan.name)
    define_along(m, scan)
    define_across(m, scan)
    return m


def load_scan(scan: Scan) -> Code:
    return load(f"scan/{scan.name}", partial(build_scan, scan))


def define_along(m: Module, scan: Scan) -> None:
    """Task `along`: contiguous rows, ABREAST at a time, then one by one."""
    task = Task(m, "along", WORDS)
    f = task.f
    lo, hi = task.share(task.outer)
    whole = lo + ((hi - lo) & -ABREAST)
    for first, last, count in ((lo, whole, ABREAST), (whole, hi, 1)):
        with f.loop(first, last, count) as row:
            starts = [(row + r) * task.n for r in range(count)]
            _walk(task, scan, starts, f.const("i64", 1), 1)
    f.ret()


def define_across(m: Module, scan: Scan) -> None:
    """Task `across`: (outer, n, inner), eight columns at a time, then one by one."""
    task = Task(m, "across", WORDS)
    f = task.f
    groups = (task.inner + (WIDTH - 1)) // WIDTH
    lo, hi = task.share(task.outer * groups)
    with f.loop(lo, hi) as unit:
        column = (unit % groups) * WIDTH
        start = (unit // groups) * task.n * task.inner + column
        left = task.inner - column
        with f.if_(left.cmp("sge", WIDTH)) as branch:
            _walk(task, scan, [start], task.inner, WIDTH)
            branch.otherwise()
            with f.loop(0, left) as j:
                _walk(task, scan, [start + j], task.inner, 1)
    f.ret()


def _walk(task: Task, scan: Scan, starts: Sequence[Value], step: Value, width: int) -> None:
    """Chains from each of the starts, `width` neighbours each; the extent is not 0."""
    f = task.f
    kind = vector(scan.element, width) if width > 1 else scan.element
    place_kind = with_element(kind, "i64")
    types = (kind, place_kind) if scan.places else (kind,)
    chains = []
    for start in starts:
        first = task.x.at(start, scan.element).load(kind)
        init = (first, f.const(place_kind, 0))[: len(types)]
        chains.append([f.var(t, value) for t, value in zip(types, init, strict=True)])
        _write(task, scan, start, init)
    with f.loop(1, task.n) as i:
        place = i.splat(width) if width > 1 else i
        for start, chain in zip(starts, chains, strict=True):
            at = start + i * step
            x = task.x.at(at, scan.element).load(kind)
            if scan.factors:
                place = task.factors.at(at, scan.element).load(kind)
            new = scan.chain(f, [var.get() for var in chain], x, place)
            for var, value in zip(chain, new, strict=True):
                var.set(value)
            _write(task, scan, at, new)


def _write(task: Task, scan: Scan, at: Value, state: State) -> None:
    task.y.at(at, scan.element).store(state[0])
    if scan.places:
        task.places.at(at, "i64").store(state[1])


# ---- planners ------------------------------------------------------------------------------------


def _plan(
    name: str, args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """Input x, or x and factors; attr dim; output y, or y and the places (i64). Not for bool,
    float16, bfloat16.
    """
    arg = args[0]
    if arg.dtype.kind == "b" or (arg.dtype.is_floating_point and arg.dtype.itemsize < 4):
        return None
    if arg.size == 0:
        return Plan(())
    dims = (attrs["dim"] % len(arg.shape),) if arg.shape else ()
    outer, n, inner = split_shape(arg.shape, dims)
    scan = scan_for(name, arg.dtype)
    places = Out(1) if scan.places else 0
    kind, units = ("along", outer) if inner == 1 else ("across", outer * -(-inner // WIDTH))
    factors = In(1) if scan.factors else 0
    job = (outer, n, inner, In(0), Out(0), places, factors)
    chunks = min(units, chunks_for(arg.size, threads))
    step = Step(load_scan(scan).address(kind), job, chunks)
    scattered = tuple(i for i, a in enumerate(args) if not a.contiguous)
    return Plan((step,), contiguous=scattered)


for _name in ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "recurrence"):
    schedule(_name)(partial(_plan, _name))
