"""Views as copies: the view's values, in memory of their own, with the view's gradient."""

import numpy as np
import pytest

import twofold as T

CALLS = {
    "as_strided": ((2, 3), (1, 2)),
    "diagonal": (1,),
    "expand": ((2, 3, 4),),
    "narrow": (1, 1, 2),
    "permute": ((1, 0),),
    "select": (1, -1),
    "split": (2, 1),
    "split_with_sizes": ([1, 3], 1),
    "squeeze": (),
    "t": (),
    "transpose": (0, 1),
    "unbind": (),
    "unfold": (1, 2, 1),
    "unsqueeze": (1,),
    "view": ((4, 3),),
    "detach": (),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_copy_shares_nothing(name):
    x = T.arange(12.0).reshape(3, 4)
    wanted, made = getattr(x, name)(*CALLS[name]), getattr(T, f"{name}_copy")(x, *CALLS[name])
    pairs = [(wanted, made)] if isinstance(made, T.Tensor) else list(zip(wanted, made, strict=True))
    for view, copy in pairs:
        np.testing.assert_array_equal(copy.numpy(), view.numpy())
        assert not np.shares_memory(copy.numpy(), x.numpy())


def test_slices_numbers_and_gradients():
    x = T.arange(12.0, requires_grad=True)
    assert T.slice_copy(x, 0, 1, 8, 3).tolist() == [1.0, 4.0, 7.0]
    (by,) = T.autograd.grad(T.slice_copy(x, 0, 1, 8, 3).sum(), x)
    assert by.nonzero().flatten().tolist() == [1, 4, 7]
    z = T.tensor([1 + 2j])
    assert T.view_as_complex_copy(T.view_as_real_copy(z)).tolist() == [1 + 2j]
    out = T.empty(3, 2)
    assert T.narrow_copy(T.ones(3, 4), 1, 0, 2, out=out) is out and out.sum().item() == 6
    assert T.ones(3, 4).narrow_copy(0, 1, 2).shape == (2, 4)


def test_unsafe_parts_are_parts():
    x = T.arange(10)
    for name, argument in (("chunk", 3), ("split", 4), ("split_with_sizes", [2, 8])):
        wanted = [p.tolist() for p in getattr(x, name)(argument)]
        assert [p.tolist() for p in getattr(T, f"unsafe_{name}")(x, argument)] == wanted
        assert [p.tolist() for p in getattr(x, f"unsafe_{name}")(argument)] == wanted
