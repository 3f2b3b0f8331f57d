"""Weights of a byte each: `ao.quantization.quantize_dynamic`, and PyTorch's names around it.

It is the modules `ao.quantization` and `quantization` of PyTorch. There are no quantized types:
what is quantized keeps whole numbers in int8 tensors, and the other ways (`prepare`, `convert`)
raise. Floor 12.
"""

from __future__ import annotations

import copy
from typing import Any, NoReturn, final

from twofold.base.dtypes import int8
from twofold.base.errors import ArgumentError
from twofold.base.files import also_as
from twofold.nn.layers import Linear
from twofold.nn.module import Module
from twofold.ops.bind import recording
from twofold.ops.creation import ones, zeros
from twofold.ops.linear import linear

__all__ = ["DeQuantStub", "DynamicQuantizedLinear", "QuantStub", "convert", "quantize_dynamic"]


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
    """Raises ArgumentError: values between layers are floats here."""
    hint = "quantize_dynamic(model, {nn.Linear}), or model.bfloat16()"
    raise ArgumentError("quantization", "values between layers are not quantized", hint=hint)


prepare_qat = convert = prepare

LEVELS = 255  # of a byte
HALF = 127
SMALLEST = 1e-12  # a scale where all is 0


@final
class DynamicQuantizedLinear(Module):
    """x @ w.T + b with whole numbers: w in int8 with one scale, each row of x in steps of 1/255 of
    its range, which is found at each call. Sums of products of whole numbers are those of float32,
    exact for up to 512 inputs. There are no gradients.
    """

    weight_scale: Any
    int_weight: Any
    bias: Any

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("int_weight", zeros((out_features, in_features), dtype=int8))
        self.register_buffer("weight_scale", ones(()))
        self.register_buffer("bias", zeros(out_features) if bias else None)

    @classmethod
    def from_float(cls, mod: Any) -> DynamicQuantizedLinear:
        """Of a Linear layer in float32."""
        with recording(False):
            made = cls(mod.in_features, mod.out_features, mod.bias is not None)
            weight = mod.weight.detach().float()
            scale = (weight.abs().amax() / HALF).clamp(min=SMALLEST)
            made.int_weight.copy_((weight / scale).round().to(int8))
            made.weight_scale.copy_(scale)
            if mod.bias is not None:
                made.bias.copy_(mod.bias.detach().float())
        return made

    def weight(self) -> Any:
        """The weights as floats: f32[out_features, in_features]."""
        return self.int_weight.float() * self.weight_scale

    def forward(self, x: Any) -> Any:
        """x f32[..., in_features]; the result f32[..., out_features]."""
        with recording(False):
            low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
            scale = ((high - low) / LEVELS).clamp(min=SMALLEST)
            zero = (-low / scale).round()
            steps = ((x / scale).round() + zero).clamp(0, LEVELS) - zero
            made = linear(steps, self.int_weight.float()) * (scale * self.weight_scale)
            return made if self.bias is None else made + self.bias

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype=int8"


def quantize_dynamic(
    model: Any,
    qconfig_spec: Any = None,
    dtype: Any = None,
    mapping: Any = None,
    inplace: bool = False,
) -> Any:
    """The model with its Linear layers' weights in a byte each, for inference: a copy, or with
    `inplace` the model itself. Activations are quantized at each call, by their range.

    qconfig_spec: the kinds of layers, {nn.Linear} (also when it is None), or names of submodules;
    recurrent layers are refused with ArgumentError, as are other types than qint8.
    """
    if dtype is not None and "qint8" not in str(dtype):
        problem = f"weights cannot be {dtype}"
        raise ArgumentError("quantize_dynamic", problem, hint="torch.qint8, or model.bfloat16()")
    wanted = {Linear} if qconfig_spec is None else set(qconfig_spec)
    for kind in wanted:
        if isinstance(kind, type) and kind is not Linear:
            problem = f"{kind.__name__} layers cannot be quantized"
            raise ArgumentError("quantize_dynamic", problem, hint="{nn.Linear}")
    made = model if inplace else copy.deepcopy(model)
    if type(made) is Linear and Linear in wanted:
        return DynamicQuantizedLinear.from_float(made)
    for name, module in list(made.named_modules()):
        for child, layer in list(module.named_children()):
            path = f"{name}.{child}" if name else child
            if type(layer) is Linear and (Linear in wanted or _below(path, wanted)):
                setattr(module, child, DynamicQuantizedLinear.from_float(layer))
    return made


def _below(path: str, names: set[Any]) -> bool:
    return any(f"{path}.".startswith(f"{name}.") for name in names if isinstance(name, str))


also_as(__name__, "quantization")
