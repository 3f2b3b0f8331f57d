"""What programs ask of the graph of gradients itself, under PyTorch's names. Floor 8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from twofold.autograd.grad_fn import GradientEdge, Node, get_gradient_edge
from twofold.autograd.saved import disable_saved_tensors_hooks, saved_tensors_hooks
from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor, root_of

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


@final
class save_on_cpu:
    """In the block, what gradients need is kept in the CPU's memory, where it is anyway."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        self.pin_memory = pin_memory

    def __enter__(self) -> None:
        """There is nothing to move."""

    def __exit__(self, *_: object) -> None:
        """Nor to move back."""


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell that a tensor was written in a way that nobody saw: gradients that need its old values
    are refused.
    """
    for x in (tensor,) if isinstance(tensor, Tensor) else tensor:
        root_of(x).version += 1


@final
class _Handle:
    """Takes several hooks away."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> _Handle:
    """Call fn(gradients) when there are gradients of all tensors, or, with mode "any",
    fn(gradient) at the first one of each walk. Raises ArgumentError for another mode.
    """
    if mode not in ("all", "any"):
        raise ArgumentError("register_multi_grad_hook", f"mode={mode!r}", hint='"all" or "any"')
    found: dict[int, Any] = {}

    def hook_of(place: int) -> Callable[[Any], None]:
        def hook(g: Any) -> None:
            if mode == "any" and not found:
                fn(g)
            found[place] = g
            if len(found) == len(tensors):
                grads = [found[i] for i in range(len(tensors))]
                found.clear()
                if mode == "all":
                    fn(grads)

        return hook

    return _Handle([x.register_hook(hook_of(i)) for i, x in enumerate(tensors)])  # type: ignore[attr-defined]
