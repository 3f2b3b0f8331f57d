"""Every record of the table, against its reference, PyTorch, and finite differences.

A record is called here as it stands in the table: its inputs, then its attributes. The public
functions (promotion, defaults, overloads) have tests of their own.
"""

import numpy as np
import pytest
from gradients import check
from records import RECORDS, accepted, recast, samples_of, several

import twofold
from twofold.base import dtypes
from twofold.base.types import Type
from twofold.exec.eager import run_reference
from twofold.ops.bind import bind
from twofold.ops.op import OPS, Op
from twofold.ops.tensor import wrap

try:
    import torch
except ImportError:
    torch = None

# Where PyTorch gives something else on special numbers (NaN, infinities, 1e-40), and why.
OTHERWISE = {
    "sinc": "PyTorch's is NaN at infinity",
    "signbit": "the sign of a NaN is kept in bfloat16",
    "gelu": "PyTorch's is NaN at infinity on some CPUs",
    "fmod": "PyTorch's is NaN for divisors of 1e-40",
    "remainder": "PyTorch's is NaN for divisors of 1e-40",
}

TOLERANCE = {
    dtypes.float64: 1e-12,
    dtypes.float32: 4e-6,
    dtypes.float16: 4e-3,
    dtypes.bfloat16: 4e-2,
    dtypes.complex64: 1e-5,
    dtypes.complex128: 1e-12,
}


def plain(array):
    return dtypes.to_float32(array) if array.dtype == dtypes.BFLOAT16 else array


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_result_is_the_reference(name):
    op = OPS[name]
    for dtype in accepted(op):
        for _, inputs, attrs in samples_of(op, dtype):
            compare_with_reference(op, recast(op, inputs, dtype), attrs)


def compare_with_reference(op: Op, arrays, attrs):
    expected = several(run_reference(op, tuple(arrays), op.keywords(attrs)))
    types = [Type(a.shape, dtypes.of(a.dtype)) for a in arrays]
    promised = several(op.infer(*types, **op.keywords(attrs)))
    given = [Type(a.shape, dtypes.of(a.dtype)) for a in expected]
    assert list(promised) == given, (op, types)
    made = several(bind(op, tuple(wrap(a.copy()) for a in arrays), attrs))
    for got, want in zip(made, expected, strict=False):
        assert got.array.dtype == want.dtype, types
        rtol = TOLERANCE.get(got.dtype, 0)
        np.testing.assert_allclose(plain(got.array), plain(want), rtol, rtol / 4, str(types))


def to_torch(array):
    if array.dtype == dtypes.BFLOAT16:
        return torch.from_numpy(dtypes.to_float32(array)).to(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def twin_of(op: Op):
    """PyTorch's function for a record: given, or named by a dotted path, or of the same name."""
    if op.torch is False or callable(op.torch):
        return op.torch
    found = torch
    for part in (op.torch or op.name).split("."):
        found = getattr(found, part, None)
    return found


TWINS = [n for n in sorted(RECORDS) if torch and twin_of(OPS[n])]


@pytest.mark.parametrize("name", TWINS)
def test_result_is_torchs(name):
    op = OPS[name]
    compared = 0
    for dtype in accepted(op):
        for _, inputs, attrs in samples_of(op, dtype):
            if name in OTHERWISE and any(np.isnan(a).any() for a in inputs):
                continue
            compared += compare_with_torch(op, recast(op, inputs, dtype), attrs)
    assert compared, "PyTorch does not have it in any type"


def compare_with_torch(op: Op, arrays, attrs) -> bool:
    given = [getattr(torch, a.name) if isinstance(a, dtypes.DType) else a for a in attrs]
    try:
        expected = several(twin_of(op)(*map(to_torch, arrays), *given))
    except (NotImplementedError, RuntimeError) as error:
        if "not implemented" in str(error) or "not supported" in str(error):
            return False
        raise
    made = several(bind(op, tuple(map(wrap, arrays)), attrs))
    for got, want in zip(made, expected, strict=True):
        assert tuple(want.shape) == got.array.shape
        assert str(want.dtype).removeprefix("torch.") == got.dtype.name
        want = want.float() if want.dtype == torch.bfloat16 else want
        rtol = TOLERANCE.get(got.dtype, 0)
        numbers = want.detach().resolve_conj().numpy()
        np.testing.assert_allclose(plain(got.array), numbers, rtol, rtol, str(got.dtype))
    return True


GRADIENTS = [n for n, op in sorted(RECORDS.items()) if op.vjp is not None]


def gradient_cases(op: Op):
    for sample, inputs, attrs in samples_of(op):
        if not sample.smooth:
            continue
        yield sample, inputs, attrs
        if "c" in op.accepts and "f" in op.accepts:
            yield sample, recast(op, inputs, dtypes.complex128), attrs


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_is_the_difference_quotient_to_second_order(name):
    op = OPS[name]
    for sample, inputs, attrs in gradient_cases(op):
        tensors = []
        for place, array in enumerate(inputs):
            x = wrap(array.copy())
            x.tracked = array.dtype.kind in "fc" and (sample.grad is None or place in sample.grad)
            tensors.append(x)
        if any(x.tracked for x in tensors):
            order = 1 if "_by_" in name else 2
            check(lambda *xs, a=attrs: bind(op, xs, a), tensors, order)


def test_every_record_has_samples():
    without = [name for name, op in RECORDS.items() if op.samples is None and not op.writes]
    assert not without


def test_every_record_is_documented():
    assert not [name for name, op in OPS.items() if not op.doc.strip().endswith(".")]


@pytest.mark.parametrize("name", [n for n, op in sorted(RECORDS.items()) if op.errors])
def test_refusals_say_why(name):
    op = OPS[name]
    for failure in op.errors(np.random.default_rng(0)):
        args = [wrap(a) if isinstance(a, np.ndarray) else a for a in failure.args]
        with pytest.raises(failure.error) as caught:
            getattr(twofold, name)(*args, **failure.kwargs)
        assert failure.message in str(caught.value)
