"""PyTorch's deep names of layers (`nn.modules.batchnorm._BatchNorm`), for programs that import by
them: every file of it is this module. Floor 10.
"""

from typing import Any

from twofold.base.files import also_as
from twofold.nn import *
from twofold.nn import functional as functional
from twofold.nn.call_hooks import (
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from twofold.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from twofold.nn.convolution import Convolution as _ConvNd
from twofold.nn.convolution import TransposedConvolution as _ConvTransposeNd
from twofold.nn.layers import DropoutLayer as _DropoutNd
from twofold.nn.losses import Loss as _Loss
from twofold.nn.losses import WeightedLoss as _WeightedLoss
from twofold.nn.module import Module
from twofold.nn.multihead import activation_of
from twofold.nn.norm import BatchNorm as _BatchNorm
from twofold.nn.norm import InstanceNorm as _InstanceNorm
from twofold.nn.norm import RunningNorm as _NormBase
from twofold.nn.padding import ConstantPad as _ConstantPadNd
from twofold.nn.padding import ReflectionPads as _ReflectionPadNd
from twofold.nn.padding import ReplicationPads as _ReplicationPadNd
from twofold.nn.resizing import MaxUnpool as _MaxUnpoolNd
from twofold.nn.state import EXTRA as _EXTRA_STATE_KEY_SUFFIX
from twofold.nn.state import LoadResult as _IncompatibleKeys

__all__ = ["Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]
__all__ += ["_BatchNorm", "_ConvNd", "_ConvTransposeNd", "_InstanceNorm", "_Loss", "_NormBase"]
__all__ += [
    "_EXTRA_STATE_KEY_SUFFIX",
    "_ConstantPadNd",
    "_DropoutNd",
    "_MaxUnpoolNd",
    "_IncompatibleKeys",
    "_ReflectionPadNd",
    "_ReplicationPadNd",
    "_get_activation_fn",
    "_WeightedLoss",
    "_ntuple",
    "_pair",
    "_quadruple",
    "_single",
    "_triple",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]


def _ntuple(n: int, name: str = "parse") -> Any:
    """A function that makes a number n numbers, and leaves n numbers as they are."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if hasattr(x, "__iter__") else (x,) * n

    parse.__name__ = name
    return parse


def _get_activation_fn(activation: str) -> Any:
    """The function that a Transformer layer names: "relu" or "gelu"."""
    return activation_of("_get_activation_fn", activation)


_single, _pair = _ntuple(1, "_single"), _ntuple(2, "_pair")
_triple, _quadruple = _ntuple(3, "_triple"), _ntuple(4, "_quadruple")

also_as(
    __name__,
    "activation batchnorm container conv distance dropout flatten fold instancenorm lazy linear "
    "loss module normalization padding pixelshuffle pooling rnn sparse transformer upsampling "
    "utils",
)
