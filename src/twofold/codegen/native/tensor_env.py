"""The objects that the Tensor tier needs: classes, constants, Python's own ways. Floor 3."""

from __future__ import annotations

from collections.abc import Mapping

from twofold.base.records import NamedTuple
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.runtime.native import Attributes

# What stands for "ask Python" where an object or null is given back; and for "always, as the
# memory of calls will not help".
NOT_COMMON, NEVER_COMMON = 1, 2
MOST_INPUTS = 64  # of an operation that machine code runs on tensors
MOST_READ = 8  # of one whose gradient needs the values of its inputs

# Filled by `core.start_tensors`, and never freed.
TENSOR_ENV = (
    "Tensor",
    "Parameter",
    "Node",
    "Op",
    "tuple",
    "Size",
    "builtin",  # the class of entries
    "ndarray",
    "float",
    "int",
    "complex",
    "slice",
    "list",
    "None",
    "True",
    "False",
    "zero",
    "empty tuple",
    "float32",  # descriptors
    "float64",
    "int64",
    "is_ours",  # code object -> bool
    "constant",  # number, array -> the 0-d tensor to compute with
    "entry_call",  # the address of an entry's function
    "PyArray_NewFromDescr",
    "PyArray_SetBaseObject",
    "PyArray_NewCopy",
    "default dtype",  # the list that holds it
    "learn",  # function, keyword names, arguments: call it and remember
    "run",  # the reference semantics of bind: op, inputs, attrs
    "types",  # arrays -> a tuple of their Types
    "item",  # the operation whose nodes pick one of several outputs
    *(f"nones {count}" for count in range(MOST_INPUTS + 1)),
)


def tensor_env(f: Function, name: str) -> Value:
    """One of these objects."""
    return f.address("tensor_env").at(TENSOR_ENV.index(name), "ptr").load("ptr")


class Slots(NamedTuple):
    """Where objects of the three classes keep their slots, and a builtin its fields (native.py)."""

    tensor: Mapping[str, int]
    node: Mapping[str, int]
    op: Mapping[str, int]
    builtin: Mapping[str, int]
    weakrefs: int
    attributes: Attributes  # of a Tensor

    def key(self) -> str:
        """Names the layout in the key of cached code."""
        parts = (self.tensor, self.node, self.op, self.builtin)
        names = [f"{name}{at}" for part in parts for name, at in sorted(part.items())]
        return "-".join(
            [*names, *map(str, (self.weakrefs, *self.attributes.words, self.attributes.values))]
        )
