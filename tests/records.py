"""Records as tests want them: their samples, in every element type that they take."""

import math

import numpy as np

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.ops.formula import FORMULAS, derivative
from twofold.ops.op import OPS, Op, import_all
from twofold.ops.solve import PRECISE

import_all()

# Records whose attributes are no plain values: shown by tests of what they serve.
INTERNAL = {"item_of", "view_scatter"}
for _name, _formula in list(FORMULAS.items()):
    for _index in range(0 if "_by_" in _name else len(OPS[_name].inputs)):
        if not _formula.slopes or _formula.slopes[_index] is not None:
            derivative(OPS[_name], _index)

# Halves have no complex type here.
NO_HALVES = {"complex", "view_as_complex", "view_dtype", "rfft"}
NO_HALVES |= {
    "inv",
    "pinv",
    "pinv_within",
    "cofactors",
    "det",
    "slogdet",
    "solve",
    "solve_triangular",
    "cholesky",
}
NO_HALVES |= {"ldl_factor", "ldl_solve", "qr", "geqrf", "lu", "eigh", "eig", "svd", "matrix_exp"}

RECORDS = {name: op for name, op in OPS.items() if name not in INTERNAL}
DTYPES = (
    dtypes.float32,
    dtypes.float64,
    dtypes.float16,
    dtypes.bfloat16,
    dtypes.int64,
    dtypes.int32,
    dtypes.uint8,
    dtypes.bool_,
    dtypes.complex64,
    dtypes.complex128,
)


def samples_of(op: Op, dtype=dtypes.float64):
    """(sample, inputs, attributes) of each sample that suits a type."""
    random = np.random.default_rng(math.prod(map(ord, op.name[:6])) % 1000)
    for sample in op.samples(random) if op.samples else []:
        count = len(sample.args) - len(op.attrs)
        inputs = [np.asarray(a) for a in sample.args[:count]]
        if dtype.is_floating_point or all(np.isfinite(a).all() for a in inputs):
            yield sample, inputs, tuple(sample.args[count:])


def recast(op: Op, inputs, dtype):
    """The inputs in another type: the floating ones, or all where no floats are taken."""
    kinds = "fc" if set(op.accepts) & set("fc") else "bui"
    return [_as(a, dtype) if a.dtype.kind in kinds else a for a in inputs]


def _as(array, dtype):
    if dtype.is_complex and array.dtype.kind != "c":
        # a second part that is no multiple of the first
        tame = np.clip(np.nan_to_num(array), -4, 4)
        other = np.roll(tame.ravel(), 1).reshape(array.shape) * 0.5
        return np.asarray(tame + 1j * other, dtype.numpy)
    if dtype.is_floating_point or dtype.is_complex:
        return dtypes.convert(array, dtype)
    whole = np.rint(np.nan_to_num(array.real * 3, nan=0, posinf=7, neginf=-7))
    if dtype.kind in "ub":
        whole = np.abs(whole)
    return np.asarray(np.clip(whole, -100, 100), dtype.numpy)


def several(made):
    return tuple(made) if isinstance(made, tuple | list) and not isinstance(made, Type) else (made,)


def accepted(op: Op):
    """The element types that a record is tested in; those of derivatives are few, they are many."""
    if "_by_" in op.name:
        return DTYPES[:2]
    if op.name in NO_HALVES:
        return tuple(d for d in DTYPES if d in PRECISE and d.kind in op.accepts)
    integral_only = not set(op.accepts) & set("fc")
    kinds = "bui" if integral_only else op.accepts
    return tuple(dtype for dtype in DTYPES if dtype.kind in kinds and dtype.kind in op.accepts)
