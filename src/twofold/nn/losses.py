"""Losses as modules. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class Loss(Module):
    """A module around one loss; subclasses name the function, its options, and whether it takes
    class weights.
    """

    function: Any
    options: tuple[tuple[str, Any], ...] = ()
    tensors: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        names = [*self.tensors, *(name for name, _ in self.options)]
        values = (
            dict.fromkeys(self.tensors) | dict(self.options) | dict(zip(names, args, strict=False))
        )
        unknown = set(kwargs) - set(names)
        if unknown:
            raise TypeError(
                f"{type(self).__name__}() got an unexpected keyword argument {unknown.pop()!r}"
            )
        for name, value in (values | kwargs).items():
            if name in self.tensors:
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        names = (*self.tensors, *(name for name, _ in self.options))
        return type(self).function(input, target, **{name: getattr(self, name) for name in names})  # type: ignore[no-any-return]


def _loss(name: str, function: Any, *tensors: str, **options: Any) -> type[Loss]:
    options = {"reduction": "mean"} | options
    body: dict[str, Any] = {
        "function": staticmethod(function),
        "options": tuple(options.items()),
        "tensors": tensors,
    }
    body |= {"__doc__": f"`functional.{function.__name__}` as a module.", "__module__": __name__}
    return type(name, (Loss,), body)


MSELoss = _loss("MSELoss", F.mse_loss)
L1Loss = _loss("L1Loss", F.l1_loss)
SmoothL1Loss = _loss("SmoothL1Loss", F.smooth_l1_loss, beta=1.0)
HuberLoss = _loss("HuberLoss", F.huber_loss, delta=1.0)
CrossEntropyLoss = _loss(
    "CrossEntropyLoss", F.cross_entropy, "weight", ignore_index=-100, label_smoothing=0.0
)
NLLLoss = _loss("NLLLoss", F.nll_loss, "weight", ignore_index=-100)
BCELoss = _loss("BCELoss", F.binary_cross_entropy, "weight")
BCEWithLogitsLoss = _loss(
    "BCEWithLogitsLoss", F.binary_cross_entropy_with_logits, "weight", "pos_weight"
)
KLDivLoss = _loss("KLDivLoss", F.kl_div, log_target=False)
