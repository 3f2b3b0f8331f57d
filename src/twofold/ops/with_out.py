"""`out=` for the functions that do not take it themselves. Floor 4.

PyTorch's methods do not take it, nor do our own calls of a function: so it stands in front of the
public functions alone, `twofold.sort(x, out=(values, places))`, and costs nobody else anything.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.ops import (
    assigning,
    bitwise,
    compare,
    complexes,
    counting,
    creation,
    distances,
    elementwise,
    gather,
    joining,
    linalg,
    matrix,
    normalize,
    older,
    quantiles,
    random,
    reduce,
    replacing,
    selecting,
    solve,
    sorting,
    statistics,
    transcendental,
    triangles,
)
from twofold.ops.rules import with_out
from twofold.ops.tensor import Tensor


def out_too(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes `out=` as well: a tensor, or as many as it gives.

    Raises ArgumentError for another number of tensors, and what `with_out` raises.
    """

    @functools.wraps(function)
    def delivered(*args: Any, out: Any = None, **options: Any) -> Any:
        made = function(*args, **options)
        if out is None:
            return made
        name = function.__name__
        if isinstance(made, Tensor):
            return with_out(made, _tensors(name, out, 1)[0], name)
        places = _tensors(name, out, len(made))
        given = [with_out(m, o, name) for m, o in zip(made, places, strict=True)]
        return type(made)(*given) if hasattr(made, "_fields") else tuple(given)

    return delivered


def _tensors(name: str, out: Any, count: int) -> tuple[Tensor, ...]:
    given = (out,) if isinstance(out, Tensor) else tuple(out)
    if len(given) != count or not builtins.all(isinstance(x, Tensor) for x in given):
        what = "a tensor" if count == 1 else f"{count} tensors"
        raise ArgumentError(name, f"out= is not {what}", hint=f"out: {what}, to be written into")
    return given


# The first module that has a name has its function.
MODULES = (
    bitwise, compare, complexes, counting, creation, distances, elementwise, gather, assigning,
    joining, linalg, matrix, normalize, older, quantiles, random, reduce, replacing, selecting,
    solve, sorting, statistics, transcendental, triangles,
)  # fmt: skip
NAMES = """
all amax amin aminmax angle any argmax argmin bernoulli bucketize cholesky cholesky_inverse
cholesky_solve clamp_max clamp_min column_stack complex conj_physical cummax cummin diag diff dstack
empty float_power frexp gather histogram index_add index_copy index_reduce inverse isin isneginf
isposinf kthvalue ldexp log_softmax logical_not logit logspace logsumexp lu lu_solve lu_unpack
masked_select matmul matrix_power max median min mode msort multinomial nan_to_num nanmean nanmedian
nanquantile nonzero normal ormqr polar polygamma qr quantile rand randint randn randperm renorm
scatter scatter_add scatter_reduce searchsorted signbit slice_scatter softmax sort stack std svd
take take_along_dim topk triangular_solve var where
"""
__all__ = NAMES.split()


def _public(name: str) -> Callable[..., Any]:
    functions: Any = (getattr(m, name) for m in MODULES if name in m.__all__)
    return out_too(next(functions))


globals().update({name: _public(name) for name in __all__})
