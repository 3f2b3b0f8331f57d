"""What a capture notes of the function that it runs, as records. Floor 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.records import NamedTuple
from twofold.frontends.arrays import Storage, note_raised
from twofold.ir.graph import Value
from twofold.ops.tensor import Tensor


class Host(NamedTuple):
    """Python that runs before each run of the program, in the order of the function.

    run     gives the numbers that the program reads, or nothing
    what    a word for the report
    undo    takes it back where the program ended at a check, before it wrote anything
    """

    run: Callable[[], Any]
    what: str
    undo: Callable[[], None] = lambda: None


class Source(NamedTuple):
    """Where an input of the program is found at each call.

    kind    "argument": leaf `key` of the arguments; "state": the tensor `key`, or the array itself;
            "grad": the gradient of the tensor `key`, or of that leaf of the arguments;
            "attribute": `key` = (module, name);
            "host": `key` = (host, place, dtype); "number": `key` = (expression, dtype);
            "asked": the places on axis `key` that a mask picks
    """

    kind: str
    key: Any


class Check(NamedTuple):
    """An index that is compared with its range when the program runs.

    bad    whether it was outside of [low, high), and not `skip`
    error  what is raised then, for an index
    line   the user's
    """

    bad: Value
    index: Value  # type: ignore[assignment]
    low: Any
    high: Any
    skip: Any
    error: Callable[[Any], Exception]
    line: str


class Stream(NamedTuple):
    """A stream of random numbers from which a branch or a body draws.

    key        tells it from others
    generator  whose it is; None for the one that is current at each run
    """

    key: int
    generator: Any


class Kept(NamedTuple):
    """Memory of the graph around that a branch or a body writes: it is carried."""

    storage: Storage


class NeedsKept(BaseException):
    """A branch or a body writes memory of a graph around it (`owner`) that it was not given."""

    def __init__(self, kept: Kept, owner: Any) -> None:
        super().__init__(kept)
        self.kept = kept
        self.owner = owner


class Decided:
    """What captures of a function have found out about its lines, for the next one: of loops and
    choices, as (file, line).

    as_while     loops that values end
    with_places  and those with state in attributes
    as_scan      loops whose turns are counted before each run, by the line's text
    sets_first   loops that give names a first value
    left         and that do not carry them so far
    by_asking    choices that are made before a run
    peeled       loops whose first and last turns are taken by themselves, with how many those are
    some         loops of those items of which a test is true
    edges        how many have answers of their own, by loop (frontends/edges.py)
    """

    def __init__(self) -> None:
        self.as_while: set[tuple[str, int]] = set()
        self.with_places: set[tuple[str, int]] = set()
        self.as_scan: set[str] = set()
        self.sets_first: set[tuple[str, int]] = set()
        self.left: set[tuple[str, int]] = set()
        self.by_asking: set[tuple[str, int]] = set()
        self.peeled: set[tuple[tuple[str, int], int, int]] = set()
        self.some: set[tuple[str, int]] = set()
        self.edges: dict[tuple[str, int], tuple[int, int]] = {}

    def ends_of(self, place: tuple[str, int]) -> tuple[int, int]:
        """How many turns at a loop's beginning and end are taken by themselves."""
        found = [(first, last) for where, first, last in self.peeled if where == place]
        return max([f for f, _ in found], default=0), max([l for _, l in found], default=0)


class Again(BaseException):
    """The function must be captured anew, with a place noted in a set of `Decided`."""

    def __init__(self, into: str, place: Any) -> None:
        super().__init__(into, place)
        note_raised(self)
        self.into = into
        self.place = place


class NeedsPlain(BaseException):
    """A branch or a body writes a value into a tensor from outside: it can have no history."""


class NeedsStream(BaseException):
    """A branch or a body draws from a stream that it was not given the state of."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.stream = stream


class Grad(NamedTuple):
    """What is known of a leaf's gradient.

    before   what it was when the function began
    matters  whether the function looked at that before it was forgotten
    """

    leaf: Tensor
    before: Tensor | None
    matters: bool


class Found(NamedTuple):
    """A tensor from outside of a branch or a body, what stands for it there, and its value."""

    tensor: Tensor
    local: Tensor
    value: Value


class Attribute(NamedTuple):
    """A tensor that the function set under a name of a module: a buffer, or a hidden state.

    before  what was there when the module first ran; None where there was nothing
    """

    module: Any
    name: str
    before: Any
    after: Tensor


class Held(NamedTuple):
    """A leaf with the gradient that it has when a function begins."""

    leaf: Tensor
    grad: Tensor | None
