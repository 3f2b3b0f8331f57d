"""What functions with attributes ask for, remembered for machine code. Floor 7.

`x.sum(1)` or `x.T` in Python look at the arguments and bind one operation. `learn` calls such a
function under an interpreter that sees what it binds. If that was one operation on the arguments
themselves, given back as it was made, a record of it goes into the table that
codegen/native/recall.py reads, and the next call like it stays in machine code. So are calls that
bind nothing and give back their tensor, or a plain value.
"""

from __future__ import annotations

import ctypes
import importlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code
from twofold.codegen.native.facts import (
    AGAIN,
    ARGUMENT,
    AS_BOOL,
    AS_FLOAT,
    AS_INT,
    CONSTANTS,
    DETACHED,
    MOST_RECALLED,
    NEW,
    NUMBER,
    NUMBER_TYPES,
    PART,
    PLAN,
    PYTHON,
    RECALL_WAYS,
    RECORD,
    SEVERAL,
    STEPS,
    VALUE,
    VIEW,
    WRITE,
)
from twofold.codegen.native.tensor_env import MOST_INPUTS
from twofold.exec.eager import Guarded
from twofold.exec.keys import TAGS, is_plain, numbers_in, pattern
from twofold.exec.planners import FACTORING
from twofold.ops import assigning, bind, methods, writers
from twofold.ops.op import Op
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, type_of
from twofold.runtime import faults, native
from twofold.runtime.entries import NativeEntry

# Functions and methods that are put behind the memory, where they exist. All of them look at
# the types and layouts of tensors and never at their values, and draw no random numbers.
REDUCTIONS = """
    sum mean prod amax amin max min argmax argmin any all logsumexp cumsum cumprod var std norm
    softmax log_softmax softmin layer_norm rms_norm group_norm
"""
ELEMENTS = """
    relu gelu silu elu selu celu leaky_relu relu6 hardtanh hardswish hardsigmoid softplus mish
    softsign logsigmoid clamp clamp_min clamp_max pow __pow__ square tril triu
    lerp addcmul addcdiv masked_fill nan_to_num __mod__ remainder fmod
    to float double half bfloat16 long int bool type
"""
PRODUCTS = """
    mm bmm mv
    linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d
    avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d grid_sample
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d
    local_response_norm fold pixel_shuffle pixel_unshuffle channel_shuffle
    scaled_dot_product_attention bilinear
"""
LOSSES = """
    mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss multi_margin_loss
    multilabel_margin_loss multilabel_soft_margin_loss hinge_embedding_loss triplet_margin_loss
    cosine_embedding_loss margin_ranking_loss kl_div binary_cross_entropy
    binary_cross_entropy_with_logits gaussian_nll_loss poisson_nll_loss soft_margin_loss
"""
VIEWS = """
    __getitem__ reshape view expand broadcast_to permute transpose swapaxes swapdims movedim
    moveaxis t squeeze unsqueeze flatten unflatten ravel narrow select diagonal unfold contiguous
    detach clone size dim ndimension numel nelement flip roll pad
    split chunk unbind tensor_split
"""
WRITES = "__setitem__ copy_ fill_ zero_"  # and all in-place methods (ops/methods.py: WRITERS)
JOINS = "cat concat concatenate stack hstack vstack dstack column_stack row_stack"
PLACES = """
    gather scatter scatter_add scatter_reduce index_add index_copy index_fill index_select index_put
    topk sort argsort median mode cummax cummin std_mean var_mean kthvalue aminmax quantile
    searchsorted bucketize cross cdist diag trace stride is_contiguous
    is_floating_point view_as type_as expand_as reshape_as
    take take_along_dim embedding one_hot index_put_ masked_select masked_scatter
"""
DRAWS = """
    rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal
    dropout dropout1d dropout2d dropout3d
    normal_ uniform_ bernoulli_ exponential_ random_ log_normal_ cauchy_ geometric_
"""
COMPOSED = """
    einsum matmul __matmul__ floor_divide __floordiv__ __rfloordiv__ div divide __rpow__ __rmod__
    add sub mul where __add__ __sub__ __mul__ __truediv__ __radd__ __rsub__ __rmul__ __rtruediv__
    __and__ __or__ __xor__ __lshift__ __rshift__ __lt__ __le__ __gt__ __ge__ __eq__ __ne__
    view_as_real view_as_complex angle polar complex
    relu_ elu_ selu_ celu_ leaky_relu_ threshold_ hardtanh_ rrelu_ threshold
    outer ger dot vdot inner tensordot kron addmm baddbmm addmv addr chain_matmul
    cosine_similarity normalize pairwise_distance interpolate pdist prelu glu
    nansum nanmean logaddexp renorm diag_embed diagonal_scatter select_scatter slice_scatter
    rot90 msort diff repeat_interleave tile frexp logcumsumexp isin isclose cov corrcoef dist
    matrix_norm vector_norm multi_dot matrix_power block_diag
    fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn hfft ihfft fftshift
    ifftshift
"""
CREATIONS = """
    zeros ones empty full arange linspace eye
    tril_indices triu_indices
    zeros_like ones_like empty_like full_like new_zeros new_ones new_empty new_full
"""
NAMES = {
    name
    for part in (
        *(REDUCTIONS, ELEMENTS, PRODUCTS, LOSSES, VIEWS, WRITES, JOINS, PLACES, DRAWS, COMPOSED),
        CREATIONS,
    )
    for name in part.split()
} | {"item", "__float__", "__int__", "__bool__", "__index__"}
MADE, LIKE = CREATIONS.split(), ("zeros_", "ones_", "empty_", "full_", "new_")
# Methods that give a tensor's one number as Python's, and as what: None for what its type is.
NUMBERS = {"item": None, "__float__": AS_FLOAT, "__int__": AS_INT, "__bool__": AS_BOOL}
NUMBERS |= {"__index__": AS_INT}
OF_NUMBERS = {vars(Tensor)[name]: wanted for name, wanted in NUMBERS.items()}
MOST_BYTES = 4096  # of a tensor that is kept to be copied
MORE_BYTES, ALL_BYTES = 1 << 16, 1 << 23  # and of larger ones, as long as all of them are few
FINDER = "twofold.exec.recalled_writes"  # imported for the first of these calls
STEPPER = "twofold.exec.recalled_steps"  # likewise
PARTS = (assigning.setitem, writers.copy_, writers.fill_, writers.zero_)
DETACH = methods.detach  # as it is before machine code stands in front of it
# And functions that only gradient rules call.
INNER = tuple(("twofold.ops.movement", name) for name in ("expand", "permute", "transpose"))
PROPERTIES = ("T", "mT", "shape", "dtype", "ndim", "real", "imag")
# What Python answers more quickly than a record is written.
QUICK = {*PROPERTIES, "size", "dim", "ndimension", "numel", "nelement", "stride", "is_contiguous"}
QUICK |= {"is_floating_point"}
PATIENCE = 512  # calls of one function that are looked at
MOST_REFUSED = 8  # times that a record of steps is written again
KIND, TAPED, KEY_AT = (RECORD.index(word) for word in ("kind", "taped", "key_at"))


class Recorder:
    """An interpreter that runs everything eagerly and remembers what it was.

    seen   operations with their inputs and attributes; `results` are what they gave, and `grads`
           whether the tape was on
    notes  what else there is to do (ops/bind.py: remark), and before which operation
    """

    def __init__(self, run: Callable[..., Any]) -> None:
        self.eager = run
        self.seen: list[tuple[Op, tuple[Tensor, ...], tuple[Any, ...]]] = []
        self.results: list[Any] = []
        self.grads: list[bool] = []
        self.notes: list[tuple[int, str, tuple[Any, ...]]] = []
        self.made: Any = None

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        self.seen.append((op, inputs, attrs))
        self.grads.append(bind.mode.grad)
        self.made = self.eager(op, inputs, attrs)
        self.results.append(self.made)
        return self.made

    def remark(self, what: str, *facts: Any) -> None:
        self.notes.append((len(self.seen), what, facts))

    @property
    def tells(self) -> bool:
        """Whether there are notes, and not only that a call alone made its result from sizes."""
        return any(self.seen or kind != "known" for _, kind, _ in self.notes)

    def names_several(self, made: Any) -> bool:
        """Whether the outputs of one operation, which are no views, were given; or in an object of
        another class.
        """
        op = self.seen[0][0] if self.seen else None
        return op is not None and op.outputs != 1 and not (op.view and type(made) is tuple)

    def noted(self, what: str) -> bool:
        return any(kind == what for _, kind, _ in self.notes)


class Call(NamedTuple):
    """What was called with what, and what it gave."""

    python: Any
    names: tuple[str, ...] | None
    args: tuple[Any, ...]
    made: Any


class Memory:
    """The table of records, and the objects that they refer to."""

    def __init__(self, code: Code, run: Callable[..., Any], info: Callable[[Op], int]) -> None:
        self.table = code.address("recalls")
        pointers = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        self.row = ctypes.PYFUNCTYPE(ctypes.c_int64, *pointers)(code.address("recall_row"))
        self.last: Call | None = None  # that was remembered
        self.run = run
        self.info = info
        # Machine code may look at the table to the end: what is in it is never given up at exit.
        self.kept: dict[int, Any] = native.forever({})
        self.copied = 0  # bytes of larger tensors that are kept to be copied
        self.turn = 0  # which of the rows gives way next
        self.replaced: deque[Any] = native.forever(deque(maxlen=256))
        self.met_all = ctypes.c_int64.from_address(code.address("met_all"))
        self.refused: dict[int, int] = {}  # rows whose records machine code does not take

    def learn(self, python: Any, names: tuple[str, ...] | None, *args: Any) -> Any:
        """python(*args), the last ones by keyword; remembered if it can be."""
        if python in PARTS and not _has_positions(args):
            return self.learn_part(python, names, args)
        split = len(args) - len(names or ())
        recorder = Recorder(self.run)
        with bind.interpreter(recorder):
            made = python(*args[:split], **dict(zip(names or (), args[split:], strict=True)))
        if any(stands_in(x.array) for _, x in tensors_in(args)):
            return made
        call = Call(python, names, args, made)
        more = recorder.tells or len(recorder.seen) > 1 or recorder.grads == [not bind.mode.grad]
        if python in OF_NUMBERS:
            self.remember_number(call)
        elif more or recorder.names_several(made):
            self.remember_steps(call, recorder)
        elif not recorder.seen:
            if python not in writers.WRITERS:  # which count a write, whatever it is of
                self.remember_known(call)
        elif len(recorder.seen) == 1 and made is recorder.made:
            self.remember(call, *recorder.seen[0])
        elif len(recorder.seen) == 1 and made is args[0]:
            self.remember_write(call, recorder.made, *recorder.seen[0])
        if self.last is not call and not recorder.noted("once"):
            self.remember_nothing(call)
        self.last = None
        return made

    def remember_steps(self, call: Call, recorder: Recorder) -> None:
        """Write a record of a call that took several steps."""
        found = importlib.import_module(STEPPER).find_steps(call, recorder, self.info)
        if found is not None:
            places, parts, facts, holds = found
            facts |= {"kind": STEPS, "attrs": id(holds), "default": id(dtypes.default_dtype())}
            if self.is_refused(call, facts["taped"]):
                return
            self.write(call, places, facts, (holds, dtypes.default_dtype()), parts)

    def is_refused(self, call: Call, taped: int) -> bool:
        """Whether machine code did not take a call like this one although there was a record."""
        for row in self.rows_of(call):
            known = self.kept.get(row)
            if known is None or known[0][KIND] != STEPS or known[0][TAPED] != taped:
                continue
            if known[1] is call.python and known[4] == [_without_tensors(x) for x in call.args]:
                self.refused[row] = self.refused.get(row, 0) + 1
                return self.refused[row] > MOST_REFUSED
        return False

    def row_for(self, call: Call, key: list[int], facts: dict[str, int]) -> int | None:
        """The row for a record: that of the same call, an empty one, or that of another call."""
        rows = self.rows_of(call)
        for row in rows:
            known = self.kept.get(row)
            if known is None:
                return row
            at = known[0][KEY_AT]
            same = known[1:3] == (call.python, call.names) and known[0][at : at + len(key)] == key
            # Steps with other inputs on the tape are others; they stand side by side.
            other = known[0][KIND] == facts["kind"] == STEPS and known[0][TAPED] != facts["taped"]
            if same and not other:
                return row
        self.turn += 1
        return rows[self.turn % RECALL_WAYS] if rows else None

    def rows_of(self, call: Call) -> range:
        """The rows where a record of this call may stand, in which machine code looks in order."""
        given = (ctypes.py_object * len(call.args))(*call.args)
        names_at = None if call.names is None else id(call.names)
        address = ctypes.addressof(given)
        first = int(self.row(id(call.python), address, len(call.args), names_at))
        return range(first, first + RECALL_WAYS) if first >= 0 else range(0)

    def learn_part(self, python: Any, names: tuple[str, ...] | None, args: tuple[Any, ...]) -> Any:
        """The same for a function that puts values into a part of its first argument."""
        if names is not None:
            return python(
                *args[: -len(names)], **dict(zip(names, args[-len(names) :], strict=True))
            )
        made = python(*args)
        if bind.mode.grad and args[0].tracked:  # which machine code leaves to Python
            return made
        found = importlib.import_module(FINDER).find_part(python, args)
        if found is not None:
            parts, facts, values = found
            bind.current(values)  # it may be a view of what was written
            source = next((k for k, arg in enumerate(args) if arg is values), id(values))
            facts |= {"kind": PART, "given": int(made is not None)}
            held = values if source >= CONSTANTS else None  # a number's tensor
            self.write(Call(python, names, args, made), [source], facts, held, parts)
        return made

    def remember_write(
        self, call: Call, new: Any, op: Op, inputs: tuple[Tensor, ...], attrs: Any
    ) -> None:
        """Write a record of a call that put what this operation gave into its first argument."""
        x = call.made
        old = [x if given.array is x.array else given for given in inputs]  # not a snapshot
        facts = result_of(op, tuple(old), attrs, new) if callable(op.lower) else None
        if facts is not None and facts.get("faults"):
            return
        places = _places(call.args, tuple(old))
        fits = new.array.dtype is x.array.dtype and new.array.shape == x.array.shape
        if places is None or facts is None or not fits or facts["kind"] != PLAN:
            return
        facts |= {"kind": WRITE, "info": self.info(op), "attrs": id(attrs), "inputs": len(inputs)}
        numbers = [x for x, place in zip(inputs, places, strict=True) if place >= CONSTANTS]
        self.write(call, places, facts, (numbers, attrs, op.entries.get(op.key(attrs))))

    def remember(self, call: Call, op: Op, inputs: tuple[Tensor, ...], attrs: Any) -> None:
        """Write a record of a call that bound this operation, if it is of a kind to remember."""
        if type(call.made) is tuple:
            self.remember_views(call, op, inputs, attrs)
            return
        places = _places(call.args, inputs)
        facts = result_of(op, inputs, attrs, call.made)
        if (
            places is None
            or facts is None
            or (facts["kind"] == VIEW and places[0] >= MOST_RECALLED)
        ):
            return
        numbers = [x for x, place in zip(inputs, places, strict=True) if place >= CONSTANTS]
        link, entry = ((op, attrs),), op.entries.get(op.key(attrs))
        shape = tuple(call.made.array.shape)
        facts |= {
            "info": self.info(op),
            "attrs": id(attrs),
            "inputs": len(inputs),
            "link": id(link),
            "shape": id(shape),
        }
        self.write(call, places, facts, (numbers, attrs, link, shape, entry))

    def remember_views(
        self, call: Call, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]
    ) -> None:
        """Write a record of a call that gave several views of its tensor."""
        places = _places(call.args, inputs)
        if places is None or len(places) != 1 or places[0] >= MOST_RECALLED:
            return
        found = views_of(op, inputs, attrs, call.made, self.info(op))
        if found is not None:
            whole, parts, kept = found
            self.write(call, places, whole, kept, {"parts_at": parts})

    def remember_new(self, call: Call) -> None:
        """Write a record of a call that made a small tensor from sizes and numbers alone."""
        array, like = call.made.array, call.python.__name__.startswith(LIKE)
        tensors = [k for k, arg in enumerate(call.args) if isinstance(arg, Tensor)]
        if tensors != ([0] if like else []) or type(call.made) is not Tensor:
            return
        if type(array) is not np.ndarray or array.nbytes > MORE_BYTES:
            return
        if array.nbytes > MOST_BYTES:
            self.copied += array.nbytes
            if self.copied > ALL_BYTES:
                return
        if not array.flags.c_contiguous or not array.flags.writeable or call.made is call.args[0]:
            return
        own, default = array.copy(), dtypes.default_dtype()
        facts = {"kind": NEW, "entry": id(own), "default": id(default)}
        self.write(call, [], facts | {"given": int(call.made.tracked)}, (own, default))

    def remember_nothing(self, call: Call) -> None:
        """Write that a call like this is Python's, unless it may be another one the next time."""
        tensors = [x for _, x in tensors_in(call.args)]
        twice = len({id(x) for x in tensors}) < len(tensors)
        if not twice and all(x.array.flags.writeable for x in tensors):
            self.write(call, [], {"kind": PYTHON}, None)

    def remember_number(self, call: Call) -> None:
        """Write a record of a call that gave the number in its tensor."""
        if len(call.args) != 1 or not isinstance(call.args[0], Tensor):
            return
        array, wanted = call.args[0].array, OF_NUMBERS[call.python]
        if type(array) is not np.ndarray or array.dtype.name not in NUMBER_TYPES:
            return
        kind = NUMBER_TYPES.index(array.dtype.name)
        if wanted is None:
            wanted = {"f": AS_FLOAT, "i": AS_INT, "b": AS_BOOL}[array.dtype.kind]
        if array.dtype.isnative and not (wanted == AS_INT and array.dtype.kind == "f"):
            self.write(call, [0], {"kind": NUMBER, "low": kind, "high": wanted}, None)

    def remember_known(self, call: Call) -> None:
        """Write a record of a call that gave its tensor back, a new one, or a value."""
        if call.python.__name__ in MADE:
            if call.args and isinstance(call.made, Tensor):
                self.remember_new(call)
            return
        tensors = [k for k, arg in enumerate(call.args) if isinstance(arg, Tensor)]
        if len(tensors) != 1:
            return
        if call.made is call.args[tensors[0]]:
            self.write(call, tensors, {"kind": ARGUMENT}, None)
        elif call.python is DETACH:
            self.write(call, tensors, {"kind": DETACHED}, None)
        elif is_plain(call.made):
            self.write(call, [], {"kind": VALUE, "entry": id(call.made)}, call.made)

    def write(
        self,
        call: Call,
        places: list[int],
        facts: dict[str, int],
        holds: Any,
        parts: dict[str, list[int]] | None = None,
    ) -> None:
        """Put a record into the table, unless an argument may mean something else tomorrow."""
        patterns = [numbers_in(arg) or pattern(arg) for arg in call.args]
        for k, first in again_in(call.args).items():
            patterns[k] = [AGAIN, first]
        if len(call.args) > MOST_RECALLED or None in patterns:
            return
        key = [word for words in patterns if words is not None for word in words]
        row = self.row_for(call, key, facts)
        if row is None:
            return
        names_at = 0 if call.names is None else id(call.names)
        facts |= {"front": id(call.python), "count": len(call.args), "names": names_at}
        words = encode({"key_at": key, "inputs_at": places} | (parts or {}), facts, call.made)
        record = (ctypes.c_int64 * len(words))(*words)
        old, self.last = self.kept.get(row), call
        known = [_without_tensors(arg) for arg in call.args]
        self.kept[row] = record, call.python, call.names, holds, known
        ctypes.c_int64.from_address(self.table + 8 * row).value = ctypes.addressof(record)
        # A call that stands in the middle of a view may still read the old record.
        self.replaced.append(old)


def _has_positions(args: tuple[Any, ...]) -> bool:
    """Whether the key of x[key] = y has tensors or lists in it."""
    keys = args[1] if len(args) == 3 and type(args[1]) is tuple else args[1:2]
    return len(args) == 3 and any(isinstance(k, Tensor | list) for k in keys)


def _places(args: tuple[Any, ...], inputs: tuple[Tensor, ...]) -> list[int] | None:
    """Where each input comes from: the number of an argument, or the address of a constant.

    None if there is another input, or if an argument is no input.
    """
    again = again_in(args)
    given = {k: x for k, x in tensors_in(args) if k not in again}
    made = [next((k for k, arg in given.items() if arg is x), -1) for x in inputs]
    # By identity: one tensor that is given twice must not stand for two that differ.
    if not given or {k for k in made if k >= 0} != given.keys():
        return None
    tensors = list(given.values())
    for index, x in enumerate(inputs):
        if made[index] < 0:
            if not is_number(x) or any(np.shares_memory(x.array, t.array) for t in tensors):
                return None
            made[index] = id(x)
    return made


def again_in(args: tuple[Any, ...]) -> dict[int, int]:
    """The arguments that are a tensor which stands before them, too, and where."""
    first = {id(arg): k for k, arg in reversed(list(enumerate(args)))}
    found = {k: first[id(arg)] for k, arg in enumerate(args) if isinstance(arg, Tensor)}
    return {k: at for k, at in found.items() if at != k}


def tensors_in(args: tuple[Any, ...]) -> Iterator[tuple[int, Tensor]]:
    """The tensors among the arguments and in lists and tuples of them, with their places."""
    for k, arg in enumerate(args):
        if isinstance(arg, Tensor):
            yield k, arg
        elif type(arg) in TAGS:
            met: set[int] = set()  # one that is given again has a pattern that says so
            for i, x in enumerate(arg):
                if isinstance(x, Tensor) and id(x) not in met:
                    met.add(id(x))
                    yield k + (i + 1) * MOST_RECALLED, x


def _without_tensors(arg: Any) -> Any:
    """What a pattern of this argument points to, which must stay alive."""
    if isinstance(arg, Tensor):
        return arg.array.dtype
    return tuple(map(_without_tensors, arg)) if type(arg) in TAGS else arg


def is_number(x: Tensor) -> bool:
    """Whether a tensor is a number that the function made from its arguments."""
    plain = type(x) is Tensor and x.base is None and not x.tracked
    return plain and type(x.array) is np.ndarray and x.array.ndim == 0


def result_of(
    op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], made: Any, several: bool = False
) -> dict[str, int] | None:
    """What the record tells of the result; None if machine code could not make it."""
    if type(made) is not Tensor or (op.outputs != 1) != several or len(inputs) > MOST_INPUTS:
        return None
    source, array = inputs[0].array, made.array
    inexact = int(array.dtype.kind in "fcV" and op.vjp is not None)
    if made.base is None:
        plan = plan_of(op, attrs, made)
        return None if plan is None else plan | {"inexact": inexact}
    known_type = array.dtype is source.dtype or array.dtype is np.dtype(array.dtype.type)
    if len(inputs) != 1 or array.size == 0 or not known_type or op.saves_out:
        return None
    if array.flags.writeable and not source.flags.writeable:
        return None
    flags = native.WRITEABLE if array.flags.writeable == source.flags.writeable else 0
    offset = array.ctypes.data - source.ctypes.data
    return {
        "kind": VIEW,
        "inexact": inexact,
        "descr": 0 if array.dtype is source.dtype else id(array.dtype),
        "nd": array.ndim,
        "offset": offset,
        "flags": flags,
    }


def plan_of(op: Op, attrs: tuple[Any, ...], made: Tensor) -> dict[str, int] | None:
    """The same of an operation whose (first) output this is, if machine code has its plans."""
    known = op.entries.get(op.key(attrs))
    # of floats no divisor is noted, but a matrix is
    noting = isinstance(known, Guarded) and (made.array.dtype.kind != "f" or op.name in FACTORING)
    entry = getattr(known.entry if isinstance(known, Guarded) else known, "__self__", None)
    if op.view or not isinstance(entry, NativeEntry):
        return None
    return {"kind": PLAN, "entry": id(entry), "faults": faults.address() if noting else 0}


def views_of(
    op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], made: tuple[Any, ...], info: int
) -> tuple[dict[str, int], list[int], tuple[Any, ...]] | None:
    """What the record of several views of one tensor tells, their records, and what must be kept;
    None where machine code could not make one of them.
    """
    parts: list[int] = []
    holds: list[Any] = [attrs]
    inexact = 0
    for index, x in enumerate(made):
        facts = result_of(op, inputs, attrs, x, several=True)
        if facts is None or facts["kind"] != VIEW:
            return None
        inexact |= facts["inexact"]
        link = (op, attrs), (bind.ITEM, (index,))
        facts |= {"info": info, "attrs": id(attrs), "link": id(link), "inexact": 0}
        words = encode({}, facts, x)
        record = (ctypes.c_int64 * len(words))(*words)
        parts.append(ctypes.addressof(record))
        holds += [record, link]
    types = tuple([type_of(x) for x in made])
    kept = (*holds, types)
    whole = {"kind": SEVERAL, "size": len(parts), "attrs": id(kept), "shape": id(types)}
    return whole | {"inexact": inexact}, parts, kept


def encode(parts: dict[str, list[int]], facts: dict[str, int], made: Any) -> list[int]:
    words = [0] * len(RECORD)
    if facts["kind"] == VIEW:
        parts |= {"dims_at": list(made.array.shape), "strides_at": list(made.array.strides)}
    for name, part in parts.items():
        facts[name] = len(words)
        words += part
    words[: len(RECORD)] = [facts.get(name, 0) for name in RECORD]
    return words
