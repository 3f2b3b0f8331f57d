"""Plans of one operation for further sizes, computed where its planner was asked before. Floor 7.

Planners are Python: a plan takes them 50 to 200 us, and a program whose sizes never come again asks
for one at each call. After some sizes an operation's planner is run on traced numbers, as that of a
graph is (exec/outline.py), once for each way that it takes. Machine code computes a further plan's
numbers in cells, and the words of the plan, as an entry keeps them, are put together by indexing.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Sequence
from math import prod
from typing import Any, Protocol, final

import numpy as np

from twofold.base.flags import flags
from twofold.base.records import NamedTuple
from twofold.base.traced import Tape
from twofold.base.types import Type
from twofold.codegen.compile import together
from twofold.exec.eager import arg_of
from twofold.exec.found import Found, Part, taken_apart
from twofold.exec.sheet import Sheet
from twofold.exec.ways import Form, Node, acts_of
from twofold.lower.schedule import Arg, Plan
from twofold.lower.sheet import load_sheet
from twofold.ops.op import Op
from twofold.runtime import entries
from twofold.runtime.entries import OUT_BYTES, OUT_SHAPE, OUT_WORDS, WORD
from twofold.runtime.program import BASES, SCRATCH, Array
from twofold.runtime.threads import get_num_threads

FIRST = 5  # sizes that are planned as usual: most programs have no more
ROOM = 64  # cells and lines of a sheet in the beginning
MOST_DONE = 4096
MOST_KINDS = 16  # types and ranks of one operation
# Attributes that are sizes: they change with the inputs, and each has an entry of its own.
SIZES = {"cat": "sizes"} | dict.fromkeys(
    ("random_uniform", "random_normal", "random_integers"), "shape"
)
SCRATCH_BYTES, RELEASE, TYPES = WORD["scratch"], WORD["release"], WORD["types"]
PATIENCE = 8  # times that nothing could be computed


class Template(NamedTuple):
    """The words of plans of one form: the cell of each, and how many words are in front."""

    cells: Any
    chunks: Any  # cells


class Asked(Protocol):
    """What is asked of an operation's Planned (exec/eager.py)."""

    op: Op
    keywords: dict[str, Any]

    def types(self, arrays: Any) -> tuple[tuple[Type, ...], tuple[Type, ...]]:
        """The inputs' and outputs' types."""

    def plan_with(self, args: Any, outs: Any, keywords: Any, threads: int) -> Plan | None:
        """The planner's answer."""


@final
class Further:
    """What an operation with some attributes has for further sizes, by types and ranks: a `Sizes`,
    a number while sizes are planned as usual, or None where that will be so for ever.
    """

    __slots__ = ("changing", "known")

    def __init__(self, changing: str | None) -> None:
        self.changing = changing
        self.known: dict[Any, Sizes | int | None] = {}

    def teach(self, asked: Asked, entry: Any, arrays: tuple[Array, ...]) -> bool:
        """Let an entry know the plan for these arrays; whether it could be computed."""
        kinds: list[Any] = [get_num_threads()]
        if self.changing is not None:
            kinds.append(len(asked.keywords[self.changing]))
        for array in arrays:
            flags, dtype = array.flags, array.dtype
            if not flags.aligned:
                return False
            whole = flags.c_contiguous
            if not whole and any([stride % dtype.itemsize for stride in array.strides]):
                return False
            kinds += (id(dtype), array.ndim, whole)
        key = tuple(kinds)
        sizes = self.known.get(key, 0)
        if isinstance(sizes, int):
            sizes = self.begin(asked, key, sizes, arrays)
        if sizes is None or not sizes.lock.acquire(blocking=False):
            return False  # another thread writes into its cells
        try:
            taught = sizes.teach(entry, arrays, sizes.outs(asked, arrays), asked.keywords)
        finally:
            sizes.lock.release()
        if not taught:
            sizes.failures += 1
            if sizes.failures >= PATIENCE:
                self.known[key] = None
        return taught

    def begin(self, asked: Asked, key: Any, count: int, arrays: Sequence[Array]) -> Sizes | None:
        """Count sizes, and compute plans from the FIRST on."""
        if count < FIRST:
            if key in self.known or len(self.known) < MOST_KINDS:
                self.known[key] = count + 1
            return None
        task = load_sheet()
        if task.job is not None or flags.check >= 3:  # it is compiled meanwhile
            return None
        types, outs = asked.types(arrays)
        made = None
        if not any([out is None for out in outs]):
            args = tuple(map(arg_of, arrays, types))
            made = Sizes.of(asked, arrays, args, outs, self.changing, key[0])
        self.known[key] = made
        return made


_shared: dict[Any, Further] = {}  # of those whose attributes are sizes


def further_of(op: Op, keywords: dict[str, Any]) -> Further:
    """What an operation with these attributes has for further sizes."""
    changing = SIZES.get(op.name)
    if changing is None:
        return Further(None)
    rest = tuple([value for name, value in keywords.items() if name != changing])
    return _shared.setdefault((op.name, rest), Further(changing))


@final
class Sizes:
    """Plans for inputs of some types and ranks, and outputs likewise, on so many threads."""

    def __init__(
        self,
        asked: Asked,
        arrays: Sequence[Array],
        args: Sequence[Arg],
        outs: Sequence[Type],
        changing: str | None,
        threads: int,
    ) -> None:
        """One of the attributes may be sizes: `changing`."""
        self.lock = threading.Lock()  # is held by who writes into cells
        self.failures = 0
        self.threads = threads
        self.dtypes = tuple([array.dtype for array in arrays])
        self.itemsizes = [array.dtype.itemsize for array in arrays]
        self.sheet = Sheet(ROOM)
        self.templates: dict[int, Template] = {}
        self.kinds = [(arg.dtype, len(arg.shape)) for arg in args]
        self.outsizes = [out.dtype.itemsize for out in outs]
        self.made = [(out.dtype, len(out.shape)) for out in outs]
        self.plan, self.keywords, self.changing = asked.plan_with, asked.keywords, changing
        numbers = Tape(self.numbers(arrays, outs, asked.keywords)).numbers
        self.first = self.sheet.take(len(numbers))
        self.last = self.first + len(numbers)
        self.node = Node(self.planned, list(numbers))
        self.node.settle(self.sheet, lambda x: self.first + x.place)
        self.done = self.sheet.stop()
        self.node.after = self.done
        self.outputs = len(entries.HEADER) + sum([2 + 2 * rank for _, rank in self.kinds])

    @staticmethod
    def of(asked: Asked, arrays: Any, args: Any, outs: Any, *rest: Any) -> Sizes | None:
        """Plans for arrays like these; None where there is no plan that could be computed."""
        made = Sizes(asked, arrays, args, outs, *rest)
        made.node.like = ((), False)
        found = made.planned(made.numbers(arrays, outs, asked.keywords))
        return None if found is None else made

    def numbers(
        self, arrays: Sequence[Array], outs: Sequence[Type], keywords: dict[str, Any]
    ) -> list[int]:
        """All numbers of the layouts; strides are in bytes."""
        flat: list[int] = []
        for array in arrays:
            flat += array.shape
            flat += array.strides
        for out in outs:
            flat += out.shape
        if self.changing is not None:
            flat += keywords[self.changing]
        return flat

    def outs(self, asked: Asked, arrays: Sequence[Array]) -> tuple[Type, ...]:
        """The outputs' types. Raises the operation's own error where the inputs do not fit."""
        types = [Type(a.shape, dtype) for a, (dtype, _) in zip(arrays, self.kinds, strict=True)]
        made = asked.op.infer(*types, **asked.keywords)
        return (made,) if type(made) is Type else made

    def planned(self, numbers: list[Any]) -> Found | None:
        """The planner's answer, from these numbers."""
        at = 0
        args, outs = [], []
        for (dtype, rank), size in zip(self.kinds, self.itemsizes, strict=True):
            middle, end = at + rank, at + 2 * rank
            strides = tuple([stride // size for stride in numbers[middle:end]])
            args.append(Arg(tuple(numbers[at:middle]), dtype, strides))
            at = end
        for dtype, rank in self.made:
            outs.append(Type(tuple(numbers[at : at + rank]), dtype))
            at += rank
        keywords = self.keywords
        if self.changing is not None:
            keywords = {**keywords, self.changing: tuple(numbers[at:])}
        plan = self.plan(tuple(args), tuple(outs), keywords, self.threads)
        if plan is None or plan.long or plan.frozen:
            return None
        found = taken_apart(plan)
        copies = Part(0, found.contiguous, (), 0, False)  # the last part: which inputs are copied
        return Found((*found.parts, copies), found.scratch, (), found.keep, 0, False, False)

    def teach(
        self, entry: Any, arrays: Sequence[Array], outs: Sequence[Type], keywords: dict[str, Any]
    ) -> bool:
        """Let an entry know the plan for these arrays. False where it cannot be computed."""
        sheet, node = self.sheet, self.node
        numbers = self.numbers(arrays, outs, keywords)
        if len(numbers) != self.last - self.first:
            return False
        sheet.cells[self.first : self.last] = numbers
        line = sheet.run(0)
        kept: tuple[object, ...] | None = ()
        if line != self.done:
            if line != node.stop:
                return False
            with together():
                kept = node.serve(sheet)
            if kept is None:
                return False
        form, way, scratch = sheet.cells[node.cell : node.cell + 3].tolist()
        if way >= 0 and node.ways[way]:
            _act(sheet, node, way)
        template = self.templates.get(form)
        if template is None:
            template = self.templates[form] = self.template(node.forms[form])
        words = sheet.cells[template.cells]
        at, elements, types = self.outputs, 0, []
        for out, size in zip(outs, self.outsizes, strict=True):
            shape = tuple(map(operator.index, out.shape))  # for nodes of the tape, too
            count = prod(shape)
            words[at + OUT_SHAPE], words[at + OUT_BYTES] = id(shape), size * count
            types.append(Type(shape, out.dtype))
            elements += count
            at += OUT_WORDS + len(shape)
        words[SCRATCH_BYTES] = -(-scratch // 64) * 64
        for array in arrays:
            elements += array.size
        if elements >= entries.RELEASE_FROM and max(sheet.cells[template.chunks].tolist()) > 1:
            words[RELEASE] = 0
        known = tuple(types)
        words[TYPES] = id(known)
        entries.push_words(entry, words, (kept, self.dtypes, known))
        return True

    # ---- the words

    def template(self, form: Form) -> Template:
        """Where the words of plans of this form are."""
        sheet = self.sheet
        inputs = self.inputs_cells()
        outputs = self.outputs_cells()
        count = len(self.kinds)
        heads: list[int] = []
        words: list[int] = []
        patches: list[int] = []
        chunks: list[int] = []
        steps, last = form.parts[:-1], form.parts[-1]
        at, begin = form.begin + 1, 3 * len(steps)
        for task, job, spots, _, _ in steps:
            chunks.append(at)
            heads += (sheet.constant(task), sheet.constant(begin), at)
            words += range(at + 1, at + 1 + len(job))
            offsets = at + 1 + len(job)
            for number, (place, kind, index, _) in enumerate(spots):
                base = (BASES + index, BASES + count + index, SCRATCH)[kind]
                patches += (sheet.constant(begin + place), sheet.constant(base), offsets + number)
            begin += len(job)
            at = offsets + len(spots)
        copies = [*range(at + 1, at + 1 + len(last.job))]
        program = heads + words
        facts = {
            "inputs": count,
            "outputs": len(self.made),
            "threads": self.threads,
            "release": entries.NEVER,
            "steps": len(steps),
            "words": len(program),
            "patches": len(patches) // entries.PATCH_WORDS,
            "copies": len(copies),
            "in_at": len(entries.HEADER),
            "out_at": self.outputs,
            "program_at": self.outputs + len(outputs),
        }
        facts["patch_at"] = facts["program_at"] + len(program)
        facts["copy_at"] = facts["patch_at"] + len(patches)
        header = [sheet.constant(facts.get(name, 0)) for name in entries.HEADER]
        cells = [*header, *inputs, *outputs, *program, *patches, *copies]
        return Template(np.array(cells, np.int64), np.array(chunks, np.int64))

    def inputs_cells(self) -> list[int]:
        sheet, at = self.sheet, self.first
        cells: list[int] = []
        for dtype, (_, rank) in zip(self.dtypes, self.kinds, strict=True):
            cells += (sheet.constant(id(dtype)), sheet.constant(rank), *range(at, at + 2 * rank))
            at += 2 * rank
        return cells

    def outputs_cells(self) -> list[int]:
        sheet = self.sheet
        at = self.first + sum([2 * rank for _, rank in self.kinds])
        cells: list[int] = []
        for dtype, rank in self.made:
            words = entries.output_words(dtype.numpy, rank)
            cells += [sheet.constant(word) for word in words]
            cells += range(at, at + rank)
            at += rank
        return cells


def _act(sheet: Sheet, node: Node, way: int) -> None:
    """Do what the planner does besides, for numbers that it was not done for."""
    for act, refs, done in acts_of([node], [way]):
        numbers = tuple(sheet.cells[refs].tolist())
        if numbers not in done:
            with together():
                act(*numbers)
            if len(done) >= MOST_DONE:
                done.clear()
            done.add(numbers)
