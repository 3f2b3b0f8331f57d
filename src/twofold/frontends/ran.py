"""The modules that run in a capture: what they hold, and what they are given. Floor 9."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from twofold.frontends.arrays import is_unknown
from twofold.frontends.noted import Attribute, Source
from twofold.ops.tensor import Tensor

if TYPE_CHECKING:  # a capture asks: an import that runs would be a ring
    from twofold.frontends.capture import Capture


def attributes(capture: Capture) -> list[Attribute]:
    """The tensors of this graph that modules were given."""
    found = []
    for module, _ in capture.modules.values():
        held = capture.held[id(module)]
        parts = [d for d in (module.__dict__, module._buffers) if id(d) not in capture.watched]
        for name, x in [item for part in parts for item in part.items()]:
            if isinstance(x, Tensor) and is_unknown(x.array):
                found.append(Attribute(module, name, held.get(name), x))
    return found


def read_attributes(capture: Capture, attributes: list[Attribute]) -> None:
    """What is replaced at each run is found by its name."""
    by_tensor = {id(a.before): a for a in attributes if isinstance(a.before, Tensor)}
    for i, (kind, key) in enumerate(capture.sources):
        if kind == "state" and id(key) in by_tensor:
            found = by_tensor[id(key)]
            capture.sources[i] = Source("attribute", (found.module, found.name))


@contextlib.contextmanager
def within(capture: Capture, module: Any) -> Iterator[None]:
    """In the block the module's forward runs."""
    root = capture
    while root.outer is not None:
        root = root.outer
    if id(module) not in root.modules:
        root.modules[id(module)] = (module, module.training)
        root.held[id(module)] = {**module.__dict__, **module._buffers}
    parent = capture.stack[-1] if capture.stack else None
    children = parent.named_modules() if parent is not None else ()
    name = next((name for name, child in children if child is module), type(module).__name__)
    capture.stack.append(module)
    capture.path.append(name)
    try:
        yield
    finally:
        capture.stack.pop()
        capture.path.pop()


def take_back(capture: Capture) -> None:
    """Put gradients, and what modules hold, back to what they were: nothing of a graph stays."""
    for leaf, grad, _ in capture.grads.values():
        leaf.leaf_grad = grad
    for module, name, value, _ in capture.attributes():
        setattr(module, name, value)
    capture.flags_after = [
        (capture.places.get(id(x), x), x.tracked) for x, _ in capture.flags.values()
    ]
    for x, on in capture.flags.values():
        x.tracked = on
