"""What results are of, by PyTorch's rules: types, names and classes."""

import numpy as np
import pytest

import twofold
import twofold.overrides


def test_a_complex_number_takes_the_precision_of_real_tensors():
    number = twofold.tensor(1j, dtype=twofold.complex128)
    assert (twofold.ones(2) * number).dtype is twofold.complex64
    assert (twofold.ones(2, dtype=twofold.float64) * number).dtype is twofold.complex128
    assert (twofold.ones(2, dtype=twofold.int64) * number).dtype is twofold.complex128


def test_lists_of_numpys_numbers_and_pythons():
    assert twofold.tensor([np.float32(1), 2]).dtype is twofold.float32
    assert twofold.tensor([[np.float16(1), 2.5]]).dtype is twofold.float32
    assert twofold.tensor([np.float64(1), 2]).dtype is twofold.float64
    assert twofold.tensor([np.int8(1), 2.5]).dtype is twofold.float32


def test_types_cast_within_their_category():
    assert twofold.can_cast(twofold.int64, twofold.uint8)
    assert not twofold.can_cast(twofold.int64, twofold.bool)
    assert not twofold.can_cast(twofold.float32, twofold.int32)


def test_each_nan_is_one_of_its_own():
    x = twofold.tensor([1.0, float("nan"), 1.0, float("nan")])
    values, counts = twofold.unique(x, return_counts=True)
    assert counts.tolist() == [2, 1, 1] and values[1:].isnan().all()


def test_frexp_gives_a_mantissa_and_an_exponent():
    made = twofold.tensor([3.0]).frexp()
    assert made.mantissa.tolist() == [0.75] and made.exponent.tolist() == [2]


def test_a_class_of_ones_own_is_printed_with_its_name():
    class Points(twofold.Tensor):
        pass

    assert repr(twofold.ones(2).as_subclass(Points)) == "Points([1., 1.])"


def test_operators_ask_what_is_no_tensor():
    class Lazy:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, len(args)

    assert twofold.ones(2) + Lazy() == ("add", 2)
    assert twofold.ones(2) @ Lazy() == ("matmul", 2)


def test_linspace_of_complex_ends_is_refused():
    with pytest.raises(TypeError, match="complex"):
        twofold.linspace(0, 1j, 3)


def test_data_is_a_tensor_of_numbers_that_have_gradients():
    x = twofold.ones(2, requires_grad=True)
    for wrong in (3, twofold.ones(2, dtype=twofold.int64)):
        with pytest.raises(TypeError):
            x.data = wrong
