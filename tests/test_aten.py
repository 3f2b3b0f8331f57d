"""`ops.aten`: operations by the names of PyTorch's dispatcher."""

import copy
import pickle

import numpy as np
import pytest
from twins import torch

import twofold
from twofold.base.errors import MissingNameError

CALLS = """
add.Tensor(a, b, alpha=2)
rsub.Scalar(a, 1)
div.Tensor_mode(a, b + 1, rounding_mode="floor")
addmm.default(bias, a, w.t())
sum.dim_IntList(a, [1], True)
var.correction(a, [1], correction=0)
max.dim(a, 1)
_softmax.default(a, 1, False)
_log_softmax.default(a, 1, False)
slice.Tensor(a, 1, 1, 9223372036854775807)
slice.Tensor(a, 1, 0, 3, 2)
index.Tensor(w, [None, i])
index_put.default(w, [i], bias[0])
index_put.default(w, [i], bias[0], True)
_to_copy.default(a, dtype=T.float64)
convolution.default(x, k, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
convolution.default(x, k, None, [2], [1], [1], True, [1], 1)
max_pool2d_with_indices.default(x, [2, 2], [2, 2])
_adaptive_avg_pool2d.default(x, [1, 1])
native_layer_norm.default(a, [3], None, None, 1e-5)
layer_norm.default(a, [3])
embedding.default(w, i)
where.self(a > 0, a, b)
mse_loss.default(a, b)
mse_loss.default(a, b, 0)
smooth_l1_loss.default(a, b, 2)
nll_loss.default(a, i)
cross_entropy_loss.default(a, i)
add_.Tensor(a.clone(), b)
split.Tensor(a, 2, 1)
unbind.int(a)
repeat.default(a, [1, 2])
threshold_backward.default(b, a, 0)
tanh_backward.default(b, a)
sigmoid_backward.default(b, a)
sym_size.int(a, 0)
_local_scalar_dense.default(a[0, 0])
upsample_nearest2d.vec(x, None, [2.0, 2.0])
upsample_bilinear2d.vec(x, [6, 6], False, None)
scalar_tensor.default(2.0)
linalg_vector_norm.default(a)
fft_fft.default(a)
elu.default(a, 1.0, 2.0)
full.default([2, 2], 3.0)
"""


def values(T):
    a = T.arange(6.0).reshape(2, 3) - 2
    return {
        "T": T,
        "a": a,
        "b": T.arange(6.0).reshape(2, 3) * 0.5,
        "w": T.arange(12.0).reshape(4, 3) / 10,
        "bias": T.ones(4),
        "i": T.tensor([0, 2]),
        "x": T.arange(32.0).reshape(1, 2, 4, 4),
        "k": T.arange(36.0).reshape(2, 2, 3, 3) / 36,
    }


def parts(made):
    made = made if isinstance(made, tuple | list) else [made]
    return [np.asarray(x.detach().numpy() if hasattr(x, "detach") else x) for x in made]


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_operations_mean_what_they_mean_in_pytorch(call):
    found, wanted = (parts(eval(f"T.ops.aten.{call}", values(T))) for T in (twofold, torch))
    assert len(found) == len(wanted)
    for x, y in zip(found, wanted, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_names():
    aten = twofold.ops.aten
    assert aten.add.Tensor is aten.add.Tensor and aten.add.Tensor.overloadpacket is aten.add
    assert (str(aten.add.Tensor), aten.add.Tensor.name()) == ("aten.add.Tensor", "aten::add.Tensor")
    assert aten.relu.default.name() == "aten::relu" and aten.add.__name__ == "add"
    assert repr(aten.add.out) == "<OpOverload(op='aten.add', overload='out')>"
    assert pickle.loads(pickle.dumps(aten.add.Tensor)) is aten.add.Tensor
    assert copy.deepcopy(aten.mul) is aten.mul
    for wrong in ("add.Tensr", "no_such_operation"):
        with pytest.raises(MissingNameError, match=r"ops\.aten"):
            eval(f"aten.{wrong}", {"aten": aten})
    assert not hasattr(twofold.ops, "no_such_namespace")


def test_a_compiled_function_uses_them():
    aten = twofold.ops.aten

    def f(x):
        return aten.relu.default(aten.mul.Tensor(x, 2) - 1)

    x = twofold.randn(7)
    np.testing.assert_array_equal(twofold.compile(f)(x).numpy(), f(x).numpy())
