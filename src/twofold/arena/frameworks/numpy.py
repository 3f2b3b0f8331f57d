"""NumPy: the floor. What a person writes who has no framework."""

import sys

import numpy as np

TITLE = "NumPy"
DISTRIBUTION = "numpy"
MODES = ("numpy",)
QUICK = ("numpy",)


def start(mode, threads):
    """Threads are set by the environment, before NumPy is there."""
    assert "numpy" in sys.modules


def tensor(array):
    return array


def array(value):
    return np.asarray(value)


def wait(result):
    """NumPy returns when it is done."""


def compiled(mode, function, **options):
    return function
