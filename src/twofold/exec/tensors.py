"""The Tensor tier: machine code in front of the Python functions on tensors. Floor 7.

`install()` puts machine code (codegen/native/tensor.py) before `run_eager`, before the methods
and operators of Tensor that are one operation without attributes, and before the public functions
of the same operations. `remove()` puts the Python functions back. Nothing but speed depends on
it: whatever the machine code does not take, it gives to the Python function with the same
arguments.

Installing takes some milliseconds, which a short program would not earn back: it waits for the
program to have run a hundred operations, or none where `TWOFOLD_TIER=3` asks for it. Where the code
is not in the cache another thread compiles it, and the program goes on meanwhile.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import OURS, owner_of
from twofold.base.flags import flags
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen import ahead
from twofold.codegen.compile import Code
from twofold.codegen.native import core
from twofold.codegen.native.facts import (
    FUNCTION,
    GRAD,
    INFO,
    INTERPRETED,
    MEETINGS,
    MODE_ROWS,
    MOST_FUNCTIONS,
    MOST_MEETINGS,
    NUMBERED,
    OPERATOR_SLOTS,
    USUAL,
)
from twofold.codegen.native.tensor_env import MOST_READ, Slots
from twofold.exec import chosen, recall
from twofold.ops import bind, writing
from twofold.ops.op import OPS, Op
from twofold.ops.rules import constant
from twofold.ops.tensor import Array, Node, Parameter, Size, Tensor, made_nodes
from twofold.ops.writers import WRITERS
from twofold.runtime import native
from twofold.runtime.entries import NativeEntry

CO_VARARGS, CO_VARKEYWORDS = 0x04, 0x08  # of inspect, which takes 10 ms to import
FLAGS = native.FASTCALL | native.KEYWORDS


class Tier(NamedTuple):
    """What was installed, to be put back."""

    code: Code
    methods: dict[str, Any]
    memory: recall.Memory
    functions: list[tuple[Any, str, Op | None, Any]]
    names: _Names


_tier: list[Tier] = []
_lock = threading.Lock()
_kept: list[object] = []  # words that machine code reads
# Called with the machine code when the tier is there, and with None when it is gone: for floors
# above that have something in front of Python too.
watchers: list[Callable[[Code | None], None]] = []


PATIENCE, PAUSE = 100, 50  # operations: until the tier is wanted, and until it is looked for again
# After so many looks the operations since have lost as much time as compiling here takes: CPUs are
# busy, and it is done here.
MOST_LOOKS = 2000


def arm() -> None:
    """Install when the program has run some operations, unless the flags choose a lower tier."""
    if flags.tier in (0, 3) and not _tier:
        _turns[:] = [iter(range(PATIENCE if flags.tier == 0 else 0))]
        bind.run_with(_impatient)
        writing.heard[:] = [_count]


_turns: list[Iterator[int]] = []


def _count() -> None:
    if next(_turns[0], None) is None:
        want()


def _impatient(*use: Any) -> Any:
    _count()
    return bind.run_eager(*use)


def want() -> None:
    """Install, if the code is there; otherwise have it compiled, and look again later."""
    with _lock:
        if _tier:
            writing.heard.clear()
            return
        if not _asked:
            _asked.append(_ask())
        _looks[0] += 1
        if _asked[0] is None or _asked[0].done() or _looks[0] > MOST_LOOKS:
            bind.run_with(bind.run_eager)
            writing.heard.clear()
            _install()
        else:
            _turns[:] = [iter(range(PAUSE))]


_asked: list[ahead.Work | None] = []
_looks = [0]


def _ask() -> ahead.Work | None:
    """Have the code compiled meanwhile; None if it is there, or is compiled here."""
    slots = places()
    if slots is None or flags.tier == 3 or core.start().tier < 3 or core.knows_tensors(slots):
        return None
    return ahead.start(prepare)


def prepare() -> None:
    """Compile what `install` loads into the cache, on another thread."""
    slots = places()
    if slots is not None:
        core.prepare_tensors(slots)


def installed() -> bool:
    return bool(_tier)


def code() -> Code:
    """The machine code, while it is installed."""
    return _tier[0].code


def install() -> bool:
    """Put the machine code in front. False where objects or flags do not allow it."""
    with _lock:
        return _install()


def _install() -> bool:
    slots = places()
    if _tier or slots is None:
        return bool(_tier)
    if core.start().tier < 3:
        return False
    code, numbered = core.start_tensors(slots, _environment())
    memory = _memory(code)
    words: Any = (ctypes.c_int64 * 1).from_address(code.address("node_count"))
    words[0] = made_nodes[0][0]
    made_nodes[0] = words
    modes.write_to(code.address("modes"))
    names = _Names(code, numbered)
    found = list(chosen.methods())
    methods = {name: python for name, _, _, python in found}
    for name, op, reflected, python in found:
        setattr(Tensor, name, names.method(name, op, reflected, python))
    for name in recall.PROPERTIES:
        methods[name] = vars(Tensor)[name]
        front = names.function(None, methods[name].fget, chosen.PUBLIC[0])
        setattr(Tensor, name, property(front, methods[name].fset, doc=methods[name].__doc__))
    functions = _cover(names)
    bind.run_with(native.builtin("run", code.address("tensor_run")))
    _change_type(code, names, methods)
    _tier.append(Tier(code, methods, memory, functions, names))
    for watcher in watchers:
        watcher(code)
    return True


def cover() -> None:
    """Put machine code in front of functions that were imported since the rest was, too."""
    with _lock:
        for tier in _tier:
            tier.functions.extend(_cover(tier.names))


def _cover(names: _Names) -> list[tuple[Any, str, Op | None, Any]]:
    functions = list(chosen.public_functions())
    names.learning |= chosen.fronts()
    for holder, name, op, python in functions:
        module = chosen.PUBLIC[1] if isinstance(holder, type) else holder.__name__
        _put(holder, name, names.function(op, python, module))
    return functions


def _put(holder: Any, name: str, function: Any) -> None:
    """Let a module, or a class, have this function under a name."""
    setattr(holder, name, staticmethod(function) if isinstance(holder, type) else function)


def remove() -> None:
    """Put the Python functions back."""
    if not _tier:
        return
    tier = _tier.pop()
    bind.run_with(bind.run_eager)
    _restore_type()
    for name, python in tier.methods.items():
        setattr(Tensor, name, python)
    for holder, name, _, python in tier.functions:
        _put(holder, name, python)
    modes.write_to(None)
    for watcher in watchers:
        watcher(None)


# ---- where objects keep things

_places: list[Slots | None] = []


def places() -> Slots | None:
    """Where the classes keep their slots; None if they are not where machine code can read them."""
    if not _places:
        tensor, node, op = (native.slot_places(cls) for cls in (Tensor, Node, Op))
        wrong = native.slot_doubts(Parameter, tensor)
        attributes = native.attribute_places(Tensor)
        missing = set(Op.__slots__) - set(op)
        weakrefs: int = Tensor.__weakrefoffset__
        if wrong or missing or attributes is None:
            _places.append(None)
        else:
            _places.append(Slots(tensor, node, op, native.BUILTIN, weakrefs, attributes))
    return _places[0]


def _environment() -> dict[str, Any]:
    return {
        "Tensor": Tensor,
        "Parameter": Parameter,
        "Node": Node,
        "Op": Op,
        "tuple": tuple,
        "Size": Size,
        "builtin": type(len),
        "ndarray": np.ndarray,
        "float": float,
        "int": int,
        "complex": complex,
        "slice": slice,
        "list": list,
        "None": None,
        "True": True,
        "False": False,
        "zero": 0,
        "empty tuple": (),
        "float32": np.dtype(np.float32),
        "float64": np.dtype(np.float64),
        "int64": np.dtype(np.int64),
        "is_ours": _is_ours,
        "constant": _constant,
        "run": _run,
        "types": _types,
        "item": bind.ITEM,
        "learn": _learn,
        "default dtype": dtypes.default_cell(),
    }


def _is_ours(code: CodeType) -> bool:
    return owner_of(code.co_filename) == OURS


def _constant(number: float, array: Array) -> Tensor:
    return constant(number, dtypes.of(array.dtype))


def _types(*arrays: Array) -> tuple[Type, ...]:
    return tuple([Type(a.shape, dtypes.of(a.dtype)) for a in arrays])


_memories: list[recall.Memory] = []


def _memory(code: Code) -> recall.Memory:
    """The memory of calls, one for the process: its table is the machine code's."""
    if not _memories:
        _memories.append(recall.Memory(code, _run, lambda op: ctypes.addressof(_info(op))))
    return _memories[0]


def _learn(python: Any, names: tuple[str, ...] | None, *args: Any) -> Any:
    return _memories[0].learn(python, names, *args)


def _run(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...] = ()) -> Any:
    """What machine code did not take: run it, and let it know the operation next time."""
    made = bind.run_eager(op, inputs, attrs)
    if op.native is None and chosen.is_simple(op):
        op.native = native.new_capsule(ctypes.addressof(_info(op)))
    if op.native is not None and attrs == ():
        _teach_entry(op)
    return made


# ---- the class itself

_dealloc: list[int] = []  # Python's own


def _change_type(code: Code, names: _Names, methods: dict[str, Any]) -> None:
    """Give the class its operators and its objects' end in machine code.

    Only where type objects are known. Python puts its own operators back when a method is set.
    """
    found = native.type_places(OPERATOR_SLOTS)
    if found is None or "__del__" in vars(Tensor):
        return
    table = native.word(id(Tensor) + native.NUMBER_TABLE)
    for index, name in enumerate(OPERATOR_SLOTS):
        forward, backward = methods[f"__{name}__"], methods[f"__r{name}__"]
        op = OPS[chosen.OPERATORS[name]]
        names.describe("operators", index, op, forward, backward=backward)
        _write_word(table + found[name], code.address(f"operator_{index}"))
    place = id(Tensor) + native.DEALLOC
    _dealloc[:] = [native.word(place)]
    _write_word(code.address("python_dealloc"), _dealloc[0])
    _write_word(place, code.address("tensor_dealloc"))


def _restore_type() -> None:
    if _dealloc:
        _write_word(id(Tensor) + native.DEALLOC, _dealloc.pop())


def _write_word(place: int, value: int) -> None:
    ctypes.c_int64.from_address(place).value = value


# ---- what machine code knows of operations and functions


def _words(values: list[int]) -> Any:
    words = (ctypes.c_int64 * len(values))(*values)
    _kept.append(native.forever(words))
    return words


_infos: dict[Op, Any] = {}


def _info(op: Op) -> Any:
    """The words about an operation; they live for ever, as operations do."""
    if op not in _infos:
        keeps = op.saved_inputs
        if op.variadic:
            keeps = keeps[:-1] + keeps[-1:] * (MOST_READ + 1 - len(keeps))
        readers = sum((bits & 255) << 8 * index for index, bits in enumerate(keeps))
        facts = {
            "op": id(native.forever(op)),
            "differentiable": op.vjp is not None,
            "saves_out": op.saves_out,
            "residuals": op.residuals,
            "inputs": len(op.inputs),
            "readers": readers - (readers >> 63 << 64),  # as a signed word
            "entries": id(native.forever(op.entries)),
            "entry": 0,
            "several": op.outputs != 1,
            "saved_outputs": sum(1 << index for index in op.saved_outputs),
        }
        _infos[op] = _words([int(facts[name]) for name in INFO])
    return _infos[op]


def _teach_entry(op: Op) -> None:
    """Let methods find the entry for no attributes without asking the table of entries."""
    words, index = _info(op), INFO.index("entry")
    if words[index] == 0:
        entry = getattr(op.entries.get(()), "__self__", None)
        if isinstance(entry, NativeEntry):
            words[index] = id(native.forever(entry))


# The number of each function among its kind, for good: who imported a builtin keeps it when the
# tier is taken away and put back.
_numbers: dict[str, dict[tuple[Any, bool], int]] = {kind: {} for kind in NUMBERED}


class _Names:
    """Gives each method and function machine code of its own: the k-th of a kind."""

    def __init__(self, code: Code, numbered: Code) -> None:
        self.learning = chosen.fronts() | set(WRITERS)  # calls that are more than their operation
        self.code = code
        self.numbered = numbered
        self.functions: dict[Any, Any] = {}

    def address(self, kind: str, op: Op | None, python: Any, reflected: bool) -> int | None:
        """The address of the code; None when all are used."""
        numbers = _numbers[kind]
        index = numbers.get((python, reflected), len(numbers))
        if index == MOST_FUNCTIONS:
            return None
        numbers[python, reflected] = index
        self.describe(f"{kind}s", index, op, python, reflected)
        return self.numbered.address(f"{kind}_{index}")

    def describe(
        self,
        table: str,
        index: int,
        op: Op | None,
        python: Any,
        reflected: bool = False,
        backward: Any = None,
    ) -> None:
        """Tell the code of this number which operation it is, and what to call when it is not.

        Without an operation its calls are remembered.
        """
        facts = {
            "info": 0 if op is None else ctypes.addressof(_info(op)),
            "learning": recall.PATIENCE + 1 if op is None or python in self.learning else 0,
            "fallback": id(native.forever(python)),
            "reflected": int(reflected),
            "written": int(python in WRITERS),
            "operands": 0 if op is None else len(op.inputs),
            "backward": id(native.forever(backward)),
            "meetings": MOST_MEETINGS if python.__name__ in recall.QUICK else MEETINGS,
        }
        words = _words([facts[name] for name in FUNCTION])
        _write_word(self.code.address(table) + 8 * index, ctypes.addressof(words))

    def method(self, name: str, op: Op | None, reflected: bool, python: Any) -> Any:
        address = self.address("method", op, python, reflected)
        if address is None:
            return python
        return native.method(Tensor, name, address, FLAGS, _doc(name, python))

    def function(self, op: Op | None, python: Any, module: str) -> Any:
        """One builtin for one Python function, whatever names it has."""
        if python not in self.functions:
            address = self.address("function", op, python, False)
            made = python if address is None else _builtin(python, address, module)
            self.functions[python] = made
            if made is not python:
                behind.keep(module, python)
        return self.functions[python]


class _Behind:
    """The Python functions that have machine code in front of them, as pickle finds them: a model
    that was made earlier holds them still. Where there are none, the public function is meant.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def keep(self, module: str, python: Any) -> None:
        name = f"{module.replace('.', '/')}/{python.__name__}"
        python.__module__, python.__qualname__ = __name__, f"behind.{name}"
        self.kept[name] = python

    def __getattr__(self, name: str) -> Any:
        if name in self.kept:
            return self.kept[name]
        module, _, function = name.rpartition("/")
        return getattr(importlib.import_module(module.replace("/", ".")), function)


behind = _Behind()


def _builtin(python: Any, address: int, module: str) -> Any:
    name = python.__name__
    return native.public_function(name, address, module, FLAGS, _doc(name, python))


def _doc(name: str, python: Any) -> str:
    """A docstring that also tells `inspect` the signature."""
    while isinstance(vars(python).get("__wrapped__"), FunctionType):
        python = python.__wrapped__
    code, defaults = python.__code__, python.__defaults__ or ()
    positional, keywords = code.co_argcount, code.co_kwonlyargcount
    names = iter(code.co_varnames)
    given = dict(
        zip(code.co_varnames[positional - len(defaults) : positional], defaults, strict=True)
    )
    given |= python.__kwdefaults__ or {}

    def shown(count: int) -> list[str]:
        return [f"{n}={given[n]!r}" if n in given else n for n in islice(names, count)]

    first, last = shown(positional), shown(keywords)
    star = [f"*{next(names)}"] if code.co_flags & CO_VARARGS else ["*"] * (keywords > 0)
    rest = [f"**{next(names)}"] if code.co_flags & CO_VARKEYWORDS else []
    parameters = ", ".join((*first, *star, *last, *rest))
    return f"{name}({parameters})\n--\n\n{python.__doc__ or ''}"


# ---- modes


class _Row:
    """A thread's place among the modes; given back when the thread ends."""

    def __init__(self, rows: Modes, index: int) -> None:
        self.rows = rows
        self.index = index
        self.thread = threading.get_ident()

    def __del__(self) -> None:
        self.rows.free(self.index)


class _Here(threading.local):
    row: _Row | None = None


class Modes:
    """The modes of the threads that changed theirs, told by bind, for machine code to read.

    A change is one store: how many rows there are to look at changes with the threads alone.
    """

    def __init__(self) -> None:
        self.here = _Here()
        self.lock = threading.RLock()  # again by the collector: a dead thread's row is given back
        self.rows: dict[int, tuple[int, int]] = {}  # index -> thread, mode
        self.words: Any = None

    def __call__(self, grad: bool, interpreter: Any) -> None:
        python = interpreter is not None or bind.mode.made is not None
        mode = (GRAD if grad else 0) | (INTERPRETED if python else 0)
        row = self.here.row
        if row is None:
            if mode == USUAL:
                return
            row = self.here.row = self.take(mode)
            return
        self.rows[row.index] = (row.thread, mode)
        if self.words is not None and row.index < MODE_ROWS:
            self.words[2 + 2 * row.index] = mode

    def grad(self, enabled: bool) -> None:
        """The same where nothing but the tape has changed."""
        row = self.here.row
        if row is None:
            bind.tell()
            return
        mode = self.rows[row.index][1] & ~GRAD | (GRAD if enabled else 0)
        self.rows[row.index] = (row.thread, mode)
        if self.words is not None and row.index < MODE_ROWS:
            self.words[2 + 2 * row.index] = mode

    def take(self, mode: int) -> _Row:
        with self.lock:
            index = next(i for i in range(len(self.rows) + 1) if i not in self.rows)
            row = _Row(self, index)
            self.rows[index] = (row.thread, mode)
            self.show()
        if index >= MODE_ROWS:
            remove()  # more threads with modes of their own than machine code can tell apart
        return row

    def free(self, index: int) -> None:
        with self.lock:
            del self.rows[index]
            self.show()

    def show(self) -> None:
        """Write all rows for machine code."""
        if self.words is None:
            return
        count = max(self.rows, default=-1) + 1
        for index in range(min(count, MODE_ROWS)):
            thread, mode = self.rows.get(index, (0, USUAL))
            self.words[2 + 2 * index] = mode
            self.words[1 + 2 * index] = thread
        self.words[0] = min(count, MODE_ROWS)

    def write_to(self, address: int | None) -> None:
        """Show the modes at this address from now on."""
        words = ctypes.c_int64 * (1 + 2 * MODE_ROWS)
        with self.lock:
            self.words = None if address is None else words.from_address(address)
            self.show()


modes = Modes()
bind.listeners.append(modes)
bind.tell_grad[:] = [modes.grad]
arm()
