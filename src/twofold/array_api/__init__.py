"""The Array API standard, 2025.12: `x.__array_namespace__()`. Floor 13.

The functions are those of `twofold` under the standard's names, arguments and results, where these
differ from PyTorch's: `max(x, axis=0)` gives values only, `nonzero` a tuple.
(https://data-apis.org/array-api/2025.12)
"""

from math import e, inf, nan, pi

from twofold.array_api import fft, linalg
from twofold.array_api.create import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from twofold.array_api.info import (
    __array_namespace_info__,
    astype,
    can_cast,
    finfo,
    iinfo,
    isdtype,
    result_type,
)
from twofold.array_api.linalg import (
    matmul,
    matrix_transpose,
    tensordot,
    vecdot,
)
from twofold.array_api.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumulative_prod,
    cumulative_sum,
    diff,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from twofold.array_api.shape import (
    argsort,
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    moveaxis,
    nonzero,
    permute_dims,
    repeat,
    reshape,
    roll,
    searchsorted,
    sort,
    squeeze,
    stack,
    take,
    take_along_axis,
    tile,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
    unstack,
)
from twofold.base.dtypes import bool_ as bool
from twofold.base.dtypes import (
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from twofold.ops.bitwise import (
    bitwise_and,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    nextafter,
)
from twofold.ops.bitwise import bitwise_not as bitwise_invert
from twofold.ops.compare import (
    clip,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    not_equal,
    signbit,
    where,
)
from twofold.ops.compare import eq as equal
from twofold.ops.complexes import (
    imag,
    real,
)
from twofold.ops.composite import (
    tanh,
)
from twofold.ops.counting import (
    isin,
)
from twofold.ops.elementwise import (
    abs,
    add,
    conj,
    multiply,
    negative,
    positive,
    reciprocal,
    sqrt,
    square,
    subtract,
)
from twofold.ops.elementwise import sgn as sign
from twofold.ops.elementwise import true_divide as divide
from twofold.ops.more_special import (
    expm1,
    log1p,
    round,
)
from twofold.ops.replacing import (
    broadcast_shapes,
)
from twofold.ops.rounding import (
    ceil,
    copysign,
    floor,
    floor_divide,
    remainder,
    trunc,
)
from twofold.ops.transcendental import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    exp,
    hypot,
    log,
    log2,
    log10,
    logaddexp,
    pow,
    sin,
    sinh,
    tan,
)

__array_api_version__ = "2025.12"
newaxis = None
