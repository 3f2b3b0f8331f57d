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

NUMBERED = ("function", "method")
MOST_FUNCTIONS = 576  # of each kind that can be installed
# What is known of an operation, as words. Never freed.
# `readers`: a byte for each input, the inputs whose gradients need its value; 0 where an operation
# has more inputs than a word has bytes.
# `several`: whether it gives a tuple of outputs; `saved_outputs`: which of these its rule needs, as
# bits.
INFO = (
    *("op", "differentiable", "saves_out", "residuals", "inputs", "readers", "entries", "entry"),
    *("several", "saved_outputs"),
)
# What a function or method is: its operation's info, the Python function, whether it is turned.
# `learning`: for functions whose calls are remembered, how many more may be looked at, plus 1.
# `written`: whether the result goes into the memory of the first operand.
# `meetings`: how often a call has to come before it is looked at.
FUNCTION = (
    *("info", "fallback", "reflected", "operands", "backward", "learning", "written", "meetings"),
)

# The modes of threads: how many rows to look at (0 while all are usual), rows of (thread, mode).
MODE_ROWS = 256
GRAD, INTERPRETED = 1, 2
USUAL = GRAD

# ---- the class Tensor

# Operators that stand in the type object itself.
OPERATOR_SLOTS = ("add", "sub", "mul", "truediv", "matmul")


# ---- calls that are remembered

RECALL_ROWS = 16384
# Calls like one before it is remembered, of most functions and of those that are quick in Python;
# the second is a power of two, less one.
MEETINGS, MOST_MEETINGS = 3, 31
RECALL_WAYS = 4  # rows where a record may stand, beginning with a multiple of this
MOST_RECALLED = 8  # arguments of a call
# Where an input comes from: the number of an argument; or of one in a list or tuple, and then the
# place in it (plus 1, times MOST_RECALLED); the number of a step of the call, plus STEP; from
# CONSTANTS on the address of a number's tensor.
STEP, CONSTANTS = 2048, 4096
# What a call gives: an operation's result, a view, its first argument after an operation went into
# its memory or after values were put into a part of it (or None), one of its arguments, a value.
# Or several views, each with a record of its own; a new tensor with the elements of an array;
# what several steps give, each with a record of its own; the argument without its history; the one
# number in it; or what only Python can say.
PLAN, VIEW, WRITE, PART, SEVERAL, NEW, STEPS, DETACHED, NUMBER, PYTHON, ARGUMENT, VALUE = range(12)
# Steps that no call is alone: one of several outputs; what Python's `run` gives for an operation;
# the state of a fresh draw; whether numbers lie in a range, and whether a truth value holds, else
# Python raises.
ITEM, RUN, DRAW, RANGE, HOLDS = range(12, 17)
MOST_STEPS = 24
# `given` of STEPS: the first argument, None, an object of a class with what some steps made;
# else what one step made.
MADE_IN_PLACE, NOTHING, TOGETHER = 1, 2, 3
# Of a NUMBER: the element types that it may be read of (`low`), and what it becomes (`high`).
NUMBER_TYPES = ("float32", "float64", "int64", "bool")
AS_FLOAT, AS_INT, AS_BOOL = range(3)
# Words of a stream: its state (seed, stream, draw), and in how many blocks calls draw from another
# one. Where they are is the `offset` of a DRAW.
DRAWS = 4

RECORD = (
    *("front", "count", "names", "kind", "info", "attrs", "entry", "inputs", "key_at", "inputs_at"),
    # of a VIEW; its element type is 0 where it is that of the argument. The `shape` of SEVERAL is a
    # tuple of types
    *("link", "shape", "inexact", "descr", "nd", "offset", "flags", "dims_at", "strides_at"),
    *("from_at", "size", "given"),  # of a PART: strides of the values, bytes of one, the result
    # the records of SEVERAL and STEPS; the default element type of a NEW and of STEPS
    *("parts_at", "default"),
    *("taped", "result"),  # of STEPS: which inputs are tracked, as bits; the step that gives it
    *("low", "high", "untaped"),  # of a RANGE; whether the tape is off for a step
    "faults",  # where a kernel notes what it found wrong, or 0
    "alone",  # of a WRITE: whether no input but the first may lie where it writes
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
AGAIN = 7  # the tensor that stands at this place, too
COMPLEX = 8  # the bits of both parts, of exactly the class complex

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


# ---- compiled functions

MOST_ARGUMENTS = 254  # leaves of a compiled call, which words about tensors tell from addresses
MOST_SOURCES = 1024  # inputs of a program: arguments, and tensors that the function found
MOST_LEAVES = 256  # of what a compiled call gives back
# A *target* is the number of an argument's leaf, or the address of a tensor.
#
# args       how many arguments come by position; `names` is the tuple of the others' names, or 0
# roots      how many arguments there are; `leaves`, of how many leaves
# moved      moved() -> a tuple of more leaves, which are found at each call; or 0
# grad       the tape's mode; `cell` is the list that holds the default element type, `default`
# eager      the object that the flag at `eager_at` must be
# errors     the list of what Python steps raised; `faults` the word that kernels write to
# tell       tell(errors), which raises what a run left there, or what a kernel noted
# accept     accept(*leaves), whether it is made for these numbers among the leaves, and for
#            the steps that optimizers are at; or 0
# prepare    Python before the run, prepare(*leaves) -> the inputs FROM_PYTHON; or 0
# resume     resume(prepared, *leaves): the rest of the call, where no plan fits after `prepare`
# check      check(inputs, results, *leaves), which raises where one of the `checks` is set
# give       give(inputs, results, *leaves): what the call gives back, where Python must; or 0
# op         of the node of results that are differentiated: rule, `nones` as versions, the first of
#            these results, and where there are `several`, a tuple of as many; 0 where there is none
# clone      the operation of nodes that were walked; `item`, that of one of several results
FRONT = (
    *("entry", "args", "names", "roots", "leaves", "moved", "grad", "cell", "default", "eager_at"),
    *("eager", "outputs", "errors", "faults", "tell", "accept", "prepare", "resume", "check"),
    *("give", "op", "nones", "differentiated", "several", "clone", "item"),
)
# Tables, whose place and number of rows follow, and the words of a row.
FRONT_TABLES = {
    "taken": 3,  # what arguments must be (TAKE_...), from the outside to the leaves
    "inputs": 3,  # where from (FROM_...), which, and a template where Python gives it
    "numbers": 4,  # the input, the leaf, the kind of number (runtime/entries.py), the descriptor
    "modules": 3,  # dict, key and the value that it must have
    "cells": 2,  # cell, and what it must hold
    "items": 3,  # list, index, and the item there; or -1, and how many there are
    "held": 2,  # targets whose gradient is there (1) or is not (0)
    "checks": 1,  # results that must be false
    "written": 1,  # targets
    "overwritten": 1,  # inputs
    "effects": 2,  # targets, the result that becomes their gradient, or -1 for none
    "behind": 2,  # the targets that `op` keeps, and whether it is differentiated by them
    "kept": 1,  # the results that its rule needs
    "told": 1,  # the leaves, which are numbers, that it needs
    "made": 3,  # what is given back (GIVE_...), which, and an object that belongs to it
    "form": 3,  # how it is put together (FORM_...), which, and of how many
}
# Leaves: a tensor (whether it is recorded); the tensor of another leaf; an object; any number of a
# class; a number (its tag and bits as in exec/keys.py); an array. And what holds them, by its class
# and how many there are: the keys of a dict come before what lies there; what Python takes apart.
TAKE_TENSOR, TAKE_AGAIN, TAKE_SAME, TAKE_NUMBER, TAKE_EXACT, TAKE_ARRAY = range(6)
TAKE_TUPLE, TAKE_LIST, TAKE_DICT, TAKE_PARTS, TAKE_KEY, TAKE_ROOT = range(6, 12)
FROM_TENSOR, FROM_ARRAY, FROM_GRADIENT, FROM_PYTHON, FROM_NUMBER = range(5)
# A result, with a node, one that was walked, a leaf that was made; one of these without a history;
# the number in a result; what a function of the leaves gives; an argument's leaf; an object.
GIVE_RESULT, GIVE_TRACKED, GIVE_WALKED, GIVE_LEAF, GIVE_DETACHED = range(5)
GIVE_NUMBER, GIVE_PYTHON, GIVE_ARGUMENT, GIVE_OBJECT = range(5, 9)
# In the order of a stack: one of the `made`; then a container of the last ones.
FORM_MADE, FORM_TUPLE, FORM_LIST, FORM_DICT, FORM_CALL = range(5)
# What the code is told when it is loaded: where the slot is, the Python function, and the functions
# that take an object apart, detach a tensor, and read an array's number.
COMPILED = ("slot", "python", "parts", "detach", "number")
