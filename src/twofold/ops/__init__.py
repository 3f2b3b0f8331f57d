"""Floor 4: the tensor, the one door `bind`, and a record for every operation."""

from collections.abc import Callable

from twofold.ops.op import load_library as load_library

# From the top of the package: operations under other names, `ops.aten`.
NAMESPACES: dict[str, Callable[[], object]] = {}


def __getattr__(name: str) -> object:
    if name in NAMESPACES:
        return NAMESPACES[name]()
    raise AttributeError(f"module 'twofold.ops' has no attribute {name!r}")
