"""Layers that learn the size of their input from the first one. Floor 10.

Until then their parameters have no shape; the first call gives them one, starts them, and makes the
layer an ordinary one. A state that is loaded before gives them its shapes and values.
"""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ShapeError
from twofold.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from twofold.nn.layers import Linear
from twofold.nn.module import Module
from twofold.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from twofold.ops.bind import mode, recording
from twofold.ops.creation import empty
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor, type_of

__all__ = ["LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d"]
__all__ += ["LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d"]
__all__ += ["LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear"]
__all__ += ["UninitializedBuffer", "UninitializedParameter"]


class UninitializedTensorMixin:
    """What parameters and buffers share whose shape is not known yet."""

    __slots__ = ()
    cls_to_become: type = Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give it a shape; its values are not set."""
        held: Any = self
        held.array = empty(tuple(shape), dtype=dtype or held.dtype).array
        held.__class__ = type(self).cls_to_become

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is not known yet."""

    __slots__ = ()
    cls_to_become = Parameter


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet."""

    __slots__ = ()
    cls_to_become = Tensor


class _Lazy:
    """What a lazy layer's class adds to the layer that it becomes.

    sized  the arguments of the constructor that the input tells, and the axis of the input
    """

    cls_to_become: Any
    sized: str
    axis = 1
    out: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # built for the smallest input that its options allow, then emptied
        least = max(int(kwargs.get("groups", 1)), 1)
        super().__init__(least, *args, **kwargs)  # type: ignore[call-arg]  # the layer's
        module: Any = self
        setattr(module, self.sized, 0)
        module.__dict__["_waiting"] = []
        for name, value in list(module._parameters.items()):
            if value is not None and self._depends(name, value):
                module._parameters[name] = UninitializedParameter(
                    empty(0, dtype=value.dtype), value.tracked
                )
        for name in self._buffer_shapes(0):
            value = module._buffers[name]
            if value is not None:
                made: Any = empty(0, dtype=value.dtype)
                made.__class__ = UninitializedBuffer
                module._buffers[name] = made
        hook = module.register_forward_pre_hook(lambda layer, inputs: layer._infer(inputs[0]))
        module.__dict__["_waiting"].append(hook)

    def _depends(self, name: str, value: Any) -> bool:
        """Whether a parameter's shape follows from the input's."""
        return name == "weight"

    def has_uninitialized_params(self) -> bool:
        module: Any = self
        held = [*module._parameters.values(), *module._buffers.values()]
        return any(isinstance(x, UninitializedTensorMixin) for x in held)

    def initialize_parameters(self, input: Tensor) -> None:
        """Give the parameters the shapes that this input asks for, and start them."""
        self._infer(input)

    def _infer(self, input: Any) -> None:
        module: Any = self
        if mode.capture is not None:
            mode.capture.refuse_once(f"a {type(module).__name__} takes its sizes from its input")
        rank = getattr(type(module), "rank", None)
        axis = self.axis if rank is None or input.ndim == rank + 2 else self.axis - 1
        if input.ndim <= (axis if axis >= 0 else 0):
            raise ShapeError(
                type(module).__name__, "the input has too few axes", input=type_of(input)
            )
        size = int(input.shape[axis])
        setattr(module, self.sized, size)
        for hook in module.__dict__.pop("_waiting"):
            hook.remove()
        loaded = not self.has_uninitialized_params()
        with recording(False):
            for table, shapes in (
                (module._parameters, self._shapes(size)),
                (module._buffers, self._buffer_shapes(size)),
            ):
                for name, shape in shapes.items():
                    if isinstance(table.get(name), UninitializedTensorMixin):
                        table[name].materialize(shape)
        object.__setattr__(module, "__class__", self.cls_to_become)
        if not loaded:
            module.reset_parameters()

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        module: Any = self
        return {"weight": module._weight_shape()}

    def _buffer_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {}


class LazyLinear(_Lazy, Linear):
    """`Linear` for inputs of any last size."""

    cls_to_become, sized, axis = Linear, "in_features", -1

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, size)}


class _LazyNorm(_Lazy):
    """Normalisations: everything follows from the channels."""

    sized = "num_features"

    def _depends(self, name: str, value: Any) -> bool:
        return True

    def _shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (size,), "bias": (size,)}

    def _buffer_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"running_mean": (size,), "running_var": (size,)}


def _lazy(kind: type[Module], mixin: type, sized: str) -> Any:
    body = {
        "cls_to_become": kind,
        "sized": sized,
        "__doc__": f"`{kind.__name__}` for inputs of any number of channels.",
        "__module__": __name__,
    }
    return type(f"Lazy{kind.__name__}", (mixin, kind), body)


LazyConv1d, LazyConv2d, LazyConv3d = (
    _lazy(kind, _Lazy, "in_channels") for kind in (Conv1d, Conv2d, Conv3d)
)
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    _lazy(kind, _Lazy, "in_channels")
    for kind in (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
)
LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d = (
    _lazy(kind, _LazyNorm, "num_features") for kind in (BatchNorm1d, BatchNorm2d, BatchNorm3d)
)
LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d = (
    _lazy(kind, _LazyNorm, "num_features")
    for kind in (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
)


guard(globals())
