"""Modules and processes in a group of one: FSDP's wrappers, and meshes of one device. Floor 13.

It is the modules `fsdp` and `device_mesh` of PyTorch's `distributed`. A parameter that would be cut
among one process stays whole.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.base.processes import backends
from twofold.base.records import NamedTuple
from twofold.distributed.alone import init_process_group
from twofold.nn.module import Module
from twofold.nn.utils.gradients import clip_grad_norm_
from twofold.ops.creation import arange

__all__ = ["DeviceMesh", "FSDPModule", "FullyShardedDataParallel", "fully_shard"]


def _grouped(what: str, hint: str) -> None:
    """Raise ArgumentError where no group has been started."""
    if not backends:
        problem = "no group of processes runs"
        raise ArgumentError(what, problem, hint=f"init_process_group() first, or {hint}")


@final
class DeviceMesh:
    """Devices of a group as a grid: one of them, along each of its axes.

    mesh            their numbers
    mesh_dim_names  the axes' names, by which `mesh["name"]` gives a part of it
    Raises ArgumentError for grids of several devices.
    """

    def __init__(
        self, device_type: str, mesh: Any, *, mesh_dim_names: Any = None, **options: Any
    ) -> None:
        sizes = tuple(getattr(mesh, "shape", ())) or (_lengths(mesh) if mesh is not None else ())
        _of_one(sizes)
        self.device_type = device_type
        self.mesh = arange(1).reshape(sizes)
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)

    @property
    def ndim(self) -> int:
        return int(self.mesh.ndim)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.mesh.shape)

    def size(self, mesh_dim: int | None = None) -> int:
        return 1

    def get_rank(self) -> int:
        return 0

    def get_local_rank(self, mesh_dim: Any = None) -> int:
        return 0

    def get_coordinate(self) -> list[int]:
        return [0] * self.ndim

    def get_group(self, mesh_dim: Any = None) -> None:
        """The group of all processes."""

    def get_all_groups(self) -> list[None]:
        return [None] * self.ndim

    def __getitem__(self, names: Any) -> DeviceMesh:
        """The part along one axis, or several, by name. Raises ArgumentError for unknown ones."""
        wanted = (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in wanted if name not in (self.mesh_dim_names or ())]
        if unknown:
            hint = f"one of {self.mesh_dim_names}"
            raise ArgumentError("DeviceMesh", f"no axis is called {unknown[0]!r}", hint=hint)
        shape = (1,) * len(wanted)
        return init_device_mesh(self.device_type, shape, mesh_dim_names=wanted)

    def __enter__(self) -> DeviceMesh:
        return self

    def __exit__(self, *_: object) -> None:
        """The block is over."""

    def __repr__(self) -> str:
        return f"DeviceMesh({self.device_type!r}, {self.mesh.tolist()}, {self.mesh_dim_names})"


def _lengths(mesh: Any) -> tuple[int, ...]:
    return (len(mesh), *_lengths(mesh[0])) if isinstance(mesh, (list, tuple)) else ()


def _of_one(shape: tuple[int, ...]) -> None:
    if math.prod(shape) != 1:
        problem = f"a grid of {math.prod(shape)} devices, and several cannot be grouped yet"
        raise ArgumentError("DeviceMesh", problem, hint="(1,): train in one process", shape=shape)


def init_device_mesh(
    device_type: str, mesh_shape: Any, *, mesh_dim_names: Any = None, **options: Any
) -> DeviceMesh:
    """The grid of the group, which is started where there is none. Raises ArgumentError for several
    devices.
    """
    _of_one(tuple(mesh_shape))
    if not backends:
        init_process_group()
    made = arange(1).reshape(tuple(mesh_shape))
    return DeviceMesh(device_type, made, mesh_dim_names=mesh_dim_names)


# ---- modules


class _Sharded(type(Module)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Module) and "_fully_shard" in vars(instance)


class FSDPModule(metaclass=_Sharded):
    """What programs ask for with isinstance: modules that went through `fully_shard`."""


METHODS = (
    "unshard",
    "reshard",
    "set_requires_gradient_sync",
    "set_is_last_backward",
    "set_reshard_after_backward",
    "set_requires_all_reduce",
    "set_modules_to_forward_prefetch",
    "set_modules_to_backward_prefetch",
)


def fully_shard(module: Any, **options: Any) -> Any:
    """The module itself, whose parameters one process has whole. It gets the methods that say when
    they are put together, and which do nothing. Raises ArgumentError where no group runs.
    """
    _grouped("fully_shard", "use the module as it is")
    for one in module if isinstance(module, (list, tuple)) else [module]:
        vars(one)["_fully_shard"] = dict(options)
        for name in METHODS:
            vars(one)[name] = _nothing
    return module


def _nothing(*args: Any, **options: Any) -> SimpleNamespace:
    return SimpleNamespace(wait=lambda: None)


class MixedPrecision(NamedTuple):
    """In which types parameters would be computed with and gradients sent: by autocast here."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    buffer_dtype: Any = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False


class MixedPrecisionPolicy(NamedTuple):
    """The same for `fully_shard`."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


@final
class FullyShardedDataParallel(Module):
    """Calls a module, whose parameters one process has whole.

    Names of parameters and of the state are the module's own, as in PyTorch. Raises ArgumentError
    where no group has been started, and for a precision: the model's own, or `autocast`, is that.
    """

    def __init__(self, module: Module, *args: Any, **options: Any) -> None:
        super().__init__()
        _grouped("FullyShardedDataParallel", "call the module itself")
        mixed = options.get("mixed_precision")
        if mixed is not None and mixed.param_dtype is not None:
            hint = f"with autocast('cpu', dtype={mixed.param_dtype}): ..."
            raise ArgumentError("FullyShardedDataParallel", "parameters keep types", hint=hint)
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def state_dict(self, *args: Any, **options: Any) -> Any:
        return self.module.state_dict(*args, **options)

    def load_state_dict(self, state_dict: Any, *args: Any, **options: Any) -> Any:
        return self.module.load_state_dict(state_dict, *args, **options)

    def named_parameters(self, *args: Any, **options: Any) -> Iterator[Any]:
        return self.module.named_parameters(*args, **options)

    def named_buffers(self, *args: Any, **options: Any) -> Iterator[Any]:
        return self.module.named_buffers(*args, **options)

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """The norm of all gradients, which are made smaller where it is larger than max_norm."""
        return clip_grad_norm_(self.module.parameters(), max_norm, norm_type)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which gradients are only added up, as they always are for one process."""
        yield

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(*args: Any, **options: Any) -> Iterator[None]:
        """A block in which parameters are whole, as they always are here."""
        yield

    @staticmethod
    @contextlib.contextmanager
    def state_dict_type(*args: Any, **options: Any) -> Iterator[None]:
        """A block in which states are whole: they always are."""
        yield

    @staticmethod
    def set_state_dict_type(*args: Any, **options: Any) -> None:
        """States are whole."""

    @staticmethod
    def optim_state_dict(model: Any, optim: Any, *args: Any, **options: Any) -> Any:
        return optim.state_dict()

    full_optim_state_dict = optim_state_dict

    @staticmethod
    def optim_state_dict_to_load(
        model: Any, optim: Any, optim_state_dict: Any, *args: Any, **options: Any
    ) -> Any:
        return optim_state_dict


class _Options:
    """Options of PyTorch's that one process has no use for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.__dict__.update(options)


CPUOffload = FullStateDictConfig = ShardedStateDictConfig = LocalStateDictConfig = _Options
FullOptimStateDictConfig = ShardedOptimStateDictConfig = _Options
CPUOffloadPolicy = OffloadPolicy = _Options


def _names(*words: str) -> SimpleNamespace:
    return SimpleNamespace(**{word: word for word in words})


ShardingStrategy = _names(
    "FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "_HYBRID_SHARD_ZERO2"
)
StateDictType = _names("FULL_STATE_DICT", "LOCAL_STATE_DICT", "SHARDED_STATE_DICT")
BackwardPrefetch = _names("BACKWARD_PRE", "BACKWARD_POST")


def _policy(*args: Any, **options: Any) -> Callable[..., bool]:
    """Which parts are wrapped by themselves: it makes no difference."""
    return lambda *args, **options: False


size_based_auto_wrap_policy = transformer_auto_wrap_policy = always_wrap_policy = _policy
lambda_auto_wrap_policy = ModuleWrapPolicy = CustomPolicy = _policy


@contextlib.contextmanager
def enable_wrap(*args: Any, **options: Any) -> Iterator[None]:
    yield


@final
class _Wrap(ModuleType):
    """`fsdp.wrap`: the module with policies, and in it the function `wrap`."""

    def __call__(self, module: Any, **options: Any) -> Any:
        """The module itself."""
        return module


wrap: Any = _Wrap("wrap")
fully_sharded_data_parallel = api = sys.modules[__name__]
vars(wrap).update({name: value for name, value in globals().items() if name[:2] != "__"})
