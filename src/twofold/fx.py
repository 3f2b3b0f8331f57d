"""What programs ask of torch.fx: whether a value stands in for a tensor while a module is traced.
Floor 11. Nothing does here: `twofold.compile` captures what runs, and `twofold.trace` gives graphs.
"""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.base.files import also_as
from twofold.nn.module import Module

__all__ = ["GraphModule", "Proxy", "symbolic_trace", "wrap"]


@final
class Proxy:
    """The stand-in of a symbolic trace; no value here is one."""


class GraphModule(Module):
    """A module made of a graph; no module here is one."""


def symbolic_trace(root: Any, concrete_args: Any = None) -> Any:
    """Raises ArgumentError: there is no trace without example inputs."""
    raise ArgumentError(
        "symbolic_trace",
        "modules are traced with example inputs",
        hint="twofold.trace(module, x), or twofold.compile(module)",
    )


def wrap(function: Any) -> Any:
    """Keep a function whole in a trace: nothing to do."""
    return function


def get_proxy_mode() -> None:
    """None: nothing is traced by proxies."""


also_as(__name__, "experimental experimental.proxy_tensor")
