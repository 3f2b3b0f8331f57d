"""Windows against NumPy's, and against the formulas that the others are."""

import numpy as np
import pytest

import twofold as T
from twofold.signal import windows

N = np.arange(9)
KNOWN = {
    "bartlett": np.bartlett(9),
    "blackman": np.blackman(9),
    "hamming": np.hamming(9),
    "hann": np.hanning(9),
    "cosine": np.sin(np.pi * (N + 0.5) / 9),
    "gaussian": np.exp(-((N - 4.0) ** 2) / 2),
    "exponential": np.exp(-np.abs(N - 4.0)),
    "kaiser": np.kaiser(9, 12.0),
    "general_hamming": np.hamming(9),
    "nuttall": sum(
        (-1) ** k * a * np.cos(2 * np.pi * k * N / 8)
        for k, a in enumerate((0.3635819, 0.4891775, 0.1365995, 0.0106411))
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_symmetric_and_periodic(name):
    window = getattr(windows, name)
    np.testing.assert_allclose(window(9, dtype=T.float64).numpy(), KNOWN[name], 1e-9, 1e-12)
    np.testing.assert_allclose(
        window(8, sym=False, dtype=T.float64).numpy(), KNOWN[name][:8], 1e-9, 1e-12
    )
    assert window(0).shape == (0,) and window(1).tolist() == [1.0]
    assert window(5).dtype is T.float32 and window(5, requires_grad=True).requires_grad


def test_cosines_of_ones_own():
    made = windows.general_cosine(9, a=[0.42, 0.5, 0.08], dtype=T.float64)
    np.testing.assert_allclose(made.numpy(), np.blackman(9), 1e-12, 1e-15)
    shifted = windows.exponential(9, center=0.0, tau=3.0, sym=False, dtype=T.float64)
    np.testing.assert_allclose(shifted.numpy(), np.exp(-N / 3.0), 1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: windows.hann(-1),
        lambda: windows.kaiser(5, beta=-1.0),
        lambda: windows.gaussian(5, std=0.0),
        lambda: windows.exponential(5, tau=0.0),
        lambda: windows.exponential(5, center=1.0),
        lambda: windows.general_cosine(5, a=[]),
        lambda: windows.hann(5, dtype=T.int64),
    ],
)
def test_what_is_no_window_is_refused(call):
    with pytest.raises((ValueError, TypeError)):
        call()
