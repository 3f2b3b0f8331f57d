"""A plan under construction: steps, scratch memory, the tables that jobs point into. Floor 6."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

from twofold.lower.conv_tables import Table, address
from twofold.lower.conv_tile import arrange
from twofold.lower.schedule import Frozen, Plan, Pointer, Scratch, Step, Word, chunks_for

# One fma is about a quarter of the work that moving one element is.
FMA_PER_ELEMENT = 4


@final
class Steps:
    """Collects the steps of a plan, in the order in which they run. `frozen`: the weights are."""

    def __init__(self, threads: int, itemsize: int, frozen: bool = False) -> None:
        self.threads = threads
        self.itemsize = itemsize
        self.frozen = frozen
        self._steps: list[Step] = []
        self._keep: list[Table] = []
        self._scratch = 0
        self._frozen = 0

    def scratch(self, elements: int) -> Scratch:
        """Room for this many elements, aligned to a cache line."""
        place = Scratch(self._scratch)
        self._scratch += -(-elements * self.itemsize // 64) * 64
        return place

    def weights(self, elements: int) -> Pointer:
        """The same for what is made of the weights alone: where these are frozen, it stays."""
        return self.kept(elements) if self.frozen else self.scratch(elements)

    def kept(self, elements: int) -> Frozen:
        """The same for what is made of frozen inputs alone."""
        place = Frozen(self._frozen)
        self._frozen += -(-elements * self.itemsize // 64) * 64
        return place

    def table(self, values: Table) -> int:
        """The address of a table, which lives as long as the plan."""
        self._keep.append(values)
        return address(values)

    def chunks(self, items: int, fma: int = 0, elements: int = 0) -> int:
        """How many chunks to cut `items` into, by the work that they are together."""
        work = elements + fma // FMA_PER_ELEMENT
        return max(1, min(items, chunks_for(work, self.threads)))

    def add(
        self, task: int, layout: str, chunks: int, more: tuple[Word, ...] = (), /, **words: Word
    ) -> None:
        """A step whose job words are named in the order of `layout`, and then `more`."""
        self.append(task, arrange(layout, **words) + more, chunks)

    def append(self, task: int, words: tuple[Word, ...], chunks: int) -> None:
        self._steps.append(Step(task, words, chunks))

    def extend(self, steps: Sequence[Step]) -> None:
        self._steps.extend(steps)

    def add_each(
        self,
        each: Callable[[], int],
        task: int,
        layout: str,
        chunks: int,
        jobs: Sequence[Mapping[str, Word]],
        more: tuple[Word, ...] = (),
    ) -> None:
        """One step that runs a task for several jobs, by the kernel `each()` if it is not one."""
        words = [arrange(layout, **job) + more for job in jobs]
        if len(words) == 1:
            self.append(task, words[0], chunks)
        elif words:
            flat = [word for job in words for word in job]
            self.append(each(), (task, len(words), len(words[0]), *flat), chunks)

    def finish(self, contiguous: tuple[int, ...] = ()) -> Plan:
        steps, keep = tuple(self._steps), tuple(self._keep)
        return Plan(steps, self._scratch, contiguous, keep, frozen=self._frozen)


def moved(pointer: Pointer, elements: int, itemsize: int) -> Pointer:
    """The pointer, `elements` further on."""
    if isinstance(pointer, Scratch | Frozen):
        return type(pointer)(pointer.offset + elements * itemsize)
    return type(pointer)(pointer.index, pointer.offset + elements * itemsize)
