"""The frame of a kernel: its job words by name, and this chunk's share of the work. Floor 6.

    task = Task(m, "scale", "x:ptr out:ptr n factor:f64")
    lo, hi = task.share(task.n)
    with task.f.loop(lo, hi) as i: ...
    task.f.ret()

A job is an array of 8-byte words. A word is an i64 unless its name says `:ptr` or `:f64`.
`arrange` puts the values of such words in their order when a plan is made.
"""

from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar, final

from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.schedule import Word

Words = TypeVar("Words")
FIELDS = [("job", "ptr"), ("chunk", "i64"), ("chunks", "i64")]
TAKEN = ("f", "job", "chunk", "chunks", "words", "share")


@final
class Task:
    """A kernel under construction. Its job words are read on entry and are attributes."""

    def __init__(self, m: Module, name: str, words: str) -> None:
        self.f: Function = m.function(name, FIELDS)
        self.job, self.chunk, self.chunks = self.f.args
        self.words: dict[str, Value] = {}
        for index, word in enumerate(words.split()):
            name, _, kind = word.partition(":")
            if name in TAKEN:
                raise ValueError(
                    f"a job word cannot be called {name!r}: every task has that itself"
                )
            self.words[name] = self.job.at(index, "i64").load(kind or "i64")

    def __getattr__(self, name: str) -> Value:
        try:
            return self.words[name]
        except KeyError:
            raise AttributeError(f"this task has no job word {name!r}") from None

    def share(self, total: Value) -> tuple[Value, Value]:
        """The part [lo, hi) of range(total) that belongs to this chunk."""
        lo = (total * self.chunk) // self.chunks
        hi = (total * (self.chunk + 1)) // self.chunks
        return lo, hi


def read_words(kind: Callable[..., Words], job: Value, words: str) -> Words:
    """The words of a job that stands inside of another one, as a tuple of values."""
    kinds = [word.partition(":")[2] or "i64" for word in words.split()]
    return kind(*[job.at(index, "i64").load(type_) for index, type_ in enumerate(kinds)])


def arrange(words: str, values: dict[str, Word]) -> tuple[Word, ...]:
    """The job of a task with these words: arrange("x:ptr n", {"n": 3, "x": In(0)})."""
    names, pick = _names(words)
    if values.keys() != names:
        raise ValueError(f"job words given or wanted alone: {sorted(names ^ values.keys())}")
    return pick(values)


@cache
def _names(words: str) -> tuple[frozenset[str], Callable[[dict[str, Word]], tuple[Word, ...]]]:
    """The names of a job's words, and what picks their values in order."""
    names = [word.partition(":")[0] for word in words.split()]
    pick: Callable[..., Any] = itemgetter(*names) if names else lambda _: ()
    return frozenset(names), pick if len(names) != 1 else lambda values: (pick(values),)
