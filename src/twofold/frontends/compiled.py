"""`twofold.compile`: a function, captured once, then run as one program. Floor 9."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import (
    GradientError,
    TwofoldError,
    in_python,
    only_python,
)
from twofold.base.flags import flags
from twofold.base.guards import Guard
from twofold.base.trees import Form, flatten, unflatten
from twofold.codegen.native import core
from twofold.exec.runner import GuardBroken
from twofold.frontends import exchanged
from twofold.frontends.answers import answer_of
from twofold.frontends.arrays import CaptureError
from twofold.frontends.capture import Capture
from twofold.frontends.captured import met
from twofold.frontends.clocks import Clocks
from twofold.frontends.collected import repeated
from twofold.frontends.comprehensions import install
from twofold.frontends.containers import ChangesByValue
from twofold.frontends.derivative import Derivative
from twofold.frontends.dice import Dice
from twofold.frontends.effects import printing
from twofold.frontends.front import Door, Front, front_of
from twofold.frontends.given import (
    Given,
    Met,
    Themselves,
    check_unchanged,
    is_object,
    owner_of_call,
    plain_key,
    quick_key,
    same_tensors,
    signature_of,
    themselves,
)
from twofold.frontends.given_arrays import GivenArray
from twofold.frontends.given_back import GivenBack
from twofold.frontends.inputs import array_now
from twofold.frontends.left_to_python import Failed, InPython, of_passes
from twofold.frontends.noted import Again, Decided
from twofold.frontends.patterns import Moved, Pattern
from twofold.frontends.peak import Peak
from twofold.frontends.places import Place
from twofold.frontends.program import Program
from twofold.frontends.ran import take_back
from twofold.frontends.rewriting import (
    MOST_TURNS,
    Rewrite,
    Unrolled,
    asks_numpy,
    frames_now,
    frames_of,
    rewrite_of,
    standing,
    unrolls,
)
from twofold.frontends.stand_ins import check_attributes, sizes_in, stand_ins, walk_back
from twofold.frontends.swallowed import called
from twofold.frontends.typed import typed
from twofold.frontends.world import Moves, World
from twofold.ops.bind import capturing, mode
from twofold.ops.joining import OneByOneError
from twofold.ops.tensor import Leaves, Tensor, type_of, wrap
from twofold.passes.manager import chosen, optimize

MOST_BY_VALUE = 32  # programs that differ by values of tensors
MOST_PROGRAMS = 64  # of one function; a function that needs more is not made for compiling
MOST_FRONTS = 4  # that machine code tries
MOST_TOLD = 32  # times that it is told of one program, for other objects or values


class Keeps(BaseException):
    """The function keeps an optimizer that it makes: it goes on where a run has left it."""


@final
class Compiled:
    """A function that runs as a program. Called with other kinds of arguments, it makes another.

    `explain(f)` tells what it did; `f.graph(*args)` gives the program's graph.
    """

    # What machine code knows of the last programs; it reads the slot.
    __slots__ = ("__dict__", "__weakref__", "front")

    def __init__(
        self,
        function: Callable[..., Any],
        passes: Sequence[Any] | None = None,
        freeze: bool = False,
        whole: bool = False,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.freeze = freeze
        self.whole = whole  # whether what only Python can run is refused
        # What only Python can run, by what a program would be made for: why.
        self.in_python: dict[tuple[Any, ...], Exception] = {}
        self.quick: set[Any] = set()  # the same by keys that are quickly made
        self.in_python_once: dict[str, None] = {}  # why single calls were left to Python
        self.rewrites: list[Rewrite] = []  # what is captured with its control flow rewritten
        self.looped: list[int] = []  # how often its loops would turn that a size turns
        self.decided = Decided()  # what captures have found out about its loops and choices
        self.keeps = False  # whether an optimizer that it makes outlives a run
        self.as_sizes: set[str] = set()  # numbers among the arguments that stand where sizes do
        self.unrolls = False  # whether they turn in Python, as they cannot in a graph
        self.passes = chosen(passes)
        self.programs: dict[tuple[Any, ...], list[Program]] = {}
        # The same lists by a key that is quickly made; None for what runs in Python.
        self.known: dict[Any, list[Program] | None] = {}
        self.themselves = Themselves()  # arguments that it finds outside as well
        self.moving: list[Place] = []  # what is found at each call besides the arguments
        self.front: tuple[Any, ...] | None = None
        self.fronts: list[Front] = []  # whose words these are, the last used first
        self.told: dict[Program, int] = {}  # how often machine code was told of each
        self.asked: tuple[Form, list[Any]] | None = None  # what the last program was made for
        self.made: list[Program] = []  # in the order in which they were made
        self.retraces: list[str] = []  # why each was made
        self.lock = threading.RLock()
        self.signature = signature_of(function)
        self.owner = owner_of_call(function)
        self.name = getattr(function, "__name__", type(self.owner).__name__)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method."""
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if mode.capture is not None or mode.interpreter is not None or flags.eager:
            return self.uncaptured(args, kwargs)
        programs, given = self.known_for(args, kwargs)
        if programs is None:
            return self.function(*args, **kwargs)
        leaves = args if given is None else given.leaves
        try:
            program, made = self.run(programs, leaves, args, kwargs)
        except InPython as found:
            left = found
        else:
            self.remember(program, given, args, kwargs)
            door.knock()
            return made
        return self.leave(args, kwargs, left)

    def known_for(self, args: Any, kwargs: Any) -> tuple[list[Program] | None, Given | None]:
        """The programs for arguments like these, or None where Python runs them; and what was
        found of the arguments, if it was necessary to look.
        """
        key = None if kwargs or self.moving else plain_key(args)
        if key is not None and key in self.known:
            return self.known[key], None
        if self.quick and quick_key(args, kwargs) in self.quick:
            return None, None
        given = self.given(args, kwargs)
        programs = None
        if given.key not in self.in_python:
            programs = self.programs.setdefault(given.key, [])
        if key is not None:
            self.known[key] = programs
        return programs, given

    def leave(self, args: Any, kwargs: Any, found: InPython) -> Any:
        """Leave this call to Python, and those like it, unless it tells that they are wrong."""
        key = self.given(args, kwargs).key
        quick = quick_key(args, kwargs)
        if found.once or hasattr(found.error, "once"):
            self.in_python_once[str(found.error)] = None
            return self.function(*args, **kwargs)
        if only_python(found.error):
            self.forget(key, quick, found.error)
            return self.function(*args, **kwargs)
        made = self.function(*args, **kwargs)
        self.forget(key, quick, found.error)
        return made

    def forget(self, key: Any, quick: Any, error: Exception) -> None:
        """Make no programs for calls of these keys, and remember why."""
        self.in_python[key] = error
        self.known.clear()
        if quick is not None and not self.moving:
            self.quick.add(quick)

    def remember(self, program: Program, given: Given | None, args: Any, kwargs: Any) -> None:
        """Let machine code answer the next call like this one, which is over."""
        front = program.front
        if front is False:
            return
        current = front is not None and front.leaves is Leaves.state["now"]
        if not (current and front.pattern.plain and given is None):
            moved = None if given is None else Moved(self.moving, given)
            if self.moving and (moved is None or not moved.known):
                return  # the program was made, and more is found at each call from now on
            pattern = Pattern(program, self.signature, args, kwargs, moved if self.moving else None)
            if not current or not front.pattern.same(pattern):
                program.front = self.new_front(program, pattern)
        self.show(program.front)

    def new_front(self, program: Program, pattern: Pattern) -> Front | bool:
        """What machine code must know; False where it cannot answer, or would have to be told
        again and again.
        """
        self.told[program] = self.told.get(program, 0) + 1
        if self.told[program] > MOST_TOLD:
            return False
        return front_of(program, pattern) or False

    def show(self, front: Any) -> None:
        """Put a front first among those that machine code tries."""
        if front in self.fronts[:1] and self.front:
            return
        now = Leaves.state["now"]
        others = [other for other in self.fronts if other is not front and other.leaves is now]
        self.fronts = [*([front] if front else []), *others][:MOST_FRONTS]
        self.front = tuple([part for one in self.fronts for part in (one.words, one.holds)])

    def uncaptured(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call in a block whose interpreter sees every operation, or, as a profile does, asks
        for the call itself."""
        span = getattr(type(mode.interpreter), "span", None)
        if span is not None and mode.capture is None and not flags.eager:
            return span(mode.interpreter, f"compiled {self.name}", lambda: self(*args, **kwargs))
        return self.function(*args, **kwargs)

    def run(
        self, programs: list[Program], leaves: Sequence[Any], args: Any, kwargs: Any
    ) -> tuple[Program, Any]:
        """The first program that holds, which is made where there is none, and its answer."""
        for program in programs:
            if not program.fit.holds(leaves):
                continue
            try:
                return program, self.call(program, leaves)
            except GuardBroken:
                continue
        try:
            program, leaves = self.program(args, kwargs)
        except Exception as error:
            if self.whole or hasattr(error, "of_passes"):
                raise
            raise InPython(error) from None
        return program, self.call(program, leaves)

    def call(self, program: Program, leaves: Sequence[Any]) -> Any:
        """What a program gives. Raises InPython where it ended before it did anything, and Python
        may not.
        """
        try:
            return program(leaves)
        except Failed as failed:
            error = failed.error
        if self.whole:
            raise error
        raise InPython(error, once=True)

    def program(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Program, Any]:
        """The program for these arguments, and its leaves; it is made where there is none."""
        given = self.given(args, kwargs)
        for program in self.programs.get(given.key, ()):
            if program.fit.holds(given.leaves) and program.broken(given.leaves) is None:
                return program, given.leaves
        program = self.make(given)
        return program, self.given(args, kwargs).leaves

    # ---- arguments

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given:
        if kwargs and self.signature is not None:
            bound = self.signature.bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        return self.completed(*flatten((args, kwargs)))

    def completed(self, leaves: list[Any], form: Form, known: Sequence[int] = ()) -> Given:
        """The arguments' leaves, followed by what lies in the places that the function changes.
        `known`: the numbers of those that were arrays of NumPy's.
        """
        held = [place.flat_now() for place in self.moving]
        leaves = [*leaves, *[x for found, _ in held for x in found]]
        found = [n for n, x in enumerate(leaves) if isinstance(x, np.ndarray)]
        for n in found:
            leaves[n] = wrap(leaves[n])
        arrays = (*known, *found)
        kinds = tuple([self.themselves.kind(leaf) for leaf in leaves])
        alike = same_tensors(leaves)
        if alike:
            kinds = (*kinds, alike)
        forms = (form, *[within for _, within in held])
        key = (forms, kinds, mode.grad, dtypes.default_dtype(), arrays)
        return Given(leaves, form, key)

    def names(self, form: Form, count: int) -> list[str]:
        """A name for each leaf: that of its parameter where the leaf is the whole argument."""
        found = list(self.signature.parameters) if self.signature is not None else []
        made = []
        for place, child in enumerate(form.children[0].children):
            name = found[place] if place < len(found) else f"arg{place}"
            inside = child.leaf_count()
            made += [name] if child.kind is None else [f"{name}{i}" for i in range(inside)]
        for key, child in zip(form.children[1].keys or (), form.children[1].children, strict=True):
            inside = child.leaf_count()
            made += [key] if child.kind is None else [f"{key}{i}" for i in range(inside)]
        for found_at in self.moving:
            made += [found_at.name] * len(found_at.flat_now()[0])
        return made[:count]

    # ---- capture

    def make(self, given: Given) -> Program:
        """Capture the function for arguments like these."""
        with self.lock:
            known = self.programs.get(given.key, [])
            self.move([place for program in known for place in program.fit.changed()])
            reason = self.reason(given, known)
            self.as_sizes |= self.sizes_wanted(given, known)
            core.begin()
            while True:
                count = given.form.leaf_count()
                arrays = [n for n in given.key[-1] if n < count]
                given = self.completed(given.leaves[:count], given.form, arrays)
                try:
                    program = self.capture(given)
                    break
                except Met:
                    continue
                except Moves as found:
                    self.move(found.places)
            known = self.programs.setdefault(given.key, [])
            self.check_values(program, known)
            if len(known) >= MOST_PROGRAMS:
                known.pop()
            self.retraces.append(reason)
            known.insert(0, program)
            self.made.append(program)
            leaves = given.leaves[: given.form.leaf_count()]
            self.asked = given.form, [type_of(x) if isinstance(x, Tensor) else x for x in leaves]
            return program

    @staticmethod
    def check_values(program: Program, known: list[Program]) -> None:
        """Raise CaptureError where a program is made anew for each value of a number."""
        where = program.by_value()
        if where and sum(other.by_value() != "" for other in known) >= MOST_BY_VALUE:
            error = CaptureError(
                "compile",
                f"Python decides by values: {MOST_BY_VALUE} programs were made for as many of them",
                decided=where,
                hint="arithmetic of tensors, twofold.where, or a tensor as the index; "
                "or do it outside of the function",
            )
            in_python(error)
            raise error

    def move(self, places: Sequence[Place]) -> None:
        """From now on, find these places' values at each call."""
        for place in places:
            if not any(place.same(other) for other in self.moving):
                self.moving.append(place)
        if places:
            self.known.clear()
            self.front, self.fronts = None, []
            for program in self.made:
                program.front = None

    def reason(self, given: Given, known: list[Program]) -> str:
        """Why another program is made."""
        if not self.programs or not any(self.programs.values()):
            return "the first call"
        if not known:
            return "arguments of another structure, type or rank"
        for program in known:
            if not program.fit.holds(given.leaves):
                place = next((p for p in program.fit.outside if not p.holds()), None)
                if place is not None:
                    return f"{place.name} is another one than it was"
                return "a module's training flag, or whether a leaf has a gradient, is another"
            broken = program.broken(given.leaves)
            if broken is not None:
                table = program.graph.table
                question = f"{table.text(broken.left)} {broken.test} {table.text(broken.right)}"
                return f"{question} is not {broken.holds} any more    {broken.where}"
        return "unknown"

    def sizes_wanted(self, given: Given, known: list[Program]) -> set[str]:
        """The names of numbers that may be any size from now on."""
        names = self.names(given.form, len(given.leaves))
        return {names[place] for program in known for place in program.sizes_wanted(given.leaves)}

    def capture(self, given: Given) -> Program:
        """Capture the function as it is; where a tensor decides an `if`, or a size how often a loop
        turns, capture it again with its control flow rewritten.
        """
        plain = list(self.rewrites)
        refused: TwofoldError | None = None
        while True:
            try:
                with standing(self.rewrites):
                    return self.captured(given)
            except Unrolled as unrolled:
                self.rewrites.append(unrolled.rewrite)
            except Again as found_out:
                getattr(self.decided, found_out.into).add(found_out.place)
                if found_out.into == "as_while":
                    self.looped.append(1)  # if it cannot be a loop of the graph, it is unrolled
            except Keeps:
                self.keeps = True
            except Exception as error:
                # a branch that is not taken overwrites nothing: Python knows which one is
                in_python(error, only_python(error) or isinstance(error, GradientError))
                left = self.decided.left - self.decided.sets_first
                if left:  # a name may be read that a loop did not carry
                    self.decided.sets_first |= left
                    continue
                if not isinstance(error, TwofoldError):
                    # NumPy made objects of sizes, of which most of its functions make nothing
                    of_objects = isinstance(error, TypeError) and "of ufunc" in str(error)
                    made = rewrite_of(frames_of(error), self.rewrites) if of_objects else None
                    if made is not None:
                        self.rewrites.append(made)
                        continue
                    in_python(error, of_objects)
                    raise
                if isinstance(error, ChangesByValue):  # and its turns would be as many programs
                    in_python(error)
                    raise
                if refused is not None:  # nor can it be unrolled
                    self.unrolls = False
                    in_python(refused, only_python(refused) or only_python(error))
                    raise refused from None
                found = None
                if isinstance(error, CaptureError | OneByOneError):
                    found = rewrite_of(frames_of(error), self.rewrites)
                if found is not None:
                    self.rewrites.append(found)
                elif self.looped and max(self.looped) <= MOST_TURNS:
                    # what cannot be a loop of the graph is unrolled, for each number of turns
                    refused, self.unrolls = error, True
                    self.rewrites[:] = plain
                else:  # nor is it unrolled, if it turns too often
                    loops = bool(self.looped) and isinstance(error, CaptureError | OneByOneError)
                    in_python(error, only_python(error) or loops)
                    raise

    def watch(self, guard: Guard, turns: int) -> None:
        """Look at a guard that is made: a loop that a size turns is rewritten, if it can be."""
        if unrolls(guard) and not self.unrolls:
            found = rewrite_of(frames_now(), self.rewrites, CALLED)
            if found is not None:
                self.looped.append(turns)
                raise Unrolled(found)
        elif asks_numpy(guard):
            found = rewrite_of(frames_now(), self.rewrites, CALLED, 1)
            if found is not None:
                self.looped.append(turns)
                raise Unrolled(found)

    def lists(self, count: Any) -> bool:
        """Whether a list of as many things as a size stays one of the graph: unless what it is used
        for wants a plain one.
        """
        if not self.unrolls:
            self.looped.append(count.example)
        return not self.unrolls

    def on_asking(self, frame: FrameType | None = None) -> None:
        """Python, or this frame, asks for a number that only a run knows: what can be rewritten
        is, first.
        """
        frames = frames_now() if frame is None else [frame]
        found = rewrite_of(frames, self.rewrites, CALLED)
        if found is not None:
            raise Unrolled(found)

    def mendable(self, error: BaseException) -> bool:
        """Whether an error goes away when a function is rewritten."""
        if not isinstance(error, CaptureError):
            return False
        return rewrite_of(frames_of(error), self.rewrites, CALLED) is not None

    def captured(self, given: Given) -> Program:
        capture = Capture(self.name)
        capture.table.watch, capture.table.fixing = self.watch, self.on_asking
        capture.table.raised = capture.raised
        capture.table.repeat, capture.table.lists = repeated, self.lists
        capture.decided, capture.passes = self.decided, self.passes
        capture.unrolls, capture.keeps = self.unrolls, self.keeps
        capture.found_now = functools.partial(array_now, given.leaves)
        capture.on_asking, capture.mendable = self.on_asking, self.mendable
        names = self.names(given.form, len(given.leaves))
        capture.themselves = themselves(given.key[1])
        symbolic, places = stand_ins(capture, given.leaves, names, self.as_sizes)
        for n in given.key[-1]:
            symbolic[n] = GivenArray(symbolic[n])
        count = given.form.leaf_count()
        args, kwargs = unflatten(symbolic[:count], given.form)
        world = World(self.function, self.moving, [x for x in given.leaves if is_object(x)])
        within = contextlib.nullcontext() if self.owner is None else capture.within(self.owner)
        with capturing(capture), within, printing():
            try:
                world.enter(symbolic[count:], capture)
                check_attributes(given.leaves, world.places.names | world.places.mentions)
                capture.catches = world.places.catches
                seen = world.places.seen.values()
                with Dice(seen), Clocks(seen), typed(world.places.typed.values()):
                    result = called(self.function, args, kwargs, capture.raised)
                if any(optimizer() is not None for optimizer in capture.optimizers):
                    raise Keeps
                check_unchanged((args, kwargs), symbolic[:count], given.form)
                exchanged.check_arguments(symbolic[:count])
                changes = world.changes(capture)
                stands = (args, kwargs, *world.stands)
                walk = GivenBack(world.places.seen, stands)
                *left, found = walk.flat([*(change.value for change in changes), result])
                parts = [(change, *one) for change, one in zip(changes, left, strict=True)]
                answer, values = answer_of(capture, found, parts, symbolic, places)
                leaves = [*answer.leaves, *[x for one in answer.sets for x in one.leaves]]
                capture.in_order = exchanged.lie_in_order(capture, given.leaves, leaves)
                back = (found[0], [change.value for change in changes])
                joint = walk_back(capture, back, places)
                held = world.held(capture, changes)
                self.themselves.meet(given.leaves, met(capture))
            except TwofoldError as error:
                error.facts |= sizes_in(error, capture)
                raise
            finally:
                take_back(capture)
                world.restore()
        whole = capture.finish(tuple(values))
        with of_passes():
            if joint is None:
                derivative, source = None, whole
                graph = optimize(whole, self.passes)
            else:
                source = None
                derivative = Derivative(joint, whole, capture.sources, self.passes, values)
                graph = optimize(derivative.graph, self.passes)
        freeze = self.freeze
        return Program(capture, graph, answer, held, derivative, source=source, freeze=freeze)

    # ---- looking inside

    def graph(self, *args: Any, **kwargs: Any) -> Any:
        """The optimised graph of the program for these arguments."""
        return self.program(args, kwargs)[0].graph

    def memory(self, *args: Any, **kwargs: Any) -> Peak:
        """The bytes of intermediate values that a call with these arguments will need, and which
        modules and lines need them. Nothing runs.
        """
        program, leaves = self.program(args, kwargs)
        return program.peak(leaves)

    def all_programs(self) -> list[Program]:
        return list(self.made)

    def __deepcopy__(self, memo: Any) -> Compiled:
        """A copy makes programs of its own, for the copy of what is compiled."""
        function = copy.deepcopy(self.function, memo)
        return Compiled(function, self.passes, self.freeze, self.whole)

    def __reduce__(self) -> Any:
        return Compiled, (self.function, None, self.freeze)

    def __repr__(self) -> str:
        return f"<compiled {self.name!r}>"


install()
door = Door(Compiled)
CALLED = called.__code__


def compiled_in(function: Any) -> Compiled | None:
    """What `compile` made of a function or of a module's forward; None if it made nothing."""
    found = function if isinstance(function, Compiled) else getattr(function, "forward", None)
    return found if isinstance(found, Compiled) else None
