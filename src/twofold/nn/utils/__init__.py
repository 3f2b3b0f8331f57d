"""What one does with parameters: clip, flatten, reparametrize, prune, fuse; packed sequences."""

import importlib as _importlib

from twofold.base.files import also_as as _also_as
from twofold.nn.utils.gradients import clip_grad_norm_ as clip_grad_norm
from twofold.nn.utils.gradients import clip_grad_norm_ as clip_grad_norm_
from twofold.nn.utils.gradients import clip_grad_value_ as clip_grad_value_
from twofold.nn.utils.gradients import clip_grads_with_norm_ as clip_grads_with_norm_
from twofold.nn.utils.gradients import get_total_norm as get_total_norm
from twofold.nn.utils.gradients import parameters_to_vector as parameters_to_vector
from twofold.nn.utils.gradients import vector_to_parameters as vector_to_parameters

_also_as(__name__, "clip_grad convert_parameters")

# What few programs use is imported when it is first asked for.
_FILES = ("fusion", "init", "parametrizations", "parametrize", "prune", "rnn", "stateless")
_NAMES = {
    "convert_conv2d_weight_memory_format": ("init", "convert_conv2d_weight_memory_format"),
    "convert_conv3d_weight_memory_format": ("init", "convert_conv3d_weight_memory_format"),
    "fuse_conv_bn_eval": ("fusion", "fuse_conv_bn_eval"),
    "fuse_conv_bn_weights": ("fusion", "fuse_conv_bn_weights"),
    "fuse_linear_bn_eval": ("fusion", "fuse_linear_bn_eval"),
    "fuse_linear_bn_weights": ("fusion", "fuse_linear_bn_weights"),
    "remove_spectral_norm": ("norms", "remove_spectral_norm"),
    "remove_weight_norm": ("norms", "remove_weight_norm"),
    "skip_init": ("init", "skip_init"),
    "spectral_norm": ("norms", "old_spectral_norm"),
    "weight_norm": ("norms", "old_weight_norm"),
}


def __getattr__(name: str) -> object:
    if name in _FILES:
        return _importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        file, own = _NAMES[name]
        found = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{file}"), own)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
