"""Every operation has a kernel for every element type, but for what the table names."""

import numpy as np
import pytest
from records import RECORDS, accepted, recast, samples_of, several

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.native import core
from twofold.exec import planners
from twofold.exec.eager import run_reference
from twofold.lower.schedule import Arg
from twofold.ops import control
from twofold.ops.bind import ITEM, bind
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap
from twofold.ops.writing import VIEW_SCATTER
from twofold.runtime.program import run_plan

core.start()  # kernels of sequences call its pool
DEFINED_LATER = control  # importing the file enters its operations into the table


def arg_of(array):
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Arg(array.shape, dtypes.of(array.dtype), strides)


def cases(op):
    """(inputs, attributes, types, output types) of every sample in every element type."""
    for dtype in accepted(op):
        for _, inputs, attrs in samples_of(op, dtype):
            arrays = recast(op, inputs, dtype)
            types = [Type(a.shape, dtypes.of(a.dtype)) for a in arrays]
            yield arrays, attrs, types, several(op.infer(*types, **op.keywords(attrs)))


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_kernel_is_missing_where_the_table_says_so_and_nowhere_else(name):
    op = OPS[name]
    planner = planners.planner(op)
    for arrays, attrs, types, outs in cases(op):
        plan = planner(tuple(map(arg_of, arrays)), outs, op.keywords(attrs), 1)
        why = planners.missing(op, [t.dtype for t in types], [o.dtype for o in outs])
        assert (plan is None) == (why is not None), (types, attrs, why)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_no_plan_copies_an_input_that_lies_in_c_order(name):
    op = OPS[name]
    for arrays, attrs, types, outs in cases(op):
        args = tuple(arg_of(np.array(array, order="C")) for array in arrays)
        plan = planners.planner(op)(args, outs, op.keywords(attrs), 1)
        assert plan is None or plan.contiguous == (), (types, attrs)


def test_the_table_names_operations_and_nothing_twice():
    assert set(planners.NO_KERNEL) <= set(OPS)
    assert set(planners.NO_TYPE) <= set(OPS)
    assert not set(planners.NO_KERNEL) & set(planners.NO_TYPE)
    assert all(OPS[name].lower is None for name in planners.NO_KERNEL)


def test_every_name_that_records_give_is_planned_in_one_file():
    given = {op.lower for op in OPS.values() if isinstance(op.lower, str)}
    assert given <= set(planners.HOME), given - set(planners.HOME)


@pytest.mark.parametrize("name", ["add", "eq", "where", "cast"])
def test_no_elementwise_kernel_takes_uint64(name):
    op = OPS[name]
    assert planners.missing(op, [dtypes.uint64] * 2, [dtypes.uint64]) == planners.UINT64
    assert planners.missing(op, [dtypes.int64] * 2, [dtypes.int64]) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "bool", "complex128"])
def test_writes_through_chains_of_views(dtype):
    kind = dtypes.by_name(dtype)
    base = dtypes.convert(np.arange(24.0).reshape(4, 6), kind)
    chains = [
        ((OPS["permute"], ((1, 0),)),),
        ((OPS["reshape"], ((2, 12),)), (OPS["permute"], ((1, 0),))),
        ((OPS["permute"], ((1, 0),)), (OPS["reshape"], ((24,),))),
        ((OPS["unbind"], (1,)), (ITEM, (2,))),
        ((OPS["diagonal"], (1, 0, 1)),),
    ]
    for chain in chains:
        shown = base
        for op, attrs in chain:
            shown = shown[attrs[0]] if op is ITEM else op.ref(shown, **op.keywords(attrs))
        part = dtypes.convert(-np.arange(float(shown.size)).reshape(shown.shape), kind)
        for array in (base, np.asfortranarray(base), base[:, ::-1]):
            got = bind(VIEW_SCATTER, (wrap(array.copy()), wrap(part)), (chain,)).array
            want = VIEW_SCATTER.ref(np.ascontiguousarray(array), part, chain=chain)
            assert got.tobytes() == np.ascontiguousarray(want).tobytes(), chain
    args = (arg_of(base), arg_of(part))
    outs = (Type(base.shape, kind),)
    assert planners.planner(VIEW_SCATTER)(args, outs, {"chain": chain}, 1) is not None


def test_writes_into_parts_of_complex_numbers():
    base = (np.arange(6.0) + 1j * np.arange(6.0, 12.0)).reshape(2, 3).astype(np.complex64)
    part = -np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
    want = part + 1j * base.imag
    got = bind(VIEW_SCATTER, (wrap(base), wrap(part)), (((OPS["real"], ()),),)).array
    assert got.tobytes() == want.tobytes()
    turned = ((OPS["permute"], ((1, 0),)), (OPS["reshape"], ((6,),)), (OPS["imag"], ()))
    got = bind(VIEW_SCATTER, (wrap(base), wrap(part.reshape(6))), (turned,)).array
    want = base.real + 1j * part.reshape(3, 2).T
    assert got.tobytes() == np.ascontiguousarray(want).tobytes()


VIEWS = sorted(n for n, op in RECORDS.items() if op.view)


@pytest.mark.parametrize("name", VIEWS)
def test_a_views_plan_copies_what_the_view_shows(name):
    op = OPS[name]
    core.start()
    for arrays, attrs, _, outs in cases(op):
        (array,) = arrays
        beside = name in ("view_as_complex", "view_dtype")  # what they see lies side by side
        turned = array if beside else np.array(array, order="F")
        for given in (array, turned):
            want = several(op.ref(given, **op.keywords(attrs)))
            plan = planners.planner(op)((arg_of(given),), outs, op.keywords(attrs), 1)
            got = several(run_plan(plan, outs, [given]))
            for a, b in zip(got, want, strict=True):
                assert a.tobytes() == np.ascontiguousarray(b).tobytes(), (attrs, array.dtype)


def test_halves_are_computed_in_float32_and_rounded_once():
    random = np.random.default_rng(0)
    x = random.normal(size=(5, 7, 9)).astype(np.float16)
    for name, attrs in (("softmax", (2,)), ("logsumexp", ((1,), False)), ("cumsum", (1,))):
        op = OPS[name]
        got = bind(op, (wrap(x),), attrs).array
        wide = bind(op, (wrap(x.astype(np.float32)),), attrs).array
        assert got.dtype == np.float16
        assert got.tobytes() == wide.astype(np.float16).tobytes(), name


# What IEEE 754 and NumPy round to one answer (DESIGN.md, N1), and what moves elements.
EXACT = (
    "add sub mul div neg abs square reciprocal sqrt sign zeros_like copysign floor ceil trunc round"
)
EXACT += " eq ne lt le gt ge isnan isinf isfinite isposinf isneginf signbit isreal where maximum"
EXACT += " minimum fmax fmin clamp_min clamp_max clamp heaviside relu hardtanh threshold cast frexp"
EXACT += " logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor"
EXACT += " bitwise_not bitwise_left_shift bitwise_right_shift gcd lcm nextafter fmod remainder"
EXACT += " floor_divide argmax argmin amax amin any all cummax cummin sort topk median_place median"
EXACT += " nanmedian searchsorted isin take gather clone cat flip roll pad tril triu diag_embed"
EXACT += " slice_scatter max_pool max_pool_with_indices cumsum"


@pytest.mark.parametrize("name", EXACT.split())
def test_kernels_give_the_bits_of_the_reference(name):
    op = OPS[name]
    compared = 0
    for arrays, attrs, _, _ in cases(op):
        if any(a.dtype.kind == "c" for a in arrays):
            continue
        want = several(run_reference(op, tuple(arrays), op.keywords(attrs)))
        got = several(bind(op, tuple(wrap(a.copy()) for a in arrays), attrs))
        for made, right in zip(got, want, strict=False):
            assert same_bits(made.array, right), (arrays[0].dtype, attrs)
            compared += 1
    assert compared


def same_bits(a, b):
    """The same elements to the bit; a NaN is any NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    wide = [dtypes.to_float32(x) if x.dtype == dtypes.BFLOAT16 else x for x in (a, b)]
    nan = [x != x for x in wide]
    x, y = (np.where(n, np.zeros((), w.dtype), w) for n, w in zip(nan, wide, strict=True))
    return (nan[0] == nan[1]).all() and x.tobytes() == y.tobytes()
