"""Floor 8: gradients. One walk over nodes serves every way of asking for them."""

import importlib as _importlib

from twofold.autograd import function as function
from twofold.autograd.api import backward as backward
from twofold.autograd.api import grad as grad
from twofold.autograd.checkpoint import checkpoint as checkpoint
from twofold.autograd.function import Function as Function
from twofold.autograd.gradcheck import gradcheck as gradcheck
from twofold.autograd.gradcheck import gradgradcheck as gradgradcheck
from twofold.autograd.modes import detect_anomaly as detect_anomaly
from twofold.autograd.modes import enable_grad as enable_grad
from twofold.autograd.modes import inference_mode as inference_mode
from twofold.autograd.modes import is_grad_enabled as is_grad_enabled
from twofold.autograd.modes import no_grad as no_grad
from twofold.autograd.modes import set_detect_anomaly as set_detect_anomaly
from twofold.autograd.modes import set_grad_enabled as set_grad_enabled

# What a program may not need is imported when its name is first used.
_LATE = ("functional", "forward_ad", "grad_mode", "graph", "profiler", "variable")
_LATE_NAMES = {
    "Variable": "variable",
    "_disable_profiler": "profiler",
    "_profiler_enabled": "profiler",
    "set_multithreading_enabled": "grad_mode",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        return _importlib.import_module(f"twofold.autograd.{name}")
    if name in _LATE_NAMES:
        return getattr(__getattr__(_LATE_NAMES[name]), name)
    raise AttributeError(f"module 'twofold.autograd' has no attribute {name!r}")
