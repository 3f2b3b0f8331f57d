"""Gradients of convolutions by their inputs and by their weights, as torch.nn.grad. Floor 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.autograd.transforms import vjp
from twofold.nn.functional import conv1d, conv2d, conv3d
from twofold.ops.creation import zeros
from twofold.ops.tensor import Tensor

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]


def _at_zeros(made: Callable[[Tensor], Tensor], size: Any, dtype: Any, grad: Tensor) -> Tensor:
    """The gradient of what is linear in a tensor of this size, which therefore may be zeros."""
    return vjp(made, zeros(*size, dtype=dtype))[1](grad)[0]  # type: ignore[no-any-return]


def _by_input(conv: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def gradient(
        input_size: Any, weight: Tensor, grad_output: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The gradient of a convolution by its input of the size `input_size`, where that by its
        result is `grad_output`. Further arguments: stride, padding, dilation, groups.
        """
        made = lambda x: conv(x, weight, None, *args, **kwargs)  # noqa: E731
        return _at_zeros(made, input_size, weight.dtype, grad_output)

    gradient.__name__ = gradient.__qualname__ = f"{conv.__name__}_input"
    return gradient


def _by_weight(conv: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def gradient(
        input: Tensor, weight_size: Any, grad_output: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The gradient of a convolution by its weight of the size `weight_size`, where that by its
        result is `grad_output`. Further arguments: stride, padding, dilation, groups.
        """
        made = lambda w: conv(input, w, None, *args, **kwargs)  # noqa: E731
        return _at_zeros(made, weight_size, input.dtype, grad_output)

    gradient.__name__ = gradient.__qualname__ = f"{conv.__name__}_weight"
    return gradient


conv1d_input, conv1d_weight = _by_input(conv1d), _by_weight(conv1d)
conv2d_input, conv2d_weight = _by_input(conv2d), _by_weight(conv2d)
conv3d_input, conv3d_weight = _by_input(conv3d), _by_weight(conv3d)
