"""Fourier transforms: values, gradients and refusals, against PyTorch."""

import pytest
from twins import cases, compare_all, compare_all_gradients

ONE = cases("fft  ifft  rfft  irfft  hfft  ihfft")
TWO = cases("fft2  ifft2  rfft2  irfft2  hfft2  ihfft2")
MANY = cases("fftn  ifftn  rfftn  irfftn  hfftn  ihfftn")
WAYS = cases("""
f  d  x  z  i  b  v  s  e  h  f, 5  f, 3  f, 6, 0  f, 4, 0, 'ortho'  z, norm='forward'
f, norm='forward'  x, dim=1  x, n=7, dim=1  z, n=5, norm='ortho'  f, norm='other'  f, 0  f, dim=4
z, 3, -2
""")
WAYS_TWO = cases("""
f  x  z  v  f, (5, 3)  z, (2, 6)  x, dim=(0, 2)  f, norm='ortho'  z, norm='forward'
f, (4, 4), (1, 0)
x, (3, 5), (0, 1), 'ortho'  f, (5,)  f, dim=(0, 0)  x.to(T.complex64), (3, 3)  x, (-1, 3)
""")
WAYS_MANY = cases("""
f  x  z  v  s  x, (2, 3)  x, dim=(0,)  x, dim=(0, 1, 2), norm='ortho'  x, (3, 2, 5), norm='forward'
x.to(T.complex64), (2, 5)  x, (2, 3, 4, 5)  x, (2,), (0, 1)  z, dim=1
""")
REST = cases("""
T.fft.fftfreq(5)  T.fft.fftfreq(4, 0.5)  T.fft.rfftfreq(5)  T.fft.rfftfreq(6, d=0.1)
T.fft.fftfreq(4, dtype=T.float64)  T.fft.fftshift(f)  T.fft.fftshift(r)  T.fft.fftshift(x, dim=1)
T.fft.ifftshift(f)  T.fft.ifftshift(r[:5])  T.fft.fftshift(r[:5])  T.fft.ifftshift(x, (0, 2))
T.fft.fftshift(T.fft.fftfreq(5))  T.fft.irfft(T.fft.rfft(v))  T.fft.fft(f, out=T.zeros(3, 4) * 1j)
""")
CALLS = [
    [f"T.fft.{name}({way})" for way in ways]
    for names, ways in ((ONE, WAYS), (TWO, WAYS_TWO), (MANY, WAYS_MANY))
    for name in names
]
SHORT = cases("""
T.stft(s1, 16, return_complex=True)  T.stft(s1, 16, 5, 12, return_complex=True)
T.stft(s2, 16, window=T.hann_window(16), return_complex=True)  T.stft(s1, 16)
T.stft(s2, 15, 4, window=T.hamming_window(15), center=False, return_complex=True)
T.stft(s2, 16, normalized=True, onesided=False, return_complex=True)
T.stft(s1, 16, 4, 10, T.hann_window(10), return_complex=True)  s1.stft(16, return_complex=True)
T.stft(s2, 16, pad_mode='constant', return_complex=True)  T.stft(s1, 99, return_complex=True)
T.stft(T.complex(s1, s1), 16)  T.stft(s1, 16, 0, return_complex=True)  T.stft(f[None], 2)
T.stft(s1, 16, 4, 20, return_complex=True)
T.istft(T.stft(s1, 16, return_complex=True), 16)
T.istft(T.stft(s2, 16, window=T.hann_window(16), return_complex=True), 16, window=T.hann_window(16))
T.istft(T.stft(s1, 16, return_complex=True), 16, length=50)
T.istft(T.stft(s1, 16, return_complex=True), 16, length=70)
T.istft(T.stft(s2, 16, normalized=True, return_complex=True), 16, normalized=True)
T.istft(T.stft(s1, 15, 4, center=False, return_complex=True), 15, 4, center=False)
T.istft(T.stft(s1, 16, onesided=False, return_complex=True), 16, onesided=False)
T.istft(T.stft(s1, 16, 4, return_complex=True), 16, 16, window=T.hann_window(16))
T.istft(T.stft(T.complex(s1, s1), 16), 16, onesided=False, return_complex=True)
T.istft(T.stft(s1, 16, return_complex=True), 18)
""")
SIGNALS = (
    "s1 = x.reshape(-1).repeat(3)[:61] * T.arange(61) / 61; s2 = s1.reshape(1, 61).repeat(2, 1); "
)
WINDOWS = [
    f"T.{name}_window({way})"
    for name in cases("hann  hamming  blackman  bartlett")
    for way in cases(
        "5  6, False  1  2  0  7, dtype=T.float64  2, periodic=False  4, dtype=T.int64"
    )
]
CALLS += [REST, *([SIGNALS + text] for text in SHORT), WINDOWS]
# What PyTorch refuses, or gives otherwise, and is so here.
EXCEPT = {f"T.fft.{name}(e)" for name in ONE}  # PyTorch fails on an empty batch


@pytest.mark.parametrize("calls", CALLS, ids=lambda calls: calls[0][-40:])
def test_values(calls):
    compare_all([text for text in calls if text not in EXCEPT])


@pytest.mark.parametrize("calls", CALLS, ids=lambda calls: calls[0][-40:])
def test_gradients(calls):
    compare_all_gradients([text for text in calls if text not in EXCEPT])
