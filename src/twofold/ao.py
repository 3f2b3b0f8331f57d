"""Where quantization begins and ends in PyTorch's models, by name: they compute in floats here.

It is the modules `ao.quantization` and `quantization` of PyTorch. Floor 12.
"""

from __future__ import annotations

from typing import Any, NoReturn

from twofold.base.errors import ArgumentError
from twofold.base.files import also_as
from twofold.nn.module import Module

__all__ = ["DeQuantStub", "QuantStub", "convert", "prepare"]


class QuantStub(Module):
    """The place where values would be quantized: they pass as they are."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x


class DeQuantStub(QuantStub):
    """The place where they would become floats again."""


class ObserverBase(Module):
    """What would look at values to find their range; no module here is one."""


class FakeQuantizeBase(Module):
    """What would round values as a quantized type does; no module here is one."""


def prepare(model: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises ArgumentError: there are no quantized types."""
    hint = "the model in float32, or bfloat16: model.bfloat16()"
    raise ArgumentError("quantization", "models are not quantized here", hint=hint)


prepare_qat = convert = quantize_dynamic = prepare

also_as(__name__, "quantization")
