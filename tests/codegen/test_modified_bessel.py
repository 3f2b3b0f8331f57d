"""Modified Bessel functions: the kernels against NumPy's series, and at their ends."""

from __future__ import annotations

import numpy as np
import pytest

import twofold
from twofold.ops.op import OPS

X = np.concatenate(
    [np.linspace(-40, 40, 4001), [1e-300, -0.0, 600.0, 1e6, np.inf, -np.inf, np.nan]]
)


@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_the_series(name, dtype):
    x = X.astype(dtype)
    made = getattr(twofold.special, name)(twofold.tensor(x)).numpy()
    with np.errstate(all="ignore"):
        wanted = OPS[name].ref(x)
    np.testing.assert_allclose(made, wanted, rtol=1.2e-7 if dtype == np.float32 else 2e-14)
    assert OPS[name].lower is not None
    alone = getattr(twofold.special, name)(twofold.tensor(x[-9:])).numpy()
    np.testing.assert_array_equal(alone, made[-9:])
