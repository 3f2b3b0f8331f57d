"""Mixed precision: `autocast` runs products in a narrower type, GradScaler scales losses. Floor 11.

Autocast is an interpreter: operations in the block reach `run` before they reach what ran them
outside. Products take the narrower type, losses and long products float32, all others the type that
their inputs have. A compiled function that is called in the block runs uncaptured; a block inside
of a compiled function is part of its program.
"""

from __future__ import annotations

import enum
import functools
import warnings
from collections import defaultdict
from typing import Any, final

from twofold.autograd.modes import Switch
from twofold.base import dtypes, trees
from twofold.base.dtypes import DType, float64
from twofold.base.errors import ArgumentError, DeviceError, DTypeError
from twofold.base.files import also_as
from twofold.base.types import Type
from twofold.frontends.arrays import CaptureError
from twofold.frontends.control import cond
from twofold.frontends.effects import callback
from twofold.ops.bind import bind, interpreter, mode, recording
from twofold.ops.compare import isfinite, logical_and
from twofold.ops.elementwise import cast, mul, true_divide
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor, wrap

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

NARROW = {"attention", "conv", "gru_sequence", "linear", "lstm_sequence", "matmul"}
WIDE = {"cross_entropy", "cross_entropy_mean", "ctc_loss", "prod", "logsumexp"}
TYPES = (dtypes.bfloat16, dtypes.float16, dtypes.float32)
ELSEWHERE = ("cuda", "mps", "xpu", "hpu", "xla", "mtia", "privateuseone")


@final
class Casting:
    """The interpreter of a block: casts inputs by the operation, then hands it to `below`."""

    def __init__(self, dtype: DType, below: Any) -> None:
        self.dtype = dtype
        self.below = below

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        with interpreter(self.below):
            if op.name in NARROW:
                inputs = tuple(self.fitting(x, self.dtype) for x in inputs)
            elif op.name in WIDE:
                inputs = tuple(self.fitting(x, dtypes.float32) for x in inputs)
            return bind(op, inputs, attrs)

    def fitting(self, x: Tensor, dtype: DType) -> Tensor:
        """The tensor in that type, unless it holds no floats or those of float64."""
        return cast(x, dtype) if x.dtype in TYPES else x

    def over(self, below: Any) -> Casting:
        """The same casts over another interpreter, instead of those that it makes."""
        return Casting(self.dtype, below.below if isinstance(below, Casting) else below)

    def __getattr__(self, name: str) -> Any:
        if name == "below":
            raise AttributeError(name)
        return getattr(self.below, name)


@final
class autocast(Switch):
    """In the block (or the decorated function) products run in `dtype`, bfloat16 unless given.

    On this machine that saves memory and shows what training in the narrow type does; it is not
    faster than float32. For a device that is not here the block warns and changes nothing, as
    PyTorch's does.

    Raises DTypeError for a type that is neither bfloat16 nor float16.

    >>> with autocast("cpu", dtype=bfloat16):
    ...     loss = loss_of(model(x), y)
    >>> loss.backward()
    """

    def __init__(
        self,
        device_type: str = "cpu",
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        kind = str(device_type).partition(":")[0]
        if kind != "cpu" and kind not in ELSEWHERE:
            raise DeviceError("autocast", f"there is no device {kind!r}", hint='autocast("cpu")')
        if kind != "cpu" and enabled:
            warnings.warn(
                f"autocast: there is no {kind} device here, so the block changes nothing; "
                'autocast("cpu") narrows products on this machine',
                stacklevel=2,
            )
        self.device = kind
        self.enabled = bool(enabled) and kind == "cpu"
        self.dtype = dtypes.bfloat16 if dtype is None else dtypes.as_dtype(dtype)
        if self.enabled and self.dtype not in (dtypes.bfloat16, dtypes.float16):
            raise DTypeError(
                "autocast", f"{self.dtype.name} is no narrower type", hint="dtype=twofold.bfloat16"
            )

    def again(self) -> autocast:
        return autocast("cpu", self.dtype if self.enabled else None, self.enabled)

    def enter(self) -> Any:
        below = mode.interpreter
        beneath = below.below if isinstance(below, Casting) else below
        self.block = interpreter(Casting(self.dtype, beneath) if self.enabled else beneath)
        self.block.__enter__()
        return below

    def leave(self, before: Any) -> None:
        self.block.__exit__(None, None, None)


def is_autocast_available(device_type: str) -> bool:
    return device_type == "cpu"


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether products of that device are narrowed in this thread now."""
    return device_type == "cpu" and isinstance(mode.interpreter, Casting)


def get_autocast_dtype(device_type: str = "cpu") -> DType:
    """The type that products take in the block of now, or would take."""
    if device_type != "cpu":
        return dtypes.float16
    return mode.interpreter.dtype if is_autocast_enabled() else dtypes.bfloat16


def clear_autocast_cache() -> None:
    """Nothing: casts are not kept."""


def is_autocast_cache_enabled() -> bool:
    """False: casts are not kept."""
    return False


def is_autocast_cpu_enabled() -> bool:
    return is_autocast_enabled()


def get_autocast_cpu_dtype() -> DType:
    return get_autocast_dtype()


def custom_fwd(
    fwd: Any = None, *, device_type: str = "cpu", cast_inputs: DType | None = None
) -> Any:
    """Decorate `forward` of a `Function` that is used in autocast blocks.

    cast_inputs: floats come in this type, and the block does not reach inside; otherwise forward
    runs as the block says.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx.autocast_before = is_autocast_enabled(device_type)
        ctx.dtype_before = get_autocast_dtype(device_type)
        if cast_inputs is None or not ctx.autocast_before:
            return fwd(ctx, *args, **kwargs)
        ctx.autocast_before = False
        given = trees.map_leaves(lambda x: _in_type(x, cast_inputs), (args, kwargs))
        with autocast(device_type, enabled=False):
            return fwd(ctx, *given[0], **given[1])

    return decorated


def _in_type(x: Any, dtype: DType) -> Any:
    return cast(x, dtype) if isinstance(x, Tensor) and x.dtype in TYPES else x


def custom_bwd(bwd: Any = None, *, device_type: str = "cpu") -> Any:
    """Decorate `backward` of the same `Function`: it runs as its forward did."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, dtype=ctx.dtype_before, enabled=ctx.autocast_before):
            return bwd(ctx, *args, **kwargs)

    return decorated


class OptState(enum.Enum):
    """How far a step is, by PyTorch's names."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


@final
class GradScaler:
    """Multiply losses before backward, so that small gradients of narrow types are not lost.

    The scale halves (`backoff_factor`) when a gradient is not finite, and that step is left out; it
    grows after `growth_interval` steps that were. For a device that is not here it is off, and
    `scale`, `step` and `update` do what they do without it. (Micikevicius et al., "Mixed Precision
    Training", 2018.)

    >>> scaler = GradScaler("cpu")
    >>> scaler.scale(loss).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if growth_factor <= 1 or not 0 < backoff_factor < 1:
            raise ArgumentError(
                "GradScaler", "the scale must grow by more than 1 and shrink by less",
                growth_factor=growth_factor, backoff_factor=backoff_factor,
            )  # fmt: skip
        if enabled and device != "cpu":
            warnings.warn(
                f"GradScaler: there is no {device} device here, so it is off; "
                'GradScaler("cpu") scales on this machine',
                stacklevel=2,
            )
        self.enabled = enabled and device == "cpu"
        self.current = float(init_scale)
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = growth_interval
        self.good = 0  # finite steps since the scale changed last
        self.found: dict[int, bool] = defaultdict(
            bool
        )  # by optimizer: whether some were not finite
        self.unscaled: set[int] = set()
        # In a graph: whether the gradients of an optimizer are finite, and the scale of the run.
        self.finite: dict[int, Tensor] = {}
        self.number: tuple[Any, Any] = (None, 1.0)

    def is_enabled(self) -> bool:
        return self.enabled

    def get_scale(self) -> float:
        return self._scale() if self.enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """Losses times the scale; lists and tuples of them too."""
        if not self.enabled:
            return outputs
        if isinstance(outputs, list | tuple):
            return type(outputs)(self.scale(each) for each in outputs)
        return mul(outputs, self._scale())

    def _scale(self) -> Any:
        """The scale; in a graph, the number that it is when a run begins."""
        capture = mode.capture
        if capture is None:
            return self.current
        if self.number[0] is not capture:
            self.finite.clear()
            self.unscaled.clear()
            like = Type((), float64)
            host = capture.host(lambda: self.current, "scale", like=like)
            self.number = capture, wrap(capture.host_value(host, None, (), float64)).item()  # type: ignore[attr-defined]
        if self.number[1] is None:
            raise CaptureError(
                "GradScaler",
                "the scale after update() is known after the run",
                hint="ask for it outside of the compiled function",
            )
        return self.number[1]

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients by the scale now, to clip them before the step.

        Raises ArgumentError when it was done already since the last update.
        """
        if not self.enabled:
            return
        if mode.capture is not None:
            self._scale()
        if id(optimizer) in self.unscaled:
            raise ArgumentError(
                "unscale_", "these gradients were divided already", hint="scaler.update() first"
            )
        self.unscaled.add(id(optimizer))
        with recording(False):
            for parameter in _parameters(optimizer):
                if parameter.grad is None:
                    continue
                parameter.grad = true_divide(parameter.grad, self._scale())
                finite = isfinite(parameter.grad).all()  # type: ignore[attr-defined]
                if mode.capture is None:
                    self.found[id(optimizer)] |= not bool(finite)
                else:
                    before = self.finite.get(id(optimizer))
                    both = finite if before is None else logical_and(before, finite)
                    self.finite[id(optimizer)] = both

    def step(self, optimizer: Any, *args: Any, **options: Any) -> Any:
        """`optimizer.step()` if every gradient is finite; None without it otherwise."""
        if not self.enabled:
            return optimizer.step(*args, **options)
        if id(optimizer) not in self.unscaled:
            self.unscale_(optimizer)
        if mode.capture is not None:
            finite = self.finite.get(id(optimizer))
            if finite is None:
                return optimizer.step(*args, **options)

            def taken() -> tuple[()]:
                optimizer.step(*args, **options)
                return ()

            cond(finite, taken, tuple)
            return None
        if self.found[id(optimizer)]:
            return None
        return optimizer.step(*args, **options)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Change the scale by what the steps since the last update found."""
        if not self.enabled:
            return
        if mode.capture is not None:
            if new_scale is None:
                callback(self._found_in_run, *self.finite.values())
            else:
                callback(lambda: self.update(new_scale))
            self.number = mode.capture, None
            self.finite.clear()
            self.unscaled.clear()
            return
        if new_scale is not None:
            self.current = float(new_scale)  # type: ignore[arg-type]
        elif any(self.found.values()):
            self.current, self.good = self.current * self.backoff_factor, 0
        else:
            self.good += 1
            if self.good >= self.growth_interval:
                self.current, self.good = self.current * self.growth_factor, 0
        self.found.clear()
        self.unscaled.clear()

    def _found_in_run(self, *finite: Tensor) -> None:
        """The update that belongs to a run of a graph."""
        self.found[0] = not all(map(bool, finite))
        self.update()

    def state_dict(self) -> dict[str, Any]:
        if not self.enabled:
            return {}
        return {
            "scale": self.current,
            "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval,
            "_growth_tracker": self.good,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.enabled:
            self.current, self.good = float(state["scale"]), int(state["_growth_tracker"])
            self.growth_factor = state["growth_factor"]
            self.backoff_factor = state["backoff_factor"]
            self.growth_interval = state["growth_interval"]


def _parameters(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


also_as(__name__, "autocast_mode grad_scaler")
