"""What machine code and the Python around it must agree on: words, rows, names. Floor 3.

The generators of the code are imported when it is not in the cache; this file always.
"""

from __future__ import annotations

# ---- objects

# The objects and functions that entries need, in the order of their words.
ENV = (
    "ndarray",
    "float",
    "int",
    "None",
    "True",
    "False",
    "handler",
    "PyArray_NewFromDescr",
    "PyArray_NewCopy",
)


# ---- tensors

MOST_FUNCTIONS = 224  # functions, and methods, that can be installed
# What is known of an operation, as words. Never freed.
# `readers`: a byte for each input, the inputs whose gradients need its value.
INFO = ("op", "differentiable", "saves_out", "residuals", "inputs", "readers", "entries", "entry")
# What a function or method is: its operation's info, the Python function, whether it is turned.
# `learning`: for functions whose calls are remembered, how many more may be looked at, plus 1.
FUNCTION = ("info", "fallback", "reflected", "operands", "backward", "learning")

# The modes of threads: how many rows to look at (0 while all are usual), rows of (thread, mode).
MODE_ROWS = 256
GRAD, INTERPRETED = 1, 2
USUAL = GRAD

# ---- the class Tensor

# Operators that stand in the type object itself.
OPERATOR_SLOTS = ("add", "sub", "mul", "truediv", "matmul")


# ---- calls that are remembered

RECALL_ROWS = 1024
MOST_RECALLED = 8  # arguments of a call
# Where an input comes from: the number of an argument; or of one in a list or tuple, and then the
# place in it (plus 1, times MOST_RECALLED); from here on the address of a number's tensor.
CONSTANTS = 4096
# What a call gives: an operation's result, a view, one of its arguments, a value.
PLAN, VIEW, ARGUMENT, VALUE = range(4)

RECORD = (
    *("front", "count", "names", "kind", "info", "attrs", "entry", "inputs", "key_at", "inputs_at"),
    *("link", "shape", "inexact", "nd", "offset", "flags", "dims_at", "strides_at"),
)


# ---- arguments as keys

# Patterns, by their first word, and what follows it.
SAME = 0  # the object
WHOLE = 1  # the number, of exactly the class int
FLOATING = 2  # the bits, of exactly the class float
TENSOR = 3  # descriptor, rank, sizes, strides
ITEMS = 4  # the class, how many, patterns
SLICE = 5  # the class, 3, patterns
LIST = 6  # the class, how many, patterns

DEEPEST = 3  # tuples in tuples


# ---- the walk

# Python's part, in the order of the tuple that the walk is bound to (autograd/fast.py).
HELPERS = (
    "target",  # x -> its node after a refresh, or x itself
    "hooked",  # node, g -> the gradient after the node's hooks
    "slots",  # the list of a node with several outputs or None, an item's node, g -> the list
    "check",  # node, inputs: raises where a saved value was overwritten
    "out",  # node -> what its rule sees as `out`
    "rule",  # node, g, inputs, out -> what its rule gives, as a tuple that fits
    "fitting",  # inputs, what a rule gave -> as a tuple that fits
    "fit",  # g, x -> g summed to the shape of x
    "add",
    "leaf_hooks",  # leaf, g -> the gradient after the leaf's hooks
    "accumulate",  # leaf, g: leaf.grad += g
    "item",  # the operation whose nodes pick one of several outputs
)
