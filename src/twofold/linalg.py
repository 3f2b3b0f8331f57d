"""Linear algebra under PyTorch's names. Floor 9.

Decompositions, inverses and determinants are computed by NumPy's LAPACK and carry its guarantees,
not the numerics contract's: the same numbers on one machine with one library. Gradients of any
order are ours, by published formulas.
"""

from __future__ import annotations

from typing import Any

from twofold.base.errors import LinAlgError
from twofold.exec import tensors as _tensors
from twofold.ops.checked import cholesky_ex, inv_ex, solve_ex
from twofold.ops.decompose import (
    cholesky,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lu,
    qr,
    svd,
    svdvals,
)
from twofold.ops.ldl import ldl_factor, ldl_factor_ex, ldl_solve
from twofold.ops.linalg import (
    matmul,
)
from twofold.ops.lu_packed import lu_factor, lu_factor_ex, lu_solve
from twofold.ops.matrix import (
    cond,
    cross,
    diagonal,
    lstsq,
    matrix_exp,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    tensorinv,
    tensorsolve,
    vander,
    vecdot,
    vector_norm,
)
from twofold.ops.movement import transpose
from twofold.ops.products import outer, tensordot
from twofold.ops.reduce import sum
from twofold.ops.reflections import householder_product
from twofold.ops.solve import (
    det,
    inv,
    pinv,
    slogdet,
    solve,
    solve_triangular,
)
from twofold.ops.tensor import Tensor
from twofold.ops.with_out import out_too

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vander",
    "vecdot",
    "vector_norm",
]

# what the Array API has here, and PyTorch elsewhere, takes no `out`
_OWN = {"LinAlgError", "matrix_transpose", "outer", "tensordot", "trace"}
globals().update({name: out_too(globals()[name]) for name in __all__ if name not in _OWN})


# ---- what the Array API standard has here, and PyTorch elsewhere ---------------------------------


def matrix_transpose(x: Tensor, /) -> Tensor:
    """With the last two axes exchanged, as a view: f[..., a, b] -> f[..., b, a]."""
    return transpose(x, -2, -1)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of a diagonal of each matrix: f[..., a, b] -> f[...]."""
    return sum(diagonal(x, offset=offset), -1, dtype=dtype)


_tensors.cover()
