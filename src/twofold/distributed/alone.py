"""A group of one process: what it sends to all comes back to it as it was. Floor 13."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.base.processes import backends


@final
class Work:
    """A collective operation that was asked for with `async_op=True`: it is done."""

    def wait(self, timeout: Any = None) -> bool:
        return True

    def is_completed(self) -> bool:
        return True

    def is_success(self) -> bool:
        return True


def is_initialized() -> bool:
    """Whether `init_process_group` has been called."""
    return bool(backends)


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    **options: Any,
) -> None:
    """Start a group of this process alone; without `world_size` the variable WORLD_SIZE tells.

    Raises ArgumentError for groups of several processes, and where there is a group.
    """
    size = world_size if world_size > 0 else int(os.environ.get("WORLD_SIZE", "1"))
    if size != 1:
        what = f"world_size = {size}: several processes cannot be grouped yet"
        hint = "train in one process: world_size=1"
        raise ArgumentError("init_process_group", what, hint=hint)
    if backends:
        hint = "destroy_process_group() first"
        raise ArgumentError("init_process_group", "there is a group already", hint=hint)
    backends.append(backend or "gloo")


def destroy_process_group(group: Any = None) -> None:
    """Leave the group, if there is one."""
    backends.clear()


def get_backend(group: Any = None) -> str:
    return backends[0]


def new_group(*ranks: Any, **options: Any) -> Any:
    """A group of some of the processes, which stands for itself where groups are taken."""
    return None


def barrier(*args: Any, async_op: bool = False, **options: Any) -> Work | None:
    return _done(async_op)


def all_reduce(tensor: Any, op: Any = None, group: Any = None, async_op: bool = False) -> Any:
    """The sum, mean or extreme over one process is what it has."""
    return _done(async_op)


def broadcast(tensor: Any, src: Any = 0, group: Any = None, async_op: bool = False) -> Any:
    return _done(async_op)


def reduce(
    tensor: Any, dst: Any = 0, op: Any = None, group: Any = None, async_op: bool = False
) -> Any:
    return _done(async_op)


def broadcast_object_list(object_list: Any, src: Any = 0, group: Any = None, **_: Any) -> None:
    """What this process has is what all have."""


def all_gather(
    tensor_list: list[Any], tensor: Any, group: Any = None, async_op: bool = False
) -> Any:
    return _copied(tensor_list, [tensor], async_op)


def gather(
    tensor: Any,
    gather_list: list[Any] | None = None,
    dst: Any = 0,
    group: Any = None,
    async_op: bool = False,
) -> Any:
    return _copied(gather_list or [], [tensor] if gather_list else [], async_op)


def scatter(
    tensor: Any,
    scatter_list: list[Any] | None = None,
    src: Any = 0,
    group: Any = None,
    async_op: bool = False,
) -> Any:
    return _copied([tensor], scatter_list or [], async_op)


def all_gather_into_tensor(
    output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False
) -> Any:
    return _copied([output_tensor], [input_tensor.reshape(output_tensor.shape)], async_op)


def reduce_scatter(
    output: Any, input_list: list[Any], op: Any = None, group: Any = None, async_op: bool = False
) -> Any:
    return _copied([output], input_list, async_op)


def all_to_all(
    output_tensor_list: list[Any],
    input_tensor_list: list[Any],
    group: Any = None,
    async_op: bool = False,
) -> Any:
    return _copied(output_tensor_list, input_tensor_list, async_op)


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    object_list[0] = obj


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: Any = 0, group: Any = None, **_: Any
) -> None:
    if object_gather_list is not None:
        object_gather_list[0] = obj


def scatter_object_list(
    scatter_object_output_list: list[Any], scatter_object_input_list: Any = None, **_: Any
) -> None:
    if scatter_object_input_list:
        scatter_object_output_list[0] = scatter_object_input_list[0]


def _copied(places: list[Any], tensors: list[Any], async_op: bool) -> Work | None:
    if len(places) != len(tensors):
        what = f"{len(tensors)} tensors for {len(places)} places in a group of one process"
        raise ArgumentError("distributed", what, hint="lists of get_world_size() tensors")
    for place, tensor in zip(places, tensors, strict=True):
        place.detach().copy_(tensor.detach())
    return _done(async_op)


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


COLLECTIVES: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(all_gather, all_gather_into_tensor, all_gather_object, all_reduce, all_to_all, barrier),
        *(broadcast, broadcast_object_list, gather, gather_object, get_backend, new_group, reduce),
        *(reduce_scatter, scatter, scatter_object_list),
    )
} | {"monitored_barrier": barrier, "reduce_scatter_tensor": all_gather_into_tensor}
