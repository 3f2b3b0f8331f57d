"""What a rewrite is: a pattern, a condition, and what comes instead. Floor 5.

A pattern is a tuple: the name of an operation, and for each input a letter for any value, a number
that the input must have everywhere (0.0 is not -0.0), or another pattern for the call that makes
it. What comes instead is a letter, a tuple again, or a function of the match:

    Rule("-(-x)", ("neg", ("neg", "x")), "x")
    Rule("x + 0", ("add", "x", 0), "x", when=lambda m: m.is_never_minus_zero("x"))
    Rule("expand of expand", ("expand", ("expand", "x")), lambda m: m.again(m.x))

Whoever writes a rule sees to it that the bits stay: the condition says where they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, final

from twofold.base.records import NamedTuple
from twofold.base.symbols import alike, is_symbol
from twofold.ir.graph import Call, Graph, Value, producers, uses
from twofold.ops.op import OPS
from twofold.ops.source import FULL

Pattern = tuple[Any, ...]
LITERALS = ("full", "expand")


class Rule(NamedTuple):
    """One rewrite of the calls that a pattern fits."""

    name: str
    pattern: Pattern
    gives: Any
    when: Callable[[Match], bool] = lambda m: True


@final
class Match:
    """Where a pattern fits: the values behind its letters, and the calls, the outermost first."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.names: dict[str, Value] = {}
        self.calls: list[Call] = []

    def __getattr__(self, letter: str) -> Value:
        try:
            found: Value = self.__dict__["names"][letter]
        except KeyError:
            raise AttributeError(letter) from None
        return found

    @property
    def call(self) -> Call:
        return self.calls[0]

    @property
    def out(self) -> Value:
        return self.calls[0].outs[0]

    def again(self, *inputs: Value) -> Call:
        """The outermost call on other inputs."""
        return self.call._replace(inputs=inputs)


@final
class Scope:
    """A graph's calls while they are rewritten: who makes a value, how many read it."""

    def __init__(self, graph: Graph) -> None:
        self.made = producers(graph)
        self.counts = {value: len(calls) for value, calls in uses(graph).items()}
        for value in graph.needed():
            self.counts[value] = self.counts.get(value, 0) + 1
        self.written = {
            self.root(call.inputs[place])
            for call in graph.calls
            if call.op.writes is not None
            for place in call.op.writes(len(call.outs), call.attrs)
        }

    def root(self, value: Value) -> Value:
        """The value whose memory this one is a view of."""
        source = self.made.get(value)
        while source is not None and source.op.view:
            value = source.inputs[0]
            source = self.made.get(value)
        return value

    def lasts(self, value: Value) -> bool:
        """Whether nobody writes over a value's memory: it may be read later than it was."""
        return not self.written or self.root(value) not in self.written

    def maker(self, value: Value) -> Call | None:
        return self.made.get(value)

    def readers(self, value: Value) -> int:
        return self.counts.get(value, 0)

    def number(self, value: Value) -> Any:
        """The number that a value has everywhere, or None."""
        source = self.made.get(value)
        while source is not None and source.op.name == "expand":
            source = self.made.get(source.inputs[0])
        if source is None or source.op is not FULL or is_symbol(source.attrs[1]):
            return None
        return source.attrs[1]

    def fit(self, pattern: Any, value: Value, match: Match) -> bool:
        """Whether a pattern fits a value; the match then knows its letters and calls."""
        if isinstance(pattern, str):
            known = match.names.setdefault(pattern, value)
            return known is value
        if not isinstance(pattern, tuple):
            return same_number(self.number(value), pattern)
        call = self.made.get(value)
        return call is not None and self.fit_call(pattern, call, match)

    def fit_call(self, pattern: Pattern, call: Call, match: Match) -> bool:
        if call.op.name != pattern[0] or len(call.inputs) != len(pattern) - 1:
            return False
        match.calls.append(call)
        return all(map(self.fit, pattern[1:], call.inputs, [match] * len(call.inputs)))


def same_number(found: Any, wanted: Any) -> bool:
    """Whether a number is the wanted one, the sign of zero too."""
    if found is None or isinstance(found, complex) or found != wanted:
        return False
    return math.copysign(1.0, found) == math.copysign(1.0, wanted)


def built(term: Any, match: Match) -> Any:
    """The value or the calls that stand for a rule's right side; the last call makes the result."""
    if callable(term):
        return term(match)
    if isinstance(term, str):
        return match.names[term]
    name, *letters = term
    inputs = tuple([match.names[letter] for letter in letters])
    op = OPS[name]
    return Call(op, inputs, (), match.call.outs, match.call.where, match.call.module)


def table(rules: tuple[Rule, ...]) -> Mapping[str, list[Rule]]:
    """Rules by the operation that they look at."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.pattern[0], []).append(rule)
    return found


def same_type(x: Value, y: Value) -> bool:
    return x.dtype is y.dtype and alike(x.shape, y.shape)
