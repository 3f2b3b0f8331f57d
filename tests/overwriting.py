"""Programs that write in place, run in a namespace, and what comes of them compared."""

import numpy as np

X = np.arange(1.0, 13.0).reshape(3, 4) / 7
Y = np.cos(np.arange(12.0)).reshape(3, 4)


def run(t, program):
    """(value, gradient of x, gradient of y) of a program."""
    x, y = (t.tensor(a, dtype=t.float64, requires_grad=True) for a in (X, Y))
    out = program(t, x, y)
    weight = t.tensor(np.sin(np.arange(float(out.numel()))).reshape(tuple(out.shape)) + 2)
    (out * weight).sum().backward()
    found = (out.detach(), x.grad, y.grad)
    return [None if f is None else np.array(f.numpy()) for f in found]


def compare(found, wanted):
    for ours, theirs, what in zip(found, wanted, ("value", "x.grad", "y.grad"), strict=True):
        if theirs is None:
            assert ours is None or not ours.any(), what
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, err_msg=what)
