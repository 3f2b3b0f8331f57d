"""The Array API standard: what it says of single values, shapes and arguments."""

import array
import inspect
import warnings

import numpy as np
import pytest
from standard import (
    FLOATS,
    OURS,
    compare,
    strict,
)

import twofold


def numbers(found):
    return found.resolve_conj().numpy()


SPECIALS = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -2.5, 3.0, 1e30, -1e30, 1e-40, -1e-40]
SPECIALS += [float("inf"), float("-inf"), float("nan")]
OF_ONE = """
    abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan log
    log10 log1p log2 negative positive reciprocal round sign signbit sin sinh sqrt square tan tanh
    trunc
"""
OF_TWO = """
    add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal
    logaddexp multiply nextafter not_equal pow remainder subtract
"""


REDUCTIONS = ["all", "any", "count_nonzero", "max", "mean", "min", "prod", "std", "sum", "var"]
ARITHMETIC = ["+=", "-=", "*=", "/=", "//=", "%=", "**=", "@="]
BITS = ["&=", "|=", "^=", "<<=", ">>="]


def agree_on_specials(found, wanted):
    """Infinities, NaNs and zeros with their signs are the same; other numbers nearly."""
    assert found.dtype == wanted.dtype
    bound = 1e-5 if found.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, wanted, rtol=bound, equal_nan=True)
    if found.dtype.kind == "f":
        zero = wanted == 0
        np.testing.assert_array_equal(np.signbit(found)[zero], np.signbit(wanted)[zero])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*OF_ONE.split(), *OF_TWO.split()])
def test_special_values(name, dtype):
    arguments = [list(inspect.signature(getattr(xp, name)).parameters) for xp in (OURS, strict)]
    assert arguments[0] == arguments[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.array(SPECIALS, dtype)
        operands = [values] if name in OF_ONE.split() else np.meshgrid(values, values)
        wanted = getattr(strict, name)(*[strict.asarray(x) for x in operands])
        agree_on_specials(
            numbers(getattr(OURS, name)(*[OURS.asarray(x) for x in operands])), np.asarray(wanted)
        )


def test_roots_by_pow_are_those_of_all_numbers():
    x = OURS.asarray([-0.0, float("-inf"), 4.0])
    for exponent in (0.5, OURS.asarray(0.5)):
        assert OURS.pow(x, exponent).tolist() == [0.0, float("inf"), 2.0]
    assert not OURS.signbit(OURS.pow(x, 0.5)[0])
    assert OURS.pow(x, -0.5).tolist() == [float("inf"), 0.0, 0.5]


def test_complex_numbers_round_in_both_parts_and_are_true_by_either():
    x = OURS.asarray([0.5 + 1.5j, 0j, -2.5 - 0.4j])
    assert OURS.round(x).tolist() == [2j, 0j, -2 + 0j]
    assert OURS.astype(OURS.asarray([1j, 0j]), OURS.bool).tolist() == [True, False]
    assert int(OURS.count_nonzero(OURS.asarray([1j, 0j, 1.0]))) == 2
    assert bool(OURS.any(OURS.asarray([0j, 1j])))
    assert OURS.isin(x, OURS.asarray([0j]), invert=True).tolist() == [True, False, True]
    assert np.isnan(numbers(OURS.sign(OURS.asarray(complex(1.0, float("nan"))))))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (1, 3, 1)])
def test_no_axis_leaves_every_element_and_no_array_is_shared(name, shape):
    values = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    x = OURS.asarray(values.copy())
    for axis in ((), None) if not shape else ((),):
        made = getattr(OURS, name)(x, axis=axis)
        wanted = getattr(strict, name)(strict.asarray(values), axis=axis)
        compare(made, wanted, "float32", name)
        made[...] = 0
        assert x.tolist() == values.tolist()


def test_arrays_without_axes():
    x = OURS.asarray(3.0)
    assert OURS.flip(x).tolist() == 3.0
    assert OURS.squeeze(x, axis=()).tolist() == 3.0
    assert OURS.clip(x).tolist() == 3.0
    assert OURS.linalg.vector_norm(OURS.asarray([[-3.0, 4.0]]), axis=()).tolist() == [[3.0, 4.0]]
    assert OURS.argsort(x).shape == ()
    assert OURS.fft.fftshift(OURS.asarray([1.0, 2.0]), axes=()).tolist() == [1.0, 2.0]
    assert OURS.fft.ifftshift(OURS.asarray([1.0, 2.0]), axes=()).tolist() == [1.0, 2.0]
    for line in (
        "roll(x, 1, axis=0)", "unstack(x)", "repeat(x, 2, axis=0)", "take(x, i, axis=0)",
        "take_along_axis(x, i)", "cumulative_sum(x, axis=0)", "cumulative_prod(x, axis=-1)",
        "prod(x, axis=0)", "tensordot(x, x, axes=((0,), (0,)))",
    ):  # fmt: skip
        with pytest.raises(twofold.TwofoldError):
            eval(f"OURS.{line}", {"OURS": OURS, "x": x, "i": OURS.asarray([0])})


def test_norms_by_negative_orders():
    x = OURS.asarray([0.0, 2.0])
    assert OURS.linalg.vector_norm(x, ord=-1).tolist() == 0.0
    assert OURS.linalg.vector_norm(x[1:], ord=-2).tolist() == 2.0


def test_masks_fit_the_axes_or_have_size_0_there():
    x = OURS.reshape(OURS.arange(6), (2, 3))
    for shape, wanted in (((0,), (0, 3)), ((2, 0), (0,)), ((0, 3), (0,))):
        assert x[OURS.zeros(shape, dtype=OURS.bool)].shape == wanted
    for shape in ((3,), (2, 2), (1, 3), (2, 3, 1)):
        with pytest.raises(IndexError):
            x[OURS.ones(shape, dtype=OURS.bool)]


def test_buffers_keep_their_type():
    for buffer, dtype in (
        (array.array("d", [1, 2]), "float64"),
        (memoryview(array.array("h", [1, 2])), "int16"),
        (bytearray(b"\1\2"), "uint8"),
    ):
        made = OURS.asarray(buffer)
        assert (made.dtype.name, made.tolist()) == (dtype, [1, 2])
    with pytest.raises(ValueError, match="does not fit"):
        OURS.asarray(300, dtype=OURS.uint8)


def test_memory_goes_to_other_libraries_and_comes_back():
    x = OURS.asarray([1.0, 2.0])
    for options in ({}, {"max_version": (1, 0), "dl_device": (1, 0), "copy": True, "stream": None}):
        x.__dlpack__(**options)
    assert x.__dlpack_device__() == (1, 0)
    for copy, wanted in ((None, 5.0), (False, 5.0), (True, 1.0)):
        x[0] = 1.0
        made = OURS.from_dlpack(x, device=x.device, copy=copy)
        x[0] = 5.0
        assert float(made[0]) == wanted
    assert OURS.asarray(OURS.zeros(0), copy=False).shape == (0,)
    assert x.to_device(x.device, stream=None) is x
    for line in ("x.to_device('cuda')", "OURS.from_dlpack(x, device='cuda')"):
        with pytest.raises(ValueError):
            eval(line, {"OURS": OURS, "x": x})


def test_versions_of_the_standard():
    x = OURS.ones(1)
    assert x.__array_namespace__(api_version="2021.12") is OURS
    with pytest.raises(ValueError, match="no version"):
        x.__array_namespace__(api_version="2020.12")


@pytest.mark.parametrize("operator", [*ARITHMETIC, *BITS])
def test_operators_that_write(operator):
    dtype = "int32" if operator in BITS else "float64"
    values = [np.array([[1, 2], [3, 4]], dtype), np.array([[2, 1], [1, 2]], dtype)]
    found, wanted = ([xp.asarray(v.copy()) for v in values] for xp in (OURS, strict))
    same = found[0]
    for operands in (found, wanted):
        scope = {"x": operands[0], "y": operands[1]}
        exec(f"x {operator} y", scope)
        operands[0] = scope["x"]
    assert found[0] is same
    assert found[0].tolist() == np.asarray(wanted[0]).tolist()


WITHOUT_AXES = """
add(x,z) subtract(z,x) maximum(x,z) minimum(z,x) multiply(x,z) where(t,x,z) where(t,z,x) less(x,z)
remainder(x,z) equal(z,x) pow(x,X.abs(z)) searchsorted(x,z) linalg.outer(x,X.stack([z]))
"""


@pytest.mark.parametrize("call", WITHOUT_AXES.split())
@pytest.mark.parametrize("kinds", ["uint8 int32", "int16 uint32", "float32 float64", "int8 int64"])
def test_arrays_without_axes_decide_the_type_too(call, kinds):
    one, other = kinds.split()
    values = np.array([0, 1, 2, 3], one), np.array(300 if other[0] != "i" else -300, other)
    found, wanted = (
        eval(
            f"X.{call}",
            {"X": xp, "t": xp.asarray(values[0] > 1)} | dict(zip("xz", made, strict=True)),
        )
        for xp in (OURS, strict)
        for made in [[xp.asarray(v) for v in values]]
    )
    compare(found, wanted, one, call)


STACKS = """
linalg.matrix_rank(s,rtol=r) linalg.pinv(s,rtol=r) linalg.cross(s,v) linalg.cross(v,s)
repeat(s,u,axis=0) take(s,u,axis=1)
"""


@pytest.mark.parametrize("call", STACKS.split())
def test_stacks_and_places_without_sign(call):
    random = np.random.default_rng(5)
    made = {
        "s": random.normal(size=(2, 4, 3)),
        "v": random.normal(size=3),
        "r": np.array([0.1, 0.6]),
        "u": np.array([2, 1], np.uint64),
    }
    found, wanted = (
        eval(f"X.{call}", {"X": xp} | {name: xp.asarray(v) for name, v in made.items()})
        for xp in (OURS, strict)
    )
    compare(found, wanted, "float64", call)


def test_numbers_that_do_not_fit_are_refused():
    x = OURS.arange(3)
    for line in (
        "OURS.full((2,), -1, dtype=OURS.uint8)",
        "OURS.full((2,), 2**70, dtype=OURS.int64)",
        "OURS.repeat(x, OURS.asarray([1, 2]))",
        "OURS.repeat(x, OURS.asarray([1, -2, 1]))",
    ):
        with pytest.raises(twofold.TwofoldError):
            eval(line, {"OURS": OURS, "x": x})


def test_a_spread_of_nothing_is_no_number():
    x = OURS.asarray([[1.0, 2.0]])
    for name in ("std", "var"):
        spread = getattr(OURS, name)
        assert np.isnan(numbers(spread(x, axis=1, correction=2))).all()
        assert np.isnan(numbers(spread(x, axis=(), correction=1.5))).all()
        assert float(spread(x, correction=1)) > 0.0


POSITIONAL = """
det(a) inv(a) slogdet(a) eig(a) eigh(a) eigvals(a) eigvalsh(a) svdvals(a) svd(a) qr(a) cholesky(a)
matrix_power(a,2) matmul(a,a)
"""


@pytest.mark.parametrize("call", POSITIONAL.split())
def test_linear_algebra_takes_arrays_by_position_alone(call):
    """The standard's names (x, x1, x2) are nobody's keywords, and PyTorch's (A, input) are not."""
    a = OURS.asarray([[2.0, 1.0], [1.0, 3.0]])
    eval(f"OURS.linalg.{call}", {"OURS": OURS, "a": a})
    name, arguments = call[:-1].split("(")
    count = len(arguments.split(","))
    parameters = inspect.signature(getattr(OURS.linalg, name)).parameters.values()
    kinds = [parameter.kind for parameter in parameters]
    assert kinds[:count] == [inspect.Parameter.POSITIONAL_ONLY] * count
    assert set(kinds[count:]) <= {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    "call",
    [
        "vecdot(X.ones(1), X.ones(3))",
        "vecdot(X.ones((2, 3)), X.ones((2, 1)))",
        "linalg.vecdot(X.ones((1, 2)), X.ones((3, 2)), axis=-2)",
        "tensordot(X.ones((2, 1)), X.ones((3, 2)), axes=1)",
        "tensordot(X.ones((2, 3)), X.ones((1, 2)), axes=((1,), (0,)))",
    ],
)
def test_axes_that_are_summed_have_one_size(call):
    with pytest.raises(ValueError):
        eval(f"X.{call}", {"X": strict})
    with pytest.raises(twofold.TwofoldError, match="have sizes"):
        eval(f"X.{call}", {"X": OURS})


SPELLINGS = """
X.eye(3, 4, k=1)  X.eye(3, k=-1)  X.tril(x, k=1)  X.triu(x, k=-1)  X.linspace(0.0, 1.0, num=4)
X.linspace(0.0, 1.0, num=4, endpoint=False)  X.arange(1, stop=7, step=2)  X.flip(x, axis=0)
X.flip(x, axis=(0, 1))  X.flip(x, axis=None)  X.roll(x, shift=1, axis=0)  X.roll(x, 1)
X.roll(x, shift=(1, 2), axis=(0, 1))  X.take(x, i, axis=1)  X.take(x, i, axis=0)
X.count_nonzero(x, axis=1, keepdims=True)  X.count_nonzero(x)  X.concat([x, y], axis=None)
X.concat([x, y], axis=1)  X.max(x, keepdims=True)  X.min(x, keepdims=True)  X.round(c)
X.fft.fftn(c, axes=(0,))  X.fft.ifftn(c, axes=(1,))  X.fft.rfftn(x, axes=(0, 1))
X.fft.fftshift(x, axes=0)  X.fft.ifftshift(x, axes=(0, 1))  X.linalg.outer(x[0,:], y[1,:])
X.linalg.trace(x, offset=1)  X.linalg.matrix_transpose(x)  X.linalg.tensordot(x, y, axes=2)
X.tensordot(x, y, axes=([0, 1], [0, 1]))
"""


@pytest.mark.parametrize("call", SPELLINGS.replace("\n", "  ").strip().split("  "))
def test_twofold_itself_takes_the_standards_arguments_where_pytorch_has_no_others(call):
    def of(xp):
        x = xp.reshape(xp.arange(12, dtype=xp.float64), (3, 4))
        places = xp.asarray([2, 0], dtype=xp.int64)
        return {"X": xp, "x": x, "y": 2 * x + 1, "c": x + 1.5j * x, "i": places}

    ours, theirs = eval(call, of(twofold)), eval(call, of(strict))
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), rtol=1e-6)
    assert tuple(ours.shape) == theirs.shape


def test_twofold_itself_promotes_types_among_themselves():
    assert twofold.__array_api_version__ == "2025.12"
    assert twofold.result_type(twofold.bool, twofold.bool) is twofold.bool
    assert twofold.result_type(twofold.int8, twofold.uint8) is twofold.int16
    assert twofold.result_type(twofold.ones(2, dtype=twofold.int8), twofold.int32) is twofold.int32
    assert twofold.result_type(twofold.float32, 2) is twofold.float32
    assert twofold.can_cast(twofold.ones(2), twofold.float64)
    with pytest.raises(TypeError, match="how many steps"):
        twofold.linspace(0, 1)


def test_a_compiled_function_takes_the_standards_arguments():
    def f(x):
        places = twofold.tensor([2, 0])
        flipped = twofold.flip(x, axis=None) + twofold.eye(3, 4, k=1)
        return flipped, twofold.take(x, places, axis=1), twofold.round(twofold.complex(x, x))

    x = twofold.randn(3, 4)
    for eager, compiled in zip(f(x), twofold.compile(f)(x), strict=True):
        assert twofold.equal(eager, compiled)
