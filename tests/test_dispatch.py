"""Programs written to the Array API standard: scikit-learn and SciPy compute on our tensors."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("sklearn", "1.6")

# SciPy looks at the switch when it is imported: this runs in a process of its own.
PROGRAM = """
import numpy as np
import scipy.special
import scipy.stats
import sklearn
import twofold
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

sklearn.set_config(array_api_dispatch=True)
values = np.random.default_rng(0).normal(size=(60, 5))
labels = (values[:, 0] + values[:, 1] > 0).astype(np.int64)
CALLS = [
    lambda x, y: StandardScaler().fit_transform(x),
    lambda x, y: PolynomialFeatures(2).fit_transform(x),
    lambda x, y: abs(PCA(3, svd_solver="full").fit_transform(x)),
    lambda x, y: Ridge(solver="svd").fit(x, 2 * x[:, 0] + 1).predict(x),
    lambda x, y: LinearDiscriminantAnalysis().fit(x, y).predict(x),
    lambda x, y: r2_score(x[:, 0], x[:, 1]),
    lambda x, y: accuracy_score(y, 1 - y),
    lambda x, y: scipy.stats.zscore(x),
    lambda x, y: scipy.stats.skew(x),
    lambda x, y: scipy.special.logsumexp(x, axis=1),
]
for number, call in enumerate(CALLS):
    found = call(twofold.tensor(values), twofold.tensor(labels))
    wanted = call(values, labels)
    assert isinstance(found, twofold.Tensor | float) and not isinstance(found, np.ndarray), number
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=str(number))
"""


def test_scikit_learn_and_scipy_take_tensors():
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
