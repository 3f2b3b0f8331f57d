"""A layer and the batch normalisation behind it as one layer, for inference. Floor 10."""

from __future__ import annotations

import copy
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.nn.module import Module
from twofold.ops.bind import recording
from twofold.ops.creation_like import ones_like, zeros_like
from twofold.ops.tensor import Parameter


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a convolution that does what it and the normalisation did."""
    conv_b = zeros_like(bn_rm) if conv_b is None else conv_b
    bn_w = ones_like(bn_rm) if bn_w is None else bn_w
    bn_b = zeros_like(bn_rm) if bn_b is None else bn_b
    with recording(False):
        factor = bn_w * (bn_rv + bn_eps).rsqrt()
        shape = [1] * conv_w.ndim
        shape[1 if transpose else 0] = -1
        weight = conv_w * factor.reshape(shape).to(conv_w.dtype)
        bias = (conv_b - bn_rm) * factor + bn_b
    return Parameter(weight, conv_w.requires_grad), Parameter(bias, conv_b.requires_grad)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a linear layer that does what it and the normalisation did."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _fused(op: str, layer: Any, bn: Any, transpose: bool) -> Any:
    if layer.training or bn.training:
        raise ArgumentError(op, "both layers must be in evaluation mode", hint=".eval()")
    if bn.running_mean is None:
        raise ArgumentError(op, "the normalisation keeps no running moments")
    made = copy.deepcopy(layer)
    moments = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    weight, bias = fuse_conv_bn_weights(made.weight, made.bias, *moments, transpose)
    made.weight = weight
    made._parameters["bias"] = bias
    return made


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Any:
    """A convolution that gives what `conv` and then `bn` give, both in evaluation mode."""
    return _fused("fuse_conv_bn_eval", conv, bn, transpose)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Any:
    """A Linear that gives what `linear` and then `bn` give, both in evaluation mode."""
    return _fused("fuse_linear_bn_eval", linear, bn, False)
