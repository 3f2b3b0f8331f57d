"""What a capture has found and left behind so far. Floor 9. See frontends/capture.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from twofold.base.symbols import Table
from twofold.frontends import asked as asking
from twofold.frontends.arrays import CaptureError, Ranges, Storage, Unknown, is_unknown
from twofold.frontends.leaf_grads import LeafGrads
from twofold.frontends.noted import Attribute, Check, Decided, Host, Source
from twofold.frontends.places import Place
from twofold.frontends.unread import Unread
from twofold.ir.graph import Call, Input, Value
from twofold.ops.tensor import Tensor


class Captured(LeafGrads):
    """What one run of a function left behind.

    outer   for a branch or the body of a loop, the capture around it: what it finds there becomes
            an input of its graph (`found`)
    """

    def __init__(self, name: str, outer: Any = None) -> None:
        super().__init__(outer)
        self.name = name
        self.outer = outer
        self.table: Table = Table() if outer is None else outer.table
        self.calls: list[Call] = []
        # errors of this capture, which the user's code may have caught (frontends/swallowed.py)
        self.raised: list[BaseException] = [] if outer is None else outer.raised
        self.symbols: list[tuple[Any, int | None]] = []  # leaf and axis, or a leaf that is a number
        self.inputs: list[Input] = []
        self.sources: list[Source] = []
        self.hosts: list[Host] = []
        self.checks: list[Check] = []
        self.tensors: dict[int, Tensor] = {}  # real tensors that were used, by id
        self.by_array: dict[int, Tensor] = {}  # the first of them around each array, by its id
        # what was made on the memory of real tensors, with those, by its id (exchanged.py)
        self.aliases: dict[int, tuple[Tensor, Tensor]] = {} if outer is None else outer.aliases
        self.in_order: list[Any] = []  # inputs that must lie in order (frontends/exchanged.py)
        self.themselves: frozenset[int] = frozenset()  # leaves of the arguments given as they are
        self.storages: dict[int, Storage] = {}  # real arrays that were used, by id
        self.lifted = Ranges()  # where these lie
        self.numbers: dict[Any, Unknown] = {}
        self.given: list[Storage] = []  # the inputs' memory
        self.modules: dict[int, tuple[Any, bool]] = {}  # modules that ran, in training or not
        self.assigned: list[Attribute] = []  # what modules were given, once the run is over
        self.held: dict[int, dict[str, Any]] = {}  # what modules held when they first ran
        # Streams of random numbers whose draws a run counts: their states so far, by their keys;
        # and where they are found, as a list of the generator at each run.
        self.streams: dict[int, Tensor] = {}
        self.found_streams: dict[int, list[Any]] = {}
        self.first_streams: dict[int, Tensor] = {}  # the states that they begin with
        self.plain = 0  # bodies that are captured without a history, as they write outside
        self.kept: dict[int, Storage] = {}  # of outer memory that is written here: what stands here
        self.alive: list[Any] = []  # tensors by whose ids something is found
        self.written: list[tuple[Storage, Value]] = []  # while probing, and what was there
        self.histories: list[tuple[Tensor, Any]] = []  # while probing: tensors given a history
        self.inside = False  # whether Python runs at turns: what follows it runs after it, too
        self.given_inside: list[Unknown | None] = []  # what Python gives at each turn
        self.noted: list[list[Any]] = []  # the blocks that keep what is drawn (frontends/draws.py)
        self.repeated: list[Any] = []  # what is drawn instead of fresh numbers
        # What must be known before a run (frontends/asked.py): by value, and what it is now.
        self.asked: list[asking.Asked] = []
        self.asked_for: dict[Value, Any] = {}
        self.asked_now: dict[Value, Any] = {}
        self.found_now: Callable[[Source], Any] | None = None  # an argument's array in this call
        self.unread = Unread() if outer is None else outer.unread
        self.on_asking: Callable[..., None] = lambda frame=None: None
        # What other captures of the function have found out about its lines.
        self.decided = Decided() if outer is None else outer.decided
        self.counting = False  # whether that is done now
        # What tells of an error whether its line can be rewritten.
        self.mendable: Callable[[BaseException], bool] = lambda error: True
        self.fixed: list[Place] = []  # tensors whose values the program is made for
        # What else must hold, also for what a body or a branch does.
        self.conditions: list[Callable[[], bool]] = [] if outer is None else outer.conditions
        # Optimizers that a compiled function makes for itself; whether it keeps them, instead. None
        # where no function is captured.
        self.optimizers: list[Callable[[], Any]] = []
        self.keeps: bool | None = None if outer is None else outer.keeps
        # Options of groups, for which the program is made.
        self.options: list[tuple[Any, str, Any]] = [] if outer is None else outer.options
        # Options of groups that Python read, by the group's id and name (optim/optimizer.py).
        self.options_read: set[tuple[int, str]] = set() if outer is None else outer.options_read
        self.late: set[int] = set()  # groups whose rates a measure of the run sets, by id
        self.keeps_streams = True  # whether they are given back after each run
        self.watched: set[int] = set()  # dicts whose changes frontends/world.py looks at
        # What places outside hold now, to see changes (frontends/world.py).
        self.state: Callable[[], list[Any]] = list if outer is None else outer.state
        # what bodies and what is asked for go through, as the whole does; None for the usual passes
        self.passes: Any = None if outer is None else outer.passes
        self.catches = False  # whether the function may catch an error
        self.outside: dict[int, Tensor] = {}  # tensors that lie outside, by the ids of their arrays
        self.set_inside: Callable[[Any, Any], bool] = lambda holder, key: False
        self.now: list[Any] | None = None  # the symbols' values in the run that begins
        self.tape: Any = None  # of a branch or a body, once its gradient is asked for
        # Whether a jvp may go through its calls: then `detach` is one of them.
        self.slopes: bool = outer is not None and outer.slopes
        self.probing = False  # what is done now is thrown away
        # whether loops over sizes are unrolled, for the sizes of this call
        self.unrolls: bool = outer is not None and outer.unrolls
        self.path: list[str] = []  # names of the modules that run, the outermost first
        self.stack: list[Any] = []  # these modules

    def refuse_once(self, what: str) -> NoReturn:
        """Raise CaptureError for what is done in one call alone, which Python runs."""
        error = CaptureError("compile", what, hint="call it once before")
        error.once = True  # type: ignore[attr-defined]
        raise error

    def asks_layout(self, array: Any) -> None:
        """The user's code asks how an array lies in memory: the program is made for that."""
        if is_unknown(array):
            array.storage.asked = True


def met(capture: Any) -> set[int]:
    """The real tensors that were used, or whose gradients were looked at, by ids."""
    real = {key for key, grad in capture.grads.items() if not is_unknown(grad.leaf.array)}
    return real.union(capture.tensors)
