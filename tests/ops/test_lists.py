"""Operations on lists of tensors: what the methods do, tensor by tensor, as PyTorch's do."""

import numpy as np
import pytest

import twofold
from twofold.base.errors import ArgumentError
from twofold.ops import lists

LINES = """
T._foreach_add(a, b, alpha=2)
T._foreach_add(a, 1.5)
T._foreach_mul(a, [2.0, 3.0])
T._foreach_div_(a, b)
T._foreach_sub_(a, [1.0, 2.0])
T._foreach_lerp_(a, b, 0.25)
T._foreach_lerp(a, b, weight=0.25)
T._foreach_addcdiv_(a, b, b, -1.0)
T._foreach_addcdiv_(a, b, b, [1.0, 2.0])
T._foreach_addcmul(a, b, b, value=0.5)
T._foreach_maximum_(a, b)
T._foreach_clamp_min_(a, 0.5)
T._foreach_norm(a)
T._foreach_sqrt(b)
T._foreach_neg_(a)
T._foreach_zero_(a)
T._foreach_copy_(a, b)
T._foreach_pow(2.0, b)
T._foreach_pow(b, 2.0)
T._foreach_reciprocal(b)
""".strip().splitlines()


def result(T, line):
    random = np.random.default_rng(0)
    a, b = ([T.tensor(random.random(n) + 0.1) for n in (2, 3)] for _ in range(2))
    made = eval(line, {"T": T, "a": a, "b": b})
    return [x.tolist() for x in (*a, *b, *(made or ()))]


@pytest.mark.parametrize("line", LINES)
def test_lists_are_changed_as_pytorch_changes_them(line):
    torch = pytest.importorskip("torch", reason="the values are compared with PyTorch's")
    found, wanted = result(twofold, line), result(torch, line)
    assert len(found) in (len(wanted), len(wanted) + 2)  # older versions give nothing back
    for x, y in zip(found, wanted, strict=False):
        np.testing.assert_allclose(x, y, rtol=1e-12)


def test_every_name_is_a_function_of_lists():
    x, y = [twofold.tensor([0.5])], [twofold.tensor([0.75])]
    two = ("add", "clamp", "copy", "div", "lerp", "maximum", "minimum", "mul", "pow", "sub")
    for name in lists.NAMES:
        part = name.removeprefix("_foreach_")
        count = 2 if part.startswith("addc") else part.startswith(two)
        more = (0.5,) if part.startswith("lerp") else ()
        assert isinstance(getattr(twofold, name)(x, *[y] * count, *more)[0], twofold.Tensor)
    assert not hasattr(twofold, "_foreach_nothing")


def test_lists_of_different_lengths_are_refused():
    x = [twofold.ones(2), twofold.ones(2)]
    with pytest.raises(ArgumentError, match="differ in length"):
        twofold._foreach_add_(x, x[:1])
