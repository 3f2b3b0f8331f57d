"""The Array API standard as it is written down in array_api_strict, and the names of its types."""

import numpy as np
import pytest

import twofold

strict = pytest.importorskip("array_api_strict", "2.5")
strict.set_array_api_strict_flags(api_version="2025.12")
OURS = twofold.ones(1).__array_namespace__()

FLOATS = ["float32", "float64"]
COMPLEXES = ["complex64", "complex128"]
SIGNED = ["int8", "int16", "int32", "int64"]
INTEGERS = [*SIGNED, "uint8", "uint16", "uint32", "uint64"]
REALS = INTEGERS + FLOATS
NUMBERS = REALS + COMPLEXES
EVERYTHING = ["bool", *NUMBERS]


def compare(found, wanted, dtype, line):
    if isinstance(wanted, tuple | list):
        assert isinstance(found, tuple if isinstance(wanted, tuple) else list), type(found)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            compare(one, other, dtype, line)
        return
    theirs = np.asarray(wanted)
    assert isinstance(found, twofold.Tensor), type(found)
    assert tuple(found.shape) == theirs.shape
    assert str(found.dtype).split(".")[1] == str(theirs.dtype)
    single = dtype in ("float32", "complex64")
    bound = 2e-5 if single else 1e-12
    np.testing.assert_allclose(found.resolve_conj().numpy(), theirs, rtol=bound, atol=bound)
