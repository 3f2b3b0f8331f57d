"""The Array API standard: each function gives what array_api_strict gives, in type and value."""

import inspect
import warnings

import numpy as np
import pytest
import standard
from standard import (
    COMPLEXES,
    EVERYTHING,
    FLOATS,
    INTEGERS,
    OURS,
    REALS,
    SIGNED,
    compare,
    strict,
)

import twofold


def sample(dtype, number=0):
    """An array [3, 4] of small values, with repeated ones."""
    random = np.random.default_rng(number)
    if dtype == "bool":
        return random.random((3, 4)) < 0.5
    if dtype in INTEGERS:
        low = -3 if dtype in SIGNED else 1
        whole = random.integers(low, 5, (3, 4))
        return np.where(whole == 0, 1, whole).astype(dtype)
    values = random.uniform(0.15, 0.85, (3, 4))
    if dtype in COMPLEXES:
        values = values + 1j * random.uniform(-0.8, 0.8, (3, 4))
    return values.astype(dtype)


def arrays(xp, dtype):
    """The operands that lines name: x, y of the type; s sorted; m square; i places; b truth."""
    x, y = sample(dtype), sample(dtype, 1)
    made = {
        "x": x,
        "y": y,
        "v": x[0],
        "w": y[0],
        "z": x[0, 0],
        "s": np.unique(x.reshape(-1)),
        "m": (x[:, :3] + 3 * np.eye(3)).astype(dtype) if dtype in FLOATS + COMPLEXES else x[:, :3],
        "i": np.array([2, 0, 1]),
        "k": np.array([[2, 0], [1, 1], [0, 2]]),
        "b": sample("bool", 2),
        "n": np.where(sample("bool", 2), x, np.nan).astype(dtype) if dtype in FLOATS else x,
        "h": np.arange(4, dtype=dtype) if dtype != "bool" else x[0],
        "e": x[:0],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: xp.asarray(value) for name, value in made.items()} | {"X": xp}


TABLE = """
abs(x): NUMBERS
acos(x) asin(x) atanh(x) acosh(x+1) asinh(x) atan(x) cos(x) cosh(x) exp(x) expm1(x): FLOATS
log(x) log10(x) log1p(x) log2(x) sin(x) sinh(x) sqrt(x) tan(x) tanh(x): FLOATS
reciprocal(x): FLOATS
cos(x) exp(x) log(x) sin(x) sqrt(x) tanh(x) sinh(x) cosh(x): COMPLEXES
add(x,y) subtract(x,y) multiply(x,y): NUMBERS
add(x,2) add(2,x) multiply(x,3) x+1 2*x -x: SIGNED FLOATS
divide(x,y): FLOATS COMPLEXES
atan2(x,y) copysign(x,y) hypot(x,y) logaddexp(x,y) nextafter(x,y): FLOATS
floor_divide(x,y) remainder(x,y) maximum(x,y) minimum(x,y): REALS
pow(x,X.abs(y)) pow(x,2): FLOATS SIGNED
bitwise_and(x,y) bitwise_or(x,y) bitwise_xor(x,y) bitwise_invert(x): INTEGERS bool
bitwise_left_shift(X.abs(x),X.abs(y)) bitwise_right_shift(X.abs(x),X.abs(y)): INTEGERS
logical_and(x,y) logical_or(x,y) logical_xor(x,y) logical_not(x): bool
equal(x,y) not_equal(x,y) equal(x,x): EVERYTHING
greater(x,y) greater_equal(x,y) less(x,y) less_equal(x,y): REALS
ceil(x) floor(x) round(x) trunc(x): REALS
sign(x) positive(x) negative(x) square(x): SIGNED FLOATS COMPLEXES
signbit(x): FLOATS
isfinite(x) isinf(x) isnan(x): NUMBERS
isnan(n): FLOATS
conj(x) real(x) imag(x): COMPLEXES
real(x): REALS
clip(x,1,3) clip(x,min=1) clip(x,max=2): REALS
clip(x,y,y+1): FLOATS
where(b,x,y): EVERYTHING
isin(x,v): INTEGERS
sum(x) sum(x,axis=0) sum(x,axis=-1,keepdims=True) sum(x,axis=(0,1)) sum(e) sum(z): NUMBERS
prod(x) prod(x,axis=0) prod(x,axis=(0,1),keepdims=True) prod(e): NUMBERS
sum(x,dtype=X.float64): FLOATS
mean(x) mean(x,axis=0) mean(x,axis=(0,1),keepdims=True) mean(z): FLOATS COMPLEXES
var(x) var(x,axis=0) var(x,correction=1) std(x) std(x,axis=1,correction=1,keepdims=True): FLOATS
max(x) max(x,axis=0) max(x,axis=(0,1),keepdims=True) min(x) min(x,axis=-1) max(z): REALS
all(x) all(x,axis=0) any(x) any(x,axis=(0,1),keepdims=True) all(e) any(e) any(z): EVERYTHING
argmax(x) argmax(x,axis=0) argmin(x,axis=1,keepdims=True) argmin(x,keepdims=True): REALS
count_nonzero(x) count_nonzero(x,axis=0) count_nonzero(x,axis=1,keepdims=True): EVERYTHING
cumulative_sum(x,axis=0) cumulative_sum(v) cumulative_sum(x,axis=1,include_initial=True): NUMBERS
cumulative_prod(x,axis=0) cumulative_prod(v,include_initial=True): NUMBERS
diff(v) diff(x,axis=0) diff(x,n=2): NUMBERS
sort(x) sort(x,axis=0) sort(x,descending=True) argsort(x) argsort(x,axis=0): REALS
argsort(x,descending=True) argsort(v): REALS
searchsorted(s,v) searchsorted(s,v,side="right") searchsorted(v,w,sorter=X.argsort(v)): REALS
unique_values(x) unique_counts(x) unique_inverse(x): EVERYTHING
unique_all(x): EVERYTHING
unique_counts(n): FLOATS
nonzero(x) nonzero(v): EVERYTHING
take(x,i,axis=0) take(v,i) take(x,i,axis=-1): EVERYTHING
take_along_axis(x,k) take_along_axis(x,k,axis=1) take_along_axis(x,k-1,axis=1): EVERYTHING
broadcast_arrays(x,v) broadcast_to(v,(3,4)) concat([x,y]) concat([x,y],axis=1): EVERYTHING
concat([x,v],axis=None) stack([x,y]) stack([x,y],axis=-1) unstack(x) unstack(x,axis=1): EVERYTHING
expand_dims(x,axis=0) expand_dims(x,axis=-1) expand_dims(x,axis=(0,2)) flip(x): EVERYTHING
flip(x,axis=1) moveaxis(x,0,1) permute_dims(x,(1,0)) matrix_transpose(x): EVERYTHING
reshape(x,(2,6)) reshape(x,(-1,),copy=True) roll(x,1) roll(x,(1,2),axis=(0,1)): EVERYTHING
roll(x,-1,axis=0) squeeze(x[:1,:],axis=0) tile(x,(2,1)) tile(v,(2,3)): EVERYTHING
repeat(x,2) repeat(x,2,axis=0) repeat(x,i+1,axis=0): EVERYTHING
tril(x) tril(x,k=1) triu(x,k=-1) meshgrid(v,w) meshgrid(v,w,indexing="ij"): NUMBERS
matmul(m,x) matmul(v,w) m@m matmul(m,m[0,...]): FLOATS INTEGERS
vecdot(x,y) vecdot(x,y,axis=-2) tensordot(x,y) tensordot(x,y,axes=((0,),(0,))): NUMBERS
tensordot(v,w,axes=0): NUMBERS
astype(x,X.float64) astype(x,X.int32) astype(x,X.bool): REALS bool
astype(x,X.complex128): NUMBERS
zeros_like(x) ones_like(x) full_like(x,1) asarray(x,copy=True) asarray(x,dtype=x.dtype): EVERYTHING
zeros((2,3),dtype=x.dtype) ones(3,dtype=x.dtype) full((2,),1,dtype=x.dtype): NUMBERS
eye(3,dtype=x.dtype) eye(3,4,k=1,dtype=x.dtype) eye(2,k=-1,dtype=x.dtype): NUMBERS
arange(4,dtype=x.dtype) arange(1,9,3,dtype=x.dtype) arange(5,1,dtype=x.dtype): REALS
arange(5) arange(0,5,2) arange(3,0,-1): int64
linspace(0,1,5,dtype=x.dtype) linspace(0,1,4,endpoint=False,dtype=x.dtype): FLOATS COMPLEXES
x[0,...] x[1:,::2] x[...,None] x[b] x[:,::-1] x[-1,-1]: EVERYTHING
x.T x.mT: EVERYTHING
x<y x>=y x==y x!=y: REALS
x//y x%y x/y x-y x**2: FLOATS
x&y x|y x^y ~x: INTEGERS bool
linalg.cholesky(m@X.matrix_transpose(m)) linalg.det(m) linalg.inv(m) linalg.pinv(x): FLOATS
linalg.cross(m,m+1) linalg.diagonal(x) linalg.diagonal(x,offset=1) linalg.trace(m): NUMBERS
linalg.eigvalsh(m+X.matrix_transpose(m)) linalg.matrix_norm(x) linalg.matrix_power(m,3): FLOATS
linalg.matrix_norm(x,ord=1) linalg.matrix_norm(x,ord="nuc",keepdims=True): FLOATS
linalg.matrix_rank(m) linalg.slogdet(m) linalg.solve(m,x) linalg.solve(m,m[0,...]): FLOATS
linalg.outer(v,w) linalg.vecdot(v,w) linalg.tensordot(x,y) linalg.matmul(m,x): NUMBERS
linalg.svdvals(x) linalg.vector_norm(x) linalg.vector_norm(x,axis=0,ord=1): FLOATS
linalg.vector_norm(x,axis=(0,1),keepdims=True) linalg.matrix_transpose(x): FLOATS
fft.fft(x) fft.ifft(x,n=6) fft.fftn(x) fft.ifftn(x,axes=(0,)): COMPLEXES
fft.fft(x,axis=0,norm="ortho"): COMPLEXES
fft.rfft(x) fft.rfftn(x) fft.ihfft(v) fft.fftshift(x) fft.ifftshift(x,axes=0): FLOATS
fft.irfft(x) fft.irfftn(x) fft.hfft(v) fft.fftshift(x): COMPLEXES
fft.fftfreq(5,dtype=x.dtype) fft.rfftfreq(6,d=0.5,dtype=x.dtype): FLOATS
"""


def cases():
    for line in TABLE.strip().splitlines():
        calls, _, kinds = line.rpartition(":")
        found = [d for kind in kinds.split() for d in vars(standard).get(kind, [kind])]
        for call in calls.split():
            own = call[0] in "-~2" or call[0] == "x" or (call[0] == "m" and call[1] == "@")
            yield call if own else f"X.{call}", found


# NumPy beneath the strict library fails these itself, or the standard leaves them open.
OPEN = {
    ("X.linalg.trace(m)", "uint64"): "the strict library adds in int64",
}


@pytest.mark.parametrize(("line", "kinds"), list(cases()))
def test_functions_agree_with_the_strict_library(line, kinds):
    for dtype in kinds:
        if (line, dtype) in OPEN:
            continue
        wanted = eval(line, arrays(strict, dtype))
        found = eval(line, arrays(OURS, dtype))
        try:
            compare(found, wanted, dtype, line)
        except AssertionError as error:
            error.add_note(f"{line} in {dtype}")
            raise


def test_decompositions_give_back_what_they_took_apart():
    for dtype in FLOATS:
        x, m = (OURS.asarray(sample(dtype)[:, :n]) for n in (4, 3))
        q, r = OURS.linalg.qr(x)
        u, s, v = OURS.linalg.svd(x, full_matrices=False)
        symmetric = m + m.mT
        values, vectors = OURS.linalg.eigh(symmetric)
        bound = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose((q @ r).numpy(), x.numpy(), atol=bound)
        np.testing.assert_allclose(((u * s) @ v).numpy(), x.numpy(), atol=bound)
        again = (vectors * values) @ vectors.mT
        np.testing.assert_allclose(again.numpy(), symmetric.numpy(), atol=bound)


def public(module):
    skipped = {"ArrayAPIStrictFlags", "Device", "ModuleType"}
    names = {n for n in dir(module) if not n.startswith("_") and not n.endswith("_strict_flags")}
    return names - skipped


@pytest.mark.parametrize("name", ["", "linalg", "fft"])
def test_every_name_of_the_standard_is_there_and_takes_its_arguments(name):
    theirs = getattr(strict, name) if name else strict
    ours = getattr(OURS, name) if name else OURS
    names = set(theirs.__all__) if name else public(theirs)
    missing = sorted(names - set(dir(ours)))
    assert not missing
    for each in sorted(names):
        function = getattr(theirs, each)
        if not inspect.isfunction(function) or not inspect.isfunction(getattr(ours, each)):
            continue
        wanted = inspect.signature(function).parameters.values()
        found = inspect.signature(getattr(ours, each)).parameters
        places = list(found.values())
        for place, parameter in enumerate(wanted):
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert parameter.name in found, f"{each} takes no {parameter.name}"
            elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert places[place].name == parameter.name, f"{each} has another {parameter.name}"
            else:
                kinds = (parameter.kind, parameter.POSITIONAL_OR_KEYWORD)
                assert places[place].kind in kinds, f"{each} takes no {parameter.name}"


def test_every_function_is_in_the_table():
    called = {line for line, _ in cases()}
    text = (
        " ".join(called) + " X.empty( X.empty_like( X.from_dlpack( X.asarray( X.broadcast_shapes("
    )
    apart = {"can_cast", "finfo", "iinfo", "isdtype", "result_type"}
    functions = {n for n in public(strict) if inspect.isroutine(getattr(strict, n))} - apart
    assert not sorted(n for n in functions if f"X.{n}(" not in text)


def test_types_promote_and_cast_as_the_standard_says():
    for one in EVERYTHING:
        for other in EVERYTHING:
            a, b = getattr(strict, one), getattr(strict, other)
            c, d = getattr(OURS, one), getattr(OURS, other)
            assert OURS.can_cast(c, d) == strict.can_cast(a, b), (one, other)
            try:
                wanted = strict.result_type(a, b)
            except TypeError:
                continue  # kinds that the standard leaves apart
            assert OURS.result_type(c, d).name == str(np.dtype(wanted._np_dtype)), (one, other)
    for kind in (
        "bool", "signed integer", "unsigned integer", "integral", "real floating",
        "complex floating", "numeric",
    ):  # fmt: skip
        for name in EVERYTHING:
            wanted = strict.isdtype(getattr(strict, name), kind)
            assert OURS.isdtype(getattr(OURS, name), kind) == wanted
            assert OURS.isdtype(getattr(OURS, name), (kind, OURS.bool)) == (
                wanted or name == "bool"
            )
    with pytest.raises(ValueError, match="no kind"):
        OURS.isdtype(OURS.bool, "floating")
    assert OURS.result_type(OURS.float32, 1.0) is OURS.float32
    assert OURS.result_type(OURS.ones(2, dtype=OURS.int8), 3) is OURS.int8


@pytest.mark.parametrize("name", REALS + COMPLEXES)
def test_limits(name):
    kind = "iinfo" if name in INTEGERS else "finfo"
    ours, theirs = (getattr(xp, kind)(getattr(xp, name)) for xp in (OURS, strict))
    for fact in ("bits", "max", "min", *(["eps", "smallest_normal"] if kind == "finfo" else [])):
        assert float(getattr(ours, fact)) == float(getattr(theirs, fact))
    assert isinstance(ours.dtype, twofold.dtype)


def test_the_namespace_says_what_it_can():
    info = OURS.__array_namespace_info__()
    assert info.devices() == (info.default_device(),)
    assert info.capabilities()["boolean indexing"]
    theirs = strict.__array_namespace_info__()
    assert sorted(info.dtypes()) == sorted(theirs.dtypes())
    for kind in ("bool", "integral", ("real floating", "bool"), "numeric"):
        assert sorted(info.dtypes(kind=kind)) == sorted(theirs.dtypes(kind=kind))
    assert info.default_dtypes()["real floating"] is twofold.float32
    assert OURS.__array_api_version__ == "2025.12"
    assert twofold.ones(1).__array_namespace__(api_version="2025.12") is OURS


def test_what_the_standard_refuses_is_refused():
    x = OURS.ones((2, 3))
    for line in (
        "OURS.squeeze(x, axis=0)",
        "OURS.cumulative_sum(x)",
        "OURS.take(x, OURS.asarray([0]))",
        "OURS.nonzero(OURS.asarray(1.0))",
        "OURS.asarray([1, 2], copy=False)",
        "OURS.reshape(x.T, (6,), copy=False)",
        "OURS.meshgrid(x, indexing='ab')",
        "OURS.expand_dims(x, axis=4)",
        "OURS.expand_dims(x, axis=(0, -5))",
        "OURS.from_dlpack([1, 2])",
        "OURS.repeat(x, -1)",
        "OURS.astype(OURS.ones(2, dtype=OURS.complex64), OURS.float32)",
        "OURS.zeros(2, device='cuda')",
        "OURS.result_type()",
    ):
        with pytest.raises(twofold.TwofoldError):
            eval(line, {"OURS": OURS, "x": x})


def test_copies_are_copies_and_views_are_views():
    x = OURS.ones(3)
    for made in (
        OURS.asarray(x, copy=True),
        OURS.astype(x, OURS.float32),
        OURS.reshape(x, (3,), copy=True),
    ):
        made[0] = 5.0
        assert float(x[0]) == 1.0
    OURS.asarray(x)[0] = 2.0
    OURS.from_dlpack(x)[1] = 3.0
    assert x.tolist() == [2.0, 3.0, 1.0]
    assert OURS.astype(x, OURS.float32, copy=False) is x


def test_gradients_go_through():
    x = twofold.tensor([[3.0, 1.0], [2.0, 4.0]], requires_grad=True)
    made = OURS.sum(OURS.take(OURS.sort(x, axis=1), OURS.asarray([1]), axis=1) ** 2)
    made.backward()
    assert x.grad.tolist() == [[6.0, 0.0], [0.0, 8.0]]


def test_pytorchs_meshgrid_has_the_standards_grid_for_xy():
    x, y = twofold.arange(3), twofold.arange(4)
    for found, wanted in zip(
        twofold.meshgrid(x, y, indexing="xy"), np.meshgrid(np.arange(3), np.arange(4)), strict=True
    ):
        assert found.tolist() == wanted.tolist()


def test_whole_numbers_of_64_bits_without_sign_are_sorted_and_found():
    x = twofold.tensor([3, 2**63 + 5, 1], dtype=twofold.uint64)
    assert twofold.sort(x).values.tolist() == [1, 3, 2**63 + 5]
    assert x.topk(1).values.tolist() == [2**63 + 5]
    assert twofold.isin(x, x[:1]).tolist() == [True, False, False]
    assert twofold.searchsorted(x.sort().values, x).tolist() == [1, 2, 0]
